//! Batch normalisation, written once for rows, sequences and images: what [`BatchNorm1d`](crate::BatchNorm1d) and
//! [`BatchNorm2d`](crate::BatchNorm2d) share. They differ in the inputs they take.

use std::fmt::Debug;
use std::marker::PhantomData;

use nyang_tensor::kernels::Activation;
use nyang_tensor::kernels::batch_norm::{
    Affine, GradAffine, affine_grad_input, affine_grad_sums, channel_affine, channel_affine_beside, channel_moments,
};
use nyang_tensor::{Element, Shape, Tensor};

use super::linear::add_sums;
use crate::case::boxed;
use crate::module::check_dy;
use crate::spec::Value;
use crate::{Build, Ctx, Error, Init, Mode, Module, Param, Path, Result, Saved, Spec, Visit, VisitMut};

mod sealed {
    pub trait Sealed {}
}

/// Which inputs a [`BatchNorm`] takes: [`Rows`] or [`Images`]. Sealed.
pub trait Inputs: sealed::Sealed + Copy + Debug + PartialEq + Send + Sync + 'static {
    /// The layer's kind.
    const KIND: &'static str;

    /// The shapes it takes, for messages.
    fn expected(channels: usize) -> String;

    /// Whether it takes inputs of this shape.
    fn takes(shape: &Shape, channels: usize) -> bool;
}

/// Inputs `[N, C]` and `[N, C, L]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rows;

impl sealed::Sealed for Rows {}
impl Inputs for Rows {
    const KIND: &'static str = super::batch_norm1d::KIND;

    fn expected(c: usize) -> String {
        format!("[N, {c}] or [N, {c}, L]")
    }

    fn takes(shape: &Shape, channels: usize) -> bool {
        matches!(*shape.dims(), [_, c] | [_, c, _] if c == channels)
    }
}

/// Inputs `[N, C, H, W]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Images;

impl sealed::Sealed for Images {}
impl Inputs for Images {
    const KIND: &'static str = super::batch_norm2d::KIND;

    fn expected(c: usize) -> String {
        format!("[N, {c}, H, W]")
    }

    fn takes(shape: &Shape, channels: usize) -> bool {
        matches!(*shape.dims(), [_, c, _, _] if c == channels)
    }
}

/// How a [`BatchNorm`] layer is to be built. Made by [`BatchNorm::config`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormConfig<I: Inputs> {
    channels: usize,
    eps: f64,
    momentum: Option<f64>, // none: cumulative
    affine: bool,
    frozen: bool,
    inputs: PhantomData<I>,
}

impl<I: Inputs> BatchNormConfig<I> {
    /// ε, added to the variance under the root; 1e-5 unless asked otherwise.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// α, the weight of the *new* batch in the running statistics; 0.1 unless asked otherwise. (Keras's 0.9 is this 0.1.)
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = Some(momentum);
        self
    }

    /// The running statistics are plain means over all batches seen: α = 1/`num_batches_tracked`. PyTorch's `momentum=None`.
    pub fn cumulative(mut self) -> Self {
        self.momentum = None;
        self
    }

    /// Whether γ and β are parameters; they are unless asked otherwise.
    ///
    /// Where they are not, they stay 1 and 0 and have no place in the layer's state.
    pub fn affine(mut self, affine: bool) -> Self {
        self.affine = affine;
        self
    }

    /// Whether the running statistics are frozen from the start: see [`BatchNorm::freeze_statistics`].
    pub fn frozen(mut self, frozen: bool) -> Self {
        self.frozen = frozen;
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// [`Error::Config`] if there are no channels, ε is not a positive number, or α lies outside [0, 1].
    pub fn build<T: Element>(self, init: &mut Init) -> Result<BatchNorm<T, I>> {
        if self.channels == 0 {
            return Err(Error::config(I::KIND, "channels", self.channels, "must be positive"));
        }
        check_eps(I::KIND, self.eps)?;
        if let Some(momentum) = self.momentum.filter(|m| !(0.0..=1.0).contains(m)) {
            return Err(Error::config(I::KIND, "momentum", momentum, "must lie between 0 and 1"));
        }
        let c = [self.channels];
        let (running_mean, running_var) = (init.constant(c, 0.0)?, init.constant(c, 1.0)?);
        let mut number = |value: f64| match self.affine {
            true => Param::new(init.constant(c, value)?),
            false => Param::new(Tensor::full(c, T::of(value))?), // no part of the state, so not of its budget either
        };
        let (weight, bias) = (number(1.0)?, number(0.0)?);
        Ok(BatchNorm { weight, bias, running_mean, running_var, num_batches_tracked: 0, config: self, saved: Saved::default() })
    }
}

/// That ε is a positive number, for every norm.
pub(super) fn check_eps(kind: &'static str, eps: f64) -> Result<()> {
    if eps > 0.0 && eps.is_finite() { Ok(()) } else { Err(Error::config(kind, "eps", eps, "must be a positive number")) }
}

/// Batch normalisation of inputs `I`: the common part of [`BatchNorm1d`](crate::BatchNorm1d) and
/// [`BatchNorm2d`](crate::BatchNorm2d), whose pages have the mathematics.
///
/// A NaN or an infinity makes its channel NaN: in training the channel's outputs and running statistics, in evaluation that value's output.
/// The other channels are not touched.
#[derive(Clone, Debug)]
pub struct BatchNorm<T: Element, I: Inputs> {
    /// γ `[C]`.
    pub weight: Param<T>,
    /// β `[C]`.
    pub bias: Param<T>,
    /// The running mean `[C]`.
    pub running_mean: Tensor<T>,
    /// The running, unbiased variance `[C]`.
    pub running_var: Tensor<T>,
    /// How many batches the running values have seen.
    pub num_batches_tracked: u64,
    config: BatchNormConfig<I>,
    saved: Saved<Kept<T>>,
}

/// What backward needs: x̂ is computed again from x rather than stored.
#[derive(Debug)]
struct Kept<T: Element> {
    x: Tensor<T>,
    shape: Shape, // which x had before it was seen as images
    mean: Vec<T>,
    inv_std: Vec<T>, // 1/√(σ²+ε)
    mode: Mode,
    activation: Activation, // what a container fused with this layer
}

impl<I: Inputs> BatchNorm<f32, I> {
    /// A batch norm of this many channels, still to be built.
    pub fn config(channels: usize) -> BatchNormConfig<I> {
        BatchNormConfig { channels, eps: 1e-5, momentum: Some(0.1), affine: true, frozen: false, inputs: PhantomData }
    }
}

impl<T: Element, I: Inputs> BatchNorm<T, I> {
    /// Freezes the running statistics: from now on training uses them as evaluation does, and does not move them.
    ///
    /// For fine-tuning on small batches, whose own statistics would be noise. γ and β still learn;
    /// [`freeze`](crate::freeze()) stops them too. Training and evaluation are the same then, forward and backward. A frozen layer takes a single value
    /// a channel. [`freeze_statistics`](crate::freeze_statistics) freezes the layers inside a model.
    pub fn freeze_statistics(&mut self) {
        self.config.frozen = true;
    }

    /// Lets training use the batch's statistics again, and move the running ones.
    pub fn unfreeze_statistics(&mut self) {
        self.config.frozen = false;
    }

    /// Whether the running statistics are frozen.
    pub fn statistics_are_frozen(&self) -> bool {
        self.config.frozen
    }

    fn inv_std(&self, var: impl Iterator<Item = f64>) -> Vec<T> {
        var.map(|v| T::of(1.0 / (v + self.config.eps).sqrt())).collect()
    }

    /// μ and 1/√(σ²+ε) of evaluation.
    fn running(&self) -> (Vec<T>, Vec<T>) {
        (self.running_mean.to_vec(), self.inv_std(self.running_var.to_vec().iter().map(|v| v.to_f64())))
    }

    /// μ and 1/√(σ²+ε) of this batch, which also moves the running values.
    fn observe(&mut self, x: &Tensor<T>) -> Result<(Vec<T>, Vec<T>)> {
        let m = (x.len() / self.config.channels) as f64;
        let [mean, squares] = channel_moments(x)?;
        let mean: Vec<T> = mean.into_iter().map(T::of).collect();
        self.num_batches_tracked = self.num_batches_tracked.saturating_add(1);
        let alpha = self.config.momentum.unwrap_or(1.0 / self.num_batches_tracked as f64);
        let blend = |old: &mut T, new: f64| *old = T::of((1.0 - alpha) * old.to_f64() + alpha * new);
        self.running_mean.as_mut_slice()?.iter_mut().zip(&mean).for_each(|(r, m)| blend(r, m.to_f64()));
        self.running_var.as_mut_slice()?.iter_mut().zip(&squares).for_each(|(r, s)| blend(r, s / (m - 1.0)));
        Ok((mean, self.inv_std(squares.iter().map(|s| s / m))))
    }

    /// y = act((x − μ) · γ/√(σ²+ε) + β)
    fn normalise(&self, x: Tensor<T>, mean: &[T], inv_std: &[T], activation: Activation) -> Result<Tensor<T>> {
        let (scale, bias) = (self.scale(inv_std), self.bias.value.to_vec());
        Ok(channel_affine(x, &Affine { shift: mean, scale: &scale, bias: &bias, activation })?)
    }

    /// γ/√(σ²+ε)
    fn scale(&self, inv_std: &[T]) -> Vec<T> {
        self.weight.value.to_vec().iter().zip(inv_std).map(|(&g, &i)| g * i).collect()
    }

    /// `infer`, and what follows it at once.
    pub(crate) fn infer_with(&self, x: Tensor<T>, activation: Activation) -> Result<Tensor<T>> {
        let shape = self.out_shape(x.shape())?;
        let (mean, inv_std) = self.running();
        as_sequences(self.normalise(as_images(x)?, &mean, &inv_std, activation)?, &shape)
    }

    /// `forward`, and what follows it at once; `backward` then goes through both.
    pub(crate) fn forward_with(&mut self, x: Tensor<T>, mode: Mode, activation: Activation) -> Result<Tensor<T>> {
        let kept = Kept { activation, ..self.begin(x, mode)? };
        let y = self.normalise(kept.x.clone(), &kept.mean, &kept.inv_std, activation)?;
        let y = as_sequences(y, &kept.shape)?;
        self.saved.put(kept);
        Ok(y)
    }

    /// `forward`, a sum with a tensor of the same shape, and what follows it; `backward` goes through this layer alone.
    pub(crate) fn forward_beside(&mut self, x: Tensor<T>, mode: Mode, beside: &Tensor<T>, activation: Activation) -> Result<Tensor<T>> {
        let kept = self.begin(x, mode)?;
        let (scale, bias) = (self.scale(&kept.inv_std), self.bias.value.to_vec());
        let by = Affine { shift: &kept.mean, scale: &scale, bias: &bias, activation };
        let y = channel_affine_beside(kept.x.clone(), &by, &as_images(beside.clone())?)?;
        let y = as_sequences(y, &kept.shape)?;
        self.saved.put(kept);
        Ok(y)
    }

    /// What backward needs; in training this moves the running values.
    fn begin(&mut self, x: Tensor<T>, mode: Mode) -> Result<Kept<T>> {
        let shape = self.out_shape(x.shape())?;
        let mode = if self.config.frozen { Mode::Eval } else { mode };
        let x = as_images(x)?.channels_last()?;
        let (mean, inv_std) = match mode {
            Mode::Eval => self.running(),
            Mode::Train if x.len() / self.config.channels < 2 => {
                return Err(Error::Shape {
                    layer: I::KIND,
                    expected: "more than one value a channel in training".into(),
                    got: shape,
                    hint: Some("use larger batches, drop or merge a last batch of one, or freeze the statistics".into()),
                });
            }
            Mode::Train => self.observe(&x)?,
        };
        Ok(Kept { x, shape, mean, inv_std, mode, activation: Activation::Identity })
    }
}

impl<T: Element, I: Inputs> Module<T> for BatchNorm<T, I> {
    fn kind(&self) -> &'static str {
        I::KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        let c = self.config.channels;
        if I::takes(input, c) { Ok(*input) } else { Err(Error::shape(I::KIND, I::expected(c), input)) }
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.infer_with(x, Activation::Identity)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.forward_with(x, cx.mode, Activation::Identity)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let Kept { x, shape, mean, inv_std, mode, activation } = self.saved.take(I::KIND)?;
        check_dy(I::KIND, &shape, &dy)?;
        let dy = as_images(dy)?;
        let (scale, bias) = (self.scale(&inv_std), self.bias.value.to_vec());
        let forward = Affine { shift: &mean, scale: &scale, bias: &bias, activation };
        let [sum_dy, dots] = affine_grad_sums(&dy, &x, &forward)?;
        let sum_dy_x_hat: Vec<f64> = dots.iter().zip(&inv_std).map(|(d, i)| d * i.to_f64()).collect();
        if self.config.affine {
            add_sums(&mut self.bias, &sum_dy)?; // dβ += Σ dy
            add_sums(&mut self.weight, &sum_dy_x_hat)?; // dγ += Σ dy·x̂
        }
        let m = (x.len() / self.config.channels) as f64;
        let (by_x, constant) = match mode {
            // x̂ = (x − μ)·inv_std, so  −scale·x̂·mean(dy·x̂)  is a multiple of (x − μ)
            Mode::Train => (
                (scale.iter().zip(&inv_std).zip(&sum_dy_x_hat)).map(|((&s, &i), &d)| -s * i * T::of(d / m)).collect(),
                scale.iter().zip(&sum_dy).map(|(&s, &d)| -s * T::of(d / m)).collect(),
            ),
            Mode::Eval => (vec![T::ZERO; scale.len()], vec![T::ZERO; scale.len()]),
        };
        let dx = affine_grad_input(dy, &x, &forward, &GradAffine { dv: &scale, x: &by_x, bias: &constant })?;
        as_sequences(dx, &shape)
    }

    // by hand, for γ and β may be no parameters
    fn visit(&self, at: Path<'_>, v: &mut dyn Visit<T>) {
        if self.config.affine {
            v.param(at.child("weight"), &self.weight);
            v.param(at.child("bias"), &self.bias);
        }
        v.buffer(at.child("running_mean"), &self.running_mean);
        v.buffer(at.child("running_var"), &self.running_var);
        v.counter(at.child("num_batches_tracked"), self.num_batches_tracked);
    }

    fn visit_mut(&mut self, at: Path<'_>, v: &mut dyn VisitMut<T>) {
        if self.config.affine {
            v.param(at.child("weight"), &mut self.weight);
            v.param(at.child("bias"), &mut self.bias);
        }
        v.buffer(at.child("running_mean"), &mut self.running_mean);
        v.buffer(at.child("running_var"), &mut self.running_var);
        v.counter(at.child("num_batches_tracked"), &mut self.num_batches_tracked);
    }

    fn spec(&self) -> Spec {
        let config = &self.config;
        Spec::new(I::KIND)
            .with("channels", config.channels)
            .with("eps", config.eps)
            .with("momentum", config.momentum.map_or(Value::from("cumulative"), Value::from))
            .with("affine", config.affine)
            .with("frozen", config.frozen)
    }
}

/// `[N, C, L]` as `[N, C, 1, L]`, anything else as it is. Never copies.
pub(super) fn as_images<T: Element>(x: Tensor<T>) -> Result<Tensor<T>> {
    match *x.dims() {
        [n, c, l] => Ok(x.broadcast_to([1, n, c, l])?.permute(&[1, 2, 0, 3])?),
        _ => Ok(x),
    }
}

/// Back from [`as_images`], if `shape` is `[N, C, L]`. Never copies.
pub(super) fn as_sequences<T: Element>(y: Tensor<T>, shape: &Shape) -> Result<Tensor<T>> {
    if shape.rank() == 3 && y.shape().rank() == 4 { Ok(y.select(2, 0)?) } else { Ok(y) }
}

/// The layer of a description.
pub(super) fn build<T: Element, I: Inputs>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    let momentum = match spec.config.get("momentum") {
        Some(Value::Text(text)) if text == "cumulative" => None,
        _ => Some(spec.f64("momentum")?),
    };
    let (channels, eps) = (spec.usize("channels")?, spec.f64("eps")?);
    let (affine, frozen) = (spec.bool("affine")?, spec.bool("frozen")?);
    boxed(BatchNormConfig::<I> { channels, eps, momentum, affine, frozen, inputs: PhantomData }.build::<T>(b.init)?)
}

#[cfg(test)]
mod tests;
