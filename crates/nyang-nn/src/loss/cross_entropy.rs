//! Cross-entropy: softmax and negative log-likelihood in one, stable.

use nyang_tensor::reduce::log_sum_exp;
use nyang_tensor::{Element, Targets, Tensor};

use super::{Loss, LossSum};
use crate::{Error, Result};

const NAME: &str = "CrossEntropy";

/// Cross-entropy of logits z with a class index y, or with a row t of class probabilities.
///
/// ```text
/// loss = −ln softmax(z)_y = ln Σⱼ exp(zⱼ) − z_y              soft targets:  −Σⱼ tⱼ · ln softmax(z)ⱼ
///
/// ∂loss/∂zⱼ = softmax(z)ⱼ − [j = y]                          soft targets:  softmax(z)ⱼ · Σ t − tⱼ
/// ```
///
/// It takes logits, not probabilities: a softmax before it would be a second one, and the loss could not fall far.
///
/// # Shapes
/// Logits `[N, C]`; targets N class indices, or soft rows `[N, C]`.
///
/// # Errors
/// [`Error::Shape`] unless the logits are `[N, C]` with as many rows as targets, [`Error::Label`] for a label ≥ C.
///
/// # Example
/// ```
/// # use nyang_nn::{CrossEntropy, Loss, Targets, Tensor};
/// let logits = Tensor::from_vec([1, 3], vec![2.0f64, 1.0, 0.0])?;
/// let loss = CrossEntropy::new().value_grad(&logits, &Targets::Classes(vec![0]))?.mean()?;
/// assert!((loss.value - 0.407606).abs() < 1e-6);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CrossEntropy {}

impl CrossEntropy {
    /// The loss; every class weighs the same.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Element> Loss<T> for CrossEntropy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn value_grad(&self, logits: &Tensor<T>, targets: &Targets<T>) -> Result<LossSum<T>> {
        let [n, c] = *logits.dims() else {
            return Err(Error::shape(NAME, "logits [N, C]", logits.shape()));
        };
        if targets.len() != n {
            return Err(Error::shape(NAME, format!("logits [{}, C], one row a target", targets.len()), logits.shape()));
        }
        if c == 0 && n > 0 {
            return Err(Error::shape(NAME, "logits of at least one class", logits.shape()));
        }
        let mut gradient = logits.clone();
        let rows = gradient.as_mut_slice()?.chunks_exact_mut(c.max(1));
        let mut sum = 0.0;
        match targets {
            Targets::Classes(labels) => {
                if let Some((sample, &label)) = labels.iter().enumerate().find(|l| *l.1 >= c) {
                    return Err(Error::Label { sample, label, classes: c });
                }
                for (z, &y) in rows.zip(labels) {
                    let log_norm = log_sum_exp(z);
                    sum += (log_norm - z[y]).to_f64();
                    z.iter_mut().for_each(|z| *z = (*z - log_norm).exp()); // softmax(z)
                    z[y] -= T::ONE;
                }
            }
            Targets::Soft(soft) => {
                if soft.dims() != [n, c] {
                    return Err(Error::shape(NAME, format!("soft targets [{n}, {c}]"), soft.shape()));
                }
                for (z, t) in rows.zip(soft.to_vec().chunks_exact(c.max(1))) {
                    let (log_norm, mass) = (log_sum_exp(z), t.iter().copied().sum::<T>());
                    for (z, &t) in z.iter_mut().zip(t) {
                        let log_p = *z - log_norm;
                        if t != T::ZERO {
                            sum -= (t * log_p).to_f64(); // 0 · ln 0 counts as 0
                        }
                        *z = log_p.exp() * mass - t;
                    }
                }
            }
            _ => return Err(Error::config(NAME, "targets", "this kind", "must be class indices or soft rows")),
        }
        Ok(LossSum { sum, weight: n as f64, gradient })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nyang_tensor::Rng;

    fn logits() -> Tensor<f64> {
        Tensor::from_vec([3, 3], vec![2.0, 1.0, 0.0, 0.0, 1.0, 3.0, 1.0, 1.0, 1.0]).unwrap()
    }

    /// PyTorch's numbers.
    #[test]
    fn the_golden_batch() {
        let loss = CrossEntropy::new().value_grad(&logits(), &Targets::Classes(vec![0, 1, 1])).unwrap();
        assert!((loss.sum - 3.676064).abs() < 1e-6 && loss.weight == 3.0);
        assert!((loss.mean().unwrap().value - 1.225355).abs() < 1e-6);
        for (label, want) in [(0, 0.407606), (1, 1.407606), (2, 2.407606)] {
            let row = logits().slice(0, 0..1, 1).unwrap();
            let loss = CrossEntropy::new().value_grad(&row, &Targets::Classes(vec![label])).unwrap();
            assert!((loss.sum - want).abs() < 1e-6);
        }
    }

    #[test]
    fn one_hot_rows_are_class_indices() {
        let classes = Targets::Classes(vec![0, 1, 1]);
        let soft = Targets::Soft(Targets::one_hot(&[0, 1, 1], 3).unwrap());
        let (a, b) =
            (CrossEntropy::new().value_grad(&logits(), &classes).unwrap(), CrossEntropy::new().value_grad(&logits(), &soft).unwrap());
        assert!((a.sum - b.sum).abs() < 1e-12);
        assert!(a.gradient.to_vec().iter().zip(b.gradient.to_vec()).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn gradients_are_central_differences() {
        let mut rng = Rng::seed(5);
        let z = Tensor::<f64>::normal([4, 5], 0.0, 2.0, &mut rng).unwrap();
        let soft = Tensor::<f64>::uniform([4, 5], 0.0, 1.0, &mut rng).unwrap(); // rows that do not sum to 1
        for targets in [Targets::Classes(vec![0, 4, 2, 2]), Targets::Soft(soft)] {
            let value = |z: &Tensor<f64>| CrossEntropy::new().value_grad(z, &targets).unwrap().sum;
            let gradient = CrossEntropy::new().value_grad(&z, &targets).unwrap().gradient.to_vec();
            for (i, g) in gradient.iter().enumerate() {
                let nudged = |by: f64| {
                    let mut z = z.clone();
                    z.as_mut_slice().unwrap()[i] += by;
                    value(&z)
                };
                let numeric = (nudged(1e-6) - nudged(-1e-6)) / 2e-6;
                assert!((g - numeric).abs() < 1e-8, "{i}: {g} {numeric}");
            }
        }
    }

    #[test]
    fn huge_and_infinite_logits_give_finite_losses() {
        let z = Tensor::from_vec([2, 2], vec![1000.0f32, -1000.0, f32::NEG_INFINITY, 0.0]).unwrap();
        let loss = CrossEntropy::new().value_grad(&z, &Targets::Classes(vec![1, 1])).unwrap();
        assert_eq!(loss.sum, 2000.0);
        assert_eq!(loss.gradient.to_vec(), [1.0, -1.0, 0.0, 0.0]);
    }

    #[test]
    fn wrong_targets_are_errors_that_say_which() {
        let say = |targets: &Targets<f64>| CrossEntropy::new().value_grad(&logits(), targets).unwrap_err().to_string();
        assert_eq!(
            say(&Targets::Classes(vec![0, 3, 1])),
            "sample 1 of the batch has label 3, but there are 3 classes: labels run from 0 to 2"
        );
        assert!(say(&Targets::Classes(vec![0])).contains("one row a target"));
        assert!(say(&Targets::Soft(Tensor::zeros([3, 2]).unwrap())).contains("soft targets [3, 3]"));
        let images = Tensor::<f64>::zeros([3, 3, 1, 1]).unwrap();
        assert!(CrossEntropy::new().value_grad(&images, &Targets::Classes(vec![0; 3])).is_err());
        let none = Tensor::<f64>::zeros([3, 0]).unwrap();
        assert!(CrossEntropy::new().value_grad(&none, &Targets::Classes(vec![0; 3])).is_err());
    }

    #[test]
    fn no_samples_have_no_mean() {
        let none = Tensor::<f64>::zeros([0, 3]).unwrap();
        let loss = CrossEntropy::new().value_grad(&none, &Targets::Classes(vec![])).unwrap();
        assert!(loss.sum == 0.0 && loss.mean().unwrap().value.is_nan());
    }
}
