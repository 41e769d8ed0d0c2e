//! A run watched with everything there is: logs, report, and a look into the network.
//!
//! `cargo run --release --example watch [-- --out RUN]`, then open `RUN/report.html`; `tensorboard --logdir RUN`, `wandb leet RUN/wandb/offline-run-…`
#![allow(clippy::print_stdout)] // printing is what this program is for

use std::path::PathBuf;

use clap::Parser;
use nyang_train::insight::{LayerStatistics, LayerTimes, ParameterStatistics, feature_maps, first_filters, grad_cam, tiles};
use nyang_train::prelude::*;

/// Trains on handwritten digits, writes every log, and looks into the model.
#[derive(Parser)]
struct Arguments {
    /// The folder that everything goes to.
    #[arg(long, default_value = "runs/watch")]
    out: PathBuf,
    /// How many epochs to train.
    #[arg(long, default_value_t = 8)]
    epochs: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { out, epochs } = Arguments::parse();
    let parts = Digits::load()?.split(Split::stratified(0.6, 0.2, 0.2).seed(1))?;
    let train = Loader::new(parts.train).batch_size(64).shuffle(1).transform(transforms![RandomCrop::new(8, 8).padding(1)]);
    let valid = Loader::new(parts.valid).batch_size(256);
    #[rustfmt::skip] // one line a stage
    let model = Flow::input([1, 8, 8])
        .conv(16, 3).batch_norm().relu()
        .conv(32, 3).batch_norm().relu()
        .global_avg_pool().linear(10)
        .build(&mut Init::seed(1))?;

    let mut run = Trainer::new(model, CrossEntropy::new())
        .optimizer(Adam::new(3e-3))
        .epochs(epochs)
        .overwrite(true)
        .callback(Progress::new())
        .callback(CsvLog::new())
        .callback(JsonLines::new())
        .callback(TensorBoard::new())
        .callback(Wandb::new("nyangtorch").name("digits"))
        .callback(HtmlReport::new().title("Handwritten digits"))
        .fit(&train, &valid, &out)?;

    // What the first layer looks for, what the last convolution finds in one image, and where the evidence for its digit is.
    let batch = valid.epoch(0).next().ok_or("no images")??;
    let (image, digit) = (batch.images.select(0, 0)?, batch.targets.classes()?.first().copied().unwrap_or(0));
    first_filters(run.model.as_ref())?.save(out.join("filters.png"))?;
    tiles(&feature_maps(run.model.as_ref(), &image, "5")?)?.save(out.join("feature_maps.png"))?;
    grad_cam(run.model.as_mut(), &image, digit, None)?.over(&image, None)?.enlarged(32).save(out.join("grad_cam.png"))?;

    // What flows through it, and what takes the time: one step, watched twice.
    let loss = CrossEntropy::new();
    let mut step = |cx: &mut Ctx<'_>| -> Result<()> {
        let logits = run.model.forward(batch.images.clone(), cx)?;
        run.model.backward_params(loss.value_grad(&logits, &batch.targets)?.mean()?.gradient, cx)?;
        Ok(())
    };
    let (mut statistics, mut times) = (LayerStatistics::new(), LayerTimes::new());
    step(&mut Ctx::train(1).observed(&mut statistics))?;
    step(&mut Ctx::train(1).observed(&mut times))?;
    println!("{statistics}\n{}\n{times}", ParameterStatistics::of(run.model.as_ref()));
    println!("best epoch {} of {}; see {}", run.best_epoch, run.history.len(), out.join("report.html").display());
    Ok(())
}
