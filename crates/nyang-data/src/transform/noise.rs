//! What cameras and files do to images: noise, and the losses of JPEG.

use std::io::Cursor;
use std::ops::RangeInclusive;

use ::image::codecs::jpeg::JpegEncoder;
use ::image::{ExtendedColorType, ImageEncoder};
use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use super::range::{Range, check_range, draw, range};
use crate::image::{Channel, same_kind};
use crate::{Channels, Decode, Error, Image, Result, Transform};

/// Adds Gaussian noise to every value: albumentations' `GaussNoise`.
///
/// ```text
/// y = x + 255 std n      n standard normal, new for each value; std uniform on its range; floats: y = x + std n
/// ```
///
/// # Errors
/// [`Error::Argument`] for a standard deviation beyond 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussNoise {
    std: Range,
}

impl GaussNoise {
    /// With a standard deviation of this range, as a part of the largest value. 0.02 is seen, 0.2 is albumentations' least.
    pub fn new(std: RangeInclusive<f64>) -> Self {
        GaussNoise { std: range(std) }
    }
}

impl Transform for GaussNoise {
    fn check(&self) -> Result<()> {
        check_range("GaussNoise", "std", self.std, 0.0..=1.0, "parts of the largest value, from 0 to 1, the smaller first")
    }

    fn apply(&self, mut image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let largest = if image.bytes().is_some() { 255.0 } else { 1.0 };
        let std = largest * draw(self.std, rng);
        image.pixels = same_kind!(image.pixels, |values| {
            values.into_iter().map(|v| Channel::nearest((f64::from(v.value()) + std * rng.normal()) as f32)).collect()
        });
        Ok(image)
    }
}

/// Saves an image as JPEG and reads it again: torchvision's `v2.JPEG`, albumentations' `ImageCompression`.
///
/// The quality is any whole number of its range, all equally likely. Colour is kept at full resolution (4:4:4), whereas Pillow halves it by
/// default, so the losses are those of Pillow's `subsampling=0`.
///
/// # Errors
/// [`Error::Argument`] for a quality beyond 1 to 100; [`Error::NeedsBytes`], [`Error::NeedsColours`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JpegCompression {
    quality: [u8; 2],
}

impl JpegCompression {
    /// With a quality of this range, 1 to 100.
    pub fn new(quality: RangeInclusive<u8>) -> Self {
        let (low, high) = quality.into_inner();
        JpegCompression { quality: [low, high] }
    }
}

impl Transform for JpegCompression {
    fn check(&self) -> Result<()> {
        let [low, high] = self.quality;
        if (1..=100).contains(&low) && (low..=100).contains(&high) {
            return Ok(());
        }
        Err(Error::argument("JpegCompression", "quality", format!("{low}..={high}"), "from 1 to 100, the smaller first"))
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        image.check_colours("JpegCompression")?;
        let bytes = image.bytes().ok_or(Error::NeedsBytes { op: "JpegCompression" })?;
        let (channels, color) =
            if image.channels == 1 { (Channels::Gray, ExtendedColorType::L8) } else { (Channels::Rgb, ExtendedColorType::Rgb8) };
        let [low, high] = self.quality;
        let quality = low + rng.below(usize::from(high - low) + 1) as u8;
        let [Ok(width), Ok(height)] = [image.width, image.height].map(u16::try_from) else {
            return Err(Error::argument("JpegCompression", "size", image.width.max(image.height), "JPEG has at most 65535 pixels a side"));
        };
        let failed = |why: String| Error::Encode { format: "JPEG", why };
        let mut file = Cursor::new(Vec::new());
        let encoder = JpegEncoder::new_with_quality(&mut file, quality);
        encoder.write_image(bytes, width.into(), height.into(), color).map_err(|e| failed(e.to_string()))?;
        let decode = Decode::new().channels(channels).max_pixels(u64::MAX);
        decode.bytes(&file.into_inner()).map_err(|e| failed(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pixels;

    #[test]
    fn noise_has_mean_0_and_the_standard_deviation() {
        let image = |v: u8| Image::from_bytes(100, 100, 1, vec![v; 10_000]).unwrap();
        let noisy = GaussNoise::new(0.1..=0.1).apply(image(128), &mut Rng::seed(1)).unwrap();
        let d: Vec<f64> = noisy.bytes().unwrap().iter().map(|&v| f64::from(v) - 128.0).collect();
        let (mean, std) = (d.iter().sum::<f64>() / 1e4, (d.iter().map(|v| v * v).sum::<f64>() / 1e4).sqrt());
        assert!(mean.abs() < 1.0 && (std - 25.5).abs() < 0.8, "{mean} {std}"); // ± 4 σ
        let neighbours = d.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / 1e4 / 25.5f64.powi(2);
        assert!(neighbours.abs() < 0.04, "{neighbours}"); // each its own
        assert_eq!(GaussNoise::new(0.0..=0.0).apply(image(9), &mut Rng::seed(1)).unwrap(), image(9));
        let floats = Image::from_floats(1, 2, 1, vec![5.0, -5.0]).unwrap();
        let Pixels::F32(values) = GaussNoise::new(0.1..=0.1).apply(floats, &mut Rng::seed(1)).unwrap().into_pixels() else { panic!() };
        assert!((values[0] - 5.0).abs() < 0.5 && (values[1] + 5.0).abs() < 0.5 && values[0] != 5.0);
    }

    fn slopes() -> Image {
        let value = |i: usize| [(i % 32 * 8) as u8, (i / 32 * 8) as u8, ((i * 7) % 61) as u8];
        Image::from_bytes(32, 32, 3, (0..1024).flat_map(value).collect()).unwrap()
    }

    #[test]
    fn less_quality_loses_more() {
        let lost = |quality: u8| {
            let image = JpegCompression::new(quality..=quality).apply(slopes(), &mut Rng::seed(0)).unwrap();
            let (a, b) = (image.bytes().unwrap().to_vec(), slopes());
            a.iter().zip(b.bytes().unwrap()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
        };
        let losses = [100, 90, 50, 10].map(lost);
        assert!(losses.is_sorted() && losses[0] < 1.0 && losses[3] > 5.0, "{losses:?}");
        let grey = Image::from_bytes(8, 8, 1, vec![100; 64]).unwrap();
        assert_eq!(JpegCompression::new(75..=75).apply(grey.clone(), &mut Rng::seed(0)).unwrap(), grey);
    }

    #[test]
    fn both_ends_of_the_quality_occur() {
        let (mut rng, ends) = (Rng::seed(1), [5u8, 95].map(|q| JpegCompression::new(q..=q).apply(slopes(), &mut Rng::seed(0)).unwrap()));
        let all: Vec<Image> = (0..600).map(|_| JpegCompression::new(5..=95).apply(slopes(), &mut rng).unwrap()).collect();
        assert!(ends.iter().all(|end| all.contains(end)));
    }

    #[test]
    fn bad_settings_and_images_are_errors() {
        assert!(GaussNoise::new(-0.1..=0.1).check().is_err() && GaussNoise::new(0.0..=f64::NAN).check().is_err());
        for (low, high) in [(0, 50), (50, 101), (60, 50)] {
            assert!(JpegCompression { quality: [low, high] }.check().is_err());
        }
        let jpeg = |image: Result<Image>| JpegCompression::new(50..=50).apply(image.unwrap(), &mut Rng::seed(0));
        assert!(matches!(jpeg(Image::from_floats(1, 1, 1, vec![0.0])), Err(Error::NeedsBytes { .. })));
        assert!(matches!(jpeg(Image::from_bytes(1, 1, 2, vec![0; 2])), Err(Error::NeedsColours { .. })));
        assert!(jpeg(Image::from_bytes(70_000, 1, 1, vec![0; 70_000])).is_err());
    }
}
