//! The same numbers seen differently: reshape, permute, slice, broadcast. Free of copies wherever strides allow it.

use std::ops::Range;

use crate::{Element, Error, Result, Shape, Tensor};

impl<T: Element> Tensor<T> {
    /// The same values, row-major in memory; a copy only if they are not.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn contiguous(&self) -> Result<Self> {
        if self.is_contiguous() {
            return Ok(self.clone());
        }
        let mut copy = Tensor::stale(self.shape)?;
        copy.write_from(self)?;
        Ok(copy)
    }

    /// The same image batch, channels-last in memory; a copy only if it is not. Other ranks become contiguous.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn channels_last(&self) -> Result<Self> {
        if self.is_channels_last() {
            return Ok(self.clone());
        }
        let mut copy = Tensor::stale_channels_last(self.shape)?;
        copy.write_from(self)?;
        Ok(copy)
    }

    /// The values of `self` in the memory order of `like`, which has its shape.
    pub(crate) fn in_layout_of(&self, like: &Tensor<T>) -> Result<Self> {
        if like.same_layout(self) {
            return Ok(self.clone());
        }
        let mut copy = like.stale_like()?;
        copy.write_from(self)?;
        Ok(copy)
    }

    /// The same values, row-major, under another shape. A copy only if they do not lie row-major in memory.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the shapes hold the same number of values.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if shape.len() != self.len() {
            return Err(Error::shape("reshape", format!("a shape of {} values", self.len()), shape));
        }
        let mut out = self.contiguous()?;
        out.shape = shape;
        out.strides = shape.row_major();
        Ok(out)
    }

    /// The dimensions in another order: dimension `i` of the result is dimension `order[i]` of `self`. Never copies.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `order` names each dimension once.
    pub fn permute(&self, order: &[usize]) -> Result<Self> {
        let rank = self.shape.rank();
        if order.len() != rank || (0..rank).any(|d| !order.contains(&d)) {
            return Err(Error::argument("permute", "order", format!("{order:?}"), "must name each dimension once"));
        }
        let mut out = self.clone();
        for (to, &from) in order.iter().enumerate() {
            out.shape.dims_mut()[to] = self.dims()[from];
            out.strides[to] = self.strides[from];
        }
        Ok(out)
    }

    /// The transpose of a matrix. Never copies.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are two dimensions.
    pub fn transpose(&self) -> Result<Self> {
        if self.shape.rank() != 2 {
            return Err(Error::shape("transpose", "[M, N]", self.shape));
        }
        self.permute(&[1, 0])
    }

    /// Every `step`-th index of `range` along dimension `dim`. Never copies.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such dimension, the range does not lie inside it, or the step is 0.
    pub fn slice(&self, dim: usize, range: Range<usize>, step: usize) -> Result<Self> {
        let Some(&size) = self.dims().get(dim) else {
            return Err(Error::argument("slice", "dim", dim, "must be below the number of dimensions"));
        };
        if range.start > range.end || range.end > size {
            return Err(Error::argument("slice", "range", format!("{range:?}"), "must lie inside the dimension"));
        }
        if step == 0 {
            return Err(Error::argument("slice", "step", step, "must be positive"));
        }
        let mut out = self.clone();
        out.shape.dims_mut()[dim] = range.len().div_ceil(step);
        if !out.is_empty() {
            out.offset += range.start * self.strides[dim];
        }
        out.strides[dim] = self.strides[dim].saturating_mul(step); // beyond the end only where the size is 1
        Ok(out)
    }

    /// The `index`-th slice along dimension `dim`, without that dimension. Never copies.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such dimension or index.
    pub fn select(&self, dim: usize, index: usize) -> Result<Self> {
        let mut out = self.slice(dim, index..index.saturating_add(1), 1)?;
        let dims: Vec<usize> = self.dims().iter().enumerate().filter(|d| d.0 != dim).map(|d| *d.1).collect();
        let kept: Vec<usize> = self.strides().iter().enumerate().filter(|d| d.0 != dim).map(|d| *d.1).collect();
        out.shape = Shape::new(&dims)?;
        out.strides = [0; crate::MAX_RANK];
        out.strides[..kept.len()].copy_from_slice(&kept);
        Ok(out)
    }

    /// The same values repeated along dimensions of size 1 and along new dimensions in front, as NumPy does. Never copies.
    ///
    /// # Errors
    /// [`Error::Shape`] if a size is neither 1 nor the one asked for.
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if self.shape.broadcast(&shape)? != shape {
            return Err(Error::shape("broadcast_to", format!("a shape that {} stretches to", self.shape), shape));
        }
        let mut out = self.clone();
        let skip = shape.rank() - self.shape.rank();
        out.shape = shape;
        out.strides = [0; crate::MAX_RANK];
        for (d, (&size, &stride)) in self.dims().iter().zip(self.strides()).enumerate() {
            out.strides[skip + d] = if size == 1 { 0 } else { stride };
        }
        Ok(out)
    }

    /// One tensor of `parts`, which all have the same shape, stacked along a new first dimension.
    ///
    /// # Errors
    /// [`Error::Argument`] for no parts, [`Error::Shape`] for parts of different shapes.
    pub fn stack(parts: &[Tensor<T>]) -> Result<Self> {
        let Some(first) = parts.first() else {
            return Err(Error::argument("stack", "parts", "[]", "needs at least one tensor"));
        };
        if let Some(odd) = parts.iter().find(|p| p.shape != first.shape) {
            return Err(Error::shape("stack", first.shape.to_string(), odd.shape));
        }
        let mut out = Tensor::stale(first.shape.batch_of(parts.len())?)?;
        for (slot, part) in out.as_mut_slice()?.chunks_exact_mut(first.len().max(1)).zip(parts) {
            match part.as_slice() {
                Some(values) => slot.copy_from_slice(values),
                None => slot.copy_from_slice(&part.to_vec()),
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(dims: &[usize]) -> Tensor<f64> {
        Tensor::from_fn(Shape::new(dims).unwrap(), |i| i as f64).unwrap()
    }

    #[test]
    fn permute_and_slice_share_memory_and_agree_with_indices() {
        let x = counted(&[2, 3, 4]);
        let y = x.permute(&[2, 0, 1]).unwrap().slice(0, 1..4, 2).unwrap();
        assert_eq!(y.dims(), [2, 2, 3]);
        assert!(std::sync::Arc::ptr_eq(&x.buffer, &y.buffer));
        for (i, j, k) in (0..12).map(|n| (n / 6, n / 3 % 2, n % 3)) {
            assert_eq!(y.get(&[i, j, k]), x.get(&[j, k, 1 + 2 * i]));
        }
    }

    #[test]
    fn reshape_after_permute_copies_in_logical_order() {
        let y = counted(&[2, 3]).transpose().unwrap().reshape([6]).unwrap();
        assert_eq!(y.to_vec(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn broadcasting_repeats_values_without_copying() {
        let x = counted(&[3, 1]);
        let y = x.broadcast_to([2, 3, 2]).unwrap();
        assert_eq!(y.to_vec(), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
        assert!(y.memory().is_none());
    }

    #[test]
    fn writing_to_a_broadcast_tensor_does_not_touch_its_source() {
        let x = counted(&[1]);
        let mut y = x.broadcast_to([3]).unwrap();
        y.as_mut_slice().unwrap()[1] = 5.0;
        assert_eq!((x.to_vec(), y.to_vec()), (vec![0.0], vec![0.0, 5.0, 0.0]));
    }

    #[test]
    fn select_drops_the_dimension_and_stack_brings_it_back() {
        let x = counted(&[2, 3, 2]);
        let parts: Vec<_> = (0..2).map(|i| x.select(0, i).unwrap()).collect();
        assert_eq!(Tensor::stack(&parts).unwrap(), x);
        assert_eq!(x.select(1, 2).unwrap().to_vec(), [4.0, 5.0, 10.0, 11.0]);
    }

    #[test]
    fn empty_slices_are_empty_tensors() {
        let x = counted(&[2, 3]);
        let y = x.slice(1, 3..3, 1).unwrap();
        assert_eq!((y.dims(), y.to_vec().len(), y.contiguous().unwrap().len()), ([2, 0].as_slice(), 0, 0));
    }

    #[test]
    fn bad_views_are_errors() {
        let x = counted(&[2, 3]);
        let bad = [
            x.reshape([4]).err(),
            x.permute(&[0, 0]).err(),
            x.permute(&[0]).err(),
            x.slice(2, 0..1, 1).err(),
            x.slice(0, 0..3, 1).err(),
            x.slice(0, Range { start: 2, end: 1 }, 1).err(),
            x.slice(0, 0..2, 0).err(),
            x.select(0, 2).err(),
            x.select(0, usize::MAX).err(),
            x.broadcast_to([2, 4]).err(),
            x.broadcast_to([3]).err(),
            counted(&[2]).transpose().err(),
            Tensor::<f64>::stack(&[]).err(),
            Tensor::stack(&[x.clone(), counted(&[3, 2])]).err(),
        ];
        for (i, error) in bad.into_iter().enumerate() {
            assert!(error.is_some(), "bad view {i} was accepted");
        }
    }
}
