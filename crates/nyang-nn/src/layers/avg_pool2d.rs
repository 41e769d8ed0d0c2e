//! Average pooling: the mean of each window.

use nyang_tensor::kernels::Window;
use nyang_tensor::kernels::avg_pool2d::{Divisor, avg_pool2d, avg_pool2d_grad_input};
use nyang_tensor::{Element, Shape, Tensor};

use super::max_pool2d::{check_window, pooled_shape, window_from, window_spec};
use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::{Build, Ctx, Init, Module, Result, Saved, Spec};

pub(crate) const KIND: &str = "AvgPool2d";

/// How an [`AvgPool2d`] layer is to be built. Made by [`AvgPool2d::config`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AvgPool2dConfig {
    window: Window,
    count_include_pad: bool,
}

impl AvgPool2dConfig {
    /// How far the window moves at a time; its own size unless asked otherwise.
    pub fn stride(mut self, stride: usize) -> Self {
        self.window.stride = [stride; 2];
        self
    }

    /// Rows and columns of zeros around the image, at most half the window; 0 unless asked otherwise.
    pub fn padding(mut self, padding: usize) -> Self {
        self.window.padding = [[padding; 2]; 2];
        self
    }

    /// Whether a window that reaches beyond the image at the end counts; it does not unless asked otherwise.
    pub fn ceil_mode(mut self, ceil: bool) -> Self {
        self.window.ceil_mode = ceil;
        self
    }

    /// Whether the zeros of the padding count as values of the mean; they do unless asked otherwise.
    pub fn count_include_pad(mut self, count: bool) -> Self {
        self.count_include_pad = count;
        self
    }

    fn divisor(&self) -> Divisor {
        if self.count_include_pad { Divisor::Padded } else { Divisor::Cells }
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if the window or stride is 0, or the padding more than half the window.
    pub fn build(self) -> Result<AvgPool2d> {
        check_window(KIND, &self.window)?;
        Ok(AvgPool2d { config: self, saved: Saved::default() })
    }
}

/// Average pooling: the mean of each window, channel by channel.
///
/// ```text
/// y[n,c,i,j] = 1/m · Σ_{p,q} x[n, c, s·i + p − pad, s·j + q − pad]        x = 0 outside the image
///
/// dx: every cell of a window gets dy[n,c,i,j] / m; overlapping windows add up
/// ```
///
/// m is the number of cells of the window inside the padded image, or with `count_include_pad(false)` inside the image itself.
///
/// # Shapes
/// `[N, C, H, W] → [N, C, H', W']`, H' = ⌊(H + 2·pad − kernel) / s⌋ + 1 (⌈…⌉ with `ceil_mode`), W' likewise.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) unless the input is `[N, C, H, W]`; an error too if the window is larger than the padded image.
///
/// # Example
/// ```
/// # use nyang_nn::{AvgPool2d, Ctx, Module, Tensor};
/// let x = Tensor::from_vec([1, 1, 2, 2], vec![1.0f32, 4.0, 3.0, 2.0])?;
/// assert_eq!(AvgPool2d::config(2).build()?.infer(x, &mut Ctx::eval())?.to_vec(), [2.5]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AvgPool2d {
    config: AvgPool2dConfig,
    saved: Saved<(Shape, Shape)>, // of input and output
}

impl AvgPool2d {
    /// Pooling over square windows that lie side by side, still to be built.
    pub fn config(kernel: usize) -> AvgPool2dConfig {
        AvgPool2dConfig { window: Window { stride: [kernel; 2], ..Window::new([kernel; 2]) }, count_include_pad: true }
    }
}

impl<T: Element> Module<T> for AvgPool2d {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        pooled_shape(KIND, &self.config.window, input)
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Module::<T>::out_shape(self, x.shape())?;
        Ok(avg_pool2d(&x, &self.config.window, self.config.divisor())?)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let input = *x.shape();
        let y = self.infer(x, cx)?;
        self.saved.put((input, *y.shape()));
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let (input, output) = self.saved.take(KIND)?;
        check_dy(KIND, &output, &dy)?;
        Ok(avg_pool2d_grad_input(&dy, &input, &self.config.window, self.config.divisor())?)
    }

    fn spec(&self) -> Spec {
        window_spec(KIND, &self.config.window).with("count_include_pad", self.config.count_include_pad)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(AvgPool2dConfig { window: window_from(spec)?, count_include_pad: spec.bool("count_include_pad")? }.build()?)
}

fn plain<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(AvgPool2d::config(2).build()?)
}
fn overlapping<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(AvgPool2d::config(3).stride(2).padding(1).build()?)
}
fn ceiled<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(AvgPool2d::config(3).stride(2).padding(1).ceil_mode(true).build()?)
}
fn cells<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(AvgPool2d::config(3).stride(2).padding(1).count_include_pad(false).build()?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("AvgPool2d/plain", &[2, 3, 4, 4], Some("nn.AvgPool2d(2)"), plain, plain),
    Case::new("AvgPool2d/overlapping", &[2, 3, 7, 5], Some("nn.AvgPool2d(3, 2, 1)"), overlapping, overlapping),
    Case::new("AvgPool2d/ceil", &[1, 2, 6, 6], Some("nn.AvgPool2d(3, 2, 1, ceil_mode=True)"), ceiled, ceiled),
    Case::new("AvgPool2d/cells", &[1, 2, 5, 6], Some("nn.AvgPool2d(3, 2, 1, count_include_pad=False)"), cells, cells),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_counts_unless_asked_otherwise() {
        let x = Tensor::<f64>::ones([1, 1, 2, 2]).unwrap();
        let config = AvgPool2d::config(2).padding(1);
        let mean = |config: AvgPool2dConfig| config.build().unwrap().infer(x.clone(), &mut Ctx::eval()).unwrap().to_vec();
        assert_eq!(mean(config), [0.25; 4]);
        assert_eq!(mean(config.count_include_pad(false)), [1.0; 4]);
    }

    #[test]
    fn bad_windows_are_errors() {
        for config in [AvgPool2d::config(0), AvgPool2d::config(2).stride(0), AvgPool2d::config(3).padding(2)] {
            assert!(config.build().unwrap_err().to_string().starts_with("AvgPool2d: "));
        }
    }
}
