//! Cross-validation: every sample is judged once by a model that has not seen it.

use crate::loaders::Plan;
use crate::split::{Favoured, Labelled};
use crate::{Dataset, Error, Parts, Result};

/// Divides a dataset into k folds, each of which is validation once while the others are training.
///
/// ```
/// use nyang_data::{Dataset, Digits, KFold};
///
/// for (fold, parts) in KFold::stratified(5).seed(42).apply(Digits::load()?)?.into_iter().enumerate() {
///     println!("fold {fold}: {} to learn from, {} to judge by", parts.train.len(), parts.valid.len());
/// }
/// # Ok::<(), nyang_data::Error>(())
/// ```
///
/// The test part is empty; to keep one, split it off first and fold the rest. The samples of a class are spread so that two folds differ by
/// one at the most, and the folds as wholes too. Groups stay together and given parts are respected as by [`Split`](crate::Split).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KFold {
    folds: usize,
    stratified: bool,
    seed: u64,
}

impl KFold {
    /// Each class divided into `folds` folds.
    pub fn stratified(folds: usize) -> Self {
        KFold { folds, stratified: true, seed: 0 }
    }

    /// The whole dataset divided into `folds` folds, whatever the classes.
    pub fn random(folds: usize) -> Self {
        KFold { folds, stratified: false, seed: 0 }
    }

    /// The seed of the drawing, 0 unless it is given.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The k ways to divide the dataset, which they all share.
    ///
    /// # Errors
    /// [`Error::Argument`] for less than two folds, or so many that one would be empty; otherwise as [`Split::apply`](crate::Split::apply).
    pub fn apply<D: Dataset>(&self, dataset: D) -> Result<Vec<Parts<D>>> {
        let labelled = Labelled::new(dataset, "KFold")?;
        labelled.check_not_given()?;
        let bad = |why| Err(Error::argument("KFold", "folds", self.folds, why));
        if self.folds < 2 {
            return bad("there are at least two");
        }
        if self.folds > labelled.len() {
            return bad("at most as many as there are samples");
        }
        let ratios = vec![1.0 / self.folds as f64; self.folds];
        let folds = labelled.divide(&ratios, self.stratified, self.seed, Favoured::None);
        if folds.iter().any(Vec::is_empty) {
            return bad("a fold would be empty; there are fewer groups than folds, or one is too large");
        }
        let others = |valid: usize| {
            let mut train: Vec<usize> =
                (0..folds.len()).filter(|&fold| fold != valid).flat_map(|fold| folds[fold].iter().copied()).collect();
            train.sort_unstable();
            train
        };
        let parts = |valid: usize| Parts {
            train: labelled.subset(others(valid)),
            valid: labelled.subset(folds[valid].clone()),
            test: labelled.subset(Vec::new()),
            plan: Plan::seeded(self.seed),
        };
        Ok((0..folds.len()).map(parts).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InMemory;
    use proptest::prelude::*;

    fn labelled(labels: &[usize]) -> InMemory {
        InMemory::from_bytes([labels.len(), 1, 1, 1], vec![0; labels.len()], labels.to_vec(), (0..5).map(|c| c.to_string())).unwrap()
    }

    #[test]
    fn bad_numbers_of_folds_are_errors() {
        for folds in [0, 1, 4, usize::MAX] {
            let error = KFold::stratified(folds).apply(labelled(&[0, 1, 2])).unwrap_err().to_string();
            assert!(error.starts_with(&format!("KFold: folds = {folds} is not valid")), "{error}");
        }
        assert_eq!(KFold::random(3).apply(labelled(&[0, 1, 2])).unwrap().len(), 3);
    }

    proptest! {
        #[test]
        fn every_sample_is_validated_once_and_folds_are_alike(
            labels in proptest::collection::vec(0usize..5, 10..200),
            k in 2usize..8,
            stratified: bool,
            seed: u64,
        ) {
            let kfold = KFold { folds: k, stratified, seed };
            let folds = kfold.apply(labelled(&labels)).unwrap();
            let mut judged: Vec<usize> = folds.iter().flat_map(|parts| parts.valid.indices().to_vec()).collect();
            judged.sort_unstable();
            prop_assert_eq!(judged, (0..labels.len()).collect::<Vec<_>>());
            for parts in &folds {
                let mut all = [parts.train.indices(), parts.valid.indices()].concat();
                all.sort_unstable();
                prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
                prop_assert!(parts.test.is_empty());
            }
            let spread = |sizes: Vec<usize>| sizes.iter().max().unwrap() - sizes.iter().min().unwrap();
            prop_assert!(spread(folds.iter().map(|parts| parts.valid.len()).collect()) <= 1);
            for class in (0..5).filter(|_| stratified) {
                prop_assert!(spread(folds.iter().map(|p| p.valid.labels().iter().filter(|&&l| l == class).count()).collect()) <= 1);
            }
        }
    }
}
