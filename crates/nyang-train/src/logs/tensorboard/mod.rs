//! TensorBoard's event files: curves, images, histograms, text.

mod event_file;

pub use event_file::EventFile;

use super::histograms;
use super::history::length_of;
use crate::report::batch_grid;
use crate::{BatchReport, Callback, Control, EpochEnd, Phase, Plan, Result};

/// Writes what TensorBoard shows into `tensorboard/` in the run's folder.
///
/// - curves: `batch/loss` and `batch/lr` each so many steps; every number of an epoch's report as `train/…`, `valid/…`
/// - images: a batch of training images as augmentation leaves them, at the start of the run
/// - histograms: each parameter's values, after each epoch
/// - text: the configuration and the model's summary
///
/// `tensorboard --logdir RUN` shows them.
#[derive(Debug)]
pub struct TensorBoard {
    every: u64,
    file: Option<EventFile>,
    checkpoint: Option<u64>,
}

impl Default for TensorBoard {
    fn default() -> Self {
        TensorBoard { every: 10, file: None, checkpoint: None }
    }
}

impl TensorBoard {
    /// A log that has nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many steps lie between two points of the batches' curves; 10 unless said otherwise.
    pub fn every(mut self, steps: u64) -> Self {
        self.every = steps.max(1);
        self
    }

    fn log_start(&mut self, plan: &Plan<'_>) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let rows = plan.configuration.iter().map(|(name, value)| format!("| {name} | {} |\n", super::wandb::json(value)));
        let table = format!("| setting | value |\n|---|---|\n{}", rows.collect::<String>());
        file.text(0, "configuration", &table)?;
        let lines: Vec<String> = plan.summary.to_string().lines().map(|line| format!("    {line}")).collect();
        file.text(0, "model", &lines.join("\n"))?;
        if let Some(grid) = batch_grid(plan.train)? {
            file.image(0, "train/batch", &grid)?;
        }
        Ok(())
    }
}

impl Callback for TensorBoard {
    fn run_started(&mut self, plan: &Plan<'_>, _: &mut Control) -> Result<()> {
        let folder = plan.folder.join("tensorboard");
        if let Some(length) = self.checkpoint.take()
            && let Some(file) = EventFile::cut_back(&folder, length)?
        {
            self.file = Some(file);
            return Ok(());
        }
        self.file = Some(EventFile::create(&folder)?);
        self.log_start(plan)
    }

    fn batch_ended(&mut self, report: &BatchReport, _: &mut Control) -> Result<()> {
        let Some(file) = self.file.as_mut().filter(|_| report.phase == Phase::Train && report.step.is_multiple_of(self.every)) else {
            return Ok(());
        };
        let norm = report.grad_norm.map(|norm| ("batch/grad_norm", norm));
        let values = [("batch/loss", report.batch_loss), ("batch/lr", report.lr)];
        values.into_iter().chain(norm).try_for_each(|(tag, value)| file.scalar(report.step, tag, value))
    }

    fn epoch_ended(&mut self, end: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let step = end.report.step;
        for (name, value) in end.report.values().into_iter().filter(|(name, _)| *name != "step") {
            file.scalar(step, &grouped(name), value)?;
        }
        histograms(end.model).iter().try_for_each(|(path, histogram)| file.histogram(step, path, histogram))
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        Ok(self.file.as_ref().map_or(Vec::new(), |file| file.length().to_le_bytes().to_vec()))
    }

    fn load_state(&mut self, state: &[u8]) -> Result<()> {
        self.checkpoint = Some(length_of("TensorBoard", state)?);
        Ok(())
    }
}

/// `valid_loss` as `valid/loss`: what belongs together is shown together.
pub(super) fn grouped(name: &str) -> String {
    let group = ["train_", "valid_"].into_iter().find_map(|group| Some((group, name.strip_prefix(group)?)));
    group.map_or(name.to_owned(), |(group, rest)| format!("{}/{rest}", group.trim_end_matches('_')))
}
