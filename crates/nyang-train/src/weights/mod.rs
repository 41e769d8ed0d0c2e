//! Weights alone, by PyTorch's names and in its layouts: to PyTorch, and from it.

mod number;
mod problem;
#[cfg(feature = "pytorch")]
mod pytorch;
mod report;
mod safetensors;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use nyang_nn::{Module, StateDict, StateValue};
use nyang_tensor::Element;

pub use problem::WeightsProblem;
pub use report::LoadReport;

use crate::files::looks_like;
use crate::{Error, Result};
use number::{Number, dims_text};

/// The parameters and buffers of a model by name, apart from its structure: what a PyTorch state dict is.
///
/// Files are safetensors, which PyTorch reads with `safetensors.torch.load_file` and writes with `save_file`; with this crate's feature
/// `pytorch` also `.pt` and `.pth` can be read. Names and layouts are PyTorch's on both sides, so that the zoo's ImageNet forms take
/// torchvision's state dicts as they are. Half precision, bfloat16 and `f64` become `T`.
///
/// ```
/// # use nyang_train::prelude::*;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("lenet.safetensors");
/// let task = zoo::Task::new([1, 28, 28], 10);
/// let model = zoo::lenet::<f32>(task, &mut Init::seed(1))?;
/// Weights::of(&model)?.write(&path)?; // in Python: model.load_state_dict(safetensors.torch.load_file("lenet.safetensors"))
///
/// let mut other = zoo::lenet::<f32>(task, &mut Init::seed(2))?;
/// let report = Weights::read(&path)?.load_into(&mut other)?;
/// assert_eq!(StateDict::of(&other)?, StateDict::of(&model)?);
/// assert_eq!(report.loaded.len(), 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Weights<T: Element = f32> {
    origin: PathBuf,
    entries: Entries<T>,
}

/// One name's numbers: how the file holds them, and what they are here, or why they can be nothing.
#[derive(Clone, Debug)]
struct Entry<T: Element> {
    number: Number,
    value: Result<StateValue<T>, String>,
}

type Entries<T> = BTreeMap<String, Entry<T>>;

impl<T: Element> Weights<T> {
    /// The weights of a model. They stay as they are if the model is trained further.
    ///
    /// # Errors
    /// [`Error::Model`] if two parameters have the same path.
    pub fn of(model: &dyn Module<T>) -> Result<Self> {
        Ok(StateDict::of(model)?.into())
    }

    /// Reads a safetensors file, or with the feature `pytorch` a PyTorch file; its content tells which, not its name.
    ///
    /// In a PyTorch file dictionaries within others join their names with dots, so a checkpoint's weights may be
    /// [`below`](Weights::below) `state_dict`. Nothing in a file is executed, and no more memory is asked for than a few times its length.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Truncated`], [`Error::Trailing`] and [`Error::Weights`] for a file that is damaged, of another format, or
    /// would run code in Python.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |reason| Error::file("read", path, reason);
        let mut file = File::open(path).map_err(failed)?;
        let mut first = Vec::new();
        file.by_ref().take(512).read_to_end(&mut first).map_err(failed)?;
        file.rewind().map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let entries = if safetensors::recognises(&first) {
            safetensors::read(path, &mut file, length)?
        } else if pytorch_begins_so(&first) {
            pytorch_file(path, length)?
        } else {
            let looks_like = looks_like(&first, length).unwrap_or("a file of NyangTorch: load_model reads a model with its structure");
            return Err(Error::weights(path, WeightsProblem::Format { looks_like }));
        };
        Ok(Weights { origin: path.to_path_buf(), entries })
    }

    /// Writes a safetensors file, whole or not at all. The same weights give the same bytes.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        safetensors::write(path.as_ref(), &self.entries)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The value of that name; none if there is none, or it is of a type that no weight has.
    pub fn get(&self, name: &str) -> Option<&StateValue<T>> {
        self.entries.get(name)?.value.as_ref().ok()
    }

    /// The weights below a name, without it: below `module`, what is called `module.conv1.weight` is called `conv1.weight`. The others are left out.
    ///
    /// # Errors
    /// [`Error::Weights`] if there are none.
    pub fn below(mut self, prefix: &str) -> Result<Self> {
        let inner = |name: &String| Some(name.strip_prefix(prefix)?.strip_prefix('.')?.to_owned());
        if !self.entries.keys().any(|name| inner(name).is_some()) {
            let first = self.entries.keys().take(3).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            return Err(Error::weights(&self.origin, WeightsProblem::Prefix { prefix: prefix.to_owned(), first }));
        }
        self.entries = std::mem::take(&mut self.entries).into_iter().filter_map(|(name, entry)| Some((inner(&name)?, entry))).collect();
        Ok(self)
    }

    /// Puts every value into the model; all names must find their like. Gradients become zero.
    ///
    /// A counter that is missing, such as `num_batches_tracked`, is no misfit.
    ///
    /// # Errors
    /// [`Error::Weights`] with *all* the names that are missing, unexpected or of another shape; the model is then unchanged.
    pub fn load_into(&self, model: &mut dyn Module<T>) -> Result<LoadReport> {
        self.load(model, LoadReport::fits)
    }

    /// Puts the values that fit into the model and leaves the rest as it is: for a model with another last layer, say. The report lists the rest.
    ///
    /// # Errors
    /// [`Error::Weights`] if nothing fits.
    pub fn load_matching(&self, model: &mut dyn Module<T>) -> Result<LoadReport> {
        self.load(model, |report| !report.loaded.is_empty())
    }

    fn load(&self, model: &mut dyn Module<T>, enough: impl Fn(&LoadReport) -> bool) -> Result<LoadReport> {
        let mut state = StateDict::of(model)?;
        let report = self.compare(&state);
        if !enough(&report) {
            return Err(Error::weights(&self.origin, WeightsProblem::Misfit(Box::new(report))));
        }
        for name in &report.loaded {
            if let Some(value) = self.get(name) {
                state.insert(name.as_str(), value.clone());
            }
        }
        state.load_into(model)?;
        Ok(report)
    }

    fn compare(&self, state: &StateDict<T>) -> LoadReport {
        let mut report = LoadReport::default();
        for (name, own) in state.iter() {
            let Some(entry) = self.entries.get(name) else {
                let list = if matches!(own, StateValue::Count(_)) { &mut report.kept } else { &mut report.missing };
                list.push(name.to_owned());
                continue;
            };
            let theirs = match &entry.value {
                Ok(StateValue::Tensor(t)) => dims_text(t.dims()),
                Ok(_) => "a counter".to_owned(),
                Err(why) => why.clone(),
            };
            match (own, &entry.value) {
                (StateValue::Tensor(a), Ok(StateValue::Tensor(b))) if a.shape() == b.shape() => {
                    report.loaded.push(name.to_owned());
                    if entry.number.name() != T::NAME {
                        report.converted.push(format!("{name} ({})", entry.number.name()));
                    }
                }
                (StateValue::Count(_), Ok(StateValue::Count(_))) => report.loaded.push(name.to_owned()),
                (StateValue::Tensor(a), _) => report.misshapen.push(format!("{name} (model {}, weights {theirs})", a.shape())),
                (_, _) => report.misshapen.push(format!("{name} (model a counter, weights {theirs})")),
            }
        }
        report.unexpected = self.names().filter(|name| state.get(name).is_none()).map(str::to_owned).collect();
        if !report.missing.is_empty() {
            let ours: Vec<&str> = state.iter().filter(|(_, v)| matches!(v, StateValue::Tensor(_))).map(|(name, _)| name).collect();
            report.below = report::prefix(&ours, &self.names().collect::<BTreeSet<_>>());
        }
        report
    }
}

/// A state that was taken earlier, or put together by hand.
impl<T: Element> From<StateDict<T>> for Weights<T> {
    fn from(state: StateDict<T>) -> Self {
        let number = if T::NAME == "f64" { Number::F64 } else { Number::F32 };
        let entry = |value: &StateValue<T>| Entry { number, value: Ok(value.clone()) };
        let entries = state.iter().map(|(name, value)| (name.to_owned(), entry(value))).collect();
        Weights { origin: PathBuf::from("these weights"), entries }
    }
}

/// Whether this may be the beginning of a PyTorch file: a zip archive, a pickle, or a tar archive.
fn pytorch_begins_so(first: &[u8]) -> bool {
    first.starts_with(b"PK") || first.starts_with(b"\x80") || first.get(257..262) == Some(b"ustar")
}

#[cfg(feature = "pytorch")]
fn pytorch_file<T: Element>(path: &Path, length: u64) -> Result<Entries<T>> {
    pytorch::read(path, length)
}

#[cfg(not(feature = "pytorch"))]
fn pytorch_file<T: Element>(path: &Path, _: u64) -> Result<Entries<T>> {
    Err(Error::weights(path, WeightsProblem::Feature))
}
