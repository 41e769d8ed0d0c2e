//! The tensor: a shared buffer, and how to walk it.

use std::fmt;
use std::sync::Arc;

use crate::buffer::Buffer;
use crate::kernels::transpose::transpose;
use crate::shape::Strides;
use crate::{Element, Error, Result, Rng, Shape, parallel};

/// Numbers in a grid of up to eight dimensions.
///
/// A tensor is a shared, pooled, 64-byte-aligned buffer together with a shape, strides and an offset. Cloning copies the handle, not
/// the numbers. Writing happens in place where nobody else holds the buffer, and otherwise into a copy, so a tensor behaves as
/// a value: a change to one is never seen through another.
///
/// Images are `[N, C, H, W]` to every caller. How they lie in memory is a matter of strides: inside a network it is channels-last
/// (N, H, W, C), because then the channels of one pixel are neighbours and every kernel's inner loop runs over them.
///
/// ```
/// # use nyang_tensor::Tensor;
/// let x = Tensor::from_vec([2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// let y = x.permute(&[1, 0])?;                  // no copy
/// assert_eq!(y.to_vec(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// assert_eq!(x.sum_dim(1)?.to_vec(), [6.0, 15.0]);
/// # Ok::<(), nyang_tensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor<T: Element = f32> {
    pub(crate) buffer: Arc<Buffer<T>>,
    pub(crate) shape: Shape,
    pub(crate) strides: Strides,
    pub(crate) offset: usize,
}

/// Making tensors.
impl<T: Element> Tensor<T> {
    pub(crate) fn new(buffer: Buffer<T>, shape: Shape, strides: Strides) -> Self {
        Tensor { buffer: Arc::new(buffer), shape, strides, offset: 0 }
    }

    /// A row-major tensor whose values are whatever the pool had: for the caller to overwrite.
    ///
    /// # Errors
    /// [`Error::Memory`] if the system will not give that much, here and in every function that makes a tensor.
    pub fn stale(shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        Ok(Tensor::new(Buffer::stale(shape.len())?, shape, shape.row_major()))
    }

    /// As [`Tensor::stale`], but `[N, C, H, W]` lies channels-last in memory.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn stale_channels_last(shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        Ok(Tensor::new(Buffer::stale(shape.len())?, shape, shape.channels_last()))
    }

    /// A tensor for results that go with `self`: of its shape and memory order, its values stale.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn stale_like(&self) -> Result<Self> {
        let strides = if self.is_dense() { self.strides } else { self.shape.row_major() };
        Ok(Tensor::new(Buffer::stale(self.len())?, self.shape, strides))
    }

    /// All zeros.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn zeros(shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        Ok(Tensor::new(Buffer::zeroed(shape.len())?, shape, shape.row_major()))
    }

    /// All ones.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn ones(shape: impl Into<Shape>) -> Result<Self> {
        Self::full(shape, T::ONE)
    }

    /// Every value is `value`.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn full(shape: impl Into<Shape>, value: T) -> Result<Self> {
        Self::from_fn(shape, |_| value)
    }

    /// The value at row-major position `i` is `f(i)`, called in that order.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn from_fn(shape: impl Into<Shape>, mut f: impl FnMut(usize) -> T) -> Result<Self> {
        let shape = shape.into();
        let mut buffer = Buffer::stale(shape.len())?;
        buffer.iter_mut().enumerate().for_each(|(i, v)| *v = f(i));
        Ok(Tensor::new(buffer, shape, shape.row_major()))
    }

    /// A tensor of `values` in row-major order.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are as many values as the shape holds.
    pub fn from_slice(shape: impl Into<Shape>, values: &[T]) -> Result<Self> {
        let shape = shape.into();
        if values.len() != shape.len() {
            return Err(Error::Length { shape, got: values.len() });
        }
        let mut buffer = Buffer::stale(shape.len())?;
        buffer.copy_from_slice(values);
        Ok(Tensor::new(buffer, shape, shape.row_major()))
    }

    /// A tensor of `values` in row-major order.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are as many values as the shape holds.
    pub fn from_vec(shape: impl Into<Shape>, values: Vec<T>) -> Result<Self> {
        Self::from_slice(shape, &values)
    }

    /// Independent values from the uniform distribution on `[low, high)`.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn uniform(shape: impl Into<Shape>, low: f64, high: f64, rng: &mut Rng) -> Result<Self> {
        Self::from_fn(shape, |_| T::of(low + (high - low) * rng.uniform()))
    }

    /// Independent values from the normal distribution with this mean and standard deviation.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn normal(shape: impl Into<Shape>, mean: f64, std: f64, rng: &mut Rng) -> Result<Self> {
        Self::from_fn(shape, |_| T::of(mean + std * rng.normal()))
    }

    /// The same values in the other number type, rounded to nearest.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn cast<U: Element>(&self) -> Result<Tensor<U>> {
        let x = if self.is_dense() { self.clone() } else { self.contiguous()? };
        let mut y = Tensor::<U>::new(Buffer::stale(x.len())?, x.shape, x.strides);
        if let (Some(from), to) = (x.memory(), y.memory_mut()?) {
            to.iter_mut().zip(from).for_each(|(y, &x)| *y = U::of(x.to_f64()));
        }
        Ok(y)
    }
}

/// Looking at tensors.
impl<T: Element> Tensor<T> {
    /// The shape.
    #[inline]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The size of each dimension.
    #[inline]
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    /// Distance in memory, in elements, between neighbours along each dimension.
    pub fn strides(&self) -> &[usize] {
        &self.strides[..self.shape.rank()]
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.shape.len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.shape.is_empty()
    }

    fn has_strides(&self, strides: &Strides) -> bool {
        // the stride of a dimension that is never stepped along means nothing
        self.is_empty() || self.dims().iter().zip(self.strides()).zip(strides).all(|((&d, a), b)| d <= 1 || a == b)
    }

    /// Whether the values lie in memory in row-major order without gaps.
    pub fn is_contiguous(&self) -> bool {
        self.has_strides(&self.shape.row_major())
    }

    /// Whether an image batch lies in memory as N, H, W, C without gaps (for other ranks: row-major).
    pub fn is_channels_last(&self) -> bool {
        self.has_strides(&self.shape.channels_last())
    }

    /// Whether the values fill one stretch of memory, in whatever order.
    pub(crate) fn is_dense(&self) -> bool {
        if self.is_contiguous() || self.is_channels_last() {
            return true;
        }
        let mut dims: Vec<(usize, usize)> = self.strides().iter().copied().zip(self.dims().iter().copied()).filter(|d| d.1 > 1).collect();
        dims.sort_unstable();
        let mut step = 1;
        dims.iter().all(|&(stride, d)| {
            let fits = stride == step;
            step *= d;
            fits
        })
    }

    /// Whether `other` has this tensor's shape and both lie in memory in the same order without gaps.
    pub(crate) fn same_layout(&self, other: &Tensor<impl Element>) -> bool {
        self.shape == other.shape && other.has_strides(&self.strides) && self.is_dense()
    }

    /// Whether `other` is this tensor: the same memory, seen in the same way.
    pub(crate) fn is_same(&self, other: &Tensor<T>) -> bool {
        Arc::ptr_eq(&self.buffer, &other.buffer) && (self.shape, self.strides, self.offset) == (other.shape, other.strides, other.offset)
    }

    /// The values in the order in which they lie in memory; `None` if there are gaps between them or some are repeated.
    ///
    /// Together with [`Tensor::is_contiguous`] or [`Tensor::is_channels_last`] this is how kernels get at the numbers.
    pub fn memory(&self) -> Option<&[T]> {
        self.is_dense().then(|| self.buffer.get(self.offset..self.offset + self.len())).flatten()
    }

    /// The values, row-major; `None` if they lie in memory in another order ([`Tensor::contiguous`] mends that).
    pub fn as_slice(&self) -> Option<&[T]> {
        if self.is_contiguous() { self.buffer.get(self.offset..self.offset + self.len()) } else { None }
    }

    /// The values, row-major, to write to. Copies first if the buffer is shared or in another order.
    ///
    /// # Errors
    /// [`Error::Memory`] if the copy cannot be had.
    pub fn as_mut_slice(&mut self) -> Result<&mut [T]> {
        if !self.is_contiguous() {
            *self = self.contiguous()?;
        }
        self.memory_mut()
    }

    /// The values in memory order, to write to. Copies first if the buffer is shared or has gaps; the order stays.
    ///
    /// # Errors
    /// [`Error::Memory`] if the copy cannot be had.
    pub fn memory_mut(&mut self) -> Result<&mut [T]> {
        if !self.is_dense() || Arc::get_mut(&mut self.buffer).is_none() {
            let mut copy = self.stale_like()?;
            copy.write_from(self)?;
            *self = copy;
        }
        let range = self.offset..self.offset + self.len();
        Ok(Arc::get_mut(&mut self.buffer).and_then(|b| b.get_mut(range)).unwrap_or_default()) // unique and dense by now
    }

    /// Whether nobody else holds the buffer, so that it can be written to without a copy.
    pub(crate) fn is_mine(&mut self) -> bool {
        self.is_dense() && Arc::get_mut(&mut self.buffer).is_some()
    }

    /// Fills this fresh, unshared, dense tensor with the values of `from`, which has its shape.
    pub(crate) fn write_from(&mut self, from: &Tensor<T>) -> Result<()> {
        debug_assert_eq!(self.shape, from.shape);
        if from.same_layout(self) {
            if let (Some(values), to) = (from.memory(), self.memory_mut()?) {
                parallel::for_each_chunk(to, parallel::CHUNK, |i, part| part.copy_from_slice(&values[i..i + part.len()]));
            }
            return Ok(());
        }
        // Walk both in the order of *our* memory, so that writes are sequential.
        let mut order: Vec<usize> = (0..self.shape.rank()).filter(|&d| self.dims()[d] > 1).collect();
        order.sort_by_key(|&d| std::cmp::Reverse(self.strides[d]));
        let walk = Walk::new(order.iter().map(|&d| (from.dims()[d], from.strides[d])), from.offset);
        let values: &[T] = &from.buffer;
        parallel::for_each_chunk(self.memory_mut()?, parallel::CHUNK, |start, part| walk.copy(values, start, part));
        Ok(())
    }

    /// The value at `index`; `None` if the index has the wrong length or lies outside.
    pub fn get(&self, index: &[usize]) -> Option<T> {
        let inside = index.len() == self.shape.rank() && index.iter().zip(self.dims()).all(|(i, d)| i < d);
        let at = || self.offset + index.iter().zip(self.strides()).map(|(i, s)| i * s).sum::<usize>();
        if inside { self.buffer.get(at()).copied() } else { None }
    }

    /// The only value of a tensor of one value; `None` if there are none or more.
    pub fn item(&self) -> Option<T> {
        (self.len() == 1).then(|| self.buffer.get(self.offset).copied()).flatten()
    }

    /// The values in row-major order.
    pub fn to_vec(&self) -> Vec<T> {
        if let Some(values) = self.as_slice() {
            return values.to_vec();
        }
        let mut values = vec![T::ZERO; self.len()];
        Walk::new(self.dims().iter().copied().zip(self.strides().iter().copied()), self.offset).copy(&self.buffer, 0, &mut values);
        values
    }

    /// Whether a value is NaN or infinite.
    pub fn has_non_finite(&self) -> bool {
        match self.memory() {
            Some(values) => values.iter().any(|v| !v.is_finite()),
            None => self.to_vec().iter().any(|v| !v.is_finite()),
        }
    }
}

/// A walk through strided memory, outermost dimension first; dimensions that are one in memory count as one.
struct Walk {
    dims: Vec<(usize, usize)>, // (size, stride) of the outer dimensions
    inner: (usize, usize),     // of the innermost one
    offset: usize,
}

impl Walk {
    fn new(dims: impl Iterator<Item = (usize, usize)>, offset: usize) -> Self {
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for (size, stride) in dims {
            match merged.last_mut() {
                Some(outer) if outer.1 == size * stride => *outer = (outer.0 * size, stride),
                _ => merged.push((size, stride)),
            }
        }
        let mut dims = merged;
        let inner = dims.pop().unwrap_or((1, 1));
        Walk { dims, inner, offset }
    }

    /// Copies the values from position `start` of the walk on into `to`.
    fn copy<T: Element>(&self, from: &[T], start: usize, to: &mut [T]) {
        let (width, stride) = self.inner;
        // rows whose first values are neighbours in memory: a matrix and its transpose
        let across = self.dims.last().filter(|&&(_, s)| s == 1 && stride > 1).map_or(0, |&(d, _)| d);
        let (mut row, mut column, mut rest) = (start / width.max(1), start % width.max(1), to);
        while !rest.is_empty() {
            let (mut at, mut r) = (self.offset, row);
            for &(d, s) in self.dims.iter().rev() {
                at += r % d * s;
                r /= d;
            }
            if across > 0 && column == 0 && rest.len() >= width {
                let rows = (across - row % across).min(rest.len() / width);
                let (block, tail) = std::mem::take(&mut rest).split_at_mut(rows * width);
                transpose(&from[at..], stride, block, width);
                (row, rest) = (row + rows, tail);
                continue;
            }
            let n = (width - column).min(rest.len());
            let (run, tail) = std::mem::take(&mut rest).split_at_mut(n);
            let first = at + column * stride;
            match stride {
                0 => run.fill(from[first]),
                1 => run.copy_from_slice(&from[first..first + n]),
                _ => run.iter_mut().zip(from[first..].iter().step_by(stride)).for_each(|(v, &from)| *v = from),
            }
            (row, column, rest) = (row + 1, 0, tail);
        }
    }
}

/// Equal shapes and equal values, in whatever order each lies in memory.
impl<T: Element> PartialEq for Tensor<T> {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.to_vec() == other.to_vec()
    }
}

impl<T: Element> fmt::Debug for Tensor<T> {
    /// Type, shape and the first values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        write!(f, "Tensor<{}>{} ", T::NAME, self.shape)?;
        let values = self.to_vec();
        f.debug_list().entries(values.iter().take(SHOWN)).finish()?;
        if values.len() > SHOWN {
            write!(f, "…")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_shares_until_one_is_written() {
        let x = Tensor::from_vec([3], vec![1.0, 2.0, 3.0]).unwrap();
        let mut y = x.clone();
        assert_eq!(x.as_slice().unwrap().as_ptr(), y.as_slice().unwrap().as_ptr());
        y.as_mut_slice().unwrap()[0] = 9.0;
        assert_eq!((x.to_vec(), y.to_vec()), (vec![1.0, 2.0, 3.0], vec![9.0, 2.0, 3.0]));
    }

    #[test]
    fn writing_to_an_unshared_tensor_stays_in_place() {
        let mut x = Tensor::<f32>::zeros([4]).unwrap();
        let at = x.as_slice().unwrap().as_ptr();
        x.as_mut_slice().unwrap()[1] = 1.0;
        assert_eq!(x.as_slice().unwrap().as_ptr(), at);
    }

    #[test]
    fn the_wrong_number_of_values_is_an_error() {
        let error = Tensor::from_vec([2, 2], vec![1.0f32; 3]).unwrap_err();
        assert_eq!(error.to_string(), "a tensor of shape [2, 2] holds 4 values, got 3");
    }

    #[test]
    fn an_absurd_shape_is_an_error() {
        assert!(matches!(Tensor::<f32>::zeros([usize::MAX, 7]), Err(Error::Memory { .. })));
        assert!(matches!(Tensor::<f32>::stale([1 << 40, 1 << 20]), Err(Error::Memory { .. })));
    }

    #[test]
    fn channels_last_memory_holds_the_pixels_channels_together() {
        let x = Tensor::from_fn([1, 2, 2, 2], |i| i as f32).unwrap().channels_last().unwrap();
        assert_eq!(x.memory().unwrap(), [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0]);
        assert_eq!(x.to_vec(), (0..8).map(|i| i as f32).collect::<Vec<_>>());
        assert!(x.as_slice().is_none());
    }

    #[test]
    fn an_index_outside_gives_none() {
        let x = Tensor::from_fn([2, 3], |i| i as f64).unwrap();
        assert_eq!(x.get(&[1, 2]), Some(5.0));
        assert_eq!((x.get(&[2, 0]), x.get(&[0]), x.get(&[0, 0, 0])), (None, None, None));
    }

    #[test]
    fn big_reordering_copies_agree_with_indexing() {
        let x = Tensor::from_fn([3, 17, 31, 29], |i| i as f32).unwrap();
        let y = x.channels_last().unwrap();
        assert_eq!(y.get(&[2, 16, 30, 28]), x.get(&[2, 16, 30, 28]));
        assert_eq!(y.contiguous().unwrap().as_slice(), x.as_slice());
    }
}
