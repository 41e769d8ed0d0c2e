//! A SiLU without the exponential: x times the hard sigmoid.

use nyang_tensor::Element;

use super::hardsigmoid::hardsigmoid;
use crate::case::Case;
use crate::pointwise::{build_plain, plain};
use crate::{Build, Curve, Module, Pointwise, Result, Spec};

pub(crate) const KIND: &str = "Hardswish";

/// A SiLU without the exponential: x times [`Hardsigmoid`](crate::Hardsigmoid), so 0 up to −3, x from 3 on, and a parabola between them.
///
/// ```text
/// f(x) = x · min(max(x + 3, 0), 6) / 6        f′(x) = 0         where x ≤ −3
///                                                     x/3 + ½   where −3 < x < 3
///                                                     1         where x ≥ 3
/// ```
///
/// Training and evaluation are the same; dx = dy · f′(x). The slope is 0 at −3, where the parabola's is −½, and 1 at 3, where it is 1½,
/// as in PyTorch. NaN stays NaN, ∞ gives ∞, and −∞ is −∞ · 0 and gives NaN with slope 0, as there.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// Howard et al. 2019, *Searching for MobileNetV3*, arXiv:1905.02244.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Hardswish, Module, Tensor};
/// let x = Tensor::from_vec([3], vec![-4.0f32, 1.5, 4.0])?;
/// assert_eq!(Hardswish::new().infer(x, &mut Ctx::eval())?.to_vec(), [0.0, 1.125, 4.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub type Hardswish<T = f32> = Pointwise<HardswishCurve, T>;

/// The curve of [`Hardswish`].
#[derive(Clone, Debug, Default)]
pub struct HardswishCurve;

impl Curve for HardswishCurve {
    const KIND: &'static str = KIND;

    fn value<T: Element>(&self, x: T) -> T {
        x * hardsigmoid(x)
    }

    fn slope<T: Element>(&self, x: T) -> T {
        if x <= T::of(-3.0) {
            T::ZERO
        } else if x >= T::of(3.0) {
            T::ONE
        } else {
            x / T::of(3.0) + T::of(0.5)
        }
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    build_plain::<HardswishCurve, T>(spec, b)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Hardswish/rows", &[3, 4], Some("nn.Hardswish()"), plain::<HardswishCurve, _>, plain::<HardswishCurve, _>),
    Case::new("Hardswish/images", &[2, 3, 4, 5], Some("nn.Hardswish()"), plain::<HardswishCurve, _>, plain::<HardswishCurve, _>),
    Case::new("Hardswish/vector", &[7], Some("nn.Hardswish()"), plain::<HardswishCurve, _>, plain::<HardswishCurve, _>),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::holds;

    #[test]
    fn the_slope_is_zero_at_minus_three_but_one_at_three() {
        let table =
            [(-4.0, 0.0, 0.0), (-3.0, 0.0, 0.0), (-1.5, -0.375, 0.0), (0.0, 0.0, 0.5), (1.5, 1.125, 1.0), (3.0, 3.0, 1.0), (4.0, 4.0, 1.0)];
        holds(Hardswish::<f64>::new(), 0.0, &table);
        holds(Hardswish::<f32>::new(), 0.0, &table);
    }

    /// The slope jumps at the kinks: −½ just above −3 and 1½ just below 3.
    #[test]
    fn beside_the_kinks_the_slope_is_the_parabolas() {
        let (low, high) = (-3.0 + 1e-9, 3.0 - 1e-9);
        holds(Hardswish::<f64>::new(), 1e-8, &[(low, 0.0, -0.5), (high, 3.0, 1.5)]);
    }

    #[test]
    fn infinity_and_nan_are_pytorchs() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        holds(Hardswish::<f64>::new(), 0.0, &[(inf, inf, 1.0), (-inf, nan, 0.0), (nan, nan, nan), (1e300, 1e300, 1.0), (-1e300, 0.0, 0.0)]);
        holds(Hardswish::<f32>::new(), 1e-7, &[(3e38, 3e38, 1.0)]); // 6x would be ∞ in f32
    }
}
