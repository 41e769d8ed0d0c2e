//! A learning rate that falls along half a wave, again and again.

use super::cosine::half_wave;
use super::{Schedule, Unit};
use crate::Result;
use crate::error::{check_not_negative, check_positive};

/// [`Cosine`](crate::Cosine) that starts anew each time it has come down, and each time takes longer if asked:
///
/// ```text
/// η(t) = η_min + (η₀ − η_min) · (1 + cos(π tᵢ / Tᵢ)) / 2        tᵢ: the time since the last restart
/// T₀ = first, Tᵢ₊₁ = t_mult · Tᵢ
/// ```
///
/// with t_mult (1) and η_min (0).
///
/// # Reference
/// Loshchilov & Hutter 2017, *SGDR: stochastic gradient descent with warm restarts*, arXiv:1608.03983; PyTorch's `CosineAnnealingWarmRestarts`.
///
/// # Example
/// ```
/// # use nyang_optim::{CosineWarmRestarts, Schedule};
/// let schedule = CosineWarmRestarts::new(4).t_mult(2);
/// assert_eq!([0, 4, 12, 28].map(|t| schedule.lr(0.1, t)), [0.1; 4]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CosineWarmRestarts {
    first: u64,
    t_mult: u64,
    min_lr: f64,
    unit: Unit,
}

impl CosineWarmRestarts {
    const KIND: &'static str = "CosineWarmRestarts";

    /// Restarts after `first` > 0 epochs, and after as many again.
    pub fn new(first: u64) -> Self {
        CosineWarmRestarts { first, t_mult: 1, min_lr: 0.0, unit: Unit::Epoch }
    }

    /// Each wave takes `factor` ≥ 1 times as long as the one before.
    pub fn t_mult(mut self, factor: u64) -> Self {
        self.t_mult = factor;
        self
    }

    /// η_min ≥ 0, what the learning rate comes down to.
    pub fn min_lr(mut self, lr: f64) -> Self {
        self.min_lr = lr;
        self
    }

    /// Counts optimizer steps instead of epochs.
    pub fn per_step(mut self) -> Self {
        self.unit = Unit::Step;
        self
    }
}

impl Schedule for CosineWarmRestarts {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn unit(&self) -> Unit {
        self.unit
    }

    fn check(&self) -> Result<()> {
        check_positive(Self::KIND, "first", self.first)?;
        check_positive(Self::KIND, "t_mult", self.t_mult)?;
        check_not_negative(Self::KIND, "min_lr", self.min_lr)
    }

    fn lr(&self, base: f64, t: u64) -> f64 {
        let (mut since, mut length) = (t, self.first.max(1));
        if self.t_mult <= 1 {
            since %= length;
        }
        while since >= length {
            since -= length;
            length = length.saturating_mul(self.t_mult);
        }
        half_wave(base, self.min_lr, since as f64 / length as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, rates, refused};
    use super::*;

    /// PyTorch's numbers.
    #[test]
    fn thirteen_epochs_are_pytorchs() {
        let want =
            [0.1, 0.08535534, 0.05, 0.01464466, 0.1, 0.09619398, 0.08535534, 0.06913417, 0.05, 0.03086583, 0.01464466, 0.00380602, 0.1];
        assert!(close(&rates(&CosineWarmRestarts::new(4).t_mult(2), 0.1, 13), &want));
    }

    #[test]
    fn without_a_factor_all_waves_are_alike() {
        let got = rates(&CosineWarmRestarts::new(3).min_lr(0.02), 0.1, 9);
        assert!(got[..3] == got[3..6] && got[..3] == got[6..] && got[2] > 0.02, "{got:?}");
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        assert_eq!(refused(CosineWarmRestarts::new(0)), "CosineWarmRestarts: first = 0 is not valid: must be positive");
        assert_eq!(refused(CosineWarmRestarts::new(3).t_mult(0)), "CosineWarmRestarts: t_mult = 0 is not valid: must be positive");
        for wrong in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(refused(CosineWarmRestarts::new(3).min_lr(wrong)).starts_with("CosineWarmRestarts: min_lr = "));
        }
    }
}
