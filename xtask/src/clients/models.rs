//! onnxruntime and PyTorch: they compute from our files what we compute.

use std::path::Path;

use super::Checked;
use super::job::Job;
use crate::compare;

/// Every layer in every setting and every model of the zoo, as ONNX: accepted by onnx's full check, the same outputs in onnxruntime.
pub fn run_in_onnxruntime(python: &Path, _: &Job) -> Checked {
    compare::said(python, "onnx")
}

/// Our safetensors, loaded by name into the same networks made of PyTorch's layers: the same logits.
pub fn load_in_torch(python: &Path, _: &Job) -> Checked {
    compare::said(python, "plain weights")
}
