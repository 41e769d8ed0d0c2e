//! The trainer: what is trained, with what, how long, and who watches. [`fit`](Trainer::fit) is in `session.rs`.

mod blame;
mod check;
mod epoch;
mod lr_finder;
mod preflight;
mod save;
mod session;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nyang_data::Loader;
use nyang_nn::{Loss, Module, Value};
use nyang_optim::{Adam, Ema, Optimizer, Schedule};

pub use blame::Blame;
pub use lr_finder::LrSearch;
pub use preflight::{Finding, preflight};

use crate::checkpoint::Every;
use crate::{Callback, Classifier, EpochReport, Metric, Result};
use session::Session;

/// The file that the best model is saved to, in the run's folder.
const BEST: &str = "best.nyang";

/// Trains a model: forward, loss, backward, step, batch by batch and epoch by epoch, and keeps the best.
///
/// Defaults: Adam with a learning rate of 0.001, no schedule, 10 epochs, patience without end, seed 0; the best model is the one with the
/// lowest validation loss; a checkpoint after every epoch.
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
    average: Option<Ema<f32>>,
    epochs: usize,
    metric: Metric,
    patience: usize,
    stop_on: Option<Metric>,
    min_delta: f64,
    accumulate: usize,
    clip_norm: Option<f64>,
    watch_grad_norm: bool,
    seed: u64,
    every: Every,
    overwrite: bool,
    resume: bool,
    preflight: bool,
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
            average: None,
            epochs: 10,
            metric: Metric::Loss,
            patience: usize::MAX,
            stop_on: None,
            min_delta: 0.0,
            accumulate: 1,
            clip_norm: None,
            watch_grad_norm: false,
            seed: 0,
            every: Every::Epochs(1),
            overwrite: false,
            resume: false,
            preflight: true,
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

    /// What the best model is the best by; of epochs that are equal by it, the one with the lowest validation loss.
    pub fn keep_best(mut self, metric: Metric) -> Self {
        self.metric = metric;
        self
    }

    /// Early stopping: how many epochs without a better value of the metric are borne before training ends.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// What early stopping looks at, if it is not what the best model is chosen by.
    pub fn stop_on(mut self, metric: Metric) -> Self {
        self.stop_on = Some(metric);
        self
    }

    /// By how much early stopping's metric must get better to count.
    pub fn min_delta(mut self, difference: f64) -> Self {
        self.min_delta = difference;
        self
    }

    /// Makes all gradients smaller by one factor where they are longer than this together, before each step.
    pub fn clip_norm(mut self, longest: f64) -> Self {
        self.clip_norm = Some(longest);
        self
    }

    /// Measures the length of the gradients at each step for callbacks, as clipping does anyway. It takes a walk over all of them.
    pub fn watch_grad_norm(mut self) -> Self {
        self.watch_grad_norm = true;
        self
    }

    /// A running average of the weights: it is what is measured, kept as the best, and returned, while training goes on with the weights.
    pub fn average(mut self, ema: Ema<f32>) -> Self {
        self.average = Some(ema);
        self
    }

    /// The seed of dropout's random numbers. (The model's first weights and the loader's order have their own.)
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How often the run is saved for a resume. A first checkpoint is written before the first step.
    pub fn checkpoint_every(mut self, every: Every) -> Self {
        self.every = every;
        self
    }

    /// Whether an earlier run in the folder may be replaced; it may not unless asked.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Whether to go on from the folder's checkpoint, if it has one: bit for bit as if the run had never been interrupted. So a program
    /// that says this can be started again and again until it is done. Everything must be set up as it was; what is not is an error that
    /// lists it.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Whether labels and a first batch are looked at before the first step (see [`preflight`]); they are unless this says no.
    pub fn preflight(mut self, look: bool) -> Self {
        self.preflight = look;
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
    /// Trains until the epochs are over or the patience is, and saves the best model as `best.nyang` in `folder`.
    ///
    /// Model, optimizer, schedule and data are checked before the first step. On any error what was saved until then stays.
    ///
    /// # Errors
    /// [`Error::Occupied`](crate::Error::Occupied) if the folder holds an earlier run;
    /// [`Error::OtherRun`](crate::Error::OtherRun) if that was to be resumed and was set up otherwise;
    /// [`Error::Mismatch`](crate::Error::Mismatch) if model and data do not go together;
    /// [`Error::Diverged`](crate::Error::Diverged) if the loss becomes NaN or infinite; [`Error::File`](crate::Error::File) if something
    /// cannot be saved; whatever data, model or callbacks give.
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
