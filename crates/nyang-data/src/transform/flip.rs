//! Mirror images.

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use super::range::{check_probability, happens};
use crate::image::same_kind;
use crate::{Image, Result, Transform};

/// Left and right exchanged, with probability p: torchvision's `RandomHorizontalFlip`.
///
/// ```text
/// y[c,h,w] = x[c, h, W − 1 − w]
/// ```
///
/// Not for images in which left and right mean something, such as digits.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) unless p is in `[0, 1]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HorizontalFlip {
    p: f64,
}

impl HorizontalFlip {
    /// With probability `p`: 0.5 usually, 1 always.
    pub fn new(p: f64) -> Self {
        HorizontalFlip { p }
    }
}

impl Transform for HorizontalFlip {
    fn check(&self) -> Result<()> {
        check_probability("HorizontalFlip", self.p)
    }

    fn apply(&self, mut image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        if happens(self.p, rng) {
            let (row, c) = (image.width * image.channels, image.channels);
            image.pixels = same_kind!(image.pixels, |values| {
                let mut values = values;
                values.chunks_exact_mut(row).for_each(|row| mirror(row, c));
                values
            });
        }
        Ok(image)
    }
}

/// Above and below exchanged, with probability p: torchvision's `RandomVerticalFlip`.
///
/// ```text
/// y[c,h,w] = x[c, H − 1 − h, w]
/// ```
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) unless p is in `[0, 1]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerticalFlip {
    p: f64,
}

impl VerticalFlip {
    /// With probability `p`: 0.5 usually, 1 always.
    pub fn new(p: f64) -> Self {
        VerticalFlip { p }
    }
}

impl Transform for VerticalFlip {
    fn check(&self) -> Result<()> {
        check_probability("VerticalFlip", self.p)
    }

    fn apply(&self, mut image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        if happens(self.p, rng) {
            let row = image.width * image.channels;
            image.pixels = same_kind!(image.pixels, |values| {
                let mut values = values;
                mirror(&mut values, row);
                values
            });
        }
        Ok(image)
    }
}

/// Pieces of `size` values in reverse order.
fn mirror<T: Copy>(values: &mut [T], size: usize) {
    let n = values.len() / size;
    for i in 0..n / 2 {
        let (front, back) = values.split_at_mut((n - 1 - i) * size);
        front[i * size..][..size].swap_with_slice(&mut back[..size]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flipped(flip: &dyn Transform, h: usize, w: usize, c: usize) -> Vec<u8> {
        let image = Image::from_bytes(h, w, c, (1..=(h * w * c) as u8).collect()).unwrap();
        flip.apply(image, &mut Rng::seed(0)).unwrap().bytes().unwrap().to_vec()
    }

    #[test]
    fn flips_by_hand() {
        assert_eq!(flipped(&HorizontalFlip::new(1.0), 2, 3, 1), [3, 2, 1, 6, 5, 4]);
        assert_eq!(flipped(&HorizontalFlip::new(1.0), 1, 2, 3), [4, 5, 6, 1, 2, 3]);
        assert_eq!(flipped(&VerticalFlip::new(1.0), 3, 2, 1), [5, 6, 3, 4, 1, 2]);
        assert_eq!(flipped(&VerticalFlip::new(0.0), 3, 2, 1), [1, 2, 3, 4, 5, 6]);
        assert_eq!(flipped(&HorizontalFlip::new(0.0), 1, 3, 1), [1, 2, 3]);
    }

    #[test]
    fn they_come_as_often_as_asked() {
        let (mut rng, n) = (Rng::seed(1), 4000);
        for flip in [&HorizontalFlip::new(0.25) as &dyn Transform, &VerticalFlip::new(0.25)] {
            let image = || Image::from_floats(2, 2, 1, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
            let times = (0..n).filter(|_| flip.apply(image(), &mut rng).unwrap() != image()).count();
            assert!((890..1110).contains(&times), "{times}"); // 1000 ± 4 σ
        }
    }

    #[test]
    fn what_is_no_probability_is_an_error() {
        for p in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(HorizontalFlip::new(p).check().is_err() && VerticalFlip::new(p).check().is_err(), "{p}");
        }
    }
}
