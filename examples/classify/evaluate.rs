//! `classify evaluate MODEL DATA`: how good a model is on images whose classes are known.

use std::io::{self, Write};
use std::path::PathBuf;

use nyang_data::{Dataset, Part, Subset};
use nyang_train::prelude::*;
use serde_json::{Value, json};

use crate::data::{Images, loader_for};
use crate::{Outcome, WrongUse};

/// What stands behind `evaluate`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The model's file, best.nyang
    model: PathBuf,
    /// A folder whose subfolders are the classes, or what else `train` takes
    data: PathBuf,
    /// Which images: those of a part, or all [default: the test part where the data name one, else all]
    #[arg(long, value_enum)]
    part: Option<Which>,
    /// Look at each image mirrored too, and average
    #[arg(long)]
    flips: bool,
    /// Write each image's file, class, prediction and probability as CSV
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
    /// End standard output with one line of JSON; the report goes to standard error
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

/// Which images.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// What the model learnt from
    Train,
    /// What the best epoch was chosen by
    Valid,
    /// What the model has not seen
    Test,
    /// Every image
    All,
}

/// Measures and reports.
pub fn run(arguments: &Arguments) -> Outcome {
    let classifier = Classifier::load(&arguments.model)?.flips(arguments.flips);
    let images = Images::open(&arguments.data, &classifier.decode())?;
    if images.classes() != classifier.card.classes {
        return Err(WrongUse(format!(
            "{}: the classes there are {:?}, the model knows {:?}",
            arguments.data.display(),
            images.classes(),
            classifier.card.classes
        ))
        .into());
    }
    let named = (0..images.len()).any(|i| images.part(i) == Some(Part::Test));
    let which = arguments.part.unwrap_or(if named { Which::Test } else { Which::All });
    let part = match which {
        Which::Train => Some(Part::Train),
        Which::Valid => Some(Part::Valid),
        Which::Test => Some(Part::Test),
        Which::All => None,
    };
    let loader = match part {
        None => loader_for(&classifier, images),
        Some(part) => {
            // parts that the data do not name are drawn as they were for training
            let seed = classifier.card.training.get("split_seed").and_then(|seed| seed.parse().ok()).unwrap_or(1);
            let parts = images.divide(seed)?;
            let chosen = parts.part(part);
            loader_for(&classifier, Subset::new(chosen.whole().clone(), chosen.indices().to_vec())?)
        }
    };
    let mut watch: Vec<Box<dyn Callback>> = if arguments.quiet { vec![] } else { vec![Box::new(Progress::new())] };
    let result = classifier.evaluate_watched(&loader, &mut watch)?;
    if let Some(path) = &arguments.predictions {
        write_predictions(path, &result, &classifier.card.classes)?;
    }
    let out: &mut dyn Write = if arguments.json { &mut io::stderr() } else { &mut io::stdout() };
    writeln!(out, "{}\n{}", result.confusion.report()?, result.confusion)?;
    writeln!(out, "accuracy {:.4}  macro F1 {:.4}  ({} images)", result.accuracy(), result.macro_f1(), result.targets.len())?;
    if arguments.json {
        let scores = result.confusion.per_class()?;
        let classes: Vec<Value> = (classifier.card.classes.iter().zip(scores))
            .map(|(name, s)| json!({ "name": name, "precision": s.precision, "recall": s.recall, "f1": s.f1, "support": s.support }))
            .collect();
        let summary = json!({
            "accuracy": result.accuracy(),
            "macro_f1": result.macro_f1(),
            "balanced_accuracy": result.confusion.balanced_accuracy()?,
            "loss": result.loss,
            "n": result.targets.len(),
            "part": format!("{which:?}").to_lowercase(),
            "classes": classes,
        });
        writeln!(io::stdout(), "{summary}")?;
    }
    Ok(true)
}

/// A line for each image.
fn write_predictions(path: &std::path::Path, result: &Evaluation, classes: &[String]) -> Result<()> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let name = |class: usize| classes.get(class).map_or(String::new(), |name| quoted(name));
    nyang_train::files::write_atomically(path, |file| {
        writeln!(file, "path,class,prediction,probability")?;
        for (i, source) in result.sources.iter().enumerate() {
            let (target, predicted) = (result.targets[i], result.predictions[i]);
            let probability = result.probabilities.get(&[i, predicted]).unwrap_or(f32::NAN);
            writeln!(file, "{},{},{},{probability:.6}", quoted(&source.to_string()), name(target), name(predicted))?;
        }
        Ok(())
    })
}
