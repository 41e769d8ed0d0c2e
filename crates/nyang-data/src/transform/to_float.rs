//! From bytes to floats, by minimum and maximum.

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use crate::{Error, Image, Pixels, Result, Transform};

/// Makes floats of an image: min–max scaling.
///
/// ```text
/// y = (x − min) / (max − min)
/// ```
///
/// A pipeline needs it only for other limits than 0 and 255: what is still bytes at its end is divided by 255.
///
/// # Errors
/// [`Error::Argument`] unless min and max are finite and min < max.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToFloat {
    min: f32,
    max: f32,
}

impl ToFloat {
    /// So that `min` becomes 0 and `max` becomes 1.
    pub fn new(min: f32, max: f32) -> Self {
        ToFloat { min, max }
    }
}

impl Transform for ToFloat {
    fn check(&self) -> Result<()> {
        if (self.max - self.min).is_finite() && self.min < self.max {
            return Ok(());
        }
        Err(Error::argument("ToFloat", "max", self.max, "min and max must be finite, and min below max"))
    }

    fn apply(&self, mut image: Image, _: &mut Rng) -> Result<Image> {
        self.check()?;
        let scaled = |x: f32| (x - self.min) / (self.max - self.min);
        image.pixels = Pixels::F32(match image.pixels {
            Pixels::U8(values) => values.into_iter().map(|x| scaled(f32::from(x))).collect(),
            Pixels::F32(values) => values.into_iter().map(scaled).collect(),
        });
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimum_and_maximum_become_0_and_1() {
        let image = Image::from_bytes(1, 3, 1, vec![50, 100, 150]).unwrap();
        let image = ToFloat::new(50.0, 150.0).apply(image, &mut Rng::seed(0)).unwrap();
        assert_eq!(image.pixels(), &Pixels::F32(vec![0.0, 0.5, 1.0]));
        let image = ToFloat::new(-1.0, 3.0).apply(image, &mut Rng::seed(0)).unwrap();
        assert_eq!(image.pixels(), &Pixels::F32(vec![0.25, 0.375, 0.5]));
    }

    #[test]
    fn limits_that_are_none_are_errors() {
        for (min, max) in [(1.0, 1.0), (2.0, 1.0), (f32::NAN, 1.0), (0.0, f32::INFINITY), (f32::MIN, f32::MAX)] {
            assert!(ToFloat::new(min, max).check().is_err(), "{min} {max}");
        }
    }
}
