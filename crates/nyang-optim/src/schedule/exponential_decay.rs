//! A learning rate that falls by the same part each time.

use super::{Schedule, Unit};
use crate::Result;
use crate::error::check_not_negative;

/// Multiplies the learning rate each time:
///
/// ```text
/// η(t) = η₀ · γᵗ
/// ```
///
/// # Reference
/// PyTorch's `ExponentialLR`.
///
/// # Example
/// ```
/// # use nyang_optim::{ExponentialDecay, Schedule};
/// assert_eq!(ExponentialDecay::new(0.5).lr(1.0, 3), 0.125);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExponentialDecay {
    gamma: f64,
    unit: Unit,
}

impl ExponentialDecay {
    const KIND: &'static str = "ExponentialDecay";

    /// Multiplies by `gamma` ≥ 0 each epoch.
    pub fn new(gamma: f64) -> Self {
        ExponentialDecay { gamma, unit: Unit::Epoch }
    }

    /// Counts optimizer steps instead of epochs.
    pub fn per_step(mut self) -> Self {
        self.unit = Unit::Step;
        self
    }
}

impl Schedule for ExponentialDecay {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn unit(&self) -> Unit {
        self.unit
    }

    fn check(&self) -> Result<()> {
        check_not_negative(Self::KIND, "gamma", self.gamma)
    }

    fn lr(&self, base: f64, t: u64) -> f64 {
        base * self.gamma.powf(t as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, rates, refused};
    use super::*;

    #[test]
    fn each_time_takes_the_same_part() {
        assert!(close(&rates(&ExponentialDecay::new(0.9), 1.0, 4), &[1.0, 0.9, 0.81, 0.729]));
        assert_eq!(rates(&ExponentialDecay::new(0.0), 1.0, 3), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        for gamma in [-0.1, f64::NAN, f64::INFINITY] {
            let error = refused(ExponentialDecay::new(gamma));
            assert_eq!(error, format!("ExponentialDecay: gamma = {gamma} is not valid: must be a number ≥ 0"));
        }
    }
}
