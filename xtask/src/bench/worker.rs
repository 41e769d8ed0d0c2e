//! Our side of a comparison: measures one case as often as it is asked to. PyTorch's is `bench/worker.py`; the language is in `side.rs`.

use std::io::{self, BufRead, Write};
use std::time::Instant;

use nyang_tensor::parallel::with_threads;
use serde_json::{Value, json};

use super::machine;
use super::work::{Work, prepare};
use crate::Outcome;

/// The one way in which we do everything.
const VARIANT: &str = "ours";

/// Answers requests from standard input until it ends.
///
/// # Errors
/// If nothing can be read or written.
pub fn run(threads: usize, words: &[String]) -> Outcome {
    let mut work = None;
    say(&json!({ "version": VARIANT }))?;
    with_threads(threads, || {
        for line in io::stdin().lock().lines() {
            say(&answer(&line?, words, &mut work).unwrap_or_else(|error| json!({ "error": error.to_string() })))?;
        }
        Ok(true)
    })
}

fn say(answer: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{answer}")?;
    out.flush()
}

fn answer(line: &str, words: &[String], work: &mut Option<Work>) -> Result<Value, Box<dyn std::error::Error>> {
    let mut request = line.split_whitespace();
    match request.next() {
        Some("variants") => Ok(json!([VARIANT])),
        Some("prepare") => {
            let mut prepared = prepare(words)?;
            (prepared.call)()?;
            let flops = prepared.flops;
            *work = Some(prepared);
            Ok(json!({ "flops": flops }))
        }
        Some("run") => {
            let seconds = request.nth(1).unwrap_or_default().parse()?;
            measure(work.as_mut().ok_or("nothing is prepared")?, seconds)
        }
        Some("memory") => Ok(json!({ "peak_mb": machine::peak_mb() })),
        _ => Err(format!("`{line}` is no request").into()),
    }
}

/// The seconds of each call until the time is over; the first, which finds cold caches, is left out if there are others.
fn measure(work: &mut Work, seconds: f64) -> Result<Value, Box<dyn std::error::Error>> {
    let (cpu, start) = (machine::own_cpu_seconds(), Instant::now());
    let mut samples = Vec::new();
    let mut before = start;
    while samples.is_empty() || start.elapsed().as_secs_f64() < seconds {
        (work.call)()?;
        let now = Instant::now();
        samples.push((now - before).as_secs_f64());
        before = now;
    }
    let each = machine::own_cpu_seconds().zip(cpu).map(|(after, before)| (after - before) / samples.len() as f64);
    if samples.len() > 1 {
        samples.remove(0);
    }
    Ok(json!({ "samples": samples, "cpu": each }))
}
