//! A run: the loop over epochs, on one page.

use std::path::{Path, PathBuf};

use nyang_data::Loader;
use nyang_nn::{Value, summary};
use nyang_optim::{Scheduler, Unit};

use super::{Run, Trainer};
use crate::best::Best;
use crate::evaluate::{Tally, evaluate_epoch};
use crate::{Control, EpochEnd, EpochReport, Evaluation, ModelCard, Outcome, Plan, Position, Result, RunEnd};

/// A trainer at work on its data.
pub(super) struct Session<'a> {
    pub trainer: Trainer,
    pub train: &'a Loader,
    pub valid: &'a Loader,
    folder: PathBuf,
    card: ModelCard,
    pub schedule: Option<Scheduler>,
    pub control: Control,
    pub at: Position,
    best: Best,
    history: Vec<EpochReport>,
}

/// How a run ended, if not by an error.
pub(super) enum Ending {
    Finished,
    EarlyStopped,
    Stopped(String),
}

impl<'a> Session<'a> {
    /// Checks everything, makes the folder, and tells the callbacks.
    pub fn start(mut trainer: Trainer, train: &'a Loader, valid: &'a Loader, folder: &Path) -> Result<Self> {
        let configuration = trainer.configuration(train, valid);
        let card = trainer.card(train, valid, &configuration)?;
        let best = Best::new(trainer.prepare(folder)?);
        let schedule = trainer.schedule.take().map(|mut schedule| {
            let steps = train.len().div_ceil(trainer.accumulate);
            schedule.bind(schedule.unit().count(trainer.epochs as u64, steps as u64));
            Scheduler::start(schedule, &mut trainer.optimizer)
        });
        let schedule = schedule.transpose()?;
        let (control, at) = (Control::default(), Position { epoch: 1, batch: 0, step: 0 });
        let mut session =
            Session { trainer, train, valid, folder: folder.to_path_buf(), card, schedule, control, at, best, history: Vec::new() };
        session.tell_start(&configuration, None)?;
        Ok(session)
    }

    /// Epoch after epoch: train, measure, keep the best, tell, until there is a reason to end.
    pub fn run(&mut self) -> Result<Ending> {
        while self.at.epoch <= self.trainer.epochs {
            let epoch = self.at.epoch;
            if (epoch - 1).saturating_sub(self.best.epoch) >= self.trainer.patience {
                return Ok(Ending::EarlyStopped);
            }
            let lr = self.trainer.optimizer.lr();
            let trained = self.train_epoch()?;
            if let Some(why) = self.stop_asked() {
                return Ok(Ending::Stopped(why));
            }
            let measured = self.measure()?;
            self.pass_time(Unit::Epoch)?;

            let report = self.report(lr, &trained, &measured)?;
            if report.improved {
                self.best.keep(&report, self.trainer.model.as_ref(), &self.card)?;
            }
            self.tell_epoch(&report, &trained, &measured)?;
            self.history.push(report);
            self.at = Position { epoch: epoch + 1, batch: 0, ..self.at };
            if let Some(why) = self.stop_asked() {
                return Ok(Ending::Stopped(why));
            }
        }
        Ok(Ending::Finished)
    }

    /// Tells the callbacks how it ended, and hands out the best model.
    pub fn end(mut self, ended: Result<Ending>) -> Result<Run> {
        let outcome = match &ended {
            Ok(Ending::Finished) => Outcome::Finished,
            Ok(Ending::EarlyStopped) => Outcome::EarlyStopped,
            Ok(Ending::Stopped(why)) => Outcome::Stopped(why),
            Err(error) => Outcome::Failed(error),
        };
        let end = RunEnd { outcome, history: &self.history, best_epoch: self.best.epoch, best: self.best.path() };
        let mut told = Ok(());
        for callback in &mut self.trainer.callbacks {
            told = told.and(callback.run_ended(&end));
        }
        let ending = ended?;
        told?;
        self.best.restore(self.trainer.model.as_mut())?;
        let stopped = if let Ending::Stopped(why) = ending { Some(why) } else { None };
        let path = self.best.path().to_path_buf();
        Ok(Run { model: self.trainer.model, history: self.history, best_epoch: self.best.epoch, path, stopped })
    }

    fn measure(&mut self) -> Result<Evaluation> {
        let Trainer { model, loss, callbacks, .. } = &mut self.trainer;
        evaluate_epoch(model.as_ref(), loss.as_ref(), self.valid, self.at, callbacks, &mut self.control)
    }

    fn report(&self, lr: f64, trained: &Tally, measured: &Evaluation) -> Result<EpochReport> {
        Ok(EpochReport {
            epoch: self.at.epoch,
            step: self.at.step,
            lr,
            train_loss: trained.loss(),
            train_accuracy: trained.confusion.accuracy()?,
            valid_loss: measured.loss,
            valid_accuracy: measured.accuracy(),
            valid_macro_f1: measured.macro_f1(),
            metrics: measured.further_metrics(),
            improved: self.best.beaten_by(measured.loss),
        })
    }

    fn tell_start(&mut self, configuration: &[(String, Value)], resumed: Option<Position>) -> Result<()> {
        let summary = summary(self.trainer.model.as_ref(), nyang_nn::Shape::new(&self.card.input)?)?;
        let plan = Plan {
            folder: &self.folder,
            epochs: self.trainer.epochs,
            train_batches: self.train.len(),
            valid_batches: self.valid.len(),
            parameters: summary.parameters,
            configuration,
            card: &self.card,
            summary: &summary,
            model: self.trainer.model.as_ref(),
            train: self.train,
            valid: self.valid,
            resumed,
        };
        self.trainer.callbacks.iter_mut().try_for_each(|c| c.run_started(&plan, &mut self.control))
    }

    fn tell_epoch(&mut self, report: &EpochReport, trained: &Tally, measured: &Evaluation) -> Result<()> {
        let end = EpochEnd {
            report,
            train_confusion: &trained.confusion,
            valid: measured,
            model: self.trainer.model.as_ref(),
            train_data: self.train,
            valid_data: self.valid,
        };
        self.trainer.callbacks.iter_mut().try_for_each(|c| c.epoch_ended(&end, &mut self.control))?;
        self.obey_lr()
    }
}
