//! A random piece, brought to one size: the standard augmentation of photographs.

use std::ops::RangeInclusive;

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use super::crop::check_size;
use super::pad::{Window, offset, view};
use super::range::{Range, check_range, draw, range};
use super::resize::resized;
use crate::{Border, Image, Interpolation, Result, Transform};

/// How many pieces are tried before the middle is taken.
pub(crate) const TRIES: usize = 10;

/// Cuts out a piece of random area and proportion and resizes it: torchvision's `RandomResizedCrop`, which Inception and most since are
/// trained with.
///
/// ```text
/// area = H · W · U(scale), ratio = exp(U(ln ratio)), w = round(√(area · ratio)), h = round(√(area / ratio)), any place equally likely
/// ```
///
/// A piece that does not fit is drawn anew; after ten the middle is taken, as large as the proportions allow.
///
/// # Shapes
/// `[C, H, W] → [C, height, width]`
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for a size of 0, a scale beyond `[0, 1]`, a ratio that is not above 0 and finite.
///
/// # Reference
/// Szegedy et al. 2014, *Going Deeper with Convolutions*, arXiv:1409.4842.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomResizedCrop {
    height: usize,
    width: usize,
    scale: Range,
    ratio: Range,
    interpolation: Interpolation,
}

impl RandomResizedCrop {
    /// To this size; 8 % to all of the area, width to height 3/4 to 4/3.
    pub fn new(height: usize, width: usize) -> Self {
        RandomResizedCrop { height, width, scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0], interpolation: Interpolation::Bilinear }
    }

    /// The piece's part of the area.
    pub fn scale(mut self, parts: RangeInclusive<f64>) -> Self {
        self.scale = range(parts);
        self
    }

    /// The piece's width divided by its height.
    pub fn ratio(mut self, ratios: RangeInclusive<f64>) -> Self {
        self.ratio = range(ratios);
        self
    }

    /// How values between pixels are found.
    pub fn interpolation(mut self, interpolation: Interpolation) -> Self {
        self.interpolation = interpolation;
        self
    }

    fn window(&self, height: usize, width: usize, rng: &mut Rng) -> Window {
        for _ in 0..TRIES {
            let [h, w] = piece(height, width, self.scale, self.ratio, rng);
            if (1..=height).contains(&h) && (1..=width).contains(&w) {
                let (top, left) = (rng.below(height - h + 1), rng.below(width - w + 1));
                return Window { top: offset(top), left: offset(left), height: h, width: w };
            }
        }
        let ([low, high], own) = (self.ratio, width as f64 / height as f64);
        let rounded = |side: f64, most: usize| (side.round() as usize).clamp(1, most);
        let (h, w) = if own < low {
            (rounded(width as f64 / low, height), width)
        } else if own > high {
            (height, rounded(height as f64 * high, width))
        } else {
            (height, width)
        };
        Window { top: offset((height - h) / 2), left: offset((width - w) / 2), height: h, width: w }
    }
}

/// The height and width of a piece of random area and proportion.
pub(crate) fn piece(height: usize, width: usize, scale: Range, ratio: Range, rng: &mut Rng) -> [usize; 2] {
    let area = (height as f64) * (width as f64) * draw(scale, rng);
    let ratio = draw(ratio.map(f64::ln), rng).exp();
    [(area / ratio).sqrt(), (area * ratio).sqrt()].map(|side| side.round_ties_even() as usize)
}

/// Whether area and proportion of a piece make sense.
pub(crate) fn check_piece(op: &'static str, scale: Range, ratio: Range) -> Result<()> {
    check_range(op, "scale", scale, 0.0..=1.0, "from 0 to 1, the smaller first")?;
    check_range(op, "ratio", ratio, f64::MIN_POSITIVE..=f64::MAX, "finite numbers above 0, the smaller first")
}

impl Transform for RandomResizedCrop {
    fn check(&self) -> Result<()> {
        check_size("RandomResizedCrop", self.height, self.width)?;
        check_piece("RandomResizedCrop", self.scale, self.ratio)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let window = self.window(image.height, image.width, rng);
        let piece = view(&image, window, &Border::Edge, "RandomResizedCrop")?;
        resized(piece, self.height, self.width, self.interpolation, "RandomResizedCrop")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_the_documented_areas_and_proportions_and_lie_anywhere() {
        let (crop, mut rng, n) = (RandomResizedCrop::new(8, 8), Rng::seed(1), 20_000);
        let windows: Vec<Window> = (0..n).map(|_| crop.window(200, 200, &mut rng)).collect();
        let stats = |of: &dyn Fn(&Window) -> f64| {
            let values: Vec<f64> = windows.iter().map(of).collect();
            let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
            (low, values.iter().sum::<f64>() / n as f64, high)
        };
        // area uniform on 0.08 to 1, but for the pieces too long for the image, so a mean a little below 0.54
        let (low, mean, high) = stats(&|w| (w.height * w.width) as f64 / 40_000.0);
        assert!((0.078..0.09).contains(&low) && (0.47..0.53).contains(&mean) && high > 0.97, "{low} {mean} {high}");
        // ln ratio symmetric about 0, up to ± ln 4/3 = 0.2877 and the rounding of small sides
        let (low, mean, high) = stats(&|w| (w.width as f64 / w.height as f64).ln());
        assert!((-0.31..-0.28).contains(&low) && mean.abs() < 0.005 && (0.28..0.31).contains(&high), "{low} {mean} {high}");
        let touch = |start: &dyn Fn(&Window) -> isize, length: &dyn Fn(&Window) -> usize| {
            let short: Vec<&Window> = windows.iter().filter(|w| length(w) < 200).collect();
            assert!(short.iter().any(|w| start(w) == 0) && short.iter().any(|w| start(w) as usize + length(w) == 200));
            assert!(windows.iter().all(|w| start(w) as usize + length(w) <= 200));
        };
        touch(&|w| w.top, &|w| w.height);
        touch(&|w| w.left, &|w| w.width);
    }

    /// What torchvision does after ten tries: `RandomResizedCrop.get_params(img, (1, 1), ratio)` on images too long for the ratio.
    #[test]
    fn what_never_fits_gives_the_middle() {
        let crop = RandomResizedCrop::new(4, 4).scale(1.0..=1.0);
        let window = |h, w| crop.window(h, w, &mut Rng::seed(0));
        assert_eq!(window(30, 90), Window { top: 0, left: 25, height: 30, width: 40 });
        assert_eq!(window(90, 30), Window { top: 25, left: 0, height: 40, width: 30 });
        let wide = RandomResizedCrop::new(4, 4).ratio(5.0..=6.0).scale(1.0..=1.0);
        assert_eq!(wide.window(10, 10, &mut Rng::seed(0)), Window { top: 4, left: 0, height: 2, width: 10 });
    }

    #[test]
    fn the_whole_image_is_a_piece_too() {
        let crop = RandomResizedCrop::new(2, 3).scale(1.0..=1.0).ratio(1.5..=1.5);
        let image = Image::from_bytes(2, 3, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(crop.apply(image.clone(), &mut Rng::seed(0)).unwrap(), image);
        let tiny = RandomResizedCrop::new(4, 4).apply(Image::from_bytes(1, 1, 1, vec![9]).unwrap(), &mut Rng::seed(0)).unwrap();
        assert_eq!(tiny.bytes().unwrap(), [9; 16]);
    }

    #[test]
    fn bad_settings_are_errors() {
        let new = || RandomResizedCrop::new(4, 4);
        let bad = [
            RandomResizedCrop::new(0, 4),
            new().scale(0.5..=1.5),
            new().scale(f64::NAN..=1.0),
            new().ratio(0.0..=1.0),
            new().ratio(1.0..=f64::INFINITY),
            new().ratio(2.0..=1.0),
        ];
        for crop in bad {
            assert!(matches!(crop.check(), Err(crate::Error::Argument { op: "RandomResizedCrop", .. })), "{crop:?}");
        }
    }
}
