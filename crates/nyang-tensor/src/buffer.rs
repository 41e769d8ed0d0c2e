//! Memory for tensors: aligned to 64 bytes, and kept in a pool when it is given back.
//!
//! A fresh megabyte from the operating system costs 0.3–0.4 ms in page faults, and a training step would ask for the same sizes
//! again and again. So a block that is dropped goes to a free list of its size class, and the next request of that class takes it.
//! Every block is zero when the system hands it out; from then on it always holds *some* numbers, so a
//! [`Buffer::stale`] one may be read safely, it is only of no use before it has been written.
//!
//! The system's pages have 4 KB, and a core remembers where some two thousand of them lie: 8 MB, less than a large model's weights. Blocks
//! of 2 MB and more ask Linux for pages of that size. The system clears such a page when it is first written, so by whichever of the
//! threads writes there: zeroing it here as well would do the work twice, and on one core.

#![allow(unsafe_code)] // the pool: raw blocks, their lifetime, and slices over them

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for u8 {}
    impl Sealed for u32 {}
}

/// A plain number for which every bit pattern, all zeros included, is a value. Sealed: `f32`, `f64`, `u8`, `u32`.
pub trait Pod: sealed::Sealed + Copy + Send + Sync + 'static {}
impl Pod for f32 {}
impl Pod for f64 {}
impl Pod for u8 {}
impl Pod for u32 {}

/// Alignment of every block, in bytes: a cache line and the widest vector register.
pub const ALIGNMENT: usize = 64;

/// The size of a large page.
const LARGE_PAGE: usize = 2 << 20;

/// Size classes: four to each doubling, from 64 bytes up, so that at most a fifth of a block is unused.
const CLASSES: usize = 4 * 56;

/// The capacity in bytes of a size class.
fn class_bytes(class: usize) -> Option<usize> {
    (4 + class % 4).checked_mul(ALIGNMENT.checked_shl(u32::try_from(class / 4).ok()?)? / 4)
}

/// The smallest class that holds `bytes` (≥ 1).
fn class_of(bytes: usize) -> Option<usize> {
    let units = bytes.div_ceil(ALIGNMENT / 4).max(4); // quarter lines: class c holds (4 + c % 4) · 2^(c / 4) of them
    let doubling = (units.ilog2() - 2) as usize;
    let quarter = units.div_ceil(1 << doubling) - 4; // 4 when it rounds up into the next doubling
    let class = doubling * 4 + quarter;
    (class < CLASSES).then_some(class)
}

/// One block of memory of a size class.
struct Block {
    start: NonNull<u8>,
    class: usize,
}

// SAFETY: a block is plain memory that it owns alone; nothing in it is tied to a thread.
unsafe impl Send for Block {}
// SAFETY: a shared `Block` gives no access to its memory; `Buffer` does, by Rust's own rules of shared and exclusive borrows.
unsafe impl Sync for Block {}

impl Block {
    /// Zeroed memory from the system.
    fn fresh(class: usize) -> Option<Block> {
        let bytes = class_bytes(class)?;
        let start = if bytes < LARGE_PAGE {
            // SAFETY: the layout's size is at least one cache line, never zero.
            NonNull::new(unsafe { alloc_zeroed(Layout::from_size_align(bytes, ALIGNMENT).ok()?) })?
        } else {
            large::allocate(bytes)?
        };
        Some(Block { start, class })
    }

    fn free(self) {
        let Some(bytes) = class_bytes(self.class) else { return };
        if bytes >= LARGE_PAGE {
            // SAFETY: `start` came from `large::allocate` with as many bytes, and `self` is consumed: it is freed once.
            unsafe { large::free(self.start, bytes) }
        } else if let Ok(layout) = Layout::from_size_align(bytes, ALIGNMENT) {
            // SAFETY: `start` came from `alloc_zeroed` with this very layout, and `self` is consumed: it is freed once.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}

/// Blocks that are mapped by themselves, in large pages where the system has them to give.
#[cfg(target_os = "linux")]
mod large {
    use std::ptr::{self, NonNull};

    use super::LARGE_PAGE;

    /// As many bytes, zero, from a large page's edge on.
    pub fn allocate(bytes: usize) -> Option<NonNull<u8>> {
        let mapped = bytes.checked_add(LARGE_PAGE)?; // an edge lies somewhere in the first large page
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, backed by no file, at a place of the system's choice: it takes no memory from anyone.
        let found = unsafe { libc::mmap(ptr::null_mut(), mapped, access, kind, -1, 0) };
        if found == libc::MAP_FAILED {
            return None;
        }
        let found = found.cast::<u8>();
        let before = found.align_offset(LARGE_PAGE);
        // SAFETY: `before` is less than a large page, so the block and what lies before and after it are parts of the mapping, each of
        // whole small pages (every class of this size is a multiple of them); what is given back is referred to by nobody.
        unsafe {
            let start = found.add(before);
            if before > 0 {
                libc::munmap(found.cast(), before);
            }
            if before < LARGE_PAGE {
                libc::munmap(start.add(bytes).cast(), LARGE_PAGE - before);
            }
            libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE); // refused where the system has none: small pages do as well
            NonNull::new(start)
        }
    }

    /// Gives a block back to the system.
    ///
    /// # Safety
    /// `start` is from [`allocate`] with as many bytes, and nothing refers to the block any more.
    pub unsafe fn free(start: NonNull<u8>, bytes: usize) {
        // SAFETY: by this function's contract the range is one mapping's, and nobody's.
        unsafe { libc::munmap(start.as_ptr().cast(), bytes) };
    }
}

/// Elsewhere a large block comes from the allocator as the others do.
#[cfg(not(target_os = "linux"))]
mod large {
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::ptr::NonNull;

    use super::ALIGNMENT;

    pub fn allocate(bytes: usize) -> Option<NonNull<u8>> {
        // SAFETY: a large block's size is never zero.
        NonNull::new(unsafe { alloc_zeroed(Layout::from_size_align(bytes, ALIGNMENT).ok()?) })
    }

    /// # Safety
    /// `start` is from [`allocate`] with as many bytes, and nothing refers to the block any more.
    pub unsafe fn free(start: NonNull<u8>, bytes: usize) {
        if let Ok(layout) = Layout::from_size_align(bytes, ALIGNMENT) {
            // SAFETY: by this function's contract the layout is the allocation's.
            unsafe { dealloc(start.as_ptr(), layout) }
        }
    }
}

/// The idle blocks, by class.
static POOL: Mutex<[Vec<Block>; CLASSES]> = Mutex::new([const { Vec::new() }; CLASSES]);

fn pool() -> MutexGuard<'static, [Vec<Block>; CLASSES]> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner) // the lists are whole even if a thread died while holding them
}

/// Gives every idle block back to the operating system; returns how many bytes that were.
///
/// A training loop never needs this: its pool stops growing after the first step. A program that trains once and then serves does.
pub fn release_idle_memory() -> usize {
    let mut freed = 0;
    for list in pool().iter_mut() {
        for block in list.drain(..) {
            freed += class_bytes(block.class).unwrap_or(0);
            block.free();
        }
    }
    freed
}

/// A fixed number of plain numbers in a pooled, 64-byte-aligned block.
///
/// Kernels also take their scratch space from here.
pub struct Buffer<P: Pod> {
    block: Option<Block>, // none for zero elements
    len: usize,
    element: PhantomData<P>,
}

impl<P: Pod> Buffer<P> {
    /// A buffer with whatever numbers an earlier owner left there: for the caller to overwrite.
    ///
    /// # Errors
    /// [`Error::Memory`] if the system will not give that much.
    pub fn stale(len: usize) -> Result<Self> {
        Ok(Self::take(len)?.0)
    }

    /// A buffer of zeros.
    ///
    /// # Errors
    /// [`Error::Memory`] if the system will not give that much.
    pub fn zeroed(len: usize) -> Result<Self> {
        let (mut buffer, fresh) = Self::take(len)?;
        if let (false, Some(block)) = (fresh, &mut buffer.block) {
            // SAFETY: the block holds at least `len` elements (see `take`), is exclusively ours, and zero bytes are a valid `P`.
            unsafe { block.start.cast::<P>().as_ptr().write_bytes(0, len) }
        }
        Ok(buffer)
    }

    /// The buffer, and whether its block is fresh, that is: all zeros.
    fn take(len: usize) -> Result<(Self, bool)> {
        if len == 0 {
            return Ok((Buffer { block: None, len, element: PhantomData }, true));
        }
        let bytes = len.saturating_mul(size_of::<P>());
        let too_much = Error::Memory { bytes };
        let class = class_of(bytes).filter(|&c| class_bytes(c).is_some()).ok_or(too_much.clone())?;
        let idle = pool()[class].pop();
        let fresh = idle.is_none();
        let block = idle.or_else(|| Block::fresh(class)).ok_or(too_much)?;
        Ok((Buffer { block: Some(block), len, element: PhantomData }, fresh))
    }
}

impl<P: Pod> Drop for Buffer<P> {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            pool()[block.class].push(block);
        }
    }
}

impl<P: Pod> Deref for Buffer<P> {
    type Target = [P];
    fn deref(&self) -> &[P] {
        match &self.block {
            // SAFETY: the block is aligned to 64 bytes, holds at least `len` elements, was zero when fresh and only ever
            // written as `Pod` numbers since, so every element is initialised; it lives as long as `self`.
            Some(block) => unsafe { std::slice::from_raw_parts(block.start.cast::<P>().as_ptr(), self.len) },
            None => &[],
        }
    }
}

impl<P: Pod> DerefMut for Buffer<P> {
    fn deref_mut(&mut self) -> &mut [P] {
        match &mut self.block {
            // SAFETY: as in `deref`; and `&mut self` makes the access exclusive.
            Some(block) => unsafe { std::slice::from_raw_parts_mut(block.start.cast::<P>().as_ptr(), self.len) },
            None => &mut [],
        }
    }
}

impl<P: Pod + fmt::Debug> fmt::Debug for Buffer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_what_it_was_chosen_for_and_wastes_at_most_a_fifth() {
        for bytes in (1..5000).chain((1..200).map(|i| i * 999_983)) {
            let held = class_bytes(class_of(bytes).unwrap()).unwrap();
            assert!(held >= bytes, "{held} bytes for {bytes}");
            assert!(bytes <= ALIGNMENT || held <= bytes + bytes / 4 + ALIGNMENT / 2, "{held} bytes for {bytes}");
        }
    }

    #[test]
    fn buffers_are_aligned_and_zeroed_when_asked() {
        for len in [1, 3, 16, 1000, 70_000] {
            let mut dirty = Buffer::<f32>::stale(len).unwrap();
            dirty.fill(7.0);
            drop(dirty);
            let clean = Buffer::<f32>::zeroed(len).unwrap();
            assert_eq!(clean.as_ptr() as usize % ALIGNMENT, 0);
            assert!(clean.iter().all(|&v| v == 0.0) && clean.len() == len);
        }
    }

    #[test]
    fn an_absurd_size_is_an_error() {
        for len in [usize::MAX, usize::MAX / 4, isize::MAX as usize / 4, 1 << 55] {
            assert!(matches!(Buffer::<f32>::stale(len), Err(Error::Memory { .. })), "{len}");
        }
    }

    #[test]
    fn no_elements_need_no_memory() {
        assert!(Buffer::<f64>::zeroed(0).unwrap().is_empty());
    }
}
