//! Stochastic gradient descent, with momentum.

use nyang_nn::{Element, Module};
use nyang_tensor::parallel::for_each_chunk_of;

use crate::error::{check, check_not_negative, check_share};
use crate::optimizer::CHUNK;
use crate::{Core, Optimizer, Result};

const KIND: &str = "Sgd";

/// Stochastic gradient descent: a step against the gradient, or against a running sum of gradients.
///
/// ```text
/// g ← ∂L/∂p + λ p
/// u ← μ u + (1 − δ) g       (the first time u ← g)
/// p ← p − η u               (Nesterov: p ← p − η (g + μ u))
/// ```
///
/// with learning rate η, momentum μ (0), dampening δ (0), weight decay λ (0). The learning rate stands outside u: changing it acts at once.
///
/// # Reference
/// PyTorch's `torch.optim.SGD`; Sutskever et al. 2013, *On the importance of initialization and momentum in deep learning*.
///
/// # Example
/// ```
/// # use nyang_optim::{Optimizer, Sgd};
/// let sgd = Sgd::<f32>::new(0.1).momentum(0.9).nesterov().weight_decay(5e-4);
/// assert_eq!(sgd.lr(), 0.1);
/// ```
#[derive(Clone, Debug)]
pub struct Sgd<T: Element = f32> {
    core: Core<T>,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: bool,
}

impl<T: Element> Sgd<T> {
    /// Plain gradient descent with this learning rate.
    ///
    /// Settings are checked when they are first used: by [`Optimizer::check`], which every step calls.
    pub fn new(lr: f64) -> Self {
        Sgd { core: Core::new(KIND, lr), momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false }
    }

    /// μ, how much of the last direction stays; in [0, 1).
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self.core = if momentum > 0.0 { self.core.keeping(&["momentum_buffer"]) } else { self.core.keeping(&[]) };
        self
    }

    /// δ, how much of a new gradient is left out of the running sum; in [0, 1].
    pub fn dampening(mut self, dampening: f64) -> Self {
        self.dampening = dampening;
        self
    }

    /// Looks ahead: goes where the next step would go if the gradient stayed. Needs a momentum, and no dampening.
    pub fn nesterov(mut self) -> Self {
        self.nesterov = true;
        self
    }

    /// λ ≥ 0, how strongly parameters are pulled towards zero.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

impl<T: Element> Optimizer<T> for Sgd<T> {
    fn check(&self) -> Result<()> {
        self.core.check()?;
        check_share(KIND, "momentum", self.momentum)?;
        check(KIND, "dampening", self.dampening, (0.0..=1.0).contains(&self.dampening), "must lie in [0, 1]")?;
        check_not_negative(KIND, "weight_decay", self.weight_decay)?;
        let plain = !self.nesterov;
        check(KIND, "momentum", self.momentum, plain || self.momentum > 0.0, "must be positive for Nesterov's step")?;
        check(KIND, "dampening", self.dampening, plain || self.dampening == 0.0, "must be 0 for Nesterov's step")
    }

    fn step(&mut self, model: &mut dyn Module<T>) -> Result<()> {
        self.check()?;
        if self.momentum == 0.0 {
            return self.core.each_param(model, [], self.weight_decay, |turn, p, g, []| {
                let (lr, decay) = (T::of(turn.lr), T::of(turn.weight_decay));
                for_each_chunk_of([p, g], CHUNK, |[p, g]| {
                    p.iter_mut().zip(g).for_each(|(p, g)| *p -= lr * (*g + decay * *p));
                });
            });
        }
        let (mu, dampening, nesterov) = (T::of(self.momentum), self.dampening, self.nesterov);
        self.core.each_param(model, ["momentum_buffer"], self.weight_decay, |turn, p, g, [u]| {
            let (lr, decay) = (T::of(turn.lr), T::of(turn.weight_decay));
            let new = T::of(if turn.fresh { 1.0 } else { 1.0 - dampening }); // u starts at zero, so the first time μ u + g is g
            for_each_chunk_of([p, g, u], CHUNK, |[p, g, u]| {
                for ((p, g), u) in p.iter_mut().zip(g).zip(u) {
                    let g = *g + decay * *p;
                    *u = mu * *u + new * g;
                    *p -= lr * if nesterov { g + mu * *u } else { *u };
                }
            });
        })
    }

    fn core(&self) -> &Core<T> {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core<T> {
        &mut self.core
    }

    fn current_momentum(&self) -> Option<f64> {
        Some(self.momentum)
    }

    fn set_momentum(&mut self, momentum: f64) -> Result<()> {
        check_share(KIND, "momentum", momentum)?;
        self.momentum = momentum;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::tests::{close, refused, three_steps};

    /// PyTorch's numbers.
    #[test]
    fn three_steps_are_pytorchs() {
        let sgd = || Sgd::new(0.1);
        assert!(close(three_steps(&mut sgd()), [0.99, 1.01, 0.98]));
        assert!(close(three_steps(&mut sgd().momentum(0.9)), [0.99, 1.001, 0.9809]));
        assert!(close(three_steps(&mut sgd().momentum(0.9).nesterov()), [0.981, 1.0109, 0.96281]));
        assert!(close(three_steps(&mut sgd().momentum(0.9).dampening(0.1)), [0.99, 0.999, 0.9801]));
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
    fn a_momentum_that_is_switched_on_later_begins_with_the_gradient() {
        let mut sgd = Sgd::new(0.1).dampening(0.5);
        three_steps(&mut sgd);
        sgd.set_momentum(0.9).unwrap();
        let u = [0.1, 0.9 * 0.1 - 0.5 * 0.2, 0.9 * (0.9 * 0.1 - 0.5 * 0.2) + 0.5 * 0.3];
        let p = [1.0 - 0.1 * u[0], 1.0 - 0.1 * (u[0] + u[1]), 1.0 - 0.1 * (u[0] + u[1] + u[2])];
        assert!(close(three_steps(&mut sgd), p));
        let mut resumed = Sgd::new(0.1); // a schedule will switch it on again
        resumed.load_state(sgd.state()).unwrap();
        assert_eq!(resumed.state(), sgd.state());
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        for mu in [-0.1, 1.0, f64::NAN] {
            assert_eq!(refused(Sgd::new(0.1).momentum(mu)), format!("Sgd: momentum = {mu} is not valid: must lie in [0, 1)"));
        }
        for dampening in [-0.1, 1.1, f64::NAN] {
            assert!(refused(Sgd::new(0.1).momentum(0.9).dampening(dampening)).starts_with("Sgd: dampening = "));
        }
        for decay in [-1e-4, f64::NAN, f64::INFINITY] {
            assert!(refused(Sgd::new(0.1).weight_decay(decay)).starts_with("Sgd: weight_decay = "));
        }
        assert_eq!(refused(Sgd::new(0.1).nesterov()), "Sgd: momentum = 0 is not valid: must be positive for Nesterov's step");
        let damped = Sgd::new(0.1).momentum(0.9).dampening(0.1).nesterov();
        assert_eq!(refused(damped), "Sgd: dampening = 0.1 is not valid: must be 0 for Nesterov's step");
    }
}
