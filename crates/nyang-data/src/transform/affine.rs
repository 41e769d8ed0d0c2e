//! Rotation, translation, scale and shear.

use std::ops::RangeInclusive;

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use super::range::{Range, check_range, draw, range};
use super::warp::{check_lookup, warp};
use crate::{Border, Image, Interpolation, Result, Transform};

/// Turns the image about its middle: torchvision's `RandomRotation`, albumentations' `Rotate`.
///
/// The angle is uniform on its range, in degrees, counter-clockwise. The size stays; what comes in from outside is the border, zeros by
/// default. Pixels between pixels are bilinear (torchvision's default is the nearest).
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for an angle that is not finite, an interpolation that is neither nearest nor bilinear, a
/// fill that does not fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    degrees: Range,
    interpolation: Interpolation,
    border: Border,
}

impl Rotate {
    /// By up to this angle each way.
    pub fn new(degrees: f64) -> Self {
        Rotate::range(-degrees..=degrees)
    }

    /// By an angle of this range.
    pub fn range(degrees: RangeInclusive<f64>) -> Self {
        Rotate { degrees: range(degrees), interpolation: Interpolation::Bilinear, border: Border::default() }
    }

    /// How values between pixels are found: nearest or bilinear.
    pub fn interpolation(mut self, interpolation: Interpolation) -> Self {
        self.interpolation = interpolation;
        self
    }

    /// What comes in from outside.
    pub fn border(mut self, border: impl Into<Border>) -> Self {
        self.border = border.into();
        self
    }
}

impl Transform for Rotate {
    fn check(&self) -> Result<()> {
        check_range("Rotate", "degrees", self.degrees, FINITE, "finite numbers, the smaller first")?;
        check_lookup("Rotate", self.interpolation, &self.border)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let map = Map { degrees: -draw(self.degrees, rng), ..Map::middle(&image) };
        map.apply(&image, self.interpolation, &self.border, "Rotate")
    }
}

/// All numbers that do not overflow when they are subtracted.
const FINITE: RangeInclusive<f64> = -1e9..=1e9;

/// Rotates, shifts, scales and shears about the middle: torchvision's `RandomAffine`.
///
/// ```text
/// (x, y) − middle − t = scale · R(angle) · Shear · ((x₀, y₀) − middle)      each number uniform on its range
/// ```
///
/// Angles are clockwise here, as in torchvision; shifts are rounded to whole pixels.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for a shift beyond −1 to 1, a scale that is not above 0, a shear beyond −89 to 89 degrees, or
/// a number that is not finite; otherwise as [`Rotate`].
///
/// ```
/// use nyang_data::{Affine, transforms};
///
/// let train = transforms![Affine::new().degrees(10.0).translate(0.1, 0.1).scale(0.9..=1.1).shear(5.0)];
/// # let _ = train;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    degrees: Range,
    translate_x: Range,
    translate_y: Range,
    scale: Range,
    shear_x: Range,
    shear_y: Range,
    interpolation: Interpolation,
    border: Border,
}

impl Default for Affine {
    fn default() -> Self {
        Affine::new()
    }
}

impl Affine {
    /// One that changes nothing, to begin with.
    pub fn new() -> Self {
        const NONE: Range = [0.0, 0.0];
        Affine {
            degrees: NONE,
            translate_x: NONE,
            translate_y: NONE,
            scale: [1.0, 1.0],
            shear_x: NONE,
            shear_y: NONE,
            interpolation: Interpolation::Bilinear,
            border: Border::default(),
        }
    }

    /// Rotated by up to this angle each way.
    pub fn degrees(mut self, degrees: f64) -> Self {
        self.degrees = [-degrees, degrees];
        self
    }

    /// Shifted by up to these parts of the width and of the height each way.
    pub fn translate(mut self, x: f64, y: f64) -> Self {
        (self.translate_x, self.translate_y) = ([-x, x], [-y, y]);
        self
    }

    /// Scaled by a factor of this range.
    pub fn scale(mut self, factors: RangeInclusive<f64>) -> Self {
        self.scale = range(factors);
        self
    }

    /// Sheared along x by up to this angle each way.
    pub fn shear(mut self, degrees: f64) -> Self {
        self.shear_x = [-degrees, degrees];
        self
    }

    /// Sheared along y by up to this angle each way.
    pub fn shear_y(mut self, degrees: f64) -> Self {
        self.shear_y = [-degrees, degrees];
        self
    }

    /// How values between pixels are found: nearest or bilinear.
    pub fn interpolation(mut self, interpolation: Interpolation) -> Self {
        self.interpolation = interpolation;
        self
    }

    /// What comes in from outside.
    pub fn border(mut self, border: impl Into<Border>) -> Self {
        self.border = border.into();
        self
    }
}

impl Transform for Affine {
    fn check(&self) -> Result<()> {
        check_range("Affine", "degrees", self.degrees, FINITE, "finite numbers, the smaller first")?;
        check_range("Affine", "translate", self.translate_x, -1.0..=1.0, "parts of the width, from −1 to 1")?;
        check_range("Affine", "translate", self.translate_y, -1.0..=1.0, "parts of the height, from −1 to 1")?;
        check_range("Affine", "scale", self.scale, 1e-6..=1e6, "finite factors above 0, the smaller first")?;
        check_range("Affine", "shear", self.shear_x, -89.0..=89.0, "from −89 to 89 degrees, the smaller first")?;
        check_range("Affine", "shear_y", self.shear_y, -89.0..=89.0, "from −89 to 89 degrees, the smaller first")?;
        check_lookup("Affine", self.interpolation, &self.border)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let map = Map {
            degrees: draw(self.degrees, rng),
            translate: [
                (image.width as f64 * draw(self.translate_x, rng)).round_ties_even(),
                (image.height as f64 * draw(self.translate_y, rng)).round_ties_even(),
            ],
            scale: draw(self.scale, rng),
            shear: [draw(self.shear_x, rng), draw(self.shear_y, rng)],
            ..Map::middle(&image)
        };
        map.apply(&image, self.interpolation, &self.border, "Affine")
    }
}

/// One affine map, in torchvision's numbers: degrees clockwise, pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map {
    pub(crate) center: [f64; 2],
    pub(crate) degrees: f64,
    pub(crate) translate: [f64; 2],
    pub(crate) scale: f64,
    pub(crate) shear: [f64; 2],
}

impl Map {
    /// The one that changes nothing, about the middle.
    pub(crate) fn middle(image: &Image) -> Self {
        let center = [image.width as f64 * 0.5, image.height as f64 * 0.5];
        Map { center, degrees: 0.0, translate: [0.0; 2], scale: 1.0, shear: [0.0; 2] }
    }

    pub(crate) fn apply(&self, image: &Image, interpolation: Interpolation, border: &Border, op: &'static str) -> Result<Image> {
        let [m0, m1, m3, m4] = self.inverse();
        let ([cx, cy], [tx, ty]) = (self.center, self.translate);
        let from = |x: f64, y: f64| {
            let (x, y) = (x - cx - tx, y - cy - ty);
            (m0 * x + m1 * y + cx, m3 * x + m4 * y + cy)
        };
        warp(image, from, interpolation, border, op)
    }

    /// The inverse of scale · R · Shear, row by row: back from the new image to the old.
    fn inverse(&self) -> [f64; 4] {
        let (angle, [sx, sy]) = (self.degrees.to_radians(), self.shear.map(f64::to_radians));
        let a = (angle - sy).cos() / sy.cos();
        let b = -(angle - sy).cos() * sx.tan() / sy.cos() - angle.sin();
        let c = (angle - sy).sin() / sy.cos();
        let d = -(angle - sy).sin() * sx.tan() / sy.cos() + angle.cos();
        [d, -b, -c, a].map(|v| v / self.scale) // a d − b c = 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square() -> Image {
        Image::from_bytes(3, 3, 1, vec![1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap()
    }

    fn bytes(transform: &impl Transform) -> Vec<u8> {
        transform.apply(square(), &mut Rng::seed(0)).unwrap().bytes().unwrap().to_vec()
    }

    #[test]
    fn quarter_turns_and_whole_shifts_are_exact() {
        for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
            let quarter = Rotate::range(90.0..=90.0).interpolation(interpolation);
            assert_eq!(bytes(&quarter), [3, 6, 9, 2, 5, 8, 1, 4, 7]); // counter-clockwise, as numpy.rot90
        }
        let shift = Affine { translate_x: [0.34, 0.34], translate_y: [-0.34, -0.34], ..Affine::new() };
        assert_eq!(bytes(&shift), [0, 4, 5, 0, 7, 8, 0, 0, 0]); // one to the right, one up
        assert_eq!(bytes(&Affine::new()), square().bytes().unwrap());
        assert_eq!(bytes(&Rotate::new(0.0)), square().bytes().unwrap());
    }

    #[test]
    fn angles_are_uniform_on_their_range() {
        // a bright pixel at the right edge of a long row: its height tells the angle
        let (mut rng, n) = (Rng::seed(1), 2000);
        let rotate = Rotate::range(-10.0..=30.0).interpolation(Interpolation::Nearest);
        let mut image = vec![0u8; 41 * 41];
        (20..41).for_each(|x| image[20 * 41 + x] = 255);
        let up = (0..n).filter(|_| {
            let turned = rotate.apply(Image::from_bytes(41, 41, 1, image.clone()).unwrap(), &mut rng).unwrap();
            turned.bytes().unwrap()[..20 * 41].iter().filter(|v| **v == 255).count() > 5 // counter-clockwise by more than a little
        });
        let up = up.count() as f64 / n as f64; // from about 2 to 30 of −10 to 30 degrees
        assert!((0.66..0.74).contains(&up), "{up}");
    }

    #[test]
    fn bad_settings_are_errors() {
        let nan = f64::NAN;
        let bad: [&dyn Transform; 9] = [
            &Rotate::new(nan),
            &Rotate::new(-1.0),
            &Rotate::new(f64::INFINITY),
            &Rotate::new(1.0).interpolation(Interpolation::Bicubic),
            &Affine::new().degrees(nan),
            &Affine::new().translate(1.5, 0.0),
            &Affine::new().scale(0.0..=1.0),
            &Affine::new().shear(90.0),
            &Affine::new().border(f32::NAN),
        ];
        for transform in bad {
            assert!(transform.check().is_err() && transform.apply(square(), &mut Rng::seed(0)).is_err());
        }
        assert!(Rotate::new(1.0).border([1.0, 2.0]).apply(square(), &mut Rng::seed(0)).is_err());
    }
}
