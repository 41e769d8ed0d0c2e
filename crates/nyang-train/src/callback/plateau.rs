//! The learning rate lowered where training stands still: `nyang_optim`'s rule as a callback.

use nyang_optim::{PlateauState, ReduceOnPlateau};

use crate::{Callback, Control, EpochEnd, Error, Goal, Metric, Plan, Result};

/// Lowers the learning rate when a metric has stopped getting better.
///
/// ```
/// # use nyang_train::prelude::*;
/// # let model = Flow::input([1, 8, 8]).linear(10).build(&mut Init::seed(1))?;
/// let trainer = Trainer::new(model, CrossEntropy::new())
///     .callback(Plateau::new(ReduceOnPlateau::new(0.5).patience(3), Metric::Loss));
/// # Ok::<(), Error>(())
/// ```
///
/// Not together with a schedule: both would set the learning rate.
pub struct Plateau {
    rule: ReduceOnPlateau,
    metric: Metric,
}

impl Plateau {
    /// This rule on this metric, in whose direction it looks by itself.
    pub fn new(rule: ReduceOnPlateau, metric: Metric) -> Self {
        let rule = if metric.goal() == Goal::Higher { rule.higher_is_better() } else { rule };
        Plateau { rule, metric }
    }
}

impl Callback for Plateau {
    fn name(&self) -> &'static str {
        "plateau"
    }

    fn run_started(&mut self, plan: &Plan<'_>, _: &mut Control) -> Result<()> {
        if plan.scheduled {
            return Err(Error::argument(
                "Trainer",
                "Plateau",
                self.metric.name(),
                "there is a schedule too, and both set the learning rate",
            ));
        }
        Ok(self.rule.check()?)
    }

    fn epoch_ended(&mut self, end: &EpochEnd<'_>, control: &mut Control) -> Result<()> {
        let lr = end.report.lr;
        let next = self.rule.next(self.metric.of(end.report), lr);
        if next != lr {
            control.set_lr(next);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        let PlateauState { best, bad, cooling } = self.rule.state();
        let mut bytes = Vec::new();
        bytes.extend(best.unwrap_or(f64::NAN).to_le_bytes()); // no metric is ever kept as the best if it is NaN
        bytes.extend(bad.to_le_bytes());
        bytes.extend(cooling.to_le_bytes());
        Ok(bytes)
    }

    fn load_state(&mut self, state: &[u8]) -> Result<()> {
        let word = |i: usize| state.get(8 * i..8 * i + 8).and_then(|bytes| bytes.try_into().ok());
        let (Some(best), Some(bad), Some(cooling)) = (word(0), word(1), word(2)) else {
            return Err(Error::CallbackState { name: self.name(), why: format!("24 bytes expected, {} there", state.len()) });
        };
        let best = f64::from_le_bytes(best);
        let best = if best.is_nan() { None } else { Some(best) };
        self.rule.load_state(PlateauState { best, bad: u64::from_le_bytes(bad), cooling: u64::from_le_bytes(cooling) });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_state_comes_back_whole() {
        let mut plateau = Plateau::new(ReduceOnPlateau::new(0.5).patience(2), Metric::Accuracy);
        let fresh = plateau.state().unwrap();
        plateau.rule.next(0.5, 0.1);
        plateau.rule.next(0.4, 0.1);
        let (state, known) = (plateau.state().unwrap(), plateau.rule.state());
        assert_eq!((known.best, known.bad), (Some(0.5), 1));
        let mut other = Plateau::new(ReduceOnPlateau::new(0.5).patience(2), Metric::Accuracy);
        other.load_state(&fresh).unwrap();
        assert_eq!(other.rule.state().best, None);
        other.load_state(&state).unwrap();
        assert_eq!(other.rule.state(), known);
        assert!(matches!(other.load_state(&state[1..]), Err(Error::CallbackState { name: "plateau", .. })));
    }
}
