//! Max pooling: the largest value of each window.

use nyang_tensor::kernels::Window;
use nyang_tensor::kernels::max_pool2d::{MaxIndices, max_pool2d, max_pool2d_grad_input, max_pool2d_values};
use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::window::{check_pooling, pooled_shape, window_from, with_window};
use crate::{Build, Ctx, Init, Module, Pair, Result, Saved, Spec};

pub(crate) const KIND: &str = "MaxPool2d";

/// How a [`MaxPool2d`] layer is to be built. Made by [`MaxPool2d::config`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxPool2dConfig {
    window: Window,
}

impl MaxPool2dConfig {
    /// How far the window moves at a time; its own size unless asked otherwise.
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.window.stride = stride.into().0;
        self
    }

    /// Rows and columns of −∞ on each side of the image, at most half the window; 0 unless asked otherwise.
    pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
        self.window.padding = padding.into().0.map(|p| [p; 2]);
        self
    }

    /// Distance between the window's cells; 1 unless asked otherwise.
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
        self.window.dilation = dilation.into().0;
        self
    }

    /// Whether a window that reaches beyond the image at the end counts; it does not unless asked otherwise.
    pub fn ceil_mode(mut self, ceil: bool) -> Self {
        self.window.ceil_mode = ceil;
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if the window, stride or dilation is 0, or the padding more than half the (dilated) window.
    pub fn build(self) -> Result<MaxPool2d> {
        check_pooling(KIND, &self.window)?;
        Ok(MaxPool2d { config: self, saved: Saved::default() })
    }
}

/// Max pooling: the largest value of each window, channel by channel.
///
/// ```text
/// y[n,c,i,j] = max_{p,q} x[n, c, s·i + d·p − pad, s·j + d·q − pad]        x = −∞ outside the image
///
/// dx: each dy[n,c,i,j] goes to the place where the maximum stood; overlapping windows add up
/// ```
///
/// The first of equal maxima gets the whole gradient, and a NaN is larger than everything, as in PyTorch.
///
/// # Shapes
/// `[N, C, H, W] → [N, C, H', W']`, H' = ⌊(H + 2·pad − d·(kernel − 1) − 1) / s⌋ + 1, W' likewise. With `ceil_mode` it is ⌈…⌉, less 1 if
/// the last window would start in the padding behind.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) unless the input is `[N, C, H, W]`; an error too if the window is larger than the padded image.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, MaxPool2d, Module, Tensor};
/// let x = Tensor::from_vec([1, 1, 2, 2], vec![1.0f32, 4.0, 3.0, 2.0])?;
/// assert_eq!(MaxPool2d::config(2).build()?.infer(x, &mut Ctx::eval())?.to_vec(), [4.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MaxPool2d {
    config: MaxPool2dConfig,
    saved: Saved<(MaxIndices, Shape)>,
}

impl MaxPool2d {
    /// Pooling over windows that lie side by side, still to be built.
    pub fn config(kernel: impl Into<Pair>) -> MaxPool2dConfig {
        let Pair(kernel) = kernel.into();
        MaxPool2dConfig { window: Window { stride: kernel, ..Window::new(kernel) } }
    }
}

impl<T: Element> Module<T> for MaxPool2d {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        pooled_shape(KIND, &self.config.window, input)
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Module::<T>::out_shape(self, x.shape())?;
        Ok(max_pool2d_values(&x, &self.config.window)?)
    }

    fn forward(&mut self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Module::<T>::out_shape(self, x.shape())?;
        let (y, indices) = max_pool2d(&x, &self.config.window)?;
        self.saved.put((indices, *y.shape()));
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let (indices, output) = self.saved.take(KIND)?;
        check_dy(KIND, &output, &dy)?;
        Ok(max_pool2d_grad_input(&dy, &indices)?)
    }

    fn spec(&self) -> Spec {
        with_window(Spec::new(KIND), &self.config.window).with("ceil_mode", self.config.window.ceil_mode)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(MaxPool2dConfig { window: window_from(spec)? }.ceil_mode(spec.bool("ceil_mode")?).build()?)
}

fn plain<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(MaxPool2d::config(2).build()?)
}
fn overlapping<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(MaxPool2d::config(3).stride(2).padding(1).build()?)
}
fn ceiled<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(MaxPool2d::config(2).ceil_mode(true).build()?)
}
fn dilated<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(MaxPool2d::config(2).stride(1).dilation(2).build()?)
}
fn oblong<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(MaxPool2d::config([2, 3]).stride([1, 2]).padding([0, 1]).dilation([2, 1]).ceil_mode(true).build()?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("MaxPool2d/plain", &[2, 3, 4, 4], Some("nn.MaxPool2d(2)"), plain, plain),
    Case::new("MaxPool2d/overlapping", &[2, 3, 7, 6], Some("nn.MaxPool2d(3, 2, 1)"), overlapping, overlapping),
    Case::new("MaxPool2d/ceil", &[1, 2, 5, 5], Some("nn.MaxPool2d(2, ceil_mode=True)"), ceiled, ceiled),
    Case::new("MaxPool2d/dilated", &[1, 2, 5, 5], Some("nn.MaxPool2d(2, 1, dilation=2)"), dilated, dilated),
    Case::new("MaxPool2d/oblong", &[2, 1, 4, 6], Some("nn.MaxPool2d((2, 3), (1, 2), (0, 1), (2, 1), ceil_mode=True)"), oblong, oblong),
    Case::new("MaxPool2d/wide", &[1, 37, 7, 6], Some("nn.MaxPool2d(3, 2, 1)"), overlapping, overlapping),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_goes_to_the_first_maximum() {
        let mut layer = MaxPool2d::config(2).build().unwrap();
        let x = Tensor::from_vec([1, 1, 2, 2], vec![1.0, 5.0, 5.0, 2.0]).unwrap();
        layer.forward(x, &mut Ctx::train(1)).unwrap();
        let dx = layer.backward(Tensor::full([1, 1, 1, 1], 3.0).unwrap(), &mut Ctx::train(1)).unwrap();
        assert_eq!(dx.to_vec(), [0.0, 3.0, 0.0, 0.0]);
    }

    /// PyTorch's `max_pool2d([[nan, 5], [nan, 2]])`: NaN is the largest, and the last of them gets the gradient.
    #[test]
    fn nan_is_the_maximum_and_the_last_of_them_gets_the_gradient() {
        let mut layer = MaxPool2d::config(2).build().unwrap();
        let x = Tensor::from_vec([1, 1, 2, 2], vec![f64::NAN, 5.0, f64::NAN, 2.0]).unwrap();
        assert!(layer.forward(x, &mut Ctx::train(1)).unwrap().item().unwrap().is_nan());
        let dx = layer.backward(Tensor::full([1, 1, 1, 1], 3.0).unwrap(), &mut Ctx::train(1)).unwrap();
        assert_eq!(dx.to_vec(), [0.0, 0.0, 3.0, 0.0]);
    }

    #[test]
    fn bad_windows_are_errors_that_name_the_field() {
        let bad = [
            (MaxPool2d::config(0), "kernel"),
            (MaxPool2d::config(2).stride(0), "stride"),
            (MaxPool2d::config(2).dilation(0), "dilation"),
            (MaxPool2d::config([2, 0]), "kernel"),
            (MaxPool2d::config(2).padding(2), "padding"),
            (MaxPool2d::config([5, 2]).padding([2, 2]), "padding"),
            (MaxPool2d::config(usize::MAX).padding(usize::MAX), "padding"),
        ];
        for (config, field) in bad {
            let error = config.build().unwrap_err().to_string();
            assert!(error.starts_with(&format!("MaxPool2d: {field} = ")), "{error}");
        }
        let layer = MaxPool2d::config(5).build().unwrap();
        assert!(Module::<f32>::out_shape(&layer, &Shape::from([1, 1, 4, 9])).is_err());
    }
}
