//! What can be wrong with a file of weights.

use super::LoadReport;

/// Why weights could not be read, or do not fit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsProblem {
    /// A file of another format.
    #[error("holds no weights that NyangTorch can read; it looks like {looks_like}")]
    Format {
        /// What its first bytes suggest.
        looks_like: &'static str,
    },
    /// A safetensors file whose header contradicts itself.
    #[error("the header of this safetensors file is not valid: {reason}; write it again, or download it again")]
    Header {
        /// What is wrong with it.
        reason: String,
    },
    /// A PyTorch file, in a program that was built without support for it.
    #[error(
        "a PyTorch file: build with nyang-train's feature `pytorch`, or convert it in Python: \
         `safetensors.torch.save_file(torch.load(\"in.pt\", weights_only=True), \"out.safetensors\")`"
    )]
    Feature,
    /// A PyTorch file that is damaged or holds what cannot be represented.
    #[error("this PyTorch file cannot be read: {reason}")]
    PyTorch {
        /// What is wrong with it.
        reason: String,
    },
    /// A pickle that would run something when Python loads it. Nothing was run here.
    #[error("this file would call `{callable}` when Python loads it; nothing was run here, and nothing of it was read: do not trust it")]
    Code {
        /// What would be called.
        callable: String,
    },
    /// Tensors that would take far more memory than the file has bytes.
    #[error(
        "its tensors would take {bytes} bytes, far more than the file's {file}: it is compressed or repeats values; write it again in Python"
    )]
    TooLarge {
        /// How many bytes the tensors would take.
        bytes: u64,
        /// How many the file has.
        file: u64,
    },
    /// No name stands below this one.
    #[error("no name stands below `{prefix}`; the first names are {first}")]
    Prefix {
        /// The name asked for.
        prefix: String,
        /// Some names that there are.
        first: String,
    },
    /// Weights and model do not belong together. Nothing was loaded.
    #[error("the weights do not fit the model, nothing was loaded: {0}")]
    Misfit(Box<LoadReport>),
}
