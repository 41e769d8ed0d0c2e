//! A multi-layer perceptron for small grey images.

use nyang_tensor::Element;

use crate::{Flatten, Flow, Init, Linear, Relu, Result};

/// 784 – 512 – 256 – `classes`, with ReLU between, for `[N, 1, 28, 28]`.
///
/// # Errors
/// If `classes` is 0.
pub fn mlp<T: Element>(classes: usize, init: &mut Init) -> Result<Flow<T>> {
    Ok(Flow::new()
        .then(Flatten::new())
        .then(Linear::config(784, 512).build(init)?)
        .then(Relu::new())
        .then(Linear::config(512, 256).build(init)?)
        .then(Relu::new())
        .then(Linear::config(256, classes).build(init)?))
}
