//! One pass over the training data: forward, loss, backward, step.

use std::sync::atomic::Ordering;

use nyang_data::{Batch, Source};
use nyang_nn::{Ctx, Mode, Module, Param, Path, Rng, Tensor, VisitMut};
use nyang_optim::{Unit, clip_grad_norm, grad_norm};

use super::session::Session;
use crate::tally::{Counted, Tally};
use crate::{Blame, Error, Phase, Result};

/// What dropout's random numbers are for, in their key beside seed, epoch and batch.
const DROPOUT: u64 = u64::from_le_bytes(*b"dropout\0");

impl Session<'_> {
    /// Trains on the epoch's batches from the present position on, until the epoch is over or somebody asks to stop.
    pub fn train_epoch(&mut self) -> Result<Tally> {
        let mut tally = Tally::new(self.train, Phase::Train, self.at.epoch)?;
        if let Some(counted) = self.counted.take() {
            tally.load(&counted)?;
        }
        let mut weight = 0.0; // of the samples whose gradients wait for a step
        for batch in self.train.epoch_from(self.at.epoch as u64, self.at.batch) {
            let (counted, sources) = self.learn(batch?)?;
            weight += counted.weight;
            self.at.batch += 1;
            tally.lr = self.trainer.optimizer.lr();
            tally.add(&counted)?;

            let full = self.at.batch.is_multiple_of(self.trainer.accumulate) || self.at.batch == self.train.len();
            let norm = if full { self.step(std::mem::take(&mut weight)) } else { Ok(None) };
            let norm = norm.map_err(|error| self.named(error, &counted, sources))?;
            let report = tally.report(&counted, self.at.step, norm)?;
            self.trainer.callbacks.iter_mut().try_for_each(|c| c.batch_ended(&report, &mut self.control))?;
            self.obey_lr()?;
            if full && self.stop_wanted() {
                break;
            }
            if full && self.step_is_saved() {
                self.save(Some(tally.state()))?;
            }
        }
        Ok(tally)
    }

    /// Random numbers for the batch that is next: the same whenever it comes.
    pub fn batch_rng(&self) -> Rng {
        Rng::keyed([self.trainer.seed, DROPOUT, self.at.epoch as u64, self.at.batch as u64])
    }

    /// Forward, loss, backward: adds the batch's gradients to those that wait.
    fn learn(&mut self, batch: Batch) -> Result<(Counted, Vec<Source>)> {
        let Batch { images, targets, sources, .. } = batch;
        let mut cx = Ctx::new(Mode::Train, self.batch_rng());
        let logits = self.trainer.model.forward(images, &mut cx)?;
        let sum = self.trainer.loss.value_grad(&logits, &targets)?;
        let counted = Counted::new(&logits, &targets, &sum)?;
        if !counted.sum.is_finite() {
            return Err(self.diverged(counted.sum / counted.weight, sources));
        }
        // alone, a batch's mean is all there is; in a group, sums are added up and divided once
        let gradient: Tensor<f32> = if self.trainer.accumulate == 1 { sum.mean()?.gradient } else { sum.gradient };
        self.trainer.model.backward_params(gradient, &mut cx)?;
        Ok((counted, sources))
    }

    /// The error for a loss that is no number: what is the first on the way to it that is none.
    fn diverged(&mut self, loss: f64, sources: Vec<Source>) -> Error {
        match self.blame() {
            Ok(blame) => Error::Diverged { loss, epoch: self.at.epoch, batch: self.at.batch + 1, blame, samples: sources },
            Err(error) => error,
        }
    }

    /// The error of a step; gradients that are not finite get the names of the batch's samples.
    fn named(&self, error: Error, batch: &Counted, sources: Vec<Source>) -> Error {
        match error {
            Error::Optim(nyang_optim::Error::NonFinite { path, .. }) => {
                let (loss, blame) = (batch.sum / batch.weight, Blame::Gradient { path });
                Error::Diverged { loss, epoch: self.at.epoch, batch: self.at.batch, blame, samples: sources }
            }
            other => other,
        }
    }

    /// Makes a step with the gradients that wait, which are of samples that weigh this much together. Gives their norm if that was asked for.
    fn step(&mut self, weight: f64) -> Result<Option<f64>> {
        let Session { trainer, at, .. } = self;
        let model = trainer.model.as_mut();
        if trainer.accumulate > 1 && weight > 0.0 {
            divide_gradients(model, weight)?;
        }
        let norm = match trainer.clip_norm {
            Some(most) => Some(clip_grad_norm(model, most)?),
            None if trainer.watch_grad_norm => Some(grad_norm(model)?),
            None => None,
        };
        trainer.optimizer.step(model)?;
        if let Some(average) = &mut trainer.average {
            average.update(model)?;
        }
        at.step += 1;
        self.pass_time(Unit::Step)?;
        Ok(norm)
    }

    /// Lets time pass for a schedule that counts this unit.
    pub fn pass_time(&mut self, unit: Unit) -> Result<()> {
        let Session { schedule, trainer, .. } = self;
        schedule.as_mut().map_or(Ok(()), |schedule| Ok(schedule.passed(unit, &mut trainer.optimizer)?))
    }

    /// Sets the learning rate that a callback asked for, if one did.
    pub fn obey_lr(&mut self) -> Result<()> {
        self.control.lr.take().map_or(Ok(()), |lr| Ok(self.trainer.optimizer.set_lr(lr)?))
    }

    fn stop_wanted(&self) -> bool {
        self.control.stop.is_some() || self.trainer.stop.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// Why to stop, if somebody asked for it.
    pub fn stop_asked(&mut self) -> Option<String> {
        let flagged = self.stop_wanted().then(|| "asked to".to_owned());
        self.control.stop.take().or(flagged)
    }
}

/// Gradients of a sum become those of a mean.
fn divide_gradients(model: &mut dyn Module<f32>, weight: f64) -> Result<()> {
    struct Divide {
        by: f32,
        failed: Option<nyang_tensor::Error>,
    }
    impl VisitMut<f32> for Divide {
        fn param(&mut self, _: Path<'_>, param: &mut Param<f32>) {
            match param.grad.as_mut_slice() {
                Ok(gradients) => gradients.iter_mut().for_each(|g| *g /= self.by),
                Err(error) => self.failed = Some(error),
            }
        }
    }
    let mut divide = Divide { by: weight as f32, failed: None };
    model.visit_mut(Path::ROOT, &mut divide);
    divide.failed.map_or(Ok(()), |error| Err(error.into()))
}
