//! The confusion matrix: which class was taken for which, and every score that follows from it.

use std::fmt;

use crate::metrics::report::ClassificationReport;
use crate::metrics::scores::{self, Scores, Tally};
use crate::{Error, Result};

/// The largest number of classes: the matrix then takes 800 MB.
pub const MAX_CLASSES: usize = 10_000;

/// How often a sample of one class was taken for another.
///
/// ```text
/// M[t,p] = number of samples of class t predicted to be p
/// TP_c = M[c,c]     FP_c = Σ_t M[t,c] − TP_c     FN_c = Σ_p M[c,p] − TP_c
/// accuracy = Σ_c M[c,c] / Σ M        balanced accuracy = mean of the recalls of the classes that have samples
/// ```
///
/// Rows are true classes, columns predicted ones. Displayed, it is a table with the classes' names.
///
/// ```
/// # use nyang_train::metrics::ConfusionMatrix;
/// let mut matrix = ConfusionMatrix::named(["cat", "dog"])?;
/// matrix.add(&[0, 1, 1], &[0, 0, 1])?;
/// assert_eq!(matrix.to_string(), "\
/// true \\ predicted  cat  dog
///              cat    1    1
///              dog    0    1
/// ");
/// # Ok::<(), nyang_train::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ConfusionMatrix {
    names: Vec<String>,
    counts: Vec<u64>, // C × C, row-major
    all_classes: bool,
}

/// Counting.
impl ConfusionMatrix {
    /// An empty matrix of classes called `0`, `1`, …
    ///
    /// # Errors
    /// [`Error::Argument`] for no classes or more than [`MAX_CLASSES`]; [`Error::Tensor`] if there is no memory for the matrix.
    pub fn new(classes: usize) -> Result<Self> {
        check_classes(classes)?;
        Self::named((0..classes).map(|class| class.to_string()))
    }

    /// An empty matrix of classes with these names, in the order of their numbers.
    ///
    /// # Errors
    /// As [`ConfusionMatrix::new`].
    pub fn named(names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        check_classes(names.len())?;
        let cells = names.len() * names.len();
        let mut counts = Vec::new();
        counts.try_reserve_exact(cells).map_err(|_| nyang_tensor::Error::Memory { bytes: cells * size_of::<u64>() })?;
        counts.resize(cells, 0);
        Ok(ConfusionMatrix { names, counts, all_classes: false })
    }

    /// Whether macro averages and the report count classes that were neither a target nor a prediction, as 0. Default: false, they
    /// are left out.
    pub fn all_classes(mut self, all: bool) -> Self {
        self.all_classes = all;
        self
    }

    /// Counts a batch: one predicted and one true class a sample. (scikit-learn's functions take the true ones first.)
    ///
    /// # Errors
    /// [`Error::Lengths`]; [`Error::Class`] for a number that is no class, naming the sample. Then nothing of the batch is counted.
    pub fn add(&mut self, predictions: &[usize], targets: &[usize]) -> Result<()> {
        let classes = self.classes();
        if predictions.len() != targets.len() {
            return Err(Error::Lengths { op: "ConfusionMatrix::add", predictions: predictions.len(), targets: targets.len() });
        }
        for (sample, (&p, &t)) in predictions.iter().zip(targets).enumerate() {
            for (what, class) in [("target", t), ("prediction", p)] {
                if class >= classes {
                    return Err(Error::Class { sample, what, class, classes });
                }
            }
        }
        for (&p, &t) in predictions.iter().zip(targets) {
            self.counts[t * classes + p] += 1;
        }
        Ok(())
    }

    /// Forgets all samples: the next epoch begins.
    pub fn clear(&mut self) {
        self.counts.fill(0);
    }
}

/// Reading.
impl ConfusionMatrix {
    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.names.len()
    }

    /// The classes' names, in the order of their numbers.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of samples counted so far.
    pub fn samples(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many samples of class `target` were predicted to be `prediction`; `None` if either is no class.
    pub fn count(&self, target: usize, prediction: usize) -> Option<u64> {
        let inside = target < self.classes() && prediction < self.classes();
        inside.then(|| self.counts[target * self.classes() + prediction])
    }

    /// One row a true class, in the order of the classes; a row's columns are the predicted classes.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes())
    }

    /// The share of samples whose prediction is their target.
    ///
    /// # Errors
    /// [`Error::NoSamples`], here and for every score.
    pub fn accuracy(&self) -> Result<f64> {
        Ok(self.micro_average()?.recall)
    }

    /// The mean of the recalls of the classes that have samples: accuracy as if each of them had equally many.
    ///
    /// # Errors
    /// [`Error::NoSamples`].
    pub fn balanced_accuracy(&self) -> Result<f64> {
        let tallies = self.tallies("balanced accuracy")?;
        Ok(scores::macro_average(tallies.iter().filter(|tally| tally.support > 0)).recall)
    }

    /// The scores of each class against all others, in the order of the classes: of two classes, those of the positive one are the binary
    /// scores.
    ///
    /// # Errors
    /// [`Error::NoSamples`].
    pub fn per_class(&self) -> Result<Vec<Scores>> {
        Ok(self.tallies("per-class scores")?.iter().map(Tally::scores).collect())
    }

    /// The plain mean of the classes' scores: a rare class weighs as much as a common one.
    ///
    /// Over the classes that were a target or a prediction, or over all with [`ConfusionMatrix::all_classes`].
    ///
    /// # Errors
    /// [`Error::NoSamples`].
    pub fn macro_average(&self) -> Result<Scores> {
        let tallies = self.tallies("macro average")?;
        Ok(scores::macro_average(tallies.iter().filter(|tally| self.scored(tally))))
    }

    /// The mean of the classes' scores weighted by support. Its F1 may lie outside its precision and recall.
    ///
    /// # Errors
    /// [`Error::NoSamples`].
    pub fn weighted_average(&self) -> Result<Scores> {
        Ok(scores::weighted_average(self.tallies("weighted average")?.iter()))
    }

    /// The scores of the counts of all classes together. With one class a sample, all three are the accuracy.
    ///
    /// # Errors
    /// [`Error::NoSamples`].
    pub fn micro_average(&self) -> Result<Scores> {
        let samples = self.samples();
        let hits = self.counts.iter().step_by(self.classes() + 1).sum(); // the diagonal
        if samples == 0 {
            return Err(Error::NoSamples { op: "accuracy" });
        }
        Ok(Tally { hits, predicted: samples, support: samples }.scores())
    }

    /// All scores at once, to be printed or kept.
    ///
    /// # Errors
    /// [`Error::NoSamples`].
    pub fn report(&self) -> Result<ClassificationReport> {
        let tallies = self.tallies("classification report")?;
        let scores = tallies.iter().map(|tally| self.scored(tally).then(|| tally.scores()));
        Ok(ClassificationReport {
            classes: self.names.iter().cloned().zip(scores).collect(),
            accuracy: self.accuracy()?,
            macro_avg: self.macro_average()?,
            weighted_avg: self.weighted_average()?,
        })
    }

    fn scored(&self, tally: &Tally) -> bool {
        self.all_classes || tally.seen()
    }

    /// One tally a class; an error without samples.
    pub(super) fn tallies(&self, op: &'static str) -> Result<Vec<Tally>> {
        let mut tallies = vec![Tally::default(); self.classes()];
        for (target, row) in self.rows().enumerate() {
            tallies[target].support = row.iter().sum();
            tallies[target].hits = row[target];
            for (tally, &count) in tallies.iter_mut().zip(row) {
                tally.predicted += count;
            }
        }
        if tallies.iter().all(|tally| tally.support == 0) { Err(Error::NoSamples { op }) } else { Ok(tallies) }
    }
}

fn check_classes(classes: usize) -> Result<()> {
    if (1..=MAX_CLASSES).contains(&classes) {
        return Ok(());
    }
    Err(Error::argument("ConfusionMatrix", "classes", classes, "there must be at least 1 and at most 10000 classes"))
}

impl fmt::Display for ConfusionMatrix {
    /// A row a true class, a column a predicted one. Long names are cut in the heading, never at the left.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CORNER: &str = "true \\ predicted";
        let width = |text: &str| text.chars().count();
        let left = self.names.iter().map(|name| width(name)).max().unwrap_or(0).max(width(CORNER));
        let digits = self.counts.iter().max().map_or(1, |most| most.to_string().len());
        let column = |name: &String| {
            let heading = heading(name);
            let w = width(&heading).max(digits);
            (heading, w)
        };
        let columns: Vec<(String, usize)> = self.names.iter().map(column).collect();
        write!(f, "{CORNER:>left$}")?;
        for (heading, w) in &columns {
            write!(f, "  {heading:>w$}")?;
        }
        writeln!(f)?;
        for (name, row) in self.names.iter().zip(self.rows()) {
            write!(f, "{name:>left$}")?;
            for (count, (_, w)) in row.iter().zip(&columns) {
                write!(f, "  {count:>w$}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A name as the heading of a column: at most ten characters.
fn heading(name: &str) -> String {
    const WIDEST: usize = 10;
    match name.char_indices().nth(WIDEST) {
        None => name.to_string(),
        Some(_) => name.chars().take(WIDEST - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics;

    #[test]
    fn the_mean_of_batch_scores_would_be_another_number() {
        let mut matrix = ConfusionMatrix::new(2).unwrap();
        matrix.add(&[1, 1, 1], &[1, 1, 0]).unwrap(); // F1 of class 1: 4/5
        matrix.add(&[0], &[1]).unwrap(); // 0
        assert_eq!(matrix.per_class().unwrap()[1].f1, 2.0 / 3.0); // not 2/5
        assert_eq!(matrix.accuracy().unwrap(), 0.5); // not 1/3
    }

    #[test]
    fn a_cleared_matrix_starts_again() {
        let mut matrix = ConfusionMatrix::new(2).unwrap();
        matrix.add(&[1], &[0]).unwrap();
        matrix.clear();
        assert_eq!(matrix, ConfusionMatrix::new(2).unwrap());
    }

    #[test]
    fn ten_classes_make_an_aligned_table_whose_headings_are_short() {
        let names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "articulated truck"];
        let mut matrix = ConfusionMatrix::named(names).unwrap();
        matrix.add(&[3; 120_000], &[5; 120_000]).unwrap();
        matrix.add(&[9, 0, 1], &[9, 9, 1]).unwrap();
        let table = matrix.to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 11);
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()), "{table}");
        assert_eq!(
            lines[0],
            " true \\ predicted  airplane  automobile    bird     cat    deer     dog    frog   horse    ship  articulat…"
        );
        assert_eq!(lines[6], "              dog         0           0       0  120000       0       0       0       0       0           0");
        assert_eq!(
            lines[10],
            "articulated truck         1           0       0       0       0       0       0       0       0           1"
        );
    }

    #[test]
    fn bad_input_is_an_error_that_says_so_and_counts_nothing() {
        let mut matrix = ConfusionMatrix::new(3).unwrap();
        for (predictions, targets, says) in [
            (&[0, 1][..], &[0][..], "each target needs one prediction, got 2 predictions for 1 targets"),
            (&[0, 0], &[0, 3], "sample 1: target 3 is no class: there are 3, numbered from 0; check the labels"),
            (&[0, 1, usize::MAX], &[0, 1, 2], "sample 2: prediction 18446744073709551615 is no class"),
        ] {
            let error = matrix.add(predictions, targets).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(matrix.samples(), 0);
        }
        for classes in [0, MAX_CLASSES + 1, usize::MAX] {
            let error = ConfusionMatrix::new(classes).unwrap_err();
            assert!(error.to_string().contains("at least 1 and at most 10000"), "{error}");
        }
        assert!(ConfusionMatrix::named(Vec::<String>::new()).is_err());
        assert_eq!((matrix.count(2, 2), matrix.count(3, 0), matrix.count(0, 3)), (Some(0), None, None));
    }

    #[test]
    fn without_samples_there_is_no_score() {
        let mut matrix = ConfusionMatrix::new(3).unwrap();
        matrix.add(&[], &[]).unwrap(); // an empty batch is no fault
        let errors = [
            matrix.accuracy().err(),
            matrix.balanced_accuracy().err(),
            matrix.per_class().err(),
            matrix.macro_average().err(),
            matrix.weighted_average().err(),
            matrix.micro_average().err(),
            matrix.report().err(),
        ];
        assert!(errors.iter().all(|e| matches!(e, Some(Error::NoSamples { .. }))), "{errors:?}");
    }

    proptest! {
        #[test]
        fn batches_of_any_size_give_the_scores_of_the_whole(
            samples in prop::collection::vec((0usize..6, 0usize..6), 1..80),
            size in 1usize..20,
        ) {
            let (p, t): (Vec<_>, Vec<_>) = samples.into_iter().unzip();
            let (mut whole, mut parts) = (ConfusionMatrix::new(6).unwrap(), ConfusionMatrix::new(6).unwrap());
            whole.add(&p, &t).unwrap();
            p.chunks(size).zip(t.chunks(size)).for_each(|(p, t)| parts.add(p, t).unwrap());
            prop_assert_eq!(&whole, &parts);
            prop_assert_eq!(whole.samples(), p.len() as u64);
            prop_assert_eq!(whole.accuracy().unwrap(), metrics::accuracy(&p, &t).unwrap());
            prop_assert!((whole.macro_average().unwrap().f1 - metrics::macro_f1(&p, &t).unwrap()).abs() < 1e-15);
            for s in whole.per_class().unwrap() {
                let harmonic = if s.precision + s.recall > 0.0 { 2.0 * s.precision * s.recall / (s.precision + s.recall) } else { 0.0 };
                prop_assert!((s.f1 - harmonic).abs() < 1e-14);
            }
            prop_assert!((whole.weighted_average().unwrap().recall - whole.accuracy().unwrap()).abs() < 1e-14);
        }
    }
}
