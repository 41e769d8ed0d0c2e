//! MobileNet V2: convolutions taken apart into depth and space, for small machines.

use nyang_tensor::Element;

use super::{HE_FAN_OUT, Task, hundredth};
use crate::{BatchNorm2d, Conv2d, Conv2dConfig, Dropout, Flatten, Flow, GlobalAvgPool2d, Init, Linear, Relu6, Residual, Result};

/// Expansion, channels, blocks and first stride of each stage: table 2 of the paper.
const STAGES: [(usize, usize, usize, usize); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

/// MobileNet V2 of width 1: 17 blocks that widen the channels, filter each by itself, and narrow them again.
///
/// For small images the first convolution has no stride; [`Task::imagenet`] gives it stride 2, as torchvision's `mobilenet_v2`. Parameters
/// have torchvision's names in both. First weights are torchvision's but for the depthwise convolutions, whose fan-out is 9 here, what an
/// input reaches, and 9 times the channels there; the batch norm behind makes the outputs equal.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) if there are no channels or classes.
///
/// # Reference
/// Sandler et al. 2018, *MobileNetV2: inverted residuals and linear bottlenecks*, arXiv:1801.04381.
pub fn mobilenet_v2<T: Element>(task: Task, init: &mut Init) -> Result<Flow<T>> {
    let stride = if task.imagenet { 2 } else { 1 };
    let first = Conv2d::config(task.channels(), 32, 3).stride(stride).padding(1);
    let mut features = Flow::new().then(conv_norm_relu6(first, 32, init)?);
    let mut channels = 32;
    for (expansion, out, blocks, first_stride) in STAGES {
        for block in 0..blocks {
            let stride = if block == 0 { first_stride } else { 1 };
            let body = Flow::new().named("conv", bottleneck(channels, out, stride, expansion, init)?);
            features = if stride == 1 && channels == out { features.then(Residual::new(body)) } else { features.then(body) };
            channels = out;
        }
    }
    let features = features.then(conv_norm_relu6(Conv2d::config(channels, 1280, 1), 1280, init)?);
    let last = Linear::config(1280, task.classes).init(hundredth(1280)).build(init)?;
    Ok(Flow::new()
        .named("features", features)
        .named("avgpool", GlobalAvgPool2d::new())
        .named("flatten", Flatten::new())
        .named("classifier", Flow::new().then(Dropout::new(0.2)?).then(last)))
}

/// 1×1 to more channels, 3×3 in each, 1×1 to fewer. What comes out is not cut by an activation, which would lose what few channels hold.
fn bottleneck<T: Element>(channels: usize, out: usize, stride: usize, expansion: usize, init: &mut Init) -> Result<Flow<T>> {
    let wide = channels * expansion;
    let mut body = Flow::new();
    if expansion != 1 {
        body = body.then(conv_norm_relu6(Conv2d::config(channels, wide, 1), wide, init)?);
    }
    let depthwise = Conv2d::config(wide, wide, 3).stride(stride).padding(1).groups(wide);
    Ok(body
        .then(conv_norm_relu6(depthwise, wide, init)?)
        .then(Conv2d::config(wide, out, 1).bias(false).init(HE_FAN_OUT).build(init)?)
        .then(BatchNorm2d::config(out).build(init)?))
}

fn conv_norm_relu6<T: Element>(conv: Conv2dConfig, out: usize, init: &mut Init) -> Result<Flow<T>> {
    Ok(Flow::new().then(conv.bias(false).init(HE_FAN_OUT).build(init)?).then(BatchNorm2d::config(out).build(init)?).then(Relu6::new()))
}
