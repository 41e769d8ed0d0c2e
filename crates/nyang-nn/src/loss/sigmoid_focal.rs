//! Focal loss on sigmoids: for detectors and multi-label tasks, where almost every answer is no.

use nyang_tensor::{Element, Targets, Tensor};

use super::bce::{cross_entropy, sigmoid};
use super::rows::{PROBABILITIES, Rows};
use super::softmax_focal::check_gamma;
use super::walk::each_value;
use super::{Aim, Loss, LossCase, LossSum};
use crate::{Error, Result};

const NAME: &str = "SigmoidFocal";

/// Binary cross-entropy in which an answer that is right with probability 1 − m counts m^γ times.
///
/// ```text
/// p = σ(x),   m = p (1 − t) + (1 − p) t,   a = α t + (1 − α) (1 − t),   ce = max(x, 0) − x t + ln(1 + e^−|x|)
///
/// loss = a · m^γ · ce
///
/// ∂loss/∂x = a · m^γ · (γ · r · ce + p − t),      r = m′/m = p (1 − p) (1 − 2t) / m,   which is 1 − p for t = 0 and −p for t = 1
/// ```
///
/// With r in place of m^(γ − 1) nothing is divided by zero where an answer is certain and right; its derivative is 0 there, also for γ < 1,
/// where torchvision's is NaN.
///
/// # What the mean divides by
/// The number of values, N·C for `[N, C]`: torchvision's `reduction="mean"`. Detectors often divide [`LossSum::sum`] by something else.
///
/// # Shapes
/// Logits of any shape `[N, …]`, soft targets of the same. Class indices, with logits `[N, C]`, stand for one-hot rows; with `[N, 1]` for the
/// answer itself, 0 or 1.
///
/// # Unusual numbers
/// A logit that is NaN or infinite has a gradient of NaN, and a loss as [`Bce`](crate::Bce)'s, as in torchvision.
///
/// # Errors
/// - [`Error::Shape`] if the shapes differ, [`Error::Label`] for a label ≥ C;
/// - [`Error::Target`] for a target outside of [0, 1];
/// - [`Error::Config`] for a wrong setting.
///
/// # Reference
/// Lin et al. 2017, *Focal Loss for Dense Object Detection*, arXiv:1708.02002; torchvision's `sigmoid_focal_loss`.
///
/// # Example
/// ```
/// # use nyang_nn::{Loss, SigmoidFocal, Targets, Tensor};
/// let logits = Tensor::from_vec([1, 3], vec![2.0f64, -1.0, 0.5])?;
/// let targets = Targets::Soft(Tensor::from_vec([1, 3], vec![1.0, 0.0, 1.0])?);
/// assert!((SigmoidFocal::new().value_grad(&logits, &targets)?.sum - 0.034338).abs() < 2e-6);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SigmoidFocal {
    alpha: Option<f64>,
    gamma: f64,
}

impl Default for SigmoidFocal {
    fn default() -> Self {
        SigmoidFocal { alpha: Some(0.25), gamma: 2.0 }
    }
}

impl SigmoidFocal {
    /// The loss with α = 0.25 and γ = 2.
    pub fn new() -> Self {
        Self::default()
    }

    /// α in [0, 1], the weight of a yes, with 1 − α for a no; `None` weighs both 1, as a negative α does in torchvision.
    pub fn alpha(mut self, alpha: impl Into<Option<f64>>) -> Self {
        self.alpha = alpha.into();
        self
    }

    /// γ ≥ 0; 0 is (weighted) binary cross-entropy.
    pub fn gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }

    fn term(&self, x: f64, t: f64) -> [f64; 2] {
        let [ce, slope] = cross_entropy(x, t, 1.0);
        let (p, u) = (sigmoid(x), sigmoid(-x));
        let m = p * (1.0 - t) + u * t;
        let r = match t {
            0.0 => u,
            1.0 => -p,
            _ => p * u * (1.0 - 2.0 * t) / m,
        };
        let weight = m.powf(self.gamma) * self.alpha.map_or(1.0, |a| a * t + (1.0 - a) * (1.0 - t));
        [weight * ce, weight * (self.gamma * r * ce + slope)]
    }
}

impl<T: Element> Loss<T> for SigmoidFocal {
    fn name(&self) -> &'static str {
        NAME
    }

    fn value_grad(&self, logits: &Tensor<T>, targets: &Targets<T>) -> Result<LossSum<T>> {
        check_gamma(NAME, self.gamma)?;
        if let Some(alpha) = self.alpha.filter(|a| !(0.0..=1.0).contains(a)) {
            return Err(Error::config(NAME, "alpha", alpha, "must lie in [0, 1]; None weighs yes and no the same"));
        }
        let rows = Rows::of_values(NAME, targets, logits.shape(), &PROBABILITIES)?;
        let (sum, gradient) = each_value(logits, |i, x| self.term(x, rows.at(i)))?;
        Ok(LossSum { sum, weight: logits.len() as f64, gradient })
    }
}

fn plain<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(SigmoidFocal::new()))
}
fn unweighted<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(SigmoidFocal::new().alpha(None).gamma(0.5)))
}

pub(crate) const CASES: &[LossCase] = &[
    LossCase::new("SigmoidFocal/bits", &[6, 5], Aim::Bits, "torchvision.ops.sigmoid_focal_loss(z, t, reduction='mean')", (plain, plain)),
    LossCase::new(
        "SigmoidFocal/shares",
        &[6, 5],
        Aim::Shares,
        "torchvision.ops.sigmoid_focal_loss(z, t, reduction='mean')",
        (plain, plain),
    ),
    LossCase::new(
        "SigmoidFocal/classes",
        &[6, 5],
        Aim::Classes,
        "torchvision.ops.sigmoid_focal_loss(z, F.one_hot(t, 5).double(), reduction='mean')",
        (plain, plain),
    ),
    LossCase::new(
        "SigmoidFocal/unweighted",
        &[6, 5],
        Aim::Bits,
        "torchvision.ops.sigmoid_focal_loss(z, t, alpha=-1, gamma=.5, reduction='mean')",
        (unweighted, unweighted),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bce;

    /// torchvision's numbers.
    #[test]
    fn the_golden_values() {
        for (x, t, want) in [(2.0, 1.0, 0.000451), (-1.0, 0.0, 0.016994), (0.5, 1.0, 0.016893)] {
            let [loss, _] = SigmoidFocal::new().term(x, t);
            assert!((loss - want).abs() < 5e-7, "{loss}, not {want}");
        }
    }

    #[test]
    fn gamma_0_without_alpha_is_binary_cross_entropy() {
        let z = Tensor::from_vec([1, 4], vec![2.0f64, -1.0, 0.5, 30.0]).unwrap();
        let t = Targets::Soft(Tensor::from_vec([1, 4], vec![1.0, 0.0, 0.3, 0.0]).unwrap());
        let focal = SigmoidFocal::new().alpha(None).gamma(0.0).value_grad(&z, &t).unwrap();
        assert_eq!(focal, Bce::new().value_grad(&z, &t).unwrap());
    }

    #[test]
    fn certain_answers_have_finite_losses_and_gradients() {
        for (x, t, want) in
            [(1000.0, 0.0, [750.0, 0.75]), (1000.0, 1.0, [0.0, 0.0]), (-1000.0, 0.0, [0.0, 0.0]), (-1000.0, 1.0, [250.0, -0.25])]
        {
            for gamma in [0.5, 1.0, 2.0] {
                let got = SigmoidFocal::new().gamma(gamma).term(x, t);
                assert!(got.iter().zip(want).all(|(g, w)| *g == w), "{x} {t} γ = {gamma}: {got:?}");
            }
        }
    }

    #[test]
    fn infinite_logits_are_as_in_torchvision() {
        for (x, t, finite) in [(f64::INFINITY, 0.0, true), (f64::INFINITY, 1.0, false), (f64::NEG_INFINITY, 1.0, false)] {
            let [loss, slope] = SigmoidFocal::new().term(x, t);
            assert!(slope.is_nan() && loss.is_nan() != finite, "{x} {t}: {loss} {slope}");
        }
    }

    #[test]
    fn wrong_targets_and_settings_are_errors_that_say_which() {
        let new = SigmoidFocal::new;
        let soft = |t: f64| Targets::Soft(Tensor::from_vec([1, 2], vec![0.0, t]).unwrap());
        for (loss, targets, says) in [
            (new().gamma(-0.1), soft(0.0), "SigmoidFocal: gamma = -0.1 is not valid"),
            (new().gamma(f64::NAN), soft(0.0), "SigmoidFocal: gamma = NaN"),
            (new().alpha(-1.0), soft(0.0), "SigmoidFocal: alpha = -1 is not valid: must lie in [0, 1]; None weighs"),
            (new().alpha(f64::NAN), soft(0.0), "SigmoidFocal: alpha = NaN"),
            (new(), soft(1.1), "SigmoidFocal: sample 0 of the batch has the target 1.1"),
            (new(), Targets::Classes(vec![2]), "sample 0 of the batch has label 2"),
        ] {
            let error = loss.value_grad(&Tensor::<f64>::zeros([1, 2]).unwrap(), &targets).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}\n  does not begin with {says}");
        }
    }
}
