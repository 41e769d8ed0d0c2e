//! Adam: steps of a size that each parameter earns for itself.

use nyang_nn::{Element, Module};
use nyang_tensor::parallel::for_each_chunk_of;

use crate::error::check;
use crate::optimizer::{CHUNK, check_lr, check_state, each_param};
use crate::{Optimizer, OptimizerState, Result};

const KIND: &str = "Adam";

/// Adam: the mean of recent gradients, divided by the root of the mean of their squares.
///
/// ```text
/// g ← ∂L/∂p + λ p
/// m ← β₁ m + (1 − β₁) g          m̂ = m / (1 − β₁ᵗ)
/// v ← β₂ v + (1 − β₂) g²         v̂ = v / (1 − β₂ᵗ)
/// p ← p − η m̂ / (√v̂ + ε)
/// ```
///
/// with learning rate η, β₁ (0.9), β₂ (0.999), ε (1e-8), weight decay λ (0), and t the number of the step. m and v start at zero; the
/// division by 1 − βᵗ makes up for that.
///
/// # Reference
/// Kingma & Ba 2015, *Adam: a method for stochastic optimization*, arXiv:1412.6980; PyTorch's `torch.optim.Adam`.
#[derive(Clone, Debug)]
pub struct Adam<T: Element = f32> {
    lr: f64,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
    state: OptimizerState<T>,
}

impl<T: Element> Adam<T> {
    /// Adam with this learning rate; 1e-3 is a good first try.
    ///
    /// Settings are checked when they are first used: by [`Optimizer::check`], which every step calls.
    pub fn new(lr: f64) -> Self {
        Adam { lr, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, state: OptimizerState::new() }
    }

    /// β₁ and β₂, how much of the running means stays; in [0, 1).
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        self.betas = [beta1, beta2];
        self
    }

    /// ε ≥ 0, which keeps the divisor away from zero.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// λ ≥ 0, added to the gradient as λ p.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

impl<T: Element> Optimizer<T> for Adam<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn check(&self) -> Result<()> {
        check_lr(KIND, self.lr)?;
        for (field, beta) in ["beta1", "beta2"].into_iter().zip(self.betas) {
            check(KIND, field, beta, (0.0..1.0).contains(&beta), "must lie in [0, 1)")?;
        }
        check(KIND, "eps", self.eps, self.eps >= 0.0, "must be a number ≥ 0")?;
        check(KIND, "weight_decay", self.weight_decay, self.weight_decay >= 0.0, "must be a number ≥ 0")
    }

    fn step(&mut self, model: &mut dyn Module<T>) -> Result<()> {
        Optimizer::<T>::check(self)?;
        let ([beta1, beta2], lr, eps, decay) = (self.betas, self.lr, T::of(self.eps), T::of(self.weight_decay));
        each_param(model, &mut self.state, 2, |t, param, moments| {
            let [m, v] = moments else { return Ok(()) };
            let t = t as f64;
            let step = T::of(lr / (1.0 - beta1.powf(t)));
            let root = T::of((1.0 - beta2.powf(t)).sqrt());
            let [b1, c1, b2, c2] = [beta1, 1.0 - beta1, beta2, 1.0 - beta2].map(T::of);
            let slices = [param.value.as_mut_slice()?, param.grad.as_mut_slice()?, m.as_mut_slice()?, v.as_mut_slice()?];
            for_each_chunk_of(slices, CHUNK, |[p, g, m, v]| {
                for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                    let g = *g + decay * *p;
                    *m = b1 * *m + c1 * g;
                    *v = b2 * *v + c2 * g * g;
                    *p -= step * *m / (v.sqrt() / root + eps);
                }
            });
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
        check_state(KIND, 2, &state)?;
        self.state = state;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::tests::{close, three_steps};

    /// PyTorch's numbers.
    #[test]
    fn three_steps_are_pytorchs() {
        let adam = || Adam::new(0.01);
        assert!(close(three_steps(&mut adam()), [0.990000001, 0.993661036, 0.9902286254]));
        assert!(close(three_steps(&mut adam().weight_decay(0.01)), [0.9900000009, 0.9930869604, 0.9892528796]));
        assert!(close(three_steps(&mut adam().eps(1e-3)), [0.9900990099, 0.9937370397, 0.9903204402]));
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        let adam = || Adam::<f32>::new(0.01);
        let bad = [
            Adam::new(f64::NAN),
            adam().betas(1.0, 0.9),
            adam().betas(0.9, 1.0),
            adam().betas(-0.1, 0.9),
            adam().betas(0.9, f64::NAN),
            adam().eps(-1.0),
            adam().weight_decay(f64::INFINITY),
        ];
        for adam in bad {
            assert!(matches!(adam.check(), Err(crate::Error::Setting { kind: "Adam", .. })), "{adam:?}");
        }
    }
}
