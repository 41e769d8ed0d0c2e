//! Stochastic depth: whole samples skip a branch at random in training, so that a deep network trains as many shallow ones.

use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::dropping::Dropping;
use crate::{Build, Ctx, Error, Init, Module, Result, Spec};

pub(crate) const KIND: &str = "DropPath";

/// Stochastic depth: each sample becomes zero with probability p, and the others grow so that the mean stays.
///
/// ```text
/// Train: y[n] = x[n] · k[n] / (1 − p)        k = 0 with probability p, else 1        dx = dy · k / (1 − p)
/// Eval:  y = x                                                                       dx = dy
/// ```
///
/// It is the last step of a residual block's body: where it gives zero, the sample takes the shortcut alone. The deeper the block, the
/// larger p, usually in a straight line from 0 at the first block to some tenths at the last.
///
/// # Shapes
/// `[N, …] → [N, …]`
///
/// # Errors
/// [`Error::Shape`] for an input without dimensions.
///
/// # Reference
/// Huang et al. 2016, *Deep networks with stochastic depth*, arXiv:1603.09382; torchvision's `StochasticDepth(p, "row")`.
///
/// # Example
/// ```
/// # use nyang_nn::{Conv2d, Ctx, DropPath, Flow, Init, Module, Residual, Tensor};
/// let conv = Conv2d::config(8, 8, 3).padding(1).build::<f32>(&mut Init::seed(1))?;
/// let mut block = Residual::new(Flow::new().then(conv).named("drop_path", DropPath::new(1.0)?));
/// let x = Tensor::ones([2, 8, 4, 4])?;
/// assert_eq!(block.forward(x.clone(), &mut Ctx::train(1))?, x); // every sample takes the shortcut
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DropPath<T: Element = f32> {
    dropping: Dropping<T>,
}

impl<T: Element> DropPath<T> {
    /// A layer that drops samples with probability `p`.
    ///
    /// # Errors
    /// [`Error::Config`] unless 0 ≤ p ≤ 1.
    pub fn new(p: f64) -> Result<Self> {
        Ok(DropPath { dropping: Dropping::new(KIND, p)? })
    }
}

impl<T: Element> Module<T> for DropPath<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        if input.rank() > 0 { Ok(*input) } else { Err(Error::shape(KIND, "[N, …]", input)) }
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.out_shape(x.shape())?;
        self.dropping.infer(x)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let mut mask = vec![1; self.out_shape(x.shape())?.rank()]; // a number for each sample
        mask.iter_mut().zip(x.dims()).take(1).for_each(|(m, n)| *m = *n);
        self.dropping.forward(x, Shape::new(&mask)?, cx)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.dropping.backward(dy)
    }

    fn spec(&self) -> Spec {
        Spec::new(KIND).with("p", self.dropping.p)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(DropPath::<T>::new(spec.f64("p")?)?)
}

fn half<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(DropPath::<T>::new(0.5)?)
}
fn little<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(DropPath::<T>::new(0.2)?)
}
fn all<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(DropPath::<T>::new(1.0)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("DropPath/half", &[6, 2, 3, 3], Some("StochasticDepth(0.5)"), half, half),
    Case::new("DropPath/rows", &[9, 4], Some("StochasticDepth(0.2)"), little, little),
    Case::new("DropPath/all", &[2, 3, 2, 2], Some("StochasticDepth(1.0)"), all, all),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_vanish_whole_and_the_share_is_p() {
        let mut layer = DropPath::<f64>::new(0.3).unwrap();
        let y = layer.forward(Tensor::ones([10_000, 3, 2]).unwrap(), &mut Ctx::train(1)).unwrap().to_vec();
        assert!(y.chunks(6).all(|sample| sample.iter().all(|v| *v == sample[0])));
        let dropped = y.iter().filter(|v| **v == 0.0).count() as f64 / y.len() as f64;
        assert!((dropped - 0.3).abs() < 0.028, "{dropped}"); // 6 σ of 10,000 samples
    }

    #[test]
    fn what_has_no_samples_and_probabilities_outside_are_errors() {
        let layer = DropPath::<f32>::new(0.5).unwrap();
        assert_eq!(layer.out_shape(&Shape::SCALAR).unwrap_err().to_string(), "DropPath expects [N, …], got []");
        for p in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(DropPath::<f32>::new(p).unwrap_err().to_string().starts_with("DropPath: p = "));
        }
    }
}
