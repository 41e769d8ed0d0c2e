//! Layers that a container runs as one: a batch norm, a convolution or a linear layer and the activation behind it, a residual sum with the
//! layer before it and the ReLU behind it.
//!
//! All of them are loops over every value, and memory is what such loops wait for; run as one they read and write half as much. The bits
//! are those of the two apart, so nobody can tell, except an observer, who is shown every layer: a watched network is not fused.

use std::any::Any;

use nyang_tensor::Element;
use nyang_tensor::kernels::Activation;

use crate::layers::batch_norm::{BatchNorm, Images};
use crate::{Conv2d, Ctx, Linear, Module, Relu, Relu6, Result, Tensor};

/// A module as what it is, out of the boxes around it.
pub(crate) fn cast<'a, M: 'static, T: Element>(module: &'a (dyn Module<T> + 'static)) -> Option<&'a M> {
    match (module as &dyn Any).downcast_ref::<Box<dyn Module<T>>>() {
        Some(inner) => cast(inner.as_ref()),
        None => (module as &dyn Any).downcast_ref(),
    }
}

/// [`cast`], to change it.
pub(crate) fn cast_mut<'a, M: 'static, T: Element>(module: &'a mut (dyn Module<T> + 'static)) -> Option<&'a mut M> {
    if (module as &dyn Any).is::<Box<dyn Module<T>>>() {
        return cast_mut((module as &mut dyn Any).downcast_mut::<Box<dyn Module<T>>>()?.as_mut());
    }
    (module as &mut dyn Any).downcast_mut()
}

/// A batch norm of images.
pub(crate) type Norm<T> = BatchNorm<T, Images>;

/// The layers that can do the activation behind them on the way.
#[derive(Clone, Copy)]
pub(crate) enum Leader<'a, T: Element> {
    Norm(&'a Norm<T>),
    Conv(&'a Conv2d<T>),
    Linear(&'a Linear<T>),
}

impl<'a, T: Element> Leader<'a, T> {
    /// The module as such a layer, if it is one.
    pub fn of(module: &'a (dyn Module<T> + 'static)) -> Option<Self> {
        let norm = || cast(module).map(Leader::Norm);
        let conv = || cast(module).map(Leader::Conv);
        norm().or_else(conv).or_else(|| cast(module).map(Leader::Linear))
    }

    /// Evaluation of the layer and the activation.
    pub fn infer(self, x: Tensor<T>, activation: Activation, cx: &Ctx<'_, T>) -> Result<Tensor<T>> {
        match self {
            Leader::Norm(norm) => norm.infer_with(x, activation),
            Leader::Conv(conv) => conv.infer_then(&x, None, activation, cx),
            Leader::Linear(linear) => linear.infer_then(&x, activation, cx),
        }
    }
}

/// A layer forward and the ReLU behind it, whose backward is left to the ReLU.
pub(crate) fn forward_rectified<T: Element>(
    module: &mut (dyn Module<T> + 'static),
    x: Tensor<T>,
    cx: &mut Ctx<'_, T>,
) -> Result<Tensor<T>> {
    if let Some(conv) = cast_mut::<Conv2d<T>, T>(module) {
        return conv.forward_then(x, Activation::Relu, cx);
    }
    if let Some(linear) = cast_mut::<Linear<T>, T>(module) {
        return linear.forward_then(x, Activation::Relu, cx);
    }
    Ok(module.forward(x, cx)?.map(Relu::of)?)
}

/// The activation that a module is, if a layer before it can do it on the way.
pub(crate) fn activation<T: Element>(module: &(dyn Module<T> + 'static)) -> Option<Activation> {
    match cast::<Relu<T>, T>(module) {
        Some(_) => Some(Activation::Relu),
        None => cast::<Relu6<T>, T>(module).map(|_| Activation::Relu6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchNorm2d, Flow, Init, Mode, Observer, Param, Path, Residual, Rng, StateDict, Visit};

    struct Watching;
    impl<T: Element> Observer<T> for Watching {}

    struct Gradients<T>(Vec<Vec<T>>);
    impl<T: Element> Visit<T> for Gradients<T> {
        fn param(&mut self, _: Path<'_>, param: &Param<T>) {
            self.0.push(param.grad.to_vec());
        }
    }

    fn block<T: Element>(boxed: bool, act: impl Module<T>) -> Flow<T> {
        let init = &mut Init::seed(3);
        let mut norm = BatchNorm2d::config(5).build::<T>(init).unwrap();
        norm.weight.value = Tensor::uniform([5], -2.0, 2.0, &mut Rng::seed(4)).unwrap();
        norm.bias.value = Tensor::uniform([5], -1.0, 3.0, &mut Rng::seed(5)).unwrap();
        let conv = Conv2d::config(5, 5, 3).padding(1).build::<T>(init).unwrap();
        let flow = Flow::new().then(conv);
        match boxed {
            true => flow.then(Box::new(norm) as Box<dyn Module<T>>).then(Box::new(act) as Box<dyn Module<T>>),
            false => flow.then(norm).then(act),
        }
    }

    /// y, dx, gradients and buffers, bit for bit, with an observer, for whom nothing is fused, and without.
    fn same_bits<T: Element>(make: impl Fn() -> Flow<T>, mode: Mode) {
        let x = Tensor::<T>::normal([3, 5, 6, 7], 0.5, 2.0, &mut Rng::seed(1)).unwrap();
        let dy = Tensor::<T>::normal([3, 5, 6, 7], 0.0, 1.0, &mut Rng::seed(2)).unwrap();
        let run = |watched: bool| {
            let (mut model, mut watching) = (make(), Watching);
            let mut cx = Ctx::new(mode, Rng::seed(1));
            if watched {
                cx = cx.observed(&mut watching);
            }
            let y = model.forward(x.clone(), &mut cx).unwrap();
            let dx = model.backward(dy.clone(), &mut cx).unwrap();
            assert!(model.backward(dy.clone(), &mut cx).is_err(), "a forward was used twice");
            let inferred = model.infer(x.clone(), &mut cx).unwrap();
            let mut gradients = Gradients(Vec::new());
            model.visit(Path::ROOT, &mut gradients);
            ([y, dx, inferred].map(|t| t.to_vec()), gradients.0, StateDict::of(&model).unwrap())
        };
        assert_eq!(run(true), run(false));
    }

    #[test]
    fn fused_layers_compute_the_bits_of_the_layers_apart() {
        for mode in [Mode::Train, Mode::Eval] {
            for boxed in [false, true] {
                same_bits(|| block::<f32>(boxed, Relu::new()), mode);
                same_bits(|| block::<f64>(boxed, Relu6::new()), mode);
                same_bits(|| Flow::new().then(Residual::new(block::<f32>(boxed, Relu::new())).after("relu", Relu::new())), mode);
            }
        }
    }

    /// Convolutions with an activation behind them, boxed or not, and as the end of a residual block.
    #[test]
    fn convolutions_too() {
        let conv = |init: &mut Init| Conv2d::config(5, 5, 3).padding(1).build::<f32>(init).unwrap();
        for mode in [Mode::Train, Mode::Eval] {
            let init = || Init::seed(3);
            same_bits(|| Flow::new().then(conv(&mut init())).then(Relu::new()).then(conv(&mut init())).then(Relu6::new()), mode);
            same_bits(
                || Flow::new().then(Box::new(conv(&mut init())) as Box<dyn Module>).then(Box::new(Relu::new()) as Box<dyn Module>),
                mode,
            );
            let body = || Flow::new().then(conv(&mut init())).then(Relu::new()).then(conv(&mut init()));
            same_bits(|| Flow::new().then(Residual::new(body()).after("relu", Relu::new())), mode);
            same_bits(|| Flow::new().then(Residual::new(body()).shortcut("s", conv(&mut init()))), mode);
        }
    }

    /// Batch norms at the end of a residual block, with a ReLU behind the sum and without.
    #[test]
    fn norms_before_a_sum_too() {
        for (mode, boxed) in [Mode::Train, Mode::Eval].into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
            let body = || {
                let norm = BatchNorm2d::config(5).build::<f32>(&mut Init::seed(6)).unwrap();
                if boxed { block(boxed, Relu::new()).then(Box::new(norm) as Box<dyn Module>) } else { block(boxed, Relu::new()).then(norm) }
            };
            same_bits(|| Flow::new().then(Residual::new(body()).after("relu", Relu::new())), mode);
            same_bits(|| Flow::new().then(Residual::new(body())), mode);
            same_bits(|| Flow::new().then(Residual::new(body()).after("relu6", Relu6::new())), mode);
        }
    }

    #[test]
    fn linear_layers_too() {
        let make = || {
            let init = &mut Init::seed(3);
            let flow = Flow::<f32>::new().then(crate::Flatten::new()).then(Linear::config(210, 7).build(init).unwrap()).then(Relu::new());
            let flow = flow.then(Linear::config(7, 210).bias(false).build(init).unwrap()).then(Relu6::new());
            flow.then(crate::Reshape::new([5, 6, 7]).unwrap())
        };
        [Mode::Train, Mode::Eval].into_iter().for_each(|mode| same_bits(make, mode));
    }

    #[test]
    fn only_what_goes_together_is_fused() {
        let init = &mut Init::seed(1);
        let norm = BatchNorm2d::config(2).build::<f32>(init).unwrap();
        let conv = Conv2d::config(2, 2, 1).build::<f32>(init).unwrap();
        assert_eq!(activation::<f32>(&Relu::<f32>::new()), Some(Activation::Relu));
        assert_eq!(activation::<f32>(&Relu6::<f32>::new()), Some(Activation::Relu6));
        assert_eq!(activation::<f32>(&(Box::new(Relu::<f32>::new()) as Box<dyn Module>)), Some(Activation::Relu));
        assert_eq!(activation::<f32>(&conv), None);
        assert!(matches!(Leader::<f32>::of(&norm), Some(Leader::Norm(_))) && matches!(Leader::<f32>::of(&conv), Some(Leader::Conv(_))));
        assert!(Leader::<f32>::of(&Relu::<f32>::new()).is_none());
    }
}
