//! Ready models, one file each, with PyTorch's parameter names.

mod lenet;
mod mlp;
mod resnet;

pub use lenet::lenet;
pub use mlp::mlp;
pub use resnet::resnet20;
