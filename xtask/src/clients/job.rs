//! A small training run with every log.

use std::path::{Path, PathBuf};

use nyang_train::prelude::*;

type Anything = Box<dyn std::error::Error>;

/// A finished run, and what its logs must hold.
pub struct Job {
    pub folder: PathBuf,
    pub epochs: usize,
    pub steps: usize,
    /// The validation loss of each epoch.
    pub losses: Vec<f64>,
}

impl Job {
    /// The folder of the run for Weights & Biases.
    pub fn wandb(&self) -> Result<PathBuf, Anything> {
        let mut runs = std::fs::read_dir(self.folder.join("wandb"))?;
        let run = runs.next().ok_or("there is no run in wandb/")??.path();
        if runs.next().is_some() { Err("there is more than one run in wandb/".into()) } else { Ok(run) }
    }
}

/// Trains on some of the embedded digits, in a folder that is emptied first.
pub fn trained(folder: &Path) -> Result<Job, Anything> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let parts = Digits::load()?.split(Split::stratified(0.2, 0.1, 0.7).seed(1))?;
    let train = Loader::new(parts.train).batch_size(64).shuffle(1).transform(transforms![RandomCrop::new(8, 8).padding(1)]);
    let valid = Loader::new(parts.valid).batch_size(64);
    let epochs = 3;
    let steps = epochs * train.len();
    let model = Flow::input([1, 8, 8]).conv(8, 3).relu().global_avg_pool().linear(10).build(&mut Init::seed(1))?;
    let run = Trainer::new(model, CrossEntropy::new())
        .epochs(epochs)
        .note("architecture", "conv, mean, linear: 냥")
        .callback(CsvLog::new())
        .callback(JsonLines::new())
        .callback(TensorBoard::new().every(1))
        .callback(Wandb::new("nyangtorch").name("clients").tags(["test"]).every(1))
        .callback(HtmlReport::new())
        .fit(&train, &valid, folder)?;
    Ok(Job { folder: folder.to_path_buf(), epochs, steps, losses: run.history.iter().map(|epoch| epoch.valid_loss).collect() })
}
