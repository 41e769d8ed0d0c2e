//! Learning rates over time. A schedule is a pure function of the time, so there is nothing to save and much that can be tested.

use nyang_nn::Element;

use crate::error::check;
use crate::{Optimizer, Result};

/// What a schedule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Time passes once an epoch.
    Epoch,
    /// Time passes once an optimizer step.
    Step,
}

/// The learning rate as a function of time.
pub trait Schedule: Send + Sync {
    /// Whether time passes per epoch or per step: a trainer asks this, so that nobody has to remember.
    fn unit(&self) -> Unit;

    /// Whether the settings can work; a [`Scheduler`] asks this when it starts.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) with the first that cannot.
    fn check(&self) -> Result<()>;

    /// The learning rate at time `t` = 0, 1, 2, …, where `base` is the one the optimizer started with.
    fn lr(&self, base: f64, t: u64) -> f64;
}

/// Divides the learning rate again and again:
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
    fn unit(&self) -> Unit {
        self.unit
    }

    fn check(&self) -> Result<()> {
        check("StepDecay", "every", self.every as f64, self.every > 0, "must be positive")?;
        check("StepDecay", "gamma", self.gamma, self.gamma >= 0.0, "must be a number ≥ 0")
    }

    fn lr(&self, base: f64, t: u64) -> f64 {
        base * self.gamma.powf(t.checked_div(self.every).unwrap_or(0) as f64)
    }
}

/// A schedule under way: it knows the time and the learning rate that all began with.
///
/// ```
/// # use nyang_optim::{Optimizer, Scheduler, Sgd, StepDecay};
/// let mut sgd = Sgd::<f32>::new(0.1);
/// let mut schedule = Scheduler::start(StepDecay::new(1, 0.5), &mut sgd)?;
/// schedule.step(&mut sgd)?;
/// assert_eq!(sgd.lr(), 0.05);
/// # Ok::<(), nyang_optim::Error>(())
/// ```
pub struct Scheduler {
    schedule: Box<dyn Schedule>,
    base: f64,
    t: u64,
}

impl Scheduler {
    /// Starts at t = 0: the optimizer's learning rate is the base, and is set to the schedule's first.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if the schedule's settings or its first learning rate cannot work.
    pub fn start<T: Element>(schedule: impl Schedule + 'static, optimizer: &mut (impl Optimizer<T> + ?Sized)) -> Result<Self> {
        schedule.check()?;
        let scheduler = Scheduler { schedule: Box::new(schedule), base: optimizer.lr(), t: 0 };
        optimizer.set_lr(scheduler.schedule.lr(scheduler.base, 0))?;
        Ok(scheduler)
    }

    /// What the schedule counts.
    pub fn unit(&self) -> Unit {
        self.schedule.unit()
    }

    /// Lets one unit of time pass and sets the learning rate.
    ///
    /// # Errors
    /// If the schedule's learning rate is not a number ≥ 0.
    pub fn step<T: Element>(&mut self, optimizer: &mut (impl Optimizer<T> + ?Sized)) -> Result<()> {
        self.t += 1;
        optimizer.set_lr(self.schedule.lr(self.base, self.t))
    }
}

impl<S: Schedule + ?Sized> Schedule for Box<S> {
    fn unit(&self) -> Unit {
        (**self).unit()
    }
    fn check(&self) -> Result<()> {
        (**self).check()
    }
    fn lr(&self, base: f64, t: u64) -> f64 {
        (**self).lr(base, t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sgd;

    /// PyTorch's numbers.
    #[test]
    fn step_decay_is_pytorchs() {
        let schedule = StepDecay::new(3, 0.1);
        for (t, want) in [0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001].into_iter().enumerate() {
            assert!((schedule.lr(0.1, t as u64) - want).abs() < 1e-12);
        }
    }

    #[test]
    fn a_scheduler_keeps_the_base_whatever_the_present_rate() {
        let mut sgd = Sgd::<f32>::new(1.0);
        let mut scheduler = Scheduler::start(StepDecay::new(2, 0.5).per_step(), &mut sgd).unwrap();
        assert_eq!(scheduler.unit(), Unit::Step);
        let rates = [(); 5].map(|()| {
            scheduler.step(&mut sgd).unwrap();
            Optimizer::<f32>::lr(&sgd)
        });
        assert_eq!(rates, [1.0, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        assert_eq!(StepDecay::new(0, 0.1).check().unwrap_err().to_string(), "StepDecay: every = 0 is not valid: must be positive");
        assert_eq!(StepDecay::new(0, 0.1).lr(1.0, 5), 1.0);
        for gamma in [-0.1, f64::NAN] {
            assert!(Scheduler::start(StepDecay::new(3, gamma), &mut Sgd::<f32>::new(0.1)).is_err());
        }
    }
}
