//! The sliding window that convolution and pooling share: which input cells an output cell looks at.
//!
//! Along each axis, with input size `i`, kernel `k`, stride `s`, dilation `d` and padding `p` before and `p'` behind, output cell `o`
//! looks at the input cells `o·s + j·d − p` for `j = 0 … k−1`; those outside `0 … i−1` are padding.

use std::ops::Range;

use crate::{Error, Result, Shape};

/// A window that slides over the height and the width of an image; each pair is `[height, width]`.
///
/// ```
/// # use nyang_tensor::kernels::Window;
/// let halving = Window { stride: [2, 2], padding: [[1, 1], [1, 1]], ..Window::new([3, 3]) };
/// assert_eq!(halving.out_size("example", [32, 32])?, [16, 16]);
/// # Ok::<(), nyang_tensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many cells the window looks at along each axis.
    pub kernel: [usize; 2],
    /// How many input cells the window moves from one output cell to the next.
    pub stride: [usize; 2],
    /// Cells put around the input: `[[top, bottom], [left, right]]`.
    pub padding: [[usize; 2]; 2],
    /// The distance between neighbouring cells of the window.
    pub dilation: [usize; 2],
    /// Whether the division that gives the output size rounds up (pooling only).
    pub ceil_mode: bool,
}

/// The taps of a window that fall on real cells along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Which of the window's cells, `0 … k−1`, are real.
    pub taps: Range<usize>,
    /// The input cell under the first of them; the next ones follow at distances of the dilation.
    pub first: usize,
}

impl Window {
    /// A window that moves by one cell: no padding, no dilation, output size rounded down.
    pub fn new(kernel: [usize; 2]) -> Self {
        Window { kernel, stride: [1, 1], padding: [[0, 0]; 2], dilation: [1, 1], ceil_mode: false }
    }

    /// The size of the output for an input of `[height, width]`, in the name of operation `op`.
    ///
    /// ```text
    /// out = ⌊(i + p + p' − d·(k−1) − 1 [+ s − 1 in ceil mode]) / s⌋ + 1
    ///       less 1 in ceil mode if the last window would start at i + p or beyond, inside the padding behind
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for a kernel, stride or dilation of 0, and for sizes that no machine can address;
    /// [`Error::Shape`] for an input that, padded, is smaller than the window.
    pub fn out_size(&self, op: &'static str, input: [usize; 2]) -> Result<[usize; 2]> {
        let (effective, padded) = (self.effective(op)?, self.padded(op, input)?);
        let mut out = [0; 2];
        for axis in 0..2 {
            let stride = self.stride[axis];
            let slack = if self.ceil_mode { stride - 1 } else { 0 }; // strides are at least 1: `effective` checked
            // sizes are at most isize::MAX, so nothing here overflows
            let Some(room) = (padded[axis] as u128 + slack as u128).checked_sub(effective[axis] as u128) else {
                let expected = format!(
                    "an image of at least {effective:?} after padding, the size of its kernel {:?} with dilation {:?} (padded, this one is {padded:?})",
                    self.kernel, self.dilation
                );
                return Err(Error::shape(op, expected, Shape::from(input)));
            };
            let last = room / stride as u128; // the index of the last output cell
            let beyond = self.ceil_mode && last * stride as u128 >= (input[axis] + self.padding[axis][0]) as u128;
            let too_big = |_| Error::argument(op, "padding", format!("{:?}", self.padding), "makes an image that no machine can address");
            out[axis] = usize::try_from(last + 1 - u128::from(beyond)).map_err(too_big)?;
        }
        Ok(out)
    }

    /// The cells from the window's first to its last, d·(k−1) + 1. Checks kernel, stride and dilation on the way.
    pub(crate) fn effective(&self, op: &'static str) -> Result<[usize; 2]> {
        for (name, pair) in [("kernel", self.kernel), ("stride", self.stride), ("dilation", self.dilation)] {
            if pair.contains(&0) {
                return Err(Error::argument(op, name, format!("{pair:?}"), "must be at least 1 along each axis"));
            }
        }
        let mut size = [0; 2];
        for (axis, size) in size.iter_mut().enumerate() {
            let cells = self.dilation[axis].checked_mul(self.kernel[axis] - 1).and_then(|n| n.checked_add(1));
            let Some(cells) = cells.filter(|&n| isize::try_from(n).is_ok()) else {
                return Err(Error::argument(op, "dilation", format!("{:?}", self.dilation), "makes a window that no machine can address"));
            };
            *size = cells;
        }
        Ok(size)
    }

    /// The size of the padded input.
    fn padded(&self, op: &'static str, input: [usize; 2]) -> Result<[usize; 2]> {
        let mut size = [0; 2];
        for (axis, &[before, behind]) in self.padding.iter().enumerate() {
            let cells = input[axis].checked_add(before).and_then(|n| n.checked_add(behind));
            let Some(cells) = cells.filter(|&n| isize::try_from(n).is_ok()) else {
                let value = format!("{:?}", self.padding);
                return Err(Error::argument(op, "padding", value, "makes an image that no machine can address"));
            };
            size[axis] = cells;
        }
        Ok(size)
    }

    /// Pooling's own rule: no padding beyond half of the effective kernel, so that no window lies in the padding alone (a dilated one
    /// still can, with cells on both sides of a small image).
    pub(crate) fn check_pool_padding(&self, op: &'static str) -> Result<()> {
        let effective = self.effective(op)?;
        if self.padding.iter().zip(effective).any(|(sides, size)| sides.iter().any(|&p| p > size / 2)) {
            let value = format!("{:?}", self.padding);
            return Err(Error::argument(op, "padding", value, "must be at most half of the (dilated) kernel on each side"));
        }
        Ok(())
    }

    /// The real cells under the window of output cell `at` along `axis` of an input with `size` cells.
    #[inline]
    pub(crate) fn reach(&self, axis: usize, at: usize, size: usize) -> Reach {
        let (kernel, dilation, before) = (self.kernel[axis], self.dilation[axis], self.padding[axis][0]);
        let start = at * self.stride[axis]; // in the padded image, whose size was checked
        if start >= before && start + (kernel - 1) * dilation < before + size {
            return Reach { taps: 0..kernel, first: start - before }; // the common case needs no division
        }
        let end = (before + size).saturating_sub(start).div_ceil(dilation).min(kernel);
        let begin = before.saturating_sub(start).div_ceil(dilation).min(end);
        Reach { taps: begin..end, first: (start + begin * dilation).saturating_sub(before) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn square(kernel: usize, padding: usize, stride: usize) -> Window {
        Window { stride: [stride; 2], padding: [[padding; 2]; 2], ..Window::new([kernel; 2]) }
    }

    /// (input, kernel, padding, stride) → (floor, ceil), from PyTorch's `max_pool2d`.
    #[test]
    fn output_sizes_are_pytorchs() {
        let cases = [
            ((5, 2, 0, 2), (2, 3)),
            ((6, 3, 1, 2), (3, 4)),
            ((7, 3, 1, 2), (4, 4)),
            ((4, 2, 1, 2), (3, 3)),
            ((3, 2, 1, 2), (2, 2)),
            ((5, 3, 1, 3), (2, 2)),
        ];
        for ((i, k, p, s), (floor, ceil)) in cases {
            let window = square(k, p, s);
            assert_eq!(window.out_size("test", [i, i]).unwrap(), [floor; 2], "{i} {window:?}");
            let window = Window { ceil_mode: true, ..window };
            assert_eq!(window.out_size("test", [i, i]).unwrap(), [ceil; 2], "{i} {window:?}");
        }
    }

    #[test]
    fn rounding_up_lets_a_window_hang_over_a_smaller_input() {
        let window = square(3, 0, 2);
        assert!(window.out_size("test", [2, 2]).is_err());
        assert_eq!(Window { ceil_mode: true, ..window }.out_size("test", [2, 2]).unwrap(), [1, 1]); // as PyTorch
    }

    #[test]
    fn axes_have_their_own_numbers() {
        let window = Window { stride: [2, 1], padding: [[0, 1], [2, 0]], dilation: [1, 3], ..Window::new([2, 3]) };
        // height: (5 + 1 − 2)/2 + 1 = 3; width: (8 + 2 − 7)/1 + 1 = 4
        assert_eq!(window.out_size("test", [5, 8]).unwrap(), [3, 4]);
    }

    #[test]
    fn a_window_larger_than_its_image_is_explained() {
        let window = Window { dilation: [2, 2], ..square(3, 1, 1) };
        let error = window.out_size("conv2d", [2, 9]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "conv2d expects an image of at least [5, 5] after padding, the size of its kernel [3, 3] with dilation [2, 2] \
             (padded, this one is [4, 11]), got [2, 9]"
        );
    }

    #[test]
    fn senseless_windows_are_errors() {
        let w = Window::new([2, 2]);
        let bad = [
            Window { kernel: [0, 2], ..w },
            Window { stride: [2, 0], ..w },
            Window { dilation: [0, 1], ..w },
            Window { kernel: [usize::MAX, 1], dilation: [usize::MAX, 1], ..w },
            Window { kernel: [usize::MAX, 1], ..w },
            Window { padding: [[usize::MAX, 0], [0, 0]], ..w },
            Window { padding: [[usize::MAX / 2, usize::MAX / 2], [0, 0]], ..w },
            Window { kernel: [5, 2], ..w },
        ];
        for window in bad {
            for window in [window, Window { ceil_mode: true, ..window }] {
                assert!(window.out_size("test", [4, 4]).is_err(), "{window:?}");
            }
        }
        let far = Window { stride: [usize::MAX; 2], ceil_mode: true, ..w };
        assert_eq!(far.out_size("test", [4, 4]).unwrap(), [1, 1]);
    }

    proptest! {
        #[test]
        fn the_reach_of_a_window_is_what_counting_gives(
            kernel in 1usize..5, stride in 1usize..4, dilation in 1usize..4, before in 0usize..5, behind in 0usize..5,
            size in 0usize..9, ceil_mode: bool,
        ) {
            let w = Window { kernel: [kernel; 2], stride: [stride; 2], padding: [[before, behind]; 2], dilation: [dilation; 2], ceil_mode };
            let Ok([out, _]) = w.out_size("test", [size, size]) else { return Ok(()) };
            for at in 0..out {
                let real: Vec<(usize, usize)> = (0..kernel)
                    .filter_map(|j| Some((j, (at * stride + j * dilation).checked_sub(before)?)))
                    .filter(|&(_, i)| i < size)
                    .collect();
                let reach = w.reach(0, at, size);
                let told: Vec<_> = reach.taps.clone().enumerate().map(|(n, j)| (j, reach.first + n * dilation)).collect();
                prop_assert_eq!(told, real);
            }
        }
    }
}
