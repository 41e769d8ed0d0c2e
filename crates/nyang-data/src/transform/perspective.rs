//! Perspective: the image seen at an angle.

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use super::warp::{check_lookup, warp};
use crate::{Border, Error, Image, Interpolation, Result, Transform};

/// Moves the four corners inwards at random and the image with them: torchvision's `RandomPerspective`, always applied
/// ([`RandomApply`](crate::RandomApply) makes it rarer).
///
/// ```text
/// each corner moves by 0 to ⌊distortion · ⌊W / 2⌋⌋ pixels across and 0 to ⌊distortion · ⌊H / 2⌋⌋ down or up, all equally likely
/// ```
///
/// # Errors
/// [`Error::Argument`] for a distortion beyond `[0, 1)`, an interpolation that is neither nearest nor bilinear, a fill that does not fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Perspective {
    distortion: f64,
    interpolation: Interpolation,
    border: Border,
}

impl Perspective {
    /// By this part of half the image at the most; 0.5 is torchvision's default.
    pub fn new(distortion: f64) -> Self {
        Perspective { distortion, interpolation: Interpolation::Bilinear, border: Border::default() }
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

    /// Where the corners go: left and right above, right and left below.
    fn corners(&self, height: usize, width: usize, rng: &mut Rng) -> [[f64; 2]; 4] {
        let mut by = |side: usize| rng.below((self.distortion * (side / 2) as f64) as usize + 1) as f64;
        let (right, bottom) = (width as f64 - 1.0, height as f64 - 1.0);
        let corners = [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]];
        corners.map(|[x, y]| {
            let (dx, dy) = (by(width), by(height));
            [if x == 0.0 { dx } else { x - dx }, if y == 0.0 { dy } else { y - dy }]
        })
    }
}

impl Transform for Perspective {
    fn check(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.distortion) {
            return Err(Error::argument("Perspective", "distortion", self.distortion, "at least 0 and below 1"));
        }
        check_lookup("Perspective", self.interpolation, &self.border)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let ends = self.corners(image.height, image.width, rng);
        seen(&image, ends, self.interpolation, &self.border)
    }
}

/// The image with its corners (left and right above, right and left below) at these places.
fn seen(image: &Image, ends: [[f64; 2]; 4], interpolation: Interpolation, border: &Border) -> Result<Image> {
    let (right, bottom) = (image.width as f64 - 1.0, image.height as f64 - 1.0);
    let starts = [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]];
    let Some(k) = homography(ends, starts) else { return Ok(image.clone()) }; // an image of one row or column has no perspective
    let from = |x: f64, y: f64| {
        let w = k[6] * x + k[7] * y + 1.0;
        ((k[0] * x + k[1] * y + k[2]) / w, (k[3] * x + k[4] * y + k[5]) / w)
    };
    warp(image, from, interpolation, border, "Perspective")
}

/// The eight numbers of the map that takes each point of `from` to the one of `to`, if there is such a map.
///
/// ```text
/// x′ (g x + h y + 1) = a x + b y + c      y′ (g x + h y + 1) = d x + e y + f
/// ```
fn homography(from: [[f64; 2]; 4], to: [[f64; 2]; 4]) -> Option<[f64; 8]> {
    let mut rows = [[0.0; 9]; 8];
    for (i, ([x, y], [u, v])) in from.into_iter().zip(to).enumerate() {
        rows[2 * i] = [x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y, u];
        rows[2 * i + 1] = [0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y, v];
    }
    solved(rows)
}

/// The solution of eight linear equations, the last column being the right-hand side (Gauss, with the largest pivot).
fn solved(mut rows: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for column in 0..8 {
        let pivot = (column..8).max_by(|&i, &j| rows[i][column].abs().total_cmp(&rows[j][column].abs()))?;
        rows.swap(column, pivot);
        let row = rows[column];
        if row[column].abs() < 1e-9 {
            return None;
        }
        for other in (0..8).filter(|&other| other != column) {
            let factor = rows[other][column] / row[column];
            rows[other].iter_mut().zip(row).for_each(|(a, b)| *a -= factor * b);
        }
    }
    Some(std::array::from_fn(|i| rows[i][8] / rows[i][i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_go_where_they_should() {
        let from = [[0.0, 0.0], [9.0, 1.0], [8.0, 7.0], [1.0, 6.0]];
        let to = [[2.0, 1.0], [11.0, 0.0], [12.0, 9.0], [0.0, 8.0]];
        let k = homography(from, to).unwrap();
        for ([x, y], [u, v]) in from.into_iter().zip(to) {
            let w = k[6] * x + k[7] * y + 1.0;
            assert!(((k[0] * x + k[1] * y + k[2]) / w - u).abs() < 1e-9 && ((k[3] * x + k[4] * y + k[5]) / w - v).abs() < 1e-9);
        }
        assert_eq!(homography([[0.0, 0.0]; 4], to), None);
    }

    /// `F.perspective(PIL.Image of arange(30, 150, 10) as 3 × 4, starts, [[1, 0], [3, 1], [2, 2], [0, 2]], BILINEAR)` of torchvision 0.29.
    #[test]
    fn a_perspective_is_torchvisions() {
        let image = Image::from_bytes(3, 4, 1, (30..150).step_by(10).collect()).unwrap();
        let ends = [[1.0, 0.0], [3.0, 1.0], [2.0, 2.0], [0.0, 2.0]];
        let ours = seen(&image, ends, Interpolation::Bilinear, &Border::default()).unwrap();
        let apart: Vec<u8> = ours.bytes().unwrap().iter().zip(TORCHVISION).map(|(a, b)| a.abs_diff(b)).collect();
        assert!(apart.iter().all(|d| *d <= 1), "{:?}", ours.bytes());
    }
    const TORCHVISION: [u8; 12] = [0, 30, 0, 0, 62, 63, 70, 0, 0, 0, 0, 0];

    #[test]
    fn corners_move_inwards_by_every_amount_up_to_the_limit() {
        let (mut rng, perspective) = (Rng::seed(1), Perspective::new(0.5));
        let all: Vec<[[f64; 2]; 4]> = (0..1000).map(|_| perspective.corners(21, 13, &mut rng)).collect();
        for (corner, [x, y]) in [[0.0, 0.0], [12.0, 0.0], [12.0, 20.0], [0.0, 20.0]].into_iter().enumerate() {
            let moved = |axis: usize, from: f64, sign: f64| {
                let by: std::collections::BTreeSet<i64> = all.iter().map(|c| (sign * (c[corner][axis] - from)) as i64).collect();
                by.into_iter().collect::<Vec<_>>()
            };
            assert_eq!(moved(0, x, if x == 0.0 { 1.0 } else { -1.0 }), [0, 1, 2, 3]); // ⌊0.5 · 6⌋
            assert_eq!(moved(1, y, if y == 0.0 { 1.0 } else { -1.0 }), [0, 1, 2, 3, 4, 5]); // ⌊0.5 · 10⌋
        }
        let image = || Image::from_bytes(21, 21, 1, (0..441).map(|i| i as u8).collect()).unwrap();
        assert_eq!(Perspective::new(0.0).apply(image(), &mut rng).unwrap(), image());
        for size in [(1, 9), (9, 1), (1, 1)] {
            let line = Image::from_bytes(size.0, size.1, 1, vec![3; size.0 * size.1]).unwrap();
            assert_eq!(perspective.apply(line.clone(), &mut rng).unwrap().height(), line.height());
        }
    }

    #[test]
    fn bad_settings_are_errors() {
        for distortion in [-0.1, 1.0, f64::NAN] {
            assert!(Perspective::new(distortion).check().is_err(), "{distortion}");
        }
        assert!(Perspective::new(0.5).interpolation(Interpolation::Lanczos).check().is_err());
    }
}
