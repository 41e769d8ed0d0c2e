//! How good a classifier is, counted over the epoch.
//!
//! A score of the epoch is computed from the counts of the epoch: the mean of the batches' F1 is not the epoch's F1, and the mean
//! of their accuracies is not its accuracy once the last batch is shorter. So batches are *added* to a [`ConfusionMatrix`], and
//! most scores are read from it; those that need probabilities (top-k, ROC-AUC, log-loss, calibration) from [`Probabilities`].
//! Definitions and defaults are scikit-learn's; a ratio over nothing is 0 (`zero_division=0`).
//!
//! ```text
//! precision = TP / (TP + FP)     recall = TP / (TP + FN)     F1 = 2·TP / (2·TP + FP + FN)     of one class against all others
//! macro     = plain mean over the classes       weighted = mean weighted by support       micro = over all samples = accuracy
//! ```
//!
//! The mean runs over the classes that were seen as a target or as a prediction, scikit-learn's default. With
//! [`ConfusionMatrix::all_classes`] it runs over every class, as scikit-learn's `labels=range(C)`: one never seen counts as 0.
//!
//! ```
//! # use nyang_train::metrics::ConfusionMatrix;
//! let mut matrix = ConfusionMatrix::named(["cat", "dog", "fox"])?;
//! matrix.add(&[0, 0], &[0, 1])?; // one batch: predictions, targets
//! matrix.add(&[2, 2, 1], &[2, 2, 2])?;
//! assert_eq!(matrix.accuracy()?, 0.6);
//! println!("{}", matrix.report()?);
//! # Ok::<(), nyang_train::Error>(())
//! ```

mod agreement;
mod confusion;
mod probabilities;
mod report;
mod scores;
#[cfg(test)]
mod sklearn;

use std::collections::BTreeMap;

pub use confusion::{ConfusionMatrix, MAX_CLASSES};
pub use probabilities::{Probabilities, Reliability};
pub use report::ClassificationReport;
pub use scores::Scores;

use crate::{Error, Result};
use scores::Tally;

/// The share of samples whose prediction is their target.
///
/// # Errors
/// [`Error::Lengths`], [`Error::NoSamples`].
///
/// ```
/// # use nyang_train::metrics::accuracy;
/// assert_eq!(accuracy(&[1, 0, 1, 1], &[1, 1, 1, 0])?, 0.5);
/// # Ok::<(), nyang_train::Error>(())
/// ```
pub fn accuracy(predictions: &[usize], targets: &[usize]) -> Result<f64> {
    check("accuracy", predictions, targets)?;
    let hits = predictions.iter().zip(targets).filter(|(p, t)| p == t).count();
    Ok(hits as f64 / targets.len() as f64)
}

/// The F1 score of the class `positive` against all others: `2·TP / (2·TP + FP + FN)`.
///
/// 0 if `positive` is neither a target nor a prediction.
///
/// # Errors
/// [`Error::Lengths`], [`Error::NoSamples`].
///
/// ```
/// # use nyang_train::metrics::f1_score;
/// assert_eq!(f1_score(&[1, 0, 1, 1], &[1, 1, 1, 0], 1)?, 2.0 / 3.0); // TP 2, FP 1, FN 1
/// # Ok::<(), nyang_train::Error>(())
/// ```
pub fn f1_score(predictions: &[usize], targets: &[usize], positive: usize) -> Result<f64> {
    check("f1_score", predictions, targets)?;
    let mut tally = Tally::default();
    for (&p, &t) in predictions.iter().zip(targets) {
        tally.hits += u64::from(p == positive && t == positive);
        tally.predicted += u64::from(p == positive);
        tally.support += u64::from(t == positive);
    }
    Ok(tally.scores().f1)
}

/// The plain mean of the F1 scores of all classes that are a target or a prediction.
///
/// This is not the F1 of mean precision and mean recall, which is another number.
///
/// # Errors
/// [`Error::Lengths`], [`Error::NoSamples`].
///
/// ```
/// # use nyang_train::metrics::macro_f1;
/// assert_eq!(macro_f1(&[1, 0, 1, 1], &[1, 1, 1, 0])?, 1.0 / 3.0); // F1 of class 0 is 0, of class 1 it is 2/3
/// # Ok::<(), nyang_train::Error>(())
/// ```
pub fn macro_f1(predictions: &[usize], targets: &[usize]) -> Result<f64> {
    check("macro_f1", predictions, targets)?;
    let mut tallies = BTreeMap::<usize, Tally>::new(); // by class: the numbers may be any, a table up to the largest could be absurd
    for (&p, &t) in predictions.iter().zip(targets) {
        tallies.entry(t).or_default().support += 1;
        let of_predicted = tallies.entry(p).or_default();
        of_predicted.predicted += 1;
        of_predicted.hits += u64::from(p == t);
    }
    Ok(scores::macro_average(tallies.values()).f1)
}

/// One prediction for each target, and at least one.
fn check(op: &'static str, predictions: &[usize], targets: &[usize]) -> Result<()> {
    if predictions.len() != targets.len() {
        return Err(Error::Lengths { op, predictions: predictions.len(), targets: targets.len() });
    }
    if targets.is_empty() { Err(Error::NoSamples { op }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macro_f1_is_the_mean_of_f1_scores_not_the_f1_of_mean_precision_and_recall() {
        // scikit-learn: mean of 2/3, 0 and 4/5; the F1 of the means would be .526316
        let f1 = macro_f1(&[0, 0, 2, 2, 1], &[0, 1, 2, 2, 2]).unwrap();
        assert!((f1 - 22.0 / 45.0).abs() < 1e-15, "{f1}"); // .488889
    }

    #[test]
    fn one_class_against_the_rest() {
        let (p, t) = ([0, 0, 2, 2, 1], [0, 1, 2, 2, 2]);
        for (positive, f1) in [(0, 2.0 / 3.0), (1, 0.0), (2, 0.8), (3, 0.0)] {
            assert_eq!(f1_score(&p, &t, positive).unwrap(), f1, "class {positive}");
        }
        assert_eq!(accuracy(&p, &t).unwrap(), 0.6);
    }

    #[test]
    fn class_numbers_may_be_huge() {
        assert_eq!(macro_f1(&[usize::MAX, 3], &[usize::MAX, 4]).unwrap(), 1.0 / 3.0);
    }

    #[test]
    fn bad_input_is_an_error_that_says_so() {
        for (predictions, targets, says) in [
            (&[1, 0][..], &[1][..], "each target needs one prediction, got 2 predictions for 1 targets"),
            (&[], &[1], "got 0 predictions for 1 targets"),
            (&[], &[], "nothing to score"),
        ] {
            for error in [
                accuracy(predictions, targets).unwrap_err(),
                f1_score(predictions, targets, 1).unwrap_err(),
                macro_f1(predictions, targets).unwrap_err(),
            ] {
                assert!(error.to_string().contains(says), "{error}");
            }
        }
    }
}
