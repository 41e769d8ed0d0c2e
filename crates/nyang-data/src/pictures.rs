//! Pictures to look at before training: a batch as a grid with class names, and what augmentation makes of one image.

use nyang_tensor::Targets;

use crate::letters::Letters;
use crate::transform::resized;
use crate::{Batch, Error, Image, Interpolation, Loader, Normalize, Pixels, Result};

/// The most images of a grid.
const MOST: usize = 144;

/// Small images are enlarged until they are at least this wide, so that a name fits under them; large ones are made this small.
const WIDTHS: [usize; 2] = [72, 256];

const MARGIN: usize = 6;
const PAPER: u8 = 255;
const INK: f32 = 32.0;

/// The images of a batch, de-normalised, as a grid with the names of their classes under them. A large batch is cut off at 144 images.
///
/// The loader is the one that the batch is from: it knows the classes and how images were standardised.
///
/// ```no_run
/// # use nyang_data::{Digits, Loader, images_grid};
/// let loader = Loader::new(Digits::load()?).shuffle(1);
/// let batch = loader.epoch(0).next().unwrap()?;
/// images_grid(&batch, &loader)?.save_png("grid.png")?;
/// # Ok::<(), nyang_data::Error>(())
/// ```
///
/// # Errors
/// [`Error::Tensor`] for images that are not as the loader makes them.
pub fn images_grid(batch: &Batch, loader: &Loader) -> Result<Image> {
    let name = |class: usize| loader.classes().get(class).map_or("?", String::as_str);
    let mut tiles = Vec::new();
    for i in 0..batch.len().min(MOST) {
        let caption = match &batch.targets {
            Targets::Classes(classes) => classes.get(i).map_or("?", |&class| name(class)).to_owned(),
            Targets::Soft(rows) => mixture(&rows.select(0, i)?.to_vec(), name),
            _ => String::new(), // there are no others yet
        };
        let mut image = Image::from_tensor(&batch.images.select(0, i)?)?;
        if let Some(normalize) = loader.normalization() {
            undo(&mut image, normalize);
        }
        tiles.push((image, caption));
    }
    captioned_grid(&tiles)
}

/// One sample as each of `versions` epochs sees it, after the sample as it is read: what the training transforms do, before anything is
/// trained with them.
///
/// # Errors
/// [`Error::Index`], [`Error::Argument`] for no version or more than 143, and whatever reading and transforming the sample gives.
pub fn augmentation_preview(loader: &Loader, index: usize, versions: usize) -> Result<Image> {
    if versions == 0 || versions >= MOST {
        return Err(Error::argument("augmentation_preview", "versions", versions, "between 1 and 143"));
    }
    let original = loader.dataset().get(index)?;
    let class = loader.classes().get(original.label).map_or("?", String::as_str).to_owned();
    let mut tiles = vec![(original.image, class)];
    for epoch in 0..versions {
        tiles.push((loader.view(epoch as u64, index)?.image, format!("epoch {epoch}")));
    }
    captioned_grid(&tiles)
}

/// Images of any size side by side, as near to a square as whole rows allow, each with a text under it. Floats are taken as 0 for black to
/// 1 for full.
///
/// # Errors
/// [`Error::Argument`] for no image or more than 144.
pub fn captioned_grid(tiles: &[(Image, String)]) -> Result<Image> {
    if tiles.is_empty() || tiles.len() > MOST {
        return Err(Error::argument("captioned_grid", "tiles", tiles.len(), "between 1 and 144 images"));
    }
    let letters = Letters::load()?;
    let images = tiles.iter().map(|(image, _)| shown(image)).collect::<Result<Vec<_>>>()?;
    let largest = |side: fn(&Image) -> usize| images.iter().map(side).max().unwrap_or(1);
    let (h, w) = (largest(|i| i.height), largest(|i| i.width).max(WIDTHS[0]));
    let columns = (1..=tiles.len()).find(|c| c * c >= tiles.len()).unwrap_or(1);
    let (step_y, step_x) = (h + letters.height() + 2 * MARGIN, w + MARGIN);
    let (height, width) = (tiles.len().div_ceil(columns) * step_y + MARGIN, columns * step_x + MARGIN);
    let mut sheet = vec![PAPER; height * width * 3];
    for (i, (image, (_, caption))) in images.iter().zip(tiles).enumerate() {
        let (top, left) = (i / columns * step_y + MARGIN, i % columns * step_x + MARGIN);
        let Pixels::U8(values) = &image.pixels else { continue }; // `shown` gives bytes
        let indent = left + (w - image.width) / 2;
        for (y, row) in values.chunks_exact(image.width * 3).enumerate() {
            sheet[((top + y) * width + indent) * 3..][..row.len()].copy_from_slice(row);
        }
        let text = letters.fitted(caption, w);
        let (under, start) = (top + h + 2, left + (w - letters.width(&text)) / 2);
        letters.draw(&text, |x, y, share| {
            let at = ((under + y) * width + start + x) * 3;
            let value = f32::from(PAPER) + (INK - f32::from(PAPER)) * share;
            sheet[at..at + 3].fill(value.round() as u8);
        });
    }
    Image::from_bytes(height, width, 3, sheet)
}

/// An image as red, green and blue bytes, in a size to look at.
fn shown(image: &Image) -> Result<Image> {
    let (h, w, c) = (image.height, image.width, image.channels);
    let values = image.to_bytes();
    let rgb: Vec<u8> = match c {
        3 => values,
        1 | 2 => values.chunks_exact(c).flat_map(|p| [p[0]; 3]).collect(),
        _ => values.chunks_exact(c).flat_map(|p| [p[0], p[1], p[2]]).collect(),
    };
    let image = Image::from_bytes(h, w, 3, rgb)?;
    let longer = h.max(w);
    if longer > WIDTHS[1] {
        let fit = |side: usize| (side * WIDTHS[1] / longer).max(1);
        return resized(image, fit(h), fit(w), Interpolation::Bilinear, "captioned_grid");
    }
    // whole pixels stay whole
    let times = (WIDTHS[0].div_ceil(w)).min(WIDTHS[1] / longer).max(1);
    resized(image, h * times, w * times, Interpolation::Nearest, "captioned_grid")
}

/// x = y · std + mean
fn undo(image: &mut Image, normalize: &Normalize) {
    let channels = image.channels;
    let Pixels::F32(values) = &mut image.pixels else { return };
    for pixel in values.chunks_exact_mut(channels) {
        let statistics = normalize.mean().iter().zip(normalize.std());
        pixel.iter_mut().zip(statistics).for_each(|(x, (mean, std))| *x = *x * std + mean);
    }
}

/// The two largest parts of a soft target in words.
fn mixture<'a>(row: &[f32], name: impl Fn(usize) -> &'a str) -> String {
    let mut parts: Vec<(usize, f32)> = row.iter().copied().enumerate().filter(|(_, share)| *share >= 0.005).collect();
    parts.sort_by(|a, b| b.1.total_cmp(&a.1));
    match parts[..] {
        [(class, _)] => name(class).to_owned(),
        _ => parts.iter().take(2).map(|&(class, share)| format!("{} {:.0}%", name(class), share * 100.0)).collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, HorizontalFlip, InMemory, MixUp, Split, transforms};

    fn cats() -> InMemory {
        let values = (0..4 * 2 * 2 * 3).map(|v| (v * 5) as u8).collect();
        InMemory::from_bytes([4, 2, 2, 3], values, vec![0, 1, 1, 0], ["고양이", "dog"]).unwrap()
    }

    #[test]
    fn images_are_denormalised_enlarged_and_named() {
        let data = cats().split(Split::stratified(1.0, 0.0, 0.0)).unwrap().loaders(4).unwrap();
        let loader = Loader::new(cats()).normalize(data.normalization().unwrap().clone()).batch_size(4);
        let batch = loader.epoch(0).next().unwrap().unwrap();
        let grid = images_grid(&batch, &loader).unwrap();
        assert_eq!((grid.height(), grid.width()), (2 * (72 + 16 + 12) + 6, 2 * 78 + 6));
        let at = |y: usize, x: usize| grid.bytes().unwrap()[(y * grid.width() + x) * 3..][..3].to_vec();
        assert_eq!(at(6, 6), [0, 5, 10]); // image 0, its first pixel, 36 times as large
        assert_eq!(at(6 + 36, 6 + 36), [45, 50, 55]);
        assert_eq!(at(6 + 100, 6 + 78 + 71), [195, 200, 205]); // image 3, above right
        assert_eq!(at(0, 0), [255; 3]);
        let dark =
            grid.bytes().unwrap()[(6 + 72) * grid.width() * 3..(6 + 72 + 18) * grid.width() * 3].iter().filter(|v| **v < 100).count();
        assert!(dark > 50, "{dark} values of letters");
    }

    #[test]
    fn a_preview_shows_the_image_and_then_its_versions() {
        let loader = Loader::new(cats()).transform(transforms![HorizontalFlip::new(1.0)]);
        let sheet = augmentation_preview(&loader, 0, 3).unwrap();
        let at = |y: usize, x: usize| sheet.bytes().unwrap()[(y * sheet.width() + x) * 3];
        assert_eq!((at(6, 6), at(6, 6 + 78)), (0, 15)); // the first pixel, and the one that was right of it
        assert!(augmentation_preview(&loader, 4, 1).is_err() && augmentation_preview(&loader, 0, 0).is_err());
        assert!(captioned_grid(&[]).is_err());
    }

    #[test]
    fn mixed_images_say_how_much_of_what_they_are() {
        let name = |class: usize| ["a", "b", "c"][class];
        assert_eq!(mixture(&[0.25, 0.0, 0.75], name), "c 75% a 25%");
        assert_eq!(mixture(&[0.0, 1.0, 0.001], name), "b");
        let loader = Loader::new(cats()).mix(MixUp::new(0.4)).batch_size(4);
        assert!(images_grid(&loader.epoch(0).next().unwrap().unwrap(), &loader).is_ok());
    }

    #[test]
    fn images_of_all_kinds_and_sizes_are_shown() {
        let tile = |h: usize, w: usize, c: usize| (Image::from_bytes(h, w, c, vec![9; h * w * c]).unwrap(), "x".to_owned());
        let sheet = captioned_grid(&[tile(1, 4000, 3), tile(4000, 1, 1), tile(3, 5, 2), tile(8, 8, 4), tile(2, 2, 7)]).unwrap();
        assert_eq!((sheet.height(), sheet.width()), (2 * (256 + 28) + 6, 3 * 262 + 6));
    }
}
