//! Sums over each channel and additions to it: what bias gradients, bias additions and batch norm are made of.
//!
//! Everything here takes `[N, C]` or `[N, C, H, W]`; dimension 1 is the channels. In channels-last memory that is a matrix whose rows are
//! the C values of a pixel. Few channels would make short loops, so below 256 several pixels count as one row, and the numbers that
//! belong to the channels are repeated to match.
//!
//! At most 64 numbers are added in `T`, and those sums in `f64`, in a fixed order: a sum of millions loses no more digits than one of 64.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use super::values;
use super::widest::{Loop, widest};
use crate::parallel::{CHUNK, for_each_chunk, map_ranges};
use crate::{Element, Error, Result, Shape, Tensor};

/// Values that a partial sum covers.
const PART: usize = 64 * 1024;

/// Rows that are added in `T` before the sum goes on in `f64`.
const RUN: usize = 64;

/// Columns that are added at a time: their sums stay in the first-level cache.
const WIDTH: usize = 512;

/// The smallest row that vectorised loops are worth it for.
const LANES: usize = 256;

/// What the values of a row add to K sums. `add` is `#[inline(always)]`: a closure's loop that is not inlined is not compiled for the
/// machine's vectors.
pub(super) trait AddRow<T, const K: usize>: Sync {
    /// Adds to the sums of the lanes from `lane` on what the values at `at` of the memory give.
    fn add(&self, sums: [&mut [T]; K], at: Range<usize>, lane: usize);
}

/// Σ x.
pub(super) struct SumOf<'a, T>(pub &'a [T]);

impl<T: Element> AddRow<T, 1> for SumOf<'_, T> {
    #[inline(always)]
    fn add(&self, [sum]: [&mut [T]; 1], at: Range<usize>, _: usize) {
        sum.iter_mut().zip(&self.0[at]).for_each(|(sum, &v)| *sum += v);
    }
}

/// What becomes of a row. Both functions are `#[inline(always)]` too.
pub(super) trait MapRow<T: Element>: Sync {
    /// Changes a row that starts at position `start` of the memory.
    fn map(&self, start: usize, row: &mut [T]);

    /// What becomes of the row `from`, in `to`.
    #[inline(always)]
    fn map_from(&self, start: usize, from: &[T], to: &mut [T]) {
        to.copy_from_slice(from);
        self.map(start, to);
    }
}

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
    pub(super) fn along<'a, T: Element>(&self, op: &'static str, name: &str, v: &'a [T]) -> Result<Cow<'a, [T]>> {
        if v.len() != self.channels {
            return Err(Error::shape(op, format!("{name} [{}], one value a channel", self.channels), Shape::from([v.len()])));
        }
        Ok(self.repeated(v))
    }

    /// [`Rows::along`] for numbers that are known to be one a channel.
    pub(super) fn repeated<'a, T: Element>(&self, v: &'a [T]) -> Cow<'a, [T]> {
        if self.lanes > v.len() && !v.is_empty() { v.repeat(self.lanes / v.len()).into() } else { v.into() }
    }

    /// How many values each channel has among `len` values in whole rows, or up to the end of the memory.
    pub(super) fn count(&self, len: usize) -> f64 {
        (len / self.channels.max(1)) as f64
    }

    /// How many values a partial sum covers.
    pub(super) fn part(&self) -> usize {
        self.chunk(PART)
    }

    /// K sums for each channel over a range of memory that starts with a row.
    pub(super) fn sums_of<T: Element, const K: usize>(&self, range: Range<usize>, add: &impl AddRow<T, K>) -> [Vec<f64>; K] {
        widest(Sums { rows: *self, range, add, element: PhantomData })
    }

    /// [`Rows::sums_of`] the whole memory of `len` values, in parallel.
    pub(super) fn sums<T: Element, const K: usize>(&self, len: usize, add: &impl AddRow<T, K>) -> Result<[Vec<f64>; K]> {
        let mut total = [const { Vec::new() }; K];
        for total in &mut total {
            *total = self.zeros()?;
        }
        for part in map_ranges(len, self.part(), |range| self.sums_of(range, add)) {
            for (total, part) in total.iter_mut().zip(part) {
                total.iter_mut().zip(part).for_each(|(total, v)| *total += v);
            }
        }
        Ok(total)
    }

    /// A zero for each channel. An error where they do not fit: an empty batch may claim any number of channels.
    pub(super) fn zeros(&self) -> Result<Vec<f64>> {
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

    /// Changes each row of `x`: in place if nobody else holds it.
    pub(super) fn map<T: Element>(&self, mut x: Tensor<T>, f: &impl MapRow<T>) -> Result<Tensor<T>> {
        let (rows, size) = (*self, self.chunk(CHUNK));
        if !x.is_channels_last() {
            x = x.channels_last()?;
        }
        if Arc::get_mut(&mut x.buffer).is_some() {
            for_each_chunk(x.memory_mut()?, size, |start, part| widest(MapRows { rows, start, part, from: None, f }));
            return Ok(x);
        }
        let (mut y, x) = (Tensor::stale_channels_last(x.shape())?, values(&x));
        for_each_chunk(y.memory_mut()?, size, |start, part| widest(MapRows { rows, start, part, from: Some(x), f }));
        Ok(y)
    }
}

/// The loops of [`Rows::sums_of`].
struct Sums<'a, T, F, const K: usize> {
    rows: Rows,
    range: Range<usize>,
    add: &'a F,
    element: PhantomData<T>,
}

impl<T: Element, F: AddRow<T, K>, const K: usize> Loop for Sums<'_, T, F, K> {
    type Output = [Vec<f64>; K];

    #[inline(always)]
    fn run(self) -> [Vec<f64>; K] {
        let (Rows { channels, lanes }, range) = (self.rows, self.range);
        let mut total = [(); K].map(|()| vec![0.0; channels]);
        let mut short = [[T::ZERO; WIDTH]; K];
        for lane in (0..lanes).step_by(WIDTH) {
            let width = WIDTH.min(lanes - lane);
            let mut long = [[0.0; WIDTH]; K];
            for run in range.clone().step_by(lanes.saturating_mul(RUN)) {
                short.iter_mut().for_each(|short| short[..width].fill(T::ZERO));
                let end = run.saturating_add(lanes.saturating_mul(RUN)).min(range.end);
                for row in (run..end).step_by(lanes) {
                    let at = row + lane..(row + lane + width).min(end);
                    if !at.is_empty() {
                        self.add.add(short.each_mut().map(|sums| &mut sums[..at.len()]), at, lane);
                    }
                }
                for (long, short) in long.iter_mut().zip(&short) {
                    long[..width].iter_mut().zip(short).for_each(|(long, &v)| *long += v.to_f64());
                }
            }
            for (total, long) in total.iter_mut().zip(&long) {
                long[..width].iter().enumerate().for_each(|(i, v)| total[(lane + i) % channels] += v);
            }
        }
        total
    }
}

/// The loops of [`Rows::map`] over one part of the memory.
struct MapRows<'a, T, F> {
    rows: Rows,
    start: usize,
    part: &'a mut [T],
    /// The whole memory that is read; none where the part holds its values already.
    from: Option<&'a [T]>,
    f: &'a F,
}

impl<T: Element, F: MapRow<T>> Loop for MapRows<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut start = self.start;
        for row in self.part.chunks_mut(self.rows.lanes) {
            match self.from {
                Some(from) => self.f.map_from(start, &from[start..start + row.len()], row),
                None => self.f.map(start, row),
            }
            start += row.len();
        }
    }
}

/// Σ x for each channel.
///
/// # Errors
/// [`Error::Shape`] unless `x` is `[N, C]` or `[N, C, H, W]`, here and in all functions of this file.
pub fn channel_sums<T: Element>(x: &Tensor<T>) -> Result<Vec<f64>> {
    let rows = Rows::new("channel_sums", x.shape())?;
    let x = x.channels_last()?;
    let [sums] = rows.sums(x.len(), &SumOf(values(&x)))?;
    Ok(sums)
}

/// x + bias.
struct Plus<'a, T>(&'a [T]);

impl<T: Element> MapRow<T> for Plus<'_, T> {
    #[inline(always)]
    fn map(&self, _: usize, row: &mut [T]) {
        row.iter_mut().zip(self.0).for_each(|(v, &b)| *v += b);
    }
}

/// x + bias, one number a channel. Channels-last; in place if nobody else holds `x`.
///
/// # Errors
/// [`Error::Shape`], also for a bias that is not `[C]`; [`Error::Memory`].
pub fn channel_add<T: Element>(x: Tensor<T>, bias: &[T]) -> Result<Tensor<T>> {
    let rows = Rows::new("channel_add", x.shape())?;
    rows.map(x, &Plus(&rows.along("channel_add", "bias", bias)?))
}

/// The same in plain loops, value by value: the definitions.
pub mod plain {
    use super::Rows;
    use crate::{Element, Result, Tensor};

    /// The channel of each value in row-major order, once x is known to have channels and there is one of each number for each.
    pub(in crate::kernels) fn channels<T: Element>(x: &Tensor<T>, numbers: &[&[T]]) -> Result<impl Iterator<Item = usize> + use<T>> {
        let rows = Rows::new("channels::plain", x.shape())?;
        numbers.iter().try_for_each(|v| rows.along("channels::plain", "numbers", v).map(|_| ()))?;
        let (c, inner) = (rows.channels.max(1), x.dims()[2..].iter().fold(1, |n: usize, &d| n.saturating_mul(d.max(1))));
        Ok((0..x.len()).map(move |i| i / inner % c))
    }

    /// Σ term(i, c) for each channel c, i running over its values' row-major positions.
    pub(in crate::kernels) fn sums<T: Element>(x: &Tensor<T>, numbers: &[&[T]], term: impl Fn(usize, usize) -> T) -> Result<Vec<f64>> {
        let mut sums = Rows::new("channels::plain", x.shape())?.zeros()?;
        channels(x, numbers)?.enumerate().for_each(|(i, c)| sums[c] += term(i, c).to_f64());
        Ok(sums)
    }

    /// Σ x.
    ///
    /// # Errors
    /// As [`channel_sums`](super::channel_sums).
    pub fn channel_sums<T: Element>(x: &Tensor<T>) -> Result<Vec<f64>> {
        let v = x.to_vec();
        sums(x, &[], |i, _| v[i])
    }

    /// x + bias, row-major.
    ///
    /// # Errors
    /// As [`channel_add`](super::channel_add).
    pub fn channel_add<T: Element>(x: &Tensor<T>, bias: &[T]) -> Result<Vec<T>> {
        Ok(x.to_vec().into_iter().zip(channels(x, &[bias])?).map(|(v, c)| v + bias[c]).collect())
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

    /// Whether sums and additions give what the plain loops give in f64, to what rounding in `T` allows.
    fn agrees<T: Element>(shape: &Shape, layout: usize, eps: f64) -> bool {
        let x = random::<T>(shape, layout, 1);
        let c = shape.dims()[1];
        let bias = Tensor::<T>::uniform([c], -1.0, 1.0, &mut Rng::seed(2)).unwrap().to_vec();
        let wide = |v: &[T]| v.iter().map(|v| v.to_f64()).collect::<Vec<_>>();
        let x64 = x.cast::<f64>().unwrap();
        // terms are at most 2, partial sums at most 2·terms, and the roundings of as many additions mostly cancel
        let close = |got: &[f64], want: &[f64], terms: usize| {
            let near = |(g, w): (&f64, &f64)| (g - w).abs() <= 4.0 * eps * (terms as f64).powf(1.5);
            got.len() == want.len() && got.iter().zip(want).all(near)
        };
        let y = channel_add(x.clone(), &bias).unwrap();
        close(&channel_sums(&x).unwrap(), &plain::channel_sums(&x64).unwrap(), 1 + x.len() / c.max(1))
            && y.is_channels_last()
            && close(&wide(&y.to_vec()), &plain::channel_add(&x64, &wide(&bias)).unwrap(), 1)
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
        assert_eq!(channel_add(x, &[1.0, 0.5]).unwrap().to_vec(), [2.0, 3.0, 10.5, 20.5, 4.0, 5.0, 30.5, 40.5]);
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
                let (x, bias) = (random::<f32>(&shape, 1, 1), vec![0.25; shape.dims()[1]]);
                crate::parallel::with_threads(threads, || (channel_sums(&x).unwrap(), channel_add(x, &bias).unwrap()))
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
        let z = channel_add(y.clone(), &[2.0; 3]).unwrap();
        assert_eq!((y.sum(), z.sum()), (192.0, 384.0)); // 96 values
    }

    #[test]
    fn what_does_not_fit_together_is_an_error() {
        let (x, two) = (Tensor::<f32>::ones([2, 3, 4, 4]).unwrap(), [0.0; 2]);
        let flat = Tensor::<f32>::ones([2, 3, 4]).unwrap();
        let bad = [
            channel_sums(&flat).err(),
            channel_sums(&Tensor::<f32>::ones([3]).unwrap()).err(),
            channel_add(x.clone(), &two).err(),
            channel_add(x.clone(), &[]).err(),
            channel_add(flat.clone(), &[0.0; 3]).err(),
            plain::channel_sums(&flat).err(),
            plain::channel_add(&x, &two).err(),
        ];
        for (i, error) in bad.iter().enumerate() {
            assert!(matches!(error, Some(Error::Shape { .. })), "bad argument {i} was accepted");
        }
        let vast = Tensor::<f32>::zeros([0, usize::MAX, 2, 2]).unwrap();
        assert!(matches!(channel_sums(&vast), Err(Error::Memory { .. })));
        assert!(channel_add(vast, &[0.0; 3]).is_err());
    }
}
