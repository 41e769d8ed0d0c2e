//! Activations: one node each where ONNX has it, a few where it has not.

use crate::Result;
use crate::onnx::{Graph, Layer, Value};

pub fn relu(_: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    Ok(graph.node("Relu", &[&x], &[]))
}

pub fn relu6(_: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let (low, high) = (graph.number("low", 0.0), graph.number("high", 6.0));
    Ok(graph.node("Clip", &[&x, &low, &high], &[]))
}

pub fn leaky_relu(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    Ok(graph.node("LeakyRelu", &[&x], &[("alpha", layer.f64("alpha")?.into())]))
}

/// The slopes get ones behind their size, so that they lie along the channels.
pub fn prelu(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let weight = layer.tensor("weight")?;
    let behind = if weight.len() == 1 { 0 } else { layer.input()?.len().saturating_sub(2) };
    let dims = [weight.dims(), &vec![1; behind]].concat();
    let slopes = graph.numbers("weight", &dims, &weight.to_vec());
    Ok(graph.node("PRelu", &[&x, &slopes], &[]))
}

pub fn elu(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    Ok(graph.node("Elu", &[&x], &[("alpha", layer.f64("alpha")?.into())]))
}

/// ONNX's own constants are PyTorch's to the last bit of an f32, but are said all the same.
pub fn selu(_: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let settings = [("alpha", 1.673_263_242_354_377_3.into()), ("gamma", 1.050_700_987_355_480_5.into())];
    Ok(graph.node("Selu", &[&x], &settings))
}

pub fn sigmoid(_: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    Ok(graph.node("Sigmoid", &[&x], &[]))
}

pub fn hardsigmoid(_: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    Ok(graph.node("HardSigmoid", &[&x], &[("alpha", (1.0 / 6.0).into()), ("beta", 0.5.into())]))
}

pub fn hardswish(_: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    Ok(graph.node("HardSwish", &[&x], &[]))
}

pub fn tanh(_: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    Ok(graph.node("Tanh", &[&x], &[]))
}

/// x · σ(x)
pub fn silu(_: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let gate = graph.node("Sigmoid", &[&x], &[]);
    Ok(graph.node("Mul", &[&x, &gate], &[]))
}

/// x · tanh(ln(1 + eˣ)): ONNX knows it by its name only since version 18 of its operators
pub fn mish(_: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let soft = graph.node("Softplus", &[&x], &[]);
    let gate = graph.node("Tanh", &[&soft], &[]);
    Ok(graph.node("Mul", &[&x, &gate], &[]))
}

/// ½ x (1 + erf(x/√2)), or its approximation ½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))
pub fn gelu(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let squashed = if layer.text("approximate")? == "tanh" {
        let (three, small) = (graph.number("three", 3.0), graph.number("small", 0.044715));
        let scale = graph.number("scale", (2.0 / std::f64::consts::PI).sqrt());
        let cube = graph.node("Pow", &[&x, &three], &[]);
        let bent = graph.node("Mul", &[&cube, &small], &[]);
        let sum = graph.node("Add", &[&x, &bent], &[]);
        let scaled = graph.node("Mul", &[&sum, &scale], &[]);
        graph.node("Tanh", &[&scaled], &[])
    } else {
        let scale = graph.number("scale", std::f64::consts::FRAC_1_SQRT_2);
        let scaled = graph.node("Mul", &[&x, &scale], &[]);
        graph.node("Erf", &[&scaled], &[])
    };
    let (one, half) = (graph.number("one", 1.0), graph.number("half", 0.5));
    let gate = graph.node("Add", &[&squashed, &one], &[]);
    let both = graph.node("Mul", &[&x, &gate], &[]);
    Ok(graph.node("Mul", &[&both, &half], &[]))
}

/// ln(1 + e^(βx)) / β, and x itself above the threshold
pub fn softplus(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let beta = graph.number("beta", layer.f64("beta")?);
    let threshold = graph.number("threshold", layer.f64("threshold")?);
    let scaled = graph.node("Mul", &[&x, &beta], &[]);
    let soft = graph.node("Softplus", &[&scaled], &[]);
    let soft = graph.node("Div", &[&soft, &beta], &[]);
    let above = graph.node("Greater", &[&scaled, &threshold], &[]);
    Ok(graph.node("Where", &[&above, &x, &soft], &[]))
}

pub fn softmax(_: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    Ok(graph.node("Softmax", &[&x], &[("axis", 1usize.into())]))
}

pub fn log_softmax(_: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    Ok(graph.node("LogSoftmax", &[&x], &[("axis", 1usize.into())]))
}

/// The largest of k tensors, each of which has every k-th channel.
pub fn maxout(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let pieces = layer.usize("pieces")?;
    let (end, axis) = (graph.integers("end", &[i64::MAX]), graph.integers("axis", &[1]));
    let step = graph.integers("step", &[i64::try_from(pieces).unwrap_or(i64::MAX)]);
    let piece = |nth| {
        let start = graph.integers("start", &[nth]);
        graph.node("Slice", &[&x, &start, &end, &axis, &step], &[])
    };
    let pieces: Vec<Value> = (0..i64::try_from(pieces).unwrap_or(0)).map(piece).collect();
    Ok(graph.node("Max", &pieces.iter().collect::<Vec<_>>(), &[]))
}
