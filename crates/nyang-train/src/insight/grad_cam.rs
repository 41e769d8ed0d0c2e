//! Where in an image the evidence for a class is: Grad-CAM.

use nyang_data::Normalize;
use nyang_nn::{Ctx, Module, Observer, Param, Pass, Path, Tensor, VisitMut};

use super::picture::Picture;
use crate::{Error, Result};

/// How much each place of a layer's output speaks for a class, from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Heatmap {
    /// The layer whose output it is of.
    pub layer: String,
    /// The number of rows.
    pub height: usize,
    /// The number of columns.
    pub width: usize,
    /// Row by row; the greatest is 1, unless nothing speaks for the class: then all are 0.
    pub values: Vec<f32>,
}

/// Which places of an image speak for a class: the channels of a layer's output, each weighted by the mean gradient of the class's logit.
///
/// ```text
/// A_k = the layer's channel k (h × w)     y_c = the logit of the class
/// α_k = mean over places of ∂y_c/∂A_k     map = ReLU(Σ_k α_k A_k), divided by its maximum
/// ```
///
/// `layer` is a path, such as `layer4` or `features.7`; without one it is the last layer whose output still has places: the usual choice.
/// The model runs in evaluation. Its parameters' gradients are as they were, afterwards.
///
/// # Shapes
/// `image`: `[C, H, W]`, standardised as in training
///
/// # Errors
/// [`Error::Argument`] if there is no such layer, its output has no places, or there is no such class; whatever the model gives.
///
/// # Reference
/// Selvaraju et al. 2017, *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization*, arXiv:1610.02391.
pub fn grad_cam(model: &mut dyn Module<f32>, image: &Tensor<f32>, class: usize, layer: Option<&str>) -> Result<Heatmap> {
    let mut gradients = Gradients::default();
    model.visit_mut(Path::ROOT, &mut gradients);
    gradients.put_back = true;
    let mut capture = Capture { wanted: layer, activation: None, gradient: None };
    let ran = run(model, image, class, &mut capture);
    model.visit_mut(Path::ROOT, &mut gradients);
    ran?;

    let named = layer.unwrap_or("the last with places").to_owned();
    let Some((layer, a, da)) = capture.activation.zip(capture.gradient).map(|((layer, a), da)| (layer, a, da)) else {
        return Err(Error::argument("grad_cam", "layer", named, "must be the path of a layer with output [N, C, H, W]; see the summary"));
    };
    let &[_, channels, height, width] = a.dims() else {
        return Err(Error::argument("grad_cam", "layer", layer, "must have output [N, C, H, W]"));
    };
    let (a, da, places) = (a.to_vec(), da.to_vec(), height * width);
    let mut values = vec![0.0f32; places];
    for (a, da) in a.chunks_exact(places.max(1)).zip(da.chunks_exact(places.max(1))).take(channels) {
        let alpha = da.iter().sum::<f32>() / places as f32;
        values.iter_mut().zip(a).for_each(|(value, a)| *value += alpha * a);
    }
    let most = values.iter().fold(0.0f32, |most, x| most.max(*x));
    values.iter_mut().for_each(|x| *x = if most > 0.0 { x.max(0.0) / most } else { 0.0 });
    Ok(Heatmap { layer, height, width, values })
}

fn run(model: &mut dyn Module<f32>, image: &Tensor<f32>, class: usize, capture: &mut Capture<'_>) -> Result<()> {
    let mut cx = Ctx::eval().observed(capture);
    let logits = model.forward(Tensor::stack(std::slice::from_ref(image))?, &mut cx)?;
    let classes = logits.len();
    if class >= classes {
        return Err(Error::argument("grad_cam", "class", class, "must be below the number of the model's outputs"));
    }
    // ∂y_c/∂y is 1 for the class and 0 for the others
    let dy = Tensor::from_fn(*logits.shape(), |i| if i == class { 1.0 } else { 0.0 })?;
    model.backward(dy, &mut cx)?;
    Ok(())
}

impl Heatmap {
    /// The map over its image, hot where the evidence is.
    ///
    /// # Shapes
    /// `image`: `[C, H, W]`, as [`grad_cam`] got it, with the statistics that it was standardised with
    ///
    /// # Errors
    /// As [`Picture::of`].
    pub fn over(&self, image: &Tensor<f32>, normalize: Option<&Normalize>) -> Result<Picture> {
        let picture = Picture::of_standardised(image, normalize)?;
        let heat = Picture::heat(picture.height(), picture.width(), &self.sized(picture.height(), picture.width()))?;
        picture.under(&heat, 0.5)
    }

    /// The map in another size, between its places in proportion (bilinear, the corners' pixels not aligned, as images are resized).
    pub fn sized(&self, height: usize, width: usize) -> Vec<f32> {
        let at = |y: usize, x: usize| self.values.get(y * self.width + x).copied().unwrap_or(0.0);
        let place = |to: usize, size: usize, from: usize| {
            let x = ((to as f32 + 0.5) * from as f32 / size as f32 - 0.5).clamp(0.0, from.saturating_sub(1) as f32);
            (x as usize, (x as usize + 1).min(from.saturating_sub(1)), x.fract())
        };
        let mut values = Vec::with_capacity(height * width);
        for y in 0..height {
            let (top, bottom, v) = place(y, height, self.height);
            for x in 0..width {
                let (left, right, u) = place(x, width, self.width);
                let [upper, lower] = [top, bottom].map(|y| at(y, left) * (1.0 - u) + at(y, right) * u);
                values.push(upper * (1.0 - v) + lower * v);
            }
        }
        values
    }
}

/// Keeps the output of a layer, and the gradient of it.
struct Capture<'a> {
    wanted: Option<&'a str>,
    activation: Option<(String, Tensor<f32>)>,
    gradient: Option<Tensor<f32>>,
}

impl Observer<f32> for Capture<'_> {
    fn after(&mut self, path: &str, _: &'static str, pass: Pass, y: &Tensor<f32>) {
        let places = matches!(y.dims(), [_, _, h, w] if h * w > 1);
        let wanted = self.wanted.map_or(places, |wanted| wanted == path && y.dims().len() == 4);
        if pass == Pass::Forward && wanted {
            self.activation = Some((path.to_owned(), y.clone()));
        }
    }

    fn before(&mut self, path: &str, _: &'static str, pass: Pass, dy: &Tensor<f32>) {
        if pass == Pass::Backward && self.activation.as_ref().is_some_and(|(layer, _)| layer == path) {
            self.gradient = Some(dy.clone());
        }
    }
}

/// The parameters' gradients, taken in one walk over the model and put back in the next.
#[derive(Default)]
struct Gradients {
    kept: std::collections::VecDeque<Tensor<f32>>,
    put_back: bool,
}

impl VisitMut<f32> for Gradients {
    fn param(&mut self, _: Path<'_>, param: &mut Param<f32>) {
        if !self.put_back {
            self.kept.push_back(param.grad.clone());
        } else if let Some(grad) = self.kept.pop_front() {
            param.grad = grad;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nyang_nn::{Flow, Init, StateDict, StateValue};

    /// A 1 × 1 convolution to two channels, the mean of each, and a linear layer: all numbers known.
    fn model() -> Flow<f32> {
        let mut model = Flow::input([1, 2, 2]).conv(2, 1).global_avg_pool().linear(2).build::<f32>(&mut Init::seed(1)).unwrap();
        let mut state = StateDict::of(&model).unwrap();
        let names: Vec<String> = state.names().map(str::to_owned).collect();
        for name in names {
            let Some(StateValue::Tensor(old)) = state.get(&name) else { continue };
            let values = match old.dims() {
                [2, 1, 1, 1] => vec![1.0, -1.0],     // A_0 = x, A_1 = −x
                [2, 2] => vec![4.0, 0.0, -4.0, 8.0], // y_0 = 4 mean(A_0), y_1 = −4 mean(A_0) + 8 mean(A_1)
                dims => vec![0.0; dims.iter().product()],
            };
            let value = Tensor::from_vec(*old.shape(), values).unwrap();
            state.insert(name, StateValue::Tensor(value));
        }
        state.load_into(&mut model).unwrap();
        model
    }

    #[test]
    fn the_map_by_hand() {
        let image = Tensor::from_vec([1, 2, 2], vec![1.0, -2.0, 0.0, 4.0]).unwrap();
        let mut model = model();
        // α = (1, 0): map = ReLU(x) / 4
        let map = grad_cam(&mut model, &image, 0, None).unwrap();
        assert_eq!((map.height, map.width, map.values.as_slice()), (2, 2, &[0.25, 0.0, 0.0, 1.0][..]));
        // α = (−1, 2): Σ = −x − 2x, map = ReLU(−3x) / 6
        let map = grad_cam(&mut model, &image, 1, Some(&map.layer)).unwrap();
        assert_eq!(map.values, [0.0, 1.0, 0.0, 0.0]);
        let nothing = grad_cam(&mut model, &Tensor::zeros([1, 2, 2]).unwrap(), 0, None).unwrap();
        assert_eq!(nothing.values, [0.0; 4]);
    }

    #[test]
    fn gradients_are_as_they_were() {
        struct Fill(Vec<f32>);
        impl VisitMut<f32> for Fill {
            fn param(&mut self, _: Path<'_>, param: &mut Param<f32>) {
                if self.0.is_empty() {
                    param.grad = Tensor::full(*param.grad.shape(), 7.0).unwrap();
                } else {
                    self.0.extend(param.grad.to_vec());
                }
            }
        }
        let mut model = model();
        model.visit_mut(Path::ROOT, &mut Fill(vec![]));
        grad_cam(&mut model, &Tensor::ones([1, 2, 2]).unwrap(), 0, None).unwrap();
        let mut seen = Fill(vec![7.0]);
        model.visit_mut(Path::ROOT, &mut seen);
        assert!(seen.0.iter().all(|grad| *grad == 7.0), "{:?}", seen.0);
    }

    #[test]
    fn a_larger_map_is_between_the_places() {
        let map = Heatmap { layer: String::new(), height: 1, width: 2, values: vec![0.0, 1.0] };
        assert_eq!(map.sized(1, 4), [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(map.sized(2, 2), [0.0, 1.0, 0.0, 1.0]);
        let image = Tensor::zeros([1, 1, 4]).unwrap();
        assert_eq!(map.over(&image, None).unwrap().rgb()[9..], [128; 3]); // half of white over black
    }

    #[test]
    fn what_is_not_there_is_an_error_that_says_so() {
        let image = Tensor::ones([1, 2, 2]).unwrap();
        for (class, layer, says) in [
            (0, Some("nowhere"), "layer = nowhere is not valid: must be the path of a layer"),
            (0, Some("2"), "must be the path of a layer with output [N, C, H, W]"),
            (2, None, "class = 2 is not valid: must be below the number of the model's outputs"),
        ] {
            let error = grad_cam(&mut model(), &image, class, layer).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(grad_cam(&mut model(), &Tensor::ones([3, 2, 2]).unwrap(), 0, None).is_err());
    }
}
