//! Binary cross-entropy: each output answers its own yes-or-no question.

use nyang_tensor::{Element, Targets, Tensor};

use super::rows::{PROBABILITIES, Rows, check_per_class};
use super::walk::each_value;
use super::{Aim, Loss, LossCase, LossSum};
use crate::{Error, Result};

const NAME: &str = "Bce";

/// Binary cross-entropy of logits x with probabilities y; the sigmoid σ is inside.
///
/// ```text
/// loss = −[w y ln σ(x) + (1 − y) ln (1 − σ(x))]             w: pos_weight, 1 unless asked otherwise
///      = (1 − y) x + (1 + (w − 1) y) · ln(1 + e⁻ˣ)
///      = max(x, 0) − x y + ln(1 + e^−|x|)                   for w = 1
///
/// ∂loss/∂x = (1 − y) − (1 + (w − 1) y) · σ(−x)              for w = 1:  σ(x) − y
/// ```
///
/// where ln(1 + e⁻ˣ) is max(−x, 0) + ln(1 + e^−|x|), whose exponential cannot overflow: a logit of ±1000 has a finite loss and a gradient.
/// A sigmoid before it would be a second one.
///
/// # What the mean divides by
/// The number of values, N·C for `[N, C]`, as PyTorch's does.
///
/// # Shapes
/// Logits of any shape `[N, …]`, soft targets of the same: several may be 1 in a row. Class indices, with logits `[N, C]`, stand for one-hot
/// rows; with `[N, 1]` for the answer itself, 0 or 1.
///
/// # Unusual numbers
/// As in PyTorch, a NaN is a NaN of the loss and of its own place in the gradient; a logit of ±∞ is wrong by ∞ or not a number.
///
/// # Errors
/// - [`Error::Shape`] if the shapes differ, [`Error::Label`] for a label ≥ C;
/// - [`Error::Target`] for a target outside of [0, 1];
/// - [`Error::Config`] for wrong weights.
///
/// # Example
/// ```
/// # use nyang_nn::{Bce, Loss, Targets, Tensor};
/// let logits = Tensor::from_vec([2, 1], vec![0.0f64, 1000.0])?;
/// let loss = Bce::new().value_grad(&logits, &Targets::Classes(vec![1, 1]))?.mean()?;
/// assert_eq!((loss.value, loss.gradient.to_vec()), (2f64.ln() / 2.0, vec![-0.25, 0.0]));
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bce {
    pos_weight: Option<Vec<f64>>,
}

impl Bce {
    /// The loss; yes and no weigh the same.
    pub fn new() -> Self {
        Self::default()
    }

    /// w: how much a yes weighs, for each column of logits `[N, C]` a finite number ≥ 0; (number of no) / (number of yes) makes them even.
    pub fn pos_weight(mut self, weights: impl Into<Vec<f64>>) -> Self {
        self.pos_weight = Some(weights.into());
        self
    }
}

impl<T: Element> Loss<T> for Bce {
    fn name(&self) -> &'static str {
        NAME
    }

    fn value_grad(&self, logits: &Tensor<T>, targets: &Targets<T>) -> Result<LossSum<T>> {
        let weights = self.pos_weight.as_deref();
        let columns = match (logits.dims(), weights) {
            (&[_, c], _) => c,
            (_, None) => 1,
            (_, Some(_)) => return Err(Error::shape(NAME, "logits [N, C] with pos_weight", logits.shape())),
        };
        check_per_class(NAME, "pos_weight", weights, columns)?;
        let rows = Rows::of_values(NAME, targets, logits.shape(), &PROBABILITIES)?;
        let (sum, gradient) = each_value(logits, |i, x| {
            let w = weights.and_then(|w| w.get(i % columns.max(1))).map_or(1.0, |&w| w);
            cross_entropy(x, rows.at(i), w)
        })?;
        Ok(LossSum { sum, weight: logits.len() as f64, gradient })
    }
}

/// The loss of one logit, with a yes of weight w, and its derivative.
pub(super) fn cross_entropy(x: f64, y: f64, w: f64) -> [f64; 2] {
    let w = 1.0 + (w - 1.0) * y;
    let softplus = (-x).max(0.0) + (-x.abs()).exp().ln_1p(); // ln(1 + e⁻ˣ)
    [(1.0 - y) * x + w * softplus, (1.0 - y) - w * sigmoid(-x)]
}

/// σ(x) = 1 / (1 + e⁻ˣ), with all digits where it is small.
pub(super) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp(); // of a negative number: e⁻ˣ might overflow
        e / (1.0 + e)
    }
}

fn plain<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(Bce::new()))
}
fn weighted<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(Bce::new().pos_weight([1.0, 3.0, 0.5, 0.0, 2.0])))
}

pub(crate) const CASES: &[LossCase] = &[
    LossCase::new("Bce/bits", &[6, 5], Aim::Bits, "F.binary_cross_entropy_with_logits(z, t)", (plain, plain)),
    LossCase::new("Bce/shares", &[6, 5], Aim::Shares, "F.binary_cross_entropy_with_logits(z, t)", (plain, plain)),
    LossCase::new("Bce/classes", &[6, 5], Aim::Classes, "F.binary_cross_entropy_with_logits(z, F.one_hot(t, 5).double())", (plain, plain)),
    LossCase::new("Bce/one_column", &[6, 1], Aim::Classes, "F.binary_cross_entropy_with_logits(z, t.double()[:, None])", (plain, plain)),
    LossCase::new("Bce/images", &[2, 3, 4, 5], Aim::Shares, "F.binary_cross_entropy_with_logits(z, t)", (plain, plain)),
    LossCase::new(
        "Bce/weighted",
        &[6, 5],
        Aim::Shares,
        "F.binary_cross_entropy_with_logits(z, t, pos_weight=torch.tensor([1, 3, .5, 0, 2]))",
        (weighted, weighted),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A sigmoid and then a logarithm would give NaN here. Numbers of PyTorch.
    #[test]
    fn logits_of_a_thousand_have_finite_losses_and_gradients() {
        let z = Tensor::from_vec([4, 1], vec![1000.0f32, 1000.0, -1000.0, -1000.0]).unwrap();
        let targets = Targets::Classes(vec![0, 1, 0, 1]);
        let loss = Bce::new().value_grad(&z, &targets).unwrap();
        assert_eq!((loss.sum, loss.gradient.to_vec()), (2000.0, vec![1.0, 0.0, 0.0, -1.0]));
        let loss = Bce::new().pos_weight([2.0]).value_grad(&z, &targets).unwrap();
        assert_eq!((loss.sum, loss.gradient.to_vec()), (3000.0, vec![1.0, 0.0, 0.0, -2.0]));
    }

    #[test]
    fn infinite_logits_are_as_in_pytorch() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        for (x, y, want) in [
            (inf, 0.0, [inf, 1.0]),
            (inf, 1.0, [nan, 0.0]),
            (-inf, 0.0, [nan, 0.0]),
            (-inf, 1.0, [nan, -1.0]),
            (nan, 0.0, [nan, nan]),
            (nan, 1.0, [nan, nan]),
        ] {
            let got = cross_entropy(x, y, 1.0);
            assert!(got.iter().zip(want).all(|(g, w)| *g == w || (g.is_nan() && w.is_nan())), "{x} {y}: {got:?}, not {want:?}");
        }
    }

    #[test]
    fn the_stable_form_is_the_definition() {
        for x in [-3.0, -0.1, 0.0, 0.5, 4.0] {
            for y in [0.0, 0.3, 1.0] {
                for w in [0.0, 1.0, 2.5] {
                    let p = 1.0 / (1.0 + f64::exp(-x));
                    let want = -(w * y * p.ln() + (1.0 - y) * (1.0 - p).ln());
                    assert!((cross_entropy(x, y, w)[0] - want).abs() < 1e-14);
                }
            }
        }
    }

    #[test]
    fn a_small_probability_keeps_its_digits() {
        assert!((sigmoid(-700.0) / (-700f64).exp() - 1.0).abs() < 1e-15);
        assert!((cross_entropy(40.0, 1.0, 1.0)[0] / (-40f64).exp() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn wrong_targets_and_weights_are_errors_that_say_which() {
        let z = Tensor::<f64>::zeros([2, 2]).unwrap();
        let soft = |t: f64| Targets::Soft(Tensor::from_vec([2, 2], vec![0.0, 1.0, t, 1.0]).unwrap());
        for (loss, targets, says) in [
            (Bce::new(), soft(-0.1), "Bce: sample 1 of the batch has the target -0.1: a probability must lie between 0 and 1"),
            (Bce::new(), soft(2.0), "Bce: sample 1 of the batch has the target 2"),
            (Bce::new(), soft(f64::NAN), "Bce: sample 1 of the batch has the target NaN"),
            (Bce::new(), Targets::Classes(vec![0, 2]), "sample 1 of the batch has label 2, but there are 2 classes"),
            (Bce::new().pos_weight([1.0]), soft(0.0), "Bce: pos_weight = 1 for 2 classes"),
            (Bce::new().pos_weight([1.0, f64::NAN]), soft(0.0), "Bce: pos_weight = NaN"),
            (Bce::new().pos_weight([1.0, -2.0]), soft(0.0), "Bce: pos_weight = -2"),
        ] {
            let error = loss.value_grad(&z, &targets).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}\n  does not begin with {says}");
        }
        let images = Tensor::<f64>::zeros([2, 2, 1, 1]).unwrap();
        assert!(Bce::new().pos_weight([1.0, 1.0]).value_grad(&images, &Targets::Soft(images.clone())).is_err());
    }
}
