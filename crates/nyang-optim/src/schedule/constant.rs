//! A learning rate that stays, perhaps only for some time.

use super::{Schedule, Unit};
use crate::Result;
use crate::error::{check_not_negative, check_positive};

/// A constant part of the learning rate, to the end or until a given time:
///
/// ```text
/// η(t) = η₀ · factor      (t < until; then η₀)
/// ```
///
/// # Reference
/// PyTorch's `ConstantLR`.
///
/// # Example
/// ```
/// # use nyang_optim::{Constant, Schedule};
/// let schedule = Constant::new(0.5).until(2);
/// assert_eq!([0, 1, 2, 3].map(|t| schedule.lr(1.0, t)), [0.5, 0.5, 1.0, 1.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constant {
    factor: f64,
    until: Option<u64>,
    unit: Unit,
}

impl Constant {
    const KIND: &'static str = "Constant";

    /// The learning rate times `factor` ≥ 0.
    pub fn new(factor: f64) -> Self {
        Constant { factor, until: None, unit: Unit::Epoch }
    }

    /// From this epoch > 0 on, the whole learning rate.
    pub fn until(mut self, t: u64) -> Self {
        self.until = Some(t);
        self
    }

    /// Counts optimizer steps instead of epochs.
    pub fn per_step(mut self) -> Self {
        self.unit = Unit::Step;
        self
    }
}

impl Schedule for Constant {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn unit(&self) -> Unit {
        self.unit
    }

    fn check(&self) -> Result<()> {
        check_not_negative(Self::KIND, "factor", self.factor)?;
        check_positive(Self::KIND, "until", self.until.unwrap_or(1))
    }

    fn lr(&self, base: f64, t: u64) -> f64 {
        if self.until.is_some_and(|until| t >= until) { base } else { base * self.factor }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rates, refused};
    use super::*;

    #[test]
    fn without_an_end_it_stays() {
        assert_eq!(rates(&Constant::new(0.25), 8.0, 4), [2.0; 4]);
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        assert_eq!(refused(Constant::new(1.0).until(0)), "Constant: until = 0 is not valid: must be positive");
        for factor in [-0.1, f64::NAN, f64::INFINITY] {
            assert_eq!(refused(Constant::new(factor)), format!("Constant: factor = {factor} is not valid: must be a number ≥ 0"));
        }
    }
}
