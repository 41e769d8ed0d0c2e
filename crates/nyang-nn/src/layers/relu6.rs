//! The rectified linear unit with a ceiling at 6.

use nyang_tensor::Element;

use crate::case::Case;
use crate::pointwise::{build_plain, plain};
use crate::{Build, Curve, Module, Pointwise, Result, Spec};

pub(crate) const KIND: &str = "Relu6";

/// The rectified linear unit with a ceiling at 6: its values fit into few bits, which is why networks for small devices have it.
///
/// ```text
/// f(x) = min(max(x, 0), 6)        f′(x) = 1 where 0 < x < 6, else 0
/// ```
///
/// Training and evaluation are the same; dx = dy · f′(x). The slope at 0 and at 6 is 0, and NaN stays NaN, with slope 0, as in PyTorch.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// Krizhevsky 2010, *Convolutional deep belief networks on CIFAR-10*; Sandler et al. 2018, *MobileNetV2*, arXiv:1801.04381.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Module, Relu6, Tensor};
/// let x = Tensor::from_vec([3], vec![-1.0f32, 2.0, 9.0])?;
/// assert_eq!(Relu6::new().infer(x, &mut Ctx::eval())?.to_vec(), [0.0, 2.0, 6.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub type Relu6<T = f32> = Pointwise<Relu6Curve, T>;

/// The curve of [`Relu6`].
#[derive(Clone, Debug, Default)]
pub struct Relu6Curve;

/// min(max(x, 0), 6)
pub(super) fn relu6<T: Element>(x: T) -> T {
    let six = T::of(6.0);
    if x <= T::ZERO {
        T::ZERO
    } else if x >= six {
        six
    } else {
        x
    }
}

impl Curve for Relu6Curve {
    const KIND: &'static str = KIND;

    fn value<T: Element>(&self, x: T) -> T {
        relu6(x)
    }

    fn slope<T: Element>(&self, x: T) -> T {
        if x > T::ZERO && x < T::of(6.0) { T::ONE } else { T::ZERO }
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    build_plain::<Relu6Curve, T>(spec, b)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Relu6/rows", &[3, 4], Some("nn.ReLU6()"), plain::<Relu6Curve, _>, plain::<Relu6Curve, _>),
    Case::new("Relu6/images", &[2, 3, 4, 5], Some("nn.ReLU6()"), plain::<Relu6Curve, _>, plain::<Relu6Curve, _>),
    Case::new("Relu6/vector", &[7], Some("nn.ReLU6()"), plain::<Relu6Curve, _>, plain::<Relu6Curve, _>),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::holds;

    #[test]
    fn there_is_no_slope_at_zero_and_at_six() {
        let table = [(-1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.5, 0.5, 1.0), (5.5, 5.5, 1.0), (6.0, 6.0, 0.0), (7.0, 6.0, 0.0)];
        holds(Relu6::<f64>::new(), 0.0, &table);
        holds(Relu6::<f32>::new(), 0.0, &table);
    }

    #[test]
    fn infinity_and_nan_are_pytorchs() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        holds(Relu6::<f64>::new(), 0.0, &[(inf, 6.0, 0.0), (-inf, 0.0, 0.0), (nan, nan, 0.0)]);
    }
}
