//! A learning rate that falls when a metric no longer gets better: the rule, without anything around it.

use crate::Result;
use crate::error::check;

/// Multiplies the learning rate by a factor once a metric has not become better for some epochs.
///
/// ```text
/// better:  metric < best · (1 − threshold)         (where higher is better: metric > best · (1 + threshold))
/// bad ← 0 if better or cooling down, else bad + 1
/// where bad > patience:  η ← max(η · factor, η_min), bad ← 0, and the cooldown begins
/// ```
///
/// with factor (0.1), patience (10), threshold (1e-4), cooldown (0), η_min (0). NaN is never better. A change of less than 1e-8 is not made.
///
/// A plain value that is asked once an epoch, so that it can be used with and without a trainer, and saved with [`ReduceOnPlateau::state`].
///
/// # Reference
/// PyTorch's `ReduceLROnPlateau`.
///
/// # Example
/// ```
/// # use nyang_optim::ReduceOnPlateau;
/// let mut plateau = ReduceOnPlateau::new(0.5).patience(1);
/// let mut lr = 0.1;
/// for loss in [1.0, 0.8, 0.9, 0.85] {
///     lr = plateau.next(loss, lr);
/// }
/// assert_eq!(lr, 0.05);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceOnPlateau {
    factor: f64,
    patience: u64,
    threshold: Threshold,
    higher_is_better: bool,
    cooldown: u64,
    min_lr: f64,
    state: PlateauState,
}

/// How much better is better.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Threshold {
    Relative(f64),
    Absolute(f64),
}

/// What a [`ReduceOnPlateau`] remembers.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct PlateauState {
    /// The best metric so far; `None` before the first.
    pub best: Option<f64>,
    /// How many epochs in a row were not better.
    pub bad: u64,
    /// How many epochs of the cooldown are left.
    pub cooling: u64,
}

impl ReduceOnPlateau {
    const KIND: &'static str = "ReduceOnPlateau";

    /// Multiplies the learning rate by `factor`, in (0, 1), when a metric of which lower is better has not improved for 10 epochs.
    pub fn new(factor: f64) -> Self {
        let threshold = Threshold::Relative(1e-4);
        ReduceOnPlateau {
            factor,
            patience: 10,
            threshold,
            higher_is_better: false,
            cooldown: 0,
            min_lr: 0.0,
            state: PlateauState::default(),
        }
    }

    /// How many epochs that are not better are borne.
    pub fn patience(mut self, epochs: u64) -> Self {
        self.patience = epochs;
        self
    }

    /// For accuracies and the like.
    pub fn higher_is_better(mut self) -> Self {
        self.higher_is_better = true;
        self
    }

    /// By which part of the best a metric must be better, ≥ 0.
    pub fn threshold(mut self, part: f64) -> Self {
        self.threshold = Threshold::Relative(part);
        self
    }

    /// By how much a metric must be better, ≥ 0, whatever the best is.
    pub fn absolute_threshold(mut self, difference: f64) -> Self {
        self.threshold = Threshold::Absolute(difference);
        self
    }

    /// For how many epochs after a reduction nothing counts as bad.
    pub fn cooldown(mut self, epochs: u64) -> Self {
        self.cooldown = epochs;
        self
    }

    /// What the learning rate never falls below, ≥ 0.
    pub fn min_lr(mut self, lr: f64) -> Self {
        self.min_lr = lr;
        self
    }

    /// Whether the settings can work.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) with the first that cannot.
    pub fn check(&self) -> Result<()> {
        let (Threshold::Relative(threshold) | Threshold::Absolute(threshold)) = self.threshold;
        check(Self::KIND, "factor", self.factor, self.factor > 0.0 && self.factor < 1.0, "must lie between 0 and 1")?;
        check(Self::KIND, "threshold", threshold, threshold >= 0.0, "must be a number ≥ 0")?;
        check(Self::KIND, "min_lr", self.min_lr, self.min_lr >= 0.0, "must be a number ≥ 0")
    }

    /// The learning rate after an epoch with this metric: `lr`, or less.
    pub fn next(&mut self, metric: f64, lr: f64) -> f64 {
        const LEAST_CHANGE: f64 = 1e-8;
        if self.better(metric) {
            self.state.best = Some(metric);
            self.state.bad = 0;
        } else {
            self.state.bad += 1;
        }
        if self.state.cooling > 0 {
            self.state.cooling -= 1;
            self.state.bad = 0;
        }
        if self.state.bad <= self.patience {
            return lr;
        }
        self.state = PlateauState { bad: 0, cooling: self.cooldown, ..self.state };
        let reduced = (lr * self.factor).max(self.min_lr);
        if lr - reduced > LEAST_CHANGE { reduced } else { lr }
    }

    fn better(&self, metric: f64) -> bool {
        match (self.state.best, self.higher_is_better, self.threshold) {
            (None, false, _) => metric < f64::INFINITY,
            (None, true, _) => metric > f64::NEG_INFINITY,
            (Some(best), false, Threshold::Relative(part)) => metric < best * (1.0 - part),
            (Some(best), false, Threshold::Absolute(difference)) => metric < best - difference,
            (Some(best), true, Threshold::Relative(part)) => metric > best * (1.0 + part),
            (Some(best), true, Threshold::Absolute(difference)) => metric > best + difference,
        }
    }

    /// What it remembers, for a checkpoint.
    pub fn state(&self) -> PlateauState {
        self.state
    }

    /// Puts back what [`ReduceOnPlateau::state`] gave.
    pub fn load_state(&mut self, state: PlateauState) {
        self.state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The learning rates after epochs with these metrics, from 1.
    fn rates(mut plateau: ReduceOnPlateau, metrics: &[f64]) -> Vec<f64> {
        let mut lr = 1.0;
        let mut next = |metric: &f64| {
            lr = plateau.next(*metric, lr);
            lr
        };
        metrics.iter().map(&mut next).collect()
    }

    #[test]
    fn it_waits_for_one_epoch_more_than_its_patience() {
        let plateau = ReduceOnPlateau::new(0.1).patience(2);
        assert_eq!(rates(plateau, &[3.0, 2.0, 2.0, 2.0, 2.0, 1.0]), [1.0, 1.0, 1.0, 1.0, 0.1, 0.1]);
    }

    #[test]
    fn better_means_by_more_than_the_threshold() {
        let metrics = [1.0, 0.95, 0.9];
        assert_eq!(rates(ReduceOnPlateau::new(0.5).patience(0).threshold(0.1), &metrics), [1.0, 0.5, 0.25]);
        assert_eq!(rates(ReduceOnPlateau::new(0.5).patience(0).threshold(0.04), &metrics), [1.0, 1.0, 1.0]);
        assert_eq!(rates(ReduceOnPlateau::new(0.5).patience(0).absolute_threshold(0.06), &metrics), [1.0, 0.5, 0.5]);
        // a relative threshold grows with the best: of 10 it wants 9
        assert_eq!(rates(ReduceOnPlateau::new(0.5).patience(0).threshold(0.1), &[10.0, 9.5, 8.9]), [1.0, 0.5, 0.5]);
        assert_eq!(rates(ReduceOnPlateau::new(0.5).patience(0).absolute_threshold(0.1), &[10.0, 9.5, 8.9]), [1.0; 3]);
        let upwards = ReduceOnPlateau::new(0.5).patience(0).higher_is_better();
        assert_eq!(rates(upwards.clone().threshold(0.2), &[1.0, 1.1, 1.3]), [1.0, 0.5, 0.5]);
        assert_eq!(rates(upwards.absolute_threshold(0.2), &[1.0, 1.1, 1.3]), [1.0, 0.5, 0.5]);
    }

    #[test]
    fn nothing_counts_while_it_cools_down() {
        let plateau = ReduceOnPlateau::new(0.5).patience(0).cooldown(2);
        assert_eq!(rates(plateau, &[1.0; 6]), [1.0, 0.5, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn nan_is_not_better_and_the_floor_holds() {
        let plateau = || ReduceOnPlateau::new(0.5).patience(0);
        assert_eq!(rates(plateau(), &[f64::NAN, 1.0, f64::NAN, 0.5]), [0.5, 0.5, 0.25, 0.25]);
        assert_eq!(rates(plateau().min_lr(0.3), &[1.0; 4]), [1.0, 0.5, 0.3, 0.3]);
        let mut near = plateau().min_lr(1.0 - 1e-9);
        near.next(1.0, 1.0);
        assert_eq!(near.next(1.0, 1.0), 1.0, "a change of 1e-9 is not made");
    }

    #[test]
    fn a_loaded_state_goes_on_as_if_nothing_had_happened() {
        let new = || ReduceOnPlateau::new(0.5).patience(1).cooldown(1);
        let (mut whole, mut resumed, mut rates) = (new(), new(), [0.1, 0.1]);
        for metric in [1.0, 0.9, 0.95, 0.92, 0.91, 0.9, 0.9, 0.9] {
            let state = resumed.state();
            resumed = new();
            resumed.load_state(state);
            rates = [whole.next(metric, rates[0]), resumed.next(metric, rates[1])];
            assert_eq!(rates[0], rates[1]);
        }
        assert!(rates[0] < 0.1);
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        for factor in [0.0, 1.0, -0.5, f64::NAN] {
            let error = ReduceOnPlateau::new(factor).check().unwrap_err().to_string();
            assert_eq!(error, format!("ReduceOnPlateau: factor = {factor} is not valid: must lie between 0 and 1"));
        }
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            let plateau = || ReduceOnPlateau::new(0.1);
            assert!(plateau().threshold(wrong).check().is_err() && plateau().absolute_threshold(wrong).check().is_err());
            assert!(plateau().min_lr(wrong).check().is_err());
        }
        assert!(ReduceOnPlateau::new(0.1).check().is_ok());
    }
}
