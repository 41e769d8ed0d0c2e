//! A model measured on a loader: every batch once, in evaluation, everything counted over the whole.

use std::collections::BTreeMap;
use std::fmt;

use nyang_data::{Loader, Source};
use nyang_nn::{Ctx, Loss, Module, Tensor};
use nyang_tensor::reduce::log_sum_exp;

use crate::metrics::{ConfusionMatrix, Scores};
use crate::{BatchReport, Callback, Control, Phase, Position, Result};

/// What a model does on a set of samples.
///
/// Displayed, it is scikit-learn's report, the confusion matrix, and a line with accuracy and macro F1.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// The mean loss over the samples.
    pub loss: f64,
    /// Which class was taken for which.
    pub confusion: ConfusionMatrix,
    /// The class predicted for each sample, in the loader's order.
    pub predictions: Vec<usize>,
    /// The class that each sample is of, in the same order. (Of soft targets, the most probable.)
    pub targets: Vec<usize>,
    /// The probability of each class for each sample, `[N, C]`, in the same order: the softmax of the logits.
    pub probabilities: Tensor<f32>,
    /// Where each sample comes from, in the same order.
    pub sources: Vec<Source>,
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

    /// The measures beyond loss, accuracy and macro F1, by the names that they have in an epoch's report.
    pub(crate) fn further_metrics(&self) -> BTreeMap<String, f64> {
        let mut metrics = BTreeMap::new();
        let mut put = |name: &str, value: Result<f64>| drop(value.map(|v| metrics.insert(format!("valid_{name}"), v)));
        put("balanced_accuracy", self.confusion.balanced_accuracy());
        put("weighted_f1", self.confusion.weighted_average().map(|scores| scores.f1));
        metrics
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
    evaluate_epoch(model, loss, loader, Position { epoch: 1, ..Position::default() }, watch, &mut Control::default())
}

/// As [`evaluate`], at this moment of a run.
pub(crate) fn evaluate_epoch(
    model: &dyn Module<f32>,
    loss: &dyn Loss<f32>,
    loader: &Loader,
    at: Position,
    watch: &mut [Box<dyn Callback>],
    control: &mut Control,
) -> Result<Evaluation> {
    let mut tally = Tally::new(loader, Phase::Valid, at.epoch)?;
    let (mut predictions, mut targets, mut probabilities) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sources, mut indices) = (Vec::new(), Vec::new());
    for batch in loader.epoch(0) {
        let batch = batch?;
        let logits = model.infer(batch.images, &mut Ctx::eval())?;
        let sum = loss.value_grad(&logits, &batch.targets)?;
        let counted = Counted {
            sum: sum.sum,
            weight: sum.weight,
            predicted: logits.argmax(1)?,
            targets: batch.targets.classes()?,
            samples: batch.indices.len(),
        };
        predictions.extend_from_slice(&counted.predicted);
        targets.extend_from_slice(&counted.targets);
        probabilities.extend(softmax_rows(&logits, 1.0));
        sources.extend(batch.sources);
        indices.extend(batch.indices);
        tally.add(counted, 0.0, at.step, None, watch, control)?;
    }
    let probabilities = Tensor::from_vec([predictions.len(), loader.classes().len()], probabilities)?;
    Ok(Evaluation { loss: tally.loss(), confusion: tally.confusion, predictions, targets, probabilities, sources, indices })
}

/// The softmax of each row of logits over a temperature, row after row.
pub(crate) fn softmax_rows(logits: &Tensor<f32>, temperature: f32) -> Vec<f32> {
    let classes = logits.dims().last().copied().unwrap_or(1).max(1);
    let mut values = logits.to_vec();
    for row in values.chunks_exact_mut(classes) {
        row.iter_mut().for_each(|z| *z /= temperature);
        let norm = log_sum_exp(row);
        row.iter_mut().for_each(|z| *z = (*z - norm).exp());
    }
    values
}

/// What is counted of one batch.
pub(crate) struct Counted {
    pub sum: f64,
    pub weight: f64,
    pub predicted: Vec<usize>,
    pub targets: Vec<usize>,
    pub samples: usize,
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
    pub fn add(
        &mut self,
        batch: Counted,
        lr: f64,
        step: u64,
        grad_norm: Option<f64>,
        watch: &mut [Box<dyn Callback>],
        control: &mut Control,
    ) -> Result<()> {
        self.sum += batch.sum;
        self.weight += batch.weight;
        self.confusion.add(&batch.predicted, &batch.targets)?;
        self.done += 1;
        let report = BatchReport {
            phase: self.phase,
            epoch: self.epoch,
            done: self.done,
            of: self.of,
            step,
            samples: batch.samples,
            lr,
            batch_loss: batch.sum / batch.weight,
            loss: self.loss(),
            accuracy: self.confusion.accuracy()?,
            grad_norm,
        };
        watch.iter_mut().try_for_each(|c| c.batch_ended(&report, control))
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
