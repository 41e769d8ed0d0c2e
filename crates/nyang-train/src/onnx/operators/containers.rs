//! Modules made of modules, and those that evaluation does not see.

use crate::Result;
use crate::onnx::{Graph, Layer, Value};

pub fn identity(_: &Layer<'_>, x: Value, _: &mut Graph) -> Result<Value> {
    Ok(x)
}

/// Nothing in evaluation, unless it is the form that scales there, by 1 − p.
pub fn dropout(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    if !layer.spec.config.contains_key("scaled_in_evaluation") {
        return Ok(x);
    }
    let kept = graph.number("kept", 1.0 - layer.f64("p")?);
    Ok(graph.node("Mul", &[&x, &kept], &[]))
}

pub fn flow(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    layer.children().try_fold(x, |x, (_, child)| graph.module(&child, x))
}

/// g(f(x) + s(x)): the children that are neither the shortcut nor what comes after are f.
pub fn residual(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let role = |role: &str| layer.spec.config.contains_key(role).then(|| layer.text(role)).transpose();
    let (shortcut, after) = (role("shortcut")?, role("after")?);
    let beside = match shortcut {
        Some(name) => graph.module(&layer.child(name)?, x.clone())?,
        None => x.clone(),
    };
    let mut body = layer.children().filter(|(name, _)| Some(*name) != shortcut && Some(*name) != after);
    let through = body.try_fold(x, |x, (_, child)| graph.module(&child, x))?;
    let sum = graph.node("Add", &[&through, &beside], &[]);
    match after {
        Some(name) => graph.module(&layer.child(name)?, sum),
        None => Ok(sum),
    }
}

/// The outputs of all children, one after another along the channels, or added.
pub fn branches(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let outputs = layer.children().map(|(_, child)| graph.module(&child, x.clone())).collect::<Result<Vec<_>>>()?;
    let outputs: Vec<&Value> = outputs.iter().collect();
    match layer.text("join")? {
        "concat" => Ok(graph.node("Concat", &outputs, &[("axis", 1usize.into())])),
        "sum" => Ok(graph.node("Sum", &outputs, &[])),
        other => Err(layer.refused(format!("branches that are joined by `{other}` are not known"))),
    }
}

/// x · gate(x), the gate a number for each channel.
pub fn squeeze_excite(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let gate = flow(layer, x.clone(), graph)?;
    Ok(graph.node("Mul", &[&x, &gate], &[]))
}
