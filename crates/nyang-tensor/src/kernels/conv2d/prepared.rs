//! Weights as the fast kernels want them, kept from one inference to the next.
//!
//! Kernels pack or transform a weight before they multiply with it. With a batch that costs little; for a single image of many channels it would
//! cost more than the convolution. A [`WeightCache`] keeps the result together with a handle of the weight. Tensors are values: as long as
//! somebody holds the handle, a change to the weight goes to other memory. So the same memory means the same numbers, and no stale ones can be
//! used.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::buffer::Buffer;
use crate::{Element, Result, Tensor};

/// What a weight was prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Direct,
    Winograd2,
    Winograd4,
}

/// The weight of a convolution, and how to get it prepared.
#[derive(Clone, Copy)]
pub(super) struct Weight<'a> {
    /// `[O, C/groups, KH, KW]`, row-major.
    pub values: &'a [f32],
    /// Prepares it by the function, or remembers what came of it for this number of lanes and this method.
    pub prepare: &'a Prepare<'a>,
}

type Make<'a> = dyn Fn() -> Result<Buffer<f32>> + 'a;
type Prepare<'a> = dyn Fn(usize, Method, &Make<'_>) -> Result<Arc<Buffer<f32>>> + 'a;

/// What one layer keeps of its prepared weight; empty at first, and in a clone.
///
/// It changes no bit of a result, only the time to the next one.
pub struct WeightCache<T: Element>(Mutex<Option<Entry<T>>>);

struct Entry<T: Element> {
    weight: Tensor<T>,
    lanes: usize,
    method: Method,
    prepared: Arc<Buffer<f32>>,
}

impl<T: Element> WeightCache<T> {
    /// What `make` makes of `weight`: from memory if it was made before.
    pub(super) fn get(&self, weight: &Tensor<T>, lanes: usize, method: Method, make: &Make<'_>) -> Result<Arc<Buffer<f32>>> {
        let entry = || self.0.lock().unwrap_or_else(PoisonError::into_inner); // an entry is whole or absent
        if let Some(known) = &*entry()
            && (known.lanes, known.method) == (lanes, method)
            && known.weight.is_same(weight)
        {
            return Ok(Arc::clone(&known.prepared));
        }
        // Without the lock: while it waits for its own tasks, a thread of the pool may take up another inference with this cache.
        let prepared = Arc::new(make()?);
        *entry() = Some(Entry { weight: weight.clone(), lanes, method, prepared: Arc::clone(&prepared) });
        Ok(prepared)
    }
}

impl<T: Element> Default for WeightCache<T> {
    fn default() -> Self {
        WeightCache(Mutex::new(None))
    }
}

impl<T: Element> Clone for WeightCache<T> {
    fn clone(&self) -> Self {
        WeightCache::default()
    }
}

impl<T: Element> fmt::Debug for WeightCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeightCache")
    }
}
