//! The exponential linear unit: a ReLU whose negative side bends smoothly to −α.

use nyang_tensor::Element;

use super::leaky_relu::finite;
use crate::case::{Case, boxed};
use crate::{Build, Curve, Init, Module, Pointwise, Result, Spec};

pub(crate) const KIND: &str = "Elu";

/// The exponential linear unit: its negative values bring the mean of a layer's outputs near 0, which speeds up learning.
///
/// ```text
/// f(x) = x            where x > 0        f′(x) = 1      where x > 0
///        α (eˣ − 1)   else                       α eˣ   else
/// ```
///
/// Training and evaluation are the same; dx = dy · f′(x). The slope at 0 is α, and −∞ gives −α with slope 0, as in PyTorch; with α = 1
/// there is no kink. eˣ − 1 is computed as one function, for near 0 the difference would lose its digits.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// Clevert, Unterthiner & Hochreiter 2016, *Fast and accurate deep network learning by exponential linear units*, arXiv:1511.07289.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Elu, Module, Tensor};
/// let x = Tensor::from_vec([2], vec![f32::NEG_INFINITY, 2.0])?;
/// assert_eq!(Elu::new(1.0)?.infer(x, &mut Ctx::eval())?.to_vec(), [-1.0, 2.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub type Elu<T = f32> = Pointwise<EluCurve, T>;

/// The curve of [`Elu`].
#[derive(Clone, Debug)]
pub struct EluCurve {
    alpha: f64,
}

impl<T: Element> Elu<T> {
    /// A layer whose negative side ends at −α; 1 is PyTorch's default.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) unless α is a finite number.
    pub fn new(alpha: f64) -> Result<Self> {
        Ok(Pointwise::of(EluCurve { alpha: finite::<T>(KIND, "alpha", alpha)? }))
    }
}

impl Curve for EluCurve {
    const KIND: &'static str = KIND;

    fn value<T: Element>(&self, x: T) -> T {
        if x > T::ZERO { x } else { T::of(self.alpha) * x.exp_m1() }
    }

    fn slope<T: Element>(&self, x: T) -> T {
        if x > T::ZERO { T::ONE } else { T::of(self.alpha) * x.exp() }
    }

    fn spec(&self) -> Spec {
        Spec::new(KIND).with("alpha", self.alpha)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(Elu::<T>::new(spec.f64("alpha")?)?)
}

fn one<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Elu::<T>::new(1.0)?)
}
fn half<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Elu::<T>::new(0.5)?)
}
fn none<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Elu::<T>::new(0.0)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Elu/one", &[2, 3, 4, 5], Some("nn.ELU()"), one, one),
    Case::new("Elu/half", &[3, 4], Some("nn.ELU(0.5)"), half, half),
    Case::new("Elu/as_relu", &[7], Some("nn.ELU(0.0)"), none, none),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::holds;

    #[test]
    fn minus_one_gives_one_over_e_minus_one() {
        let e = std::f64::consts::E;
        holds(
            Elu::<f64>::new(1.0).unwrap(),
            1e-15,
            &[(-1.0, 1.0 / e - 1.0, 1.0 / e), (-1.0, -0.632_120_558_828_557_7, 0.367_879_441_171_442_33)],
        );
        holds(Elu::<f32>::new(1.0).unwrap(), 6e-8, &[(-1.0, 1.0 / e - 1.0, 1.0 / e)]);
    }

    #[test]
    fn the_slope_at_zero_is_alpha() {
        holds(Elu::<f64>::new(1.0).unwrap(), 0.0, &[(0.0, 0.0, 1.0), (-0.0, 0.0, 1.0)]);
        holds(Elu::<f64>::new(0.5).unwrap(), 0.0, &[(0.0, 0.0, 0.5), (2.0, 2.0, 1.0)]);
    }

    #[test]
    fn infinity_and_nan_are_pytorchs() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        holds(Elu::<f64>::new(2.0).unwrap(), 0.0, &[(inf, inf, 1.0), (-inf, -2.0, 0.0), (nan, nan, nan), (-1000.0, -2.0, 0.0)]);
    }

    /// eˣ − 1 of −1e-12 is −1e-12 + 5e-25; the difference of the two would be −1.00009e-12.
    #[test]
    fn near_zero_no_digits_are_lost() {
        let y = crate::pointwise::tests::curve_at(Elu::<f64>::new(1.0).unwrap(), &[-1e-12]).0[0];
        assert!((y / -1e-12 - 1.0).abs() < 1e-11, "{y:e}");
    }

    #[test]
    fn alphas_that_are_no_numbers_are_errors() {
        for alpha in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e300] {
            let error = Elu::<f32>::new(alpha).unwrap_err().to_string();
            assert_eq!(error, format!("Elu: alpha = {alpha} is not valid: must be a finite number"));
        }
    }
}
