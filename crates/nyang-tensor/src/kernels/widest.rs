//! Plain loops, compiled once more for each instruction set of `simd`, so that the compiler's own vectors are as wide as the machine's.
//!
//! The bits are the same on every tier: a compiler may neither change the order of a sum of floats nor fuse a product with a sum.

use super::Kernels;
use super::simd::{Isa, Job};

/// Loops over slices. `run`, and the functions that it calls, are `#[inline(always)]`, or stay compiled for every machine.
pub(crate) trait Loop {
    /// What comes of it.
    type Output;

    /// Runs it.
    fn run(self) -> Self::Output;
}

/// A closure as a loop. Short ones are inlined, without a promise.
pub(crate) struct Call<F>(pub F);

impl<R, F: FnOnce() -> R> Loop for Call<F> {
    type Output = R;

    #[inline(always)]
    fn run(self) -> R {
        (self.0)()
    }
}

/// Runs a loop in the form for this machine.
#[inline]
pub(crate) fn widest<L: Loop>(work: L) -> L::Output {
    struct AsJob<L>(L);
    impl<L: Loop> Job for AsJob<L> {
        type Output = L::Output;

        #[inline(always)]
        fn run<S: Isa>(self, _: S) -> L::Output {
            self.0.run()
        }
    }
    match Kernels::default().simd() {
        Some(simd) => simd.run(AsJob(work)),
        None => work.run(),
    }
}
