//! One convolution: the smallest network that looks at neighbours.

use nyang_tensor::Element;

use super::Task;
use crate::{Conv2d, Flatten, Flow, Init, Linear, MaxPool2d, Relu, Result};

/// conv 5×5 – ReLU – pool – linear – ReLU – linear.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) if there are no channels or classes; an error with its place if the image is smaller than 6×6.
///
/// # Reference
/// Saito 2016, *Deep Learning from Scratch*, chapter 7.
pub fn simpleconvnet<T: Element>(task: Task, init: &mut Init) -> Result<Flow<T>> {
    task.small_only("simpleconvnet")?;
    let features = Flow::new()
        .then(Conv2d::config(task.channels(), 30, 5).build(init)?)
        .then(Relu::new())
        .then(MaxPool2d::config(2).build()?)
        .then(Flatten::new());
    let flat = task.features_after(&features)?;
    Ok(features.then(Linear::config(flat, 100).build(init)?).then(Relu::new()).then(Linear::config(100, task.classes).build(init)?))
}
