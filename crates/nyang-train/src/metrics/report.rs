//! All scores of a classifier on one page, laid out as scikit-learn's `classification_report`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::metrics::scores::Scores;

/// The scores of every class and their averages.
///
/// Displayed, it is character for character what scikit-learn prints, with two digits or as many as the format asks for
/// (`{report:.4}` is its `digits=4`). A class that was neither a target nor a prediction is left out of the averages and shows dashes;
/// with [`ConfusionMatrix::all_classes`](super::ConfusionMatrix::all_classes) it counts as 0, as with scikit-learn's `labels=range(C)`.
///
/// ```
/// # use nyang_train::metrics::ConfusionMatrix;
/// let mut matrix = ConfusionMatrix::named(["cat", "dog", "fox"])?;
/// matrix.add(&[0, 0, 2, 2, 1], &[0, 1, 2, 2, 2])?;
/// assert_eq!(matrix.report()?.to_string(), "              precision    recall  f1-score   support
///
///          cat       0.50      1.00      0.67         1
///          dog       0.00      0.00      0.00         1
///          fox       1.00      0.67      0.80         3
///
///     accuracy                           0.60         5
///    macro avg       0.50      0.56      0.49         5
/// weighted avg       0.70      0.60      0.61         5
/// ");
/// # Ok::<(), nyang_train::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// Name and scores of each class, in the order of the classes; none for one that was not seen.
    pub classes: Vec<(String, Option<Scores>)>,
    /// The share of samples whose prediction is their target.
    pub accuracy: f64,
    /// The plain mean over the classes.
    pub macro_avg: Scores,
    /// The mean over the classes, weighted by support.
    pub weighted_avg: Scores,
}

impl fmt::Display for ClassificationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let longest = self.classes.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let width = longest.max("weighted avg".len()).max(digits);
        let row = |f: &mut fmt::Formatter<'_>, name: &str, s: &Scores| {
            let Scores { precision, recall, f1, support } = s;
            writeln!(f, "{name:>width$}  {precision:>9.digits$} {recall:>9.digits$} {f1:>9.digits$} {support:>9}")
        };
        writeln!(f, "{:>width$}  {:>9} {:>9} {:>9} {:>9}\n", "", "precision", "recall", "f1-score", "support")?;
        for (name, scores) in &self.classes {
            match scores {
                Some(scores) => row(f, name, scores)?,
                None => writeln!(f, "{name:>width$}  {:>9} {:>9} {:>9} {:>9}", "-", "-", "-", 0)?,
            }
        }
        writeln!(f, "\n{:>width$}  {:>9} {:>9} {:>9.digits$} {:>9}", "accuracy", "", "", self.accuracy, self.macro_avg.support)?;
        row(f, "macro avg", &self.macro_avg)?;
        row(f, "weighted avg", &self.weighted_avg)
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::ConfusionMatrix;

    fn matrix(names: &[&str], predictions: &[usize], targets: &[usize]) -> ConfusionMatrix {
        let mut matrix = ConfusionMatrix::named(names.iter().copied()).unwrap();
        matrix.add(predictions, targets).unwrap();
        matrix
    }

    // The texts below were printed by scikit-learn 1.9: classification_report(targets, predictions, target_names=names).

    #[test]
    fn the_example_of_scikit_learn() {
        let report = matrix(&["class 0", "class 1", "class 2"], &[0, 0, 2, 2, 1], &[0, 1, 2, 2, 2]).report().unwrap();
        assert_eq!(
            report.to_string(),
            "              precision    recall  f1-score   support

     class 0       0.50      1.00      0.67         1
     class 1       0.00      0.00      0.00         1
     class 2       1.00      0.67      0.80         3

    accuracy                           0.60         5
   macro avg       0.50      0.56      0.49         5
weighted avg       0.70      0.60      0.61         5
"
        );
    }

    #[test]
    fn long_names_widen_the_first_column_and_halves_round_to_even() {
        // recall 1/8 = .125 prints as 0.12
        let names = ["a very long class name indeed", "Größe"];
        let report = matrix(&names, &[0, 1, 1, 1, 1, 1, 1, 1, 1, 1], &[0, 0, 0, 0, 0, 0, 0, 0, 1, 1]).report().unwrap();
        assert_eq!(
            report.to_string(),
            "                               precision    recall  f1-score   support

a very long class name indeed       1.00      0.12      0.22         8
                        Größe       0.22      1.00      0.36         2

                     accuracy                           0.30        10
                    macro avg       0.61      0.56      0.29        10
                 weighted avg       0.84      0.30      0.25        10
"
        );
    }

    #[test]
    fn a_class_never_seen_counts_as_zero_when_all_classes_are_asked_for() {
        let matrix = matrix(&["cat", "dog", "never seen", "fox"], &[0, 0, 3, 3, 1], &[0, 1, 3, 3, 3]);
        let all = matrix.clone().all_classes(true).report().unwrap(); // labels=[0, 1, 2, 3]
        assert_eq!(
            all.to_string(),
            "              precision    recall  f1-score   support

         cat       0.50      1.00      0.67         1
         dog       0.00      0.00      0.00         1
  never seen       0.00      0.00      0.00         0
         fox       1.00      0.67      0.80         3

    accuracy                           0.60         5
   macro avg       0.38      0.42      0.37         5
weighted avg       0.70      0.60      0.61         5
"
        );
        let seen = matrix.report().unwrap(); // scikit-learn's default prints all but the row with dashes
        assert_eq!(
            seen.to_string(),
            "              precision    recall  f1-score   support

         cat       0.50      1.00      0.67         1
         dog       0.00      0.00      0.00         1
  never seen          -         -         -         0
         fox       1.00      0.67      0.80         3

    accuracy                           0.60         5
   macro avg       0.50      0.56      0.49         5
weighted avg       0.70      0.60      0.61         5
"
        );
    }

    #[test]
    fn the_format_s_precision_is_the_number_of_digits() {
        let report = matrix(&["0", "1", "2"], &[0, 0, 2, 2, 1], &[0, 1, 2, 2, 2]).report().unwrap();
        assert_eq!(
            format!("{report:.4}"), // digits=4
            "              precision    recall  f1-score   support

           0     0.5000    1.0000    0.6667         1
           1     0.0000    0.0000    0.0000         1
           2     1.0000    0.6667    0.8000         3

    accuracy                         0.6000         5
   macro avg     0.5000    0.5556    0.4889         5
weighted avg     0.7000    0.6000    0.6133         5
"
        );
    }

    #[test]
    fn a_single_class_and_large_supports_keep_the_columns() {
        assert_eq!(
            matrix(&["only"], &[0, 0], &[0, 0]).report().unwrap().to_string(),
            "              precision    recall  f1-score   support

        only       1.00      1.00      1.00         2

    accuracy                           1.00         2
   macro avg       1.00      1.00      1.00         2
weighted avg       1.00      1.00      1.00         2
"
        );
        let targets = [vec![0; 123_456], vec![1; 10]].concat();
        let predictions = [vec![0; 123_400], vec![1; 66]].concat();
        assert_eq!(
            matrix(&["0", "1"], &predictions, &targets).report().unwrap().to_string(),
            "              precision    recall  f1-score   support

           0       1.00      1.00      1.00    123456
           1       0.15      1.00      0.26        10

    accuracy                           1.00    123466
   macro avg       0.58      1.00      0.63    123466
weighted avg       1.00      1.00      1.00    123466
"
        );
    }
}
