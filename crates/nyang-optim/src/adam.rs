//! Adam: steps of a size that each parameter earns for itself.

use std::fmt::Debug;
use std::marker::PhantomData;

use nyang_nn::{Element, Module};
use nyang_tensor::parallel::for_each_chunk_of;

use crate::decay::{Decay, Way};
use crate::error::{check_not_negative, check_share};
use crate::optimizer::CHUNK;
use crate::{Core, Optimizer, Result, Turn};

/// Adam: the mean of recent gradients, divided by the root of the mean of their squares.
///
/// ```text
/// g ← ∂L/∂p + λ p
/// m ← β₁ m + (1 − β₁) g          m̂ = m / (1 − β₁ᵗ)
/// v ← β₂ v + (1 − β₂) g²         v̂ = v / (1 − β₂ᵗ)        (AMSGrad: the largest v so far in place of v)
/// p ← p − η m̂ / (√v̂ + ε)
/// ```
///
/// with learning rate η, β₁ (0.9), β₂ (0.999), ε (1e-8), weight decay λ (0), and t the number of the step. m and v start at zero; the
/// division by 1 − βᵗ makes up for that.
///
/// # Reference
/// Kingma & Ba 2015, *Adam: a method for stochastic optimization*, arXiv:1412.6980; Reddi et al. 2018, *On the convergence of Adam and beyond*,
/// for AMSGrad; PyTorch's `torch.optim.Adam`.
///
/// # Example
/// ```
/// # use nyang_optim::{Adam, Optimizer};
/// let adam = Adam::<f32>::new(1e-3).betas(0.9, 0.99);
/// assert_eq!(adam.current_momentum(), Some(0.9));
/// ```
pub type Adam<T = f32> = AdamWith<T, L2>;

/// What [`Adam`] and [`AdamW`](crate::AdamW) share: everything but where the weight decay goes.
#[derive(Clone, Debug)]
pub struct AdamWith<T: Element, D: AdamDecay> {
    core: Core<T>,
    betas: [f64; 2],
    eps: f64,
    eps_inside_root: bool,
    weight_decay: f64,
    amsgrad: bool,
    decay: PhantomData<D>,
}

/// Where Adam's weight decay goes: [`L2`] or [`Decoupled`]. Sealed.
pub trait AdamDecay: Clone + Debug + Send + Sync + sealed::Sealed {}

/// Weight decay as a penalty in the loss, by way of the gradient.
#[derive(Clone, Debug)]
pub struct L2;

/// Weight decay that takes a part of the parameter, whatever its gradient.
#[derive(Clone, Debug)]
pub struct Decoupled;

pub(crate) mod sealed {
    use super::{Decoupled, L2, Way};

    /// What differs.
    pub trait Sealed {
        const KIND: &'static str;
        const WEIGHT_DECAY: f64;
        const WAY: Way;
    }
    impl Sealed for L2 {
        const KIND: &'static str = "Adam";
        const WEIGHT_DECAY: f64 = 0.0;
        const WAY: Way = Way::Gradient;
    }
    impl Sealed for Decoupled {
        const KIND: &'static str = "AdamW";
        const WEIGHT_DECAY: f64 = 0.01;
        const WAY: Way = Way::Parameter;
    }
}

impl AdamDecay for L2 {}
impl AdamDecay for Decoupled {}

impl<T: Element, D: AdamDecay> AdamWith<T, D> {
    /// The optimizer with this learning rate; 1e-3 is a good first try.
    ///
    /// Settings are checked when they are first used: by [`Optimizer::check`], which every step calls.
    pub fn new(lr: f64) -> Self {
        AdamWith {
            core: Core::new(D::KIND, lr).keeping(&["exp_avg", "exp_avg_sq"]),
            betas: [0.9, 0.999],
            eps: 1e-8,
            eps_inside_root: false,
            weight_decay: D::WEIGHT_DECAY,
            amsgrad: false,
            decay: PhantomData,
        }
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

    /// Divides by √(v̂ + ε) instead of √v̂ + ε.
    pub fn eps_inside_root(mut self) -> Self {
        self.eps_inside_root = true;
        self
    }

    /// λ ≥ 0, how strongly parameters are pulled towards zero.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// AMSGrad: divides by the largest v so far, so that no step grows because gradients have become small.
    pub fn amsgrad(mut self) -> Self {
        self.amsgrad = true;
        self.core = self.core.keeping(&["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]);
        self
    }
}

/// The numbers of one parameter's turn.
#[derive(Clone, Copy)]
struct Numbers<T> {
    decay: Decay<T>,
    beta1: T,
    new1: T, // 1 − β₁
    beta2: T,
    new2: T,
    step: T, // η / (1 − β₁ᵗ)
    root: T, // 1 / √(1 − β₂ᵗ)
    eps: T,
    eps_inside_root: bool,
}

impl<T: Element> Numbers<T> {
    /// m and v with a new gradient.
    #[inline(always)]
    fn average(self, g: T, m: &mut T, v: &mut T) {
        *m = self.beta1 * *m + self.new1 * g;
        *v = self.beta2 * *v + self.new2 * g * g;
    }

    /// p one step further, with ε inside of the root or outside.
    #[inline(always)]
    fn descend<const INSIDE: bool>(self, p: &mut T, m: T, v: T) {
        let divisor = if INSIDE { (v * (self.root * self.root) + self.eps).sqrt() } else { v.sqrt() * self.root + self.eps };
        *p -= self.step * m / divisor;
    }

    /// One step of some values.
    #[inline(always)]
    fn update<const INSIDE: bool>(self, [p, g, m, v]: [&mut [T]; 4]) {
        for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            let g = self.decay.of(p, *g);
            self.average(g, m, v);
            self.descend::<INSIDE>(p, *m, *v);
        }
    }
}

impl<T: Element, D: AdamDecay> AdamWith<T, D> {
    fn numbers(&self) -> impl Fn(Turn) -> Numbers<T> + use<T, D> {
        let ([beta1, beta2], eps, eps_inside_root) = (self.betas, T::of(self.eps), self.eps_inside_root);
        move |turn| Numbers {
            decay: Decay::new(D::WAY, turn),
            beta1: T::of(beta1),
            new1: T::of(1.0 - beta1),
            beta2: T::of(beta2),
            new2: T::of(1.0 - beta2),
            step: T::of(turn.lr / (1.0 - beta1.powf(turn.t as f64))),
            root: T::of(1.0 / (1.0 - beta2.powf(turn.t as f64)).sqrt()),
            eps,
            eps_inside_root,
        }
    }
}

impl<T: Element, D: AdamDecay> Optimizer<T> for AdamWith<T, D> {
    fn check(&self) -> Result<()> {
        self.core.check()?;
        check_share(D::KIND, "beta1", self.betas[0])?;
        check_share(D::KIND, "beta2", self.betas[1])?;
        check_not_negative(D::KIND, "eps", self.eps)?;
        check_not_negative(D::KIND, "weight_decay", self.weight_decay)
    }

    fn step(&mut self, model: &mut dyn Module<T>) -> Result<()> {
        self.check()?;
        let numbers = self.numbers();
        if self.amsgrad {
            let moments = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];
            return self.core.each_param(model, moments, self.weight_decay, |turn, p, g, [m, v, largest]| {
                let numbers = numbers(turn);
                for_each_chunk_of([p, g, m, v, largest], CHUNK, |[p, g, m, v, largest]| {
                    for ((((p, g), m), v), largest) in p.iter_mut().zip(g).zip(m).zip(v).zip(largest) {
                        let g = numbers.decay.of(p, *g);
                        numbers.average(g, m, v);
                        *largest = largest.max_or_nan(*v);
                        if numbers.eps_inside_root {
                            numbers.descend::<true>(p, *m, *largest);
                        } else {
                            numbers.descend::<false>(p, *m, *largest);
                        }
                    }
                });
            });
        }
        self.core.each_param(model, ["exp_avg", "exp_avg_sq"], self.weight_decay, |turn, p, g, [m, v]| {
            let numbers = numbers(turn);
            // asked outside of the loop, which would else compute both
            if numbers.eps_inside_root {
                for_each_chunk_of([p, g, m, v], CHUNK, |values| numbers.update::<true>(values));
            } else {
                for_each_chunk_of([p, g, m, v], CHUNK, |values| numbers.update::<false>(values));
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
        check_share(D::KIND, "beta1", momentum)?;
        self.betas[0] = momentum;
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
        let adam = || Adam::new(0.01);
        assert!(close(three_steps(&mut adam()), [0.990000001, 0.993661036, 0.9902286254]));
        assert!(close(three_steps(&mut adam().weight_decay(0.01)), [0.9900000009, 0.9930869604, 0.9892528796]));
        assert!(close(three_steps(&mut adam().eps(1e-3)), [0.9900990099, 0.9937370397, 0.9903204402]));
    }

    #[test]
    fn one_step_with_eps_inside_the_root_by_hand() {
        // m̂ = g = 0.1, v̂ = g² = 0.01: p = 1 − 0.01 · 0.1 / √(0.01 + 0.03) = 1 − 0.005
        let p = three_steps(&mut Adam::new(0.01).eps(0.03).eps_inside_root())[0];
        assert!((p - 0.995).abs() < 1e-12, "{p}");
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        let adam = || Adam::new(0.01);
        for beta in [-0.1, 1.0, f64::NAN] {
            assert_eq!(refused(adam().betas(beta, 0.9)), format!("Adam: beta1 = {beta} is not valid: must lie in [0, 1)"));
            assert_eq!(refused(adam().betas(0.9, beta)), format!("Adam: beta2 = {beta} is not valid: must lie in [0, 1)"));
        }
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(refused(adam().eps(wrong)).starts_with("Adam: eps = "));
            assert!(refused(adam().weight_decay(wrong)).starts_with("Adam: weight_decay = "));
            assert!(refused(Adam::new(wrong)).starts_with("Adam: lr = "));
        }
    }
}
