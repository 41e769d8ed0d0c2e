//! Convolution of images, and its two gradients.
//!
//! ```text
//! y[n, o, oh, ow] = b[o] + Σ w[o, c, kh, kw] · x[n, g·Cg + c, h, w]       g = ⌊o / Og⌋ the group, Cg = C/groups, Og = O/groups
//!                   h = oh·stride + kh·dilation − top,  w likewise; zero outside of the image
//! ```
//!
//! This is cross-correlation, as everywhere in deep learning: the kernel is not flipped. With A the matrix of patches (a row an output
//! pixel, a column a kernel tap and channel; see `patches`) and W the weight as a matrix, a tile of pixels at a time:
//!
//! ```text
//! y = A·Wᵀ        dA = dy·W, added back to where the patches came from, is dx        dW += dyᵀ·A
//! ```
//!
//! That is the portable way, and the one of `f64`. With vectors of `f32` no patches are made: see `direct` and `depthwise_vector`.

mod depthwise;
mod depthwise_vector;
mod direct;
mod direct_weight;
mod pairs;
mod pass;
mod patches;
mod plain;
mod prepared;
mod winograd;

pub use plain::{conv2d_grad_input_plain, conv2d_grad_weight_plain, conv2d_plain};
pub use prepared::WeightCache;

use std::sync::Arc;

use super::gemm::{Into, Matrix, gemm_with};
use super::{Activation, Kernels, Window, for_each_chunk_with, image_dims, require_shape, values};
use crate::buffer::Buffer;
use crate::parallel::for_each_chunk;
use crate::{Element, Error, Result, Shape, Tensor};
use pass::Direction;
use patches::{Block, Plan, TILE};
use prepared::Weight;

/// Pieces that a sum over the batch's pixels is cut into: as many tasks, and as many partial sums, whatever the number of threads.
const PIECES: usize = 8;

/// Bytes that the partial sums of a weight gradient may take together; larger weights are cut into fewer pieces and more columns.
const PARTIAL_BYTES: usize = 16 << 20;

/// How a convolution slides over its input, and which channels see which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dGeometry {
    /// The window: its kernel is the weight's KH × KW.
    pub window: Window,
    /// Into how many groups the channels fall; output channels of a group see only its input channels.
    pub groups: usize,
}

/// The shape `[N, O, OH, OW]` of the convolution of `x` `[N, C, H, W]` with `weight` `[O, C/groups, KH, KW]`.
///
/// # Errors
/// [`Error::Shape`] for shapes that are not four-dimensional or do not agree with each other and the geometry, and for images smaller
/// than the kernel; [`Error::Argument`] for zero groups, a senseless window, or one whose output size rounds up (PyTorch's
/// convolution has no such mode).
pub fn conv2d_out_shape(x: &Shape, weight: &Shape, g: &Conv2dGeometry) -> Result<Shape> {
    const OP: &str = "conv2d";
    let [o, cg, kh, kw] = <[usize; 4]>::try_from(weight.dims()).map_err(|_| Error::shape(OP, "a weight [O, C/groups, KH, KW]", *weight))?;
    if g.groups == 0 {
        return Err(Error::argument(OP, "groups", g.groups, "must be at least 1"));
    }
    if g.window.ceil_mode {
        return Err(Error::argument(OP, "ceil_mode", true, "is for pooling: the output size of a convolution rounds down"));
    }
    if o % g.groups != 0 {
        return Err(Error::argument(OP, "groups", g.groups, "must divide the number of output channels"));
    }
    if [kh, kw] != g.window.kernel {
        return Err(Error::shape(OP, format!("a weight with the kernel {:?}", g.window.kernel), *weight));
    }
    let [n, c, h, w] = image_dims(OP, x)?;
    if cg.checked_mul(g.groups) != Some(c) {
        let channels = cg.saturating_mul(g.groups);
        return Err(Error::shape(OP, format!("[N, {channels}, H, W] for a weight {weight} in {} group(s)", g.groups), *x));
    }
    let [oh, ow] = g.window.out_size(OP, [h, w])?;
    Ok(Shape::from([n, o, oh, ow]))
}

/// What becomes of a convolution's sums while they are in registers: y = act(sums + bias + beside).
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a, T: Element> {
    /// `[O]`.
    pub bias: Option<&'a Tensor<T>>,
    /// Another tensor of the output's shape: the shortcut around a residual block.
    pub beside: Option<&'a Tensor<T>>,
    /// What follows.
    pub activation: Activation,
}

impl<T: Element> Default for Epilogue<'_, T> {
    fn default() -> Self {
        Epilogue { bias: None, beside: None, activation: Activation::Identity }
    }
}

/// An [`Epilogue`] as the loops see it, everything in the output's memory order.
#[derive(Clone, Copy)]
struct End<'a, T> {
    bias: Option<&'a [T]>,
    beside: Option<&'a [T]>,
    activation: Activation,
}

impl<T: Element> End<'_, T> {
    const NONE: Self = End { bias: None, beside: None, activation: Activation::Identity };

    /// The end of sums that began with the bias, for the values from position `start` of the memory on.
    fn finish(&self, start: usize, part: &mut [T]) {
        if let Some(beside) = self.beside {
            part.iter_mut().zip(&beside[start..]).for_each(|(v, &b)| *v += b);
        }
        if self.activation != Activation::Identity {
            part.iter_mut().for_each(|v| *v = self.activation.of(*v));
        }
    }
}

/// The convolution of `x` `[N, C, H, W]` with `weight` `[O, C/groups, KH, KW]`, plus `bias` `[O]`: `[N, O, OH, OW]`, channels-last.
///
/// An image's result does not depend on the batch it is in, bit for bit.
///
/// # Errors
/// Those of [`conv2d_out_shape`]; [`Error::Shape`] for a bias that is not `[O]`.
pub fn conv2d<T: Element>(
    x: &Tensor<T>,
    weight: &Tensor<T>,
    bias: Option<&Tensor<T>>,
    g: &Conv2dGeometry,
    kernels: Kernels,
) -> Result<Tensor<T>> {
    conv2d_then(x, weight, g, &Epilogue { bias, ..Epilogue::default() }, kernels, None)
}

/// [`conv2d`] and what follows it, with the bits of the two apart; for inference, where one weight meets many images, what kernels make of
/// the weight stays in `cache`.
///
/// # Errors
/// Those of [`conv2d`]; [`Error::Shape`] for a tensor beside that has not the output's shape.
pub fn conv2d_then<T: Element>(
    x: &Tensor<T>,
    weight: &Tensor<T>,
    g: &Conv2dGeometry,
    then: &Epilogue<'_, T>,
    kernels: Kernels,
    cache: Option<&WeightCache<T>>,
) -> Result<Tensor<T>> {
    let plan = Plan::new(x.shape(), weight.shape(), g)?;
    let [_, o, ..] = plan.output;
    if let Some(odd) = then.bias.filter(|b| b.dims() != [o]) {
        return Err(Error::shape("conv2d", format!("a bias [{o}]"), *odd.shape()));
    }
    if let Some(odd) = then.beside.filter(|b| *b.dims() != plan.output) {
        return Err(Error::shape("conv2d", format!("a tensor beside of the output's shape {}", Shape::from(plan.output)), *odd.shape()));
    }
    let bias = then.bias.map(Tensor::contiguous).transpose()?;
    let beside = then.beside.map(Tensor::channels_last).transpose()?;
    let end = End { bias: bias.as_ref().map(values), beside: beside.as_ref().map(values), activation: then.activation };
    let x = x.channels_last()?;
    let x = values(&x);
    let mut y = Tensor::stale_channels_last(plan.output)?;
    if let Some(done) = by_vectors(kernels, &plan, Direction::Forward, x, (&weight.contiguous()?, cache), end, y.memory_mut()?) {
        return done.map(|()| y);
    }
    if plan.is_depthwise() {
        depthwise::forward(&plan, x, weight, end, y.memory_mut()?)?;
        return Ok(y);
    }
    let (depth, blocks) = (plan.depth(), plan.blocks::<T>(plan.depth()));
    let packed = by_column(&plan, weight)?;
    for_each_chunk_with(y.memory_mut()?, TILE.saturating_mul(o), plan.scratch(&blocks), |scratch, start, tile| {
        start_rows(tile, o, end.bias);
        let (first, rows) = (start / o, tile.len() / o);
        for (group, i) in (0..g.groups).flat_map(|group| (0..blocks.count).map(move |i| (group, i))) {
            let block = plan.block(&blocks, i);
            let a = plan.patches(x, group, &block, first..first + rows, scratch);
            let b = Matrix { values: &packed[(group * depth + block.first) * plan.og..], row: plan.og, column: 1 };
            gemm_with(kernels, [rows, plan.og, block.width], a, b, Into::Add, &mut tile[group * plan.og..], o, false); // y += A·Wᵀ
        }
        end.finish(start, tile);
    })?;
    Ok(y)
}

/// The pass by vectors of `f32`; `None` where that is not the way, for `f64` say.
fn by_vectors<T: Element>(
    kernels: Kernels,
    plan: &Plan,
    direction: Direction,
    source: &[T],
    (weight, cache): (&Tensor<T>, Option<&WeightCache<T>>),
    end: End<'_, T>,
    target: &mut [T],
) -> Option<Result<()>> {
    let f32s = |v: Option<_>| v.map_or(Some(None), |v| T::f32s(v).map(Some));
    let end = End { bias: f32s(end.bias)?, beside: f32s(end.beside)?, activation: end.activation };
    let (simd, source, w, target) = (kernels.simd()?, T::f32s(source)?, T::f32s(values(weight))?, T::f32s_mut(target)?);
    if target.is_empty() || source.is_empty() || w.is_empty() {
        return None;
    }
    if plan.is_depthwise() {
        return Some(depthwise_vector::convolve(simd, plan, direction, [source, w], end, target));
    }
    let weight = Weight {
        values: w,
        prepare: &|lanes, method, make| match cache {
            Some(cache) => cache.get(weight, lanes, method, make),
            None => make().map(Arc::new),
        },
    };
    let quick = if kernels.is_exact() { None } else { winograd::convolve(simd, plan, direction, source, weight, end, target) };
    if quick.is_some() {
        return quick;
    }
    if direction == Direction::GradInput && plan.cg < 8 && plan.taps > 1 {
        return None; // too few columns for a vector: rather patches, whose columns are taps and channels
    }
    let wide = if kernels.is_exact() || direction == Direction::GradInput { None } else { pairs::widened(simd, plan) };
    if let Some(wide) = wide {
        let (w, bias) = match pairs::widen(plan, w) {
            Ok(w) => (w, end.bias.map(|bias| bias.repeat(2))),
            Err(error) => return Some(Err(error)),
        };
        let (weight, end) = (Weight { values: &w, ..weight }, End { bias: bias.as_deref(), ..end });
        return direct::convolve(simd, &wide, direction, source, weight, end, target);
    }
    direct::convolve(simd, plan, direction, source, weight, end, target)
}

/// Fills rows of `width` values with the bias, to which the products are then added, or with zeros.
fn start_rows<T: Element>(rows: &mut [T], width: usize, bias: Option<&[T]>) {
    match bias {
        Some(bias) => rows.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(bias)),
        None => rows.fill(T::ZERO),
    }
}

/// The weight as Wᵀ, `[groups][K][Og]`, so that the columns of a patch meet rows.
fn by_column<T: Element>(plan: &Plan, weight: &Tensor<T>) -> Result<Buffer<T>> {
    let weight = weight.channels_last()?; // [O][KH·KW·Cg]: the order of a patch
    let (w, depth, og) = (values(&weight), plan.depth(), plan.og);
    let mut packed = Buffer::stale(w.len())?;
    for_each_chunk(&mut packed, og.saturating_mul(64), |start, part| {
        let (first, rows) = (start / og, part.len() / og);
        for (k, row) in (first..first + rows).zip(part.chunks_exact_mut(og)) {
            let column = &w[k / depth * og * depth + k % depth..];
            row.iter_mut().zip(column.iter().step_by(depth)).for_each(|(to, &from)| *to = from);
        }
    });
    Ok(packed)
}

/// dx `[N, C, H, W]` = `input` from dy `[N, O, OH, OW]` and the weight: the gradient of Σ dy·[`conv2d`]`(x, weight)` in x. Channels-last.
///
/// # Errors
/// Those of [`conv2d_out_shape`]; [`Error::Shape`] for a dy that has not the shape of the output.
pub fn conv2d_grad_input<T: Element>(
    dy: &Tensor<T>,
    weight: &Tensor<T>,
    input: &Shape,
    g: &Conv2dGeometry,
    kernels: Kernels,
) -> Result<Tensor<T>> {
    conv2d_grad_input_beside(dy, weight, input, g, None, kernels)
}

/// [`conv2d_grad_input`] plus another gradient of the same input, that of the way around a residual block, with the bits of a later sum.
///
/// # Errors
/// Those of [`conv2d_grad_input`]; [`Error::Shape`] for a gradient beside that has not the input's shape.
pub fn conv2d_grad_input_beside<T: Element>(
    dy: &Tensor<T>,
    weight: &Tensor<T>,
    input: &Shape,
    g: &Conv2dGeometry,
    beside: Option<&Tensor<T>>,
    kernels: Kernels,
) -> Result<Tensor<T>> {
    if let Some(odd) = beside.filter(|b| b.shape() != input) {
        return Err(Error::shape("conv2d_grad_input", format!("a gradient beside of the input's shape {input}"), *odd.shape()));
    }
    let beside = beside.map(Tensor::channels_last).transpose()?;
    let end = End { beside: beside.as_ref().map(values), ..End::NONE };
    let plan = Plan::new(input, weight.shape(), g)?;
    require_shape("conv2d_grad_input", plan.output.into(), dy)?;
    let ([_, c, ..], [_, o, ..]) = (plan.input, plan.output);
    let dy = dy.channels_last()?;
    let dy = values(&dy);
    let mut dx = Tensor::stale_channels_last(*input)?;
    if let Some(done) = by_vectors(kernels, &plan, Direction::GradInput, dy, (&weight.contiguous()?, None), end, dx.memory_mut()?) {
        return done.map(|()| dx);
    }
    if plan.is_depthwise() {
        depthwise::grad_input(&plan, dy, weight, dx.memory_mut()?)?;
        return match beside {
            Some(beside) => dx.add(&beside),
            None => Ok(dx),
        };
    }
    let w = weight.channels_last()?; // [O][KH·KW·Cg]
    let (w, depth) = (values(&w), plan.depth());
    // dA for the columns of a block: rows of dy against rows of W
    let patches = |first: usize, rows: usize, group: usize, block: &Block, to: &mut [T], row: usize| {
        let a = Matrix { values: &dy[first * o + group * plan.og..], row: o, column: 1 };
        let b = Matrix { values: &w[group * plan.og * depth + block.first..], row: depth, column: 1 };
        gemm_with(kernels, [rows, block.width, plan.og], a, b, Into::Overwrite, to, row, false);
    };
    if weight.is_empty() {
        dx.memory_mut()?.fill(T::ZERO);
    } else if plan.is_pointwise() {
        for_each_chunk(dx.memory_mut()?, TILE * c, |start, tile| {
            for group in 0..g.groups {
                let rows = tile.len() / c;
                patches(start / c, rows, group, &plan.whole(), &mut tile[group * plan.cg..], c);
            }
        });
    } else {
        let (image, pixels, blocks) = (plan.image_values().max(1), plan.image_pixels(), plan.blocks::<T>(depth));
        // a task owns an image, or as many small ones as make a tile; each image's sums come in the same order
        let task = (TILE / pixels.max(1)).max(1).saturating_mul(image);
        for_each_chunk_with(dx.memory_mut()?, task, TILE * blocks.width, |scratch, start, images| {
            images.fill(T::ZERO);
            let (begin, end) = (start / image * pixels, (start + images.len()) / image * pixels);
            for first in (begin..end).step_by(TILE) {
                let rows = TILE.min(end - first);
                for (group, i) in (0..g.groups).flat_map(|group| (0..blocks.count).map(move |i| (group, i))) {
                    let block = plan.block(&blocks, i);
                    let da = &mut scratch[..rows * block.width];
                    patches(first, rows, group, &block, da, block.width);
                    plan.scatter(da, group, &block, first..first + rows, (start, images));
                }
            }
        })?;
    }
    match beside {
        Some(beside) => dx.add(&beside),
        None => Ok(dx),
    }
}

/// Adds to `dw` `[O, C/groups, KH, KW]` the gradient of Σ dy·[`conv2d`]`(x, dw)` in the weight. (That of the bias is Σ dy over n, oh, ow.)
///
/// # Errors
/// Those of [`conv2d_out_shape`]; [`Error::Shape`] for a dy that has not the shape of the output.
pub fn conv2d_grad_weight<T: Element>(
    dy: &Tensor<T>,
    x: &Tensor<T>,
    g: &Conv2dGeometry,
    kernels: Kernels,
    dw: &mut Tensor<T>,
) -> Result<()> {
    let plan = Plan::new(x.shape(), dw.shape(), g)?;
    require_shape("conv2d_grad_weight", plan.output.into(), dy)?;
    if dw.is_empty() || dy.is_empty() {
        return Ok(());
    }
    let (dy, x) = (dy.channels_last()?, x.channels_last()?);
    let (dy, x) = (values(&dy), values(&x));
    if let Some(done) = grad_weight_by_vectors(kernels, &plan, dy, x, dw.as_mut_slice()?) {
        return done;
    }
    let [n, o, ..] = plan.output;
    let pixels = n * plan.image_pixels();
    let tiles = pixels.div_ceil(TILE);
    // few pieces for a large weight, and then more blocks of columns, so that there are tasks enough
    let pieces = (PARTIAL_BYTES / (dw.len() * size_of::<T>())).clamp(1, PIECES).min(tiles);
    if plan.is_depthwise() {
        return depthwise::grad_weight(&plan, dy, x, pieces, dw);
    }
    let blocks = plan.blocks::<T>(plan.depth().div_ceil(PIECES.div_ceil(pieces)));
    let size = o * blocks.width;
    let mut partial = Buffer::stale(pieces * blocks.count * size)?; // [pieces][blocks][O][block's columns]
    for_each_chunk_with(&mut partial, size, plan.scratch(&blocks), |scratch, start, sum| {
        let (piece, block) = (start / size / blocks.count, plan.block(&blocks, start / size % blocks.count));
        let (begin, end) = (tiles * piece / pieces, tiles * (piece + 1) / pieces);
        for (tile, group) in (begin..end).flat_map(|tile| (0..g.groups).map(move |group| (tile, group))) {
            let (first, last) = (tile * TILE, ((tile + 1) * TILE).min(pixels));
            let a = Matrix { values: &dy[first * o + group * plan.og..], row: 1, column: o };
            let b = plan.patches(x, group, &block, first..last, scratch);
            let into = if tile == begin { Into::Overwrite } else { Into::Add };
            let to = &mut sum[group * plan.og * block.width..];
            gemm_with(kernels, [plan.og, block.width, last - first], a, b, into, to, block.width, false); // dW += dyᵀ·A
        }
    })?;
    let (taps, row) = (plan.taps, plan.depth());
    for_each_chunk(dw.as_mut_slice()?, row, |start, dw| {
        for (piece, i) in (0..pieces).flat_map(|piece| (0..blocks.count).map(move |i| (piece, i))) {
            let block = plan.block(&blocks, i);
            let from = (piece * blocks.count + i) * size + start / row * block.width;
            // a patch's columns are (tap, channel), the weight's (channel, tap)
            for (line, tap) in partial[from..from + block.width].chunks_exact(block.channels.len()).zip(block.taps.clone()) {
                line.iter().zip(block.channels.clone()).for_each(|(&v, channel)| dw[channel * taps + tap] += v);
            }
        }
    });
    Ok(())
}

/// The gradient in the weight by vectors of `f32`; `None` where that is not the way.
fn grad_weight_by_vectors<T: Element>(kernels: Kernels, plan: &Plan, dy: &[T], x: &[T], dw: &mut [T]) -> Option<Result<()>> {
    let (simd, dy, x, dw) = (kernels.simd()?, T::f32s(dy)?, T::f32s(x)?, T::f32s_mut(dw)?);
    if x.is_empty() {
        return None;
    }
    if plan.is_depthwise() {
        return depthwise_vector::grad_weight(simd, plan, dy, x, dw);
    }
    if kernels.is_exact() {
        return direct_weight::grad_weight(simd, plan, dy, x, dw);
    }
    if let Some(wide) = pairs::widened(simd, plan) {
        let mut sums = match Buffer::zeroed(wide.og * wide.depth()) {
            Ok(sums) => sums,
            Err(error) => return Some(Err(error)),
        };
        let done = direct_weight::grad_weight(simd, &wide, dy, x, &mut sums)?;
        return Some(done.map(|()| pairs::fold(plan, &sums, dw)));
    }
    winograd::grad_weight(simd, plan, dy, x, dw).or_else(|| direct_weight::grad_weight(simd, plan, dy, x, dw))
}

#[cfg(test)]
mod tests;
