//! A learning rate that falls to zero along a power of the time that is left.

use super::{Schedule, Total, Unit};
use crate::Result;
use crate::error::check_not_negative;

/// A power of the time that is left:
///
/// ```text
/// η(t) = η₀ · (1 − min(t / T, 1))^power
/// ```
///
/// with T the whole training unless given.
///
/// # Reference
/// PyTorch's `PolynomialLR`.
///
/// # Example
/// ```
/// # use nyang_optim::{PolynomialDecay, Schedule};
/// let schedule = PolynomialDecay::new(2.0).total(4);
/// assert_eq!([0, 2, 4, 5].map(|t| schedule.lr(1.0, t)), [1.0, 0.25, 0.0, 0.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolynomialDecay {
    power: f64,
    total: Total,
    unit: Unit,
}

impl PolynomialDecay {
    const KIND: &'static str = "PolynomialDecay";

    /// To zero with this power ≥ 0: 1 is a line, 2 is gentle at the end, 0.9 is what segmentation likes.
    pub fn new(power: f64) -> Self {
        PolynomialDecay { power, total: Total::default(), unit: Unit::Epoch }
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

impl Schedule for PolynomialDecay {
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
        check_not_negative(Self::KIND, "power", self.power)?;
        self.total.check(Self::KIND)
    }

    fn lr(&self, base: f64, t: u64) -> f64 {
        base * (1.0 - self.total.part(t).min(1.0)).powf(self.power)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, rates, refused};
    use super::*;

    #[test]
    fn a_power_of_one_is_a_line() {
        assert!(close(&rates(&PolynomialDecay::new(1.0).total(4), 1.0, 6), &[1.0, 0.75, 0.5, 0.25, 0.0, 0.0]));
        assert!(close(&rates(&PolynomialDecay::new(3.0).total(2), 1.0, 3), &[1.0, 0.125, 0.0]));
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        assert_eq!(refused(PolynomialDecay::new(1.0).total(0)), "PolynomialDecay: total = 0 is not valid: must be positive");
        for power in [-0.1, f64::NAN, f64::INFINITY] {
            assert_eq!(
                refused(PolynomialDecay::new(power)),
                format!("PolynomialDecay: power = {power} is not valid: must be a number ≥ 0")
            );
        }
    }
}
