//! Batch normalisation of rows and sequences.

use nyang_tensor::Element;

use super::batch_norm::{self, BatchNorm, BatchNormConfig, Rows};
use crate::case::{Case, boxed};
use crate::{Build, Init, Module, Result, Spec};

pub(crate) const KIND: &str = "BatchNorm1d";

/// How a [`BatchNorm1d`] layer is to be built. Made by [`BatchNorm::config`].
pub type BatchNorm1dConfig = BatchNormConfig<Rows>;

/// Batch normalisation over the features of a batch of rows, or the channels of a batch of sequences.
///
/// ```text
/// x̂ = (x − μ[c]) / √(σ²[c] + ε)        y = γ[c] · x̂ + β[c]
///
/// Train: μ, σ² over (n) or (n,l) of this batch, σ² biased (÷ m, m = N or N·L)
///        running ← (1−α)·running + α·batch, the variance unbiased here (÷ (m−1)), as in PyTorch
/// Eval:  μ, σ² are the running values; in training too, if they are frozen
///
/// dβ = Σ dy     dγ = Σ dy·x̂     dx = γ/√(σ²+ε) · (dy − mean(dy) − x̂·mean(dy·x̂))     (Train)
///                               dx = γ/√(σ²+ε) · dy                                  (Eval, frozen)
/// ```
///
/// [`BatchNorm2d`](crate::BatchNorm2d) is the same for images.
///
/// # Shapes
/// `[N, C] → [N, C]` and `[N, C, L] → [N, C, L]`
///
/// # Parameters and buffers
/// `weight` γ `[C]` = 1, `bias` β `[C]` = 0, `running_mean` `[C]` = 0, `running_var` `[C]` = 1, `num_batches_tracked` = 0.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) unless the input is `[N, C]` or `[N, C, L]` with this C; in training also when there are less than
/// two values a channel, for one value has no variance.
///
/// # Reference
/// Ioffe & Szegedy 2015, *Batch Normalization*, arXiv:1502.03167, Algorithm 1.
///
/// # Example
/// ```
/// # use nyang_nn::{BatchNorm1d, Ctx, Init, Module, Tensor};
/// let mut layer = BatchNorm1d::config(2).build(&mut Init::seed(1))?;
/// let y = layer.forward(Tensor::from_vec([2, 2], vec![1.0, 30.0, 3.0, 10.0])?, &mut Ctx::train(1))?;
/// assert!(y.to_vec().iter().zip([-1.0f32, 1.0, 1.0, -1.0]).all(|(y, want)| (y - want).abs() < 1e-4));
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub type BatchNorm1d<T = f32> = BatchNorm<T, Rows>;

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    batch_norm::build::<T, Rows>(spec, b)
}

fn plain<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(BatchNorm1d::config(3).build::<T>(init)?)
}
fn tuned<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(BatchNorm1d::config(3).eps(1e-3).momentum(0.5).build::<T>(init)?)
}
fn cumulative<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(BatchNorm1d::config(4).cumulative().affine(false).build::<T>(init)?)
}
fn frozen<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(BatchNorm1d::config(3).frozen(true).build::<T>(init)?)
}
fn wide<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(BatchNorm1d::config(70).build::<T>(init)?)
}

/// In PyTorch a layer is frozen by `eval()`, and `train()` must not undo it.
const FROZEN: &str = "(lambda m: setattr(m.eval(), 'train', lambda mode=True: m) or m)(nn.BatchNorm1d(3))";

pub(crate) const CASES: &[Case] = &[
    Case::new("BatchNorm1d/plain", &[5, 3], Some("nn.BatchNorm1d(3)"), plain, plain),
    Case::new("BatchNorm1d/sequences", &[2, 3, 7], Some("nn.BatchNorm1d(3, eps=1e-3, momentum=0.5)"), tuned, tuned),
    Case::new("BatchNorm1d/cumulative", &[3, 4, 2], Some("nn.BatchNorm1d(4, momentum=None, affine=False)"), cumulative, cumulative),
    Case::new("BatchNorm1d/frozen", &[4, 3], Some(FROZEN), frozen, frozen),
    Case::new("BatchNorm1d/one_sequence", &[1, 3, 4], Some("nn.BatchNorm1d(3)"), plain, plain),
    Case::new("BatchNorm1d/wide", &[6, 70], Some("nn.BatchNorm1d(70)"), wide, wide),
];

#[cfg(test)]
mod tests {
    use nyang_tensor::Tensor;

    use super::*;
    use crate::Ctx;

    /// Running variance unbiased, normalisation biased: PyTorch's numbers, which another framework got wrong (1.025).
    #[test]
    fn one_two_three_four() {
        for shape in [vec![4, 1], vec![2, 1, 2], vec![1, 1, 4]] {
            let mut layer = BatchNorm1d::config(1).build::<f64>(&mut Init::seed(1)).unwrap();
            let x = Tensor::from_vec([4], vec![1.0, 2.0, 3.0, 4.0]).unwrap().reshape(nyang_tensor::Shape::new(&shape).unwrap()).unwrap();
            let y = layer.forward(x, &mut Ctx::train(1)).unwrap();
            assert_eq!(y.dims(), shape);
            assert!((layer.running_mean.item().unwrap() - 0.25).abs() < 1e-12);
            assert!((layer.running_var.item().unwrap() - 1.066_666_666_666_666_7).abs() < 1e-12);
            for (y, want) in y.to_vec().iter().zip([-1.341635, -0.447212, 0.447212, 1.341635]) {
                assert!((y - want).abs() < 1e-6, "{y} {want}");
            }
        }
    }

    #[test]
    fn one_value_a_channel_is_an_error_in_training_only() {
        for shape in [nyang_tensor::Shape::from([1, 2]), [1, 2, 1].into(), [0, 2].into(), [3, 2, 0].into()] {
            let mut layer = BatchNorm1d::config(2).build::<f32>(&mut Init::seed(1)).unwrap();
            let x = Tensor::ones(shape).unwrap();
            let error = layer.forward(x.clone(), &mut Ctx::train(1)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("BatchNorm1d expects more than one value a channel in training, got {shape}")), "{error}");
            assert_eq!(layer.forward(x, &mut Ctx::eval()).unwrap().dims(), shape.dims());
            assert_eq!(layer.num_batches_tracked, 0);
        }
    }

    #[test]
    fn images_and_other_widths_are_errors() {
        let layer = BatchNorm1d::config(3).build::<f32>(&mut Init::seed(1)).unwrap();
        let say = |x: Tensor<f32>| layer.infer(x, &mut Ctx::eval()).unwrap_err().to_string();
        assert_eq!(say(Tensor::ones([2, 4]).unwrap()), "BatchNorm1d expects [N, 3] or [N, 3, L], got [2, 4]");
        assert_eq!(say(Tensor::ones([2, 3, 4, 4]).unwrap()), "BatchNorm1d expects [N, 3] or [N, 3, L], got [2, 3, 4, 4]");
    }
}
