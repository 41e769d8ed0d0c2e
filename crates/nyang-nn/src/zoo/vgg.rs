//! VGG: nothing but 3×3 convolutions and poolings, deep.

use nyang_tensor::Element;

use super::{HE_FAN_OUT, Task, hundredth};
use crate::{BatchNorm2d, Conv2d, Dropout, Flatten, Flow, Init, Linear, MaxPool2d, Relu, Result};

/// VGG-11 with batch norm: eight convolutions, five poolings.
///
/// For small images one linear layer follows them; [`Task::imagenet`] gives torchvision's `vgg11_bn`, where three do, with dropout, and
/// hold 124 of its 133 million parameters.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) if there are no channels or classes; an error with its place if the image is smaller than 32×32.
///
/// # Reference
/// Simonyan & Zisserman 2015, *Very deep convolutional networks for large-scale image recognition*, arXiv:1409.1556, configuration A.
pub fn vgg11_bn<T: Element>(task: Task, init: &mut Init) -> Result<Flow<T>> {
    let mut features = Flow::new();
    let mut channels = task.channels();
    for stage in [&[64][..], &[128], &[256, 256], &[512, 512], &[512, 512]] {
        for &out in stage {
            features = features
                .then(Conv2d::config(channels, out, 3).padding(1).init(HE_FAN_OUT).build(init)?)
                .then(BatchNorm2d::config(out).build(init)?)
                .then(Relu::new());
            channels = out;
        }
        features = features.then(MaxPool2d::config(2).build()?);
    }
    let flat = task.features_after(&features)?;
    if !task.imagenet {
        return Ok(Flow::new().then(features).then(Flatten::new()).then(Linear::config(flat, task.classes).build(init)?));
    }
    let mut linear = |inputs: usize, outputs: usize| Linear::config(inputs, outputs).init(hundredth(inputs)).build(init);
    let classifier = Flow::new()
        .then(linear(512 * 7 * 7, 4096)?)
        .then(Relu::new())
        .then(Dropout::new(0.5)?)
        .then(linear(4096, 4096)?)
        .then(Relu::new())
        .then(Dropout::new(0.5)?)
        .then(linear(4096, task.classes)?);
    Ok(Flow::new().named("features", features).named("flatten", Flatten::new()).named("classifier", classifier))
}
