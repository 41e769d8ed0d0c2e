//! Six convolutions in pairs: what depth brings over one.

use nyang_tensor::Element;

use super::Task;
use crate::{Conv2d, Dropout, Flatten, Flow, Init, Linear, MaxPool2d, Relu, Result};

/// Three pairs of 3×3 convolutions, each with a max pooling behind, then two linear layers with dropout.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) if there are no channels or classes; an error with its place if the image is smaller than 4×4.
///
/// # Reference
/// Saito 2016, *Deep Learning from Scratch*, chapter 8.
pub fn deepconvnet<T: Element>(task: Task, init: &mut Init) -> Result<Flow<T>> {
    task.small_only("deepconvnet")?;
    let mut features = Flow::new();
    let mut channels = task.channels();
    // the second of the second pair has one more pixel of padding, so that 28×28 ends as 4×4
    for (out, paddings) in [(16, [1, 1]), (32, [1, 2]), (64, [1, 1])] {
        for padding in paddings {
            features = features.then(Conv2d::config(channels, out, 3).padding(padding).build(init)?).then(Relu::new());
            channels = out;
        }
        features = features.then(MaxPool2d::config(2).build()?);
    }
    let features = features.then(Flatten::new());
    let flat = task.features_after(&features)?;
    Ok(features
        .then(Linear::config(flat, 50).build(init)?)
        .then(Relu::new())
        .then(Dropout::new(0.5)?)
        .then(Linear::config(50, task.classes).build(init)?)
        .then(Dropout::new(0.5)?))
}
