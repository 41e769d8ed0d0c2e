//! The workspace's chores: `bench`, `clients`, `compare`, `gradcheck`, `parity`, `docs` and `tidy`, each called as `cargo xtask NAME`.

mod bench;
mod clients;
mod compare;
mod docs;
mod gradcheck;
mod parity;
mod python;
mod table;
mod tidy;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the NyangTorch workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", version, about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Compare every layer's and loss's backward with central differences in f64, and its f32 with its f64
    Gradcheck {
        /// Only the cases whose name contains this: `Conv2d`, `Linear/wide`
        name: Option<String>,
        /// End standard output with one line of JSON; the table goes to standard error
        #[arg(long)]
        json: bool,
    },
    /// Compare layers, losses, optimizers, schedules, first values and metrics with PyTorch and scikit-learn, in f64 and f32; for
    /// whole trainings see `compare train`
    Parity(parity::How),
    /// Measure speed and memory, on its own or in turn with PyTorch
    Bench(bench::How),
    /// One side of a comparison, started by `bench`
    #[command(hide = true)]
    BenchWorker {
        /// How many threads to work on
        threads: usize,
        /// The case's words
        words: Vec<String>,
    },
    /// Ask the real programs whether they accept what we write: Weights & Biases, TensorBoard
    Clients(clients::How),
    /// Compare whole models with PyTorch and onnxruntime: weights and files swapped, training side by side
    #[command(subcommand)]
    Compare(compare::What),
    /// Write what docs/ takes from the code: the table of all parts, a page for each, what each transform does
    Docs(docs::How),
    /// Check the invariants of ARCHITECTURE.md that can be read off the text of the repository
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Gradcheck { name, json } => gradcheck::run(name.as_deref().unwrap_or_default(), json),
        Task::Parity(how) => parity::run(&how),
        Task::Bench(how) => bench::run(&how),
        Task::BenchWorker { threads, words } => bench::worker::run(threads, &words),
        Task::Clients(how) => clients::run(&how),
        Task::Compare(what) => compare::run(&what),
        Task::Docs(how) => docs::run(&how),
        Task::Tidy => tidy::run(),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // `cargo xtask tidy | head` closes our output: what was asked for has been read
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}"); // nobody is left to hear it if this fails
            ExitCode::FAILURE
        }
    }
}

/// What a chore gives: whether all is well, or why it could not be done.
type Outcome = Result<bool, Box<dyn std::error::Error>>;
