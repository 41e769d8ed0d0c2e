//! What the report keeps of the best epoch: its scores, its confusion matrix, and its worst mistakes as pictures.

use nyang_data::Loader;
use serde::{Deserialize, Serialize};

use super::examples::readable;
use crate::insight::Picture;
use crate::metrics::{ClassificationReport, Probabilities};
use crate::{EpochEnd, Evaluation, Result};

/// How many mistakes are shown, and how large.
const MISTAKES: usize = 24;
pub(super) const SIDE: usize = 72;

/// The best epoch, as the page shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub epoch: usize,
    /// Scores of the whole, by name.
    pub scores: Vec<(String, f64)>,
    pub report: ClassificationReport,
    /// Row by row: true classes; columns are predicted ones.
    pub confusion: Vec<Vec<u64>>,
    pub mistakes: Vec<Mistake>,
}

/// A sample that was taken for what it is not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Mistake {
    #[serde(with = "serde_bytes")]
    pub png: Vec<u8>,
    pub target: String,
    pub prediction: String,
    /// The model's probability of what it took it for.
    pub probability: f32,
    /// … and of what it is.
    pub of_target: f32,
    pub source: String,
}

impl Snapshot {
    pub fn of(end: &EpochEnd<'_>) -> Result<Self> {
        let Evaluation { confusion, targets, probabilities, .. } = end.valid;
        let mut all = Probabilities::new(confusion.classes())?;
        all.add(&probabilities.to_vec(), targets)?;
        let mut scores = vec![
            ("accuracy".to_owned(), end.valid.accuracy()),
            ("macro F1".to_owned(), end.valid.macro_f1()),
            ("balanced accuracy".to_owned(), confusion.balanced_accuracy()?),
            ("loss".to_owned(), end.valid.loss),
            ("log-loss".to_owned(), all.log_loss()?),
            ("Matthews' correlation".to_owned(), confusion.matthews()?),
        ];
        let maybe = |name: &str, value: Option<f64>| value.map(|value| (name.to_owned(), value));
        scores.extend(maybe("Cohen's kappa", confusion.cohen_kappa()?));
        scores.extend(maybe("ROC-AUC", all.roc_auc()?));
        scores.extend(maybe("top-5 accuracy", (confusion.classes() > 5).then(|| all.top_k(5)).transpose()?));
        scores.push(("calibration error".to_owned(), all.calibration_error(15)?));
        Ok(Snapshot {
            epoch: end.report.epoch,
            scores,
            report: confusion.report()?,
            confusion: confusion.rows().map(<[u64]>::to_vec).collect(),
            mistakes: mistakes(end.valid, end.valid_data)?,
        })
    }
}

/// The mistakes that the model was surest of: those whose own class it thought least likely.
fn mistakes(valid: &Evaluation, data: &Loader) -> Result<Vec<Mistake>> {
    let (classes, names) = (valid.confusion.classes(), valid.confusion.names());
    let probabilities = valid.probabilities.to_vec();
    let probability = |sample: usize, class: usize| probabilities.get(sample * classes + class).copied().unwrap_or(0.0);
    let samples = valid.predictions.iter().zip(&valid.targets).enumerate();
    let mut wrong: Vec<_> = samples.filter(|(_, (p, t))| p != t).map(|(i, (&p, &t))| (probability(i, t), i, p, t)).collect();
    wrong.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let name = |class: usize| names.get(class).cloned().unwrap_or_default();
    let mistake = |(of_target, sample, prediction, target): (f32, usize, usize, usize)| {
        let index = valid.indices.get(sample).copied().unwrap_or(0);
        let image = data.view(0, index)?.image; // as it was measured
        Ok(Mistake {
            png: readable(&Picture::of_image(&image)?, SIDE)?.png()?,
            target: name(target),
            prediction: name(prediction),
            probability: probability(sample, prediction),
            of_target,
            source: valid.sources.get(sample).map(ToString::to_string).unwrap_or_default(),
        })
    };
    wrong.into_iter().take(MISTAKES).map(mistake).collect()
}
