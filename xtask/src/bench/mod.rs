//! `cargo xtask bench`: how fast is it, and how fast is PyTorch on the same machine in the same minute?
//!
//! Clocks of a shared machine wander by a third within an hour, so figures of different hours say nothing. Here every contender (we,
//! each way of running PyTorch, another build of ours) is a process of its own that waits until it is asked; they are measured in turn, a
//! fraction of a second each, several times over, and each one's figure is the median of its turns. The ratio is to PyTorch's fastest way.
//! A turn during which the machine had not all its cores is taken again: see `gauge.rs`.

mod case;
mod data;
mod gauge;
mod machine;
mod models;
mod report;
mod side;
mod work;
pub mod worker;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use case::Case;
use gauge::Gauge;
use machine::Look;
use report::{Report, Row};
use side::{Side, median};

use crate::Outcome;

type Anything = Box<dyn std::error::Error>;

/// What there is to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Whole training steps: forward, loss, backward, optimizer
    Train,
    /// Evaluation of a batch
    Infer,
    /// Convolutions, layers, matrix products and optimizers, each by itself
    Ops,
    /// Loading: a pass over photographs in JPEG files, and over small images in memory, with augmentation
    Data,
    /// An epoch of training on 2048 small images in memory, with augmentation: `lenet` and `resnet20` unless others are named
    Epoch,
    /// From the start of a process to the end of its first training step, and the most memory it has had by then
    Start,
}

/// How it is to be measured.
#[derive(clap::Args)]
pub struct How {
    /// What to measure, one or several
    #[arg(required = true)]
    what: Vec<What>,
    /// Measure PyTorch too, in turn with ours, with this Python
    #[arg(long, value_name = "PYTHON")]
    torch: Option<PathBuf>,
    /// Measure another build of ours too, in turn: an older `target/release/xtask`, kept under another name
    #[arg(long, value_name = "XTASK")]
    against: Option<PathBuf>,
    /// Only these models, or operations whose name contains one of these
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    /// Batch sizes; 64 to train, 1 and 64 to infer unless given
    #[arg(long, value_delimiter = ',')]
    batch: Vec<usize>,
    /// Threads, one or several numbers; all cores unless given
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// How often the contenders take turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a turn
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
    /// Three short turns and no compiled variants: a few seconds a model
    #[arg(long)]
    quick: bool,
    /// Count the processor's time instead of the clock's, on one thread: for machines that others use too
    #[arg(long)]
    cpu: bool,
    /// Write the results to docs/benchmarks.md
    #[arg(long)]
    write: bool,
    /// End standard output with one line of JSON; the table goes to standard error
    #[arg(long)]
    json: bool,
}

/// Measures, shows the table.
///
/// # Errors
/// If there is nothing of that name, or a side cannot be started or fails.
pub fn run(how: &How) -> Outcome {
    if cfg!(debug_assertions) {
        return in_release();
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if how.cpu { vec![1] } else { Some(how.threads.clone()).filter(|t| !t.is_empty()).unwrap_or(vec![cores]) };
    let mut report = Report::new(how.cpu);
    for &threads in &threads {
        let mut bench = Bench { how, threads, gauge: Gauge::new(threads, how.rounds(), how.seconds(), how.cpu)? };
        for what in &how.what {
            if *what == What::Data {
                data::make_photos()?;
            }
            let cases = how.cases(*what);
            if cases.is_empty() {
                return Err(format!("nothing there is called {}", how.models.join(" or ")).into());
            }
            for case in cases {
                let row = if *what == What::Start { bench.start(&case)? } else { bench.measure(&case)? };
                writeln!(io::stderr(), "{}", row.line())?;
                report.rows.push(row);
            }
        }
        report.peaks.push((threads, bench.gauge.peak));
    }
    if how.write {
        report.write()?;
    }
    let text = report.shown();
    if how.json {
        io::stderr().write_all(text.as_bytes())?;
        writeln!(io::stdout(), "{}", report.json())?;
    } else {
        io::stdout().write_all(text.as_bytes())?;
    }
    Ok(true)
}

/// The same command again, by a program that is built for speed.
fn in_release() -> Outcome {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = std::env::args_os().skip(1);
    let status = Command::new(cargo).args(["run", "--quiet", "--release", "--package", "xtask", "--"]).args(arguments).status()?;
    Ok(status.success())
}

impl How {
    fn cases(&self, what: What) -> Vec<Case> {
        let batches = |usual: &[usize]| if self.batch.is_empty() { usual.to_vec() } else { self.batch.clone() };
        match what {
            What::Train => case::models("train", &self.models, &batches(&[64])),
            What::Infer => case::models("infer", &self.models, &batches(&[1, 64])),
            What::Epoch if self.models.is_empty() => case::models("epoch", &["lenet", "resnet20"].map(str::to_owned), &batches(&[64])),
            What::Epoch => case::models("epoch", &self.models, &batches(&[64])),
            What::Start => case::models("start", &self.models, &batches(&[64])),
            What::Ops => case::operations(&self.models),
            What::Data => data::cases(&self.models),
        }
    }

    fn rounds(&self) -> usize {
        if self.quick { 3 } else { self.rounds.max(1) }
    }

    fn seconds(&self) -> f64 {
        if self.quick { 0.1 } else { self.seconds }
    }
}

/// One side doing a case in one way.
struct Contender {
    side: usize,
    variant: String,
    turns: Vec<f64>,
    dropped: bool,
}

struct Bench<'a> {
    how: &'a How,
    threads: usize,
    gauge: Gauge,
}

impl Bench<'_> {
    /// The processes that take part: ours first.
    fn sides(&self, words: &[String]) -> Result<Vec<Side>, Anything> {
        let mut sides = vec![Side::ours(&std::env::current_exe()?, "ours", self.threads, words)?];
        if let Some(program) = &self.how.against {
            sides.push(Side::ours(program, "before", self.threads, words)?);
        }
        if let Some(python) = &self.how.torch {
            sides.push(Side::torch(python, self.threads, words)?);
        }
        Ok(sides)
    }

    /// Measures a case in turns.
    fn measure(&mut self, case: &Case) -> Result<Row, Anything> {
        let mut sides = self.sides(&case.words)?;
        let mut row = Row::new(&case.name, self.threads);
        let mut contenders = Vec::new();
        for (i, side) in sides.iter_mut().enumerate() {
            for variant in side.variants()? {
                if self.how.quick && variant.contains("compile") {
                    continue;
                }
                match side.prepare(&variant) {
                    Ok(flops) => {
                        row.flops = row.flops.or(flops);
                        contenders.push(Contender { side: i, variant, turns: Vec::new(), dropped: false });
                    }
                    Err(error) if i == 0 => return Err(format!("{}: {error}", case.name).into()),
                    Err(error) => row.notes.push(format!("{} {variant}: {error}", side.name)),
                }
            }
        }
        let ids: Vec<u32> = sides.iter().map(Side::id).chain([std::process::id(), self.gauge.id()]).collect();
        let before = Look::at(&ids);
        for round in 0..self.how.rounds() {
            for contender in contenders.iter_mut().filter(|c| !c.dropped) {
                let mut take = || sides[contender.side].run(&contender.variant, self.how.seconds(), self.how.cpu);
                // the processor's time, on the other hand, is what others leave of it
                contender.turns.push(if self.how.cpu { take()? } else { self.gauge.turn(&mut row.turns, take)? });
            }
            if round == 1 {
                drop_the_slow(&mut contenders, sides.len() - 1);
            }
        }
        row.strangers = before.zip(Look::at(&ids)).map(|(before, after)| after.strangers_since(&before));
        for contender in &contenders {
            row.add(&sides[contender.side].name, &contender.variant, median(&contender.turns));
        }
        for side in &mut sides {
            row.memory.push((side.name.clone(), side.peak_mb()?));
        }
        Ok(row)
    }

    /// From the start of a process to the end of its first step, in turns; PyTorch's plain way alone, for the others start later.
    fn start(&self, case: &Case) -> Result<Row, Anything> {
        let mut words = case.words.clone();
        words[0] = "train".to_owned();
        let mut row = Row::new(&case.name, self.threads);
        let mut turns: Vec<(String, Vec<f64>, Option<f64>)> = Vec::new();
        let sides = [Some((std::env::current_exe()?, "ours")), self.how.torch.clone().map(|python| (python, "eager"))];
        for round in 0..self.how.rounds() {
            for (i, (program, variant)) in sides.iter().flatten().enumerate() {
                let began = Instant::now();
                let mut side = match i {
                    0 => Side::ours(program, "ours", self.threads, &words)?,
                    _ => Side::torch(program, self.threads, &words)?,
                };
                side.prepare(variant)?; // which runs it once
                let seconds = began.elapsed().as_secs_f64();
                side.run(variant, 0.0, false)?;
                if round == 0 {
                    turns.push((side.name.clone(), Vec::new(), None));
                }
                turns[i].1.push(seconds);
                turns[i].2 = side.peak_mb()?;
            }
        }
        for (i, (name, seconds, memory)) in turns.into_iter().enumerate() {
            row.add(&name, if i == 0 { "ours" } else { "eager" }, median(&seconds));
            row.memory.push((name, memory));
        }
        Ok(row)
    }
}

/// After two turns, what is half as slow again as the side's fastest will not become the fastest, and takes no more time.
fn drop_the_slow(contenders: &mut [Contender], last_side: usize) {
    for side in 0..=last_side {
        let best = contenders.iter().filter(|c| c.side == side).map(|c| median(&c.turns)).fold(f64::INFINITY, f64::min);
        contenders.iter_mut().filter(|c| c.side == side).for_each(|c| c.dropped = median(&c.turns) > 1.5 * best);
    }
}
