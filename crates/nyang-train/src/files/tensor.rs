//! A tensor as a file holds it.

use std::fmt;

use nyang_tensor::{Element, Shape, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A tensor as type name, shape and raw little-endian values in row-major order, whatever its order in memory.
///
/// MessagePack would put a tag before each of a list of numbers (5 bytes for an `f32`); as one run of bytes a tensor takes 4. What is
/// read is believed only by [`TensorBytes::to_tensor`], which checks all of it. Every bit comes back, also those of a NaN.
///
/// ```
/// # use nyang_tensor::Tensor;
/// # use nyang_train::files::TensorBytes;
/// let weight = Tensor::from_vec([2, 2], vec![1.0f32, 2.0, 3.0, 4.0])?;
/// let stored = TensorBytes::from(&weight);
/// assert_eq!((stored.dtype(), stored.shape()), ("f32", &[2, 2][..]));
/// assert_eq!(stored.to_tensor::<f32>()?, weight);
/// # Ok::<(), nyang_train::Error>(())
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorBytes {
    dtype: String,
    shape: Vec<u64>,
    #[serde(with = "serde_bytes")]
    data: Vec<u8>,
}

impl<T: Element> From<&Tensor<T>> for TensorBytes {
    fn from(tensor: &Tensor<T>) -> Self {
        let mut data = Vec::with_capacity(tensor.len() * size_of::<T>());
        match tensor.as_slice() {
            Some(values) => values.iter().for_each(|v| v.extend_le_bytes(&mut data)),
            None => tensor.to_vec().iter().for_each(|v| v.extend_le_bytes(&mut data)),
        }
        TensorBytes { dtype: T::NAME.to_string(), shape: tensor.dims().iter().map(|&d| d as u64).collect(), data }
    }
}

impl TensorBytes {
    /// The name of the number type: `f32` or `f64` if this program wrote it.
    pub fn dtype(&self) -> &str {
        &self.dtype
    }

    /// The size of each dimension, outermost first; not yet checked.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The tensor.
    ///
    /// # Errors
    /// [`Error::StoredTensor`] if the type is not `T` (nothing is converted silently: read it as what it is and
    /// [`cast`](Tensor::cast) it), if there are too many or too large dimensions, or if the data are not as long as type and shape
    /// say. [`Error::Tensor`] if there is no memory for it, which is never more than a few times the data's own length.
    pub fn to_tensor<T: Element>(&self) -> Result<Tensor<T>> {
        let wrong = |expected: String, got: String| Err(Error::StoredTensor { expected, got });
        if self.dtype != T::NAME {
            let known = [f32::NAME, f64::NAME].contains(&self.dtype.as_str());
            let hint = if known { " (read it as that and cast it)" } else { ", which NyangTorch does not know" };
            return wrong(format!("values of type {}", T::NAME), format!("{:?}{hint}", self.dtype));
        }
        let Some((shape, bytes)) = self.checked_shape(size_of::<T>()) else {
            return wrong("at most 8 dimensions whose product fits the machine".to_string(), self.shape_text());
        };
        if self.data.len() != bytes {
            return wrong(format!("{bytes} bytes of {} for shape {shape}", T::NAME), format!("{} bytes", self.data.len()));
        }
        match T::from_le_bytes(&self.data) {
            Some(values) => Ok(Tensor::from_slice(shape, &values)?),
            None => wrong(format!("whole values of {}", T::NAME), format!("{} bytes", self.data.len())),
        }
    }

    /// The shape, and how many bytes it takes; `None` if there is no such tensor.
    fn checked_shape(&self, value_bytes: usize) -> Option<(Shape, usize)> {
        let dims: Vec<usize> = self.shape.iter().take(9).map(|&d| usize::try_from(d).ok()).collect::<Option<_>>()?;
        let shape = Shape::new(&dims).ok()?;
        // zeros count as ones: [2⁶⁰, 2⁶⁰, 0] is empty, but the strides of such a tensor would overflow
        let room = dims.iter().try_fold(value_bytes, |n, &d| n.checked_mul(d.max(1)))?;
        isize::try_from(room).ok()?;
        Some((shape, shape.len() * value_bytes))
    }

    fn shape_text(&self) -> String {
        match self.shape.len() {
            0..=8 => format!("{:?}", self.shape),
            n => format!("{n} dimensions"),
        }
    }
}

impl fmt::Debug for TensorBytes {
    /// Type, shape and length, not the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TensorBytes<{}>{} of {} bytes", self.dtype, self.shape_text(), self.data.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(dtype: &str, shape: &[u64], bytes: usize) -> TensorBytes {
        TensorBytes { dtype: dtype.into(), shape: shape.into(), data: vec![0; bytes] }
    }

    #[test]
    fn values_are_little_endian_and_row_major_in_either_type() {
        let x = Tensor::from_vec([2, 1], vec![1.0f32, -2.0]).unwrap();
        assert_eq!(
            TensorBytes::from(&x),
            TensorBytes { dtype: "f32".into(), shape: vec![2, 1], data: vec![0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0] }
        );
        let y = Tensor::from_vec([1], vec![1.0f64]).unwrap();
        assert_eq!(TensorBytes::from(&y), TensorBytes { dtype: "f64".into(), shape: vec![1], data: vec![0, 0, 0, 0, 0, 0, 0xf0, 0x3f] });
    }

    #[test]
    fn the_order_in_memory_does_not_reach_the_file() {
        let x = Tensor::from_fn([2, 3, 4, 5], |i| i as f32).unwrap();
        assert_eq!(TensorBytes::from(&x.channels_last().unwrap()), TensorBytes::from(&x));
        let transposed = Tensor::from_fn([2, 3], |i| i as f64).unwrap().permute(&[1, 0]).unwrap();
        assert_eq!(TensorBytes::from(&transposed).to_tensor::<f64>().unwrap(), transposed);
    }

    #[test]
    fn every_bit_comes_back() {
        let odd = [f32::from_bits(0x7fc0_1234), f32::from_bits(0xff80_0001), -0.0, f32::INFINITY, f32::from_bits(1)];
        let x = Tensor::from_slice([5], &odd).unwrap();
        let back: Vec<u32> = TensorBytes::from(&x).to_tensor::<f32>().unwrap().to_vec().into_iter().map(f32::to_bits).collect();
        assert_eq!(back, odd.map(f32::to_bits));
    }

    #[test]
    fn a_single_number_and_nothing_at_all_are_tensors() {
        assert_eq!(stored("f32", &[], 4).to_tensor::<f32>().unwrap().item(), Some(0.0));
        assert_eq!(stored("f64", &[3, 0], 0).to_tensor::<f64>().unwrap().dims(), [3, 0]);
    }

    #[test]
    fn a_tensor_that_contradicts_itself_is_an_error_that_says_so() {
        for (bytes, says) in [
            (stored("f64", &[1], 8), "expected values of type f32, got \"f64\" (read it as that and cast it)"),
            (stored("bf16", &[1], 2), "got \"bf16\", which NyangTorch does not know"),
            (stored("", &[1], 4), "got \"\""),
            (stored("f32", &[2, 3], 20), "expected 24 bytes of f32 for shape [2, 3], got 20 bytes"),
            (stored("f32", &[2, 3], 28), "got 28 bytes"),
            (stored("f32", &[2, 3], 23), "got 23 bytes"),
            (stored("f32", &[], 0), "expected 4 bytes of f32 for shape [], got 0 bytes"),
            (stored("f32", &[0], 4), "expected 0 bytes"),
            (stored("f32", &[1 << 40], 4), "got 4 bytes"),
            (stored("f32", &[1; 9], 4), "got 9 dimensions"),
            (stored("f32", &[1; 100_000], 4), "got 100000 dimensions"),
            (stored("f32", &[u64::MAX], 4), "got [18446744073709551615]"),
            (stored("f32", &[1 << 32, 1 << 32], 0), "whose product fits the machine"), // the product is 2⁶⁴, which wraps to 0
            (stored("f32", &[1 << 62], 0), "whose product fits the machine"),          // the bytes are 2⁶⁴
            (stored("f32", &[1 << 60, 1 << 60, 0], 0), "whose product fits the machine"),
        ] {
            let error = bytes.to_tensor::<f32>().unwrap_err();
            assert!(matches!(error, Error::StoredTensor { .. }) && error.to_string().contains(says), "{error}\nexpected: {says}");
        }
    }

    #[test]
    fn messagepack_holds_the_values_as_one_run_of_bytes() {
        let x = Tensor::<f32>::ones([100, 100]).unwrap();
        let bytes = rmp_serde::to_vec_named(&TensorBytes::from(&x)).unwrap();
        assert!((40_000..40_050).contains(&bytes.len()), "{}", bytes.len());
        let back: TensorBytes = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(back.to_tensor::<f32>().unwrap(), x);
    }

    proptest! {
        #[test]
        fn any_stored_tensor_is_read_or_refused(
            dtype in prop::sample::select(vec!["f32", "f64", "i64"]),
            shape in prop::collection::vec(prop_oneof![0u64..5, any::<u64>()], 0..10),
            bytes in 0usize..200,
        ) {
            let stored = stored(dtype, &shape, bytes);
            if let Ok(x) = stored.to_tensor::<f32>() {
                prop_assert_eq!((x.len() * 4, dtype), (bytes, "f32"));
                prop_assert_eq!(TensorBytes::from(&x), stored.clone());
            }
            if let Ok(x) = stored.to_tensor::<f64>() {
                prop_assert_eq!((x.len() * 8, dtype), (bytes, "f64"));
            }
        }
    }
}
