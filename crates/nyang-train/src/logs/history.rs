//! A row an epoch: as a table of comma-separated values, and as a JSON object a line.

use std::path::PathBuf;

use super::growing::GrowingFile;
use crate::{Callback, Control, EpochEnd, Error, Plan, Result};

/// Writes `history.csv` into the run's folder: a heading, and a row of numbers an epoch. A number that is none is `NaN`.
///
/// There is no time in it: the same run gives the same bytes, resumed or not.
#[derive(Debug, Default)]
pub struct CsvLog(Table);

/// Writes `history.jsonl` into the run's folder: an object an epoch, with the same names as [`CsvLog`]. A number that is none is `null`.
#[derive(Debug, Default)]
pub struct JsonLines(Table);

impl CsvLog {
    /// A log that has nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl JsonLines {
    /// A log that has nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// A file of rows, open from the run's start.
#[derive(Debug, Default)]
struct Table {
    file: Option<GrowingFile>,
    checkpoint: Option<u64>, // the file's length when the run was saved that is now resumed
}

impl Table {
    fn start(&mut self, path: PathBuf) -> Result<()> {
        let kept = match self.checkpoint.take() {
            Some(length) => GrowingFile::cut_back(&path, length)?,
            None => None,
        };
        self.file = Some(match kept {
            Some(file) => file,
            None => GrowingFile::create(path)?,
        });
        Ok(())
    }

    fn append(&mut self, row: impl FnOnce(bool) -> String) -> Result<()> {
        match &mut self.file {
            Some(file) => file.append(row(file.length() == 0).as_bytes()),
            None => Ok(()), // the run has not started
        }
    }

    fn state(&self) -> Vec<u8> {
        self.file.as_ref().map_or(Vec::new(), |file| file.length().to_le_bytes().to_vec())
    }

    fn load_state(&mut self, what: &'static str, state: &[u8]) -> Result<()> {
        self.checkpoint = Some(length_of(what, state)?);
        Ok(())
    }
}

/// A file's length, as a checkpoint keeps it.
pub(super) fn length_of(what: &'static str, state: &[u8]) -> Result<u64> {
    let wrong = || Error::argument(what, "state", format!("{} bytes", state.len()), "must be what this callback saved");
    Ok(u64::from_le_bytes(state.try_into().map_err(|_| wrong())?))
}

/// A row, with the heading above it if it is the first.
fn csv(values: &[(&str, f64)], first: bool) -> String {
    let line = |cells: Vec<String>| cells.join(",") + "\n";
    let name = |name: &str| if name.contains([',', '"', '\n']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_owned() };
    let heading = if first { line(values.iter().map(|(n, _)| name(n)).collect()) } else { String::new() };
    heading + &line(values.iter().map(|(_, value)| value.to_string()).collect())
}

/// An object on a line.
fn json(values: &[(&str, f64)]) -> String {
    let field = |(name, value): &(&str, f64)| format!("{}:{}", serde_json::Value::from(*name), number(*value));
    format!("{{{}}}\n", values.iter().map(field).collect::<Vec<_>>().join(","))
}

/// Whole numbers without a decimal point, so that an epoch is `3`.
fn number(value: f64) -> serde_json::Value {
    let whole = value as i64;
    if whole as f64 == value && whole.abs() < 1 << 53 { whole.into() } else { value.into() }
}

impl Callback for CsvLog {
    fn run_started(&mut self, plan: &Plan<'_>, _: &mut Control) -> Result<()> {
        self.0.start(plan.folder.join("history.csv"))
    }
    fn epoch_ended(&mut self, end: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
        self.0.append(|first| csv(&end.report.values(), first))
    }
    fn state(&mut self) -> Result<Vec<u8>> {
        Ok(self.0.state())
    }
    fn load_state(&mut self, state: &[u8]) -> Result<()> {
        self.0.load_state("CsvLog", state)
    }
}

impl Callback for JsonLines {
    fn run_started(&mut self, plan: &Plan<'_>, _: &mut Control) -> Result<()> {
        self.0.start(plan.folder.join("history.jsonl"))
    }
    fn epoch_ended(&mut self, end: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
        self.0.append(|_| json(&end.report.values()))
    }
    fn state(&mut self) -> Result<Vec<u8>> {
        Ok(self.0.state())
    }
    fn load_state(&mut self, state: &[u8]) -> Result<()> {
        self.0.load_state("JsonLines", state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_every_digit_and_say_what_is_no_number() {
        let row = [("epoch", 1.0), ("lr", 0.1), ("train_loss", 1.0 / 3.0), ("valid_loss", f64::NAN)];
        assert_eq!(csv(&row, true), "epoch,lr,train_loss,valid_loss\n1,0.1,0.3333333333333333,NaN\n");
        assert_eq!(csv(&row[..2], false), "1,0.1\n");
        assert_eq!(json(&row), "{\"epoch\":1,\"lr\":0.1,\"train_loss\":0.3333333333333333,\"valid_loss\":null}\n");
        assert_eq!(csv(&[("a \"b\", c", 0.0)], true), "\"a \"\"b\"\", c\"\n0\n");
    }

    #[test]
    fn a_resumed_table_has_its_heading_once_and_each_row_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.csv");
        let row = |epoch: f64| move |first: bool| csv(&[("epoch", epoch)], first);
        let mut table = Table::default();
        table.append(row(0.0)).unwrap(); // before the run: nowhere to write to
        table.start(path.clone()).unwrap();
        table.append(row(1.0)).unwrap();
        let state = table.state();
        table.append(row(2.0)).unwrap(); // and the process was killed

        let mut resumed = Table::default();
        resumed.load_state("CsvLog", &state).unwrap();
        resumed.start(path.clone()).unwrap();
        resumed.append(row(2.0)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "epoch\n1\n2\n");

        std::fs::remove_file(&path).unwrap();
        let mut resumed = Table::default();
        resumed.load_state("CsvLog", &state).unwrap();
        resumed.start(path.clone()).unwrap();
        resumed.append(row(2.0)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "epoch\n2\n", "a lost file is begun anew");
        assert!(resumed.load_state("CsvLog", &[1, 2]).unwrap_err().to_string().contains("must be what this callback saved"));
    }
}
