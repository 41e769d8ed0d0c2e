//! Vectors against numbers one by one, for each instruction set of this machine.

#![allow(unsafe_code)] // columns of matrices that were seen to be large enough

use super::*;

/// What each operation makes of 1 … `n` numbers, and the numbers behind them, which must stay.
struct Everything<'a>(&'a [f32], &'a mut Vec<Vec<f32>>);

impl Job for Everything<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let (x, seven) = (isa.read(self.0), isa.splat(7.0));
        let results = [isa.add(x, seven), isa.sub(x, seven), isa.mul(x, seven), isa.mul_add(x, x, seven), isa.max(seven, x)];
        for result in results {
            let mut out = vec![-1.0; self.0.len() + 2];
            isa.write(&mut out[..self.0.len()], result);
            self.1.push(out);
        }
    }
}

#[test]
fn vectors_compute_what_numbers_do_and_touch_nothing_behind_their_end() {
    for simd in Kernels::available().into_iter().filter_map(Kernels::simd) {
        for n in 1..=simd.lanes() {
            let x: Vec<f32> = (0..n).map(|i| (i * i) as f32 - 5.0).collect();
            let mut got = Vec::new();
            simd.run(Everything(&x, &mut got));
            let f: [&dyn Fn(f32) -> f32; 5] = [&|v| v + 7.0, &|v| v - 7.0, &|v| v * 7.0, &|v| v * v + 7.0, &|v| v.max(7.0)];
            for (got, f) in got.iter().zip(f) {
                let want: Vec<f32> = x.iter().map(|&v| f(v)).chain([-1.0; 2]).collect();
                assert_eq!(*got, want, "{simd:?}, {n} numbers");
            }
        }
    }
}

#[test]
fn a_maximum_keeps_what_is_no_number() {
    struct Max(f32);
    impl Job for Max {
        type Output = f32;
        #[inline(always)]
        fn run<S: Isa>(self, isa: S) -> f32 {
            let mut out = [0.0];
            isa.write(&mut out, isa.max(isa.splat(0.0), isa.splat(self.0)));
            out[0]
        }
    }
    for simd in Kernels::available().into_iter().filter_map(Kernels::simd) {
        assert!(simd.run(Max(f32::NAN)).is_nan());
        assert_eq!(simd.run(Max(-3.0)), 0.0);
    }
}

#[test]
fn lanes_are_added_halves_to_halves() {
    struct Sums(Vec<f32>);
    impl Job for Sums {
        type Output = Vec<f32>;
        #[inline(always)]
        fn run<S: Isa>(self, isa: S) -> Vec<f32> {
            let mut v = [isa.splat(0.0); MAX_LANES];
            for (v, from) in v.iter_mut().zip(self.0.chunks(S::LANES)) {
                *v = isa.read(from);
            }
            let mut out = vec![0.0; S::LANES];
            isa.write(&mut out, isa.sums(v));
            out
        }
    }
    for simd in Kernels::available().into_iter().filter_map(Kernels::simd) {
        let lanes = simd.lanes();
        // 1/(i + 1) is rounded, so that another order gives other bits
        let x: Vec<f32> = (0..lanes * lanes).map(|i| 1.0 / (1 + i * 37 % 101) as f32).collect();
        let by_halves = |v: &[f32]| {
            let mut v = v.to_vec();
            while v.len() > 1 {
                let (a, b) = v.split_at(v.len() / 2);
                v = a.iter().zip(b).map(|(a, b)| a + b).collect();
            }
            v[0]
        };
        let want: Vec<f32> = x.chunks(lanes).map(by_halves).collect();
        assert_eq!(simd.run(Sums(x)), want, "{simd:?}");
    }
}

/// Columns of a matrix of `rows` rows, taken out and added to it again.
struct Columns<'a>(&'a mut [f32], usize, usize, &'a mut Vec<Vec<f32>>);

impl Job for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let Columns(matrix, distance, rows, got) = self;
        assert!((rows - 1) * distance + 9 <= matrix.len());
        // SAFETY: the matrix has as many numbers.
        let columns: [S::V; 9] = unsafe { isa.load_columns(matrix.as_ptr(), distance, rows) };
        for column in columns {
            let mut out = vec![0.0; S::LANES];
            isa.write(&mut out, column);
            got.push(out);
        }
        // SAFETY: as above.
        unsafe { isa.add_columns(matrix.as_mut_ptr(), distance, rows, columns) };
    }
}

#[test]
fn columns_come_out_as_vectors_and_go_back() {
    const DISTANCE: usize = 11;
    for simd in Kernels::available().into_iter().filter_map(Kernels::simd) {
        for rows in 1..=simd.lanes() {
            let matrix: Vec<f32> = (0..(rows - 1) * DISTANCE + 9).map(|i| i as f32).collect();
            let (mut changed, mut got) = (matrix.clone(), Vec::new());
            simd.run(Columns(&mut changed, DISTANCE, rows, &mut got));
            for (j, column) in got.iter().enumerate() {
                let want: Vec<f32> = (0..simd.lanes()).map(|i| if i < rows { matrix[i * DISTANCE + j] } else { 0.0 }).collect();
                assert_eq!(*column, want, "{simd:?}, column {j} of {rows} rows");
            }
            let want: Vec<f32> = matrix.iter().enumerate().map(|(i, v)| if i % DISTANCE < 9 { 2.0 * v } else { *v }).collect();
            assert_eq!(changed, want, "{simd:?}, {rows} rows");
        }
    }
}
