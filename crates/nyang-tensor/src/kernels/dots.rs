//! Matrix products of rows with rows: C[i, j] = A[i, ·] · B[j, ·], as a linear layer computes x·Wᵀ.
//!
//! Both rows lie in memory along K, so vectors run along K and nothing needs to be packed: a batch of one reads each weight once, as fast
//! as memory gives it. A tile of r rows of A and s rows of B keeps r·s vectors of partial sums and loads r + s vectors for r·s
//! multiply-adds. Lane l of a partial sum adds the terms l, l + LANES, …; at the end its lanes are added halves to halves. Every C[i, j] is
//! computed in this order, whatever the tile it is in, so that a sample's result does not depend on its batch.

#![allow(unsafe_code)] // reads and writes through pointers, within bounds that `compute` checks
#![allow(clippy::needless_range_loop)] // loops of fixed length, which the compiler unrolls

use std::ops::Range;

use super::simd::{Isa, Job, MAX_LANES, Simd};
use super::tile::{Finish, Shared};

/// Rows of A and rows of B in one tile, by the number of vector registers: (16, 32).
const TILE: [[usize; 2]; 2] = [[4, 3], [4, 6]];

/// Rows `rows` of A against rows `columns` of B, both with `k` numbers, into the same rows and columns of C. Nothing is beside.
#[derive(Clone)]
pub(crate) struct Dots<'a> {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    pub k: usize,
    pub a: &'a [f32],
    pub a_row: usize,
    pub b: &'a [f32],
    pub b_row: usize,
    pub c: Shared<'a>,
    pub c_row: usize,
    pub finish: Finish<'a>,
}

impl Dots<'_> {
    /// Computes them. Slices that are too short are a mistake of this crate: nothing is computed then, and debug builds stop.
    ///
    /// # Safety
    /// No other task touches these rows and columns of C.
    pub unsafe fn compute(self, simd: Simd) {
        let Dots { rows, columns, k, .. } = &self;
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        let read = (rows.end - 1) * self.a_row + k <= self.a.len() && (columns.end - 1) * self.b_row + k <= self.b.len();
        let fits = (read || *k == 0)
            && self.c.holds((rows.end - 1) * self.c_row + columns.end)
            && self.finish.beside.is_none()
            && self.finish.bias.is_none_or(|bias| bias.len() >= columns.end);
        debug_assert!(fits, "rows reach outside their memory");
        if fits {
            simd.run(self);
        }
    }

    /// C[i + 0…R, j + 0…N].
    ///
    /// # Safety
    /// The rows and columns are among those of `self`, which were checked.
    #[inline(always)]
    unsafe fn tile<S: Isa, const R: usize, const N: usize>(&self, isa: S, i: usize, j: usize) {
        let mut sums = [[isa.splat(0.0); N]; R];
        let whole = self.k / S::LANES * S::LANES;
        // SAFETY: `compute` saw that the rows lie in A and B with all their K numbers, and C and the bias reach as far.
        unsafe {
            let (a, b) = (self.a.as_ptr().add(i * self.a_row), self.b.as_ptr().add(j * self.b_row));
            let mut l = 0;
            while l < whole {
                let mut right = [isa.splat(0.0); N];
                for n in 0..N {
                    right[n] = isa.load(b.add(n * self.b_row + l));
                }
                for r in 0..R {
                    let left = isa.load(a.add(r * self.a_row + l));
                    for n in 0..N {
                        sums[r][n] = isa.mul_add(left, right[n], sums[r][n]);
                    }
                }
                l += S::LANES;
            }
            if whole < self.k {
                let mask = isa.first(self.k - whole);
                for r in 0..R {
                    let left = isa.load_masked(a.add(r * self.a_row + whole), mask);
                    for n in 0..N {
                        let right = isa.load_masked(b.add(n * self.b_row + whole), mask);
                        sums[r][n] = isa.mul_add(left, right, sums[r][n]);
                    }
                }
            }
            // R·N sums, row after row. Only loops of fixed length touch `sums`: a place that is reckoned would keep it in memory above
            let mut all = [[isa.splat(0.0); MAX_LANES]; 2];
            for r in 0..R {
                for n in 0..N {
                    all[(r * N + n) / S::LANES][(r * N + n) % S::LANES] = sums[r][n];
                }
            }
            let mut flat = [0.0; 2 * MAX_LANES];
            isa.write(&mut flat[..S::LANES], isa.sums(all[0]));
            if R * N > S::LANES {
                isa.write(&mut flat[S::LANES..2 * S::LANES], isa.sums(all[1]));
            }
            for (r, sums) in flat.chunks_exact(N).take(R).enumerate() {
                let to = self.c.from((i + r) * self.c_row + j).row(N);
                if !S::FREE_MASKS {
                    // at most three numbers, which one by one cost less than a read and a write through a mask
                    for n in 0..N {
                        let v = if self.finish.add { to[n] + sums[n] } else { sums[n] };
                        let v = self.finish.bias.map_or(v, |bias| v + bias[j + n]);
                        to[n] = self.finish.activation.of(v);
                    }
                    continue;
                }
                let mut v = isa.read(sums);
                if self.finish.add {
                    v = isa.add(v, isa.read(to));
                }
                if let Some(bias) = self.finish.bias {
                    v = isa.add(v, isa.read(&bias[j..j + N]));
                }
                isa.write(to, self.finish.activation.of_vector(isa, v));
            }
        }
    }
}

impl Job for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let [height, width] = TILE[usize::from(S::LANES == 16)];
        let (rows, columns) = (self.rows.len(), self.columns.len());
        let (down, whole) = (rows.div_ceil(height), columns / width);
        let across = whole + (columns % width).div_ceil(3);
        // the larger side of a tile stays in the first-level cache while the other passes by
        let [outer, inner] = if height > width { [down, across] } else { [across, down] };
        for near in 0..outer {
            for passing in 0..inner {
                let [y, x] = if height > width { [near, passing] } else { [passing, near] };
                let (row, column) = (y * height, if x < whole { x * width } else { whole * width + (x - whole) * 3 });
                let (r, n) = (height.min(rows - row), if x < whole { width } else { (columns - column).min(3) });
                let (i, j) = (self.rows.start + row, self.columns.start + column);
                macro_rules! tiles {
                    ($($r:literal: $($n:literal)*;)*) => {
                        match (r, n) {
                            // SAFETY: i + r and j + n are within the rows and columns.
                            $($(($r, $n) if $r <= height && $n <= width => unsafe { self.tile::<S, $r, $n>(isa, i, j) },)*)*
                            _ => debug_assert!(false, "there is no tile of this size"),
                        }
                    };
                }
                tiles! { 1: 1 2 3 6; 2: 1 2 3 6; 3: 1 2 3 6; 4: 1 2 3 6; }
            }
        }
    }
}
