//! The smooth ReLU, whose slope is the logistic function.

use nyang_tensor::Element;

use super::sigmoid::sigmoid;
use crate::case::{Case, boxed};
use crate::{Build, Curve, Error, Init, Module, Pointwise, Result, Spec};

pub(crate) const KIND: &str = "Softplus";

/// The smooth ReLU: always positive, and the larger β, the nearer to max(x, 0).
///
/// ```text
/// f(x) = ln(1 + exp(βx)) / β   where βx ≤ threshold        f′(x) = σ(βx)   where βx ≤ threshold
///        x                     else                                1       else
///
/// ln(1 + eᶻ) = max(z, 0) + ln(1 + exp(−|z|))
/// ```
///
/// The logarithm is computed in its last form, which overflows nowhere. The threshold is 20, as in PyTorch: there f is x + 2e-9.
///
/// Training and evaluation are the same; dx = dy · f′(x). −∞ gives 0 with slope 0, ∞ gives ∞ with slope 1, and NaN stays NaN.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// Dugas et al. 2001, *Incorporating second-order functional knowledge for better option pricing*.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Module, Softplus, Tensor};
/// let x = Tensor::from_vec([3], vec![-1000.0f32, 0.0, 1000.0])?;
/// assert_eq!(Softplus::new(1.0)?.infer(x, &mut Ctx::eval())?.to_vec(), [0.0, std::f32::consts::LN_2, 1000.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub type Softplus<T = f32> = Pointwise<SoftplusCurve, T>;

/// The curve of [`Softplus`].
#[derive(Clone, Debug)]
pub struct SoftplusCurve {
    beta: f64,
    threshold: f64,
}

impl<T: Element> Softplus<T> {
    /// A layer of this β, with the threshold 20; β = 1 is PyTorch's default.
    ///
    /// # Errors
    /// [`Error::Config`] unless β is a positive number.
    pub fn new(beta: f64) -> Result<Self> {
        Self::with_threshold(beta, 20.0)
    }

    /// A layer that is the identity where βx is above this threshold, which may be ∞.
    ///
    /// # Errors
    /// [`Error::Config`] unless β is a positive number, and if the threshold is NaN.
    pub fn with_threshold(beta: f64, threshold: f64) -> Result<Self> {
        if !(T::of(beta).is_finite() && T::of(beta) > T::ZERO) {
            return Err(Error::config(KIND, "beta", beta, "must be a positive number"));
        }
        if threshold.is_nan() {
            return Err(Error::config(KIND, "threshold", threshold, "must be a number, or infinite for none"));
        }
        Ok(Pointwise::of(SoftplusCurve { beta, threshold }))
    }
}

impl Curve for SoftplusCurve {
    const KIND: &'static str = KIND;

    fn value<T: Element>(&self, x: T) -> T {
        let z = T::of(self.beta) * x;
        if z > T::of(self.threshold) {
            return x;
        }
        let above = if z > T::ZERO { z } else { T::ZERO };
        (above + (-z.abs()).exp().ln_1p()) / T::of(self.beta)
    }

    fn slope<T: Element>(&self, x: T) -> T {
        let z = T::of(self.beta) * x;
        if z > T::of(self.threshold) { T::ONE } else { sigmoid(z) }
    }

    fn spec(&self) -> Spec {
        Spec::new(KIND).with("beta", self.beta).with("threshold", self.threshold)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(Softplus::<T>::with_threshold(spec.f64("beta")?, spec.f64("threshold")?)?)
}

fn one<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Softplus::<T>::new(1.0)?)
}
fn steep<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Softplus::<T>::new(3.0)?)
}
fn low<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Softplus::<T>::with_threshold(2.0, 1.0)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Softplus/one", &[2, 3, 4, 5], Some("nn.Softplus()"), one, one),
    Case::new("Softplus/steep", &[3, 4], Some("nn.Softplus(3.0)"), steep, steep),
    Case::new("Softplus/low_threshold", &[2, 7], Some("nn.Softplus(2.0, 1.0)"), low, low),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::{curve_at, holds};

    #[test]
    fn values_and_slopes_are_pytorchs() {
        let ln2 = std::f64::consts::LN_2;
        let table = [
            (0.0, ln2, 0.5),
            (1.0, 1.313_261_687_518_222_8, 0.731_058_578_630_004_9),
            (-3.0, 0.048_587_351_573_742_06, 0.047_425_873_177_566_78),
        ];
        holds(Softplus::<f64>::new(1.0).unwrap(), 1e-15, &table);
        holds(Softplus::<f32>::new(1.0).unwrap(), 1e-7, &table);
        holds(
            Softplus::<f64>::new(2.0).unwrap(),
            1e-15,
            &[(0.0, ln2 / 2.0, 0.5), (0.5, 1.313_261_687_518_222_8 / 2.0, 0.731_058_578_630_004_9)],
        );
    }

    #[test]
    fn above_the_threshold_it_is_the_identity_but_not_at_it() {
        holds(
            Softplus::<f64>::with_threshold(2.0, 1.0).unwrap(),
            1e-15,
            &[(0.5, 1.313_261_687_518_222_8 / 2.0, 0.731_058_578_630_004_9), (0.51, 0.51, 1.0)],
        );
        let (y, slope) = curve_at(Softplus::<f64>::new(1.0).unwrap(), &[20.0, 20.5]);
        assert!(y[0] > 20.0 && slope[0] < 1.0 && y[1] == 20.5 && slope[1] == 1.0, "{y:?} {slope:?}");
    }

    #[test]
    fn infinity_and_nan_are_pytorchs() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let table = [(inf, inf, 1.0), (-inf, 0.0, 0.0), (nan, nan, nan), (1000.0, 1000.0, 1.0), (-1000.0, 0.0, 0.0)];
        holds(Softplus::<f64>::new(1.0).unwrap(), 0.0, &table);
        holds(Softplus::<f32>::new(1.0).unwrap(), 0.0, &table);
        holds(Softplus::<f32>::with_threshold(1.0, inf).unwrap(), 0.0, &table); // the formula itself overflows nowhere
    }

    #[test]
    fn bad_settings_are_errors_that_name_the_field() {
        for beta in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1e-60] {
            let error = Softplus::<f32>::new(beta).unwrap_err().to_string();
            assert!(error.starts_with("Softplus: beta = ") && error.ends_with("must be a positive number"), "{error}");
        }
        let error = Softplus::<f32>::with_threshold(1.0, f64::NAN).unwrap_err().to_string();
        assert!(error.starts_with("Softplus: threshold = NaN"), "{error}");
    }
}
