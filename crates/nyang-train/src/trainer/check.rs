//! What is looked at before the first step: that model, data and settings go together, and what they are.

use nyang_data::Loader;
use nyang_nn::{Shape, Value};

use super::Trainer;
use crate::checkpoint::setting_text;
use crate::{Error, ModelCard, Result};

impl Trainer {
    /// The trainer's own settings, in an order to be read in; before the schedule starts, which changes the learning rate.
    pub(super) fn settings(&self, train: &Loader, valid: &Loader) -> Vec<(String, Value)> {
        let settings: Vec<(&str, Value)> = vec![
            ("model", self.model.kind().into()),
            ("loss", self.loss.name().into()),
            ("optimizer", self.optimizer.kind().into()),
            ("lr", self.optimizer.lr().into()),
            ("schedule", self.schedule.as_ref().map_or("none", |schedule| schedule.kind()).into()),
            ("clip_norm", self.clip_norm.unwrap_or(0.0).into()),
            ("epochs", self.epochs.into()),
            ("accumulate", self.accumulate.into()),
            ("keep_best", self.metric.name().into()),
            ("seed", Value::Int(i64::from_le_bytes(self.seed.to_le_bytes()))),
            ("train_samples", train.samples().into()),
            ("train_batches", train.len().into()),
            ("train_transforms", train.transforms().to_string().as_str().into()),
            ("valid_samples", valid.samples().into()),
            ("valid_transforms", valid.transforms().to_string().as_str().into()),
            ("classes", train.classes().len().into()),
        ];
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The settings, and what the program notes.
    pub(super) fn configuration(&self, train: &Loader, valid: &Loader) -> Vec<(String, Value)> {
        let mut settings = self.settings(train, valid);
        for (name, value) in &self.notes {
            match settings.iter_mut().find(|(known, _)| known == name) {
                Some(known) => known.1 = value.clone(), // what the program says is better known
                None => settings.push((name.clone(), value.clone())),
            }
        }
        settings
    }

    /// How many steps an epoch has.
    pub(super) fn steps_per_epoch(&self, train: &Loader) -> u64 {
        train.len().div_ceil(self.accumulate.max(1)) as u64
    }

    /// Checks that model and data go together, and writes down what the model file will say of them.
    pub(super) fn card(&self, train: &Loader, valid: &Loader, configuration: &[(String, Value)]) -> Result<ModelCard> {
        let mismatch = |expected: String, got: String| Err(Error::Mismatch { expected, got });
        for (name, value, why) in [
            ("epochs", self.epochs, "train for at least one epoch"),
            ("patience", self.patience, "bear at least one epoch without improvement"),
            ("accumulate", self.accumulate, "a step takes at least one batch"),
            ("checkpoint_every", self.every.count(), "it must be at least 1"),
        ] {
            if value == 0 {
                return Err(Error::argument("Trainer", name, 0, why));
            }
        }
        if self.overwrite && self.resume {
            return Err(Error::argument("Trainer", "resume", true, "overwrite(true) is asked for too; a run is replaced or resumed"));
        }
        if !(self.min_delta >= 0.0 && self.min_delta.is_finite()) {
            return Err(Error::argument("Trainer", "min_delta", self.min_delta, "must be a number that is at least 0"));
        }
        if self.clip_norm.is_some_and(|most| most.is_nan() || most <= 0.0) {
            return Err(Error::argument("Trainer", "clip_norm", self.clip_norm.unwrap_or(0.0), "must be a number above 0"));
        }
        self.optimizer.check()?;
        self.average.as_ref().map_or(Ok(()), |ema| ema.check())?;
        train.check()?;
        valid.check()?;
        if train.classes() != valid.classes() {
            return mismatch(format!("validation with the training classes {:?}", train.classes()), format!("{:?}", valid.classes()));
        }
        if train.normalization() != valid.normalization() {
            return mismatch("validation standardised as training is".into(), "another normalization (give both loaders the same)".into());
        }
        if let Err(why) = rmp_serde::to_vec(valid.transforms()) {
            return mismatch("validation transforms that a model file can hold, without code".into(), why.to_string());
        }
        let image = valid.image_shape()?;
        let input = image.batch_of(1)?;
        let output = self.model.out_shape(&input)?;
        let classes = train.classes().len();
        if output != Shape::from([1, classes]) {
            let expected = format!("a model that turns {input} into one logit a class, [1, {classes}]");
            return mismatch(expected, output.to_string());
        }
        Ok(ModelCard {
            classes: train.classes().to_vec(),
            input: image.dims().to_vec(),
            transforms: valid.transforms().clone(),
            normalize: train.normalization().cloned(),
            temperature: None,
            metrics: [].into(),
            training: configuration.iter().map(|(name, value)| (name.clone(), setting_text(value))).collect(),
        })
    }
}
