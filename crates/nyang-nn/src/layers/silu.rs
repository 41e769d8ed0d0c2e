//! The sigmoid linear unit, also called Swish: x times its own σ.

use nyang_tensor::Element;

use super::sigmoid::sigmoid;
use crate::case::Case;
use crate::pointwise::{build_plain, plain};
use crate::{Build, Curve, Module, Pointwise, Result, Spec};

pub(crate) const KIND: &str = "Silu";

/// The sigmoid linear unit, also called Swish: like ReLU far from 0, but smooth, and with a dip of −0.28 at −1.28.
///
/// ```text
/// f(x) = x σ(x)        f′(x) = σ(x) + x σ(x) σ(−x) = σ(x) (1 + x σ(−x))        σ(x) = 1 / (1 + e⁻ˣ)
/// ```
///
/// Training and evaluation are the same; dx = dy · f′(x). NaN stays NaN. Of the infinities, ∞ gives ∞; −∞, and the slope at both, are
/// 0 · ∞ and give NaN, as in PyTorch.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// Elfwing, Uchibe & Doya 2018, *Sigmoid-weighted linear units*, arXiv:1702.03118; Ramachandran, Zoph & Le 2017, *Searching for
/// activation functions*, arXiv:1710.05941.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Module, Silu, Tensor};
/// let x = Tensor::from_vec([3], vec![-1000.0f32, 0.0, 1000.0])?;
/// assert_eq!(Silu::new().infer(x, &mut Ctx::eval())?.to_vec(), [0.0, 0.0, 1000.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub type Silu<T = f32> = Pointwise<SiluCurve, T>;

/// The curve of [`Silu`].
#[derive(Clone, Debug, Default)]
pub struct SiluCurve;

impl Curve for SiluCurve {
    const KIND: &'static str = KIND;

    fn value<T: Element>(&self, x: T) -> T {
        x * sigmoid(x)
    }

    fn slope<T: Element>(&self, x: T) -> T {
        sigmoid(x) * (T::ONE + x * sigmoid(-x))
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    build_plain::<SiluCurve, T>(spec, b)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Silu/rows", &[3, 4], Some("nn.SiLU()"), plain::<SiluCurve, _>, plain::<SiluCurve, _>),
    Case::new("Silu/images", &[2, 3, 4, 5], Some("nn.SiLU()"), plain::<SiluCurve, _>, plain::<SiluCurve, _>),
    Case::new("Silu/vector", &[7], Some("nn.SiLU()"), plain::<SiluCurve, _>, plain::<SiluCurve, _>),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::holds;

    #[test]
    fn values_and_slopes_are_pytorchs() {
        let table = [
            (0.0, 0.0, 0.5),
            (1.0, 0.731_058_578_630_004_9, 0.927_670_511_871_486_7),
            (-3.0, -0.142_277_619_532_700_35, -0.088_104_106_015_169_62),
        ];
        holds(Silu::<f64>::new(), 1e-15, &table);
        holds(Silu::<f32>::new(), 1e-7, &table);
    }

    #[test]
    fn infinity_and_nan_are_pytorchs() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let table = [(inf, inf, nan), (-inf, nan, nan), (nan, nan, nan), (1000.0, 1000.0, 1.0), (-1000.0, 0.0, 0.0)];
        holds(Silu::<f64>::new(), 0.0, &table);
        holds(Silu::<f32>::new(), 0.0, &table);
    }
}
