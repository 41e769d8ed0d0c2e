//! `classify lr-find DATA`: which learning rates a model learns with on these images.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::json;

use crate::Outcome;
use crate::recipe::{Choices, Recipe};

/// What stands behind `lr-find`.
#[derive(clap::Args)]
pub struct Arguments {
    /// A folder whose subfolders are the classes, or what else `train` takes
    data: PathBuf,
    #[command(flatten)]
    choices: Choices,
    /// The lowest rate to try
    #[arg(long, default_value_t = 1e-6)]
    lowest: f64,
    /// The highest rate to try
    #[arg(long, default_value_t = 1.0)]
    highest: f64,
    /// How many rates, each for one batch
    #[arg(long, default_value_t = 100)]
    steps: usize,
    /// The picture of the curve, SVG
    #[arg(long, default_value = "lr.svg")]
    plot: PathBuf,
    /// End standard output with one line of JSON
    #[arg(long)]
    json: bool,
}

/// Tries the rates, draws the curve, and says what is good.
pub fn run(arguments: &Arguments) -> Outcome {
    let recipe = Recipe::new(&arguments.data, &arguments.choices)?;
    let data = recipe.prepare()?;
    let found = recipe.trainer(&data.train, &data.valid)?.find_lr(&data.train, arguments.lowest, arguments.highest, arguments.steps)?;
    nyang_train::files::write_atomically(&arguments.plot, |file| file.write_all(found.to_svg().as_bytes()))?;
    if arguments.json {
        let (rates, losses) = (&found.rates, &found.losses);
        writeln!(io::stdout(), "{}", json!({ "steepest": found.steepest, "largest": found.largest, "rates": rates, "losses": losses }))?;
    } else {
        writeln!(
            io::stdout(),
            "the loss falls most steeply at {:.1e}; a schedule that comes down may begin with up to {:.1e}\nthe curve is in {}",
            found.steepest,
            found.largest,
            arguments.plot.display()
        )?;
    }
    Ok(true)
}
