//! One pass over the training data: forward, loss, backward, step.

use std::sync::atomic::Ordering;

use nyang_data::Batch;
use nyang_nn::{Ctx, Mode, Param, Path, Rng, VisitMut};
use nyang_optim::Unit;

use super::session::Session;
use crate::evaluate::{Counted, Tally};
use crate::{Error, Phase, Result};

/// What dropout's random numbers are for, in their key beside seed, epoch and batch.
const DROPOUT: u64 = u64::from_le_bytes(*b"dropout\0");

impl Session<'_> {
    /// Trains on the epoch's batches from the present position on, until the epoch is over or somebody asks to stop.
    pub fn train_epoch(&mut self) -> Result<Tally> {
        let mut tally = Tally::new(self.train, Phase::Train, self.at.epoch)?;
        let mut weight = 0.0; // of the samples whose gradients wait for a step
        for batch in self.train.epoch_from(self.at.epoch as u64, self.at.batch) {
            let counted = self.learn(batch?)?;
            weight += counted.weight;
            self.at.batch += 1;
            let lr = self.trainer.optimizer.lr();
            let step = self.at.batch.is_multiple_of(self.trainer.accumulate) || self.at.batch == self.train.len();
            if step {
                self.step(std::mem::take(&mut weight))?;
            }
            let Session { trainer, control, at, .. } = self;
            tally.add(counted, lr, at.step, None, &mut trainer.callbacks, control)?;
            self.obey_lr()?;
            if step && self.stop_wanted() {
                break;
            }
        }
        Ok(tally)
    }

    /// Forward, loss, backward: adds the batch's gradients to those that wait.
    fn learn(&mut self, batch: Batch) -> Result<Counted> {
        let Batch { images, targets, sources, .. } = batch;
        let rng = Rng::keyed([self.trainer.seed, DROPOUT, self.at.epoch as u64, self.at.batch as u64]);
        let mut cx = Ctx::new(Mode::Train, rng);
        let logits = self.trainer.model.forward(images, &mut cx)?;
        let sum = self.trainer.loss.value_grad(&logits, &targets)?;
        let counted =
            Counted { sum: sum.sum, weight: sum.weight, predicted: logits.argmax(1)?, targets: targets.classes()?, samples: sources.len() };
        if !counted.sum.is_finite() {
            let samples = sources.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join(", ") + ", …";
            return Err(Error::Diverged { loss: sum.sum / sum.weight, epoch: self.at.epoch, batch: self.at.batch + 1, samples });
        }
        // alone, a batch's mean is all there is; in a group, sums are added up and divided once
        let gradient = if self.trainer.accumulate == 1 { sum.mean()?.gradient } else { sum.gradient };
        self.trainer.model.backward(gradient, &mut cx)?;
        Ok(counted)
    }

    /// Makes a step with the gradients that wait, which are of samples that weigh this much together.
    fn step(&mut self, weight: f64) -> Result<()> {
        if self.trainer.accumulate > 1 && weight > 0.0 {
            divide_gradients(self.trainer.model.as_mut(), weight)?;
        }
        self.trainer.optimizer.step(self.trainer.model.as_mut())?;
        self.at.step += 1;
        self.pass_time(Unit::Step)
    }

    /// Lets time pass for a schedule that counts this unit.
    pub fn pass_time(&mut self, unit: Unit) -> Result<()> {
        match &mut self.schedule {
            Some(schedule) if schedule.unit() == unit => Ok(schedule.step(&mut self.trainer.optimizer)?),
            _ => Ok(()),
        }
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
fn divide_gradients(model: &mut dyn nyang_nn::Module<f32>, weight: f64) -> Result<()> {
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
