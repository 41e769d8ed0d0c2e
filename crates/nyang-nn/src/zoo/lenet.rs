//! LeNet-5, the first convolutional network that read handwriting for a living.

use nyang_tensor::Element;

use super::Task;
use crate::{Conv2d, Flatten, Flow, Init, Linear, MaxPool2d, Relu, Result};

/// LeNet-5 with ReLU and max pooling.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) if there are no channels or classes; an error with its place if the image is smaller than 12×12.
///
/// # Reference
/// LeCun et al. 1998, *Gradient-based learning applied to document recognition*.
pub fn lenet<T: Element>(task: Task, init: &mut Init) -> Result<Flow<T>> {
    task.small_only("lenet")?;
    let features = Flow::new()
        .then(Conv2d::config(task.channels(), 6, 5).padding(2).build(init)?)
        .then(Relu::new())
        .then(MaxPool2d::config(2).build()?)
        .then(Conv2d::config(6, 16, 5).build(init)?)
        .then(Relu::new())
        .then(MaxPool2d::config(2).build()?)
        .then(Flatten::new());
    let flat = task.features_after(&features)?;
    Ok(features
        .then(Linear::config(flat, 120).build(init)?)
        .then(Relu::new())
        .then(Linear::config(120, 84).build(init)?)
        .then(Relu::new())
        .then(Linear::config(84, task.classes).build(init)?))
}
