//! Distortions that bend an image: elastic, and by a grid.

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use super::filter::{blurred, gaussian};
use super::range::Range;
use super::warp::{check_lookup, warp};
use crate::{Border, Error, Image, Interpolation, Result, Transform};

/// Moves every pixel a little, neighbours alike, as if the image were printed on rubber: torchvision's `ElasticTransform`.
///
/// ```text
/// d = α / 2 · G_σ ∗ U(−1, 1) for x and y, new for each pixel; y[p] = x[p + d]
/// ```
///
/// G is a Gaussian of odd size ⌊8σ + 1⌋ or one more, the noise mirrored at the edges. The half comes from torchvision, which counts an image as two
/// units wide.
///
/// # Errors
/// [`Error::Argument`] for an α below 0 or above 10⁶, a σ below 0 or above 1000, an interpolation that is neither nearest nor bilinear.
///
/// # Reference
/// Simard, Steinkraus & Platt 2003, *Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElasticTransform {
    alpha: f64,
    sigma: f64,
    interpolation: Interpolation,
    border: Border,
}

impl ElasticTransform {
    /// With this strength and smoothness; torchvision's defaults are 50 and 5.
    pub fn new(alpha: f64, sigma: f64) -> Self {
        ElasticTransform { alpha, sigma, interpolation: Interpolation::Bilinear, border: Border::default() }
    }

    /// What comes in from outside.
    pub fn border(mut self, border: impl Into<Border>) -> Self {
        self.border = border.into();
        self
    }

    /// How far each pixel looks along one axis.
    fn displacements(&self, height: usize, width: usize, rng: &mut Rng) -> Vec<f32> {
        let noise: Vec<f32> = (0..height * width).map(|_| (2.0 * rng.uniform() - 1.0) as f32).collect();
        let radius = ((8.0 * self.sigma + 1.0) as usize) / 2; // an even size is made odd by one more
        let smooth =
            if self.sigma > 0.0 { blurred(&noise, [height, width, 1], &gaussian(radius, self.sigma), &Border::Reflect) } else { noise };
        smooth.into_iter().map(|v| v * (self.alpha / 2.0) as f32).collect()
    }
}

impl Transform for ElasticTransform {
    fn check(&self) -> Result<()> {
        for (name, value, most) in [("alpha", self.alpha, 1e6), ("sigma", self.sigma, 1e3)] {
            if !(0.0..=most).contains(&value) {
                return Err(Error::argument("ElasticTransform", name, value, "at least 0; alpha at most 10^6, sigma at most 1000"));
            }
        }
        check_lookup("ElasticTransform", self.interpolation, &self.border)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let dx = self.displacements(image.height, image.width, rng);
        let dy = self.displacements(image.height, image.width, rng);
        let from = |x: f64, y: f64| {
            let at = y as usize * image.width + x as usize; // (x, y) is the middle of a pixel of the image
            (x + f64::from(dx[at]), y + f64::from(dy[at]))
        };
        warp(&image, from, self.interpolation, &self.border, "ElasticTransform")
    }
}

/// Stretches and squeezes the columns and rows of a grid: albumentations' `GridDistortion`.
///
/// ```text
/// each of the n columns gets a width ∝ 1 + U(−limit, limit) in the old image, and each row a height; within one all is even
/// ```
///
/// The edges stay where they are, as with albumentations' `normalized=True`; cells are W / n wide, not rounded to pixels.
///
/// # Errors
/// [`Error::Argument`] for no cells or more than 1000, a limit beyond `[0, 1)`, an interpolation that is neither nearest nor bilinear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridDistortion {
    cells: usize,
    limit: f64,
    interpolation: Interpolation,
}

impl GridDistortion {
    /// With this number of columns and rows and this limit; albumentations' defaults are 5 and 0.3.
    pub fn new(cells: usize, limit: f64) -> Self {
        GridDistortion { cells, limit, interpolation: Interpolation::Bilinear }
    }

    /// The places in the old image of the grid's lines, from 0 to `side`.
    fn lines(&self, side: usize, rng: &mut Rng) -> Vec<f64> {
        let limit: Range = [-self.limit, self.limit];
        let mut lines = vec![0.0];
        for _ in 0..self.cells {
            lines.push(lines.last().copied().unwrap_or(0.0) + 1.0 + super::range::draw(limit, rng));
        }
        let all = lines.last().copied().unwrap_or(1.0);
        lines.iter().map(|line| line / all * side as f64).collect()
    }
}

/// Where `at` of 0 to `side` lies between lines that are even in the new image.
fn between(lines: &[f64], at: f64, side: usize) -> f64 {
    let cells = lines.len() - 1;
    let cell = at / side as f64 * cells as f64;
    let i = (cell as usize).min(cells - 1);
    lines[i] + (cell - i as f64) * (lines[i + 1] - lines[i])
}

impl Transform for GridDistortion {
    fn check(&self) -> Result<()> {
        if self.cells == 0 || self.cells > 1000 {
            return Err(Error::argument("GridDistortion", "cells", self.cells, "from 1 to 1000"));
        }
        if !(0.0..1.0).contains(&self.limit) {
            return Err(Error::argument("GridDistortion", "limit", self.limit, "at least 0 and below 1"));
        }
        check_lookup("GridDistortion", self.interpolation, &Border::Edge)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let (columns, rows) = (self.lines(image.width, rng), self.lines(image.height, rng));
        let from = |x: f64, y: f64| (between(&columns, x, image.width), between(&rows, y, image.height));
        warp(&image, from, self.interpolation, &Border::Edge, "GridDistortion")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slope(h: usize, w: usize) -> Image {
        Image::from_floats(h, w, 2, (0..h * w).flat_map(|i| [(i % w) as f32 + 0.5, (i / w) as f32 + 0.5]).collect()).unwrap()
    }

    /// How far each pixel looked, x and y, as seen on an image of its own places.
    fn moved(transform: &dyn Transform, side: usize, rng: &mut Rng) -> Vec<[f32; 2]> {
        let seen = transform.apply(slope(side, side), rng).unwrap();
        let crate::Pixels::F32(values) = seen.pixels() else { panic!("floats stay floats") };
        let at = |i: usize| [(i % side) as f32 + 0.5, (i / side) as f32 + 0.5];
        values.chunks_exact(2).enumerate().map(|(i, v)| [v[0] - at(i)[0], v[1] - at(i)[1]]).collect()
    }

    #[test]
    fn elastic_displacements_have_the_strength_and_smoothness_of_the_formula() {
        let (side, sigma, alpha) = (120, 3.0, 40.0);
        let moved = moved(&ElasticTransform::new(alpha, sigma).border(Border::Edge), side, &mut Rng::seed(1));
        let inner = |i: &usize| (20..100).contains(&(i % side)) && (20..100).contains(&(i / side));
        let inside: Vec<usize> = (0..side * side).filter(inner).collect();
        for axis in [0, 1] {
            let mean_of = |f: &dyn Fn(usize) -> f64| inside.iter().map(|&i| f(i)).sum::<f64>() / inside.len() as f64;
            let d = |i: usize| f64::from(moved[i][axis]);
            let (mean, var) = (mean_of(&d), mean_of(&|i| d(i).powi(2)));
            // Σ k² = 1 / (2σ√π) each way, and the variance of U(−1, 1) is 1/3
            let expected = (alpha / 2.0f64).powi(2) / 3.0 / (4.0 * sigma * sigma * std::f64::consts::PI);
            assert!(mean.abs() < 0.3 && (var / expected - 1.0).abs() < 0.3, "{mean} {var} {expected}"); // about 80 independent places
            let alike = mean_of(&|i| d(i) * d(i + 3)) / var; // the correlation at distance 3: exp(−3² / 4σ²)
            assert!((alike - (-0.25f64).exp()).abs() < 0.08, "{alike}");
        }
    }

    #[test]
    fn nothing_moves_without_strength() {
        let mut rng = Rng::seed(2);
        for transform in [&ElasticTransform::new(0.0, 5.0) as &dyn Transform, &GridDistortion::new(5, 0.0)] {
            assert!(moved(transform, 17, &mut rng).iter().flatten().all(|d| d.abs() < 1e-4));
        }
    }

    #[test]
    fn a_grid_by_hand() {
        // lines at 0, 1, 4 of two even cells of 2: the middle of the new image looks at 1, three quarters at 2.5
        let at = [0.0, 1.0, 2.0, 3.0, 4.0].map(|x| between(&[0.0, 1.0, 4.0], x, 4));
        assert_eq!(at, [0.0, 0.5, 1.0, 2.5, 4.0]);
    }

    #[test]
    fn grids_keep_edges_and_order_and_use_the_whole_limit() {
        let (mut rng, grid) = (Rng::seed(1), GridDistortion::new(5, 0.3));
        let (mut least, mut most) = (f64::MAX, f64::MIN);
        for _ in 0..2000 {
            let lines = grid.lines(100, &mut rng);
            assert!(lines.len() == 6 && lines[0] == 0.0 && lines[5] == 100.0 && lines.is_sorted());
            for width in lines.windows(2).map(|l| l[1] - l[0]) {
                (least, most) = (least.min(width), most.max(width));
            }
        }
        // a cell of 0.7 beside four of 1.3 is 11.9 wide, one of 1.3 beside four of 0.7 is 31.7
        assert!((11.8..14.5).contains(&least) && (28.0..31.8).contains(&most), "{least} {most}");
    }

    #[test]
    fn bad_settings_are_errors() {
        let nan = f64::NAN;
        let bad: [&dyn Transform; 7] = [
            &ElasticTransform::new(-1.0, 5.0),
            &ElasticTransform::new(nan, 5.0),
            &ElasticTransform::new(1.0, 1e9),
            &ElasticTransform::new(1.0, 1.0).border(nan as f32),
            &GridDistortion::new(0, 0.3),
            &GridDistortion::new(5, 1.0),
            &GridDistortion::new(5, nan),
        ];
        assert!(bad.iter().all(|t| t.check().is_err() && t.apply(slope(3, 3), &mut Rng::seed(0)).is_err()));
        for (h, w) in [(1, 1), (1, 7), (7, 1)] {
            let mut rng = Rng::seed(0);
            assert!(
                ElasticTransform::new(9.0, 4.0).apply(slope(h, w), &mut rng).is_ok()
                    && GridDistortion::new(9, 0.9).apply(slope(h, w), &mut rng).is_ok()
            );
        }
    }
}
