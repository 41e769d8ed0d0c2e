//! What is in the files. That other runtimes compute the same from them is shown by `cargo xtask clients`, which has them.

use std::collections::BTreeSet;

use nyang_nn::case::CASES;
use nyang_nn::{Conv2d, Ctx, Element, Flatten, Flow, GlobalAvgPool2d, Init, Linear, Relu, Residual, Result as ModelResult, Spec, Tensor};

use super::*;

/// In each of its settings; a kind that is not in the list, and has to be given, says so.
#[test]
fn every_layer_of_the_list_is_exported() {
    let mut exported = BTreeSet::new();
    for case in CASES.iter().copied().flatten().filter(|case| !["LayerNorm/one_sample", "PRelu/vector"].contains(&case.name)) {
        let model = (case.build_f32)(&mut Init::seed(1)).unwrap();
        let one = Shape::new(&case.input[1..]).unwrap(); // the two left out have no batch in front
        if operators::OPERATORS.iter().any(|(kind, _)| *kind == model.kind()) {
            let bytes = Onnx::new().bytes(&model, one).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            assert!(bytes.len() > 100, "{}", case.name);
            exported.insert(model.kind());
        } else {
            let error = Onnx::new().bytes(&model, one).unwrap_err().to_string();
            assert!(error.contains("no operators are known for it; give them with"), "{}: {error}", case.name);
        }
    }
    assert_eq!(exported.into_iter().collect::<Vec<_>>(), operators::OPERATORS.iter().map(|(kind, _)| *kind).collect::<Vec<_>>());
}

/// A graph written by hand, field by field, for y = relu(x), as onnx.proto numbers them.
#[test]
fn a_small_file_is_what_onnx_proto_says() {
    let bytes = Onnx::new().bytes(&Flow::<f32>::new().then(Relu::new()), Shape::from([3])).unwrap();
    let text = |field: u8, text: &str| [&[field << 3 | 2, text.len() as u8][..], text.as_bytes()].concat();
    let message = |field: u8, parts: &[Vec<u8>]| [&[field << 3 | 2, parts.concat().len() as u8][..], &parts.concat()].concat();
    let int = |field: u8, value: u8| vec![field << 3, value];
    let node = |from: &str, to: &str, op: &str| message(1, &[text(1, from), text(2, to), text(3, to), text(4, op)]);
    let sizes = message(2, &[message(1, &[text(2, "N")]), message(1, &[int(1, 3)])]);
    let kind = message(2, &[message(1, &[int(1, 1), sizes])]);
    let graph = [
        node("images", "0.Relu", "Relu"),
        node("0.Relu", "logits", "Identity"),
        text(2, "nyangtorch"),
        message(11, &[text(1, "images"), kind.clone()]),
        message(12, &[text(1, "logits"), kind]),
    ]
    .concat();
    let version = text(3, env!("CARGO_PKG_VERSION"));
    let head =
        [int(1, 8), text(2, "nyangtorch"), version, vec![7 << 3 | 2, (graph.len() & 127) as u8 | 128, (graph.len() >> 7) as u8]].concat();
    assert_eq!(bytes, [head, graph, message(8, &[text(1, ""), int(2, 18)])].concat());
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let make = || {
        let init = &mut Init::seed(3);
        let body = Flow::new().named("conv", Conv2d::config(2, 2, 3).padding(1).build(init).unwrap());
        let flow = Flow::<f32>::new().then(Residual::new(body)).then(GlobalAvgPool2d::new()).then(Flatten::new());
        flow.then(Linear::config(2, 3).build(init).unwrap())
    };
    let write = || Onnx::new().softmax(true).bytes(&make(), Shape::from([2, 5, 5])).unwrap();
    assert_eq!(write(), write());
}

/// y = x³, which no list knows.
struct Cube;

impl<T: Element> Module<T> for Cube {
    fn kind(&self) -> &'static str {
        "Cube"
    }
    fn out_shape(&self, input: &Shape) -> ModelResult<Shape> {
        Ok(*input)
    }
    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> ModelResult<Tensor<T>> {
        Ok(x.clone().mul(&x)?.mul(&x)?)
    }
    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> ModelResult<Tensor<T>> {
        self.infer(x, cx)
    }
    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> ModelResult<Tensor<T>> {
        Ok(dy)
    }
    fn spec(&self) -> Spec {
        Spec::new("Cube").with("power", 3usize)
    }
}

#[test]
fn what_cannot_be_exported_says_where_and_what_to_do() {
    let model = Flow::<f32>::new().named("head", Flow::new().named("cube", Cube));
    let said = |export: &Onnx, model: &dyn Module<f32>, input: &[usize]| {
        export.bytes(model, Shape::new(input).unwrap()).err().map(|e| e.to_string()).unwrap_or_default()
    };
    let error = said(&Onnx::new(), &model, &[4]);
    assert_eq!(
        error,
        "at `head.cube`: Cube cannot be written as ONNX: no operators are known for it; give them with `Onnx::new().with(\"Cube\", …)`"
    );
    let own = Onnx::new().with("Cube", |layer, x, graph| {
        let power = graph.number("power", layer.f64("power")?);
        Ok(graph.node("Pow", &[&x, &power], &[]))
    });
    assert_eq!(said(&own, &model, &[4]), "");
    assert!(own.bytes(&model, Shape::from([4])).unwrap().windows(13).any(|w| w == b"head.cube.Pow"));

    let needs = |layer: &Layer<'_>, _: Value, _: &mut Graph| Err(layer.tensor("weight").err().unwrap());
    assert_eq!(said(&Onnx::new().with("Cube", needs), &model, &[4]), "at `head.cube`: Cube cannot be written as ONNX: it has no `weight`");
    let field = |layer: &Layer<'_>, x: Value, _: &mut Graph| layer.usize("size").map(|_| x);
    assert!(
        said(&Onnx::new().with("Cube", field), &model, &[4]).starts_with("at `head.cube`: the description of a Cube is not valid: `size`")
    );

    let linear = Flow::<f32>::new().then(Linear::config(4, 2).build(&mut Init::seed(1)).unwrap());
    assert_eq!(said(&Onnx::new(), &linear, &[5]), "at `0`: Linear expects [N, 4], got [1, 5]");
    let normalize = Normalize::new([0.5, 0.5], [1.0, 1.0]).unwrap();
    let error = said(&Onnx::new().normalize(normalize), &linear, &[4]);
    assert!(error.contains("normalize = [0.5, 0.5] is not valid: must be for as many channels as the input has"), "{error}");
}
