//! What is looked at before the first step: that model, data and settings go together, and what they are.

use std::fs;
use std::path::{Path, PathBuf};

use nyang_data::Loader;
use nyang_nn::{Shape, Value};

use super::Trainer;
use crate::{Error, ModelCard, Result};

/// The file that the best model is saved to, in the run's folder.
const BEST: &str = "best.nyang";

impl Trainer {
    /// The settings of the run, in an order to be read in.
    pub(super) fn configuration(&self, train: &Loader, valid: &Loader) -> Vec<(String, Value)> {
        let settings: Vec<(&str, Value)> = vec![
            ("model", self.model.kind().into()),
            ("loss", self.loss.name().into()),
            ("optimizer", self.optimizer.kind().into()),
            ("lr", self.optimizer.lr().into()),
            ("epochs", self.epochs.into()),
            ("accumulate", self.accumulate.into()),
            ("seed", Value::Int(i64::from_le_bytes(self.seed.to_le_bytes()))),
            ("train_samples", train.samples().into()),
            ("train_batches", train.len().into()),
            ("train_transforms", train.transforms().to_string().as_str().into()),
            ("valid_samples", valid.samples().into()),
            ("valid_transforms", valid.transforms().to_string().as_str().into()),
            ("classes", train.classes().len().into()),
        ];
        let mut settings: Vec<(String, Value)> = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for (name, value) in &self.notes {
            match settings.iter_mut().find(|(known, _)| known == name) {
                Some(known) => known.1 = value.clone(), // what the program says is better known
                None => settings.push((name.clone(), value.clone())),
            }
        }
        settings
    }

    /// Checks that model and data go together, and writes down what the model file will say of them.
    pub(super) fn card(&self, train: &Loader, valid: &Loader, configuration: &[(String, Value)]) -> Result<ModelCard> {
        let mismatch = |expected: String, got: String| Err(Error::Mismatch { expected, got });
        for (name, value, why) in [
            ("epochs", self.epochs, "train for at least one epoch"),
            ("patience", self.patience, "bear at least one epoch without improvement"),
            ("accumulate", self.accumulate, "a step takes at least one batch"),
        ] {
            if value == 0 {
                return Err(Error::argument("Trainer", name, 0, why));
            }
        }
        self.optimizer.check()?;
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
            metrics: [].into(),
            training: configuration.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        })
    }

    /// Makes the folder and looks whether it is free.
    pub(super) fn prepare(&self, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder).map_err(|e| Error::file("write", folder, e))?;
        let path = folder.join(BEST);
        if path.exists() && !self.overwrite {
            return Err(Error::Occupied { path });
        }
        Ok(path)
    }
}

/// A setting as text.
fn text(value: &Value) -> String {
    match value {
        Value::Bool(v) => v.to_string(),
        Value::Int(v) => v.to_string(),
        Value::Float(v) => v.to_string(),
        Value::Text(v) => v.clone(),
        Value::List(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
    }
}
