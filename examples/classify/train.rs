//! `classify train DATA --out RUN` and `classify resume RUN`: from images to a model, and on from where it was interrupted.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nyang_train::files::write_atomically;
use nyang_train::logs::{CsvLog, JsonLines, TensorBoard, Wandb};
use nyang_train::prelude::*;
use nyang_train::report::HtmlReport;
use serde_json::json;

use crate::recipe::{Choices, Log, Recipe};
use crate::{Outcome, WrongUse};

/// What the run was to be, in its folder.
const CONFIG: &str = "config.json";

/// What stands behind `train`.
#[derive(clap::Args)]
pub struct Arguments {
    /// A folder whose subfolders are the classes; or one with such folders in train, valid and test; or a CSV manifest; or MNIST's files
    data: PathBuf,
    /// The folder for everything that the run leaves: best.nyang, config.json, history.csv, report.html and its checkpoint
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    choices: Choices,
    /// Replace an earlier run in that folder
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    display: Display,
}

/// What stands behind `resume`.
#[derive(clap::Args)]
pub struct Resume {
    /// The folder of an interrupted run
    run: PathBuf,
    #[command(flatten)]
    display: Display,
}

/// What is shown.
#[derive(clap::Args, Clone, Copy)]
struct Display {
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    /// End standard output with one line of JSON
    #[arg(long)]
    json: bool,
}

/// Trains anew.
pub fn run(arguments: &Arguments) -> Outcome {
    let config = arguments.out.join(CONFIG);
    if config.exists() && !arguments.overwrite {
        let out = arguments.out.display();
        return Err(WrongUse(format!("{out}: an earlier run is here; go on with `classify resume {out}`, or say --overwrite")).into());
    }
    let recipe = Recipe::new(&arguments.data, &arguments.choices)?;
    let begin = || {
        fs::create_dir_all(&arguments.out).map_err(|e| nyang_train::Error::file("write", &arguments.out, e))?;
        let text = serde_json::to_string_pretty(&recipe)?;
        write_atomically(&config, |file| writeln!(file, "{text}"))?;
        Ok(())
    };
    go(&recipe, &arguments.out, arguments.display, begin, |trainer| trainer.overwrite(arguments.overwrite))
}

/// Goes on with an interrupted run.
pub fn resume(arguments: &Resume) -> Outcome {
    let config = arguments.run.join(CONFIG);
    let text = fs::read_to_string(&config).map_err(|e| WrongUse(format!("{}: no run to go on with: {e}", config.display())))?;
    let recipe: Recipe = serde_json::from_str(&text).map_err(|e| WrongUse(format!("{}: {e}", config.display())))?;
    go(&recipe, &arguments.run, arguments.display, || Ok(()), |trainer| trainer.resume(true))
}

fn go(
    recipe: &Recipe,
    folder: &Path,
    display: Display,
    begin: impl FnOnce() -> Result<(), Box<dyn Error>>,
    set: impl FnOnce(Trainer) -> Trainer,
) -> Outcome {
    let data = recipe.prepare()?;
    let trainer = recipe.trainer(&data.train, &data.valid)?;
    begin()?;
    if !display.quiet {
        let mut err = io::stderr().lock();
        writeln!(err, "{}", data.table)?;
        writeln!(
            err,
            "model {}, images {} × {}, {} epochs of {} batches",
            recipe.model,
            recipe.image_size,
            recipe.image_size,
            recipe.epochs,
            data.train.len()
        )?;
    }
    let stop = stop_flag()?;
    let mut trainer = trainer.callback(CsvLog::new()).callback(HtmlReport::new().title(recipe.title()));
    if !display.quiet {
        trainer = trainer.callback(Progress::new());
    }
    for log in &recipe.logs {
        trainer = match log {
            Log::Jsonl => trainer.callback(JsonLines::new()),
            Log::Tensorboard => trainer.callback(TensorBoard::new()),
            Log::Wandb => trainer.callback(Wandb::new("classify")),
        };
    }
    let run = set(trainer.stop_flag(stop)).fit(&data.train, &data.valid, folder)?;
    if let Some(why) = &run.stopped {
        return Err(Interrupted(format!("stopped ({why}) and saved; go on with: classify resume {}", folder.display())).into());
    }

    let mut best = run.best()?;
    let temperature = best.calibrate(&data.valid)?;
    best.save(&run.path)?;
    let judged = if data.has_test { &data.test } else { &data.valid };
    let result = best.evaluate(judged)?;
    let which = if data.has_test { "test" } else { "validation" };
    let report = format!(
        "{}\n{}\nbest epoch {} of {}, saved as {}\n{which} accuracy {:.4}  macro F1 {:.4}  ({} images)",
        result.confusion.report()?,
        result.confusion,
        run.best_epoch,
        run.history.len(),
        run.path.display(),
        result.accuracy(),
        result.macro_f1(),
        result.targets.len()
    );
    if !display.json {
        writeln!(io::stdout(), "{report}")?;
        return Ok(true);
    }
    writeln!(io::stderr(), "{report}")?;
    let summary = json!({
        "model": run.path.display().to_string(),
        "part": which,
        "accuracy": result.accuracy(),
        "macro_f1": result.macro_f1(),
        "n": result.targets.len(),
        "best_epoch": run.best_epoch,
        "epochs": run.history.len(),
        "temperature": temperature,
    });
    writeln!(io::stdout(), "{summary}")?;
    Ok(true)
}

/// A run that was interrupted by its user.
#[derive(Debug)]
pub struct Interrupted(String);

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Interrupted {}

/// A flag that Ctrl-C raises. The second Ctrl-C ends the program at once: what was saved is whole.
fn stop_flag() -> Result<Arc<AtomicBool>, Box<dyn Error>> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = flag.clone();
    ctrlc::set_handler(move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(crate::INTERRUPTED.into());
        }
        let _ = writeln!(io::stderr(), "\nfinishing the present step; once more to end at once");
    })?;
    Ok(flag)
}
