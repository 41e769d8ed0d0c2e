//! Layer normalisation.

use nyang_tensor::kernels::layer_norm::{RowNorm, layer_norm, layer_norm_dw, layer_norm_dx};
use nyang_tensor::{Element, Shape, Tensor};

use super::batch_norm::check_eps;
use super::linear::add_sums;
use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::{Build, Ctx, Error, Init, Module, Param, Result, Saved, Spec, state};

pub(crate) const KIND: &str = "LayerNorm";

/// How a [`LayerNorm`] layer is to be built. Made by [`LayerNorm::config`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNormConfig {
    shape: Shape,
    eps: f64,
    affine: bool,
    bias: bool,
}

impl LayerNormConfig {
    /// ε, added to the variance under the root; 1e-5 unless asked otherwise.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Whether there are γ and β; there are unless asked otherwise. PyTorch's `elementwise_affine`.
    pub fn affine(mut self, affine: bool) -> Self {
        self.affine = affine;
        self
    }

    /// Whether there is a β beside γ; there is unless asked otherwise.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// [`Error::Config`] if the shape has no dimensions or no values, or ε is not a positive number.
    pub fn build<T: Element>(self, init: &mut Init) -> Result<LayerNorm<T>> {
        if self.shape.rank() == 0 || self.shape.is_empty() {
            return Err(Error::config(KIND, "shape", self.shape, "must have at least one dimension, and none of size 0"));
        }
        check_eps(KIND, self.eps)?;
        let mut param = |there: bool, value| if there { Param::new(init.constant(self.shape, value)?).map(Some) } else { Ok(None) };
        let (weight, bias) = (param(self.affine, 1.0)?, param(self.affine && self.bias, 0.0)?);
        Ok(LayerNorm { weight, bias, config: self, saved: Saved::default() })
    }
}

/// Layer normalisation: each sample by its own mean and variance, over its last dimensions.
///
/// ```text
/// x̂ = (x − μ) / √(σ² + ε)        y = γ · x̂ + β
/// μ, σ² over the D values of the last dimensions, σ² biased (÷ D)        γ, β: one number for each of the D
///
/// dβ = Σ dy        dγ = Σ dy·x̂                                                sums over all but the last dimensions
/// g = γ·dy         dx = (g − mean(g) − x̂·mean(g·x̂)) / √(σ² + ε)               means over the last dimensions
/// ```
///
/// Training and evaluation are the same: nothing is remembered from batch to batch, and a batch of one will do. The variance of a single
/// value is 0: with D = 1, y = β and dx = 0. A NaN or an infinity makes all D outputs of its sample NaN, and no others.
///
/// # Shapes
/// `[…, *shape] → […, *shape]`. The output lies row-major in memory, but whole images, `[N, C, H, W]` with a shape `[C, H, W]`,
/// channels-last.
///
/// # Parameters
/// `weight` γ = 1 and `bias` β = 0, both of the normalised shape.
///
/// # Errors
/// [`Error::Shape`] unless the input's last dimensions are the normalised shape.
///
/// # Reference
/// Ba, Kiros & Hinton 2016, *Layer Normalization*, arXiv:1607.06450.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Init, LayerNorm, Module, Tensor};
/// let layer = LayerNorm::config([2]).build::<f32>(&mut Init::seed(1))?;
/// let y = layer.infer(Tensor::from_vec([2, 2], vec![1.0, 3.0, 500.0, 100.0])?, &mut Ctx::eval())?;
/// assert!(y.to_vec().iter().zip([-1.0, 1.0, 1.0, -1.0]).all(|(y, want)| (y - want).abs() < 1e-4));
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LayerNorm<T: Element = f32> {
    /// γ, of the normalised shape.
    pub weight: Option<Param<T>>,
    /// β, of the normalised shape.
    pub bias: Option<Param<T>>,
    config: LayerNormConfig,
    saved: Saved<Kept<T>>,
}

/// What backward needs: x̂ is computed again from x rather than stored.
#[derive(Debug)]
struct Kept<T: Element> {
    x: Tensor<T>,
    stats: Tensor<T>, // μ and 1/√(σ²+ε) of each sample
}

impl LayerNorm {
    /// A layer that normalises over last dimensions of this shape, still to be built.
    pub fn config(shape: impl Into<Shape>) -> LayerNormConfig {
        LayerNormConfig { shape: shape.into(), eps: 1e-5, affine: true, bias: true }
    }
}

/// From `[…, C, H, W]` to the order in which images lie in memory, and back.
const TO_MEMORY: ([usize; 4], [usize; 3]) = ([0, 2, 3, 1], [1, 2, 0]);
const FROM_MEMORY: ([usize; 4], [usize; 3]) = ([0, 3, 1, 2], [2, 0, 1]);

impl<T: Element> LayerNorm<T> {
    /// Whether whole images are normalised: then H, W, C is the order of the rows, for so they lie in memory.
    fn whole_images(&self, input: &Shape) -> bool {
        input.rank() == 4 && self.config.shape.rank() == 3
    }

    /// x, its dimensions ordered so that the rows lie in memory one after another.
    fn rows(&self, x: Tensor<T>) -> Result<Tensor<T>> {
        if self.whole_images(x.shape()) { Ok(x.permute(&TO_MEMORY.0)?) } else { Ok(x) }
    }

    /// Back from [`LayerNorm::rows`].
    fn back(&self, y: Tensor<T>) -> Result<Tensor<T>> {
        if self.whole_images(y.shape()) { Ok(y.permute(&FROM_MEMORY.0)?) } else { Ok(y) }
    }

    /// A parameter's values in the rows' order.
    fn columns(&self, param: &Option<Param<T>>, input: &Shape) -> Result<Option<Tensor<T>>> {
        let Some(param) = param else { return Ok(None) };
        let value = if self.whole_images(input) { param.value.permute(&TO_MEMORY.1)? } else { param.value.clone() };
        Ok(Some(value.contiguous()?))
    }

    /// Adds to a parameter's gradient what comes in the rows' order.
    fn add(param: &mut Option<Param<T>>, gradient: &Tensor<f64>, whole_images: bool) -> Result<()> {
        let Some(param) = param else { return Ok(()) };
        let gradient = match *param.value.dims() {
            [c, h, w] if whole_images => gradient.reshape([h, w, c])?.permute(&FROM_MEMORY.1)?.contiguous()?,
            _ => gradient.clone(),
        };
        add_sums(param, gradient.as_slice().unwrap_or_default())
    }

    /// y and the statistics of each sample, for x in the rows' order.
    fn apply(&self, x: Tensor<T>) -> Result<(Tensor<T>, Tensor<T>)> {
        let (weight, bias) = (self.columns(&self.weight, x.shape())?, self.columns(&self.bias, x.shape())?);
        Ok(layer_norm(x, &self.row_norm(&weight, &bias))?)
    }

    fn row_norm<'a>(&self, weight: &'a Option<Tensor<T>>, bias: &'a Option<Tensor<T>>) -> RowNorm<'a, T> {
        let [weight, bias] = [weight, bias].map(|v| v.as_ref().and_then(Tensor::as_slice));
        RowNorm { width: self.config.shape.len(), eps: self.config.eps, weight, bias }
    }
}

impl<T: Element> Module<T> for LayerNorm<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        let shape = self.config.shape.dims();
        if input.dims().ends_with(shape) {
            return Ok(*input);
        }
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        Err(Error::shape(KIND, format!("[…, {}]", sizes.join(", ")), input))
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Module::<T>::out_shape(self, x.shape())?;
        self.back(self.apply(self.rows(x)?)?.0)
    }

    fn forward(&mut self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Module::<T>::out_shape(self, x.shape())?;
        let x = self.rows(x)?.contiguous()?;
        let (y, stats) = self.apply(x.clone())?;
        self.saved.put(Kept { x, stats });
        self.back(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let Kept { x, stats } = self.saved.take(KIND)?;
        check_dy(KIND, self.back(x.clone())?.shape(), &dy)?;
        let whole_images = self.whole_images(x.shape());
        let dy = self.rows(dy)?.contiguous()?;
        if self.weight.is_some() {
            let [dw, db] = layer_norm_dw(&dy, &x, &stats, self.config.shape.len())?;
            Self::add(&mut self.weight, &dw, whole_images)?; // dγ += Σ dy·x̂
            Self::add(&mut self.bias, &db, whole_images)?; // dβ += Σ dy
        }
        let weight = self.columns(&self.weight, x.shape())?;
        let dx = layer_norm_dx(dy, &x, &stats, &self.row_norm(&weight, &None))?;
        self.back(dx)
    }

    state!(T: option weight, option bias);

    fn spec(&self) -> Spec {
        Spec::new(KIND)
            .with("eps", self.config.eps)
            .with("affine", self.config.affine)
            .with("bias", self.config.bias)
            .with("shape", self.config.shape.dims())
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    let shape = Shape::new(&spec.list("shape")?)?;
    let config = LayerNormConfig { shape, eps: spec.f64("eps")?, affine: spec.bool("affine")?, bias: spec.bool("bias")? };
    boxed(config.build::<T>(b.init)?)
}

fn rows<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(LayerNorm::config([5]).build::<T>(init)?)
}
fn no_bias<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(LayerNorm::config([5]).eps(1e-3).bias(false).build::<T>(init)?)
}
fn no_affine<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(LayerNorm::config([3, 4]).affine(false).build::<T>(init)?)
}
fn images<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(LayerNorm::config([3, 2, 4]).build::<T>(init)?)
}
fn pixels<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(LayerNorm::config([2, 4]).build::<T>(init)?)
}
fn wide<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(LayerNorm::config([130]).build::<T>(init)?)
}

const NO_AFFINE: &str = "nn.LayerNorm([3, 4], elementwise_affine=False)";

pub(crate) const CASES: &[Case] = &[
    Case::new("LayerNorm/rows", &[4, 5], Some("nn.LayerNorm(5)"), rows, rows),
    Case::new("LayerNorm/no_bias", &[2, 3, 5], Some("nn.LayerNorm(5, eps=1e-3, bias=False)"), no_bias, no_bias),
    Case::new("LayerNorm/no_affine", &[2, 3, 4], Some(NO_AFFINE), no_affine, no_affine),
    Case::new("LayerNorm/images", &[3, 3, 2, 4], Some("nn.LayerNorm([3, 2, 4])"), images, images),
    Case::new("LayerNorm/pixels", &[2, 3, 2, 4], Some("nn.LayerNorm([2, 4])"), pixels, pixels),
    Case::new("LayerNorm/one_sample", &[5], Some("nn.LayerNorm(5)"), rows, rows),
    Case::new("LayerNorm/wide", &[3, 130], Some("nn.LayerNorm(130)"), wide, wide),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;
    use crate::spec::Value;

    /// [1, 2, 3, 4] has mean 2.5 and biased variance 1.25; with ε = 1e-5 these are batch norm's numbers, but for each row on its own.
    #[test]
    fn each_row_is_normalised_by_itself_with_the_biased_variance() {
        let layer = LayerNorm::config([4]).build::<f64>(&mut Init::seed(1)).unwrap();
        let x = Tensor::from_vec([2, 4], vec![1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0]).unwrap();
        let y = layer.infer(x, &mut Ctx::eval()).unwrap().to_vec();
        for (y, want) in y.iter().zip([-1.341635, -0.447212, 0.447212, 1.341635, -1.341641, -0.447214, 0.447214, 1.341641]) {
            assert!((y - want).abs() < 1e-6, "{y} {want}");
        }
    }

    #[test]
    fn a_single_value_becomes_the_bias_and_gets_no_gradient() {
        let mut layer = LayerNorm::config([1]).build::<f64>(&mut Init::seed(1)).unwrap();
        layer.bias.as_mut().unwrap().value = Tensor::full([1], 0.5).unwrap();
        let y = layer.forward(Tensor::from_vec([2, 1], vec![7.0, -3.0]).unwrap(), &mut Ctx::train(1)).unwrap();
        assert_eq!(y.to_vec(), [0.5, 0.5]);
        let dx = layer.backward(Tensor::ones([2, 1]).unwrap(), &mut Ctx::train(1)).unwrap();
        assert_eq!(dx.to_vec(), [0.0, 0.0]);
    }

    #[test]
    fn whole_images_stay_channels_last_and_strides_change_no_bit() {
        let x = Tensor::from_fn([2, 3, 4, 5], |i| (i * i % 17) as f32).unwrap();
        let outputs = [x.clone(), x.channels_last().unwrap()].map(|x| {
            let mut layer = LayerNorm::config([3, 4, 5]).build::<f32>(&mut Init::seed(1)).unwrap();
            let y = layer.forward(x.clone(), &mut Ctx::train(1)).unwrap();
            let dx = layer.backward(x, &mut Ctx::train(1)).unwrap();
            assert!(y.is_channels_last() && dx.is_channels_last());
            (y.to_vec(), dx.to_vec(), layer.weight.unwrap().grad.to_vec())
        });
        assert_eq!(outputs[0], outputs[1]);
    }

    #[test]
    fn nan_and_infinity_stay_in_their_sample() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut layer = LayerNorm::config([2]).build::<f32>(&mut Init::seed(1)).unwrap();
            let x = Tensor::from_vec([2, 2], vec![odd, 1.0, 2.0, 4.0]).unwrap();
            let y = layer.forward(x, &mut Ctx::train(1)).unwrap().to_vec();
            assert!(y[0].is_nan() && y[1].is_nan() && (y[2] + 1.0).abs() < 1e-4, "{odd}: {y:?}");
            let dx = layer.backward(Tensor::ones([2, 2]).unwrap(), &mut Ctx::train(1)).unwrap().to_vec();
            assert!(dx[0].is_nan() && dx[3].abs() < 1e-6, "{odd}: {dx:?}");
        }
    }

    #[test]
    fn bad_configurations_are_errors_that_name_the_field() {
        let config = LayerNorm::config([3]);
        let bad = [
            (LayerNorm::config(Shape::SCALAR), "shape = []"),
            (LayerNorm::config([0]), "shape = [0]"),
            (LayerNorm::config([3, 0, 2]), "shape = [3, 0, 2]"),
            (config.eps(0.0), "eps = 0"),
            (config.eps(-1.0), "eps = -1"),
            (config.eps(f64::NAN), "eps = NaN"),
            (config.eps(f64::INFINITY), "eps = inf"),
        ];
        for (config, what) in bad {
            let error = config.build::<f32>(&mut Init::seed(1)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("LayerNorm: {what} is not valid")), "{error}");
        }
        assert!(LayerNorm::config([usize::MAX, 7]).build::<f32>(&mut Init::seed(1)).is_err());
    }

    #[test]
    fn other_shapes_are_errors() {
        let layer = LayerNorm::config([3, 4]).build::<f32>(&mut Init::seed(1)).unwrap();
        for shape in [Shape::SCALAR, [4].into(), [12].into(), [2, 4, 3].into(), [3, 4, 1].into()] {
            let error = layer.infer(Tensor::ones(shape).unwrap(), &mut Ctx::eval()).unwrap_err();
            assert_eq!(error.to_string(), format!("LayerNorm expects […, 3, 4], got {shape}"));
        }
        assert!(layer.infer(Tensor::ones([0, 3, 4]).unwrap(), &mut Ctx::eval()).unwrap().is_empty());
    }

    #[test]
    fn bad_descriptions_are_errors() {
        let good = LayerNorm::config([3, 4]).build::<f32>(&mut Init::seed(1)).unwrap().spec();
        let registry = Registry::<f32>::standard();
        assert!(registry.build(&good, &mut Init::blank(24)).is_ok());
        let lists =
            [Value::from(3), Value::from([-1.0]), Value::from("3"), Value::List(vec![Value::Int(-3)]), Value::List(vec![Value::Int(1); 9])];
        for value in lists {
            assert!(registry.build(&good.clone().with("shape", value.clone()), &mut Init::blank(24)).is_err(), "{value:?}");
        }
        let vast = good.with("shape", [1 << 40, 1 << 20]);
        assert!(matches!(registry.build(&vast, &mut Init::blank(24)).err(), Some(Error::Budget { .. })));
    }
}
