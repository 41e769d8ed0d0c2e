//! Data of one's own: three methods make a dataset, and everything else (split, loader, trainer) takes it.
//!
//! `cargo run --release --example own_dataset`
#![allow(clippy::print_stdout)] // printing is what this program is for

use nyang_train::prelude::*;

/// Pictures that are drawn when they are asked for: a disc or a square somewhere, on noise.
struct Shapes {
    classes: Vec<String>,
    count: usize,
}

impl Dataset for Shapes {
    fn len(&self) -> usize {
        self.count
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The same picture for the same index, whoever asks and however often.
    fn get(&self, index: usize) -> nyang_data::Result<Sample> {
        let mut rng = Rng::keyed([7, index as u64, 0, 0]);
        let label = index % 2;
        let (cx, cy, size) = (8 + rng.below(16), 8 + rng.below(16), 4 + rng.below(4));
        let mut pixels = Vec::with_capacity(32 * 32);
        for (y, x) in (0..32usize).flat_map(|y| (0..32usize).map(move |x| (y, x))) {
            let (dx, dy) = (x.abs_diff(cx), y.abs_diff(cy));
            let inside = if label == 0 { dx * dx + dy * dy <= size * size } else { dx.max(dy) <= size };
            pixels.push(rng.below(80) as u8 + if inside { 120 } else { 0 });
        }
        Ok(Sample { image: Image::from_bytes(32, 32, 1, pixels)?, label, source: self.source(index) })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shapes = Shapes { classes: vec!["disc".into(), "square".into()], count: 600 };
    let data = shapes.split(Split::stratified(0.6, 0.2, 0.2).seed(1))?.loaders(32)?;
    println!("{}", data.report);

    let model = Flow::input([1, 32, 32])
        .conv(8, 3)
        .batch_norm()
        .relu()
        .max_pool(2)
        .conv(16, 3)
        .batch_norm()
        .relu()
        .global_avg_pool()
        .linear(2)
        .build(&mut Init::seed(1))?;
    let run = Trainer::new(model, CrossEntropy::new()).optimizer(AdamW::new(0.01)).epochs(8).overwrite(true).fit(
        &data.train,
        &data.valid,
        "runs/own_dataset",
    )?;
    println!("test accuracy {:.3}", run.best()?.evaluate(&data.test)?.accuracy());
    Ok(())
}
