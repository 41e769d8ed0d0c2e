//! The training loop with nothing hidden: forward, loss, backward, step.
//!
//! `cargo run --release --example open_loop`
#![allow(clippy::print_stdout)] // printing is what this program is for

use nyang_train::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parts = Digits::load()?.split(Split::stratified(0.8, 0.0, 0.2).seed(1))?;
    let (train, test) = (Loader::new(parts.train).batch_size(64).shuffle(1), Loader::new(parts.test).batch_size(64));

    let mut model = Flow::input([1, 8, 8]).linear(64).relu().linear(10).build::<f32>(&mut Init::seed(1))?;
    let cross_entropy = CrossEntropy::new();
    let mut optimizer = Sgd::new(0.1).momentum(0.9);
    let mut schedule = Scheduler::start(StepDecay::new(5, 0.5), &mut optimizer)?;

    for epoch in 0..10 {
        let mut last = f64::NAN;
        for batch in train.epoch(epoch) {
            let batch = batch?;
            let mut cx = Ctx::train(epoch);
            let logits = model.forward(batch.images, &mut cx)?;
            let loss = cross_entropy.value_grad(&logits, &batch.targets)?.mean()?;
            model.backward_params(loss.gradient, &mut cx)?; // adds to every parameter's gradient
            optimizer.step(&mut model)?; // applies the gradients and clears them
            last = loss.value;
        }
        println!("epoch {:>2}  lr {:.4}  loss of the last batch {last:.4}", epoch + 1, optimizer.lr());
        schedule.step(&mut optimizer)?;
    }
    println!("test accuracy {:.3}", evaluate(&model, &cross_entropy, &test, &mut [])?.accuracy());
    Ok(())
}
