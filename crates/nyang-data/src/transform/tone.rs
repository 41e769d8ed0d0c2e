//! What happens to each value by itself: a table of 256 bytes. Brightness and its relations.

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use super::range::{Range, check_range, draw, range};
use crate::image::Channel;
use crate::{Error, Image, Result, Transform};

/// Puts every byte through a table.
pub(crate) fn through_table(image: &mut Image, op: &'static str, of: impl Fn(u8) -> u8) -> Result<()> {
    let table: Vec<u8> = (0..=u8::MAX).map(of).collect();
    image.bytes_mut(op)?.iter_mut().for_each(|v| *v = table[usize::from(*v)]);
    Ok(())
}

/// Puts each channel through a table that is made of how often each value occurs in it.
pub(crate) fn through_tables_of_counts(image: &mut Image, op: &'static str, of: impl Fn(&[u32; 256]) -> [u8; 256]) -> Result<()> {
    let channels = image.channels;
    let bytes = image.bytes_mut(op)?;
    for c in 0..channels {
        let mut counts = [0; 256];
        bytes.iter().skip(c).step_by(channels).for_each(|&v| counts[usize::from(v)] += 1);
        let table = of(&counts);
        bytes.iter_mut().skip(c).step_by(channels).for_each(|v| *v = table[usize::from(*v)]);
    }
    Ok(())
}

/// Changes contrast and brightness: albumentations' `RandomBrightnessContrast`.
///
/// ```text
/// y = (1 + contrast) · x + 255 · brightness      both uniform on their ranges; cut off at 0 and 255
/// ```
///
/// # Errors
/// [`Error::Argument`] for a range beyond −1 to 1; [`Error::NeedsBytes`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrightnessContrast {
    brightness: Range,
    contrast: Range,
}

impl BrightnessContrast {
    /// Each up or down by these parts at the most; 0.2 is albumentations' default.
    pub fn new(brightness: f64, contrast: f64) -> Self {
        BrightnessContrast { brightness: [-brightness, brightness], contrast: [-contrast, contrast] }
    }

    /// Drawn from these ranges.
    pub fn ranges(brightness: std::ops::RangeInclusive<f64>, contrast: std::ops::RangeInclusive<f64>) -> Self {
        BrightnessContrast { brightness: range(brightness), contrast: range(contrast) }
    }
}

impl Transform for BrightnessContrast {
    fn check(&self) -> Result<()> {
        const WHY: &str = "from −1 to 1, the smaller first";
        check_range("BrightnessContrast", "brightness", self.brightness, -1.0..=1.0, WHY)?;
        check_range("BrightnessContrast", "contrast", self.contrast, -1.0..=1.0, WHY)
    }

    fn apply(&self, mut image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let (alpha, beta) = (1.0 + draw(self.contrast, rng), 255.0 * draw(self.brightness, rng));
        through_table(&mut image, "BrightnessContrast", |x| u8::nearest((alpha * f64::from(x) + beta) as f32))?;
        Ok(image)
    }
}

/// Keeps the highest bits of each value: torchvision's `posterize`.
///
/// # Errors
/// [`Error::Argument`] for more than 8 bits; [`Error::NeedsBytes`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posterize {
    bits: u32,
}

impl Posterize {
    /// So many bits are kept, 0 to 8.
    pub fn new(bits: u32) -> Self {
        Posterize { bits }
    }
}

impl Transform for Posterize {
    fn check(&self) -> Result<()> {
        if self.bits <= 8 { Ok(()) } else { Err(Error::argument("Posterize", "bits", self.bits, "from 0 to 8")) }
    }

    fn apply(&self, mut image: Image, _: &mut Rng) -> Result<Image> {
        self.check()?;
        let mask = !(0xFFu32 >> self.bits) as u8;
        through_table(&mut image, "Posterize", |x| x & mask)?;
        Ok(image)
    }
}

/// Inverts what is bright: torchvision's `solarize`.
///
/// ```text
/// y = x where x < threshold, else 255 − x
/// ```
///
/// # Errors
/// [`Error::Argument`] for a threshold that is not finite; [`Error::NeedsBytes`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Solarize {
    threshold: f64,
}

impl Solarize {
    /// From this value on, of 0 to 255.
    pub fn new(threshold: f64) -> Self {
        Solarize { threshold }
    }
}

impl Transform for Solarize {
    fn check(&self) -> Result<()> {
        let why = "a finite number; values run from 0 to 255";
        if self.threshold.is_finite() { Ok(()) } else { Err(Error::argument("Solarize", "threshold", self.threshold, why)) }
    }

    fn apply(&self, mut image: Image, _: &mut Rng) -> Result<Image> {
        self.check()?;
        through_table(&mut image, "Solarize", |x| if f64::from(x) < self.threshold { x } else { 255 - x })?;
        Ok(image)
    }
}

/// Inverts every value, 255 − x: torchvision's `invert`.
///
/// # Errors
/// [`Error::NeedsBytes`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invert {}

impl Invert {
    /// The only one there is.
    pub fn new() -> Self {
        Invert {}
    }
}

impl Transform for Invert {
    fn apply(&self, mut image: Image, _: &mut Rng) -> Result<Image> {
        through_table(&mut image, "Invert", |x| 255 - x)?;
        Ok(image)
    }
}

/// Stretches each channel so that its darkest value becomes 0 and its brightest 255: torchvision's `autocontrast`.
///
/// ```text
/// y = 255 (x − min) / (max − min); a channel of one value stays
/// ```
///
/// # Errors
/// [`Error::NeedsBytes`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoContrast {}

impl AutoContrast {
    /// The only one there is.
    pub fn new() -> Self {
        AutoContrast {}
    }
}

impl Transform for AutoContrast {
    fn apply(&self, mut image: Image, _: &mut Rng) -> Result<Image> {
        through_tables_of_counts(&mut image, "AutoContrast", |counts| {
            let low = counts.iter().position(|&n| n > 0).unwrap_or(0);
            let high = counts.iter().rposition(|&n| n > 0).unwrap_or(255);
            let stretched = |x: usize| u8::nearest(255.0 * (x as f32 - low as f32) / (high - low) as f32);
            std::array::from_fn(|x| if high > low { stretched(x) } else { x as u8 })
        })?;
        Ok(image)
    }
}

/// Spreads each channel's values so that all ranges of brightness are about as frequent: torchvision's and Pillow's `equalize`.
///
/// ```text
/// step = ⌊(pixels − those of the brightest value) / 255⌋      y = min(255, ⌊(⌊step / 2⌋ + pixels darker than x) / step⌋)
/// ```
///
/// With step = 0, as for a channel of one value, it stays.
///
/// # Errors
/// [`Error::NeedsBytes`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Equalize {}

impl Equalize {
    /// The only one there is.
    pub fn new() -> Self {
        Equalize {}
    }
}

impl Transform for Equalize {
    fn apply(&self, mut image: Image, _: &mut Rng) -> Result<Image> {
        through_tables_of_counts(&mut image, "Equalize", |counts| {
            let brightest = counts.iter().rev().find(|n| **n > 0).copied().unwrap_or(0);
            let step = (counts.iter().sum::<u32>() - brightest) / 255;
            let mut darker = 0;
            std::array::from_fn(|x| {
                let y = (step / 2 + darker).checked_div(step).map_or(x as u8, |y| y.min(255) as u8);
                darker += counts[x];
                y
            })
        })?;
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(transform: &dyn Transform, values: &[u8]) -> Vec<u8> {
        let image = Image::from_bytes(1, values.len(), 1, values.to_vec()).unwrap();
        transform.apply(image, &mut Rng::seed(0)).unwrap().bytes().unwrap().to_vec()
    }

    #[test]
    fn tables_by_hand() {
        assert_eq!(changed(&Posterize::new(3), &[0, 31, 32, 255]), [0, 0, 32, 224]);
        assert_eq!(changed(&Posterize::new(0), &[7, 255]), [0, 0]);
        assert_eq!(changed(&Posterize::new(8), &[7, 255]), [7, 255]);
        assert_eq!(changed(&Solarize::new(128.0), &[0, 127, 128, 255]), [0, 127, 127, 0]);
        assert_eq!(changed(&Solarize::new(256.0), &[0, 255]), [0, 255]);
        assert_eq!(changed(&Invert::new(), &[0, 100, 255]), [255, 155, 0]);
        assert_eq!(changed(&AutoContrast::new(), &[50, 100, 150]), [0, 128, 255]);
        assert_eq!(changed(&AutoContrast::new(), &[9, 9]), [9, 9]);
        assert_eq!(changed(&Equalize::new(), &[9, 9, 100]), [9, 9, 100]);
        assert_eq!(changed(&BrightnessContrast::ranges(0.1..=0.1, -0.5..=-0.5), &[0, 100, 255]), [26, 76, 153]); // x/2 + 25.5
    }

    #[test]
    fn brightness_and_contrast_are_uniform_on_their_ranges() {
        let (mut rng, transform) = (Rng::seed(1), BrightnessContrast::new(0.2, 0.3));
        let mut at = |value: u8| -> Vec<f64> {
            let one = || Image::from_bytes(1, 1, 1, vec![value]).unwrap();
            (0..3000).map(|_| f64::from(transform.apply(one(), &mut rng).unwrap().bytes().unwrap()[0])).collect()
        };
        let black = at(0); // 255 b, below 0 cut off
        assert!(black.iter().all(|&y| y <= 51.0) && black.contains(&51.0));
        assert!((1400..1600).contains(&black.iter().filter(|&&y| y == 0.0).count()));
        let grey = at(100); // 100 + 100 c + 255 b: from 19 to 181
        let mean = grey.iter().sum::<f64>() / 3000.0;
        assert!((99.0..101.0).contains(&mean) && grey.iter().any(|&y| y < 30.0) && grey.iter().any(|&y| y > 170.0), "{mean}"); // 100 ± 1.6 σ
    }

    #[test]
    fn bad_settings_and_floats_are_errors() {
        let bad: [&dyn Transform; 5] = [
            &Posterize::new(9),
            &Solarize::new(f64::NAN),
            &BrightnessContrast::new(1.5, 0.0),
            &BrightnessContrast::new(-0.1, 0.0),
            &BrightnessContrast::new(0.0, f64::NAN),
        ];
        assert!(bad.iter().all(|transform| transform.check().is_err()));
        let bytes: [&dyn Transform; 6] = [
            &Posterize::new(4),
            &Solarize::new(9.0),
            &Invert::new(),
            &AutoContrast::new(),
            &Equalize::new(),
            &BrightnessContrast::new(0.1, 0.1),
        ];
        for transform in bytes {
            let floats = Image::from_floats(1, 1, 1, vec![0.5]).unwrap();
            assert!(matches!(transform.apply(floats, &mut Rng::seed(0)), Err(Error::NeedsBytes { .. })));
        }
    }
}
