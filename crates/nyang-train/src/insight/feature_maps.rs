//! What a layer gives, and what the first one looks for, as pictures.

use nyang_nn::{Ctx, Module, Observer, Param, Pass, Path, Tensor, Visit};

use super::picture::{Picture, scaled};
use crate::{Error, Result};

/// The output of the layer at this path for one image, in evaluation.
///
/// # Shapes
/// `image`: `[C, H, W]`, standardised as in training → `[K, h, w]`
///
/// # Errors
/// [`Error::Argument`] if there is no such layer, or its output is no `[N, K, h, w]`; whatever the model gives.
pub fn feature_maps(model: &dyn Module<f32>, image: &Tensor<f32>, layer: &str) -> Result<Tensor<f32>> {
    struct Capture<'a>(&'a str, Option<Tensor<f32>>);
    impl Observer<f32> for Capture<'_> {
        fn after(&mut self, path: &str, _: &'static str, _: Pass, y: &Tensor<f32>) {
            if path == self.0 {
                self.1 = Some(y.clone());
            }
        }
    }
    let mut capture = Capture(layer, None);
    model.infer(Tensor::stack(std::slice::from_ref(image))?, &mut Ctx::eval().observed(&mut capture))?;
    match capture.1 {
        Some(output) if output.dims().len() == 4 => Ok(output.select(0, 0)?),
        _ => Err(Error::argument("feature_maps", "layer", layer, "must be the path of a layer with output [N, C, H, W]; see the summary")),
    }
}

/// Each channel as a grey picture of its own, from its least value in black to its greatest in white, in a square.
///
/// # Shapes
/// `[K, h, w]`
///
/// # Errors
/// [`Error::Tensor`] for another number of dimensions; [`Error::Argument`] if one of them is 0.
pub fn tiles(maps: &Tensor<f32>) -> Result<Picture> {
    let &[k, h, w] = maps.dims() else {
        return Err(nyang_tensor::Error::shape("tiles", "[K, h, w]", *maps.shape()).into());
    };
    let values = maps.to_vec();
    let factor = 32usize.div_ceil(h.max(w).max(1)); // small ones so large that they can be seen
    let tiles = values.chunks((h * w).max(1)).take(k).map(|plane| Ok(Picture::grey(h, w, plane)?.enlarged(factor)));
    Picture::grid(&tiles.collect::<Result<Vec<_>>>()?, k.isqrt().max(1) + usize::from(k.isqrt().pow(2) < k))
}

/// The filters of the model's first convolution, from black for the least weight of a filter to white for its greatest: in colour where it
/// looks at three channels, else the mean over its channels.
///
/// # Errors
/// [`Error::Argument`] if the model has no convolution.
pub fn first_filters(model: &dyn Module<f32>) -> Result<Picture> {
    struct First(Option<Tensor<f32>>);
    impl Visit<f32> for First {
        fn param(&mut self, _: Path<'_>, param: &Param<f32>) {
            if self.0.is_none() && param.value.dims().len() == 4 {
                self.0 = Some(param.value.clone());
            }
        }
    }
    let mut first = First(None);
    model.visit(Path::ROOT, &mut first);
    let Some(weight) = first.0 else {
        return Err(Error::argument("first_filters", "model", model.kind(), "must have a convolution"));
    };
    let count = weight.dims().first().copied().unwrap_or(0);
    let picture = |i: usize| {
        let filter = weight.select(0, i)?;
        let shape = *filter.shape();
        let factor = 32usize.div_ceil(filter.dims().iter().skip(1).copied().max().unwrap_or(1).max(1));
        Ok(Picture::of(&Tensor::from_vec(shape, scaled(&filter.to_vec()))?)?.enlarged(factor))
    };
    let pictures = (0..count).map(picture).collect::<Result<Vec<_>>>()?;
    Picture::grid(&pictures, count.isqrt().max(1) + usize::from(count.isqrt().pow(2) < count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nyang_nn::{Flow, Init};

    #[test]
    fn a_layer_s_output_is_that_of_the_layers_up_to_it() {
        let model = Flow::input([1, 3, 3]).conv(4, 3).relu().linear(2).build::<f32>(&mut Init::seed(1)).unwrap();
        let image = Tensor::from_fn([1, 3, 3], |i| i as f32 - 4.0).unwrap();
        let (before, after) = (feature_maps(&model, &image, "0").unwrap(), feature_maps(&model, &image, "1").unwrap());
        assert_eq!(before.dims()[0], 4);
        assert_eq!(before.to_vec().iter().map(|x| x.max(0.0)).collect::<Vec<_>>(), after.to_vec());
        let error = feature_maps(&model, &image, "9").unwrap_err().to_string();
        assert!(error.contains("layer = 9 is not valid: must be the path of a layer"), "{error}");
    }

    #[test]
    fn maps_are_tiles_from_black_to_white() {
        let maps = Tensor::from_vec([3, 1, 2], vec![0.0, 5.0, -1.0, 0.0, 2.0, 2.0]).unwrap();
        let picture = tiles(&maps).unwrap();
        assert_eq!((picture.height(), picture.width()), (34, 66)); // two rows of two: cells 16 × 32
        assert_eq!((picture.rgb()[0], picture.rgb()[31 * 3], picture.rgb()[32 * 3]), (0, 255, 255));
        assert!(tiles(&Tensor::zeros([2, 2]).unwrap()).is_err() && tiles(&Tensor::zeros([0, 2, 2]).unwrap()).is_err());
    }

    #[test]
    fn filters_of_the_first_convolution() {
        let model = Flow::input([3, 8, 8]).conv(5, 3).global_avg_pool().linear(2).build::<f32>(&mut Init::seed(1)).unwrap();
        let picture = first_filters(&model).unwrap();
        assert_eq!((picture.height(), picture.width()), (2 * 33 + 2, 3 * 33 + 2 * 2)); // 3 × 3 pixels of 11, in 2 rows of 3
        let flat = Flow::input([4]).linear(2).build::<f32>(&mut Init::seed(1)).unwrap();
        assert!(first_filters(&flat).unwrap_err().to_string().contains("must have a convolution"));
    }
}
