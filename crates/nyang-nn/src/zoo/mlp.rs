//! A multi-layer perceptron: no idea of what an image is, and good enough for small ones.

use nyang_tensor::Element;

use super::Task;
use crate::{Flatten, Flow, Init, Linear, Relu, Result};

/// pixels – 512 – 256 – classes, with ReLU between.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) if the image has no pixels, or there are no classes.
pub fn mlp<T: Element>(task: Task, init: &mut Init) -> Result<Flow<T>> {
    task.small_only("mlp")?;
    let flatten = Flow::new().then(Flatten::new());
    let pixels = task.features_after(&flatten)?;
    Ok(flatten
        .then(Linear::config(pixels, 512).build(init)?)
        .then(Relu::new())
        .then(Linear::config(512, 256).build(init)?)
        .then(Relu::new())
        .then(Linear::config(256, task.classes).build(init)?))
}
