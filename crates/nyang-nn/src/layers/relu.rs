//! The rectified linear unit.

use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::{Build, Ctx, Init, Module, Result, Saved, Spec};

pub(crate) const KIND: &str = "Relu";

/// The rectified linear unit: what is negative becomes zero.
///
/// ```text
/// y = max(x, 0)        dx = dy where y > 0, else 0
/// ```
///
/// The derivative at 0 is taken as 0, and NaN stays NaN, as in PyTorch.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// Nair & Hinton 2010, *Rectified linear units improve restricted Boltzmann machines*.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Module, Relu, Tensor};
/// let x = Tensor::from_vec([3], vec![-1.0f32, 0.0, 2.0])?;
/// assert_eq!(Relu::new().infer(x, &mut Ctx::eval())?.to_vec(), [0.0, 0.0, 2.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Relu<T: Element = f32> {
    saved: Saved<Tensor<T>>, // y: it says where x was positive, and the next layer holds it anyway
}

impl<T: Element> Relu<T> {
    /// The layer; it has nothing to configure.
    pub fn new() -> Self {
        Relu { saved: Saved::default() }
    }

    /// max(x, 0).
    #[inline]
    pub(crate) fn of(x: T) -> T {
        if x <= T::ZERO { T::ZERO } else { x }
    }

    /// What `forward` would keep: for a container that computed y on its own way.
    pub(crate) fn keep(&mut self, y: &Tensor<T>) {
        self.saved.put(y.clone());
    }
}

impl<T: Element> Default for Relu<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Element> Module<T> for Relu<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        Ok(*input)
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Ok(x.map(Self::of)?)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let y = self.infer(x, cx)?;
        self.keep(&y);
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let y = self.saved.take(KIND)?;
        check_dy(KIND, y.shape(), &dy)?;
        Ok(dy.zip(&y, |dy, y| if y <= T::ZERO { T::ZERO } else { dy })?)
    }
}

pub(crate) fn build<T: Element>(_: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(Relu::<T>::new())
}

fn plain<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Relu::<T>::new())
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Relu/rows", &[3, 4], Some("nn.ReLU()"), plain, plain),
    Case::new("Relu/images", &[2, 3, 4, 5], Some("nn.ReLU()"), plain, plain),
    Case::new("Relu/vector", &[7], Some("nn.ReLU()"), plain, plain),
    Case::new("Relu/wide", &[2, 37, 3, 5], Some("nn.ReLU()"), plain, plain),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_has_no_slope_and_nan_stays() {
        let mut layer = Relu::<f32>::new();
        let y = layer.forward(Tensor::from_vec([3], vec![0.0, f32::NAN, 1.0]).unwrap(), &mut Ctx::train(1)).unwrap().to_vec();
        assert!(y[0] == 0.0 && y[1].is_nan() && y[2] == 1.0);
        let dx = layer.backward(Tensor::ones([3]).unwrap(), &mut Ctx::train(1)).unwrap();
        assert_eq!(dx.to_vec(), [0.0, 1.0, 1.0]);
    }
}
