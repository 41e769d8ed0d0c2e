//! Depthwise convolution with vectors of channels.
//!
//! Each channel has a kernel of its own, so there is no inner product: a vector of channels of a pixel is multiplied by the same channels'
//! weights, tap by tap. To read takes as long as to multiply, so pixels are computed side by side: they share the weights, and what one sees with
//! its second tap is what the next sees with its first. Passes and blocks are those of the direct convolution.

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

/// A row of pixels of one class: `to[p] = act(bias + Σ_line Σ_t weights[line, t] · row_line[column + (p + t)·step] + beside[p])`, channel by
/// channel. Terms whose column is off the image are left out.
struct Row<'a> {
    channels: usize,
    pixels: usize,
    /// Distance between pixels, in the source and in `to`.
    distance: [usize; 2],
    lines: &'a [Line],
    /// Taps of each line.
    taps: usize,
    weights: &'a [f32],
    /// Its bias for all channels; beside from the row's first pixel on.
    end: End<'a, f32>,
    from: &'a [f32],
    to: &'a mut [f32],
}

/// Taps that lie on a row of the source as far apart as what neighbouring pixels see: a number that is read for one pixel is there for the next.
struct Line {
    /// What the first tap of the first pixel sees, from the beginning of the source on; it may be off the image.
    start: isize,
    /// Which of what the taps of all pixels see, numbered from there on, is on the image.
    inside: Range<usize>,
    /// Where the first tap's weights are.
    weights: usize,
}

impl Job for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) {
        let (c, taps, [step, by]) = (self.channels, self.taps, self.distance);
        let on = |line: &Line| {
            let at = |i: usize| line.start + (i * step) as isize;
            let seen = &line.inside;
            (seen.is_empty() || at(seen.start) >= 0 && at(seen.end - 1) + c as isize <= self.from.len() as isize)
                && line.weights + taps * c <= self.weights.len()
        };
        let fits = self.pixels > 0
            && self.lines.iter().all(on)
            && (self.pixels - 1) * by + c <= self.to.len()
            && self.end.beside.is_none_or(|beside| (self.pixels - 1) * by + c <= beside.len())
            && self.end.bias.is_none_or(|bias| bias.len() >= c);
        debug_assert!(fits, "a row reaches outside its memory");
        if !fits {
            return;
        }
        // SAFETY: `fits` says that for all pixels and what they see on the image the channels can be read and written.
        unsafe {
            match taps {
                3 => self.pixels::<S, 3>(isa),
                1 => self.pixels::<S, 1>(isa),
                _ => debug_assert!(false, "there are no lines of {taps} taps"),
            }
        }
    }
}

impl Row<'_> {
    /// All pixels, whose lines have K taps, some side by side.
    ///
    /// # Safety
    /// Lines, pixels and channels lie in the slices, as `run` checks.
    #[inline(always)]
    unsafe fn pixels<S: Isa, const K: usize>(&mut self, isa: S) {
        let mut pixel = 0;
        while pixel < self.pixels {
            // SAFETY: the caller's promise.
            unsafe {
                pixel += match self.pixels - pixel {
                    8.. => self.pixels_at::<S, K, 8>(isa, pixel),
                    4.. => self.pixels_at::<S, K, 4>(isa, pixel),
                    _ => self.pixels_at::<S, K, 1>(isa, pixel),
                };
            }
        }
    }

    /// All channels of P pixels; returns P.
    ///
    /// # Safety
    /// As [`Row::pixels`].
    #[inline(always)]
    unsafe fn pixels_at<S: Isa, const K: usize, const P: usize>(&mut self, isa: S, pixel: usize) -> usize {
        let (c, mut channel) = (self.channels, 0);
        // SAFETY: the caller's promise; whole vectors end with the channels, and so does the mask.
        unsafe {
            while channel + S::LANES <= c {
                self.vector_at::<S, K, P, false>(isa, isa.first(S::LANES), [pixel, channel]);
                channel += S::LANES;
            }
            if channel < c {
                self.vector_at::<S, K, P, true>(isa, isa.first(c - channel), [pixel, channel]);
            }
        }
        P
    }

    /// One vector of channels of P pixels, of which `mask` counts if it is `MASKED`.
    ///
    /// # Safety
    /// As [`Row::pixels`], for the lanes of the vector or of the mask.
    #[inline(always)]
    unsafe fn vector_at<S: Isa, const K: usize, const P: usize, const MASKED: bool>(
        &mut self,
        isa: S,
        mask: S::Mask,
        [pixel, channel]: [usize; 2],
    ) {
        let [step, by] = self.distance;
        // SAFETY: the caller's promise.
        let load = |from: *const f32| unsafe { if MASKED { isa.load_masked(from, mask) } else { isa.load(from) } };
        let start = self.end.bias.map_or(isa.splat(0.0), |bias| load(bias.as_ptr().wrapping_add(channel)));
        let mut sums = [start; P];
        for line in self.lines {
            let mut weights = [start; K];
            for t in 0..K {
                weights[t] = load(self.weights.as_ptr().wrapping_add(line.weights + t.wrapping_mul(self.channels)).wrapping_add(channel));
            }
            let from = self.from.as_ptr().wrapping_offset(line.start).wrapping_add(pixel.wrapping_mul(step)).wrapping_add(channel);
            let [first, end] = [line.inside.start, line.inside.end].map(|at| at.saturating_sub(pixel));
            if first == 0 && end >= P + K - 1 {
                for i in 0..P + K - 1 {
                    seen(isa, i, load(from.wrapping_add(i.wrapping_mul(step))), weights, &mut sums);
                }
            } else {
                for i in 0..P + K - 1 {
                    if first <= i && i < end {
                        seen(isa, i, load(from.wrapping_add(i.wrapping_mul(step))), weights, &mut sums);
                    }
                }
            }
        }
        let to = self.to.as_mut_ptr().wrapping_add(pixel.wrapping_mul(by)).wrapping_add(channel);
        for p in 0..P {
            let place = p.wrapping_mul(by);
            if let Some(beside) = self.end.beside {
                let from = beside.as_ptr().wrapping_add(pixel.wrapping_mul(by)).wrapping_add(channel);
                sums[p] = isa.add(sums[p], load(from.wrapping_add(place)));
            }
            let y = self.end.activation.of_vector(isa, sums[p]);
            let to = to.wrapping_add(place);
            // SAFETY: the caller's promise.
            unsafe { if MASKED { isa.store_masked(to, y, mask) } else { isa.store(to, y) } }
        }
    }
}

/// Adds what number `i` of a line, x, gives to P pixels, whose taps t see numbers p + t.
#[inline(always)]
fn seen<S: Isa, const K: usize, const P: usize>(isa: S, i: usize, x: S::V, weights: [S::V; K], sums: &mut [S::V; P]) {
    for t in 0..K {
        if t <= i && i - t < P {
            sums[i - t] = isa.mul_add(weights[t], x, sums[i - t]);
        }
    }
}

/// Computes `target` from `source` (y from x, or dx from dy) with the weight `[C, 1, KH, KW]`, row-major; no size is zero.
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
        let mut lines = Vec::with_capacity(pass.order.len());
        for class in pass.classes.iter().filter(|class| class.count[1] > 0) {
            let (taps, pixels) = (class.neighbours(pass.step[1]), class.count[1]);
            let [from, to] = pass.class_rows(class, &(first..rows.min(first + size)));
            for row in from..to {
                lines.clear();
                for (tap, &[y, x]) in class.offsets.iter().enumerate().step_by(taps) {
                    let y = (row * pass.step[0]) as isize + y;
                    let before = |end: isize| (end.max(0) as usize).div_ceil(pass.step[1]); // how many lie before this column
                    let inside = before(-x)..before(width as isize - x).min(pixels + taps - 1);
                    if (0..height as isize).contains(&y) && !inside.is_empty() {
                        lines.push(Line { start: (y * width as isize + x) * c as isize, inside, weights: (class.before + tap) * c });
                    }
                }
                let y = class.first[0] + row * pass.by[0];
                let to = ((n * rows + y) * columns + class.first[1]) * c;
                let end = End { beside: end.beside.map(|beside| &beside[to..]), ..end };
                // SAFETY: a task has its rows of the target for itself.
                let to = unsafe { target.from(to).row((pixels - 1) * distance[1] + c) };
                simd.run(Row { channels: c, pixels, distance, lines: &lines, taps, weights: &by_tap, end, from: image, to });
            }
        }
    })
}

impl Class {
    /// How many taps, in the order of their offsets, make a [`Line`]: a kernel row of three, or each tap its own.
    fn neighbours(&self, step: usize) -> usize {
        let row: Vec<isize> = self.offsets.iter().take_while(|offset| offset[0] == self.offsets[0][0]).map(|offset| offset[1]).collect();
        let in_step = row.windows(2).all(|pair| pair[1] - pair[0] == step as isize);
        if in_step && row.len() == 3 { 3 } else { 1 }
    }
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
        let mut channel = 0;
        // SAFETY: `fits` says that for all places, pixels and taps the channels can be read and written; whole vectors end with them, and so
        // does the mask.
        unsafe {
            while channel + S::LANES <= c {
                self.vector_at::<S, false>(isa, isa.first(S::LANES), channel);
                channel += S::LANES;
            }
            if channel < c {
                self.vector_at::<S, true>(isa, isa.first(c - channel), channel);
            }
        }
    }
}

impl Sums<'_> {
    /// One vector of channels of all taps, of which `mask` counts if it is `MASKED`.
    ///
    /// # Safety
    /// Places, pixels, taps and channels lie in the slices, as `run` checks.
    #[inline(always)]
    unsafe fn vector_at<S: Isa, const MASKED: bool>(&mut self, isa: S, mask: S::Mask, channel: usize) {
        let mut tap = 0;
        while tap < self.offsets.len() {
            // SAFETY: the caller's promise.
            tap += unsafe {
                match self.offsets.len() - tap {
                    9.. => self.taps_at::<S, 9, MASKED>(isa, mask, channel, tap),
                    3.. => self.taps_at::<S, 3, MASKED>(isa, mask, channel, tap),
                    _ => self.taps_at::<S, 1, MASKED>(isa, mask, channel, tap),
                }
            };
        }
    }

    /// One vector of channels of N taps; returns N.
    ///
    /// # Safety
    /// As [`Sums::vector_at`].
    #[inline(always)]
    unsafe fn taps_at<S: Isa, const N: usize, const MASKED: bool>(&mut self, isa: S, mask: S::Mask, channel: usize, tap: usize) -> usize {
        // SAFETY: the caller's promise.
        let load = |from: *const f32| unsafe { if MASKED { isa.load_masked(from, mask) } else { isa.load(from) } };
        let mut sums = [isa.splat(0.0); N];
        for place in self.places {
            let mut x = self.x.as_ptr().wrapping_add(place[0]).wrapping_add(channel);
            let mut dy = self.dy.as_ptr().wrapping_add(place[1]).wrapping_add(channel);
            for _ in 0..self.pixels {
                let d = load(dy);
                for n in 0..N {
                    sums[n] = isa.mul_add(d, load(x.wrapping_add(self.offsets[tap + n])), sums[n]);
                }
                (x, dy) = (x.wrapping_add(self.step), dy.wrapping_add(self.channels));
            }
        }
        for n in 0..N {
            let to = self.sums.as_mut_ptr().wrapping_add((tap + n) * self.channels + channel);
            let sum = if self.add { isa.add(load(to), sums[n]) } else { sums[n] };
            // SAFETY: the caller's promise.
            unsafe { if MASKED { isa.store_masked(to, sum, mask) } else { isa.store(to, sum) } }
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
