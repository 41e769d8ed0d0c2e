//! Batch norm's own loops: a channel's mean and variance, the map, and the two passes of the gradient; each with the activation behind it.
//!
//! An activation that follows a batch norm at once costs nothing here: it is applied while a value is in a register, and the gradient finds
//! out anew where it let through, from x, rather than to read y from memory.

use std::ops::Range;

use super::Activation;
use super::activation::{relu, relu6};
use super::channels::{AddRow, MapRow, Rows, SumOf};
use super::{require_shape, values};
use crate::parallel::map_ranges;
use crate::{Element, Result, Tensor};

/// y = act((x − shift)·scale + bias), with one number of each a channel.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a, T> {
    /// What is subtracted from x.
    pub shift: &'a [T],
    /// The factor of x − shift.
    pub scale: &'a [T],
    /// What is added then.
    pub bias: &'a [T],
    /// What follows.
    pub activation: Activation,
}

/// The factors of [`affine_grad_input`], one of each a channel.
#[derive(Clone, Copy, Debug)]
pub struct GradAffine<'a, T> {
    /// The factor of dv.
    pub dv: &'a [T],
    /// The factor of x − shift.
    pub x: &'a [T],
    /// What is added to the sum.
    pub bias: &'a [T],
}

/// What of dy comes through a ReLU whose input is v.
#[inline(always)]
fn through_relu<T: Element>(dy: T, v: T) -> T {
    if v <= T::ZERO { T::ZERO } else { dy }
}

/// What of dy comes through a ReLU6 whose input is v.
#[inline(always)]
fn through_relu6<T: Element>(dy: T, v: T) -> T {
    dy * if v > T::ZERO && v < T::of(6.0) { T::ONE } else { T::ZERO }
}

/// μ and Σ (x − μ)² of each channel of `[N, C]` or `[N, C, H, W]`, with one walk through the memory.
///
/// ```text
/// of each part p of the memory, while it is in the cache:   S = Σ x,  m ≈ S/n,  Q = Σ (x − m)²
/// of the whole:   μ = Σₚ S / Σₚ n     Σ (x − μ)² = Σₚ Q + 2 (m − μ)(S − n·m) + n (m − μ)²
/// ```
///
/// Squares are taken around a mean, for `E[x²] − E[x]²` cancels when |μ| ≫ σ. NaN for a channel without values.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape), here and in the other functions of this file.
pub fn channel_moments<T: Element>(x: &Tensor<T>) -> Result<[Vec<f64>; 2]> {
    let rows = Rows::new("channel_moments", x.shape())?;
    let ([mut means, mut squares], n) = ([rows.zeros()?, rows.zeros()?], rows.count(x.len()));
    let x = x.channels_last()?;
    let x = values(&x);
    let parts = map_ranges(x.len(), rows.part(), |range| {
        let count = rows.count(range.len());
        let [sums] = rows.sums_of(range.clone(), &SumOf(x));
        let near: Vec<T> = sums.iter().map(|s| T::of(s / count)).collect();
        let around = rows.repeated(&near);
        let [squares] = rows.sums_of(range, &Squares { x, around: &around });
        (count, sums, near, squares)
    });
    for (_, sums, ..) in &parts {
        means.iter_mut().zip(sums).for_each(|(mean, s)| *mean += s);
    }
    means.iter_mut().for_each(|mean| *mean /= n);
    for (count, sums, near, part) in &parts {
        for (i, total) in squares.iter_mut().enumerate() {
            let (near, off) = (near[i].to_f64(), near[i].to_f64() - means[i]);
            *total += part[i] + 2.0 * off * (sums[i] - count * near) + count * off * off;
        }
    }
    Ok([means, squares])
}

/// Σ (x − around)².
struct Squares<'a, T> {
    x: &'a [T],
    around: &'a [T],
}

impl<T: Element> AddRow<T, 1> for Squares<'_, T> {
    #[inline(always)]
    fn add(&self, [sum]: [&mut [T]; 1], at: Range<usize>, lane: usize) {
        for ((sum, &v), &m) in sum.iter_mut().zip(&self.x[at]).zip(&self.around[lane..]) {
            *sum += (v - m) * (v - m);
        }
    }
}

/// y = act((x − shift)·scale + bias). Channels-last; in place if nobody else holds `x`.
pub fn channel_affine<T: Element>(x: Tensor<T>, by: &Affine<'_, T>) -> Result<Tensor<T>> {
    match by.activation {
        Activation::Identity => affine(x, by, |v| v),
        Activation::Relu => affine(x, by, relu),
        Activation::Relu6 => affine(x, by, relu6),
    }
}

fn affine<T: Element>(x: Tensor<T>, by: &Affine<'_, T>, act: impl Fn(T) -> T + Sync) -> Result<Tensor<T>> {
    let rows = Rows::new("channel_affine", x.shape())?;
    let by = along(&rows, "channel_affine", by)?;
    rows.map(x, &Forward { by, act })
}

/// act((x − shift)·scale + bias).
struct Forward<'a, T: Element, F> {
    by: [Repeated<'a, T>; 3],
    act: F,
}

impl<T: Element, F: Fn(T) -> T + Sync> MapRow<T> for Forward<'_, T, F> {
    #[inline(always)]
    fn map(&self, _: usize, row: &mut [T]) {
        let [shift, scale, bias] = &self.by;
        for (v, ((&s, &a), &b)) in row.iter_mut().zip(shift.iter().zip(&**scale).zip(&**bias)) {
            *v = (self.act)((*v - s) * a + b);
        }
    }

    #[inline(always)]
    fn map_from(&self, _: usize, from: &[T], to: &mut [T]) {
        let [shift, scale, bias] = &self.by;
        for ((to, &v), ((&s, &a), &b)) in to.iter_mut().zip(from).zip(shift.iter().zip(&**scale).zip(&**bias)) {
            *to = (self.act)((v - s) * a + b);
        }
    }
}

/// y = act((x − shift)·scale + bias + beside), the end of a residual block, with the bits of a later sum. Channels-last; in place if nobody
/// else holds `x`.
pub fn channel_affine_beside<T: Element>(x: Tensor<T>, by: &Affine<'_, T>, beside: &Tensor<T>) -> Result<Tensor<T>> {
    match by.activation {
        Activation::Identity => affine_beside(x, by, beside, |v| v),
        Activation::Relu => affine_beside(x, by, beside, relu),
        Activation::Relu6 => affine_beside(x, by, beside, relu6),
    }
}

fn affine_beside<T: Element>(x: Tensor<T>, by: &Affine<'_, T>, beside: &Tensor<T>, act: impl Fn(T) -> T + Sync) -> Result<Tensor<T>> {
    const OP: &str = "channel_affine_beside";
    let rows = Rows::new(OP, x.shape())?;
    require_shape(OP, *x.shape(), beside)?;
    let (by, beside) = (along(&rows, OP, by)?, beside.channels_last()?);
    rows.map(x, &Beside { by, beside: values(&beside), act })
}

/// act((x − shift)·scale + bias + beside).
struct Beside<'a, T: Element, F> {
    by: [Repeated<'a, T>; 3],
    beside: &'a [T],
    act: F,
}

impl<T: Element, F: Fn(T) -> T + Sync> MapRow<T> for Beside<'_, T, F> {
    #[inline(always)]
    fn map(&self, start: usize, row: &mut [T]) {
        let [shift, scale, bias] = &self.by;
        let numbers = shift.iter().zip(&**scale).zip(&**bias);
        for ((v, &other), ((&s, &a), &b)) in row.iter_mut().zip(&self.beside[start..]).zip(numbers) {
            *v = (self.act)((*v - s) * a + b + other);
        }
    }

    #[inline(always)]
    fn map_from(&self, start: usize, from: &[T], to: &mut [T]) {
        let [shift, scale, bias] = &self.by;
        let numbers = shift.iter().zip(&**scale).zip(&**bias);
        for (((to, &v), &other), ((&s, &a), &b)) in to.iter_mut().zip(from).zip(&self.beside[start..]).zip(numbers) {
            *to = (self.act)((v - s) * a + b + other);
        }
    }
}

/// (Σ dv, Σ dv·(x − shift)) of each channel, with dv what of dy comes through the activation: what the gradients of batch norm are made of.
pub fn affine_grad_sums<T: Element>(dy: &Tensor<T>, x: &Tensor<T>, by: &Affine<'_, T>) -> Result<[Vec<f64>; 2]> {
    match by.activation {
        Activation::Identity => grad_sums(dy, x, by, |dy, _| dy),
        Activation::Relu => grad_sums(dy, x, by, through_relu),
        Activation::Relu6 => grad_sums(dy, x, by, through_relu6),
    }
}

fn grad_sums<T: Element>(dy: &Tensor<T>, x: &Tensor<T>, by: &Affine<'_, T>, through: impl Fn(T, T) -> T + Sync) -> Result<[Vec<f64>; 2]> {
    const OP: &str = "affine_grad_sums";
    let rows = Rows::new(OP, x.shape())?;
    let by = along(&rows, OP, by)?;
    require_shape(OP, *x.shape(), dy)?;
    let (dy, x) = (dy.channels_last()?, x.channels_last()?);
    rows.sums(x.len(), &GradSums { dy: values(&dy), x: values(&x), by, through })
}

/// Σ dv and Σ dv·(x − shift).
struct GradSums<'a, T: Element, F> {
    dy: &'a [T],
    x: &'a [T],
    by: [Repeated<'a, T>; 3],
    through: F,
}

impl<T: Element, F: Fn(T, T) -> T + Sync> AddRow<T, 2> for GradSums<'_, T, F> {
    #[inline(always)]
    fn add(&self, [sum, dot]: [&mut [T]; 2], at: Range<usize>, lane: usize) {
        let [shift, scale, bias] = self.by.each_ref().map(|numbers| &numbers[lane..]);
        let numbers = shift.iter().zip(scale).zip(bias);
        for ((sum, dot), ((&d, &v), ((&s, &a), &b))) in
            sum.iter_mut().zip(dot).zip(self.dy[at.clone()].iter().zip(&self.x[at]).zip(numbers))
        {
            let centred = v - s;
            let d = (self.through)(d, centred * a + b);
            *sum += d;
            *dot += d * centred;
        }
    }
}

/// dx = dv·grad.dv + (x − shift)·grad.x + grad.bias, with dv what of dy comes through the activation. Channels-last; in place if nobody
/// else holds `dy`.
pub fn affine_grad_input<T: Element>(dy: Tensor<T>, x: &Tensor<T>, by: &Affine<'_, T>, grad: &GradAffine<'_, T>) -> Result<Tensor<T>> {
    match by.activation {
        Activation::Identity => grad_input(dy, x, by, grad, |dy, _| dy),
        Activation::Relu => grad_input(dy, x, by, grad, through_relu),
        Activation::Relu6 => grad_input(dy, x, by, grad, through_relu6),
    }
}

fn grad_input<T: Element>(
    dy: Tensor<T>,
    x: &Tensor<T>,
    by: &Affine<'_, T>,
    grad: &GradAffine<'_, T>,
    through: impl Fn(T, T) -> T + Sync,
) -> Result<Tensor<T>> {
    const OP: &str = "affine_grad_input";
    let rows = Rows::new(OP, x.shape())?;
    require_shape(OP, *x.shape(), &dy)?;
    let by = along(&rows, OP, by)?;
    let of_dv = rows.along(OP, "factors of dv", grad.dv)?;
    let (of_x, constant) = (rows.along(OP, "factors of x", grad.x)?, rows.along(OP, "bias", grad.bias)?);
    let x = x.channels_last()?;
    rows.map(dy, &Backward { x: values(&x), by, grad: [of_dv, of_x, constant], through })
}

/// dv·grad.dv + (x − shift)·grad.x + grad.bias.
struct Backward<'a, T: Element, F> {
    x: &'a [T],
    by: [Repeated<'a, T>; 3],
    grad: [Repeated<'a, T>; 3],
    through: F,
}

impl<T: Element, F: Fn(T, T) -> T + Sync> MapRow<T> for Backward<'_, T, F> {
    #[inline(always)]
    fn map(&self, start: usize, row: &mut [T]) {
        let ([shift, scale, bias], [of_dv, of_x, constant]) = (&self.by, &self.grad);
        let forward = shift.iter().zip(&**scale).zip(&**bias);
        let back = of_dv.iter().zip(&**of_x).zip(&**constant);
        for ((d, &v), (((&s, &a), &b), ((&by_d, &by_x), &c))) in row.iter_mut().zip(&self.x[start..]).zip(forward.zip(back)) {
            let centred = v - s;
            *d = (self.through)(*d, centred * a + b) * by_d + centred * by_x + c;
        }
    }
}

type Repeated<'a, T> = std::borrow::Cow<'a, [T]>;

/// The numbers of a map, repeated along a row.
fn along<'a, T: Element>(rows: &Rows, op: &'static str, by: &Affine<'a, T>) -> Result<[Repeated<'a, T>; 3]> {
    Ok([rows.along(op, "shift", by.shift)?, rows.along(op, "scale", by.scale)?, rows.along(op, "bias", by.bias)?])
}

/// The same in plain loops, value by value: the definitions.
pub mod plain {
    use super::{Activation, Affine, GradAffine};
    use crate::kernels::channels::plain::{channels, sums};
    use crate::{Element, Result, Tensor};

    /// μ and Σ (x − μ)².
    ///
    /// # Errors
    /// As [`channel_moments`](super::channel_moments); so the others here.
    pub fn channel_moments<T: Element>(x: &Tensor<T>) -> Result<[Vec<f64>; 2]> {
        let v = x.to_vec();
        let n = (x.len() / x.dims()[1].max(1)) as f64;
        let means: Vec<f64> = sums(x, &[], |i, _| v[i])?.iter().map(|s| s / n).collect();
        let squares = sums(x, &[], |i, c| (v[i] - T::of(means[c])) * (v[i] - T::of(means[c])))?;
        Ok([means, squares])
    }

    /// y and dy/dv at v.
    fn activated<T: Element>(activation: Activation, v: T) -> [T; 2] {
        match activation {
            Activation::Identity => [v, T::ONE],
            Activation::Relu if v <= T::ZERO => [T::ZERO, T::ZERO],
            Activation::Relu => [v, T::ONE],
            Activation::Relu6 if v > T::ZERO && v < T::of(6.0) => [v, T::ONE],
            Activation::Relu6 if v.is_nan() => [v, T::ZERO],
            Activation::Relu6 => [if v <= T::ZERO { T::ZERO } else { T::of(6.0) }, T::ZERO],
        }
    }

    /// v and what follows of it.
    fn at<T: Element>(by: &Affine<'_, T>, x: T, c: usize) -> [T; 2] {
        activated(by.activation, (x - by.shift[c]) * by.scale[c] + by.bias[c])
    }

    /// act((x − shift)·scale + bias), row-major.
    ///
    /// # Errors
    /// As [`channel_affine`](super::channel_affine).
    pub fn channel_affine<T: Element>(x: &Tensor<T>, by: &Affine<'_, T>) -> Result<Vec<T>> {
        let channels = channels(x, &[by.shift, by.scale, by.bias])?;
        Ok(x.to_vec().into_iter().zip(channels).map(|(x, c)| at(by, x, c)[0]).collect())
    }

    /// (Σ dv, Σ dv·(x − shift)).
    ///
    /// # Errors
    /// As [`affine_grad_sums`](super::affine_grad_sums).
    pub fn affine_grad_sums<T: Element>(dy: &Tensor<T>, x: &Tensor<T>, by: &Affine<'_, T>) -> Result<[Vec<f64>; 2]> {
        super::require_shape("batch_norm::plain", *x.shape(), dy)?;
        let (d, v, numbers) = (dy.to_vec(), x.to_vec(), [by.shift, by.scale, by.bias]);
        let dv = |i: usize, c: usize| d[i] * at(by, v[i], c)[1];
        Ok([sums(x, &numbers, dv)?, sums(x, &numbers, |i, c| dv(i, c) * (v[i] - by.shift[c]))?])
    }

    /// dv·grad.dv + (x − shift)·grad.x + grad.bias, row-major.
    ///
    /// # Errors
    /// As [`affine_grad_input`](super::affine_grad_input).
    pub fn affine_grad_input<T: Element>(dy: &Tensor<T>, x: &Tensor<T>, by: &Affine<'_, T>, grad: &GradAffine<'_, T>) -> Result<Vec<T>> {
        super::require_shape("batch_norm::plain", *x.shape(), dy)?;
        let channels = channels(x, &[by.shift, by.scale, by.bias, grad.dv, grad.x, grad.bias])?;
        let dx = |((d, x), c): ((T, T), usize)| d * at(by, x, c)[1] * grad.dv[c] + (x - by.shift[c]) * grad.x[c] + grad.bias[c];
        Ok(dy.to_vec().into_iter().zip(x.to_vec()).zip(channels).map(dx).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Rng, Shape};
    use proptest::prelude::*;

    const ACTIVATIONS: [Activation; 3] = [Activation::Identity, Activation::Relu, Activation::Relu6];

    /// A multiple of 1/8 in [−4, 4), so that v is exact in f32 and both types agree on which side of a kink it lies.
    fn eighths<T: Element>(shape: &Shape, seed: u64) -> Tensor<T> {
        let mut rng = Rng::seed(seed);
        Tensor::from_fn(shape, |_| T::of(rng.below(64) as f64 / 8.0 - 4.0)).unwrap()
    }

    fn wide<T: Element>(v: &[T]) -> Vec<f64> {
        v.iter().map(|v| v.to_f64()).collect()
    }

    /// Whether everything is what the plain loops give in f64, to what rounding in `T` allows.
    fn agrees<T: Element>(shape: &Shape, layout: bool, activation: Activation, eps: f64) -> bool {
        let laid = |x: Tensor<T>| if layout { x.channels_last().unwrap() } else { x };
        let (x, dy) = (laid(eighths(shape, 1)), eighths::<T>(shape, 2));
        let c = shape.dims()[1];
        let [shift, scale, bias, a, b, t] = [3, 4, 5, 6, 7, 8].map(|seed| eighths::<T>(&Shape::from([c]), seed).to_vec());
        let [shift64, scale64, bias64, a64, b64, t64] = [&shift, &scale, &bias, &a, &b, &t].map(|v| wide(v));
        let (x64, dy64) = (x.cast::<f64>().unwrap(), dy.cast::<f64>().unwrap());
        let by = Affine { shift: &shift, scale: &scale, bias: &bias, activation };
        let by64 = Affine { shift: &shift64, scale: &scale64, bias: &bias64, activation };
        let (grad, grad64) = (GradAffine { dv: &a, x: &b, bias: &t }, GradAffine { dv: &a64, x: &b64, bias: &t64 });

        let n = 1 + x.len() / c.max(1);
        // terms are at most 32, and the roundings of as many additions mostly cancel
        let close = |got: &[f64], want: &[f64], n: usize| {
            let near = |(g, w): (&f64, &f64)| (g - w).abs() <= 64.0 * eps * (n as f64).powf(1.5) || (g.is_nan() && w.is_nan());
            got.len() == want.len() && got.iter().zip(want).all(near)
        };
        let ([mean, squares], [mean64, squares64]) = (channel_moments(&x).unwrap(), plain::channel_moments(&x64).unwrap());
        let ([s, d], [s64, d64]) = (affine_grad_sums(&dy, &x, &by).unwrap(), plain::affine_grad_sums(&dy64, &x64, &by64).unwrap());
        let y = channel_affine(x.clone(), &by).unwrap();
        let dx = affine_grad_input(dy, &x, &by, &grad).unwrap();
        let beside = eighths::<T>(shape, 9);
        let plain = Affine { activation: Activation::Identity, ..by };
        let steps = channel_affine(x.clone(), &plain).unwrap().zip(&beside, |v, b| activation.of(v + b)).unwrap();
        // of a tensor that is held elsewhere, and in place
        let one_walk = [x.clone(), laid(eighths(shape, 1))].map(|x| channel_affine_beside(x, &by, &beside).unwrap().to_vec());
        one_walk.iter().all(|y| *y == steps.to_vec())
            && close(&mean, &mean64, 1)
            && close(&squares, &squares64, n)
            && close(&s, &s64, n)
            && close(&d, &d64, n)
            && y.is_channels_last()
            && dx.is_channels_last()
            && close(&wide(&y.to_vec()), &plain::channel_affine(&x64, &by64).unwrap(), 1)
            && close(&wide(&dx.to_vec()), &plain::affine_grad_input(&dy64, &x64, &by64, &grad64).unwrap(), 4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn all_agree_with_plain_loops(
            n in 0usize..6, c in prop_oneof![0usize..9, 60usize..70, 500usize..1100], size in [0usize..9, 0..9], layout: bool, act in 0usize..3,
        ) {
            for shape in [Shape::from([n * 50, c]), Shape::from([n, c, size[0], size[1]])] {
                prop_assert!(agrees::<f64>(&shape, layout, ACTIVATIONS[act], f64::EPSILON), "f64 {shape}");
                prop_assert!(agrees::<f32>(&shape, layout, ACTIVATIONS[act], f64::from(f32::EPSILON)), "f32 {shape}");
            }
        }
    }

    /// Around 10⁴ with σ = 0.29: E[x²] − E[x]² in f32 would leave nothing. Several parts, so that they are put together too.
    #[test]
    fn a_variance_far_from_zero_keeps_its_digits() {
        let mut rng = Rng::seed(1);
        let x = Tensor::<f32>::from_fn([100_000, 3], |i| 1e4 * (1 + i % 3) as f32 + rng.below(1000) as f32 / 1000.0).unwrap();
        let [mean, squares] = channel_moments(&x).unwrap();
        let [mean64, squares64] = plain::channel_moments(&x.cast::<f64>().unwrap()).unwrap();
        for c in 0..3 {
            assert!((mean[c] / mean64[c] - 1.0).abs() < 1e-6, "{mean:?}, not {mean64:?}");
            // values are multiples of 2⁻¹⁰ here, so differences from a mean in f32 are off by no more than that, both ways
            assert!((squares[c] / squares64[c] - 1.0).abs() < 1e-4, "{squares:?}, not {squares64:?}");
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let x = eighths::<f32>(&Shape::from([7, 5, 61, 67]), 1);
        let by = Affine { shift: &[0.25; 5], scale: &[1.5; 5], bias: &[0.1; 5], activation: Activation::Relu };
        let run = |threads| {
            crate::parallel::with_threads(threads, || {
                (channel_moments(&x).unwrap(), affine_grad_sums(&x, &x, &by).unwrap(), channel_affine(x.clone(), &by).unwrap())
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn nan_stays_and_kinks_have_the_slopes_of_the_layers() {
        let x = Tensor::from_vec([6, 1], vec![-1.0, 0.0, 3.0, 6.0, 9.0, f64::NAN]).unwrap();
        let of = |activation| {
            let by = Affine { shift: &[0.0], scale: &[1.0], bias: &[0.0], activation };
            let grad = GradAffine { dv: &[1.0], x: &[0.0], bias: &[0.0] };
            let y = channel_affine(x.clone(), &by).unwrap().to_vec();
            let dx = affine_grad_input(Tensor::ones([6, 1]).unwrap(), &x.slice(0, 0..5, 1).unwrap(), &by, &grad);
            assert!(dx.is_err() && y[5].is_nan());
            let first = x.slice(0, 0..5, 1).unwrap();
            (y[..5].to_vec(), affine_grad_input(Tensor::ones([5, 1]).unwrap(), &first, &by, &grad).unwrap().to_vec())
        };
        assert_eq!(of(Activation::Relu), (vec![0.0, 0.0, 3.0, 6.0, 9.0], vec![0.0, 0.0, 1.0, 1.0, 1.0]));
        assert_eq!(of(Activation::Relu6), (vec![0.0, 0.0, 3.0, 6.0, 6.0], vec![0.0, 0.0, 1.0, 0.0, 0.0]));
    }

    #[test]
    fn what_does_not_fit_together_is_an_error() {
        let (x, three, two) = (Tensor::<f32>::ones([2, 3, 4, 4]).unwrap(), [0.0; 3], [0.0; 2]);
        let by = Affine { shift: &three, scale: &three, bias: &three, activation: Activation::Identity };
        let grad = GradAffine { dv: &three, x: &three, bias: &three };
        let flat = Tensor::<f32>::ones([2, 3, 4]).unwrap();
        let bad = [
            channel_moments(&flat).err(),
            channel_affine(flat.clone(), &by).err(),
            channel_affine(x.clone(), &Affine { shift: &two, ..by }).err(),
            channel_affine(x.clone(), &Affine { scale: &two, ..by }).err(),
            channel_affine(x.clone(), &Affine { bias: &two, ..by }).err(),
            channel_affine_beside(x.clone(), &by, &Tensor::ones([2, 3]).unwrap()).err(),
            channel_affine_beside(x.clone(), &Affine { bias: &two, ..by }, &x).err(),
            affine_grad_sums(&Tensor::ones([2, 3]).unwrap(), &x, &by).err(),
            affine_grad_sums(&x, &x, &Affine { shift: &two, ..by }).err(),
            affine_grad_input(flat, &x, &by, &grad).err(),
            affine_grad_input(x.clone(), &x, &by, &GradAffine { dv: &two, ..grad }).err(),
            affine_grad_input(x.clone(), &x, &by, &GradAffine { x: &two, ..grad }).err(),
            affine_grad_input(x.clone(), &x, &by, &GradAffine { bias: &two, ..grad }).err(),
            plain::affine_grad_sums(&x, &x, &Affine { shift: &two, ..by }).err(),
        ];
        for (i, error) in bad.iter().enumerate() {
            assert!(matches!(error, Some(Error::Shape { .. })), "bad argument {i} was accepted");
        }
        let vast = Tensor::<f32>::zeros([0, usize::MAX, 2, 2]).unwrap();
        assert!(matches!(channel_moments(&vast), Err(Error::Memory { .. })));
    }
}
