//! Every model of the zoo, trained a little and optimized, gives what it gave before.
#![allow(clippy::unwrap_used)] // a test may fail loudly

use nyang_nn::zoo::{BuildModel, Task, models};
use nyang_nn::{Ctx, Element, Init, Module, Registry, Rng, Spec, StateDict, Tensor, optimize};

/// Each kind in a description, from the outside in.
fn kinds(spec: &Spec) -> Vec<&str> {
    let inside = spec.children.iter().flat_map(|child| kinds(&child.1));
    [spec.kind.as_str()].into_iter().chain(inside).collect()
}

/// Running statistics that are plain means, so that one batch in training makes them those of the data.
fn cumulative(spec: &mut Spec) {
    if spec.kind.starts_with("BatchNorm") {
        spec.config.insert("momentum".to_owned(), "cumulative".into());
    }
    spec.children.iter_mut().for_each(|child| cumulative(&mut child.1));
}

/// The largest difference that optimizing makes, as a part of the largest output.
fn difference<T: Element>(name: &str, build: BuildModel<T>) -> f64 {
    let image = if name == "mlp" || name == "lenet" { [1, 28, 28] } else { [3, 32, 32] };
    let [c, h, w] = image;
    let first = build(Task::new(image, 10), &mut Init::seed(1)).unwrap();
    let (mut spec, state) = (first.spec(), StateDict::of(&first).unwrap());
    cumulative(&mut spec);
    let mut model = Registry::standard().build(&spec, &mut Init::blank(state.values())).unwrap();
    state.load_into(model.as_mut()).unwrap();
    let batch = |seed: u64, n: usize| Tensor::normal([n, c, h, w], 0.0, 1.0, &mut Rng::seed(seed)).unwrap();
    model.forward(batch(1, 2), &mut Ctx::train(1)).unwrap();

    let quick = optimize(model.as_ref(), &Registry::standard()).unwrap();
    let left = quick.spec();
    assert!(kinds(&left).iter().all(|kind| !kind.starts_with("BatchNorm") && !kind.starts_with("Drop")), "{name}: {:?}", kinds(&left));
    let (want, got) = (model.infer(batch(2, 1), &mut Ctx::eval()).unwrap(), quick.infer(batch(2, 1), &mut Ctx::eval()).unwrap());
    let largest = want.to_vec().iter().fold(0.0f64, |most, v| most.max(v.to_f64().abs()));
    assert!(largest > 0.0 && largest.is_finite(), "{name}: the largest output is {largest}");
    let differences = want.to_vec().into_iter().zip(got.to_vec()).map(|(a, b)| (a - b).to_f64().abs());
    differences.fold(0.0, f64::max) / largest
}

/// What `optimize` promises. In f32 a convolution of 512 channels sums 4,608 products and rounds by √4608 · 6e-8 = 4e-6 of its largest output, and
/// folding changes each rounding of each of some ten such layers: ten of them together are 4e-5.
#[test]
fn every_model_of_the_zoo_is_the_same_within_the_promised_tolerance() {
    for (name, build) in models::<f32>() {
        let error = difference(name, build);
        assert!(error <= 4e-5, "{name}: {error:e}");
    }
    for (name, build) in models::<f64>().into_iter().filter(|m| ["deepconvnet", "resnet20", "mobilenet_v2"].contains(&m.0)) {
        let error = difference(name, build);
        assert!(error <= 1e-12, "{name} in f64: {error:e}");
    }
}
