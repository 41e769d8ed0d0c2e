//! Focal loss on softmax probabilities: samples that are already right hardly count.

use nyang_tensor::{Element, Targets, Tensor};

use super::rows::{Rows, check_per_class, samples_and_classes};
use super::walk::each_row;
use super::{Aim, Loss, LossCase, LossSum};
use crate::{Error, Result};

const NAME: &str = "SoftmaxFocal";

/// Cross-entropy in which a class of probability p counts (1 − p)^γ times: what is learnt makes room for what is not.
///
/// ```text
/// p = softmax(z),   u = 1 − p,   qⱼ = αⱼ tⱼ (t one-hot for a class index)
///
/// loss = −Σⱼ qⱼ uⱼ^γ ln pⱼ
///
/// gⱼ = ∂loss/∂ln pⱼ = qⱼ uⱼ^γ · (γ pⱼ ln pⱼ / uⱼ − 1)         ln p / u → −1 as p → 1
/// ∂loss/∂zⱼ = gⱼ − pⱼ Σₖ gₖ                                    at an index y:  −g_y (pⱼ − [j = y])
/// ```
///
/// With ln p / u in place of u^(γ − 1) nothing is divided by zero at p = 1, also for γ < 1, where the derivative is 0. γ = 0 is cross-entropy.
///
/// # What the mean divides by
/// N, the number of samples, whatever α is (others divide by Σ α; PyTorch has no such loss).
///
/// # Shapes
/// Logits `[N, C]`; targets N class indices, or soft rows `[N, C]`.
///
/// # Unusual numbers
/// As for [`CrossEntropy`](crate::CrossEntropy): NaN, +∞ or −∞ alone make their row NaN, and what weighs 0 adds 0.
///
/// # Errors
/// - [`Error::Shape`] unless the logits are `[N, C]` with as many rows as targets;
/// - [`Error::Label`] for a label ≥ C, [`Error::Target`] for a soft target that is negative, infinite or NaN;
/// - [`Error::Config`] for a wrong setting.
///
/// # Reference
/// Lin et al. 2017, *Focal Loss for Dense Object Detection*, arXiv:1708.02002; theirs is [`SigmoidFocal`](crate::SigmoidFocal).
///
/// # Example
/// ```
/// # use nyang_nn::{Loss, SoftmaxFocal, Targets, Tensor};
/// let logits = Tensor::from_vec([2, 3], vec![2.0f64, 1.0, 0.0, 0.0, 1.0, 3.0])?;
/// let loss = SoftmaxFocal::new(2.0).value_grad(&logits, &Targets::Classes(vec![0, 1]))?;
/// assert!((loss.sum - (0.045678 + 1.702570)).abs() < 1e-6); // cross-entropy: 0.407606 + 2.169846
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxFocal {
    gamma: f64,
    alpha: Option<Vec<f64>>,
}

impl SoftmaxFocal {
    /// The loss with this γ ≥ 0; 2 is usual. Every class weighs the same.
    pub fn new(gamma: f64) -> Self {
        SoftmaxFocal { gamma, alpha: None }
    }

    /// α: how much each class weighs, C finite numbers ≥ 0.
    pub fn alpha(mut self, alpha: impl Into<Vec<f64>>) -> Self {
        self.alpha = Some(alpha.into());
        self
    }
}

/// γ must be finite and not negative.
pub(super) fn check_gamma(loss: &'static str, gamma: f64) -> Result<()> {
    if gamma.is_finite() && gamma >= 0.0 { Ok(()) } else { Err(Error::config(loss, "gamma", gamma, "must be finite and not negative")) }
}

impl<T: Element> Loss<T> for SoftmaxFocal {
    fn name(&self) -> &'static str {
        NAME
    }

    fn value_grad(&self, logits: &Tensor<T>, targets: &Targets<T>) -> Result<LossSum<T>> {
        let [n, c] = samples_and_classes(NAME, logits.shape())?;
        check_gamma(NAME, self.gamma)?;
        check_per_class(NAME, "alpha", self.alpha.as_deref(), c)?;
        let rows = Rows::of_shares(NAME, targets, logits.shape(), None)?;
        let (sum, gradient) = each_row(logits, c, |n, ln_p, g| {
            rows.write(n, g);
            let mut loss = 0.0;
            for (j, (g, &ln_p)) in g.iter_mut().zip(&*ln_p).enumerate() {
                let q = *g * self.alpha.as_ref().and_then(|a| a.get(j)).map_or(1.0, |&a| a);
                if q == 0.0 {
                    *g = if ln_p.is_nan() { f64::NAN } else { 0.0 }; // 0 · ln 0 counts as 0
                    continue;
                }
                let (p, u) = (ln_p.exp(), -ln_p.exp_m1());
                let modulator = u.powf(self.gamma);
                let p_ln_p = if p == 0.0 { 0.0 } else { p * ln_p };
                let ratio = if u == 0.0 { -1.0 } else { p_ln_p / u };
                loss -= q * modulator * ln_p;
                *g = q * modulator * (self.gamma * ratio - 1.0);
            }
            let total: f64 = g.iter().sum();
            ln_p.iter_mut().zip(&*g).for_each(|(z, &g)| *z = g - z.exp() * total);
            loss
        })?;
        Ok(LossSum { sum, weight: n as f64, gradient })
    }
}

fn two<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(SoftmaxFocal::new(2.0)))
}
fn half<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(SoftmaxFocal::new(0.5)))
}
fn zero<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(SoftmaxFocal::new(0.0)))
}
fn weighted<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(SoftmaxFocal::new(1.5).alpha([1.0, 0.25, 2.0, 0.0, 0.5])))
}

pub(crate) const CASES: &[LossCase] = &[
    LossCase::new(
        "SoftmaxFocal/classes",
        &[6, 5],
        Aim::Classes,
        "(-F.one_hot(t, 5) * (1 - z.softmax(1))**2 * z.log_softmax(1)).sum(1).mean()",
        (two, two),
    ),
    LossCase::new(
        "SoftmaxFocal/gamma_below_1",
        &[6, 5],
        Aim::Classes,
        "(-F.one_hot(t, 5) * (1 - z.softmax(1))**.5 * z.log_softmax(1)).sum(1).mean()",
        (half, half),
    ),
    LossCase::new("SoftmaxFocal/gamma_0", &[6, 5], Aim::Shares, "F.cross_entropy(z, t)", (zero, zero)),
    LossCase::new(
        "SoftmaxFocal/weighted_soft",
        &[6, 5],
        Aim::Shares,
        "(-torch.tensor([1, .25, 2, 0, .5]) * t * (1 - z.softmax(1))**1.5 * z.log_softmax(1)).sum(1).mean()",
        (weighted, weighted),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CrossEntropy;
    use nyang_tensor::Rng;

    fn logits() -> Tensor<f64> {
        Tensor::from_vec([3, 3], vec![2.0, 1.0, 0.0, 0.0, 1.0, 3.0, 1.0, 1.0, 1.0]).unwrap()
    }

    #[test]
    fn the_golden_batch() {
        for (row, label, want) in [(0, 0, 0.045678), (1, 1, 1.702570), (2, 1, 0.488272)] {
            let row = logits().slice(0, row..row + 1, 1).unwrap();
            let loss = SoftmaxFocal::new(2.0).value_grad(&row, &Targets::Classes(vec![label])).unwrap();
            assert!((loss.sum - want).abs() < 5e-7, "{}, not {want}", loss.sum);
        }
        for (gamma, want) in [(2.0, 0.745507), (1.0, 0.930306)] {
            let loss = SoftmaxFocal::new(gamma).value_grad(&logits(), &Targets::Classes(vec![0, 1, 1])).unwrap();
            assert!((loss.mean().unwrap().value - want).abs() < 5e-7);
        }
    }

    #[test]
    fn gamma_0_is_cross_entropy() {
        let mut rng = Rng::seed(1);
        let z = Tensor::<f64>::normal([4, 6], 0.0, 3.0, &mut rng).unwrap();
        let soft = Tensor::uniform([4, 6], 0.0, 1.0, &mut rng).unwrap();
        for targets in [Targets::Classes(vec![5, 0, 2, 2]), Targets::Soft(soft)] {
            let (focal, plain) = (SoftmaxFocal::new(0.0).value_grad(&z, &targets), CrossEntropy::new().value_grad(&z, &targets));
            let (focal, plain) = (focal.unwrap(), plain.unwrap());
            assert!((focal.sum - plain.sum).abs() < 1e-13 && focal.weight == plain.weight);
            assert!(focal.gradient.to_vec().iter().zip(plain.gradient.to_vec()).all(|(a, b)| (a - b).abs() < 1e-14));
        }
    }

    /// [(1 − p)^γ − γ p (1 − p)^(γ−1) ln p] · (pⱼ − [j = y]), whose power is infinite at p = 1 for γ < 1.
    #[test]
    fn a_certain_and_right_answer_has_no_gradient_and_a_certain_and_wrong_one_that_of_cross_entropy() {
        let z = Tensor::from_vec([1, 2], vec![1000.0f64, -1000.0]).unwrap();
        for gamma in [0.0, 0.5, 1.0, 2.0] {
            let loss = |y: usize| SoftmaxFocal::new(gamma).value_grad(&z, &Targets::Classes(vec![y])).unwrap();
            assert_eq!((loss(0).sum, loss(0).gradient.to_vec()), (0.0, vec![0.0, 0.0]), "γ = {gamma}");
            assert_eq!((loss(1).sum, loss(1).gradient.to_vec()), (2000.0, vec![1.0, -1.0]), "γ = {gamma}");
        }
    }

    #[test]
    fn a_class_of_probability_zero_is_infinitely_wrong_as_a_target_only() {
        let z = Tensor::from_vec([1, 2], vec![f64::NEG_INFINITY, 0.0]).unwrap();
        let loss = |y: usize| SoftmaxFocal::new(2.0).value_grad(&z, &Targets::Classes(vec![y])).unwrap();
        assert_eq!((loss(0).sum, loss(0).gradient.to_vec()), (f64::INFINITY, vec![-1.0, 1.0]));
        assert_eq!((loss(1).sum, loss(1).gradient.to_vec()), (0.0, vec![0.0, 0.0]));
    }

    #[test]
    fn alpha_weighs_samples_but_not_the_divisor() {
        let targets = Targets::Classes(vec![0, 1, 1]);
        let plain = SoftmaxFocal::new(2.0).value_grad(&logits(), &targets).unwrap();
        let twice = SoftmaxFocal::new(2.0).alpha([2.0; 3]).value_grad(&logits(), &targets).unwrap();
        assert_eq!((twice.sum, twice.weight), (2.0 * plain.sum, 3.0));
    }

    #[test]
    fn wrong_settings_are_errors_that_say_which() {
        for (loss, says) in [
            (SoftmaxFocal::new(-1.0), "SoftmaxFocal: gamma = -1 is not valid: must be finite and not negative"),
            (SoftmaxFocal::new(f64::NAN), "SoftmaxFocal: gamma = NaN"),
            (SoftmaxFocal::new(f64::INFINITY), "SoftmaxFocal: gamma = inf"),
            (SoftmaxFocal::new(2.0).alpha([1.0]), "SoftmaxFocal: alpha = 1 for 3 classes"),
            (SoftmaxFocal::new(2.0).alpha([1.0, f64::NAN, 1.0]), "SoftmaxFocal: alpha = NaN"),
            (SoftmaxFocal::new(2.0).alpha([1.0, -1.0, 1.0]), "SoftmaxFocal: alpha = -1"),
        ] {
            let error = loss.value_grad(&logits(), &Targets::Classes(vec![0, 1, 1])).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}\n  does not begin with {says}");
        }
        let error = SoftmaxFocal::new(2.0).value_grad(&logits(), &Targets::Classes(vec![0, 1, 3])).unwrap_err();
        assert!(matches!(error, Error::Label { sample: 2, label: 3, classes: 3 }));
        let negative = Targets::Soft(Tensor::full([3, 3], -1.0).unwrap());
        assert!(matches!(SoftmaxFocal::new(2.0).value_grad(&logits(), &negative), Err(Error::Target { sample: 0, .. })));
    }
}
