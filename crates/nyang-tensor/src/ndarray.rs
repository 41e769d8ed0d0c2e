//! To and from `ndarray`, the arrays of the Rust ecosystem. The only place where its types appear.

use ndarray::{ArrayD, ArrayView, ArrayViewD, ArrayViewMutD, Dimension, IxDyn, ShapeBuilder};

use crate::{Element, Error, Result, Shape, Tensor};

impl<T: Element> Tensor<T> {
    /// A read-only `ndarray` view of these values, without a copy.
    ///
    /// # Errors
    /// [`Error::Shape`] for a broadcast tensor, whose values share memory ([`Tensor::contiguous`] mends that).
    pub fn view(&self) -> Result<ArrayViewD<'_, T>> {
        let strided = IxDyn(self.dims()).strides(IxDyn(self.strides()));
        let values = if self.is_empty() { &[] } else { self.buffer.get(self.offset..).unwrap_or_default() };
        let shared = |_| Error::shape("view", "a tensor that is not broadcast", self.shape);
        if self.is_empty() {
            return ArrayView::from_shape(IxDyn(self.dims()), values).map_err(shared);
        }
        ArrayView::from_shape(strided, values).map_err(shared)
    }

    /// An `ndarray` view to write through. Copies first if the buffer is shared or in another order than row-major.
    ///
    /// # Errors
    /// [`Error::Memory`] if the copy cannot be had.
    pub fn view_mut(&mut self) -> Result<ArrayViewMutD<'_, T>> {
        let shape = self.shape;
        ArrayViewMutD::from_shape(IxDyn(shape.dims()), self.as_mut_slice()?)
            .map_err(|_| Error::shape("view_mut", "a contiguous tensor", shape))
    }

    /// A tensor with the values of any `ndarray` array or view, whatever its strides.
    ///
    /// # Errors
    /// [`Error::Argument`] for more than eight dimensions, [`Error::Memory`].
    pub fn from_ndarray<D: Dimension>(array: &ArrayView<'_, T, D>) -> Result<Self> {
        let shape = Shape::new(array.shape())?;
        match array.as_slice() {
            Some(values) => Tensor::from_slice(shape, values),
            None => {
                let mut values = array.iter();
                Tensor::from_fn(shape, |_| values.next().copied().unwrap_or_default())
            }
        }
    }

    /// These values as an `ndarray` array of their own.
    ///
    /// # Errors
    /// [`Error::Shape`] if `ndarray` cannot hold the shape.
    pub fn to_ndarray(&self) -> Result<ArrayD<T>> {
        let too_big = |_| Error::shape("to_ndarray", "a shape that ndarray can hold", self.shape);
        ArrayD::from_shape_vec(IxDyn(self.dims()), self.to_vec()).map_err(too_big)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, Array3, s};

    #[test]
    fn a_view_of_strided_memory_reads_the_same_values_without_a_copy() {
        let x = Tensor::from_fn([2, 3, 4, 5], |i| i as f32).unwrap().channels_last().unwrap().slice(3, 1..5, 2).unwrap();
        let view = x.view().unwrap();
        assert_eq!(view.iter().copied().collect::<Vec<_>>(), x.to_vec());
        assert!(std::ptr::eq(view.first().unwrap(), &x.memory_start()[0]));
    }

    impl Tensor<f32> {
        fn memory_start(&self) -> &[f32] {
            &self.buffer[self.offset..]
        }
    }

    #[test]
    fn arrays_in_any_order_become_tensors() {
        let a = Array3::from_shape_fn((2, 3, 4), |(i, j, k)| (i * 100 + j * 10 + k) as f64);
        let x = Tensor::from_ndarray(&a.slice(s![.., ..;-1, 1..3])).unwrap();
        assert_eq!(x.dims(), [2, 3, 2]);
        assert_eq!(x.get(&[1, 0, 1]), Some(122.0));
        assert_eq!(Tensor::from_ndarray(&x.to_ndarray().unwrap().view()).unwrap(), x);
    }

    #[test]
    fn writing_through_a_view_changes_this_tensor_only() {
        let mut x = Tensor::<f64>::zeros([2, 2]).unwrap();
        let before = x.clone();
        x.view_mut().unwrap()[[0, 1]] = 3.0;
        assert_eq!((x.to_vec(), before.to_vec()), (vec![0.0, 3.0, 0.0, 0.0], vec![0.0; 4]));
    }

    #[test]
    fn empty_and_broadcast_tensors() {
        assert_eq!(Tensor::<f32>::zeros([0, 3]).unwrap().view().unwrap().shape(), [0, 3]);
        assert_eq!(Tensor::from_ndarray(&Array2::<f32>::zeros((2, 0)).view()).unwrap().dims(), [2, 0]);
        let wide = Tensor::<f32>::ones([1]).unwrap().broadcast_to([3]).unwrap();
        match wide.view() {
            Ok(view) => assert_eq!(view.iter().copied().collect::<Vec<_>>(), [1.0; 3]),
            Err(error) => assert!(matches!(error, Error::Shape { .. })),
        }
    }
}
