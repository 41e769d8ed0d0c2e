//! Batch normalisation of images.

use nyang_tensor::kernels::channels::{
    PairAffine, channel_affine, channel_affine_pair, channel_centered_squares, channel_dots, channel_sums,
};
use nyang_tensor::{Element, Shape, Tensor};

use super::linear::add_sums;
use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::{Build, Ctx, Error, Init, Mode, Module, Param, Result, Saved, Spec, state};

pub(crate) const KIND: &str = "BatchNorm2d";

/// How a [`BatchNorm2d`] layer is to be built. Made by [`BatchNorm2d::config`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm2dConfig {
    channels: usize,
    eps: f64,
    momentum: f64,
}

impl BatchNorm2dConfig {
    /// ε, added to the variance under the root; 1e-5 unless asked otherwise.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// α, the weight of the *new* batch in the running statistics; 0.1 unless asked otherwise. (Keras's 0.9 is this 0.1.)
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// [`Error::Config`] if there are no channels, ε is not a positive number, or α lies outside [0, 1].
    pub fn build<T: Element>(self, init: &mut Init) -> Result<BatchNorm2d<T>> {
        if self.channels == 0 {
            return Err(Error::config(KIND, "channels", self.channels, "must be positive"));
        }
        if !(self.eps > 0.0 && self.eps.is_finite()) {
            return Err(Error::config(KIND, "eps", self.eps, "must be a positive number"));
        }
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Error::config(KIND, "momentum", self.momentum, "must lie between 0 and 1"));
        }
        let c = [self.channels];
        Ok(BatchNorm2d {
            weight: Param::new(init.constant(c, 1.0)?)?,
            bias: Param::new(init.constant(c, 0.0)?)?,
            running_mean: init.constant(c, 0.0)?,
            running_var: init.constant(c, 1.0)?,
            num_batches_tracked: 0,
            config: self,
            saved: Saved::default(),
        })
    }
}

/// Batch normalisation over the channels of an image batch.
///
/// ```text
/// x̂ = (x − μ[c]) / √(σ²[c] + ε)        y = γ[c] · x̂ + β[c]
///
/// Train: μ, σ² over (n,h,w) of this batch, σ² biased (÷ m, m = N·H·W)
///        running ← (1−α)·running + α·batch, the variance unbiased here (÷ (m−1)), as in PyTorch
/// Eval:  μ, σ² are the running values
///
/// dβ = Σ dy     dγ = Σ dy·x̂     dx = γ/√(σ²+ε) · (dy − mean(dy) − x̂·mean(dy·x̂))     (Train)
///                               dx = γ/√(σ²+ε) · dy                                  (Eval)
/// ```
///
/// The two means in dx are there because μ and σ² themselves depend on every x of the batch.
///
/// # Shapes
/// `[N, C, H, W] → [N, C, H, W]`
///
/// # Parameters and buffers
/// `weight` γ `[C]` = 1, `bias` β `[C]` = 0, `running_mean` `[C]` = 0, `running_var` `[C]` = 1, `num_batches_tracked` = 0.
///
/// # Errors
/// [`Error::Shape`] unless the input is `[N, C, H, W]` with this C; in training also when N·H·W < 2, for one value has no variance.
///
/// # Reference
/// Ioffe & Szegedy 2015, *Batch Normalization*, arXiv:1502.03167, Algorithm 1.
///
/// # Example
/// ```
/// # use nyang_nn::{BatchNorm2d, Ctx, Init, Module, Tensor};
/// let mut layer = BatchNorm2d::config(1).build(&mut Init::seed(1))?;
/// layer.forward(Tensor::from_vec([4, 1, 1, 1], vec![1.0, 2.0, 3.0, 4.0])?, &mut Ctx::train(1))?;
/// assert_eq!(layer.running_mean.to_vec(), [0.25]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchNorm2d<T: Element = f32> {
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
    config: BatchNorm2dConfig,
    saved: Saved<Kept<T>>,
}

/// What backward needs: x̂ is computed again from x rather than stored.
#[derive(Debug)]
struct Kept<T: Element> {
    x: Tensor<T>,
    mean: Vec<T>,
    inv_std: Vec<T>, // 1/√(σ²+ε)
    mode: Mode,
}

impl BatchNorm2d {
    /// A batch norm of this many channels, still to be built.
    pub fn config(channels: usize) -> BatchNorm2dConfig {
        BatchNorm2dConfig { channels, eps: 1e-5, momentum: 0.1 }
    }
}

impl<T: Element> BatchNorm2d<T> {
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
        let mean: Vec<T> = channel_sums(x)?.iter().map(|s| T::of(s / m)).collect();
        let squares = channel_centered_squares(x, &mean)?; // two passes: E[x²] − E[x]² cancels when |μ| ≫ σ
        let alpha = self.config.momentum;
        let blend = |old: &mut T, new: f64| *old = T::of((1.0 - alpha) * old.to_f64() + alpha * new);
        self.running_mean.as_mut_slice()?.iter_mut().zip(&mean).for_each(|(r, m)| blend(r, m.to_f64()));
        self.running_var.as_mut_slice()?.iter_mut().zip(&squares).for_each(|(r, s)| blend(r, s / (m - 1.0)));
        self.num_batches_tracked += 1;
        Ok((mean, self.inv_std(squares.iter().map(|s| s / m))))
    }

    /// y = (x − μ) · γ/√(σ²+ε) + β
    fn normalise(&self, x: Tensor<T>, mean: &[T], inv_std: &[T]) -> Result<Tensor<T>> {
        Ok(channel_affine(x, mean, &self.scale(inv_std), &self.bias.value.to_vec())?)
    }

    /// γ/√(σ²+ε)
    fn scale(&self, inv_std: &[T]) -> Vec<T> {
        self.weight.value.to_vec().iter().zip(inv_std).map(|(&g, &i)| g * i).collect()
    }
}

impl<T: Element> Module<T> for BatchNorm2d<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        match *input.dims() {
            [_, c, _, _] if c == self.config.channels => Ok(*input),
            _ => Err(Error::shape(KIND, format!("[N, {}, H, W]", self.config.channels), input)),
        }
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Module::<T>::out_shape(self, x.shape())?;
        let (mean, inv_std) = self.running();
        self.normalise(x, &mean, &inv_std)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Module::<T>::out_shape(self, x.shape())?;
        let x = x.channels_last()?;
        let (mean, inv_std) = match cx.mode {
            Mode::Eval => self.running(),
            Mode::Train if x.len() / self.config.channels < 2 => {
                return Err(Error::Shape {
                    layer: KIND,
                    expected: "more than one value a channel in training".into(),
                    got: *x.shape(),
                    hint: Some("use larger batches, or drop or merge a last batch of one".into()),
                });
            }
            Mode::Train => self.observe(&x)?,
        };
        let y = self.normalise(x.clone(), &mean, &inv_std)?;
        self.saved.put(Kept { x, mean, inv_std, mode: cx.mode });
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let Kept { x, mean, inv_std, mode } = self.saved.take(KIND)?;
        check_dy(KIND, x.shape(), &dy)?;
        let (sum_dy, dots) = channel_dots(&dy, &x, &mean)?;
        let sum_dy_x_hat: Vec<f64> = dots.iter().zip(&inv_std).map(|(d, i)| d * i.to_f64()).collect();
        add_sums(&mut self.bias, &sum_dy)?; // dβ += Σ dy
        add_sums(&mut self.weight, &sum_dy_x_hat)?; // dγ += Σ dy·x̂
        let scale = self.scale(&inv_std);
        let m = (x.len() / self.config.channels) as f64;
        let (by_x, constant) = match mode {
            // x̂ = (x − μ)·inv_std, so  −scale·x̂·mean(dy·x̂)  is a multiple of (x − μ)
            Mode::Train => (
                (scale.iter().zip(&inv_std).zip(&sum_dy_x_hat)).map(|((&s, &i), &d)| -s * i * T::of(d / m)).collect(),
                scale.iter().zip(&sum_dy).map(|(&s, &d)| -s * T::of(d / m)).collect(),
            ),
            Mode::Eval => (vec![T::ZERO; scale.len()], vec![T::ZERO; scale.len()]),
        };
        Ok(channel_affine_pair(dy, &x, &PairAffine { dy: &scale, x: &by_x, shift: &mean, bias: &constant })?)
    }

    state!(T: param weight, param bias, buffer running_mean, buffer running_var, counter num_batches_tracked);

    fn spec(&self) -> Spec {
        Spec::new(KIND).with("channels", self.config.channels).with("eps", self.config.eps).with("momentum", self.config.momentum)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    let config = BatchNorm2dConfig { channels: spec.usize("channels")?, eps: spec.f64("eps")?, momentum: spec.f64("momentum")? };
    boxed(config.build::<T>(b.init)?)
}

fn plain<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(BatchNorm2d::config(3).build::<T>(init)?)
}
fn tuned<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(BatchNorm2d::config(3).eps(1e-3).momentum(0.5).build::<T>(init)?)
}
fn wide<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(BatchNorm2d::config(70).build::<T>(init)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("BatchNorm2d/plain", &[4, 3, 2, 3], Some("nn.BatchNorm2d(3)"), plain, plain),
    Case::new("BatchNorm2d/tuned", &[3, 3, 4, 4], Some("nn.BatchNorm2d(3, eps=1e-3, momentum=0.5)"), tuned, tuned),
    Case::new("BatchNorm2d/one_image", &[1, 3, 3, 3], Some("nn.BatchNorm2d(3)"), plain, plain),
    Case::new("BatchNorm2d/wide", &[2, 70, 2, 2], Some("nn.BatchNorm2d(70)"), wide, wide),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Running variance unbiased, normalisation biased: PyTorch's numbers, which another framework got wrong.
    #[test]
    fn one_two_three_four() {
        let mut layer = BatchNorm2d::config(1).build::<f64>(&mut Init::seed(1)).unwrap();
        let x = Tensor::from_vec([4, 1, 1, 1], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let y = layer.forward(x, &mut Ctx::train(1)).unwrap().to_vec();
        assert!((layer.running_mean.item().unwrap() - 0.25).abs() < 1e-12);
        assert!((layer.running_var.item().unwrap() - 1.066_666_666_666_666_7).abs() < 1e-12);
        for (y, want) in y.iter().zip([-1.341635, -0.447212, 0.447212, 1.341635]) {
            assert!((y - want).abs() < 1e-6, "{y} {want}");
        }
        assert_eq!(layer.num_batches_tracked, 1);
    }

    #[test]
    fn one_value_a_channel_is_an_error_in_training_only() {
        let mut layer = BatchNorm2d::config(2).build::<f32>(&mut Init::seed(1)).unwrap();
        let x = Tensor::ones([1, 2, 1, 1]).unwrap();
        let error = layer.forward(x.clone(), &mut Ctx::train(1)).unwrap_err().to_string();
        assert!(error.starts_with("BatchNorm2d expects more than one value a channel in training, got [1, 2, 1, 1]"), "{error}");
        assert!(layer.forward(x, &mut Ctx::eval()).is_ok());
        assert_eq!(layer.num_batches_tracked, 0);
    }

    #[test]
    fn a_large_mean_does_not_swallow_the_variance() {
        let mut layer = BatchNorm2d::config(1).build::<f32>(&mut Init::seed(1)).unwrap();
        let x = Tensor::from_fn([1000, 1, 1, 1], |i| 10_000.0 + (i % 2) as f32).unwrap();
        let y = layer.forward(x, &mut Ctx::train(1)).unwrap().to_vec();
        assert!((y[0] + 1.0).abs() < 1e-3 && (y[1] - 1.0).abs() < 1e-3, "{} {}", y[0], y[1]);
    }

    #[test]
    fn bad_configurations_are_errors() {
        let config = BatchNorm2d::config;
        let bad = [config(0), config(1).eps(0.0), config(1).eps(f64::NAN), config(1).momentum(1.5), config(1).momentum(f64::NAN)];
        for config in bad {
            assert!(matches!(config.build::<f32>(&mut Init::seed(1)), Err(Error::Config { .. })), "{config:?}");
        }
    }
}
