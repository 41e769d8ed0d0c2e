//! RMSprop: gradients divided by the root of their recent mean square.

use nyang_nn::{Element, Module};
use nyang_tensor::parallel::for_each_chunk_of;

use crate::error::{check_not_negative, check_share};
use crate::optimizer::CHUNK;
use crate::{Core, Optimizer, Result};

const KIND: &str = "RmsProp";

/// RMSprop: each gradient divided by the root of the mean of its recent squares.
///
/// ```text
/// g ← ∂L/∂p + λ p
/// v ← α v + (1 − α) g²
/// a ← α a + (1 − α) g          (centred only; v − a² then stands for v below)
/// d ← g / (√v + ε)
/// p ← p − η d                  (with momentum: u ← μ u + d, p ← p − η u)
/// ```
///
/// with learning rate η, α (0.99), ε (1e-8), momentum μ (0), weight decay λ (0). `RmsProp::new(lr).alpha(0.9).eps_inside_root()` is the form with
/// γ = 0.9 and g / √(v + ε) that many books print.
///
/// # Reference
/// Tieleman & Hinton 2012, *Lecture 6.5: rmsprop*, Coursera; Graves 2013, arXiv:1308.0850, for the centred form; PyTorch's `torch.optim.RMSprop`.
///
/// # Example
/// ```
/// # use nyang_optim::{Optimizer, RmsProp};
/// let rms_prop = RmsProp::<f32>::new(0.01).momentum(0.9);
/// assert_eq!(rms_prop.current_momentum(), Some(0.9));
/// ```
#[derive(Clone, Debug)]
pub struct RmsProp<T: Element = f32> {
    core: Core<T>,
    alpha: f64,
    eps: f64,
    eps_inside_root: bool,
    momentum: f64,
    centered: bool,
    weight_decay: f64,
}

impl<T: Element> RmsProp<T> {
    /// RMSprop with this learning rate; PyTorch's default is 0.01.
    ///
    /// Settings are checked when they are first used: by [`Optimizer::check`], which every step calls.
    pub fn new(lr: f64) -> Self {
        RmsProp {
            core: Core::new(KIND, lr),
            alpha: 0.99,
            eps: 1e-8,
            eps_inside_root: false,
            momentum: 0.0,
            centered: false,
            weight_decay: 0.0,
        }
        .naming()
    }

    /// α, how much of the running means stays; in [0, 1).
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// ε ≥ 0, which keeps the divisor away from zero.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Divides by √(v + ε) instead of √v + ε.
    pub fn eps_inside_root(mut self) -> Self {
        self.eps_inside_root = true;
        self
    }

    /// μ, how much of the last direction stays; in [0, 1).
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self.naming()
    }

    /// Divides by the root of the variance: the mean square without the square of the mean.
    pub fn centered(mut self) -> Self {
        self.centered = true;
        self.naming()
    }

    /// λ ≥ 0, added to the gradient as λ p.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    fn naming(mut self) -> Self {
        self.core = match (self.centered, self.momentum > 0.0) {
            (false, false) => self.core.keeping(&["square_avg"]),
            (false, true) => self.core.keeping(&["square_avg", "momentum_buffer"]),
            (true, false) => self.core.keeping(&["square_avg", "grad_avg"]),
            (true, true) => self.core.keeping(&["square_avg", "grad_avg", "momentum_buffer"]),
        };
        self
    }
}

impl<T: Element> Optimizer<T> for RmsProp<T> {
    fn check(&self) -> Result<()> {
        self.core.check()?;
        check_share(KIND, "alpha", self.alpha)?;
        check_not_negative(KIND, "eps", self.eps)?;
        check_share(KIND, "momentum", self.momentum)?;
        check_not_negative(KIND, "weight_decay", self.weight_decay)
    }

    fn step(&mut self, model: &mut dyn Module<T>) -> Result<()> {
        self.check()?;
        let [alpha, new, eps, mu] = [self.alpha, 1.0 - self.alpha, self.eps, self.momentum].map(T::of);
        let inside = self.eps_inside_root;
        // v with a new gradient, and a likewise; what the gradient is divided by
        let square = move |v: &mut T, g: T| *v = alpha * *v + new * g * g;
        let mean = move |a: &mut T, g: T| *a = alpha * *a + new * g;
        let divisor = move |v: T| if inside { (v + eps).sqrt() } else { v.sqrt() + eps };
        let (core, weight_decay) = (&mut self.core, self.weight_decay);

        match (self.centered, self.momentum > 0.0) {
            (false, false) => core.each_param(model, ["square_avg"], weight_decay, |turn, p, g, [v]| {
                let (lr, decay) = (T::of(turn.lr), T::of(turn.weight_decay));
                for_each_chunk_of([p, g, v], CHUNK, |[p, g, v]| {
                    for ((p, g), v) in p.iter_mut().zip(g).zip(v) {
                        let g = *g + decay * *p;
                        square(v, g);
                        *p -= lr * g / divisor(*v);
                    }
                });
            }),
            (false, true) => core.each_param(model, ["square_avg", "momentum_buffer"], weight_decay, |turn, p, g, [v, u]| {
                let (lr, decay) = (T::of(turn.lr), T::of(turn.weight_decay));
                for_each_chunk_of([p, g, v, u], CHUNK, |[p, g, v, u]| {
                    for (((p, g), v), u) in p.iter_mut().zip(g).zip(v).zip(u) {
                        let g = *g + decay * *p;
                        square(v, g);
                        *u = mu * *u + g / divisor(*v);
                        *p -= lr * *u;
                    }
                });
            }),
            (true, false) => core.each_param(model, ["square_avg", "grad_avg"], weight_decay, |turn, p, g, [v, a]| {
                let (lr, decay) = (T::of(turn.lr), T::of(turn.weight_decay));
                for_each_chunk_of([p, g, v, a], CHUNK, |[p, g, v, a]| {
                    for (((p, g), v), a) in p.iter_mut().zip(g).zip(v).zip(a) {
                        let g = *g + decay * *p;
                        square(v, g);
                        mean(a, g);
                        *p -= lr * g / divisor(*v - *a * *a);
                    }
                });
            }),
            (true, true) => core.each_param(model, ["square_avg", "grad_avg", "momentum_buffer"], weight_decay, |turn, p, g, [v, a, u]| {
                let (lr, decay) = (T::of(turn.lr), T::of(turn.weight_decay));
                for_each_chunk_of([p, g, v, a, u], CHUNK, |[p, g, v, a, u]| {
                    for ((((p, g), v), a), u) in p.iter_mut().zip(g).zip(v).zip(a).zip(u) {
                        let g = *g + decay * *p;
                        square(v, g);
                        mean(a, g);
                        *u = mu * *u + g / divisor(*v - *a * *a);
                        *p -= lr * *u;
                    }
                });
            }),
        }
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

    /// PyTorch's numbers; they have eight digits.
    #[test]
    fn three_steps_are_pytorchs() {
        let near = |got: [f64; 3], want: [f64; 3]| got.iter().zip(want).all(|(g, w)| (g - w).abs() < 6e-9);
        let rms_prop = || RmsProp::new(0.01);
        assert!(near(three_steps(&mut rms_prop()), [0.9000001, 0.98953236, 0.90918193]));
        assert!(near(three_steps(&mut rms_prop().momentum(0.9)), [0.9000001, 0.89953245, 0.81876113]));
        assert!(near(three_steps(&mut rms_prop().centered()), [0.89949632, 0.98912023, 0.90865426]));
    }

    #[test]
    fn the_form_of_the_books_by_hand() {
        // v = 0.1 · 0.1² = 0.001; p = 1 − 0.01 · 0.1 / √(0.001 + 0.0006)
        let p = three_steps(&mut RmsProp::new(0.01).alpha(0.9).eps(0.0006).eps_inside_root())[0];
        assert!((p - (1.0 - 0.025)).abs() < 1e-12, "{p}");
        assert!(close([p; 3], [0.975; 3]));
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        for share in [-0.1, 1.0, f64::NAN] {
            assert!(refused(RmsProp::new(0.1).alpha(share)).starts_with("RmsProp: alpha = "));
            assert!(refused(RmsProp::new(0.1).momentum(share)).starts_with("RmsProp: momentum = "));
        }
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(refused(RmsProp::new(wrong)).starts_with("RmsProp: lr = "));
            assert!(refused(RmsProp::new(0.1).eps(wrong)).starts_with("RmsProp: eps = "));
            assert!(refused(RmsProp::new(0.1).weight_decay(wrong)).starts_with("RmsProp: weight_decay = "));
        }
    }
}
