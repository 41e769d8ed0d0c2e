//! The residual networks for large images, wide and with learnt shortcuts.

use nyang_tensor::Element;

use super::{HE_FAN_OUT, Task, basic_block};
use crate::{BatchNorm2d, Conv2d, Flatten, Flow, GlobalAvgPool2d, Init, Linear, MaxPool2d, Relu, Residual, Result};

/// ResNet-18: four stages of 2 blocks with 64, 128, 256 and 512 channels.
///
/// For small images the first convolution is 3×3 without stride and nothing is pooled before the first stage; [`Task::imagenet`] gives
/// torchvision's `resnet18`, which begins with a 7×7 convolution of stride 2 and a max pooling. Parameters have torchvision's names in both.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) if there are no channels or classes.
///
/// # Reference
/// He et al. 2016, *Deep residual learning for image recognition*, arXiv:1512.03385, table 1.
pub fn resnet18<T: Element>(task: Task, init: &mut Init) -> Result<Flow<T>> {
    resnet([2, 2, 2, 2], task, init)
}

/// ResNet-34: as [`resnet18`] with 3, 4, 6 and 3 blocks a stage.
///
/// # Errors
/// As [`resnet18`].
pub fn resnet34<T: Element>(task: Task, init: &mut Init) -> Result<Flow<T>> {
    resnet([3, 4, 6, 3], task, init)
}

fn resnet<T: Element>(blocks: [usize; 4], task: Task, init: &mut Init) -> Result<Flow<T>> {
    let mut flow = stem(task, init)?;
    let mut channels = 64;
    for (stage, (out, blocks)) in [64, 128, 256, 512].into_iter().zip(blocks).enumerate() {
        let mut layer = Flow::new();
        for block in 0..blocks {
            let stride = if block == 0 && stage > 0 { 2 } else { 1 };
            layer = layer.then(residual(channels, out, stride, init)?);
            channels = out;
        }
        flow = flow.named(&format!("layer{}", stage + 1), layer);
    }
    let fc = Linear::config(512, task.classes).build(init)?;
    Ok(flow.named("avgpool", GlobalAvgPool2d::new()).named("flatten", Flatten::new()).named("fc", fc))
}

/// What comes before the blocks.
fn stem<T: Element>(task: Task, init: &mut Init) -> Result<Flow<T>> {
    let conv = if task.imagenet {
        Conv2d::config(task.channels(), 64, 7).stride(2).padding(3)
    } else {
        Conv2d::config(task.channels(), 64, 3).padding(1)
    };
    let stem = Flow::new()
        .named("conv1", conv.bias(false).init(HE_FAN_OUT).build(init)?)
        .named("bn1", BatchNorm2d::config(64).build(init)?)
        .named("relu", Relu::new());
    Ok(if task.imagenet { stem.named("maxpool", MaxPool2d::config(3).stride(2).padding(1).build()?) } else { stem })
}

/// A basic block; its shortcut is a 1×1 convolution where the body changes the shape.
fn residual<T: Element>(channels: usize, out: usize, stride: usize, init: &mut Init) -> Result<Residual<T>> {
    let block = Residual::new(basic_block(channels, out, stride, HE_FAN_OUT, init)?).after("relu2", Relu::new());
    if stride == 1 && channels == out {
        return Ok(block);
    }
    let downsample = Flow::new()
        .then(Conv2d::config(channels, out, 1).stride(stride).bias(false).init(HE_FAN_OUT).build(init)?)
        .then(BatchNorm2d::config(out).build(init)?);
    Ok(block.shortcut("downsample", downsample))
}
