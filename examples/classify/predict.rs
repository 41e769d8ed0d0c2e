//! `classify predict MODEL FILE…`: what is on each picture.

use std::io::{self, Write};
use std::path::PathBuf;

use nyang_train::prelude::*;
use serde_json::{Value, json};

use crate::Outcome;

/// What stands behind `predict`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The model's file, best.nyang
    model: PathBuf,
    /// Pictures: JPEG, PNG, WebP, BMP, GIF, TIFF, of any size
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How many classes to name for each, the most probable first
    #[arg(long, default_value_t = 1)]
    top: usize,
    /// Look at each picture mirrored too, and average
    #[arg(long)]
    flips: bool,
    /// End standard output with one line of JSON
    #[arg(long)]
    json: bool,
}

/// Predicts file by file; those that cannot be read are said, and the others done all the same.
pub fn run(arguments: &Arguments) -> Outcome {
    let classifier = Classifier::load(&arguments.model)?.flips(arguments.flips);
    let (mut found, mut failed): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for file in &arguments.files {
        match classifier.predict_file(file) {
            Ok(prediction) => {
                let top = prediction.top(arguments.top.max(1));
                if !arguments.json {
                    let named: Vec<String> = top.iter().map(|(name, p)| format!("{name} ({:.1} %)", 100.0 * p)).collect();
                    writeln!(io::stdout(), "{}: {}", file.display(), named.join(", "))?;
                }
                let top: Vec<Value> = top.iter().map(|(name, p)| json!({ "class": name, "probability": p })).collect();
                let (class, probability) = (&prediction.name, prediction.probability());
                found.push(json!({ "file": file.display().to_string(), "class": class, "probability": probability, "top": top }));
            }
            Err(error) => {
                writeln!(io::stderr(), "classify: {error}")?;
                failed.push(json!({ "file": file.display().to_string(), "why": error.to_string() }));
            }
        }
    }
    let well = failed.is_empty();
    if arguments.json {
        writeln!(io::stdout(), "{}", json!({ "predictions": found, "failed": failed }))?;
    }
    Ok(well)
}
