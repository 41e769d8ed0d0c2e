//! The hyperbolic tangent: values between −1 and 1, around 0.

use nyang_tensor::Element;

use crate::case::Case;
use crate::pointwise::{build_plain, plain};
use crate::{Build, Curve, Module, Pointwise, Result, Spec};

pub(crate) const KIND: &str = "Tanh";

/// The hyperbolic tangent: steep around 0, and flat at −1 and 1.
///
/// ```text
/// f(x) = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ) = 2 σ(2x) − 1
/// f′(x) = 1 − f(x)² = 4 e / (1 + e)²,   e = exp(−2|x|)
/// ```
///
/// The slope is computed in its last form: 1 − f² cancels where f is near ±1, and no exponent here is positive, so nothing overflows.
///
/// Training and evaluation are the same; dx = dy · f′(x). ±∞ gives ±1 with slope 0, and NaN stays NaN.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// LeCun et al. 1998, *Efficient BackProp*, section 4.4: why a sigmoid should be symmetric about 0.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Module, Tanh, Tensor};
/// let x = Tensor::from_vec([3], vec![-1000.0f32, 0.0, f32::INFINITY])?;
/// assert_eq!(Tanh::new().infer(x, &mut Ctx::eval())?.to_vec(), [-1.0, 0.0, 1.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub type Tanh<T = f32> = Pointwise<TanhCurve, T>;

/// The curve of [`Tanh`].
#[derive(Clone, Debug, Default)]
pub struct TanhCurve;

impl Curve for TanhCurve {
    const KIND: &'static str = KIND;

    fn value<T: Element>(&self, x: T) -> T {
        x.tanh()
    }

    fn slope<T: Element>(&self, x: T) -> T {
        let e = (T::of(-2.0) * x.abs()).exp();
        T::of(4.0) * e / ((T::ONE + e) * (T::ONE + e))
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    build_plain::<TanhCurve, T>(spec, b)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Tanh/rows", &[3, 4], Some("nn.Tanh()"), plain::<TanhCurve, _>, plain::<TanhCurve, _>),
    Case::new("Tanh/images", &[2, 3, 4, 5], Some("nn.Tanh()"), plain::<TanhCurve, _>, plain::<TanhCurve, _>),
    Case::new("Tanh/vector", &[7], Some("nn.Tanh()"), plain::<TanhCurve, _>, plain::<TanhCurve, _>),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::{curve_at, holds};

    #[test]
    fn values_and_slopes_are_pytorchs() {
        let table = [
            (0.0, 0.0, 1.0),
            (1.0, 0.761_594_155_955_764_9, 0.419_974_341_614_026_1),
            (-3.0, -0.995_054_753_686_730_5, 0.009_866_037_165_440_19),
        ];
        holds(Tanh::<f64>::new(), 2e-15, &table);
        holds(Tanh::<f32>::new(), 1e-7, &table);
    }

    #[test]
    fn infinity_and_nan_are_pytorchs() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        holds(Tanh::<f64>::new(), 0.0, &[(inf, 1.0, 0.0), (-inf, -1.0, 0.0), (nan, nan, nan), (1000.0, 1.0, 0.0), (-1000.0, -1.0, 0.0)]);
    }

    /// tanh′(20) = 4 e⁻⁴⁰ (1 − 2e⁻⁴⁰ + …); 1 − tanh² gives 0 there.
    #[test]
    fn the_slope_keeps_its_digits_where_the_curve_is_flat() {
        let slope = curve_at(Tanh::<f64>::new(), &[20.0]).1[0];
        assert!((slope / (4.0 * (-40.0f64).exp()) - 1.0).abs() < 1e-14, "{slope:e}");
    }
}
