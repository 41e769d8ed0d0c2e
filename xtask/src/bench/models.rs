//! The models that are measured, by the names of the tables: the zoo's, in their form for small images.

use nyang_nn::zoo::{self, BuildModel, Task};
use nyang_nn::{Ctx, Flow, Init, Module, Observer, Param, Pass, Path, Result, Shape, Tensor, Visit};
use nyang_optim::{Adam, Optimizer, Sgd};

/// Classes of every model.
pub const CLASSES: usize = 10;

const MNIST: [usize; 3] = [1, 28, 28];
const CIFAR: [usize; 3] = [3, 32, 32];

/// A model, the images it is for, and what trains it.
pub struct Entry {
    /// Its name in the tables.
    pub name: &'static str,
    build: BuildModel<f32>,
    image: [usize; 3],
    adam: bool,
}

/// All of them, from the quickest to the slowest family.
pub const MODELS: [Entry; 8] = [
    Entry { name: "mlp", build: zoo::mlp, image: MNIST, adam: true },
    Entry { name: "lenet", build: zoo::lenet, image: MNIST, adam: false },
    Entry { name: "simpleconvnet", build: zoo::simpleconvnet, image: MNIST, adam: true },
    Entry { name: "deepconvnet", build: zoo::deepconvnet, image: MNIST, adam: true },
    Entry { name: "vgg11_bn", build: zoo::vgg11_bn, image: CIFAR, adam: false },
    Entry { name: "resnet20", build: zoo::resnet20, image: CIFAR, adam: false },
    Entry { name: "resnet18", build: zoo::resnet18, image: CIFAR, adam: false },
    Entry { name: "mobilenetv2", build: zoo::mobilenet_v2, image: CIFAR, adam: false },
];

impl Entry {
    /// The model of this name.
    pub fn named(name: &str) -> Option<&'static Entry> {
        MODELS.iter().find(|entry| entry.name == name)
    }

    /// The model with its first weights.
    pub fn build(&self) -> Result<Flow> {
        (self.build)(Task::new(self.image, CLASSES), &mut Init::seed(1))
    }

    /// The optimizer that the tables train it with.
    pub fn optimizer(&self) -> Box<dyn Optimizer> {
        if self.adam { Box::new(Adam::new(1e-3)) } else { Box::new(Sgd::new(1e-3).momentum(0.9)) }
    }

    /// The shape of a batch.
    pub fn batch(&self, n: usize) -> Shape {
        let [c, h, w] = self.image;
        Shape::from([n, c, h, w])
    }
}

/// The multiplications and additions of convolutions and matrix products in one forward pass, those of each layer in order.
///
/// Each weight is used once for every output pixel of its channel, whatever the kernel and the groups.
pub fn flops(model: &dyn Module, input: Shape) -> Result<Vec<u64>> {
    #[derive(Default)]
    struct Outputs(Vec<(String, Shape)>);
    impl Observer<f32> for Outputs {
        fn after(&mut self, path: &str, _: &'static str, _: Pass, y: &Tensor) {
            self.0.push((path.to_owned(), *y.shape()));
        }
    }
    struct Weights(Vec<(String, usize)>);
    impl Visit<f32> for Weights {
        fn param(&mut self, at: Path<'_>, param: &Param<f32>) {
            if param.value.dims().len() > 1 {
                self.0.push((at.to_string(), param.value.len()));
            }
        }
    }
    let (mut outputs, mut weights) = (Outputs::default(), Weights(Vec::new()));
    model.infer(Tensor::zeros(input)?, &mut Ctx::eval().observed(&mut outputs))?;
    model.visit(Path::ROOT, &mut weights);
    let uses = |(path, shape): &(String, Shape)| {
        let weight = weights.0.iter().find(|(weight, _)| weight.strip_suffix(".weight") == Some(path))?;
        let channels = shape.dims().get(1).copied().unwrap_or(1).max(1);
        Some(2 * (shape.len() / channels * weight.1) as u64)
    };
    Ok(outputs.0.iter().filter_map(uses).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: conv 5×5 on 28×28 with 6 channels, conv 6→16 on 10×10, and three matrices.
    #[test]
    fn lenet_has_the_operations_that_one_counts() {
        let entry = Entry::named("lenet").unwrap();
        let counted = flops(&entry.build().unwrap(), entry.batch(2)).unwrap();
        let by_hand = [6 * 25 * 784, 16 * 6 * 25 * 100, 400 * 120, 120 * 84, 84 * 10].map(|products| 2 * 2 * products);
        assert_eq!(counted, by_hand);
    }

    #[test]
    fn depthwise_and_nested_layers_are_counted_too() {
        let entry = Entry::named("mobilenetv2").unwrap();
        let counted = flops(&entry.build().unwrap(), entry.batch(1)).unwrap();
        assert_eq!(counted.len(), 53); // 52 convolutions and a matrix
        assert_eq!(counted[1], 2 * 32 * 9 * 1024); // the first depthwise one
    }
}
