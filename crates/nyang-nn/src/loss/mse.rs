//! The mean squared error: how far numbers are from numbers.

use nyang_tensor::{Element, Targets, Tensor};

use super::rows::{NUMBERS, Rows};
use super::walk::each_value;
use super::{Aim, Loss, LossCase, LossSum};
use crate::Result;

const NAME: &str = "Mse";

/// The squared error of outputs z against numbers t.
///
/// ```text
/// loss = (z − t)²        ∂loss/∂z = 2 (z − t)
/// ```
///
/// For classes cross-entropy learns faster: behind a softmax or sigmoid that is certain and wrong, this loss has hardly a gradient.
///
/// # What the mean divides by
/// The number of values, N·C for `[N, C]`, as PyTorch's does.
///
/// # Shapes
/// Outputs of any shape `[N, …]`, soft targets of the same. Class indices, with outputs `[N, C]`, stand for one-hot rows; with `[N, 1]` for
/// the number itself, 0 or 1.
///
/// # Unusual numbers
/// A NaN among the outputs is a NaN of the loss and of its own place in the gradient; an infinite output gives ∞ and ±∞.
///
/// # Errors
/// - [`Error::Shape`](crate::Error::Shape) if the shapes differ, [`Error::Label`](crate::Error::Label) for a label ≥ C;
/// - [`Error::Target`](crate::Error::Target) for a target that is infinite or NaN.
///
/// # Example
/// ```
/// # use nyang_nn::{Loss, Mse, Targets, Tensor};
/// let z = Tensor::from_vec([2, 1], vec![1.0f64, 3.0])?;
/// let t = Targets::Soft(Tensor::from_vec([2, 1], vec![0.0, 5.0])?);
/// assert_eq!(Mse::new().value_grad(&z, &t)?.mean()?.value, 2.5); // (1² + 2²) / 2
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mse {}

impl Mse {
    /// The loss.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Element> Loss<T> for Mse {
    fn name(&self) -> &'static str {
        NAME
    }

    fn value_grad(&self, logits: &Tensor<T>, targets: &Targets<T>) -> Result<LossSum<T>> {
        let rows = Rows::of_values(NAME, targets, logits.shape(), &NUMBERS)?;
        let (sum, gradient) = each_value(logits, |i, z| {
            let error = z - rows.at(i);
            [error * error, 2.0 * error]
        })?;
        Ok(LossSum { sum, weight: logits.len() as f64, gradient })
    }
}

fn plain<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(Mse::new()))
}

pub(crate) const CASES: &[LossCase] = &[
    LossCase::new("Mse/numbers", &[6, 5], Aim::Numbers, "F.mse_loss(z, t)", (plain, plain)),
    LossCase::new("Mse/classes", &[6, 5], Aim::Classes, "F.mse_loss(z, F.one_hot(t, 5).double())", (plain, plain)),
    LossCase::new("Mse/one_column", &[6, 1], Aim::Classes, "F.mse_loss(z, t.double()[:, None])", (plain, plain)),
    LossCase::new("Mse/images", &[2, 3, 4, 5], Aim::Numbers, "F.mse_loss(z, t)", (plain, plain)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn a_batch_that_can_be_checked_by_hand() {
        let z = Tensor::from_vec([2, 2], vec![1.0f64, 2.0, 0.0, -1.0]).unwrap();
        let loss = Mse::new().value_grad(&z, &Targets::Classes(vec![1, 0])).unwrap(); // rows [0, 1] and [1, 0]
        assert_eq!((loss.sum, loss.weight), (4.0, 4.0)); // 1 + 1 + 1 + 1
        assert_eq!(loss.mean().unwrap().gradient.to_vec(), [0.5, 0.5, -0.5, -0.5]);
    }

    #[test]
    fn infinite_outputs_are_infinitely_wrong() {
        let z = Tensor::from_vec([2, 1], vec![f64::NEG_INFINITY, 1.0]).unwrap();
        let loss = Mse::new().value_grad(&z, &Targets::Classes(vec![0, 1])).unwrap();
        assert_eq!((loss.sum, loss.gradient.to_vec()), (f64::INFINITY, vec![f64::NEG_INFINITY, 0.0]));
    }

    #[test]
    fn wrong_targets_are_errors_that_say_which() {
        let say = |dims: [usize; 2], targets: &Targets<f64>| {
            Mse::new().value_grad(&Tensor::zeros(dims).unwrap(), targets).unwrap_err().to_string()
        };
        let soft = |t: f64| Targets::Soft(Tensor::from_vec([2, 1], vec![0.0, t]).unwrap());
        assert_eq!(say([2, 1], &soft(f64::NAN)), "Mse: sample 1 of the batch has the target NaN: it must be finite");
        assert_eq!(say([2, 3], &soft(0.0)), "Mse expects soft targets [2, 3], got [2, 1]");
        assert!(say([2, 1], &Targets::Classes(vec![2, 0])).contains("sample 0 of the batch has label 2, but there are 2 classes"));
        let images = Tensor::<f64>::zeros([2, 3, 4, 4]).unwrap();
        assert!(matches!(Mse::new().value_grad(&images, &Targets::Classes(vec![0, 1])), Err(Error::Shape { .. })));
    }
}
