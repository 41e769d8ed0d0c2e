//! Weights & Biases: a run written offline, which its own client shows (`wandb leet`) and uploads (`wandb sync`).

mod records;
mod run;
mod run_file;
mod system;

pub use run::WandbRun;

use std::path::PathBuf;

use nyang_nn::Value;
use serde::{Deserialize, Serialize};

use super::histograms;
use super::tensorboard::grouped;
use crate::report::batch_grid;
use crate::{BatchReport, Callback, Control, EpochEnd, Error, Outcome, Phase, Plan, Result, RunEnd};

/// Writes a Weights & Biases run into `wandb/` in the run's folder. It is sent nowhere until somebody says
/// `wandb sync RUN/wandb/offline-run-…`; no account is needed to look at it with `wandb leet RUN/wandb/offline-run-…`.
///
/// It has the configuration, curves of batches and epochs, a batch of images, each parameter's histogram, memory and processor use, and at
/// its end how the run ended.
///
/// ```
/// # use nyang_train::logs::Wandb;
/// let log = Wandb::new("flowers").name("resnet20, augmented").tags(["baseline"]).every(50);
/// ```
#[derive(Debug)]
pub struct Wandb {
    settings: Settings,
    every: u64,
    run: Option<WandbRun>,
    checkpoint: Option<Resume>,
}

/// How the run is called and sorted.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub project: String,
    pub name: Option<String>,
    pub group: Option<String>,
    pub notes: Option<String>,
    pub tags: Vec<String>,
}

/// What is needed to go on with a run's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Resume {
    /// The run's folder, as seen from the folder that runs are in.
    pub folder: String,
    pub id: String,
    pub length: u64,
    pub record: i64,
    pub row: i64,
    pub started: f64,
}

impl Wandb {
    /// A run of this project.
    pub fn new(project: impl Into<String>) -> Self {
        Wandb { settings: Settings { project: project.into(), ..Settings::default() }, every: 10, run: None, checkpoint: None }
    }

    /// What the run is called; W&B finds a name otherwise.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// The group of runs that it belongs to.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.settings.group = Some(group.into());
        self
    }

    /// What should be remembered about it.
    pub fn notes(mut self, notes: impl Into<String>) -> Self {
        self.settings.notes = Some(notes.into());
        self
    }

    /// Words to find it by.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.settings.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// How many steps lie between two points of the batches' curves; 10 unless said otherwise.
    pub fn every(mut self, steps: u64) -> Self {
        self.every = steps.max(1);
        self
    }
}

impl Callback for Wandb {
    fn run_started(&mut self, plan: &Plan<'_>, _: &mut Control) -> Result<()> {
        let runs = plan.folder.join("wandb");
        if let Some(resume) = self.checkpoint.take()
            && let Some(run) = WandbRun::cut_back(&runs, resume)?
        {
            self.run = Some(run);
            return Ok(());
        }
        let mut run = WandbRun::start_with(&runs, &self.settings, plan.configuration)?;
        run.define("epoch", None, None)?;
        run.define("valid/loss", Some("epoch"), Some("min"))?;
        run.define("valid/accuracy", Some("epoch"), Some("max"))?;
        if let Some(grid) = batch_grid(plan.train)? {
            run.image("train/batch", &grid, "a training batch, as augmentation leaves it")?;
        }
        self.run = Some(run);
        Ok(())
    }

    fn batch_ended(&mut self, report: &BatchReport, _: &mut Control) -> Result<()> {
        let Some(run) = self.run.as_mut().filter(|_| report.phase == Phase::Train && report.step.is_multiple_of(self.every)) else {
            return Ok(());
        };
        let norm = report.grad_norm.map(|norm| ("batch/grad_norm", norm));
        let values = [("step", report.step as f64), ("batch/loss", report.batch_loss), ("batch/lr", report.lr)];
        run.log(&values.into_iter().chain(norm).collect::<Vec<_>>())
    }

    fn epoch_ended(&mut self, end: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
        let Some(run) = &mut self.run else { return Ok(()) };
        let values: Vec<(String, f64)> = end.report.values().into_iter().map(|(name, value)| (grouped(name), value)).collect();
        let values: Vec<(&str, f64)> = values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        run.log_with_histograms(&values, &histograms(end.model))?;
        run.system()
    }

    fn run_ended(&mut self, end: &RunEnd<'_>) -> Result<()> {
        let Some(run) = &mut self.run else { return Ok(()) };
        let best = end.history.iter().find(|report| report.epoch == end.best_epoch);
        let best = best.map(|report| [("best_epoch", report.epoch as f64), ("best_valid_loss", report.valid_loss)]);
        run.summarize(best.as_ref().map_or(&[][..], |values| &values[..]))?;
        run.finish(i32::from(matches!(end.outcome, Outcome::Failed(_))))
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        let Some(run) = &self.run else { return Ok(Vec::new()) };
        rmp_serde::to_vec_named(&run.resume()).map_err(|e| Error::Encode { path: PathBuf::from("Wandb's state"), reason: e.to_string() })
    }

    fn load_state(&mut self, state: &[u8]) -> Result<()> {
        let wrong = |_| Error::argument("Wandb", "state", format!("{} bytes", state.len()), "must be what this callback saved");
        self.checkpoint = Some(rmp_serde::from_slice(state).map_err(wrong)?);
        Ok(())
    }
}

/// A setting as JSON.
pub(super) fn json(value: &Value) -> String {
    match value {
        Value::Float(x) => records::number(*x),
        other => serde_json::to_string(other).unwrap_or_else(|_| "null".to_owned()), // plain values: nothing in them can fail
    }
}

/// How many records the run in this folder has.
#[cfg(test)]
pub(super) fn records_of(run: &std::path::Path) -> usize {
    let file =
        std::fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some_and(|e| e == "wandb"));
    run_file::tests::read(&std::fs::read(file.unwrap()).unwrap()).len()
}
