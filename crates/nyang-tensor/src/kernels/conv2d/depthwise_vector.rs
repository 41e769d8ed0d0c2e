//! Depthwise convolution with vectors of channels.
//!
//! Each channel has a kernel of its own, so there is no inner product: a vector of channels of a pixel is multiplied by the same channels'
//! weights, tap by tap. The weights of a tap are read once for four pixels. Passes and blocks are those of the direct convolution.

#![allow(unsafe_code)] // reads and writes of vectors within bounds that are checked once a row, and tasks that write disjoint rows
#![allow(clippy::needless_range_loop)] // loops of fixed length, which the compiler unrolls

use std::ops::Range;

use super::End;
use super::direct_weight::Blocks;
use super::pass::{Class, Direction, Pass};
use super::patches::Plan;
use crate::Result;
use crate::buffer::Buffer;
use crate::kernels::simd::{Isa, Job, Simd};
use crate::kernels::tile::Shared;
use crate::kernels::with_scratch;

/// Multiply-adds below which sharing the work costs more than it brings.
const SERIAL: usize = 1 << 17;

/// Multiply-adds of a task, about: 20 µs of work, which waits for memory.
const TASK: usize = 1 << 18;

/// Numbers of x that a block of pixels sees in the gradient of the weight, about: they stay in the second-level cache while each vector of
/// channels meets them all.
const SEEN: usize = 32 * 1024;

/// Pixels that are computed side by side.
const PIXELS: usize = 4;

/// A row of pixels that see the same taps: `to[p, c] = act(bias[c] + Σ_tap weights[tap, c] · from[place(tap) + p·step + c] + beside[p, c])`.
struct Row<'a> {
    channels: usize,
    pixels: usize,
    /// Distance between pixels in `from` and in `to`.
    distance: [usize; 2],
    /// Where each tap of the first pixel lies in `from`, and its weights in `weights`.
    taps: &'a [[usize; 2]],
    weights: &'a [f32],
    /// Its bias for all channels; beside from the row's first pixel on.
    end: End<'a, f32>,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Job for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) {
        let (c, [step, by]) = (self.channels, self.distance);
        let last = self.taps.iter().fold([0, 0], |[place, weight], tap| [tap[0].max(place), tap[1].max(weight)]);
        let fits = self.pixels > 0
            && (self.taps.is_empty() || last[0] + (self.pixels - 1) * step + c <= self.from.len() && last[1] + c <= self.weights.len())
            && (self.pixels - 1) * by + c <= self.to.len()
            && self.end.beside.is_none_or(|beside| (self.pixels - 1) * by + c <= beside.len())
            && self.end.bias.is_none_or(|bias| bias.len() >= c);
        debug_assert!(fits, "a row reaches outside its memory");
        if !fits {
            return;
        }
        for channel in (0..c).step_by(S::LANES) {
            let mask = isa.first(c - channel);
            let mut pixel = 0;
            while pixel < self.pixels {
                // SAFETY: `fits` says that for all pixels and places the channels can be read and written; the mask ends with them.
                unsafe {
                    if self.pixels - pixel >= PIXELS {
                        self.pixels_at::<S, PIXELS>(isa, mask, channel, pixel);
                        pixel += PIXELS;
                    } else {
                        self.pixels_at::<S, 1>(isa, mask, channel, pixel);
                        pixel += 1;
                    }
                }
            }
        }
    }
}

impl Row<'_> {
    /// One vector of channels of P pixels.
    ///
    /// # Safety
    /// Places, pixels and channels lie in the slices, as `run` checks.
    #[inline(always)]
    unsafe fn pixels_at<S: Isa, const P: usize>(&mut self, isa: S, mask: S::Mask, channel: usize, pixel: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let start = match self.end.bias {
                Some(bias) => isa.load_masked(bias.as_ptr().add(channel), mask),
                None => isa.splat(0.0),
            };
            let mut sums = [start; P];
            let from = self.from.as_ptr().add(pixel * self.distance[0] + channel);
            for &[place, weight] in self.taps {
                let weight = isa.load_masked(self.weights.as_ptr().add(weight + channel), mask);
                for p in 0..P {
                    let x = isa.load_masked(from.wrapping_add(place + p.wrapping_mul(self.distance[0])), mask);
                    sums[p] = isa.mul_add(weight, x, sums[p]);
                }
            }
            let to = self.to.as_mut_ptr().add(pixel * self.distance[1] + channel);
            for p in 0..P {
                if let Some(beside) = self.end.beside {
                    let from = beside.as_ptr().add((pixel + p) * self.distance[1] + channel);
                    sums[p] = isa.add(sums[p], isa.load_masked(from, mask));
                }
                let y = self.end.activation.of_vector(isa, sums[p]);
                isa.store_masked(to.wrapping_add(p.wrapping_mul(self.distance[1])), y, mask);
            }
        }
    }
}

/// Computes `target` from `source` (y from x, or dx from dy) with the weight `[C, 1, KH, KW]`, row-major; no size is zero.
///
/// Pixels near the border see fewer taps: a row is its pixels that see the most, together, and the others one by one.
pub(super) fn convolve(
    simd: Simd,
    plan: &Plan,
    direction: Direction,
    [source, weight]: [&[f32]; 2],
    end: End<'_, f32>,
    target: &mut [f32],
) -> Result<()> {
    let pass = Pass::new(plan, direction);
    let c = plan.input[1];
    let mut by_tap = Buffer::stale(pass.order.len() * c)?;
    for (row, &tap) in by_tap.chunks_exact_mut(c).zip(&pass.order) {
        row.iter_mut().enumerate().for_each(|(channel, w)| *w = weight[channel * plan.taps + tap]);
    }
    let (target, simd) = (Shared::new(target), simd.for_width(c));
    let ([height, width, _], [rows, columns, _]) = (pass.source, pass.target);
    let distance = [pass.step[1] * c, pass.by[1] * c];
    let work = pass.order.len().saturating_mul(columns * c); // of a row, at most
    let size = (TASK / work.max(1)).clamp(1, rows);
    let blocks = rows.div_ceil(size);
    let parallel = work.saturating_mul(rows * pass.images) >= SERIAL;
    with_scratch::<f32>(pass.images * blocks, 0, parallel, |_, task| {
        let (n, first) = (task / blocks, task % blocks * size);
        let image = &source[n * height * width * c..][..height * width * c];
        let mut taps = Vec::with_capacity(pass.order.len());
        // some pixels of a row of a class, all of which see taps `columns` of those that see `row`
        let mut pixels = |class: &Class, row: usize, range: Range<usize>| {
            let at = |i: usize, axis: usize, first: usize| (i * pass.step[axis]) as isize + class.offsets[first][axis];
            taps.clear();
            for tap in 0..class.offsets.len() {
                let (y, x) = (at(row, 0, tap), at(range.start, 1, tap));
                if (0..height as isize).contains(&y) && (0..width as isize).contains(&x) {
                    taps.push([(y as usize * width + x as usize) * c, (class.before + tap) * c]);
                }
            }
            let y = class.first[0] + row * pass.by[0];
            let to = ((n * rows + y) * columns + class.first[1] + range.start * pass.by[1]) * c;
            let end = End { beside: end.beside.map(|beside| &beside[to..]), ..end };
            // SAFETY: a task has its rows of the target for itself.
            let to = unsafe { target.from(to).row((range.len() - 1) * distance[1] + c) };
            simd.run(Row { channels: c, pixels: range.len(), distance, taps: &taps, weights: &by_tap, end, from: image, to });
        };
        for class in pass.classes.iter().filter(|class| class.count[1] > 0) {
            let inner = class.inner(1, width, pass.step[1]);
            let [from, to] = pass.class_rows(class, &(first..rows.min(first + size)));
            for row in from..to {
                (0..inner.start).chain(inner.end..class.count[1]).for_each(|pixel| pixels(class, row, pixel..pixel + 1));
                if !inner.is_empty() {
                    pixels(class, row, inner.clone());
                }
            }
        }
    })
}

/// The sums of a block: `sums[tap, c] (+)= Σ x[place + offset(tap) + p·step + c] · dy[place + p·C + c]` over its rows and pixels.
struct Sums<'a> {
    channels: usize,
    pixels: usize,
    step: usize,
    places: &'a [[usize; 2]],
    offsets: &'a [usize],
    add: bool,
    x: &'a [f32],
    dy: &'a [f32],
    sums: &'a mut [f32],
}

impl Job for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) {
        let (c, pixels) = (self.channels, self.pixels);
        let last = self.places.iter().fold([0, 0], |[x, dy], place| [place[0].max(x), place[1].max(dy)]);
        let furthest = self.offsets.iter().max().map_or(0, |offset| offset + last[0] + (pixels - 1) * self.step + c);
        let fits = furthest <= self.x.len() && last[1] + pixels * c <= self.dy.len() && self.offsets.len() * c <= self.sums.len();
        debug_assert!(fits, "a block reaches outside its memory");
        if !fits {
            return;
        }
        for channel in (0..c).step_by(S::LANES) {
            let mask = isa.first(c - channel);
            let mut tap = 0;
            while tap < self.offsets.len() {
                // SAFETY: `fits` says that for all places, pixels and taps the channels can be read and written; the mask ends with them.
                unsafe {
                    match self.offsets.len() - tap {
                        9.. => tap += self.taps_at::<S, 9>(isa, mask, channel, tap),
                        3.. => tap += self.taps_at::<S, 3>(isa, mask, channel, tap),
                        _ => tap += self.taps_at::<S, 1>(isa, mask, channel, tap),
                    }
                }
            }
        }
    }
}

impl Sums<'_> {
    /// One vector of channels of N taps; returns N.
    ///
    /// # Safety
    /// Places, pixels, taps and channels lie in the slices, as `run` checks.
    #[inline(always)]
    unsafe fn taps_at<S: Isa, const N: usize>(&mut self, isa: S, mask: S::Mask, channel: usize, tap: usize) -> usize {
        let mut sums = [isa.splat(0.0); N];
        // SAFETY: the caller's promise.
        unsafe {
            for place in self.places {
                let (mut x, mut dy) = (self.x.as_ptr().add(place[0] + channel), self.dy.as_ptr().add(place[1] + channel));
                for _ in 0..self.pixels {
                    let d = isa.load_masked(dy, mask);
                    for n in 0..N {
                        sums[n] = isa.mul_add(d, isa.load_masked(x.wrapping_add(self.offsets[tap + n]), mask), sums[n]);
                    }
                    (x, dy) = (x.wrapping_add(self.step), dy.wrapping_add(self.channels));
                }
            }
            for n in 0..N {
                let to = self.sums.as_mut_ptr().add((tap + n) * self.channels + channel);
                let sum = if self.add { isa.add(isa.load_masked(to, mask), sums[n]) } else { sums[n] };
                isa.store_masked(to, sum, mask);
            }
        }
        N
    }
}

/// dw `[C, 1, KH, KW]`, row-major, += the gradient; no size is zero. `None` if the padding is so absurd that this is not the way.
pub(super) fn grad_weight(simd: Simd, plan: &Plan, dy: &[f32], x: &[f32], dw: &mut [f32]) -> Option<Result<()>> {
    let (c, taps, pixels, window) = (plan.input[1], plan.taps, plan.output[3], &plan.g.window);
    let seen_by_a_pixel = window.stride[0].saturating_mul(window.stride[1]).saturating_mul(c);
    let blocks = Blocks::new(plan, (SEEN / seen_by_a_pixel).clamp(1, 256))?;
    let [down, right] = [window.dilation[0] * blocks.line, window.dilation[1] * c];
    let offsets: Vec<usize> = (0..taps).map(|tap| tap / window.kernel[1] * down + tap % window.kernel[1] * right).collect();
    let (simd, size, step) = (simd.for_width(c), taps * c, window.stride[1] * c);
    let mut partial = match Buffer::stale(blocks.pieces * size) {
        Ok(partial) => partial, // [pieces][taps][C]
        Err(error) => return Some(Err(error)),
    };
    let shared = Shared::new(&mut partial);
    let parallel = taps.saturating_mul(dy.len()) >= SERIAL;
    let done = with_scratch(blocks.pieces, blocks.scratch, parallel, |scratch, piece| {
        blocks.for_each(piece, x, scratch, |seen| {
            // SAFETY: a task has a piece of the sums for itself.
            let sums = unsafe { shared.from(piece * size).row(size) };
            let (places, add, x) = (&seen.places, !seen.is_first, seen.x);
            simd.run(Sums { channels: c, pixels, step, places, offsets: &offsets, add, x, dy, sums });
        });
    });
    if let Err(error) = done {
        return Some(Err(error));
    }
    for (line, tap) in partial.chunks_exact(c).zip((0..taps).cycle()) {
        line.iter().enumerate().for_each(|(channel, &v)| dw[channel * taps + tap] += v);
    }
    Some(Ok(()))
}
