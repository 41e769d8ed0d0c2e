//! Padding: more image around the image.

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use crate::image::{Channel, same_kind};
use crate::{Border, Error, Image, Result, Transform};

/// The most pixels that an image may be made to have: what is more is a mistake in a setting.
pub(crate) const MOST_PIXELS: usize = 1 << 28;

/// Adds pixels around an image: torchvision's `Pad`, cv2's `copyMakeBorder`.
///
/// What they are says [`Border`]: zeros by default.
///
/// # Shapes
/// `[C, H, W] → [C, top + H + bottom, left + W + right]`
///
/// # Errors
/// [`Error::Argument`] for a fill that is not finite or has another number of channels, or if the image would have more than 2²⁸ pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    top: usize,
    right: usize,
    bottom: usize,
    left: usize,
    border: Border,
}

impl Pad {
    /// As many pixels on all four sides.
    pub fn new(pixels: usize) -> Self {
        Pad { top: pixels, right: pixels, bottom: pixels, left: pixels, border: Border::default() }
    }

    /// So many pixels above, right, below and left.
    pub fn sides(top: usize, right: usize, bottom: usize, left: usize) -> Self {
        Pad { top, right, bottom, left, border: Border::default() }
    }

    /// What the new pixels are.
    pub fn border(mut self, border: impl Into<Border>) -> Self {
        self.border = border.into();
        self
    }
}

impl Transform for Pad {
    fn check(&self) -> Result<()> {
        self.border.check("Pad")
    }

    fn apply(&self, image: Image, _: &mut Rng) -> Result<Image> {
        self.check()?;
        let height = self.top.saturating_add(image.height).saturating_add(self.bottom);
        let width = self.left.saturating_add(image.width).saturating_add(self.right);
        view(&image, Window { top: -offset(self.top), left: -offset(self.left), height, width }, &self.border, "Pad")
    }
}

/// A rectangle, which may reach beyond the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) top: isize,
    pub(crate) left: isize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

/// A size as an offset; what is too large for that is too large for [`MOST_PIXELS`] too.
pub(crate) fn offset(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

/// What is seen through a window: part of the image, and the border around it.
pub(crate) fn view(image: &Image, window: Window, border: &Border, op: &'static str) -> Result<Image> {
    if window.height.saturating_mul(window.width) > MOST_PIXELS {
        let size = format!("{} × {}", window.height, window.width);
        return Err(Error::argument(op, "size", size, "the image would have more than 2^28 pixels"));
    }
    let fill = border.fill(op, image.channels)?;
    let places = |start: isize, length: usize, n: usize| -> Vec<Option<usize>> {
        (0..length).map(|i| border.place(start.saturating_add(offset(i)), n)).collect()
    };
    let rows = places(window.top, window.height, image.height);
    let columns = places(window.left, window.width, image.width);
    let pixels = same_kind!(&image.pixels, |values| seen(values, image.width, &rows, &columns, &fill));
    Ok(Image { height: window.height, width: window.width, channels: image.channels, pixels })
}

/// The pixels at these rows and columns of an image; `None` is the fill.
fn seen<T: Channel>(values: &[T], width: usize, rows: &[Option<usize>], columns: &[Option<usize>], fill: &[f32]) -> Vec<T> {
    let c = fill.len();
    let fill: Vec<T> = fill.iter().map(|&v| T::nearest(v)).collect();
    // the columns that lie in the image as they are, in one piece: they are copied at once
    let first = columns.iter().position(|place| *place == Some(0)).unwrap_or(0);
    let plain = |i: &usize| columns[*i].is_some() && columns[*i] == columns[first].map(|place| place + i - first);
    let run = first..(first..columns.len()).take_while(plain).last().map_or(first, |last| last + 1);
    let mut out = Vec::with_capacity(rows.len() * columns.len() * c);
    for row in rows {
        let Some(row) = row else {
            columns.iter().for_each(|_| out.extend_from_slice(&fill));
            continue;
        };
        let row = &values[row * width * c..][..width * c];
        let mut single = |place: &Option<usize>| out.extend_from_slice(place.map_or(&fill, |i| &row[i * c..][..c]));
        columns[..run.start].iter().for_each(&mut single);
        if let Some(Some(from)) = columns.get(run.start) {
            out.extend_from_slice(&row[from * c..][..run.len() * c]);
        }
        let mut single = |place: &Option<usize>| out.extend_from_slice(place.map_or(&fill, |i| &row[i * c..][..c]));
        columns[run.end..].iter().for_each(&mut single);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(pad: Pad, h: usize, w: usize) -> Vec<u8> {
        let image = Image::from_bytes(h, w, 1, (1..=(h * w) as u8).collect()).unwrap();
        pad.apply(image, &mut Rng::seed(0)).unwrap().bytes().unwrap().to_vec()
    }

    #[test]
    fn padding_by_hand() {
        assert_eq!(padded(Pad::sides(1, 2, 0, 1).border(9.0), 1, 2), [9, 9, 9, 9, 9, 9, 1, 2, 9, 9]);
        assert_eq!(
            padded(Pad::sides(0, 2, 1, 2).border(Border::Reflect), 2, 3),
            [3, 2, 1, 2, 3, 2, 1, 6, 5, 4, 5, 6, 5, 4, 3, 2, 1, 2, 3, 2, 1]
        );
        assert_eq!(padded(Pad::new(1).border(Border::Edge), 1, 2), [1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2]);
        assert_eq!(padded(Pad::new(0), 2, 2), [1, 2, 3, 4]);
    }

    #[test]
    fn channels_and_floats_stay_together() {
        let image = Image::from_floats(1, 2, 2, vec![1.5, 2.5, 3.5, 4.5]).unwrap();
        let image = Pad::sides(0, 1, 0, 0).border([-1.0, 0.25]).apply(image, &mut Rng::seed(0)).unwrap();
        assert_eq!(image.pixels(), &crate::Pixels::F32(vec![1.5, 2.5, 3.5, 4.5, -1.0, 0.25]));
    }

    #[test]
    fn absurd_paddings_are_errors() {
        let image = || Image::from_bytes(2, 2, 1, vec![0; 4]).unwrap();
        for pad in [Pad::new(usize::MAX), Pad::new(1 << 20), Pad::new(1).border(f32::INFINITY), Pad::new(1).border([1.0, 2.0])] {
            assert!(matches!(pad.apply(image(), &mut Rng::seed(0)), Err(Error::Argument { op: "Pad", .. })), "{pad:?}");
        }
    }
}
