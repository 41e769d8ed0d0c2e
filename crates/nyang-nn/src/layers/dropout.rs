//! Dropout: values vanish at random in training, so that no unit can rely on another.

use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::dropping::Dropping;
use crate::{Build, Ctx, Init, Module, Result, Spec};

pub(crate) const KIND: &str = "Dropout";

/// Dropout: each value becomes zero with probability p, and the others grow so that the mean stays.
///
/// ```text
/// Train: y = x · k / (1 − p)        k = 0 with probability p, else 1        dx = dy · k / (1 − p)
/// Eval:  y = x                                                              dx = dy
/// ```
///
/// With [`Dropout::scaled_in_evaluation`] the mean is kept the other way round: y = x · k in training, y = x · (1 − p) in evaluation.
///
/// p = 0 is the identity and p = 1 gives zeros; NaN stays NaN even where it is dropped: all as in PyTorch.
///
/// # Shapes
/// Any; the output has the input's.
///
/// # Reference
/// Srivastava et al. 2014, *Dropout: a simple way to prevent neural networks from overfitting*, where the scale stands in evaluation.
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
    dropping: Dropping<T>,
    scaled_in_evaluation: bool,
}

impl<T: Element> Dropout<T> {
    /// A layer that drops with probability `p`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) unless 0 ≤ p ≤ 1.
    pub fn new(p: f64) -> Result<Self> {
        Ok(Dropout { dropping: Dropping::new(KIND, p)?, scaled_in_evaluation: false })
    }

    /// Scales in evaluation, by 1 − p, and not in training: the original form, for weights that were trained so.
    ///
    /// Such weights move to the usual form if the weights of the layer behind, not its bias, are multiplied by 1 − p, where nothing
    /// but linear steps stand between. Activations are smaller in training than in the usual form, so the same learning rate does less.
    ///
    /// ```
    /// # use nyang_nn::{Ctx, Dropout, Module, Tensor};
    /// let mut layer = Dropout::<f32>::new(0.25)?.scaled_in_evaluation();
    /// let ones = Tensor::ones([100])?;
    /// assert_eq!(layer.infer(ones.clone(), &mut Ctx::eval())?.to_vec(), [0.75; 100]);
    /// assert!(layer.forward(ones, &mut Ctx::train(1))?.to_vec().iter().all(|v| *v == 0.0 || *v == 1.0));
    /// # Ok::<(), nyang_nn::Error>(())
    /// ```
    pub fn scaled_in_evaluation(mut self) -> Self {
        self.dropping.scale = [1.0, 1.0 - self.dropping.p];
        self.scaled_in_evaluation = true;
        self
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
        self.dropping.infer(x)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let mask = *x.shape(); // a number for each value
        self.dropping.forward(x, mask, cx)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.dropping.backward(dy)
    }

    fn spec(&self) -> Spec {
        let spec = Spec::new(KIND).with("p", self.dropping.p);
        if self.scaled_in_evaluation { spec.with(SCALED, true) } else { spec }
    }
}

/// The field of a description that is there, and true, for the original form only.
pub(crate) const SCALED: &str = "scaled_in_evaluation";

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    let layer = Dropout::<T>::new(spec.f64("p")?)?;
    let scaled = spec.config.contains_key(SCALED) && spec.bool(SCALED)?;
    boxed(if scaled { layer.scaled_in_evaluation() } else { layer })
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
fn all<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Dropout::<T>::new(1.0)?)
}
fn original<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Dropout::<T>::new(0.3)?.scaled_in_evaluation())
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Dropout/half", &[6, 5], Some("nn.Dropout(0.5)"), half, half),
    Case::new("Dropout/little", &[2, 3, 4, 4], Some("nn.Dropout(0.1)"), little, little),
    Case::new("Dropout/none", &[3, 4], Some("nn.Dropout(0.0)"), none, none),
    Case::new("Dropout/all", &[3, 4], Some("nn.Dropout(1.0)"), all, all),
    Case::new("Dropout/scaled_in_evaluation", &[4, 3, 5], Some("OriginalDropout(0.3)"), original, original),
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
    fn both_scalings_have_the_same_mean_in_training_and_evaluation() {
        let mut layer = Dropout::<f64>::new(0.3).unwrap().scaled_in_evaluation();
        let ones = Tensor::ones([100_000]).unwrap();
        let (train, eval) = (layer.forward(ones.clone(), &mut Ctx::train(1)).unwrap(), layer.infer(ones, &mut Ctx::eval()).unwrap());
        assert!((train.mean() - 0.7).abs() < 0.009 && (eval.mean() - 0.7).abs() < 1e-12); // 6 σ
    }

    #[test]
    fn p_of_one_gives_zeros_and_no_nan() {
        for layer in [Dropout::<f32>::new(1.0).unwrap(), Dropout::new(1.0).unwrap().scaled_in_evaluation()] {
            let mut layer = layer;
            assert_eq!(layer.forward(Tensor::ones([4]).unwrap(), &mut Ctx::train(1)).unwrap().to_vec(), [0.0; 4]);
            assert_eq!(layer.backward(Tensor::ones([4]).unwrap(), &mut Ctx::train(1)).unwrap().to_vec(), [0.0; 4]);
        }
    }

    #[test]
    fn probabilities_outside_are_errors() {
        for p in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Dropout::<f32>::new(p).unwrap_err().to_string().starts_with("Dropout: p = "));
        }
    }
}
