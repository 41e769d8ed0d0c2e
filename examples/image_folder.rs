//! A look at a folder of images before anything is trained on it: what is where, what the model will see, what augmentation does.
//!
//! `cargo run --release --example image_folder -- DIR` writes grid.png, preview.png and split.txt
#![allow(clippy::print_stdout)] // printing is what this program is for

use std::path::{Path, PathBuf};

use clap::Parser;
use nyang_train::prelude::*;

/// Splits a folder whose subfolders are the classes, and draws what a model would be given.
#[derive(Parser)]
struct Arguments {
    /// The folder; the embedded digits if there is none
    dir: Option<PathBuf>,
    /// Where grid.png, preview.png and split.txt are written; made if it is not there
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Height and width of the images as the model sees them
    #[arg(long, default_value_t = 96)]
    size: usize,
    /// The seed of split, order and augmentation
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Leave out files that cannot be read
    #[arg(long)]
    skip_unreadable: bool,
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        say(&error.to_string());
        std::process::exit(1);
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let (split, size) = (Split::stratified(0.8, 0.1, 0.1).seed(arguments.seed), arguments.size);
    let shift = RandomCrop::new(size, size).padding(size / 8);
    match &arguments.dir {
        Some(dir) => {
            let augment = transforms![HorizontalFlip::new(0.5), shift, TrivialAugmentWide::new()];
            look(ImageFolder::open(dir)?.split(split)?, augment, arguments)
        }
        None => look(Digits::load()?.split(split)?, transforms![shift], arguments), // a mirrored digit is none
    }
}

fn look<D: Dataset + 'static>(parts: Parts<D>, augment: Transforms, arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let &Arguments { ref out, size, skip_unreadable, .. } = arguments;
    let parts = parts.resize(size).augment_train(augment);
    let parts = if skip_unreadable { parts.skip_unreadable() } else { parts };
    let data = parts.loaders(36)?;

    let weights = data.class_weights();
    let weighed = data.classes().iter().zip(&weights).map(|(class, weight)| format!("{weight:>7.3}  {class}\n")).collect::<String>();
    let report = format!("{}\n weight  class\n{weighed}", data.report);
    println!("{report}");
    if let Some(normalize) = data.normalization() {
        println!("mean {:.4?}, standard deviation {:.4?} of the training images", normalize.mean(), normalize.std());
    }

    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("split.txt"), report)?;
    let batch = data.train.epoch(0).next().ok_or("there is no batch")??;
    images_grid(&batch, &data.train)?.save_png(out.join("grid.png"))?;
    let first = batch.indices.first().copied().unwrap_or(0);
    augmentation_preview(&data.train, first, 15)?.save_png(out.join("preview.png"))?;
    ["grid.png", "preview.png", "split.txt"].iter().for_each(|name| println!("wrote {}", shown(&out.join(name))));
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn say(message: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "image_folder: {message}"); // nobody is left to hear it if this fails
}
