//! The innermost loop of matrix products and convolutions: a tile of C that stays in the registers while K passes by.
//!
//! ```text
//! C[i, j] ← finish(Σₚ Σₗ A[aₚ + i·a_row + l·a_step] · B[bₚ + l·b_step + j])        0 ≤ i < m, 0 ≤ j < n
//! ```
//!
//! The inner dimension K comes in pieces p of equal length, each with its place in A and in B. For a matrix product there is one piece;
//! for a convolution a piece is a kernel row or a kernel tap, so that patches never need to be copied together. A is read number by
//! number, so it may lie in any way; rows of B and C are read and written as vectors.
//!
//! A tile of m rows and v vectors of columns takes m·v registers for sums, v for B and one for A; per step it loads v vectors and m single
//! numbers for m·v multiply-adds. Every sum runs over K in the same order, whatever the tile it is in.

#![allow(unsafe_code)] // reads and writes through pointers, within bounds that `multiply_shared` checks
#![allow(clippy::needless_range_loop)] // loops of fixed length over rows i and columns j, which the compiler unrolls

use std::marker::PhantomData;

use super::Activation;
use super::activation::relu_vector as relu;
use super::simd::{Isa, Job, Simd};

/// The pieces of the inner dimension and the distances between neighbours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product<'a> {
    pieces: &'a [[usize; 2]],
    depth: usize,
    a_row: usize,
    a_step: usize,
    b_step: usize,
    c_row: usize,
    /// The largest beginnings of pieces.
    last: [usize; 2],
    /// Whether rows of B go on to the end of a vector.
    padded: bool,
}

/// What becomes of a sum: `C ← act(C? + sum + bias? + beside?)`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Finish<'a> {
    /// Whether it is added to what is in C.
    pub add: bool,
    /// A number for each column.
    pub bias: Option<&'a [f32]>,
    /// A number for each place of C, which lies as C does.
    pub beside: Option<&'a [f32]>,
    /// What follows.
    pub activation: Activation,
}

/// The memory of a matrix that several tasks write, each its own rows and columns.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a slice that is borrowed exclusively; who writes through it promises to keep out of other tasks' places.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// The memory of `c`.
    pub fn new(c: &'a mut [f32]) -> Self {
        Shared { start: c.as_mut_ptr(), len: c.len(), borrow: PhantomData }
    }

    /// The same from number `i` on (from its end on, if that is beyond).
    pub fn from(self, i: usize) -> Self {
        let i = i.min(self.len);
        Shared { start: self.start.wrapping_add(i), len: self.len - i, ..self }
    }

    /// Whether there are at least `n` numbers.
    pub fn holds(self, n: usize) -> bool {
        n <= self.len
    }

    /// Where the memory begins: for those who have asked whether it [holds](Shared::holds) what they write.
    pub fn pointer(self) -> *mut f32 {
        self.start
    }

    /// Its first `n` numbers as a slice.
    ///
    /// # Safety
    /// No other task touches these numbers while the slice lives.
    pub unsafe fn row(self, n: usize) -> &'a mut [f32] {
        // SAFETY: at most `len` numbers, which were borrowed for 'a; the caller promises that nobody else has them.
        unsafe { std::slice::from_raw_parts_mut(self.start, n.min(self.len)) }
    }
}

/// The heights of tiles. Not all numbers, because each is a piece of code for each width.
const HEIGHTS: [usize; 13] = [1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24];

/// The height of the next tile when `rows` are left and `most` fit: as few tiles as can be, of about the same height. A low tile is no
/// quicker than one of eight sums, for each sum waits four cycles for its last addition.
const fn height(rows: usize, most: usize) -> usize {
    if rows > 3 * most {
        return most; // whatever comes behind
    }
    let mut tiles = if most == 0 { rows } else { rows.div_ceil(most) };
    while 0 < tiles && tiles <= rows {
        let mut i = 0;
        while i < HEIGHTS.len() && HEIGHTS[i] < rows.div_ceil(tiles) {
            i += 1;
        }
        if i < HEIGHTS.len() && HEIGHTS[i] <= most && HEIGHTS[i] <= rows {
            return HEIGHTS[i];
        }
        tiles += 1;
    }
    1
}

/// Rows that are left from which on a tile is as high as can be.
const MANY: usize = 3 * HEIGHTS[HEIGHTS.len() - 1] + 1;

/// The heights of an instruction set's next tiles, for one, two, … vectors of columns and 0 … `MANY` rows left.
struct Next<S>(PhantomData<S>);

impl<S: Isa> Next<S> {
    const HEIGHTS: &'static [[u8; MANY + 1]; MAX_VECTORS] = &{
        let mut heights = [[0; MANY + 1]; MAX_VECTORS];
        let mut i = 0;
        while i < MAX_VECTORS * (MANY + 1) {
            heights[i / (MANY + 1)][i % (MANY + 1)] = height(i % (MANY + 1), S::ROWS[i / (MANY + 1)]) as u8;
            i += 1;
        }
        heights
    };
}

/// The most vectors of columns that a tile has.
pub(crate) const MAX_VECTORS: usize = 4;

impl<'a> Product<'a> {
    /// Pieces of `depth` numbers, each given by where it begins in A and in B; distances in A between rows and along K, in B between
    /// rows, in C between rows.
    pub fn new(pieces: &'a [[usize; 2]], depth: usize, [a_row, a_step]: [usize; 2], b_step: usize, c_row: usize) -> Self {
        let pieces = if depth == 0 { &[] } else { pieces };
        let last = pieces.iter().fold([0; 2], |[a, b], &[ap, bp]| [a.max(ap), b.max(bp)]);
        Product { pieces, depth, a_row, a_step, b_step, c_row, last, padded: false }
    }

    /// The same for a B whose rows are filled up to whole vectors, which may then be read.
    pub fn padded(self) -> Self {
        Product { padded: true, ..self }
    }

    /// C ← finish(A·B) for `m` rows and `n` columns, at most [`MAX_VECTORS`] vectors.
    ///
    /// Slices that are too short are a mistake of this crate: nothing is computed then, and debug builds stop.
    ///
    /// # Safety
    /// No other task touches these rows and columns of C.
    #[inline]
    pub unsafe fn multiply_shared(&self, simd: Simd, size: [usize; 2], a: &[f32], b: &[f32], c: Shared<'_>, finish: Finish<'_>) {
        struct Multiply<'a>(&'a Product<'a>, [usize; 2], &'a [f32], &'a [f32], Shared<'a>, Finish<'a>);
        impl Job for Multiply<'_> {
            type Output = ();
            #[inline(always)]
            fn run<S: Isa>(self, isa: S) {
                self.0.with(isa, self.1, self.2, self.3, self.4, self.5);
            }
        }
        if size[0] > 0 && size[1] > 0 {
            simd.run(Multiply(self, size, a, b, c, finish));
        }
    }

    /// [`Product::multiply_shared`], compiled once for each instruction set.
    #[inline(always)]
    fn with<S: Isa>(&self, isa: S, [m, n]: [usize; 2], a: &[f32], b: &[f32], c: Shared<'_>, finish: Finish<'_>) {
        let deep = self.depth.saturating_sub(1);
        let vectors = n.div_ceil(S::LANES);
        let b_width = if self.padded { vectors * S::LANES } else { n };
        let fits = n <= MAX_VECTORS * S::LANES
            && S::ROWS[vectors - 1] > 0
            && (self.pieces.is_empty() || self.last[0] + (m - 1) * self.a_row + deep * self.a_step < a.len())
            && (self.pieces.is_empty() || self.last[1] + deep * self.b_step + b_width <= b.len())
            && (m - 1) * self.c_row + n <= c.len
            && finish.beside.is_none_or(|beside| (m - 1) * self.c_row + n <= beside.len())
            && finish.bias.is_none_or(|bias| bias.len() >= n);
        debug_assert!(fits, "a tile reaches outside its memory");
        if !fits {
            return;
        }
        let mask = isa.first(n - (vectors - 1) * S::LANES);
        let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.start);
        let mut row = 0;
        while row < m {
            let rows = usize::from(Next::<S>::HEIGHTS[vectors - 1][MANY.min(m - row)]);
            let finish = Finish { beside: finish.beside.map(|beside| &beside[row * self.c_row..]), ..finish };
            // SAFETY: rows `row … row + rows` are below m, and `fits` says that for all m rows, n columns and the whole depth of every
            // piece A, B and C lie in their slices; the mask leaves out the columns from n on. Compared with plain loops by the tests of
            // `gemm.rs` and `conv2d`.
            unsafe { self.rows(isa, [rows, vectors], mask, a.add(row * self.a_row), b, c.add(row * self.c_row), finish) };
            row += rows;
        }
    }

    /// One tile.
    ///
    /// # Safety
    /// As [`Product::tile`], for this many rows and vectors.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // what a tile consists of
    unsafe fn rows<S: Isa>(&self, isa: S, size: [usize; 2], mask: S::Mask, a: *const f32, b: *const f32, c: *mut f32, finish: Finish<'_>) {
        macro_rules! tiles {
            ($($vectors:literal: $($rows:literal)*;)*) => {
                match (size[1], size[0]) {
                    // SAFETY: the caller's promise is for just this size; a padded B has whole vectors.
                    $($(($vectors, $rows) if $rows <= S::ROWS[$vectors - 1] => unsafe {
                        if self.a_row == 1 {
                            self.tile::<S, $rows, $vectors, true, true>(isa, mask, a, b, c, finish)
                        } else if S::FREE_MASKS || !self.padded {
                            self.tile::<S, $rows, $vectors, false, true>(isa, mask, a, b, c, finish)
                        } else {
                            self.tile::<S, $rows, $vectors, false, false>(isa, mask, a, b, c, finish)
                        }
                    },)*)*
                    _ => debug_assert!(false, "there is no tile of this size"),
                }
            };
        }
        tiles! {
            1: 1 2 3 4 5 6 8 10 12 14 16 20 24;
            2: 1 2 3 4 5 6 8 10 12;
            3: 1 2 3 4 5 6 8;
            4: 1 2 3 4 5 6;
        }
    }

    /// One tile of `ROWS` rows and `VECTORS` vectors of columns, the last of which counts as far as `mask` goes. `UNIT` says that `a_row`
    /// is 1, which saves a register for each row; `MASKED`, that B's last vector is read through the mask.
    ///
    /// # Safety
    /// For every piece, row and step the number of A and the vectors of B can be read, and those of C read and written.
    #[inline(always)]
    unsafe fn tile<S: Isa, const ROWS: usize, const VECTORS: usize, const UNIT: bool, const MASKED: bool>(
        &self,
        isa: S,
        mask: S::Mask,
        a: *const f32,
        b: *const f32,
        c: *mut f32,
        finish: Finish<'_>,
    ) {
        let zero = isa.splat(0.0);
        let a_row = if UNIT { 1 } else { self.a_row };
        let place = |i: usize, j: usize| c.wrapping_add(i.wrapping_mul(self.c_row)).wrapping_add(j * S::LANES);
        // C's lines are on their way while the sums are made; short sums would be over before they come
        if self.depth >= 32 {
            for i in 0..ROWS {
                for j in 0..VECTORS {
                    isa.prefetch(place(i, j));
                }
            }
        }
        let mut sums = [[zero; VECTORS]; ROWS];
        for &[a_piece, b_piece] in self.pieces {
            // SAFETY: the caller's promise; the pointers behind the last step are only made, not read.
            unsafe {
                let (mut a, mut b) = (a.add(a_piece), b.add(b_piece));
                for _ in 0..self.depth {
                    let mut columns = [zero; VECTORS];
                    for j in 0..VECTORS {
                        let from = b.wrapping_add(j * S::LANES);
                        columns[j] = if MASKED && j + 1 == VECTORS { isa.load_masked(from, mask) } else { isa.load(from) };
                    }
                    for i in 0..ROWS {
                        let x = isa.splat(*a.wrapping_add(i.wrapping_mul(a_row)));
                        for j in 0..VECTORS {
                            sums[i][j] = isa.mul_add(x, columns[j], sums[i][j]);
                        }
                    }
                    (a, b) = (a.wrapping_add(self.a_step), b.wrapping_add(self.b_step));
                }
            }
        }
        // Short loops rather than one long one: the compiler unrolls them, so that the sums never leave the registers.
        // SAFETY: C and the bias have the caller's columns, and the mask leaves out what is behind them.
        let load = |from: *const f32, j: usize| unsafe { if j + 1 == VECTORS { isa.load_masked(from, mask) } else { isa.load(from) } };
        if finish.add {
            for i in 0..ROWS {
                for j in 0..VECTORS {
                    sums[i][j] = isa.add(load(place(i, j), j), sums[i][j]);
                }
            }
        }
        if let Some(bias) = finish.bias {
            for j in 0..VECTORS {
                let bias = load(bias.as_ptr().wrapping_add(j * S::LANES), j);
                for row in &mut sums {
                    row[j] = isa.add(row[j], bias);
                }
            }
        }
        if let Some(beside) = finish.beside {
            for i in 0..ROWS {
                for j in 0..VECTORS {
                    let from = beside.as_ptr().wrapping_add(i.wrapping_mul(self.c_row)).wrapping_add(j * S::LANES);
                    sums[i][j] = isa.add(sums[i][j], load(from, j));
                }
            }
        }
        if finish.activation != Activation::Identity {
            for i in 0..ROWS {
                for j in 0..VECTORS {
                    sums[i][j] = relu(isa, sums[i][j]);
                }
            }
        }
        if finish.activation == Activation::Relu6 {
            for i in 0..ROWS {
                for j in 0..VECTORS {
                    sums[i][j] = isa.min(isa.splat(6.0), sums[i][j]);
                }
            }
        }
        for i in 0..ROWS {
            for j in 0..VECTORS {
                // SAFETY: row i of C is one of the caller's, and so is vector j of it as far as the mask goes.
                unsafe {
                    if j + 1 == VECTORS {
                        isa.store_masked(place(i, j), sums[i][j], mask);
                    } else {
                        isa.store(place(i, j), sums[i][j]);
                    }
                }
            }
        }
    }
}
