//! Every layer, one file each. A new one is its file and two lines here: its `mod`, and its entry in the list below, from which follow what
//! the crate exports, which cases are checked, and what can be built from a description.

use nyang_tensor::Element;

use crate::case::Case;
use crate::registry::BuildFn;

mod adaptive_avg_pool2d;
mod adaptive_max_pool2d;
mod avg_pool2d;
pub mod batch_norm;
pub(crate) mod batch_norm1d;
pub(crate) mod batch_norm2d;
pub(crate) mod branches;
pub(crate) mod conv2d;
pub(crate) mod drop_path;
pub(crate) mod dropout;
pub(crate) mod dropout2d;
mod elu;
mod flatten;
pub(crate) mod flow;
mod flow_builder;
mod gelu;
mod global_avg_pool2d;
mod group_norm;
mod hardsigmoid;
mod hardswish;
mod layer_norm;
mod leaky_relu;
pub(crate) mod linear;
mod log_softmax;
mod max_pool2d;
mod maxout;
mod mish;
mod pad_shortcut;
mod prelu;
mod relu;
mod relu6;
mod reshape;
pub(crate) mod residual;
mod selu;
mod sigmoid;
mod silu;
mod softmax;
mod softplus;
pub(crate) mod squeeze_excite;
mod tanh;
mod upsample;

/// From `file: Type, …;` for each layer: its types exported, its cases and its builder listed.
macro_rules! layers {
    ($($file:ident: $($name:ident),+;)*) => {
        $(pub use $file::{$($name),+};)*

        /// Each layer's cases.
        pub(crate) const CASES: &[&[Case]] = &[$($file::CASES),*];

        /// Each layer's kind, and how it is built from its description.
        pub(crate) fn builders<T: Element>() -> Vec<(&'static str, BuildFn<T>)> {
            vec![$(($file::KIND, $file::build as BuildFn<T>)),*]
        }
    };
}

pub use flow_builder::FlowBuilder;

layers! {
    adaptive_avg_pool2d: AdaptiveAvgPool2d;
    adaptive_max_pool2d: AdaptiveMaxPool2d;
    avg_pool2d: AvgPool2d, AvgPool2dConfig;
    batch_norm1d: BatchNorm1d, BatchNorm1dConfig;
    batch_norm2d: BatchNorm2d, BatchNorm2dConfig;
    branches: Branches;
    conv2d: Conv2d, Conv2dConfig;
    drop_path: DropPath;
    dropout: Dropout;
    dropout2d: Dropout2d;
    elu: Elu;
    flatten: Flatten;
    flow: Flow;
    gelu: Gelu;
    global_avg_pool2d: GlobalAvgPool2d;
    group_norm: GroupNorm, GroupNormConfig;
    hardsigmoid: Hardsigmoid;
    hardswish: Hardswish;
    layer_norm: LayerNorm, LayerNormConfig;
    leaky_relu: LeakyRelu;
    linear: Linear, LinearConfig;
    log_softmax: LogSoftmax;
    max_pool2d: MaxPool2d, MaxPool2dConfig;
    maxout: Maxout;
    mish: Mish;
    pad_shortcut: PadShortcut;
    prelu: PRelu, PReluConfig;
    relu: Relu;
    relu6: Relu6;
    reshape: Reshape;
    residual: Residual;
    selu: Selu;
    sigmoid: Sigmoid;
    silu: Silu;
    softmax: Softmax;
    softplus: Softplus;
    squeeze_excite: SqueezeExcite, SqueezeExciteConfig;
    tanh: Tanh;
    upsample: Upsample, UpsampleMode;
}
