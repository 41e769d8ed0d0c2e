//! One model, many threads: `infer` keeps nothing, so a classifier is shared without a lock, and each picture gets the same answer.
//!
//! `cargo run --release --example threads`
#![allow(clippy::print_stdout)] // printing is what this program is for

use std::thread;

use nyang_train::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A small model to serve.
    let data = Digits::load()?.split(Split::stratified(0.6, 0.2, 0.2).seed(1))?.loaders(64)?;
    let model = Flow::input([1, 8, 8]).linear(64).relu().linear(10).build(&mut Init::seed(1))?;
    let run = Trainer::new(model, CrossEntropy::new()).optimizer(Adam::new(0.005)).epochs(10).overwrite(true).fit(
        &data.train,
        &data.valid,
        "runs/threads",
    )?;

    // Four threads ask the same model for the same pictures, one at a time.
    let classifier = Classifier::load(&run.path)?;
    let pictures: Vec<Tensor> = data.test.epoch(0).map(|batch| Ok(batch?.images)).collect::<Result<Vec<_>, Error>>()?;
    let ask = || -> Result<Vec<Vec<f32>>, Error> {
        pictures.iter().map(|x| Ok(classifier.model.infer(x.clone(), &mut Ctx::eval())?.to_vec())).collect()
    };
    let answers = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Ok(Vec::new()))).collect::<Result<Vec<_>, Error>>()
    })?;
    let same = answers.windows(2).all(|pair| pair[0] == pair[1]);
    println!("{} threads, {} batches each, the same bits: {same}", answers.len(), pictures.len());
    if same { Ok(()) } else { Err("two threads got different answers".into()) }
}
