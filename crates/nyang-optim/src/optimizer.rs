//! What every optimizer is: something with a learning rate whose step uses up the gradients.

use nyang_nn::{Element, Module};

use crate::error::check_not_negative;
use crate::{Core, Error, Group, OptimizerState, Result};

/// Turns gradients into better parameters.
///
/// An optimizer is its settings, a [`Core`], and a rule for one parameter:
///
/// ```
/// use nyang_nn::{Element, Init, Linear, Module, Tensor};
/// use nyang_optim::{Core, Optimizer, Result};
///
/// /// Steps of the same size, whatever the gradient's: p ← p − η sign(g).
/// struct SignSgd<T: Element = f32> {
///     core: Core<T>,
/// }
///
/// impl<T: Element> Optimizer<T> for SignSgd<T> {
///     fn check(&self) -> Result<()> {
///         self.core.check()
///     }
///     fn step(&mut self, model: &mut dyn Module<T>) -> Result<()> {
///         self.check()?;
///         self.core.each_param(model, [], 0.0, |turn, p, g, []| {
///             let lr = T::of(turn.lr);
///             p.iter_mut().zip(g).for_each(|(p, g)| *p -= if *g > T::ZERO { lr } else { -lr });
///         })
///     }
///     fn core(&self) -> &Core<T> {
///         &self.core
///     }
///     fn core_mut(&mut self) -> &mut Core<T> {
///         &mut self.core
///     }
/// }
///
/// let mut optimizer = SignSgd { core: Core::new("SignSgd", 0.1) };
/// let mut model = Linear::config(1, 1).bias(false).build::<f64>(&mut Init::seed(1))?;
/// (model.weight.value, model.weight.grad) = (Tensor::ones([1, 1])?, Tensor::full([1, 1], 7.0)?);
/// optimizer.step(&mut model)?;
/// assert_eq!(model.weight.value.item(), Some(0.9));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Optimizer<T: Element = f32>: Send {
    /// Whether the settings can work; every step asks this first, a program may want to know earlier.
    ///
    /// # Errors
    /// [`Error::Setting`] with the first that cannot.
    fn check(&self) -> Result<()>;

    /// Changes every trainable parameter by its gradient, and sets all gradients to zero.
    ///
    /// # Errors
    /// [`Error::Setting`] as [`Optimizer::check`], [`Error::Model`] if this is another model than before, [`Error::Gradient`] if a gradient
    /// does not fit its parameter, [`Error::EmptyGroup`] if a group's rule picks no parameter.
    fn step(&mut self, model: &mut dyn Module<T>) -> Result<()>;

    /// What all optimizers have: name, learning rate, groups, and the numbers kept for each parameter.
    fn core(&self) -> &Core<T>;

    /// The same, to change.
    fn core_mut(&mut self) -> &mut Core<T>;

    /// The momentum as it is now: the share of the last direction that stays, which some call β₁. `None` if this optimizer has none to set.
    fn current_momentum(&self) -> Option<f64> {
        None
    }

    /// Sets the momentum, from the next step on.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it lies in [0, 1), [`Error::NoMomentum`] if this optimizer has none to set.
    fn set_momentum(&mut self, _momentum: f64) -> Result<()> {
        Err(Error::NoMomentum { kind: self.kind() })
    }

    /// The optimizer's name.
    fn kind(&self) -> &'static str {
        self.core().kind()
    }

    /// The learning rate.
    fn lr(&self) -> f64 {
        self.core().lr()
    }

    /// Sets the learning rate, from the next step on.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is a number ≥ 0.
    fn set_lr(&mut self, lr: f64) -> Result<()> {
        check_not_negative(self.kind(), "lr", lr)?;
        self.core_mut().set_lr(lr);
        Ok(())
    }

    /// Parameters that are treated differently: `.group(Group::bias_and_norm().weight_decay(0.0))`.
    fn group(mut self, group: Group) -> Self
    where
        Self: Sized,
    {
        self.core_mut().add_group(group);
        self
    }

    /// Everything that changes from step to step, for a checkpoint. Handles are copied, not numbers: later steps do not change it.
    fn state(&self) -> OptimizerState<T> {
        self.core().state()
    }

    /// Puts back what [`Optimizer::state`] gave: the next step is then, bit for bit, the one that would have come.
    ///
    /// Settings and groups are the program's and not in the state, but for the learning rate.
    ///
    /// # Errors
    /// [`Error::State`] if it is another kind of optimizer's; the present state is kept then.
    fn load_state(&mut self, state: OptimizerState<T>) -> Result<()> {
        self.core_mut().load_state(state)
    }
}

/// A boxed optimizer is an optimizer.
impl<T: Element> Optimizer<T> for Box<dyn Optimizer<T>> {
    fn check(&self) -> Result<()> {
        (**self).check()
    }
    fn step(&mut self, model: &mut dyn Module<T>) -> Result<()> {
        (**self).step(model)
    }
    fn core(&self) -> &Core<T> {
        (**self).core()
    }
    fn core_mut(&mut self) -> &mut Core<T> {
        (**self).core_mut()
    }
    fn current_momentum(&self) -> Option<f64> {
        (**self).current_momentum()
    }
    fn set_momentum(&mut self, momentum: f64) -> Result<()> {
        (**self).set_momentum(momentum)
    }
}

/// Values a task updates at a time.
pub(crate) const CHUNK: usize = 16 * 1024;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Adagrad, Adam, AdamW, Lion, NAdam, RAdam, RmsProp, Sgd};
    use nyang_nn::{Init, Linear, Tensor};

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
        got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-9) // the numbers have ten digits
    }

    /// The message with which the settings are refused.
    pub(crate) fn refused(optimizer: impl Optimizer<f64>) -> String {
        let mut optimizer = optimizer;
        let mut model = Linear::config(1, 1).build::<f64>(&mut Init::seed(1)).unwrap();
        let error = optimizer.check().unwrap_err();
        assert_eq!(optimizer.step(&mut model).unwrap_err().to_string(), error.to_string(), "every step checks");
        assert!(matches!(error, Error::Setting { .. }), "{error}");
        error.to_string()
    }

    /// Every optimizer, with settings that make it keep all it can.
    fn all() -> Vec<Box<dyn Optimizer<f64>>> {
        vec![
            Box::new(Sgd::new(0.1).momentum(0.9).nesterov()),
            Box::new(Adam::new(0.1).amsgrad()),
            Box::new(AdamW::new(0.1)),
            Box::new(RmsProp::new(0.1).momentum(0.9).centered()),
            Box::new(Adagrad::new(0.1)),
            Box::new(NAdam::new(0.1)),
            Box::new(RAdam::new(0.1)),
            Box::new(Lion::new(0.1)),
        ]
    }

    fn model() -> Linear<f64> {
        Linear::config(3, 2).build(&mut Init::seed(1)).unwrap()
    }

    fn give(model: &mut Linear<f64>, g: f64) {
        model.weight.grad = Tensor::from_fn([2, 3], |i| g * (i as f64 - 2.2)).unwrap();
        model.bias.as_mut().unwrap().grad = Tensor::full([2], g).unwrap();
    }

    #[test]
    fn frozen_parameters_stay_and_lose_their_gradients() {
        for mut optimizer in all() {
            let mut model = model();
            model.weight.trainable = false;
            let before = model.clone();
            give(&mut model, 1.0);
            optimizer.step(&mut model).unwrap();
            assert_eq!(model.weight.value, before.weight.value, "{}", optimizer.kind());
            assert_eq!(model.weight.grad, before.weight.grad, "{}: what is unfrozen later must not find old gradients", optimizer.kind());
            assert_ne!(model.bias.unwrap().value, before.bias.unwrap().value);
            assert!(!optimizer.state().params.contains_key("weight"), "nothing is kept for it");
        }
    }

    #[test]
    fn another_model_is_an_error() {
        for mut optimizer in all() {
            optimizer.step(&mut model()).unwrap();
            let error = optimizer.step(&mut Linear::config(5, 2).build::<f64>(&mut Init::seed(1)).unwrap()).unwrap_err();
            assert!(error.to_string().starts_with("at `weight`: the "), "{error}");
            assert!(error.to_string().contains("state is for [2, 3], the parameter is [2, 5]; start a new"), "{error}");
        }
    }

    #[test]
    fn the_state_of_another_optimizer_is_an_error_and_nothing_is_loaded() {
        for (i, mut from) in all().into_iter().enumerate() {
            three_steps(from.as_mut());
            for (j, mut to) in all().into_iter().enumerate().filter(|(j, _)| *j != i) {
                let error = to.load_state(from.state()).unwrap_err();
                assert!(matches!(error, Error::State { .. }), "{i} {j}: {error}");
                assert!(to.state().params.is_empty());
            }
        }
        let error = Adam::<f64>::new(0.1).load_state(all()[0].state()).unwrap_err().to_string();
        assert_eq!(error, "the state of Sgd [momentum_buffer] cannot go into Adam [exp_avg, exp_avg_sq]; nothing was loaded");
    }

    #[test]
    fn a_state_that_lacks_numbers_is_an_error() {
        let mut adam = Adam::<f64>::new(0.1);
        three_steps(&mut adam);
        let mut state = adam.state();
        state.params.get_mut("weight").unwrap().moments.pop();
        assert!(matches!(adam.load_state(state), Err(Error::State { .. })));
        let mut state = adam.state();
        state.lr = f64::NAN;
        assert!(matches!(adam.load_state(state), Err(Error::Setting { field: "lr", .. })));
    }

    #[test]
    fn a_loaded_state_goes_on_as_if_nothing_had_happened() {
        let run = |which: usize, resume: bool| {
            let (mut model, mut optimizer) = (model(), all().swap_remove(which));
            for (i, g) in [0.3, -0.1, 0.7, 0.2, -0.4, 0.1, 0.6].into_iter().enumerate() {
                if resume && i % 2 == 0 {
                    let state = optimizer.state();
                    optimizer = all().swap_remove(which);
                    optimizer.load_state(state).unwrap();
                }
                if i == 3 {
                    optimizer.set_lr(0.03).unwrap();
                }
                give(&mut model, g);
                optimizer.step(&mut model).unwrap();
            }
            (model.weight.value, model.bias.unwrap().value)
        };
        for which in 0..all().len() {
            assert_eq!(run(which, true), run(which, false), "{}", all()[which].kind());
        }
    }

    #[test]
    fn a_state_stays_as_it_was_while_training_goes_on() {
        for mut optimizer in all() {
            three_steps(optimizer.as_mut());
            let (state, again) = (optimizer.state(), optimizer.state());
            three_steps(optimizer.as_mut());
            assert_eq!(state, again);
            assert_ne!(optimizer.state(), state);
        }
    }

    #[test]
    fn learning_rates_that_are_no_numbers_or_negative_are_errors() {
        for mut optimizer in all() {
            for lr in [-1.0, f64::NAN, f64::INFINITY] {
                let error = optimizer.set_lr(lr).unwrap_err().to_string();
                assert_eq!(error, format!("{}: lr = {lr} is not valid: must be a number ≥ 0", optimizer.kind()));
                assert_eq!(optimizer.lr(), 0.1, "a wrong rate changes nothing");
            }
        }
        assert_eq!(refused(Sgd::new(f64::NAN)), "Sgd: lr = NaN is not valid: must be a number ≥ 0");
    }

    #[test]
    fn momentum_can_be_set_where_there_is_one() {
        for mut optimizer in all() {
            if optimizer.current_momentum().is_none() {
                assert_eq!(optimizer.set_momentum(0.5), Err(Error::NoMomentum { kind: optimizer.kind() }));
                continue;
            }
            optimizer.set_momentum(0.5).unwrap();
            assert_eq!(optimizer.current_momentum(), Some(0.5));
            for wrong in [-0.1, 1.0, f64::NAN] {
                assert!(matches!(optimizer.set_momentum(wrong), Err(Error::Setting { .. })), "{} {wrong}", optimizer.kind());
            }
            assert_eq!(optimizer.current_momentum(), Some(0.5));
        }
        let with = all().iter().filter(|o| o.current_momentum().is_some()).map(|o| o.kind()).collect::<Vec<_>>();
        assert_eq!(with, ["Sgd", "Adam", "AdamW", "RmsProp", "RAdam", "Lion"]);
    }

    #[test]
    fn a_learning_rate_of_zero_moves_nothing() {
        for mut optimizer in all() {
            optimizer.set_lr(0.0).unwrap();
            assert_eq!(three_steps(optimizer.as_mut()), [1.0; 3], "{}", optimizer.kind());
        }
    }
}
