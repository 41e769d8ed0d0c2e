//! A model measured on a loader: every batch once, in evaluation, everything counted over the whole.

use std::collections::BTreeMap;
use std::fmt;

use nyang_data::{Loader, Source};
use nyang_nn::{Ctx, Loss, Module, Tensor};
use nyang_tensor::reduce::log_sum_exp;

use crate::metrics::{ConfusionMatrix, Probabilities, Scores};
use crate::tally::{Counted, Tally};
use crate::{Callback, Control, Phase, Position, Result};

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

    /// The probabilities as a metric takes them.
    ///
    /// # Errors
    /// As [`Probabilities::add`].
    pub fn counted_probabilities(&self) -> Result<Probabilities> {
        let mut counted = Probabilities::new(self.confusion.classes())?;
        counted.add(&self.probabilities.to_vec(), &self.targets)?;
        Ok(counted)
    }

    /// The measures beyond loss, accuracy and macro F1, by the names that they have in an epoch's report. One that has no value is NaN.
    pub(crate) fn further_metrics(&self) -> BTreeMap<String, f64> {
        const BINS: usize = 15; // as Guo et al. 2017
        let mut metrics = BTreeMap::new();
        let mut put = |name: &str, value: Option<f64>| {
            metrics.insert(format!("valid_{name}"), value.unwrap_or(f64::NAN));
        };
        let confusion = &self.confusion;
        put("balanced_accuracy", confusion.balanced_accuracy().ok());
        put("weighted_f1", confusion.weighted_average().ok().map(|scores| scores.f1));
        put("matthews", confusion.matthews().ok());
        put("kappa", confusion.cohen_kappa().ok().flatten());
        if let Ok(probabilities) = self.counted_probabilities() {
            put("log_loss", probabilities.log_loss().ok());
            put("roc_auc", probabilities.roc_auc().ok().flatten());
            put("calibration_error", probabilities.calibration_error(BINS).ok());
            if confusion.classes() > 5 {
                put("top_5", probabilities.top_k(5).ok());
            }
        }
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
    evaluate_epoch(&plainly(model), loss, loader, Position { epoch: 1, ..Position::default() }, watch, &mut Control::default())
}

/// From standardised images to logits.
pub(crate) type Infer<'a> = &'a dyn Fn(Tensor<f32>) -> Result<Tensor<f32>>;

/// A model's own logits.
pub(crate) fn plainly(model: &dyn Module<f32>) -> impl Fn(Tensor<f32>) -> Result<Tensor<f32>> {
    move |images| Ok(model.infer(images, &mut Ctx::eval())?)
}

/// As [`evaluate`], at this moment of a run.
pub(crate) fn evaluate_epoch(
    infer: Infer<'_>,
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
        let logits = infer(batch.images)?;
        let sum = loss.value_grad(&logits, &batch.targets)?;
        let counted = Counted::new(&logits, &batch.targets, &sum)?;
        tally.add(&counted)?;
        let report = tally.report(&counted, at.step, None)?;
        watch.iter_mut().try_for_each(|c| c.batch_ended(&report, control))?;
        predictions.extend(counted.predicted);
        targets.extend(counted.targets);
        probabilities.extend(softmax_rows(&logits, 1.0));
        sources.extend(batch.sources);
        indices.extend(batch.indices);
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
