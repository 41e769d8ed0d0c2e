//! A saved model at work: predictions with class names, and evaluation.

mod prediction;
mod temperature;

pub use prediction::Prediction;

use std::path::Path;
use std::sync::Arc;

use nyang_data::{Channels, Decode, Image, Loader, Transform};
use nyang_nn::{CrossEntropy, Ctx, Module, Registry, Rng, Shape, Tensor};

use crate::evaluate::{evaluate_epoch, softmax_rows};
use crate::insight::{Picture, grad_cam};
use crate::{Callback, Control, Error, Evaluation, ModelCard, Position, Result, load_model_with, save_model};

/// How many images [`Classifier::predict_batch`] gives the model at once.
const AT_ONCE: usize = 64;

/// A model from a file, with all that is needed to use it: class names, input size, transforms, standardisation.
///
/// Any number of threads may share it.
///
/// ```no_run
/// # use nyang_train::Classifier;
/// let classifier = Classifier::load("runs/flowers/best.nyang")?;
/// let rose = classifier.predict_file("rose.jpg")?;
/// println!("{rose}");                                       // rose (97.3 %)
/// for (name, probability) in rose.top(3) {
///     println!("{name}: {probability:.3}");
/// }
/// # Ok::<(), nyang_train::Error>(())
/// ```
pub struct Classifier {
    /// The model.
    pub model: Box<dyn Module<f32>>,
    /// What its file says beside structure and weights.
    pub card: ModelCard,
    names: Arc<[String]>,
    flips: bool,
}

/// Making one.
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
    /// [`Error::Mismatch`] unless the model gives one logit a class for the card's input; [`Error::Argument`] for a temperature that is none.
    pub fn new(model: Box<dyn Module<f32>>, card: ModelCard) -> Result<Self> {
        let output = model.out_shape(&Shape::new(&card.input)?.batch_of(1)?)?;
        if output != Shape::from([1, card.classes.len()]) {
            let expected = format!("one logit for each of {} classes", card.classes.len());
            return Err(Error::Mismatch { expected, got: output.to_string() });
        }
        if let Some(t) = card.temperature.filter(|t| !(*t > 0.0 && t.is_finite())) {
            return Err(Error::argument("Classifier", "temperature", t, "must be a number above 0"));
        }
        Ok(Classifier { names: card.classes.clone().into(), model, card, flips: false })
    }

    /// Test-time augmentation: every image is looked at as it is and mirrored, and the probabilities are averaged. Takes twice as long.
    /// Not for letters, digits, or whatever else has a left and a right.
    pub fn flips(mut self, flips: bool) -> Self {
        self.flips = flips;
        self
    }

    /// The same classifier with its model made ready for inference: batch norms computed into the layers before them, dropout left away.
    /// Answers differ by rounding; see [`optimize`](nyang_nn::optimize). The registry must know modules of your own.
    ///
    /// # Errors
    /// As [`optimize`](nyang_nn::optimize).
    pub fn optimize(mut self, registry: &Registry<f32>) -> Result<Self> {
        self.model = nyang_nn::optimize(self.model.as_ref(), registry)?;
        Ok(self)
    }

    /// Writes model and card as one file.
    ///
    /// # Errors
    /// As [`save_model`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save_model(path, self.model.as_ref(), &self.card)
    }
}

/// Using it.
impl Classifier {
    /// What the model says of the image in a file: JPEG, PNG, WebP, BMP, GIF or TIFF, of any size.
    ///
    /// # Errors
    /// [`Error::Data`] with the path if it cannot be read; as [`Classifier::predict_image`].
    pub fn predict_file(&self, path: impl AsRef<Path>) -> Result<Prediction> {
        self.predict_image(self.decode().file(path)?)
    }

    /// How files become images of as many channels as the model takes.
    pub fn decode(&self) -> Decode {
        Decode::new().channels(match self.card.input.first() {
            Some(1) => Channels::Gray,
            Some(4) => Channels::RgbAlpha,
            _ => Channels::Rgb,
        })
    }

    /// What the model says of one image, as a dataset or a decoder gives it: it is transformed and standardised here, as in validation.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the transformed image has another shape than the card's; whatever the transforms give.
    pub fn predict_image(&self, image: Image) -> Result<Prediction> {
        let none = || Error::Mismatch { expected: "one prediction".to_owned(), got: "none".to_owned() };
        self.predict_batch([image])?.into_iter().next().ok_or_else(none)
    }

    /// As [`Classifier::predict_image`] for many images, which go through the model together.
    ///
    /// # Errors
    /// As [`Classifier::predict_image`].
    pub fn predict_batch(&self, images: impl IntoIterator<Item = Image>) -> Result<Vec<Prediction>> {
        let (mut images, mut predictions) = (images.into_iter(), Vec::new());
        loop {
            let mut prepared = Vec::new();
            for image in images.by_ref().take(AT_ONCE) {
                let image = self.card.transforms.apply(image, &mut Rng::seed(0))?.to_tensor()?;
                self.check_input(image.dims(), &image)?;
                prepared.push(image);
            }
            if prepared.is_empty() {
                return Ok(predictions);
            }
            predictions.extend(self.predict(Tensor::stack(&prepared)?)?);
        }
    }

    /// What the model says of one image, and where the evidence for it is: [`grad_cam`] over the image as the model sees it.
    ///
    /// # Errors
    /// As [`Classifier::predict_image`]; as [`grad_cam`] for a model none of whose layers has places.
    pub fn explain(&mut self, image: Image) -> Result<(Prediction, Picture)> {
        let prediction = self.predict_image(image.clone())?;
        let image = self.card.transforms.apply(image, &mut Rng::seed(0))?.to_tensor()?;
        let batch = Tensor::stack(&[image])?;
        let (normalize, model) = (self.card.normalize.as_ref(), self.model.as_mut());
        let seen = normalize.map_or(Ok(batch.clone()), |normalize| normalize.apply(batch))?.select(0, 0)?;
        let picture = grad_cam(model, &seen, prediction.class, None)?.over(&seen, normalize)?;
        Ok((prediction, picture))
    }

    /// What the model says of each image. The images are transformed already; they are standardised here.
    ///
    /// # Shapes
    /// `[N, C, H, W]` with the card's `[C, H, W]` → N predictions
    ///
    /// # Errors
    /// [`Error::Mismatch`] for images of another shape.
    pub fn predict(&self, images: Tensor<f32>) -> Result<Vec<Prediction>> {
        self.check_input(images.dims().get(1..).unwrap_or_default(), &images)?;
        let images = match &self.card.normalize {
            Some(normalize) => normalize.apply(images)?,
            None => images,
        };
        let logits = self.logits(images)?;
        let values = softmax_rows(&logits, 1.0);
        let rows = values.chunks_exact(self.names.len().max(1));
        Ok(rows.zip(logits.argmax(1)?).map(|(row, class)| Prediction::new(class, row.to_vec(), self.names.clone())).collect())
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
        self.check_loader(loader)?;
        let infer = |images| self.logits(images);
        let at = Position { epoch: 1, ..Position::default() };
        evaluate_epoch(&infer, &CrossEntropy::new(), loader, at, watch, &mut Control::default())
    }

    /// The logits of standardised images, whose softmax are the probabilities: over the temperature, and of both views if there are two.
    fn logits(&self, images: Tensor<f32>) -> Result<Tensor<f32>> {
        let temperature = self.card.temperature.unwrap_or(1.0) as f32;
        if !self.flips {
            let logits = self.model.infer(images, &mut Ctx::eval())?;
            return Ok(if temperature == 1.0 { logits } else { logits.map(|z| z / temperature)? });
        }
        let views = [mirrored(&images)?, images].map(|view| Ok::<_, Error>(self.model.infer(view, &mut Ctx::eval())?));
        let [mirrored, plain] = views;
        let (a, b) = (plain?, mirrored?);
        let mean = softmax_rows(&a, temperature).iter().zip(softmax_rows(&b, temperature)).map(|(a, b)| ((a + b) / 2.0).ln()).collect();
        Ok(Tensor::from_vec(*a.shape(), mean)?)
    }

    fn check_input(&self, dims: &[usize], images: &Tensor<f32>) -> Result<()> {
        if dims == self.card.input.as_slice() {
            return Ok(());
        }
        let expected = format!("images {:?} after the transforms, as in training", self.card.input);
        Err(Error::Mismatch { expected, got: images.shape().to_string() })
    }

    fn check_loader(&self, loader: &Loader) -> Result<()> {
        let mismatch = |expected: String, got: String| Err(Error::Mismatch { expected, got });
        if loader.classes() != self.card.classes {
            return mismatch(format!("the classes {:?}", self.card.classes), format!("{:?}", loader.classes()));
        }
        if loader.transforms() != &self.card.transforms {
            let expected = "images transformed as in validation (give the loader the card's `transforms`)".to_owned();
            return mismatch(expected, loader.transforms().to_string());
        }
        if loader.normalization() != self.card.normalize.as_ref() {
            let expected = "images standardised as in training (give the loader the card's `normalize`)".to_owned();
            return mismatch(expected, format!("{:?}", loader.normalization()));
        }
        Ok(())
    }
}

/// The images, left and right exchanged.
fn mirrored(images: &Tensor<f32>) -> Result<Tensor<f32>> {
    let width = images.dims().last().copied().unwrap_or(1).max(1);
    let mut values = images.to_vec();
    values.chunks_exact_mut(width).for_each(<[f32]>::reverse);
    Ok(Tensor::from_vec(*images.shape(), values)?)
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

    /// A classifier of 2×2 images by whether their left half is bright: logits ±(left − right).
    fn by_side(temperature: Option<f64>) -> Classifier {
        let mut model = nyang_nn::Linear::config(4, 2).bias(false).build::<f32>(&mut Init::seed(1)).unwrap();
        model.weight.value = Tensor::from_vec([2, 4], vec![1.0, -1.0, 1.0, -1.0, -1.0, 1.0, -1.0, 1.0]).unwrap();
        let flow = Flow::new().then(nyang_nn::Flatten::new()).then(model);
        let card = ModelCard { classes: vec!["left".into(), "right".into()], input: vec![1, 2, 2], temperature, ..ModelCard::default() };
        Classifier::new(Box::new(flow), card).unwrap()
    }

    #[test]
    fn the_evidence_is_grad_cams_over_the_image_as_the_model_sees_it() {
        let model = Flow::input([1, 4, 4]).conv(3, 3).relu().global_avg_pool().linear(2).build(&mut Init::seed(3)).unwrap();
        let normalize = Normalize::new([0.5], [0.25]).unwrap();
        let card = ModelCard {
            classes: vec!["a".into(), "b".into()],
            input: vec![1, 4, 4],
            transforms: transforms![CenterCrop::new(4, 4)],
            normalize: Some(normalize.clone()),
            ..ModelCard::default()
        };
        let mut classifier = Classifier::new(Box::new(model), card).unwrap();
        let image = Image::from_bytes(6, 6, 1, (0..36).map(|i| i * 7).collect()).unwrap();
        let (prediction, picture) = classifier.explain(image.clone()).unwrap();
        assert_eq!(prediction.class, classifier.predict_image(image).unwrap().class);

        // rows and columns 1 to 4 of the image
        let cut = Tensor::from_fn([1, 4, 4], |i| ((((i / 4 + 1) * 6 + i % 4 + 1) * 7) as f32 / 255.0 - 0.5) / 0.25).unwrap();
        let expected = grad_cam(classifier.model.as_mut(), &cut, prediction.class, None).unwrap().over(&cut, Some(&normalize)).unwrap();
        let far = |(a, b): (&u8, &u8)| a.abs_diff(*b) > 1; // the last bit of the standardisation
        assert!(picture.rgb().len() == 48 && !picture.rgb().iter().zip(expected.rgb()).any(far));
        let without_places = by_side(None).explain(Image::from_floats(2, 2, 1, vec![1.0; 4]).unwrap()).err().unwrap();
        assert!(without_places.to_string().contains("layer"), "{without_places}");
    }

    #[test]
    fn the_best_classes_come_with_their_names_and_probabilities() {
        let image = Image::from_floats(2, 2, 1, vec![1.0, 0.0, 0.0, 0.0]).unwrap(); // logits 1, −1
        let p = by_side(None).predict_image(image.clone()).unwrap();
        let e2 = 1.0 / (1.0 + (-2.0f32).exp());
        assert_eq!((p.class, p.name.as_str(), p.to_string().as_str()), (0, "left", "left (88.1 %)"));
        let top = p.top(5);
        assert_eq!(top.iter().map(|t| t.0).collect::<Vec<_>>(), ["left", "right"]);
        assert!((top[0].1 - e2).abs() < 1e-6 && (top[1].1 - (1.0 - e2)).abs() < 1e-6, "{top:?}");
        assert_eq!(p.top(1).len(), 1);
        // over a temperature of 2 the logits are 1/2, −1/2
        let warm = by_side(Some(2.0)).predict_image(image.clone()).unwrap();
        assert!((warm.probabilities[0] - 1.0 / (1.0 + (-1.0f32).exp())).abs() < 1e-6, "{warm:?}");
        // seen from both sides, left and right are the same
        let both = by_side(None).flips(true).predict_image(image).unwrap();
        assert!((both.probabilities[0] - 0.5).abs() < 1e-6, "{both:?}");
    }

    #[test]
    fn many_images_and_one_by_one_give_the_same_and_threads_may_share_it() {
        let images: Vec<Image> = (0..150u8).map(|i| Image::from_bytes(2, 2, 1, vec![i, 255 - i, i / 2, 3]).unwrap()).collect();
        let classifier = by_side(None);
        let together = classifier.predict_batch(images.clone()).unwrap();
        let alone: Vec<Prediction> = std::thread::scope(|scope| {
            let halves: Vec<_> = images
                .chunks(75)
                .map(|half| {
                    let classifier = &classifier;
                    scope.spawn(move || half.iter().map(|image| classifier.predict_image(image.clone()).unwrap()).collect::<Vec<_>>())
                })
                .collect();
            halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
        });
        assert_eq!(together, alone);
        assert!(classifier.predict_batch([]).unwrap().is_empty());
    }

    #[test]
    fn an_optimized_classifier_has_no_batch_norm_and_says_the_same() {
        let model = Flow::input([1, 8, 8]).conv(4, 3).batch_norm().relu().dropout(0.5).linear(10).build(&mut Init::seed(1)).unwrap();
        let card = ModelCard { classes: (0..10).map(|i| i.to_string()).collect(), input: vec![1, 8, 8], ..ModelCard::default() };
        let classifier = Classifier::new(Box::new(model), card).unwrap();
        let image = nyang_data::Dataset::get(&nyang_data::Digits::load().unwrap(), 3).unwrap().image;
        let plain = classifier.predict_image(image.clone()).unwrap();
        let quick = classifier.optimize(&Registry::standard()).unwrap();
        assert!(!format!("{:?}", quick.model.spec()).contains("BatchNorm"));
        let quick = quick.predict_image(image).unwrap();
        let worst = quick.probabilities.iter().zip(&plain.probabilities).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-6, "{worst:e}"); // a rounding or two
    }

    #[test]
    fn what_cannot_be_classified_is_an_error_that_says_why() {
        let classifier = by_side(None);
        let large = Image::from_bytes(3, 2, 1, vec![0; 6]).unwrap();
        let error = classifier.predict_image(large).unwrap_err().to_string();
        assert!(error.contains("images [1, 2, 2] after the transforms") && error.contains("[1, 3, 2]"), "{error}");
        let error = classifier.predict_file("nowhere/rose.jpg").unwrap_err().to_string();
        assert!(error.contains("nowhere/rose.jpg"), "{error}");
        for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let card = ModelCard { temperature: Some(temperature), ..classifier.card.clone() };
            assert!(matches!(Classifier::new(Box::new(by_side(None).model), card), Err(Error::Argument { .. })), "{temperature}");
        }
    }
}
