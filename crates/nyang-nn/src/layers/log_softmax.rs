//! The logarithm of softmax over the channels, without the detour over probabilities that may be 0.

use nyang_tensor::reduce::log_sum_exp;
use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::channel_rows::{channels, for_each_row, for_each_row_with, from_rows, to_rows};
use crate::module::check_dy;
use crate::{Build, Ctx, Init, Module, Result, Saved, Spec};

pub(crate) const KIND: &str = "LogSoftmax";

/// Log-softmax over dimension 1: the logarithms of the C probabilities of each sample, or of each pixel.
///
/// ```text
/// y[c] = ln softmax(x)[c] = x[c] − m − ln Σⱼ exp(x[j] − m)        m = maxⱼ x[j]
///
/// ∂y[c]/∂x[j] = [c = j] − exp(y[j]), so        dx = dy − exp(y) Σⱼ dy[j]
/// ```
///
/// The logarithm of a softmax would be −∞ as soon as a probability is rounded to 0; this one is −1000 where it should be.
///
/// Training and evaluation are the same. An input of −∞ gives −∞. A row with a NaN or +∞ in it, or of nothing but −∞, becomes NaN, as in
/// PyTorch.
///
/// # Shapes
/// `[N, C, …] → [N, C, …]`
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) for fewer than two dimensions.
///
/// # Reference
/// Blanchard, Higham & Higham 2021, *Accurately computing the log-sum-exp and softmax functions*.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, LogSoftmax, Module, Tensor};
/// let x = Tensor::from_vec([1, 2], vec![1000.0, 0.0])?;
/// assert_eq!(LogSoftmax::new().infer(x, &mut Ctx::eval())?.to_vec(), [0.0, -1000.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LogSoftmax<T: Element = f32> {
    saved: Saved<Tensor<T>>, // y
}

impl<T: Element> LogSoftmax<T> {
    /// The layer; it has nothing to configure.
    pub fn new() -> Self {
        LogSoftmax { saved: Saved::default() }
    }
}

impl<T: Element> Default for LogSoftmax<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// One row, in place.
fn log_softmax<T: Element>(row: &mut [T]) {
    let m = row.iter().copied().fold(T::NEG_INFINITY, T::max_or_nan);
    row.iter_mut().for_each(|x| *x -= m); // first, so that what is added next is small
    let log_sum = log_sum_exp(row);
    row.iter_mut().for_each(|x| *x -= log_sum);
}

impl<T: Element> Module<T> for LogSoftmax<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        channels(KIND, input).map(|_| *input)
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let c = channels(KIND, x.shape())?;
        let mut y = to_rows(x)?;
        for_each_row(&mut y, c, log_softmax)?;
        from_rows(y)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let y = self.infer(x, cx)?;
        self.saved.put(y.clone());
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let y = self.saved.take(KIND)?;
        check_dy(KIND, y.shape(), &dy)?;
        let c = channels(KIND, y.shape())?;
        let mut dx = to_rows(dy)?;
        for_each_row_with(&mut dx, c, &to_rows(y)?, c, |dx, y| {
            let sum = T::of(dx.iter().map(|dy| dy.to_f64()).sum()); // Σ dy
            dx.iter_mut().zip(y).for_each(|(dx, &y)| *dx -= y.exp() * sum);
        })?;
        from_rows(dx)
    }
}

pub(crate) fn build<T: Element>(_: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(LogSoftmax::<T>::new())
}

fn plain<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(LogSoftmax::<T>::new())
}

pub(crate) const CASES: &[Case] = &[
    Case::new("LogSoftmax/rows", &[3, 5], Some("nn.LogSoftmax(1)"), plain, plain),
    Case::new("LogSoftmax/images", &[2, 3, 4, 5], Some("nn.LogSoftmax(1)"), plain, plain),
    Case::new("LogSoftmax/sequences", &[2, 4, 3], Some("nn.LogSoftmax(1)"), plain, plain),
    Case::new("LogSoftmax/one_class", &[3, 1], Some("nn.LogSoftmax(1)"), plain, plain),
    Case::new("LogSoftmax/wide", &[2, 131], Some("nn.LogSoftmax(1)"), plain, plain),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(row: &[f64]) -> Vec<f64> {
        let x = Tensor::from_slice([1, row.len()], row).unwrap();
        LogSoftmax::new().infer(x, &mut Ctx::eval()).unwrap().to_vec()
    }

    /// The negative log-likelihoods of three rows of logits, by PyTorch.
    #[test]
    fn the_likelihoods_of_three_samples_are_pytorchs() {
        let nll = [of(&[2.0, 1.0, 0.0])[0], of(&[0.0, 1.0, 3.0])[1], of(&[1.0, 1.0, 1.0])[1]];
        for (y, expected) in nll.iter().zip([-0.407606, -2.169846, -1.098612]) {
            assert!((y - expected).abs() < 5e-7, "{y}");
        }
    }

    /// dx = dy − exp(y) Σ dy: for y = (ln ½, ln ½) and dy = (1, 0) that is 1 − ½, 0 − ½.
    #[test]
    fn the_gradient_of_two_equal_logits_by_hand() {
        let mut layer = LogSoftmax::<f64>::new();
        layer.forward(Tensor::zeros([1, 2]).unwrap(), &mut Ctx::train(1)).unwrap();
        let dx = layer.backward(Tensor::from_vec([1, 2], vec![1.0, 0.0]).unwrap(), &mut Ctx::train(1)).unwrap().to_vec();
        assert!((dx[0] - 0.5).abs() < 1e-15 && (dx[1] + 0.5).abs() < 1e-15, "{dx:?}");
    }

    #[test]
    fn thousands_infinity_and_nan_are_pytorchs() {
        let (inf, nan, ln2) = (f64::INFINITY, f64::NAN, std::f64::consts::LN_2);
        assert_eq!(of(&[1000.0, -1000.0]), [0.0, -2000.0]);
        assert_eq!(of(&[1000.0, 1000.0]), [-ln2, -ln2]); // the large part is gone before the small one is added: no digit is lost
        assert_eq!(of(&[-inf, 0.0]), [-inf, 0.0]);
        for row in [[inf, 0.0], [inf, inf], [-inf, -inf], [nan, 0.0], [0.0, nan]] {
            assert!(of(&row).iter().all(|y| y.is_nan()), "{row:?}");
        }
    }

    #[test]
    fn impossible_classes_get_their_gradient_and_pass_no_nan_on() {
        let mut layer = LogSoftmax::<f64>::new();
        layer.forward(Tensor::from_vec([1, 2], vec![f64::NEG_INFINITY, 0.0]).unwrap(), &mut Ctx::train(1)).unwrap();
        let dx = layer.backward(Tensor::from_vec([1, 2], vec![0.0, 1.0]).unwrap(), &mut Ctx::train(1)).unwrap();
        assert_eq!(dx.to_vec(), [0.0, 0.0]);
    }

    #[test]
    fn inputs_without_channels_are_errors() {
        for dims in [&[] as &[usize], &[3]] {
            let error = LogSoftmax::<f32>::new().out_shape(&Shape::new(dims).unwrap()).unwrap_err().to_string();
            assert!(error.starts_with("LogSoftmax expects a batch [N, C, …], got "), "{error}");
        }
    }
}
