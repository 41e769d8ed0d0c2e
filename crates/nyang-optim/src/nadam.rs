//! NAdam: Adam that looks ahead as Nesterov does.

use nyang_nn::{Element, Module};
use nyang_tensor::parallel::for_each_chunk_of;

use crate::decay::{Decay, Way};
use crate::error::{check_not_negative, check_share};
use crate::optimizer::CHUNK;
use crate::{Core, Optimizer, Result};

const KIND: &str = "NAdam";

/// NAdam: Adam with Nesterov's momentum, and a momentum that warms up.
///
/// ```text
/// g ← ∂L/∂p + λ p                  (decoupled: p ← p − η λ p instead)
/// μₜ = β₁ (1 − 0.96^(t ψ) / 2)     Πₜ = μ₁ μ₂ … μₜ
/// m ← β₁ m + (1 − β₁) g            m̂ = μₜ₊₁ m / (1 − Πₜ₊₁) + (1 − μₜ) g / (1 − Πₜ)
/// v ← β₂ v + (1 − β₂) g²           v̂ = v / (1 − β₂ᵗ)
/// p ← p − η m̂ / (√v̂ + ε)
/// ```
///
/// with learning rate η, β₁ (0.9), β₂ (0.999), ψ (0.004), ε (1e-8), weight decay λ (0), and t the number of the step. Its momentum has a plan of
/// its own, so schedules cannot set it.
///
/// # Reference
/// Dozat 2016, *Incorporating Nesterov momentum into Adam*, ICLR workshop; PyTorch's `torch.optim.NAdam`.
///
/// # Example
/// ```
/// # use nyang_optim::{NAdam, Optimizer};
/// let n_adam = NAdam::<f32>::new(2e-3).weight_decay(0.01).decoupled();
/// assert_eq!(n_adam.current_momentum(), None);
/// ```
#[derive(Clone, Debug)]
pub struct NAdam<T: Element = f32> {
    core: Core<T>,
    betas: [f64; 2],
    momentum_decay: f64,
    eps: f64,
    weight_decay: f64,
    way: Way,
}

impl<T: Element> NAdam<T> {
    /// NAdam with this learning rate; PyTorch's default is 2e-3.
    ///
    /// Settings are checked when they are first used: by [`Optimizer::check`], which every step calls.
    pub fn new(lr: f64) -> Self {
        NAdam {
            core: Core::new(KIND, lr).keeping(&["exp_avg", "exp_avg_sq"]),
            betas: [0.9, 0.999],
            momentum_decay: 4e-3,
            eps: 1e-8,
            weight_decay: 0.0,
            way: Way::Gradient,
        }
    }

    /// β₁ and β₂, how much of the running means stays; in [0, 1).
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        self.betas = [beta1, beta2];
        self
    }

    /// ψ ≥ 0, how fast the momentum goes from half of β₁ to β₁.
    pub fn momentum_decay(mut self, momentum_decay: f64) -> Self {
        self.momentum_decay = momentum_decay;
        self
    }

    /// ε ≥ 0, which keeps the divisor away from zero.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// λ ≥ 0, how strongly parameters are pulled towards zero.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// Decays the parameters themselves, as [`AdamW`](crate::AdamW) does.
    pub fn decoupled(mut self) -> Self {
        self.way = Way::Parameter;
        self
    }
}

/// μₜ.
fn momentum(beta1: f64, psi: f64, t: u64) -> f64 {
    beta1 * (1.0 - 0.5 * 0.96f64.powf(t as f64 * psi))
}

/// Πₜ = μ₁ … μₜ. It is no state that a checkpoint would have to hold, for it is soon nothing: each μ < β₁.
fn product(beta1: f64, psi: f64, t: u64) -> f64 {
    const NOTHING: f64 = 1e-20; // 1 − Π is 1 then
    let mut product = 1.0;
    for i in 1..=t {
        product *= momentum(beta1, psi, i);
        if product < NOTHING {
            return 0.0;
        }
    }
    product
}

impl<T: Element> Optimizer<T> for NAdam<T> {
    fn check(&self) -> Result<()> {
        self.core.check()?;
        check_share(KIND, "beta1", self.betas[0])?;
        check_share(KIND, "beta2", self.betas[1])?;
        check_not_negative(KIND, "momentum_decay", self.momentum_decay)?;
        check_not_negative(KIND, "eps", self.eps)?;
        check_not_negative(KIND, "weight_decay", self.weight_decay)
    }

    fn step(&mut self, model: &mut dyn Module<T>) -> Result<()> {
        self.check()?;
        let ([beta1, beta2], psi, eps, way) = (self.betas, self.momentum_decay, T::of(self.eps), self.way);
        let [b1, new1, b2, new2] = [beta1, 1.0 - beta1, beta2, 1.0 - beta2].map(T::of);
        let mut last = (0, 1.0); // most parameters have the same t: their Πₜ is computed once
        self.core.each_param(model, ["exp_avg", "exp_avg_sq"], self.weight_decay, |turn, p, g, [m, v]| {
            if last.0 != turn.t {
                last = (turn.t, product(beta1, psi, turn.t));
            }
            let (now, next) = (momentum(beta1, psi, turn.t), momentum(beta1, psi, turn.t + 1));
            let of_g = T::of(turn.lr * (1.0 - now) / (1.0 - last.1));
            let of_m = T::of(turn.lr * next / (1.0 - last.1 * next));
            let root = T::of((1.0 - beta2.powf(turn.t as f64)).sqrt());
            let decay = Decay::new(way, turn);
            for_each_chunk_of([p, g, m, v], CHUNK, |[p, g, m, v]| {
                for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                    let g = decay.of(p, *g);
                    *m = b1 * *m + new1 * g;
                    *v = b2 * *v + new2 * g * g;
                    *p -= (of_g * g + of_m * *m) / (v.sqrt() / root + eps);
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
    use crate::optimizer::tests::{refused, three_steps};

    #[test]
    fn the_first_step_by_hand() {
        // with ψ = 0 every μ is β₁/2: m̂ = 0.45 · 0.1 g / (1 − 0.45²) + 0.55 g / 0.55, v̂ = g²
        let p = three_steps(&mut NAdam::new(0.01).momentum_decay(0.0).eps(0.0))[0];
        let want = 1.0 - 0.01 * (0.45 * 0.1 / (1.0 - 0.45 * 0.45) + 1.0);
        assert!((p - want).abs() < 1e-14, "{p} {want}");
    }

    #[test]
    fn the_product_is_short_and_ends_in_nothing() {
        assert_eq!(product(0.9, 0.0, 2), 0.45 * 0.45);
        assert_eq!(product(0.9, 4e-3, u64::MAX), 0.0);
        assert_eq!(product(0.999, 1.0, u64::MAX), 0.0);
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        assert!(refused(NAdam::new(-1.0)).starts_with("NAdam: lr = "));
        assert!(refused(NAdam::new(0.1).betas(1.0, 0.9)).starts_with("NAdam: beta1 = "));
        assert!(refused(NAdam::new(0.1).betas(0.9, f64::NAN)).starts_with("NAdam: beta2 = "));
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(refused(NAdam::new(0.1).momentum_decay(wrong)).starts_with("NAdam: momentum_decay = "));
            assert!(refused(NAdam::new(0.1).eps(wrong)).starts_with("NAdam: eps = "));
            assert!(refused(NAdam::new(0.1).weight_decay(wrong)).starts_with("NAdam: weight_decay = "));
        }
    }
}
