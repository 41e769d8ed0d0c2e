//! The command-line tool: image folders to classifiers, one subcommand a file.
//!
//! ```sh
//! classify verify  FOLDER                  # is every picture readable?
//! classify train   FOLDER --out RUN        # RUN/best.nyang, checkpoint, config, …
//! classify resume  RUN                     # go on where it was interrupted
//! classify evaluate RUN/best.nyang FOLDER
//! classify predict  RUN/best.nyang PICTURE…
//! ```
//!
//! where `classify` is `cargo run --release --example classify --`.
//!
//! Exit codes: 0 if all is well, 1 if something is wrong with what was given (bad files, a run that failed), 2 for wrong use, 130 if Ctrl-C
//! ended it.

mod data;
mod evaluate;
mod lr_find;
mod predict;
mod recipe;
mod summary;
mod train;
mod verify;

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Image classifiers from folders of images.
#[derive(Parser)]
#[command(name = "classify", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read every image of a folder or manifest and report what is wrong: unreadable, empty, tiny or misnamed files, class counts, duplicates
    Verify(verify::Arguments),
    /// Train a classifier, save the best model, and test it
    Train(train::Arguments),
    /// Go on with an interrupted run, as if it had never been interrupted
    Resume(train::Resume),
    /// Measure a model on images whose classes are known
    Evaluate(evaluate::Arguments),
    /// Say what is on pictures
    Predict(predict::Arguments),
    /// Try learning rates and draw how the loss answers
    LrFind(lr_find::Arguments),
    /// Print what is in a model's file
    Summary(summary::Arguments),
}

/// The exit code of a program that Ctrl-C ended: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// What a command gives: whether all is well, or why it could not be done.
type Outcome = Result<bool, Box<dyn Error>>;

/// An error in how the program was called: it ends with exit code 2, as clap's own do.
#[derive(Debug)]
struct WrongUse(String);

impl fmt::Display for WrongUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for WrongUse {}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Resume(arguments) => train::resume(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::LrFind(arguments) => lr_find::run(&arguments),
        Command::Summary(arguments) => summary::run(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // `classify … | head` closes our output: what was asked for has been read
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "classify: {error}"); // nobody is left to hear it if this fails
            let wrong_use = error.is::<WrongUse>().then_some(2);
            let interrupted = error.is::<train::Interrupted>().then_some(INTERRUPTED);
            ExitCode::from(wrong_use.or(interrupted).unwrap_or(1))
        }
    }
}
