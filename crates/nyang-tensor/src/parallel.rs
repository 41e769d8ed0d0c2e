//! Work split among threads so that the result does not depend on how many there are.
//!
//! The rule of the whole crate: an output value is computed by one task, in one order; where a sum must be split, it is split into
//! pieces whose number depends on the data's size alone, and the pieces are added from first to last.
//!
//! Loops over chunks are compiled for the widest vectors of the machine too, which changes no bit (see `kernels/widest.rs`). The threads are
//! those of `team.rs`: as many as there are cores, unless [`with_threads`] says otherwise.

#![allow(unsafe_code)] // tasks that write disjoint parts of one slice

use std::marker::PhantomData;
use std::ops::Range;

use crate::kernels::widest::{Call, widest};
use crate::team;

/// Elements a task works on in a memory-bound loop: 64 KiB of `f32`, which stays in the second-level cache.
pub const CHUNK: usize = 16 * 1024;

/// How many threads work together in the loops that this thread starts.
pub fn threads() -> usize {
    team::threads()
}

/// Calls `f`; the loops that it starts are shared by so many threads (0 counts as one, and 64 are the most). The result is the same.
///
/// ```
/// use nyang_tensor::{Tensor, parallel::with_threads};
///
/// let x = Tensor::<f32>::ones([300, 300])?;
/// assert_eq!(with_threads(1, || x.matmul(&x))?.to_vec(), with_threads(4, || x.matmul(&x))?.to_vec());
/// # Ok::<(), nyang_tensor::Error>(())
/// ```
pub fn with_threads<R>(threads: usize, f: impl FnOnce() -> R) -> R {
    team::with_threads(threads, f)
}

/// Calls `f(i)` for `0 … n − 1`, in parallel and in no particular order.
pub fn for_each(n: usize, f: impl Fn(usize) + Send + Sync) {
    for_each_with(n, || (), |(), i| f(i));
}

/// As [`for_each`]; each thread has something of its own, made by `init`, that its calls may use.
pub(crate) fn for_each_with<S>(n: usize, init: impl Fn() -> S + Sync, f: impl Fn(&mut S, usize) + Sync) {
    team::share(n, |indices| {
        let mut own = None;
        indices.for_each(|i| f(own.get_or_insert_with(&init), i));
    });
}

/// A slice cut into parts of `size` elements, the last of which may be shorter, for tasks that each take one.
pub(crate) struct Parts<'a, T> {
    start: *mut T,
    len: usize,
    size: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a slice that is borrowed exclusively; who takes a part promises that nobody else takes the same.
unsafe impl<T: Send> Send for Parts<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    /// The parts of `data`; a size of zero counts as one.
    pub fn new(data: &'a mut [T], size: usize) -> Self {
        Parts { start: data.as_mut_ptr(), len: data.len(), size: size.max(1), borrow: PhantomData }
    }

    /// How many parts there are.
    pub fn count(&self) -> usize {
        self.len.div_ceil(self.size)
    }

    /// Part `i`; an empty one beyond the last.
    ///
    /// # Safety
    /// Each part is taken once.
    #[allow(clippy::mut_from_ref)] // that is what the caller promises
    pub unsafe fn take(&self, i: usize) -> &'a mut [T] {
        let first = i.saturating_mul(self.size).min(self.len);
        // SAFETY: first + length ≤ len, and the slice is borrowed for 'a; parts of different indices do not overlap.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(first), self.size.min(self.len - first)) }
    }
}

/// Calls `f(start, part)` for consecutive parts of `data` of `size` elements (the last may be shorter), in parallel.
///
/// `start` is the index of the part's first element. A size of zero counts as one.
pub fn for_each_chunk<T: Send>(data: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Send + Sync) {
    let parts = Parts::new(data, size);
    for_each(parts.count(), |i| {
        // SAFETY: `for_each` gives out each index once.
        let part = unsafe { parts.take(i) };
        widest(Call(|| f(i * parts.size, part)));
    });
}

/// As [`for_each_chunk`] for N arrays of the same length that are walked side by side; what is longer than the shortest is left alone.
pub fn for_each_chunk_of<T: Send, const N: usize>(data: [&mut [T]; N], size: usize, f: impl Fn([&mut [T]; N]) + Send + Sync) {
    let shortest = data.iter().map(|d| d.len()).min().unwrap_or(0);
    let arrays = data.map(|d| Parts::new(d.split_at_mut(shortest).0, size));
    for_each(arrays.first().map_or(0, Parts::count), |i| {
        // SAFETY: as in `for_each_chunk`, for each array.
        let parts = arrays.each_ref().map(|array| unsafe { array.take(i) });
        widest(Call(|| f(parts)));
    });
}

/// Calls `f(i, a, b)` for part `i` of both slices, which are cut into parts of these sizes, in parallel.
pub(crate) fn for_each_pair<A: Send, B: Send>(
    (a, a_size): (&mut [A], usize),
    (b, b_size): (&mut [B], usize),
    f: impl Fn(usize, &mut [A], &mut [B]) + Send + Sync,
) {
    let (a, b) = (Parts::new(a, a_size), Parts::new(b, b_size));
    for_each(a.count().min(b.count()), |i| {
        // SAFETY: as in `for_each_chunk`.
        let (a, b) = unsafe { (a.take(i), b.take(i)) };
        f(i, a, b);
    });
}

/// Calls `f` for consecutive ranges of `size` indices of `0..n`, in parallel; the results come back in order.
pub fn map_ranges<R: Send>(n: usize, size: usize, f: impl Fn(Range<usize>) -> R + Send + Sync) -> Vec<R> {
    let size = size.max(1);
    let mut results: Vec<Option<R>> = (0..n.div_ceil(size)).map(|_| None).collect();
    let places = Parts::new(&mut results, 1);
    for_each(places.count(), |i| {
        // SAFETY: as in `for_each_chunk`.
        let place = unsafe { places.take(i) };
        place.fill_with(|| Some(f(i * size..n.min((i + 1) * size))));
    });
    results.into_iter().flatten().collect() // all are there: a panic would have come out of `for_each`
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_walked_side_by_side() {
        for (n, size) in [(0, 4), (1, 4), (4, 4), (9, 4), (3, 0)] {
            let (mut a, mut b) = (vec![0; n], (0..n).collect::<Vec<usize>>());
            for_each_chunk_of([&mut a, &mut b], size, |[a, b]| a.iter_mut().zip(b).for_each(|(a, b)| *a = *b + 1));
            assert_eq!(a, (1..=n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_element_is_visited_once_with_its_index() {
        for (n, size, threads) in [(0, 4, 2), (1, 4, 2), (4, 4, 1), (9, 4, 3), (10, 0, 2), (1000, 3, 5)] {
            with_threads(threads, || {
                let mut data = vec![0usize; n];
                for_each_chunk(&mut data, size, |start, part| {
                    part.iter_mut().enumerate().for_each(|(i, v)| *v += start + i + 1);
                });
                assert_eq!(data, (1..=n).collect::<Vec<_>>());
                let seen: Vec<usize> = map_ranges(n, size, |r| r.collect::<Vec<_>>()).concat();
                assert_eq!(seen, (0..n).collect::<Vec<_>>());
            });
        }
    }

    #[test]
    fn each_thread_has_something_of_its_own() {
        let mut sums = vec![0; 100];
        let parts = Parts::new(&mut sums, 1);
        // SAFETY: each index comes once.
        for_each_with(100, || 7, |own, i| unsafe { parts.take(i).fill(*own + i) });
        assert_eq!(sums, (7..107).collect::<Vec<_>>());
    }
}
