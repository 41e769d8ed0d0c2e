//! Loss and hits over the batches of one phase of one epoch.

use nyang_data::Loader;
use nyang_nn::{LossSum, Targets, Tensor};
use serde::{Deserialize, Serialize};

use crate::metrics::ConfusionMatrix;
use crate::{BatchReport, Phase, Result};

/// What is counted of one batch.
pub(crate) struct Counted {
    pub sum: f64,
    pub weight: f64,
    pub predicted: Vec<usize>,
    pub targets: Vec<usize>,
}

impl Counted {
    pub fn new(logits: &Tensor<f32>, targets: &Targets, loss: &LossSum<f32>) -> Result<Self> {
        Ok(Counted { sum: loss.sum, weight: loss.weight, predicted: logits.argmax(1)?, targets: targets.classes()? })
    }
}

/// Loss and hits so far.
pub(crate) struct Tally {
    sum: f64,
    weight: f64,
    pub confusion: ConfusionMatrix,
    phase: Phase,
    epoch: usize,
    done: usize,
    of: usize,
    /// The learning rate of the last batch's step; 0 in validation.
    pub lr: f64,
}

/// A tally as a checkpoint holds it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TallyState {
    sum: f64,
    weight: f64,
    confusion: Vec<Vec<u64>>,
    done: usize,
    lr: f64,
}

impl Tally {
    pub fn new(loader: &Loader, phase: Phase, epoch: usize) -> Result<Self> {
        let confusion = ConfusionMatrix::named(loader.classes())?;
        Ok(Tally { sum: 0.0, weight: 0.0, confusion, phase, epoch, done: 0, of: loader.len(), lr: 0.0 })
    }

    /// Counts a batch.
    pub fn add(&mut self, batch: &Counted) -> Result<()> {
        self.sum += batch.sum;
        self.weight += batch.weight;
        self.done += 1;
        self.confusion.add(&batch.predicted, &batch.targets)
    }

    /// What callbacks are told after `batch` was counted, with the number of steps made.
    pub fn report(&self, batch: &Counted, step: u64, grad_norm: Option<f64>) -> Result<BatchReport> {
        Ok(BatchReport {
            phase: self.phase,
            epoch: self.epoch,
            done: self.done,
            of: self.of,
            step,
            samples: batch.targets.len(),
            lr: self.lr,
            batch_loss: batch.sum / batch.weight,
            loss: self.loss(),
            accuracy: self.confusion.accuracy()?,
            grad_norm,
        })
    }

    /// The mean loss over all samples so far: batches count by their size.
    pub fn loss(&self) -> f64 {
        self.sum / self.weight
    }

    pub fn state(&self) -> TallyState {
        let confusion = self.confusion.rows().map(<[u64]>::to_vec).collect();
        TallyState { sum: self.sum, weight: self.weight, confusion, done: self.done, lr: self.lr }
    }

    /// Goes on from where a checkpoint was.
    pub fn load(&mut self, state: &TallyState) -> Result<()> {
        (self.sum, self.weight, self.done, self.lr) = (state.sum, state.weight, state.done, state.lr);
        for (target, row) in state.confusion.iter().enumerate() {
            for (prediction, &count) in row.iter().enumerate() {
                let count = usize::try_from(count).unwrap_or(0);
                self.confusion.add(&vec![prediction; count], &vec![target; count])?;
            }
        }
        Ok(())
    }
}
