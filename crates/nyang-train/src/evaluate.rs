//! A model measured on a loader: every batch once, in evaluation, everything counted over the whole.

use std::fmt;

use nyang_data::Loader;
use nyang_nn::{Ctx, Loss, Module};

use crate::metrics::{ConfusionMatrix, Scores};
use crate::{BatchReport, Callback, Phase, Result};

/// What a model does on a set of samples.
///
/// Displayed, it is scikit-learn's report, the confusion matrix, and a line with accuracy and macro F1.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The mean loss over the samples.
    pub loss: f64,
    /// Which class was taken for which.
    pub confusion: ConfusionMatrix,
    /// The class predicted for each sample, in the loader's order.
    pub predictions: Vec<usize>,
    /// Each sample's index in the loader's dataset, in the same order.
    pub indices: Vec<usize>,
}

impl Evaluation {
    /// The share of samples that are right.
    pub fn accuracy(&self) -> f64 {
        self.confusion.accuracy().unwrap_or(f64::NAN)
    }

    /// The mean of the classes' F1.
    pub fn macro_f1(&self) -> f64 {
        self.confusion.macro_average().map_or(f64::NAN, |scores: Scores| scores.f1)
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(report) = self.confusion.report() {
            writeln!(f, "{report}")?;
        }
        writeln!(f, "{}", self.confusion)?;
        write!(f, "accuracy {:.3}  macro F1 {:.3}", self.accuracy(), self.macro_f1())
    }
}

/// Runs every batch of `loader`'s first epoch through the model in evaluation.
///
/// # Errors
/// Whatever the data or the model give; [`Error::Class`](crate::Error::Class) if the model has more outputs than there are classes.
///
/// ```
/// # use nyang_train::prelude::*;
/// let model = Flow::input([1, 8, 8]).linear(10).build::<f32>(&mut Init::seed(1))?;
/// let all = evaluate(&model, &CrossEntropy::new(), &Loader::new(Digits::load()?).batch_size(64), &mut [])?;
/// assert_eq!(all.predictions.len(), 1797);
/// assert!(all.accuracy() < 0.5, "nothing is learnt yet");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn evaluate(model: &dyn Module<f32>, loss: &dyn Loss<f32>, loader: &Loader, watch: &mut [Box<dyn Callback>]) -> Result<Evaluation> {
    evaluate_epoch(model, loss, loader, 1, watch)
}

pub(crate) fn evaluate_epoch(
    model: &dyn Module<f32>,
    loss: &dyn Loss<f32>,
    loader: &Loader,
    epoch: usize,
    watch: &mut [Box<dyn Callback>],
) -> Result<Evaluation> {
    let mut tally = Tally::new(loader, Phase::Valid, epoch)?;
    let (mut predictions, mut indices) = (Vec::new(), Vec::new());
    for batch in loader.epoch(0) {
        let batch = batch?;
        let logits = model.infer(batch.images, &mut Ctx::eval())?;
        let sum = loss.value_grad(&logits, &batch.targets)?;
        let predicted = logits.argmax(1)?;
        tally.add(sum.sum, sum.weight, &predicted, &batch.targets.classes()?, watch)?;
        predictions.extend(predicted);
        indices.extend(batch.indices);
    }
    Ok(Evaluation { loss: tally.loss(), confusion: tally.confusion, predictions, indices })
}

/// Loss and hits over the batches of one phase of one epoch.
pub(crate) struct Tally {
    sum: f64,
    weight: f64,
    pub confusion: ConfusionMatrix,
    phase: Phase,
    epoch: usize,
    done: usize,
    of: usize,
}

impl Tally {
    pub fn new(loader: &Loader, phase: Phase, epoch: usize) -> Result<Self> {
        let confusion = ConfusionMatrix::named(loader.classes())?;
        Ok(Tally { sum: 0.0, weight: 0.0, confusion, phase, epoch, done: 0, of: loader.len() })
    }

    /// Counts a batch and tells the callbacks.
    pub fn add(&mut self, sum: f64, weight: f64, predicted: &[usize], targets: &[usize], watch: &mut [Box<dyn Callback>]) -> Result<()> {
        self.sum += sum;
        self.weight += weight;
        self.confusion.add(predicted, targets)?;
        self.done += 1;
        let report = BatchReport {
            phase: self.phase,
            epoch: self.epoch,
            done: self.done,
            of: self.of,
            loss: self.loss(),
            accuracy: self.confusion.accuracy()?,
        };
        watch.iter_mut().try_for_each(|c| c.batch_ended(&report))
    }

    /// The mean loss over all samples so far: batches count by their size.
    pub fn loss(&self) -> f64 {
        self.sum / self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nyang_data::{Dataset, Digits};
    use nyang_nn::{CrossEntropy, Flow, Init};

    #[test]
    fn the_loss_is_a_mean_over_samples_whatever_the_batches() {
        let model = Flow::input([1, 8, 8]).linear(10).build::<f32>(&mut Init::seed(1)).unwrap();
        let digits = std::sync::Arc::new(Digits::load().unwrap());
        let run = |n| {
            let loader = Loader::new(nyang_data::Subset::new(digits.clone(), (0..100).collect()).unwrap()).batch_size(n);
            evaluate(&model, &CrossEntropy::new(), &loader, &mut []).unwrap()
        };
        let (whole, parts) = (run(100), run(33));
        assert!((whole.loss - parts.loss).abs() < 1e-6, "{} {}", whole.loss, parts.loss);
        assert_eq!((whole.predictions, whole.confusion), (parts.predictions, parts.confusion));
        assert_eq!(digits.len(), 1797);
    }
}
