//! A learning rate that falls in steps of equal length.

use super::{Schedule, Unit};
use crate::Result;
use crate::error::{check_not_negative, check_positive};

/// Multiplies the learning rate again and again:
///
/// ```text
/// η(t) = η₀ · γ^⌊t / every⌋
/// ```
///
/// # Reference
/// PyTorch's `StepLR`.
///
/// # Example
/// ```
/// # use nyang_optim::{Schedule, StepDecay};
/// let schedule = StepDecay::new(3, 0.1);
/// assert_eq!(schedule.lr(0.1, 2), 0.1);
/// assert!((schedule.lr(0.1, 3) - 0.01).abs() < 1e-15);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepDecay {
    every: u64,
    gamma: f64,
    unit: Unit,
}

impl StepDecay {
    const KIND: &'static str = "StepDecay";

    /// Multiplies by `gamma` ≥ 0 every `every` > 0 epochs.
    pub fn new(every: u64, gamma: f64) -> Self {
        StepDecay { every, gamma, unit: Unit::Epoch }
    }

    /// Counts optimizer steps instead of epochs.
    pub fn per_step(mut self) -> Self {
        self.unit = Unit::Step;
        self
    }
}

impl Schedule for StepDecay {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn unit(&self) -> Unit {
        self.unit
    }

    fn check(&self) -> Result<()> {
        check_positive(Self::KIND, "every", self.every)?;
        check_not_negative(Self::KIND, "gamma", self.gamma)
    }

    fn lr(&self, base: f64, t: u64) -> f64 {
        base * self.gamma.powf(t.checked_div(self.every).unwrap_or(0) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, rates, refused};
    use super::*;

    /// PyTorch's numbers.
    #[test]
    fn eight_epochs_are_pytorchs() {
        assert!(close(&rates(&StepDecay::new(3, 0.1), 0.1, 8), &[0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001]));
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        assert_eq!(refused(StepDecay::new(0, 0.1)), "StepDecay: every = 0 is not valid: must be positive");
        for gamma in [-0.1, f64::NAN, f64::INFINITY] {
            assert_eq!(refused(StepDecay::new(3, gamma)), format!("StepDecay: gamma = {gamma} is not valid: must be a number ≥ 0"));
        }
    }
}
