//! Quarter turns and mirror images: the eight ways in which a square fits on itself.

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use crate::image::same_kind;
use crate::{Image, Result, Transform};

/// A quarter turn counter-clockwise, so many times: 0 to 3, each equally likely. Albumentations' `RandomRotate90`, numpy's `rot90`.
///
/// For pictures without an up and down: cells, aerial views. Odd turns exchange height and width.
///
/// # Shapes
/// `[C, H, W] → [C, H, W]` or `[C, W, H]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate90 {}

impl Rotate90 {
    /// Any of the four.
    pub fn new() -> Self {
        Rotate90 {}
    }
}

impl Transform for Rotate90 {
    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        Ok(turned(image, Turn::QUARTERS[rng.below(4)]))
    }
}

/// Any of the eight symmetries of the square: the quarter turns, and each of them mirrored. Albumentations' `D4`.
///
/// # Shapes
/// `[C, H, W] → [C, H, W]` or `[C, W, H]`
///
/// # Reference
/// The dihedral group of order 8.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct D4 {}

impl D4 {
    /// Any of the eight.
    pub fn new() -> Self {
        D4 {}
    }
}

impl Transform for D4 {
    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        let turn = Turn::QUARTERS[rng.below(4)];
        let mirror = rng.below(2) == 1;
        Ok(turned(image, Turn { horizontal: turn.horizontal != mirror, ..turn }))
    }
}

/// First the transposition, then the mirrors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Rows become columns.
    pub(crate) transpose: bool,
    /// Left and right are exchanged.
    pub(crate) horizontal: bool,
    /// Above and below are exchanged.
    pub(crate) vertical: bool,
}

impl Turn {
    /// By 0, 90, 180 and 270 degrees, counter-clockwise.
    const QUARTERS: [Turn; 4] = [
        Turn { transpose: false, horizontal: false, vertical: false },
        Turn { transpose: true, horizontal: false, vertical: true },
        Turn { transpose: false, horizontal: true, vertical: true },
        Turn { transpose: true, horizontal: true, vertical: false },
    ];
}

/// The image turned.
pub(crate) fn turned(image: Image, turn: Turn) -> Image {
    if turn == Turn::default() {
        return image;
    }
    let Image { height, width, channels, pixels } = image;
    let (h, w) = if turn.transpose { (width, height) } else { (height, width) };
    let pixels = same_kind!(pixels, |values| {
        let mut out = Vec::with_capacity(values.len());
        for row in 0..h {
            let row = if turn.vertical { h - 1 - row } else { row };
            for column in 0..w {
                let column = if turn.horizontal { w - 1 - column } else { column };
                let from = if turn.transpose { column * width + row } else { row * width + column };
                out.extend_from_slice(&values[from * channels..][..channels]);
            }
        }
        out
    });
    Image { height: h, width: w, channels, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn image() -> Image {
        Image::from_bytes(2, 3, 1, vec![1, 2, 3, 4, 5, 6]).unwrap()
    }

    /// `numpy.rot90([[1, 2, 3], [4, 5, 6]], k)`
    #[test]
    fn the_quarters_are_numpys() {
        let expected: [(usize, [u8; 6]); 4] =
            [(3, [1, 2, 3, 4, 5, 6]), (2, [3, 6, 2, 5, 1, 4]), (3, [6, 5, 4, 3, 2, 1]), (2, [4, 1, 5, 2, 6, 3])];
        for (turn, (width, values)) in Turn::QUARTERS.into_iter().zip(expected) {
            let turned = turned(image(), turn);
            assert_eq!((turned.width(), turned.bytes().unwrap()), (width, &values[..]));
        }
    }

    #[test]
    fn all_of_them_come_equally_often() {
        let seen = |transform: &dyn Transform| {
            let (mut rng, mut seen) = (Rng::seed(1), BTreeMap::new());
            for _ in 0..4000 {
                let image = transform.apply(image(), &mut rng).unwrap();
                *seen.entry((image.width(), image.bytes().unwrap().to_vec())).or_insert(0) += 1;
            }
            seen.into_values().collect::<Vec<usize>>()
        };
        let (quarters, all) = (seen(&Rotate90::new()), seen(&D4::new()));
        assert!(quarters.len() == 4 && quarters.iter().all(|n| (890..1110).contains(n)), "{quarters:?}"); // 1000 ± 4 σ
        assert!(all.len() == 8 && all.iter().all(|n| (400..600).contains(n)), "{all:?}"); // 500 ± 4.8 σ
    }

    #[test]
    fn channels_stay_together() {
        let image = Image::from_floats(1, 2, 2, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let turned = turned(image, Turn { transpose: false, horizontal: true, vertical: false });
        assert_eq!(turned.pixels(), &crate::Pixels::F32(vec![3.0, 4.0, 1.0, 2.0]));
    }
}
