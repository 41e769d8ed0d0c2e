//! Precision, recall and F1: of one class from its three counts, and averaged over classes.

use serde::{Deserialize, Serialize};

/// Precision, recall and F1, of one class or averaged over classes, each in `0 ..= 1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Of the samples predicted to be of the class, the share that is; 0 if none was predicted.
    pub precision: f64,
    /// Of the samples of the class, the share that was found; 0 if there are none.
    pub recall: f64,
    /// `2·TP / (2·TP + FP + FN)`, the harmonic mean of precision and recall; 0 if the class was not seen at all.
    pub f1: f64,
    /// The number of samples of the class (for an average: of all classes).
    pub support: u64,
}

/// The counts that the scores of one class are made of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// True positives.
    pub hits: u64,
    /// TP + FP.
    pub predicted: u64,
    /// TP + FN.
    pub support: u64,
}

impl Tally {
    /// Whether the class is a target or a prediction of any sample.
    pub fn seen(&self) -> bool {
        self.predicted + self.support > 0
    }

    pub fn scores(&self) -> Scores {
        Scores {
            precision: ratio(self.hits, self.predicted),
            recall: ratio(self.hits, self.support),
            f1: ratio(2 * self.hits, self.predicted + self.support),
            support: self.support,
        }
    }
}

/// `part / whole`, and 0 where there is no whole.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The plain mean over classes.
pub(super) fn macro_average<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Scores {
    average(tallies.map(|tally| (tally.scores(), 1)))
}

/// The mean over classes, each as often as it has samples.
pub(super) fn weighted_average<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Scores {
    average(tallies.map(|tally| (tally.scores(), tally.support)))
}

fn average(classes: impl Iterator<Item = (Scores, u64)>) -> Scores {
    let (mut sum, mut weights) = (Scores::default(), 0);
    for (scores, weight) in classes {
        let w = weight as f64;
        sum.precision += scores.precision * w;
        sum.recall += scores.recall * w;
        sum.f1 += scores.f1 * w;
        sum.support += scores.support;
        weights += weight;
    }
    if weights == 0 {
        return Scores { support: sum.support, ..Scores::default() };
    }
    let w = weights as f64;
    Scores { precision: sum.precision / w, recall: sum.recall / w, f1: sum.f1 / w, ..sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_over_nothing_is_zero() {
        assert_eq!(Tally::default().scores(), Scores::default());
        let never_predicted = Tally { hits: 0, predicted: 0, support: 3 }.scores();
        assert_eq!(never_predicted, Scores { precision: 0.0, recall: 0.0, f1: 0.0, support: 3 });
        assert_eq!(macro_average([].into_iter()), Scores::default());
        assert_eq!(weighted_average([Tally { hits: 0, predicted: 2, support: 0 }].iter()), Scores::default());
    }

    #[test]
    fn scores_of_a_class_by_hand() {
        let scores = Tally { hits: 3, predicted: 4, support: 5 }.scores(); // FP 1, FN 2
        assert_eq!(scores, Scores { precision: 0.75, recall: 0.6, f1: 2.0 / 3.0, support: 5 });
    }
}
