//! `classify predict MODEL FILE…`: what is on each picture.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nyang_train::prelude::*;
use serde_json::{Value, json};

use crate::Outcome;

/// The side in pixels that small pictures of evidence are enlarged to, about.
const SHOWN: usize = 256;

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
    /// Write a picture for each file to this folder: where the evidence for its class is
    #[arg(long, value_name = "FOLDER")]
    grad_cam: Option<PathBuf>,
    /// End standard output with one line of JSON
    #[arg(long)]
    json: bool,
}

/// Predicts one file, and writes where the evidence is.
fn explain(classifier: &mut Classifier, file: &Path, to: &Path) -> Result<Prediction> {
    let (prediction, picture) = classifier.explain(classifier.decode().file(file)?)?;
    picture.enlarged(SHOWN / picture.width().max(picture.height()).max(1)).save(to)?;
    Ok(prediction)
}

/// The name of a picture for the file at this place of the command line: no two are alike.
fn picture_name(i: usize, file: &Path) -> String {
    format!("{}-{}.png", i + 1, file.file_stem().unwrap_or_default().to_string_lossy())
}

/// Predicts file by file; those that cannot be read are said, and the others done all the same.
pub fn run(arguments: &Arguments) -> Outcome {
    let mut classifier = Classifier::load(&arguments.model)?.flips(arguments.flips);
    if let Some(folder) = &arguments.grad_cam {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}; give a folder that can be written", folder.display()))?;
    }
    let (mut found, mut failed): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for (i, file) in arguments.files.iter().enumerate() {
        let predicted = match &arguments.grad_cam {
            None => classifier.predict_file(file),
            Some(folder) => explain(&mut classifier, file, &folder.join(picture_name(i, file))),
        };
        match predicted {
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
