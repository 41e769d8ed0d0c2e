//! Some samples of a dataset, as a dataset.

use std::fmt;
use std::sync::Arc;

use crate::dataset::no_class;
use crate::{Dataset, Error, Part, Result, Sample, Source};

/// Chosen samples of a shared dataset, in a chosen order. Cloning copies handles.
///
/// Its labels are read and checked once, so that asking for them later costs nothing. Errors and reports go on naming the samples as
/// the whole dataset does.
///
/// ```
/// # use nyang_data::{Dataset, Digits, Subset};
/// let digits = Digits::load()?;
/// let few = Subset::new(digits, vec![3, 7, 3])?;      // an index may come twice: so a rare class can be shown more often
/// assert_eq!((few.len(), few.label(1)?, few.source(2).to_string()), (3, 7, "digits #3".into()));
/// # Ok::<(), nyang_data::Error>(())
/// ```
pub struct Subset<D> {
    dataset: Arc<D>,
    indices: Arc<[usize]>,
    labels: Arc<[usize]>,
}

impl<D: Dataset> Subset<D> {
    /// The samples at `indices`, in that order. To share a dataset among subsets, give each a clone of one [`Arc`].
    ///
    /// # Errors
    /// [`Error::Index`] for an index the dataset does not have, [`Error::Label`] for a label that is no class.
    pub fn new(dataset: D, indices: Vec<usize>) -> Result<Self> {
        let dataset = Arc::new(dataset);
        let label = |&index: &usize| if index < dataset.len() { checked_label(&*dataset, index) } else { no_sample(index, dataset.len()) };
        let labels = indices.iter().map(label).collect::<Result<_>>()?;
        Ok(Subset { dataset, indices: indices.into(), labels })
    }

    /// As [`Subset::new`] for indices and labels that have been checked.
    pub(crate) fn trusted(dataset: Arc<D>, indices: Vec<usize>, labels: Vec<usize>) -> Self {
        Subset { dataset, indices: indices.into(), labels: labels.into() }
    }
}

impl<D> Subset<D> {
    /// The dataset that the samples are taken from.
    pub fn whole(&self) -> &Arc<D> {
        &self.dataset
    }

    /// The index in the whole dataset of each sample.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// The label of each sample.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    fn at(&self, index: usize) -> Result<usize> {
        self.indices.get(index).map_or_else(|| no_sample(index, self.indices.len()), |&i| Ok(i))
    }
}

fn no_sample(index: usize, len: usize) -> Result<usize> {
    Err(Error::Index { index, len })
}

/// The label of a sample, checked against the classes.
pub(crate) fn checked_label(dataset: &(impl Dataset + ?Sized), index: usize) -> Result<usize> {
    let (label, classes) = (dataset.label(index)?, dataset.classes().len());
    if label < classes { Ok(label) } else { Err(no_class(dataset.source(index), label, classes)) }
}

impl<D: Dataset> Dataset for Subset<D> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        self.dataset.get(self.at(index)?)
    }

    fn classes(&self) -> &[String] {
        self.dataset.classes()
    }

    fn label(&self, index: usize) -> Result<usize> {
        self.labels.get(index).copied().ok_or(Error::Index { index, len: self.labels.len() })
    }

    fn source(&self, index: usize) -> Source {
        self.at(index).map_or_else(|_| Source::item("subset", index), |i| self.dataset.source(i))
    }

    fn part(&self, index: usize) -> Option<Part> {
        self.dataset.part(*self.indices.get(index)?)
    }

    fn group(&self, index: usize) -> Option<usize> {
        self.dataset.group(*self.indices.get(index)?)
    }
}

impl<D> Clone for Subset<D> {
    fn clone(&self) -> Self {
        Subset { dataset: self.dataset.clone(), indices: self.indices.clone(), labels: self.labels.clone() }
    }
}

impl<D> fmt::Debug for Subset<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subset").field("indices", &self.indices).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InMemory;
    use nyang_tensor::Tensor;

    fn five() -> InMemory {
        let images = Tensor::from_fn([5, 1, 1, 2], |i| (i / 2) as f32).unwrap();
        InMemory::new(images, vec![0, 1, 0, 1, 1], ["a", "b"]).unwrap()
    }

    #[test]
    fn a_subset_of_a_subset_names_the_samples_of_the_whole() {
        let odd = Subset::new(five(), vec![4, 1, 0]).unwrap();
        let inner = Subset::new(odd, vec![0, 2]).unwrap();
        let sample = inner.get(0).unwrap();
        assert_eq!(
            (sample.image.to_tensor().unwrap().to_vec(), sample.label, sample.source.to_string()),
            (vec![4.0; 2], 1, "sample #4".into())
        );
        assert_eq!((inner.source(1).to_string(), inner.class_counts().unwrap()), ("sample #0".into(), vec![1, 1]));
    }

    #[test]
    fn indices_that_do_not_exist_are_errors() {
        for (indices, bad) in [(vec![0, 5], 5), (vec![usize::MAX], usize::MAX)] {
            assert!(matches!(Subset::new(five(), indices), Err(Error::Index { index, len: 5 }) if index == bad));
        }
        let empty = Subset::new(five(), vec![]).unwrap();
        assert!(empty.is_empty() && empty.get(0).is_err() && empty.label(0).is_err());
    }
}
