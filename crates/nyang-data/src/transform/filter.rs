//! Each pixel from its neighbours: blur and sharpness.

use std::ops::RangeInclusive;

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use super::range::{Range, check_range, draw, range};
use crate::image::{Channel, same_kind};
use crate::{Border, Error, Image, Result, Transform};

/// Blurs with a Gaussian: torchvision's `GaussianBlur`.
///
/// ```text
/// k[i] ∝ exp(−i² / 2σ²), i = −r, …, r, size 2r + 1, sum 1; across and down; the image mirrored at its edges (Border::Reflect)
/// ```
///
/// σ is uniform on its range.
///
/// # Errors
/// [`Error::Argument`] for a size that is even, 0, or above 255, a σ that is not above 0 and finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianBlur {
    size: usize,
    sigma: Range,
}

impl GaussianBlur {
    /// With a kernel of this odd size; σ from 0.1 to 2, torchvision's default.
    pub fn new(size: usize) -> Self {
        GaussianBlur { size, sigma: [0.1, 2.0] }
    }

    /// The standard deviation in pixels.
    pub fn sigma(mut self, sigma: RangeInclusive<f64>) -> Self {
        self.sigma = range(sigma);
        self
    }
}

impl Transform for GaussianBlur {
    fn check(&self) -> Result<()> {
        if self.size.is_multiple_of(2) || self.size > 255 {
            return Err(Error::argument("GaussianBlur", "size", self.size, "odd, from 1 to 255"));
        }
        check_range("GaussianBlur", "sigma", self.sigma, 1e-6..=1e6, "finite numbers above 0, the smaller first")
    }

    fn apply(&self, mut image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let kernel = gaussian(self.size / 2, draw(self.sigma, rng));
        let size = [image.height, image.width, image.channels];
        image.pixels = same_kind!(&image.pixels, |values| {
            let floats: Vec<f32> = values.iter().map(|v| v.value()).collect();
            blurred(&floats, size, &kernel, &Border::Reflect).into_iter().map(Channel::nearest).collect()
        });
        Ok(image)
    }
}

/// A Gaussian over −r, …, r with sum 1.
pub(crate) fn gaussian(radius: usize, sigma: f64) -> Vec<f32> {
    let weight = |i: usize| (-0.5 * ((i as f64 - radius as f64) / sigma).powi(2)).exp();
    let sum: f64 = (0..=2 * radius).map(weight).sum();
    (0..=2 * radius).map(|i| (weight(i) / sum) as f32).collect()
}

/// `[H, W, C]` with each value the kernel's average of its row, and then of its column; the border is no constant.
pub(crate) fn blurred(values: &[f32], [h, w, c]: [usize; 3], kernel: &[f32], border: &Border) -> Vec<f32> {
    let radius = (kernel.len() / 2) as isize;
    let places = |at: usize, n: usize| (-radius..=radius).map(move |i| border.place(at as isize + i, n).unwrap_or(at));
    let mut across = vec![0.0; values.len()];
    let columns: Vec<Vec<usize>> = (0..w).map(|x| places(x, w).collect()).collect();
    for (to, from) in across.chunks_exact_mut(w * c).zip(values.chunks_exact(w * c)) {
        for (to, columns) in to.chunks_exact_mut(c).zip(&columns) {
            for (&k, &x) in kernel.iter().zip(columns) {
                to.iter_mut().zip(&from[x * c..][..c]).for_each(|(y, v)| *y += k * v);
            }
        }
    }
    let mut out = vec![0.0; values.len()];
    for (y, to) in out.chunks_exact_mut(w * c).enumerate() {
        for (&k, row) in kernel.iter().zip(places(y, h)) {
            to.iter_mut().zip(&across[row * w * c..][..w * c]).for_each(|(y, v)| *y += k * v);
        }
    }
    out
}

/// Makes an image sharper or softer: torchvision's `adjust_sharpness`.
///
/// ```text
/// y = f x + (1 − f) soft      soft = (1 1 1 / 1 5 1 / 1 1 1) / 13 within the image, x at its edges
/// ```
///
/// The factor is uniform on its range: 0 is soft, 1 as it is, 2 sharp.
///
/// # Errors
/// [`Error::Argument`] for a factor below 0 or not finite; [`Error::NeedsBytes`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sharpen {
    factor: Range,
}

impl Sharpen {
    /// By a factor of this range.
    pub fn new(factor: RangeInclusive<f64>) -> Self {
        Sharpen { factor: range(factor) }
    }
}

impl Transform for Sharpen {
    fn check(&self) -> Result<()> {
        check_range("Sharpen", "factor", self.factor, 0.0..=1e6, "finite numbers of at least 0, the smaller first")
    }

    fn apply(&self, mut image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        sharpness(&mut image, draw(self.factor, rng), "Sharpen")?;
        Ok(image)
    }
}

/// Soft for 0, as it is for 1, sharp above.
pub(crate) fn sharpness(image: &mut Image, factor: f64, op: &'static str) -> Result<()> {
    let (h, w, c) = (image.height, image.width, image.channels);
    let bytes = image.bytes_mut(op)?;
    let x = bytes.to_vec();
    for row in 1..h.saturating_sub(1) {
        for i in (row * w + 1) * c..(row * w + w).saturating_sub(1).max(row * w + 1) * c {
            let three = |middle: usize| u32::from(x[middle - c]) + u32::from(x[middle]) + u32::from(x[middle + c]);
            let sum = three(i - w * c) + three(i) + three(i + w * c) + 4 * u32::from(x[i]);
            let soft = (f64::from(sum) / 13.0).round_ties_even();
            bytes[i] = u8::nearest((factor * f64::from(x[i]) + (1.0 - factor) * soft) as f32);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blur_by_hand() {
        // k = (a, b, a) with b = 1 / (1 + 2 exp(−1/2)) = 0.4519, a = 0.2741 for σ = 1
        let image = Image::from_floats(1, 3, 1, vec![1.0, 0.0, 0.0]).unwrap();
        let image = GaussianBlur::new(3).sigma(1.0..=1.0).apply(image, &mut Rng::seed(0)).unwrap();
        let crate::Pixels::F32(values) = image.pixels() else { panic!("floats stay floats") };
        assert!(values.iter().zip([0.45186, 0.27407, 0.0]).all(|(a, b)| (a - b).abs() < 1e-5), "{values:?}"); // mirrored: 0 1 0 0 → a·0 + b·1 + a·0
    }

    #[test]
    fn a_constant_stays_and_a_kernel_may_be_larger_than_the_image() {
        for (h, w) in [(1, 1), (2, 3), (9, 1)] {
            let image = Image::from_bytes(h, w, 2, vec![77; h * w * 2]).unwrap();
            assert_eq!(GaussianBlur::new(31).apply(image.clone(), &mut Rng::seed(1)).unwrap(), image);
            assert_eq!(Sharpen::new(3.0..=3.0).apply(image.clone(), &mut Rng::seed(1)).unwrap(), image);
        }
    }

    #[test]
    fn sharpness_by_hand() {
        let image = || Image::from_bytes(3, 3, 1, vec![0, 0, 0, 0, 130, 0, 0, 0, 0]).unwrap();
        let middle = |factor: f64| Sharpen::new(factor..=factor).apply(image(), &mut Rng::seed(0)).unwrap().bytes().unwrap()[4];
        assert_eq!([middle(0.0), middle(1.0), middle(1.5), middle(9.0)], [50, 130, 170, 255]); // soft = 5 · 130 / 13
    }

    #[test]
    fn bad_settings_are_errors() {
        let bad: [&dyn Transform; 6] = [
            &GaussianBlur::new(0),
            &GaussianBlur::new(4),
            &GaussianBlur::new(257),
            &GaussianBlur::new(3).sigma(0.0..=1.0),
            &GaussianBlur::new(3).sigma(1.0..=f64::INFINITY),
            &Sharpen::new(-1.0..=1.0),
        ];
        assert!(bad.iter().all(|transform| transform.check().is_err()));
    }
}
