//! Shapes: how many steps along each dimension, and which shapes go together.

use std::fmt;

use crate::{Error, Result};

/// The largest number of dimensions a tensor can have.
pub const MAX_RANK: usize = 8;

/// The size of each dimension of a tensor, outermost first: images are `[N, C, H, W]`.
///
/// ```
/// # use nyang_tensor::Shape;
/// let shape = Shape::from([2, 3, 4]);
/// assert_eq!((shape.rank(), shape.len()), (3, 24));
/// assert_eq!(shape.to_string(), "[2, 3, 4]");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    rank: usize,
    dims: [usize; MAX_RANK], // zero past `rank`, so that derived equality is equality of shapes
}

impl Shape {
    /// The shape of a single number: no dimensions, one value.
    pub const SCALAR: Shape = Shape { rank: 0, dims: [0; MAX_RANK] };

    /// A shape from its dimensions.
    ///
    /// # Errors
    /// [`Error::Argument`] for more than [`MAX_RANK`] dimensions.
    pub fn new(dims: &[usize]) -> Result<Self> {
        let mut shape = Shape { rank: dims.len(), ..Shape::SCALAR };
        match shape.dims.get_mut(..dims.len()) {
            Some(slots) => slots.copy_from_slice(dims),
            None => return Err(Error::argument("Shape", "rank", dims.len(), "a tensor has at most 8 dimensions")),
        }
        Ok(shape)
    }

    /// The size of each dimension.
    #[inline]
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    pub(crate) fn dims_mut(&mut self) -> &mut [usize] {
        &mut self.dims[..self.rank]
    }

    /// The number of dimensions.
    #[inline]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of values, Π dims; `usize::MAX` where the product does not fit (no such tensor can be made).
    pub fn len(&self) -> usize {
        if self.dims().contains(&0) {
            return 0;
        }
        self.dims().iter().fold(1, |n, &d| n.saturating_mul(d))
    }

    /// Whether a dimension is zero, so that there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// This shape with the first dimension replaced: the same image, another batch size.
    pub fn with_batch(mut self, n: usize) -> Self {
        if let Some(first) = self.dims_mut().first_mut() {
            *first = n;
        }
        self
    }

    /// This shape with one more dimension of size `n` in front.
    ///
    /// # Errors
    /// [`Error::Argument`] for more than [`MAX_RANK`] dimensions.
    pub fn batch_of(&self, n: usize) -> Result<Self> {
        let mut dims = vec![n];
        dims.extend_from_slice(self.dims());
        Shape::new(&dims)
    }

    /// The shape both can be broadcast to, by NumPy's rule: aligned at the last dimension, a size of 1 stretches.
    ///
    /// # Errors
    /// [`Error::Shape`] where two sizes differ and neither is 1.
    pub fn broadcast(&self, other: &Shape) -> Result<Shape> {
        let (long, short) = if self.rank >= other.rank { (self, other) } else { (other, self) };
        let mut out = *long;
        let skip = long.rank - short.rank;
        for (d, &s) in out.dims_mut()[skip..].iter_mut().zip(short.dims()) {
            *d = match (*d, s) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return Err(Error::shape("broadcast", format!("a shape that fits {self}"), *other)),
            };
        }
        Ok(out)
    }

    /// Row-major strides: the last dimension has stride 1.
    pub(crate) fn row_major(&self) -> Strides {
        let mut strides = [0; MAX_RANK];
        let mut step = 1usize;
        for (stride, &d) in strides[..self.rank].iter_mut().zip(self.dims()).rev() {
            *stride = step;
            step = step.saturating_mul(d.max(1));
        }
        strides
    }

    /// Channels-last strides of `[N, C, H, W]`: memory order N, H, W, C. Row-major for every other rank.
    pub(crate) fn channels_last(&self) -> Strides {
        let [_, c, h, w] = *self.dims() else { return self.row_major() };
        let (c, h, w) = (c.max(1), h.max(1), w.max(1));
        let mut strides = [0; MAX_RANK];
        strides[..4].copy_from_slice(&[c.saturating_mul(w).saturating_mul(h), 1, c.saturating_mul(w), c]);
        strides
    }
}

/// Distance in memory, in elements, between neighbours along each dimension; zero past the rank.
pub(crate) type Strides = [usize; MAX_RANK];

impl<const R: usize> From<[usize; R]> for Shape {
    fn from(dims: [usize; R]) -> Self {
        const { assert!(R <= MAX_RANK, "a tensor has at most 8 dimensions") };
        let mut shape = Shape { rank: R, ..Shape::SCALAR };
        shape.dims_mut().copy_from_slice(&dims);
        shape
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        *shape
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_stretches_ones_and_adds_dimensions_in_front() {
        type Case = (&'static [usize], &'static [usize], Option<&'static [usize]>);
        let cases: [Case; 6] = [
            (&[2, 3], &[3], Some(&[2, 3])),
            (&[2, 1], &[1, 3], Some(&[2, 3])),
            (&[], &[4], Some(&[4])),
            (&[0, 3], &[1, 3], Some(&[0, 3])),
            (&[2, 3], &[2], None),
            (&[2], &[0], None),
        ];
        for (a, b, out) in cases {
            let got = Shape::new(a).unwrap().broadcast(&Shape::new(b).unwrap());
            assert_eq!(got.ok(), out.map(|o| Shape::new(o).unwrap()), "{a:?} with {b:?}");
        }
    }

    #[test]
    fn a_product_that_overflows_saturates_and_zero_wins() {
        assert_eq!(Shape::from([usize::MAX, 2]).len(), usize::MAX);
        assert_eq!(Shape::from([usize::MAX, 2, 0]).len(), 0);
        assert_eq!(Shape::SCALAR.len(), 1);
    }

    #[test]
    fn nine_dimensions_are_an_error() {
        assert!(matches!(Shape::new(&[1; 9]), Err(Error::Argument { .. })));
    }

    #[test]
    fn channels_last_steps_by_one_along_the_channels() {
        assert_eq!(Shape::from([2, 3, 4, 5]).channels_last()[..4], [60, 1, 15, 3]);
        assert_eq!(Shape::from([2, 3, 4, 5]).row_major()[..4], [60, 20, 5, 1]);
    }
}
