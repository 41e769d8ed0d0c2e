//! Depthwise convolution: each channel with a kernel of its own, so the innermost loop runs over the channels of a pixel.
//!
//! There is no inner product to make a matrix of: one multiply-add a channel and tap. Weights are taken as `[KH·KW, C]`.

use super::patches::{Plan, TILE};
use super::{End, start_rows};
use crate::buffer::Buffer;
use crate::kernels::{for_each_chunk_with, values};
use crate::parallel::{CHUNK, for_each_chunk};
use crate::{Element, Result, Tensor};

impl Plan {
    /// Calls `f(tap, from)` for each tap of output pixel `p` that is on the image; `from` is the position of that pixel's channels in `x`.
    #[inline]
    fn taps_of(&self, p: usize, mut f: impl FnMut(usize, usize)) {
        let ([_, c, h, w], [_, _, height, width]) = (self.input, self.output);
        let window = &self.g.window;
        let (n, oh, ow) = (p / (height * width), p / width % height, p % width);
        let (rows, columns) = (window.reach(0, oh, h), window.reach(1, ow, w));
        for (i, kh) in rows.taps.enumerate() {
            let row = (n * h + rows.first + i * window.dilation[0]) * w;
            for (j, kw) in columns.taps.clone().enumerate() {
                f(kh * window.kernel[1] + kw, (row + columns.first + j * window.dilation[1]) * c);
            }
        }
    }
}

/// `[C, 1, KH, KW]` as `[KH·KW, C]`.
fn by_tap<T: Element>(plan: &Plan, weight: &Tensor<T>) -> Result<Tensor<T>> {
    weight.reshape([plan.input[1], plan.taps])?.transpose()?.contiguous()
}

/// y += a·b for each channel.
#[inline]
fn multiply_add<T: Element>(y: &mut [T], a: &[T], b: &[T]) {
    y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (&a, &b))| *y += a * b);
}

/// y = act(bias + Σ w·x + beside).
pub(super) fn forward<T: Element>(plan: &Plan, x: &[T], weight: &Tensor<T>, end: End<'_, T>, y: &mut [T]) -> Result<()> {
    let (w, c) = (by_tap(plan, weight)?, plan.input[1]);
    let w = values(&w);
    for_each_chunk(y, (CHUNK / c).max(1) * c, |start, part| {
        start_rows(part, c, end.bias);
        for (i, pixel) in part.chunks_exact_mut(c).enumerate() {
            plan.taps_of(start / c + i, |tap, from| multiply_add(pixel, &w[tap * c..][..c], &x[from..from + c]));
        }
        end.finish(start, part);
    });
    Ok(())
}

/// dx = Σ w·dy; a task owns an image.
pub(super) fn grad_input<T: Element>(plan: &Plan, dy: &[T], weight: &Tensor<T>, dx: &mut [T]) -> Result<()> {
    let (w, c) = (by_tap(plan, weight)?, plan.input[1]);
    let (w, image, pixels) = (values(&w), plan.image_values().max(1), plan.image_pixels());
    for_each_chunk(dx, image, |start, part| {
        part.fill(T::ZERO);
        for p in start / image * pixels..(start / image + 1) * pixels {
            plan.taps_of(p, |tap, to| multiply_add(&mut part[to - start..][..c], &w[tap * c..][..c], &dy[p * c..][..c]));
        }
    });
    Ok(())
}

/// dw += Σ x·dy, over the batch's pixels in `pieces`.
pub(super) fn grad_weight<T: Element>(plan: &Plan, dy: &[T], x: &[T], pieces: usize, dw: &mut Tensor<T>) -> Result<()> {
    let (c, taps) = (plan.input[1], plan.taps);
    let (size, pixels) = (taps * c, plan.output[0] * plan.image_pixels());
    let tiles = pixels.div_ceil(TILE);
    let mut partial = Buffer::stale(pieces * size)?; // [pieces][KH·KW][C]
    for_each_chunk_with(&mut partial, size, size, |tile, start, sum| {
        let piece = start / size;
        sum.fill(T::ZERO);
        for t in tiles * piece / pieces..tiles * (piece + 1) / pieces {
            // a tile's sum on its own first: a long row of additions to one number loses digits
            tile.fill(T::ZERO);
            for p in t * TILE..((t + 1) * TILE).min(pixels) {
                plan.taps_of(p, |tap, from| multiply_add(&mut tile[tap * c..][..c], &x[from..from + c], &dy[p * c..][..c]));
            }
            sum.iter_mut().zip(tile.iter()).for_each(|(sum, &v)| *sum += v);
        }
    })?;
    let dw = dw.as_mut_slice()?;
    for (line, tap) in partial.chunks_exact(c).zip((0..taps).cycle()) {
        line.iter().enumerate().for_each(|(channel, &v)| dw[channel * taps + tap] += v);
    }
    Ok(())
}
