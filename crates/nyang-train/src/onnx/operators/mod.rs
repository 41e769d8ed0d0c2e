//! The list of what ONNX can say: a line for each kind of module.

mod activations;
mod containers;
mod linear;
mod norms;
mod pools;

use super::ExportFn;

/// Each kind of module, and how it becomes nodes. A new layer is its line here and a function of a few lines.
pub(super) const OPERATORS: &[(&str, ExportFn)] = &[
    ("AdaptiveAvgPool2d", pools::adaptive_avg_pool2d),
    ("AdaptiveMaxPool2d", pools::adaptive_max_pool2d),
    ("AvgPool2d", pools::avg_pool2d),
    ("BatchNorm1d", norms::batch_norm),
    ("BatchNorm2d", norms::batch_norm),
    ("Branches", containers::branches),
    ("Conv2d", linear::conv2d),
    ("DropPath", containers::identity),
    ("Dropout", containers::dropout),
    ("Dropout2d", containers::identity),
    ("Elu", activations::elu),
    ("Flatten", linear::flatten),
    ("Flow", containers::flow),
    ("Gelu", activations::gelu),
    ("GlobalAvgPool2d", pools::global_avg_pool2d),
    ("GroupNorm", norms::group_norm),
    ("Hardsigmoid", activations::hardsigmoid),
    ("Hardswish", activations::hardswish),
    ("LayerNorm", norms::layer_norm),
    ("LeakyRelu", activations::leaky_relu),
    ("Linear", linear::linear),
    ("LogSoftmax", activations::log_softmax),
    ("MaxPool2d", pools::max_pool2d),
    ("Maxout", activations::maxout),
    ("Mish", activations::mish),
    ("PRelu", activations::prelu),
    ("PadShortcut", linear::pad_shortcut),
    ("Relu", activations::relu),
    ("Relu6", activations::relu6),
    ("Reshape", linear::reshape),
    ("Residual", containers::residual),
    ("Selu", activations::selu),
    ("Sigmoid", activations::sigmoid),
    ("Silu", activations::silu),
    ("Softmax", activations::softmax),
    ("Softplus", activations::softplus),
    ("SqueezeExcite", containers::squeeze_excite),
    ("Tanh", activations::tanh),
    ("Upsample", pools::upsample),
];
