//! Functions of each value on its own: map, zip, and the arithmetic that is made of them.

use crate::parallel::{CHUNK, for_each_chunk};
use crate::{Element, Result, Tensor};

#[allow(clippy::should_implement_trait)] // `add` and `mul` can fail: the operators could not say so
impl<T: Element> Tensor<T> {
    /// y = f(x) for each value, in place if nobody else holds the buffer. The memory order stays.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub fn map(mut self, f: impl Fn(T) -> T + Send + Sync) -> Result<Self> {
        if !self.is_dense() {
            self = self.contiguous()?;
        }
        if self.is_mine() {
            for_each_chunk(self.memory_mut()?, CHUNK, |_, part| part.iter_mut().for_each(|v| *v = f(*v)));
            return Ok(self);
        }
        // one walk through the memory, rather than a copy and a walk
        let (mut y, values) = (self.stale_like()?, self.memory().unwrap_or_default());
        for_each_chunk(y.memory_mut()?, CHUNK, |start, part| {
            part.iter_mut().zip(&values[start..]).for_each(|(y, &x)| *y = f(x));
        });
        Ok(y)
    }

    /// z = f(x, y) for each pair of values; `other` is broadcast to `self`'s shape or `self` to `other`'s.
    ///
    /// Works in place if nobody else holds `self`'s buffer, and keeps its memory order.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the shapes do not go together.
    pub fn zip(mut self, other: &Tensor<T>, f: impl Fn(T, T) -> T + Send + Sync) -> Result<Self> {
        if self.shape != other.shape {
            let shape = self.shape.broadcast(&other.shape)?;
            if shape != self.shape {
                self = self.broadcast_to(shape)?;
            }
            return self.zip(&other.broadcast_to(shape)?, f);
        }
        if !self.is_dense() {
            self = self.contiguous()?;
        }
        let other = other.in_layout_of(&self)?;
        let values = other.memory().unwrap_or_default(); // dense: `in_layout_of` a dense tensor
        if self.is_mine() {
            for_each_chunk(self.memory_mut()?, CHUNK, |start, part| {
                part.iter_mut().zip(&values[start..]).for_each(|(x, &y)| *x = f(*x, y));
            });
            return Ok(self);
        }
        let (mut z, own) = (self.stale_like()?, self.memory().unwrap_or_default());
        for_each_chunk(z.memory_mut()?, CHUNK, |start, part| {
            let pairs = own[start..].iter().zip(&values[start..]);
            part.iter_mut().zip(pairs).for_each(|(z, (&x, &y))| *z = f(x, y));
        });
        Ok(z)
    }

    /// x + y, broadcast.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the shapes do not go together.
    pub fn add(self, other: &Tensor<T>) -> Result<Self> {
        self.zip(other, |x, y| x + y)
    }

    /// x · y for each pair of values, broadcast.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the shapes do not go together.
    pub fn mul(self, other: &Tensor<T>) -> Result<Self> {
        self.zip(other, |x, y| x * y)
    }

    /// c · x.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub fn scale(self, c: T) -> Result<Self> {
        self.map(|x| c * x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use proptest::prelude::*;

    #[test]
    fn arithmetic_broadcasts_both_ways() {
        let column = Tensor::from_vec([2, 1], vec![10.0, 20.0]).unwrap();
        let row = Tensor::from_vec([3], vec![1.0, 2.0, 3.0]).unwrap();
        let sum = [11.0, 12.0, 13.0, 21.0, 22.0, 23.0];
        assert_eq!(column.clone().add(&row).unwrap().to_vec(), sum);
        assert_eq!(row.add(&column).unwrap().to_vec(), sum);
    }

    #[test]
    fn shapes_that_do_not_go_together_are_an_error() {
        let x = Tensor::<f32>::zeros([2, 3]).unwrap();
        assert!(x.add(&Tensor::zeros([4]).unwrap()).is_err());
    }

    #[test]
    fn map_leaves_other_holders_alone() {
        let x = Tensor::from_vec([2], vec![1.0f32, 2.0]).unwrap();
        let y = x.clone().scale(3.0).unwrap();
        assert_eq!((x.to_vec(), y.to_vec()), (vec![1.0, 2.0], vec![3.0, 6.0]));
    }

    proptest! {
        #[test]
        fn zip_agrees_with_indexing_in_any_layout(n in 0usize..3, c in 0usize..4, h in 0usize..5, w in 0usize..5, last: bool, step in 1usize..3) {
            let shape = Shape::from([n, c, h, w]);
            let x = Tensor::from_fn(shape, |i| i as f64).unwrap();
            let y = Tensor::from_fn([n, c, h * step, w], |i| (i * i) as f64).unwrap().slice(2, 0..h * step, step).unwrap();
            let (x2, y2) = if last { (x.channels_last().unwrap(), y.clone()) } else { (x.clone(), y.channels_last().unwrap()) };
            let z = x2.zip(&y2, |a, b| a - 2.0 * b).unwrap();
            let expected: Vec<f64> = x.to_vec().iter().zip(y.to_vec()).map(|(a, b)| a - 2.0 * b).collect();
            prop_assert_eq!(z.to_vec(), expected);
        }
    }
}
