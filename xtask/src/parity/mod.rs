//! `cargo xtask parity`: does everything compute what PyTorch computes, and scikit-learn where it is about metrics?
//!
//! Both sides get the same numbers: a layer's parameters and buffers by name, an input, a gradient from behind; an optimizer's gradients; random
//! numbers for first values. PyTorch's answers to the questions of one seed are committed, so that no Python is needed. `--live` asks PyTorch
//! anew, with numbers of any seed, and layers and losses in random settings besides.

mod draw;
mod geometry;
mod initialisers;
mod layers;
mod metrics;
mod optimizers;
mod python;
mod question;
mod schedules;
mod store;

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use question::{Answer, Anything, Question};
use store::{Array, Arrays};

use crate::Outcome;
use crate::table::aligned;

/// PyTorch's answers, committed.
const GOLDENS: &str = "goldens/parity.safetensors";

/// The seed of the committed answers' questions.
const SEED: u64 = 1;

/// The most that f64 may differ: both sides add the same numbers in another order.
const F64: f64 = 1e-10;

/// The most that f32 may differ from PyTorch's f64, for each root of the number of terms in a sum, which is at most some hundreds here: 3e-7 √k.
const F32: f64 = 1e-5;

/// How the suite is to be run.
#[derive(clap::Args)]
pub struct How {
    /// Only the cases whose name contains this: `Conv2d`, `CrossEntropy/smoothed`, `AdamW`
    name: Option<String>,
    /// Ask PyTorch now, with this Python; without one a virtual environment is made in target/
    #[arg(long, value_name = "PYTHON", num_args = 0..=1)]
    live: Option<Option<PathBuf>>,
    /// The random numbers of --live; another one each day unless given
    #[arg(long)]
    seed: Option<u64>,
    /// Ask PyTorch the questions of the committed answers, and write them anew
    #[arg(long)]
    bless: bool,
    /// End standard output with one line of JSON; the table goes to standard error
    #[arg(long)]
    json: bool,
}

/// One case compared.
struct Row {
    name: String,
    f64: (f64, String),
    f32: (f64, String),
    wrong: Option<String>,
}

impl Row {
    fn passes(&self) -> bool {
        self.wrong.is_none() && self.f64.0 <= F64 && self.f32.0 <= F32
    }

    fn cells(&self) -> [String; 6] {
        let number = |(error, _): &(f64, String)| format!("{error:.1e}");
        let place = |(_, place): &(f64, String)| place.clone();
        let verdict = if self.passes() { "ok" } else { "FAIL" };
        [self.name.clone(), number(&self.f64), place(&self.f64), number(&self.f32), place(&self.f32), verdict.to_owned()]
    }
}

/// Compares, shows the table, and says whether all is well.
///
/// # Errors
/// If no case has such a name, Python cannot be run, or a file cannot be read or written.
pub fn run(how: &How) -> Outcome {
    let live = how.live.is_some() || how.bless;
    let seed = if live && !how.bless { how.seed.unwrap_or_else(today) } else { SEED };
    let (mut questions, mut ours_alone) = questions(seed, live && !how.bless)?;
    if let Some(name) = how.name.as_deref() {
        questions.retain(|question| question.name.contains(name));
        ours_alone.retain(|case| case.contains(name));
        if questions.is_empty() {
            return Err(format!("no case is named like `{name}`; without a name all are compared and listed").into());
        }
    }
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDENS);
    let (answers, version) = if live {
        python::ask(how.live.clone().flatten().as_deref(), &questions)?
    } else {
        let (answers, notes) = store::read(&goldens)?;
        (answers, notes.get("version").cloned().unwrap_or_default())
    };
    if how.bless && how.name.is_some() {
        return Err("--bless writes the answers to all questions; leave the name out".into());
    }
    if how.bless {
        store::write(&goldens, &answers, HashMap::from([("version".to_owned(), version.clone())]))?;
    }
    let rows: Vec<Row> = questions.iter().map(|question| compare(question, &answers)).collect();
    let mut text = shown(&rows);
    let source = if live { format!("asked now, seed {seed}") } else { "its committed answers".to_owned() };
    text.push_str(&format!("PyTorch {version}, {source}\n"));
    if !ours_alone.is_empty() {
        text.push_str(&format!("not compared, for PyTorch has no like: {}\n", ours_alone.join(", ")));
    }
    if how.json {
        io::stderr().write_all(text.as_bytes())?;
        writeln!(io::stdout(), "{}", summary(&rows))?;
    } else {
        io::stdout().write_all(text.as_bytes())?;
    }
    Ok(rows.iter().all(Row::passes))
}

/// All questions, those about random geometries too if wanted; and the names of the cases that PyTorch has not.
fn questions(seed: u64, random_geometries: bool) -> Result<(Vec<Question>, Vec<&'static str>), Anything> {
    let (mut questions, ours_alone) = layers::questions(seed)?;
    if random_geometries {
        questions.extend(geometry::questions(seed)?);
    }
    for more in [optimizers::questions, schedules::questions, initialisers::questions, metrics::questions] {
        questions.extend(more(seed)?);
    }
    Ok((questions, ours_alone))
}

/// The days since 1970: a seed that wanders and can be given again.
fn today() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_secs() / 86_400)
}

fn compare(question: &Question, answers: &Arrays) -> Row {
    let prefix = format!("{}|", question.name);
    let theirs: Arrays = answers.iter().filter_map(|(name, a)| Some((name.strip_prefix(&prefix)?.to_owned(), a.clone()))).collect();
    let mut row = Row { name: question.name.clone(), f64: Default::default(), f32: Default::default(), wrong: None };
    if theirs.is_empty() {
        row.wrong = Some("PyTorch's answer is missing: run `cargo xtask parity --bless`".to_owned());
        return row;
    }
    let mut against = |ours: Answer| match ours {
        Ok(ours) => worst(&ours, &theirs).unwrap_or_else(|what| {
            row.wrong = Some(what);
            Default::default()
        }),
        Err(error) => {
            row.wrong = Some(error.to_string());
            Default::default()
        }
    };
    let high = against(question.answer_f64());
    let low = question.answers_f32().map(against).fold(<(f64, String)>::default(), |worst, one| if one.0 > worst.0 { one } else { worst });
    Row { f64: high, f32: low, ..row }
}

/// The largest difference, as a part of the largest value of its array, at least 1; and where it is.
fn worst(ours: &Arrays, theirs: &Arrays) -> Result<(f64, String), String> {
    let names = |arrays: &Arrays| arrays.keys().cloned().collect::<Vec<_>>().join(", ");
    if !ours.keys().eq(theirs.keys()) {
        return Err(format!("ours has {}; PyTorch's has {}", names(ours), names(theirs)));
    }
    let mut worst = (0.0, String::new());
    for ((name, a), b) in ours.iter().zip(theirs.values()) {
        if a.shape != b.shape {
            return Err(format!("{name} is {:?}, PyTorch's is {:?}", a.shape, b.shape));
        }
        let error = difference(a, b);
        if error > worst.0 {
            worst = (error, name.clone());
        }
    }
    Ok(worst)
}

fn difference(a: &Array, b: &Array) -> f64 {
    let (a, b) = (a.reals(), b.reals());
    let size = b.iter().fold(1.0f64, |size, v| size.max(v.abs()));
    let errors = a.iter().zip(&b).map(|(a, b)| if a == b || (a.is_nan() && b.is_nan()) { 0.0 } else { (a - b).abs() / size });
    errors.map(|e| if e.is_nan() { f64::INFINITY } else { e }).fold(0.0, f64::max) // a NaN must not look like a pass
}

fn shown(rows: &[Row]) -> String {
    let heading = ["case", "f64", "at", "f32", "at", ""].map(str::to_owned);
    let cells: Vec<_> = [heading].into_iter().chain(rows.iter().map(Row::cells)).collect();
    let mut text = aligned(&cells, [false, true, false, true, false, false]);
    for row in rows.iter().filter(|row| row.wrong.is_some()) {
        text.push_str(&format!("\n{}: {}", row.name, row.wrong.as_deref().unwrap_or_default()));
    }
    let failed = rows.iter().filter(|row| !row.passes()).count();
    let most = |of: fn(&Row) -> f64| rows.iter().map(of).fold(0.0, f64::max);
    text.push_str(&format!(
        "\n{} cases, {failed} failed; worst in f64 {:.1e} (at most {F64:.0e}), in f32 {:.1e} (at most {F32:.0e})\n",
        rows.len(),
        most(|row| row.f64.0),
        most(|row| row.f32.0),
    ));
    text
}

fn summary(rows: &[Row]) -> serde_json::Value {
    let failed = rows.iter().filter(|row| !row.passes()).count();
    let most = |of: fn(&Row) -> f64| rows.iter().map(of).fold(0.0, f64::max);
    serde_json::json!({ "cases": rows.len(), "failed": failed, "worst_f64": most(|row| row.f64.0), "worst_f32": most(|row| row.f32.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrays(values: &[f64]) -> Arrays {
        [("y".to_owned(), Array::real(&[values.len()], values.to_vec()))].into()
    }

    #[test]
    fn differences_are_parts_of_the_largest_value_and_nan_equals_only_nan() {
        assert_eq!(worst(&arrays(&[1.0, 3.0]), &arrays(&[1.0, 4.0])), Ok((0.25, "y".to_owned())));
        assert_eq!(worst(&arrays(&[f64::NAN, 0.5]), &arrays(&[f64::NAN, 0.5])).unwrap().0, 0.0);
        assert_eq!(worst(&arrays(&[f64::NAN]), &arrays(&[1.0])).unwrap().0, f64::INFINITY);
        assert_eq!(worst(&arrays(&[1.0]), &arrays(&[f64::INFINITY])).unwrap().0, f64::INFINITY);
        assert!(worst(&arrays(&[1.0]), &arrays(&[1.0, 2.0])).unwrap_err().contains("PyTorch's is [2]"));
        assert!(worst(&Arrays::new(), &arrays(&[1.0])).unwrap_err().contains("PyTorch's has y"));
    }

    #[test]
    fn every_question_has_a_name_of_its_own() {
        let names: Vec<String> = questions(SEED, true).unwrap().0.into_iter().map(|question| question.name).collect();
        let unique: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        assert!(names.len() >= 500, "{}", names.len());
    }

    #[test]
    fn every_case_that_pytorch_has_is_committed_and_agrees() {
        let how = How { name: None, live: None, seed: None, bless: false, json: false };
        assert!(run(&how).unwrap());
    }
}
