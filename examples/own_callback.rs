//! A callback of one's own: five lines that watch a run, and stop it when it is good enough.
//!
//! `cargo run --release --example own_callback`
#![allow(clippy::print_stdout)] // printing is what this program is for

use nyang_train::prelude::*;

/// Ends the run at an accuracy of 95 %.
struct GoodEnough;

impl Callback for GoodEnough {
    fn epoch_ended(&mut self, end: &EpochEnd<'_>, control: &mut Control) -> Result<()> {
        if end.report.valid_accuracy >= 0.95 {
            control.stop(format!("{:.1} % are right", 100.0 * end.report.valid_accuracy));
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = Digits::load()?.split(Split::stratified(0.6, 0.2, 0.2).seed(1))?.loaders(64)?;
    let model = Flow::input([1, 8, 8]).conv(16, 3).batch_norm().relu().max_pool(2).linear(10).build(&mut Init::seed(1))?;
    let trainer = Trainer::new(model, CrossEntropy::new()).optimizer(AdamW::new(3e-3)).epochs(30).overwrite(true);
    let run = trainer.callback(Progress::new()).callback(GoodEnough).fit(&data.train, &data.valid, "runs/own_callback")?;
    println!("stopped after {} epochs: {}", run.history.len(), run.stopped.as_deref().unwrap_or("all are done"));
    Ok(())
}
