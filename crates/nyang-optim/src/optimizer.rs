//! What every optimizer does: walk over the parameters, use up each gradient, keep some numbers for each.

use std::collections::BTreeMap;

use nyang_nn::{Element, Module, Param, Path, Tensor, VisitMut};

use crate::error::check;
use crate::{Error, Result};

/// Turns gradients into better parameters.
pub trait Optimizer<T: Element = f32>: Send {
    /// The optimizer's name.
    fn kind(&self) -> &'static str;

    /// Whether the settings can work; every step asks this first, a program may want to know earlier.
    ///
    /// # Errors
    /// [`Error::Setting`] with the first that cannot.
    fn check(&self) -> Result<()>;

    /// Changes every trainable parameter by its gradient, and sets that gradient to zero.
    ///
    /// # Errors
    /// [`Error::Model`] if this is another model than before, [`Error::Gradient`] if a gradient does not fit its parameter.
    fn step(&mut self, model: &mut dyn Module<T>) -> Result<()>;

    /// The learning rate.
    fn lr(&self) -> f64;

    /// Sets the learning rate, from the next step on.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is a number ≥ 0.
    fn set_lr(&mut self, lr: f64) -> Result<()>;

    /// What is kept for each parameter, by path.
    fn state(&self) -> &OptimizerState<T>;

    /// Puts back what [`Optimizer::state`] gave.
    ///
    /// # Errors
    /// [`Error::State`] if it is another kind of optimizer's; the present state is kept then.
    fn load_state(&mut self, state: OptimizerState<T>) -> Result<()>;
}

/// What an optimizer keeps for each parameter, by path.
pub type OptimizerState<T> = BTreeMap<String, ParamState<T>>;

/// What an optimizer keeps for one parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamState<T: Element> {
    /// How many steps this parameter has made.
    pub step: u64,
    /// Running averages of the parameter's shape: SGD's velocity; Adam's m and v.
    pub moments: Vec<Tensor<T>>,
}

/// A boxed optimizer is an optimizer.
impl<T: Element> Optimizer<T> for Box<dyn Optimizer<T>> {
    fn kind(&self) -> &'static str {
        (**self).kind()
    }
    fn check(&self) -> Result<()> {
        (**self).check()
    }
    fn step(&mut self, model: &mut dyn Module<T>) -> Result<()> {
        (**self).step(model)
    }
    fn lr(&self) -> f64 {
        (**self).lr()
    }
    fn set_lr(&mut self, lr: f64) -> Result<()> {
        (**self).set_lr(lr)
    }
    fn state(&self) -> &OptimizerState<T> {
        (**self).state()
    }
    fn load_state(&mut self, state: OptimizerState<T>) -> Result<()> {
        (**self).load_state(state)
    }
}

/// Values a task updates at a time.
pub(crate) const CHUNK: usize = 16 * 1024;

/// Calls `update` for each trainable parameter, with `moments` tensors of zeros kept for it from its first step on; then
/// sets the gradient to zero. `update` gets the number of this step, from 1.
pub(crate) fn each_param<T: Element>(
    model: &mut dyn Module<T>,
    state: &mut OptimizerState<T>,
    moments: usize,
    update: impl FnMut(u64, &mut Param<T>, &mut [Tensor<T>]) -> Result<()>,
) -> Result<()> {
    let mut walk = Walk { state, moments, update, failed: None };
    model.visit_mut(Path::ROOT, &mut walk);
    walk.failed.map_or(Ok(()), Err)
}

struct Walk<'a, T: Element, U> {
    state: &'a mut OptimizerState<T>,
    moments: usize,
    update: U,
    failed: Option<Error>,
}

impl<T: Element, U: FnMut(u64, &mut Param<T>, &mut [Tensor<T>]) -> Result<()>> Walk<'_, T, U> {
    fn one(&mut self, at: Path<'_>, param: &mut Param<T>) -> Result<()> {
        let path = at.to_string();
        let shape = *param.value.shape();
        if param.grad.len() != param.value.len() {
            return Err(Error::Gradient { path, expected: param.value.len(), got: param.grad.len() });
        }
        if !self.state.contains_key(&path) {
            let moments = (0..self.moments).map(|_| Tensor::zeros(shape)).collect::<Result<_, _>>()?;
            self.state.insert(path.clone(), ParamState { step: 0, moments });
        }
        let Some(own) = self.state.get_mut(&path) else { return Ok(()) };
        if let Some(other) = own.moments.iter().find(|m| *m.shape() != shape) {
            return Err(Error::Model { path, expected: *other.shape(), got: shape });
        }
        own.step += 1;
        (self.update)(own.step, param, &mut own.moments)?;
        param.grad.as_mut_slice()?.fill(T::ZERO);
        Ok(())
    }
}

impl<T: Element, U: FnMut(u64, &mut Param<T>, &mut [Tensor<T>]) -> Result<()>> VisitMut<T> for Walk<'_, T, U> {
    fn param(&mut self, at: Path<'_>, param: &mut Param<T>) {
        if param.trainable && self.failed.is_none() {
            self.failed = self.one(at, param).err();
        }
    }
}

/// Whether a state has the number of moments that an optimizer keeps.
pub(crate) fn check_state<T: Element>(kind: &'static str, moments: usize, state: &OptimizerState<T>) -> Result<()> {
    match state.iter().find(|(_, s)| s.moments.len() != moments) {
        Some((path, s)) => Err(Error::State { kind, path: path.clone(), expected: moments, got: s.moments.len() }),
        None => Ok(()),
    }
}

/// Whether a learning rate is a number ≥ 0.
pub(crate) fn check_lr(kind: &'static str, lr: f64) -> Result<()> {
    check(kind, "lr", lr, lr >= 0.0, "must be a number ≥ 0")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use nyang_nn::{Init, Linear};

    /// p after each of three steps from 1 with gradients 0.1, −0.2, 0.3.
    pub(crate) fn three_steps(optimizer: &mut dyn Optimizer<f64>) -> [f64; 3] {
        let mut model = Linear::config(1, 1).bias(false).build::<f64>(&mut Init::seed(1)).unwrap();
        model.weight.value = Tensor::ones([1, 1]).unwrap();
        [0.1, -0.2, 0.3].map(|g| {
            model.weight.grad = Tensor::full([1, 1], g).unwrap();
            optimizer.step(&mut model).unwrap();
            assert_eq!(model.weight.grad.item(), Some(0.0), "the step must use up the gradient");
            model.weight.value.item().unwrap()
        })
    }

    pub(crate) fn close(got: [f64; 3], want: [f64; 3]) -> bool {
        got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-9)
    }

    #[test]
    fn frozen_parameters_stay() {
        let mut model = Linear::config(2, 2).build::<f64>(&mut Init::seed(1)).unwrap();
        model.weight.trainable = false;
        let before = model.clone();
        for p in [&mut model.weight, model.bias.as_mut().unwrap()] {
            p.grad = Tensor::ones(p.value.shape()).unwrap();
        }
        crate::Sgd::new(0.1).step(&mut model).unwrap();
        assert_eq!(model.weight.value, before.weight.value);
        assert_ne!(model.bias.unwrap().value, before.bias.unwrap().value);
    }

    #[test]
    fn another_model_is_an_error() {
        let mut optimizer = crate::Adam::new(0.1);
        let model = |n| Linear::config(n, 2).build::<f64>(&mut Init::seed(1)).unwrap();
        optimizer.step(&mut model(2)).unwrap();
        assert!(matches!(Optimizer::<f64>::step(&mut optimizer, &mut model(3)), Err(Error::Model { .. })));
    }

    #[test]
    fn the_state_of_another_optimizer_is_an_error() {
        let (mut sgd, mut adam) = (crate::Sgd::<f64>::new(0.1).momentum(0.9), crate::Adam::<f64>::new(0.1));
        three_steps(&mut sgd);
        let error = adam.load_state(sgd.state().clone()).unwrap_err().to_string();
        assert_eq!(error, "at `weight`: a Adam keeps 2 moments for each parameter, the state has 1; nothing was loaded");
    }

    #[test]
    fn a_loaded_state_goes_on_as_if_nothing_had_happened() {
        let model = || Linear::config(3, 2).build::<f64>(&mut Init::seed(1)).unwrap();
        let set = |m: &mut Linear<f64>, v: f64| m.weight.grad = Tensor::full([2, 3], v).unwrap();
        let run = |resume: bool| {
            let (mut m, mut optimizer) = (model(), crate::Adam::new(0.1));
            for (i, g) in [0.3, -0.1, 0.7, 0.2].into_iter().enumerate() {
                if resume && i == 2 {
                    let state = Optimizer::<f64>::state(&optimizer).clone();
                    optimizer = crate::Adam::new(0.1);
                    optimizer.load_state(state).unwrap();
                }
                set(&mut m, g);
                optimizer.step(&mut m).unwrap();
            }
            m.weight.value
        };
        assert_eq!(run(true), run(false));
    }
}
