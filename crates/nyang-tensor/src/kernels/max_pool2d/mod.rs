//! Max pooling: the largest value under each window, and which cell it came from.
//!
//! A task owns whole rows of the output. Vectors run over the channels of a pixel; few channels fill a part of one.

#![allow(unsafe_code)] // positions seen as floats of the same bits, for vectors to carry

use crate::buffer::Buffer;
use crate::kernels::simd::{Isa, Job};
use crate::kernels::window::Reach;
use crate::kernels::{Kernels, Window, image_dims, require_shape, values};
use crate::parallel::{CHUNK, for_each_chunk, for_each_pair};
use crate::{Element, Error, Result, Shape, Tensor};

/// Written in the place of a position where a window has no real cell.
const NOWHERE: u32 = u32::MAX;

/// Where each maximum came from: what [`max_pool2d`] leaves for [`max_pool2d_grad_input`].
#[derive(Debug)]
pub struct MaxIndices {
    /// h·W + w in the input's plane for each output value, in channels-last order; [`NOWHERE`] for none.
    positions: Buffer<u32>,
    input: Shape,
    output: Shape,
    /// Rows and columns of a window, if the windows lie side by side, each cell in at most one.
    apart: Option<[usize; 2]>,
}

impl MaxIndices {
    /// The shape of the input, `[N, C, H, W]`.
    pub fn input(&self) -> &Shape {
        &self.input
    }

    /// The shape of the output, `[N, C, OH, OW]`.
    pub fn output(&self) -> &Shape {
        &self.output
    }

    /// The `[h, w]` of the input cell that gave output value `[n, c, oh, ow]`; `None` outside of the output, and where the window held
    /// no real cell.
    pub fn get(&self, [n, c, oh, ow]: [usize; 4]) -> Option<[usize; 2]> {
        let [images, channels, height, width] = <[usize; 4]>::try_from(self.output.dims()).ok()?;
        let inside = n < images && c < channels && oh < height && ow < width;
        let at = inside.then(|| ((n * height + oh) * width + ow) * channels + c)?;
        let position = *self.positions.get(at).filter(|&&p| p != NOWHERE)? as usize;
        let columns = *self.input.dims().last()?;
        Some([position / columns, position % columns])
    }
}

/// Which cells each output pixel looks at: under the windows of pooling, or in the bins of adaptive pooling.
pub(super) trait Cells: Sync {
    /// N, C, H, W of the input, and N, C, OH, OW of the output.
    fn sizes(&self) -> [[usize; 4]; 2];

    /// The cells along an axis, 0 for the height and 1 for the width, that row or column `at` of the output looks at.
    fn reach(&self, axis: usize, at: usize) -> Reach;

    /// The distances between neighbouring ones.
    fn dilation(&self) -> [usize; 2] {
        [1, 1]
    }
}

/// An input, a window that fits it, and the output's size.
struct Plan {
    window: Window,
    input: [usize; 4],
    output: [usize; 4],
}

impl Plan {
    fn new(input: &Shape, window: &Window) -> Result<Plan> {
        let [n, c, h, w] = image_dims("max_pool2d", input)?;
        let [oh, ow] = window.out_size("max_pool2d", [h, w])?;
        window.check_pool_padding("max_pool2d")?;
        Ok(Plan { window: *window, input: [n, c, h, w], output: [n, c, oh, ow] })
    }
}

impl Cells for Plan {
    fn sizes(&self) -> [[usize; 4]; 2] {
        [self.input, self.output]
    }

    fn reach(&self, axis: usize, at: usize) -> Reach {
        self.window.reach(axis, at, self.input[axis + 2])
    }

    fn dilation(&self) -> [usize; 2] {
        self.window.dilation
    }
}

/// What [`Cells`] says, of every row and column of an output that has values.
struct Look {
    input: [usize; 4],
    dilation: [usize; 2],
    rows: Vec<Reach>,
    columns: Vec<Reach>,
}

impl Look {
    fn at(cells: &impl Cells) -> Look {
        let [input, output] = cells.sizes();
        let some = !output.contains(&0);
        let along = |axis: usize| (0..if some { output[axis + 2] } else { 0 }).map(|at| cells.reach(axis, at)).collect();
        Look { input, dilation: cells.dilation(), rows: along(0), columns: along(1) }
    }

    /// Rows and columns of a window, if all have as many and lie side by side.
    fn apart(&self) -> Option<[usize; 2]> {
        let size = |along: &[Reach]| {
            let size = along.first()?.taps.len();
            let side_by_side = |(at, reach): (usize, &Reach)| reach.first == at * size && reach.taps.len() == size;
            (size > 0 && along.iter().enumerate().all(side_by_side)).then_some(size)
        };
        if self.dilation == [1, 1] { Some([size(&self.rows)?, size(&self.columns)?]) } else { None }
    }

    /// Values of a row of the output.
    fn row(&self) -> usize {
        (self.input[1] * self.columns.len()).max(1)
    }

    /// Values of a few whole rows of the output: a task's share.
    fn share(&self) -> usize {
        (CHUNK / self.row()).max(1) * self.row()
    }

    /// What row `row` of the output, counted over the batch, looks at, and the first pixel of its image.
    #[inline(always)]
    fn row_at(&self, row: usize) -> (&Reach, usize) {
        let ([_, _, h, w], height) = (self.input, self.rows.len());
        (&self.rows[row % height], row / height * h * w)
    }
}

/// Rows of the output, to be filled: `y`, and the positions where they are asked for.
struct Rows<'a, T> {
    look: &'a Look,
    x: &'a [T],
    /// The first row, counted over the batch.
    first: usize,
    y: &'a mut [T],
    positions: Option<&'a mut [u32]>,
}

impl<T: Element> Rows<'_, T> {
    /// Fills them by the best means there are.
    fn fill(self) {
        match (Kernels::default().simd(), T::f32s(self.x)) {
            (Some(simd), Some(x)) => {
                let Some(y) = T::f32s_mut(self.y) else { return };
                simd.for_width(self.look.input[1]).run(Rows { look: self.look, x, first: self.first, y, positions: self.positions });
            }
            _ => self.fill_one_by_one(),
        }
    }

    fn fill_one_by_one(mut self) {
        let ([_, c, _, w], [dh, dw], columns) = (self.look.input, self.look.dilation, &self.look.columns);
        for (i, y) in self.y.chunks_exact_mut(self.look.row()).enumerate() {
            let (rows, image) = self.look.row_at(self.first + i);
            for (ow, (reach, y)) in columns.iter().zip(y.chunks_exact_mut(c)).enumerate() {
                let at = (i * columns.len() + ow) * c;
                let mut positions = self.positions.as_mut().map(|p| &mut p[at..at + c]);
                y.fill(T::NEG_INFINITY);
                if let Some(positions) = &mut positions {
                    positions.fill(NOWHERE);
                }
                for (i, j) in (0..rows.taps.len()).flat_map(|i| (0..reach.taps.len()).map(move |j| (i, j))) {
                    let position = (rows.first + i * dh) * w + reach.first + j * dw;
                    let cell = &self.x[(image + position) * c..][..c];
                    match &mut positions {
                        Some(positions) if i + j == 0 => positions.fill(position as u32), // below 2³², as checked
                        Some(positions) => take_better(y, positions, cell, position as u32),
                        None => {}
                    }
                    if i + j == 0 {
                        y.copy_from_slice(cell);
                    } else if positions.is_none() {
                        y.iter_mut().zip(cell).for_each(|(best, &v)| *best = better(*best, v));
                    }
                }
            }
        }
    }
}

impl Job for Rows<'_, f32> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) {
        match self.positions.take() {
            Some(positions) => self.fill_by_vectors::<S, true>(isa, as_floats(positions)),
            None => self.fill_by_vectors::<S, false>(isa, &mut []),
        }
    }
}

impl Rows<'_, f32> {
    /// Fills `y`, and `positions` if they are asked `FOR`.
    #[inline(always)]
    fn fill_by_vectors<S: Isa, const FOR: bool>(self, isa: S, positions: &mut [f32]) {
        let ([_, c, _, w], [dh, dw], columns) = (self.look.input, self.look.dilation, &self.look.columns);
        let (x, dense) = (self.x, dh == 1 && dw == 1);
        let bits = |position: usize| isa.splat(f32::from_bits(position as u32)); // below 2³², as checked
        for i in 0..self.y.len() / self.look.row() {
            let (rows, image) = self.look.row_at(self.first + i);
            for (ow, reach) in columns.iter().enumerate() {
                let corner = rows.first * w + reach.first;
                let (high, wide) = (rows.taps.len(), reach.taps.len());
                for lane in (0..c).step_by(S::LANES) {
                    // Whole vectors, where the memory goes on for so long: a mask costs time. What they write too far is the next pixel's,
                    // and comes to be overwritten.
                    let cell = |position: usize| isa.read(&x[(image + position) * c + lane..]);
                    let (mut best, mut at) = match high * wide {
                        0 => (isa.splat(f32::NEG_INFINITY), isa.splat(f32::from_bits(NOWHERE))),
                        _ => (cell(corner), bits(corner)),
                    };
                    let first = (image + corner) * c + lane;
                    let below = first + w * c;
                    if dense && high == 2 && wide == 2 && below + c + S::LANES <= x.len() {
                        // The usual window, without loops.
                        // SAFETY: these begin at `first` or behind it, and the last of them was just seen to end within `x`.
                        let [right, under, across] = unsafe {
                            let x = x.as_ptr();
                            [isa.load(x.add(first + c)), isa.load(x.add(below)), isa.load(x.add(below + c))]
                        };
                        (best, at) = best_of::<S, FOR>(isa, best, at, right, bits(corner + 1));
                        (best, at) = best_of::<S, FOR>(isa, best, at, under, bits(corner + w));
                        (best, at) = best_of::<S, FOR>(isa, best, at, across, bits(corner + w + 1));
                    } else {
                        for i in 0..high {
                            for j in usize::from(i == 0)..wide {
                                let position = corner + i * dh * w + j * dw;
                                (best, at) = best_of::<S, FOR>(isa, best, at, cell(position), bits(position));
                            }
                        }
                    }
                    let pixel = (i * columns.len() + ow) * c;
                    isa.write(&mut self.y[pixel + lane..], best);
                    if FOR {
                        isa.write(&mut positions[pixel + lane..], at);
                    }
                }
            }
        }
    }
}

/// The better of two values in each lane, and its position if that is asked `FOR`.
#[inline(always)]
fn best_of<S: Isa, const FOR: bool>(isa: S, best: S::V, at: S::V, v: S::V, position: S::V) -> (S::V, S::V) {
    let better = isa.beats(v, best);
    (isa.select(better, v, best), if FOR { isa.select(better, position, at) } else { at })
}

/// The same memory as floats, which are only ever moved.
fn as_floats(positions: &mut [u32]) -> &mut [f32] {
    // SAFETY: both types have the same size and alignment, and every bit pattern is a value of both.
    unsafe { std::slice::from_raw_parts_mut(positions.as_mut_ptr().cast(), positions.len()) }
}

/// The same to read.
fn floats(positions: &[u32]) -> &[f32] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(positions.as_ptr().cast(), positions.len()) }
}

/// The better of two values: the larger, so the first of equals stays; or NaN, the last of them.
///
/// A branch on `v > best` would be guessed wrong every other time. This one is for NaN alone; the other becomes a maximum instruction.
#[inline]
fn better<T: Element>(best: T, v: T) -> T {
    let larger = if v > best { v } else { best };
    if v.is_nan() { v } else { larger }
}

/// Puts the values that are better, and their position, in the place of the best so far.
fn take_better<T: Element>(best: &mut [T], at: &mut [u32], values: &[T], position: u32) {
    for ((best, at), &v) in best.iter_mut().zip(at).zip(values) {
        let mask = u32::from((v > *best) | v.is_nan()).wrapping_neg(); // again no branch
        *at = (*at & !mask) | (position & mask);
        *best = better(*best, v);
    }
}

/// The maximum under each window, `[N, C, H, W] → [N, C, OH, OW]`, channels-last, and where it stood.
///
/// ```text
/// y[n, c, oh, ow] = max x[n, c, oh·stride + kh·dilation − top, ow·stride + kw·dilation − left]     over kh, kw that hit the image
/// ```
///
/// Padding is −∞. In row-major order of the window the first of equals wins, and a NaN wins over everything, the last of them at that,
/// as in PyTorch. A dilated window that misses a small image altogether gives −∞ and passes no gradient.
///
/// # Errors
/// [`Error::Shape`] for an input that is not `[N, C, H, W]` or smaller than the window; [`Error::Argument`] for a senseless window,
/// padding above half of the (dilated) kernel, or images of 2³² pixels and more.
pub fn max_pool2d<T: Element>(x: &Tensor<T>, window: &Window) -> Result<(Tensor<T>, MaxIndices)> {
    maxima("max_pool2d", x, &Plan::new(x.shape(), window)?)
}

/// The best of each output pixel's cells, and where it stood.
pub(super) fn maxima<T: Element>(op: &'static str, x: &Tensor<T>, plan: &impl Cells) -> Result<(Tensor<T>, MaxIndices)> {
    let [[_, _, h, w], output] = plan.sizes();
    // all positions are below NOWHERE
    if h.checked_mul(w).and_then(|n| u32::try_from(n).ok()).is_none() {
        return Err(Error::argument(op, "H·W", format!("{h}·{w}"), "must be below 2³²; pool smaller images"));
    }
    let x = x.channels_last()?;
    let (shape, input, x) = (Shape::from(output), *x.shape(), values(&x));
    let mut y = Tensor::stale_channels_last(shape)?;
    let mut positions = Buffer::stale(y.len())?;
    let look = Look::at(plan);
    let (size, row) = (look.share(), look.row());
    let (out, places): (&mut [T], &mut [u32]) = (y.memory_mut()?, &mut positions);
    let fill = |task: usize, y: &mut [T], positions: &mut [u32]| {
        Rows { look: &look, x, first: task * (size / row), y, positions: Some(positions) }.fill();
    };
    for_each_pair((out, size), (places, size), fill);
    Ok((y, MaxIndices { positions, input, output: shape, apart: look.apart() }))
}

/// The values of [`max_pool2d`], bit for bit, without the positions: for inference.
///
/// # Errors
/// As [`max_pool2d`], but images may have any size.
pub fn max_pool2d_values<T: Element>(x: &Tensor<T>, window: &Window) -> Result<Tensor<T>> {
    best_values(x, &Plan::new(x.shape(), window)?)
}

/// The values of [`maxima`], bit for bit.
pub(super) fn best_values<T: Element>(x: &Tensor<T>, plan: &impl Cells) -> Result<Tensor<T>> {
    let [_, output] = plan.sizes();
    let x = x.channels_last()?;
    let x = values(&x);
    let mut y = Tensor::stale_channels_last(output)?;
    let look = Look::at(plan);
    for_each_chunk(y.memory_mut()?, look.share(), |start, y| {
        Rows { look: &look, x, first: start / look.row(), y, positions: None }.fill();
    });
    Ok(y)
}

/// The gradient of one image whose windows lie side by side: each cell is written once.
struct Back<'a> {
    dy: &'a [f32],
    positions: &'a [u32],
    dx: &'a mut [f32],
    input: [usize; 3],
    columns: usize,
    window: [usize; 2],
}

impl Job for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let ([c, _, w], [high, wide], zero) = (self.input, self.window, isa.splat(0.0));
        let (positions, out) = (floats(self.positions), (self.columns * c).max(1));
        let window_row = high * w * c;
        let (seen, rest) = self.dx.split_at_mut(self.dy.len() / out * window_row);
        rest.fill(0.0); // below the last window
        for (y, (dx, (dy, positions))) in
            seen.chunks_exact_mut(window_row).zip(self.dy.chunks_exact(out).zip(positions.chunks_exact(out))).enumerate()
        {
            for (x, lane) in (0..self.columns).flat_map(|x| (0..c).step_by(S::LANES).map(move |lane| (x, lane))) {
                let (dy, best) = (isa.read(&dy[x * c + lane..]), isa.read(&positions[x * c + lane..]));
                for (i, j) in (0..high).flat_map(|i| (0..wide).map(move |j| (i, j))) {
                    let (column, position) = (x * wide + j, (y * high + i) * w + x * wide + j);
                    let here = isa.same(best, isa.splat(f32::from_bits(position as u32))); // below 2³², as checked
                    // a pixel of one vector may write into the next one of its row, which is written later
                    let end = if c <= S::LANES { w * c } else { (column * c + lane + S::LANES).min((column + 1) * c) };
                    isa.write(&mut dx[i * w * c + column * c + lane..i * w * c + end], isa.select(here, dy, zero));
                }
            }
            dx.chunks_exact_mut(w * c).for_each(|row| row[self.columns * wide * c..].fill(0.0));
        }
    }
}

/// dx of the input's shape from dy of the output's, for any max pooling: each dy goes to the cell that gave the maximum; where windows overlap they add up.
/// Channels-last.
///
/// # Errors
/// [`Error::Shape`] for a dy that has not the shape of the output; [`Error::Memory`].
pub fn max_pool2d_grad_input<T: Element>(dy: &Tensor<T>, indices: &MaxIndices) -> Result<Tensor<T>> {
    require_shape("max_pool2d_grad_input", indices.output, dy)?;
    let [[_, c, h, w], [_, _, oh, ow]] = [image_dims("max_pool2d", &indices.input)?, image_dims("max_pool2d", &indices.output)?];
    let dy = dy.channels_last()?;
    let dy = values(&dy);
    let mut dx = Tensor::stale_channels_last(indices.input)?;
    let (image, out) = (h.saturating_mul(w).saturating_mul(c).max(1), oh.saturating_mul(ow).saturating_mul(c));
    // a task owns whole images
    for_each_chunk(dx.memory_mut()?, (CHUNK / image).max(1).saturating_mul(image), |start, part| {
        for (i, dx) in part.chunks_exact_mut(image).enumerate() {
            let at = (start / image + i) * out;
            let (dy, positions) = (&dy[at..at + out], &indices.positions[at..at + out]);
            match (Kernels::default().simd(), indices.apart, T::f32s(dy)) {
                (Some(simd), Some(window), Some(dy)) => {
                    let Some(dx) = T::f32s_mut(dx) else { return };
                    simd.for_width(c).run(Back { dy, positions, dx, input: [c, h, w], columns: ow, window });
                }
                _ => {
                    dx.fill(T::ZERO);
                    for (dy, positions) in dy.chunks_exact(c).zip(positions.chunks_exact(c)) {
                        for (channel, (&d, &position)) in dy.iter().zip(positions).enumerate() {
                            if position != NOWHERE {
                                dx[position as usize * c + channel] += d;
                            }
                        }
                    }
                }
            }
        }
    });
    Ok(dx)
}

/// The twin of [`max_pool2d`] in plain loops: the values, and for each, in row-major order, the h·W + w where it stood.
///
/// # Errors
/// As [`max_pool2d`].
pub fn max_pool2d_plain<T: Element>(x: &Tensor<T>, window: &Window) -> Result<(Tensor<T>, Vec<Option<usize>>)> {
    let Plan { input: [_, channels, h, w], output, .. } = Plan::new(x.shape(), window)?;
    let [_, _, height, width] = output;
    let Window { kernel, stride, padding: [[top, _], [left, _]], dilation, .. } = *window;
    let mut y = Tensor::stale(output)?;
    let mut positions = Vec::new();
    for (i, y) in y.as_mut_slice()?.iter_mut().enumerate() {
        let (plane, oh, ow) = (i / (height * width), i / width % height, i % width);
        let (n, c) = (plane / channels, plane % channels);
        let (mut best, mut at) = (T::NEG_INFINITY, None);
        for (kh, kw) in (0..kernel[0]).flat_map(|kh| (0..kernel[1]).map(move |kw| (kh, kw))) {
            let i = (oh * stride[0] + kh * dilation[0]).checked_sub(top).filter(|&i| i < h);
            let j = (ow * stride[1] + kw * dilation[1]).checked_sub(left).filter(|&j| j < w);
            let (Some(i), Some(j)) = (i, j) else { continue };
            let v = x.get(&[n, c, i, j]).unwrap_or_default(); // i < h and j < w
            if at.is_none() || v > best || v.is_nan() {
                (best, at) = (v, Some(i * w + j));
            }
        }
        *y = best;
        positions.push(at);
    }
    Ok((y, positions))
}

#[cfg(test)]
mod tests;
