//! The command-line tool: image folders to classifiers, one subcommand a file.
//!
//! `cargo run --release --example classify -- verify DIR`
//!
//! Exit codes: 0 if all is well, 1 if something is wrong with what was given (bad files, a run that failed), 2 for wrong use.

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
    /// Read every image of a folder and report what is wrong: unreadable, empty, tiny or misnamed files, class counts, duplicates
    Verify(verify::Arguments),
}

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
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // `classify … | head` closes our output: what was asked for has been read
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "classify: {error}"); // nobody is left to hear it if this fails
            ExitCode::from(if error.is::<WrongUse>() { 2 } else { 1 })
        }
    }
}
