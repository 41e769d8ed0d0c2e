//! Adaptive pooling: the image is cut into as many bins as the output has pixels, and each gives its mean or its maximum.
//!
//! Along each axis, with input size `i` and output size `n`, bin `o` holds the cells from ⌊o·i/n⌋ to below ⌈(o+1)·i/n⌉, as in PyTorch. Where
//! n does not divide i, neighbouring bins share a cell; where n is larger than i, they repeat cells.

use std::ops::Range;

use super::max_pool2d::{Cells, MaxIndices, best_values, maxima};
use super::window::Reach;
use super::{image_dims, require_shape, values};
use crate::parallel::{CHUNK, for_each_chunk};
use crate::{Element, Error, Result, Shape, Tensor};

/// Channels that are summed side by side, in registers.
const LANES: usize = 32;

/// An input and the output's size.
struct Bins {
    input: [usize; 4],
    output: [usize; 4],
}

impl Bins {
    fn new(op: &'static str, input: &Shape, size: [usize; 2]) -> Result<Bins> {
        let [n, c, h, w] = image_dims(op, input)?;
        if h == 0 || w == 0 {
            return Err(Error::shape(op, "images with at least one pixel", *input));
        }
        if size.contains(&0) {
            return Err(Error::argument(op, "size", format!("{size:?}"), "must be positive along each axis"));
        }
        Ok(Bins { input: [n, c, h, w], output: [n, c, size[0], size[1]] })
    }

    /// The cells of bin `o` along an axis: 0 for the height, 1 for the width.
    fn bin(&self, axis: usize, o: usize) -> Range<usize> {
        let (i, n) = (self.input[axis + 2], self.output[axis + 2]);
        o * i / n..((o + 1) * i).div_ceil(n)
    }

    /// The rows and the columns of output pixel `p`'s bin.
    fn of(&self, p: usize) -> [Range<usize>; 2] {
        let [_, _, height, width] = self.output;
        [self.bin(0, p / width % height), self.bin(1, p % width)]
    }

    /// How many cells output pixel `p`'s bin has: at least one.
    fn count(&self, p: usize) -> f64 {
        let [rows, columns] = self.of(p);
        rows.len() as f64 * columns.len() as f64
    }
}

impl Bins {
    /// Calls `f` with where the channels of each cell of output pixel `p`'s bin start in memory, row by row.
    #[inline]
    fn cells(&self, p: usize, mut f: impl FnMut(usize)) {
        let ([_, c, h, w], [rows, columns]) = (self.input, self.of(p));
        let plane = p / (self.output[2] * self.output[3]) * h * w;
        for row in rows {
            columns.clone().for_each(|column| f((plane + row * w + column) * c));
        }
    }
}

impl Cells for Bins {
    fn sizes(&self) -> [[usize; 4]; 2] {
        [self.input, self.output]
    }

    fn reach(&self, axis: usize, at: usize) -> Reach {
        let bin = self.bin(axis, at);
        Reach { taps: 0..bin.len(), first: bin.start }
    }
}

/// The mean of each bin, `[N, C, H, W] → [N, C, *size]`, channels-last.
///
/// # Errors
/// [`Error::Shape`] for an input that is not `[N, C, H, W]` or whose images have no pixels; [`Error::Argument`] for a size of 0.
pub fn adaptive_avg_pool2d<T: Element>(x: &Tensor<T>, size: [usize; 2]) -> Result<Tensor<T>> {
    let bins = Bins::new("adaptive_avg_pool2d", x.shape(), size)?;
    let x = x.channels_last()?;
    let (c, x) = (bins.input[1], values(&x));
    let mut y = Tensor::stale_channels_last(bins.output)?;
    for_each_chunk(y.memory_mut()?, (CHUNK / c.max(1)).max(1).saturating_mul(c), |start, part| {
        for (i, y) in part.chunks_exact_mut(c).enumerate() {
            let p = start / c + i;
            for (block, y) in y.chunks_mut(LANES).enumerate() {
                let mut sums = [0.0; LANES]; // in f64, for a bin may be the whole image
                bins.cells(p, |from| {
                    sums.iter_mut().zip(&x[from + block * LANES..][..y.len()]).for_each(|(sum, v)| *sum += v.to_f64());
                });
                y.iter_mut().zip(sums).for_each(|(y, sum)| *y = T::of(sum / bins.count(p)));
            }
        }
    });
    Ok(y)
}

/// dx of shape `input` from dy: each dy, divided by the number of its bin's cells, goes to all of them. Channels-last.
///
/// # Errors
/// As [`adaptive_avg_pool2d`]; [`Error::Shape`] for a dy that has not the shape of the output.
pub fn adaptive_avg_pool2d_grad_input<T: Element>(dy: &Tensor<T>, input: &Shape, size: [usize; 2]) -> Result<Tensor<T>> {
    const OP: &str = "adaptive_avg_pool2d_grad_input";
    let bins = Bins::new(OP, input, size)?;
    require_shape(OP, Shape::from(bins.output), dy)?;
    let dy = dy.channels_last()?;
    let dy = values(&dy);
    let mut dx = Tensor::stale_channels_last(*input)?;
    let ([_, c, h, w], pixels) = (bins.input, size[0].saturating_mul(size[1]));
    let image = h.saturating_mul(w).saturating_mul(c).max(1);
    // a task owns whole images
    for_each_chunk(dx.memory_mut()?, (CHUNK / image).max(1).saturating_mul(image), |start, part| {
        part.fill(T::ZERO);
        for p in start / image * pixels..(start + part.len()) / image * pixels {
            let n = T::of(bins.count(p));
            bins.cells(p, |to| part[to - start..][..c].iter_mut().zip(&dy[p * c..]).for_each(|(sum, &d)| *sum += d / n));
        }
    });
    Ok(dx)
}

/// The maximum of each bin, `[N, C, H, W] → [N, C, *size]`, channels-last, and where it stood: for
/// [`max_pool2d_grad_input`](super::max_pool2d::max_pool2d_grad_input).
///
/// In row-major order of the bin the first of equals wins, and a NaN wins over everything, the last of them at that, as in PyTorch.
///
/// # Errors
/// As [`adaptive_avg_pool2d`]; [`Error::Argument`] for images of 2³² pixels and more.
pub fn adaptive_max_pool2d<T: Element>(x: &Tensor<T>, size: [usize; 2]) -> Result<(Tensor<T>, MaxIndices)> {
    const OP: &str = "adaptive_max_pool2d";
    maxima(OP, x, &Bins::new(OP, x.shape(), size)?)
}

/// The values of [`adaptive_max_pool2d`], bit for bit, without the positions: for inference.
///
/// # Errors
/// As [`adaptive_avg_pool2d`].
pub fn adaptive_max_pool2d_values<T: Element>(x: &Tensor<T>, size: [usize; 2]) -> Result<Tensor<T>> {
    best_values(x, &Bins::new("adaptive_max_pool2d", x.shape(), size)?)
}

/// A cell's `[n, c, h, w]`, and its value.
type Cell<T> = ([usize; 4], T);

/// The cells of each output value's bin in plain loops, in row-major order of output and bin.
fn plain_bins<T: Element>(x: &Tensor<T>, size: [usize; 2]) -> Result<Vec<Vec<Cell<T>>>> {
    let [n, c, h, w] = Bins::new("adaptive_pool2d", x.shape(), size)?.input;
    let edges = |i: usize, n: usize, o: usize| {
        (o as f64 * i as f64 / n as f64).floor() as usize..((o + 1) as f64 * i as f64 / n as f64).ceil() as usize
    };
    let mut bins = Vec::new();
    for (plane, (oh, ow)) in (0..n * c).flat_map(|plane| (0..size[0]).flat_map(move |oh| (0..size[1]).map(move |ow| (plane, (oh, ow))))) {
        let columns = edges(w, size[1], ow);
        let cells = edges(h, size[0], oh).flat_map(|i| columns.clone().map(move |j| [plane / c, plane % c, i, j]));
        bins.push(cells.filter_map(|at| Some((at, x.get(&at)?))).collect());
    }
    Ok(bins)
}

/// The twin of [`adaptive_avg_pool2d`] in plain loops.
///
/// # Errors
/// As [`adaptive_avg_pool2d`].
pub fn adaptive_avg_pool2d_plain<T: Element>(x: &Tensor<T>, size: [usize; 2]) -> Result<Tensor<T>> {
    let means = plain_bins(x, size)?.iter().map(|bin| bin.iter().map(|cell| cell.1).sum::<T>() / T::of(bin.len() as f64)).collect();
    Tensor::from_vec([x.dims()[0], x.dims()[1], size[0], size[1]], means)
}

/// The twin of [`adaptive_avg_pool2d_grad_input`] in plain loops.
///
/// # Errors
/// As [`adaptive_avg_pool2d_grad_input`].
pub fn adaptive_avg_pool2d_grad_input_plain<T: Element>(dy: &Tensor<T>, input: &Shape, size: [usize; 2]) -> Result<Tensor<T>> {
    let mut dx = Tensor::<T>::zeros(input)?;
    let [_, c, h, w] = image_dims("adaptive_avg_pool2d_grad_input", input)?;
    let bins = plain_bins(&dx, size)?;
    let sums = dx.as_mut_slice()?;
    for (bin, d) in bins.iter().zip(dy.to_vec()) {
        bin.iter().for_each(|([n, channel, i, j], _)| sums[((n * c + channel) * h + i) * w + j] += d / T::of(bin.len() as f64));
    }
    Ok(dx)
}

/// The twin of [`adaptive_max_pool2d`] in plain loops: the values, and for each, in row-major order, the `[h, w]` where it stood.
///
/// # Errors
/// As [`adaptive_max_pool2d`].
pub fn adaptive_max_pool2d_plain<T: Element>(x: &Tensor<T>, size: [usize; 2]) -> Result<(Tensor<T>, Vec<[usize; 2]>)> {
    let (mut maxima, mut places) = (Vec::new(), Vec::new());
    for bin in plain_bins(x, size)? {
        let mut best: Option<([usize; 2], T)> = None;
        for ([_, _, i, j], v) in bin {
            if best.is_none_or(|(_, b)| v > b || v.is_nan()) {
                best = Some(([i, j], v));
            }
        }
        let (place, value) = best.unwrap_or(([0, 0], T::NEG_INFINITY)); // a bin has at least one cell
        maxima.push(value);
        places.push(place);
    }
    Ok((Tensor::from_vec([x.dims()[0], x.dims()[1], size[0], size[1]], maxima)?, places))
}

#[cfg(test)]
mod tests {
    use super::super::avg_pool2d::global_avg_pool2d;
    use super::super::max_pool2d::max_pool2d_grad_input;
    use super::*;
    use crate::Rng;
    use proptest::prelude::*;

    /// Small whole numbers, so that sums are exact and there are ties; with `odd` some NaN and −∞ too. In two memory layouts.
    fn numbers<T: Element>(dims: [usize; 4], odd: bool, last: bool, seed: u64) -> Tensor<T> {
        let mut rng = Rng::seed(seed);
        let x = Tensor::from_fn(dims, |_| match rng.below(20) {
            0 if odd => T::of(f64::NAN),
            1..4 if odd => T::NEG_INFINITY,
            v => T::of((v % 5) as f64 - 2.0),
        });
        if last { x.unwrap().channels_last().unwrap() } else { x.unwrap() }
    }

    fn bits<T: Element>(t: &Tensor<T>) -> Vec<u64> {
        t.to_vec().into_iter().map(|v| if v.is_nan() { u64::MAX } else { v.to_f64().to_bits() }).collect()
    }

    fn near<T: Element>(got: &Tensor<T>, want: &Tensor<f64>, eps: f64) {
        assert_eq!(got.shape(), want.shape());
        got.to_vec().iter().zip(want.to_vec()).for_each(|(g, w)| assert!((g.to_f64() - w).abs() <= eps, "{g} {w}"));
    }

    fn agrees<T: Element>(dims: [usize; 4], size: [usize; 2], last: bool, eps: f64) {
        let x = numbers::<T>(dims, false, last, 1);
        let dy = numbers::<T>([dims[0], dims[1], size[0], size[1]], false, !last, 2);
        near(&adaptive_avg_pool2d(&x, size).unwrap(), &adaptive_avg_pool2d_plain(&x.cast::<f64>().unwrap(), size).unwrap(), eps);
        let want = adaptive_avg_pool2d_grad_input_plain(&dy.cast::<f64>().unwrap(), x.shape(), size).unwrap();
        let cells = (size[0] * size[1]) as f64; // a cell sums as many shares of at most 2, at most
        near(&adaptive_avg_pool2d_grad_input(&dy, x.shape(), size).unwrap(), &want, eps * (2.0 + cells));

        let x = numbers::<T>(dims, true, last, 3);
        let (y, at) = adaptive_max_pool2d(&x, size).unwrap();
        let (want, places) = adaptive_max_pool2d_plain(&x, size).unwrap();
        assert_eq!(bits(&y), bits(&want));
        assert_eq!(bits(&adaptive_max_pool2d_values(&x, size).unwrap()), bits(&want));
        let [_, c, h, w] = dims;
        let mut dx = vec![T::ZERO; x.len()];
        for ((i, [row, column]), d) in places.into_iter().enumerate().zip(dy.to_vec()) {
            let (plane, pixel) = (i / (size[0] * size[1]), i % (size[0] * size[1]));
            assert_eq!(at.get([plane / c, plane % c, pixel / size[1], pixel % size[1]]), Some([row, column]));
            dx[(plane * h + row) * w + column] += d;
        }
        assert_eq!(max_pool2d_grad_input(&dy, &at).unwrap().to_vec(), dx);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn pooling_agrees_with_plain_loops(
            n in 0usize..3, c in 0usize..70, size in [1usize..9, 1..9], out in [1usize..7, 1..7], last: bool,
        ) {
            agrees::<f32>([n, c, size[0], size[1]], out, last, 1e-6);
            agrees::<f64>([n, c, size[0], size[1]], out, last, 1e-15);
        }
    }

    /// PyTorch's bins: 0…4 to 3 gives means of 0,1 and 1,2,3 and 3,4.
    #[test]
    fn five_cells_make_three_bins_that_overlap() {
        let x = Tensor::from_vec([1, 1, 1, 5], vec![0.0, 1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(adaptive_avg_pool2d(&x, [1, 3]).unwrap().to_vec(), [0.5, 2.0, 3.5]);
        assert_eq!(adaptive_max_pool2d_values(&x, [1, 3]).unwrap().to_vec(), [1.0, 3.0, 4.0]);
    }

    #[test]
    fn one_bin_is_the_global_average() {
        let x = Tensor::<f32>::normal([2, 33, 30, 31], 0.0, 1.0, &mut Rng::seed(1)).unwrap();
        near(&adaptive_avg_pool2d(&x, [1, 1]).unwrap(), &global_avg_pool2d(&x.cast::<f64>().unwrap()).unwrap(), 1e-7);
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let run = |threads| {
            crate::parallel::with_threads(threads, || {
                let x = Tensor::<f32>::normal([5, 33, 40, 41], 0.0, 1.0, &mut Rng::seed(1)).unwrap();
                let y = adaptive_avg_pool2d(&x, [7, 9]).unwrap();
                [y.to_vec(), adaptive_avg_pool2d_grad_input(&y, x.shape(), [7, 9]).unwrap().to_vec()]
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn what_has_no_bins_is_an_error() {
        let x = Tensor::<f32>::ones([1, 1, 4, 4]).unwrap();
        assert!(adaptive_avg_pool2d(&x, [0, 1]).is_err() && adaptive_max_pool2d(&x, [1, 0]).is_err());
        assert!(adaptive_avg_pool2d_grad_input(&x, x.shape(), [2, 2]).is_err());
        let none = Tensor::<f32>::ones([1, 2, 0, 4]).unwrap();
        let error = adaptive_max_pool2d_values(&none, [2, 2]).unwrap_err().to_string();
        assert_eq!(error, "adaptive_max_pool2d expects images with at least one pixel, got [1, 2, 0, 4]");
        assert!(adaptive_avg_pool2d(&x.reshape([4, 4]).unwrap(), [2, 2]).is_err());
    }
}
