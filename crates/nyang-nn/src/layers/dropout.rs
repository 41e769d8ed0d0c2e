//! Dropout: values vanish at random in training, so that no unit can rely on another.

use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::{Build, Ctx, Error, Init, Mode, Module, Result, Saved, Spec};

pub(crate) const KIND: &str = "Dropout";

/// Dropout: each value becomes zero with probability p, and the others grow so that the mean stays.
///
/// ```text
/// Train: y = x · k / (1 − p)        k = 0 with probability p, else 1        dx = dy · k / (1 − p)
/// Eval:  y = x                                                              dx = dy
/// ```
///
/// p = 0 is the identity and p = 1 gives zeros, as in PyTorch.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// Srivastava et al. 2014, *Dropout: a simple way to prevent neural networks from overfitting*.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Dropout, Module, Tensor};
/// let y = Dropout::new(0.5)?.forward(Tensor::<f32>::ones([100])?, &mut Ctx::train(1))?;
/// assert!(y.to_vec().iter().all(|v| *v == 0.0 || *v == 2.0));
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dropout<T: Element = f32> {
    p: f64,
    saved: Saved<(Shape, Option<Tensor<T>>)>, // k/(1−p); none where nothing was dropped
}

impl<T: Element> Dropout<T> {
    /// A layer that drops with probability `p`.
    ///
    /// # Errors
    /// [`Error::Config`] unless 0 ≤ p ≤ 1.
    pub fn new(p: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&p) {
            return Err(Error::config(KIND, "p", p, "must lie between 0 and 1; it is the probability of dropping"));
        }
        Ok(Dropout { p, saved: Saved::default() })
    }
}

impl<T: Element> Module<T> for Dropout<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        Ok(*input)
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Ok(x)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        if cx.mode == Mode::Eval || self.p == 0.0 {
            self.saved.put((*x.shape(), None));
            return Ok(x);
        }
        let kept = if self.p < 1.0 { T::of(1.0 / (1.0 - self.p)) } else { T::ZERO };
        let mask = Tensor::from_fn(x.shape(), |_| if cx.rng.uniform() < self.p { T::ZERO } else { kept })?;
        let y = x.mul(&mask)?;
        self.saved.put((*y.shape(), Some(mask)));
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let (shape, mask) = self.saved.take(KIND)?;
        check_dy(KIND, &shape, &dy)?;
        match mask {
            Some(mask) => Ok(dy.mul(&mask)?),
            None => Ok(dy),
        }
    }

    fn spec(&self) -> Spec {
        Spec::new(KIND).with("p", self.p)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(Dropout::<T>::new(spec.f64("p")?)?)
}

fn half<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Dropout::<T>::new(0.5)?)
}
fn little<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Dropout::<T>::new(0.1)?)
}
fn none<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Dropout::<T>::new(0.0)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Dropout/half", &[6, 5], Some("nn.Dropout(0.5)"), half, half),
    Case::new("Dropout/little", &[2, 3, 4, 4], Some("nn.Dropout(0.1)"), little, little),
    Case::new("Dropout/none", &[3, 4], Some("nn.Dropout(0.0)"), none, none),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_dropped_is_p_and_the_mean_stays() {
        let mut layer = Dropout::<f64>::new(0.3).unwrap();
        let y = layer.forward(Tensor::ones([100_000]).unwrap(), &mut Ctx::train(1)).unwrap();
        let dropped = y.to_vec().iter().filter(|v| **v == 0.0).count() as f64 / 1e5;
        assert!((dropped - 0.3).abs() < 0.009, "{dropped}"); // 6 σ
        assert!((y.mean() - 1.0).abs() < 0.0125, "{}", y.mean());
    }

    #[test]
    fn p_of_one_gives_zeros_and_no_nan() {
        let mut layer = Dropout::<f32>::new(1.0).unwrap();
        assert_eq!(layer.forward(Tensor::ones([4]).unwrap(), &mut Ctx::train(1)).unwrap().to_vec(), [0.0; 4]);
        assert_eq!(layer.backward(Tensor::ones([4]).unwrap(), &mut Ctx::train(1)).unwrap().to_vec(), [0.0; 4]);
    }

    #[test]
    fn probabilities_outside_are_errors() {
        for p in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Dropout::<f32>::new(p).unwrap_err().to_string().starts_with("Dropout: p = "));
        }
    }
}
