//! The rectified linear unit that leaks: a little of what is negative passes.

use nyang_tensor::Element;

use crate::case::{Case, boxed};
use crate::{Build, Curve, Error, Init, Module, Pointwise, Result, Spec};

pub(crate) const KIND: &str = "LeakyRelu";

/// The leaky rectified linear unit: what is negative becomes small, but not zero, so that a unit whose inputs are all negative still learns.
///
/// ```text
/// f(x) = x    where x > 0        f′(x) = 1    where x > 0
///        α x  else                       α    else
/// ```
///
/// Training and evaluation are the same; dx = dy · f′(x). The slope at 0 is α, NaN stays NaN, ±∞ gives ±∞, as in PyTorch.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// Maas et al. 2013, *Rectifier nonlinearities improve neural network acoustic models*.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, LeakyRelu, Module, Tensor};
/// let x = Tensor::from_vec([3], vec![-1.0f32, 0.0, 2.0])?;
/// assert_eq!(LeakyRelu::new(0.5)?.infer(x, &mut Ctx::eval())?.to_vec(), [-0.5, 0.0, 2.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub type LeakyRelu<T = f32> = Pointwise<LeakyReluCurve, T>;

/// The curve of [`LeakyRelu`].
#[derive(Clone, Debug)]
pub struct LeakyReluCurve {
    alpha: f64,
}

impl<T: Element> LeakyRelu<T> {
    /// A layer that lets α of what is negative pass; 0.01 is PyTorch's default.
    ///
    /// # Errors
    /// [`Error::Config`] unless α is a finite number.
    pub fn new(alpha: f64) -> Result<Self> {
        Ok(Pointwise::of(LeakyReluCurve { alpha: finite::<T>(KIND, "alpha", alpha)? }))
    }
}

/// A setting that must be a finite number, in `T` too.
pub(super) fn finite<T: Element>(layer: &'static str, field: &'static str, value: f64) -> Result<f64> {
    if T::of(value).is_finite() { Ok(value) } else { Err(Error::config(layer, field, value, "must be a finite number")) }
}

impl Curve for LeakyReluCurve {
    const KIND: &'static str = KIND;

    fn value<T: Element>(&self, x: T) -> T {
        if x > T::ZERO { x } else { T::of(self.alpha) * x }
    }

    fn slope<T: Element>(&self, x: T) -> T {
        if x > T::ZERO { T::ONE } else { T::of(self.alpha) }
    }

    fn spec(&self) -> Spec {
        Spec::new(KIND).with("alpha", self.alpha)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(LeakyRelu::<T>::new(spec.f64("alpha")?)?)
}

fn hundredth<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(LeakyRelu::<T>::new(0.01)?)
}
fn fifth<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(LeakyRelu::<T>::new(0.2)?)
}
fn absolute<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(LeakyRelu::<T>::new(-1.0)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("LeakyRelu/hundredth", &[3, 4], Some("nn.LeakyReLU(0.01)"), hundredth, hundredth),
    Case::new("LeakyRelu/fifth", &[2, 3, 4, 5], Some("nn.LeakyReLU(0.2)"), fifth, fifth),
    Case::new("LeakyRelu/absolute_value", &[7], Some("nn.LeakyReLU(-1.0)"), absolute, absolute),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::holds;

    #[test]
    fn the_slope_at_zero_is_alpha() {
        let table = [(-4.0, -2.0, 0.5), (-0.0, 0.0, 0.5), (0.0, 0.0, 0.5), (3.0, 3.0, 1.0)];
        holds(LeakyRelu::<f64>::new(0.5).unwrap(), 0.0, &table);
        holds(LeakyRelu::<f32>::new(0.5).unwrap(), 0.0, &table);
    }

    /// A negative α turns y positive on both sides: x, not y, must say where the kink is.
    #[test]
    fn a_negative_alpha_keeps_its_slopes() {
        holds(LeakyRelu::<f64>::new(-1.0).unwrap(), 0.0, &[(-4.0, 4.0, -1.0), (0.0, 0.0, -1.0), (4.0, 4.0, 1.0)]);
    }

    #[test]
    fn infinity_and_nan_are_pytorchs() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        holds(LeakyRelu::<f64>::new(0.01).unwrap(), 0.0, &[(inf, inf, 1.0), (-inf, -inf, 0.01), (nan, nan, 0.01)]);
    }

    #[test]
    fn slopes_that_are_no_numbers_are_errors() {
        for alpha in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            let error = LeakyRelu::<f32>::new(alpha).unwrap_err().to_string();
            assert_eq!(error, format!("LeakyRelu: alpha = {alpha} is not valid: must be a finite number"));
        }
        assert!(LeakyRelu::<f64>::new(1e300).is_ok());
    }
}
