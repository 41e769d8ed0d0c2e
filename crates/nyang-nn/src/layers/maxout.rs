//! Maxout: the largest of several channels, so that the network learns its own activation.

use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::channel_rows::{channels, for_each_row_with, from_rows, to_rows};
use crate::module::check_dy;
use crate::{Build, Ctx, Error, Init, Module, Result, Saved, Spec};

pub(crate) const KIND: &str = "Maxout";

/// Maxout: of each k neighbouring channels, the pieces, the largest. After a linear layer or a convolution this is a convex, piecewise
/// linear activation whose shape is learnt: ReLU and the absolute value are cases of it for k = 2.
///
/// ```text
/// y[n, j, …] = max_{0 ≤ i < k} x[n, j·k + i, …]
///
/// dx: each dy[n, j, …] goes to the piece that was the largest, the first of equals
/// ```
///
/// In the paper hᵢ(x) = maxⱼ zᵢⱼ with zᵢⱼ = xᵀ W…ᵢⱼ + bᵢⱼ: its z is the layer before this one with k times as many outputs, unit i's
/// pieces side by side. The paper leaves out the derivative where pieces are equal; first come is also what PyTorch's `max` does.
/// A NaN is larger than everything, so NaN stays NaN.
///
/// Training and evaluation are the same.
///
/// # Shapes
/// `[N, k·C, …] → [N, C, …]`
///
/// # Errors
/// [`Error::Shape`] for fewer than two dimensions, or if k does not divide the number of channels.
///
/// # Reference
/// Goodfellow et al. 2013, *Maxout networks*, arXiv:1302.4389, section 3.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Maxout, Module, Tensor};
/// let x = Tensor::from_vec([1, 4], vec![1.0f32, 3.0, -2.0, -5.0])?;
/// assert_eq!(Maxout::new(2)?.infer(x, &mut Ctx::eval())?.to_vec(), [3.0, -2.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Maxout<T: Element = f32> {
    pieces: usize,
    saved: Saved<Tensor<T>>, // x: it says which piece was the largest
}

impl<T: Element> Maxout<T> {
    /// A layer that takes the largest of each `pieces` neighbouring channels.
    ///
    /// # Errors
    /// [`Error::Config`] if there are no pieces.
    pub fn new(pieces: usize) -> Result<Self> {
        if pieces == 0 {
            return Err(Error::config(KIND, "pieces", pieces, "must be positive"));
        }
        Ok(Maxout { pieces, saved: Saved::default() })
    }
}

/// Position and value of the first largest piece; a NaN is larger than everything.
fn largest<T: Element>(pieces: &[T]) -> (usize, T) {
    let beats = |a: T, b: T| a > b || (a.is_nan() && !b.is_nan());
    let all = pieces.iter().copied().enumerate();
    all.reduce(|best, next| if beats(next.1, best.1) { next } else { best }).unwrap_or((0, T::NEG_INFINITY))
}

impl<T: Element> Module<T> for Maxout<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        let c = channels(KIND, input)?;
        if c % self.pieces != 0 {
            return Err(Error::Shape {
                layer: KIND,
                expected: format!("a number of channels that {} divides", self.pieces),
                got: *input,
                hint: Some(format!("give the layer before it {} outputs for each unit", self.pieces)),
            });
        }
        let mut dims = input.dims().to_vec();
        if let Some(channels) = dims.get_mut(1) {
            *channels = c / self.pieces;
        }
        Ok(Shape::new(&dims)?)
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let shape = self.out_shape(x.shape())?;
        let mut y = to_rows(Tensor::stale_channels_last(shape)?)?;
        for_each_row_with(&mut y, 1, &to_rows(x)?, self.pieces, |y, pieces| y.fill(largest(pieces).1))?;
        from_rows(y)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let y = self.infer(x.clone(), cx)?;
        self.saved.put(x);
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let x = self.saved.take(KIND)?;
        check_dy(KIND, &self.out_shape(x.shape())?, &dy)?;
        let mut dx = to_rows(x)?;
        for_each_row_with(&mut dx, self.pieces, &to_rows(dy)?, 1, |pieces, dy| {
            let (best, _) = largest(pieces);
            pieces.iter_mut().enumerate().for_each(|(i, dx)| *dx = if i == best { dy[0] } else { T::ZERO });
        })?;
        from_rows(dx)
    }

    fn spec(&self) -> Spec {
        Spec::new(KIND).with("pieces", self.pieces)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(Maxout::<T>::new(spec.usize("pieces")?)?)
}

fn two<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Maxout::<T>::new(2)?)
}
fn three<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Maxout::<T>::new(3)?)
}
fn one<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Maxout::<T>::new(1)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Maxout/two", &[3, 8], Some("Lambda(lambda x: x.unflatten(1, (-1, 2)).max(2).values)"), two, two),
    Case::new("Maxout/three", &[2, 6, 4, 5], Some("Lambda(lambda x: x.unflatten(1, (-1, 3)).max(2).values)"), three, three),
    Case::new("Maxout/sequences", &[2, 4, 3], Some("Lambda(lambda x: x.unflatten(1, (-1, 2)).max(2).values)"), two, two),
    Case::new("Maxout/one", &[2, 3], Some("Lambda(lambda x: x.unflatten(1, (-1, 1)).max(2).values)"), one, one),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_maximum_takes_the_gradient_and_nan_is_the_largest() {
        let nan = f64::NAN;
        let mut layer = Maxout::new(2).unwrap();
        let x = Tensor::from_vec([1, 10], vec![1.0, 1.0, nan, 2.0, 2.0, nan, nan, nan, -7.0, -5.0]).unwrap();
        let y = layer.forward(x, &mut Ctx::train(1)).unwrap().to_vec();
        assert!(y[0] == 1.0 && y[1..4].iter().all(|v| v.is_nan()) && y[4] == -5.0, "{y:?}");
        let dx = layer.backward(Tensor::full([1, 5], 3.0).unwrap(), &mut Ctx::train(1)).unwrap();
        assert_eq!(dx.to_vec(), [3.0, 0.0, 3.0, 0.0, 0.0, 3.0, 3.0, 0.0, 0.0, 3.0]);
    }

    #[test]
    fn infinity_is_a_number_like_others() {
        let inf = f64::INFINITY;
        let x = Tensor::from_vec([1, 4], vec![-inf, -inf, 1.0, inf]).unwrap();
        let mut layer = Maxout::new(2).unwrap();
        assert_eq!(layer.forward(x, &mut Ctx::train(1)).unwrap().to_vec(), [-inf, inf]);
        assert_eq!(layer.backward(Tensor::ones([1, 2]).unwrap(), &mut Ctx::train(1)).unwrap().to_vec(), [1.0, 0.0, 0.0, 1.0]);
    }

    /// Of pieces x and −x the largest is |x|; of x and 0 it is ReLU: what the paper says about k = 2.
    #[test]
    fn two_pieces_can_be_the_absolute_value_and_relu() {
        let of = |a: f64, b: f64| {
            let x = Tensor::from_vec([1, 2], vec![a, b]).unwrap();
            Maxout::new(2).unwrap().infer(x, &mut Ctx::eval()).unwrap().to_vec()[0]
        };
        for x in [-2.5, -1.0, 0.0, 3.0] {
            assert_eq!((of(x, -x), of(x, 0.0)), (x.abs(), x.max(0.0)));
        }
    }

    #[test]
    fn any_memory_order_gives_the_same() {
        let x = Tensor::from_fn([2, 6, 3, 2], |i| (i * 37 % 41) as f64).unwrap();
        let layer = Maxout::new(3).unwrap();
        let y = layer.infer(x.clone(), &mut Ctx::eval()).unwrap();
        assert_eq!(y, layer.infer(x.channels_last().unwrap(), &mut Ctx::eval()).unwrap());
        assert_eq!(y.get(&[1, 1, 2, 0]), (3..6).map(|c| x.get(&[1, c, 2, 0]).unwrap()).reduce(f64::max));
    }

    #[test]
    fn pieces_that_do_not_fit_are_errors() {
        assert_eq!(Maxout::<f32>::new(0).unwrap_err().to_string(), "Maxout: pieces = 0 is not valid: must be positive");
        let layer = Maxout::<f32>::new(3).unwrap();
        for dims in [&[] as &[usize], &[3], &[2, 4], &[0, 1, 2, 2]] {
            assert!(layer.out_shape(&Shape::new(dims).unwrap()).unwrap_err().to_string().starts_with("Maxout expects "), "{dims:?}");
        }
        let error = layer.out_shape(&Shape::from([2, 4])).unwrap_err().to_string();
        let expected = "Maxout expects a number of channels that 3 divides, got [2, 4]; give the layer before it 3 outputs for each unit";
        assert_eq!(error, expected);
        assert_eq!(layer.out_shape(&Shape::from([2, 0])).unwrap().dims(), [2, 0]);
        assert!(Maxout::<f32>::new(usize::MAX).unwrap().infer(Tensor::ones([2, 4]).unwrap(), &mut Ctx::eval()).is_err());
    }
}
