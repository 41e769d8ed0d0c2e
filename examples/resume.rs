//! A run that is interrupted and goes on as if nothing had happened: to the last bit the same.
//!
//! `cargo run --release --example resume`; kill it whenever you like and start it again.
#![allow(clippy::print_stdout)] // printing is what this program is for

use nyang_train::prelude::*;

/// The same run in that folder: begun if nothing is there, else gone on with.
fn run(folder: &str, interrupt: Option<u64>) -> Result<Run> {
    let data = Digits::load()?.split(Split::stratified(0.6, 0.2, 0.2).seed(1))?.loaders(64)?;
    let model = Flow::input([1, 8, 8]).conv(16, 3).batch_norm().relu().dropout(0.2).linear(10).build(&mut Init::seed(1))?;
    let trainer = Trainer::new(model, CrossEntropy::new()).optimizer(AdamW::new(3e-3)).schedule(OneCycle::new()).epochs(4);
    trainer.checkpoint_every(Every::Steps(5)).resume(true).callback(Progress::new()).callback(Interrupt(interrupt)).fit(
        &data.train,
        &data.valid,
        folder,
    )
}

/// Stops after a number of steps.
struct Interrupt(Option<u64>);

impl Callback for Interrupt {
    fn batch_ended(&mut self, report: &BatchReport, control: &mut Control) -> Result<()> {
        if Some(report.step) == self.0 {
            control.stop("somebody pulled the plug");
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let whole = run("runs/resume/whole", None)?;
    let part = run("runs/resume/interrupted", Some(23))?;
    println!("interrupted after {} epochs: {:?}", part.history.len(), part.stopped);
    let resumed = run("runs/resume/interrupted", None)?;
    let same = std::fs::read(whole.path)? == std::fs::read(resumed.path)?;
    println!("the two models are {}", if same { "the same, byte for byte" } else { "different" });
    if same { Ok(()) } else { Err("a resumed run must be the run".into()) }
}
