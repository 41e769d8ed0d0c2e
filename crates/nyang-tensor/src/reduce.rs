//! Many values to one: sums, means, maxima, argmax, log-sum-exp.
//!
//! Sums run over fixed pieces, added from first to last in `f64`, so that they are accurate and the same for any number of threads.

use crate::parallel::{CHUNK, map_ranges};
use crate::{Element, Error, Result, Shape, Tensor};

impl<T: Element> Tensor<T> {
    /// Σ x over all values; 0 for none.
    pub fn sum(&self) -> f64 {
        let copy;
        let values = match self.memory() {
            Some(values) => values,
            None => {
                copy = self.to_vec();
                &copy
            }
        };
        map_ranges(values.len(), CHUNK, |r| values[r].iter().map(|v| v.to_f64()).sum::<f64>()).iter().sum()
    }

    /// Σ x / n over all values; NaN for none.
    pub fn mean(&self) -> f64 {
        self.sum() / self.len() as f64
    }

    /// The largest value, NaN if any is; `None` for no values.
    pub fn max(&self) -> Option<T> {
        self.to_vec().into_iter().reduce(T::max_or_nan)
    }

    /// `f` of each row along dimension `dim`: the result has that dimension no more.
    fn reduce(&self, op: &'static str, dim: usize, f: impl Fn(&[T]) -> T) -> Result<Self> {
        let (rows, shape) = self.rows_along(op, dim)?;
        let width = self.dims()[dim];
        let values = rows.as_slice().unwrap_or_default(); // contiguous: `rows_along` copies
        Tensor::from_fn(shape, |i| f(&values[i * width..(i + 1) * width]))
    }

    /// `dim` moved to the end and made contiguous, and the shape without it.
    fn rows_along(&self, op: &'static str, dim: usize) -> Result<(Self, Shape)> {
        if dim >= self.shape.rank() {
            return Err(Error::argument(op, "dim", dim, "must be below the number of dimensions"));
        }
        let mut order: Vec<usize> = (0..self.shape.rank()).filter(|&d| d != dim).collect();
        let shape = Shape::new(&order.iter().map(|&d| self.dims()[d]).collect::<Vec<_>>())?;
        order.push(dim);
        Ok((self.permute(&order)?.contiguous()?, shape))
    }

    /// Σ x along dimension `dim`.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such dimension, here and in the other reductions.
    pub fn sum_dim(&self, dim: usize) -> Result<Self> {
        self.reduce("sum_dim", dim, |row| T::of(row.iter().map(|v| v.to_f64()).sum()))
    }

    /// Σ x / n along dimension `dim`.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such dimension.
    pub fn mean_dim(&self, dim: usize) -> Result<Self> {
        self.reduce("mean_dim", dim, |row| T::of(row.iter().map(|v| v.to_f64()).sum::<f64>() / row.len() as f64))
    }

    /// The largest value along dimension `dim`, NaN if any is; −∞ where there are none.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such dimension.
    pub fn max_dim(&self, dim: usize) -> Result<Self> {
        self.reduce("max_dim", dim, |row| row.iter().copied().fold(T::NEG_INFINITY, T::max_or_nan))
    }

    /// ln Σ eˣ along dimension `dim`, with the maximum taken out first so that nothing overflows:
    ///
    /// ```text
    /// ln Σ exp(xᵢ) = m + ln Σ exp(xᵢ − m),   m = max x
    /// ```
    ///
    /// −∞ where all values are −∞ or there are none.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such dimension.
    pub fn log_sum_exp(&self, dim: usize) -> Result<Self> {
        self.reduce("log_sum_exp", dim, log_sum_exp)
    }

    /// Where along dimension `dim` the largest value stands, in row-major order of the other dimensions.
    ///
    /// The first of equals; a NaN counts as larger than everything, as in PyTorch.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such dimension or it has size 0.
    pub fn argmax(&self, dim: usize) -> Result<Vec<usize>> {
        let (rows, shape) = self.rows_along("argmax", dim)?;
        let width = self.dims()[dim];
        if width == 0 {
            return Err(Error::argument("argmax", "dim", dim, "must have a size above 0: nothing has no maximum"));
        }
        let values = rows.as_slice().unwrap_or_default();
        let largest = |row: &[T]| {
            let beats = |a: T, b: T| a > b || (a.is_nan() && !b.is_nan());
            (1..width).fold(0, |best, i| if beats(row[i], row[best]) { i } else { best })
        };
        Ok((0..shape.len()).map(|i| largest(&values[i * width..(i + 1) * width])).collect())
    }
}

/// ln Σ eˣ of the values, with the maximum taken out first; −∞ for none.
pub fn log_sum_exp<T: Element>(values: &[T]) -> T {
    let m = values.iter().copied().fold(T::NEG_INFINITY, T::max_or_nan);
    if m == T::NEG_INFINITY || !(m.is_finite() || m.is_nan()) {
        return m; // all −∞, or a +∞ that swallows the rest: x − m would be NaN
    }
    m + values.iter().map(|&v| (v - m).exp()).sum::<T>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reductions_of_a_small_matrix_by_hand() {
        let x = Tensor::from_vec([2, 3], vec![1.0, 5.0, 3.0, -1.0, 0.0, -2.0]).unwrap();
        assert_eq!((x.sum(), x.mean(), x.max()), (6.0, 1.0, Some(5.0)));
        assert_eq!(x.sum_dim(0).unwrap().to_vec(), [0.0, 5.0, 1.0]);
        assert_eq!(x.mean_dim(1).unwrap().to_vec(), [3.0, -1.0]);
        assert_eq!(x.max_dim(1).unwrap().to_vec(), [5.0, 0.0]);
        assert_eq!(x.argmax(1).unwrap(), [1, 1]);
        assert_eq!(x.channels_last().unwrap().argmax(0).unwrap(), [0, 0, 0]);
    }

    #[test]
    fn argmax_takes_the_first_of_equals_and_nan_over_all() {
        let x = Tensor::from_vec([3, 3], vec![1.0, 1.0, 0.0, 0.0, f32::NAN, 9.0, f32::NAN, f32::NAN, 1.0]).unwrap();
        assert_eq!(x.argmax(1).unwrap(), [0, 1, 0]);
    }

    #[test]
    fn log_sum_exp_survives_large_and_infinite_values() {
        let ln2 = std::f64::consts::LN_2;
        assert!((log_sum_exp(&[1000.0, 1000.0]) - (1000.0 + ln2)).abs() < 1e-12);
        assert!((log_sum_exp(&[-1000.0, -1000.0]) - (-1000.0 + ln2)).abs() < 1e-12);
        assert_eq!(log_sum_exp(&[f64::NEG_INFINITY; 2]), f64::NEG_INFINITY);
        assert_eq!(log_sum_exp(&[f64::INFINITY, 0.0]), f64::INFINITY);
        assert_eq!(log_sum_exp(&[f64::NEG_INFINITY, 3.0]), 3.0);
        assert!(log_sum_exp(&[f64::NAN, 3.0]).is_nan());
    }

    #[test]
    fn nothing_sums_to_zero_and_has_no_maximum() {
        let x = Tensor::<f32>::zeros([0, 3]).unwrap();
        assert_eq!((x.sum(), x.max()), (0.0, None));
        assert_eq!(x.sum_dim(0).unwrap().to_vec(), [0.0; 3]);
        assert_eq!(x.argmax(1).unwrap(), Vec::<usize>::new());
        assert!(x.argmax(0).is_err() && x.sum_dim(2).is_err());
    }

    #[test]
    fn a_long_sum_is_exact_where_f32_would_stall() {
        let x = Tensor::<f32>::full([20_000_000], 1.0).unwrap(); // f32 stops counting at 2²⁴
        assert_eq!(x.sum(), 20_000_000.0);
    }
}
