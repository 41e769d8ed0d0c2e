//! `classify summary MODEL`: what is in a model's file.

use std::io::{self, Write};
use std::path::PathBuf;

use nyang_train::prelude::*;
use serde_json::json;

use crate::Outcome;

/// What stands behind `summary`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The model's file, best.nyang
    model: PathBuf,
    /// End standard output with one line of JSON
    #[arg(long)]
    json: bool,
}

/// Prints layers, classes, preparation, measures and settings.
pub fn run(arguments: &Arguments) -> Outcome {
    let Classifier { model, card, .. } = &Classifier::load(&arguments.model)?;
    let layers = summary(model.as_ref(), Shape::new(&card.input)?)?;
    let mut out = io::stdout().lock();
    if arguments.json {
        let summary = json!({
            "classes": card.classes,
            "input": card.input,
            "parameters": layers.parameters,
            "temperature": card.temperature,
            "metrics": card.metrics,
            "training": card.training,
        });
        writeln!(out, "{summary}")?;
        return Ok(true);
    }
    writeln!(out, "{layers}\n")?;
    writeln!(out, "{} classes: {}", card.classes.len(), card.classes.join(", "))?;
    writeln!(out, "images are prepared by\n{}", card.transforms)?;
    if let Some(normalize) = &card.normalize {
        writeln!(out, "and standardised with mean {:?}, deviation {:?}", normalize.mean(), normalize.std())?;
    }
    writeln!(out, "\nmeasured")?;
    for (name, value) in &card.metrics {
        writeln!(out, "  {name:<24} {value:.6}")?;
    }
    writeln!(out, "\ntrained with")?;
    for (name, value) in &card.training {
        writeln!(out, "  {name:<24} {}", value.replace('\n', "; "))?;
    }
    Ok(true)
}
