//! Vectors of `f32`: which instructions this machine has for them, and code that is written once for all of them.
//!
//! A kernel is a `Job` whose `run` is generic over an `Isa`, an instruction set with vectors of its own width. `Simd::run` compiles
//! it once for each instruction set and calls the one that the machine has. A value of type `Avx2` or `Avx512` can only be got by asking
//! the processor, so whoever holds one may use its instructions: that is why arithmetic on vectors is safe code. What is not is reading
//! and writing memory through pointers.
//!
//! Only `x86.rs` names an instruction. Machines without one of its two sets, and `f64`, use the portable kernels.

#![allow(unsafe_code)] // reading and writing vectors
#![allow(clippy::needless_range_loop, clippy::manual_memcpy)] // loops of fixed length over vectors, which the compiler unrolls

#[cfg(target_arch = "x86_64")]
mod x86;

/// A family of instructions that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// What every machine has.
    Portable,
    /// Eight numbers at a time, multiplied and added in one instruction.
    Avx2,
    /// Sixteen numbers at a time.
    Avx512,
}

/// Which kernels compute: those of the machine's best [`Tier`] unless asked otherwise.
///
/// The tier changes the last bits of a result, the number of threads and the size of the batch do not.
///
/// ```
/// # use nyang_tensor::kernels::{Kernels, Tier};
/// let all = Kernels::available();
/// assert_eq!(all[0].tier(), Tier::Portable);
/// assert_eq!(all.last(), Some(&Kernels::default()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kernels {
    tier: Tier,
    exact: bool,
}

impl Kernels {
    /// The kernels that this machine can run, the best last.
    pub fn available() -> Vec<Kernels> {
        let tiers = [Tier::Portable, Tier::Avx2, Tier::Avx512].into_iter();
        tiers.filter(|&tier| tier == Tier::Portable || Simd::of(tier).is_some()).map(|tier| Kernels { tier, exact: false }).collect()
    }

    /// The same, but convolutions are sums of products as they are defined: never Winograd's, which multiply less and round more, nor pairs
    /// of pixels, in which a NaN or an infinity reaches a neighbour.
    pub fn exact(self) -> Kernels {
        Kernels { exact: true, ..self }
    }

    /// Whether these kernels compute convolutions as they are defined.
    pub fn is_exact(self) -> bool {
        self.exact
    }

    /// The tier of these kernels.
    pub fn tier(self) -> Tier {
        self.tier
    }

    /// The instruction set of the tier; none for the portable one.
    pub(crate) fn simd(self) -> Option<Simd> {
        Simd::of(self.tier)
    }
}

impl Default for Kernels {
    fn default() -> Self {
        let tier = [Tier::Avx512, Tier::Avx2].into_iter().find(|&tier| Simd::of(tier).is_some());
        Kernels { tier: tier.unwrap_or(Tier::Portable), exact: false }
    }
}

/// An instruction set that this machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Simd {
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::Avx512),
}

impl Simd {
    #[cfg(target_arch = "x86_64")]
    fn of(tier: Tier) -> Option<Simd> {
        match tier {
            Tier::Portable => None,
            Tier::Avx2 => x86::Avx2::detect().map(Simd::Avx2),
            Tier::Avx512 => x86::Avx512::detect().map(Simd::Avx512),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of(_: Tier) -> Option<Simd> {
        None
    }

    /// Numbers in a vector.
    pub fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2(_) => x86::Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512(_) => x86::Avx512::LANES,
        }
    }

    /// The instruction set for rows of `width` numbers: at most eight waste half of a vector of sixteen, and two vectors of eight take no
    /// longer than one of sixteen.
    pub fn for_width(self, width: usize) -> Simd {
        if width <= 8 { Simd::of(Tier::Avx2).unwrap_or(self) } else { self }
    }

    /// Does a job with these instructions.
    #[inline]
    pub fn run<J: Job>(self, job: J) -> J::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2(isa) => isa.run(job),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512(isa) => isa.run(job),
        }
    }
}

/// Numbers that vectors may be made of.
pub trait Vectorised: Sized {
    /// The slice itself if its numbers are `f32`.
    #[doc(hidden)]
    fn f32s(x: &[Self]) -> Option<&[f32]>;
    /// The slice itself if its numbers are `f32`.
    #[doc(hidden)]
    fn f32s_mut(x: &mut [Self]) -> Option<&mut [f32]>;
}

impl Vectorised for f32 {
    fn f32s(x: &[f32]) -> Option<&[f32]> {
        Some(x)
    }
    fn f32s_mut(x: &mut [f32]) -> Option<&mut [f32]> {
        Some(x)
    }
}

impl Vectorised for f64 {
    fn f32s(_: &[f64]) -> Option<&[f32]> {
        None
    }
    fn f32s_mut(_: &mut [f64]) -> Option<&mut [f32]> {
        None
    }
}

/// The most numbers that a vector of any instruction set has.
pub(crate) const MAX_LANES: usize = 16;

/// Something to do with vectors.
pub(crate) trait Job {
    /// What comes of it.
    type Output;

    /// Does it. Implementations, and all functions they call with an `isa`, are `#[inline(always)]`: instructions can only be used in
    /// the one function that is compiled for them.
    fn run<S: Isa>(self, isa: S) -> Self::Output;
}

/// An instruction set: vectors of `LANES` numbers and what can be done with them.
#[allow(dead_code)] // the whole set, though the kernels of today do not use each
pub(crate) trait Isa: Copy + Send + Sync {
    /// Numbers in a vector.
    const LANES: usize;
    /// How many rows of a matrix product fit into the registers beside one, two, three and four vectors of columns (see `tile.rs`);
    /// 0 where that many vectors leave too little room.
    const ROWS: [usize; 4];
    /// Whether reading through a mask is as fast as reading.
    const FREE_MASKS: bool;
    /// A vector.
    type V: Copy;
    /// Which lanes take part.
    type Mask: Copy;

    /// The same number in every lane.
    fn splat(self, x: f32) -> Self::V;
    /// a + b.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a − b.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// a · b.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a · b + c, rounded once.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger of the two; b where one is no number.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller of the two; b where one is no number.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The lanes in which a > b, or a is no number.
    fn beats(self, a: Self::V, b: Self::V) -> Self::Mask;
    /// The lanes in which a and b have the same bits.
    fn same(self, a: Self::V, b: Self::V) -> Self::Mask;
    /// a in the lanes of `mask`, b in the others, bit for bit.
    fn select(self, mask: Self::Mask, a: Self::V, b: Self::V) -> Self::V;
    /// The sum of each vector's lanes, halves added to halves: that of vector i is in lane i. Only the first `LANES` vectors take part.
    fn sums(self, v: [Self::V; MAX_LANES]) -> Self::V;
    /// Rows become columns: lane j of vector i and lane i of vector j change places. Only the first `LANES` vectors take part.
    fn transpose(self, v: [Self::V; MAX_LANES]) -> [Self::V; MAX_LANES];
    /// The first `n` lanes; all of them if there are fewer.
    fn first(self, n: usize) -> Self::Mask;

    /// Asks the caches for the line of memory at `at`, which may be anywhere: no program sees whether it came.
    fn prefetch(self, at: *const f32);
    /// The vector at `from`.
    ///
    /// # Safety
    /// `LANES` numbers can be read at `from`.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// The lanes of `mask` from `from` on, zeros in the others, whose memory is not touched.
    ///
    /// # Safety
    /// The numbers of those lanes can be read.
    unsafe fn load_masked(self, from: *const f32, mask: Self::Mask) -> Self::V;
    /// Writes the vector to `to`.
    ///
    /// # Safety
    /// `LANES` numbers can be written at `to`.
    unsafe fn store(self, to: *mut f32, v: Self::V);
    /// Writes the lanes of `mask`, which [`first`](Isa::first) made, to their places from `to` on.
    ///
    /// # Safety
    /// The numbers of those lanes can be written.
    unsafe fn store_masked(self, to: *mut f32, v: Self::V, mask: Self::Mask);

    /// The first N columns of a matrix of at most `LANES` rows, `distance` numbers apart, as vectors.
    ///
    /// # Safety
    /// The first N numbers of each row can be read.
    #[inline(always)]
    unsafe fn load_columns<const N: usize>(self, from: *const f32, distance: usize, rows: usize) -> [Self::V; N] {
        let mut columns = [self.splat(0.0); N];
        for first in (0..N).step_by(Self::LANES) {
            let mask = self.first(N - first);
            let mut block = [self.splat(0.0); MAX_LANES];
            for i in 0..Self::LANES {
                if i < rows {
                    // SAFETY: the mask ends with the N columns of one of the rows.
                    block[i] = unsafe { self.load_masked(from.wrapping_add(i * distance + first), mask) };
                }
            }
            let block = self.transpose(block);
            for j in first..N.min(first + Self::LANES) {
                columns[j] = block[j - first];
            }
        }
        columns
    }

    /// Adds vectors to the first N columns of a matrix of at most `LANES` rows, `distance` numbers apart.
    ///
    /// # Safety
    /// The first N numbers of each row can be read and written.
    #[inline(always)]
    unsafe fn add_columns<const N: usize>(self, to: *mut f32, distance: usize, rows: usize, columns: [Self::V; N]) {
        for first in (0..N).step_by(Self::LANES) {
            let mask = self.first(N - first);
            let mut block = [self.splat(0.0); MAX_LANES];
            for j in first..N.min(first + Self::LANES) {
                block[j - first] = columns[j];
            }
            let block = self.transpose(block);
            for i in 0..Self::LANES {
                if i < rows {
                    let to = to.wrapping_add(i * distance + first);
                    // SAFETY: the mask ends with the N columns of one of the rows.
                    unsafe { self.store_masked(to, self.add(self.load_masked(to, mask), block[i]), mask) };
                }
            }
        }
    }

    /// The vector at the beginning of `from`; zeros behind its end if it is shorter.
    #[inline(always)]
    fn read(self, from: &[f32]) -> Self::V {
        if from.len() >= Self::LANES {
            // SAFETY: it was just seen that the slice holds as many.
            unsafe { self.load(from.as_ptr()) }
        } else {
            // SAFETY: the mask has no more lanes than the slice has numbers.
            unsafe { self.load_masked(from.as_ptr(), self.first(from.len())) }
        }
    }

    /// Writes the vector to the beginning of `to`, as much of it as there is room for.
    #[inline(always)]
    fn write(self, to: &mut [f32], v: Self::V) {
        if to.len() >= Self::LANES {
            // SAFETY: it was just seen that the slice holds as many.
            unsafe { self.store(to.as_mut_ptr(), v) }
        } else {
            // SAFETY: the mask has no more lanes than the slice has numbers.
            unsafe { self.store_masked(to.as_mut_ptr(), v, self.first(to.len())) }
        }
    }
}

#[cfg(test)]
mod tests;
