//! The three parts of a split dataset, and the table of what is in them.

use std::fmt;

use crate::loaders::Plan;
use crate::{Dataset, Subset};

/// Which part of the data: to learn from, to choose by, to judge by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// What the model learns from.
    Train,
    /// What decides between models: early stopping, learning rate, the best epoch.
    Valid,
    /// What is looked at once, at the end.
    Test,
}

impl Part {
    /// All three, in order.
    pub const ALL: [Part; 3] = [Part::Train, Part::Valid, Part::Test];

    /// What parts are called in folders and tables.
    pub const NAMES: [(&'static str, Part); 6] = [
        ("train", Part::Train),
        ("training", Part::Train),
        ("valid", Part::Valid),
        ("val", Part::Valid),
        ("validation", Part::Valid),
        ("test", Part::Test),
    ];

    /// The part of this name.
    pub fn named(name: &str) -> Option<Part> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, part)| part)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Part::Train => "train",
            Part::Valid => "valid",
            Part::Test => "test",
        })
    }
}

/// The parts that a [`Split`](crate::Split) makes: disjoint, and together the whole dataset, which they share.
///
/// In each part the samples stand in the dataset's order.
#[derive(Debug)]
#[non_exhaustive]
pub struct Parts<D> {
    /// What the model learns from.
    pub train: Subset<D>,
    /// What decides between models.
    pub valid: Subset<D>,
    /// What is looked at once, at the end.
    pub test: Subset<D>,
    pub(crate) plan: Plan,
}

impl<D> Clone for Parts<D> {
    fn clone(&self) -> Self {
        Parts { train: self.train.clone(), valid: self.valid.clone(), test: self.test.clone(), plan: self.plan.clone() }
    }
}

impl<D: Dataset> Parts<D> {
    /// The part of that name.
    pub fn part(&self, part: Part) -> &Subset<D> {
        match part {
            Part::Train => &self.train,
            Part::Valid => &self.valid,
            Part::Test => &self.test,
        }
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        self.train.classes()
    }

    /// How many samples of each class each part has.
    pub fn report(&self) -> Report {
        let mut counts = vec![[0; 3]; self.classes().len()];
        for (p, part) in Part::ALL.into_iter().enumerate() {
            for &label in self.part(part).labels() {
                counts[label][p] += 1; // a subset's labels are checked
            }
        }
        Report { classes: self.classes().to_vec(), counts }
    }
}

/// The table of a split: how many samples of each class each part has. Printed, one line a class and one for the sums.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The names of the classes.
    pub classes: Vec<String>,
    /// For each class its number of samples in train, valid and test.
    pub counts: Vec<[usize; 3]>,
}

impl Report {
    /// The number of samples in train, valid and test.
    pub fn totals(&self) -> [usize; 3] {
        self.counts.iter().fold([0; 3], |sum, row| std::array::from_fn(|p| sum[p] + row[p]))
    }

    /// What each class counts in a loss so that all classes weigh the same in training, and the samples 1 on average: scikit-learn's
    /// `compute_class_weight("balanced", …)`.
    ///
    /// ```text
    /// w[c] = n / (C · n[c])     of the training part, for the C classes that have samples in it; 0 for the others
    /// ```
    pub fn class_weights(&self) -> Vec<f64> {
        let present = self.counts.iter().filter(|row| row[0] > 0).count() as f64;
        let all = self.totals()[0] as f64;
        self.counts.iter().map(|&[train, ..]| if train > 0 { all / (present * train as f64) } else { 0.0 }).collect()
    }
}

/// The names come last, so that the columns stay straight in any script.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = self.totals();
        let width = totals.iter().sum::<usize>().to_string().len().max("train".len());
        let mut line = |cells: [String; 4], name: &str| {
            cells.iter().try_for_each(|cell| write!(f, "{cell:>width$}  "))?;
            writeln!(f, "{name}")
        };
        let row = |[train, valid, test]: [usize; 3]| [train, valid, test, train + valid + test].map(|n| n.to_string());
        line(["train", "valid", "test", "all"].map(str::to_owned), "class")?;
        self.classes.iter().zip(&self.counts).try_for_each(|(name, &counts)| line(row(counts), name))?;
        line(row(totals), "(all)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_a_table_with_sums() {
        let report = Report { classes: vec!["rose".into(), "냥냥".into()], counts: vec![[800, 100, 100], [3, 1, 0]] };
        let lines = [
            "train  valid   test    all  class",
            "  800    100    100   1000  rose",
            "    3      1      0      4  냥냥",
            "  803    101    100   1004  (all)",
            "",
        ];
        assert_eq!(report.to_string(), lines.join("\n"));
    }
}
