//! The direct gradient in the weight with vectors.
//!
//! ```text
//! dw[(tap, c), o] = Σ over pixels  x[pixel·stride + tap, c] · dy[pixel, o]
//! ```
//!
//! A matrix product whose inner dimension is the pixels: a row of the result is a tap and a channel (neighbours in the image, so all taps of a
//! kernel row at once), a column an output channel. Pixels come in blocks of a few hundred, whose sums are added to what earlier blocks
//! gave. The blocks are shared out among a number of pieces that depends on the sizes alone, each with sums of its own, which are added from
//! first to last: the bits do not depend on threads.

#![allow(unsafe_code)] // tasks that write disjoint columns of the partial sums

use super::direct::merge;
use super::pass::{LIMIT, copy_with_border};
use super::patches::Plan;
use super::{PARTIAL_BYTES, PIECES};
use crate::Result;
use crate::buffer::Buffer;
use crate::kernels::blocked::panel_width;
use crate::kernels::simd::Simd;
use crate::kernels::tile::{Finish, Product, Shared};
use crate::kernels::with_scratch;
use crate::parallel::for_each_chunk;

/// Pixels in a block, about.
const PIXELS: usize = 256;
/// Multiply-adds below which sharing the work costs more than it brings.
const SERIAL: usize = 1 << 19;

/// How the pixels of the batch are cut into blocks, and the blocks into pieces.
pub(super) struct Blocks<'a> {
    plan: &'a Plan,
    /// Rows of one image, or several whole images.
    rows: usize,
    images: usize,
    per_image: usize,
    count: usize,
    pub pieces: usize,
    /// Columns of x that a row of pixels sees, and distances between rows and images in what a block sees.
    columns: usize,
    pub line: usize,
    pitch: usize,
    /// Numbers of x to copy; none where there is no padding.
    pub scratch: usize,
}

/// What a block sees of x, and for each of its rows of pixels where it begins there and in dy.
pub(super) struct Seen<'a> {
    pub x: &'a [f32],
    pub places: Vec<[usize; 2]>,
    /// Whether it is the first of its piece.
    pub is_first: bool,
}

impl<'a> Blocks<'a> {
    /// Blocks of about `pixels` for a convolution none of whose sizes is zero; `None` if the padding is so absurd that this is not the way.
    pub fn new(plan: &'a Plan, pixels: usize) -> Option<Self> {
        let ([n, c, h, w], [_, o, oh, ow], window) = (plan.input, plan.output, &plan.g.window);
        let rows = oh.div_ceil((oh * ow / pixels).clamp(1, oh));
        let images = if rows == oh { (pixels / (oh * ow)).clamp(1, n) } else { 1 };
        let per_image = oh.div_ceil(rows);
        let count = per_image * n.div_ceil(images);
        let pieces = (PARTIAL_BYTES / (o * plan.depth() * size_of::<f32>())).clamp(1, PIECES).min(count);
        let extent = |axis: usize, pixels: usize| {
            ((pixels - 1) * window.stride[axis]).saturating_add((window.kernel[axis] - 1) * window.dilation[axis] + 1)
        };
        let (columns, in_place) = (extent(1, ow), window.padding == [[0, 0]; 2]);
        let (line, copied) = (columns.saturating_mul(c), extent(0, rows).saturating_mul(columns).saturating_mul(c));
        let scratch = if in_place { 0 } else { copied.saturating_mul(images) };
        let [line, pitch] = if in_place { [w * c, h * w * c] } else { [line, copied] };
        (scratch <= LIMIT).then_some(Blocks { plan, rows, images, per_image, count, pieces, columns, line, pitch, scratch })
    }

    /// Calls `f` for the blocks of a piece, first to last.
    pub fn for_each(&self, piece: usize, x: &[f32], scratch: &mut [f32], mut f: impl FnMut(Seen<'_>)) {
        let ([n, c, h, w], [_, o, oh, ow], window) = (self.plan.input, self.plan.output, &self.plan.g.window);
        let (begin, end) = (self.count * piece / self.pieces, self.count * (piece + 1) / self.pieces);
        for b in begin..end {
            let first = b / self.per_image * self.images;
            let images = first..n.min(first + self.images);
            let row = b % self.per_image * self.rows;
            let rows = row..oh.min(row + self.rows);
            let seen: &[f32] = if self.scratch == 0 {
                &x[(first * h + row * window.stride[0]) * w * c..]
            } else {
                let at = |axis: usize, i: usize| i as isize - window.padding[axis][0] as isize;
                let bottom = (rows.end - 1) * window.stride[0] + (window.kernel[0] - 1) * window.dilation[0] + 1;
                let (rows, columns) = ([at(0, row * window.stride[0]), at(0, bottom)], [at(1, 0), at(1, self.columns)]);
                for (image, to) in images.clone().zip(scratch.chunks_exact_mut(self.pitch)) {
                    copy_with_border(&x[image * h * w * c..][..h * w * c], [h, w, c], rows, columns, to);
                }
                scratch
            };
            let place = |image: usize, r: usize| {
                [(image - first) * self.pitch + (r - row) * window.stride[0] * self.line, (image * oh + r) * ow * o]
            };
            let places = images.flat_map(|image| rows.clone().map(move |r| place(image, r))).collect();
            f(Seen { x: seen, places, is_first: b == begin });
        }
    }
}

/// dw `[O, C/groups, KH, KW]`, row-major, += the gradient; no size is zero. `None` if the padding is so absurd that this is not the way.
pub(super) fn grad_weight(simd: Simd, plan: &Plan, dy: &[f32], x: &[f32], dw: &mut [f32]) -> Option<Result<()>> {
    let ([_, c, ..], [n, o, oh, ow], window) = (plan.input, plan.output, &plan.g.window);
    let ([kh, kw], [down, right], step) = (window.kernel, window.dilation, window.stride[1] * c);
    let (simd, blocks) = (simd.for_width(plan.og), Blocks::new(plan, PIXELS)?);
    let together = plan.g.groups == 1 && right == 1; // all taps of a kernel row
    let run = if together { kw * c } else { plan.cg };
    let taps: Vec<usize> = (0..kh * kw).filter(|t| !together || t % kw == 0).collect();
    let widest = panel_width(simd);
    let panels: Vec<[usize; 2]> = (0..plan.g.groups).flat_map(|g| (0..plan.og).step_by(widest).map(move |j| [g, j])).collect();
    let parts = PIECES.div_ceil(blocks.pieces).min(panels.len());
    let size = dw.len();
    let mut partial = match Buffer::stale(blocks.pieces * size) {
        Ok(partial) => partial, // [pieces][taps, C/groups][O]
        Err(error) => return Some(Err(error)),
    };
    let sums = Shared::new(&mut partial);
    let parallel = size.saturating_mul(n * oh * ow) >= SERIAL;
    let done = with_scratch(blocks.pieces * parts, blocks.scratch, parallel, |scratch, task| {
        let (piece, part) = (task / parts, task % parts);
        let panels = &panels[panels.len() * part / parts..panels.len() * (part + 1) / parts];
        blocks.for_each(piece, x, scratch, |seen| {
            let (places, depth) = merge(seen.places, ow, [step, o]);
            let product = Product::new(&places, depth, [1, step], o, o);
            let finish = Finish { add: !seen.is_first, ..Finish::default() };
            for (&[group, j], &tap) in panels.iter().flat_map(|panel| taps.iter().map(move |tap| (panel, tap))) {
                let from = tap / kw * down * blocks.line + tap % kw * right * c + group * plan.cg;
                let to = sums.from(piece * size + tap * plan.cg * o + group * plan.og + j);
                let extent = [run, widest.min(plan.og - j)];
                // SAFETY: a task has a piece of the sums and the columns of its panels for itself.
                unsafe { product.multiply_shared(simd, extent, &seen.x[from..], &dy[group * plan.og + j..], to, finish) }
            }
        });
    });
    if let Err(error) = done {
        return Some(Err(error));
    }
    const BLOCK: usize = 16; // output channels, so that whole cache lines are read
    let depth = plan.taps * plan.cg;
    for_each_chunk(dw, BLOCK * depth, |start, dw| {
        let (first, columns) = (start / depth, dw.len() / depth);
        for row in 0..depth {
            let mut sums = [0.0; BLOCK];
            for piece in 0..blocks.pieces {
                let from = &partial[piece * size + row * o + first..][..columns];
                sums.iter_mut().zip(from).for_each(|(sum, &v)| *sum += v);
            }
            let at = row % plan.cg * plan.taps + row / plan.cg; // (tap, channel) there, (channel, tap) here
            sums[..columns].iter().enumerate().for_each(|(i, &v)| dw[i * depth + at] += v);
        }
    });
    Some(Ok(()))
}
