//! Stochastic gradient descent, with momentum.

use nyang_nn::{Element, Module};
use nyang_tensor::parallel::for_each_chunk_of;

use crate::error::check;
use crate::optimizer::{CHUNK, check_lr, check_state, each_param};
use crate::{Optimizer, OptimizerState, Result};

const KIND: &str = "Sgd";

/// Stochastic gradient descent: a step against the gradient, or against a running sum of gradients.
///
/// ```text
/// g ← ∂L/∂p + λ p
/// u ← μ u + g         (the first time u ← g)
/// p ← p − η u
/// ```
///
/// with learning rate η, momentum μ (0), weight decay λ (0). The learning rate stands outside u: changing it acts at once.
///
/// # Reference
/// PyTorch's `torch.optim.SGD`; Sutskever et al. 2013, *On the importance of initialization and momentum in deep learning*.
#[derive(Clone, Debug)]
pub struct Sgd<T: Element = f32> {
    lr: f64,
    momentum: f64,
    weight_decay: f64,
    state: OptimizerState<T>,
}

impl<T: Element> Sgd<T> {
    /// Plain gradient descent with this learning rate.
    ///
    /// Settings are checked when they are first used: by [`Optimizer::check`], which every step calls.
    pub fn new(lr: f64) -> Self {
        Sgd { lr, momentum: 0.0, weight_decay: 0.0, state: OptimizerState::new() }
    }

    /// μ, how much of the last direction stays; in [0, 1).
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// λ ≥ 0, how strongly parameters are pulled towards zero.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

impl<T: Element> Optimizer<T> for Sgd<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn check(&self) -> Result<()> {
        check_lr(KIND, self.lr)?;
        check(KIND, "momentum", self.momentum, (0.0..1.0).contains(&self.momentum), "must lie in [0, 1)")?;
        check(KIND, "weight_decay", self.weight_decay, self.weight_decay >= 0.0, "must be a number ≥ 0")
    }

    fn step(&mut self, model: &mut dyn Module<T>) -> Result<()> {
        Optimizer::<T>::check(self)?;
        let [lr, mu, decay] = [self.lr, self.momentum, self.weight_decay].map(T::of);
        let moments = usize::from(self.momentum > 0.0);
        each_param(model, &mut self.state, moments, |_, param, moments| {
            let (p, g) = (param.value.as_mut_slice()?, param.grad.as_mut_slice()?);
            match moments {
                // u starts at zero, so the first step's u is g
                [u] => for_each_chunk_of([p, g, u.as_mut_slice()?], CHUNK, |[p, g, u]| {
                    for ((p, g), u) in p.iter_mut().zip(g).zip(u) {
                        *u = mu * *u + (*g + decay * *p);
                        *p -= lr * *u;
                    }
                }),
                _ => for_each_chunk_of([p, g], CHUNK, |[p, g]| {
                    p.iter_mut().zip(g).for_each(|(p, g)| *p -= lr * (*g + decay * *p));
                }),
            }
            Ok(())
        })
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn set_lr(&mut self, lr: f64) -> Result<()> {
        check_lr(KIND, lr)?;
        self.lr = lr;
        Ok(())
    }

    fn state(&self) -> &OptimizerState<T> {
        &self.state
    }

    fn load_state(&mut self, state: OptimizerState<T>) -> Result<()> {
        check_state(KIND, usize::from(self.momentum > 0.0), &state)?;
        self.state = state;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nyang_nn::{Init, Linear};

    use crate::optimizer::tests::{close, three_steps};

    /// PyTorch's numbers.
    #[test]
    fn three_steps_are_pytorchs() {
        let sgd = || Sgd::new(0.1);
        assert!(close(three_steps(&mut sgd()), [0.99, 1.01, 0.98]));
        assert!(close(three_steps(&mut sgd().momentum(0.9)), [0.99, 1.001, 0.9809]));
        let decayed = three_steps(&mut sgd().momentum(0.9).weight_decay(0.01));
        assert!(close(decayed, [0.989, 0.998111, 0.975312789]), "{decayed:?}");
    }

    #[test]
    fn a_new_learning_rate_acts_at_once() {
        let mut sgd = Sgd::new(0.1).momentum(0.9);
        three_steps(&mut sgd);
        sgd.set_lr(0.0).unwrap();
        assert_eq!(three_steps(&mut sgd), [1.0; 3]);
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        let mut model = Linear::config(1, 1).build::<f32>(&mut Init::seed(1)).unwrap();
        for lr in [-1.0, f64::NAN, f64::INFINITY] {
            let error = Sgd::new(lr).step(&mut model).unwrap_err().to_string();
            assert_eq!(error, format!("Sgd: lr = {lr} is not valid: must be a number ≥ 0"));
            assert!(Sgd::<f32>::new(0.1).set_lr(lr).is_err());
        }
        for mu in [-0.1, 1.0, f64::NAN] {
            assert!(Sgd::new(0.1).momentum(mu).step(&mut model).unwrap_err().to_string().starts_with("Sgd: momentum = "));
        }
        assert!(Sgd::new(0.1).weight_decay(-1e-4).step(&mut model).is_err());
    }
}
