//! Adagrad: learning rates that shrink with what each parameter has already moved.

use nyang_nn::{Element, Module};
use nyang_tensor::parallel::for_each_chunk_of;

use crate::error::check_not_negative;
use crate::optimizer::CHUNK;
use crate::{Core, Optimizer, Result};

const KIND: &str = "Adagrad";

/// Adagrad: each gradient divided by the root of the sum of all its squares so far.
///
/// ```text
/// g ← ∂L/∂p + λ p
/// s ← s + g²
/// p ← p − η / (1 + (t − 1) δ) · g / (√s + ε)
/// ```
///
/// with learning rate η, its decay δ (0), ε (1e-10), weight decay λ (0), and t the number of the step. s starts at 0 unless asked otherwise.
///
/// # Reference
/// Duchi et al. 2011, *Adaptive subgradient methods for online learning and stochastic optimization*, JMLR 12; PyTorch's `torch.optim.Adagrad`.
///
/// # Example
/// ```
/// # use nyang_optim::{Adagrad, Optimizer};
/// let adagrad = Adagrad::<f32>::new(0.01);
/// assert_eq!(adagrad.current_momentum(), None);
/// ```
#[derive(Clone, Debug)]
pub struct Adagrad<T: Element = f32> {
    core: Core<T>,
    lr_decay: f64,
    eps: f64,
    initial_sum: f64,
    weight_decay: f64,
}

impl<T: Element> Adagrad<T> {
    /// Adagrad with this learning rate; PyTorch's default is 0.01.
    ///
    /// Settings are checked when they are first used: by [`Optimizer::check`], which every step calls.
    pub fn new(lr: f64) -> Self {
        Adagrad { core: Core::new(KIND, lr).keeping(&["sum"]), lr_decay: 0.0, eps: 1e-10, initial_sum: 0.0, weight_decay: 0.0 }
    }

    /// δ ≥ 0, by how much the learning rate falls with the steps.
    pub fn lr_decay(mut self, lr_decay: f64) -> Self {
        self.lr_decay = lr_decay;
        self
    }

    /// ε ≥ 0, which keeps the divisor away from zero.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// What s starts at, ≥ 0: PyTorch's `initial_accumulator_value`.
    pub fn initial_sum(mut self, sum: f64) -> Self {
        self.initial_sum = sum;
        self
    }

    /// λ ≥ 0, added to the gradient as λ p.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

impl<T: Element> Optimizer<T> for Adagrad<T> {
    fn check(&self) -> Result<()> {
        self.core.check()?;
        check_not_negative(KIND, "lr_decay", self.lr_decay)?;
        check_not_negative(KIND, "eps", self.eps)?;
        check_not_negative(KIND, "initial_sum", self.initial_sum)?;
        check_not_negative(KIND, "weight_decay", self.weight_decay)
    }

    fn step(&mut self, model: &mut dyn Module<T>) -> Result<()> {
        self.check()?;
        let (lr_decay, eps, initial) = (self.lr_decay, T::of(self.eps), T::of(self.initial_sum));
        self.core.each_param(model, ["sum"], self.weight_decay, |turn, p, g, [sum]| {
            if turn.fresh {
                sum.fill(initial);
            }
            let lr = T::of(turn.lr / (1.0 + (turn.t - 1) as f64 * lr_decay));
            let decay = T::of(turn.weight_decay);
            for_each_chunk_of([p, g, sum], CHUNK, |[p, g, sum]| {
                for ((p, g), sum) in p.iter_mut().zip(g).zip(sum) {
                    let g = *g + decay * *p;
                    *sum += g * g;
                    *p -= lr * g / (sum.sqrt() + eps);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::tests::{close, refused, three_steps};

    #[test]
    fn three_steps_by_hand() {
        // s = 0.01, 0.05, 0.14
        let steps = [0.1 / 0.01f64.sqrt(), -0.2 / 0.05f64.sqrt(), 0.3 / 0.14f64.sqrt()];
        let p = [1.0 - 0.01 * steps[0], 1.0 - 0.01 * (steps[0] + steps[1]), 1.0 - 0.01 * (steps[0] + steps[1] + steps[2])];
        assert!(close(three_steps(&mut Adagrad::new(0.01)), p));
    }

    #[test]
    fn a_sum_that_starts_higher_makes_smaller_steps() {
        // s = 0.03 + 0.01
        let p = three_steps(&mut Adagrad::new(0.01).initial_sum(0.03))[0];
        assert!((p - (1.0 - 0.01 * 0.5)).abs() < 1e-11, "{p}"); // ε is 1e-10
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(refused(Adagrad::new(wrong)).starts_with("Adagrad: lr = "));
            assert!(refused(Adagrad::new(0.1).lr_decay(wrong)).starts_with("Adagrad: lr_decay = "));
            assert!(refused(Adagrad::new(0.1).eps(wrong)).starts_with("Adagrad: eps = "));
            assert!(refused(Adagrad::new(0.1).initial_sum(wrong)).starts_with("Adagrad: initial_sum = "));
            assert!(refused(Adagrad::new(0.1).weight_decay(wrong)).starts_with("Adagrad: weight_decay = "));
        }
    }
}
