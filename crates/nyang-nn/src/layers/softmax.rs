//! Softmax over the channels: any numbers to probabilities that sum to 1.

use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::channel_rows::{channels, for_each_row, for_each_row_with, from_rows, to_rows};
use crate::module::check_dy;
use crate::{Build, Ctx, Init, Module, Result, Saved, Spec};

pub(crate) const KIND: &str = "Softmax";

/// Softmax over dimension 1: from the C numbers of each sample, or of each pixel, to C probabilities.
///
/// ```text
/// y[c] = exp(x[c] − m) / Σⱼ exp(x[j] − m)        m = maxⱼ x[j], which cancels out, and without which exp would overflow
///
/// ∂y[c]/∂x[j] = y[c] ([c = j] − y[j]), so        dx = y · (dy − Σⱼ dy[j] y[j])
/// ```
///
/// Training and evaluation are the same. An input of −∞ has probability 0. A row with a NaN or +∞ in it, or of nothing but −∞, has no
/// probabilities and becomes NaN, as in PyTorch.
///
/// Before a cross-entropy there must be *no* softmax, for [`CrossEntropy`](crate::CrossEntropy) takes logits and brings its own: twice
/// softmax squeezes all probabilities towards each other and still seems to learn.
///
/// # Shapes
/// `[N, C, …] → [N, C, …]`
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) for fewer than two dimensions.
///
/// # Reference
/// Bridle 1990, *Probabilistic interpretation of feedforward classification network outputs*.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Module, Softmax, Tensor};
/// let x = Tensor::from_vec([1, 2], vec![1000.0, 1000.0])?;
/// assert_eq!(Softmax::new().infer(x, &mut Ctx::eval())?.to_vec(), [0.5, 0.5]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Softmax<T: Element = f32> {
    saved: Saved<Tensor<T>>, // y: the gradient needs nothing else
}

impl<T: Element> Softmax<T> {
    /// The layer; it has nothing to configure.
    pub fn new() -> Self {
        Softmax { saved: Saved::default() }
    }
}

impl<T: Element> Default for Softmax<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// One row, in place.
fn softmax<T: Element>(row: &mut [T]) {
    let m = row.iter().copied().fold(T::NEG_INFINITY, T::max_or_nan);
    row.iter_mut().for_each(|x| *x = (*x - m).exp());
    let sum = T::of(row.iter().map(|e| e.to_f64()).sum());
    row.iter_mut().for_each(|e| *e /= sum);
}

impl<T: Element> Module<T> for Softmax<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        channels(KIND, input).map(|_| *input)
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let c = channels(KIND, x.shape())?;
        let mut y = to_rows(x)?;
        for_each_row(&mut y, c, softmax)?;
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
            let along = T::of(dx.iter().zip(y).map(|(dy, y)| dy.to_f64() * y.to_f64()).sum()); // Σ dy·y
            dx.iter_mut().zip(y).for_each(|(dx, &y)| *dx = y * (*dx - along));
        })?;
        from_rows(dx)
    }
}

pub(crate) fn build<T: Element>(_: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(Softmax::<T>::new())
}

fn plain<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Softmax::<T>::new())
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Softmax/rows", &[3, 5], Some("nn.Softmax(1)"), plain, plain),
    Case::new("Softmax/images", &[2, 3, 4, 5], Some("nn.Softmax(1)"), plain, plain),
    Case::new("Softmax/sequences", &[2, 4, 3], Some("nn.Softmax(1)"), plain, plain),
    Case::new("Softmax/one_class", &[3, 1], Some("nn.Softmax(1)"), plain, plain),
    Case::new("Softmax/wide", &[2, 131], Some("nn.Softmax(1)"), plain, plain),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(row: &[f64]) -> Vec<f64> {
        let x = Tensor::from_slice([1, row.len()], row).unwrap();
        Softmax::new().infer(x, &mut Ctx::eval()).unwrap().to_vec()
    }

    #[test]
    fn three_logits_by_formula() {
        let e = 1f64.exp();
        let sum = e * e + e + 1.0;
        for (y, expected) in of(&[2.0, 1.0, 0.0]).iter().zip([e * e / sum, e / sum, 1.0 / sum]) {
            assert!((y - expected).abs() < 1e-15);
        }
        assert_eq!(of(&[7.0]), [1.0]);
    }

    /// dx = y (dy − Σ dy·y): for y = (½, ½) and dy = (1, 0) that is ½·(1 − ½), ½·(0 − ½).
    #[test]
    fn the_gradient_of_two_equal_logits_by_hand() {
        let mut layer = Softmax::<f64>::new();
        layer.forward(Tensor::zeros([1, 2]).unwrap(), &mut Ctx::train(1)).unwrap();
        let dx = layer.backward(Tensor::from_vec([1, 2], vec![1.0, 0.0]).unwrap(), &mut Ctx::train(1)).unwrap();
        assert_eq!(dx.to_vec(), [0.25, -0.25]);
    }

    #[test]
    fn thousands_infinity_and_nan_are_pytorchs() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        assert_eq!(of(&[1000.0, -1000.0]), [1.0, 0.0]);
        assert_eq!(of(&[-1000.0, -1000.0]), [0.5, 0.5]);
        assert_eq!(of(&[-inf, 0.0]), [0.0, 1.0]);
        for row in [[inf, 0.0], [inf, inf], [-inf, -inf], [nan, 0.0], [0.0, nan]] {
            assert!(of(&row).iter().all(|y| y.is_nan()), "{row:?}");
        }
    }

    #[test]
    fn each_pixel_is_on_its_own_in_any_memory_order() {
        let x = Tensor::from_fn([2, 3, 2, 2], |i| (i * i % 7) as f64).unwrap();
        let y = Softmax::new().infer(x.clone(), &mut Ctx::eval()).unwrap();
        assert!(y.sum_dim(1).unwrap().to_vec().iter().all(|sum| (sum - 1.0).abs() < 1e-15));
        assert_eq!(y, Softmax::new().infer(x.channels_last().unwrap(), &mut Ctx::eval()).unwrap());
    }

    #[test]
    fn inputs_without_channels_are_errors() {
        for dims in [&[] as &[usize], &[3]] {
            let error = Softmax::<f32>::new().out_shape(&Shape::new(dims).unwrap()).unwrap_err().to_string();
            assert!(error.starts_with("Softmax expects a batch [N, C, …], got "), "{error}");
        }
    }
}
