//! Patches: what the window sees at each output pixel, laid out as a row, so that a convolution becomes a matrix product.
//!
//! A patch of one group has K = KH·KW·Cg values in the order (kh, kw, c). Its columns are handled in blocks, so that the patches of a
//! tile of pixels stay in the second-level cache. Values of `x` that are neighbours in a patch and in memory form a *run*: the channels
//! of one pixel, or of several pixels side by side where the kernel has no dilation and the convolution no groups.

use std::ops::Range;

use super::{Conv2dGeometry, conv2d_out_shape};
use crate::kernels::gemm::Matrix;
use crate::kernels::image_dims;
use crate::{Element, Result, Shape};

/// Output pixels that are multiplied at once: two blocks of rows, or one of depth, of the matrix product.
pub(super) const TILE: usize = 120;

/// Bytes of patches in a tile: a quarter of a second-level cache.
const TILE_BYTES: usize = 256 * 1024;

/// A convolution with all its sizes. Pixels of the output are numbered over the batch: (n·OH + oh)·OW + ow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub g: Conv2dGeometry,
    /// N, C, H, W of the input.
    pub input: [usize; 4],
    /// N, O, OH, OW of the output.
    pub output: [usize; 4],
    /// Input channels of a group.
    pub cg: usize,
    /// Output channels of a group.
    pub og: usize,
    /// KH·KW; 0 where the weight has no values.
    pub taps: usize,
}

/// A range of the K columns of a patch: several taps with all channels, or one tap with some of them.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Kernel taps, numbered kh·KW + kw.
    pub taps: Range<usize>,
    /// Input channels, numbered within their group.
    pub channels: Range<usize>,
    /// The first column.
    pub first: usize,
    /// The number of columns.
    pub width: usize,
}

/// How the columns are cut into blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// How many there are.
    pub count: usize,
    /// Columns of the widest.
    pub width: usize,
    taps: usize,
    channels: usize,
}

impl Plan {
    pub(super) fn new(x: &Shape, weight: &Shape, g: &Conv2dGeometry) -> Result<Plan> {
        let output = image_dims("conv2d", &conv2d_out_shape(x, weight, g)?)?;
        let [o, cg, kh, kw] = image_dims("conv2d", weight)?;
        let taps = if weight.is_empty() { 0 } else { kh * kw };
        Ok(Plan { g: *g, input: image_dims("conv2d", x)?, output, cg, og: o / g.groups, taps })
    }

    /// The length K of a patch.
    pub(super) fn depth(&self) -> usize {
        self.taps * self.cg
    }

    /// Output pixels of one image.
    pub(super) fn image_pixels(&self) -> usize {
        self.output[2].saturating_mul(self.output[3]) // sizes of empty tensors may be absurd
    }

    /// Values of one input image.
    pub(super) fn image_values(&self) -> usize {
        self.input[1..].iter().fold(1, |n, &d| n.saturating_mul(d))
    }

    /// Whether a patch is a pixel: then `x` itself is the matrix of patches.
    pub(super) fn is_pointwise(&self) -> bool {
        let w = &self.g.window;
        w.kernel == [1, 1] && w.stride == [1, 1] && w.padding == [[0, 0]; 2]
    }

    /// Whether each channel is convolved on its own.
    pub(super) fn is_depthwise(&self) -> bool {
        self.cg == 1 && self.og == 1
    }

    /// The K columns in blocks that keep a tile's patches in cache, and of at most about `widest` columns.
    pub(super) fn blocks<T>(&self, widest: usize) -> Blocks {
        let width = (TILE_BYTES / (TILE * size_of::<T>())).min(widest).max(1);
        let (cg, kw) = (self.cg.max(1), self.g.window.kernel[1]);
        let (taps, channels) = match (width / cg).min(self.taps) {
            0 => (1, width),
            n if n > kw => (n / kw * kw, cg), // whole kernel rows: longer runs
            n => (n, cg),
        };
        Blocks { count: self.taps.div_ceil(taps) * cg.div_ceil(channels), width: taps * channels, taps, channels }
    }

    /// The `i`-th of the blocks. (Without any weight there are none.)
    pub(super) fn block(&self, blocks: &Blocks, i: usize) -> Block {
        let across = self.cg.max(1).div_ceil(blocks.channels);
        let (tap, channel) = (i / across * blocks.taps, i % across * blocks.channels);
        let taps = tap..(tap + blocks.taps).min(self.taps);
        let channels = channel..(channel + blocks.channels).min(self.cg);
        Block { first: tap * self.cg + channel, width: taps.len() * channels.len(), taps, channels }
    }

    /// All columns in one block.
    pub(super) fn whole(&self) -> Block {
        Block { taps: 0..self.taps, channels: 0..self.cg, first: 0, width: self.depth() }
    }

    /// How many values of scratch [`Plan::patches`] needs for a tile.
    pub(super) fn scratch(&self, blocks: &Blocks) -> usize {
        if self.is_pointwise() { 0 } else { TILE * blocks.width }
    }

    /// The matrix of patches of these pixels, `[pixels, block.width]`: gathered in `scratch`, or `x` itself.
    pub(super) fn patches<'a, T: Element>(
        &self,
        x: &'a [T],
        group: usize,
        block: &Block,
        pixels: Range<usize>,
        scratch: &'a mut [T],
    ) -> Matrix<'a, T> {
        if self.is_pointwise() {
            let c = self.input[1];
            return Matrix { values: &x[pixels.start * c + group * self.cg + block.first..], row: c, column: 1 };
        }
        let patches = &mut scratch[..pixels.len() * block.width];
        self.gather(x, group, block, pixels, patches);
        Matrix { values: patches, row: block.width, column: 1 }
    }

    /// Calls `f(to, from, n)` for each run in the patches of `pixels`: `n` values from position `to` of the patches `[pixels, block.width]`
    /// on are those from position `from` of `x` on. What no run covers is padding.
    #[inline]
    fn runs(&self, pixels: Range<usize>, group: usize, block: &Block, mut f: impl FnMut(usize, usize, usize)) {
        let ([_, c, h, w], [_, _, height, width]) = (self.input, self.output);
        let window = &self.g.window;
        let (kw, stride, left) = (window.kernel[1], window.stride[1], window.padding[1][0]);
        let ([dh, dw], channels) = (window.dilation, block.channels.len());
        let side_by_side = dw == 1 && channels == c;
        let mut pixel = pixels.start;
        while pixel < pixels.end {
            // the pixels of one output row
            let (n, oh, ow) = (pixel / (height * width), pixel / width % height, pixel % width);
            let count = (width - ow).min(pixels.end - pixel);
            let rows = window.reach(0, oh, h);
            for (i, kh) in rows.taps.enumerate() {
                // the taps of one kernel row that are in the block
                let taps = block.taps.start.saturating_sub(kh * kw)..kw.min(block.taps.end.saturating_sub(kh * kw));
                if taps.is_empty() {
                    continue;
                }
                let row = (n * h + rows.first + i * dh) * w * c + group * self.cg + block.channels.start;
                for p in 0..count {
                    // of those, the ones that are on the image
                    let start = (ow + p) * stride;
                    let (mut first, mut last) = (taps.start, taps.end);
                    if start + first * dw < left || start + (last - 1) * dw >= left + w {
                        let real = window.reach(1, ow + p, w).taps;
                        (first, last) = (first.max(real.start), last.min(real.end));
                        if first >= last {
                            continue;
                        }
                    }
                    let to = (pixel - pixels.start + p) * block.width + (kh * kw + first - block.taps.start) * channels;
                    let from = row + (start + first * dw - left) * c;
                    if side_by_side {
                        f(to, from, (last - first) * channels);
                    } else {
                        (0..last - first).for_each(|j| f(to + j * channels, from + j * dw * c, channels));
                    }
                }
            }
            pixel += count;
        }
    }

    /// Writes the patches of `pixels` to the rows of `patches` `[pixels, block.width]`.
    fn gather<T: Element>(&self, x: &[T], group: usize, block: &Block, pixels: Range<usize>, patches: &mut [T]) {
        if self.g.window.padding != [[0, 0]; 2] {
            patches.fill(T::ZERO);
        }
        self.runs(pixels, group, block, |to, from, n| patches[to..to + n].copy_from_slice(&x[from..from + n]));
    }

    /// The transpose of gathering: adds the rows of `patches` to the places that they would have come from. `dx` starts at position
    /// `start` of the whole gradient.
    pub(super) fn scatter<T: Element>(
        &self,
        patches: &[T],
        group: usize,
        block: &Block,
        pixels: Range<usize>,
        (start, dx): (usize, &mut [T]),
    ) {
        self.runs(pixels, group, block, |from, to, n| {
            let sums = &mut dx[to - start..to - start + n];
            sums.iter_mut().zip(&patches[from..from + n]).for_each(|(sum, &v)| *sum += v);
        });
    }
}
