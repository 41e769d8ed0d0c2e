//! The best model of a run: kept in memory and saved to its file.

use std::path::{Path, PathBuf};

use nyang_nn::{Module, Spec, StateDict};

use crate::metric::Record;
use crate::model_file::save_state;
use crate::{EpochReport, ModelCard, Result};

/// The best model so far.
pub(crate) struct Best {
    path: PathBuf,
    /// How good it is, and from which epoch.
    pub record: Record,
    /// Its numbers.
    pub state: StateDict<f32>,
}

impl Best {
    pub fn new(path: PathBuf, record: Record) -> Self {
        Best { path, record, state: StateDict::default() }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The epoch that it is from, from 1; 0 before the first.
    pub fn epoch(&self) -> usize {
        self.record.epoch
    }

    /// Keeps and saves the model of this epoch, which is the best so far. If it cannot be saved, the file is as it was.
    pub fn keep(&mut self, report: &EpochReport, model: &dyn Module<f32>, card: &ModelCard) -> Result<()> {
        let state = StateDict::of(model)?;
        write(&self.path, report, model.spec(), &state, card)?;
        self.record.note(report);
        self.state = state;
        Ok(())
    }

    /// Writes the file anew if it is gone; `report` is of the best epoch.
    pub fn replace(&self, report: &EpochReport, model: &dyn Module<f32>, card: &ModelCard) -> Result<()> {
        if self.path.exists() { Ok(()) } else { write(&self.path, report, model.spec(), &self.state, card) }
    }

    /// Puts the best numbers back into the model.
    pub fn restore(&self, model: &mut dyn Module<f32>) -> Result<()> {
        if self.epoch() > 0 {
            self.state.load_into(model)?;
        }
        Ok(())
    }
}

fn write(path: &Path, report: &EpochReport, spec: Spec, state: &StateDict<f32>, card: &ModelCard) -> Result<()> {
    let mut card = card.clone();
    card.metrics.extend(report.values().into_iter().map(|(name, value)| (name.to_owned(), value)));
    save_state(path, spec, state, &card)
}
