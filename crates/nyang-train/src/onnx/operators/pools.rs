//! Pooling and resizing. Where a runtime's reading of a setting differs from PyTorch's, the setting is spelled out in plainer nodes.

use nyang_tensor::kernels::Window;

use crate::onnx::graph::whole;
use crate::onnx::{Graph, Layer, Value};
use crate::{Error, Result};

pub fn global_avg_pool2d(_: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    Ok(graph.node("GlobalAveragePool", &[&x], &[]))
}

/// Height and width of the input.
fn image(layer: &Layer<'_>) -> Result<[usize; 2]> {
    match *layer.input()? {
        [_, _, h, w] => Ok([h, w]),
        _ => Err(layer.refused("its input is no batch of images")),
    }
}

fn window(layer: &Layer<'_>) -> Result<Window> {
    let [top, bottom, left, right] = layer.sizes("padding")?;
    Ok(Window {
        kernel: layer.sizes("kernel")?,
        stride: layer.sizes("stride")?,
        padding: [[top, bottom], [left, right]],
        dilation: layer.sizes("dilation")?,
        ceil_mode: layer.bool("ceil_mode")?,
    })
}

/// The image with so much of `value` around it that windows which reach beyond its end fit; and the output's size.
fn padded(layer: &Layer<'_>, x: Value, window: &Window, value: f64, graph: &mut Graph) -> Result<(Value, [usize; 2])> {
    let input = image(layer)?;
    let out = window.out_size("onnx", input).map_err(Error::Tensor)?;
    let behind = |axis: usize| {
        let reach = window.dilation[axis] * (window.kernel[axis] - 1) + 1;
        ((out[axis] - 1) * window.stride[axis] + reach).saturating_sub(input[axis] + window.padding[axis][0])
    };
    let [top, left] = [0, 1].map(|axis| whole(window.padding[axis][0]));
    let pads = graph.integers("pads", &[0, 0, top, left, 0, 0, whole(behind(0)), whole(behind(1))]);
    let value = graph.number("around", value);
    Ok((graph.node("Pad", &[&x, &pads, &value], &[]), out))
}

pub fn max_pool2d(layer: &Layer<'_>, mut x: Value, graph: &mut Graph) -> Result<Value> {
    let window = window(layer)?;
    let [[top, bottom], [left, right]] = window.padding;
    let mut settings =
        vec![("kernel_shape", window.kernel.into()), ("strides", window.stride.into()), ("dilations", window.dilation.into())];
    // runtimes disagree on windows that reach beyond the end, and refuse padding as wide as an undilated kernel
    if window.ceil_mode || window.dilation != [1, 1] {
        (x, _) = padded(layer, x, &window, f64::NEG_INFINITY, graph)?;
    } else {
        settings.push(("pads", [top, left, bottom, right].into()));
    }
    Ok(graph.node("MaxPool", &[&x], &settings))
}

pub fn avg_pool2d(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let window = window(layer)?;
    let [[top, bottom], [left, right]] = window.padding;
    let with_padding = layer.bool("count_include_pad")?;
    let divisor = layer.spec.config.contains_key("divisor_override").then(|| layer.usize("divisor_override")).transpose()?;
    let kernel = [("kernel_shape", window.kernel.into()), ("strides", window.stride.into())];
    if !window.ceil_mode && divisor.is_none() {
        let [kernel, stride] = kernel;
        let settings = [kernel, stride, ("pads", [top, left, bottom, right].into()), ("count_include_pad", with_padding.into())];
        return Ok(graph.node("AveragePool", &[&x], &settings));
    }
    // the mean over whole windows with zeros around, times the cells of a window over the divisor of each place
    let [h, w] = image(layer)?;
    let (x, [oh, ow]) = padded(layer, x, &window, 0.0, graph)?;
    let means = graph.node("AveragePool", &[&x], &kernel);
    let covered = |axis: usize, size: usize, o: usize| {
        let [before, behind] = window.padding[axis];
        let (start, end) = (o * window.stride[axis], o * window.stride[axis] + window.kernel[axis]); // in the padded image
        if with_padding { end.min(size + before + behind) - start } else { end.min(size + before).saturating_sub(start.max(before)) }
    };
    let cells = window.kernel[0] * window.kernel[1];
    let factor = |place: usize| {
        let (i, j) = (place / ow, place % ow);
        let m = divisor.unwrap_or_else(|| covered(0, h, i) * covered(1, w, j));
        (cells as f64 / m as f64) as f32
    };
    let factors = graph.numbers("factors", &[1, 1, oh, ow], &(0..oh * ow).map(factor).collect::<Vec<_>>());
    Ok(graph.node("Mul", &[&means, &factors], &[]))
}

/// Where each of `out` cells begins and ends in a row of `size`: they may overlap.
fn cells(size: usize, out: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..out).map(move |o| (o * size / out, ((o + 1) * size).div_ceil(out)))
}

/// y = P x Qᵀ: averages of rows, then of columns, are products with fixed matrices.
pub fn adaptive_avg_pool2d(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let ([h, w], [oh, ow]) = (image(layer)?, layer.sizes("size")?);
    let matrix = |size: usize, out: usize| -> Vec<f32> {
        let row =
            |(start, end): (usize, usize)| (0..size).map(move |i| if (start..end).contains(&i) { 1.0 / (end - start) as f32 } else { 0.0 });
        cells(size, out).flat_map(row).collect()
    };
    let across = matrix(w, ow);
    let turned: Vec<f32> = (0..w * ow).map(|at| across[at % ow * w + at / ow]).collect();
    let (p, q) = (graph.numbers("rows", &[oh, h], &matrix(h, oh)), graph.numbers("columns", &[w, ow], &turned));
    let columns = graph.node("MatMul", &[&x, &q], &[]);
    Ok(graph.node("MatMul", &[&p, &columns], &[]))
}

/// Maxima of rows, then of columns.
pub fn adaptive_max_pool2d(layer: &Layer<'_>, mut x: Value, graph: &mut Graph) -> Result<Value> {
    let (input, output) = (image(layer)?, layer.sizes::<2>("size")?);
    for axis in 0..2 {
        let at = graph.integers("axis", &[whole(axis + 2)]);
        let mut largest = Vec::new();
        for (start, end) in cells(input[axis], output[axis]) {
            let (start, end) = (graph.integers("start", &[whole(start)]), graph.integers("end", &[whole(end)]));
            let cell = graph.node("Slice", &[&x, &start, &end, &at], &[]);
            largest.push(graph.node("ReduceMax", &[&cell, &at], &[]));
        }
        x = graph.node("Concat", &largest.iter().collect::<Vec<_>>(), &[("axis", (axis + 2).into())]);
    }
    Ok(x)
}

pub fn upsample(layer: &Layer<'_>, x: Value, graph: &mut Graph) -> Result<Value> {
    let size = match layer.spec.config.contains_key("size") {
        true => layer.sizes("size")?,
        false => {
            let (factor, input) = (layer.sizes::<2>("factor")?, image(layer)?);
            [factor[0] * input[0], factor[1] * input[1]]
        }
    };
    let (mode, places) = match layer.text("mode")? {
        "nearest" => ("nearest", "asymmetric"),
        "bilinear" => ("linear", "half_pixel"),
        "bilinear_aligned" => ("linear", "align_corners"),
        other => return Err(layer.refused(format!("the mode `{other}` is not known"))),
    };
    let size = graph.integers("size", &size.map(whole));
    let settings = [
        ("axes", [2usize, 3].into()),
        ("mode", mode.into()),
        ("coordinate_transformation_mode", places.into()),
        ("nearest_mode", "floor".into()),
    ];
    Ok(graph.node("Resize", &[&x, &Value::none(), &Value::none(), &size], &settings))
}
