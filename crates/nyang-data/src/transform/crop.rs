//! Crops of a fixed size: from the middle, or from anywhere.

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use super::pad::{Window, offset, view};
use crate::{Border, Error, Image, Result, Transform};

/// Cuts the middle out of an image: torchvision's `CenterCrop`.
///
/// ```text
/// top = round((H − height) / 2), left = round((W − width) / 2), halves to the even number, as Python's round
/// ```
///
/// A smaller image is padded with zeros first, the odd pixel below and right, as in torchvision.
///
/// # Shapes
/// `[C, H, W] → [C, height, width]`
///
/// # Errors
/// [`Error::Argument`] for a height or width of 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CenterCrop {
    height: usize,
    width: usize,
}

impl CenterCrop {
    /// Of this size.
    pub fn new(height: usize, width: usize) -> Self {
        CenterCrop { height, width }
    }
}

impl Transform for CenterCrop {
    fn check(&self) -> Result<()> {
        check_size("CenterCrop", self.height, self.width)
    }

    fn apply(&self, image: Image, _: &mut Rng) -> Result<Image> {
        self.check()?;
        let window = Window {
            top: middle(image.height, self.height),
            left: middle(image.width, self.width),
            height: self.height,
            width: self.width,
        };
        view(&image, window, &Border::default(), "CenterCrop")
    }
}

/// Where the middle `part` of `whole` begins; below 0 if the part is larger.
fn middle(whole: usize, part: usize) -> isize {
    if part > whole {
        return -offset((part - whole) / 2);
    }
    let rest = offset(whole - part);
    rest / 2 + if rest % 4 == 3 { 1 } else { 0 } // x.5 to the even number
}

/// Cuts a piece of a fixed size out of an image, any place equally likely: torchvision's `RandomCrop`.
///
/// With [`padding`](RandomCrop::padding) the image is padded first: `RandomCrop::new(32, 32).padding(4)` is the classic augmentation of
/// CIFAR, a shift by up to four pixels.
///
/// # Shapes
/// `[C, H, W] → [C, height, width]`
///
/// # Errors
/// [`Error::Argument`] for a height or width of 0, a padding that is not smaller than the piece (nothing of the image would be left), or
/// if the padded image is smaller than the piece.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomCrop {
    height: usize,
    width: usize,
    padding: usize,
    border: Border,
}

impl RandomCrop {
    /// A piece of this size.
    pub fn new(height: usize, width: usize) -> Self {
        RandomCrop { height, width, padding: 0, border: Border::default() }
    }

    /// With so many pixels added on each side first.
    pub fn padding(mut self, pixels: usize) -> Self {
        self.padding = pixels;
        self
    }

    /// What the added pixels are; zeros by default.
    pub fn border(mut self, border: impl Into<Border>) -> Self {
        self.border = border.into();
        self
    }
}

impl Transform for RandomCrop {
    fn check(&self) -> Result<()> {
        check_size("RandomCrop", self.height, self.width)?;
        if self.padding > 0 && self.padding >= self.height.min(self.width) {
            return Err(Error::argument("RandomCrop", "padding", self.padding, "must be below height and width of the piece"));
        }
        self.border.check("RandomCrop")
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let mut start = |whole: usize, part: usize| {
            let places = (whole.saturating_add(2 * self.padding)).checked_sub(part)?.saturating_add(1);
            Some(offset(rng.below(places)) - offset(self.padding))
        };
        let (Some(top), Some(left)) = (start(image.height, self.height), start(image.width, self.width)) else {
            let size = format!("{} × {}", self.height, self.width);
            return Err(Error::argument("RandomCrop", "size", size, "must be at most the image's, padding included; resize or pad first"));
        };
        view(&image, Window { top, left, height: self.height, width: self.width }, &self.border, "RandomCrop")
    }
}

/// Whether an image can have this size.
pub(crate) fn check_size(op: &'static str, height: usize, width: usize) -> Result<()> {
    if height == 0 || width == 0 {
        return Err(Error::argument(op, "size", format!("{height} × {width}"), "height and width must be at least 1"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn counted(h: usize, w: usize) -> Image {
        Image::from_bytes(h, w, 1, (1..=h * w).map(|v| v as u8).collect()).unwrap()
    }

    fn bytes(transform: &impl Transform, image: Image, rng: &mut Rng) -> Vec<u8> {
        transform.apply(image, rng).unwrap().bytes().unwrap().to_vec()
    }

    /// `torchvision.transforms.functional.center_crop(torch.arange(1, h*w+1).reshape(1, h, w), size)`
    #[test]
    fn the_middle_is_torchvisions() {
        let crop = |h, w, height, width| bytes(&CenterCrop::new(height, width), counted(h, w), &mut Rng::seed(0));
        assert_eq!(crop(3, 4, 1, 1), [7]); // rows (3 − 1) / 2 = 1, columns 1.5 → 2: the even one is 2
        assert_eq!(crop(1, 6, 1, 3), [3, 4, 5]);
        assert_eq!(crop(1, 4, 1, 3), [1, 2, 3]); // 0.5 → 0
        assert_eq!(crop(1, 2, 1, 5), [0, 1, 2, 0, 0]);
        assert_eq!(crop(2, 2, 2, 2), [1, 2, 3, 4]);
    }

    #[test]
    fn every_place_comes_equally_often_and_none_beyond() {
        let (mut rng, mut seen) = (Rng::seed(1), BTreeMap::new());
        let crop = RandomCrop::new(5, 6).padding(2);
        for _ in 0..2500 {
            let y = bytes(&crop, counted(5, 6), &mut rng);
            let at = y.iter().position(|&v| v == 15).unwrap(); // the middle pixel stays in sight: where is it?
            *seen.entry((at / 6, at % 6)).or_insert(0) += 1;
        }
        let expected: Vec<_> = (0..5).flat_map(|h| (0..5).map(move |w| (h, w))).collect();
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), expected);
        assert!(seen.values().all(|n| (50..150).contains(n)), "{seen:?}"); // 100 ± 5 σ
    }

    #[test]
    fn a_padded_crop_by_hand() {
        // −1 and 1 of −1..=1: the window starts one above and one to the right
        let seed = (0..)
            .find(|&s| {
                (Rng::seed(s).below(3), {
                    let mut r = Rng::seed(s);
                    r.below(3);
                    r.below(3)
                }) == (0, 2)
            })
            .unwrap();
        let y = bytes(&RandomCrop::new(2, 2).padding(1).border(9.0), counted(2, 2), &mut Rng::seed(seed));
        assert_eq!(y, [9, 9, 2, 9]);
    }

    #[test]
    fn crops_that_cannot_be_are_errors() {
        let cases = [
            RandomCrop::new(0, 2),
            RandomCrop::new(4, 2),
            RandomCrop::new(2, usize::MAX),
            RandomCrop::new(2, 2).padding(2),
            RandomCrop::new(2, 2).padding(usize::MAX),
            RandomCrop::new(2, 2).padding(1).border(f32::NAN),
        ];
        for crop in cases {
            assert!(matches!(crop.apply(counted(3, 3), &mut Rng::seed(0)), Err(Error::Argument { op: "RandomCrop", .. })), "{crop:?}");
        }
        for crop in [CenterCrop::new(0, 1), CenterCrop::new(1, 0), CenterCrop::new(1 << 20, 1 << 20)] {
            assert!(matches!(crop.apply(counted(3, 3), &mut Rng::seed(0)), Err(Error::Argument { op: "CenterCrop", .. })), "{crop:?}");
        }
    }
}
