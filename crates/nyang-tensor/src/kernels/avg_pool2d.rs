//! Average pooling: the mean under each window, and the mean of the whole image.

use std::num::NonZeroUsize;

use super::channels::{Rows, SumOf};
use super::{Window, image_dims, require_shape, values};
use crate::parallel::{CHUNK, for_each_chunk};
use crate::{Element, Error, Result, Shape, Tensor};

/// By what a window's sum is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Divisor {
    /// The cells of the window that lie on the padded image: padding counts as zeros. PyTorch's default, `count_include_pad = True`.
    /// What hangs over the padding in ceil mode is not counted.
    #[default]
    Padded,
    /// The cells of the window that lie on the image: padding does not count.
    Cells,
    /// This number, whatever lies under the window: PyTorch's `divisor_override`.
    Fixed(NonZeroUsize),
}

/// An input, a window that fits it, and the output's size.
struct Plan {
    window: Window,
    divisor: Divisor,
    input: [usize; 4],
    output: [usize; 4],
}

impl Plan {
    fn new(input: &Shape, window: &Window, divisor: Divisor) -> Result<Plan> {
        const OP: &str = "avg_pool2d";
        let [n, c, h, w] = image_dims(OP, input)?;
        if window.dilation != [1, 1] {
            return Err(Error::argument(OP, "dilation", format!("{:?}", window.dilation), "must be 1: an average has no gaps"));
        }
        let [oh, ow] = window.out_size(OP, [h, w])?;
        window.check_pool_padding(OP)?;
        Ok(Plan { window: *window, divisor, input: [n, c, h, w], output: [n, c, oh, ow] })
    }

    /// Calls `f(from)` for each real cell under the window of output pixel `p`, row by row, with the position of its channels in `x`.
    /// Returns what the sum of these cells is divided by, 1 if there are none.
    #[inline]
    fn cells(&self, p: usize, mut f: impl FnMut(usize)) -> usize {
        let ([_, c, h, w], [_, _, height, width]) = (self.input, self.output);
        let at = [p / width % height, p % width];
        let n = p / (height * width);
        let (rows, columns) = (self.window.reach(0, at[0], h), self.window.reach(1, at[1], w));
        for i in 0..rows.taps.len() {
            let row = (n * h + rows.first + i) * w + columns.first;
            (0..columns.taps.len()).for_each(|j| f((row + j) * c));
        }
        let cells = match self.divisor {
            Divisor::Fixed(n) => n.get(),
            Divisor::Cells => rows.taps.len() * columns.taps.len(),
            Divisor::Padded => {
                let [height, width] = [0, 1].map(|axis| {
                    let [before, behind] = self.window.padding[axis];
                    let left = before + self.input[axis + 2] + behind - at[axis] * self.window.stride[axis];
                    left.min(self.window.kernel[axis])
                });
                height.saturating_mul(width)
            }
        };
        cells.max(1)
    }
}

/// The average under each window, `[N, C, H, W] → [N, C, OH, OW]`, channels-last.
///
/// ```text
/// y[n, c, oh, ow] = Σ x[n, c, oh·stride + kh − top, ow·stride + kw − left] / divisor     over kh, kw that hit the image
/// ```
///
/// # Errors
/// [`Error::Shape`] for an input that is not `[N, C, H, W]` or smaller than the window; [`Error::Argument`] for a senseless or dilated
/// window, or padding above half of the kernel.
pub fn avg_pool2d<T: Element>(x: &Tensor<T>, window: &Window, divisor: Divisor) -> Result<Tensor<T>> {
    let plan = Plan::new(x.shape(), window, divisor)?;
    let x = x.channels_last()?;
    let (c, x) = (plan.input[1], values(&x));
    let mut y = Tensor::stale_channels_last(plan.output)?;
    for_each_chunk(y.memory_mut()?, (CHUNK / c.max(1)).max(1).saturating_mul(c), |start, part| {
        for (i, y) in part.chunks_exact_mut(c).enumerate() {
            y.fill(T::ZERO);
            let n = plan.cells(start / c + i, |from| y.iter_mut().zip(&x[from..from + c]).for_each(|(sum, &v)| *sum += v));
            let n = T::of(n as f64);
            y.iter_mut().for_each(|sum| *sum /= n);
        }
    });
    Ok(y)
}

/// dx of shape `input` from dy: each dy, divided as in the forward pass, goes to every real cell under its window. Channels-last.
///
/// # Errors
/// As [`avg_pool2d`]; [`Error::Shape`] for a dy that has not the shape of the output.
pub fn avg_pool2d_grad_input<T: Element>(dy: &Tensor<T>, input: &Shape, window: &Window, divisor: Divisor) -> Result<Tensor<T>> {
    let plan = Plan::new(input, window, divisor)?;
    require_shape("avg_pool2d_grad_input", Shape::from(plan.output), dy)?;
    let dy = dy.channels_last()?;
    let dy = values(&dy);
    let mut dx = Tensor::stale_channels_last(*input)?;
    let ([_, c, h, w], [_, _, oh, ow]) = (plan.input, plan.output);
    let image = h.saturating_mul(w).saturating_mul(c).max(1);
    // a task owns whole images
    for_each_chunk(dx.memory_mut()?, (CHUNK / image).max(1).saturating_mul(image), |start, part| {
        part.fill(T::ZERO);
        for p in start / image * oh * ow..(start + part.len()) / image * oh * ow {
            let n = T::of(plan.cells(p, |_| ()) as f64);
            plan.cells(p, |to| {
                let dx = &mut part[to - start..to - start + c];
                dx.iter_mut().zip(&dy[p * c..]).for_each(|(sum, &d)| *sum += d / n);
            });
        }
    });
    Ok(dx)
}

/// The average of each channel's plane, `[N, C, H, W] → [N, C, 1, 1]`.
///
/// # Errors
/// [`Error::Shape`] for an input that is not `[N, C, H, W]` or whose images have no pixels.
pub fn global_avg_pool2d<T: Element>(x: &Tensor<T>) -> Result<Tensor<T>> {
    const OP: &str = "global_avg_pool2d";
    let (rows, [n, c, h, w]) = (Rows::new(OP, x.shape())?, image_dims(OP, x.shape())?);
    some_pixels(OP, x.shape())?;
    let x = x.channels_last()?;
    let (x, pixels) = (values(&x), (h as f64) * (w as f64));
    let mut y = Tensor::stale_channels_last([n, c, 1, 1])?;
    for_each_chunk(y.memory_mut()?, c, |start, y| {
        let image = start * h * w..(start + c) * h * w;
        let [sums] = rows.sums_of(image, &SumOf(x));
        y.iter_mut().zip(sums).for_each(|(y, sum)| *y = T::of(sum / pixels));
    });
    Ok(y)
}

/// dx of shape `input` from dy `[N, C, 1, 1]`: `dx[n, c, h, w] = dy[n, c, 0, 0] / (H·W)`. Channels-last.
///
/// # Errors
/// As [`global_avg_pool2d`]; [`Error::Shape`] for a dy that is not `[N, C, 1, 1]`.
pub fn global_avg_pool2d_grad_input<T: Element>(dy: &Tensor<T>, input: &Shape) -> Result<Tensor<T>> {
    const OP: &str = "global_avg_pool2d_grad_input";
    let [n, c, h, w] = image_dims(OP, input)?;
    some_pixels(OP, input)?;
    require_shape(OP, Shape::from([n, c, 1, 1]), dy)?;
    let dy = dy.channels_last()?;
    let (dy, share) = (values(&dy), T::of(1.0 / (h as f64 * w as f64)));
    let mut dx = Tensor::stale_channels_last(*input)?;
    let image = h.saturating_mul(w).saturating_mul(c);
    for_each_chunk(dx.memory_mut()?, image, |start, part| {
        let dy = &dy[start / image * c..][..c];
        part.chunks_exact_mut(c).for_each(|pixel| pixel.iter_mut().zip(dy).for_each(|(dx, &d)| *dx = d * share));
    });
    Ok(dx)
}

/// That the images of a batch have pixels.
fn some_pixels(op: &'static str, shape: &Shape) -> Result<()> {
    if shape.dims()[2..].contains(&0) { Err(Error::shape(op, "images with at least one pixel", *shape)) } else { Ok(()) }
}

/// Calls `f(y, x, n)` with the row-major positions of an output and an input value for each input cell that an average is taken over, and
/// the number it is divided by.
fn for_each_share(input: &Shape, window: &Window, divisor: Divisor, mut f: impl FnMut(usize, usize, usize)) -> Result<()> {
    let Plan { input: [n, c, h, w], output, .. } = Plan::new(input, window, divisor)?;
    let Window { kernel, stride, padding: [[top, bottom], [left, right]], .. } = *window;
    let [_, _, height, width] = output;
    if input.is_empty() {
        return Ok(()); // no cells
    }
    for y in 0..n * c * height * width {
        let (plane, oh, ow) = (y / (height * width), y / width % height, y % width);
        let taps = (0..kernel[0]).flat_map(|kh| (0..kernel[1]).map(move |kw| (oh * stride[0] + kh, ow * stride[1] + kw)));
        let padded: Vec<_> = taps.filter(|&(i, j)| i < top + h + bottom && j < left + w + right).collect();
        let real = padded.iter().filter_map(|&(i, j)| Some((i.checked_sub(top)?, j.checked_sub(left)?)));
        let real: Vec<_> = real.filter(|&(i, j)| i < h && j < w).collect();
        let by = match divisor {
            Divisor::Padded => padded.len(),
            Divisor::Cells => real.len(),
            Divisor::Fixed(n) => n.get(),
        };
        real.iter().for_each(|&(i, j)| f(y, (plane * h + i) * w + j, by));
    }
    Ok(())
}

/// The twin of [`avg_pool2d`] in plain loops. With a window as large as the image it is the twin of [`global_avg_pool2d`].
///
/// # Errors
/// As [`avg_pool2d`].
pub fn avg_pool2d_plain<T: Element>(x: &Tensor<T>, window: &Window, divisor: Divisor) -> Result<Tensor<T>> {
    let a = x.to_vec();
    let mut y = Tensor::zeros(Plan::new(x.shape(), window, divisor)?.output)?;
    let sums = y.as_mut_slice()?;
    for_each_share(x.shape(), window, divisor, |iy, ix, n| sums[iy] += a[ix] / T::of(n as f64))?;
    Ok(y)
}

/// The twin of [`avg_pool2d_grad_input`] in plain loops.
///
/// # Errors
/// As [`avg_pool2d_grad_input`].
pub fn avg_pool2d_grad_input_plain<T: Element>(dy: &Tensor<T>, input: &Shape, window: &Window, divisor: Divisor) -> Result<Tensor<T>> {
    require_shape("avg_pool2d_grad_input", Shape::from(Plan::new(input, window, divisor)?.output), dy)?;
    let d = dy.to_vec();
    let mut dx = Tensor::zeros(input)?;
    let sums = dx.as_mut_slice()?;
    for_each_share(input, window, divisor, |iy, ix, n| sums[ix] += d[iy] / T::of(n as f64))?;
    Ok(dx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use proptest::prelude::*;

    fn square(kernel: usize, padding: usize, stride: usize) -> Window {
        Window { stride: [stride; 2], padding: [[padding; 2]; 2], ..Window::new([kernel; 2]) }
    }

    fn fixed(n: usize) -> Divisor {
        Divisor::Fixed(NonZeroUsize::new(n).unwrap())
    }

    fn random<T: Element>(dims: [usize; 4], layout: usize, seed: u64) -> Tensor<T> {
        let [n, c, h, w] = dims;
        let random = |dims: [usize; 4]| Tensor::uniform(dims, -1.0, 1.0, &mut Rng::seed(seed)).unwrap();
        match layout {
            0 => random(dims),
            1 => random(dims).channels_last().unwrap(),
            _ => random([w, n, 2 * h, c]).slice(2, 0..2 * h, 2).unwrap().permute(&[1, 3, 2, 0]).unwrap(),
        }
    }

    /// The largest difference between two tensors of the same shape.
    fn difference<T: Element>(got: &Tensor<T>, want: &Tensor<f64>) -> f64 {
        assert_eq!(got.shape(), want.shape());
        got.to_vec().iter().zip(want.to_vec()).map(|(a, b)| (a.to_f64() - b).abs()).fold(0.0, f64::max_or_nan)
    }

    fn agrees<T: Element>(dims: [usize; 4], window: &Window, divisor: Divisor, layout: usize, eps: f64) -> bool {
        let x = random::<T>(dims, layout, 1);
        let y = avg_pool2d(&x, window, divisor).unwrap();
        let dy = random::<T>(<[usize; 4]>::try_from(y.dims()).unwrap(), 2 - layout, 2);
        let dx = avg_pool2d_grad_input(&dy, x.shape(), window, divisor).unwrap();
        let (x64, dy64) = (x.cast::<f64>().unwrap(), dy.cast::<f64>().unwrap());
        let terms = window.kernel.iter().product::<usize>() as f64; // an average of these, or a sum of so many shares of dy
        y.is_channels_last()
            && dx.is_channels_last()
            && difference(&y, &avg_pool2d_plain(&x64, window, divisor).unwrap()) <= eps * (2.0 + terms)
            && difference(&dx, &avg_pool2d_grad_input_plain(&dy64, x.shape(), window, divisor).unwrap()) <= eps * (2.0 + terms) * terms
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn pooling_agrees_with_plain_loops(
            n in 0usize..4, c in 0usize..20, size in [0usize..12, 0..12], kernel in [1usize..5, 1..5], stride in [1usize..4, 1..4],
            padding in [[0usize..3, 0..3], [0usize..3, 0..3]], ceil_mode: bool, by in 0usize..4, layout in 0usize..3,
        ) {
            let (dims, window) = ([n, c, size[0], size[1]], Window { kernel, stride, padding, dilation: [1, 1], ceil_mode });
            let divisor = [Divisor::Padded, Divisor::Cells, fixed(1), fixed(5)][by];
            if Plan::new(&Shape::from(dims), &window, divisor).is_ok() {
                prop_assert!(agrees::<f32>(dims, &window, divisor, layout, f64::from(f32::EPSILON)));
                prop_assert!(agrees::<f64>(dims, &window, divisor, layout, f64::EPSILON));
            }
        }

        #[test]
        fn the_global_average_is_that_of_a_window_as_large_as_the_image(
            n in 0usize..4, c in 0usize..80, size in [1usize..20, 1..20], layout in 0usize..3,
        ) {
            let (x, dy) = (random::<f32>([n, c, size[0], size[1]], layout, 1), random::<f32>([n, c, 1, 1], 2 - layout, 2));
            let (y, dx) = (global_avg_pool2d(&x).unwrap(), global_avg_pool2d_grad_input(&dy, x.shape()).unwrap());
            let window = Window::new(size);
            let want = avg_pool2d_plain(&x.cast::<f64>().unwrap(), &window, Divisor::Padded).unwrap();
            prop_assert!(difference(&y, &want) <= 1e-6);
            let want = avg_pool2d_grad_input_plain(&dy.cast::<f64>().unwrap(), x.shape(), &window, Divisor::Padded).unwrap();
            prop_assert!(difference(&dx, &want) <= 1e-7);
        }
    }

    /// `avg_pool2d(ones, 3, stride 2, padding 1, ceil_mode=True)`: what hangs over the padding is not counted.
    #[test]
    fn divisors_are_pytorchs() {
        let x = Tensor::<f64>::ones([1, 1, 6, 6]).unwrap();
        let row = |divisor| {
            let y = avg_pool2d(&x, &Window { ceil_mode: true, ..square(3, 1, 2) }, divisor).unwrap();
            (y.dims().to_vec(), y.to_vec()[4..8].to_vec()) // the second row of four: the window's rows are all real
        };
        assert_eq!(row(Divisor::Padded), (vec![1, 1, 4, 4], vec![6.0 / 9.0, 1.0, 1.0, 0.5]));
        assert_eq!(row(Divisor::Cells).1, [1.0; 4]);
        assert_eq!(row(fixed(2)).1, [3.0, 4.5, 4.5, 1.5]);
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let run = |threads| {
            crate::parallel::with_threads(threads, || {
                let x = random::<f32>([5, 33, 40, 41], 0, 1);
                let y = avg_pool2d(&x, &square(3, 1, 2), Divisor::Padded).unwrap();
                let dx = avg_pool2d_grad_input(&y, x.shape(), &square(3, 1, 2), Divisor::Padded).unwrap();
                let mean = global_avg_pool2d(&x).unwrap();
                [y.to_vec(), dx.to_vec(), global_avg_pool2d_grad_input(&mean, x.shape()).unwrap().to_vec(), mean.to_vec()]
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn what_cannot_be_averaged_is_an_error() {
        let x = Tensor::<f32>::ones([1, 1, 4, 4]).unwrap();
        let bad = [square(0, 0, 1), square(2, 0, 0), square(5, 0, 1), square(3, 2, 1), Window { dilation: [1, 2], ..square(2, 0, 1) }];
        for window in bad {
            assert!(avg_pool2d(&x, &window, Divisor::Padded).is_err(), "{window:?}");
            assert!(avg_pool2d_grad_input(&x, x.shape(), &window, Divisor::Padded).is_err(), "{window:?}");
        }
        let flat = x.reshape([4, 4]).unwrap();
        assert!(avg_pool2d(&flat, &square(2, 0, 2), Divisor::Padded).is_err());
        assert!(avg_pool2d_grad_input(&x, x.shape(), &square(2, 0, 2), Divisor::Padded).is_err());
        assert!(global_avg_pool2d(&flat).is_err());
        assert!(global_avg_pool2d_grad_input(&x, x.shape()).is_err());
        assert!(global_avg_pool2d_grad_input(&x, flat.shape()).is_err());
        let none = Tensor::<f32>::ones([1, 2, 0, 4]).unwrap();
        let error = global_avg_pool2d(&none).unwrap_err();
        assert_eq!(error.to_string(), "global_avg_pool2d expects images with at least one pixel, got [1, 2, 0, 4]");
        assert!(global_avg_pool2d_grad_input(&none, none.shape()).is_err());
    }
}
