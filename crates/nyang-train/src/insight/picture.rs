//! A picture to be looked at: rows of red, green and blue bytes, and the PNG of them.

use std::path::Path;

use nyang_data::{Image, Normalize};
use nyang_nn::Tensor;

use crate::{Error, Result};

/// A picture of red, green and blue bytes. Never empty.
///
/// ```
/// # use nyang_train::insight::Picture;
/// let red = Picture::new(1, 1, vec![255, 0, 0])?;
/// let both = Picture::grid(&[red.clone(), red.enlarged(3)], 2)?;
/// assert_eq!((both.height(), both.width()), (3, 8)); // cells of 3 × 3, and 2 between them
/// assert!(both.png()?.starts_with(b"\x89PNG"));
/// # Ok::<(), nyang_train::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    height: usize,
    width: usize,
    rgb: Vec<u8>, // [H, W, 3]
}

/// Between the pictures of a grid.
const GAP: usize = 2;

impl Picture {
    /// A picture of these bytes.
    ///
    /// # Shapes
    /// `rgb`: `[H, W, 3]`
    ///
    /// # Errors
    /// [`Error::Argument`] unless there are height × width × 3 bytes, and at least one pixel.
    pub fn new(height: usize, width: usize, rgb: Vec<u8>) -> Result<Self> {
        let expected = height.checked_mul(width).and_then(|n| n.checked_mul(3));
        if rgb.is_empty() || expected != Some(rgb.len()) {
            let got = format!("{height} × {width} pixels of {} bytes", rgb.len());
            return Err(Error::argument("Picture", "rgb", got, "must have 3 bytes a pixel, and a pixel at least"));
        }
        Ok(Picture { height, width, rgb })
    }

    /// The picture of a tensor whose values are from 0 to 1; what is beyond is cut off. One channel is grey, three are colours, of any
    /// other number the mean is shown.
    ///
    /// # Shapes
    /// `[C, H, W]`
    ///
    /// # Errors
    /// [`Error::Tensor`] for another number of dimensions; [`Error::Argument`] if one of them is 0.
    pub fn of(image: &Tensor<f32>) -> Result<Self> {
        let &[c, h, w] = image.dims() else {
            return Err(nyang_tensor::Error::shape("Picture::of", "[C, H, W]", *image.shape()).into());
        };
        let (values, plane) = (image.to_vec(), if c == 0 { 0 } else { h * w });
        let value = |channel: usize, at: usize| values.get(channel * plane + at).copied().unwrap_or(0.0);
        let byte = |x: f32| (x * 255.0).round() as u8; // `as` saturates, and NaN is 0
        let pixel = |at: usize| match c {
            3 => [0, 1, 2].map(|channel| byte(value(channel, at))),
            _ => [byte((0..c).map(|channel| value(channel, at)).sum::<f32>() / c as f32); 3],
        };
        Picture::new(h, w, (0..plane).flat_map(pixel).collect())
    }

    /// The picture of a tensor that was standardised with these statistics.
    ///
    /// # Errors
    /// As [`Picture::of`].
    pub fn of_standardised(image: &Tensor<f32>, normalize: Option<&Normalize>) -> Result<Self> {
        let (Some(normalize), &[_, h, w]) = (normalize, image.dims()) else { return Picture::of(image) };
        let mut values = image.to_vec();
        let statistics = normalize.mean().iter().zip(normalize.std());
        for (plane, (mean, std)) in values.chunks_mut((h * w).max(1)).zip(statistics) {
            plane.iter_mut().for_each(|x| *x = *x * std + mean);
        }
        Picture::of(&Tensor::from_vec(*image.shape(), values)?)
    }

    /// The picture of an image, as a dataset gives it.
    ///
    /// # Errors
    /// As [`Picture::of`].
    pub fn of_image(image: &Image) -> Result<Self> {
        Picture::of(&image.to_tensor()?)
    }

    /// The picture as an image, as transforms and nyang-data's grids take it.
    ///
    /// # Errors
    /// None: a picture is never empty.
    pub fn to_image(&self) -> Result<Image> {
        Ok(Image::from_bytes(self.height, self.width, 3, self.rgb.clone())?)
    }

    /// Values as grey: the least is black, the greatest white; all are black if they are equal.
    ///
    /// # Errors
    /// As [`Picture::new`].
    pub fn grey(height: usize, width: usize, values: &[f32]) -> Result<Self> {
        Picture::new(height, width, scaled(values).into_iter().flat_map(|t| [(t * 255.0).round() as u8; 3]).collect())
    }

    /// Values from 0 to 1 as heat: black, red, yellow, white.
    ///
    /// # Errors
    /// As [`Picture::new`].
    pub fn heat(height: usize, width: usize, values: &[f32]) -> Result<Self> {
        let colour = |&t: &f32| [3.0 * t, 3.0 * t - 1.0, 3.0 * t - 2.0].map(|x| (x.clamp(0.0, 1.0) * 255.0).round() as u8);
        Picture::new(height, width, values.iter().flat_map(colour).collect())
    }

    /// Pictures side by side in so many columns, in cells as large as the largest of them, on white.
    ///
    /// # Errors
    /// [`Error::Argument`] for no pictures or no columns.
    pub fn grid(pictures: &[Picture], columns: usize) -> Result<Self> {
        let columns = columns.min(pictures.len());
        if columns == 0 {
            return Err(Error::argument("Picture::grid", "pictures", 0, "there must be a picture and a column at least"));
        }
        let (h, w) = pictures.iter().fold((0, 0), |(h, w), picture| (h.max(picture.height), w.max(picture.width)));
        let rows = pictures.len().div_ceil(columns);
        let (height, width) = (rows * (h + GAP) - GAP, columns * (w + GAP) - GAP);
        let mut rgb = vec![255; height * width * 3];
        for (i, picture) in pictures.iter().enumerate() {
            let (top, left) = (i / columns * (h + GAP), i % columns * (w + GAP));
            for (y, line) in picture.rgb.chunks_exact(picture.width * 3).enumerate() {
                let at = ((top + y) * width + left) * 3;
                rgb[at..at + line.len()].copy_from_slice(line); // inside: each cell has room for the largest picture
            }
        }
        Picture::new(height, width, rgb)
    }

    /// Each pixel as a square of `factor` pixels; as it is for 0.
    pub fn enlarged(&self, factor: usize) -> Self {
        let factor = factor.max(1);
        self.resampled(self.height * factor, self.width * factor, |to| to / factor)
    }

    /// No side longer than `longest`: pixels are left out evenly. Small pictures stay as they are.
    pub fn shrunk_to(&self, longest: usize) -> Self {
        let side = self.height.max(self.width);
        if side <= longest.max(1) {
            return self.clone();
        }
        let size = |n: usize| (n * longest / side).max(1);
        self.resampled(size(self.height), size(self.width), |to| (2 * to + 1) * side / (2 * longest))
    }

    /// A picture of another size, whose pixels come from the rows and columns that `from` says.
    fn resampled(&self, height: usize, width: usize, from: impl Fn(usize) -> usize) -> Self {
        let pixel = |y: usize, x: usize| {
            let at = (from(y).min(self.height - 1) * self.width + from(x).min(self.width - 1)) * 3;
            self.rgb.get(at..at + 3).unwrap_or_default()
        };
        let rgb = (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).flat_map(|(y, x)| pixel(y, x).iter().copied()).collect();
        Picture { height, width, rgb }
    }

    /// This picture with another of its size laid over it: its own share is 1 − `share`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a picture of another size.
    pub fn under(&self, over: &Picture, share: f32) -> Result<Self> {
        if (over.height, over.width) != (self.height, self.width) {
            let got = format!("{} × {}", over.height, over.width);
            return Err(Error::argument("Picture::under", "over", got, "must have this picture's size"));
        }
        let mixed = self.rgb.iter().zip(&over.rgb).map(|(&a, &b)| (f32::from(a) * (1.0 - share) + f32::from(b) * share).round() as u8);
        Picture::new(self.height, self.width, mixed.collect())
    }

    /// The number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The number of pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The bytes, `[H, W, 3]`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The picture as a PNG file's bytes.
    ///
    /// # Errors
    /// [`Error::Data`] for a picture too large for a PNG.
    pub fn png(&self) -> Result<Vec<u8>> {
        Ok(self.to_image()?.to_png()?)
    }

    /// Writes the picture as a PNG file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Data`], if the file cannot be written or the picture is too large for a PNG.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(self.to_image()?.save_png(path)?)
    }
}

/// From the least as 0 to the greatest as 1; all 0 if they are equal. What is no number is 0.
pub(super) fn scaled(values: &[f32]) -> Vec<f32> {
    let finite = values.iter().copied().filter(|x| x.is_finite());
    let (low, high) = finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let width = high - low;
    values.iter().map(|x| if width > 0.0 && x.is_finite() { (x - low) / width } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_is_rows_of_pixels() {
        let colours = Tensor::from_vec([3, 1, 2], vec![0.0, 1.0, 0.5, 2.0, 1.0, f32::NAN]).unwrap();
        assert_eq!(Picture::of(&colours).unwrap().rgb(), [0, 128, 255, 255, 255, 0]);
        let grey = Tensor::from_vec([1, 2, 1], vec![0.2, 1.0]).unwrap();
        assert_eq!(Picture::of(&grey).unwrap().rgb(), [51, 51, 51, 255, 255, 255]);
        let two = Tensor::from_vec([2, 1, 1], vec![0.0, 1.0]).unwrap();
        assert_eq!(Picture::of(&two).unwrap().rgb(), [128; 3]);
        let standardised = Tensor::from_vec([1, 1, 1], vec![2.0]).unwrap();
        let normalize = Normalize::new([0.4], [0.2]).unwrap();
        assert_eq!(Picture::of_standardised(&standardised, Some(&normalize)).unwrap().rgb(), [204; 3]); // .4 + 2·.2
    }

    #[test]
    fn a_png_holds_the_same_pixels() {
        let picture = Picture::new(2, 3, (0..18).map(|i| i * 13).collect()).unwrap();
        let again = nyang_data::Decode::new().bytes(&picture.png().unwrap()).unwrap();
        assert_eq!((again.height(), again.width(), again.bytes()), (2, 3, Some(picture.rgb())));
    }

    #[test]
    fn grids_have_white_between_and_behind() {
        let black = Picture::new(1, 1, vec![0; 3]).unwrap();
        let grid = Picture::grid(&[black.clone(), black.enlarged(2), black.clone()], 2).unwrap();
        assert_eq!((grid.height(), grid.width()), (6, 6));
        let dark: Vec<usize> = grid.rgb().chunks(3).enumerate().filter(|(_, p)| p[0] == 0).map(|(i, _)| i).collect();
        assert_eq!(dark, [0, 4, 5, 10, 11, 24]);
        assert!(Picture::grid(&[], 2).is_err() && Picture::grid(&[black], 0).is_err());
    }

    #[test]
    fn sizes_change_by_repeating_or_leaving_out_pixels() {
        let picture = Picture::new(1, 4, vec![0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]).unwrap();
        assert_eq!(picture.enlarged(2).rgb()[..9], [0, 0, 0, 0, 0, 0, 1, 1, 1]);
        let small = picture.shrunk_to(2);
        assert_eq!((small.height(), small.width(), small.rgb()), (1, 2, &[1, 1, 1, 3, 3, 3][..]));
        assert_eq!(picture.shrunk_to(4), picture);
        assert_eq!(Picture::heat(1, 2, &[0.0, 0.5]).unwrap().rgb(), [0, 0, 0, 255, 128, 0]);
        assert_eq!(Picture::grey(1, 3, &[-1.0, 0.0, 1.0]).unwrap().rgb(), [0, 0, 0, 128, 128, 128, 255, 255, 255]);
        assert_eq!(picture.under(&Picture::new(1, 4, vec![100; 12]).unwrap(), 0.5).unwrap().rgb()[..3], [50; 3]);
        assert!(picture.under(&small, 0.5).is_err());
    }

    #[test]
    fn bytes_that_do_not_fit_the_size_are_errors() {
        for (h, w, n) in [(1, 1, 2), (0, 1, 0), (1, 0, 0), (usize::MAX, 2, 6), (usize::MAX, usize::MAX, 0)] {
            assert!(Picture::new(h, w, vec![0; n]).unwrap_err().to_string().contains("3 bytes a pixel"));
        }
        assert!(Picture::of(&Tensor::zeros([2, 2]).unwrap()).is_err());
        assert!(Picture::of(&Tensor::zeros([0, 2, 2]).unwrap()).is_err());
    }
}
