//! What both sides train: model, data, order of the samples, first weights, optimizer, schedule. Written down once, read by both.

use std::path::{Path, PathBuf};

use nyang_data::{Cifar10, Dataset, Digits, Idx, InMemory, Normalize, Split};
use nyang_nn::zoo::{self, Task};
use nyang_nn::{Element, Init, Module, Registry, Rng, Shape, Spec, StateDict, StateValue, Tensor};
use nyang_train::Weights;
use serde_json::{Value, json};

type Anything = Box<dyn std::error::Error>;

/// A data set in both parts, standardised, in memory.
pub struct Data {
    pub name: String,
    pub image: [usize; 3],
    pub classes: usize,
    pub train: Part,
    pub test: Part,
}

/// Images, row-major, and labels.
pub struct Part {
    pub images: Vec<f32>,
    pub labels: Vec<usize>,
}

impl Data {
    /// The embedded digits, each pixel drawn as four, so that every model has room; four fifths to train.
    pub fn digits() -> Result<Self, Anything> {
        let parts = Digits::load()?.split(Split::stratified(0.8, 0.0, 0.2).seed(1))?;
        let doubled = |part: &dyn Dataset| -> Result<Part, Anything> {
            let (mut images, mut labels) = (Vec::new(), Vec::new());
            for i in 0..part.len() {
                let sample = part.get(i)?;
                let pixels = sample.image.to_tensor()?.to_vec();
                images.extend((0..256).filter_map(|at| pixels.get(at / 32 * 8 + at % 16 / 2)));
                labels.push(sample.label);
            }
            Ok(Part { images, labels })
        };
        Self::standardised("digits", [1, 16, 16], 10, doubled(&parts.train)?, doubled(&parts.test)?)
    }

    /// MNIST's files or its family's in a folder.
    pub fn idx(name: &str, folder: &Path) -> Result<Self, Anything> {
        Self::of(name, &Idx::train(folder)?, &Idx::test(folder)?)
    }

    /// CIFAR-10's binary files in a folder.
    pub fn cifar10(folder: &Path) -> Result<Self, Anything> {
        Self::of("cifar10", &Cifar10::train(folder)?, &Cifar10::test(folder)?)
    }

    fn of(name: &str, train: &InMemory, test: &InMemory) -> Result<Self, Anything> {
        let part = |set: &InMemory| Ok::<_, Anything>(Part { images: set.tensor()?.to_vec(), labels: set.labels().to_vec() });
        let [_, c, h, w] = *train.tensor()?.dims() else { return Err("images have three dimensions".into()) };
        Self::standardised(name, [c, h, w], train.classes().len(), part(train)?, part(test)?)
    }

    fn standardised(name: &str, image: [usize; 3], classes: usize, mut train: Part, mut test: Part) -> Result<Self, Anything> {
        let pixels = image[1] * image[2];
        let (mut mean, mut std) = (Vec::new(), Vec::new());
        for channel in 0..image[0] {
            let values = || train.images.chunks(pixels).skip(channel).step_by(image[0]).flatten().map(|v| f64::from(*v));
            let n = values().count() as f64;
            let m = values().sum::<f64>() / n;
            mean.push(m as f32);
            std.push((values().map(|v| (v - m) * (v - m)).sum::<f64>() / n).sqrt() as f32);
        }
        let normalize = Normalize::new(mean, std)?;
        for part in [&mut train, &mut test] {
            let images = Tensor::from_vec([part.labels.len(), image[0], image[1], image[2]], std::mem::take(&mut part.images))?;
            part.images = normalize.apply(images)?.to_vec();
        }
        Ok(Data { name: name.to_owned(), image, classes, train, test })
    }
}

/// How one model is trained.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub model: &'static str,
    pub optimizer: &'static str,
    pub lr: f64,
    pub momentum: f64,
    pub weight_decay: f64,
    pub batch: usize,
    /// The learning rate is multiplied by γ after so many epochs.
    pub every: u64,
    pub gamma: f64,
    /// Whether it has batch norm, whose statistics amplify every difference.
    pub norm: bool,
}

/// The models that are compared, each with the optimizer that suits it.
pub const PLANS: [Plan; 4] = [
    Plan { model: "mlp", optimizer: "adam", lr: 1e-3, ..PLAIN },
    Plan { model: "lenet", optimizer: "sgd", lr: 0.02, momentum: 0.9, ..PLAIN },
    Plan { model: "deepconvnet", optimizer: "adam", lr: 1e-3, ..PLAIN },
    Plan { model: "resnet20", optimizer: "sgd", lr: 0.05, momentum: 0.9, weight_decay: 1e-4, norm: true, ..PLAIN },
];

const PLAIN: Plan =
    Plan { model: "", optimizer: "", lr: 0.0, momentum: 0.0, weight_decay: 0.0, batch: 64, every: 5, gamma: 0.5, norm: false };

impl Plan {
    /// The model, with dropout's p at 0, so that both sides compute the same.
    pub fn build<T: Element>(&self, image: [usize; 3], classes: usize, seed: u64) -> Result<Box<dyn Module<T>>, Anything> {
        let build = zoo::models::<T>().into_iter().find(|(name, _)| *name == self.model).ok_or("no such model")?.1;
        let spec = without_dropout(build(Task::new(image, classes), &mut Init::seed(seed))?.spec());
        Ok(Registry::standard().build(&spec, &mut Init::seed(seed))?)
    }

    /// Writes all that both sides need into a folder.
    pub fn write(&self, folder: &Path, data: &Data, epochs: usize, seed: u64, threads: usize) -> Result<(), Anything> {
        let file = |name: &str| -> PathBuf { folder.join(name) };
        let model = self.build::<f64>(data.image, data.classes, seed)?;
        Weights::of(model.as_ref())?.write(file("first.safetensors"))?;
        let mut arrays = StateDict::<f32>::default();
        let [c, h, w] = data.image;
        for (name, part) in [("train", &data.train), ("test", &data.test)] {
            let images = Tensor::from_slice([part.labels.len(), c, h, w], &part.images)?;
            arrays.insert(format!("{name}_x"), StateValue::Tensor(images));
            let labels = part.labels.iter().map(|label| *label as f32).collect();
            arrays.insert(format!("{name}_y"), StateValue::Tensor(Tensor::from_vec([part.labels.len()], labels)?));
        }
        let samples = data.train.labels.len();
        let mut order = Vec::new();
        for epoch in 0..epochs {
            let mut indices: Vec<usize> = (0..samples).collect();
            Rng::keyed([seed, 2, epoch as u64, 0]).shuffle(&mut indices);
            order.extend(indices.into_iter().map(|i| i as f32)); // whole numbers below 2²⁴ are exact
        }
        arrays.insert("order", StateValue::Tensor(Tensor::from_vec(Shape::from([epochs, samples]), order)?));
        Weights::from(arrays).write(file("given.safetensors"))?;
        let plan: Value = json!({
            "model": self.model, "image": data.image, "classes": data.classes, "optimizer": self.optimizer, "lr": self.lr,
            "momentum": self.momentum, "weight_decay": self.weight_decay, "batch": self.batch, "every": self.every, "gamma": self.gamma,
            "threads": threads,
        });
        Ok(std::fs::write(file("plan.json"), serde_json::to_vec_pretty(&plan)?)?)
    }
}

fn without_dropout(mut spec: Spec) -> Spec {
    if spec.kind == "Dropout" {
        spec = spec.with("p", 0.0);
    }
    spec.children = spec.children.into_iter().map(|(name, child)| (name, without_dropout(child))).collect();
    spec
}
