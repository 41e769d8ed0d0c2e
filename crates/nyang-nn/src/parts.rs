//! A large batch in evaluation, a few samples at a time: what the layers hand on stays in a core's own cache.
//!
//! Layer by layer, every output of a whole batch goes out to the memory that the cores share, and the next layer brings it back. Part by
//! part, each thread takes a few samples through many layers. The price is that each part reads the weights anew:
//!
//! ```text
//! layer by layer      2·N·A + P       numbers that move: A what the layers write for one sample, P their parameters
//! part by part        P·N/n           in parts of n of the N samples
//! ```
//!
//! A layer that writes much and has few weights gains, as a convolution on a large image does; one with many weights loses, as a linear
//! layer does. So the parts end where the sum of both is greatest, which may be in the middle of a network, and what comes behind is asked
//! anew. Samples are each on their own in evaluation ([`Module::infer`]), so no bit depends on the parts.

use std::sync::{Mutex, PoisonError};

use nyang_tensor::parallel::{for_each_chunk, threads};
use nyang_tensor::{Element, Shape, Tensor};

use crate::fusion::cast;
use crate::{Error, Flow, Module, Param, Path, Residual, Result, Visit};

/// Samples of a part, at least, unless a layer writes more than [`LARGEST`] for them: a half or a quarter of them then. More of them fill
/// the vectors of a layer's last, small images; fewer leave more of the cache.
const LEAST: usize = 8;

/// Numbers that the layers of a part write, at least: so many that they are worth a thread's coming.
const WRITTEN: usize = 64 * 1024;

/// Numbers that one layer of a part writes, at most, unless two samples are more: the next layer still finds them near.
const LARGEST: usize = 200 * 1024;

/// How many of these modules a batch of this shape should go through part by part, from the first on, and the samples of a part. A [`Flow`]
/// among them in whose middle the parts should end is not counted, for it asks by itself.
pub(crate) fn plan<'a, T: Element>(modules: impl Iterator<Item = &'a dyn Module<T>>, batch: &Shape) -> Option<(usize, usize)> {
    let &n = batch.dims().first()?;
    if n <= LEAST {
        return None;
    }
    let (mut shape, mut steps) = (*batch, Vec::new());
    for module in modules {
        let Ok(next) = list(module, &shape, &mut steps) else { break }; // what does not fit is for the module itself to say
        if next.dims().first() != Some(&n) {
            break;
        }
        shape = next;
        steps.push(Step::End);
    }
    let mut best = Prefix { modules: 0, gain: 0, all: 0, largest: 0, part: LEAST };
    for part in [LEAST, LEAST / 2, LEAST / 4] {
        let prefix = prefix(&steps, n, part);
        if prefix.gain > best.gain {
            best = prefix;
        }
    }
    if best.modules == 0 {
        return None;
    }
    let mut part = best.part.max(WRITTEN * n / best.all.max(1));
    while part > 2 && (best.largest / n).saturating_mul(part) > LARGEST {
        part /= 2;
    }
    (n >= 2 * part).then(|| (best.modules, part.min(n.div_ceil(threads()))))
}

/// What a module does, in the order in which it does it.
enum Step {
    /// Numbers that a layer writes for the batch, and its parameters.
    Layer(usize, usize),
    /// Parts may end here.
    Gap,
    /// Here one of the modules ends, and parts may.
    End,
}

/// What a part would go through.
struct Prefix {
    modules: usize,
    /// Numbers that need not be moved, for each sample.
    gain: i64,
    all: usize,
    largest: usize,
    part: usize,
}

/// The modules after which parts of this size have gained most, before a layer that writes too much for them.
fn prefix(steps: &[Step], n: usize, part: usize) -> Prefix {
    let mut best = Prefix { modules: 0, gain: 0, all: 0, largest: 0, part };
    let (mut modules, mut gain, mut most, mut all, mut largest) = (0, 0i64, 0, 0usize, 0);
    for step in steps {
        match *step {
            Step::Layer(written, _) if part > 2 && (written / n).saturating_mul(part) > LARGEST => break,
            Step::Layer(written, parameters) => {
                gain += 2 * (written / n * part) as i64 - parameters as i64;
                (all, largest) = (all.saturating_add(written), largest.max(written));
            }
            Step::Gap => most = most.max(gain),
            Step::End => {
                modules += 1;
                most = most.max(gain);
                if gain == most {
                    best = Prefix { modules, gain: gain / part as i64, all, largest, part };
                }
            }
        }
    }
    best
}

/// Takes a batch through `infer` in parts, which gives an output of this shape.
pub(crate) fn infer<T: Element>(
    x: &Tensor<T>,
    part: usize,
    out: Shape,
    infer: impl Fn(Tensor<T>) -> Result<Tensor<T>> + Sync,
) -> Result<Tensor<T>> {
    let mut y = Tensor::stale_channels_last(out)?;
    let (n, failed) = (x.dims().first().copied().unwrap_or(0), Mutex::new(None));
    let sample = out.len() / n.max(1);
    for_each_chunk(y.memory_mut()?, part * sample, |start, to| {
        let first = start / sample;
        let mut run = || {
            let y = infer(x.slice(0, first..first + to.len() / sample, 1)?)?.channels_last()?;
            match y.memory().filter(|values| values.len() == to.len()) {
                Some(values) => to.copy_from_slice(values),
                None => {
                    return Err(Error::Shape {
                        layer: "Flow",
                        expected: format!("{out}, as its modules' out_shape says, for the batch"),
                        got: *y.shape(),
                        hint: None,
                    });
                }
            }
            Ok(())
        };
        match run() {
            Ok(()) => {}
            Err(error) => *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(y),
    }
}

/// Lists what a module does with an input of this shape; the shape of its output.
fn list<T: Element>(module: &dyn Module<T>, input: &Shape, steps: &mut Vec<Step>) -> Result<Shape> {
    if let Some(flow) = cast::<Flow<T>, T>(module) {
        return flow.children().try_fold(*input, |shape, (_, child)| {
            let next = list(child, &shape, steps)?;
            steps.push(Step::Gap);
            Ok(next)
        });
    }
    let out = module.out_shape(input)?;
    if let Some(block) = cast::<Residual<T>, T>(module) {
        let (mut shape, mut inside) = (*input, Vec::new());
        for (_, child) in block.body().children() {
            shape = list(child, &shape, &mut inside)?;
        }
        // it keeps its input for the sum, so parts end before it or behind it
        steps.extend(inside.into_iter().filter(|step| matches!(step, Step::Layer(..))));
        let beside = parameters(module) - parameters(block.body());
        steps.push(Step::Layer(if beside > 0 { out.len() } else { 0 }, beside)); // the shortcut; a sum is done on the way
        return Ok(out);
    }
    let parameters = parameters(module);
    // what learns nothing and keeps the size, an activation or a Flatten, is done by the layer before it, in place, or not at all
    let written = if parameters == 0 && out.len() == input.len() { 0 } else { out.len() };
    steps.push(Step::Layer(written, parameters));
    Ok(out)
}

/// How many numbers a module has to learn.
fn parameters<T: Element>(module: &dyn Module<T>) -> usize {
    struct Count(usize);
    impl<T: Element> Visit<T> for Count {
        fn param(&mut self, _: Path<'_>, param: &Param<T>) {
            self.0 += param.value.len();
        }
    }
    let mut count = Count(0);
    module.visit(Path::ROOT, &mut count);
    count.0
}

#[cfg(test)]
mod tests {
    use nyang_tensor::parallel::with_threads;

    use super::*;
    use crate::zoo::{self, Task};
    use crate::{Conv2d, Ctx, Init, MaxPool2d, Observer, Rng};

    fn model(name: &str) -> Flow {
        let build = zoo::models::<f32>().into_iter().find(|model| model.0 == name).unwrap().1;
        build(Task::new([3, 32, 32], 10), &mut Init::seed(1)).unwrap()
    }

    fn plan_of(flow: &Flow, n: usize) -> Option<(usize, usize)> {
        plan(flow.children().map(|(_, m)| m), &Shape::from([n, 3, 32, 32]))
    }

    /// The plan for a model of the zoo and `n` images.
    fn planned(name: &str, n: usize) -> Option<(usize, usize)> {
        plan_of(&model(name), n)
    }

    #[test]
    fn large_images_go_in_parts_and_large_weights_do_not() {
        with_threads(2, || {
            assert_eq!(planned("resnet20", 64).map(|p| p.1), Some(LEAST));
            assert_eq!(planned("mlp", 64), None, "its weights are more than what it writes");
            assert_eq!(planned("resnet20", LEAST), None);
        });
        assert_eq!(with_threads(16, || planned("resnet20", 64)).map(|p| p.1), Some(4), "a part for every thread");
    }

    #[test]
    fn parts_end_in_the_middle_of_a_flow() {
        with_threads(2, || {
            let whole = model("mobilenet_v2");
            assert_eq!(plan_of(&whole, 64), None, "the first child is to ask by itself");
            let features = whole.children().next().and_then(|(_, m)| cast::<Flow, f32>(m)).unwrap();
            let (first, part) = plan_of(features, 64).unwrap();
            assert!(first < features.len(), "its last layers have more weights than they write");
            assert_eq!(part, 2, "its first layers write 96 channels of 32 × 32 pixels");
            let before = features.children().take(first);
            let shape = before.fold(Shape::from([64, 3, 32, 32]), |shape, (_, m)| m.out_shape(&shape).unwrap());
            let next = plan(features.children().skip(first).map(|(_, m)| m), &shape);
            assert!(next.is_none_or(|(_, part)| part > 2), "smaller images, larger parts: {next:?}");
        });
    }

    #[test]
    fn smaller_images_behind_go_in_parts_of_their_own() {
        let init = &mut Init::seed(1);
        let flow = Flow::new()
            .then(Conv2d::config(3, 64, 3).padding(1).build(init).unwrap()) // writes 262,144 numbers a sample, more than LARGEST
            .then(MaxPool2d::config(8).build().unwrap())
            .then(Conv2d::config(64, 64, 3).padding(1).build(init).unwrap()); // 36,928 parameters for 4,096 numbers: worth it from 5 samples on
        let x = Tensor::normal([33, 3, 64, 64], 0.0, 1.0, &mut Rng::seed(5)).unwrap();
        let parts = |skip, shape: [usize; 4]| plan(flow.children().skip(skip).map(|(_, m)| m), &Shape::from(shape));
        with_threads(2, || {
            assert_eq!(parts(0, [33, 3, 64, 64]), Some((2, 2)));
            assert_eq!(parts(2, [33, 64, 8, 8]), Some((1, WRITTEN / 4096)));
            let alone: Vec<f32> =
                (0..33).flat_map(|i| flow.infer(x.slice(0, i..i + 1, 1).unwrap(), &mut Ctx::eval()).unwrap().to_vec()).collect();
            assert_eq!(flow.infer(x.clone(), &mut Ctx::eval()).unwrap().to_vec(), alone);
        });
    }

    #[test]
    fn no_bit_depends_on_the_parts() {
        let mut rng = Rng::seed(3);
        for (name, build) in zoo::models::<f32>().into_iter().filter(|model| ["resnet20", "deepconvnet", "mobilenet_v2"].contains(&model.0))
        {
            let model = build(Task::new([3, 16, 16], 10), &mut Init::seed(1)).unwrap();
            let x = Tensor::normal([21, 3, 16, 16], 0.0, 1.0, &mut rng).unwrap();
            let planned = |flow: &Flow| plan(flow.children().map(|(_, m)| m), x.shape()).is_some();
            let first = model.children().next().and_then(|(_, m)| cast::<Flow, f32>(m));
            assert!(planned(&model) || first.is_some_and(planned), "{name}");
            let alone: Vec<f32> =
                (0..21).flat_map(|i| model.infer(x.slice(0, i..i + 1, 1).unwrap(), &mut Ctx::eval()).unwrap().to_vec()).collect();
            for threads in [1, 2, 5] {
                let together = with_threads(threads, || model.infer(x.clone(), &mut Ctx::eval())).unwrap();
                assert_eq!(together.to_vec(), alone, "{name} on {threads} threads");
            }
            let mut watching = Watching;
            let watched = model.infer(x, &mut Ctx::eval().observed(&mut watching)).unwrap();
            assert_eq!(watched.to_vec(), alone, "{name}, watched");
        }
    }

    struct Watching;
    impl Observer<f32> for Watching {}

    fn conv() -> Conv2d {
        Conv2d::config(8, 8, 3).padding(1).build(&mut Init::seed(1)).unwrap()
    }

    /// Gives another shape than it says.
    struct Liar;
    impl Module for Liar {
        fn kind(&self) -> &'static str {
            "Liar"
        }
        fn out_shape(&self, input: &Shape) -> Result<Shape> {
            Ok(*input)
        }
        fn infer(&self, x: Tensor, _: &mut Ctx<'_>) -> Result<Tensor> {
            Ok(x.slice(1, 0..1, 1)?)
        }
        fn forward(&mut self, x: Tensor, cx: &mut Ctx<'_>) -> Result<Tensor> {
            self.infer(x, cx)
        }
        fn backward(&mut self, dy: Tensor, cx: &mut Ctx<'_>) -> Result<Tensor> {
            self.infer(dy, cx)
        }
    }

    #[test]
    fn a_module_that_gives_another_shape_than_it_says_is_an_error() {
        let x = Tensor::ones([64, 8, 32, 32]).unwrap();
        assert!(matches!(Flow::new().then(conv()).then(Liar).infer(x, &mut Ctx::eval()), Err(Error::Shape { .. })));
    }

    /// Fails where it is asked to compute.
    struct Broken;
    impl Module for Broken {
        fn kind(&self) -> &'static str {
            "Broken"
        }
        fn out_shape(&self, input: &Shape) -> Result<Shape> {
            Ok(*input)
        }
        fn infer(&self, _: Tensor, _: &mut Ctx<'_>) -> Result<Tensor> {
            Err(Error::NoForward { layer: "Broken" })
        }
        fn forward(&mut self, x: Tensor, cx: &mut Ctx<'_>) -> Result<Tensor> {
            self.infer(x, cx)
        }
        fn backward(&mut self, dy: Tensor, cx: &mut Ctx<'_>) -> Result<Tensor> {
            self.infer(dy, cx)
        }
    }

    #[test]
    fn the_error_of_a_part_is_the_batchs() {
        let flow = Flow::new().then(conv()).then(Broken);
        let x = Tensor::ones([64, 8, 32, 32]).unwrap();
        assert!(plan(flow.children().map(|(_, m)| m), x.shape()).is_some());
        let error = flow.infer(x, &mut Ctx::eval()).unwrap_err().to_string();
        assert!(error.starts_with("at `1`: "), "{error}");
    }
}
