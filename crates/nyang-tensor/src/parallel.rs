//! Work split among threads so that the result does not depend on how many there are.
//!
//! The rule of the whole crate: an output value is computed by one task, in one order; where a sum must be split, it is split into
//! pieces whose number depends on the data's size alone, and the pieces are added from first to last.
//!
//! Loops over chunks are compiled for the widest vectors of the machine too, which changes no bit (see `kernels/widest.rs`).

use std::ops::Range;

use rayon::prelude::*;

use crate::kernels::widest::{Call, widest};

/// Elements a task works on in a memory-bound loop: 64 KiB of `f32`, which stays in the second-level cache.
pub const CHUNK: usize = 16 * 1024;

/// Calls `f(start, part)` for consecutive parts of `data` of `size` elements (the last may be shorter), in parallel.
///
/// `start` is the index of the part's first element. A size of zero counts as one.
pub fn for_each_chunk<T: Send>(data: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Send + Sync) {
    let size = size.max(1);
    if data.len() <= size {
        if !data.is_empty() {
            widest(Call(|| f(0, data)));
        }
        return;
    }
    data.par_chunks_mut(size).enumerate().for_each(|(i, part)| widest(Call(|| f(i * size, part))));
}

/// As [`for_each_chunk`] for N arrays of the same length that are walked side by side; what is longer than the shortest is left alone.
pub fn for_each_chunk_of<T: Send, const N: usize>(data: [&mut [T]; N], size: usize, f: impl Fn([&mut [T]; N]) + Send + Sync) {
    let shortest = data.iter().map(|d| d.len()).min().unwrap_or(0);
    let mut rest = data.map(|d| d.split_at_mut(shortest).0);
    if shortest <= size {
        return widest(Call(|| f(rest)));
    }
    let mut parts = Vec::with_capacity(shortest.div_ceil(size.max(1)));
    while rest.first().is_some_and(|r| !r.is_empty()) {
        let n = size.max(1).min(rest.first().map_or(0, |r| r.len()));
        let part: [&mut [T]; N] = std::array::from_fn(|i| {
            let (head, tail) = std::mem::take(&mut rest[i]).split_at_mut(n);
            rest[i] = tail;
            head
        });
        parts.push(part);
    }
    parts.into_par_iter().for_each(|part| widest(Call(|| f(part))));
}

/// Runs `f` on one of the threads that share work, so that each loop inside it finds the others waiting.
///
/// Any other thread that starts a loop has to wake them and be woken again, which costs about 15 µs each time; a training step has a
/// hundred loops. The result is the same.
pub fn among_workers<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| f())
}

/// Calls `f` for consecutive ranges of `size` indices of `0..n`, in parallel; the results come back in order.
pub fn map_ranges<R: Send>(n: usize, size: usize, f: impl Fn(Range<usize>) -> R + Send + Sync) -> Vec<R> {
    let size = size.max(1);
    let pieces = n.div_ceil(size);
    let range = |i: usize| i * size..((i + 1) * size).min(n);
    if pieces <= 1 {
        return (0..pieces).map(|i| f(range(i))).collect();
    }
    (0..pieces).into_par_iter().map(|i| f(range(i))).collect()
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
    fn work_among_workers_is_done_by_one_of_them() {
        assert_eq!(among_workers(|| (rayon::current_thread_index().is_some(), 7)), (true, 7));
    }

    #[test]
    fn every_element_is_visited_once_with_its_index() {
        for (n, size) in [(0, 4), (1, 4), (4, 4), (9, 4), (10, 0)] {
            let mut data = vec![0usize; n];
            for_each_chunk(&mut data, size, |start, part| {
                part.iter_mut().enumerate().for_each(|(i, v)| *v += start + i + 1);
            });
            assert_eq!(data, (1..=n).collect::<Vec<_>>());
            let seen: Vec<usize> = map_ranges(n, size, |r| r.collect::<Vec<_>>()).concat();
            assert_eq!(seen, (0..n).collect::<Vec<_>>());
        }
    }
}
