//! What the layers that drop have in common: [`Dropout`](crate::Dropout) drops values, [`Dropout2d`](crate::Dropout2d) channels,
//! [`DropPath`](crate::DropPath) samples. They differ in the shape of the mask.

use nyang_tensor::{Element, Shape, Tensor};

use crate::module::check_dy;
use crate::{Ctx, Error, Mode, Result, Saved};

/// Something that is multiplied by a random mask in training, and by a constant in evaluation.
#[derive(Clone, Debug)]
pub(crate) struct Dropping<T: Element> {
    kind: &'static str,
    /// The probability of dropping.
    pub(crate) p: f64,
    /// By what that is multiplied which is kept in training; and everything in evaluation.
    pub(crate) scale: [f64; 2],
    saved: Saved<(Shape, Factor<T>)>,
}

/// What an input was multiplied by.
#[derive(Clone, Debug)]
enum Factor<T: Element> {
    One,
    Constant(T),
    Mask(Tensor<T>),
}

impl<T: Element> Factor<T> {
    fn times(&self, x: Tensor<T>) -> Result<Tensor<T>> {
        Ok(match self {
            Factor::One => x,
            Factor::Constant(c) => x.scale(*c)?,
            Factor::Mask(mask) => x.mul(mask)?,
        })
    }
}

impl<T: Element> Dropping<T> {
    /// Drops with probability `p`; what is kept in training grows by 1/(1 − p), so that the mean stays.
    pub(crate) fn new(kind: &'static str, p: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&p) {
            return Err(Error::config(kind, "p", p, "must lie between 0 and 1; it is the probability of dropping"));
        }
        let kept = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 }; // nothing is kept at p = 1, and 0 · ∞ would be NaN
        Ok(Dropping { kind, p, scale: [kept, 1.0], saved: Saved::default() })
    }

    fn constant(&self) -> Factor<T> {
        if self.scale[1] == 1.0 { Factor::One } else { Factor::Constant(T::of(self.scale[1])) }
    }

    /// Evaluation.
    pub(crate) fn infer(&self, x: Tensor<T>) -> Result<Tensor<T>> {
        self.constant().times(x)
    }

    /// The context's mode; a mask has the shape `mask`, which stretches to x's.
    pub(crate) fn forward(&mut self, x: Tensor<T>, mask: Shape, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let shape = *x.shape();
        let factor = match cx.mode {
            Mode::Eval => self.constant(),
            Mode::Train if self.p == 0.0 => Factor::One,
            Mode::Train => {
                let kept = T::of(self.scale[0]);
                Factor::Mask(Tensor::from_fn(mask, |_| if cx.rng.uniform() < self.p { T::ZERO } else { kept })?)
            }
        };
        let y = factor.times(x)?;
        self.saved.put((shape, factor));
        Ok(y)
    }

    /// dx = dy · what x was multiplied by.
    pub(crate) fn backward(&mut self, dy: Tensor<T>) -> Result<Tensor<T>> {
        let (shape, factor) = self.saved.take(self.kind)?;
        check_dy(self.kind, &shape, &dy)?;
        factor.times(dy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(p: f64, x: Tensor<f64>, mask: Shape) -> (Tensor<f64>, Tensor<f64>) {
        let mut dropping = Dropping::new("test", p).unwrap();
        let dy = Tensor::ones(*x.shape()).unwrap();
        let y = dropping.forward(x, mask, &mut Ctx::train(1)).unwrap();
        (y, dropping.backward(dy).unwrap())
    }

    #[test]
    fn the_gradient_passes_where_the_value_passed() {
        let (y, dx) = train(0.4, Tensor::ones([50, 3]).unwrap(), Shape::from([50, 1]));
        assert_eq!(y, dx);
        let rows = y.to_vec();
        assert!(rows.chunks(3).all(|row| row == [0.0; 3] || row.iter().all(|v| (v - 1.0 / 0.6).abs() < 1e-15)));
        assert!(rows.contains(&0.0) && rows.iter().any(|v| *v > 0.0));
    }

    /// As PyTorch: a mask is multiplied by, so what is no number stays none, even where it is dropped.
    #[test]
    fn dropped_nan_is_nan() {
        let (y, _) = train(1.0, Tensor::from_vec([2], vec![f64::NAN, 1.0]).unwrap(), Shape::from([2]));
        assert!(y.to_vec()[0].is_nan() && y.to_vec()[1] == 0.0);
    }

    #[test]
    fn probabilities_outside_are_errors() {
        for p in [-0.1, 1.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = Dropping::<f32>::new("Some", p).unwrap_err().to_string();
            assert_eq!(error, format!("Some: p = {p} is not valid: must lie between 0 and 1; it is the probability of dropping"));
        }
    }
}
