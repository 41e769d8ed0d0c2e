//! Loading: photographs from JPEG files to standardised batches, and augmentation of small images in memory; and what that takes from training.
//!
//! A call is a pass over all images in batches of 64, by as many workers as there are threads, which start within the pass as they do in
//! an epoch; on one thread there are no workers, so that its processor time is all there is. Both sides read the same files, which are made on the spot.

use std::fs;
use std::path::{Path, PathBuf};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use nyang_data::{
    Dataset, HorizontalFlip, Image, ImageFolder, InMemory, Interpolation, Loader, Normalize, RandomCrop, Resize, Transform, transforms,
};
use nyang_tensor::Rng;

use super::case::Case;
use super::models::{CLASSES, Entry};
use super::work::{Work, train_step};

type Anything = Box<dyn std::error::Error>;

/// How many photographs there are, and how many pixels a side they have.
const PHOTOS: usize = 2000;
const SIDE: usize = 224;

/// How many images of 32 × 32 are in memory.
const IMAGES: usize = 20_000;

const BATCH: usize = 64;

/// How many images an epoch of training has.
const EPOCH: usize = 2048;

/// The cases whose name contains one of `chosen`.
pub fn cases(chosen: &[String]) -> Vec<Case> {
    let case = |kind: &str| {
        let mut words = vec!["data".to_owned(), kind.to_owned()];
        words.extend((kind == "jpeg").then(|| folder().display().to_string()));
        Case { name: format!("data/{kind}"), words }
    };
    let all = ["jpeg", "memory"].map(case).into_iter();
    all.filter(|case| chosen.is_empty() || chosen.iter().any(|c| case.name.contains(c))).collect()
}

/// The work of a case.
pub fn prepare(kind: &str) -> Result<Work, Anything> {
    let workers = Some(nyang_tensor::parallel::threads()).filter(|n| *n > 1).unwrap_or(0);
    let (loader, images) = match kind {
        "jpeg" => {
            let set = ImageFolder::open(folder())?;
            let images = set.len();
            let vary = transforms![Resize::exact(64, 64), HorizontalFlip::new(0.5), RandomCrop::new(64, 64).padding(8)];
            (Loader::new(set).transform(vary), images)
        }
        "memory" => {
            let vary = transforms![HorizontalFlip::new(0.5), RandomCrop::new(32, 32).padding(4)];
            (Loader::new(in_memory([IMAGES, 32, 32, 3])?).transform(vary), IMAGES)
        }
        other => return Err(format!("no such data: {other}").into()),
    };
    let loader = loader.batch_size(BATCH).shuffle(1).normalize(Normalize::imagenet()).workers(workers);
    let mut epoch = 0;
    let call = move || {
        let mut seen = 0;
        for batch in loader.epoch(epoch) {
            seen += batch?.len();
        }
        epoch += 1;
        if seen == images { Ok(()) } else { Err(format!("{seen} of {images} images came").into()) }
    };
    Ok(Work { call: Box::new(call), flops: None })
}

/// A whole epoch of training: a model on small images in memory, which the cores that train also shuffle, crop, flip and standardise.
pub fn epoch(entry: &'static Entry, batch: usize) -> Result<Work, Anything> {
    let shape = entry.batch(EPOCH);
    let &[n, c, h, w] = shape.dims() else { return Err("images have three dimensions".into()) };
    let vary = transforms![HorizontalFlip::new(0.5), RandomCrop::new(h, w).padding(4)];
    let loader = Loader::new(in_memory([n, h, w, c])?).transform(vary).batch_size(batch).shuffle(1);
    let loader = loader.normalize(Normalize::new(vec![0.45; c], vec![0.23; c])?);
    let (mut model, mut optimizer, mut epoch) = (entry.build()?, entry.optimizer(), 0);
    let call = move || {
        for batch in loader.epoch(epoch) {
            let batch = batch?;
            train_step(&mut model, optimizer.as_mut(), batch.images, &batch.targets)?;
        }
        epoch += 1;
        Ok(())
    };
    Ok(Work { call: Box::new(call), flops: None })
}

/// Images of bytes, `[N, H, W, C]`, of as many classes as the models tell apart.
fn in_memory(shape: [usize; 4]) -> Result<InMemory, Anything> {
    let values = (0..shape.iter().product()).map(|i: usize| (i * 7919 % 251) as u8).collect();
    let labels = (0..shape[0]).map(|i| i * 7 % CLASSES).collect();
    Ok(InMemory::from_bytes(shape, values, labels, (0..CLASSES).map(|class| class.to_string()))?)
}

/// Where the photographs are: among what is built.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/photographs")
}

/// Makes the photographs unless they are there: smooth colours, grain of two sizes; quality 90 and half as many pixels of colour as of light
/// each way, as Pillow writes and most cameras do; about 27 KB each.
pub fn make_photos() -> Result<(), Anything> {
    let done = folder();
    if done.is_dir() {
        return Ok(());
    }
    let making = done.with_extension("part");
    if making.exists() {
        fs::remove_dir_all(&making)?; // left over from a run that was stopped
    }
    for number in 0..PHOTOS {
        let class = making.join(format!("class{}", number % 10));
        fs::create_dir_all(&class)?;
        let pixels = photo(&mut Rng::seed(number as u64))?;
        let mut encoder = Encoder::new_file(class.join(format!("{number}.jpg")), 90)?;
        encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
        encoder.encode(&pixels, SIDE as u16, SIDE as u16, ColorType::Rgb)?;
    }
    fs::rename(making, done)?;
    Ok(())
}

/// The bytes of a photograph that nobody took.
fn photo(rng: &mut Rng) -> Result<Vec<u8>, Anything> {
    let coarse = Image::from_bytes(6, 6, 3, (0..6 * 6 * 3).map(|_| rng.below(256) as u8).collect())?;
    let smooth = Resize::exact(SIDE, SIDE).interpolation(Interpolation::Bicubic).apply(coarse, rng)?;
    let mut grain = || rng.normal() as f32;
    let large: Vec<f32> = (0..SIDE * SIDE * 3 / 4).map(|_| 18.0 * grain()).collect();
    let value = |(i, &smooth): (usize, &u8)| {
        let (y, x, c) = (i / (SIDE * 3), i / 3 % SIDE, i % 3);
        let large = large[(y / 2 * (SIDE / 2) + x / 2) * 3 + c]; // two pixels each way share it
        (f32::from(smooth) + large + 6.0 * grain()).round() as u8
    };
    Ok(smooth.bytes().unwrap_or_default().iter().enumerate().map(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photographs_are_grainy_pictures_and_cases_are_chosen_by_name() {
        let pixels = photo(&mut Rng::seed(1)).unwrap();
        let apart = |i: usize| (f32::from(pixels[i]) - f32::from(pixels[i + 6])).abs(); // two pixels to the right
        let mean = (0..30_000).map(apart).sum::<f32>() / 30_000.0;
        assert!(pixels.len() == 224 * 224 * 3 && (10.0..35.0).contains(&mean), "{mean}"); // √2 · √(18² + 6²) · √(2/π) = 21, less at the ends
        assert_eq!(cases(&["mem".into()]).len(), 1);
        assert_eq!(cases(&[])[0].words.len(), 3);
    }
}
