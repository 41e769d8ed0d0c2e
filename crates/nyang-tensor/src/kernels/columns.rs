//! Sums of a matrix's columns over blocks of its rows: what the gradients of a norm's weights are made of.
//!
//! At most 64 numbers are added in `T`, and those sums in `f64`, in a fixed order. A task owns a block's sums of up to 512 columns.

use std::ops::Range;

use crate::parallel::for_each_chunk;
use crate::{Element, Result, Tensor};

/// Rows that are added in `T` before the sum goes on in `f64`.
const RUN: usize = 64;

/// Columns that a task adds: their sums stay in the first-level cache.
const WIDTH: usize = 512;

/// Values that a block should cover, so that a few large ones keep all threads busy.
const BLOCK: usize = 64 * 1024;

/// How many blocks of rows a matrix of that size is cut into for its sums, which have `BLOCK` values at most or those of one block.
pub(super) fn row_blocks(rows: usize, width: usize) -> usize {
    (rows.saturating_mul(width)).div_ceil(BLOCK).clamp(1, (BLOCK / width.max(1)).max(1))
}

/// K sums for each column and block of rows: `[blocks, width, K]`.
///
/// `rows(block)` says which rows a block has. `add(sums, row, columns)` adds what a row's `columns` give to their sums.
pub(super) fn column_sums<T: Element, const K: usize>(
    width: usize,
    blocks: usize,
    rows: impl Fn(usize) -> Range<usize> + Send + Sync,
    add: impl Fn([&mut [T]; K], usize, Range<usize>) + Send + Sync,
) -> Result<Tensor<f64>> {
    let mut sums = Tensor::<f64>::stale([blocks, width, K])?;
    for_each_chunk(sums.memory_mut()?, width.saturating_mul(K), |at, block| {
        let rows = rows(at / (width * K));
        for_each_chunk(block, WIDTH * K, |at, part| {
            let columns = at / K..(at + part.len()) / K;
            let mut long = [[0.0; WIDTH]; K];
            for run in rows.clone().step_by(RUN) {
                let mut short = [[T::ZERO; WIDTH]; K];
                for row in run..rows.end.min(run + RUN) {
                    add(short.each_mut().map(|sums| &mut sums[..columns.len()]), row, columns.clone());
                }
                for (long, short) in long.iter_mut().zip(&short) {
                    long[..columns.len()].iter_mut().zip(short).for_each(|(long, &v)| *long += v.to_f64());
                }
            }
            for (column, sums) in part.chunks_mut(K).enumerate() {
                sums.iter_mut().zip(&long).for_each(|(sum, long)| *sum = long[column]);
            }
        });
    });
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_a_small_matrix_by_hand() {
        let x = [[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]];
        let add = |[sum, squares]: [&mut [f64]; 2], row: usize, columns: Range<usize>| {
            for (i, v) in x[row][columns].iter().enumerate() {
                sum[i] += v;
                squares[i] += v * v;
            }
        };
        let blocks = |block: usize| block * 2..3.min(block * 2 + 2);
        let sums = column_sums(2, 2, blocks, add).unwrap();
        assert_eq!(sums.dims(), [2, 2, 2]);
        assert_eq!(sums.to_vec(), [3.0, 5.0, 30.0, 500.0, 3.0, 9.0, 30.0, 900.0]);
    }

    #[test]
    fn every_column_of_a_wide_matrix_is_summed() {
        let add = |[sum]: [&mut [f32]; 1], row: usize, columns: Range<usize>| {
            sum.iter_mut().zip(columns).for_each(|(sum, column)| *sum += (row * column) as f32);
        };
        let sums = column_sums(1300, 1, |_| 0..130, add).unwrap().to_vec();
        let rows: f64 = (0..130).sum::<usize>() as f64;
        assert!(sums.iter().enumerate().all(|(column, sum)| *sum == rows * column as f64));
    }

    /// Added one after another in f32, a hundred thousand tenths are wrong in the fourth digit.
    #[test]
    fn a_long_sum_keeps_its_digits() {
        let add = |[sum]: [&mut [f32]; 1], _, _| sum.iter_mut().for_each(|sum| *sum += 0.1);
        let sum = column_sums(1, 1, |_| 0..100_000, add).unwrap().to_vec()[0];
        assert!((sum / (1e5 * f64::from(0.1f32)) - 1.0).abs() < 4e-6, "{sum}"); // 32 roundings of 2⁻²³
    }

    #[test]
    fn sums_over_blocks_need_little_memory() {
        for (rows, width, want) in
            [(0, 7, 1), (10, 10, 1), (1 << 20, 64, 1024), (1 << 20, 1 << 16, 1), (64, 1 << 20, 1), (usize::MAX, 2, 1 << 15)]
        {
            assert_eq!(row_blocks(rows, width), want, "{rows} × {width}");
        }
    }
}
