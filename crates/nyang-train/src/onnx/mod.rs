//! Models for other runtimes: an ONNX file of any model made of this library's parts, as it evaluates.

mod graph;
mod layer;
mod operators;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use nyang_data::Normalize;
use nyang_nn::{Module, Shape};

pub use graph::{Attribute, Graph, Value};
pub use layer::Layer;

use crate::files::protobuf::Message;
use crate::files::write_atomically;
use crate::{Error, Result};

/// How one kind of module becomes nodes: from the module and the value that comes in, to the value that goes out.
pub type ExportFn = fn(&Layer<'_>, Value, &mut Graph) -> Result<Value>;

/// The version of the file's form, of 2021: what every runtime in use reads.
const IR_VERSION: i64 = 8;

/// The set of operators, of 2022.
const OPSET: i64 = 18;

/// Protocol Buffers hold at most 2 GiB.
const LARGEST: usize = (1 << 31) - (1 << 20);

/// An export to ONNX: what goes into the graph beside the model.
///
/// The graph has one input, `images`, float `[N, C, H, W]` with any N, and one output, `[N, …]`: `logits`, or `probabilities`. Dropout is not
/// in it, batch norm has its running statistics. Weights have their names in the state dict.
///
/// ```
/// # use nyang_train::prelude::*;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("lenet.onnx");
/// let model = zoo::lenet::<f32>(zoo::Task::new([1, 28, 28], 10), &mut Init::seed(1))?;
/// Onnx::new().softmax(true).normalize(Normalize::new([0.13], [0.31])?).write(&path, &model, [1, 28, 28])?;
/// // in Python: onnxruntime.InferenceSession("lenet.onnx").run(None, {"images": images})
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A module of one's own joins by its kind:
///
/// ```
/// # use nyang_train::onnx::{Graph, Layer, Onnx, Value};
/// # use nyang_train::Result;
/// fn cube(_: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
///     let three = graph.number("three", 3.0);
///     Ok(graph.node("Pow", &[&x, &three], &[]))
/// }
/// let export = Onnx::new().with("Cube", cube);
/// ```
#[derive(Clone)]
pub struct Onnx {
    softmax: bool,
    normalize: Option<Normalize>,
    operators: BTreeMap<String, ExportFn>,
}

impl Default for Onnx {
    fn default() -> Self {
        Onnx::new()
    }
}

impl Onnx {
    /// An export of the model alone, which knows every layer and container of this library.
    pub fn new() -> Self {
        let operators = operators::OPERATORS.iter().map(|(kind, export)| ((*kind).to_owned(), *export)).collect();
        Onnx { softmax: false, normalize: None, operators }
    }

    /// Whether probabilities come out, the softmax of the logits; not unless asked.
    pub fn softmax(mut self, softmax: bool) -> Self {
        self.softmax = softmax;
        self
    }

    /// Standardises images in the graph, so that who uses it need not.
    pub fn normalize(mut self, normalize: Normalize) -> Self {
        self.normalize = Some(normalize);
        self
    }

    /// Adds a kind of module, or replaces one.
    pub fn with(mut self, kind: &str, export: ExportFn) -> Self {
        self.operators.insert(kind.to_owned(), export);
        self
    }

    /// Writes a file, whole or not at all. One image of zeros of this shape, `[C, H, W]`, goes through the model, which shows that it fits.
    ///
    /// # Errors
    /// [`Error::Onnx`] with the place of a module that ONNX cannot say; the model's own error for an input that it cannot take;
    /// [`Error::Argument`] if the statistics are for another number of channels; [`Error::File`].
    pub fn write(&self, path: impl AsRef<Path>, model: &dyn Module<f32>, input: impl Into<Shape>) -> Result<()> {
        let bytes = self.bytes(model, input.into())?;
        write_atomically(path, |file| file.write_all(&bytes))
    }

    fn bytes(&self, model: &dyn Module<f32>, input: Shape) -> Result<Vec<u8>> {
        if let Some(normalize) = self.normalize.as_ref().filter(|n| Some(&n.mean().len()) != input.dims().first()) {
            let why = "must be for as many channels as the input has";
            return Err(Error::argument("Onnx::write", "normalize", format!("{:?}", normalize.mean()), why));
        }
        let (spec, operators) = (model.spec(), self.operators.clone());
        let (whole, output) = layer::Whole::of(model, &input.batch_of(1)?, operators)?;
        let root = whole.root(&spec);
        let mut graph = Graph::default();
        let images = graph.input("images");
        let mut x = images.clone();
        if let Some(normalize) = &self.normalize {
            let dims: Vec<usize> = std::iter::once(normalize.mean().len()).chain(input.dims().iter().skip(1).map(|_| 1)).collect();
            let (mean, std) = (graph.numbers("mean", &dims, normalize.mean()), graph.numbers("std", &dims, normalize.std()));
            x = graph.node("Sub", &[&x, &mean], &[]);
            x = graph.node("Div", &[&x, &std], &[]);
        }
        let mut y = graph.module(&root, x)?;
        if self.softmax {
            y = graph.node("Softmax", &[&y], &[("axis", 1usize.into())]);
        }
        let y = graph.named(if self.softmax { "probabilities" } else { "logits" }, &y);
        if graph.bytes() > LARGEST {
            return Err(root.refused(format!("its numbers take {} bytes, and an ONNX file can hold {LARGEST}", graph.bytes())));
        }
        let graph = graph.message((&images, input.dims()), (&y, output.dims().get(1..).unwrap_or_default()));
        let opset = Message::new().string(1, "").int(2, OPSET);
        let model = Message::new().int(1, IR_VERSION).string(2, "nyangtorch").string(3, env!("CARGO_PKG_VERSION"));
        Ok(model.message(7, graph).message(8, opset).into_bytes())
    }
}
