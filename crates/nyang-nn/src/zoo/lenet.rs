//! LeNet-5, the first convolutional network that read handwriting for a living.

use nyang_tensor::Element;

use crate::{Conv2d, Flatten, Flow, Init, Linear, MaxPool2d, Relu, Result};

/// LeNet-5 with ReLU and max pooling, for `[N, 1, 28, 28]`.
///
/// # Errors
/// If `classes` is 0.
///
/// # Reference
/// LeCun et al. 1998, *Gradient-based learning applied to document recognition*.
pub fn lenet<T: Element>(classes: usize, init: &mut Init) -> Result<Flow<T>> {
    Ok(Flow::new()
        .then(Conv2d::config(1, 6, 5).padding(2).build(init)?)
        .then(Relu::new())
        .then(MaxPool2d::config(2).build()?)
        .then(Conv2d::config(6, 16, 5).build(init)?)
        .then(Relu::new())
        .then(MaxPool2d::config(2).build()?)
        .then(Flatten::new())
        .then(Linear::config(400, 120).build(init)?)
        .then(Relu::new())
        .then(Linear::config(120, 84).build(init)?)
        .then(Relu::new())
        .then(Linear::config(84, classes).build(init)?))
}
