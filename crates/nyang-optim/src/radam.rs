//! RAdam: Adam that trusts its second moment only once it knows it.

use nyang_nn::{Element, Module};
use nyang_tensor::parallel::for_each_chunk_of;

use crate::decay::{Decay, Way};
use crate::error::{check_not_negative, check_share};
use crate::optimizer::CHUNK;
use crate::{Core, Optimizer, Result};

const KIND: &str = "RAdam";

/// RAdam: Adam whose first steps do not divide by √v, because v is then the mean of too few squares. No warm-up is needed.
///
/// ```text
/// g ← ∂L/∂p + λ p                  (decoupled: p ← p − η λ p instead)
/// m ← β₁ m + (1 − β₁) g            m̂ = m / (1 − β₁ᵗ)
/// v ← β₂ v + (1 − β₂) g²
/// ρ∞ = 2/(1 − β₂) − 1              ρ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ)
/// p ← p − η m̂                                        where ρ ≤ 5
/// p ← p − η m̂ r √(1 − β₂ᵗ) / (√v + ε)                else,  r = √[(ρ−4)(ρ−2)ρ∞ / ((ρ∞−4)(ρ∞−2)ρ)]
/// ```
///
/// with learning rate η, β₁ (0.9), β₂ (0.999), ε (1e-8), weight decay λ (0), and t the number of the step.
///
/// # Reference
/// Liu et al. 2020, *On the variance of the adaptive learning rate and beyond*, arXiv:1908.03265; PyTorch's `torch.optim.RAdam`.
///
/// # Example
/// ```
/// # use nyang_optim::{Optimizer, RAdam};
/// let r_adam = RAdam::<f32>::new(1e-3).weight_decay(0.01).decoupled();
/// assert_eq!(r_adam.lr(), 1e-3);
/// ```
#[derive(Clone, Debug)]
pub struct RAdam<T: Element = f32> {
    core: Core<T>,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
    way: Way,
}

impl<T: Element> RAdam<T> {
    /// RAdam with this learning rate; PyTorch's default is 1e-3.
    ///
    /// Settings are checked when they are first used: by [`Optimizer::check`], which every step calls.
    pub fn new(lr: f64) -> Self {
        let core = Core::new(KIND, lr).keeping(&["exp_avg", "exp_avg_sq"]);
        RAdam { core, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, way: Way::Gradient }
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

/// r √(1 − β₂ᵗ), or `None` while ρ ≤ 5.
fn rectified(beta2: f64, t: u64) -> Option<f64> {
    let power = beta2.powf(t as f64);
    let limit = 2.0 / (1.0 - beta2) - 1.0;
    let rho = limit - 2.0 * t as f64 * power / (1.0 - power);
    let r = ((rho - 4.0) * (rho - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * rho)).sqrt();
    (rho > 5.0).then_some(r * (1.0 - power).sqrt())
}

impl<T: Element> Optimizer<T> for RAdam<T> {
    fn check(&self) -> Result<()> {
        self.core.check()?;
        check_share(KIND, "beta1", self.betas[0])?;
        check_share(KIND, "beta2", self.betas[1])?;
        check_not_negative(KIND, "eps", self.eps)?;
        check_not_negative(KIND, "weight_decay", self.weight_decay)
    }

    fn step(&mut self, model: &mut dyn Module<T>) -> Result<()> {
        self.check()?;
        let ([beta1, beta2], eps, way) = (self.betas, T::of(self.eps), self.way);
        let [b1, new1, b2, new2] = [beta1, 1.0 - beta1, beta2, 1.0 - beta2].map(T::of);
        self.core.each_param(model, ["exp_avg", "exp_avg_sq"], self.weight_decay, |turn, p, g, [m, v]| {
            let step = turn.lr / (1.0 - beta1.powf(turn.t as f64));
            let decay = Decay::new(way, turn);
            let average = move |g: T, m: &mut T, v: &mut T| {
                *m = b1 * *m + new1 * g;
                *v = b2 * *v + new2 * g * g;
            };
            match rectified(beta2, turn.t) {
                Some(factor) => {
                    let step = T::of(step * factor);
                    for_each_chunk_of([p, g, m, v], CHUNK, |[p, g, m, v]| {
                        for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                            average(decay.of(p, *g), m, v);
                            *p -= step * *m / (v.sqrt() + eps);
                        }
                    });
                }
                None => {
                    let step = T::of(step);
                    for_each_chunk_of([p, g, m, v], CHUNK, |[p, g, m, v]| {
                        for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                            average(decay.of(p, *g), m, v);
                            *p -= step * *m;
                        }
                    });
                }
            }
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
    fn the_first_steps_are_momentums_by_hand() {
        // m̂ = 0.1, then (0.9 · 0.01 − 0.02) / 0.19, then (0.9 · −0.011 + 0.03) / 0.271
        let m = [0.1, -0.011 / 0.19, 0.0201 / 0.271];
        let p = [1.0 - 0.1 * m[0], 1.0 - 0.1 * (m[0] + m[1]), 1.0 - 0.1 * (m[0] + m[1] + m[2])];
        assert!(close(three_steps(&mut RAdam::new(0.1)), p));
    }

    #[test]
    fn with_the_usual_beta_the_sixth_step_is_the_first_to_be_rectified() {
        let first = (1..20).find(|t| rectified(0.999, *t).is_some());
        assert_eq!(first, Some(6));
        assert!((rectified(0.999, 1_000_000).unwrap() - 1.0).abs() < 1e-3, "in the long run it is Adam");
        assert_eq!(rectified(0.5, 1000), None, "ρ∞ is 3 here");
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        assert!(refused(RAdam::new(-1.0)).starts_with("RAdam: lr = "));
        assert!(refused(RAdam::new(0.1).betas(-0.1, 0.9)).starts_with("RAdam: beta1 = "));
        assert!(refused(RAdam::new(0.1).betas(0.9, 1.0)).starts_with("RAdam: beta2 = "));
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(refused(RAdam::new(0.1).eps(wrong)).starts_with("RAdam: eps = "));
            assert!(refused(RAdam::new(0.1).weight_decay(wrong)).starts_with("RAdam: weight_decay = "));
        }
    }
}
