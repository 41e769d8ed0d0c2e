//! Adaptive average pooling: as many means as the output is to have pixels.

use nyang_tensor::kernels::adaptive_pool2d::{adaptive_avg_pool2d, adaptive_avg_pool2d_grad_input};
use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::window::{binned_shape, check_bins};
use crate::{Build, Ctx, Init, Module, Pair, Result, Saved, Spec};

pub(crate) const KIND: &str = "AdaptiveAvgPool2d";

/// Adaptive average pooling: an image of any size becomes one of a given size, whose pixels are the means of its bins.
///
/// ```text
/// y[n,c,i,j] = 1/m · Σ x[n,c,h,w]        h from ⌊i·H/H'⌋ to below ⌈(i+1)·H/H'⌉, w likewise; m the number of cells
///
/// dx: every cell of a bin gets dy[n,c,i,j] / m; where bins share a cell they add up
/// ```
///
/// With the size 1 it is [`GlobalAvgPool2d`](crate::GlobalAvgPool2d), which is quicker.
///
/// # Shapes
/// `[N, C, H, W] → [N, C, H', W']` of the size asked for, smaller or larger
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) unless the input is `[N, C, H, W]` with H·W > 0.
///
/// # Reference
/// PyTorch's `AdaptiveAvgPool2d`; He et al. 2015, *Spatial pyramid pooling in deep convolutional networks*, arXiv:1406.4729.
///
/// # Example
/// ```
/// # use nyang_nn::{AdaptiveAvgPool2d, Ctx, Module, Tensor};
/// let x = Tensor::from_vec([1, 1, 1, 5], vec![0.0f32, 1.0, 2.0, 3.0, 4.0])?;
/// assert_eq!(AdaptiveAvgPool2d::new([1, 3])?.infer(x, &mut Ctx::eval())?.to_vec(), [0.5, 2.0, 3.5]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdaptiveAvgPool2d {
    size: [usize; 2],
    saved: Saved<Shape>, // of the input
}

impl AdaptiveAvgPool2d {
    /// Pooling to images of this size.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if the size is 0.
    pub fn new(size: impl Into<Pair>) -> Result<Self> {
        Ok(AdaptiveAvgPool2d { size: check_bins(KIND, size)?, saved: Saved::default() })
    }
}

impl<T: Element> Module<T> for AdaptiveAvgPool2d {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        binned_shape(KIND, self.size, input)
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Module::<T>::out_shape(self, x.shape())?;
        Ok(adaptive_avg_pool2d(&x, self.size)?)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let input = *x.shape();
        let y = self.infer(x, cx)?;
        self.saved.put(input);
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let input = self.saved.take(KIND)?;
        check_dy(KIND, &Module::<T>::out_shape(self, &input)?, &dy)?;
        Ok(adaptive_avg_pool2d_grad_input(&dy, &input, self.size)?)
    }

    fn spec(&self) -> Spec {
        Spec::new(KIND).with("size", self.size)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(AdaptiveAvgPool2d::new(spec.sizes::<2>("size")?)?)
}

fn one<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(AdaptiveAvgPool2d::new(1)?)
}
fn halved<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(AdaptiveAvgPool2d::new(2)?)
}
fn uneven<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(AdaptiveAvgPool2d::new([3, 4])?)
}
fn enlarged<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(AdaptiveAvgPool2d::new([5, 7])?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("AdaptiveAvgPool2d/one", &[2, 3, 5, 4], Some("nn.AdaptiveAvgPool2d(1)"), one, one),
    Case::new("AdaptiveAvgPool2d/halved", &[2, 3, 4, 4], Some("nn.AdaptiveAvgPool2d(2)"), halved, halved),
    Case::new("AdaptiveAvgPool2d/overlapping", &[2, 17, 5, 7], Some("nn.AdaptiveAvgPool2d((3, 4))"), uneven, uneven),
    Case::new("AdaptiveAvgPool2d/enlarged", &[1, 2, 2, 3], Some("nn.AdaptiveAvgPool2d((5, 7))"), enlarged, enlarged),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_zero_and_images_without_pixels_are_errors() {
        let error = AdaptiveAvgPool2d::new([3, 0]).unwrap_err().to_string();
        assert_eq!(error, "AdaptiveAvgPool2d: size = [3, 0] is not valid: must be positive along each axis");
        let layer = AdaptiveAvgPool2d::new(2).unwrap();
        let say = |dims: [usize; 4]| Module::<f32>::out_shape(&layer, &Shape::from(dims)).unwrap_err().to_string();
        assert_eq!(say([1, 3, 0, 4]), "AdaptiveAvgPool2d expects [N, C, H, W] with at least one pixel, got [1, 3, 0, 4]");
    }
}
