//! The dataset: a number of samples that can be had by index. The trait that data of your own implements.

use std::sync::Arc;

use crate::{Error, Image, Part, Parts, Result, Source, Split};

/// One image and the class it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The image.
    pub image: Image,
    /// The index of its class.
    pub label: usize,
    /// Where it came from.
    pub source: Source,
}

/// Samples by index, and the names of their classes.
///
/// `get` is called from several threads at once and in any order, so it must give the same sample for the same index each time;
/// what varies from epoch to epoch is the [`Loader`](crate::Loader)'s work.
///
/// ```
/// use nyang_data::{Dataset, Image, Result, Sample};
///
/// /// Images of stripes: across (0) or along (1).
/// struct Stripes {
///     classes: Vec<String>,
/// }
///
/// impl Dataset for Stripes {
///     fn len(&self) -> usize {
///         100
///     }
///     fn classes(&self) -> &[String] {
///         &self.classes
///     }
///     fn get(&self, index: usize) -> Result<Sample> {
///         let label = index % 2;
///         let stripe = |i: u8| if label == 0 { i / 8 % 2 * 255 } else { i % 2 * 255 };
///         let image = Image::from_bytes(8, 8, 1, (0..64).map(stripe).collect())?;
///         Ok(Sample { image, label, source: self.source(index) })
///     }
/// }
///
/// let stripes = Stripes { classes: vec!["across".into(), "along".into()] };
/// assert_eq!(stripes.class_counts()?, [50, 50]);
/// # Ok::<(), nyang_data::Error>(())
/// ```
pub trait Dataset: Send + Sync {
    /// The number of samples.
    fn len(&self) -> usize;

    /// The sample at `index`.
    ///
    /// # Errors
    /// [`Error::Index`] unless `index` is below [`len`](Dataset::len); [`Error::Sample`] if it cannot be read.
    fn get(&self, index: usize) -> Result<Sample>;

    /// The names of the classes; a label is an index into this list.
    fn classes(&self) -> &[String];

    /// The label of the sample at `index`. Implement it where that is cheaper than reading the image: a split asks for every label.
    ///
    /// # Errors
    /// Those of [`get`](Dataset::get).
    fn label(&self, index: usize) -> Result<usize> {
        Ok(self.get(index)?.label)
    }

    /// Where the sample at `index` comes from, known without reading it: it names the sample when reading fails.
    fn source(&self, index: usize) -> Source {
        Source::item("sample", index)
    }

    /// The part that the sample at `index` is meant for, where the data say so: [`Split::given`] asks for it.
    fn part(&self, _index: usize) -> Option<Part> {
        None
    }

    /// What the sample at `index` must not be torn from, as a number: samples of one patient, one camera, one day. [`Split`] keeps a group
    /// together, where the samples have any.
    fn group(&self, _index: usize) -> Option<usize> {
        None
    }

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many samples each class has.
    ///
    /// # Errors
    /// [`Error::Label`] for a label that is no class, and those of [`label`](Dataset::label).
    fn class_counts(&self) -> Result<Vec<usize>> {
        let mut counts = vec![0; self.classes().len()];
        for index in 0..self.len() {
            let label = self.label(index)?;
            match counts.get_mut(label) {
                Some(count) => *count += 1,
                None => return Err(no_class(self.source(index), label, counts.len())),
            }
        }
        Ok(counts)
    }

    /// Three disjoint parts of this dataset, which they share: see [`Split`].
    ///
    /// # Errors
    /// Those of [`Split::apply`].
    fn split(self, split: Split) -> Result<Parts<Self>>
    where
        Self: Sized,
    {
        split.apply(self)
    }
}

macro_rules! dataset_behind_a_pointer {
    ($($pointer:ty),*) => {$(
        impl<D: Dataset + ?Sized> Dataset for $pointer {
            fn len(&self) -> usize {
                (**self).len()
            }
            fn get(&self, index: usize) -> Result<Sample> {
                (**self).get(index)
            }
            fn classes(&self) -> &[String] {
                (**self).classes()
            }
            fn label(&self, index: usize) -> Result<usize> {
                (**self).label(index)
            }
            fn source(&self, index: usize) -> Source {
                (**self).source(index)
            }
            fn part(&self, index: usize) -> Option<Part> {
                (**self).part(index)
            }
            fn group(&self, index: usize) -> Option<usize> {
                (**self).group(index)
            }
            fn is_empty(&self) -> bool {
                (**self).is_empty()
            }
            fn class_counts(&self) -> Result<Vec<usize>> {
                (**self).class_counts()
            }
        }
    )*};
}
dataset_behind_a_pointer!(&D, Box<D>, Arc<D>);

pub(crate) fn no_class(sample: Source, label: impl ToString, classes: usize) -> Error {
    Error::Label { sample, label: label.to_string(), classes }
}

/// Whether a list of classes has at least one and no name twice.
pub(crate) fn check_classes(classes: &[String]) -> Result<()> {
    if classes.is_empty() {
        return Err(Error::NoClasses);
    }
    let mut seen = std::collections::HashMap::with_capacity(classes.len());
    for (second, name) in classes.iter().enumerate() {
        if let Some(first) = seen.insert(name, second) {
            return Err(Error::DuplicateClass { name: name.clone(), first, second });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two(Vec<String>);

    impl Dataset for Two {
        fn len(&self) -> usize {
            2
        }
        fn get(&self, index: usize) -> Result<Sample> {
            Ok(Sample { image: Image::from_bytes(2, 2, 1, vec![0; 4])?, label: index, source: self.source(index) })
        }
        fn classes(&self) -> &[String] {
            &self.0
        }
    }

    #[test]
    fn pointers_to_datasets_are_datasets() {
        let shared: Arc<dyn Dataset> = Arc::new(Two(vec!["a".into(), "b".into()]));
        let boxed: Box<dyn Dataset> = Box::new(shared.clone());
        assert_eq!((boxed.len(), boxed.label(1).unwrap(), boxed.classes()[1].as_str()), (2, 1, "b"));
        assert_eq!(<&dyn Dataset as Dataset>::class_counts(&&*boxed).unwrap(), [1, 1]);
        assert_eq!(boxed.source(1).to_string(), "sample #1");
    }

    #[test]
    fn counting_names_the_sample_whose_label_is_no_class() {
        let error = Two(vec!["a".into()]).class_counts().unwrap_err();
        assert_eq!(error.to_string(), "sample #1: label 1 is no class; there are 1, so labels run from 0 to 0");
    }

    #[test]
    fn class_lists_are_checked() {
        let list = |names: &[&str]| check_classes(&names.iter().map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(list(&["cat", "dog", ""]).is_ok());
        assert!(matches!(list(&[]), Err(Error::NoClasses)));
        assert!(matches!(list(&["cat", "dog", "cat"]), Err(Error::DuplicateClass { first: 0, second: 2, .. })));
    }
}
