//! Lion: steps of one size, in the direction that momentum and gradient agree on.

use nyang_nn::{Element, Module};
use nyang_tensor::parallel::for_each_chunk_of;

use crate::decay::{Decay, Way};
use crate::error::{check_not_negative, check_share};
use crate::optimizer::CHUNK;
use crate::{Core, Optimizer, Result};

const KIND: &str = "Lion";

/// Lion: the sign of a mean of gradients. It keeps half of what Adam keeps.
///
/// ```text
/// p ← p − η λ p
/// p ← p − η sign(β₁ m + (1 − β₁) g)        sign 0 = 0
/// m ← β₂ m + (1 − β₂) g
/// ```
///
/// with learning rate η, β₁ (0.9), β₂ (0.99), weight decay λ (0). Every value moves by η, so η wants to be three to ten times smaller than
/// [`AdamW`](crate::AdamW)'s, and λ as many times larger.
///
/// # Reference
/// Chen et al. 2023, *Symbolic discovery of optimization algorithms*, arXiv:2302.06675, Program 1.
///
/// # Example
/// ```
/// # use nyang_optim::{Lion, Optimizer};
/// let lion = Lion::<f32>::new(1e-4).weight_decay(0.1);
/// assert_eq!(lion.current_momentum(), Some(0.9));
/// ```
#[derive(Clone, Debug)]
pub struct Lion<T: Element = f32> {
    core: Core<T>,
    betas: [f64; 2],
    weight_decay: f64,
}

impl<T: Element> Lion<T> {
    /// Lion with this learning rate; the paper's default is 1e-4.
    ///
    /// Settings are checked when they are first used: by [`Optimizer::check`], which every step calls.
    pub fn new(lr: f64) -> Self {
        Lion { core: Core::new(KIND, lr).keeping(&["exp_avg"]), betas: [0.9, 0.99], weight_decay: 0.0 }
    }

    /// β₁, how much of the running mean the direction takes, and β₂, how much of it stays; in [0, 1).
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        self.betas = [beta1, beta2];
        self
    }

    /// λ ≥ 0, how strongly parameters are pulled towards zero.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

/// −1, 0 or 1; NaN stays.
#[inline(always)]
fn sign<T: Element>(v: T) -> T {
    if v > T::ZERO {
        T::ONE
    } else if v < T::ZERO {
        -T::ONE
    } else {
        v
    }
}

impl<T: Element> Optimizer<T> for Lion<T> {
    fn check(&self) -> Result<()> {
        self.core.check()?;
        check_share(KIND, "beta1", self.betas[0])?;
        check_share(KIND, "beta2", self.betas[1])?;
        check_not_negative(KIND, "weight_decay", self.weight_decay)
    }

    fn step(&mut self, model: &mut dyn Module<T>) -> Result<()> {
        self.check()?;
        let [beta1, beta2] = self.betas;
        let [b1, new1, b2, new2] = [beta1, 1.0 - beta1, beta2, 1.0 - beta2].map(T::of);
        self.core.each_param(model, ["exp_avg"], self.weight_decay, |turn, p, g, [m]| {
            let (lr, decay) = (T::of(turn.lr), Decay::new(Way::Parameter, turn));
            for_each_chunk_of([p, g, m], CHUNK, |[p, g, m]| {
                for ((p, g), m) in p.iter_mut().zip(g).zip(m) {
                    let g = decay.of(p, *g);
                    *p -= lr * sign(b1 * *m + new1 * g);
                    *m = b2 * *m + new2 * g;
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
        Some(self.betas[0])
    }

    fn set_momentum(&mut self, momentum: f64) -> Result<()> {
        check_share(KIND, "beta1", momentum)?;
        self.betas[0] = momentum;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::tests::{close, refused, three_steps};

    #[test]
    fn three_steps_by_hand() {
        // m = 0, 0.001, −0.00101; directions +, −, +
        assert!(close(three_steps(&mut Lion::new(0.1)), [0.9, 1.0, 0.9]));
        // β₁ = 0.999: 1e-4, 0.999 · 0.001 − 2e-4 > 0, −0.00100899 + 3e-4 < 0
        assert!(close(three_steps(&mut Lion::new(0.1).betas(0.999, 0.99)), [0.9, 0.8, 0.9]));
        assert!(close(three_steps(&mut Lion::new(0.1).weight_decay(0.5)), [0.85, 0.9075, 0.762125]));
    }

    #[test]
    fn a_gradient_of_zero_moves_nothing_and_nan_does_not_hide() {
        assert_eq!([0.0f64, -0.0, 2.0, -3.0].map(sign), [0.0, 0.0, 1.0, -1.0]);
        assert!(sign(f64::NAN).is_nan());
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        assert!(refused(Lion::new(f64::NAN)).starts_with("Lion: lr = "));
        assert!(refused(Lion::new(0.1).betas(1.0, 0.9)).starts_with("Lion: beta1 = "));
        assert!(refused(Lion::new(0.1).betas(0.9, -0.1)).starts_with("Lion: beta2 = "));
        assert!(refused(Lion::new(0.1).weight_decay(f64::INFINITY)).starts_with("Lion: weight_decay = "));
    }
}
