//! The graph under construction: nodes, and the numbers that they use.

use std::collections::BTreeSet;

use nyang_tensor::Tensor;

use super::Layer;
use crate::Result;
use crate::files::protobuf::Message;

/// What flows between nodes: the input, what a node gives, or fixed numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(String);

impl Value {
    /// Stands for an input that an operator has and is not given.
    pub fn none() -> Self {
        Value(String::new())
    }
}

/// A setting of a node.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Attribute {
    /// A whole number, or 0 and 1 for no and yes.
    Int(i64),
    /// A number.
    Float(f32),
    /// A name.
    Text(String),
    /// Several whole numbers.
    Ints(Vec<i64>),
}

impl From<usize> for Attribute {
    fn from(value: usize) -> Self {
        Attribute::Int(whole(value))
    }
}
impl From<i64> for Attribute {
    fn from(value: i64) -> Self {
        Attribute::Int(value)
    }
}
impl From<bool> for Attribute {
    fn from(value: bool) -> Self {
        Attribute::Int(i64::from(value))
    }
}
impl From<f64> for Attribute {
    fn from(value: f64) -> Self {
        Attribute::Float(value as f32)
    }
}
impl From<&str> for Attribute {
    fn from(value: &str) -> Self {
        Attribute::Text(value.to_owned())
    }
}
impl<const N: usize> From<[usize; N]> for Attribute {
    fn from(values: [usize; N]) -> Self {
        Attribute::Ints(values.map(whole).to_vec())
    }
}

/// A size as ONNX has it; none in memory is larger.
pub(super) fn whole(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// An ONNX graph that grows node by node. Values are named after the layer that they come from.
#[derive(Default)]
pub struct Graph {
    nodes: Vec<Message>,
    numbers: Vec<Message>,
    names: BTreeSet<String>,
    at: String,
    bytes: usize,
}

// Fields of ONNX's messages, by their numbers in onnx.proto.
const FLOAT: i64 = 1;
const INT64: i64 = 7;

impl Graph {
    /// Adds a node of an operator of ONNX's opset 18, with one output.
    pub fn node(&mut self, operator: &str, inputs: &[&Value], attributes: &[(&str, Attribute)]) -> Value {
        let output = self.fresh(operator);
        let inputs = inputs.iter().fold(Message::new(), |node, value| node.string(1, &value.0));
        let node = inputs.string(2, &output.0).string(3, &output.0).string(4, operator);
        self.nodes.push(attributes.iter().fold(node, |node, (name, value)| node.message(5, attribute(name, value))));
        output
    }

    /// Adds fixed numbers of these sizes, row-major.
    pub fn numbers(&mut self, name: &str, dims: &[usize], values: &[f32]) -> Value {
        let value = self.fresh(name);
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.fixed(&value, dims, FLOAT, &bytes);
        value
    }

    /// Adds a list of fixed whole numbers: sizes, axes.
    pub fn integers(&mut self, name: &str, values: &[i64]) -> Value {
        let value = self.fresh(name);
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.fixed(&value, &[values.len()], INT64, &bytes);
        value
    }

    /// Adds one fixed number, which goes with any shape.
    pub fn number(&mut self, name: &str, value: f64) -> Value {
        self.numbers(name, &[], &[value as f32])
    }

    /// Adds a layer's parameter or buffer.
    pub fn tensor(&mut self, name: &str, tensor: &Tensor<f32>) -> Value {
        self.numbers(name, tensor.dims(), &tensor.to_vec())
    }

    /// Adds a module within another: what the module gives for `x`.
    ///
    /// # Errors
    /// [`Error::Onnx`](crate::Error::Onnx) if ONNX has nothing like it; whatever its description lacks.
    pub fn module(&mut self, layer: &Layer<'_>, x: Value) -> Result<Value> {
        let outer = std::mem::replace(&mut self.at, layer.path.clone());
        let y = layer.operator()?(layer, x, self);
        self.at = outer;
        y
    }

    /// A name that nothing has yet, below the layer's path.
    fn fresh(&mut self, what: &str) -> Value {
        let name = if self.at.is_empty() { what.to_owned() } else { format!("{}.{what}", self.at) };
        let mut unique = name.clone();
        let mut nth = 1;
        while !self.names.insert(unique.clone()) {
            nth += 1;
            unique = format!("{name}_{nth}");
        }
        Value(unique)
    }

    fn fixed(&mut self, value: &Value, dims: &[usize], kind: i64, bytes: &[u8]) {
        let dims: Vec<i64> = dims.iter().copied().map(whole).collect();
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.numbers.push(Message::new().ints(1, &dims).int(2, kind).string(8, &value.0).bytes(9, bytes));
    }

    /// How many bytes the numbers take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The value that the graph is given.
    pub(super) fn input(&mut self, name: &str) -> Value {
        self.fresh(name)
    }

    /// Gives `value` the name under which the graph hands it out.
    pub(super) fn named(&mut self, name: &str, value: &Value) -> Value {
        let output = self.fresh(name);
        self.nodes.push(Message::new().string(1, &value.0).string(2, &output.0).string(3, &output.0).string(4, "Identity"));
        output
    }

    /// The whole graph with what goes in and out: name, type and sizes after the batch's.
    pub(super) fn message(self, input: (&Value, &[usize]), output: (&Value, &[usize])) -> Message {
        let graph = self.nodes.into_iter().fold(Message::new(), |graph, node| graph.message(1, node)).string(2, "nyangtorch");
        let graph = self.numbers.into_iter().fold(graph, |graph, numbers| graph.message(5, numbers));
        graph.message(11, signature(input)).message(12, signature(output))
    }
}

/// A value's type: floats, any number of samples, and so many in each.
fn signature((value, dims): (&Value, &[usize])) -> Message {
    let batch = Message::new().message(1, Message::new().string(2, "N"));
    let shape = dims.iter().fold(batch, |shape, &d| shape.message(1, Message::new().int(1, whole(d))));
    let tensor = Message::new().int(1, FLOAT).message(2, shape);
    Message::new().string(1, &value.0).message(2, Message::new().message(1, tensor))
}

fn attribute(name: &str, value: &Attribute) -> Message {
    let named = Message::new().string(1, name);
    match value {
        Attribute::Float(v) => named.float(2, *v).int(20, 1),
        Attribute::Int(v) => named.int(3, *v).int(20, 2),
        Attribute::Text(v) => named.string(4, v).int(20, 3),
        Attribute::Ints(v) => named.ints(8, v).int(20, 7),
    }
}
