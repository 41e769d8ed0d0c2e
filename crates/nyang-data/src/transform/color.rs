//! Colours: grey, saturation, hue.

use std::ops::RangeInclusive;

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use super::range::{Range, check_range, draw, range};
use super::tone::through_table;
use crate::decode::luma;
use crate::image::Channel;
use crate::{Error, Image, Pixels, Result, Transform};

/// Makes a colour image grey: torchvision's `Grayscale`, in Pillow's integers.
///
/// ```text
/// grey = (19595 R + 38470 G + 7471 B + 2¹⁵) / 2¹⁶
/// ```
///
/// # Shapes
/// `[3, H, W] → [channels, H, W]`; `[1, H, W]` too, then it is only repeated.
///
/// # Errors
/// [`Error::Argument`] unless the channels are 1 or 3; [`Error::NeedsBytes`], [`Error::NeedsColours`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grayscale {
    channels: usize,
}

impl Grayscale {
    /// With this many equal channels: 1, or 3 for a model that wants three.
    pub fn new(channels: usize) -> Self {
        Grayscale { channels }
    }
}

impl Transform for Grayscale {
    fn check(&self) -> Result<()> {
        if self.channels == 1 || self.channels == 3 {
            return Ok(());
        }
        Err(Error::argument("Grayscale", "channels", self.channels, "must be 1 or 3"))
    }

    fn apply(&self, mut image: Image, _: &mut Rng) -> Result<Image> {
        self.check()?;
        let grey = greys(&image, "Grayscale")?;
        image.pixels = Pixels::U8(if self.channels == 1 { grey } else { grey.into_iter().flat_map(|v| [v; 3]).collect() });
        image.channels = self.channels;
        Ok(image)
    }
}

/// The grey value of each pixel of a grey or colour image.
fn greys(image: &Image, op: &'static str) -> Result<Vec<u8>> {
    image.check_colours(op)?;
    let bytes = image.bytes().ok_or(Error::NeedsBytes { op })?;
    Ok(if image.channels == 1 { bytes.to_vec() } else { bytes.chunks_exact(3).map(|p| luma(p[0], p[1], p[2])).collect() })
}

/// y = factor · x + (1 − factor) · other, for each value.
fn blend(x: u8, other: f32, factor: f32) -> u8 {
    u8::nearest(factor * f32::from(x) + (1.0 - factor) * other)
}

/// Black for 0, as it is for 1.
pub(crate) fn brightness(image: &mut Image, factor: f64, op: &'static str) -> Result<()> {
    through_table(image, op, |x| blend(x, 0.0, factor as f32))
}

/// The mean of the grey image for 0, as it is for 1.
pub(crate) fn contrast(image: &mut Image, factor: f64, op: &'static str) -> Result<()> {
    let grey = greys(image, op)?;
    let mean = grey.iter().map(|&v| f64::from(v)).sum::<f64>() / grey.len() as f64;
    through_table(image, op, |x| blend(x, mean as f32, factor as f32))
}

/// The grey image for 0, as it is for 1.
pub(crate) fn saturation(image: &mut Image, factor: f64, op: &'static str) -> Result<()> {
    image.check_colours(op)?;
    if image.channels == 3 {
        for pixel in image.bytes_mut(op)?.chunks_exact_mut(3) {
            let grey = f32::from(luma(pixel[0], pixel[1], pixel[2]));
            pixel.iter_mut().for_each(|x| *x = blend(*x, grey, factor as f32));
        }
    }
    Ok(())
}

/// Each colour with other hue, saturation and value, all from 0 to 1.
fn through_hsv(image: &mut Image, op: &'static str, change: impl Fn([f32; 3]) -> [f32; 3]) -> Result<()> {
    image.check_colours(op)?;
    if image.channels == 3 {
        for pixel in image.bytes_mut(op)?.chunks_exact_mut(3) {
            let rgb = hsv_to_rgb(change(rgb_to_hsv([pixel[0], pixel[1], pixel[2]].map(|v| f32::from(v) / 255.0))));
            pixel.iter_mut().zip(rgb).for_each(|(x, v)| *x = u8::nearest(v * 255.0));
        }
    }
    Ok(())
}

/// Turns the colour wheel by this part of a turn.
pub(crate) fn hue(image: &mut Image, by: f64, op: &'static str) -> Result<()> {
    through_hsv(image, op, |[h, s, v]| [h + by as f32, s, v])
}

/// Smith 1978, *Color Gamut Transform Pairs*: value is the largest of the three, saturation what the smallest lacks of it.
fn rgb_to_hsv([r, g, b]: [f32; 3]) -> [f32; 3] {
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    let range = max - min;
    if range == 0.0 {
        return [0.0, 0.0, max];
    }
    let sixth = if max == r {
        (g - b) / range
    } else if max == g {
        2.0 + (b - r) / range
    } else {
        4.0 + (r - g) / range
    };
    [sixth / 6.0, range / max, max]
}

/// The way back; the hue may be any number of turns.
fn hsv_to_rgb([h, s, v]: [f32; 3]) -> [f32; 3] {
    let sixth = h.rem_euclid(1.0) * 6.0;
    let f = sixth - sixth.floor();
    let (p, q, t) = (v * (1.0 - s), v * (1.0 - s * f), v * (1.0 - s * (1.0 - f)));
    match sixth as usize % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}

/// Changes brightness, contrast, saturation and hue, in random order: torchvision's `ColorJitter`.
///
/// ```text
/// brightness: y = f x      contrast: y = f x + (1 − f) mean of the grey image      saturation: y = f x + (1 − f) grey
/// hue: the colour wheel turned by this part of a turn
/// ```
///
/// Each of the four is uniform on its range; one whose range is a single neutral value (factor 1, turn 0) is left out.
///
/// # Errors
/// [`Error::Argument`] for a factor below 0 or not finite, a hue beyond −0.5 to 0.5; [`Error::NeedsBytes`], [`Error::NeedsColours`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColorJitter {
    brightness: Range,
    contrast: Range,
    saturation: Range,
    hue: Range,
}

impl ColorJitter {
    /// Factors from max(0, 1 − by) to 1 + by, and a hue from −by to by.
    pub fn new(brightness: f64, contrast: f64, saturation: f64, hue: f64) -> Self {
        let about_one = |by: f64| if by < 0.0 { [f64::NAN; 2] } else { [(1.0 - by).max(0.0), 1.0 + by] };
        ColorJitter {
            brightness: about_one(brightness),
            contrast: about_one(contrast),
            saturation: about_one(saturation),
            hue: [-hue, hue],
        }
    }
}

impl Transform for ColorJitter {
    fn check(&self) -> Result<()> {
        const FACTOR: &str = "finite numbers of at least 0, the smaller first";
        for (name, values) in [("brightness", self.brightness), ("contrast", self.contrast), ("saturation", self.saturation)] {
            check_range("ColorJitter", name, values, 0.0..=f64::from(f32::MAX), FACTOR)?;
        }
        check_range("ColorJitter", "hue", self.hue, -0.5..=0.5, "from −0.5 to 0.5 of a turn, the smaller first")
    }

    fn apply(&self, mut image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        image.check_colours("ColorJitter")?;
        type Change = fn(&mut Image, f64, &'static str) -> Result<()>;
        let changes: [(Range, f64, Change); 4] =
            [(self.brightness, 1.0, brightness), (self.contrast, 1.0, contrast), (self.saturation, 1.0, saturation), (self.hue, 0.0, hue)];
        for which in rng.permutation(changes.len()) {
            let (range, neutral, change) = changes[which];
            if range != [neutral; 2] {
                change(&mut image, draw(range, rng), "ColorJitter")?;
            }
        }
        image.bytes_mut("ColorJitter")?; // floats are an error even where nothing is changed
        Ok(image)
    }
}

/// Shifts hue, saturation and value: albumentations' `HueSaturationValue`, with its limits.
///
/// ```text
/// h + 2 hue degrees, s + saturation / 255, v + value / 255; s and v cut off at 0 and 1
/// ```
///
/// A shift of hue by 1 is two degrees, as in albumentations and cv2, which keep hues as bytes of 0 to 179. Here they are numbers, not
/// rounded to two degrees first, so results differ by the few levels that cv2 loses.
///
/// # Errors
/// [`Error::Argument`] for a hue beyond −180 to 180, a saturation or value beyond −255 to 255; [`Error::NeedsBytes`], [`Error::NeedsColours`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HueSaturation {
    hue: Range,
    saturation: Range,
    value: Range,
}

impl HueSaturation {
    /// Each shifted by these values up or down at the most; albumentations' defaults are 20, 30 and 20.
    pub fn new(hue: f64, saturation: f64, value: f64) -> Self {
        HueSaturation { hue: [-hue, hue], saturation: [-saturation, saturation], value: [-value, value] }
    }

    /// Shifted by values drawn from these ranges.
    pub fn ranges(hue: RangeInclusive<f64>, saturation: RangeInclusive<f64>, value: RangeInclusive<f64>) -> Self {
        HueSaturation { hue: range(hue), saturation: range(saturation), value: range(value) }
    }
}

impl Transform for HueSaturation {
    fn check(&self) -> Result<()> {
        check_range("HueSaturation", "hue", self.hue, -180.0..=180.0, "from −180 to 180, the smaller first")?;
        for (name, values) in [("saturation", self.saturation), ("value", self.value)] {
            check_range("HueSaturation", name, values, -255.0..=255.0, "from −255 to 255, the smaller first")?;
        }
        Ok(())
    }

    fn apply(&self, mut image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let by = [draw(self.hue, rng) / 180.0, draw(self.saturation, rng) / 255.0, draw(self.value, rng) / 255.0].map(|v| v as f32);
        through_hsv(&mut image, "HueSaturation", |[h, s, v]| [h + by[0], (s + by[1]).clamp(0.0, 1.0), (v + by[2]).clamp(0.0, 1.0)])?;
        image.bytes_mut("HueSaturation")?; // floats are an error for grey images too
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_back_from_hue_saturation_and_value() {
        for rgb in [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.2, 0.9, 0.4], [0.3, 0.1, 0.8], [0.7, 0.0, 0.6]] {
            let back = hsv_to_rgb(rgb_to_hsv(rgb));
            assert!(back.iter().zip(rgb).all(|(a, b)| (a - b).abs() < 1e-6), "{rgb:?} {back:?}");
        }
        assert_eq!(rgb_to_hsv([0.0, 1.0, 0.0]), [1.0 / 3.0, 1.0, 1.0]);
    }

    #[test]
    fn jitter_takes_every_order_and_both_ends() {
        // brightness 2 then contrast 0.5, or the other way: on 100, 200 with mean 150: (225, 295→255) or (250, 350→255 each)
        let jitter = ColorJitter { brightness: [2.0, 2.0], contrast: [0.5, 0.5], saturation: [1.0, 1.0], hue: [0.0, 0.0] };
        let (mut rng, mut seen) = (Rng::seed(1), std::collections::BTreeMap::new());
        for _ in 0..400 {
            let image = jitter.apply(Image::from_bytes(1, 2, 1, vec![100, 200]).unwrap(), &mut rng).unwrap();
            *seen.entry(image.bytes().unwrap().to_vec()).or_insert(0) += 1;
        }
        // brightness first: 200, 255, mean 227.5, then 213.75, 241.25; contrast first: 125, 175, then 250, 255
        assert_eq!(seen.keys().cloned().collect::<Vec<_>>(), [vec![214, 241], vec![250, 255]]);
        assert!(seen.values().all(|n| (150..250).contains(n)), "{seen:?}"); // 200 ± 5 σ

        let dark = ColorJitter::new(0.4, 0.0, 0.0, 0.0);
        let values: Vec<u8> =
            (0..3000).map(|_| dark.apply(Image::from_bytes(1, 1, 1, vec![100]).unwrap(), &mut rng).unwrap().bytes().unwrap()[0]).collect();
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 3000.0;
        assert!(values.iter().min() == Some(&60) && values.iter().max() == Some(&140) && (98.5..101.5).contains(&mean), "{mean}");
    }

    #[test]
    fn bad_settings_and_images_are_errors() {
        let nan = f64::NAN;
        let bad: [&dyn Transform; 9] = [
            &ColorJitter::new(-0.1, 0.0, 0.0, 0.0),
            &ColorJitter::new(0.0, nan, 0.0, 0.0),
            &ColorJitter::new(0.0, 0.0, f64::INFINITY, 0.0),
            &ColorJitter::new(0.0, 0.0, 0.0, 0.6),
            &HueSaturation::new(181.0, 0.0, 0.0),
            &HueSaturation::new(0.0, 256.0, 0.0),
            &HueSaturation::new(0.0, 0.0, nan),
            &Grayscale::new(0),
            &Grayscale::new(2),
        ];
        for transform in bad {
            assert!(transform.check().is_err());
        }
        let good: [&dyn Transform; 4] = [
            &ColorJitter::new(0.1, 0.1, 0.1, 0.1),
            &ColorJitter::new(0.0, 0.0, 0.0, 0.0),
            &HueSaturation::new(9.0, 9.0, 9.0),
            &Grayscale::new(3),
        ];
        for transform in good {
            let apply = |image: Result<Image>| transform.apply(image.unwrap(), &mut Rng::seed(0));
            assert!(matches!(apply(Image::from_floats(1, 1, 3, vec![0.5; 3])), Err(Error::NeedsBytes { .. })));
            assert!(matches!(apply(Image::from_bytes(1, 1, 4, vec![5; 4])), Err(Error::NeedsColours { got: 4, .. })));
            assert!(apply(Image::from_bytes(1, 1, 1, vec![5])).is_ok());
        }
    }
}
