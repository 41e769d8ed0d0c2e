//! What can go wrong with data, with the sample's name wherever one sample is to blame.

use std::path::PathBuf;

use nyang_tensor::Shape;

use crate::{ImageFault, Part, Source};

/// A result whose error is this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every way in which data can fail.
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
    /// There is nothing to work on.
    #[error("{op} needs at least one sample, the dataset has none")]
    Empty {
        /// The operation that was asked for.
        op: &'static str,
    },
    /// An index that the dataset does not have.
    #[error("there is no sample {index}: the dataset has {len}")]
    Index {
        /// The index asked for.
        index: usize,
        /// The number of samples.
        len: usize,
    },
    /// A file or folder that cannot be read.
    #[error("{}: cannot be read: {cause}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A file that cannot be written.
    #[error("{}: cannot be written: {cause}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A folder that is not to be written to.
    #[error("{}: {why}", path.display())]
    Output {
        /// The folder.
        path: PathBuf,
        /// Why, and what to do instead.
        why: String,
    },
    /// A file that holds no image that can be used.
    #[error("{sample}: {fault}")]
    Unreadable {
        /// The sample.
        sample: Source,
        /// What is wrong with it.
        fault: ImageFault,
    },
    /// A line of a manifest that is wrong.
    #[error("{}, line {line}: {why}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A file of a whole set that is not what it should be.
    #[error("{}: this is no {format} file that can be read: {why}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A folder without class folders.
    #[error("{}: the folder has no subfolders; each class needs one with its images, such as rose/1.jpg", path.display())]
    NoClassFolders {
        /// The folder.
        path: PathBuf,
    },
    /// A folder with one class.
    #[error("{}: there is only one class, {class:?}; a classifier needs two (or is this folder one above or below the right one?)", path.display())]
    OneClass {
        /// The folder.
        path: PathBuf,
        /// Its class.
        class: String,
    },
    /// A class folder without images.
    #[error("{}: this class folder holds no images; remove it or put some in", path.display())]
    EmptyClass {
        /// The folder.
        path: PathBuf,
    },
    /// A class folder whose name is not Unicode.
    #[error("{}: the name of this class folder is not Unicode; rename it", path.display())]
    FolderName {
        /// The folder.
        path: PathBuf,
    },
    /// A link that leads back to a folder above it.
    #[error("{}: this link leads back to a folder above it; remove it", path.display())]
    FolderLoop {
        /// The link.
        path: PathBuf,
    },
    /// Not as many labels as images.
    #[error("InMemory expects one label an image, got {images} images and {labels} labels")]
    Count {
        /// The number of images.
        images: usize,
        /// The number of labels.
        labels: usize,
    },
    /// A list of classes without a class.
    #[error("a dataset needs at least one class, its list of classes is empty")]
    NoClasses,
    /// Two classes of one name.
    #[error("classes {first} and {second} are both named {name:?}; every class needs a name of its own")]
    DuplicateClass {
        /// The name.
        name: String,
        /// The index of the first class of that name.
        first: usize,
        /// The index of the second one.
        second: usize,
    },
    /// A label that is no class.
    #[error("{sample}: label {label} is no class; there are {classes}, so labels run from 0 to {}", classes.saturating_sub(1))]
    Label {
        /// The sample.
        sample: Source,
        /// Its label as it was given.
        label: String,
        /// The number of classes.
        classes: usize,
    },
    /// Values that are not those of an image of this size.
    #[error("an image of {} × {} pixels with {} channels cannot have {values} values; no size is 0, and there is one value a pixel and channel", sizes[0], sizes[1], sizes[2])]
    ImageSize {
        /// Height, width, and number of channels.
        sizes: [usize; 3],
        /// The number of values.
        values: usize,
    },
    /// An image with a value that is NaN or infinite.
    #[error("{sample}: the image holds a value that is NaN or infinite")]
    NonFinite {
        /// The sample.
        sample: Source,
    },
    /// A transform of bytes on an image of floats.
    #[error("{op} works on images of bytes, this one has floats; put it before whatever makes floats of it")]
    NeedsBytes {
        /// The transform.
        op: &'static str,
    },
    /// A transform of colours on an image that has other channels.
    #[error("{op} works on images with 1 channel (grey) or 3 (red, green, blue), this one has {got}")]
    NeedsColours {
        /// The transform.
        op: &'static str,
        /// The image's number of channels.
        got: usize,
    },
    /// An image that could not be resized.
    #[error("an image of {} × {} pixels could not be resized to {} × {}: {why}", from[0], from[1], to[0], to[1])]
    Resize {
        /// Its height and width.
        from: [usize; 2],
        /// The height and width asked for.
        to: [usize; 2],
        /// What the resizer said.
        why: String,
    },
    /// An image that could not be encoded.
    #[error("the image could not be saved as {format}: {why}")]
    Encode {
        /// The format.
        format: &'static str,
        /// What the encoder said.
        why: String,
    },
    /// Two images that cannot lie in one batch.
    #[error("the images of a batch must have one shape: {first} is {}, {other} is {}; resize or crop them", shapes[0], shapes[1])]
    Mixed {
        /// The batch's first sample.
        first: Source,
        /// The first sample that differs.
        other: Source,
        /// The shapes of the two images.
        shapes: Box<[Shape; 2]>,
    },
    /// A part of a split that was asked for and would have no samples.
    #[error(
        "Split: the {part} part would be empty: {ratio} of {samples} samples in {classes} classes; give it a larger ratio, or 0 if it is not wanted"
    )]
    EmptyPart {
        /// The part.
        part: Part,
        /// Its ratio.
        ratio: f64,
        /// The number of samples in the whole dataset.
        samples: usize,
        /// The number of classes that have samples.
        classes: usize,
    },
    /// A sample that the data give no part.
    #[error("{sample}: the data do not say whether it is for train, valid or test, as Split::given needs; use Split::stratified")]
    NoPart {
        /// The sample.
        sample: Source,
    },
    /// Data that say which part each sample is meant for, to be divided in another way.
    #[error("Split: the data say which part each sample is for; use Split::given, and divide a part of that further if need be")]
    GivenParts,
    /// A sample that could not be read or changed.
    #[error("{sample}: {cause}")]
    Sample {
        /// The sample.
        sample: Source,
        /// What happened to it.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Code that reads or transforms a sample panicked.
    #[error("{sample}: the code that reads or transforms it panicked: {message}")]
    Panic {
        /// The sample.
        sample: Source,
        /// The panic's message.
        message: String,
    },
    /// The system gave no thread for loading.
    #[error("Loader: the system gave no thread for worker {worker}: {cause}; ask for fewer workers")]
    Thread {
        /// The worker's number.
        worker: usize,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A loading thread ended before its batch was made.
    #[error("Loader: the worker that makes batch {batch} is gone")]
    Lost {
        /// The batch's position in the epoch.
        batch: usize,
    },
    /// A batch of which no sample could be read.
    #[error("Loader: all {samples} samples of batch {batch} are unreadable: {first}")]
    AllSkipped {
        /// The batch's position in the epoch.
        batch: usize,
        /// The number of its samples.
        samples: usize,
        /// What happened to the first.
        first: String,
    },
    /// An operation on tensors failed.
    #[error(transparent)]
    Tensor(#[from] nyang_tensor::Error),
}

impl Error {
    /// Builds [`Error::Argument`].
    pub fn argument(op: &'static str, name: &'static str, value: impl ToString, why: &'static str) -> Self {
        Error::Argument { op, name, value: value.to_string(), why }
    }

    /// Builds [`Error::Sample`]: how a dataset of your own says which sample could not be read, and why.
    pub fn sample(sample: Source, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::Sample { sample, cause: cause.into() }
    }

    /// The sample that is to blame, where one is.
    pub fn blames(&self) -> Option<&Source> {
        match self {
            Error::Label { sample, .. }
            | Error::NonFinite { sample }
            | Error::Unreadable { sample, .. }
            | Error::Sample { sample, .. }
            | Error::Panic { sample, .. } => Some(sample),
            Error::Mixed { other, .. } => Some(other),
            _ => None,
        }
    }

    /// Whether a file or sample could not be read, and not something else went wrong with it.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Error::File { .. } | Error::Unreadable { .. } | Error::Sample { .. })
    }

    /// This error with the sample's name, unless it has one.
    pub(crate) fn of(self, sample: Source) -> Self {
        if self.blames().is_some() || matches!(self, Error::File { .. }) { self } else { Error::sample(sample, self) }
    }
}
