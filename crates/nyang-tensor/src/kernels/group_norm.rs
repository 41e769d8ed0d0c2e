//! Group normalisation: each sample's channels in groups, each group by its own mean and variance.
//!
//! Letters: N samples of P pixels of C channels; a group is C/G channels in a row, of M = P·C/G values; γ and β are a channel's;
//! μ and s = 1/√(σ² + ε) a sample's and group's; x̂ = (x − μ)·s.
//!
//! The sums of a group are those of its channels, and the channels of a pixel are neighbours in channels-last memory: so all loops over
//! pixels run along the channels, whatever the size of the groups. A sample's result depends on that sample alone.

use std::ops::Range;

use super::columns::column_sums;
use super::layer_norm::in_place_or_copy;
use super::{require_shape, values};
use crate::parallel::{CHUNK, for_each_chunk};
use crate::{Element, Error, Result, Shape, Tensor};

/// Values that a partial sum covers: a large sample is cut into pieces of so many.
const PIECE: usize = 64 * 1024;

/// How groups are normalised.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm<'a, T> {
    /// The number of groups, which divides the number of channels.
    pub groups: usize,
    /// ε, added to the variance under the root.
    pub eps: f64,
    /// γ, one number a channel; 1 where there is none.
    pub weight: Option<&'a [T]>,
    /// β, one number a channel; 0 where there is none.
    pub bias: Option<&'a [T]>,
}

impl<T: Element> GroupNorm<'_, T> {
    /// γ of a channel.
    fn gamma(&self, channel: usize) -> f64 {
        self.weight.map_or(1.0, |weight| weight[channel].to_f64())
    }
}

/// Mean and 1/√(σ² + ε) of each sample and channel, which are the same for all channels of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupStats<T: Element> {
    /// μ `[N, C]`.
    pub mean: Tensor<T>,
    /// s `[N, C]`.
    pub inv_std: Tensor<T>,
}

/// What [`group_norm_backward`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupGradients<T: Element> {
    /// The gradient of x.
    pub dx: Tensor<T>,
    /// The gradient of γ `[C]`; nothing for an empty batch.
    pub dweight: Vec<f64>,
    /// The gradient of β `[C]`; nothing for an empty batch.
    pub dbias: Vec<f64>,
}

/// The sizes of an input.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    samples: usize,
    pixels: usize,
    channels: usize,
    groups: usize,
}

impl Sizes {
    fn new<T: Element>(op: &'static str, shape: &Shape, by: &GroupNorm<'_, T>) -> Result<Self> {
        let (n, c, pixels) = match *shape.dims() {
            [n, c] => (n, c, 1),
            [n, c, h, w] => (n, c, h.saturating_mul(w)),
            _ => return Err(Error::shape(op, "[N, C] or [N, C, H, W]", *shape)),
        };
        if by.groups == 0 || c == 0 || !c.is_multiple_of(by.groups) {
            return Err(Error::argument(op, "groups", by.groups, "must be positive and divide the channels"));
        }
        for (name, v) in [("weight", by.weight), ("bias", by.bias)] {
            if let Some(v) = v.filter(|v| v.len() != c) {
                return Err(Error::shape(op, format!("{name} [{c}], one value a channel"), Shape::from([v.len()])));
            }
        }
        Ok(Sizes { samples: n, pixels, channels: c, groups: by.groups })
    }

    /// M, the values of a group.
    fn of_a_group(&self) -> f64 {
        (self.pixels * (self.channels / self.groups)) as f64
    }

    /// K sums over the pixels of each sample and channel, `[N, C, K]`. `add(sums, pixel, sample's channels, channels)` adds what a pixel's
    /// `channels` give, which lie at `pixel` in memory and have the numbers at `sample's channels` of `[N, C]`.
    fn sums<T: Element, const K: usize>(
        &self,
        add: impl Fn([&mut [T]; K], Range<usize>, Range<usize>) + Send + Sync,
    ) -> Result<Tensor<f64>> {
        let (p, c) = (self.pixels, self.channels);
        let piece = (PIECE / c).max(64);
        let pieces = p.div_ceil(piece).max(1); // not a matter of the batch: in inference a sample's bits do not depend on its neighbours
        let rows = |block: usize| {
            let (n, i) = (block / pieces, block % pieces);
            n * p + i * piece..n * p + p.min((i + 1) * piece)
        };
        let sums = column_sums(c, self.samples * pieces, rows, |sums, row, channels: Range<usize>| {
            let from = |start: usize| start + channels.start..start + channels.end;
            add(sums, from(row * c), from(row / p * c));
        })?;
        if pieces == 1 {
            return Ok(sums);
        }
        let mut total = Tensor::<f64>::zeros([self.samples, c, K])?;
        for (total, pieces) in total.memory_mut()?.chunks_mut(c * K).zip(values(&sums).chunks(pieces * c * K)) {
            for piece in pieces.chunks(c * K) {
                total.iter_mut().zip(piece).for_each(|(total, v)| *total += v);
            }
        }
        Ok(total)
    }

    /// For each sample and channel what `f` makes of the sum of `terms` over the channel's group: `[N, C]`.
    /// Both are given the position in `[N, C]`.
    fn of_groups<T: Element>(&self, terms: impl Fn(usize) -> f64, f: impl Fn(usize, f64) -> f64) -> Result<Tensor<T>> {
        let mut out = Tensor::stale([self.samples, self.channels])?;
        let width = self.channels / self.groups;
        for (group, part) in out.memory_mut()?.chunks_mut(width).enumerate() {
            let sum: f64 = (group * width..(group + 1) * width).map(&terms).sum();
            part.iter_mut().enumerate().for_each(|(i, v)| *v = T::of(f(group * width + i, sum)));
        }
        Ok(out)
    }

    /// Calls `f(row, pixel's position in memory, sample's position in [N, C])` for each pixel of `x`: in place if nobody else holds it.
    fn map<T: Element>(&self, x: Tensor<T>, f: impl Fn(&mut [T], usize, usize) + Send + Sync) -> Result<Tensor<T>> {
        let x = if x.is_channels_last() { x } else { x.channels_last()? };
        let (mut y, x) = in_place_or_copy(x)?;
        let (x, c) = (x.as_ref().map(values), self.channels);
        for_each_chunk(y.memory_mut()?, (CHUNK / c).max(1) * c, |at, part| {
            if let Some(x) = x {
                part.copy_from_slice(&x[at..at + part.len()]); // still in the cache when `f` comes to it
            }
            for (i, row) in part.chunks_mut(c).enumerate() {
                f(row, at + i * c, (at / c + i) / self.pixels * c);
            }
        });
        Ok(y)
    }
}

/// Normalises each sample's groups of channels; `x` is `[N, C]` or `[N, C, H, W]` with any strides.
///
/// ```text
/// y = (x − μ)·s·γ + β        μ = Σ x / M        s = 1/√(σ² + ε)        σ² = Σ (x − μ)² / M        sums over the sample's group
/// ```
///
/// Returns y, channels-last, in place if nobody else holds `x`; and μ and s for the gradients.
///
/// # Errors
/// [`Error::Shape`] for another rank, or a weight or bias that is not `[C]`; [`Error::Argument`] unless the groups divide the channels;
/// [`Error::Memory`].
pub fn group_norm<T: Element>(x: Tensor<T>, by: &GroupNorm<'_, T>) -> Result<(Tensor<T>, GroupStats<T>)> {
    let sizes = Sizes::new("group_norm", x.shape(), by)?;
    if x.is_empty() {
        let none = Tensor::zeros([0, 0])?; // an empty batch may claim any number of samples and channels
        return Ok((x, GroupStats { mean: none.clone(), inv_std: none }));
    }
    let x = if x.is_channels_last() { x } else { x.channels_last()? };
    let stats = statistics(&x, &sizes, by.eps)?;
    let scale = sizes.of_groups(|_| 0.0, |i, _| values(&stats.inv_std)[i].to_f64() * by.gamma(i % sizes.channels))?;
    let (mean, scale) = (values(&stats.mean), values(&scale));
    let zeros = if by.bias.is_none() { vec![T::ZERO; sizes.channels] } else { vec![] };
    let bias = by.bias.unwrap_or(&zeros);
    let y = sizes.map(x, |row, _, at| {
        for (v, ((&m, &s), &b)) in row.iter_mut().zip(mean[at..].iter().zip(&scale[at..]).zip(bias)) {
            *v = (*v - m) * s + b;
        }
    })?;
    Ok((y, stats))
}

/// μ and s of each group.
fn statistics<T: Element>(x: &Tensor<T>, sizes: &Sizes, eps: f64) -> Result<GroupStats<T>> {
    let (x, m) = (values(x), sizes.of_a_group());
    let sums = sizes.sums(|[sum]: [&mut [T]; 1], at, _| sum.iter_mut().zip(&x[at]).for_each(|(sum, &v)| *sum += v))?;
    let mean = sizes.of_groups(|i| values(&sums)[i], |_, sum| sum / m)?;
    let means = values(&mean);
    // two passes: E[x²] − E[x]² cancels when |μ| ≫ σ
    let squares = sizes.sums(|[sum]: [&mut [T]; 1], at, of| {
        for ((sum, &v), &m) in sum.iter_mut().zip(&x[at]).zip(&means[of]) {
            *sum += (v - m) * (v - m);
        }
    })?;
    let inv_std = sizes.of_groups(|i| values(&squares)[i], |_, sum| 1.0 / (sum / m + eps).sqrt())?;
    Ok(GroupStats { mean, inv_std })
}

/// The gradients of [`group_norm`]; `stats` is what it returned for `x`. dx is channels-last, in place if nobody else holds `dy`.
///
/// ```text
/// dβ = Σ dy        dγ = Σ dy·x̂                               sums over samples and pixels
/// g = γ·dy         dx = s·(g − mean(g) − x̂·mean(g·x̂))         means over the sample's group
/// ```
///
/// # Errors
/// As [`group_norm`]; [`Error::Shape`] also for a dy of another shape than x, or stats that are not `[N, C]`.
pub fn group_norm_backward<T: Element>(
    dy: Tensor<T>,
    x: &Tensor<T>,
    stats: &GroupStats<T>,
    by: &GroupNorm<'_, T>,
) -> Result<GroupGradients<T>> {
    const OP: &str = "group_norm_backward";
    let sizes = Sizes::new(OP, x.shape(), by)?;
    require_shape(OP, *x.shape(), &dy)?;
    let (n, c) = (sizes.samples, sizes.channels);
    if x.is_empty() {
        return Ok(GroupGradients { dx: dy, dweight: vec![], dbias: vec![] }); // an empty batch may claim any number of channels
    }
    for stats in [&stats.mean, &stats.inv_std] {
        if stats.dims() != [n, c] {
            return Err(Error::shape(OP, format!("mean and inv_std [{n}, {c}]"), *stats.shape()));
        }
    }
    let (x, mean, inv_std) = (x.channels_last()?, stats.mean.contiguous()?, stats.inv_std.contiguous()?);
    let (x, mean, inv_std) = (values(&x), values(&mean), values(&inv_std));
    let dy = if dy.is_channels_last() { dy } else { dy.channels_last()? };
    let sums = {
        let dy = values(&dy);
        sizes.sums(|[sum, dot]: [&mut [T]; 2], at, of| {
            for ((sum, dot), ((&d, &v), &m)) in sum.iter_mut().zip(dot).zip(dy[at.clone()].iter().zip(&x[at]).zip(&mean[of])) {
                *sum += d;
                *dot += d * (v - m);
            }
        })?
    };
    let (mut dweight, mut dbias) = (vec![0.0; c], vec![0.0; c]);
    let sums = values(&sums); // Σ dy and Σ dy·(x − μ) over the pixels, side by side
    for (i, pair) in sums.chunks(2).enumerate() {
        dbias[i % c] += pair[0];
        dweight[i % c] += pair[1] * inv_std[i].to_f64();
    }
    let (m, s, gamma) = (sizes.of_a_group(), |i: usize| inv_std[i].to_f64(), |i: usize| by.gamma(i % c));
    let scale = sizes.of_groups(|_| 0.0, |i, _| s(i) * gamma(i))?;
    // −s·x̂·mean(g·x̂) is a multiple of x − μ, for x̂ = (x − μ)·s
    let by_x = sizes.of_groups(|i| gamma(i) * sums[2 * i + 1], |i, sum| -s(i).powi(3) * sum / m)?;
    let constant = sizes.of_groups(|i| gamma(i) * sums[2 * i], |i, sum| -s(i) * sum / m)?;
    let (scale, by_x, constant) = (values(&scale), values(&by_x), values(&constant));
    let dx = sizes.map(dy, |row, pixel, at| {
        let numbers = mean[at..].iter().zip(&scale[at..]).zip(by_x[at..].iter().zip(&constant[at..]));
        for ((d, &v), ((&m, &a), (&b, &t))) in row.iter_mut().zip(&x[pixel..]).zip(numbers) {
            *d = *d * a + (v - m) * b + t;
        }
    })?;
    Ok(GroupGradients { dx, dweight, dbias })
}

/// The same in plain loops, in `f64`, row-major: the definitions.
pub mod plain {
    use super::GroupNorm;

    /// Pixels' positions of each sample's groups.
    fn groups(dims: [usize; 3], groups: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        let [n, c, p] = dims;
        let m = c / groups * p;
        (0..n * groups).map(move |g| g * m..(g + 1) * m)
    }

    /// x̂, and 1/√(σ² + ε), of a group.
    fn x_hat(group: &[f64], eps: f64) -> (Vec<f64>, f64) {
        let m = group.len() as f64;
        let mean = group.iter().sum::<f64>() / m;
        let s = 1.0 / (group.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / m + eps).sqrt();
        (group.iter().map(|v| (v - mean) * s).collect(), s)
    }

    /// x̂·γ + β, of x `[N, C, P]`.
    pub fn group_norm(x: &[f64], dims: [usize; 3], by: &GroupNorm<'_, f64>) -> Vec<f64> {
        let x_hat = groups(dims, by.groups).flat_map(|at| x_hat(&x[at], by.eps).0);
        let channel = |i: usize| i / dims[2] % dims[1];
        x_hat.enumerate().map(|(i, v)| v * by.gamma(channel(i)) + by.bias.map_or(0.0, |b| b[channel(i)])).collect()
    }

    /// dx, dγ, dβ.
    pub fn group_norm_backward(dy: &[f64], x: &[f64], dims: [usize; 3], by: &GroupNorm<'_, f64>) -> [Vec<f64>; 3] {
        let channel = |i: usize| i / dims[2] % dims[1];
        let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![0.0; dims[1]], vec![0.0; dims[1]]);
        for at in groups(dims, by.groups) {
            let (x_hat, s) = x_hat(&x[at.clone()], by.eps);
            let g = |i: usize| dy[i] * by.gamma(channel(i));
            let m = at.len() as f64;
            let mean_g = at.clone().map(g).sum::<f64>() / m;
            let mean_gx = at.clone().zip(&x_hat).map(|(i, x)| g(i) * x).sum::<f64>() / m;
            for (i, x) in at.zip(&x_hat) {
                dw[channel(i)] += dy[i] * x;
                db[channel(i)] += dy[i];
                dx[i] = s * (g(i) - mean_g - x * mean_gx);
            }
        }
        [dx, dw, db]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use proptest::prelude::*;

    fn random<T: Element>(shape: impl Into<Shape>, seed: u64) -> Tensor<T> {
        Tensor::uniform(shape, -1.0, 1.0, &mut Rng::seed(seed)).unwrap()
    }

    fn wide<T: Element>(v: &[T]) -> Vec<f64> {
        v.iter().map(|v| v.to_f64()).collect()
    }

    /// Whether the kernels give what the plain loops give, to what rounding in `T` allows.
    fn agrees<T: Element>(shape: Shape, groups: usize, affine: bool, last: bool, eps: f64) -> bool {
        let c = shape.dims()[1];
        let dims = [shape.dims()[0], c, shape.dims().iter().skip(2).product()];
        let images = |seed| {
            let x = random::<T>(shape, seed);
            if last { x.channels_last().unwrap() } else { x }
        };
        let (x, dy) = (images(1), random::<T>(shape, 2));
        let [w, b] = [3, 4].map(|seed| random::<T>([c], seed).to_vec());
        let (w64, b64, x64, dy64) = (wide(&w), wide(&b), wide(&x.to_vec()), wide(&dy.to_vec()));
        let by = GroupNorm { groups, eps: 1e-2, weight: affine.then_some(&w), bias: affine.then_some(&b) };
        let by64 = GroupNorm { groups, eps: 1e-2, weight: affine.then_some(&w64), bias: affine.then_some(&b64) };

        // values of x̂ and its gradients are at most 10 = 1/√ε times x's 2; a channel's sum has `terms` of them
        let close = |got: Vec<f64>, want: Vec<f64>, terms: usize| {
            got.len() == want.len() && got.iter().zip(&want).all(|(g, w)| (g - w).abs() <= 400.0 * eps * (terms as f64 + 1.0))
        };
        let (y, stats) = group_norm(x.clone(), &by).unwrap();
        let got = group_norm_backward(dy, &x, &stats, &by).unwrap();
        let [dx, dw, db] = plain::group_norm_backward(&dy64, &x64, dims, &by64);
        y.is_channels_last()
            && got.dx.is_channels_last()
            && close(wide(&y.to_vec()), plain::group_norm(&x64, dims, &by64), 1)
            && close(wide(&got.dx.to_vec()), dx, 1)
            && (x.is_empty() || close(got.dweight, dw, dims[0] * dims[2]) && close(got.dbias, db, dims[0] * dims[2]))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]
        #[test]
        fn all_agree_with_plain_loops(n in 0usize..5, groups in 1usize..6, width in 1usize..6, size in [0usize..9, 0..9], affine: bool, last: bool) {
            let c = groups * width;
            for shape in [Shape::from([n, c]), Shape::from([n, c, size[0], size[1]])] {
                prop_assert!(agrees::<f64>(shape, groups, affine, last, f64::EPSILON), "f64 {shape}");
                prop_assert!(agrees::<f32>(shape, groups, affine, last, f64::from(f32::EPSILON)), "f32 {shape}");
            }
        }
    }

    #[test]
    fn images_that_are_cut_into_pieces_agree_with_plain_loops() {
        for dims in [[2, 6, 130, 131], [1, 600, 12, 12], [3, 2, 200, 181]] {
            assert!(agrees::<f32>(Shape::from(dims), 2, true, true, f64::from(f32::EPSILON)), "{dims:?}");
        }
    }

    #[test]
    fn a_sample_is_normalised_as_if_it_were_alone() {
        let x = random::<f32>([3, 6, 110, 120], 1);
        let (w, b) = (random([6], 2).to_vec(), random([6], 3).to_vec());
        let by = GroupNorm { groups: 3, eps: 1e-5, weight: Some(&w), bias: Some(&b) };
        let (all, _) = group_norm(x.clone(), &by).unwrap();
        for n in 0..3 {
            let (alone, _) = group_norm(x.slice(0, n..n + 1, 1).unwrap(), &by).unwrap();
            assert_eq!(alone, all.slice(0, n..n + 1, 1).unwrap());
        }
    }

    #[test]
    fn the_number_of_threads_and_the_order_in_memory_change_no_bit() {
        let (x, dy, w) = (random::<f32>([3, 6, 110, 120], 1), random::<f32>([3, 6, 110, 120], 2), random::<f32>([6], 3).to_vec());
        let run = |threads, x: Tensor<f32>| {
            let by = GroupNorm { groups: 2, eps: 1e-5, weight: Some(&w), bias: Some(&w) };
            crate::parallel::with_threads(threads, || {
                let (y, stats) = group_norm(x.clone(), &by).unwrap();
                (y, group_norm_backward(dy.clone(), &x, &stats, &by).unwrap())
            })
        };
        assert_eq!(run(1, x.clone()), run(3, x.channels_last().unwrap()));
    }

    #[test]
    fn a_large_mean_does_not_swallow_the_variance() {
        let x = Tensor::from_fn([1, 1, 10, 100], |i| 10_000.0 + (i % 2) as f32).unwrap();
        let (y, _) = group_norm(x, &GroupNorm { groups: 1, eps: 1e-5, weight: None, bias: None }).unwrap();
        assert!((y.to_vec()[0] + 1.0).abs() < 1e-3 && (y.to_vec()[1] - 1.0).abs() < 1e-3, "{y:?}");
    }

    #[test]
    fn what_does_not_fit_together_is_an_error() {
        let x = Tensor::<f32>::ones([2, 4, 3, 3]).unwrap();
        let (three, four) = ([1.0; 3], [1.0; 4]);
        let by = GroupNorm { groups: 2, eps: 1e-5, weight: Some(&four), bias: Some(&four) };
        let stats = group_norm(x.clone(), &by).unwrap().1;
        let wrong = GroupStats { mean: Tensor::ones([4, 2]).unwrap(), ..stats.clone() };
        let flat = Tensor::<f32>::ones([2, 4, 9]).unwrap();
        let bad = [
            group_norm(x.clone(), &GroupNorm { groups: 0, ..by }).err(),
            group_norm(x.clone(), &GroupNorm { groups: 3, ..by }).err(),
            group_norm(x.clone(), &GroupNorm { weight: Some(&three), ..by }).err(),
            group_norm(x.clone(), &GroupNorm { bias: Some(&three), ..by }).err(),
            group_norm(flat.clone(), &by).err(),
            group_norm(Tensor::ones([2, 0, 3, 3]).unwrap(), &GroupNorm { weight: None, bias: None, ..by }).err(),
            group_norm_backward(flat, &x, &stats, &by).err(),
            group_norm_backward(x.clone(), &x, &wrong, &by).err(),
        ];
        for (i, error) in bad.iter().enumerate() {
            assert!(matches!(error, Some(Error::Shape { .. } | Error::Argument { .. })), "bad argument {i} was accepted");
        }
        let vast = Tensor::<f32>::zeros([usize::MAX, 4, 0, 2]).unwrap();
        let (y, stats) = group_norm(vast.clone(), &by).unwrap();
        assert!(y.is_empty() && group_norm_backward(y, &vast, &stats, &by).unwrap().dx.is_empty());
    }
}
