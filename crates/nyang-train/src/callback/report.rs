//! What callbacks are told: the plan, each batch, each epoch, and how it ended.

use std::collections::BTreeMap;
use std::path::Path;

use nyang_data::Loader;
use nyang_nn::{Module, Summary, Value};
use serde::{Deserialize, Serialize};

use crate::metrics::ConfusionMatrix;
use crate::{Error, Evaluation, Finding, ModelCard};

/// A part of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The model learns.
    Train,
    /// The model is measured on data it does not learn from.
    Valid,
}

/// A moment in a run, between two training batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The epoch, from 1, that the next batch belongs to.
    pub epoch: usize,
    /// How many training batches of that epoch are done.
    pub batch: usize,
    /// How many steps the optimizer has made since the run began.
    pub step: u64,
}

/// What a run is about to do.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Plan<'a> {
    /// The folder that everything goes to.
    pub folder: &'a Path,
    /// The most epochs there will be.
    pub epochs: usize,
    /// Batches in a training epoch.
    pub train_batches: usize,
    /// Batches in a validation.
    pub valid_batches: usize,
    /// The number of values in the model's parameters.
    pub parameters: usize,
    /// The settings of the run in an order to be read in: model, loss, optimizer, data, seeds, and what the program added.
    pub configuration: &'a [(String, Value)],
    /// The names of the classes, the input's shape, how images are prepared.
    pub card: &'a ModelCard,
    /// The model as a table.
    pub summary: &'a Summary,
    /// The model, before the next step.
    pub model: &'a dyn Module<f32>,
    /// The training data: for pictures of what augmentation does, say.
    pub train: &'a Loader,
    /// The validation data.
    pub valid: &'a Loader,
    /// Whether a schedule sets the learning rate.
    pub scheduled: bool,
    /// What looks wrong before the first step. A resumed run was looked at before.
    pub findings: &'a [Finding],
    /// Where the run goes on, if it was resumed; nothing if it is new.
    pub resumed: Option<Position>,
}

/// One batch is done.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BatchReport {
    /// Training or validation.
    pub phase: Phase,
    /// The epoch, from 1.
    pub epoch: usize,
    /// How many batches of the phase are done.
    pub done: usize,
    /// How many batches the phase has.
    pub of: usize,
    /// How many steps the optimizer has made since the run began.
    pub step: u64,
    /// How many samples this batch has. A rate is for whoever has a clock.
    pub samples: usize,
    /// The learning rate that this batch's step was made with.
    pub lr: f64,
    /// The mean loss over this batch's samples.
    pub batch_loss: f64,
    /// The mean loss over the phase's samples so far.
    pub loss: f64,
    /// The share of the phase's samples so far that were right.
    pub accuracy: f64,
    /// The length of all gradients as one vector, before clipping: where a step was made, and something asked for it.
    pub grad_norm: Option<f64>,
}

/// The numbers of one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpochReport {
    /// The epoch, from 1.
    pub epoch: usize,
    /// How many steps the optimizer has made since the run began.
    pub step: u64,
    /// The learning rate that its last step was made with.
    pub lr: f64,
    /// The mean training loss, over all samples, while the model changed.
    pub train_loss: f64,
    /// The share of training samples that were right, while the model changed.
    pub train_accuracy: f64,
    /// The mean validation loss, after the epoch.
    pub valid_loss: f64,
    /// The share of validation samples that are right.
    pub valid_accuracy: f64,
    /// The mean over the classes of the validation F1.
    pub valid_macro_f1: f64,
    /// Further measures by name, such as `valid_balanced_accuracy`.
    pub metrics: BTreeMap<String, f64>,
    /// Whether this is the best epoch so far.
    pub improved: bool,
}

impl EpochReport {
    /// All the numbers by name, in the order of a table's columns: the same names for every epoch of a run.
    pub fn values(&self) -> Vec<(&str, f64)> {
        let first = [
            ("epoch", self.epoch as f64),
            ("step", self.step as f64),
            ("lr", self.lr),
            ("train_loss", self.train_loss),
            ("train_accuracy", self.train_accuracy),
            ("valid_loss", self.valid_loss),
            ("valid_accuracy", self.valid_accuracy),
            ("valid_macro_f1", self.valid_macro_f1),
        ];
        first.into_iter().chain(self.metrics.iter().map(|(name, value)| (name.as_str(), *value))).collect()
    }
}

/// One epoch is done: its numbers, and what they were counted from.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct EpochEnd<'a> {
    /// The numbers.
    pub report: &'a EpochReport,
    /// Which class was taken for which in training, while the model changed.
    pub train_confusion: &'a ConfusionMatrix,
    /// The validation: each sample's prediction, probabilities, target and source.
    pub valid: &'a Evaluation,
    /// The model that was measured.
    pub model: &'a dyn Module<f32>,
    /// The training data.
    pub train_data: &'a Loader,
    /// The validation data: for the pictures of the worst mistakes, say.
    pub valid_data: &'a Loader,
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// All epochs are done.
    Finished,
    /// Nothing had got better for as long as was to be borne.
    EarlyStopped,
    /// It was stopped from outside, for this reason, and can be resumed.
    Stopped(&'a str),
    /// An error ended it.
    Failed(&'a Error),
}

/// A run is over.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct RunEnd<'a> {
    /// How.
    pub outcome: Outcome<'a>,
    /// Every epoch that was done, in order, those before a resume too.
    pub history: &'a [EpochReport],
    /// The epoch of the best model, from 1; 0 if there is none.
    pub best_epoch: usize,
    /// The file of the best model, whether or not there is one.
    pub best: &'a Path,
}
