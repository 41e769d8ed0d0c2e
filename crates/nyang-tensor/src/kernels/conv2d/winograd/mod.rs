//! Winograd's convolution: 3 × 3 kernels with stride 1 by fewer multiplications.
//!
//! A tile of M × M outputs needs A × A = (M + 2)² multiplications for each pair of channels in the place of 9M²: 2.25 times fewer for F(2 × 2),
//! four times for F(4 × 4). With V the transformed input tiles, U the transformed kernels and Z the transformed tiles of dy, for each point:
//!
//! ```text
//! forward, grad input:  M[tile, n] = Σ_k V[tile, k] · U[k, n]          (the gradient is a convolution of dy with turned kernels)
//! grad weight:          dU[k, n]   = Σ_tile V[tile, k] · Z[tile, n]
//! ```
//!
//! [docs/winograd.md](../../../../../../../docs/winograd.md) derives the transforms. They round more than the plain sum does: the bound stands
//! in `tests.rs`. [`Kernels::exact`](crate::kernels::Kernels::exact) does without.
//!
//! Where the transformed tiles of a task fit into a second-level cache, a task takes some tiles through all steps. Where channels are too many
//! for that, all tasks take one step together, first tiles, then points, then tiles. Each sum runs over its channels (or tiles) in one order
//! either way: neither the batch nor the threads change a bit.

#![allow(unsafe_code)] // tasks that write disjoint tiles, points and panels

mod tiles;
mod transforms;

use std::marker::PhantomData;
use std::ops::Range;

use super::pass::Direction;
use super::patches::Plan;
use super::prepared::{Method, Weight};
use super::{End, PIECES};
use crate::Result;
use crate::buffer::Buffer;
use crate::kernels::blocked::panel_width;
use crate::kernels::simd::Simd;
use crate::kernels::tile::{Finish, Product, Shared};
use crate::kernels::{for_each_part, with_scratch};
use tiles::{Input, Kernel, KernelBack, Matrix, Output, Spread, Tiles, ToPoints, apart};
use transforms::{F2, F4, Transforms};

/// Numbers of transformed tiles of one task: half of a second-level cache of a megabyte.
const TASK: usize = 112 * 1024;
/// Fewer tiles than this make poor matrix products.
const FEW: usize = 12;
/// Numbers of transformed tiles of all tasks together: some megabytes of the third-level cache.
const TOGETHER: usize = 2 << 20;
/// Products of channels up to which each piece of the batch has its own sums in the gradient of the weight, not each point.
const SMALL: usize = 4096;
/// Tiles that are transformed in one task.
const TILES: usize = 8;

/// Which tiles are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Two,
    Four,
}

/// The size of the tiles for this convolution; none if this is not the way: the kernel must be 3 × 3 with stride 1, and the channels enough
/// that the products outweigh the transforms. Looks at the layer alone, not at the batch.
fn choose(plan: &Plan) -> Option<Size> {
    let (window, [_, c, ..], [_, o, h, w]) = (&plan.g.window, plan.input, plan.output);
    let fits = window.kernel == [3, 3] && window.stride == [1, 1] && window.dilation == [1, 1] && plan.g.groups == 1;
    // pads beyond this make more border than image
    let fits = fits && window.padding.iter().flatten().all(|&p| p <= 8);
    if !fits || c * o / (c + o) < 7 || h * w < 4 {
        return None;
    }
    // images of up to 4 × 4 have many channels, whose kernels take four times the memory in F(4 × 4)
    Some(if h.max(w) <= 4 { Size::Two } else { Size::Four })
}

/// The pass by vectors, or `None` if this is not the way. Arguments are those of `direct::convolve`.
pub(super) fn convolve(
    simd: Simd,
    plan: &Plan,
    direction: Direction,
    source: &[f32],
    weight: Weight<'_>,
    end: End<'_, f32>,
    target: &mut [f32],
) -> Option<Result<()>> {
    Some(match choose(plan)? {
        Size::Two => convolve_by::<F2, 2, 4>(simd, plan, direction, source, weight, end, target),
        Size::Four => convolve_by::<F4, 4, 6>(simd, plan, direction, source, weight, end, target),
    })
}

/// The gradient in the weight, or `None` if this is not the way. Arguments are those of `direct_weight::grad_weight`.
pub(super) fn grad_weight(simd: Simd, plan: &Plan, dy: &[f32], x: &[f32], dw: &mut [f32]) -> Option<Result<()>> {
    Some(match choose(plan)? {
        Size::Two => grad_weight_by::<F2, 2, 4>(simd, plan, dy, x, dw),
        Size::Four => grad_weight_by::<F4, 4, 6>(simd, plan, dy, x, dw),
    })
}

/// Calls `f` for consecutive ranges of `size` indices of a range, in parallel.
fn for_each_range(all: Range<usize>, size: usize, parallel: bool, f: impl Fn(Range<usize>) + Send + Sync) {
    let parts: Vec<Range<usize>> = all.clone().step_by(size).map(|first| first..all.end.min(first + size)).collect();
    for_each_part(parts, parallel, f);
}

fn convolve_by<W: Transforms<M, A>, const M: usize, const A: usize>(
    simd: Simd,
    plan: &Plan,
    direction: Direction,
    source: &[f32],
    weight: Weight<'_>,
    end: End<'_, f32>,
    target: &mut [f32],
) -> Result<()> {
    let ([images, c, h, w], [_, o, oh, ow]) = (plan.input, plan.output);
    let pad = [plan.g.window.padding[0][0] as isize, plan.g.window.padding[1][0] as isize];
    let (dims, [height, width, outer], offset) = match direction {
        Direction::Forward => ([h, w, c], [oh, ow, o], pad.map(|p| -p)),
        Direction::GradInput => ([oh, ow, o], [h, w, c], pad.map(|p| p - 2)),
    };
    let (inner, points, lanes) = (dims[2], A * A, simd.lanes());
    let tiles = Tiles { images, height, width, size: M };
    let count = tiles.count();
    let [v_stride, m_stride] = [inner, outer].map(|channels| channels.next_multiple_of(lanes));
    let method = if M == 2 { Method::Winograd2 } else { Method::Winograd4 };
    let transform = || transform_kernels::<W, M, A>(simd, direction, [inner, outer], weight.values);
    let kernels = (weight.prepare)(lanes, method, &transform)?;
    let widest = panel_width(simd);
    let target = Shared::new(target);
    let parallel = count * points * inner * outer >= 1 << 19;

    let to_points = |range: Range<usize>, first: usize, to: Shared<'_>, matrix: Matrix| {
        simd.run(Input::<W, M, A>(ToPoints { tiles, range, first, from: source, dims, offset, to, matrix }, PhantomData));
    };
    // some rows of a panel of columns of one point's product
    let multiply = |point: usize, column: usize, rows: usize, [v, m]: [Matrix; 2], from: &[f32], to: Shared<'_>| {
        let columns = widest.min(outer - column);
        let panel = columns.next_multiple_of(lanes);
        let product = Product::new(&[[0, 0]], inner, [v.stride, 1], panel, m.stride).padded();
        let u = &kernels[point * apart(inner * m_stride) + column * inner..];
        let (from, to) = (&from[point * v.point..], to.from(point * m.point + column));
        // SAFETY: these rows and columns of this point belong to the caller.
        unsafe { product.multiply_shared(simd, [rows, columns], from, u, to, Finish::default()) }
    };
    let from_points = |range: Range<usize>, first: usize, from: &[f32], matrix: Matrix| {
        let (to, channels, transforms) = (target, outer, PhantomData::<W>);
        simd.run(Output::<W, M, A> { tiles, range, first, from, matrix, end, to, channels, transforms });
    };

    let per_task = TASK / (points * (v_stride + m_stride));
    // each task reads all kernels: where its tiles are few for that, it is less to read and write all tiles once more
    if per_task >= FEW.max(inner * outer / (3 * (v_stride + m_stride))) {
        // as many tasks as make use of a few threads, even for one image
        let rows = (per_task / FEW * FEW).min(count.div_ceil(8).next_multiple_of(FEW));
        let [v, m] = [v_stride, m_stride].map(|stride| Matrix::new(rows, stride));
        return with_scratch(count.div_ceil(rows), points * (v.point + m.point), parallel, |scratch, task| {
            let range = task * rows..count.min((task + 1) * rows);
            let (from, to) = scratch.split_at_mut(points * v.point);
            to_points(range.clone(), range.start, Shared::new(from), v);
            let shared = Shared::new(to);
            for point in 0..points {
                (0..outer).step_by(widest).for_each(|column| multiply(point, column, range.len(), [v, m], from, shared));
            }
            from_points(range.clone(), range.start, to, m);
        });
    }
    let rows = (TOGETHER / (points * (v_stride + m_stride))).max(FEW).min(count);
    let [v, m] = [v_stride, m_stride].map(|stride| Matrix::new(rows, stride));
    let (mut from, mut to) = (Buffer::stale(points * v.point)?, Buffer::stale(points * m.point)?);
    for first in (0..count).step_by(rows) {
        let range = first..count.min(first + rows);
        let shared = Shared::new(&mut from);
        for_each_range(range.clone(), TILES, parallel, |part| to_points(part, first, shared, v));
        let shared = Shared::new(&mut to);
        let panels = outer.div_ceil(widest);
        for_each_range(0..points * panels, 1, parallel, |i| {
            multiply(i.start / panels, i.start % panels * widest, range.len(), [v, m], &from, shared);
        });
        for_each_range(range.clone(), TILES, parallel, |part| from_points(part, first, &to, m));
    }
    Ok(())
}

/// U `[points][panels][inner][width]`.
fn transform_kernels<W: Transforms<M, A>, const M: usize, const A: usize>(
    simd: Simd,
    direction: Direction,
    [inner, outer]: [usize; 2],
    weight: &[f32],
) -> Result<Buffer<f32>> {
    const ROWS: usize = 16; // of a panel in one task
    let (turned, distance) = match direction {
        Direction::Forward => (false, [9, inner * 9]), // [O][C][9]
        Direction::GradInput => (true, [outer * 9, 9]),
    };
    let (widest, all) = (panel_width(simd), outer.next_multiple_of(simd.lanes()));
    let mut kernels = Buffer::stale(A * A * apart(inner * all))?;
    let shared = Shared::new(&mut kernels);
    let blocks = inner.div_ceil(ROWS);
    for_each_range(0..outer.div_ceil(widest) * blocks, 1, inner * outer >= 1 << 12, |i| {
        let (column, k) = (i.start / blocks * widest, i.start % blocks * ROWS);
        let columns = widest.min(outer - column);
        simd.run(Kernel::<W, M, A> {
            weight: &weight[column * distance[1]..],
            distance,
            turned,
            range: k..inner.min(k + ROWS),
            columns,
            to: shared.from(column * inner),
            width: columns.next_multiple_of(simd.lanes()),
            point: apart(inner * all),
            transforms: PhantomData,
        });
    });
    Ok(kernels)
}

fn grad_weight_by<W: Transforms<M, A>, const M: usize, const A: usize>(
    simd: Simd,
    plan: &Plan,
    dy: &[f32],
    x: &[f32],
    dw: &mut [f32],
) -> Result<()> {
    let ([images, c, h, w], [_, o, oh, ow], padding) = (plan.input, plan.output, plan.g.window.padding);
    let (points, offset) = (A * A, [0, 1].map(|axis: usize| -(padding[axis][0] as isize)));
    let tiles = Tiles { images, height: oh, width: ow, size: M };
    let (count, widest) = (tiles.count(), panel_width(simd));
    // an odd number of cache lines from tile to tile: with a power of two all tiles' channels would fall into a few sets of the cache
    let [v_stride, z_stride] = [c, o].map(|channels| channels.next_multiple_of(16) | if channels >= 64 { 16 } else { 0 });
    let parallel = count * points * c * o >= 1 << 19;
    let to_points = |range: Range<usize>, first: usize, [v, z]: [Matrix; 2], [to_v, to_z]: [Shared<'_>; 2]| {
        let tile = ToPoints { tiles, range, first, from: x, dims: [h, w, c], offset, to: to_v, matrix: v };
        let spread = ToPoints { from: dy, dims: [oh, ow, o], offset: [0, 0], to: to_z, matrix: z, ..tile.clone() };
        simd.run(Input::<W, M, A>(tile, PhantomData));
        simd.run(Spread::<W, M, A>(spread, PhantomData));
    };
    // dU (+)= Vᵀ·Z over some tiles, for a panel of columns of one point
    let multiply = |point: usize, column: usize, depth: usize, [v, z]: [Matrix; 2], from: [&[f32]; 2], to: Shared<'_>, add: bool| {
        let product = Product::new(&[[0, 0]], depth, [1, v.stride], z.stride, o);
        let (left, right) = (&from[0][point * v.point..], &from[1][point * z.point + column..]);
        let (to, finish) = (to.from(point * apart(c * o) + column), Finish { add, ..Finish::default() });
        // SAFETY: these columns of this point belong to the caller.
        unsafe { product.multiply_shared(simd, [c, widest.min(o - column)], left, right, to, finish) }
    };

    // every piece's sums are written and read again: the larger they are, the fewer, but enough for a few threads
    let pieces = if c * o <= SMALL { (2 * SMALL / (c * o)).clamp(4, PIECES).min(count.div_ceil(FEW)) } else { 1 };
    let size = points * apart(c * o);
    let mut sums = Buffer::stale(pieces * size)?; // dU [pieces][points][C][O]
    let shared = Shared::new(&mut sums);
    if pieces > 1 {
        let rows = (TASK / (points * (v_stride + z_stride))).max(FEW);
        let both @ [v, z] = [v_stride, z_stride].map(|stride| Matrix::new(rows, stride));
        with_scratch(pieces, points * (v.point + z.point), parallel, |scratch, piece| {
            let all = count * piece / pieces..count * (piece + 1) / pieces;
            let (left, right) = scratch.split_at_mut(points * v.point);
            for first in all.clone().step_by(rows) {
                let range = first..all.end.min(first + rows);
                to_points(range.clone(), first, both, [Shared::new(left), Shared::new(right)]);
                for (point, column) in (0..points).flat_map(|point| (0..o).step_by(widest).map(move |column| (point, column))) {
                    multiply(point, column, range.len(), both, [left, right], shared.from(piece * size), first > all.start);
                }
            }
        })?;
    } else {
        // each round reads and writes all of dU: no fewer tiles in one than are as many numbers
        let rows = (TOGETHER / 2 / (points * (v_stride + z_stride))).max(64).max(c * o / (c + o)).min(count);
        let both @ [v, z] = [v_stride, z_stride].map(|stride| Matrix::new(rows, stride));
        let (mut left, mut right) = (Buffer::stale(points * v.point)?, Buffer::stale(points * z.point)?);
        for first in (0..count).step_by(rows) {
            let range = first..count.min(first + rows);
            let to = [Shared::new(&mut left), Shared::new(&mut right)];
            for_each_range(range.clone(), TILES, parallel, |part| to_points(part, first, both, to));
            let panels = o.div_ceil(widest);
            for_each_range(0..points * panels, 1, parallel, |i| {
                let (point, column) = (i.start / panels, i.start % panels * widest);
                multiply(point, column, range.len(), both, [&left, &right], shared, first > 0);
            });
        }
    }
    let parts: Vec<_> = dw.chunks_mut(16 * 9 * c).enumerate().collect();
    for_each_part(parts, c * o >= 1 << 12, |(i, dw)| {
        simd.run(KernelBack::<W, M, A> {
            from: &sums,
            pieces,
            channels: [c, o],
            point: apart(c * o),
            first: i * 16,
            dw,
            transforms: PhantomData,
        });
    });
    Ok(())
}
