//! The loops in which the time goes, one file an operation.
//!
//! A kernel is a pure function of tensors and a geometry: it checks its arguments, then computes. Beside each fast kernel stands its
//! twin in plain loops, which says in the fewest words what is computed; tests compare the two over many geometries.
//!
//! Images are `[N, C, H, W]` with any strides. A kernel brings them to channels-last memory, which costs nothing where they lie so
//! already, and returns channels-last images: then the C values of a pixel are neighbours, and the innermost loop runs over them.

#![allow(unsafe_code)] // tasks that write disjoint parts of one slice

mod activation;
pub mod adaptive_pool2d;
pub mod avg_pool2d;
pub mod batch_norm;
mod blocked;
pub mod channels;
mod columns;
pub mod concat;
pub mod conv2d;
mod dots;
pub mod gemm;
pub mod group_norm;
pub mod layer_norm;
pub mod linear;
pub mod max_pool2d;
pub mod peak;
pub mod simd;
mod tile;
pub(crate) mod transpose;
pub mod upsample2d;
pub(crate) mod widest;
mod window;

pub use activation::Activation;
pub use simd::{Kernels, Tier};
pub use window::Window;

use std::sync::{Mutex, PoisonError};

use crate::buffer::Buffer;
use crate::parallel::{self, Parts};
use crate::{Element, Error, Result, Shape, Tensor};

/// `[N, C, H, W]`, or the error that this is none.
fn image_dims(op: &'static str, shape: &Shape) -> Result<[usize; 4]> {
    <[usize; 4]>::try_from(shape.dims()).map_err(|_| Error::shape(op, "images [N, C, H, W]", *shape))
}

/// That `dy` has the shape of the output whose gradient it is.
fn require_shape<T: Element>(op: &'static str, output: Shape, dy: &Tensor<T>) -> Result<()> {
    if *dy.shape() == output { Ok(()) } else { Err(Error::shape(op, format!("dy of shape {output}"), *dy.shape())) }
}

/// The values of a tensor that was brought to a dense memory order, in that order.
fn values<T: Element>(dense: &Tensor<T>) -> &[T] {
    debug_assert!(dense.memory().is_some(), "only for tensors without gaps");
    dense.memory().unwrap_or_default()
}

/// Calls `f(scratch, start, part)` for consecutive parts of `data` of `size` elements (the last may be shorter), in parallel, as
/// [`for_each_chunk`](crate::parallel::for_each_chunk) does; `scratch` is stale memory for `scratch` values that `f` may use as it likes.
fn for_each_chunk_with<T: Element>(
    data: &mut [T],
    size: usize,
    scratch: usize,
    f: impl Fn(&mut [T], usize, &mut [T]) + Send + Sync,
) -> Result<()> {
    let parts = Parts::new(data, size);
    with_scratch(parts.count(), scratch, true, |scratch, i| {
        // SAFETY: each task comes once.
        f(scratch, i * size.max(1), unsafe { parts.take(i) });
    })
}

/// Calls `f(scratch, task)` for tasks `0 … count − 1`, in parallel if asked to; `scratch` is stale memory for `scratch` values that `f` may
/// use as it likes.
fn with_scratch<T: Element>(count: usize, scratch: usize, parallel: bool, f: impl Fn(&mut [T], usize) + Send + Sync) -> Result<()> {
    let threads = if parallel { parallel::threads().min(count) } else { count.min(1) };
    // A block for each thread before any work is done: too little memory is found out now, and from the first step on the pool holds
    // enough, however the tasks fall among the threads.
    let blocks = (0..threads).map(|_| Buffer::<T>::stale(scratch)).collect::<Result<Vec<_>>>()?;
    let blocks = Mutex::new(blocks);
    let mine = || blocks.lock().unwrap_or_else(PoisonError::into_inner).pop();
    if threads < 2 {
        let mut block = mine();
        let scratch = block.as_deref_mut().unwrap_or_default();
        (0..count).for_each(|task| f(scratch, task));
        return Ok(());
    }
    parallel::for_each_with(count, mine, |block, task| f(block.as_deref_mut().unwrap_or_default(), task));
    Ok(())
}

/// Calls `f` for each part, in parallel if asked to.
fn for_each_part<P: Send>(parts: Vec<P>, parallel: bool, f: impl Fn(P) + Send + Sync) {
    if !parallel {
        return parts.into_iter().for_each(f);
    }
    let mut parts: Vec<Option<P>> = parts.into_iter().map(Some).collect();
    let places = Parts::new(&mut parts, 1);
    parallel::for_each(places.count(), |i| {
        // SAFETY: each index comes once.
        unsafe { places.take(i) }.iter_mut().filter_map(Option::take).for_each(&f);
    });
}
