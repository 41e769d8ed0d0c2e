//! How wrong an answer is, and in which direction it should move.
//!
//! | task | loss |
//! |---|---|
//! | one of C classes | [`CrossEntropy`]; [`SoftmaxFocal`] where most samples are easy |
//! | several of C labels, or yes and no | [`Bce`]; [`SigmoidFocal`] where almost all answers are no |
//! | numbers | [`Mse`] |
//! | what another model knows | [`Distillation`] |
//!
//! All take logits, not probabilities, and compute in `f64` whatever the tensors are made of.

mod bce;
mod case;
pub mod check;
mod cross_entropy;
mod distillation;
mod mse;
mod rows;
mod sigmoid_focal;
mod softmax_focal;
mod walk;

pub use bce::Bce;
pub use case::{Aim, BuildLoss, LossCase};
pub use cross_entropy::CrossEntropy;
pub use distillation::{Distillation, Taught};
pub use mse::Mse;
pub use sigmoid_focal::SigmoidFocal;
pub use softmax_focal::SoftmaxFocal;

use nyang_tensor::{Element, Targets, Tensor};

use crate::Result;

/// The cases of every loss.
pub const CASES: &[&[LossCase]] =
    &[cross_entropy::CASES, mse::CASES, bce::CASES, softmax_focal::CASES, sigmoid_focal::CASES, distillation::CASES];

/// A measure of how far logits are from their targets. Pure: nothing is kept between calls.
pub trait Loss<T: Element = f32>: Send + Sync {
    /// The loss's name.
    fn name(&self) -> &'static str;

    /// The sum of the losses, the sum of their weights, and the gradient of the sum.
    ///
    /// # Errors
    /// If logits and targets do not go together, or a setting is wrong.
    fn value_grad(&self, logits: &Tensor<T>, targets: &Targets<T>) -> Result<LossSum<T>>;
}

/// Losses summed over a batch. Sums of several batches can be added up before the mean is taken, exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct LossSum<T: Element> {
    /// Σ wₙ · lossₙ.
    pub sum: f64,
    /// Σ wₙ, what the mean divides by: each loss says what; the number of samples, or of values, where all weigh the same.
    pub weight: f64,
    /// ∂sum/∂logits.
    pub gradient: Tensor<T>,
}

/// The mean loss over a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct LossMean<T: Element> {
    /// Σ wₙ · lossₙ / Σ wₙ; NaN for no samples or none with a weight, as in PyTorch.
    pub value: f64,
    /// ∂value/∂logits: what the model's backward is fed; zeros where the value is NaN for want of weight.
    pub gradient: Tensor<T>,
}

impl<T: Element> LossSum<T> {
    /// Divides by the sum of the weights: PyTorch's `reduction="mean"`.
    ///
    /// # Errors
    /// [`nyang_tensor::Error::Memory`].
    pub fn mean(self) -> Result<LossMean<T>> {
        if self.weight == 0.0 {
            return Ok(LossMean { value: f64::NAN, gradient: Tensor::zeros(*self.gradient.shape())? });
        }
        let weight = T::of(self.weight);
        Ok(LossMean { value: self.sum / self.weight, gradient: self.gradient.map(|g| g / weight)? })
    }
}
