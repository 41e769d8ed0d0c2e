//! What an epoch is judged by: one number of its report, and which way is better.

use serde::{Deserialize, Serialize};

use crate::EpochReport;

/// A measure of the validation part: by what the best model is chosen, training stopped, the learning rate lowered.
///
/// ```
/// # use nyang_train::{Goal, Metric};
/// assert_eq!((Metric::Loss.name(), Metric::Loss.goal()), ("valid_loss", Goal::Lower));
/// assert_eq!((Metric::MacroF1.name(), Metric::MacroF1.goal()), ("valid_macro_f1", Goal::Higher));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Metric {
    /// The mean loss.
    #[default]
    Loss,
    /// The share of samples that are right.
    Accuracy,
    /// The mean of the classes' recalls: accuracy as if each class had equally many samples.
    BalancedAccuracy,
    /// The mean of the classes' F1.
    MacroF1,
    /// The mean of the classes' F1, each as often as it has samples.
    WeightedF1,
    /// Matthews' correlation of predictions and targets.
    Matthews,
    /// The area under the ROC curve, the mean of the classes' against all others.
    RocAuc,
    /// The mean negative logarithm of the true class's probability: the loss without weights and smoothing.
    LogLoss,
}

/// Which way a metric gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The lower the better.
    Lower,
    /// The higher the better.
    Higher,
}

impl Metric {
    /// The name that it has in an epoch's report.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Loss => "valid_loss",
            Metric::Accuracy => "valid_accuracy",
            Metric::BalancedAccuracy => "valid_balanced_accuracy",
            Metric::MacroF1 => "valid_macro_f1",
            Metric::WeightedF1 => "valid_weighted_f1",
            Metric::Matthews => "valid_matthews",
            Metric::RocAuc => "valid_roc_auc",
            Metric::LogLoss => "valid_log_loss",
        }
    }

    /// Which way it gets better.
    pub fn goal(self) -> Goal {
        match self {
            Metric::Loss | Metric::LogLoss => Goal::Lower,
            _ => Goal::Higher,
        }
    }

    /// Its value in a report; NaN if it is not there.
    pub fn of(self, report: &EpochReport) -> f64 {
        report.values().into_iter().find(|(name, _)| *name == self.name()).map_or(f64::NAN, |(_, value)| value)
    }
}

/// The best value of a metric so far, and when it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    metric: Metric,
    min_delta: f64,
    /// Whether the lower validation loss decides between equal values.
    by_loss: bool,
    /// The best value; nothing before the first.
    pub value: Option<f64>,
    /// The validation loss that it came with.
    loss: f64,
    /// The epoch it is from, from 1; 0 before the first.
    pub epoch: usize,
}

impl Record {
    /// No value yet. A new one is better if it is by more than `min_delta`.
    pub fn new(metric: Metric, min_delta: f64) -> Self {
        Record { metric, min_delta, by_loss: false, value: None, loss: f64::NAN, epoch: 0 }
    }

    /// Of equal values the one with the lower validation loss is better: on a small validation part many epochs count equally many right.
    pub fn then_by_loss(mut self) -> Self {
        self.by_loss = true;
        self
    }

    /// Whether a report is better than every one before. NaN never is.
    pub fn beaten_by(&self, report: &EpochReport) -> bool {
        let new = self.metric.of(report);
        let Some(old) = self.value else { return !new.is_nan() };
        let better = match self.metric.goal() {
            Goal::Lower => new < old - self.min_delta,
            Goal::Higher => new > old + self.min_delta,
        };
        better || (self.by_loss && new == old && report.valid_loss < self.loss)
    }

    /// Takes note of a report; says whether it is the best.
    pub fn note(&mut self, report: &EpochReport) -> bool {
        let better = self.beaten_by(report);
        if better {
            (self.value, self.loss, self.epoch) = (Some(self.metric.of(report)), report.valid_loss, report.epoch);
        }
        better
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report with this loss and accuracy.
    pub(crate) fn report(epoch: usize, valid_loss: f64, valid_accuracy: f64) -> EpochReport {
        EpochReport {
            epoch,
            step: 0,
            lr: 0.1,
            train_loss: 1.0,
            train_accuracy: 0.5,
            valid_loss,
            valid_accuracy,
            valid_macro_f1: 0.5,
            metrics: [("valid_balanced_accuracy".to_owned(), 0.25)].into(),
            improved: false,
        }
    }

    #[test]
    fn better_is_lower_or_higher_by_more_than_the_least_difference() {
        let cases: [(Metric, f64, [f64; 5], [bool; 5]); 4] = [
            (Metric::Loss, 0.0, [2.0, 1.0, 1.0, 1.5, 0.9], [true, true, false, false, true]),
            (Metric::Loss, 0.1, [2.0, 1.95, 1.91, 1.85, 1.8], [true, false, false, true, false]),
            (Metric::Accuracy, 0.0, [0.0, 0.5, 0.5, 0.4, 0.6], [true, true, false, false, true]),
            (Metric::Loss, 0.0, [f64::NAN, 3.0, f64::NAN, f64::INFINITY, 2.0], [false, true, false, false, true]),
        ];
        for (metric, delta, values, expected) in cases {
            let mut record = Record::new(metric, delta);
            let got = [0, 1, 2, 3, 4].map(|i| record.note(&report(i + 1, values[i], values[i])));
            assert_eq!(got, expected, "{metric:?} {delta}");
        }
    }

    #[test]
    fn the_lower_loss_decides_between_equal_values() {
        let mut record = Record::new(Metric::Accuracy, 0.0).then_by_loss();
        let reports = [(1.0, 0.9), (0.8, 0.9), (0.9, 0.9), (0.5, 0.8), (2.0, 0.95), (f64::NAN, 0.95), (1.5, 0.95)];
        let got: Vec<bool> =
            reports.iter().zip(1..).map(|(&(loss, accuracy), epoch)| record.note(&report(epoch, loss, accuracy))).collect();
        assert_eq!(got, [true, true, false, false, true, false, true]);
        assert_eq!((record.value, record.epoch), (Some(0.95), 7));
    }

    #[test]
    fn every_metric_is_found_in_a_report_or_is_nan() {
        let report = report(1, 0.7, 0.8);
        assert_eq!(
            [Metric::Loss, Metric::Accuracy, Metric::MacroF1, Metric::BalancedAccuracy].map(|m| m.of(&report)),
            [0.7, 0.8, 0.5, 0.25]
        );
        assert!(Metric::WeightedF1.of(&report).is_nan());
    }
}
