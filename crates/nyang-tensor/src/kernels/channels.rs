//! Sums over, and affine maps of, each channel: what batch norm, bias gradients and bias additions are made of.
//!
//! Everything here takes `[N, C]` or `[N, C, H, W]`; dimension 1 is the channels. In channels-last memory that is a matrix whose rows are
//! the C values of a pixel. Few channels would make short loops, so below 64 several pixels count as one row, and the numbers that
//! belong to the channels are repeated to match.
//!
//! At most 64 numbers are added in `T`, and those sums in `f64`, in a fixed order: a sum of millions loses no more digits than one of 64.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::{require_shape, values};
use crate::parallel::{CHUNK, for_each_chunk, map_ranges};
use crate::{Element, Error, Result, Shape, Tensor};

/// Values that a partial sum covers.
const PART: usize = 64 * 1024;

/// Rows that are added in `T` before the sum goes on in `f64`.
const RUN: usize = 64;

/// Columns that are added at a time: their sums stay in the first-level cache.
const WIDTH: usize = 512;

/// The smallest row that vectorised loops are worth it for.
const LANES: usize = 64;

/// The memory of a channels-last tensor as rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    /// C.
    channels: usize,
    /// Values of a row: C, or a multiple of it. The last row may be shorter.
    lanes: usize,
}

impl Rows {
    /// The rows of `[N, C]` or `[N, C, H, W]`.
    pub(super) fn new(op: &'static str, shape: &Shape) -> Result<Rows> {
        match *shape.dims() {
            [_, c] | [_, c, _, _] => Ok(Rows { channels: c, lanes: (LANES.div_ceil(c.max(1))).saturating_mul(c).max(1) }),
            _ => Err(Error::shape(op, "[N, C] or [N, C, H, W]", *shape)),
        }
    }

    /// One number a channel, repeated along a row.
    fn along<'a, T: Element>(&self, op: &'static str, name: &str, v: &'a [T]) -> Result<Cow<'a, [T]>> {
        if v.len() != self.channels {
            return Err(Error::shape(op, format!("{name} [{}], one value a channel", self.channels), Shape::from([v.len()])));
        }
        Ok(if self.lanes > v.len() && !v.is_empty() { v.repeat(self.lanes / v.len()).into() } else { v.into() })
    }

    /// K sums for each channel over a range of memory that starts with a row. `add(sums, at, lane)` adds to the sums of the lanes from
    /// `lane` on what the values `at` give.
    pub(super) fn sums_of<T: Element, const K: usize>(
        &self,
        range: Range<usize>,
        add: impl Fn([&mut [T]; K], Range<usize>, usize),
    ) -> [Vec<f64>; K] {
        let mut total = [(); K].map(|()| vec![0.0; self.channels]);
        for lane in (0..self.lanes).step_by(WIDTH) {
            let width = WIDTH.min(self.lanes - lane);
            let mut long = [[0.0; WIDTH]; K];
            for run in range.clone().step_by(self.lanes.saturating_mul(RUN)) {
                let mut short = [[T::ZERO; WIDTH]; K];
                let end = run.saturating_add(self.lanes.saturating_mul(RUN)).min(range.end);
                for row in (run..end).step_by(self.lanes) {
                    let at = row + lane..(row + lane + width).min(end);
                    if !at.is_empty() {
                        add(short.each_mut().map(|sums| &mut sums[..at.len()]), at, lane);
                    }
                }
                for (long, short) in long.iter_mut().zip(&short) {
                    long[..width].iter_mut().zip(short).for_each(|(long, &v)| *long += v.to_f64());
                }
            }
            for (total, long) in total.iter_mut().zip(&long) {
                long[..width].iter().enumerate().for_each(|(i, v)| total[(lane + i) % self.channels] += v);
            }
        }
        total
    }

    /// [`Rows::sums_of`] the whole memory of `len` values, in parallel.
    fn sums<T: Element, const K: usize>(
        &self,
        len: usize,
        add: impl Fn([&mut [T]; K], Range<usize>, usize) + Send + Sync,
    ) -> Result<[Vec<f64>; K]> {
        let mut total = [const { Vec::new() }; K];
        for total in &mut total {
            *total = self.zeros()?;
        }
        for part in map_ranges(len, self.chunk(PART), |range| self.sums_of(range, &add)) {
            for (total, part) in total.iter_mut().zip(part) {
                total.iter_mut().zip(part).for_each(|(total, v)| *total += v);
            }
        }
        Ok(total)
    }

    /// A zero for each channel. An error where they do not fit: an empty batch may claim any number of channels.
    fn zeros(&self) -> Result<Vec<f64>> {
        let mut zeros = Vec::new();
        let too_much = |_| Error::Memory { bytes: self.channels.saturating_mul(size_of::<f64>()) };
        zeros.try_reserve_exact(self.channels).map_err(too_much)?;
        zeros.resize(self.channels, 0.0);
        Ok(zeros)
    }

    /// About `size` values in whole rows.
    fn chunk(&self, size: usize) -> usize {
        (size / self.lanes).max(1) * self.lanes
    }

    /// Calls `f(start, row)` for each row of `x`, which starts at position `start` of the memory: in place if nobody else holds `x`.
    fn map<T: Element>(&self, mut x: Tensor<T>, f: impl Fn(usize, &mut [T]) + Send + Sync) -> Result<Tensor<T>> {
        let size = self.chunk(CHUNK);
        let rows =
            |start: usize, part: &mut [T]| part.chunks_mut(self.lanes).enumerate().for_each(|(i, row)| f(start + i * self.lanes, row));
        if !x.is_channels_last() {
            x = x.channels_last()?;
        }
        if Arc::get_mut(&mut x.buffer).is_some() {
            for_each_chunk(x.memory_mut()?, size, rows);
            return Ok(x);
        }
        let (mut y, x) = (Tensor::stale_channels_last(x.shape())?, values(&x));
        for_each_chunk(y.memory_mut()?, size, |start, part| {
            part.copy_from_slice(&x[start..start + part.len()]); // still in the cache when `f` comes to it
            rows(start, part);
        });
        Ok(y)
    }
}

/// Σ x for each channel.
///
/// # Errors
/// [`Error::Shape`] unless `x` is `[N, C]` or `[N, C, H, W]`, here and in all functions of this file.
pub fn channel_sums<T: Element>(x: &Tensor<T>) -> Result<Vec<f64>> {
    let rows = Rows::new("channel_sums", x.shape())?;
    let x = x.channels_last()?;
    let x = values(&x);
    let [sums] = rows.sums::<T, 1>(x.len(), |[sum], at, _| sum.iter_mut().zip(&x[at]).for_each(|(sum, &v)| *sum += v))?;
    Ok(sums)
}

/// Σ (x − μ)² for each channel: the variance's sum, taken around the mean because `E[x²] − E[x]²` cancels when |μ| ≫ σ.
///
/// # Errors
/// [`Error::Shape`], also for a mean that is not `[C]`.
pub fn channel_centered_squares<T: Element>(x: &Tensor<T>, mean: &[T]) -> Result<Vec<f64>> {
    const OP: &str = "channel_centered_squares";
    let rows = Rows::new(OP, x.shape())?;
    let mean = rows.along(OP, "mean", mean)?;
    let x = x.channels_last()?;
    let x = values(&x);
    let [sums] = rows.sums::<T, 1>(x.len(), |[sum], at, lane| {
        for ((sum, &v), &m) in sum.iter_mut().zip(&x[at]).zip(&mean[lane..]) {
            *sum += (v - m) * (v - m);
        }
    })?;
    Ok(sums)
}

/// (Σ dy, Σ dy·(x − μ)) for each channel, in one pass: what batch norm's backward needs.
///
/// # Errors
/// [`Error::Shape`], also for a dy of another shape than x, or a mean that is not `[C]`.
pub fn channel_dots<T: Element>(dy: &Tensor<T>, x: &Tensor<T>, mean: &[T]) -> Result<(Vec<f64>, Vec<f64>)> {
    const OP: &str = "channel_dots";
    let rows = Rows::new(OP, x.shape())?;
    let mean = rows.along(OP, "mean", mean)?;
    require_shape(OP, *x.shape(), dy)?;
    let (dy, x) = (dy.channels_last()?, x.channels_last()?);
    let (dy, x) = (values(&dy), values(&x));
    let [sums, dots] = rows.sums::<T, 2>(x.len(), |[sum, dot], at, lane| {
        let factors = dy[at.clone()].iter().zip(&x[at]).zip(&mean[lane..]);
        for ((sum, dot), ((&d, &v), &m)) in sum.iter_mut().zip(dot).zip(factors) {
            *sum += d;
            *dot += d * (v - m);
        }
    })?;
    Ok((sums, dots))
}

/// (x − shift)·scale + bias, with one number of each a channel. Channels-last; in place if nobody else holds `x`.
///
/// # Errors
/// [`Error::Shape`], also for a shift, scale or bias that is not `[C]`; [`Error::Memory`].
pub fn channel_affine<T: Element>(x: Tensor<T>, shift: &[T], scale: &[T], bias: &[T]) -> Result<Tensor<T>> {
    const OP: &str = "channel_affine";
    let rows = Rows::new(OP, x.shape())?;
    let (shift, scale, bias) = (rows.along(OP, "shift", shift)?, rows.along(OP, "scale", scale)?, rows.along(OP, "bias", bias)?);
    rows.map(x, |_, row| {
        for (v, ((&s, &a), &b)) in row.iter_mut().zip(shift.iter().zip(&*scale).zip(&*bias)) {
            *v = (*v - s) * a + b;
        }
    })
}

/// The numbers of [`channel_affine_pair`], one of each a channel.
#[derive(Clone, Copy, Debug)]
pub struct PairAffine<'a, T> {
    /// The factor of dy.
    pub dy: &'a [T],
    /// The factor of x − shift.
    pub x: &'a [T],
    /// What is subtracted from x.
    pub shift: &'a [T],
    /// What is added to the sum.
    pub bias: &'a [T],
}

/// dy·by.dy + (x − by.shift)·by.x + by.bias: batch norm's input gradient. Channels-last; in place if nobody else holds `dy`.
///
/// # Errors
/// [`Error::Shape`], also for a dy of another shape than x, or numbers that are not `[C]`; [`Error::Memory`].
pub fn channel_affine_pair<T: Element>(dy: Tensor<T>, x: &Tensor<T>, by: &PairAffine<'_, T>) -> Result<Tensor<T>> {
    const OP: &str = "channel_affine_pair";
    let rows = Rows::new(OP, x.shape())?;
    require_shape(OP, *x.shape(), &dy)?;
    let (a, b) = (rows.along(OP, "factors of dy", by.dy)?, rows.along(OP, "factors of x", by.x)?);
    let (shift, bias) = (rows.along(OP, "shift", by.shift)?, rows.along(OP, "bias", by.bias)?);
    let x = x.channels_last()?;
    let x = values(&x);
    rows.map(dy, |start, row| {
        let numbers = a.iter().zip(&*b).zip(shift.iter().zip(&*bias));
        for ((d, &v), ((&a, &b), (&s, &t))) in row.iter_mut().zip(&x[start..]).zip(numbers) {
            *d = *d * a + (v - s) * b + t;
        }
    })
}

/// x + bias, one number a channel. Channels-last; in place if nobody else holds `x`.
///
/// # Errors
/// [`Error::Shape`], also for a bias that is not `[C]`; [`Error::Memory`].
pub fn channel_add<T: Element>(x: Tensor<T>, bias: &[T]) -> Result<Tensor<T>> {
    let rows = Rows::new("channel_add", x.shape())?;
    let bias = rows.along("channel_add", "bias", bias)?;
    rows.map(x, |_, row| row.iter_mut().zip(&*bias).for_each(|(v, &b)| *v += b))
}

/// The same in plain loops, value by value: the definitions.
pub mod plain {
    use super::{PairAffine, Rows};
    use crate::{Element, Result, Tensor};

    /// The channel of each value in row-major order, once x is known to have channels and there is one of each number for each.
    fn channels<T: Element>(x: &Tensor<T>, numbers: &[&[T]]) -> Result<impl Iterator<Item = usize> + use<T>> {
        let rows = Rows::new("channels::plain", x.shape())?;
        numbers.iter().try_for_each(|v| rows.along("channels::plain", "numbers", v).map(|_| ()))?;
        let (c, inner) = (rows.channels.max(1), x.dims()[2..].iter().fold(1, |n: usize, &d| n.saturating_mul(d.max(1))));
        Ok((0..x.len()).map(move |i| i / inner % c))
    }

    /// Σ term(i, c) for each channel c, i running over its values' row-major positions.
    fn sums<T: Element>(x: &Tensor<T>, numbers: &[&[T]], term: impl Fn(usize, usize) -> T) -> Result<Vec<f64>> {
        let mut sums = Rows::new("channels::plain", x.shape())?.zeros()?;
        channels(x, numbers)?.enumerate().for_each(|(i, c)| sums[c] += term(i, c).to_f64());
        Ok(sums)
    }

    /// Σ x.
    ///
    /// # Errors
    /// As [`channel_sums`](super::channel_sums); so the others here.
    pub fn channel_sums<T: Element>(x: &Tensor<T>) -> Result<Vec<f64>> {
        let v = x.to_vec();
        sums(x, &[], |i, _| v[i])
    }

    /// Σ (x − μ)².
    ///
    /// # Errors
    /// As [`channel_centered_squares`](super::channel_centered_squares).
    pub fn channel_centered_squares<T: Element>(x: &Tensor<T>, mean: &[T]) -> Result<Vec<f64>> {
        let v = x.to_vec();
        sums(x, &[mean], |i, c| (v[i] - mean[c]) * (v[i] - mean[c]))
    }

    /// (Σ dy, Σ dy·(x − μ)).
    ///
    /// # Errors
    /// As [`channel_dots`](super::channel_dots).
    pub fn channel_dots<T: Element>(dy: &Tensor<T>, x: &Tensor<T>, mean: &[T]) -> Result<(Vec<f64>, Vec<f64>)> {
        super::require_shape("channels::plain", *x.shape(), dy)?;
        let (d, v) = (dy.to_vec(), x.to_vec());
        Ok((sums(dy, &[], |i, _| d[i])?, sums(x, &[mean], |i, c| d[i] * (v[i] - mean[c]))?))
    }

    /// (x − shift)·scale + bias, row-major.
    ///
    /// # Errors
    /// As [`channel_affine`](super::channel_affine).
    pub fn channel_affine<T: Element>(x: &Tensor<T>, shift: &[T], scale: &[T], bias: &[T]) -> Result<Vec<T>> {
        let values = x.to_vec().into_iter().zip(channels(x, &[shift, scale, bias])?);
        Ok(values.map(|(v, c)| (v - shift[c]) * scale[c] + bias[c]).collect())
    }

    /// dy·by.dy + (x − by.shift)·by.x + by.bias, row-major.
    ///
    /// # Errors
    /// As [`channel_affine_pair`](super::channel_affine_pair).
    pub fn channel_affine_pair<T: Element>(dy: &Tensor<T>, x: &Tensor<T>, by: &PairAffine<'_, T>) -> Result<Vec<T>> {
        super::require_shape("channels::plain", *x.shape(), dy)?;
        let channels = channels(x, &[by.dy, by.x, by.shift, by.bias])?;
        let values = dy.to_vec().into_iter().zip(x.to_vec()).zip(channels);
        Ok(values.map(|((d, v), c)| d * by.dy[c] + (v - by.shift[c]) * by.x[c] + by.bias[c]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use proptest::prelude::*;

    fn random<T: Element>(shape: &Shape, layout: usize, seed: u64) -> Tensor<T> {
        let x = Tensor::uniform(shape, -1.0, 1.0, &mut Rng::seed(seed)).unwrap();
        match (layout, shape.rank()) {
            (1, _) => x.channels_last().unwrap(),
            (2, 4) => x.permute(&[3, 1, 0, 2]).unwrap().contiguous().unwrap().permute(&[2, 1, 3, 0]).unwrap(),
            _ => x,
        }
    }

    /// Whether all functions give what the plain loops give in f64, to what rounding in `T` allows.
    fn agrees<T: Element>(shape: &Shape, layout: usize, eps: f64) -> bool {
        let (x, dy) = (random::<T>(shape, layout, 1), random::<T>(shape, layout / 2, 2));
        let c = shape.dims()[1];
        let numbers = |seed| Tensor::<T>::uniform([c], -1.0, 1.0, &mut Rng::seed(seed)).unwrap().to_vec();
        let wide = |v: &[T]| v.iter().map(|v| v.to_f64()).collect::<Vec<_>>();
        let [a, b, s, t] = [3, 4, 5, 6].map(numbers);
        let [a64, b64, s64, t64] = [&a, &b, &s, &t].map(|v| wide(v));
        let (x64, dy64) = (x.cast::<f64>().unwrap(), dy.cast::<f64>().unwrap());

        // terms are at most 4, partial sums at most 4·terms, and the roundings of as many additions mostly cancel
        let close = |got: &[f64], want: &[f64], terms: usize| {
            let near = |(g, w): (&f64, &f64)| (g - w).abs() <= 4.0 * eps * (terms as f64).powf(1.5);
            got.len() == want.len() && got.iter().zip(want).all(near)
        };
        let terms = 1 + x.len() / c.max(1);
        let (sums, dots) = channel_dots(&dy, &x, &s).unwrap();
        let (sums64, dots64) = plain::channel_dots(&dy64, &x64, &s64).unwrap();
        let mapped = |y: Result<Tensor<T>>, want: Result<Vec<f64>>| {
            let y = y.unwrap();
            y.is_channels_last() && close(&wide(&y.to_vec()), &want.unwrap(), 1)
        };
        let (by, by64) = (PairAffine { dy: &a, x: &b, shift: &s, bias: &t }, PairAffine { dy: &a64, x: &b64, shift: &s64, bias: &t64 });
        close(&channel_sums(&x).unwrap(), &plain::channel_sums(&x64).unwrap(), terms)
            && close(&channel_centered_squares(&x, &s).unwrap(), &plain::channel_centered_squares(&x64, &s64).unwrap(), terms)
            && close(&sums, &sums64, terms)
            && close(&dots, &dots64, terms)
            && mapped(channel_affine(x.clone(), &s, &a, &t), plain::channel_affine(&x64, &s64, &a64, &t64))
            && mapped(channel_affine_pair(dy.clone(), &x, &by), plain::channel_affine_pair(&dy64, &x64, &by64))
            && mapped(channel_add(x.clone(), &t), plain::channel_affine(&x64, &vec![0.0; c], &vec![1.0; c], &t64))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn all_agree_with_plain_loops(n in 0usize..6, c in prop_oneof![0usize..9, 60usize..70, 500usize..1100], size in [0usize..9, 0..9], layout in 0usize..5) {
            for shape in [Shape::from([n * 50, c]), Shape::from([n, c, size[0], size[1]])] {
                prop_assert!(agrees::<f64>(&shape, layout, f64::EPSILON), "f64 {shape}");
                prop_assert!(agrees::<f32>(&shape, layout, f64::from(f32::EPSILON)), "f32 {shape}");
            }
        }
    }

    #[test]
    fn sums_of_a_small_batch_by_hand() {
        // two samples, two channels, one row of two pixels
        let x = Tensor::from_vec([2, 2, 1, 2], vec![1.0, 2.0, 10.0, 20.0, 3.0, 4.0, 30.0, 40.0]).unwrap();
        assert_eq!(channel_sums(&x).unwrap(), [10.0, 100.0]);
        assert_eq!(channel_centered_squares(&x, &[2.5, 25.0]).unwrap(), [5.0, 500.0]);
        assert_eq!(channel_dots(&Tensor::ones([2, 2, 1, 2]).unwrap(), &x, &[2.0, 20.0]).unwrap(), (vec![4.0; 2], vec![2.0, 20.0]));
        assert_eq!(channel_affine(x, &[1.0, 0.0], &[2.0, 0.5], &[0.0, 1.0]).unwrap().to_vec(), [0.0, 2.0, 6.0, 11.0, 4.0, 6.0, 16.0, 21.0]);
    }

    /// Added one after another in f32, a million tenths give 100958.34. Sixty-four additions lose at most 32 roundings, 4e-6.
    #[test]
    fn a_long_sum_keeps_its_digits() {
        for c in [1, 3, 100] {
            let x = Tensor::<f32>::full([1_000_000, c], 0.1).unwrap();
            let exact = 1e6 * f64::from(0.1f32);
            assert!(channel_sums(&x).unwrap().iter().all(|sum| (sum / exact - 1.0).abs() < 4e-6));
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        for shape in [Shape::from([7, 5, 61, 67]), Shape::from([3, 130, 40, 41])] {
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let (x, mean) = (random::<f32>(&shape, 1, 1), vec![0.25; shape.dims()[1]]);
                pool.install(|| (channel_dots(&x, &x, &mean).unwrap(), channel_affine(x, &mean, &mean, &mean).unwrap()))
            };
            assert_eq!(run(1), run(3));
        }
    }

    #[test]
    fn maps_work_in_place_where_nobody_else_looks() {
        let x = Tensor::<f32>::ones([2, 3, 4, 4]).unwrap().channels_last().unwrap();
        let at = x.memory().unwrap().as_ptr();
        let y = channel_add(x, &[1.0; 3]).unwrap();
        assert_eq!(y.memory().unwrap().as_ptr(), at);
        let z = channel_affine(y.clone(), &[0.0; 3], &[2.0; 3], &[0.0; 3]).unwrap();
        assert_eq!((y.sum(), z.sum()), (192.0, 384.0)); // 96 values
    }

    #[test]
    fn what_does_not_fit_together_is_an_error() {
        let (x, two) = (Tensor::<f32>::ones([2, 3, 4, 4]).unwrap(), [0.0; 2]);
        let three = [0.0; 3];
        let by = PairAffine { dy: &three, x: &three, shift: &three, bias: &three };
        let flat = Tensor::<f32>::ones([2, 3, 4]).unwrap();
        let bad = [
            channel_sums(&flat).err(),
            channel_sums(&Tensor::<f32>::ones([3]).unwrap()).err(),
            channel_centered_squares(&x, &two).err(),
            channel_dots(&x, &Tensor::ones([2, 3]).unwrap(), &three).err(),
            channel_dots(&x, &x, &[]).err(),
            channel_affine(x.clone(), &two, &three, &three).err(),
            channel_affine(x.clone(), &three, &two, &three).err(),
            channel_affine(x.clone(), &three, &three, &two).err(),
            channel_affine_pair(x.clone(), &flat, &by).err(),
            channel_affine_pair(x.clone(), &x, &PairAffine { dy: &two, ..by }).err(),
            channel_affine_pair(x.clone(), &x, &PairAffine { x: &two, ..by }).err(),
            channel_affine_pair(x.clone(), &x, &PairAffine { shift: &two, ..by }).err(),
            channel_affine_pair(x.clone(), &x, &PairAffine { bias: &two, ..by }).err(),
            channel_add(x.clone(), &two).err(),
            channel_add(flat.clone(), &three).err(),
            plain::channel_sums(&flat).err(),
            plain::channel_dots(&x, &x, &two).err(),
            plain::channel_dots(&flat, &x, &three).err(),
            plain::channel_affine_pair(&x, &x, &PairAffine { bias: &two, ..by }).err(),
        ];
        for (i, error) in bad.iter().enumerate() {
            assert!(matches!(error, Some(Error::Shape { .. })), "bad argument {i} was accepted");
        }
        let vast = Tensor::<f32>::zeros([0, usize::MAX, 2, 2]).unwrap();
        assert!(matches!(channel_sums(&vast), Err(Error::Memory { .. })));
        assert!(channel_add(vast, &three).is_err());
    }
}
