//! Mish: x times the hyperbolic tangent of its softplus.

use nyang_tensor::Element;

use crate::case::Case;
use crate::pointwise::{build_plain, plain};
use crate::{Build, Curve, Module, Pointwise, Result, Spec};

pub(crate) const KIND: &str = "Mish";

/// Mish: like SiLU smooth, close to ReLU far from 0, and with a dip of −0.31 at −1.19.
///
/// ```text
/// f(x) = x t        f′(x) = t + x σ(x) (1 − t²)        t = tanh(ln(1 + eˣ))        σ(x) = 1 / (1 + e⁻ˣ)
/// ```
///
/// for the derivative of ln(1 + eˣ) is σ(x), and that of tanh is 1 − tanh². With e = exp(−|x|), which cannot overflow, this is
///
/// ```text
/// x ≥ 0:  t = (1 + 2e) / d        σ(x) (1 − t²) = 4e² (1 + e) / d²        d = 1 + 2e + 2e²
/// x < 0:  t = (e² + 2e) / d       σ(x) (1 − t²) = 4e (1 + e) / d²         d = 2 + 2e + e²
/// ```
///
/// where 1 − t² loses no digits to t² ≈ 1. Training and evaluation are the same; dx = dy · f′(x). NaN
/// stays NaN. Of the infinities, ∞ gives ∞; −∞, and the slope at both, are 0 · ∞ and give NaN, as in PyTorch.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// Misra 2019, *Mish: A self regularized non-monotonic activation function*, arXiv:1908.08681.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Mish, Module, Tensor};
/// let x = Tensor::from_vec([3], vec![-1000.0f32, 0.0, 1000.0])?;
/// assert_eq!(Mish::new().infer(x, &mut Ctx::eval())?.to_vec(), [0.0, 0.0, 1000.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub type Mish<T = f32> = Pointwise<MishCurve, T>;

/// The curve of [`Mish`].
#[derive(Clone, Debug, Default)]
pub struct MishCurve;

/// t and σ(x) (1 − t²).
fn gate<T: Element>(x: T) -> (T, T) {
    let (e, one, two) = ((-x.abs()).exp(), T::ONE, T::of(2.0));
    let above = x >= T::ZERO;
    let (n, d) = if above { (one + two * e, one + two * e * (one + e)) } else { (e * (e + two), two + e * (two + e)) };
    let turn = two / d * (two / d) * e * (one + e);
    (n / d, if above { e * turn } else { turn })
}

impl Curve for MishCurve {
    const KIND: &'static str = KIND;

    fn value<T: Element>(&self, x: T) -> T {
        x * gate(x).0
    }

    fn slope<T: Element>(&self, x: T) -> T {
        let (t, turn) = gate(x);
        t + x * turn
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    build_plain::<MishCurve, T>(spec, b)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Mish/rows", &[3, 4], Some("nn.Mish()"), plain::<MishCurve, _>, plain::<MishCurve, _>),
    Case::new("Mish/images", &[2, 3, 4, 5], Some("nn.Mish()"), plain::<MishCurve, _>, plain::<MishCurve, _>),
    Case::new("Mish/vector", &[7], Some("nn.Mish()"), plain::<MishCurve, _>, plain::<MishCurve, _>),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::holds;

    #[test]
    fn values_and_slopes_are_pytorchs() {
        let table = [
            (0.0, 0.0, 0.6),
            (1.0, 0.865_098_388_267_310_3, 1.049_036_220_099_792_2),
            (-3.0, -0.145_647_461_275_624_6, -0.093_393_114_532_320_84),
        ];
        holds(Mish::<f64>::new(), 1e-15, &table);
        holds(Mish::<f32>::new(), 2e-7, &table);
    }

    #[test]
    fn infinity_and_nan_are_pytorchs() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let table = [(inf, inf, nan), (-inf, nan, nan), (nan, nan, nan), (1000.0, 1000.0, 1.0), (-1000.0, 0.0, 0.0)];
        holds(Mish::<f64>::new(), 0.0, &table);
        holds(Mish::<f32>::new(), 0.0, &table);
    }
}
