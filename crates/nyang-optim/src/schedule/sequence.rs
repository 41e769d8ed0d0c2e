//! Schedules one after another.

use super::{Schedule, Unit};
use crate::error::check_positive;
use crate::{Error, Result};

/// Schedules one after another, each from its own beginning:
///
/// ```text
/// η(t) = schedule_i(t − tᵢ)      tᵢ ≤ t < tᵢ₊₁
/// ```
///
/// All count the same. One that needs to know its length gets the time until the next.
///
/// # Reference
/// PyTorch's `SequentialLR`.
///
/// # Example
/// ```
/// # use nyang_optim::{Constant, Cosine, Schedule, Sequence};
/// let mut schedule = Sequence::new(Constant::new(1.0)).then(3, Cosine::new());
/// schedule.bind(7);
/// assert_eq!([0, 3].map(|t| schedule.lr(0.1, t)), [0.1, 0.1]);
/// assert!((schedule.lr(0.1, 5) - 0.05).abs() < 1e-15);
/// ```
pub struct Sequence {
    parts: Vec<(u64, Box<dyn Schedule>)>, // from when, which
}

impl Sequence {
    const KIND: &'static str = "Sequence";

    /// Begins with this one.
    pub fn new(first: impl Schedule + 'static) -> Self {
        Sequence { parts: vec![(0, Box::new(first))] }
    }

    /// Goes on with another from time `t` on, which is later than the one before.
    pub fn then(mut self, t: u64, next: impl Schedule + 'static) -> Self {
        self.parts.push((t, Box::new(next)));
        self
    }

    /// The part that is due at time `t`, and the time since it began.
    fn due(&self, t: u64) -> Option<(&dyn Schedule, u64)> {
        let (from, schedule) = self.parts.iter().rev().find(|(from, _)| *from <= t)?;
        Some((schedule.as_ref(), t - from))
    }
}

impl Schedule for Sequence {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn unit(&self) -> Unit {
        self.parts.first().map_or(Unit::Epoch, |(_, first)| first.unit())
    }

    fn bind(&mut self, total: u64) {
        let ends: Vec<u64> = self.parts.iter().skip(1).map(|(from, _)| *from).chain([total]).collect();
        for ((from, schedule), end) in self.parts.iter_mut().zip(ends) {
            schedule.bind(end.saturating_sub(*from));
        }
    }

    fn check(&self) -> Result<()> {
        for ((earlier, _), (later, _)) in self.parts.iter().zip(self.parts.iter().skip(1)) {
            check_positive(Self::KIND, "time between two schedules", later.saturating_sub(*earlier))?;
        }
        let first = self.unit();
        if let Some(other) = self.parts.iter().map(|(_, schedule)| schedule.unit()).find(|unit| *unit != first) {
            return Err(Error::Units { kind: Self::KIND, first, other });
        }
        self.parts.iter().try_for_each(|(_, schedule)| schedule.check())
    }

    fn lr(&self, base: f64, t: u64) -> f64 {
        self.due(t).map_or(base, |(schedule, t)| schedule.lr(base, t))
    }

    fn momentum(&self, t: u64) -> Option<f64> {
        self.due(t).and_then(|(schedule, t)| schedule.momentum(t))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, rates, refused};
    use super::super::{Constant, Cosine, ExponentialDecay, LinearRamp};
    use super::*;

    #[test]
    fn each_part_begins_anew_and_knows_how_long_it_lasts() {
        let mut schedule = Sequence::new(LinearRamp::new(0.0, 1.0)).then(2, ExponentialDecay::new(0.5)).then(4, LinearRamp::new(1.0, 0.0));
        schedule.bind(8);
        assert!(close(&rates(&schedule, 1.0, 9), &[0.0, 0.5, 1.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]));
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        let first = || Sequence::new(Constant::new(1.0));
        let between = "Sequence: time between two schedules = 0 is not valid: must be positive";
        assert_eq!(refused(first().then(0, Cosine::new())), between);
        assert_eq!(refused(first().then(5, Cosine::new()).then(4, Cosine::new())), between);
        let units = "Sequence: its first schedule counts epochs and another one steps; let all count the same";
        assert_eq!(refused(first().then(5, Cosine::new().per_step())), units);
        assert!(refused(first().then(20, Cosine::new())).starts_with("Cosine: total = 0"), "the training ends where it would begin");
    }
}
