//! The trainer: what is trained, with what, how long, and who watches. [`fit`](Trainer::fit) is in `session.rs`.

mod check;
mod epoch;
mod session;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nyang_data::Loader;
use nyang_nn::{Loss, Module, Value};
use nyang_optim::{Adam, Optimizer, Schedule};

use crate::{Callback, Classifier, EpochReport, Result};
use session::Session;

/// Trains a model: forward, loss, backward, step, batch by batch and epoch by epoch, and keeps the best.
///
/// Defaults: Adam with a learning rate of 0.001, no schedule, 10 epochs, patience without end, seed 0.
///
/// ```
/// use nyang_train::prelude::*;
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("run");
///
/// let parts = Digits::load()?.split(Split::stratified(0.6, 0.2, 0.2).seed(1))?;
/// let train = Loader::new(parts.train).batch_size(64).shuffle(1);
/// let valid = Loader::new(parts.valid).batch_size(256);
/// let model = Flow::input([1, 8, 8]).linear(32).relu().linear(10).build(&mut Init::seed(1))?;
///
/// let run = Trainer::new(model, CrossEntropy::new())
///     .optimizer(Adam::new(0.01))
///     .epochs(5)
///     .patience(3)
///     .fit(&train, &valid, &folder)?;
/// assert!(run.history.last().is_some_and(|epoch| epoch.valid_accuracy > 0.8));
///
/// let report = run.best()?.evaluate(&Loader::new(parts.test).batch_size(256))?;
/// assert!(report.accuracy() > 0.8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trainer {
    model: Box<dyn Module<f32>>,
    loss: Box<dyn Loss<f32>>,
    optimizer: Box<dyn Optimizer<f32>>,
    schedule: Option<Box<dyn Schedule>>,
    epochs: usize,
    patience: usize,
    accumulate: usize,
    seed: u64,
    overwrite: bool,
    stop: Option<Arc<AtomicBool>>,
    notes: Vec<(String, Value)>,
    callbacks: Vec<Box<dyn Callback>>,
}

/// Setting it up.
impl Trainer {
    /// A trainer for this model with this loss.
    pub fn new(model: impl Module<f32>, loss: impl Loss<f32> + 'static) -> Self {
        Trainer {
            model: Box::new(model),
            loss: Box::new(loss),
            optimizer: Box::new(Adam::new(1e-3)),
            schedule: None,
            epochs: 10,
            patience: usize::MAX,
            accumulate: 1,
            seed: 0,
            overwrite: false,
            stop: None,
            notes: Vec::new(),
            callbacks: Vec::new(),
        }
    }

    /// What turns gradients into better parameters.
    pub fn optimizer(mut self, optimizer: impl Optimizer<f32> + 'static) -> Self {
        self.optimizer = Box::new(optimizer);
        self
    }

    /// How the learning rate changes. The schedule says itself whether per epoch or per step.
    pub fn schedule(mut self, schedule: impl Schedule + 'static) -> Self {
        self.schedule = Some(Box::new(schedule));
        self
    }

    /// The most epochs to train.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Early stopping: how many epochs without a lower validation loss are borne before training ends.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// The seed of dropout's random numbers. (The model's first weights and the loader's order have their own.)
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Whether an earlier run's model in the folder may be replaced; it may not unless asked.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Makes a step of every `batches` batches together, as if they were one: exactly, also with class weights and ignored samples, if
    /// no layer looks at a batch as a whole. An epoch's last group may be smaller.
    pub fn accumulate(mut self, batches: usize) -> Self {
        self.accumulate = batches;
        self
    }

    /// A flag that ends the run after the present step when somebody sets it: another thread, a signal handler.
    pub fn stop_flag(mut self, flag: Arc<AtomicBool>) -> Self {
        self.stop = Some(flag);
        self
    }

    /// Adds a line to the configuration that callbacks log and the model file keeps: the model's name, say.
    pub fn note(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.notes.push((name.to_owned(), value.into()));
        self
    }

    /// Something that watches the run, such as [`Progress`](crate::Progress).
    pub fn callback(mut self, callback: impl Callback + 'static) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }
}

/// Training.
impl Trainer {
    /// Trains until the epochs are over or the patience is, saving the model with the lowest validation loss as `best.nyang` in `folder`.
    ///
    /// Model, optimizer, schedule and data are checked before the first step.
    ///
    /// # Errors
    /// [`Error::Occupied`](crate::Error::Occupied) if the folder holds an earlier run's model;
    /// [`Error::Mismatch`](crate::Error::Mismatch) if model and data do not go together;
    /// [`Error::Diverged`](crate::Error::Diverged) if the loss becomes NaN or infinite (what was saved until then stays); whatever data,
    /// model or callbacks give.
    pub fn fit(self, train: &Loader, valid: &Loader, folder: impl AsRef<Path>) -> Result<Run> {
        let mut session = Session::start(self, train, valid, folder.as_ref())?;
        let ended = session.run();
        session.end(ended)
    }
}

/// A finished run.
pub struct Run {
    /// The best model, as at the end of its epoch.
    pub model: Box<dyn Module<f32>>,
    /// Every epoch, in order.
    pub history: Vec<EpochReport>,
    /// The epoch that the best model is from, from 1; 0 if no validation loss was a number.
    pub best_epoch: usize,
    /// The best model's file.
    pub path: PathBuf,
    /// Why it was stopped before its end, if somebody asked for that. Early stopping is an end.
    pub stopped: Option<String>,
}

impl Run {
    /// The best model, loaded from its file as another program would.
    ///
    /// # Errors
    /// As [`load_model`](crate::load_model); a model of one's own needs [`Classifier::load_with`].
    pub fn best(&self) -> Result<Classifier> {
        Classifier::load(&self.path)
    }
}
