//! Images made larger: each output pixel is its nearest input pixel, or a mixture of the four around it.
//!
//! Along each axis, with input size `i` and output size `n`, output pixel `o` looks at place
//!
//! ```text
//! nearest             ⌊o · i/n⌋
//! bilinear            max(0, (o + ½) · i/n − ½)         pixels are little squares, whose borders meet the image's
//! bilinear, aligned   o · (i − 1)/(n − 1)               pixels are points, the outermost of which meet the image's
//! ```

use super::{image_dims, require_shape, values};
use crate::parallel::{CHUNK, for_each_chunk};
use crate::{Element, Error, Result, Shape, Tensor};

/// How the pixels of a larger image follow from those of the smaller one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpsampleMode {
    /// The nearest pixel.
    #[default]
    Nearest,
    /// Between the four nearest pixels, which are little squares: PyTorch's `align_corners=False`, and that of other image programs.
    Bilinear,
    /// Between the four nearest pixels, which are points: PyTorch's `align_corners=True`.
    BilinearAligned,
}

/// Where an output pixel looks along one axis: at this pixel and, with this weight, at the next one (itself at the image's end).
#[derive(Clone, Copy, Debug)]
struct Tap {
    first: usize,
    second: usize,
    weight: f64, // of the second
}

/// Where each of `n` output pixels looks along an axis of `i` input pixels.
fn taps(mode: UpsampleMode, i: usize, n: usize) -> Vec<Tap> {
    let at = |place: f64| {
        let first = (place as usize).min(i - 1); // place ≥ 0: the cast is the floor
        Tap { first, second: (first + 1).min(i - 1), weight: place - first as f64 }
    };
    let tap = |o: usize| match mode {
        // PyTorch computes in f32 here, and rounds some places down to the pixel before
        UpsampleMode::Nearest => {
            let first = ((o as f32 * (i as f32 / n as f32)) as usize).min(i - 1);
            Tap { first, second: first, weight: 0.0 }
        }
        UpsampleMode::Bilinear => at(((o as f64 + 0.5) * (i as f64 / n as f64) - 0.5).max(0.0)),
        UpsampleMode::BilinearAligned if n == 1 => at(0.0),
        UpsampleMode::BilinearAligned => at(o as f64 * ((i - 1) as f64 / (n - 1) as f64)),
    };
    (0..n).map(tap).collect()
}

/// An input, the output's size, and where each of its rows and columns looks.
struct Plan {
    input: [usize; 4],
    output: [usize; 4],
    rows: Vec<Tap>,
    columns: Vec<Tap>,
    mode: UpsampleMode,
}

impl Plan {
    fn new(op: &'static str, input: &Shape, size: [usize; 2], mode: UpsampleMode) -> Result<Plan> {
        let [n, c, h, w] = image_dims(op, input)?;
        if h == 0 || w == 0 {
            return Err(Error::shape(op, "images with at least one pixel", *input));
        }
        if size.contains(&0) {
            return Err(Error::argument(op, "size", format!("{size:?}"), "must be positive along each axis"));
        }
        let output = [n, c, size[0], size[1]];
        let absurd = size.iter().any(|&s| u32::try_from(s).is_err()); // even where there are no images to fill
        if absurd || isize::try_from(Shape::from(output).len()).is_err() {
            return Err(Error::argument(op, "size", format!("{size:?}"), "makes an image that no machine can hold"));
        }
        Ok(Plan { input: [n, c, h, w], output, rows: taps(mode, h, size[0]), columns: taps(mode, w, size[1]), mode })
    }

    /// Calls `f(from, weight)` for each input pixel that output pixel `p` looks at: where its channels start, and its weight.
    #[inline]
    fn pixels(&self, p: usize, mut f: impl FnMut(usize, f64)) {
        let ([_, c, h, w], [_, _, height, width]) = (self.input, self.output);
        let (row, column) = (self.rows[p / width % height], self.columns[p % width]);
        let plane = p / (height * width) * h;
        let mut look = |i: usize, j: usize, weight: f64| f(((plane + i) * w + j) * c, weight);
        if self.mode == UpsampleMode::Nearest {
            return look(row.first, column.first, 1.0); // one alone: 0 · ∞ would be NaN
        }
        look(row.first, column.first, (1.0 - row.weight) * (1.0 - column.weight));
        look(row.first, column.second, (1.0 - row.weight) * column.weight);
        look(row.second, column.first, row.weight * (1.0 - column.weight));
        look(row.second, column.second, row.weight * column.weight);
    }
}

/// The image at another size, `[N, C, H, W] → [N, C, *size]`, channels-last.
///
/// # Errors
/// [`Error::Shape`] for an input that is not `[N, C, H, W]` or whose images have no pixels; [`Error::Argument`] for a size of 0 or beyond
/// all memory.
pub fn upsample2d<T: Element>(x: &Tensor<T>, size: [usize; 2], mode: UpsampleMode) -> Result<Tensor<T>> {
    let plan = Plan::new("upsample2d", x.shape(), size, mode)?;
    let x = x.channels_last()?;
    let (c, x) = (plan.input[1], values(&x));
    let mut y = Tensor::stale_channels_last(plan.output)?;
    for_each_chunk(y.memory_mut()?, (CHUNK / c.max(1)).max(1).saturating_mul(c), |start, part| {
        for (i, y) in part.chunks_exact_mut(c).enumerate() {
            y.fill(T::ZERO);
            plan.pixels(start / c + i, |from, weight| {
                let weight = T::of(weight);
                y.iter_mut().zip(&x[from..from + c]).for_each(|(y, &v)| *y += weight * v);
            });
        }
    });
    Ok(y)
}

/// dx of shape `input` from dy: each dy goes to the pixels that its output pixel looked at, by their weights. Channels-last.
///
/// # Errors
/// As [`upsample2d`]; [`Error::Shape`] for a dy that has not the shape of the output.
pub fn upsample2d_grad_input<T: Element>(dy: &Tensor<T>, input: &Shape, size: [usize; 2], mode: UpsampleMode) -> Result<Tensor<T>> {
    const OP: &str = "upsample2d_grad_input";
    let plan = Plan::new(OP, input, size, mode)?;
    require_shape(OP, Shape::from(plan.output), dy)?;
    let dy = dy.channels_last()?;
    let dy = values(&dy);
    let mut dx = Tensor::stale_channels_last(*input)?;
    let ([_, c, h, w], pixels) = (plan.input, size[0].saturating_mul(size[1]));
    let image = h.saturating_mul(w).saturating_mul(c).max(1);
    // a task owns whole images
    for_each_chunk(dx.memory_mut()?, (CHUNK / image).max(1).saturating_mul(image), |start, part| {
        part.fill(T::ZERO);
        for p in start / image * pixels..(start + part.len()) / image * pixels {
            plan.pixels(p, |to, weight| {
                let weight = T::of(weight);
                part[to - start..][..c].iter_mut().zip(&dy[p * c..]).for_each(|(sum, &d)| *sum += weight * d);
            });
        }
    });
    Ok(dx)
}

/// The twin of [`upsample2d`] for the bilinear modes, in plain loops: each output value is a sum over *all* input pixels of a hat function,
/// max(0, 1 − |distance|), along each axis.
///
/// # Errors
/// As [`upsample2d`].
pub fn upsample2d_plain(x: &Tensor<f64>, size: [usize; 2], aligned: bool) -> Result<Tensor<f64>> {
    let [n, c, h, w] = image_dims("upsample2d", x.shape())?;
    let place = |o: usize, i: usize, n: usize| match (aligned, n) {
        (true, 1) => 0.0,
        (true, _) => (o * (i - 1)) as f64 / (n - 1) as f64,
        (false, _) => ((o as f64 + 0.5) * i as f64 / n as f64 - 0.5).clamp(0.0, (i - 1) as f64),
    };
    let hat = |distance: f64| (1.0 - distance.abs()).max(0.0);
    let (a, [oh, ow]) = (x.to_vec(), size);
    Tensor::from_fn([n, c, oh, ow], |y| {
        let (plane, p, q) = (y / (oh * ow), place(y / ow % oh, h, oh), place(y % ow, w, ow));
        (0..h * w).map(|at| hat((at / w) as f64 - p) * hat((at % w) as f64 - q) * a[plane * h * w + at]).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use proptest::prelude::*;

    const MODES: [UpsampleMode; 3] = [UpsampleMode::Nearest, UpsampleMode::Bilinear, UpsampleMode::BilinearAligned];

    fn random(dims: [usize; 4], seed: u64) -> Tensor<f64> {
        Tensor::normal(dims, 0.0, 1.0, &mut Rng::seed(seed)).unwrap()
    }

    fn dot(a: &Tensor<f64>, b: &Tensor<f64>) -> f64 {
        a.to_vec().iter().zip(b.to_vec()).map(|(a, b)| a * b).sum()
    }

    proptest! {
        #[test]
        fn bilinear_agrees_with_sums_of_hats(n in 0usize..3, c in 0usize..20, size in [1usize..8, 1..8], out in [1usize..12, 1..12], aligned: bool) {
            let x = random([n, c, size[0], size[1]], 1);
            let mode = if aligned { UpsampleMode::BilinearAligned } else { UpsampleMode::Bilinear };
            let want = upsample2d_plain(&x, out, aligned).unwrap();
            for (y, want) in upsample2d(&x, out, mode).unwrap().to_vec().iter().zip(want.to_vec()) {
                prop_assert!((y - want).abs() < 1e-13);
            }
            for (y, want) in upsample2d(&x.cast::<f32>().unwrap(), out, mode).unwrap().to_vec().iter().zip(want.to_vec()) {
                prop_assert!((f64::from(*y) - want).abs() < 2e-6);
            }
        }

        /// Upsampling is linear, y = A x, and its gradient is Aᵀ dy: ⟨A x, dy⟩ = ⟨x, Aᵀ dy⟩.
        #[test]
        fn the_gradient_is_the_transpose(n in 0usize..3, c in 0usize..5, size in [1usize..8, 1..8], out in [1usize..12, 1..12], mode in 0usize..3) {
            let (x, dy) = (random([n, c, size[0], size[1]], 1), random([n, c, out[0], out[1]], 2).channels_last().unwrap());
            let y = upsample2d(&x, out, MODES[mode]).unwrap();
            let dx = upsample2d_grad_input(&dy, x.shape(), out, MODES[mode]).unwrap();
            prop_assert!((dot(&y, &dy) - dot(&x, &dx)).abs() < 1e-10);
        }
    }

    /// PyTorch's `interpolate([0, 1], size=4)` in each mode.
    #[test]
    fn two_pixels_make_four() {
        let x = Tensor::from_vec([1, 1, 1, 2], vec![0.0, 1.0]).unwrap();
        let row = |mode| upsample2d(&x, [1, 4], mode).unwrap().to_vec();
        assert_eq!(row(UpsampleMode::Nearest), [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(row(UpsampleMode::Bilinear), [0.0, 0.25, 0.75, 1.0]);
        let aligned = row(UpsampleMode::BilinearAligned);
        assert!(aligned.iter().zip([0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-15));
    }

    /// 41 · 2/82 is 1, but 41 · fl(2/82) is a little less, and PyTorch takes pixel 0.
    #[test]
    fn nearest_rounds_as_pytorch_does() {
        let x = Tensor::from_vec([1, 1, 1, 2], vec![0.0, 1.0]).unwrap();
        let y = upsample2d(&x, [1, 82], UpsampleMode::Nearest).unwrap().to_vec();
        assert_eq!((y[40], y[41], y[42]), (0.0, 0.0, 1.0));
    }

    #[test]
    fn infinities_spread_only_as_far_as_they_are_seen() {
        let x = Tensor::from_vec([1, 1, 1, 2], vec![f64::INFINITY, 1.0]).unwrap();
        assert_eq!(upsample2d(&x, [1, 4], UpsampleMode::Nearest).unwrap().to_vec(), [f64::INFINITY, f64::INFINITY, 1.0, 1.0]);
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let run = |threads| {
            crate::parallel::with_threads(threads, || {
                let x = random([5, 33, 20, 21], 1);
                let y = upsample2d(&x, [31, 50], UpsampleMode::Bilinear).unwrap();
                [y.to_vec(), upsample2d_grad_input(&y, x.shape(), [31, 50], UpsampleMode::Bilinear).unwrap().to_vec()]
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn what_cannot_be_made_larger_is_an_error() {
        let x = Tensor::<f32>::ones([1, 1, 4, 4]).unwrap();
        for mode in MODES {
            assert!(upsample2d(&x, [0, 1], mode).is_err() && upsample2d(&x, [usize::MAX, 2], mode).is_err());
            assert!(upsample2d(&x.reshape([4, 4]).unwrap(), [8, 8], mode).is_err());
            assert!(upsample2d(&Tensor::<f32>::ones([1, 2, 0, 4]).unwrap(), [8, 8], mode).is_err());
            assert!(upsample2d_grad_input(&x, x.shape(), [8, 8], mode).is_err());
            let none = Tensor::<f32>::ones([0, 1, 4, 4]).unwrap();
            assert!(upsample2d(&none, [usize::MAX, usize::MAX], mode).is_err());
        }
    }
}
