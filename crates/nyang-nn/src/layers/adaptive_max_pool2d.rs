//! Adaptive max pooling: as many maxima as the output is to have pixels.

use nyang_tensor::kernels::adaptive_pool2d::{adaptive_max_pool2d, adaptive_max_pool2d_values};
use nyang_tensor::kernels::max_pool2d::{MaxIndices, max_pool2d_grad_input};
use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::window::{binned_shape, check_bins};
use crate::{Build, Ctx, Init, Module, Pair, Result, Saved, Spec};

pub(crate) const KIND: &str = "AdaptiveMaxPool2d";

/// Adaptive max pooling: an image of any size becomes one of a given size, whose pixels are the maxima of its bins.
///
/// ```text
/// y[n,c,i,j] = max x[n,c,h,w]        h from ⌊i·H/H'⌋ to below ⌈(i+1)·H/H'⌉, w likewise
///
/// dx: each dy[n,c,i,j] goes to the place where the maximum stood; where bins share a cell they add up
/// ```
///
/// The first of equal maxima gets the whole gradient, and a NaN is larger than everything, as in PyTorch.
///
/// # Shapes
/// `[N, C, H, W] → [N, C, H', W']` of the size asked for, smaller or larger
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) unless the input is `[N, C, H, W]` with H·W > 0.
///
/// # Reference
/// PyTorch's `AdaptiveMaxPool2d`; He et al. 2015, *Spatial pyramid pooling in deep convolutional networks*, arXiv:1406.4729.
///
/// # Example
/// ```
/// # use nyang_nn::{AdaptiveMaxPool2d, Ctx, Module, Tensor};
/// let x = Tensor::from_vec([1, 1, 1, 5], vec![0.0f32, 1.0, 2.0, 3.0, 4.0])?;
/// assert_eq!(AdaptiveMaxPool2d::new([1, 3])?.infer(x, &mut Ctx::eval())?.to_vec(), [1.0, 3.0, 4.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdaptiveMaxPool2d {
    size: [usize; 2],
    saved: Saved<(MaxIndices, Shape)>, // where the maxima stood, and the output's shape
}

impl AdaptiveMaxPool2d {
    /// Pooling to images of this size.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if the size is 0.
    pub fn new(size: impl Into<Pair>) -> Result<Self> {
        Ok(AdaptiveMaxPool2d { size: check_bins(KIND, size)?, saved: Saved::default() })
    }
}

impl<T: Element> Module<T> for AdaptiveMaxPool2d {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        binned_shape(KIND, self.size, input)
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Module::<T>::out_shape(self, x.shape())?;
        Ok(adaptive_max_pool2d_values(&x, self.size)?)
    }

    fn forward(&mut self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Module::<T>::out_shape(self, x.shape())?;
        let (y, indices) = adaptive_max_pool2d(&x, self.size)?;
        self.saved.put((indices, *y.shape()));
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let (indices, output) = self.saved.take(KIND)?;
        check_dy(KIND, &output, &dy)?;
        Ok(max_pool2d_grad_input(&dy, &indices)?)
    }

    fn spec(&self) -> Spec {
        Spec::new(KIND).with("size", self.size)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(AdaptiveMaxPool2d::new(spec.sizes::<2>("size")?)?)
}

fn one<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(AdaptiveMaxPool2d::new(1)?)
}
fn halved<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(AdaptiveMaxPool2d::new(2)?)
}
fn uneven<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(AdaptiveMaxPool2d::new([3, 4])?)
}
fn enlarged<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(AdaptiveMaxPool2d::new([5, 7])?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("AdaptiveMaxPool2d/one", &[2, 3, 5, 4], Some("nn.AdaptiveMaxPool2d(1)"), one, one),
    Case::new("AdaptiveMaxPool2d/halved", &[2, 3, 4, 4], Some("nn.AdaptiveMaxPool2d(2)"), halved, halved),
    Case::new("AdaptiveMaxPool2d/overlapping", &[2, 17, 5, 7], Some("nn.AdaptiveMaxPool2d((3, 4))"), uneven, uneven),
    Case::new("AdaptiveMaxPool2d/enlarged", &[1, 2, 2, 3], Some("nn.AdaptiveMaxPool2d((5, 7))"), enlarged, enlarged),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(values: [f64; 4]) -> Vec<f64> {
        let mut layer = AdaptiveMaxPool2d::new(1).unwrap();
        layer.forward(Tensor::from_vec([1, 1, 2, 2], values.to_vec()).unwrap(), &mut Ctx::train(1)).unwrap();
        layer.backward(Tensor::full([1, 1, 1, 1], 3.0).unwrap(), &mut Ctx::train(1)).unwrap().to_vec()
    }

    /// PyTorch's answers for the same four pixels.
    #[test]
    fn ties_go_to_the_first_and_nan_to_the_last() {
        assert_eq!(gradient([1.0, 5.0, 5.0, 2.0]), [0.0, 3.0, 0.0, 0.0]);
        assert_eq!(gradient([f64::NAN, 5.0, f64::NAN, 2.0]), [0.0, 0.0, 3.0, 0.0]);
        assert_eq!(gradient([f64::NEG_INFINITY; 4]), [3.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn sizes_of_zero_and_images_without_pixels_are_errors() {
        let error = AdaptiveMaxPool2d::new(0).unwrap_err().to_string();
        assert_eq!(error, "AdaptiveMaxPool2d: size = [0, 0] is not valid: must be positive along each axis");
        let layer = AdaptiveMaxPool2d::new(2).unwrap();
        assert!(Module::<f32>::out_shape(&layer, &Shape::from([1, 3, 4, 0])).is_err());
    }
}
