//! The logistic function: any number to a probability.

use nyang_tensor::Element;

use crate::case::Case;
use crate::pointwise::{build_plain, plain};
use crate::{Build, Curve, Module, Pointwise, Result, Spec};

pub(crate) const KIND: &str = "Sigmoid";

/// The logistic function σ: from any number to one between 0 and 1.
///
/// ```text
/// f(x) = 1 / (1 + e⁻ˣ) = σ(x)
/// f′(x) = σ(x) σ(−x) = e / (1 + e)²,   e = exp(−|x|)
/// ```
///
/// Both are computed with e: no exponent is positive, so nothing overflows, and 1 − σ(x) = σ(−x) does not cancel where σ is near 1.
///
/// Training and evaluation are the same; dx = dy · f′(x). −∞ gives 0 and ∞ gives 1, both with slope 0, and NaN stays NaN.
///
/// A network that ends in a probability should end in the logit instead, and leave σ to the loss, which can do without the logarithm of
/// a rounded probability.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// Verhulst 1838, *Notice sur la loi que la population suit dans son accroissement*; as an activation: Rumelhart, Hinton & Williams 1986,
/// *Learning representations by back-propagating errors*.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Module, Sigmoid, Tensor};
/// let x = Tensor::from_vec([3], vec![-1000.0f32, 0.0, f32::INFINITY])?;
/// assert_eq!(Sigmoid::new().infer(x, &mut Ctx::eval())?.to_vec(), [0.0, 0.5, 1.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub type Sigmoid<T = f32> = Pointwise<SigmoidCurve, T>;

/// The curve of [`Sigmoid`].
#[derive(Clone, Debug, Default)]
pub struct SigmoidCurve;

/// σ(x)
pub(super) fn sigmoid<T: Element>(x: T) -> T {
    let e = (-x.abs()).exp();
    if x >= T::ZERO { T::ONE / (T::ONE + e) } else { e / (T::ONE + e) }
}

/// σ′(x)
pub(super) fn sigmoid_slope<T: Element>(x: T) -> T {
    let e = (-x.abs()).exp();
    e / ((T::ONE + e) * (T::ONE + e))
}

impl Curve for SigmoidCurve {
    const KIND: &'static str = KIND;

    fn value<T: Element>(&self, x: T) -> T {
        sigmoid(x)
    }

    fn slope<T: Element>(&self, x: T) -> T {
        sigmoid_slope(x)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    build_plain::<SigmoidCurve, T>(spec, b)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Sigmoid/rows", &[3, 4], Some("nn.Sigmoid()"), plain::<SigmoidCurve, _>, plain::<SigmoidCurve, _>),
    Case::new("Sigmoid/images", &[2, 3, 4, 5], Some("nn.Sigmoid()"), plain::<SigmoidCurve, _>, plain::<SigmoidCurve, _>),
    Case::new("Sigmoid/vector", &[7], Some("nn.Sigmoid()"), plain::<SigmoidCurve, _>, plain::<SigmoidCurve, _>),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::{curve_at, holds};

    #[test]
    fn values_and_slopes_are_pytorchs() {
        let table = [
            (0.0, 0.5, 0.25),
            (1.0, 0.731_058_578_630_004_9, 0.196_611_933_241_481_85),
            (-3.0, 0.047_425_873_177_566_78, 0.045_176_659_730_912_13),
        ];
        holds(Sigmoid::<f64>::new(), 1e-15, &table);
        holds(Sigmoid::<f32>::new(), 1e-7, &table);
    }

    #[test]
    fn infinity_and_nan_are_pytorchs() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let table = [(inf, 1.0, 0.0), (-inf, 0.0, 0.0), (nan, nan, nan), (1000.0, 1.0, 0.0), (-1000.0, 0.0, 0.0)];
        holds(Sigmoid::<f64>::new(), 0.0, &table);
        holds(Sigmoid::<f32>::new(), 0.0, &table);
    }

    /// σ(−700) = e⁻⁷⁰⁰ to all digits, and so is its slope, and that of σ at 700.
    #[test]
    fn the_tails_keep_their_digits() {
        let (y, slope) = curve_at(Sigmoid::<f64>::new(), &[-700.0, 700.0]);
        let tail = (-700.0f64).exp();
        assert!([y[0], slope[0], slope[1]].iter().all(|v| (v / tail - 1.0).abs() < 1e-14), "{y:?} {slope:?}");
    }
}
