//! The main job, end to end: handwritten digits, from the data to a saved model that is loaded again and measured.
//!
//! `cargo run --release --example digits [-- --seed S]`
#![allow(clippy::print_stdout)] // printing is what this program is for

use clap::Parser;
use nyang_train::prelude::*;

/// Trains a small convolutional network on 1,797 handwritten digits and tests it.
#[derive(Parser)]
struct Arguments {
    /// The seed of everything random: split, first weights, order, dropout.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { seed } = Arguments::parse();

    // Data: 60 % to learn from, 20 % to decide when to stop, 20 % that the model never sees before the end.
    let parts = Digits::load()?.split(Split::stratified(0.6, 0.2, 0.2).seed(seed))?;
    println!("{}", parts.report());
    let train = Loader::new(parts.train).batch_size(64).shuffle(seed).last_batch(LastBatch::Merge);
    let valid = Loader::new(parts.valid).batch_size(256);
    let test = Loader::new(parts.test).batch_size(256);

    // Model: sizes are inferred from the input on.
    #[rustfmt::skip] // one line a stage
    let model = Flow::input([1, 8, 8])
        .conv(32, 3).batch_norm().relu()
        .conv(64, 3).batch_norm().relu().max_pool(2)
        .dropout(0.3).linear(10)
        .build(&mut Init::seed(seed))?;
    println!("{}\n", summary(&model, [1, 8, 8])?);

    // Training: the model with the lowest validation loss is saved.
    let run = Trainer::new(model, CrossEntropy::new())
        .optimizer(Adam::new(2e-3))
        .schedule(StepDecay::new(12, 0.3))
        .epochs(36)
        .patience(10)
        .seed(seed)
        .overwrite(true)
        .callback(Progress::new())
        .fit(&train, &valid, format!("runs/digits-{seed}"))?;
    println!("best epoch {} of {}, saved as {}\n", run.best_epoch, run.history.len(), run.path.display());

    // Test: as another program would, from the file alone.
    let classifier = Classifier::load(&run.path)?;
    let result = classifier.evaluate(&test)?;
    println!("{}\n{}", result.confusion.report()?, result.confusion);
    println!("test accuracy {:.3}  macro F1 {:.3}", result.accuracy(), result.macro_f1());
    Ok(())
}
