//! A run: the loop over epochs, on one page.

use std::path::{Path, PathBuf};

use nyang_data::Loader;
use nyang_nn::{Shape, Value, summary};
use nyang_optim::{Scheduler, Unit};

use super::preflight::{Finding, preflight};
use super::{Run, Trainer};
use crate::best::Best;
use crate::evaluate::{evaluate_epoch, plainly};
use crate::metric::Record;
use crate::tally::{Tally, TallyState};
use crate::{Control, EpochEnd, EpochReport, Evaluation, ModelCard, Outcome, Plan, Position, Result, RunEnd};

/// A trainer at work on its data.
pub(super) struct Session<'a> {
    pub trainer: Trainer,
    pub train: &'a Loader,
    pub valid: &'a Loader,
    pub folder: PathBuf,
    pub card: ModelCard,
    configuration: Vec<(String, Value)>,
    pub identity: Vec<(String, Value)>,
    pub schedule: Option<Scheduler>,
    pub control: Control,
    pub at: Position,
    /// What was counted of the present epoch before it was interrupted.
    pub counted: Option<TallyState>,
    pub best: Best,
    /// The clock of early stopping.
    pub stopping: Record,
    pub history: Vec<EpochReport>,
}

/// How a run ended, if not by an error.
pub(super) enum Ending {
    Finished,
    EarlyStopped,
    Stopped(String),
}

impl<'a> Session<'a> {
    /// Checks everything, makes the folder or goes on from what is in it, and tells the callbacks.
    pub fn start(mut trainer: Trainer, train: &'a Loader, valid: &'a Loader, folder: &Path) -> Result<Self> {
        let configuration = trainer.configuration(train, valid);
        let card = trainer.card(train, valid, &configuration)?;
        let identity = trainer.identity(train, valid)?;
        let checkpoint = trainer.prepare(&identity, folder)?;
        let schedule = trainer.schedule.take().map(|mut schedule| {
            schedule.bind(schedule.unit().count(trainer.epochs as u64, trainer.steps_per_epoch(train)));
            schedule
        });
        let mut session = Session {
            best: Best::new(folder.join(super::BEST), Record::new(trainer.metric, 0.0).then_by_loss()),
            stopping: Record::new(trainer.stop_on.unwrap_or(trainer.metric), trainer.min_delta),
            folder: folder.to_path_buf(),
            control: Control::default(),
            at: Position { epoch: 1, batch: 0, step: 0 },
            counted: None,
            history: Vec::new(),
            trainer,
            train,
            valid,
            card,
            configuration,
            identity,
            schedule: None,
        };
        match checkpoint {
            Some(checkpoint) => {
                session.load(checkpoint, schedule)?;
                session.tell_start(Some(session.at), &[])?;
            }
            None => {
                let Trainer { model, loss, optimizer, preflight: looks, .. } = &mut session.trainer;
                session.schedule = schedule.map(|s| Scheduler::start(s, optimizer)).transpose()?;
                let findings = if *looks { preflight(model.as_mut(), loss.as_ref(), train)? } else { Vec::new() };
                session.tell_start(None, &findings)?;
                session.save(None)?;
            }
        }
        Ok(session)
    }

    /// Epoch after epoch: train, measure, keep the best, tell, save, until there is a reason to end.
    pub fn run(&mut self) -> Result<Ending> {
        while self.at.epoch <= self.trainer.epochs {
            if (self.at.epoch - 1).saturating_sub(self.stopping.epoch) >= self.trainer.patience {
                return Ok(Ending::EarlyStopped);
            }
            let trained = self.train_epoch()?;
            if let Some(why) = self.stop_asked() {
                self.save(Some(trained.state()))?;
                return Ok(Ending::Stopped(why));
            }
            self.swap_average()?;
            let measured = self.measure()?;
            let report = self.report(&trained, &measured)?;
            if report.improved {
                self.keep(&report)?;
            }
            self.stopping.note(&report);
            self.pass_time(Unit::Epoch)?;
            self.tell_epoch(&report, &trained, &measured)?;
            self.swap_average()?;

            self.history.push(report);
            self.at = Position { epoch: self.at.epoch + 1, batch: 0, ..self.at };
            let stop = self.stop_asked();
            if stop.is_some() || self.epoch_is_saved() {
                self.save(None)?;
            }
            if let Some(why) = stop {
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
        let end = RunEnd { outcome, history: &self.history, best_epoch: self.best.epoch(), best: self.best.path() };
        let mut told = Ok(());
        for callback in &mut self.trainer.callbacks {
            told = told.and(callback.run_ended(&end));
        }
        let ending = ended?;
        told?;
        self.best.restore(self.trainer.model.as_mut())?;
        let stopped = if let Ending::Stopped(why) = ending { Some(why) } else { None };
        let (best_epoch, path) = (self.best.epoch(), self.best.path().to_path_buf());
        Ok(Run { model: self.trainer.model, history: self.history, best_epoch, path, stopped })
    }

    /// Exchanges the weights and their running average, if there is one: it is what is measured, kept and shown.
    fn swap_average(&mut self) -> Result<()> {
        let Trainer { model, average, .. } = &mut self.trainer;
        average.as_mut().map_or(Ok(()), |ema| Ok(ema.swap(model.as_mut())?))
    }

    fn measure(&mut self) -> Result<Evaluation> {
        let Trainer { model, loss, callbacks, .. } = &mut self.trainer;
        evaluate_epoch(&plainly(model.as_ref()), loss.as_ref(), self.valid, self.at, callbacks, &mut self.control)
    }

    fn keep(&mut self, report: &EpochReport) -> Result<()> {
        self.best.keep(report, self.trainer.model.as_ref(), &self.card)
    }

    fn report(&self, trained: &Tally, measured: &Evaluation) -> Result<EpochReport> {
        let mut report = EpochReport {
            epoch: self.at.epoch,
            step: self.at.step,
            lr: trained.lr,
            train_loss: trained.loss(),
            train_accuracy: trained.confusion.accuracy()?,
            valid_loss: measured.loss,
            valid_accuracy: measured.accuracy(),
            valid_macro_f1: measured.macro_f1(),
            metrics: measured.further_metrics(),
            improved: false,
        };
        report.improved = self.best.record.beaten_by(&report);
        Ok(report)
    }

    fn tell_start(&mut self, resumed: Option<Position>, findings: &[Finding]) -> Result<()> {
        let summary = summary(self.trainer.model.as_ref(), Shape::new(&self.card.input)?)?;
        let plan = Plan {
            folder: &self.folder,
            epochs: self.trainer.epochs,
            train_batches: self.train.len(),
            valid_batches: self.valid.len(),
            parameters: summary.parameters,
            configuration: &self.configuration,
            card: &self.card,
            summary: &summary,
            model: self.trainer.model.as_ref(),
            train: self.train,
            valid: self.valid,
            scheduled: self.schedule.is_some(),
            findings,
            resumed,
        };
        self.trainer.callbacks.iter_mut().try_for_each(|c| c.run_started(&plan, &mut self.control))?;
        self.obey_lr()
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
