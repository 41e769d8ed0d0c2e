//! A saved model at work: predictions with class names, and evaluation.

use std::path::Path;

use nyang_data::{Image, Loader, Transform};
use nyang_nn::{CrossEntropy, Ctx, Module, Registry, Rng, Shape, Tensor};
use nyang_tensor::reduce::log_sum_exp;

use crate::{Callback, Error, Evaluation, ModelCard, Result, evaluate, load_model_with};

/// A model from a file, with all that is needed to use it: class names, input size, transforms, standardisation.
///
/// Any number of threads may share it.
pub struct Classifier {
    /// The model.
    pub model: Box<dyn Module<f32>>,
    /// What its file says beside structure and weights.
    pub card: ModelCard,
}

/// What a classifier says of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The most probable class.
    pub class: usize,
    /// Its name.
    pub name: String,
    /// The probability of each class, as the model sees it.
    pub probabilities: Vec<f32>,
}

impl std::fmt::Display for Prediction {
    /// The class's name and its probability.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:.1} %)", self.name, 100.0 * self.probabilities.get(self.class).copied().unwrap_or(f32::NAN))
    }
}

impl Classifier {
    /// Loads a model made of this library's modules.
    ///
    /// # Errors
    /// As [`load_model`](crate::load_model); [`Error::Mismatch`] if the file does not say its classes or input.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(path, &Registry::standard())
    }

    /// Loads a model that has modules of your own, which the registry knows.
    ///
    /// # Errors
    /// As [`Classifier::load`].
    pub fn load_with(path: impl AsRef<Path>, registry: &Registry<f32>) -> Result<Self> {
        let (model, card) = load_model_with(path, registry)?;
        Self::new(model, card)
    }

    /// A classifier of a model and its card.
    ///
    /// # Errors
    /// [`Error::Mismatch`] unless the model gives one logit a class for the card's input.
    pub fn new(model: Box<dyn Module<f32>>, card: ModelCard) -> Result<Self> {
        let output = model.out_shape(&Shape::new(&card.input)?.batch_of(1)?)?;
        if output != Shape::from([1, card.classes.len()]) {
            let expected = format!("one logit for each of {} classes", card.classes.len());
            return Err(Error::Mismatch { expected, got: output.to_string() });
        }
        Ok(Classifier { model, card })
    }

    /// What the model says of one image, as a dataset or a decoder gives it: it is transformed and standardised here, as in validation.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the transformed image has another shape than the card's; whatever the transforms give.
    pub fn predict_image(&self, image: Image) -> Result<Prediction> {
        let image = self.card.transforms.apply(image, &mut Rng::seed(0))?.to_tensor()?;
        let predictions = self.predict(Tensor::stack(&[image])?)?;
        let none = || Error::Mismatch { expected: "one prediction".to_owned(), got: "none".to_owned() };
        predictions.into_iter().next().ok_or_else(none)
    }

    /// What the model says of each image. The images are transformed already; they are standardised here.
    ///
    /// # Shapes
    /// `[N, C, H, W]` with the card's `[C, H, W]` → N predictions
    ///
    /// # Errors
    /// [`Error::Mismatch`] for images of another shape.
    pub fn predict(&self, images: Tensor<f32>) -> Result<Vec<Prediction>> {
        if images.dims().get(1..) != Some(self.card.input.as_slice()) {
            let expected = format!("images {:?} after the batch dimension, as in training", self.card.input);
            return Err(Error::Mismatch { expected, got: images.shape().to_string() });
        }
        let images = match &self.card.normalize {
            Some(normalize) => normalize.apply(images)?,
            None => images,
        };
        let logits = self.model.infer(images, &mut Ctx::eval())?;
        let classes = logits.argmax(1)?;
        let values = logits.to_vec();
        let rows = values.chunks_exact(self.card.classes.len().max(1));
        Ok((rows.zip(classes))
            .map(|(z, class)| {
                let norm = log_sum_exp(z);
                let name = self.card.classes.get(class).cloned().unwrap_or_default();
                Prediction { class, name, probabilities: z.iter().map(|z| (z - norm).exp()).collect() }
            })
            .collect())
    }

    /// Measures the model on a loader, silently.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the loader has other classes, or transforms or standardises otherwise than in validation; whatever the data give.
    pub fn evaluate(&self, loader: &Loader) -> Result<Evaluation> {
        self.evaluate_watched(loader, &mut [])
    }

    /// As [`Classifier::evaluate`], with callbacks that are told of each batch, such as [`Progress`](crate::Progress).
    ///
    /// # Errors
    /// As [`Classifier::evaluate`].
    pub fn evaluate_watched(&self, loader: &Loader, watch: &mut [Box<dyn Callback>]) -> Result<Evaluation> {
        if loader.classes() != self.card.classes {
            return Err(Error::Mismatch {
                expected: format!("the classes {:?}", self.card.classes),
                got: format!("{:?}", loader.classes()),
            });
        }
        if loader.transforms() != &self.card.transforms {
            let expected = "images transformed as in validation (give the loader the card's `transforms`)".to_owned();
            return Err(Error::Mismatch { expected, got: loader.transforms().to_string() });
        }
        if loader.normalization() != self.card.normalize.as_ref() {
            let expected = "images standardised as in training (give the loader the card's `normalize`)".to_owned();
            return Err(Error::Mismatch { expected, got: format!("{:?}", loader.normalization()) });
        }
        evaluate(self.model.as_ref(), &CrossEntropy::new(), loader, watch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trainer;
    use nyang_data::{CenterCrop, Custom, InMemory, Normalize, Transforms, transforms};
    use nyang_nn::{Flow, Init};

    #[test]
    fn an_image_is_prepared_as_in_validation_by_what_is_in_the_file() {
        let values = (0..20 * 36).map(|i| (i * 37 % 251) as u8).collect();
        let set = InMemory::from_bytes([20, 6, 6, 1], values, (0..20).map(|i| i % 2).collect(), ["a", "b"]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let fit = |crop: Transforms| {
            let valid = Loader::new(set.clone()).transform(crop).normalize(Normalize::new([0.5], [0.2]).unwrap());
            let model = Flow::input([1, 4, 4]).linear(2).build(&mut Init::seed(1)).unwrap();
            let run = Trainer::new(model, CrossEntropy::new()).epochs(1).fit(&valid.clone().shuffle(1), &valid, folder.path().join("run"));
            run.map(|run| (run, valid))
        };
        let identity = |image: Image, _: &mut Rng| Ok(image);
        let error = fit(transforms![CenterCrop::new(4, 4), Custom::new("mine", identity)]).err().unwrap().to_string();
        assert!(error.contains("transforms that a model file can hold") && error.contains("Custom"), "{error}");

        let (run, valid) = fit(transforms![CenterCrop::new(4, 4)]).unwrap();
        let classifier = Classifier::load(&run.path).unwrap();
        assert_eq!(&classifier.card.transforms, valid.transforms());
        let batch = valid.epoch(0).next().unwrap().unwrap();
        let expected = classifier.model.infer(batch.images, &mut Ctx::eval()).unwrap().argmax(1).unwrap();
        for (i, class) in expected.into_iter().enumerate() {
            assert_eq!(classifier.predict_image(valid.dataset().get(i).unwrap().image).unwrap().class, class);
        }
        assert!(classifier.evaluate(&valid).is_ok());
        let error = classifier.evaluate(&valid.clone().transform(transforms![CenterCrop::new(4, 3)])).err().unwrap().to_string();
        assert!(error.contains("transformed as in validation") && error.contains("width: 3"), "{error}");
    }
}
