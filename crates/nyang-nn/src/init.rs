//! Where the first values of parameters come from.

use nyang_tensor::{Element, Rng, Shape, Tensor};

use crate::scheme::{Spread, orthogonal, truncated};
use crate::{Error, Param, Result, Scheme};

/// Gives layers the first values of their parameters: random ones from a seed, or zeros that a file's values will replace.
///
/// ```
/// # use nyang_nn::{Init, Linear};
/// let (a, b) = (Linear::config(4, 2).build::<f32>(&mut Init::seed(1))?, Linear::config(4, 2).build::<f32>(&mut Init::seed(1))?);
/// assert_eq!(a.weight.value, b.weight.value);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Init {
    rng: Option<Rng>,
    left: usize,
}

impl Init {
    /// Random values of this seed, the same for `f32` and `f64` up to rounding.
    pub fn seed(seed: u64) -> Self {
        Init { rng: Some(Rng::seed(seed)), left: usize::MAX }
    }

    /// Zeros, at most `values` of them: for a model whose values come from a file that holds so many.
    ///
    /// A damaged file that describes an enormous layer is an [`Error::Budget`] then, instead of an enormous allocation.
    pub fn blank(values: usize) -> Self {
        Init { rng: None, left: values }
    }

    /// Takes `shape`'s values off the budget.
    fn spend(&mut self, shape: &Shape) -> Result<()> {
        let asked = shape.len();
        self.left = self.left.checked_sub(asked).ok_or(Error::Budget { asked, left: self.left })?;
        Ok(())
    }

    /// Weights `[out, in, …]` by a scheme.
    ///
    /// `fan_in` is the number of inputs that one output sums over, `fan_out` the number of outputs that one input reaches.
    ///
    /// # Errors
    /// [`Error::Config`] for a gain that is negative or not finite; [`Error::Budget`], [`nyang_tensor::Error::Memory`], here and below.
    pub fn weight<T: Element>(&mut self, shape: impl Into<Shape>, scheme: Scheme, fan_in: usize, fan_out: usize) -> Result<Param<T>> {
        let shape = shape.into();
        let spread = scheme.spread(fan_in, fan_out)?;
        self.spend(&shape)?;
        let value = match (&mut self.rng, spread) {
            (None, _) => Tensor::zeros(shape)?,
            (Some(rng), Spread::Uniform(bound)) => Tensor::uniform(shape, -bound, bound, rng)?,
            (Some(rng), Spread::Normal(std)) => Tensor::normal(shape, 0.0, std, rng)?,
            (Some(rng), Spread::Truncated(std)) => Tensor::from_fn(shape, |_| T::of(std * truncated(rng)))?,
            (Some(rng), Spread::Orthogonal(length)) => {
                let rows = shape.dims().first().copied().unwrap_or(1);
                let matrix = orthogonal(rows, shape.len().checked_div(rows).unwrap_or(0), rng)?;
                matrix.scale(length)?.reshape(shape)?.cast()?
            }
        };
        Param::new(value)
    }

    /// A bias `[out]` that goes with weights of that scheme.
    ///
    /// # Errors
    /// As [`Init::weight`].
    pub fn bias<T: Element>(&mut self, out: usize, scheme: Scheme, fan_in: usize) -> Result<Param<T>> {
        match scheme {
            Scheme::Torch => self.weight([out], scheme, fan_in, out),
            _ => Param::new(self.constant([out], 0.0)?),
        }
    }

    /// Every value is `value`: norms, buffers.
    ///
    /// # Errors
    /// As [`Init::weight`].
    pub fn constant<T: Element>(&mut self, shape: impl Into<Shape>, value: f64) -> Result<Tensor<T>> {
        let shape = shape.into();
        self.spend(&shape)?;
        Ok(Tensor::full(shape, T::of(value))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_default_scheme_gives_a_random_bias() {
        let bias = |scheme| Init::seed(1).bias::<f64>(100, scheme, 4).unwrap().value;
        assert!(bias(Scheme::Torch).to_vec().iter().all(|v| *v != 0.0 && v.abs() <= 0.5));
        assert_eq!(bias(Scheme::HeNormal).sum(), 0.0);
    }

    #[test]
    fn a_budget_stops_enormous_layers_before_they_are_allocated() {
        let mut init = Init::blank(10);
        assert!(init.weight::<f32>([2, 4], Scheme::Torch, 4, 2).is_ok());
        let error = init.constant::<f32>([1 << 40], 0.0).unwrap_err();
        assert_eq!(error, Error::Budget { asked: 1 << 40, left: 2 });
    }
}
