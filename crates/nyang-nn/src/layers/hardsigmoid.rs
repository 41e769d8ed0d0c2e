//! A sigmoid of three straight lines.

use nyang_tensor::Element;

use super::relu6::relu6;
use crate::case::Case;
use crate::pointwise::{build_plain, plain};
use crate::{Build, Curve, Module, Pointwise, Result, Spec};

pub(crate) const KIND: &str = "Hardsigmoid";

/// A sigmoid of three straight lines, which costs no exponential: 0 up to −3, 1 from 3 on, and a ramp between them.
///
/// ```text
/// f(x) = min(max(x + 3, 0), 6) / 6        f′(x) = 1/6 where −3 < x < 3, else 0
/// ```
///
/// Training and evaluation are the same; dx = dy · f′(x). The slope at −3 and at 3 is 0, and NaN stays NaN, with slope 0, as in PyTorch.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// Howard et al. 2019, *Searching for MobileNetV3*, arXiv:1905.02244. (Others have other ramps under this name: Keras's has slope 1/5.)
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Hardsigmoid, Module, Tensor};
/// let x = Tensor::from_vec([3], vec![-4.0f32, 0.0, 4.0])?;
/// assert_eq!(Hardsigmoid::new().infer(x, &mut Ctx::eval())?.to_vec(), [0.0, 0.5, 1.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub type Hardsigmoid<T = f32> = Pointwise<HardsigmoidCurve, T>;

/// The curve of [`Hardsigmoid`].
#[derive(Clone, Debug, Default)]
pub struct HardsigmoidCurve;

/// min(max(x + 3, 0), 6) / 6
pub(super) fn hardsigmoid<T: Element>(x: T) -> T {
    relu6(x + T::of(3.0)) / T::of(6.0)
}

impl Curve for HardsigmoidCurve {
    const KIND: &'static str = KIND;

    fn value<T: Element>(&self, x: T) -> T {
        hardsigmoid(x)
    }

    fn slope<T: Element>(&self, x: T) -> T {
        if x > T::of(-3.0) && x < T::of(3.0) { T::of(1.0 / 6.0) } else { T::ZERO }
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    build_plain::<HardsigmoidCurve, T>(spec, b)
}

/// PyTorch's own Hardsigmoid has f32's 1/6 for a slope in f64 too, 8e-9 off: this is the same function, made of exact parts.
const TORCH: Option<&str> = Some("Lambda(lambda x: F.relu6(x + 3) / 6)");

pub(crate) const CASES: &[Case] = &[
    Case::new("Hardsigmoid/rows", &[3, 4], TORCH, plain::<HardsigmoidCurve, _>, plain::<HardsigmoidCurve, _>),
    Case::new("Hardsigmoid/images", &[2, 3, 4, 5], TORCH, plain::<HardsigmoidCurve, _>, plain::<HardsigmoidCurve, _>),
    Case::new("Hardsigmoid/vector", &[7], TORCH, plain::<HardsigmoidCurve, _>, plain::<HardsigmoidCurve, _>),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::holds;

    #[test]
    fn there_is_no_slope_at_minus_three_and_at_three() {
        let sixth = 1.0 / 6.0;
        let table = [
            (-4.0, 0.0, 0.0),
            (-3.0, 0.0, 0.0),
            (-1.5, 0.25, sixth),
            (0.0, 0.5, sixth),
            (1.0, 4.0 / 6.0, sixth),
            (3.0, 1.0, 0.0),
            (4.0, 1.0, 0.0),
        ];
        holds(Hardsigmoid::<f64>::new(), 1e-15, &table);
        holds(Hardsigmoid::<f32>::new(), 6e-8, &table);
    }

    #[test]
    fn infinity_and_nan_are_pytorchs() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        holds(Hardsigmoid::<f64>::new(), 0.0, &[(inf, 1.0, 0.0), (-inf, 0.0, 0.0), (nan, nan, 0.0)]);
    }
}
