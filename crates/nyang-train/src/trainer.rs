//! The training loop, on one page.

use std::fs;
use std::path::{Path, PathBuf};

use nyang_data::{Batch, Loader};
use nyang_nn::{Ctx, Loss, Mode, Module, Param, Rng, Shape, Visit};
use nyang_optim::{Adam, Optimizer, Schedule, Scheduler, Unit};

use crate::best::Best;
use crate::evaluate::{Tally, evaluate_epoch};
use crate::{Callback, Classifier, EpochReport, Error, ModelCard, Phase, Plan, Result};

/// The file that the best model is saved to, in the run's folder.
const BEST: &str = "best.nyang";

/// What dropout's random numbers are for, in their key beside seed, epoch and batch.
const DROPOUT: u64 = u64::from_le_bytes(*b"dropout\0");

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
    seed: u64,
    overwrite: bool,
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
            seed: 0,
            overwrite: false,
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
    /// [`Error::Occupied`] if the folder holds an earlier run's model; [`Error::Mismatch`] if model and data do not go together;
    /// [`Error::Diverged`] if the loss becomes NaN or infinite (what was saved until then stays); whatever data, model or callbacks give.
    pub fn fit(mut self, train: &Loader, valid: &Loader, folder: impl AsRef<Path>) -> Result<Run> {
        let card = self.card(train, valid)?;
        let mut best = Best::new(self.prepare(folder.as_ref())?);
        let steps = train.len() as u64;
        let start = |mut schedule: Box<dyn Schedule>| {
            schedule.bind(schedule.unit().count(self.epochs as u64, steps));
            Scheduler::start(schedule, &mut self.optimizer)
        };
        let mut schedule = self.schedule.take().map(start).transpose()?;
        let plan = self.plan(train, valid);
        self.callbacks.iter_mut().try_for_each(|c| c.run_started(&plan))?;

        let mut history = Vec::new();
        for epoch in 1..=self.epochs {
            let lr = self.optimizer.lr();
            let trained = self.train_epoch(train, epoch, &mut schedule)?;
            let measured = evaluate_epoch(self.model.as_ref(), self.loss.as_ref(), valid, epoch, &mut self.callbacks)?;
            step(&mut schedule, Unit::Epoch, &mut self.optimizer)?;

            let report = EpochReport {
                epoch,
                lr,
                train_loss: trained.loss(),
                train_accuracy: trained.confusion.accuracy()?,
                valid_loss: measured.loss,
                valid_accuracy: measured.accuracy(),
                valid_macro_f1: measured.macro_f1(),
                improved: best.beaten_by(measured.loss),
            };
            if report.improved {
                best.keep(&report, self.model.as_ref(), &card)?;
            }
            self.callbacks.iter_mut().try_for_each(|c| c.epoch_ended(&report))?;
            history.push(report);
            if epoch - best.epoch >= self.patience {
                break;
            }
        }
        best.restore(self.model.as_mut())?;
        Ok(Run { model: self.model, history, best_epoch: best.epoch, path: folder.as_ref().join(BEST) })
    }

    /// One pass over the training data: forward, loss, backward, step.
    fn train_epoch(&mut self, train: &Loader, epoch: usize, schedule: &mut Option<Scheduler>) -> Result<Tally> {
        let mut tally = Tally::new(train, Phase::Train, epoch)?;
        for (i, batch) in train.epoch(epoch as u64).enumerate() {
            let Batch { images, targets, sources, .. } = batch?;
            let rng = Rng::keyed([self.seed, DROPOUT, epoch as u64, i as u64]);
            let mut cx = Ctx::new(Mode::Train, rng);

            let logits = self.model.forward(images, &mut cx)?;
            let sum = self.loss.value_grad(&logits, &targets)?;
            let (value, weight) = (sum.sum, sum.weight);
            if !value.is_finite() {
                let samples = sources.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join(", ") + ", …";
                return Err(Error::Diverged { loss: value / weight, epoch, batch: i + 1, samples });
            }
            self.model.backward(sum.mean()?.gradient, &mut cx)?;
            self.optimizer.step(self.model.as_mut())?;

            step(schedule, Unit::Step, &mut self.optimizer)?;
            tally.add(value, weight, &logits.argmax(1)?, &targets.classes()?, &mut self.callbacks)?;
        }
        Ok(tally)
    }
}

/// Checks before the first step.
impl Trainer {
    /// Checks that model and data go together, and writes down what the model file will say of them.
    fn card(&self, train: &Loader, valid: &Loader) -> Result<ModelCard> {
        let mismatch = |expected: String, got: String| Err(Error::Mismatch { expected, got });
        if self.epochs == 0 {
            return Err(Error::argument("Trainer", "epochs", 0, "train for at least one epoch"));
        }
        if self.patience == 0 {
            return Err(Error::argument("Trainer", "patience", 0, "bear at least one epoch without improvement"));
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
            training: [
                ("loss".to_owned(), self.loss.name().to_owned()),
                ("optimizer".to_owned(), format!("{} lr {}", self.optimizer.kind(), self.optimizer.lr())),
                ("seed".to_owned(), self.seed.to_string()),
            ]
            .into(),
        })
    }

    /// Makes the folder and looks whether it is free.
    fn prepare(&self, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder).map_err(|e| Error::file("write", folder, e))?;
        let path = folder.join(BEST);
        if path.exists() && !self.overwrite {
            return Err(Error::Occupied { path });
        }
        Ok(path)
    }

    fn plan(&self, train: &Loader, valid: &Loader) -> Plan {
        struct Count(usize);
        impl Visit<f32> for Count {
            fn param(&mut self, _: nyang_nn::Path<'_>, param: &Param<f32>) {
                self.0 += param.value.len();
            }
        }
        let mut count = Count(0);
        self.model.visit(nyang_nn::Path::ROOT, &mut count);
        Plan { epochs: self.epochs, train_batches: train.len(), valid_batches: valid.len(), parameters: count.0 }
    }
}

/// Lets time pass for a schedule that counts this unit.
fn step(schedule: &mut Option<Scheduler>, unit: Unit, optimizer: &mut Box<dyn Optimizer<f32>>) -> Result<()> {
    match schedule {
        Some(schedule) if schedule.unit() == unit => Ok(schedule.step(optimizer)?),
        _ => Ok(()),
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
