//! Convolution, the linear layer, and what only moves numbers.

use crate::Result;
use crate::onnx::graph::whole;
use crate::onnx::{Graph, Layer, Value};

pub fn conv2d(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let weight = graph.tensor("weight", layer.tensor("weight")?);
    let bias = layer.find("bias").map(|bias| graph.tensor("bias", bias));
    let inputs: Vec<&Value> = [&x, &weight].into_iter().chain(&bias).collect();
    let [top, bottom, left, right] = layer.sizes("padding")?;
    let settings = [
        ("kernel_shape", layer.sizes::<2>("kernel")?.into()),
        ("strides", layer.sizes::<2>("stride")?.into()),
        ("pads", [top, left, bottom, right].into()),
        ("dilations", layer.sizes::<2>("dilation")?.into()),
        ("group", layer.usize("groups")?.into()),
    ];
    Ok(graph.node("Conv", &inputs, &settings))
}

/// W lies as PyTorch has it, `[out, in]`, and is turned by the node.
pub fn linear(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let weight = graph.tensor("weight", layer.tensor("weight")?);
    let bias = layer.find("bias").map(|bias| graph.tensor("bias", bias));
    let inputs: Vec<&Value> = [&x, &weight].into_iter().chain(&bias).collect();
    Ok(graph.node("Gemm", &inputs, &[("transB", true.into())]))
}

pub fn flatten(_: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    Ok(graph.node("Flatten", &[&x], &[("axis", 1usize.into())]))
}

/// To sizes behind a batch of any size, which a 0 stands for.
pub fn reshape(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let sizes = layer.list("shape")?;
    let shape: Vec<i64> = [0].into_iter().chain(sizes.into_iter().map(whole)).collect();
    let shape = graph.integers("shape", &shape);
    Ok(graph.node("Reshape", &[&x, &shape], &[]))
}

/// Every s-th pixel, with channels of zeros in front and behind.
pub fn pad_shortcut(layer: &Layer<'_>, mut x: Value, graph: &mut Graph) -> Result<Value> {
    let (channels, out, stride) = (layer.usize("in_channels")?, layer.usize("out_channels")?, layer.usize("stride")?);
    if stride > 1 {
        let (start, end) = (graph.integers("start", &[0, 0]), graph.integers("end", &[i64::MAX; 2]));
        let (axes, steps) = (graph.integers("axes", &[2, 3]), graph.integers("steps", &[whole(stride); 2]));
        x = graph.node("Slice", &[&x, &start, &end, &axes, &steps], &[]);
    }
    let more = out.saturating_sub(channels);
    let before = more / 2;
    let pads = graph.integers("pads", &[0, whole(before), 0, 0, 0, whole(more - before), 0, 0]);
    Ok(graph.node("Pad", &[&x, &pads], &[]))
}
