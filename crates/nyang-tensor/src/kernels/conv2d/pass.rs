//! A convolution as a pass from a source to a target image, forward or back: who sees whom, in which blocks, with which border.
//!
//! Forward and the gradient in the input are one computation:
//!
//! ```text
//! target[i·by + first, n] = Σ_tap Σ_k source[i·step + offset(tap), k] · B[tap, k, n]          (both axes alike)
//!
//! forward:     source x, target y;   by = 1, step = stride, offset = kh·dilation − top;                      B = w[n, k, tap]
//! grad input:  source dy, target dx; by = stride, step = 1, offset = (first + top − kh·dilation) / stride;   B = w[k, n, tap]
//! ```
//!
//! In the gradient, pixels of dx whose position (plus padding) leaves the same remainder by the stride form a *class*: they see the same
//! taps, those whose kh·dilation leaves that remainder too. Forward there is one class.
//!
//! A task computes a block of rows. It first copies the rows of the source that these see with a border of zeros, so that no later loop asks
//! where the image ends; where there is no padding it reads the source in place.

use std::ops::Range;

use super::patches::Plan;
use crate::Result;
use crate::kernels::with_scratch;

/// Multiply-adds of a task, about: 40 µs of work.
const TASK: usize = 1 << 22;
/// Multiply-adds below which sharing the work costs more than it brings.
const SERIAL: usize = 1 << 19;
/// As many tasks as let a few threads end at about the same time, if that leaves each so many multiply-adds.
pub(super) const TASKS: usize = 8;
const LEAST: usize = 1 << 17;
/// Numbers of the source that a task copies, about. Beyond `LIMIT`, which takes absurd padding or dilation, this is not the way.
const SOURCE: usize = 64 * 1024;
pub(super) const LIMIT: usize = 16 << 20;

/// Target pixels that see the same taps.
pub(super) struct Class {
    /// The first of them.
    pub first: [usize; 2],
    /// How many there are along each axis.
    pub count: [usize; 2],
    /// Where each tap of the first pixel lies in the source, in row-major order.
    pub offsets: Vec<[isize; 2]>,
    /// Taps of earlier classes.
    pub before: usize,
}

/// In which direction a pass goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From x to y.
    Forward,
    /// From dy to dx.
    GradInput,
}

/// The geometry of a pass.
pub(super) struct Pass {
    pub images: usize,
    /// Height, width, channels.
    pub source: [usize; 3],
    pub target: [usize; 3],
    pub groups: usize,
    /// Distance between neighbours of a class in the target, and between what they see in the source.
    pub by: [usize; 2],
    pub step: [usize; 2],
    pub classes: Vec<Class>,
    /// The weight's taps in the order of the classes.
    pub order: Vec<usize>,
    /// Columns of the source that are read, beginning at a negative one where there is padding.
    columns: [isize; 2],
}

/// A block of rows of one image, and the part of the source that it sees.
pub(super) struct Block<'a> {
    /// The image.
    pub n: usize,
    /// Rows of the target.
    rows: Range<usize>,
    /// The source, from row `top` and the pass's first column on.
    pub from: &'a [f32],
    top: isize,
    /// Distance between rows there.
    pub line: usize,
}

impl Pass {
    /// The pass of a convolution none of whose sizes is zero.
    pub fn new(plan: &Plan, direction: Direction) -> Pass {
        let window = &plan.g.window;
        let (stride, [kh, kw]) = (window.stride, window.kernel);
        let pad = [window.padding[0][0], window.padding[1][0]];
        let ([mut images, c, mut h, mut w], [_, o, mut oh, mut ow]) = (plan.input, plan.output);
        if plan.is_pointwise() {
            // all pixels of the batch as one image with longer or shorter rows, so that products have rows enough
            let pixels = images * h * w;
            let width = (1..=64).rev().find(|width| pixels.is_multiple_of(*width)).unwrap_or(1);
            (images, [h, w], [oh, ow]) = (1, [pixels / width, width], [pixels / width, width]);
        }
        let tap = |axis: usize, tap: usize| (tap * window.dilation[axis]) as isize; // below the padded size: fits
        let (mut classes, mut order) = (Vec::new(), Vec::new());
        let (source, target, by, step) = match direction {
            Direction::Forward => {
                let at = |a: usize, b: usize| [tap(0, a) - pad[0] as isize, tap(1, b) - pad[1] as isize];
                let offsets = (0..kh).flat_map(|a| (0..kw).map(move |b| (a, b))).map(|(a, b)| at(a, b)).collect();
                order.extend(0..kh * kw);
                classes.push(Class { first: [0, 0], count: [oh, ow], offsets, before: 0 });
                // a stride that is never made means nothing, and may be absurd
                let step = [if oh > 1 { stride[0] } else { 1 }, if ow > 1 { stride[1] } else { 1 }];
                ([h, w, c], [oh, ow, o], [1, 1], step)
            }
            Direction::GradInput => {
                // along an axis, for the class of pixel `first`: how many pixels, and its taps with their offsets, rising
                let along = |axis: usize, first: usize, size: usize, kernel: usize| {
                    let rest = (first + pad[axis]) % stride[axis];
                    let taps = (0..kernel).rev().filter(|&t| t * window.dilation[axis] % stride[axis] == rest);
                    let at = |t| ((first + pad[axis]) as isize - tap(axis, t)) / stride[axis] as isize;
                    (size.saturating_sub(first).div_ceil(stride[axis]), taps.map(|t| (t, at(t))).collect::<Vec<_>>())
                };
                let by = [stride[0].min(h), stride[1].min(w)];
                for first in (0..by[0]).flat_map(|a| (0..by[1]).map(move |b| [a, b])) {
                    let ((rows, down), (columns, right)) = (along(0, first[0], h, kh), along(1, first[1], w, kw));
                    let before = order.len();
                    let taps = || down.iter().flat_map(|&a| right.iter().map(move |&b| (a, b)));
                    order.extend(taps().map(|(a, b)| a.0 * kw + b.0));
                    classes.push(Class { first, count: [rows, columns], offsets: taps().map(|(a, b)| [a.1, b.1]).collect(), before });
                }
                ([oh, ow, o], [h, w, c], by, [1, 1])
            }
        };
        let mut columns = [isize::MAX, isize::MIN];
        for class in classes.iter().filter(|class| class.count.iter().all(|&n| n > 0)) {
            for offset in &class.offsets {
                let last = ((class.count[1] - 1) * step[1]) as isize + offset[1];
                columns = [columns[0].min(offset[1]), columns[1].max(last + 1)];
            }
        }
        let columns = if columns[0] < columns[1] { columns } else { [0, 0] };
        Pass { images, source, target, groups: plan.g.groups, by, step, classes, order, columns }
    }

    /// Channels of a group in the source and in the target.
    pub fn inner_outer(&self) -> [usize; 2] {
        [self.source[2] / self.groups, self.target[2] / self.groups]
    }

    /// Calls `f(part, block)` for all blocks of rows and each part of the work on them, in parallel; `f` owns these rows as far as its
    /// part goes. `None` if the padding is so absurd that this is not the way.
    pub fn run(&self, source: &[f32], parts: usize, f: impl Fn(usize, Block<'_>) + Send + Sync) -> Option<Result<()>> {
        let ([height, width, channels], [rows, ..]) = (self.source, self.target);
        let pairs: usize = self.classes.iter().map(|c| c.offsets.len() * c.count[0] * c.count[1]).sum();
        let work = pairs.saturating_mul(channels * self.target[2] / self.groups); // of one image
        let line = ((self.columns[1] - self.columns[0]) as usize).saturating_mul(channels);
        let size = (TASK / (work / rows).max(1)).min(SOURCE / line.max(1) * self.by[0] / self.step[0]);
        let wanted = TASKS.div_ceil(parts.max(1) * self.images.max(1)).min(work / LEAST / parts.max(1));
        let size = rows.div_ceil(rows.div_ceil(size.clamp(1, rows)).max(wanted)).next_multiple_of(self.by[0]); // all about as large
        let blocks = rows.div_ceil(size);
        let range = |i: usize| i * size..rows.min((i + 1) * size);
        let seen: Vec<[isize; 2]> = (0..blocks).map(|i| self.source_rows(&range(i))).collect();
        let in_place =
            self.columns[0] >= 0 && self.columns[1] <= width as isize && seen.iter().all(|s| s[0] >= 0 && s[1] <= height as isize);
        let copied = seen.iter().map(|s| (s[1] - s[0]) as usize).max().unwrap_or(0);
        let scratch = if in_place { 0 } else { copied.saturating_mul(line) };
        if scratch > LIMIT {
            return None;
        }
        let image_size = height * width * channels;
        let parallel = work.saturating_mul(self.images) >= SERIAL;
        Some(with_scratch(parts * self.images * blocks, scratch, parallel, |scratch, task| {
            let (part, n, i) = (task / blocks / self.images, task / blocks % self.images, task % blocks);
            let (image, [top, bottom]) = (&source[n * image_size..][..image_size], seen[i]);
            let (from, line) = if in_place {
                (&image[(top as usize * width + self.columns[0] as usize) * channels..], width * channels)
            } else {
                copy_with_border(image, self.source, [top, bottom], self.columns, scratch);
                (&*scratch, line)
            };
            f(part, Block { n, rows: range(i), from, top, line });
        }))
    }

    /// Rows of the source that rows of the target see.
    fn source_rows(&self, rows: &Range<usize>) -> [isize; 2] {
        let mut seen = [isize::MAX, isize::MIN];
        for class in self.classes.iter().filter(|class| class.count[1] > 0) {
            let [from, to] = self.class_rows(class, rows);
            for offset in class.offsets.iter().filter(|_| from < to) {
                let at = |row: usize| (row * self.step[0]) as isize + offset[0];
                seen = [seen[0].min(at(from)), seen[1].max(at(to - 1) + 1)];
            }
        }
        if seen[0] < seen[1] { seen } else { [0, 0] }
    }

    /// Which of a class's rows are among these rows of the target.
    pub fn class_rows(&self, class: &Class, rows: &Range<usize>) -> [usize; 2] {
        [rows.start, rows.end].map(|row| row.saturating_sub(class.first[0]).div_ceil(self.by[0]).min(class.count[0]))
    }

    /// Calls `f(class, places, from, to)` for each row of a class in a block: `places` is where the taps of the row's first pixel lie in
    /// `from`, a part of the block's source, and `to` is where this pixel is in the target.
    pub fn for_each_row(&self, block: &Block<'_>, mut f: impl FnMut(&Class, &[usize], &[f32], usize)) {
        let ([_, _, channels], [height, width, out]) = (self.source, self.target);
        let mut places = Vec::with_capacity(self.order.len());
        for class in self.classes.iter().filter(|class| class.count[1] > 0) {
            let [first, last] = self.class_rows(class, &block.rows);
            places.clear();
            places.extend(class.offsets.iter().filter(|_| first < last).map(|offset| {
                let row = (first * self.step[0]) as isize + offset[0] - block.top;
                row as usize * block.line + (offset[1] - self.columns[0]) as usize * channels
            }));
            for i in first..last {
                let from = block.from.get((i - first) * self.step[0] * block.line..).unwrap_or_default();
                let row = block.n * height + class.first[0] + i * self.by[0];
                f(class, &places, from, (row * width + class.first[1]) * out);
            }
        }
    }
}

/// Copies rows and columns `[from, to)` of an image `[height, width, channels]`, zeros where there are none.
pub(super) fn copy_with_border(
    image: &[f32],
    [height, width, channels]: [usize; 3],
    rows: [isize; 2],
    columns: [isize; 2],
    to: &mut [f32],
) {
    let line = (columns[1] - columns[0]) as usize * channels;
    let (left, right) = (columns[0].clamp(0, width as isize), columns[1].clamp(0, width as isize));
    let (skip, n) = ((left - columns[0]) as usize * channels, (right - left).max(0) as usize * channels);
    for (row, to) in (rows[0]..rows[1]).zip(to.chunks_exact_mut(line.max(1))) {
        match usize::try_from(row) {
            Ok(row) if row < height && n > 0 => {
                to[..skip].fill(0.0);
                to[skip..skip + n].copy_from_slice(&image[(row * width + left as usize) * channels..][..n]);
                to[skip + n..].fill(0.0);
            }
            _ => to.fill(0.0),
        }
    }
}
