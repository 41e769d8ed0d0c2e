//! Norms, with the statistics that they have learnt.

use nyang_tensor::Tensor;

use crate::Result;
use crate::onnx::graph::whole;
use crate::onnx::{Graph, Layer, Value};

/// A parameter, or as many times `value` if the layer was built without.
fn or_constant(layer: &Layer<'_>, name: &str, value: f32, dims: &[usize], graph: &mut Graph) -> Value {
    match layer.find(name) {
        Some(tensor) => graph.tensor(name, tensor),
        None => graph.numbers(name, dims, &vec![value; dims.iter().product()]),
    }
}

pub fn batch_norm(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let (mean, var) = (layer.tensor("running_mean")?, layer.tensor("running_var")?);
    let weight = or_constant(layer, "weight", 1.0, mean.dims(), graph);
    let bias = or_constant(layer, "bias", 0.0, mean.dims(), graph);
    let (mean, var) = (graph.tensor("running_mean", mean), graph.tensor("running_var", var));
    Ok(graph.node("BatchNormalization", &[&x, &weight, &bias, &mean, &var], &[("epsilon", layer.f64("eps")?.into())]))
}

pub fn layer_norm(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let shape = layer.list("shape")?;
    let weight = or_constant(layer, "weight", 1.0, &shape, graph);
    let bias = layer.find("bias").map(|bias| graph.tensor("bias", bias));
    let inputs: Vec<&Value> = [&x, &weight].into_iter().chain(&bias).collect();
    let settings = [("axis", (-whole(shape.len())).into()), ("epsilon", layer.f64("eps")?.into())];
    Ok(graph.node("LayerNormalization", &inputs, &settings))
}

/// Each group as one channel of an instance norm, then γ and β of each channel: `[N, C, …]` as `[N, G, …]`, as `[N, C, …]`, and as it was.
pub fn group_norm(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let (groups, channels) = (layer.usize("groups")?, layer.usize("channels")?);
    let eps = layer.f64("eps")?;
    let shape = graph.node("Shape", &[&x], &[]);
    let as_groups = graph.integers("as_groups", &[0, whole(groups), -1]);
    let rows = graph.node("Reshape", &[&x, &as_groups], &[]);
    let (one, zero) = (graph.numbers("one", &[groups], &vec![1.0; groups]), graph.numbers("zero", &[groups], &vec![0.0; groups]));
    let mut y = graph.node("InstanceNormalization", &[&rows, &one, &zero], &[("epsilon", eps.into())]);
    if let (Some(weight), Some(bias)) = (layer.find("weight"), layer.find("bias")) {
        let as_channels = graph.integers("as_channels", &[0, whole(channels), -1]);
        let column = |name: &str, t: &Tensor<f32>, graph: &mut Graph| graph.numbers(name, &[channels, 1], &t.to_vec());
        let (weight, bias) = (column("weight", weight, graph), column("bias", bias, graph));
        y = graph.node("Reshape", &[&y, &as_channels], &[]);
        y = graph.node("Mul", &[&y, &weight], &[]);
        y = graph.node("Add", &[&y, &bias], &[]);
    }
    Ok(graph.node("Reshape", &[&y, &shape], &[]))
}
