//! What one can hang on a training run: something that watches it, and may fail it.

use crate::Result;

/// A part of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The model learns.
    Train,
    /// The model is measured on data it does not learn from.
    Valid,
}

/// What a run is about to do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// The most epochs there will be.
    pub epochs: usize,
    /// Batches in a training epoch.
    pub train_batches: usize,
    /// Batches in a validation.
    pub valid_batches: usize,
    /// The number of values in the model's parameters.
    pub parameters: usize,
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
    /// The mean loss over the phase's samples so far.
    pub loss: f64,
    /// The share of the phase's samples so far that were right.
    pub accuracy: f64,
}

/// One epoch is done.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EpochReport {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The learning rate that it was trained with.
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
    /// Whether this is the best epoch so far.
    pub improved: bool,
}

/// Something that watches a run. Every method does nothing unless it is overridden; an error stops the run.
///
/// ```
/// # use nyang_train::{Callback, EpochReport, Result};
/// #[derive(Default)]
/// struct Losses(Vec<f64>);
///
/// impl Callback for Losses {
///     fn epoch_ended(&mut self, report: &EpochReport) -> Result<()> {
///         self.0.push(report.valid_loss);
///         Ok(())
///     }
/// }
/// ```
pub trait Callback: Send {
    /// The run begins.
    ///
    /// # Errors
    /// Any: it stops the run, here and below.
    fn run_started(&mut self, _plan: &Plan) -> Result<()> {
        Ok(())
    }

    /// A batch is done.
    ///
    /// # Errors
    /// Any.
    fn batch_ended(&mut self, _report: &BatchReport) -> Result<()> {
        Ok(())
    }

    /// An epoch is done, its validation too.
    ///
    /// # Errors
    /// Any.
    fn epoch_ended(&mut self, _report: &EpochReport) -> Result<()> {
        Ok(())
    }
}
