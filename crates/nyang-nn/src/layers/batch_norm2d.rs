//! Batch normalisation of images.

use nyang_tensor::Element;

use super::batch_norm::{self, BatchNorm, BatchNormConfig, Images};
use crate::case::{Case, boxed};
use crate::{Build, Init, Module, Result, Spec};

pub(crate) const KIND: &str = "BatchNorm2d";

/// How a [`BatchNorm2d`] layer is to be built. Made by [`BatchNorm::config`].
pub type BatchNorm2dConfig = BatchNormConfig<Images>;

/// Batch normalisation over the channels of an image batch.
///
/// ```text
/// x̂ = (x − μ[c]) / √(σ²[c] + ε)        y = γ[c] · x̂ + β[c]
///
/// Train: μ, σ² over (n,h,w) of this batch, σ² biased (÷ m, m = N·H·W)
///        running ← (1−α)·running + α·batch, the variance unbiased here (÷ (m−1)), as in PyTorch
/// Eval:  μ, σ² are the running values; in training too, if they are frozen
///
/// dβ = Σ dy     dγ = Σ dy·x̂     dx = γ/√(σ²+ε) · (dy − mean(dy) − x̂·mean(dy·x̂))     (Train)
///                               dx = γ/√(σ²+ε) · dy                                  (Eval, frozen)
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
/// [`Error::Shape`](crate::Error::Shape) unless the input is `[N, C, H, W]` with this C; in training also when N·H·W < 2, for one value has
/// no variance.
///
/// # Reference
/// Ioffe & Szegedy 2015, *Batch Normalization*, arXiv:1502.03167, Algorithm 1.
///
/// # Example
/// ```
/// # use nyang_nn::{BatchNorm2d, Ctx, Init, Module, Tensor};
/// let mut layer = BatchNorm2d::config(1).build(&mut Init::seed(1))?;
/// let x = Tensor::from_vec([4, 1, 1, 1], vec![1.0, 2.0, 3.0, 4.0])?;
/// layer.forward(x.clone(), &mut Ctx::train(1))?;
/// assert_eq!(layer.running_mean.to_vec(), [0.25]);
///
/// layer.freeze_statistics();                       // fine-tuning on small batches
/// layer.forward(x, &mut Ctx::train(1))?;
/// assert_eq!(layer.running_mean.to_vec(), [0.25]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub type BatchNorm2d<T = f32> = BatchNorm<T, Images>;

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    batch_norm::build::<T, Images>(spec, b)
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
fn cumulative<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(BatchNorm2d::config(3).cumulative().build::<T>(init)?)
}
fn no_affine<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(BatchNorm2d::config(3).affine(false).build::<T>(init)?)
}
fn frozen<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(BatchNorm2d::config(3).frozen(true).build::<T>(init)?)
}
fn odd<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(BatchNorm2d::config(37).build::<T>(init)?)
}

/// In PyTorch a layer is frozen by `eval()`, and `train()` must not undo it.
const FROZEN: &str = "(lambda m: setattr(m.eval(), 'train', lambda mode=True: m) or m)(nn.BatchNorm2d(3))";

pub(crate) const CASES: &[Case] = &[
    Case::new("BatchNorm2d/plain", &[4, 3, 2, 3], Some("nn.BatchNorm2d(3)"), plain, plain),
    Case::new("BatchNorm2d/tuned", &[3, 3, 4, 4], Some("nn.BatchNorm2d(3, eps=1e-3, momentum=0.5)"), tuned, tuned),
    Case::new("BatchNorm2d/one_image", &[1, 3, 3, 3], Some("nn.BatchNorm2d(3)"), plain, plain),
    Case::new("BatchNorm2d/wide", &[2, 70, 2, 2], Some("nn.BatchNorm2d(70)"), wide, wide),
    Case::new("BatchNorm2d/cumulative", &[2, 3, 3, 2], Some("nn.BatchNorm2d(3, momentum=None)"), cumulative, cumulative),
    Case::new("BatchNorm2d/no_affine", &[2, 3, 2, 3], Some("nn.BatchNorm2d(3, affine=False)"), no_affine, no_affine),
    Case::new("BatchNorm2d/frozen", &[2, 3, 3, 3], Some(FROZEN), frozen, frozen),
    Case::new("BatchNorm2d/odd", &[3, 37, 3, 5], Some("nn.BatchNorm2d(37)"), odd, odd),
    Case::new("BatchNorm2d/two_values", &[2, 3, 1, 1], Some("nn.BatchNorm2d(3)"), plain, plain),
];

#[cfg(test)]
mod tests {
    use nyang_tensor::Tensor;

    use super::*;
    use crate::Ctx;

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

    /// γ = 1 and not U(0, 1), with which another framework began; and a variance of 1, not 0.
    #[test]
    fn first_values_are_pytorchs() {
        let layer = BatchNorm2d::config(3).build::<f64>(&mut Init::seed(1)).unwrap();
        assert_eq!((layer.weight.value.to_vec(), layer.bias.value.to_vec()), (vec![1.0; 3], vec![0.0; 3]));
        assert_eq!((layer.running_mean.to_vec(), layer.running_var.to_vec()), (vec![0.0; 3], vec![1.0; 3]));
    }

    #[test]
    fn a_large_mean_does_not_swallow_the_variance() {
        let mut layer = BatchNorm2d::config(1).build::<f32>(&mut Init::seed(1)).unwrap();
        let x = Tensor::from_fn([1000, 1, 1, 1], |i| 10_000.0 + (i % 2) as f32).unwrap();
        let y = layer.forward(x, &mut Ctx::train(1)).unwrap().to_vec();
        assert!((y[0] + 1.0).abs() < 1e-3 && (y[1] - 1.0).abs() < 1e-3, "{} {}", y[0], y[1]);
    }

    #[test]
    fn rows_and_other_widths_are_errors() {
        let layer = BatchNorm2d::config(3).build::<f32>(&mut Init::seed(1)).unwrap();
        for shape in [nyang_tensor::Shape::from([2, 3]), [2, 3, 4].into(), [2, 4, 3, 3].into()] {
            let error = layer.infer(Tensor::ones(shape).unwrap(), &mut Ctx::eval()).unwrap_err();
            assert_eq!(error.to_string(), format!("BatchNorm2d expects [N, 3, H, W], got {shape}"));
        }
    }
}
