//! One picture: rows of pixels, as bytes until it is normalised.

use nyang_tensor::{Shape, Tensor};

use crate::{Error, Result};

/// A picture of height × width pixels with one value a channel. Never empty.
///
/// Row by row, pixel by pixel, channel by channel: `[H, W, C]` in memory, as decoders give it and as changing it is fastest. Photographs
/// are bytes; data that are no bytes (scans of 12 bits, spectrograms) are floats.
///
/// ```
/// # use nyang_data::Image;
/// let grey = Image::from_bytes(2, 3, 1, vec![0, 51, 102, 153, 204, 255])?;
/// assert_eq!((grey.height(), grey.width(), grey.channels()), (2, 3, 1));
/// assert_eq!(grey.to_tensor()?.to_vec()[1..3], [0.2, 0.4]);            // [C, H, W], bytes divided by 255
/// # Ok::<(), nyang_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) pixels: Pixels,
}

/// The values of an image, `[H, W, C]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// Bytes: 0 is black, 255 is full.
    U8(Vec<u8>),
    /// Floats, of any range.
    F32(Vec<f32>),
}

impl Pixels {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Pixels::U8(values) => values.len(),
            Pixels::F32(values) => values.len(),
        }
    }

    /// Whether there are no values: never so in an [`Image`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the values as a model sees them to a slice of their number: floats as they are, bytes divided by 255.
    pub(crate) fn write_floats(&self, out: &mut [f32]) {
        match self {
            Pixels::U8(values) => out.iter_mut().zip(values).for_each(|(y, &x)| *y = f32::from(x) / 255.0),
            Pixels::F32(values) => out.copy_from_slice(values),
        }
    }
}

/// What an image's values may be: bytes or floats. Whatever moves pixels about is written once for both.
pub(crate) trait Channel: Copy + PartialEq + Send + Sync + 'static {
    /// The value as a number.
    fn value(self) -> f32;
    /// The nearest value that can be had: bytes are rounded (halves to the even one) and cut off at 0 and 255.
    fn nearest(value: f32) -> Self;
}

impl Channel for u8 {
    fn value(self) -> f32 {
        f32::from(self)
    }
    fn nearest(value: f32) -> Self {
        value.round_ties_even() as u8 // `as` saturates, and NaN is 0
    }
}

impl Channel for f32 {
    fn value(self) -> f32 {
        self
    }
    fn nearest(value: f32) -> Self {
        value
    }
}

/// The same expression for bytes and for floats: new pixels of the same kind.
macro_rules! same_kind {
    ($pixels:expr, |$values:ident| $body:expr) => {
        match $pixels {
            $crate::Pixels::U8($values) => $crate::Pixels::U8($body),
            $crate::Pixels::F32($values) => $crate::Pixels::F32($body),
        }
    };
}
pub(crate) use same_kind;

impl Image {
    /// An image of bytes.
    ///
    /// # Errors
    /// [`Error::ImageSize`] unless the three sizes are at least 1 and there are height × width × channels values.
    pub fn from_bytes(height: usize, width: usize, channels: usize, values: Vec<u8>) -> Result<Self> {
        Image::new(height, width, channels, Pixels::U8(values))
    }

    /// An image of floats, of any range; they reach the model as they are.
    ///
    /// # Errors
    /// As [`Image::from_bytes`].
    pub fn from_floats(height: usize, width: usize, channels: usize, values: Vec<f32>) -> Result<Self> {
        Image::new(height, width, channels, Pixels::F32(values))
    }

    /// An image of these pixels.
    ///
    /// # Errors
    /// As [`Image::from_bytes`].
    pub fn new(height: usize, width: usize, channels: usize, pixels: Pixels) -> Result<Self> {
        let values = height.checked_mul(width).and_then(|n| n.checked_mul(channels));
        if pixels.is_empty() || values != Some(pixels.len()) {
            return Err(Error::ImageSize { sizes: [height, width, channels], values: pixels.len() });
        }
        Ok(Image { height, width, channels, pixels })
    }

    /// An image of floats.
    ///
    /// # Shapes
    /// `[C, H, W]`
    ///
    /// # Errors
    /// [`Error::Tensor`] for another number of dimensions, [`Error::ImageSize`] if one of them is 0.
    pub fn from_tensor(tensor: &Tensor<f32>) -> Result<Self> {
        let &[c, h, w] = tensor.dims() else {
            return Err(nyang_tensor::Error::shape("Image::from_tensor", "[C, H, W]", *tensor.shape()).into());
        };
        Image::from_floats(h, w, c, tensor.permute(&[1, 2, 0])?.to_vec())
    }

    /// The image as a model sees it: floats as they are, bytes divided by 255.
    ///
    /// # Shapes
    /// `[C, H, W]`
    ///
    /// # Errors
    /// [`Error::Tensor`] if there is no memory for it.
    pub fn to_tensor(&self) -> Result<Tensor<f32>> {
        let mut values = vec![0.0; self.pixels.len()];
        self.pixels.write_floats(&mut values);
        let tensor = Tensor::from_vec([self.height, self.width, self.channels], values)?;
        Ok(tensor.permute(&[2, 0, 1])?.contiguous()?)
    }

    /// The number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The number of pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of values of a pixel: 1 for grey, 3 for red, green, blue.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The shape of its tensor, `[C, H, W]`.
    ///
    /// # Errors
    /// [`Error::Tensor`] if sizes of that kind are too large for a tensor.
    pub fn shape(&self) -> Result<Shape> {
        Ok(Shape::new(&[self.channels, self.height, self.width])?)
    }

    /// The values, `[H, W, C]`.
    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// The values, `[H, W, C]`, to take apart.
    pub fn into_pixels(self) -> Pixels {
        self.pixels
    }

    /// The bytes, to change in place.
    pub(crate) fn bytes_mut(&mut self, op: &'static str) -> Result<&mut [u8]> {
        match &mut self.pixels {
            Pixels::U8(values) => Ok(values),
            Pixels::F32(_) => Err(Error::NeedsBytes { op }),
        }
    }

    /// Whether it is grey or has three colours.
    pub(crate) fn check_colours(&self, op: &'static str) -> Result<()> {
        if self.channels == 1 || self.channels == 3 { Ok(()) } else { Err(Error::NeedsColours { op, got: self.channels }) }
    }

    /// The bytes, `[H, W, C]`, if it is made of bytes.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.pixels {
            Pixels::U8(values) => Some(values),
            Pixels::F32(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_of_channels_becomes_rows_of_pixels_and_back() {
        let tensor = Tensor::from_fn([3, 2, 2], |i| i as f32).unwrap();
        let image = Image::from_tensor(&tensor).unwrap();
        assert_eq!(image.pixels(), &Pixels::F32(vec![0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.]));
        assert_eq!(image.to_tensor().unwrap(), tensor);
        assert_eq!((image.shape().unwrap(), image.bytes()), (*tensor.shape(), None));
    }

    #[test]
    fn bytes_become_numbers_from_0_to_1() {
        let image = Image::from_bytes(1, 2, 2, vec![0, 255, 128, 1]).unwrap();
        assert_eq!(image.to_tensor().unwrap().to_vec(), [0.0, 128.0 / 255.0, 1.0, 1.0 / 255.0]);
    }

    #[test]
    fn sizes_that_do_not_fit_the_values_are_errors() {
        for (h, w, c, n) in [(2, 3, 1, 5), (0, 3, 1, 0), (2, 0, 1, 0), (2, 3, 0, 0), (usize::MAX, 2, 1, 4), (1 << 32, 1 << 32, 1, 0)] {
            let error = Image::from_bytes(h, w, c, vec![0; n]).unwrap_err().to_string();
            assert!(error.contains(&format!("{h} × {w} pixels with {c} channels")) && error.contains(&format!("{n} values")), "{error}");
        }
        assert!(Image::from_tensor(&Tensor::zeros([2, 2]).unwrap()).is_err());
        assert!(Image::from_tensor(&Tensor::zeros([1, 0, 2]).unwrap()).is_err());
    }

    #[test]
    fn bytes_are_rounded_and_cut_off() {
        let got = [-1.0, 0.5, 1.5, 254.6, 1e9, f32::NAN].map(u8::nearest);
        assert_eq!(got, [0, 0, 2, 255, 255, 0]);
    }
}
