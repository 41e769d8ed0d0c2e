//! A learning rate that begins small, in front of any other schedule.

use super::{Schedule, Unit};
use crate::error::{check, check_positive};
use crate::{Error, Result};

/// A line from a small part of the learning rate up to all of it, and then another schedule, whose time begins there:
///
/// ```text
/// η(t) = η₀ · (s + (1 − s) · t / n)      t < n
/// η(t) = then(t − n)                             t ≥ n
/// ```
///
/// with s (0.01). It counts what the schedule behind it counts.
///
/// # Reference
/// Goyal et al. 2017, *Accurate, large minibatch SGD*, arXiv:1706.02677; PyTorch's `SequentialLR` of `LinearLR` and another.
///
/// # Example
/// ```
/// # use nyang_optim::{Constant, Schedule, WarmUp};
/// let schedule = WarmUp::new(4, Constant::new(1.0)).start_factor(0.0);
/// assert_eq!([0, 1, 2, 3, 4, 5].map(|t| schedule.lr(1.0, t)), [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]);
/// ```
pub struct WarmUp {
    length: u64,
    start_factor: f64,
    then: Box<dyn Schedule>,
    bound: Option<u64>,
}

impl WarmUp {
    const KIND: &'static str = "WarmUp";

    /// A warm-up over `length` > 0 of what `then` counts.
    pub fn new(length: u64, then: impl Schedule + 'static) -> Self {
        WarmUp { length, start_factor: 0.01, then: Box::new(then), bound: None }
    }

    /// The part of the learning rate to begin with; in [0, 1].
    pub fn start_factor(mut self, part: f64) -> Self {
        self.start_factor = part;
        self
    }
}

impl Schedule for WarmUp {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn unit(&self) -> Unit {
        self.then.unit()
    }

    fn bind(&mut self, total: u64) {
        self.bound = Some(total);
        self.then.bind(total.saturating_sub(self.length));
    }

    fn check(&self) -> Result<()> {
        check_positive(Self::KIND, "length", self.length)?;
        check(Self::KIND, "start_factor", self.start_factor, (0.0..=1.0).contains(&self.start_factor), "must lie in [0, 1]")?;
        if self.bound.is_some_and(|total| self.length >= total) {
            let why = "must be shorter than the whole training";
            return Err(Error::Setting { kind: Self::KIND, field: "length", value: self.length as f64, why });
        }
        self.then.check()
    }

    fn lr(&self, base: f64, t: u64) -> f64 {
        match t.checked_sub(self.length) {
            Some(t) => self.then.lr(base, t),
            None => base * (self.start_factor + (1.0 - self.start_factor) * t as f64 / self.length as f64),
        }
    }

    fn momentum(&self, t: u64) -> Option<f64> {
        self.then.momentum(t.saturating_sub(self.length))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, rates, refused};
    use super::super::{Cosine, LinearRamp, OneCycle, StepDecay};
    use super::*;

    #[test]
    fn the_schedule_behind_begins_at_its_own_beginning_and_ends_with_the_training() {
        let mut schedule = WarmUp::new(2, LinearRamp::new(1.0, 0.0)).start_factor(0.5);
        schedule.bind(6);
        assert!(close(&rates(&schedule, 1.0, 8), &[0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]));
        let steps = WarmUp::new(2, StepDecay::new(2, 0.1).per_step());
        assert_eq!(steps.unit(), Unit::Step);
        assert!(close(&rates(&steps, 1.0, 6), &[0.01, 0.505, 1.0, 1.0, 0.1, 0.1]));
    }

    #[test]
    fn the_momentum_waits_for_its_cycle() {
        let cycle = OneCycle::new().total(10);
        let schedule = WarmUp::new(3, cycle);
        for t in 0..12 {
            assert_eq!(schedule.momentum(t), cycle.momentum(t.saturating_sub(3)));
        }
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        assert_eq!(refused(WarmUp::new(0, Cosine::new())), "WarmUp: length = 0 is not valid: must be positive");
        let long = "WarmUp: length = 20 is not valid: must be shorter than the whole training";
        assert_eq!(refused(WarmUp::new(20, Cosine::new())), long, "the training has 20 epochs");
        for wrong in [-0.1, 1.1, f64::NAN] {
            assert!(refused(WarmUp::new(3, Cosine::new()).start_factor(wrong)).starts_with("WarmUp: start_factor = "));
        }
        assert!(refused(WarmUp::new(3, StepDecay::new(0, 0.1))).starts_with("StepDecay: every = 0"), "and the other's");
    }
}
