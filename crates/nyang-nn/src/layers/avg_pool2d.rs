//! Average pooling: the mean of each window.

use std::num::NonZeroUsize;

use nyang_tensor::kernels::Window;
use nyang_tensor::kernels::avg_pool2d::{Divisor, avg_pool2d, avg_pool2d_grad_input};
use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::window::{check_pooling, pooled_shape, window_from, with_window};
use crate::{Build, Ctx, Error, Init, Module, Pair, Result, Saved, Spec};

pub(crate) const KIND: &str = "AvgPool2d";

/// How an [`AvgPool2d`] layer is to be built. Made by [`AvgPool2d::config`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AvgPool2dConfig {
    window: Window,
    count_include_pad: bool,
    divisor_override: Option<usize>,
}

impl AvgPool2dConfig {
    /// How far the window moves at a time; its own size unless asked otherwise.
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.window.stride = stride.into().0;
        self
    }

    /// Rows and columns of zeros on each side of the image, at most half the window; 0 unless asked otherwise.
    pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
        self.window.padding = padding.into().0.map(|p| [p; 2]);
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

    /// What every sum is divided by, whatever lies under the window; the number of cells unless asked otherwise.
    pub fn divisor_override(mut self, divisor: usize) -> Self {
        self.divisor_override = Some(divisor);
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// [`Error::Config`] if the window, stride or divisor is 0, or the padding more than half the window.
    pub fn build(self) -> Result<AvgPool2d> {
        check_pooling(KIND, &self.window)?;
        if self.window.dilation != [1, 1] {
            let value = format!("{:?}", self.window.dilation);
            return Err(Error::config(KIND, "dilation", value, "must be 1: an average has no gaps")); // only a file can ask for it
        }
        let divisor = match (self.divisor_override, self.count_include_pad) {
            (None, true) => Divisor::Padded,
            (None, false) => Divisor::Cells,
            (Some(n), _) => {
                Divisor::Fixed(NonZeroUsize::new(n).ok_or_else(|| Error::config(KIND, "divisor_override", n, "must be positive"))?)
            }
        };
        Ok(AvgPool2d { config: self, divisor, saved: Saved::default() })
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
/// m is the number of cells of the window inside the padded image, or with `count_include_pad(false)` inside the image itself, or always
/// the `divisor_override`.
///
/// # Shapes
/// `[N, C, H, W] → [N, C, H', W']`, H' = ⌊(H + 2·pad − kernel) / s⌋ + 1, W' likewise. With `ceil_mode` it is ⌈…⌉, less 1 if the last
/// window would start in the padding behind.
///
/// # Errors
/// [`Error::Shape`] unless the input is `[N, C, H, W]`; an error too if the window is larger than the padded image.
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
    divisor: Divisor,
    saved: Saved<(Shape, Shape)>, // of input and output
}

impl AvgPool2d {
    /// Pooling over windows that lie side by side, still to be built.
    pub fn config(kernel: impl Into<Pair>) -> AvgPool2dConfig {
        let Pair(kernel) = kernel.into();
        AvgPool2dConfig { window: Window { stride: kernel, ..Window::new(kernel) }, count_include_pad: true, divisor_override: None }
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
        Ok(avg_pool2d(&x, &self.config.window, self.divisor)?)
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
        Ok(avg_pool2d_grad_input(&dy, &input, &self.config.window, self.divisor)?)
    }

    fn spec(&self) -> Spec {
        let AvgPool2dConfig { window, count_include_pad, divisor_override } = self.config;
        let spec = with_window(Spec::new(KIND), &window).with("ceil_mode", window.ceil_mode).with("count_include_pad", count_include_pad);
        divisor_override.into_iter().fold(spec, |spec, n| spec.with("divisor_override", n))
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    let divisor_override = spec.config.contains_key("divisor_override").then(|| spec.usize("divisor_override")).transpose()?;
    let window = Window { ceil_mode: spec.bool("ceil_mode")?, ..window_from(spec)? };
    boxed(AvgPool2dConfig { window, count_include_pad: spec.bool("count_include_pad")?, divisor_override }.build()?)
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
fn oblong<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(AvgPool2d::config([2, 3]).stride([1, 2]).padding([1, 0]).ceil_mode(true).build()?)
}
fn divided<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(AvgPool2d::config(3).padding(1).ceil_mode(true).divisor_override(4).build()?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("AvgPool2d/plain", &[2, 3, 4, 4], Some("nn.AvgPool2d(2)"), plain, plain),
    Case::new("AvgPool2d/overlapping", &[2, 3, 7, 5], Some("nn.AvgPool2d(3, 2, 1)"), overlapping, overlapping),
    Case::new("AvgPool2d/ceil", &[1, 2, 6, 6], Some("nn.AvgPool2d(3, 2, 1, ceil_mode=True)"), ceiled, ceiled),
    Case::new("AvgPool2d/cells", &[1, 2, 5, 6], Some("nn.AvgPool2d(3, 2, 1, count_include_pad=False)"), cells, cells),
    Case::new("AvgPool2d/oblong", &[2, 1, 4, 6], Some("nn.AvgPool2d((2, 3), (1, 2), (1, 0), ceil_mode=True)"), oblong, oblong),
    Case::new("AvgPool2d/divisor", &[2, 2, 5, 4], Some("nn.AvgPool2d(3, padding=1, ceil_mode=True, divisor_override=4)"), divided, divided),
    Case::new("AvgPool2d/wide", &[1, 37, 7, 6], Some("nn.AvgPool2d(3, 2, 1)"), overlapping, overlapping),
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
    fn an_overridden_divisor_divides_every_sum() {
        let x = Tensor::from_vec([1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let pool = AvgPool2d::config(2).divisor_override(5).build().unwrap();
        assert_eq!(pool.infer(x, &mut Ctx::eval()).unwrap().to_vec(), [2.0]);
    }

    #[test]
    fn bad_windows_are_errors_that_name_the_field() {
        let config = AvgPool2d::config(3);
        let dilated = AvgPool2dConfig { window: Window { dilation: [1, 2], ..config.window }, ..config };
        let bad = [
            (AvgPool2d::config([3, 0]), "kernel"),
            (config.stride([0, 1]), "stride"),
            (config.padding(2), "padding"),
            (config.padding([0, 2]), "padding"),
            (config.divisor_override(0), "divisor_override"),
            (dilated, "dilation"),
        ];
        for (config, field) in bad {
            let error = config.build().unwrap_err().to_string();
            assert!(error.starts_with(&format!("AvgPool2d: {field} = ")), "{error}");
        }
    }
}
