//! A batch: what a model is given at once.

use nyang_tensor::{Targets, Tensor};

use crate::{Error, Image, Result, Sample, Source};

/// N samples in one tensor, and what is known about each.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The images, `[N, C, H, W]`; in memory channels-last, as convolutions want them.
    pub images: Tensor<f32>,
    /// What the model should answer: one class index a sample.
    pub targets: Targets,
    /// The index of each sample in the loader's dataset.
    pub indices: Vec<usize>,
    /// Where each sample came from.
    pub sources: Vec<Source>,
    /// What was left out because it could not be read: nothing, unless [`Loader::skip_unreadable`](crate::Loader::skip_unreadable) asks for it.
    pub skipped: Vec<Skipped>,
}

/// A sample that could not be read and was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its index in the loader's dataset.
    pub index: usize,
    /// What happened: the error's text, which names the file.
    pub why: String,
}

impl Batch {
    /// A batch of these samples with their indices.
    ///
    /// # Errors
    /// [`Error::Mixed`] for images of different shapes, with the names of two; [`Error::Empty`] for no samples.
    pub fn new(samples: Vec<(usize, Sample)>) -> Result<Self> {
        let Some((_, first)) = samples.first() else { return Err(Error::Empty { op: "Batch" }) };
        let size = |image: &Image| [image.height, image.width, image.channels];
        let expected = size(&first.image);
        if let Some((_, other)) = samples.iter().find(|(_, s)| size(&s.image) != expected) {
            let shapes = Box::new([first.image.shape()?, other.image.shape()?]);
            return Err(Error::Mixed { first: first.source.clone(), other: other.source.clone(), shapes });
        }
        let [h, w, c] = expected;
        let mut images = Tensor::stale_channels_last(nyang_tensor::Shape::new(&[samples.len(), c, h, w])?)?;
        let values = h * w * c; // as many as the image has
        let (mut labels, mut indices, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        for ((index, sample), out) in samples.into_iter().zip(images.memory_mut()?.chunks_exact_mut(values)) {
            sample.image.pixels.write_floats(out);
            labels.push(sample.label);
            indices.push(index);
            sources.push(sample.source);
        }
        Ok(Batch { images, targets: Targets::Classes(labels), indices, sources, skipped: Vec::new() })
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no samples: never so for a batch from a loader.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(index: usize, side: usize) -> (usize, Sample) {
        let image = Image::from_floats(side, side, 1, vec![index as f32; side * side]).unwrap();
        (index, Sample { image, label: index % 3, source: Source::item("set", index) })
    }

    #[test]
    fn a_batch_keeps_samples_labels_and_names_together() {
        let batch = Batch::new(vec![sample(5, 2), sample(4, 2)]).unwrap();
        assert_eq!(batch.images.dims(), [2, 1, 2, 2]);
        assert_eq!(batch.images.to_vec(), [5.0, 5.0, 5.0, 5.0, 4.0, 4.0, 4.0, 4.0]);
        assert_eq!((batch.targets.classes().unwrap(), &batch.indices[..], batch.len()), (vec![2, 1], [5, 4].as_slice(), 2));
        assert_eq!(batch.sources[1].to_string(), "set #4");
    }

    #[test]
    fn images_of_two_shapes_are_an_error_that_names_both() {
        let error = Batch::new(vec![sample(7, 2), sample(8, 2), sample(9, 3)]).unwrap_err().to_string();
        assert!(error.contains("set #7 is [1, 2, 2], set #9 is [1, 3, 3]"), "{error}");
        assert!(matches!(Batch::new(vec![]), Err(Error::Empty { .. })));
    }
}
