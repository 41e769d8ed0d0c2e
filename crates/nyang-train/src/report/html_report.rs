//! The callback that writes the page.

use std::path::PathBuf;

use nyang_nn::Value;
use serde::{Deserialize, Serialize};

use super::examples::augmentation_preview;
use super::page::Page;
use super::snapshot::Snapshot;
use crate::files::write_atomically;
use crate::insight::Picture;
use crate::{Callback, Control, EpochEnd, EpochReport, Error, Outcome, Plan, Result, RunEnd};

/// Writes `report.html` into the run's folder, anew after each epoch: one file that opens offline, below 2 MB.
///
/// It shows the scores of the best epoch, curves, the confusion matrix, each class's precision, recall and F1, the worst mistakes as
/// pictures, what augmentation does, the configuration and the model. There is no time in it: the same run gives the same bytes.
#[derive(Debug)]
pub struct HtmlReport {
    title: String,
    path: PathBuf,
    known: Known,
    preview: Option<Picture>,
    configuration: Vec<(String, String)>,
    model: String,
    epochs: usize,
}

/// What a resumed run must know again.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    history: Vec<EpochReport>,
    best: Option<Snapshot>,
}

/// What the preview of augmentation shows: images, versions of each, and their longest side.
const PREVIEW: [usize; 3] = [4, 7, 72];

impl Default for HtmlReport {
    fn default() -> Self {
        HtmlReport {
            title: "Training report".to_owned(),
            path: PathBuf::new(),
            known: Known::default(),
            preview: None,
            configuration: Vec::new(),
            model: String::new(),
            epochs: 0,
        }
    }
}

impl HtmlReport {
    /// A report that has nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What stands above it; "Training report" unless said otherwise.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    fn write(&self, status: &str) -> Result<()> {
        let page = Page {
            title: &self.title,
            status,
            history: &self.known.history,
            best: self.known.best.as_ref(),
            preview: self.preview.as_ref(),
            configuration: &self.configuration,
            model: &self.model,
        };
        let html = page.to_html()?;
        write_atomically(&self.path, |file| file.write_all(html.as_bytes()))
    }
}

impl Callback for HtmlReport {
    fn run_started(&mut self, plan: &Plan<'_>, _: &mut Control) -> Result<()> {
        let [images, versions, side] = PREVIEW;
        self.path = plan.folder.join("report.html");
        self.preview = augmentation_preview(plan.train, images, versions, side)?;
        self.configuration = plan.configuration.iter().map(|(name, value)| (name.clone(), shown(value))).collect();
        self.model = plan.summary.to_string();
        self.epochs = plan.epochs;
        Ok(())
    }

    fn epoch_ended(&mut self, end: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
        if end.report.improved {
            self.known.best = Some(Snapshot::of(end)?);
        }
        self.known.history.push(end.report.clone());
        self.write(&format!("Epoch {} of {}: the run goes on.", end.report.epoch, self.epochs))
    }

    fn run_ended(&mut self, end: &RunEnd<'_>) -> Result<()> {
        if self.known.history.is_empty() {
            return Ok(()); // nothing to show
        }
        let done = self.known.history.len();
        self.write(&match end.outcome {
            Outcome::Finished => format!("Finished: all {done} epochs."),
            Outcome::EarlyStopped => format!("Stopped early, after {done} of {} epochs: it did not get better any more.", self.epochs),
            Outcome::Stopped(why) => format!("Stopped after {done} of {} epochs: {why}.", self.epochs),
            Outcome::Failed(error) => format!("Failed after {done} of {} epochs: {error}", self.epochs),
        })
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        let encode = |e: rmp_serde::encode::Error| Error::Encode { path: self.path.clone(), reason: e.to_string() };
        rmp_serde::to_vec_named(&self.known).map_err(encode)
    }

    fn load_state(&mut self, state: &[u8]) -> Result<()> {
        let wrong = |_| Error::argument("HtmlReport", "state", format!("{} bytes", state.len()), "must be what this callback saved");
        self.known = rmp_serde::from_slice(state).map_err(wrong)?;
        Ok(())
    }
}

/// A setting as one reads it.
fn shown(value: &Value) -> String {
    match value {
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Int(n) => n.to_string(),
        Value::Float(x) => x.to_string(),
        Value::Text(text) => text.clone(),
        Value::List(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
    }
}
