//! The scaled exponential linear unit: an ELU that pulls means to 0 and variances to 1 by itself.

use nyang_tensor::Element;

use crate::case::Case;
use crate::pointwise::{build_plain, plain};
use crate::{Build, Curve, Module, Pointwise, Result, Spec};

pub(crate) const KIND: &str = "Selu";

const ALPHA: f64 = 1.673_263_242_354_377_2;
const SCALE: f64 = 1.050_700_987_355_480_5;

/// The scaled exponential linear unit: stacked with weights N(0, 1/n), outputs drift to mean 0 and variance 1 without any norm.
///
/// ```text
/// f(x) = λ x            where x > 0        f′(x) = λ        where x > 0        λ = 1.0507009873554804934…
///        λ α (eˣ − 1)   else                       λ α eˣ   else               α = 1.6732632423543772848…
/// ```
///
/// α and λ are the solution of: if x is N(0, 1), so are mean and variance of f(x). First weights should be
/// [`Scheme::XavierFanIn`](crate::Scheme::XavierFanIn), which the proof assumes.
///
/// Training and evaluation are the same; dx = dy · f′(x). The slope at 0 is λα = 1.7581, and −∞ gives −λα with slope 0, as in PyTorch.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// Klambauer et al. 2017, *Self-normalizing neural networks*, arXiv:1706.02515.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Module, Selu, Tensor};
/// let y = Selu::new().infer(Tensor::full([1], 2.0f32)?, &mut Ctx::eval())?;
/// assert_eq!(y.to_vec(), [2.101402]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub type Selu<T = f32> = Pointwise<SeluCurve, T>;

/// The curve of [`Selu`].
#[derive(Clone, Debug, Default)]
pub struct SeluCurve;

impl Curve for SeluCurve {
    const KIND: &'static str = KIND;

    fn value<T: Element>(&self, x: T) -> T {
        if x > T::ZERO { T::of(SCALE) * x } else { T::of(SCALE * ALPHA) * x.exp_m1() }
    }

    fn slope<T: Element>(&self, x: T) -> T {
        if x > T::ZERO { T::of(SCALE) } else { T::of(SCALE * ALPHA) * x.exp() }
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    build_plain::<SeluCurve, T>(spec, b)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Selu/rows", &[3, 4], Some("nn.SELU()"), plain::<SeluCurve, _>, plain::<SeluCurve, _>),
    Case::new("Selu/images", &[2, 3, 4, 5], Some("nn.SELU()"), plain::<SeluCurve, _>, plain::<SeluCurve, _>),
    Case::new("Selu/vector", &[7], Some("nn.SELU()"), plain::<SeluCurve, _>, plain::<SeluCurve, _>),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::{curve_at, holds};

    #[test]
    fn values_and_slopes_are_pytorchs() {
        let table = [(-1.0, -1.111_330_737_812_562_8, 0.646_768_603_034_814_1), (1.0, SCALE, SCALE), (3.0, 3.152_102_962_066_441_4, SCALE)];
        holds(Selu::<f64>::new(), 2e-15, &table);
        holds(Selu::<f32>::new(), 1e-7, &table);
    }

    #[test]
    fn the_slope_at_zero_is_scale_times_alpha() {
        holds(Selu::<f64>::new(), 1e-15, &[(0.0, 0.0, 1.758_099_340_847_376_8), (-0.0, 0.0, 1.758_099_340_847_376_8)]);
    }

    #[test]
    fn infinity_and_nan_are_pytorchs() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        holds(Selu::<f64>::new(), 1e-15, &[(inf, inf, SCALE), (-inf, -1.758_099_340_847_376_8, 0.0), (nan, nan, nan)]);
    }

    /// What α and λ are for: ∫ f(z) φ(z) dz = 0 and ∫ f(z)² φ(z) dz = 1, by the trapezoid rule, which is exact to rounding here.
    #[test]
    fn a_standard_normal_keeps_its_mean_and_variance() {
        let step = 1.0 / 1024.0;
        let z: Vec<f64> = (-12 * 1024..=12 * 1024).map(|i| f64::from(i) * step).collect();
        let (y, _) = curve_at(Selu::<f64>::new(), &z);
        let weight = |z: f64| step * (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let mean: f64 = z.iter().zip(&y).map(|(&z, y)| weight(z) * y).sum();
        let square: f64 = z.iter().zip(&y).map(|(&z, y)| weight(z) * y * y).sum();
        assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-6, "{mean} {square}"); // f kinks at 0: the rule is off by h²/12 there
    }
}
