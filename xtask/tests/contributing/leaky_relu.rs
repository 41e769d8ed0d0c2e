//! The rectified linear unit that leaks: a little of what is negative passes.

use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::{Build, Ctx, Error, Init, Module, Result, Saved, Spec};

pub(crate) const KIND: &str = "LeakyRelu";

/// The leaky rectified linear unit: what is negative becomes small, but not zero, so that its gradient never dies.
///
/// ```text
/// y = x where x > 0, else α x        dx = dy where x > 0, else α dy
/// ```
///
/// The derivative at 0 is taken as α, as in PyTorch.
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
#[derive(Clone, Debug)]
pub struct LeakyRelu<T: Element = f32> {
    alpha: f64,
    saved: Saved<Tensor<T>>, // x: for α < 0 the sign of y would not say which branch it came from
}

impl<T: Element> LeakyRelu<T> {
    /// A layer that lets α of what is negative pass; 0.01 is PyTorch's default.
    ///
    /// # Errors
    /// [`Error::Config`] unless α is a finite number.
    pub fn new(alpha: f64) -> Result<Self> {
        if !alpha.is_finite() {
            return Err(Error::config(KIND, "alpha", alpha, "must be a finite number"));
        }
        Ok(LeakyRelu { alpha, saved: Saved::default() })
    }
}

impl<T: Element> Module<T> for LeakyRelu<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        Ok(*input)
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let alpha = T::of(self.alpha);
        Ok(x.map(|v| if v > T::ZERO { v } else { alpha * v })?)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let y = self.infer(x.clone(), cx)?;
        self.saved.put(x);
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let x = self.saved.take(KIND)?;
        check_dy(KIND, x.shape(), &dy)?;
        let alpha = T::of(self.alpha);
        Ok(dy.zip(&x, |dy, x| if x > T::ZERO { dy } else { alpha * dy })?)
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
fn negative<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(LeakyRelu::<T>::new(-1.0)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("LeakyRelu/hundredth", &[3, 4], Some("nn.LeakyReLU(0.01)"), hundredth, hundredth),
    Case::new("LeakyRelu/fifth", &[2, 3, 4, 5], Some("nn.LeakyReLU(0.2)"), fifth, fifth),
    Case::new("LeakyRelu/absolute_value", &[7], Some("nn.LeakyReLU(-1.0)"), negative, negative),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_values_by_hand() {
        let mut layer = LeakyRelu::<f64>::new(0.5).unwrap();
        let vector = |v: [f64; 3]| Tensor::from_vec([3], v.to_vec()).unwrap();
        assert_eq!(layer.forward(vector([-4.0, 0.0, 3.0]), &mut Ctx::train(1)).unwrap().to_vec(), [-2.0, 0.0, 3.0]);
        assert_eq!(layer.backward(vector([10.0, 20.0, 30.0]), &mut Ctx::train(1)).unwrap().to_vec(), [5.0, 10.0, 30.0]);
    }

    #[test]
    fn slopes_that_are_no_numbers_are_errors() {
        for alpha in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = LeakyRelu::<f32>::new(alpha).unwrap_err().to_string();
            assert_eq!(error, format!("LeakyRelu: alpha = {alpha} is not valid: must be a finite number"));
        }
    }
}
