//! A run saved for a resume, and resumed.

use std::fs;
use std::path::Path;

use nyang_data::Loader;
use nyang_nn::{StateDict, Value};
use nyang_optim::{EmaState, Schedule, Scheduler, SchedulerState};
use serde_bytes::ByteBuf;

use super::session::Session;
use super::{BEST, Trainer};
use crate::checkpoint::{AverageBytes, CHECKPOINT, Checkpoint, Every};
use crate::files::state::StateBytes;
use crate::tally::TallyState;
use crate::{Error, Result};

impl Trainer {
    /// Makes the folder, or gives what to go on from. An earlier run's files are in the way unless something is to happen to them.
    pub(super) fn prepare(&self, identity: &[(String, Value)], folder: &Path) -> Result<Option<Checkpoint>> {
        fs::create_dir_all(folder).map_err(|e| Error::file("write", folder, e))?;
        let found = [CHECKPOINT, BEST].map(|name| folder.join(name)).into_iter().find(|path| path.exists());
        match found {
            _ if self.resume && folder.join(CHECKPOINT).exists() => {
                let checkpoint = Checkpoint::read(folder)?;
                checkpoint.check(folder, identity)?;
                Ok(Some(checkpoint))
            }
            Some(path) if !self.overwrite => Err(Error::Occupied { path }),
            _ => Ok(None),
        }
    }

    /// What must be the same for a run to be resumed: all settings that are the trainer's own, and what the data and the model look like.
    pub(super) fn identity(&self, train: &Loader, valid: &Loader) -> Result<Vec<(String, Value)>> {
        let mut settings = self.settings(train, valid);
        if self.schedule.is_none() {
            settings.retain(|(name, _)| name != "epochs"); // without a schedule a run may become longer
        }
        let mut order = crc32fast::Hasher::new();
        train.order(1)?.iter().for_each(|&index| order.update(&(index as u64).to_le_bytes()));
        let architecture = crc32fast::hash(format!("{:?}", self.model.spec()).as_bytes());
        settings.push(("order of the first epoch, checksum".into(), Value::Int(order.finalize().into())));
        settings.push(("architecture, checksum".into(), Value::Int(architecture.into())));
        Ok(settings)
    }
}

impl Session<'_> {
    /// Writes the checkpoint; `counted` is what there is of an epoch that is not over.
    pub fn save(&mut self, counted: Option<TallyState>) -> Result<()> {
        let mut callbacks = Vec::new();
        for callback in &mut self.trainer.callbacks {
            callbacks.push((callback.name().to_owned(), ByteBuf::from(callback.state()?)));
        }
        let average = |state: EmaState<f32>| {
            let entries = state.averages.iter().map(|(path, value)| (path.as_str(), value));
            AverageBytes { updates: state.updates, averages: StateBytes::of(entries) }
        };
        let checkpoint = Checkpoint {
            configuration: self.identity.clone(),
            position: self.at,
            model: StateBytes::from(&StateDict::of(self.trainer.model.as_ref())?),
            optimizer: self.trainer.optimizer.state().into(),
            schedule: self.schedule.as_ref().map(|s| (s.state().base, s.state().t)),
            tally: counted,
            history: self.history.clone(),
            best: self.best.record.clone(),
            best_state: StateBytes::from(&self.best.state),
            stopping: self.stopping.clone(),
            callbacks,
            average: self.trainer.average.as_ref().map(|ema| Ok::<_, Error>(average(ema.state()?))).transpose()?,
        };
        checkpoint.write(&self.folder)
    }

    /// Whether it is time for a checkpoint after an epoch. The last one always has one.
    pub fn epoch_is_saved(&self) -> bool {
        let done = self.at.epoch - 1;
        match self.trainer.every {
            Every::Epochs(n) => done.is_multiple_of(n) || done == self.trainer.epochs,
            Every::Steps(_) => true,
        }
    }

    /// Whether it is time for a checkpoint after a step.
    pub fn step_is_saved(&self) -> bool {
        matches!(self.trainer.every, Every::Steps(n) if self.at.step.is_multiple_of(n as u64))
    }

    /// Makes everything as it was when the checkpoint was written.
    pub fn load(&mut self, checkpoint: Checkpoint, schedule: Option<Box<dyn Schedule>>) -> Result<()> {
        self.at = checkpoint.position;
        let (model, optimizer) = (&mut self.trainer.model, &mut self.trainer.optimizer);
        checkpoint.model.to_state()?.load_into(model.as_mut())?;
        if let (Some(schedule), Some((base, t))) = (schedule, checkpoint.schedule) {
            self.schedule = Some(Scheduler::resume(schedule, SchedulerState { base, t }, optimizer)?);
        }
        optimizer.load_state(checkpoint.optimizer.to_state()?)?; // after the schedule: a callback may have set another rate
        if let (Some(ema), Some(stored)) = (&mut self.trainer.average, checkpoint.average) {
            let averages = stored.averages.to_state()?.iter().map(|(path, value)| (path.to_owned(), value.clone())).collect();
            ema.load_state(EmaState { updates: stored.updates, averages });
        }
        self.best.record = checkpoint.best;
        self.best.state = checkpoint.best_state.to_state()?;
        (self.stopping, self.history, self.counted) = (checkpoint.stopping, checkpoint.history, checkpoint.tally);
        let best = self.history.iter().find(|report| report.epoch == self.best.epoch());
        best.map_or(Ok(()), |report| self.best.replace(report, self.trainer.model.as_ref(), &self.card))?;
        self.load_callbacks(checkpoint.callbacks)?;
        remove_leftovers(&self.folder);
        Ok(())
    }

    /// Gives each callback its state: the first of a name the first, and so on. One that is new has none.
    fn load_callbacks(&mut self, mut states: Vec<(String, ByteBuf)>) -> Result<()> {
        for callback in &mut self.trainer.callbacks {
            if let Some(found) = states.iter().position(|(name, _)| name == callback.name()) {
                let (_, state) = states.remove(found);
                if !state.is_empty() {
                    callback.load_state(&state)?;
                }
            }
        }
        Ok(())
    }
}

/// Removes what a killed process was writing: files that never got their name.
fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(".nyang-") && name.ends_with(".tmp") {
            fs::remove_file(entry.path()).ok(); // it is no harm if it stays
        }
    }
}
