//! The best model of a run: kept in memory, saved to its file, and the clock of early stopping.

use std::path::{Path, PathBuf};

use nyang_nn::{Module, StateDict};

use crate::model_file::save_state;
use crate::{EpochReport, ModelCard, Result};

/// The model with the lowest validation loss so far.
pub(crate) struct Best {
    path: PathBuf,
    /// The epoch that it is from, from 1; 0 before the first.
    pub epoch: usize,
    loss: f64,
    state: StateDict<f32>,
}

impl Best {
    pub fn new(path: PathBuf) -> Self {
        Best { path, epoch: 0, loss: f64::INFINITY, state: StateDict::default() }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a validation loss is lower than every one before. NaN never is.
    pub fn beaten_by(&self, loss: f64) -> bool {
        loss < self.loss
    }

    /// Keeps and saves the model of this epoch.
    pub fn keep(&mut self, report: &EpochReport, model: &dyn Module<f32>, card: &ModelCard) -> Result<()> {
        let state = StateDict::of(model)?;
        let mut card = card.clone();
        let measured = [
            ("epoch", report.epoch as f64),
            ("train_loss", report.train_loss),
            ("valid_loss", report.valid_loss),
            ("valid_accuracy", report.valid_accuracy),
            ("valid_macro_f1", report.valid_macro_f1),
        ];
        card.metrics.extend(measured.map(|(name, value)| (name.to_owned(), value)));
        save_state(&self.path, model.spec(), &state, &card)?;
        (self.epoch, self.loss, self.state) = (report.epoch, report.valid_loss, state);
        Ok(())
    }

    /// Puts the best numbers back into the model.
    pub fn restore(&self, model: &mut dyn Module<f32>) -> Result<()> {
        if self.epoch > 0 {
            self.state.load_into(model)?;
        }
        Ok(())
    }
}
