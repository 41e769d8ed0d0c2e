//! Weights & Biases: its client reads our run, and uploads it, to a server of ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nyang_train::logs::WandbRun;
use serde_json::Value as Json;

use super::Checked;
use super::job::Job;
use super::process::{Server, free_port, output, program};

type Anything = Box<dyn std::error::Error>;

/// The records of a run, as the client reads them. It skips what is damaged and still ends well: its standard error must be empty.
fn records(python: &Path, run: &Path) -> Result<Vec<Json>, Anything> {
    let said = output(program(python, "wandb").args(["leet", "inspect", "--json"]).arg(run))?;
    if !said.stderr.is_empty() {
        return Err(format!("wandb complains: {}", String::from_utf8_lossy(&said.stderr)).into());
    }
    Ok(String::from_utf8(said.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, expected: T) -> Result<(), Anything> {
    if got == expected { Ok(()) } else { Err(format!("{what}: {expected:?} expected, got {got:?}").into()) }
}

fn count(records: &[Json], kind: &str) -> usize {
    records.iter().filter(|record| record["type"] == kind).count()
}

/// Every record that was written is read, in order, with the numbers that were logged.
pub fn counts_the_records(python: &Path, job: &Job) -> Checked {
    let run = job.wandb()?;
    let records = records(python, &run)?;
    let rows = job.steps + job.epochs + 1; // and the picture
    let expected = [
        ("header", 1),
        ("run", 1),
        ("metric", 3),
        ("files", 1),
        ("summary", rows + 1),
        ("history", rows),
        ("stats", job.epochs),
        ("exit", 1),
    ];
    for (kind, number) in expected {
        expect(kind, count(&records, kind), number)?;
    }
    expect("records", records.len(), expected.iter().map(|(_, number)| number).sum())?;
    let numbers: Vec<u64> = records.iter().filter_map(|record| record["num"].as_u64()).collect();
    expect("numbers", numbers, (1..=records.len() as u64).collect())?;

    let config = &records[1]["run"]["config"]["update"];
    expect("configuration", config["architecture"].as_str(), Some("conv, mean, linear: 냥"))?;
    let losses = records.iter().filter_map(|record| record["history"]["item"]["valid/loss"].as_f64()).collect::<Vec<f64>>();
    expect("validation losses", &losses, &job.losses)?;
    let picture = records.iter().find_map(|record| record["history"]["item"]["train/batch"]["path"].as_str()).ok_or("no picture")?;
    let png = fs::read(run.join("files").join(picture))?;
    if !png.starts_with(b"\x89PNG") {
        return Err(format!("{picture} is no PNG").into());
    }
    Ok(format!("{} records, standard error empty", records.len()))
}

/// A run that was cut back in the middle and went on, with records longer than a block, is read without a gap.
pub fn counts_the_records_of_a_resumed_run(python: &Path, job: &Job) -> Checked {
    let runs = job.folder.join("wandb-long");
    let long = "a long setting, ".repeat(8000); // 128 KB: four blocks
    let mut run = WandbRun::start(&runs, "nyangtorch", Some("long"), &[("long".to_owned(), long.as_str().into())])?;
    for step in 0..2000 {
        run.log(&[("step", f64::from(step)), ("loss", if step == 7 { f64::NAN } else { 1.0 / f64::from(step + 1) })])?;
    }
    run.finish(0)?;
    let records = records(python, run.folder())?;
    expect("records", records.len(), 2 + 2 * 2000 + 1)?;
    expect("records counted by us", run.records(), records.len() as i64)?;
    expect("the long setting", records[1]["run"]["config"]["update"]["long"].as_str(), Some(long.as_str()))?;
    Ok(format!("{} records, one of 128 KB", records.len()))
}

/// The client uploads the run: name, project, configuration, rows, picture.
pub fn uploads_the_run(python: &Path, job: &Job) -> Checked {
    let copy = job.folder.join("wandb-upload").join(job.wandb()?.file_name().unwrap_or_default());
    copied(&job.wandb()?, &copy)?; // the client leaves a mark beside what it has uploaded
    let (port, heard) = (free_port()?, job.folder.join("wandb-upload/heard.jsonl"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/wandb_server.py");
    let server = Server::start(port, Command::new(python).arg(script).arg(port.to_string()).arg(&heard))?;
    let home = job.folder.join("wandb-upload/home"); // no settings of whoever runs this
    fs::create_dir_all(&home)?;
    output(
        program(python, "wandb")
            .args(["sync", "--yes"])
            .arg(&copy)
            .current_dir(&home)
            .env("HOME", &home)
            .env("WANDB_BASE_URL", format!("http://127.0.0.1:{port}"))
            .env("WANDB_API_KEY", "a".repeat(40)),
    )?;
    drop(server);

    let heard: Vec<Json> = fs::read_to_string(&heard)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let bucket = heard.iter().map(|h| &h["json"]["variables"]).find(|v| v["project"].is_string()).ok_or("no run was announced")?;
    expect("project", bucket["project"].as_str(), Some("nyangtorch"))?;
    expect("name", bucket["displayName"].as_str(), Some("clients"))?;
    let config: Json = serde_json::from_str(bucket["config"].as_str().unwrap_or_default())?;
    expect("configuration", config["architecture"]["value"].as_str(), Some("conv, mean, linear: 냥"))?;
    let rows = heard.iter().filter_map(|h| h["json"]["files"]["wandb-history.jsonl"]["content"].as_array()).map(Vec::len).sum::<usize>();
    expect("rows", rows, job.steps + job.epochs + 1)?;
    let pictures = heard.iter().filter(|h| h["PUT"].as_str().is_some_and(|path| path.contains("media/images/"))).count();
    expect("pictures", pictures, 1)?;
    Ok(format!("project, name, configuration, {rows} rows and a picture arrived"))
}

/// Copies a folder and all that is in it.
fn copied(from: &Path, to: &PathBuf) -> Result<(), Anything> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let there = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copied(&entry.path(), &there)?;
        } else {
            fs::copy(entry.path(), there)?;
        }
    }
    Ok(())
}
