//! A learning rate that falls at given times.

use super::{Schedule, Unit};
use crate::Result;
use crate::error::check_not_negative;

/// Multiplies the learning rate at each of some milestones:
///
/// ```text
/// η(t) = η₀ · γ^(how many milestones are ≤ t)
/// ```
///
/// # Reference
/// PyTorch's `MultiStepLR`; He et al. 2016, *Deep residual learning*, arXiv:1512.03385, trains so.
///
/// # Example
/// ```
/// # use nyang_optim::{MultiStep, Schedule};
/// let schedule = MultiStep::new([80, 120], 0.1);
/// assert_eq!(schedule.lr(1.0, 79), 1.0);
/// assert_eq!(schedule.lr(1.0, 80), 0.1);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MultiStep {
    milestones: Vec<u64>,
    gamma: f64,
    unit: Unit,
}

impl MultiStep {
    const KIND: &'static str = "MultiStep";

    /// Multiplies by `gamma` ≥ 0 at each of these epochs, in any order; twice at one that is given twice.
    pub fn new(milestones: impl IntoIterator<Item = u64>, gamma: f64) -> Self {
        MultiStep { milestones: milestones.into_iter().collect(), gamma, unit: Unit::Epoch }
    }

    /// Counts optimizer steps instead of epochs.
    pub fn per_step(mut self) -> Self {
        self.unit = Unit::Step;
        self
    }
}

impl Schedule for MultiStep {
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
        let passed = self.milestones.iter().filter(|milestone| **milestone <= t).count();
        base * self.gamma.powf(passed as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, rates, refused};
    use super::*;

    #[test]
    fn each_milestone_counts_from_its_epoch_on() {
        let schedule = MultiStep::new([4, 2, 4], 0.5);
        assert!(close(&rates(&schedule, 8.0, 6), &[8.0, 8.0, 4.0, 4.0, 1.0, 1.0]));
        assert_eq!(rates(&MultiStep::new([], 0.5), 8.0, 2), [8.0, 8.0]);
        assert_eq!(rates(&MultiStep::new([0], 0.5), 8.0, 2), [4.0, 4.0]);
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        for gamma in [-0.1, f64::NAN, f64::INFINITY] {
            assert_eq!(refused(MultiStep::new([3], gamma)), format!("MultiStep: gamma = {gamma} is not valid: must be a number ≥ 0"));
        }
    }
}
