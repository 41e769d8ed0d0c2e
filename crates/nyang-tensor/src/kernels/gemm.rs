//! Matrix products: C ← A·B and C ← C + A·B, with any strides, hence any transposes.
//!
//! In `f32`, on machines with vectors of at least eight numbers, `blocked.rs` computes them. Everywhere else `matrixmultiply` multiplies one block; rayon shares the blocks out. Every block of C is computed by one task, which adds the
//! pieces of the inner dimension K from first to last, and where the blocks are cut depends on the matrices' sizes alone.
//! Each value of C is then the same sum in the same order, whatever the number of threads and whatever other rows there are.

#![allow(unsafe_code)] // calls into matrixmultiply, and tasks that write disjoint blocks of one matrix

use super::blocked;
use super::simd::Kernels;
use super::tile::Finish;
use crate::parallel;
use crate::{Element, Error, Result, Tensor};

/// Rows and columns of C in a block, and how much of K is multiplied at a time. Chosen so that what `matrixmultiply` packs
/// for a block, (64 + 64) · 120 `f32`, stays below 64 KiB: a training step then makes no large allocation.
const BLOCK: [usize; 3] = [64, 64, 120];

/// Multiply-adds below which sharing the work costs more than it brings.
const SERIAL: usize = 64 * 1024;

/// A matrix in strided memory, for [`MicroGemm::multiply_add`].
#[derive(Clone, Copy, Debug)]
pub struct Strided<P> {
    /// Its first element.
    start: P,
    /// Distance between rows, in elements.
    row: usize,
    /// Distance between columns, in elements.
    column: usize,
}

impl<P> Strided<P> {
    /// How many elements a matrix of `rows` × `columns` reaches over.
    fn reach(&self, rows: usize, columns: usize) -> usize {
        if rows == 0 || columns == 0 {
            return 0;
        }
        ((rows - 1).saturating_mul(self.row)).saturating_add((columns - 1).saturating_mul(self.column)).saturating_add(1)
    }
}

/// The number types that one block can be multiplied in.
pub trait MicroGemm: Sized {
    /// C ← β C + A·B for A `[m, k]`, B `[k, n]`, C `[m, n]`, on this thread.
    ///
    /// # Safety
    /// Every element of the three matrices must be valid memory; C must not overlap A or B, and no other thread may touch it.
    #[doc(hidden)]
    unsafe fn multiply_add(size: [usize; 3], a: Strided<*const Self>, b: Strided<*const Self>, beta: Self, c: Strided<*mut Self>);
}

macro_rules! micro_gemm {
    ($t:ty, $gemm:path) => {
        impl MicroGemm for $t {
            unsafe fn multiply_add(
                [m, n, k]: [usize; 3],
                a: Strided<*const Self>,
                b: Strided<*const Self>,
                beta: Self,
                c: Strided<*mut Self>,
            ) {
                // strides are distances inside one allocation, so they fit an `isize`
                let [ra, ca, rb, cb, rc, cc] = [a.row, a.column, b.row, b.column, c.row, c.column].map(|s| s as isize);
                // SAFETY: the caller vouches for the memory; the strides of C are its own, so its elements do not coincide.
                unsafe { $gemm(m, k, n, 1.0, a.start, ra, ca, b.start, rb, cb, beta, c.start, rc, cc) }
            }
        }
    };
}
micro_gemm!(f32, matrixmultiply::sgemm);
micro_gemm!(f64, matrixmultiply::dgemm);

/// A pointer that tasks may share.
#[derive(Clone, Copy)]
struct Shared<P>(P);
// SAFETY: only `gemm` below makes these; its tasks read through the const ones and write disjoint blocks through the mutable one.
unsafe impl<P> Send for Shared<P> {}
// SAFETY: as above.
unsafe impl<P> Sync for Shared<P> {}

impl<P> Shared<P> {
    fn get(&self) -> &P {
        &self.0
    }
}

/// A matrix `[rows, columns]` in a slice, with its strides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a, T> {
    /// The memory from the first element on.
    pub values: &'a [T],
    /// Distance between rows, in elements.
    pub row: usize,
    /// Distance between columns, in elements.
    pub column: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// The values from row `i`, column `j` on; none if that lies outside.
    pub fn part(&self, i: usize, j: usize) -> &'a [T] {
        self.values.get(i * self.row + j * self.column..).unwrap_or_default()
    }

    /// The same matrix, if its numbers are `f32`.
    pub fn f32s(&self) -> Option<Matrix<'a, f32>>
    where
        T: Element,
    {
        Some(Matrix { values: T::f32s(self.values)?, row: self.row, column: self.column })
    }
}

/// What becomes of the numbers that are in C already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Into {
    /// C ← A·B; C may hold anything before.
    Overwrite,
    /// C ← C + A·B.
    Add,
}

/// C ← A·B or C ← C + A·B for A `[m, k]`, B `[k, n]` and C `[m, n]` with unit column stride and row stride `c_row` ≥ n.
///
/// On this thread only where `parallel` is false (inside a task, say); the numbers are the same. Slices that are too short are a
/// mistake of this crate: nothing is computed then, and debug builds stop.
pub(crate) fn gemm<T: Element>(
    size: [usize; 3],
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    into: Into,
    c: &mut [T],
    c_row: usize,
    parallel: bool,
) {
    gemm_with(Kernels::default(), size, a, b, into, c, c_row, parallel);
}

/// [`gemm`] with these kernels.
#[allow(clippy::too_many_arguments)] // those of every BLAS
pub(crate) fn gemm_with<T: Element>(
    kernels: Kernels,
    size: [usize; 3],
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    into: Into,
    c: &mut [T],
    c_row: usize,
    parallel: bool,
) {
    let [m, n, k] = size;
    let strided = |x: Matrix<'_, T>| Strided { start: x.values.as_ptr(), row: x.row, column: x.column };
    let (a_at, b_at) = (strided(a), strided(b));
    let c_at = Strided { start: c.as_mut_ptr(), row: c_row, column: 1 };
    let fits = a_at.reach(m, k) <= a.values.len() && b_at.reach(k, n) <= b.values.len() && c_at.reach(m, n) <= c.len();
    let fits = fits && (c_row >= n || m <= 1);
    debug_assert!(fits, "a matrix reaches outside its memory");
    if !fits || m == 0 || n == 0 {
        return;
    }
    if let (Some(simd), Some(a), Some(b), Some(c)) = (kernels.simd(), a.f32s(), b.f32s(), T::f32s_mut(c))
        && blocked::gemm(simd, size, a, b, Finish { add: into == Into::Add, ..Finish::default() }, c, c_row, parallel).is_ok()
    {
        return; // else there was no memory to pack B into: what follows needs none
    }
    let [bm, bn, bk] = BLOCK;
    let bk = k.div_ceil(k.div_ceil(bk).max(1)); // pieces of equal depth: 128 is 2 · 64, not 120 + 8
    let columns = n.div_ceil(bn);
    let shared = (Shared(a_at), Shared(b_at), Shared(c_at));
    let block = |i: usize| {
        let (a, b, c) = (shared.0.get(), shared.1.get(), shared.2.get());
        let (i0, j0) = (i / columns * bm, i % columns * bn);
        let (rows, cols) = (bm.min(m - i0), bn.min(n - j0));
        let mut l = 0;
        loop {
            let depth = bk.min(k - l);
            let beta = if l == 0 && into == Into::Overwrite { T::ZERO } else { T::ONE };
            // SAFETY: i0 + rows ≤ m, j0 + cols ≤ n and l + depth ≤ k, and the whole matrices were checked above to lie in their
            // slices. Blocks (i0, j0) are disjoint rectangles of C since its row stride is at least n, and each has one task;
            // `c` is borrowed exclusively, so it does not overlap `a` or `b`. Compared with `plain` in this file's tests.
            unsafe {
                let part = |x: &Strided<*const T>, i: usize, j: usize| Strided { start: x.start.add(i * x.row + j * x.column), ..*x };
                let to = Strided { start: c.start.add(i0 * c.row + j0), ..*c };
                T::multiply_add([rows, cols, depth], part(a, i0, l), part(b, l, j0), beta, to);
            }
            l += depth;
            if l >= k {
                break;
            }
        }
    };
    let blocks = m.div_ceil(bm) * columns;
    if !parallel || m.saturating_mul(n).saturating_mul(k) < SERIAL {
        (0..blocks).for_each(block);
    } else {
        parallel::map_ranges(blocks, 1, |r| r.for_each(&block));
    }
}

/// The same in plain loops: c[i, j] = Σₗ a[i, l] · b[l, j], over row-major matrices.
pub fn plain<T: Element>([m, n, k]: [usize; 3], a: &[T], b: &[T]) -> Vec<T> {
    let mut c = vec![T::ZERO; m * n];
    for i in 0..m {
        for j in 0..n {
            for l in 0..k {
                c[i * n + j] += a[i * k + l] * b[l * n + j];
            }
        }
    }
    c
}

impl<T: Element> Tensor<T> {
    /// The rows and columns of a matrix.
    pub(super) fn matrix(&self, op: &'static str) -> Result<([usize; 2], Matrix<'_, T>)> {
        match *self.dims() {
            [rows, columns] => {
                let values = if self.is_empty() { &[] } else { &self.buffer[self.offset..] };
                Ok(([rows, columns], Matrix { values, row: self.strides[0], column: self.strides[1] }))
            }
            _ => Err(Error::shape(op, "matrices [M, K] and [K, N]", self.shape)),
        }
    }

    /// The matrix product: `[M, K] · [K, N] → [M, N]`. Transposed views are multiplied without a copy.
    ///
    /// # Errors
    /// [`Error::Shape`] unless both are matrices and their inner sizes agree.
    pub fn matmul(&self, other: &Tensor<T>) -> Result<Tensor<T>> {
        let ([m, k], a) = self.matrix("matmul")?;
        let ([k2, n], b) = other.matrix("matmul")?;
        if k != k2 {
            return Err(Error::shape("matmul", format!("[{k}, N] on the right of {}", self.shape), other.shape));
        }
        let mut c = Tensor::stale([m, n])?;
        gemm([m, n, k], a, b, Into::Overwrite, c.memory_mut()?, n, true);
        Ok(c)
    }

    /// self ← self + A·B for A `[M, K]`, B `[K, N]`: gradients add up this way.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the three are matrices whose sizes agree.
    pub fn add_matmul(&mut self, a: &Tensor<T>, b: &Tensor<T>) -> Result<()> {
        let ([m, k], left) = a.matrix("add_matmul")?;
        let ([k2, n], right) = b.matrix("add_matmul")?;
        if k != k2 {
            return Err(Error::shape("add_matmul", format!("[{k}, N] on the right of {}", a.shape), b.shape));
        }
        if *self.dims() != [m, n] {
            return Err(Error::shape("add_matmul", format!("[{m}, {n}] to add to"), self.shape));
        }
        gemm([m, n, k], left, right, Into::Add, self.as_mut_slice()?, n, true);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use proptest::prelude::*;

    /// |error| of a dot product of `k` terms of size about 1, as a multiple of the type's rounding step.
    fn close<T: Element>(got: &[T], want: &[f64], k: usize, eps: f64) -> bool {
        got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g.to_f64() - w).abs() <= eps * (k as f64 + 1.0) * 4.0)
    }

    fn random<T: Element>(rows: usize, columns: usize, transposed: bool, seed: u64) -> Tensor<T> {
        let (r, c) = if transposed { (columns, rows) } else { (rows, columns) };
        let x = Tensor::uniform([r, c], -1.0, 1.0, &mut Rng::seed(seed)).unwrap();
        if transposed { x.transpose().unwrap() } else { x }
    }

    fn agrees<T: Element>([m, n, k]: [usize; 3], ta: bool, tb: bool, eps: f64) -> bool {
        let (a, b) = (random::<T>(m, k, ta, 1), random::<T>(k, n, tb, 2));
        let exact = |x: &Tensor<T>| x.to_vec().iter().map(|v| v.to_f64()).collect::<Vec<_>>();
        let want = plain([m, n, k], &exact(&a), &exact(&b));
        let c = a.matmul(&b).unwrap();
        let mut twice = c.clone();
        twice.add_matmul(&a, &b).unwrap();
        let double: Vec<f64> = want.iter().map(|v| 2.0 * v).collect();
        close(&c.to_vec(), &want, k, eps) && close(&twice.to_vec(), &double, 2 * k, eps)
    }

    /// C ← A·B and then C ← C + A·B in f32, with C's rows further apart than they are long, by each tier of this machine.
    fn each_tier_agrees([m, n, k]: [usize; 3], ta: bool, tb: bool, parallel: bool) -> bool {
        let (a, b) = (random::<f32>(m, k, ta, 1), random::<f32>(k, n, tb, 2));
        let exact = |x: &Tensor<f32>| x.to_vec().iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let want = plain([m, n, k], &exact(&a), &exact(&b));
        Kernels::available().into_iter().all(|kernels| {
            let (c_row, mut c) = (n + 3, vec![7.0; m * (n + 3)]);
            let mut add = |into| {
                let ((_, a), (_, b)) = (a.matrix("a").unwrap(), b.matrix("b").unwrap());
                gemm_with(kernels, [m, n, k], a, b, into, &mut c, c_row, parallel);
            };
            add(Into::Overwrite);
            add(Into::Add);
            let half: Vec<f32> = c.chunks(c_row).flat_map(|row| row[..n].iter().map(|v| v / 2.0)).collect();
            close(&half, &want, k, f64::from(f32::EPSILON)) && c.chunks(c_row).all(|row| row[n..] == [7.0; 3])
        })
    }

    #[test]
    fn products_of_all_tile_sizes_agree_on_every_tier() {
        for n in 1..=66 {
            for m in 1..=15 {
                assert!(each_tier_agrees([m, n, 5], false, false, false), "{m} {n}");
                assert!(each_tier_agrees([m, n, 19], true, false, false), "{m} {n}");
                assert!(each_tier_agrees([m, n, 37], false, true, false), "{m} {n}");
            }
        }
        assert!(each_tier_agrees([0, 3, 4], false, false, true) && each_tier_agrees([3, 4, 0], false, true, true));
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            let (a, b) = (random::<f32>(210, 300, ta, 1), random::<f32>(300, 230, tb, 2));
            let product = |threads| {
                crate::parallel::with_threads(threads, || a.matmul(&b).unwrap().to_vec()).into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            assert_eq!(product(1), product(3));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn each_tier_agrees_with_plain_loops(m in 0usize..150, n in 0usize..260, k in 0usize..600, ta: bool, tb: bool, parallel: bool) {
            prop_assert!(each_tier_agrees([m, n, k], ta, tb, parallel));
        }

        #[test]
        fn products_agree_with_plain_loops(m in 0usize..150, n in 0usize..130, k in 0usize..300, ta: bool, tb: bool) {
            prop_assert!(agrees::<f32>([m, n, k], ta, tb, f64::from(f32::EPSILON)));
            prop_assert!(agrees::<f64>([m, n, k], ta, tb, f64::EPSILON));
        }
    }

    #[test]
    fn a_row_of_the_product_does_not_depend_on_the_other_rows() {
        let (a, b) = (random::<f32>(131, 300, false, 1), random::<f32>(300, 77, true, 2));
        let whole = a.matmul(&b).unwrap();
        for i in [0, 1, 63, 64, 100, 130] {
            let alone = a.slice(0, i..i + 1, 1).unwrap().matmul(&b).unwrap();
            assert_eq!(alone.to_vec(), whole.select(0, i).unwrap().to_vec(), "row {i}");
        }
    }

    #[test]
    fn sizes_that_do_not_agree_are_errors() {
        let z = |dims: &[usize]| Tensor::<f32>::zeros(crate::Shape::new(dims).unwrap()).unwrap();
        assert!(z(&[2, 3]).matmul(&z(&[2, 3])).is_err());
        assert!(z(&[2, 3, 1]).matmul(&z(&[3, 1])).is_err());
        assert!(z(&[3]).matmul(&z(&[3, 1])).is_err());
        assert!(z(&[2, 2]).add_matmul(&z(&[2, 3]), &z(&[3, 1])).is_err());
        assert!(z(&[2, 2]).add_matmul(&z(&[2, 3]), &z(&[2, 2])).is_err());
    }
}
