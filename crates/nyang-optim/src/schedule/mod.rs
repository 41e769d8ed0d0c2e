//! Learning rates over time. A schedule is a pure function of the time, so there is little to save and much that can be tested.

mod constant;
mod cosine;
mod cosine_warm_restarts;
mod exponential_decay;
mod linear_ramp;
mod multi_step;
mod one_cycle;
mod polynomial_decay;
mod scheduler;
mod sequence;
mod step_decay;
mod warm_up;

use std::fmt;

use crate::error::check_positive;
use crate::{Error, Result};

pub use constant::Constant;
pub use cosine::Cosine;
pub use cosine_warm_restarts::CosineWarmRestarts;
pub use exponential_decay::ExponentialDecay;
pub use linear_ramp::LinearRamp;
pub use multi_step::MultiStep;
pub use one_cycle::OneCycle;
pub use polynomial_decay::PolynomialDecay;
pub use scheduler::{Scheduler, SchedulerState};
pub use sequence::Sequence;
pub use step_decay::StepDecay;
pub use warm_up::WarmUp;

/// What a schedule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Time passes once an epoch.
    Epoch,
    /// Time passes once an optimizer step.
    Step,
}

impl Unit {
    /// How many of these a training of so many epochs has.
    pub fn count(self, epochs: u64, steps_per_epoch: u64) -> u64 {
        match self {
            Unit::Epoch => epochs,
            Unit::Step => epochs.saturating_mul(steps_per_epoch),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Epoch => "epoch",
            Unit::Step => "step",
        })
    }
}

/// The learning rate, and for some the momentum, as a function of time.
///
/// The optimizer owns the learning rate; a schedule is told the one that it started with, `base`, and says how it changes. Who trains
/// does this (and [`Scheduler`] keeps the time):
///
/// ```
/// # use nyang_optim::{Cosine, Optimizer, Schedule, Scheduler, Sgd, Unit};
/// # let (epochs, steps_per_epoch) = (3, 10);
/// let mut optimizer = Sgd::<f32>::new(0.1).momentum(0.9);
/// let mut schedule = Cosine::new();
/// schedule.bind(schedule.unit().count(epochs, steps_per_epoch));      // how long training will take
/// let mut scheduler = Scheduler::start(schedule, &mut optimizer)?;    // checks the settings, sets the first rate
/// for _epoch in 0..epochs {
///     for _step in 0..steps_per_epoch {
///         // forward, backward, optimizer.step(&mut model)?
///         scheduler.passed(Unit::Step, &mut optimizer)?;
///     }
///     scheduler.passed(Unit::Epoch, &mut optimizer)?;
/// }
/// assert!(optimizer.lr() < 1e-15);
/// # Ok::<(), nyang_optim::Error>(())
/// ```
pub trait Schedule: Send + Sync {
    /// The schedule's name.
    fn kind(&self) -> &'static str;

    /// Whether time passes per epoch or per step: a trainer asks this, so that nobody has to remember.
    fn unit(&self) -> Unit;

    /// Tells how long training will take, in this schedule's unit. A schedule that was given a length of its own keeps that.
    fn bind(&mut self, _total: u64) {}

    /// Whether the settings can work; a [`Scheduler`] asks this when it starts.
    ///
    /// # Errors
    /// [`Error::Setting`] with the first that cannot; [`Error::Unbound`] if a length is needed and not known.
    fn check(&self) -> Result<()>;

    /// The learning rate at time `t` = 0, 1, 2, …, where `base` is the one the optimizer started with.
    fn lr(&self, base: f64, t: u64) -> f64;

    /// The momentum at time `t`; `None` if the schedule leaves it alone.
    fn momentum(&self, _t: u64) -> Option<f64> {
        None
    }
}

impl<S: Schedule + ?Sized> Schedule for Box<S> {
    fn kind(&self) -> &'static str {
        (**self).kind()
    }
    fn unit(&self) -> Unit {
        (**self).unit()
    }
    fn bind(&mut self, total: u64) {
        (**self).bind(total);
    }
    fn check(&self) -> Result<()> {
        (**self).check()
    }
    fn lr(&self, base: f64, t: u64) -> f64 {
        (**self).lr(base, t)
    }
    fn momentum(&self, t: u64) -> Option<f64> {
        (**self).momentum(t)
    }
}

/// A length that the program gives, or else the trainer.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
struct Total {
    given: Option<u64>,
    bound: Option<u64>,
}

impl Total {
    fn known(self) -> Option<u64> {
        self.given.or(self.bound)
    }

    fn check(self, kind: &'static str) -> Result<()> {
        check_positive(kind, "total", self.known().ok_or(Error::Unbound { kind })?)
    }

    /// The time as a part of the length: 0 at the beginning, 1 at its end, more later. 1 if there is no length.
    fn part(self, t: u64) -> f64 {
        match self.known() {
            Some(total) if total > 0 => t as f64 / total as f64,
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The learning rates at t = 0, 1, 2, ….
    pub(super) fn rates(schedule: &dyn Schedule, base: f64, n: u64) -> Vec<f64> {
        schedule.check().unwrap();
        (0..n).map(|t| schedule.lr(base, t)).collect()
    }

    /// Whether numbers agree to the eight digits that are printed.
    pub(super) fn close(got: &[f64], want: &[f64]) -> bool {
        got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g - w).abs() < 6e-9)
    }

    /// The message with which the settings are refused, in a training of 20 epochs of 5 steps.
    pub(super) fn refused(mut schedule: impl Schedule) -> String {
        schedule.bind(schedule.unit().count(20, 5));
        let error = schedule.check().unwrap_err();
        for t in [0, 1, 7, u64::MAX] {
            let _ = (schedule.lr(1.0, t), schedule.momentum(t)); // whatever they give, they give it without a panic
        }
        error.to_string()
    }

    #[test]
    fn every_schedule_is_finite_for_all_time_and_says_what_it_counts() {
        let all: [(Box<dyn Schedule>, Unit); 11] = [
            (Box::new(StepDecay::new(3, 0.1)), Unit::Epoch),
            (Box::new(MultiStep::new([3, 5], 0.1).per_step()), Unit::Step),
            (Box::new(ExponentialDecay::new(0.9)), Unit::Epoch),
            (Box::new(Constant::new(0.5)), Unit::Epoch),
            (Box::new(LinearRamp::new(1.0, 0.0)), Unit::Epoch),
            (Box::new(PolynomialDecay::new(2.0).per_step()), Unit::Step),
            (Box::new(Cosine::new().per_step()), Unit::Step),
            (Box::new(CosineWarmRestarts::new(4).t_mult(2)), Unit::Epoch),
            (Box::new(OneCycle::new()), Unit::Step),
            (Box::new(WarmUp::new(3, Cosine::new())), Unit::Epoch),
            (Box::new(Sequence::new(Constant::new(1.0)).then(4, Cosine::new())), Unit::Epoch),
        ];
        for (mut schedule, unit) in all {
            assert_eq!(schedule.unit(), unit, "{}", schedule.kind());
            schedule.bind(unit.count(20, 5));
            schedule.check().unwrap();
            for t in (0..300).chain([u64::MAX - 1, u64::MAX]) {
                let lr = schedule.lr(0.1, t);
                assert!((0.0..=0.1 + 1e-12).contains(&lr), "{} at {t}: {lr}", schedule.kind());
            }
        }
    }

    #[test]
    fn a_length_that_nobody_told_is_an_error() {
        for schedule in
            [Box::new(Cosine::new()) as Box<dyn Schedule>, Box::new(OneCycle::new()), Box::new(WarmUp::new(3, LinearRamp::new(1.0, 0.0)))]
        {
            let error = schedule.check().unwrap_err().to_string();
            assert!(
                error.ends_with(": its length is not known; give it with `.total(n)`, or let a trainer tell it with `bind`"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_length_of_ones_own_is_kept() {
        let mut cosine = Cosine::new().total(4);
        cosine.bind(100);
        assert!(cosine.lr(1.0, 4).abs() < 1e-15);
    }
}
