//! Direct convolution with vectors: products with the image where it lies, no patches copied together.
//!
//! A row of pixels of one class (see `pass.rs`) is a matrix product: its rows are pixels, a fixed distance apart, its inner dimension the taps
//! and channels. Taps that are neighbours in memory are multiplied as one. The weights are packed in panels of columns, and a part of a
//! task's work is some panels that stay in the second-level cache.

#![allow(unsafe_code)] // tasks that write disjoint columns of one image

use super::End;
use super::pass::{Direction, Pass, TASKS};
use super::patches::Plan;
use super::prepared::{Method, Weight};
use crate::Result;
use crate::buffer::Buffer;
use crate::kernels::blocked::panel_width;
use crate::kernels::for_each_part;
use crate::kernels::simd::Simd;
use crate::kernels::tile::{Finish, Product, Shared};
use crate::kernels::transpose::transpose;

/// Numbers of packed weights that a task multiplies with: half of a second-level cache.
const PANELS: usize = 128 * 1024;

/// Some columns for one group of channels.
#[derive(Clone, Copy)]
struct Panel {
    group: usize,
    /// The first column within the group, how many there are, and how many there is room for.
    first: usize,
    columns: usize,
    width: usize,
    /// Where it begins in the packed weights.
    start: usize,
}

/// Computes `target` from `source` (y from x, or dx from dy) with the weight `[O, C/groups, KH, KW]`, row-major; no size is zero. `None` if
/// the padding is so absurd that this is not the way.
pub(super) fn convolve(
    simd: Simd,
    plan: &Plan,
    direction: Direction,
    source: &[f32],
    weight: Weight<'_>,
    end: End<'_, f32>,
    target: &mut [f32],
) -> Option<Result<()>> {
    let pass = Pass::new(plan, direction);
    let [inner, outer] = pass.inner_outer();
    let simd = simd.for_width(outer);
    let depth = pass.order.len() * inner;
    let panels = panels(simd, plan.g.groups, outer, depth);
    let packed = match (weight.prepare)(simd.lanes(), Method::Direct, &|| pack(&pass, plan, direction, &panels, weight.values)) {
        Ok(packed) => packed,
        Err(error) => return Some(Err(error)),
    };
    let widest = panels.first().map_or(1, |p| p.width);
    let in_part = (PANELS / (depth * widest).max(1)).max(1);
    let few = TASKS.div_ceil((pass.images * pass.target[0]).max(1)); // parts that make up for few rows
    let parts = panels.len().div_ceil(in_part).max(few.min(panels.len())).max(1);
    let parts: Vec<&[Panel]> = panels.chunks(panels.len().div_ceil(parts).max(1)).collect(); // all about as large
    let (target, channels) = (Shared::new(target), pass.target[2]);
    let (a_row, c_row) = (pass.step[1] * pass.source[2], pass.by[1] * channels);
    pass.run(source, parts.len(), |part, block| {
        for panel in parts[part] {
            let column = panel.group * outer + panel.first;
            let (mut class_of_pieces, mut pieces, mut length) = (None, Vec::new(), inner);
            pass.for_each_row(&block, |class, places, from, to| {
                if class_of_pieces != Some(class.first) {
                    let b = |i: usize| (class.before + i) * inner * panel.width;
                    let apart = places.iter().enumerate().map(|(i, &place)| [place, b(i)]).collect();
                    (pieces, length) = merge(apart, inner, [1, panel.width]);
                    class_of_pieces = Some(class.first);
                }
                let product = Product::new(&pieces, length, [a_row, 1], panel.width, c_row).padded();
                let a = from.get(panel.group * inner..).unwrap_or_default();
                let size = [class.count[1], panel.columns];
                let (bias, beside) = (end.bias.map(|b| &b[column..]), end.beside.map(|b| &b[to + column..]));
                let finish = Finish { bias, beside, activation: end.activation, ..Finish::default() };
                // SAFETY: a task has a block of rows and the columns of its panels for itself.
                unsafe { product.multiply_shared(simd, size, a, &packed[panel.start..], target.from(to + column), finish) }
            });
        }
    })
}

/// The columns of B in panels, group after group.
fn panels(simd: Simd, groups: usize, outer: usize, depth: usize) -> Vec<Panel> {
    let (widest, mut start, mut panels) = (panel_width(simd), 0, Vec::new());
    for (group, first) in (0..groups).flat_map(|group| (0..outer).step_by(widest).map(move |first| (group, first))) {
        let columns = widest.min(outer - first);
        let width = columns.next_multiple_of(simd.lanes());
        panels.push(Panel { group, first, columns, width, start });
        start += depth * width;
    }
    panels
}

/// The weights in panels `[taps in the pass's order][inner][width]`.
fn pack(pass: &Pass, plan: &Plan, direction: Direction, panels: &[Panel], weight: &[f32]) -> Result<Buffer<f32>> {
    const BLOCK: usize = 16; // of `inner`, so that what is written meanwhile stays in the first-level cache
    let [inner, _] = pass.inner_outer();
    let depth = pass.order.len() * inner;
    let row = plan.cg * plan.taps;
    let [along, across] = match direction {
        Direction::Forward => [plan.taps, row], // distances in the weight along `inner` and between columns
        Direction::GradInput => [row, plan.taps],
    };
    let mut packed = Buffer::stale(panels.last().map_or(0, |p| p.start + depth * p.width))?;
    let mut rest = &mut packed[..];
    let mut parts = Vec::with_capacity(panels.len());
    for panel in panels {
        let (part, others) = rest.split_at_mut(depth * panel.width);
        parts.push((panel, part));
        rest = others;
    }
    for_each_part(parts, weight.len() >= 32 * 1024, |(panel, part)| {
        let w = &weight[panel.group * plan.og * row + panel.first * across..];
        if panel.columns < panel.width {
            part.fill(0.0);
        }
        match direction {
            Direction::Forward if plan.taps == 1 && panel.columns == panel.width => return transpose(w, row, part, panel.width),
            Direction::GradInput if plan.taps == 1 => {
                let rows = part.chunks_exact_mut(panel.width).zip(w.chunks(row));
                return rows.for_each(|(to, from)| to[..panel.columns].copy_from_slice(&from[..panel.columns]));
            }
            _ => {}
        }
        for first in (0..inner).step_by(BLOCK) {
            for column in 0..panel.columns {
                for k in first..inner.min(first + BLOCK) {
                    let taps = &w[k * along + column * across..];
                    for (i, &tap) in pass.order.iter().enumerate() {
                        part[(i * inner + k) * panel.width + column] = taps[tap];
                    }
                }
            }
        }
    });
    Ok(packed)
}

/// Joins pieces of the inner dimension of length `depth` that continue each other in A and in B into longer ones of equal length.
pub(super) fn merge(pieces: Vec<[usize; 2]>, depth: usize, [a_step, b_step]: [usize; 2]) -> (Vec<[usize; 2]>, usize) {
    let follows = |pair: &[[usize; 2]]| pair[1][0] == pair[0][0] + depth * a_step && pair[1][1] == pair[0][1] + depth * b_step;
    let run = 1 + pieces.windows(2).take_while(|pair| follows(pair)).count();
    let whole = run > 1 && pieces.len().is_multiple_of(run) && pieces.chunks(run).all(|c| c.windows(2).all(follows));
    if whole { (pieces.into_iter().step_by(run).collect(), depth * run) } else { (pieces, depth) }
}
