//! The Gaussian error linear unit: x times the probability that a normal number is smaller. Exact, and as it is often approximated.

use nyang_tensor::Element;

use super::sigmoid::{sigmoid, sigmoid_slope};
use crate::case::{Case, boxed};
use crate::pointwise::plain;
use crate::{Build, Curve, Error, Init, Module, Pointwise, Result, Spec};

pub(crate) const KIND: &str = "Gelu";

/// The Gaussian error linear unit: x is kept with the probability that a standard normal number is smaller, in the mean.
///
/// ```text
/// Φ(x) = ½ erfc(−x/√2)        φ(x) = exp(−x²/2) / √(2π)
///
/// exact:  f(x) = x Φ(x)                            f′(x) = Φ(x) + x φ(x)
/// tanh:   f(x) = ½ x (1 + tanh u) = x σ(2u)        f′(x) = σ(2u) + x σ′(2u) · 2u′
///         u = √(2/π) (x + 0.044715 x³)             u′ = √(2/π) (1 + 3 · 0.044715 x²)
/// ```
///
/// The exact form is PyTorch's default. The other one differs by at most 5e-4 and is there for networks that were trained with it.
/// Φ is taken from erfc and not from ½ (1 + erf), which would lose all digits where Φ is small; ½ (1 + tanh u) = σ(2u) for the same reason.
///
/// Training and evaluation are the same; dx = dy · f′(x). NaN stays NaN. Of the infinities, ∞ gives ∞; −∞, and the slope at both, are
/// 0 · ∞ and give NaN, as in PyTorch.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// Hendrycks & Gimpel 2016, *Gaussian error linear units*, arXiv:1606.08415.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Gelu, Module, Tensor};
/// let one = || Tensor::full([1], 1.0f32);
/// assert_eq!(Gelu::new().infer(one()?, &mut Ctx::eval())?.to_vec(), [0.8413447]);
/// assert_eq!(Gelu::tanh().infer(one()?, &mut Ctx::eval())?.to_vec(), [0.841192]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub type Gelu<T = f32> = Pointwise<GeluCurve, T>;

/// The curves of [`Gelu`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum GeluCurve {
    /// x Φ(x).
    #[default]
    Exact,
    /// The approximation with tanh.
    Tanh,
}

impl<T: Element> Gelu<T> {
    /// The layer in its approximate form, with tanh. [`Gelu::new`](Pointwise::new) is the exact one.
    pub fn tanh() -> Self {
        Pointwise::of(GeluCurve::Tanh)
    }
}

const ROOT_2_OVER_PI: f64 = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
const CUBIC: f64 = 0.044715;

/// Φ(x)
fn normal_cdf<T: Element>(x: T) -> T {
    T::of(0.5) * (T::of(-std::f64::consts::FRAC_1_SQRT_2) * x).erfc()
}

/// φ(x)
fn normal_density<T: Element>(x: T) -> T {
    T::of(0.5 * ROOT_2_OVER_PI) * (T::of(-0.5) * x * x).exp() // ½ √(2/π) = 1/√(2π)
}

/// 2u
fn two_u<T: Element>(x: T) -> T {
    T::of(2.0 * ROOT_2_OVER_PI) * x * (T::ONE + T::of(CUBIC) * x * x)
}

impl Curve for GeluCurve {
    const KIND: &'static str = KIND;

    fn value<T: Element>(&self, x: T) -> T {
        match self {
            GeluCurve::Exact => x * normal_cdf(x),
            GeluCurve::Tanh => x * sigmoid(two_u(x)),
        }
    }

    fn slope<T: Element>(&self, x: T) -> T {
        match self {
            GeluCurve::Exact => normal_cdf(x) + x * normal_density(x),
            GeluCurve::Tanh => {
                let two_du = T::of(2.0 * ROOT_2_OVER_PI) * (T::ONE + T::of(3.0 * CUBIC) * x * x);
                sigmoid(two_u(x)) + x * sigmoid_slope(two_u(x)) * two_du
            }
        }
    }

    fn spec(&self) -> Spec {
        Spec::new(KIND).with("approximate", if *self == GeluCurve::Tanh { "tanh" } else { "none" })
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    match spec.text("approximate")? {
        "none" => boxed(Gelu::<T>::new()),
        "tanh" => boxed(Gelu::<T>::tanh()),
        other => Err(Error::config(KIND, "approximate", other, "must be none or tanh")),
    }
}

fn approximate<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Gelu::<T>::tanh())
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Gelu/exact", &[2, 3, 4, 5], Some("nn.GELU()"), plain::<GeluCurve, _>, plain::<GeluCurve, _>),
    Case::new("Gelu/tanh", &[2, 3, 4, 5], Some("nn.GELU('tanh')"), approximate, approximate),
    Case::new("Gelu/rows", &[3, 4], Some("nn.GELU()"), plain::<GeluCurve, _>, plain::<GeluCurve, _>),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::{curve_at, holds};
    use crate::{Init, Registry};

    #[test]
    fn one_gives_what_pytorch_gives_in_both_forms() {
        holds(Gelu::<f64>::new(), 1e-15, &[(0.0, 0.0, 0.5), (1.0, 0.841_344_746_068_542_9, 1.083_315_470_587_686_4)]);
        holds(Gelu::<f64>::tanh(), 1e-15, &[(0.0, 0.0, 0.5), (1.0, 0.841_191_990_608_276_7, 1.082_964_083_845_782_6)]);
        holds(Gelu::<f32>::new(), 1e-7, &[(1.0, 0.841_344_746_068_542_9, 1.083_315_470_587_686_4)]);
        holds(Gelu::<f32>::tanh(), 1e-7, &[(1.0, 0.841_191_990_608_276_7, 1.082_964_083_845_782_6)]);
    }

    /// x Φ(x) at −6 and −10 by mpmath; with ½ (1 + erf) the first has seven digits and the second is 0.
    #[test]
    fn the_tail_keeps_its_digits() {
        let y = curve_at(Gelu::<f64>::new(), &[-6.0, -10.0]).0;
        for (y, expected) in y.iter().zip([-5.919_525_870_226_188_5e-9, -7.619_853_024_160_526e-23]) {
            assert!((y / expected - 1.0).abs() < 1e-13, "{y:e}");
        }
        let y = curve_at(Gelu::<f32>::new(), &[-6.0]).0;
        assert!((y[0] / -5.919_525_870_226_188_5e-9 - 1.0).abs() < 1e-5, "{:e}", y[0]);
    }

    #[test]
    fn infinity_and_nan_are_pytorchs() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let table = [(inf, inf, nan), (-inf, nan, nan), (nan, nan, nan), (1000.0, 1000.0, 1.0), (-1000.0, 0.0, 0.0)];
        for layer in [Gelu::<f64>::new(), Gelu::tanh()] {
            holds(layer, 0.0, &table);
        }
        for layer in [Gelu::<f32>::new(), Gelu::tanh()] {
            holds(layer, 0.0, &table);
        }
    }

    #[test]
    fn an_unknown_form_is_an_error() {
        let spec = Spec::new(KIND).with("approximate", "sketch");
        let error = Registry::<f32>::standard().build(&spec, &mut Init::seed(1)).err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(error, "Gelu: approximate = sketch is not valid: must be none or tanh");
    }
}
