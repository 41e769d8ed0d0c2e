//! `classify verify DATA [--json]`: every file of a dataset is read before anything is trained on it.

use std::io::{self, Write};
use std::path::PathBuf;

use nyang_data::{Decode, Verification, verify};
use serde_json::{Map, Value, json};

use crate::{Outcome, WrongUse};

/// What stands behind `verify`.
#[derive(clap::Args)]
pub struct Arguments {
    /// A folder whose subfolders are the classes, or a CSV manifest
    data: PathBuf,
    /// End standard output with one line of JSON; the report goes to standard error
    #[arg(long)]
    json: bool,
}

/// Reports, and says whether all is well.
pub fn run(arguments: &Arguments) -> Outcome {
    let found = verify(&arguments.data, &Decode::new()).map_err(|error| WrongUse(error.to_string()))?;
    if arguments.json {
        report(&found, &mut io::stderr().lock())?;
        writeln!(io::stdout(), "{}", summary(&found))?;
    } else {
        report(&found, &mut io::stdout().lock())?;
    }
    Ok(found.is_well())
}

fn report(found: &Verification, out: &mut impl Write) -> io::Result<()> {
    for (path, fault) in &found.bad {
        writeln!(out, "{:<10}  {}: {fault}", fault.kind(), path.display())?;
    }
    for error in &found.folders {
        writeln!(out, "{:<10}  {error}", "folder")?;
    }
    for group in &found.duplicates {
        let names: Vec<String> = group.iter().map(|path| path.display().to_string()).collect();
        writeln!(out, "{:<10}  {}", "duplicate", names.join(" = "))?;
    }
    for (list, what) in [(&found.ignored, "ignored"), (&found.stray, "no class")] {
        for path in list {
            writeln!(out, "{what:<10}  {}", path.display())?;
        }
    }
    if !found.classes.is_empty() {
        writeln!(out, "\n{:>8}  class", "files")?;
        for (name, count) in &found.classes {
            writeln!(out, "{count:>8}  {name}")?;
        }
    }
    let again: usize = found.duplicates.iter().map(|group| group.len() - 1).sum();
    writeln!(out, "\n{} files in {} classes: {} bad, {again} there twice", found.files, found.classes.len(), found.bad.len())?;
    writeln!(out, "{}", if found.is_well() { "all is well" } else { "not all is well" })
}

/// The report as one object.
fn summary(found: &Verification) -> Value {
    let count = |kind: &str| found.bad.iter().filter(|(_, fault)| fault.kind() == kind).count();
    let classes: Map<String, Value> = found.classes.iter().map(|(name, count)| (name.clone(), json!(count))).collect();
    let bad: Vec<Value> = found
        .bad
        .iter()
        .map(|(path, fault)| json!({ "path": path.display().to_string(), "kind": fault.kind(), "why": fault.to_string() }))
        .collect();
    json!({
        "files": found.files,
        "bad": found.bad.len(),
        "unreadable": count("unreadable"),
        "empty": count("empty"),
        "tiny": count("tiny"),
        "misnamed": count("misnamed"),
        "duplicates": found.duplicates.iter().map(|group| group.len() - 1).sum::<usize>(),
        "ignored": found.ignored.len(),
        "no_class": found.stray.len(),
        "folders": found.folders.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "classes": classes,
        "bad_files": bad,
        "well": found.is_well(),
    })
}
