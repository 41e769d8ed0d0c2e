//! The loops in which the time goes, one file an operation.
//!
//! A kernel is a pure function of tensors and a geometry: it checks its arguments, then computes. Beside each fast kernel stands its
//! twin in plain loops, which says in the fewest words what is computed; tests compare the two over many geometries.
//!
//! Images are `[N, C, H, W]` with any strides. A kernel brings them to channels-last memory, which costs nothing where they lie so
//! already, and returns channels-last images: then the C values of a pixel are neighbours, and the innermost loop runs over them.

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
pub mod max_pool2d;
pub mod peak;
pub mod simd;
mod tile;
pub mod upsample2d;
pub(crate) mod widest;
mod window;

pub use simd::{Kernels, Tier};
pub use window::Window;

use rayon::prelude::*;

use crate::buffer::Buffer;
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
    let size = size.max(1);
    if data.len() <= size {
        if !data.is_empty() {
            f(&mut Buffer::stale(scratch)?, 0, data);
        }
        return Ok(());
    }
    // One block a thread passes through our hands first, so that the pool holds enough from the first step on, however the
    // tasks fall among the threads, and too little memory is found out before any work is done.
    let threads = rayon::current_num_threads().min(data.len().div_ceil(size));
    drop((0..threads).map(|_| Buffer::<T>::stale(scratch)).collect::<Result<Vec<_>>>()?);
    data.par_chunks_mut(size).enumerate().try_for_each_init(
        || Buffer::stale(scratch),
        |scratch, (i, part)| match scratch {
            Ok(scratch) => {
                f(scratch, i * size, part);
                Ok(())
            }
            Err(error) => Err(error.clone()),
        },
    )
}

/// Calls `f(scratch, task)` for tasks `0 … count − 1`, in parallel if asked to; `scratch` is stale memory for `scratch` values that `f` may
/// use as it likes.
fn for_each_task(count: usize, scratch: usize, parallel: bool, f: impl Fn(&mut [f32], usize) + Send + Sync) -> Result<()> {
    if !parallel || count <= 1 {
        let mut scratch = Buffer::stale(scratch)?;
        (0..count).for_each(|task| f(&mut scratch, task));
        return Ok(());
    }
    // as in `for_each_chunk_with`
    let threads = rayon::current_num_threads().min(count);
    drop((0..threads).map(|_| Buffer::<f32>::stale(scratch)).collect::<Result<Vec<_>>>()?);
    (0..count).into_par_iter().try_for_each_init(
        || Buffer::stale(scratch),
        |scratch, task| match scratch {
            Ok(scratch) => {
                f(scratch, task);
                Ok(())
            }
            Err(error) => Err(error.clone()),
        },
    )
}

/// Calls `f` for each part, in parallel if asked to.
fn for_each_part<P: Send>(parts: Vec<P>, parallel: bool, f: impl Fn(P) + Send + Sync) {
    if parallel { parts.into_par_iter().for_each(f) } else { parts.into_iter().for_each(f) }
}
