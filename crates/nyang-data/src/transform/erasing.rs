//! Holes in images, so that a model does not rely on one detail.

use std::ops::RangeInclusive;

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use super::range::{Range, check_probability, check_range, draw, happens, range};
use super::resized_crop::{TRIES, check_piece, piece};
use crate::image::{Channel, same_kind};
use crate::{Border, Error, Image, Result, Transform};

/// Fills a random rectangle, with probability p: torchvision's `RandomErasing`.
///
/// ```text
/// area = H · W · U(scale), ratio = exp(U(ln ratio)), h = round(√(area · ratio)), w = round(√(area / ratio)), any place equally likely
/// ```
///
/// A rectangle as high or wide as the image is drawn anew; after ten nothing is erased. Here the image is not yet normalised, so a value of 0 is
/// black; torchvision's recipe erases afterwards, where 0 is the mean: for that give the mean as [`value`](RandomErasing::value).
///
/// # Errors
/// [`Error::Argument`] for a p that is no probability, a scale beyond `[0, 1]`, a ratio that is not above 0 and finite, a value that is
/// not finite or has another number of channels.
///
/// # Reference
/// Zhong et al. 2017, *Random Erasing Data Augmentation*, arXiv:1708.04896.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomErasing {
    p: f64,
    scale: Range,
    ratio: Range,
    value: Border,
}

impl RandomErasing {
    /// With probability `p` (torchvision's default is 0.5); 2 % to 33 % of the area, height to width 0.3 to 3.3, zeros.
    pub fn new(p: f64) -> Self {
        RandomErasing { p, scale: [0.02, 0.33], ratio: [0.3, 3.3], value: Border::default() }
    }

    /// The rectangle's part of the area.
    pub fn scale(mut self, parts: RangeInclusive<f64>) -> Self {
        self.scale = range(parts);
        self
    }

    /// The rectangle's height divided by its width.
    pub fn ratio(mut self, ratios: RangeInclusive<f64>) -> Self {
        self.ratio = range(ratios);
        self
    }

    /// What it is filled with: one value for all channels or one for each, of 0 to 255 where the image is bytes.
    pub fn value(mut self, value: impl Into<Border>) -> Self {
        self.value = value.into();
        self
    }
}

impl Transform for RandomErasing {
    fn check(&self) -> Result<()> {
        check_probability("RandomErasing", self.p)?;
        check_piece("RandomErasing", self.scale, self.ratio)?;
        check_value("RandomErasing", &self.value)
    }

    fn apply(&self, mut image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let fill = self.value.fill("RandomErasing", image.channels)?;
        if !happens(self.p, rng) {
            return Ok(image);
        }
        for _ in 0..TRIES {
            let [w, h] = piece(image.height, image.width, self.scale, self.ratio, rng); // torchvision's ratio is h / w here
            if (1..image.height).contains(&h) && (1..image.width).contains(&w) {
                let (top, left) = (rng.below(image.height - h + 1), rng.below(image.width - w + 1));
                erase(&mut image, [top, left], [h, w], &fill);
                break;
            }
        }
        Ok(image)
    }
}

/// Fills several small rectangles: albumentations' `CoarseDropout`; with one square hole it is Cutout.
///
/// Each has a height and width drawn as a part of the image's, at least one pixel, and lies anywhere within the image.
///
/// # Errors
/// [`Error::Argument`] for no holes or more than 1000, a size beyond `[0, 1]`, a value that is not finite or has another number of channels.
///
/// # Reference
/// DeVries & Taylor 2017, *Improved Regularization of Convolutional Neural Networks with Cutout*, arXiv:1708.04552.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoarseDropout {
    holes: [usize; 2],
    size: Range,
    value: Border,
}

impl CoarseDropout {
    /// So many holes, any number in the range equally likely, each 10 % to 20 % of the height and of the width.
    pub fn new(holes: RangeInclusive<usize>) -> Self {
        let (low, high) = holes.into_inner();
        CoarseDropout { holes: [low, high], size: [0.1, 0.2], value: Border::default() }
    }

    /// A hole's height and width as parts of the image's.
    pub fn size(mut self, parts: RangeInclusive<f64>) -> Self {
        self.size = range(parts);
        self
    }

    /// What holes are filled with.
    pub fn value(mut self, value: impl Into<Border>) -> Self {
        self.value = value.into();
        self
    }
}

impl Transform for CoarseDropout {
    fn check(&self) -> Result<()> {
        let [low, high] = self.holes;
        if low == 0 || low > high || high > 1000 {
            return Err(Error::argument("CoarseDropout", "holes", format!("{low}..={high}"), "1 to 1000, the smaller first"));
        }
        check_range("CoarseDropout", "size", self.size, 0.0..=1.0, "parts of the image, from 0 to 1, the smaller first")?;
        check_value("CoarseDropout", &self.value)
    }

    fn apply(&self, mut image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let fill = self.value.fill("CoarseDropout", image.channels)?;
        let [low, high] = self.holes;
        for _ in 0..low + rng.below(high - low + 1) {
            let side = |whole: usize, rng: &mut Rng| ((whole as f64 * draw(self.size, rng)).round() as usize).clamp(1, whole);
            let (h, w) = (side(image.height, rng), side(image.width, rng));
            let (top, left) = (rng.below(image.height - h + 1), rng.below(image.width - w + 1));
            erase(&mut image, [top, left], [h, w], &fill);
        }
        Ok(image)
    }
}

/// A fill is a constant: another border means nothing in the middle of an image.
fn check_value(op: &'static str, value: &Border) -> Result<()> {
    match value {
        Border::Constant(_) => value.check(op),
        other => Err(Error::argument(op, "value", format!("{other:?}"), "must be constant")),
    }
}

/// Fills a rectangle that lies within the image.
fn erase(image: &mut Image, [top, left]: [usize; 2], [h, w]: [usize; 2], fill: &[f32]) {
    fn fill_rows<T: Channel>(values: &mut [T], row: usize, columns: std::ops::Range<usize>, fill: &[f32]) {
        let fill: Vec<T> = fill.iter().map(|&v| T::nearest(v)).collect();
        for row in values.chunks_exact_mut(row) {
            row[columns.clone()].chunks_exact_mut(fill.len()).for_each(|pixel| pixel.copy_from_slice(&fill));
        }
    }
    let (row, c) = (image.width * image.channels, image.channels);
    let pixels = std::mem::replace(&mut image.pixels, crate::Pixels::U8(Vec::new()));
    image.pixels = same_kind!(pixels, |values| {
        let mut values = values;
        fill_rows(&mut values[top * row..(top + h) * row], row, left * c..(left + w) * c, fill);
        values
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn white(h: usize, w: usize) -> Image {
        Image::from_bytes(h, w, 1, vec![255; h * w]).unwrap()
    }

    /// The rows and columns from the first to the last hole, and how many pixels are in it.
    fn hole(image: &Image) -> Option<[usize; 5]> {
        let bytes = image.bytes().unwrap();
        let at: Vec<(usize, usize)> = (0..bytes.len()).filter(|&i| bytes[i] == 0).map(|i| (i / image.width(), i % image.width())).collect();
        let rows = (at.iter().map(|p| p.0).min()?, at.iter().map(|p| p.0).max()?);
        let columns = (at.iter().map(|p| p.1).min()?, at.iter().map(|p| p.1).max()?);
        Some([rows.0, rows.1, columns.0, columns.1, at.len()])
    }

    #[test]
    fn one_rectangle_of_the_documented_size_is_erased_as_often_as_asked() {
        let (erasing, mut rng, n) = (RandomErasing::new(0.5), Rng::seed(1), 4000);
        let holes: Vec<[usize; 5]> = (0..n).filter_map(|_| hole(&erasing.apply(white(60, 60), &mut rng).unwrap())).collect();
        assert!((1880..2120).contains(&holes.len()), "{}", holes.len()); // 2000 ± 4 σ
        assert!(holes.iter().all(|[top, bottom, left, right, n]| (bottom - top + 1) * (right - left + 1) == *n));
        let part = |n: usize| n as f64 / 3600.0;
        let (low, high) = holes.iter().fold((1.0f64, 0.0f64), |(a, b), h| (a.min(part(h[4])), b.max(part(h[4]))));
        let mean = holes.iter().map(|h| part(h[4])).sum::<f64>() / holes.len() as f64;
        assert!((0.018..0.024).contains(&low) && (0.32..0.345).contains(&high) && (0.165..0.185).contains(&mean), "{low} {mean} {high}");
        let ratio = |h: &[usize; 5]| (h[1] - h[0] + 1) as f64 / (h[3] - h[2] + 1) as f64;
        assert!(holes.iter().any(|h| ratio(h) > 3.0) && holes.iter().any(|h| ratio(h) < 0.35));
        let tall = hole(&RandomErasing::new(1.0).ratio(4.0..=4.0).apply(white(60, 60), &mut rng).unwrap()).unwrap();
        assert!(ratio(&tall) > 3.0, "{tall:?}"); // height by width
        assert!(holes.iter().any(|h| h[0] == 0) && holes.iter().any(|h| h[1] == 59) && holes.iter().any(|h| h[3] == 59));
    }

    #[test]
    fn holes_have_number_size_and_value() {
        let mut rng = Rng::seed(3);
        let one = CoarseDropout::new(1..=1).size(0.5..=0.5);
        assert!((0..50).all(|_| hole(&one.apply(white(8, 6), &mut rng).unwrap()).unwrap()[4] == 12));
        let dropout = CoarseDropout::new(2..=3).size(0.0..=0.0).value([1.0, 2.0]);
        let image = || Image::from_floats(100, 100, 2, vec![9.0; 20_000]).unwrap();
        let counts: Vec<usize> = (0..40)
            .map(|_| match dropout.apply(image(), &mut rng).unwrap().into_pixels() {
                crate::Pixels::F32(values) => values.chunks_exact(2).filter(|p| *p == [1.0, 2.0]).count(),
                crate::Pixels::U8(_) => 0,
            })
            .collect();
        assert!(counts.contains(&2) && counts.contains(&3) && counts.iter().all(|n| (1..=3).contains(n)), "{counts:?}");
    }

    #[test]
    fn bad_settings_are_errors() {
        let erasing = || RandomErasing::new(1.0);
        let bad: [&dyn Transform; 9] = [
            &RandomErasing::new(1.5),
            &erasing().scale(-0.1..=0.5),
            &erasing().ratio(0.0..=1.0),
            &erasing().value(f32::NAN),
            &erasing().value(Border::Edge),
            &CoarseDropout::new(0..=2),
            &CoarseDropout { holes: [3, 2], ..CoarseDropout::new(1..=1) },
            &CoarseDropout::new(1..=usize::MAX),
            &CoarseDropout::new(1..=1).size(0.5..=2.0),
        ];
        for transform in bad {
            assert!(transform.check().is_err() && transform.apply(white(4, 4), &mut Rng::seed(0)).is_err());
        }
        assert!(erasing().value([1.0, 2.0]).apply(white(4, 4), &mut Rng::seed(0)).is_err());
        assert_eq!(erasing().apply(white(1, 1), &mut Rng::seed(0)).unwrap(), white(1, 1)); // nothing fits
    }
}
