//! A learning rate that rises or falls along a line.

use super::{Schedule, Total, Unit};
use crate::Result;
use crate::error::check_not_negative;

/// A straight line from one part of the learning rate to another, which then stays:
///
/// ```text
/// η(t) = η₀ · (start + (end − start) · min(t / T, 1))
/// ```
///
/// with T the whole training unless given.
///
/// # Reference
/// PyTorch's `LinearLR`, whose defaults are start 1/3, end 1, T = 5.
///
/// # Example
/// ```
/// # use nyang_optim::{LinearRamp, Schedule};
/// let schedule = LinearRamp::new(1.0, 0.0).total(4);
/// assert_eq!([0, 1, 4, 5].map(|t| schedule.lr(1.0, t)), [1.0, 0.75, 0.0, 0.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearRamp {
    start: f64,
    end: f64,
    total: Total,
    unit: Unit,
}

impl LinearRamp {
    const KIND: &'static str = "LinearRamp";

    /// From `start` to `end` times the learning rate, both ≥ 0.
    pub fn new(start: f64, end: f64) -> Self {
        LinearRamp { start, end, total: Total::default(), unit: Unit::Epoch }
    }

    /// T > 0, the time that it takes; the whole training unless given.
    pub fn total(mut self, total: u64) -> Self {
        self.total.given = Some(total);
        self
    }

    /// Counts optimizer steps instead of epochs.
    pub fn per_step(mut self) -> Self {
        self.unit = Unit::Step;
        self
    }
}

impl Schedule for LinearRamp {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn unit(&self) -> Unit {
        self.unit
    }

    fn bind(&mut self, total: u64) {
        self.total.bound = Some(total);
    }

    fn check(&self) -> Result<()> {
        check_not_negative(Self::KIND, "start", self.start)?;
        check_not_negative(Self::KIND, "end", self.end)?;
        self.total.check(Self::KIND)
    }

    fn lr(&self, base: f64, t: u64) -> f64 {
        base * (self.start + (self.end - self.start) * self.total.part(t).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, rates, refused};
    use super::*;

    /// PyTorch's numbers.
    #[test]
    fn seven_epochs_are_pytorchs() {
        let want = [0.03333333, 0.04666667, 0.06, 0.07333333, 0.08666667, 0.1, 0.1];
        assert!(close(&rates(&LinearRamp::new(1.0 / 3.0, 1.0).total(5), 0.1, 7), &want));
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        assert_eq!(refused(LinearRamp::new(1.0, 0.0).total(0)), "LinearRamp: total = 0 is not valid: must be positive");
        for wrong in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(refused(LinearRamp::new(wrong, 1.0)).starts_with("LinearRamp: start = "));
            assert!(refused(LinearRamp::new(1.0, wrong)).starts_with("LinearRamp: end = "));
        }
    }
}
