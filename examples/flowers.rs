//! From a folder of pictures to a classifier: each subfolder is a class.
//!
//! `cargo run --release --example flowers -- FOLDER [EPOCHS [PICTURE]]`; `--example digits_folder` makes a folder to try it with.
#![allow(clippy::print_stdout)] // printing is what this program is for

use nyang_train::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or("flowers".into());
    let epochs = std::env::args().nth(2).map_or(Ok(25), |epochs| epochs.parse())?;

    let data = ImageFolder::open(&folder)?
        .split(Split::stratified(0.8, 0.1, 0.1).seed(42))?
        .resize(64)
        .augment_train(transforms![HorizontalFlip::new(0.5), RandomCrop::new(64, 64).padding(8), TrivialAugmentWide::new()])
        .loaders(32)?; // train, valid, test; statistics fitted on train

    #[rustfmt::skip] // one line a stage
    let model = Flow::input([3, 64, 64]) // sizes are inferred from here on
        .conv(32, 3).batch_norm().relu().max_pool(2)
        .conv(64, 3).batch_norm().relu().max_pool(2)
        .conv(128, 3).batch_norm().relu().max_pool(2)
        .conv(128, 3).batch_norm().relu().global_avg_pool()
        .dropout(0.2).linear(data.classes().len())
        .build(&mut Init::seed(42))?;
    println!("{}", summary(&model, [3, 64, 64])?);

    #[rustfmt::skip]
    let run = Trainer::new(model, CrossEntropy::new().label_smoothing(0.1))
        .optimizer(AdamW::new(3e-3).weight_decay(0.05))
        .schedule(OneCycle::new())
        .epochs(epochs).clip_norm(1.0).keep_best(Metric::MacroF1)
        .overwrite(true).callback(Progress::new())
        .fit(&data.train, &data.valid, "runs/flowers")?; // best.nyang, checkpoint.nyang

    println!("{}", run.best()?.evaluate(&data.test)?); // accuracy, F1, report per class, confusion matrix
    let picture = std::env::args().nth(3).unwrap_or_else(|| data.test.dataset().source(0).to_string());
    println!("{picture}: {}", Classifier::load("runs/flowers/best.nyang")?.predict_file(&picture)?);
    Ok(())
}
