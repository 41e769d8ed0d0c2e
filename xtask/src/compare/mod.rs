//! `cargo xtask compare`: whole models beside PyTorch's. `exchange` swaps weights and ONNX files with it, `train` trains in both.

mod exchange;
mod ours;
mod page;
mod plan;
mod train;
mod verdict;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;

/// What is to be compared.
#[derive(clap::Subcommand)]
pub enum What {
    /// Weights from torchvision and to it, and every layer and model as ONNX in onnxruntime
    Exchange {
        /// A Python with torch, torchvision, safetensors, onnx and onnxruntime
        #[arg(long, default_value = "python3")]
        python: PathBuf,
        /// Only what has this in its name: `resnet18`, `onnx`
        name: Option<String>,
    },
    /// The same training in both: curves, accuracies, time and memory
    Train(train::How),
    /// Our side of one training run, which `train` starts in a process of its own
    #[command(hide = true)]
    Ours {
        /// The folder that says what to train
        folder: PathBuf,
        /// f32, f32_direct (without Winograd's convolutions) or f64
        variant: String,
        /// So many steps and no test, or all of them
        most: String,
    },
}

/// Compares, shows a table, and says whether all is well.
///
/// # Errors
/// If Python cannot be run or ends badly, or a file cannot be read or written.
pub fn run(what: &What) -> Outcome {
    match what {
        What::Exchange { python, name } => exchange::run(python, name.as_deref().unwrap_or_default()),
        What::Train(how) => train::run(how),
        What::Ours { folder, variant, most } => {
            writeln!(io::stdout(), "{}", ours::run(folder, variant, most.parse().ok())?)?;
            Ok(true)
        }
    }
}

pub use exchange::said;

/// Runs a script of `xtask/compare` to its good end, and gives what it printed.
fn script(python: &Path, name: &str, arguments: &[&str]) -> Result<String, Box<dyn std::error::Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("compare").join(name);
    let mut command = Command::new(python);
    command.arg(&path).args(arguments).stderr(std::process::Stdio::inherit());
    let output = command.output().map_err(|e| format!("cannot start {}: {e}; name a Python with `--python PATH`", python.display()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{command:?} ended with {}", output.status).into())
    }
}
