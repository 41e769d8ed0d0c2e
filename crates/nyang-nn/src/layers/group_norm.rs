//! Group normalisation.

use nyang_tensor::kernels::group_norm::{self as kernel, GroupGradients, GroupStats, group_norm, group_norm_backward};
use nyang_tensor::{Element, Shape, Tensor};

use super::batch_norm::{as_images, as_sequences, check_eps};
use super::linear::add_sums;
use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::{Build, Ctx, Error, Init, Module, Param, Result, Saved, Spec, state};

pub(crate) const KIND: &str = "GroupNorm";

/// How a [`GroupNorm`] layer is to be built. Made by [`GroupNorm::config`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNormConfig {
    groups: usize,
    channels: usize,
    eps: f64,
    affine: bool,
}

impl GroupNormConfig {
    /// ε, added to the variance under the root; 1e-5 unless asked otherwise.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Whether there are γ and β; there are unless asked otherwise.
    pub fn affine(mut self, affine: bool) -> Self {
        self.affine = affine;
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// [`Error::Config`] if there are no channels, the groups do not divide them, or ε is not a positive number.
    pub fn build<T: Element>(self, init: &mut Init) -> Result<GroupNorm<T>> {
        if self.channels == 0 {
            return Err(Error::config(KIND, "channels", self.channels, "must be positive"));
        }
        if self.groups == 0 || !self.channels.is_multiple_of(self.groups) {
            return Err(Error::config(KIND, "groups", self.groups, "must be positive and divide the channels"));
        }
        check_eps(KIND, self.eps)?;
        let mut param = |value| if self.affine { Param::new(init.constant([self.channels], value)?).map(Some) } else { Ok(None) };
        let (weight, bias) = (param(1.0)?, param(0.0)?);
        Ok(GroupNorm { weight, bias, config: self, saved: Saved::default() })
    }
}

/// Group normalisation: each sample's channels in groups, each group by its own mean and variance.
///
/// ```text
/// x̂ = (x − μ[n,g]) / √(σ²[n,g] + ε)        y = γ[c] · x̂ + β[c]
/// μ, σ² over the M = C/G·H·W values of a sample's group, σ² biased (÷ M); group g has the channels g·C/G … (g+1)·C/G − 1
///
/// dβ = Σ dy        dγ = Σ dy·x̂                                                sums over samples and pixels
/// g = γ·dy         dx = (g − mean(g) − x̂·mean(g·x̂)) / √(σ² + ε)               means over the sample's group
/// ```
///
/// One group is a layer norm with a γ for each channel; as many groups as channels are an instance norm. Training and evaluation are the
/// same: nothing is remembered from batch to batch, and it works as well with a batch of one, which is what it is for. The variance
/// of a single value is 0: with M = 1, y = β and dx = 0. A NaN or an infinity makes its sample's group NaN, and no others.
///
/// # Shapes
/// `[N, C]`, `[N, C, L]` and `[N, C, H, W]`; the output has the input's. Images come channels-last.
///
/// # Parameters
/// `weight` γ `[C]` = 1, `bias` β `[C]` = 0.
///
/// # Errors
/// [`Error::Shape`] unless the input is one of those shapes with this C.
///
/// # Reference
/// Wu & He 2018, *Group Normalization*, arXiv:1803.08494.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, GroupNorm, Init, Module, Tensor};
/// let layer = GroupNorm::config(2, 4).build::<f32>(&mut Init::seed(1))?;
/// let y = layer.infer(Tensor::from_vec([1, 4], vec![1.0, 3.0, 500.0, 100.0])?, &mut Ctx::eval())?;
/// assert!(y.to_vec().iter().zip([-1.0, 1.0, 1.0, -1.0]).all(|(y, want)| (y - want).abs() < 1e-4));
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct GroupNorm<T: Element = f32> {
    /// γ `[C]`.
    pub weight: Option<Param<T>>,
    /// β `[C]`.
    pub bias: Option<Param<T>>,
    config: GroupNormConfig,
    saved: Saved<Kept<T>>,
}

/// What backward needs: x̂ is computed again from x rather than stored.
#[derive(Debug)]
struct Kept<T: Element> {
    x: Tensor<T>,
    shape: Shape, // which x had before it was seen as images
    stats: GroupStats<T>,
}

impl GroupNorm {
    /// A layer of so many groups of so many channels in all, still to be built.
    pub fn config(groups: usize, channels: usize) -> GroupNormConfig {
        GroupNormConfig { groups, channels, eps: 1e-5, affine: true }
    }
}

impl<T: Element> GroupNorm<T> {
    fn numbers(&self) -> kernel::GroupNorm<'_, T> {
        let [weight, bias] = [&self.weight, &self.bias].map(|p| p.as_ref().and_then(|p| p.value.as_slice()));
        kernel::GroupNorm { groups: self.config.groups, eps: self.config.eps, weight, bias }
    }
}

impl<T: Element> Module<T> for GroupNorm<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        let c = self.config.channels;
        match *input.dims() {
            [_, d] | [_, d, _] | [_, d, _, _] if d == c => Ok(*input),
            _ => Err(Error::shape(KIND, format!("[N, {c}], [N, {c}, L] or [N, {c}, H, W]"), input)),
        }
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let shape = Module::<T>::out_shape(self, x.shape())?;
        as_sequences(group_norm(as_images(x)?, &self.numbers())?.0, &shape)
    }

    fn forward(&mut self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let shape = Module::<T>::out_shape(self, x.shape())?;
        let x = as_images(x)?.channels_last()?;
        let (y, stats) = group_norm(x.clone(), &self.numbers())?;
        self.saved.put(Kept { x, shape, stats });
        as_sequences(y, &shape)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let Kept { x, shape, stats } = self.saved.take(KIND)?;
        check_dy(KIND, &shape, &dy)?;
        let GroupGradients { dx, dweight, dbias } = group_norm_backward(as_images(dy)?, &x, &stats, &self.numbers())?;
        if let (Some(weight), Some(bias)) = (&mut self.weight, &mut self.bias) {
            add_sums(weight, &dweight)?; // dγ += Σ dy·x̂
            add_sums(bias, &dbias)?; // dβ += Σ dy
        }
        as_sequences(dx, &shape)
    }

    state!(T: option weight, option bias);

    fn spec(&self) -> Spec {
        let config = &self.config;
        Spec::new(KIND)
            .with("groups", config.groups)
            .with("channels", config.channels)
            .with("eps", config.eps)
            .with("affine", config.affine)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    let (groups, channels) = (spec.usize("groups")?, spec.usize("channels")?);
    let config = GroupNormConfig { groups, channels, eps: spec.f64("eps")?, affine: spec.bool("affine")? };
    boxed(config.build::<T>(b.init)?)
}

fn plain<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(GroupNorm::config(2, 6).build::<T>(init)?)
}
fn one_group<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(GroupNorm::config(1, 4).eps(1e-3).build::<T>(init)?)
}
fn instance<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(GroupNorm::config(3, 3).affine(false).build::<T>(init)?)
}
fn wide<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(GroupNorm::config(7, 70).build::<T>(init)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("GroupNorm/plain", &[3, 6, 2, 3], Some("nn.GroupNorm(2, 6)"), plain, plain),
    Case::new("GroupNorm/one_group", &[2, 4, 3, 3], Some("nn.GroupNorm(1, 4, eps=1e-3)"), one_group, one_group),
    Case::new("GroupNorm/instance", &[2, 3, 3, 3], Some("nn.GroupNorm(3, 3, affine=False)"), instance, instance),
    Case::new("GroupNorm/rows", &[4, 6], Some("nn.GroupNorm(2, 6)"), plain, plain),
    Case::new("GroupNorm/sequences", &[2, 6, 5], Some("nn.GroupNorm(2, 6)"), plain, plain),
    Case::new("GroupNorm/one_image", &[1, 6, 2, 2], Some("nn.GroupNorm(2, 6)"), plain, plain),
    Case::new("GroupNorm/wide", &[2, 70, 2, 2], Some("nn.GroupNorm(7, 70)"), wide, wide),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The group [1, 2, 3, 4] gives batch norm's numbers, whatever the other group and the other sample hold.
    #[test]
    fn each_group_of_each_sample_is_normalised_by_itself() {
        let layer = GroupNorm::config(2, 4).build::<f64>(&mut Init::seed(1)).unwrap();
        let values = [1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0, 100.0, 200.0, 300.0, 400.0, 4.0, 3.0, 2.0, 1.0];
        let y = layer.infer(Tensor::from_slice([2, 4, 1, 2], &values).unwrap(), &mut Ctx::eval()).unwrap().to_vec();
        let want = [-1.341635, -0.447212, 0.447212, 1.341635];
        let backwards = [1.341635, 0.447212, -0.447212, -1.341635];
        assert!(y[..4].iter().zip(want).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
        assert!(y[12..].iter().zip(backwards).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
    }

    #[test]
    fn a_group_of_one_value_becomes_the_bias_and_gets_no_gradient() {
        for n in [1, 2] {
            let mut layer = GroupNorm::config(3, 3).build::<f64>(&mut Init::seed(1)).unwrap();
            layer.bias.as_mut().unwrap().value = Tensor::from_vec([3], vec![0.5, 1.0, 2.0]).unwrap();
            let y = layer.forward(Tensor::from_fn([n, 3], |i| i as f64).unwrap(), &mut Ctx::train(1)).unwrap();
            assert_eq!(y.to_vec(), [0.5, 1.0, 2.0].repeat(n));
            assert_eq!(layer.backward(Tensor::ones([n, 3]).unwrap(), &mut Ctx::train(1)).unwrap().to_vec(), vec![0.0; 3 * n]);
        }
    }

    #[test]
    fn images_stay_channels_last_and_strides_change_no_bit() {
        let x = Tensor::from_fn([2, 4, 4, 5], |i| (i * i % 17) as f32).unwrap();
        let outputs = [x.clone(), x.channels_last().unwrap()].map(|x| {
            let mut layer = GroupNorm::config(2, 4).build::<f32>(&mut Init::seed(1)).unwrap();
            let y = layer.forward(x.clone(), &mut Ctx::train(1)).unwrap();
            let dx = layer.backward(x, &mut Ctx::train(1)).unwrap();
            assert!(y.is_channels_last() && dx.is_channels_last());
            (y.to_vec(), dx.to_vec(), layer.weight.unwrap().grad.to_vec())
        });
        assert_eq!(outputs[0], outputs[1]);
    }

    #[test]
    fn nan_and_infinity_stay_in_their_group() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut layer = GroupNorm::config(2, 4).build::<f32>(&mut Init::seed(1)).unwrap();
            let x = Tensor::from_vec([1, 4], vec![odd, 1.0, 2.0, 4.0]).unwrap();
            let y = layer.forward(x, &mut Ctx::train(1)).unwrap().to_vec();
            assert!(y[0].is_nan() && y[1].is_nan() && (y[2] + 1.0).abs() < 1e-4, "{odd}: {y:?}");
            let dx = layer.backward(Tensor::ones([1, 4]).unwrap(), &mut Ctx::train(1)).unwrap().to_vec();
            assert!(dx[0].is_nan() && dx[3].abs() < 1e-6, "{odd}: {dx:?}");
        }
    }

    #[test]
    fn bad_configurations_are_errors_that_name_the_field() {
        let config = GroupNorm::config(2, 4);
        let bad = [
            (GroupNorm::config(1, 0), "channels = 0"),
            (GroupNorm::config(0, 4), "groups = 0"),
            (GroupNorm::config(3, 4), "groups = 3"),
            (GroupNorm::config(8, 4), "groups = 8"),
            (config.eps(0.0), "eps = 0"),
            (config.eps(-1.0), "eps = -1"),
            (config.eps(f64::NAN), "eps = NaN"),
            (config.eps(f64::INFINITY), "eps = inf"),
        ];
        for (config, what) in bad {
            let error = config.build::<f32>(&mut Init::seed(1)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("GroupNorm: {what} is not valid")), "{error}");
        }
    }

    #[test]
    fn other_shapes_are_errors() {
        let layer = GroupNorm::config(2, 4).build::<f32>(&mut Init::seed(1)).unwrap();
        for shape in [Shape::SCALAR, [4].into(), [2, 3].into(), [4, 2, 4].into(), [2, 4, 1, 1, 1].into()] {
            let error = layer.infer(Tensor::ones(shape).unwrap(), &mut Ctx::eval()).unwrap_err();
            assert_eq!(error.to_string(), format!("GroupNorm expects [N, 4], [N, 4, L] or [N, 4, H, W], got {shape}"));
        }
        assert!(layer.infer(Tensor::ones([0, 4, 3, 3]).unwrap(), &mut Ctx::eval()).unwrap().is_empty());
        assert!(layer.infer(Tensor::ones([3, 4, 0]).unwrap(), &mut Ctx::eval()).unwrap().is_empty());
    }
}
