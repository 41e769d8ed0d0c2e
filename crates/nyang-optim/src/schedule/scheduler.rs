//! A schedule under way.

use nyang_nn::Element;

use super::{Schedule, Unit};
use crate::{Optimizer, Result};

/// A schedule under way: it knows the time and the learning rate that all began with.
///
/// ```
/// # use nyang_optim::{Optimizer, Scheduler, Sgd, StepDecay};
/// let mut sgd = Sgd::<f32>::new(0.1);
/// let mut scheduler = Scheduler::start(StepDecay::new(1, 0.5), &mut sgd)?;
/// scheduler.step(&mut sgd)?;
/// assert_eq!(sgd.lr(), 0.05);
/// # Ok::<(), nyang_optim::Error>(())
/// ```
pub struct Scheduler {
    schedule: Box<dyn Schedule>,
    state: SchedulerState,
}

/// What of a schedule changes: all else is a function of it.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct SchedulerState {
    /// The learning rate that all began with.
    pub base: f64,
    /// How many units of time have passed.
    pub t: u64,
}

impl Scheduler {
    /// Starts at t = 0: the optimizer's learning rate is the base, and is set to the schedule's first.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if the schedule's settings or its first learning rate cannot work;
    /// [`Error::Unbound`](crate::Error::Unbound) if it needs to know how long training takes ([`Schedule::bind`]);
    /// [`Error::NoMomentum`](crate::Error::NoMomentum) if it cycles the momentum of an optimizer that has none.
    pub fn start<T: Element>(schedule: impl Schedule + 'static, optimizer: &mut (impl Optimizer<T> + ?Sized)) -> Result<Self> {
        let state = SchedulerState { base: optimizer.lr(), t: 0 };
        Scheduler::resume(schedule, state, optimizer)
    }

    /// Goes on where [`Scheduler::state`] was taken: learning rate and momentum are set to what they were.
    ///
    /// # Errors
    /// As [`Scheduler::start`].
    pub fn resume<T: Element>(
        schedule: impl Schedule + 'static,
        state: SchedulerState,
        optimizer: &mut (impl Optimizer<T> + ?Sized),
    ) -> Result<Self> {
        schedule.check()?;
        let scheduler = Scheduler { schedule: Box::new(schedule), state };
        scheduler.set(optimizer)?;
        Ok(scheduler)
    }

    /// What has to be saved.
    pub fn state(&self) -> SchedulerState {
        self.state
    }

    /// What the schedule counts.
    pub fn unit(&self) -> Unit {
        self.schedule.unit()
    }

    /// Lets one unit of time pass and sets the learning rate, and the momentum of schedules that cycle it.
    ///
    /// # Errors
    /// If the schedule's learning rate is not a number ≥ 0, or its momentum does not lie in [0, 1).
    pub fn step<T: Element>(&mut self, optimizer: &mut (impl Optimizer<T> + ?Sized)) -> Result<()> {
        self.state.t = self.state.t.saturating_add(1);
        self.set(optimizer)
    }

    /// [`Scheduler::step`], if `unit` is what the schedule counts: a trainer calls it after every step and after every epoch.
    ///
    /// # Errors
    /// As [`Scheduler::step`].
    pub fn passed<T: Element>(&mut self, unit: Unit, optimizer: &mut (impl Optimizer<T> + ?Sized)) -> Result<()> {
        if unit == self.unit() { self.step(optimizer) } else { Ok(()) }
    }

    fn set<T: Element>(&self, optimizer: &mut (impl Optimizer<T> + ?Sized)) -> Result<()> {
        optimizer.set_lr(self.schedule.lr(self.state.base, self.state.t))?;
        self.schedule.momentum(self.state.t).map_or(Ok(()), |momentum| optimizer.set_momentum(momentum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Adagrad, Adam, Error, OneCycle, Sgd, StepDecay};

    #[test]
    fn a_scheduler_keeps_the_base_whatever_the_present_rate() {
        let mut sgd = Sgd::<f32>::new(1.0);
        let mut scheduler = Scheduler::start(StepDecay::new(2, 0.5).per_step(), &mut sgd).unwrap();
        assert_eq!(scheduler.unit(), Unit::Step);
        let rates = [(); 5].map(|()| {
            sgd.set_lr(7.0).unwrap();
            scheduler.step(&mut sgd).unwrap();
            sgd.lr()
        });
        assert_eq!(rates, [1.0, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn only_its_own_unit_moves_it() {
        let mut sgd = Sgd::<f32>::new(1.0);
        let mut scheduler = Scheduler::start(StepDecay::new(1, 0.5), &mut sgd).unwrap();
        scheduler.passed(Unit::Step, &mut sgd).unwrap();
        assert_eq!((sgd.lr(), scheduler.state().t), (1.0, 0));
        scheduler.passed(Unit::Epoch, &mut sgd).unwrap();
        assert_eq!((sgd.lr(), scheduler.state().t), (0.5, 1));
    }

    #[test]
    fn a_resumed_schedule_sets_what_the_other_would_have() {
        let schedule = || OneCycle::new().total(10);
        let mut whole = Adam::<f32>::new(0.1);
        let mut scheduler = Scheduler::start(schedule(), &mut whole).unwrap();
        for _ in 0..9 {
            let mut fresh = Adam::<f32>::new(0.3);
            let mut resumed = Scheduler::resume(schedule(), scheduler.state(), &mut fresh).unwrap();
            assert_eq!((fresh.lr(), fresh.current_momentum()), (whole.lr(), whole.current_momentum()));
            scheduler.step(&mut whole).unwrap();
            resumed.step(&mut fresh).unwrap();
            assert_eq!((fresh.lr(), fresh.current_momentum()), (whole.lr(), whole.current_momentum()));
        }
    }

    #[test]
    fn momentum_that_is_not_there_cannot_be_cycled() {
        let error = Scheduler::start(OneCycle::new().total(10), &mut Adagrad::<f32>::new(0.1)).err().unwrap();
        assert_eq!(error, Error::NoMomentum { kind: "Adagrad" });
        assert!(error.to_string().contains(".fixed_momentum()"), "{error}");
        Scheduler::start(OneCycle::new().total(10).fixed_momentum(), &mut Adagrad::<f32>::new(0.1)).unwrap();
    }

    #[test]
    fn settings_that_could_not_work_are_errors_before_the_first_step() {
        for gamma in [-0.1, f64::NAN] {
            let mut sgd = Sgd::<f32>::new(0.1);
            assert!(matches!(Scheduler::start(StepDecay::new(3, gamma), &mut sgd), Err(Error::Setting { field: "gamma", .. })));
            assert_eq!(sgd.lr(), 0.1);
        }
    }
}
