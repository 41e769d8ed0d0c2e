//! How wrong an answer is, and in which direction it should move.

mod cross_entropy;

pub use cross_entropy::CrossEntropy;

use nyang_tensor::{Element, Targets, Tensor};

use crate::Result;

/// A measure of how far logits are from their targets. Pure: nothing is kept between calls.
pub trait Loss<T: Element = f32>: Send + Sync {
    /// The loss's name.
    fn name(&self) -> &'static str;

    /// The sum of the samples' losses, the sum of their weights, and the gradient of the sum.
    ///
    /// # Errors
    /// If logits and targets do not go together.
    fn value_grad(&self, logits: &Tensor<T>, targets: &Targets<T>) -> Result<LossSum<T>>;
}

/// Losses summed over a batch. Sums of several batches can be added up before the mean is taken, exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct LossSum<T: Element> {
    /// Σ wₙ · lossₙ.
    pub sum: f64,
    /// Σ wₙ; the number of samples where all weigh the same.
    pub weight: f64,
    /// ∂sum/∂logits.
    pub gradient: Tensor<T>,
}

/// The mean loss over a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct LossMean<T: Element> {
    /// Σ wₙ · lossₙ / Σ wₙ; NaN for no samples, as in PyTorch.
    pub value: f64,
    /// ∂value/∂logits: what the model's backward is fed.
    pub gradient: Tensor<T>,
}

impl<T: Element> LossSum<T> {
    /// Divides by the sum of the weights: PyTorch's `reduction="mean"`.
    ///
    /// # Errors
    /// [`nyang_tensor::Error::Memory`].
    pub fn mean(self) -> Result<LossMean<T>> {
        let gradient = self.gradient.scale(T::of(1.0 / self.weight))?;
        Ok(LossMean { value: self.sum / self.weight, gradient })
    }
}
