//! One side of a comparison: a process that measures one case as often as it is asked to, in lines of text and JSON.
//!
//! ```text
//! variants              ["eager", …]          how this side can do it
//! prepare VARIANT       {} or {"error": "…"}  ours also says {"flops": …}, the multiplications and additions of a call
//! run VARIANT SECONDS   {"samples": [seconds, …], "cpu": seconds of processor time per call}
//! memory                {"peak_mb": …}
//! ```

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

type Anything = Box<dyn std::error::Error>;

/// Another process, and how to talk to it.
pub struct Side {
    /// What it is: `ours`, `before`, `PyTorch 2.9`.
    pub name: String,
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Side {
    /// Our side: this program, or another build of it.
    pub fn ours(program: &Path, name: &str, threads: usize, words: &[String]) -> Result<Side, Anything> {
        let mut side = Side::start(program, ["bench-worker".as_ref()], threads, words)?;
        side.name = name.to_owned();
        Ok(side)
    }

    /// PyTorch's side.
    pub fn torch(python: &Path, threads: usize, words: &[String]) -> Result<Side, Anything> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/worker.py");
        Side::start(python, [script.as_os_str()], threads, words)
    }

    fn start<const N: usize>(program: &Path, first: [&OsStr; N], threads: usize, words: &[String]) -> Result<Side, Anything> {
        let mut command = Command::new(program);
        command.args(first).arg(threads.to_string()).args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let failed = |e| format!("cannot start {}: {e}", program.display());
        let mut child = command.spawn().map_err(failed)?;
        let (to, from) = (child.stdin.take(), child.stdout.take().ok_or("no output")?);
        let mut side = Side { name: String::new(), child, to, from: BufReader::new(from) };
        side.name = side.answer()?["version"].as_str().unwrap_or_default().to_owned();
        Ok(side)
    }

    /// Sends a request; an answer that is an error becomes one.
    fn ask(&mut self, request: &str) -> Result<Value, Anything> {
        if let Some(to) = &mut self.to {
            writeln!(to, "{request}")?;
        }
        self.answer()
    }

    fn answer(&mut self) -> Result<Value, Anything> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            return Err(format!("{} ended: {}", if self.name.is_empty() { "a side" } else { &self.name }, self.child.wait()?).into());
        }
        let answer: Value = serde_json::from_str(&line).map_err(|e| format!("`{}`: {e}", line.trim()))?;
        match answer["error"].as_str() {
            Some(error) => Err(error.into()),
            None => Ok(answer),
        }
    }

    /// The ways in which this side can do the case.
    pub fn variants(&mut self) -> Result<Vec<String>, Anything> {
        Ok(serde_json::from_value(self.ask("variants")?)?)
    }

    /// Makes a variant ready and runs it once; the operations of a call, if this side knows them.
    pub fn prepare(&mut self, variant: &str) -> Result<Option<u64>, Anything> {
        Ok(self.ask(&format!("prepare {variant}"))?["flops"].as_u64())
    }

    /// The median seconds of a call, measured for so long: by the clock, or the mean of the processor's time.
    pub fn run(&mut self, variant: &str, seconds: f64, cpu: bool) -> Result<f64, Anything> {
        let answer = self.ask(&format!("run {variant} {seconds}"))?;
        if cpu {
            return answer["cpu"].as_f64().ok_or_else(|| "this system does not tell processor times".into());
        }
        let samples: Vec<f64> = serde_json::from_value(answer["samples"].clone())?;
        Ok(median(&samples))
    }

    /// The most memory that the process has had, in MiB.
    pub fn peak_mb(&mut self) -> Result<Option<f64>, Anything> {
        Ok(self.ask("memory")?["peak_mb"].as_f64())
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        drop(self.to.take()); // the end of its input is the end of the process
        let _ = self.child.wait(); // one that is gone already is as good
    }
}

/// The middle one; of an even number, the mean of the two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    match (sorted.get(low), sorted.get(high)) {
        (Some(a), Some(b)) => (a + b) / 2.0,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
        assert!(median(&[]).is_nan());
    }
}
