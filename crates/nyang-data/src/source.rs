//! Where a sample came from, so that an error or a report can name it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a sample came from. Cheap to clone: no text is made before it is printed.
///
/// ```
/// # use nyang_data::Source;
/// assert_eq!(Source::item("digits", 17).to_string(), "digits #17");
/// assert_eq!(Source::file("flowers/rose/1.jpg").to_string(), "flowers/rose/1.jpg");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// A sample of a set that has no files.
    Item {
        /// The set's name, such as `digits`.
        set: &'static str,
        /// The sample's index in it.
        index: usize,
    },
    /// A file of its own.
    File(Arc<Path>),
}

impl Source {
    /// The sample at `index` of the set of this name.
    pub fn item(set: &'static str, index: usize) -> Self {
        Source::Item { set, index }
    }

    /// The file at this path.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Source::File(path.as_ref().into())
    }

    /// The file's path, if the sample has a file of its own.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Source::File(path) => Some(path),
            Source::Item { .. } => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Item { set, index } => write!(f, "{set} #{index}"),
            Source::File(path) => path.display().fmt(f),
        }
    }
}
