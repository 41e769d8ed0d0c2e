//! Global average pooling: one number a channel.

use nyang_tensor::kernels::avg_pool2d::{global_avg_pool2d, global_avg_pool2d_grad_input};
use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::{Build, Ctx, Error, Init, Module, Result, Saved, Spec};

pub(crate) const KIND: &str = "GlobalAvgPool2d";

/// The mean of each channel over the whole image.
///
/// ```text
/// y[n,c] = 1/(H·W) · Σ_{h,w} x[n,c,h,w]        dx[n,c,h,w] = dy[n,c] / (H·W)
/// ```
///
/// With it a network takes images of any size, and its head has one weight a channel instead of one a pixel.
///
/// # Shapes
/// `[N, C, H, W] → [N, C, 1, 1]`
///
/// # Errors
/// [`Error::Shape`] unless the input is `[N, C, H, W]` with H·W > 0.
///
/// # Reference
/// Lin, Chen & Yan 2014, *Network In Network*, arXiv:1312.4400; PyTorch's `AdaptiveAvgPool2d(1)`.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, GlobalAvgPool2d, Module, Tensor};
/// let x = Tensor::from_vec([1, 2, 1, 2], vec![1.0f32, 3.0, -1.0, 0.0])?;
/// assert_eq!(GlobalAvgPool2d::new().infer(x, &mut Ctx::eval())?.to_vec(), [2.0, -0.5]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct GlobalAvgPool2d {
    saved: Saved<Shape>,
}

impl GlobalAvgPool2d {
    /// The layer; it has nothing to configure.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Element> Module<T> for GlobalAvgPool2d {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        match *input.dims() {
            [n, c, h, w] if h > 0 && w > 0 => Ok(Shape::from([n, c, 1, 1])),
            _ => Err(Error::shape(KIND, "[N, C, H, W] with H and W above 0", input)),
        }
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Module::<T>::out_shape(self, x.shape())?;
        Ok(global_avg_pool2d(&x)?)
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
        Ok(global_avg_pool2d_grad_input(&dy, &input)?)
    }

    fn spec(&self) -> Spec {
        Spec::new(KIND)
    }
}

pub(crate) fn build<T: Element>(_: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(GlobalAvgPool2d::new())
}

fn plain<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(GlobalAvgPool2d::new())
}

pub(crate) const CASES: &[Case] = &[
    Case::new("GlobalAvgPool2d/square", &[2, 3, 4, 4], Some("nn.AdaptiveAvgPool2d(1)"), plain, plain),
    Case::new("GlobalAvgPool2d/oblong", &[1, 5, 7, 2], Some("nn.AdaptiveAvgPool2d(1)"), plain, plain),
    Case::new("GlobalAvgPool2d/one_pixel", &[3, 2, 1, 1], Some("nn.AdaptiveAvgPool2d(1)"), plain, plain),
    Case::new("GlobalAvgPool2d/wide", &[2, 37, 5, 3], Some("nn.AdaptiveAvgPool2d(1)"), plain, plain),
];
