//! docs/transforms.md: what each transform does to one picture. The sentences come from the pages, the pictures from the transforms.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use nyang_data::*;
use nyang_tensor::Rng;

use super::{cell, sentence};
use crate::Outcome;

/// Where the text is written, and the folder of its pictures, from the root of the repository.
const TEXT: &str = "docs/transforms.md";
const PICTURES: &str = "docs/transforms";

/// Where the transforms are, and the list of them.
const SOURCES: &str = "crates/nyang-data/src/transform";

/// The picture's side in pixels.
const SIDE: usize = 64;

/// How far a picture may be from the one that is in the repository, of 255: another processor may round a value differently.
const TOLERANCE: u8 = 2;

const INTRODUCTION: &str = "# What the transforms do

Each transform of [nyang-data](../crates/nyang-data/README.md) on one picture: the picture, then three results, drawn as three epochs would draw them.
Fixed transforms give the same three times. Names and settings are those of torchvision or albumentations; each page says whose, and with
which numbers it was compared.

This file and its pictures are written by `cargo xtask docs`.

| | what | with | picture, and three results |
|---|---|---|---|
";

/// Makes the example and the text of it at once, so that they cannot differ.
macro_rules! examples {
    ($($step:expr),* $(,)?) => {
        vec![$((stringify!($step), Step::from($step))),*]
    };
}

/// One setting of each transform.
fn examples() -> Vec<(&'static str, Step)> {
    examples![
        Affine::new().degrees(20.0).translate(0.1, 0.1).scale(0.8..=1.2).shear(10.0),
        AugMix::new(),
        AutoContrast::new(),
        BrightnessContrast::new(0.4, 0.4),
        CenterCrop::new(40, 40),
        CoarseDropout::new(3..=6),
        ColorJitter::new(0.4, 0.4, 0.4, 0.1),
        D4::new(),
        ElasticTransform::new(60.0, 4.0),
        Equalize::new(),
        GaussNoise::new(0.05..=0.15),
        GaussianBlur::new(7),
        Grayscale::new(3),
        GridDistortion::new(4, 0.4),
        HorizontalFlip::new(1.0),
        HueSaturation::new(20.0, 80.0, 20.0),
        Invert::new(),
        JpegCompression::new(3..=10),
        OneOf::new(transforms![Invert::new(), GaussianBlur::new(7), Rotate90::new()]),
        Pad::new(8).border(Border::Reflect),
        Perspective::new(0.5),
        Posterize::new(2),
        RandAugment::new(2, 15),
        RandomApply::new(0.5, transforms![Rotate::new(45.0)]),
        RandomCrop::new(64, 64).padding(16),
        RandomErasing::new(1.0),
        RandomOrder::new(transforms![Posterize::new(2), Solarize::new(128.0)]),
        RandomResizedCrop::new(64, 64),
        Resize::exact(32, 64),
        Rotate::new(30.0),
        Rotate90::new(),
        Sharpen::new(3.0..=6.0),
        Solarize::new(128.0),
        SomeOf::new(1..=2, transforms![Invert::new(), VerticalFlip::new(1.0), Posterize::new(1)]),
        ToFloat::new(50.0, 200.0),
        TrivialAugmentWide::new(),
        VerticalFlip::new(1.0),
    ]
}

/// The setting that the picture of this transform shows, as code.
pub fn example(name: &str) -> Option<String> {
    examples().into_iter().find(|(code, _)| kind(code) == name).map(|(code, _)| written(code))
}

/// The transform that an example is of.
fn kind(code: &str) -> &str {
    code.split("::").next().unwrap_or(code)
}

/// An example as one line: the compiler breaks what it makes a string of.
fn written(code: &str) -> String {
    code.split_whitespace().collect::<Vec<_>>().join(" ").replace(" .", ".")
}

/// The picture: a cat before a hill.
fn cat() -> Result<Image> {
    let mut values = Vec::with_capacity(SIDE * SIDE * 3);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (fx, fy) = (x as f32 - 31.5, y as f32 - 31.5);
            values.extend(colour(fx, fy));
        }
    }
    Image::from_bytes(SIDE, SIDE, 3, values)
}

/// The picture's colour at a place from its middle.
fn colour(x: f32, y: f32) -> [u8; 3] {
    let within = |cx: f32, cy: f32, rx: f32, ry: f32| ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) < 1.0;
    let left = x < 0.0;
    let side = x.abs();
    // the tip of an ear, and the ear's sides falling from it
    let ear = |height: f32, width: f32| y > -height && y < 0.0 && (side - 15.0).abs() < (y + height) * width;
    let whisker = (8.0..24.0).contains(&side) && [0.0, 4.0].iter().any(|dy| (y - 9.0 - dy - (side - 8.0) * (dy - 2.0) * 0.08).abs() < 0.6);
    if within(if left { -9.0 } else { 9.0 }, -1.0, 2.0, 4.0) {
        [20, 30, 20]
    } else if within(if left { -9.0 } else { 9.0 }, -1.0, 5.0, 5.0) {
        if left { [90, 190, 90] } else { [90, 150, 220] }
    } else if within(0.0, 7.0, 3.0, 2.0) {
        [220, 110, 130]
    } else if whisker {
        [250, 250, 250]
    } else if within(0.0, 12.0, 9.0, 7.0) {
        [250, 225, 195]
    } else if within(0.0, 4.0, 22.0, 19.0) {
        if y < -4.0 && (x / 4.0).round() as i32 % 2 != 0 && side < 7.0 { [170, 90, 30] } else { [230, 145, 60] }
    } else if ear(24.0, 0.35) {
        [240, 170, 160]
    } else if ear(28.0, 0.45) {
        [210, 120, 45]
    } else if y > 16.0 + 6.0 * (x / 12.0).sin() {
        [70, 140 - (y as i32).clamp(0, 31) as u8, 60]
    } else {
        [110, 160 + (y + 32.0) as u8, 235]
    }
}

/// The picture and three results side by side on white.
fn row(step: &Step) -> Result<Image> {
    const GAP: usize = 4;
    let width = 4 * SIDE + 3 * GAP;
    let mut sheet = vec![255; SIDE * width * 3];
    let mut tiles = vec![cat()?];
    for epoch in 0..3 {
        tiles.push(step.apply(cat()?, &mut Rng::keyed([7, 0, epoch, 0]))?);
    }
    for (i, tile) in tiles.iter().enumerate() {
        // larger than the frame: its middle is seen
        let tile = Resize::letterbox(SIDE, SIDE).border(255.0).apply(fitted(tile)?, &mut Rng::seed(0))?;
        let bytes = tile.bytes().unwrap_or_default(); // `fitted` gives bytes
        for (y, values) in bytes.chunks_exact(SIDE * 3).enumerate() {
            sheet[(y * width + i * (SIDE + GAP)) * 3..][..SIDE * 3].copy_from_slice(values);
        }
    }
    Image::from_bytes(SIDE, width, 3, sheet)
}

/// An image as bytes on a white frame, unless it is as large as one.
fn fitted(image: &Image) -> Result<Image> {
    let (h, w, c) = (image.height(), image.width(), image.channels());
    let bytes = match image.pixels() {
        Pixels::U8(values) => values.clone(),
        Pixels::F32(values) => values.iter().map(|v| (v * 255.0).round() as u8).collect(),
    };
    let image = Image::from_bytes(h, w, c, bytes)?;
    if h >= SIDE && w >= SIDE {
        return Ok(image);
    }
    let [top, left] = [h, w].map(|side| SIDE.saturating_sub(side) / 2);
    let [bottom, right] = [(h, top), (w, left)].map(|(side, before)| SIDE.saturating_sub(side + before));
    Pad::sides(top, right, bottom, left).border(255.0).apply(image, &mut Rng::seed(0))
}

/// The names of all transforms, from the list that makes them.
fn listed(sources: &Path) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(sources.join("mod.rs"))?;
    let list = text.split("\nsteps![").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
    Ok(list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect())
}

/// The first sentence of a transform's page, and the file it stands in.
fn page(sources: &Path, name: &str) -> io::Result<(String, String)> {
    let declaration = format!("pub struct {name} ");
    for entry in fs::read_dir(sources)? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        if let Some(sentence) = sentence(&text, &declaration) {
            return Ok((sentence, format!("{SOURCES}/{}", path.file_name().unwrap_or_default().to_string_lossy())));
        }
    }
    Err(io::Error::other(format!("{SOURCES}: no `{declaration}`")))
}

/// The text, and the picture of each transform with its name.
type Made = (String, Vec<(String, Image)>);

/// Makes all of it.
fn made(root: &Path) -> Result<Made, Box<dyn std::error::Error>> {
    let sources = root.join(SOURCES);
    let mut examples = examples();
    let (mut text, mut pictures) = (INTRODUCTION.to_owned(), Vec::new());
    for name in listed(&sources)? {
        let place = examples.iter().position(|(code, _)| kind(code) == name);
        let place = place.ok_or_else(|| format!("{name} has no example in xtask/src/docs/transforms.rs: give it one"))?;
        let (code, step) = examples.remove(place);
        let (sentence, file) = page(&sources, &name)?;
        text.push_str(&format!("| [{name}](../{file}) | {} | `{}` | ![{name}](transforms/{name}.png) |\n", cell(&sentence), written(code)));
        pictures.push((name, row(&step)?));
    }
    match examples.first() {
        Some((code, _)) => Err(format!("{code} is an example of no transform").into()),
        None => Ok((text, pictures)),
    }
}

/// Writes text and pictures, or with `check` says whether those that are there show the same.
///
/// # Errors
/// If a file cannot be read or written, or a transform has no example.
pub fn run(root: &Path, check: bool) -> Outcome {
    let (text, pictures) = made(root)?;
    let folder = root.join(PICTURES);
    if !check {
        fs::create_dir_all(&folder)?;
        fs::write(root.join(TEXT), text)?;
        for (name, picture) in pictures {
            picture.save_png(folder.join(format!("{name}.png")))?;
        }
        return Ok(true);
    }
    let mut stale = Vec::new();
    if fs::read_to_string(root.join(TEXT)).unwrap_or_default() != text {
        stale.push(TEXT.to_owned());
    }
    for (name, picture) in pictures {
        let place = format!("{PICTURES}/{name}.png");
        let same = |old: &Image| {
            let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= TOLERANCE;
            let (old, new) = (old.bytes().unwrap_or_default(), picture.bytes().unwrap_or_default());
            old.len() == new.len() && old.iter().zip(new).all(near)
        };
        if !Decode::new().file(root.join(&place)).is_ok_and(|old| same(&old)) {
            stale.push(place);
        }
    }
    let mut out = io::stdout();
    for place in &stale {
        writeln!(out, "{place}: no longer what the transforms do: run `cargo xtask docs` and commit the file")?;
    }
    if stale.is_empty() {
        writeln!(out, "{TEXT} shows what the transforms do")?;
    }
    Ok(stale.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transform_has_a_row_and_a_picture() {
        let (text, pictures) = made(Path::new("..")).unwrap();
        let rows = text.lines().filter(|line| line.starts_with("| [")).count();
        assert!(rows >= 37 && rows == pictures.len(), "{rows} rows, {} pictures: {text}", pictures.len());
        let (_, flipped) = pictures.iter().find(|(name, _)| name == "HorizontalFlip").unwrap();
        let at = |x: usize| flipped.bytes().unwrap()[(20 * flipped.width() + x) * 3..][..3].to_vec();
        assert_eq!(at(0), at(68 + 63)); // the left edge is on the right
        assert_eq!((flipped.height(), flipped.width()), (64, 4 * 64 + 12));
    }
}
