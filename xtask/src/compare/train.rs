//! The same training in both: who computes what, run by run, and the figures that follow.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::page;
use super::plan::{Data, PLANS, Plan};
use crate::Outcome;

type Anything = Box<dyn std::error::Error>;

/// How the training is to be compared.
#[derive(clap::Args)]
pub struct How {
    /// A Python with torch and safetensors
    #[arg(long, default_value = "python3")]
    pub python: PathBuf,
    /// Only this model: mlp, lenet, deepconvnet or resnet20
    #[arg(long)]
    pub model: Option<String>,
    /// Epochs of each run; at least 200 steps are compared
    #[arg(long, default_value_t = 10)]
    pub epochs: usize,
    /// Seeds of the first weights and the orders
    #[arg(long, default_value_t = 3)]
    pub seeds: u64,
    /// Threads on both sides
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// MNIST's files, in place of the embedded digits
    #[arg(long, value_name = "FOLDER")]
    mnist: Option<PathBuf>,
    /// Fashion-MNIST's files
    #[arg(long, value_name = "FOLDER")]
    fashion_mnist: Option<PathBuf>,
    /// CIFAR-10's binary files
    #[arg(long, value_name = "FOLDER")]
    cifar10: Option<PathBuf>,
    /// Put the figures and plots into docs/comparison, and all that are there into docs/comparison.md
    #[arg(long)]
    write: bool,
    /// Nothing else runs on the machine: show the time per epoch too
    #[arg(long)]
    quiet: bool,
}

/// The steps whose losses are compared.
pub const STEPS: usize = 200;

/// The most that losses may differ in f64, without batch norm.
pub const F64: f64 = 1e-8;

/// How many times faster than PyTorch from itself we may leave PyTorch in f32.
pub const TIMES: f64 = 3.0;

/// Trains every model in both, shows the figures, and says whether they are within their limits.
pub fn run(how: &How) -> Outcome {
    let data = match (&how.mnist, &how.fashion_mnist, &how.cifar10) {
        (Some(folder), _, _) => Data::idx("mnist", folder)?,
        (_, Some(folder), _) => Data::idx("fashion-mnist", folder)?,
        (_, _, Some(folder)) => Data::cifar10(folder)?,
        _ => Data::digits()?,
    };
    let plans: Vec<&Plan> = PLANS.iter().filter(|plan| how.model.as_deref().is_none_or(|model| model == plan.model)).collect();
    if plans.is_empty() {
        return Err("no such model; there are mlp, lenet, deepconvnet and resnet20".into());
    }
    let (mut models, mut pytorch) = (Vec::new(), PyTorch::start(&how.python)?);
    for plan in plans {
        let runs = (1..=how.seeds).map(|seed| one_seed(how, plan, &data, seed, &mut pytorch)).collect::<Result<Vec<_>, _>>()?;
        models.push(serde_json::json!({
            "model": plan.model, "norm": plan.norm, "runs": runs, "plan": format!("{plan:?}"), "epochs": how.epochs, "quiet": how.quiet,
        }));
    }
    let mut figures = serde_json::json!({
        "data": data.name, "threads": how.threads, "models": models,
        "train": data.train.labels.len(), "test": data.test.labels.len(),
    });
    let all_is_well = super::verdict::judge(&mut figures);
    io::stdout().write_all(page::table(&figures).as_bytes())?;
    if how.write {
        page::write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs"), &super::verdict::thinned(&figures))?;
    }
    Ok(all_is_well)
}

/// Every variant of one model and seed. The two sides take turns, so that other work on the machine hits both.
fn one_seed(how: &How, plan: &Plan, data: &Data, seed: u64, pytorch: &mut PyTorch) -> Result<Value, Anything> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../target/compare/{}-{}-{seed}", data.name, plan.model));
    std::fs::create_dir_all(&folder)?;
    plan.write(&folder, data, how.epochs, seed, how.threads)?;
    let place = folder.to_str().ok_or("the target folder's path is not UTF-8")?;
    let ours = |variant: &str, most: &str| -> Result<Value, Anything> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["compare", "ours", place, variant, most]);
        let output = command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{command:?} ended with {}", output.status).into());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(serde_json::from_str(text.lines().last().ok_or("nothing was printed")?)?)
    };
    let mut run = serde_json::Map::from_iter([("seed".to_owned(), seed.into())]);
    let (mut log, first) = (io::stderr(), STEPS.to_string());
    for (side, variant, length) in VARIANTS {
        let most = if length == Length::Whole { "all" } else { &first };
        let said = if side == "ours" { ours(variant, most)? } else { pytorch.train(variant, most, place)? };
        let test = said["right"].as_u64().map_or_else(String::new, |right| format!(", test {right}/{}", said["tests"]));
        writeln!(log, "{} {} seed {seed}: {side} {variant}{test}", data.name, plan.model)?;
        run.insert(format!("{side}_{variant}"), said);
    }
    if seed == 1 {
        // a fresh process, for its peak memory
        run.insert("theirs_alone".to_owned(), PyTorch::start(&how.python)?.train("f32", &first, place)?);
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(Value::Object(run))
}

/// How far a variant is trained.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    /// Every epoch: its accuracy and time are shown.
    Whole,
    /// The steps that are compared, and no test: it only says how far numbers part.
    Steps,
}

/// Who trains, how, and how far.
const VARIANTS: [(&str, &str, Length); 7] = [
    ("theirs", "f32", Length::Whole),
    ("ours", "f32", Length::Whole),
    ("theirs", "channels_last", Length::Whole),
    ("theirs", "one_thread", Length::Steps),
    ("theirs", "f64", Length::Steps),
    ("ours", "f64", Length::Steps),
    ("ours", "f32_direct", Length::Steps),
];

/// A Python with PyTorch loaded, which trains what it is told to.
struct PyTorch {
    process: Child,
    answers: BufReader<ChildStdout>,
}

impl PyTorch {
    fn start(python: &Path) -> Result<Self, Anything> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("compare/train.py");
        let mut command = Command::new(python);
        let mut process = (command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn())
            .map_err(|e| format!("cannot start {}: {e}; name a Python with `--python PATH`", python.display()))?;
        let answers = BufReader::new(process.stdout.take().ok_or("Python's output is closed")?);
        Ok(PyTorch { process, answers })
    }

    fn train(&mut self, variant: &str, most: &str, folder: &str) -> Result<Value, Anything> {
        let input = self.process.stdin.as_mut().ok_or("Python's input is closed")?;
        writeln!(input, "{variant} {most} {folder}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() {
            return Err(format!("Python ended before it answered for {variant}, see above").into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for PyTorch {
    /// Python ends when its input does.
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait(); // nothing is left to do if it is gone already
    }
}
