//! Matrices copied with their rows as columns: what an image batch needs to put its channels first or last.

#![allow(unsafe_code)] // reads and writes of vectors within bounds that `transpose` checks
#![allow(clippy::needless_range_loop)] // loops of fixed length over vectors, which the compiler unrolls

use super::Kernels;
use super::simd::{Isa, Job, MAX_LANES};
use crate::Element;

/// to[r·width + c] = from[c·distance + r] for each row r of `to`, which holds whole rows, and each of its `width` columns.
///
/// Nothing happens if `from` is too short, which is a mistake of this crate.
pub(crate) fn transpose<T: Element>(from: &[T], distance: usize, to: &mut [T], width: usize) {
    let rows = to.len() / width.max(1);
    let fits = to.is_empty() || (width - 1) * distance + rows <= from.len();
    debug_assert!(fits, "a matrix reaches outside its memory");
    if !fits {
        return;
    }
    match (Kernels::default().simd(), T::f32s(from)) {
        (Some(simd), Some(from)) => {
            let Some(to) = T::f32s_mut(to) else { return };
            simd.run(Transpose { from, distance, to, size: [rows, width] });
        }
        _ => {
            for (r, row) in to.chunks_exact_mut(width.max(1)).enumerate() {
                row.iter_mut().zip(from[r..].iter().step_by(distance.max(1))).for_each(|(to, &from)| *to = from);
            }
        }
    }
}

/// The copy in blocks that fill the registers.
struct Transpose<'a> {
    from: &'a [f32],
    distance: usize,
    to: &'a mut [f32],
    size: [usize; 2],
}

impl Job for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let ([rows, width], from, to) = (self.size, self.from.as_ptr(), self.to.as_mut_ptr());
        for row in (0..rows).step_by(S::LANES) {
            let (high, down) = (S::LANES.min(rows - row), isa.first(rows - row));
            for column in (0..width).step_by(S::LANES) {
                let (wide, across) = (S::LANES.min(width - column), isa.first(width - column));
                let mut block = [isa.splat(0.0); MAX_LANES];
                for j in 0..S::LANES {
                    if j < wide {
                        // SAFETY: column + j is one of the columns, and the mask ends with the rows: `transpose` saw that they are there.
                        block[j] = unsafe { isa.load_masked(from.wrapping_add((column + j) * self.distance + row), down) };
                    }
                }
                let block = isa.transpose(block);
                for i in 0..S::LANES {
                    if i < high {
                        // SAFETY: row + i is one of the rows of `to`, and the mask ends with its columns.
                        unsafe { isa.store_masked(to.wrapping_add((row + i) * width + column), block[i], across) };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agrees<T: Element>(rows: usize, width: usize, gap: usize) -> bool {
        let distance = rows + gap;
        let from: Vec<T> = (0..width * distance).map(|i| T::of(i as f64)).collect();
        let mut to = vec![T::of(-1.0); rows * width];
        transpose(&from, distance, &mut to, width);
        (0..rows).all(|r| (0..width).all(|c| to[r * width + c] == from[c * distance + r]))
    }

    proptest! {
        #[test]
        fn rows_become_columns(rows in 0usize..70, width in 1usize..70, gap in 0usize..5) {
            prop_assert!(agrees::<f32>(rows, width, gap) && agrees::<f64>(rows, width, gap));
        }
    }
}
