//! What a classifier should have answered. Here, because losses and data sets both speak it and do not know each other.

use crate::{Element, Error, Result, Tensor};

/// The targets of a batch of N samples.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Targets<T: Element = f32> {
    /// One class index a sample.
    Classes(Vec<usize>),
    /// One row of class probabilities a sample, `[N, C]`: one-hot, smoothed, or mixed.
    Soft(Tensor<T>),
}

impl<T: Element> Targets<T> {
    /// The number of samples.
    pub fn len(&self) -> usize {
        match self {
            Targets::Classes(classes) => classes.len(),
            Targets::Soft(rows) => rows.dims().first().copied().unwrap_or(0),
        }
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One class index a sample: soft rows give their most probable class, the first of equals.
    ///
    /// # Errors
    /// [`Error::Shape`] if soft rows are not `[N, C]`.
    pub fn classes(&self) -> Result<Vec<usize>> {
        match self {
            Targets::Classes(classes) => Ok(classes.clone()),
            Targets::Soft(rows) if rows.dims().len() == 2 => rows.argmax(1),
            Targets::Soft(rows) => Err(Error::shape("Targets::classes", "[N, C]", *rows.shape())),
        }
    }

    /// Rows of zeros with a one at each sample's class, `[N, classes]`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a class index that is not below `classes`.
    pub fn one_hot(labels: &[usize], classes: usize) -> Result<Tensor<T>> {
        let mut rows = Tensor::zeros([labels.len(), classes])?;
        let values = rows.as_mut_slice()?;
        for (n, &label) in labels.iter().enumerate() {
            if label >= classes {
                return Err(Error::argument("one_hot", "label", label, "must be below the number of classes"));
            }
            values[n * classes + label] = T::ONE;
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hot_rows_give_their_classes_back() {
        let rows = Targets::<f32>::one_hot(&[2, 0], 3).unwrap();
        assert_eq!(rows.to_vec(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(Targets::Soft(rows).classes().unwrap(), [2, 0]);
    }

    #[test]
    fn a_label_that_is_no_class_is_an_error() {
        assert!(Targets::<f32>::one_hot(&[3], 3).is_err());
        assert!(Targets::<f32>::one_hot(&[0], 0).is_err());
    }
}
