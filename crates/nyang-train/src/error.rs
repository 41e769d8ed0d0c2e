//! What can go wrong around training, said as place, expectation, fact, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use nyang_data::Source;

use crate::{Blame, WeightsProblem};

/// A result whose error is this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every way in which this crate can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument that no data could make right.
    #[error("{op}: {name} = {value} is not valid: {why}")]
    Argument {
        /// The operation that was asked for.
        op: &'static str,
        /// The argument's name.
        name: &'static str,
        /// The argument's value.
        value: String,
        /// What would be valid.
        why: &'static str,
    },
    /// There is not one prediction for each target.
    #[error("{op}: each target needs one prediction, got {predictions} predictions for {targets} targets")]
    Lengths {
        /// The operation that was asked for.
        op: &'static str,
        /// How many predictions came.
        predictions: usize,
        /// How many targets came.
        targets: usize,
    },
    /// A target or a prediction that is no class.
    #[error("sample {sample}: {what} {class} is no class: there are {classes}, numbered from 0; {}", if *what == "target" {
        "check the labels of the data set"
    } else {
        "the model has more outputs than the data set has classes"
    })]
    Class {
        /// The sample's position in what was given.
        sample: usize,
        /// Which of its two numbers: `"target"` or `"prediction"`.
        what: &'static str,
        /// That number.
        class: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// A score over no samples, which has no value.
    #[error("{op}: there is nothing to score: no sample was counted; add a batch first")]
    NoSamples {
        /// The operation that was asked for.
        op: &'static str,
    },
    /// The operating system refused.
    #[error("{}: cannot {action}: {reason}{}", path.display(), advice(action, reason))]
    File {
        /// What was to be done: `"read"` or `"write"`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        reason: io::Error,
    },
    /// A file of somebody else's format.
    #[error("{}: not a NyangTorch file: it looks like {looks_like}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What its first bytes suggest.
        looks_like: &'static str,
    },
    /// A NyangTorch file for another purpose.
    #[error("{}: expected a NyangTorch {expected} file, this is a {found} file", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The kind that was asked for.
        expected: String,
        /// The kind that the file says it is.
        found: String,
    },
    /// A file of a version that this program does not know yet.
    #[error("{}: written by a newer NyangTorch: format version {found}, this one reads up to {newest}; update NyangTorch", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: u32,
        /// The newest version that can be read.
        newest: u32,
    },
    /// A file that ends too early.
    #[error("{}: truncated: {expected} bytes expected, {actual} found; copy or download it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// How long the file should at least be.
        expected: u64,
        /// How long it is.
        actual: u64,
    },
    /// A file that goes on after its end.
    #[error("{}: {} bytes too many: {expected} expected, {actual} found; copy or download it again", path.display(), actual - expected)]
    Trailing {
        /// The file.
        path: PathBuf,
        /// How long the file should be.
        expected: u64,
        /// How long it is.
        actual: u64,
    },
    /// A file whose bytes have changed since it was written.
    #[error("{}: corrupted: its checksum is {stored:08x}, its bytes give {computed:08x}; copy or download it again", path.display())]
    Corrupted {
        /// The file.
        path: PathBuf,
        /// The CRC-32 at the end of the file.
        stored: u32,
        /// The CRC-32 of the bytes before it.
        computed: u32,
    },
    /// A whole, unchanged file whose content is not what its kind and version promise.
    #[error("{}: the content is not that of a {kind} file of version {version}: {reason}; was it written by another program?", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The file's kind.
        kind: String,
        /// The file's version.
        version: u32,
        /// Where the decoder stopped, and why.
        reason: String,
    },
    /// A value that cannot be written as MessagePack.
    #[error("{}: the value cannot be encoded: {reason}", path.display())]
    Encode {
        /// The file that was to hold it.
        path: PathBuf,
        /// What the encoder says.
        reason: String,
    },
    /// A stored tensor that contradicts itself or what was asked for.
    #[error("stored tensor: expected {expected}, got {got}")]
    StoredTensor {
        /// What would be valid.
        expected: String,
        /// What the file holds.
        got: String,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] nyang_tensor::Error),
    /// A model or a loss failed.
    #[error(transparent)]
    Model(#[from] nyang_nn::Error),
    /// The data could not be had.
    #[error(transparent)]
    Data(#[from] nyang_data::Error),
    /// An optimizer or a schedule failed.
    #[error(transparent)]
    Optim(#[from] nyang_optim::Error),
    /// A whole model file whose parts contradict one another.
    #[error("{}: {reason}", path.display())]
    ModelFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// Model and data do not belong together.
    #[error("model and data do not go together: {expected}, got {got}")]
    Mismatch {
        /// What would be valid.
        expected: String,
        /// What came.
        got: String,
    },
    /// The loss or a gradient is no number any more.
    #[error("the loss is {loss} in epoch {epoch}, batch {batch}: {blame} (the batch's samples: {})", some(samples))]
    Diverged {
        /// What the loss is.
        loss: f64,
        /// The epoch, from 1.
        epoch: usize,
        /// The batch in the epoch, from 1.
        batch: usize,
        /// What is the first not to be finite.
        blame: Blame,
        /// Where the batch's samples come from.
        samples: Vec<Source>,
    },
    /// Weights that cannot be read, or that are not a model's.
    #[error("{}: {problem}", path.display())]
    Weights {
        /// The file that they are from.
        path: PathBuf,
        /// What is wrong.
        problem: WeightsProblem,
    },
    /// A module that an ONNX file cannot hold.
    #[error("{}{kind} cannot be written as ONNX: {why}", if path.is_empty() { String::new() } else { format!("at `{path}`: ") })]
    Onnx {
        /// Where in the model it is.
        path: String,
        /// What kind of module it is.
        kind: String,
        /// Why not, and what to do.
        why: String,
    },
    /// The last batch has one sample, and the model cannot learn from one.
    #[error(
        "the last of an epoch's {batches} batches has one sample ({samples} in all), and the model cannot learn from one: {why}; \
         give the loader LastBatch::Merge or LastBatch::Drop"
    )]
    LoneSample {
        /// How many batches an epoch has.
        batches: usize,
        /// How many samples.
        samples: usize,
        /// What the model says.
        why: nyang_nn::Error,
    },
    /// A run that is to be resumed was set up otherwise.
    #[error("{}: this run cannot be resumed with other settings: {}; make them as they were, or name another folder", path.display(), differences.join("; "))]
    OtherRun {
        /// The run's checkpoint.
        path: PathBuf,
        /// Each setting that differs: its name, what it was, what it is.
        differences: Vec<String>,
    },
    /// A checkpoint's state of a callback that is none.
    #[error("the checkpoint's state of the callback {name} is not one that it has written: {why}")]
    CallbackState {
        /// The callback's name.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A run's folder holds an earlier run.
    #[error(
        "{}: an earlier run is here, and training would replace it; name another folder, or say resume(true) or overwrite(true)",
        path.display()
    )]
    Occupied {
        /// A file of the earlier run.
        path: PathBuf,
    },
}

impl Error {
    /// Builds [`Error::Argument`].
    pub fn argument(op: &'static str, name: &'static str, value: impl ToString, why: &'static str) -> Self {
        Error::Argument { op, name, value: value.to_string(), why }
    }

    /// Builds [`Error::Weights`].
    pub fn weights(path: impl AsRef<Path>, problem: WeightsProblem) -> Self {
        Error::Weights { path: path.as_ref().to_path_buf(), problem }
    }

    /// Builds [`Error::File`].
    pub fn file(action: &'static str, path: impl AsRef<Path>, reason: io::Error) -> Self {
        Error::File { action, path: path.as_ref().to_path_buf(), reason }
    }
}

/// The first few of a batch's samples.
fn some(samples: &[Source]) -> String {
    const FEW: usize = 3;
    let mut text = samples.iter().take(FEW).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if samples.len() > FEW {
        text += &format!(" and {} more", samples.len() - FEW);
    }
    text
}

/// What usually helps, where that is known.
fn advice(action: &str, reason: &io::Error) -> &'static str {
    match (reason.kind(), action) {
        (io::ErrorKind::NotFound, "write") => "; create the folder first",
        (io::ErrorKind::NotFound, _) => "; check the path",
        (io::ErrorKind::PermissionDenied, _) => "; check the permissions of the file and of its folder",
        (io::ErrorKind::IsADirectory, _) => "; name a file, not a folder",
        (io::ErrorKind::StorageFull, _) => "; free some space",
        _ => "",
    }
}
