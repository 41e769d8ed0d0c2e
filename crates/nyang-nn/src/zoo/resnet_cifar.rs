//! The residual networks for small images: 6 n + 2 layers, almost no parameters.

use nyang_tensor::Element;

use super::{Task, basic_block};
use crate::{BatchNorm2d, Conv2d, Flatten, Flow, GlobalAvgPool2d, Init, Linear, PadShortcut, Relu, Residual, Result, Scheme};

/// ResNet-20: three stages of 3 blocks with 16, 32 and 64 channels.
///
/// Where a stage changes the shape, the shortcut is [`PadShortcut`], He et al.'s option A, without parameters.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) if there are no channels or classes.
///
/// # Reference
/// He et al. 2016, *Deep residual learning for image recognition*, arXiv:1512.03385, section 4.2.
pub fn resnet20<T: Element>(task: Task, init: &mut Init) -> Result<Flow<T>> {
    resnet("resnet20", 3, task, init)
}

/// ResNet-32: as [`resnet20`] with 5 blocks a stage.
///
/// # Errors
/// As [`resnet20`].
pub fn resnet32<T: Element>(task: Task, init: &mut Init) -> Result<Flow<T>> {
    resnet("resnet32", 5, task, init)
}

/// ResNet-44: as [`resnet20`] with 7 blocks a stage.
///
/// # Errors
/// As [`resnet20`].
pub fn resnet44<T: Element>(task: Task, init: &mut Init) -> Result<Flow<T>> {
    resnet("resnet44", 7, task, init)
}

/// ResNet-56: as [`resnet20`] with 9 blocks a stage.
///
/// # Errors
/// As [`resnet20`].
pub fn resnet56<T: Element>(task: Task, init: &mut Init) -> Result<Flow<T>> {
    resnet("resnet56", 9, task, init)
}

fn resnet<T: Element>(name: &'static str, blocks: usize, task: Task, init: &mut Init) -> Result<Flow<T>> {
    task.small_only(name)?;
    let mut flow = Flow::new()
        .then(Conv2d::config(task.channels(), 16, 3).padding(1).bias(false).build(init)?)
        .then(BatchNorm2d::config(16).build(init)?)
        .then(Relu::new());
    let mut channels = 16;
    for (out, first_stride) in [(16, 1), (32, 2), (64, 2)] {
        for block in 0..blocks {
            let stride = if block == 0 { first_stride } else { 1 };
            let body = basic_block(channels, out, stride, Scheme::Torch, init)?;
            let mut block = Residual::new(body).after("relu2", Relu::new());
            if stride != 1 {
                block = block.shortcut("shortcut", PadShortcut::new(channels, out, stride)?);
            }
            flow = flow.then(block);
            channels = out;
        }
    }
    Ok(flow.then(GlobalAvgPool2d::new()).then(Flatten::new()).then(Linear::config(64, task.classes).build(init)?))
}
