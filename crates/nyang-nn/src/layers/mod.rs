//! Every layer, one file each. A new one is its file and three lines here.

use nyang_tensor::Element;

use crate::case::Case;
use crate::registry::BuildFn;

mod avg_pool2d;
mod batch_norm2d;
mod conv2d;
mod dropout;
mod flatten;
mod flow;
mod flow_builder;
mod global_avg_pool2d;
mod linear;
mod max_pool2d;
mod pad_shortcut;
mod relu;
mod residual;

pub use avg_pool2d::{AvgPool2d, AvgPool2dConfig};
pub use batch_norm2d::{BatchNorm2d, BatchNorm2dConfig};
pub use conv2d::{Conv2d, Conv2dConfig};
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use flow::Flow;
pub use flow_builder::FlowBuilder;
pub use global_avg_pool2d::GlobalAvgPool2d;
pub use linear::{Linear, LinearConfig};
pub use max_pool2d::{MaxPool2d, MaxPool2dConfig};
pub use pad_shortcut::PadShortcut;
pub use relu::Relu;
pub use residual::Residual;

/// Each layer's cases.
pub const CASES: &[&[Case]] = &[
    avg_pool2d::CASES,
    batch_norm2d::CASES,
    conv2d::CASES,
    dropout::CASES,
    flatten::CASES,
    flow::CASES,
    global_avg_pool2d::CASES,
    linear::CASES,
    max_pool2d::CASES,
    pad_shortcut::CASES,
    relu::CASES,
    residual::CASES,
];

/// Each layer's kind, and how it is built from its description.
pub(crate) fn builders<T: Element>() -> [(&'static str, BuildFn<T>); 12] {
    [
        (avg_pool2d::KIND, avg_pool2d::build),
        (batch_norm2d::KIND, batch_norm2d::build),
        (conv2d::KIND, conv2d::build),
        (dropout::KIND, dropout::build),
        (flatten::KIND, flatten::build),
        (flow::KIND, flow::build),
        (global_avg_pool2d::KIND, global_avg_pool2d::build),
        (linear::KIND, linear::build),
        (max_pool2d::KIND, max_pool2d::build),
        (pad_shortcut::KIND, pad_shortcut::build),
        (relu::KIND, relu::build),
        (residual::KIND, residual::build),
    ]
}
