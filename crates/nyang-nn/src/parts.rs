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
//! So it pays where P < 2·n·A: for convolutions on large images, not for linear layers. Samples are each on their own in evaluation
//! ([`Module::infer`]), so no bit depends on the parts.

use std::sync::{Mutex, PoisonError};

use nyang_tensor::parallel::{for_each_chunk, threads};
use nyang_tensor::{Element, Shape, Tensor};

use crate::fusion::cast;
use crate::{Error, Flow, Module, Param, Path, Residual, Result, Visit};

/// Samples of a part, at least, unless a layer writes more than [`LARGEST`] for them. More of them fill the vectors of a layer's last,
/// small images; fewer leave more of the cache.
const LEAST: usize = 8;

/// Numbers that the layers of a part write, at least: so many that they are worth a thread's coming.
const WRITTEN: usize = 128 * 1024;

/// Numbers that one layer of a part writes, at most, unless two samples are more: the next layer still finds them near.
const LARGEST: usize = 400 * 1024;

/// How many of the first modules a batch of this shape should go through part by part, and the samples of a part.
pub(crate) fn plan<'a, T: Element>(modules: impl Iterator<Item = &'a dyn Module<T>>, batch: &Shape) -> Option<(usize, usize)> {
    let &n = batch.dims().first()?;
    if n <= LEAST {
        return None;
    }
    let (mut shape, mut all, mut largest, mut count) = (*batch, 0usize, 0, 0);
    for module in modules {
        let written = written(module, &shape).ok()?; // what does not fit is for the module itself to say
        let pays = parameters(module).saturating_mul(n) < written.all.saturating_mul(2 * LEAST);
        if written.out.dims().first() != Some(&n) || !pays {
            break;
        }
        (shape, all, largest, count) = (written.out, written.all.saturating_add(all), written.largest.max(largest), count + 1);
    }
    let mut part = LEAST.max(WRITTEN * n / all.max(1));
    while part > 2 && (largest / n).saturating_mul(part) > LARGEST {
        part /= 2;
    }
    (n >= 2 * part).then(|| (count, part.min(n.div_ceil(threads()))))
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

/// What a module writes for an input.
struct Written {
    /// How many numbers, inside of it too.
    all: usize,
    /// Those of its largest layer.
    largest: usize,
    /// The shape of its output.
    out: Shape,
}

impl Written {
    /// A layer of its own.
    fn layer(out: Shape) -> Written {
        Written { all: out.len(), largest: out.len(), out }
    }

    /// This and what comes behind it.
    fn then(self, next: Written) -> Written {
        Written { all: self.all.saturating_add(next.all), largest: self.largest.max(next.largest), out: next.out }
    }
}

/// What a module writes for an input of this shape.
fn written<T: Element>(module: &dyn Module<T>, input: &Shape) -> Result<Written> {
    if let Some(flow) = cast::<Flow<T>, T>(module) {
        let nothing = Written { all: 0, largest: 0, out: *input };
        return flow.children().try_fold(nothing, |before, (_, child)| {
            let next = written(child, &before.out)?;
            Ok(before.then(next))
        });
    }
    if let Some(block) = cast::<Residual<T>, T>(module) {
        let body = written(block.body(), input)?;
        let sum = Written::layer(body.out);
        return Ok(body.then(sum));
    }
    Ok(Written::layer(module.out_shape(input)?))
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
    use crate::{Ctx, Init, Observer, Relu, Rng};

    /// The plan for a model of the zoo and `n` images.
    fn planned(name: &str, n: usize) -> Option<(usize, usize)> {
        let build = zoo::models::<f32>().into_iter().find(|model| model.0 == name).unwrap().1;
        let model = build(Task::new([3, 32, 32], 10), &mut Init::seed(1)).unwrap();
        plan(model.children().map(|(_, m)| m), &Shape::from([n, 3, 32, 32]))
    }

    #[test]
    fn large_images_go_in_parts_and_large_weights_do_not() {
        with_threads(2, || {
            // its largest layers write 96 channels of 32 × 32 pixels
            assert_eq!(planned("mobilenet_v2", 64).map(|p| p.1), Some(4));
            assert_eq!(planned("resnet20", 64).map(|p| p.1), Some(LEAST));
            assert_eq!(planned("mlp", 64), None, "its weights are more than what it writes");
            assert_eq!(planned("resnet20", LEAST), None);
        });
        assert_eq!(with_threads(16, || planned("resnet20", 64)).map(|p| p.1), Some(4), "a part for every thread");
    }

    #[test]
    fn no_bit_depends_on_the_parts() {
        let mut rng = Rng::seed(3);
        for (name, build) in zoo::models::<f32>().into_iter().filter(|model| ["resnet20", "deepconvnet", "mobilenet_v2"].contains(&model.0))
        {
            let model = build(Task::new([3, 16, 16], 10), &mut Init::seed(1)).unwrap();
            let x = Tensor::normal([21, 3, 16, 16], 0.0, 1.0, &mut rng).unwrap();
            assert!(plan(model.children().map(|(_, m)| m), x.shape()).is_some(), "{name}");
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
        let x = Tensor::ones([64, 3, 32, 32]).unwrap();
        assert!(matches!(Flow::new().then(Relu::new()).then(Liar).infer(x, &mut Ctx::eval()), Err(Error::Shape { .. })));
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
        let flow = Flow::new().then(Relu::new()).then(Broken);
        let x = Tensor::ones([64, 3, 32, 32]).unwrap();
        assert!(plan(flow.children().map(|(_, m)| m), x.shape()).is_some());
        let error = flow.infer(x, &mut Ctx::eval()).unwrap_err().to_string();
        assert!(error.starts_with("at `1`: "), "{error}");
    }
}
