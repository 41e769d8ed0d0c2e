//! Do the real programs accept what we write? Their own clients, installed into a virtual environment, are asked.
//!
//! A small training run with every log is made; then Weights & Biases' client counts its records and uploads it to a server on this
//! machine, and TensorBoard serves it. Every layer and model runs in onnxruntime, and PyTorch loads our weights. Nothing leaves the machine but
//! pip's downloads; where pip reaches no registry, all is skipped.

mod job;
mod models;
mod process;
mod tensorboard;
mod wandb;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::python::made;

/// How the clients are to be asked.
#[derive(clap::Args)]
pub struct How {
    /// A Python that has the clients already; without one a virtual environment is made in target/
    #[arg(long, value_name = "PYTHON")]
    python: Option<PathBuf>,
}

/// What a client's check gives: what was found right, or what was not.
type Checked = Result<String, Box<dyn std::error::Error>>;

/// The packages whose programs are asked.
const PACKAGES: [&str; 7] = ["wandb", "tensorboard", "numpy", "onnx", "onnxruntime", "safetensors", "torch"];

/// Makes the run, asks each client, shows what each said.
///
/// # Errors
/// If the run or the environment cannot be made.
pub fn run(how: &How) -> Outcome {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/clients");
    let python = match &how.python {
        Some(python) => python.clone(),
        None => match made(&target.join("python"), &PACKAGES)? {
            Some(python) => python,
            None => {
                writeln!(io::stdout(), "skipped: pip could not install {}; is there a registry?", PACKAGES.join(", "))?;
                return Ok(true);
            }
        },
    };
    let job = job::trained(&target.join("run"))?;
    let mut well = true;
    for (name, check) in CHECKS {
        match check(&python, &job) {
            Ok(found) => writeln!(io::stdout(), "{name:<20}  ok    {found}")?,
            Err(error) => {
                well = false;
                writeln!(io::stdout(), "{name:<20}  FAIL  {error}")?;
            }
        }
    }
    Ok(well)
}

type Check = fn(&Path, &job::Job) -> Checked;

/// Every client. A new one is a line here and a file.
const CHECKS: [(&str, Check); 6] = [
    ("wandb leet", wandb::counts_the_records),
    ("wandb leet, resumed", wandb::counts_the_records_of_a_resumed_run),
    ("wandb sync", wandb::uploads_the_run),
    ("tensorboard", tensorboard::serves_the_run),
    ("onnxruntime", models::run_in_onnxruntime),
    ("torch", models::load_in_torch),
];
