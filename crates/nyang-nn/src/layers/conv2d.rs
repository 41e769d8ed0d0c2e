//! The two-dimensional convolution.

use nyang_tensor::kernels::channels::channel_sums;
use nyang_tensor::kernels::conv2d::{
    Conv2dGeometry, Epilogue, WeightCache, conv2d_grad_input_beside, conv2d_grad_weight, conv2d_out_shape, conv2d_then,
};
use nyang_tensor::kernels::{Activation, Window};
use nyang_tensor::{Element, Shape, Tensor};

use super::linear::add_sums;
use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::window::{check_positive, window_from, with_window};
use crate::{Build, Ctx, Error, Init, Module, Padding, Pair, Param, Result, Saved, Scheme, Spec, state};

pub(crate) const KIND: &str = "Conv2d";

/// How a [`Conv2d`] layer is to be built. Made by [`Conv2d::config`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2dConfig {
    in_channels: usize,
    out_channels: usize,
    geometry: Conv2dGeometry,
    padding: Padding,
    bias: bool,
    init: Scheme,
}

impl Conv2dConfig {
    /// How far the kernel moves at a time; 1 unless asked otherwise.
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.geometry.window.stride = stride.into().0;
        self
    }

    /// Rows and columns of zeros around the image; 0 unless asked otherwise. One number for all sides, `[height, width]`,
    /// `[[top, bottom], [left, right]]`, or [`Padding::Same`].
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.padding = padding.into();
        self
    }

    /// Distance between the kernel's cells; 1 unless asked otherwise.
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
        self.geometry.window.dilation = dilation.into().0;
        self
    }

    /// Into how many groups the channels are split; 1 unless asked otherwise, `in_channels` for a depthwise convolution.
    pub fn groups(mut self, groups: usize) -> Self {
        self.geometry.groups = groups;
        self
    }

    /// Whether b is added; it is unless asked otherwise.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// The distribution of the first weights; PyTorch's unless asked otherwise.
    pub fn init(mut self, scheme: Scheme) -> Self {
        self.init = scheme;
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// [`Error::Config`] if a size, stride, dilation or the number of groups is 0, if the groups do not divide the channels, and for
    /// [`Padding::Same`] with another stride than 1.
    pub fn build<T: Element>(mut self, init: &mut Init) -> Result<Conv2d<T>> {
        let Conv2dGeometry { window, groups } = self.geometry;
        for (field, value) in [("in_channels", self.in_channels), ("out_channels", self.out_channels), ("groups", groups)] {
            if value == 0 {
                return Err(Error::config(KIND, field, value, "must be positive"));
            }
        }
        check_positive(KIND, &window)?;
        self.geometry.window.padding = self.padding.around(KIND, &window)?;
        if ![self.in_channels, self.out_channels].iter().all(|c| c.is_multiple_of(groups)) {
            return Err(Error::config(KIND, "groups", groups, "must divide both in_channels and out_channels"));
        }
        let (c, o, [kh, kw]) = (self.in_channels / groups, self.out_channels, window.kernel);
        let cells = kh.saturating_mul(kw);
        let (fan_in, fan_out) = (c.saturating_mul(cells), (o / groups).saturating_mul(cells));
        let weight = init.weight([o, c, kh, kw], self.init, fan_in, fan_out)?;
        let bias = if self.bias { Some(init.bias(o, self.init, fan_in)?) } else { None };
        Ok(Conv2d { weight, bias, config: self, cache: WeightCache::default(), saved: Saved::default() })
    }
}

/// A two-dimensional convolution (to be exact, a cross-correlation): the same small kernel slides over the whole image.
///
/// ```text
/// y[n,o,i,j] = b[o] + Σ_{c,p,q} w[o,c,p,q] · x[n, c, s·i + d·p − top, s·j + d·q − left]        x = 0 outside the image
///
/// dx[n,c,·,·] = Σ over the places a pixel was read from:  w[o,c,p,q] · dy[n,o,i,j]
/// dw[o,c,p,q] = Σ_{n,i,j} dy[n,o,i,j] · x[n, c, s·i + d·p − top, s·j + d·q − left]
/// db[o]       = Σ_{n,i,j} dy[n,o,i,j]
/// ```
///
/// The stride s and the dilation d may differ between the axes, the padding between all four sides. With g groups, output channel o sees
/// only the C/g input channels of its own group; `groups(C)` is the depthwise convolution, each channel on its own.
///
/// # Shapes
/// `[N, C, H, W] → [N, O, H', W']`, H' = ⌊(H + top + bottom − d·(kernel − 1) − 1) / s⌋ + 1, W' likewise.
///
/// # Parameters
/// `weight` w `[O, C/groups, KH, KW]` and `bias` b `[O]`, both U(±1/√fan_in), fan_in = C/groups · KH · KW, unless another [`Scheme`] is
/// asked for.
///
/// # Errors
/// [`Error::Shape`] unless the input is `[N, C, H, W]` with this C; an error too if the kernel is larger than the padded image.
///
/// # Reference
/// LeCun et al. 1998, *Gradient-based learning applied to document recognition*.
///
/// # Example
/// ```
/// # use nyang_nn::{Conv2d, Ctx, Init, Module, Tensor};
/// let layer = Conv2d::config(3, 8, 3).stride(2).padding(1).build::<f32>(&mut Init::seed(1))?;
/// assert_eq!(layer.infer(Tensor::ones([1, 3, 32, 32])?, &mut Ctx::eval())?.dims(), [1, 8, 16, 16]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv2d<T: Element = f32> {
    /// w `[O, C/groups, KH, KW]`.
    pub weight: Param<T>,
    /// b `[O]`.
    pub bias: Option<Param<T>>,
    config: Conv2dConfig,
    cache: WeightCache<T>,
    saved: Saved<Tensor<T>>,
}

impl Conv2d {
    /// A convolution with a kernel of this size, still to be built.
    pub fn config(in_channels: usize, out_channels: usize, kernel: impl Into<Pair>) -> Conv2dConfig {
        let geometry = Conv2dGeometry { window: Window::new(kernel.into().0), groups: 1 };
        Conv2dConfig { in_channels, out_channels, geometry, padding: 0.into(), bias: true, init: Scheme::Torch }
    }
}

impl<T: Element> Conv2d<T> {
    /// `backward`, then a sum with another gradient of x.
    pub(crate) fn backward_beside(&mut self, dy: &Tensor<T>, beside: Option<&Tensor<T>>, cx: &Ctx<'_, T>) -> Result<Tensor<T>> {
        let (dy, input) = self.add_gradients(dy, cx)?;
        Ok(conv2d_grad_input_beside(&dy, &self.weight.value, &input, &self.config.geometry, beside, cx.kernels)?)
    }

    fn epilogue<'a>(&'a self, beside: Option<&'a Tensor<T>>, activation: Activation) -> Epilogue<'a, T> {
        Epilogue { bias: self.bias.as_ref().map(|b| &b.value), beside, activation }
    }

    /// `infer`, then a sum with the tensor beside, then the activation.
    pub(crate) fn infer_then(
        &self,
        x: &Tensor<T>,
        beside: Option<&Tensor<T>>,
        activation: Activation,
        cx: &Ctx<'_, T>,
    ) -> Result<Tensor<T>> {
        Module::<T>::out_shape(self, x.shape())?;
        let then = self.epilogue(beside, activation);
        Ok(conv2d_then(x, &self.weight.value, &self.config.geometry, &then, cx.kernels, Some(&self.cache))?)
    }

    /// `forward`, then the activation, whose backward is left to its own layer.
    pub(crate) fn forward_then(&mut self, x: Tensor<T>, activation: Activation, cx: &Ctx<'_, T>) -> Result<Tensor<T>> {
        let x = x.channels_last()?; // once, for both passes
        Module::<T>::out_shape(self, x.shape())?;
        let y = conv2d_then(&x, &self.weight.value, &self.config.geometry, &self.epilogue(None, activation), cx.kernels, None)?;
        self.saved.put(x);
        Ok(y)
    }

    /// Adds dw and db; dy as it was used, and the shape of x.
    fn add_gradients(&mut self, dy: &Tensor<T>, cx: &Ctx<'_, T>) -> Result<(Tensor<T>, Shape)> {
        let x = self.saved.take(KIND)?;
        check_dy(KIND, &Module::<T>::out_shape(self, x.shape())?, dy)?;
        let dy = dy.channels_last()?;
        conv2d_grad_weight(&dy, &x, &self.config.geometry, cx.kernels, &mut self.weight.grad)?;
        if let Some(b) = &mut self.bias {
            add_sums(b, &channel_sums(&dy)?)?;
        }
        Ok((dy, *x.shape()))
    }
}

impl<T: Element> Module<T> for Conv2d<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        match *input.dims() {
            [_, c, _, _] if c == self.config.in_channels => Ok(conv2d_out_shape(input, self.weight.value.shape(), &self.config.geometry)?),
            _ => Err(Error::shape(KIND, format!("[N, {}, H, W]", self.config.in_channels), input)),
        }
    }

    fn infer(&self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.infer_then(&x, None, Activation::Identity, cx)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.forward_then(x, Activation::Identity, cx)
    }

    fn backward(&mut self, dy: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.backward_beside(&dy, None, cx)
    }

    fn backward_params(&mut self, dy: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<()> {
        self.add_gradients(&dy, cx).map(drop)
    }

    state!(T: param weight, option bias);

    fn spec(&self) -> Spec {
        let spec = Spec::new(KIND).with("in_channels", self.config.in_channels).with("out_channels", self.config.out_channels);
        with_window(spec, &self.config.geometry.window)
            .with("groups", self.config.geometry.groups)
            .with("bias", self.config.bias)
            .with("init", self.config.init.to_string().as_str())
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    let window = window_from(spec)?;
    let config = Conv2dConfig {
        in_channels: spec.usize("in_channels")?,
        out_channels: spec.usize("out_channels")?,
        geometry: Conv2dGeometry { window, groups: spec.usize("groups")? },
        padding: window.padding.into(),
        bias: spec.bool("bias")?,
        init: spec.text("init")?.parse()?,
    };
    boxed(config.build::<T>(b.init)?)
}

fn plain<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(3, 4, 3).build::<T>(init)?)
}
fn padded<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(2, 3, 5).padding(2).bias(false).build::<T>(init)?)
}
fn strided<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(3, 4, 3).stride(2).padding(1).build::<T>(init)?)
}
fn pointwise<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(5, 7, 1).build::<T>(init)?)
}
fn pointwise_strided<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(4, 6, 1).stride(2).bias(false).build::<T>(init)?)
}
fn dilated<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(2, 3, 3).dilation(2).padding(1).build::<T>(init)?)
}
fn grouped<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(4, 6, 3).groups(2).padding(1).build::<T>(init)?)
}
fn depthwise<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(4, 4, 3).groups(4).padding(1).build::<T>(init)?)
}
fn oblong<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(2, 3, [1, 4]).build::<T>(init)?)
}
fn multiplied<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(3, 6, [3, 2]).groups(3).stride([2, 1]).build::<T>(init)?)
}
fn axes<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(2, 3, [3, 2]).stride([2, 1]).padding([0, 2]).dilation([1, 3]).build::<T>(init)?)
}
fn sides<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(2, 3, 3).stride(2).padding([[0, 2], [3, 1]]).build::<T>(init)?)
}
fn same<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(2, 3, [4, 3]).padding(Padding::Same).build::<T>(init)?)
}
fn same_dilated<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(1, 1, 2).dilation([3, 1]).padding(Padding::Same).build::<T>(init)?)
}
fn wide<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(19, 37, 3).padding(1).build::<T>(init)?)
}
fn tiles<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(17, 33, 3).build::<T>(init)?)
}
fn wide_strided<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(17, 18, 3).stride(2).padding(1).bias(false).build::<T>(init)?)
}
fn wide_pointwise<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(33, 21, 1).build::<T>(init)?)
}
fn wide_grouped<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(34, 38, 3).groups(2).padding(1).build::<T>(init)?)
}
fn wide_depthwise<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(37, 37, 3).groups(37).padding(1).build::<T>(init)?)
}
fn depthwise_strided<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(19, 19, 5).stride(2).padding(2).groups(19).bias(false).build::<T>(init)?)
}
fn wide_dilated<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(17, 9, 3).dilation(2).padding(2).build::<T>(init)?)
}
fn stem<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(3, 17, 7).stride(2).padding(3).bias(false).build::<T>(init)?)
}
fn one_pixel<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Conv2d::config(3, 4, 3).padding(1).build::<T>(init)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Conv2d/plain", &[2, 3, 5, 6], Some("nn.Conv2d(3, 4, 3)"), plain, plain),
    Case::new("Conv2d/padded", &[2, 2, 4, 4], Some("nn.Conv2d(2, 3, 5, padding=2, bias=False)"), padded, padded),
    Case::new("Conv2d/strided", &[2, 3, 6, 5], Some("nn.Conv2d(3, 4, 3, stride=2, padding=1)"), strided, strided),
    Case::new("Conv2d/pointwise", &[2, 5, 3, 3], Some("nn.Conv2d(5, 7, 1)"), pointwise, pointwise),
    Case::new(
        "Conv2d/pointwise_strided",
        &[2, 4, 5, 5],
        Some("nn.Conv2d(4, 6, 1, stride=2, bias=False)"),
        pointwise_strided,
        pointwise_strided,
    ),
    Case::new("Conv2d/dilated", &[1, 2, 7, 7], Some("nn.Conv2d(2, 3, 3, dilation=2, padding=1)"), dilated, dilated),
    Case::new("Conv2d/grouped", &[2, 4, 4, 4], Some("nn.Conv2d(4, 6, 3, groups=2, padding=1)"), grouped, grouped),
    Case::new("Conv2d/depthwise", &[2, 4, 4, 4], Some("nn.Conv2d(4, 4, 3, groups=4, padding=1)"), depthwise, depthwise),
    Case::new("Conv2d/oblong", &[2, 2, 3, 6], Some("nn.Conv2d(2, 3, (1, 4))"), oblong, oblong),
    Case::new("Conv2d/multiplied", &[2, 3, 5, 4], Some("nn.Conv2d(3, 6, (3, 2), (2, 1), groups=3)"), multiplied, multiplied),
    Case::new("Conv2d/axes", &[1, 2, 7, 4], Some("nn.Conv2d(2, 3, (3, 2), (2, 1), (0, 2), (1, 3))"), axes, axes),
    Case::new("Conv2d/sides", &[2, 2, 4, 5], Some("Padded((3, 1, 0, 2), nn.Conv2d(2, 3, 3, 2))"), sides, sides), // left, right, top, bottom
    Case::new("Conv2d/same", &[2, 2, 3, 5], Some("nn.Conv2d(2, 3, (4, 3), padding='same')"), same, same),
    Case::new(
        "Conv2d/same_dilated",
        &[1, 1, 2, 6],
        Some("nn.Conv2d(1, 1, 2, padding='same', dilation=(3, 1))"),
        same_dilated,
        same_dilated,
    ),
    Case::new("Conv2d/wide", &[1, 19, 9, 7], Some("nn.Conv2d(19, 37, 3, padding=1)"), wide, wide),
    Case::new("Conv2d/tiles", &[1, 17, 12, 11], Some("nn.Conv2d(17, 33, 3)"), tiles, tiles),
    Case::new("Conv2d/wide_strided", &[2, 17, 7, 7], Some("nn.Conv2d(17, 18, 3, 2, 1, bias=False)"), wide_strided, wide_strided),
    Case::new("Conv2d/wide_pointwise", &[1, 33, 3, 5], Some("nn.Conv2d(33, 21, 1)"), wide_pointwise, wide_pointwise),
    Case::new("Conv2d/wide_grouped", &[1, 34, 4, 5], Some("nn.Conv2d(34, 38, 3, groups=2, padding=1)"), wide_grouped, wide_grouped),
    Case::new("Conv2d/wide_depthwise", &[1, 37, 6, 5], Some("nn.Conv2d(37, 37, 3, groups=37, padding=1)"), wide_depthwise, wide_depthwise),
    Case::new(
        "Conv2d/depthwise_strided",
        &[1, 19, 7, 8],
        Some("nn.Conv2d(19, 19, 5, 2, 2, groups=19, bias=False)"),
        depthwise_strided,
        depthwise_strided,
    ),
    Case::new("Conv2d/wide_dilated", &[1, 17, 8, 7], Some("nn.Conv2d(17, 9, 3, dilation=2, padding=2)"), wide_dilated, wide_dilated),
    Case::new("Conv2d/stem", &[1, 3, 13, 11], Some("nn.Conv2d(3, 17, 7, 2, 3, bias=False)"), stem, stem),
    Case::new("Conv2d/one_pixel", &[1, 3, 1, 1], Some("nn.Conv2d(3, 4, 3, padding=1)"), one_pixel, one_pixel),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_kernel_sums_its_window() {
        let mut layer = Conv2d::config(1, 1, 2).bias(false).build::<f64>(&mut Init::seed(1)).unwrap();
        layer.weight.value = Tensor::ones([1, 1, 2, 2]).unwrap();
        let x = Tensor::from_fn([1, 1, 3, 3], |i| i as f64).unwrap();
        assert_eq!(layer.infer(x, &mut Ctx::eval()).unwrap().to_vec(), [8.0, 12.0, 20.0, 24.0]);
    }

    /// The sums of [1, 2, 3] under two cells of one: where the padding goes can be seen from them.
    #[test]
    fn each_side_has_its_own_padding_and_same_puts_the_odd_one_behind() {
        let sums = |padding: Padding| {
            let mut layer = Conv2d::config(1, 1, [1, 2]).padding(padding).bias(false).build::<f64>(&mut Init::seed(1)).unwrap();
            layer.weight.value = Tensor::ones([1, 1, 1, 2]).unwrap();
            layer.infer(Tensor::from_vec([1, 1, 1, 3], vec![1.0, 2.0, 3.0]).unwrap(), &mut Ctx::eval()).unwrap().to_vec()
        };
        assert_eq!(sums([[0, 0], [1, 0]].into()), [1.0, 3.0, 5.0]);
        assert_eq!(sums([0, 1].into()), [1.0, 3.0, 5.0, 3.0]);
        assert_eq!(sums(Padding::Same), [3.0, 5.0, 3.0]);
    }

    #[test]
    fn bad_configurations_are_errors_that_name_the_field() {
        let config = Conv2d::config;
        let bad = [
            (config(0, 4, [3, 3]), "in_channels"),
            (config(4, 0, [3, 3]), "out_channels"),
            (config(4, 4, [3, 0]), "kernel"),
            (config(4, 4, [3, 3]).stride(0), "stride"),
            (config(4, 4, [3, 3]).stride([1, 2]).padding(Padding::Same), "stride"),
            (config(4, 4, [3, 3]).dilation([0, 1]), "dilation"),
            (config(4, 4, [3, 3]).groups(0), "groups"),
            (config(4, 4, [3, 3]).groups(3), "groups"),
            (config(4, 6, [3, 3]).groups(4), "groups"),
        ];
        for (config, field) in bad {
            let error = config.build::<f32>(&mut Init::seed(1)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("Conv2d: {field} = ")), "{error}");
        }
    }

    #[test]
    fn wrong_inputs_are_errors() {
        let layer = Conv2d::config(3, 4, 5).build::<f32>(&mut Init::seed(1)).unwrap();
        let say = |dims: &[usize]| Module::<f32>::out_shape(&layer, &Shape::new(dims).unwrap()).unwrap_err().to_string();
        assert_eq!(say(&[8, 1, 28, 28]), "Conv2d expects [N, 3, H, W], got [8, 1, 28, 28]");
        assert_eq!(say(&[8, 3, 28]), "Conv2d expects [N, 3, H, W], got [8, 3, 28]");
        assert!(say(&[8, 3, 4, 28]).contains("kernel"), "{}", say(&[8, 3, 4, 28]));
    }
}
