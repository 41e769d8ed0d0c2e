//! Every layer, one file each. A new one is its file and three lines here.

use nyang_tensor::Element;

use crate::case::Case;
use crate::registry::BuildFn;

mod avg_pool2d;
pub mod batch_norm;
mod batch_norm1d;
mod batch_norm2d;
mod conv2d;
mod dropout;
mod elu;
mod flatten;
mod flow;
mod flow_builder;
mod gelu;
mod global_avg_pool2d;
mod group_norm;
mod hardsigmoid;
mod hardswish;
mod layer_norm;
mod leaky_relu;
mod linear;
mod log_softmax;
mod max_pool2d;
mod maxout;
mod pad_shortcut;
mod prelu;
mod relu;
mod relu6;
mod residual;
mod selu;
mod sigmoid;
mod silu;
mod softmax;
mod softplus;
mod tanh;

pub use avg_pool2d::{AvgPool2d, AvgPool2dConfig};
pub use batch_norm1d::{BatchNorm1d, BatchNorm1dConfig};
pub use batch_norm2d::{BatchNorm2d, BatchNorm2dConfig};
pub use conv2d::{Conv2d, Conv2dConfig};
pub use dropout::Dropout;
pub use elu::Elu;
pub use flatten::Flatten;
pub use flow::Flow;
pub use flow_builder::FlowBuilder;
pub use gelu::Gelu;
pub use global_avg_pool2d::GlobalAvgPool2d;
pub use group_norm::{GroupNorm, GroupNormConfig};
pub use hardsigmoid::Hardsigmoid;
pub use hardswish::Hardswish;
pub use layer_norm::{LayerNorm, LayerNormConfig};
pub use leaky_relu::LeakyRelu;
pub use linear::{Linear, LinearConfig};
pub use log_softmax::LogSoftmax;
pub use max_pool2d::{MaxPool2d, MaxPool2dConfig};
pub use maxout::Maxout;
pub use pad_shortcut::PadShortcut;
pub use prelu::{PRelu, PReluConfig};
pub use relu::Relu;
pub use relu6::Relu6;
pub use residual::Residual;
pub use selu::Selu;
pub use sigmoid::Sigmoid;
pub use silu::Silu;
pub use softmax::Softmax;
pub use softplus::Softplus;
pub use tanh::Tanh;

/// Each layer's cases.
pub const CASES: &[&[Case]] = &[
    avg_pool2d::CASES,
    batch_norm1d::CASES,
    batch_norm2d::CASES,
    conv2d::CASES,
    dropout::CASES,
    elu::CASES,
    flatten::CASES,
    flow::CASES,
    gelu::CASES,
    global_avg_pool2d::CASES,
    group_norm::CASES,
    hardsigmoid::CASES,
    hardswish::CASES,
    layer_norm::CASES,
    leaky_relu::CASES,
    linear::CASES,
    log_softmax::CASES,
    max_pool2d::CASES,
    maxout::CASES,
    pad_shortcut::CASES,
    prelu::CASES,
    relu::CASES,
    relu6::CASES,
    residual::CASES,
    selu::CASES,
    sigmoid::CASES,
    silu::CASES,
    softmax::CASES,
    softplus::CASES,
    tanh::CASES,
];

/// Each layer's kind, and how it is built from its description.
pub(crate) fn builders<T: Element>() -> [(&'static str, BuildFn<T>); 30] {
    [
        (avg_pool2d::KIND, avg_pool2d::build),
        (batch_norm1d::KIND, batch_norm1d::build),
        (batch_norm2d::KIND, batch_norm2d::build),
        (conv2d::KIND, conv2d::build),
        (dropout::KIND, dropout::build),
        (elu::KIND, elu::build),
        (flatten::KIND, flatten::build),
        (flow::KIND, flow::build),
        (gelu::KIND, gelu::build),
        (global_avg_pool2d::KIND, global_avg_pool2d::build),
        (group_norm::KIND, group_norm::build),
        (hardsigmoid::KIND, hardsigmoid::build),
        (hardswish::KIND, hardswish::build),
        (layer_norm::KIND, layer_norm::build),
        (leaky_relu::KIND, leaky_relu::build),
        (linear::KIND, linear::build),
        (log_softmax::KIND, log_softmax::build),
        (max_pool2d::KIND, max_pool2d::build),
        (maxout::KIND, maxout::build),
        (pad_shortcut::KIND, pad_shortcut::build),
        (prelu::KIND, prelu::build),
        (relu::KIND, relu::build),
        (relu6::KIND, relu6::build),
        (residual::KIND, residual::build),
        (selu::KIND, selu::build),
        (sigmoid::KIND, sigmoid::build),
        (silu::KIND, silu::build),
        (softmax::KIND, softmax::build),
        (softplus::KIND, softplus::build),
        (tanh::KIND, tanh::build),
    ]
}
