//! The zoo against PyTorch and torchvision: the names and shapes of every tensor, and the logits of one image.
//!
//! `goldens/zoo.txt` is written by `xtask/goldens/zoo.py`.
#![allow(clippy::unwrap_used)] // a test may fail loudly

use nyang_nn::zoo::{BuildModel, Task, models};
use nyang_nn::{Ctx, Error, Init, Module, StateDict, StateValue, Tensor};

const GOLDENS: &str = include_str!("goldens/zoo.txt");

/// One model as PyTorch has it.
struct Golden {
    name: &'static str,
    image: [usize; 3],
    task: Task,
    state: Vec<(&'static str, Vec<usize>)>,
    logits: Vec<f64>,
}

impl Golden {
    fn build(&self) -> BuildModel<f64> {
        models().into_iter().find(|m| m.0 == self.name).unwrap().1
    }
}

fn goldens() -> Vec<Golden> {
    let mut all: Vec<Golden> = Vec::new();
    for line in GOLDENS.lines() {
        let words: Vec<&'static str> = line.split(' ').collect();
        let sizes = |from: usize| words[from..].iter().map(|w| w.parse().unwrap()).collect::<Vec<usize>>();
        match words[0] {
            "model" => {
                let [c, h, w, classes] = sizes(3).try_into().unwrap();
                let task = Task::new([c, h, w], classes);
                let task = if words[2] == "imagenet" { task.imagenet() } else { task };
                all.push(Golden { name: words[1], image: [c, h, w], task, state: vec![], logits: vec![] });
            }
            "logits" => all.last_mut().unwrap().logits = words[1..].iter().map(|w| w.parse().unwrap()).collect(),
            name => all.last_mut().unwrap().state.push((name, sizes(1))),
        }
    }
    all
}

/// Numbers in [−0.5, 0.5) that look random: the formula of zoo.py.
fn numbers(count: usize, key: usize) -> Vec<f64> {
    let hash = |i: usize| {
        let h = (i as u64 * 1_103_515_245 + (key as u64 + 1) * 12_820_163) % (1 << 32);
        let h = (h ^ (h >> 15)) * 1_540_483_477 % (1 << 32);
        let h = (h ^ (h >> 13)) * 1_103_515_245 % (1 << 32);
        h ^ (h >> 16)
    };
    (0..count).map(|i| hash(i) as f64 / 2f64.powi(32) - 0.5).collect()
}

/// zoo.py's values for every tensor of a model.
fn fill(model: &mut dyn Module<f64>) {
    let mut filled = StateDict::of(model).unwrap();
    let names: Vec<String> = filled.names().map(str::to_owned).collect(); // in order, as Python sorts them
    for (key, name) in names.iter().enumerate() {
        let Some(StateValue::Tensor(tensor)) = filled.get(name) else { continue };
        let shape = *tensor.shape();
        let mut values = numbers(shape.len(), key);
        if shape.rank() > 1 {
            let fan_in = shape.len() / shape.dims()[0];
            values.iter_mut().for_each(|v| *v *= (24.0 / fan_in as f64).sqrt());
        } else if name.ends_with("weight") || name.ends_with("running_var") {
            values.iter_mut().for_each(|v| *v += 1.0);
        }
        filled.insert(name, StateValue::Tensor(Tensor::from_vec(shape, values).unwrap()));
    }
    filled.load_into(model).unwrap();
}

#[test]
fn every_tensor_has_pytorchs_name_and_shape() {
    let mut models_seen = 0;
    for golden in goldens().iter().filter(|g| !g.state.is_empty()) {
        // zeros, in f32: the large ones fit into memory
        let build: BuildModel<f32> = models().into_iter().find(|m| m.0 == golden.name).unwrap().1;
        let model = build(golden.task, &mut Init::blank(usize::MAX)).unwrap();
        let state = StateDict::of(&model).unwrap();
        let dims = |value: &StateValue<f32>| if let StateValue::Tensor(t) = value { t.dims().to_vec() } else { vec![] };
        let ours: Vec<(&str, Vec<usize>)> = state.iter().map(|(name, value)| (name, dims(value))).collect();
        assert_eq!(ours, golden.state, "{}", golden.name);
        models_seen += 1;
    }
    assert_eq!(models_seen, 16); // 12 small ones, 4 for ImageNet
}

#[test]
fn the_same_weights_give_pytorchs_logits() {
    let mut worst = 0.0f64;
    for golden in goldens().iter().filter(|g| !g.logits.is_empty()) {
        let mut model = golden.build()(golden.task, &mut Init::blank(usize::MAX)).unwrap();
        fill(&mut model);
        let [c, h, w] = golden.image;
        let image = numbers(c * h * w, 4711).into_iter().map(|v| 4.0 * v).collect();
        let logits = model.infer(Tensor::from_vec([1, c, h, w], image).unwrap(), &mut Ctx::eval()).unwrap().to_vec();
        assert_eq!(logits.len(), golden.logits.len());
        let size = golden.logits.iter().fold(0.0f64, |a, v| a.max(v.abs()));
        for (got, want) in logits.iter().zip(&golden.logits) {
            let error = (got - want).abs() / size;
            assert!(error < 1e-11, "{} of {:?}: {got}, not {want}", golden.name, golden.image); // up to 56 layers of sums of 4608 roundings
            worst = worst.max(error);
        }
    }
    assert!(worst > 0.0, "bit for bit the same sums in another order would be a wonder");
}

#[test]
fn tasks_that_a_model_cannot_have_are_errors_that_say_why() {
    for (name, build) in models::<f32>() {
        for (task, what) in [(Task::new([3, 32, 32], 0), "out_features"), (Task::new([0, 32, 32], 10), "must be positive")] {
            let error = build(task, &mut Init::seed(1)).unwrap_err().to_string();
            assert!(error.contains(what), "{name}: {error}");
        }
    }
    let build = |name: &str| models::<f32>().into_iter().find(|m| m.0 == name).unwrap().1;
    let error = build("lenet")(Task::new([1, 28, 28], 10).imagenet(), &mut Init::seed(1)).unwrap_err().to_string();
    assert_eq!(error, "lenet: form = imagenet is not valid: there is none: leave `.imagenet()` away, any image size will do");
    for name in ["lenet", "simpleconvnet", "deepconvnet", "vgg11_bn"] {
        let error = build(name)(Task::new([3, 3, 3], 10), &mut Init::seed(1)).unwrap_err();
        assert!(matches!(error, Error::At { .. }), "{name}: {error}");
    }
}
