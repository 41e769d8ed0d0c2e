//! Dropout of whole channels: neighbouring pixels tell each other's values, so to drop one of them hides nothing.

use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::dropping::Dropping;
use crate::{Build, Ctx, Error, Init, Module, Result, Spec};

pub(crate) const KIND: &str = "Dropout2d";

/// Dropout of channels: each channel of each image becomes zero with probability p, and the others grow so that the mean stays.
///
/// ```text
/// Train: y[n,c,h,w] = x[n,c,h,w] · k[n,c] / (1 − p)        k = 0 with probability p, else 1        dx = dy · k / (1 − p)
/// Eval:  y = x                                                                                     dx = dy
/// ```
///
/// # Shapes
/// `[N, C, H, W] → [N, C, H, W]`
///
/// # Errors
/// [`Error::Shape`] unless the input is `[N, C, H, W]`.
///
/// # Reference
/// Tompson et al. 2015, *Efficient object localization using convolutional networks*, arXiv:1411.4280.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Dropout2d, Module, Tensor};
/// let y = Dropout2d::new(0.5)?.forward(Tensor::<f32>::ones([1, 9, 2, 2])?, &mut Ctx::train(1))?;
/// assert!(y.to_vec().chunks(4).all(|channel| *channel == [0.0; 4] || *channel == [2.0; 4]));
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dropout2d<T: Element = f32> {
    dropping: Dropping<T>,
}

impl<T: Element> Dropout2d<T> {
    /// A layer that drops channels with probability `p`.
    ///
    /// # Errors
    /// [`Error::Config`] unless 0 ≤ p ≤ 1.
    pub fn new(p: f64) -> Result<Self> {
        Ok(Dropout2d { dropping: Dropping::new(KIND, p)? })
    }
}

impl<T: Element> Module<T> for Dropout2d<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        if input.rank() == 4 { Ok(*input) } else { Err(Error::shape(KIND, "[N, C, H, W]", input)) }
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.out_shape(x.shape())?;
        self.dropping.infer(x)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let &[n, c, _, _] = x.dims() else { return Err(Error::shape(KIND, "[N, C, H, W]", x.shape())) };
        self.dropping.forward(x, Shape::from([n, c, 1, 1]), cx)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.dropping.backward(dy)
    }

    fn spec(&self) -> Spec {
        Spec::new(KIND).with("p", self.dropping.p)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(Dropout2d::<T>::new(spec.f64("p")?)?)
}

fn half<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Dropout2d::<T>::new(0.5)?)
}
fn little<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Dropout2d::<T>::new(0.2)?)
}
fn all<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Dropout2d::<T>::new(1.0)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Dropout2d/half", &[3, 5, 2, 3], Some("nn.Dropout2d(0.5)"), half, half),
    Case::new("Dropout2d/little", &[2, 19, 3, 1], Some("nn.Dropout2d(0.2)"), little, little),
    Case::new("Dropout2d/all", &[1, 2, 2, 2], Some("nn.Dropout2d(1.0)"), all, all),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_vanish_whole_and_the_share_is_p() {
        let mut layer = Dropout2d::<f64>::new(0.3).unwrap();
        let y = layer.forward(Tensor::ones([100, 100, 2, 3]).unwrap(), &mut Ctx::train(1)).unwrap().to_vec();
        assert!(y.chunks(6).all(|channel| channel.iter().all(|v| *v == channel[0])));
        let dropped = y.iter().filter(|v| **v == 0.0).count() as f64 / y.len() as f64;
        assert!((dropped - 0.3).abs() < 0.028, "{dropped}"); // 6 σ of 10,000 channels
    }

    #[test]
    fn what_has_no_channels_and_probabilities_outside_are_errors() {
        let layer = Dropout2d::<f32>::new(0.5).unwrap();
        assert_eq!(layer.out_shape(&Shape::from([2, 3])).unwrap_err().to_string(), "Dropout2d expects [N, C, H, W], got [2, 3]");
        for p in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Dropout2d::<f32>::new(p).unwrap_err().to_string().starts_with("Dropout2d: p = "));
        }
    }
}
