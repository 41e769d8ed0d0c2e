//! Matrix products in `f32` with vectors: cut into blocks that fit the caches, the right-hand matrix packed where that pays.
//!
//! C is cut into blocks of rows and columns, one task each; a task runs through K in pieces of fixed length, first to last, and adds. Where
//! the cuts lie depends on the sizes alone, and no sum depends on where C is cut: the bits are the same for any number of threads, and
//! a row's bits do not depend on the other rows.

#![allow(unsafe_code)] // tasks that write disjoint blocks of one matrix

use super::dots::Dots;
use super::gemm::Matrix;
use super::simd::Simd;
use super::tile::{Finish, MAX_VECTORS, Product, Shared};
use crate::buffer::Buffer;
use crate::{Result, parallel};

/// Rows of C in a block: 96 rows of a piece of A fill a tenth of a second-level cache.
const ROWS: usize = 96;
/// Columns of C in a block.
const COLUMNS: usize = 192;
/// How much of K is multiplied at a time: a panel of B of this depth stays in the second-level cache while the rows pass by.
const DEPTH: usize = 256;
/// Numbers of A in a block of rows that meet rows.
const DOTS: usize = 64 * 1024;
/// Rows of A from which on packing B costs less than reading it in pieces: sooner where B's rows are a multiple of `SETS` numbers apart,
/// which the caches would put into a few of their sets.
const PACK_FROM: [usize; 2] = [256, 64];
const SETS: usize = 1024;
/// Multiply-adds (a single row counts as eight: it waits for memory) below which sharing the work costs more than it brings.
const SERIAL: usize = 1 << 20;

/// Columns of a panel of B.
pub(crate) fn panel_width(simd: Simd) -> usize {
    if simd.lanes() == 16 { MAX_VECTORS * 16 } else { 16 }
}

/// The numbers of a matrix with `rows` rows of `width`, packed in panels: the last panel is filled up to whole vectors.
pub(crate) fn packed_len(simd: Simd, rows: usize, width: usize) -> usize {
    rows * width.next_multiple_of(simd.lanes())
}

/// C ← finish(A·B); the arguments are `gemm`'s, which checked them. Nothing may be beside.
#[allow(clippy::too_many_arguments)] // those of every BLAS
pub(super) fn gemm(
    simd: Simd,
    [m, n, k]: [usize; 3],
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    finish: Finish<'_>,
    c: &mut [f32],
    c_row: usize,
    parallel: bool,
) -> Result<()> {
    let c = Shared::new(c);
    let parallel = parallel && m.max(8).saturating_mul(n).saturating_mul(k) >= SERIAL;
    if a.column == 1 && b.row == 1 {
        let (a_row, b_row) = (a.row, b.column);
        let most = (DOTS / k.max(1)).clamp(16, 64); // rows that stay in the second-level cache
        let height = m.div_ceil(m.div_ceil(most)).next_multiple_of(4); // of equal height, in whole tiles
        for_each_block([m, n], [height, 24], parallel, |rows, columns| {
            let dots = Dots { rows, columns, k, a: a.values, a_row, b: b.values, b_row, c, c_row, finish };
            // SAFETY: blocks are disjoint and each has one task.
            unsafe { dots.compute(simd) }
        });
        return Ok(());
    }
    let width = panel_width(simd);
    let pack = b.column != 1 || m >= PACK_FROM[usize::from(b.row.is_multiple_of(SETS))];
    let mut packed = Buffer::stale(if pack { packed_len(simd, k, n) } else { 0 })?;
    if pack {
        let fill = |start: usize, panel: &mut [f32]| {
            let first = start / k;
            pack_panel(panel, panel.len() / k, [first..n.min(first + width), 0..k].map(|r| [r.start, r.end]), b);
        };
        if parallel && k > 0 {
            parallel::for_each_chunk(&mut packed, k * width, fill);
        } else if k > 0 {
            packed.chunks_mut(k * width).enumerate().for_each(|(i, panel)| fill(i * k * width, panel));
        }
    }
    for_each_block([m, n], [ROWS, COLUMNS], parallel, |rows, columns| {
        let mut l = 0;
        while l < k || l == 0 {
            let depth = DEPTH.min(k - l);
            for j in columns.clone().step_by(width) {
                let panel = n.min(j + width).next_multiple_of(simd.lanes()).min(j + width) - j; // its width in memory
                let (from, b_step) = if pack { (&packed[(j * k + l * panel).min(packed.len())..], panel) } else { (b.part(l, j), b.row) };
                let product = Product::new(&[[0, 0]], depth, [a.row, a.column], b_step, c_row);
                let product = if pack { product.padded() } else { product };
                let end = if l + DEPTH >= k { finish } else { Finish::default() }; // after the last piece of the sums
                let finish = Finish { add: finish.add || l > 0, bias: end.bias.map(|bias| &bias[j..]), ..end };
                let size = [rows.len(), columns.end.min(j + width) - j];
                // SAFETY: blocks are disjoint and each has one task.
                unsafe { product.multiply_shared(simd, size, a.part(rows.start, l), from, c.from(rows.start * c_row + j), finish) }
            }
            l += DEPTH;
        }
    });
    Ok(())
}

/// Writes columns `columns` of rows `rows` of B, row by row and `width` to a row, to `panel`; zeros behind them.
fn pack_panel(panel: &mut [f32], width: usize, [columns, rows]: [[usize; 2]; 2], b: Matrix<'_, f32>) {
    const BLOCK: usize = 16; // of rows: whole cache lines of a B that lies along its columns
    let used = columns[1] - columns[0];
    if b.column == 1 {
        for (l, row) in (rows[0]..rows[1]).zip(panel.chunks_exact_mut(width)) {
            row[..used].copy_from_slice(&b.part(l, columns[0])[..used]);
            row[used..].fill(0.0);
        }
        return;
    }
    for (first, block) in (rows[0]..rows[1]).step_by(BLOCK).zip(panel.chunks_mut(width * BLOCK)) {
        let depth = BLOCK.min(rows[1] - first);
        for j in 0..width {
            if j < used {
                let line = b.part(first, columns[0] + j);
                (0..depth).for_each(|l| block[l * width + j] = line[l * b.row]);
            } else {
                (0..depth).for_each(|l| block[l * width + j] = 0.0);
            }
        }
    }
}

/// Calls `f(rows, columns)` for the blocks of a matrix.
fn for_each_block(
    [m, n]: [usize; 2],
    [height, width]: [usize; 2],
    parallel: bool,
    f: impl Fn(std::ops::Range<usize>, std::ops::Range<usize>) + Send + Sync,
) {
    let across = n.div_ceil(width);
    let block = |i: usize| {
        let (row, column) = (i / across * height, i % across * width);
        f(row..m.min(row + height), column..n.min(column + width));
    };
    let blocks = m.div_ceil(height) * across;
    if parallel {
        parallel::map_ranges(blocks, 1, |r| r.for_each(&block));
    } else {
        (0..blocks).for_each(block);
    }
}
