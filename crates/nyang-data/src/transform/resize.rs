//! Resizing: to a size, to a shorter side, or into a frame.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{F32, U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use super::crop::check_size;
use super::pad::{MOST_PIXELS, Window, offset, view};
use crate::{Border, Error, Image, Pixels, Result, Transform};

/// How values between pixels are found.
///
/// In resizing all but `Nearest` are averages over as many pixels as fall on a new one, which is what Pillow and torchvision (with
/// `antialias=True`) do and cv2 does not. Bytes equal Pillow's within 1.
///
/// # Example
/// ```
/// # use nyang_data::{Image, Interpolation, Resize, Transform};
/// # use nyang_tensor::Rng;
/// let image = Image::from_bytes(1, 2, 1, vec![0, 100])?;
/// let larger = Resize::exact(1, 4).interpolation(Interpolation::Nearest).apply(image, &mut Rng::seed(0))?;
/// assert_eq!(larger.bytes(), Some(&[0, 0, 100, 100][..]));
/// # Ok::<(), nyang_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interpolation {
    /// The pixel it falls on.
    Nearest,
    /// A triangle: linear between two pixels.
    #[default]
    Bilinear,
    /// Catmull and Rom's cubic, a = −1/2.
    Bicubic,
    /// Lanczos's windowed sinc over three pixels each way.
    Lanczos,
}

/// Changes the size of an image: torchvision's `Resize` and `v2.Resize`, albumentations' `Resize`, `SmallestMaxSize`, `LetterBox`.
///
/// # Shapes
/// `[C, H, W] → [C, height, width]`; for [`Resize::shorter`] the shorter side is `size` and the longer `⌊size · longer / shorter⌋`.
///
/// # Errors
/// [`Error::Argument`] for a size of 0, or if the image would have more than 2²⁸ pixels.
///
/// ```
/// use nyang_data::{Image, Resize, Transform};
/// use nyang_tensor::Rng;
///
/// let photo = Image::from_bytes(30, 40, 3, vec![128; 3600])?;
/// let small = Resize::shorter(15).apply(photo, &mut Rng::seed(0))?;
/// assert_eq!((small.height(), small.width()), (15, 20));
/// # Ok::<(), nyang_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    to: Target,
    interpolation: Interpolation,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Target {
    Exact { height: usize, width: usize },
    Shorter(usize),
    Letterbox { height: usize, width: usize, border: Border },
}

impl Resize {
    /// To this size, whatever becomes of the proportions.
    pub fn exact(height: usize, width: usize) -> Self {
        Resize { to: Target::Exact { height, width }, interpolation: Interpolation::Bilinear }
    }

    /// So that the shorter side has so many pixels and the proportions stay; usually [`CenterCrop`](crate::CenterCrop) comes next.
    pub fn shorter(pixels: usize) -> Self {
        Resize { to: Target::Shorter(pixels), interpolation: Interpolation::Bilinear }
    }

    /// As large as it goes into a frame of this size with its proportions, in the middle; the rest of the frame is zeros, or the
    /// [`border`](Resize::border).
    pub fn letterbox(height: usize, width: usize) -> Self {
        let to = Target::Letterbox { height, width, border: Border::default() };
        Resize { to, interpolation: Interpolation::Bilinear }
    }

    /// How values between pixels are found.
    pub fn interpolation(mut self, interpolation: Interpolation) -> Self {
        self.interpolation = interpolation;
        self
    }

    /// What fills the frame of a letterbox.
    pub fn border(mut self, with: impl Into<Border>) -> Self {
        if let Target::Letterbox { border, .. } = &mut self.to {
            *border = with.into();
        }
        self
    }
}

impl Transform for Resize {
    fn check(&self) -> Result<()> {
        match &self.to {
            Target::Exact { height, width } => check_size("Resize", *height, *width),
            Target::Shorter(pixels) => check_size("Resize", *pixels, *pixels),
            Target::Letterbox { height, width, border } => check_size("Resize", *height, *width).and_then(|()| border.check("Resize")),
        }
    }

    fn apply(&self, image: Image, _: &mut Rng) -> Result<Image> {
        self.check()?;
        let (h, w) = (image.height, image.width);
        match &self.to {
            Target::Exact { height, width } => resized(image, *height, *width, self.interpolation, "Resize"),
            Target::Shorter(pixels) => {
                let longer = pixels.saturating_mul(h.max(w)) / h.min(w);
                let (height, width) = if h <= w { (*pixels, longer) } else { (longer, *pixels) };
                resized(image, height, width, self.interpolation, "Resize")
            }
            Target::Letterbox { height, width, border } => {
                let scale = (*height as f64 / h as f64).min(*width as f64 / w as f64);
                let fit = |side: usize, most: usize| ((side as f64 * scale).round() as usize).clamp(1, most);
                let image = resized(image, fit(h, *height), fit(w, *width), self.interpolation, "Resize")?;
                let (top, left) = (offset((height - image.height) / 2), offset((width - image.width) / 2));
                view(&image, Window { top: -top, left: -left, height: *height, width: *width }, border, "Resize")
            }
        }
    }
}

/// The image at this size, which is at least 1 × 1.
pub(crate) fn resized(image: Image, height: usize, width: usize, interpolation: Interpolation, op: &'static str) -> Result<Image> {
    if (image.height, image.width) == (height, width) {
        return Ok(image);
    }
    if height.saturating_mul(width) > MOST_PIXELS {
        return Err(Error::argument(op, "size", format!("{height} × {width}"), "the image would have more than 2^28 pixels"));
    }
    let Image { height: h, width: w, channels: c, pixels } = image;
    let (from, to) = ((h, w), (height, width));
    let options = ResizeOptions::new().use_alpha(false).resize_alg(match interpolation {
        Interpolation::Nearest => ResizeAlg::Nearest,
        Interpolation::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Interpolation::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        Interpolation::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
    });
    let made = match pixels {
        Pixels::U8(values) if c == 1 => bytes::<U8>(&values, from, to, c, &options).map(Pixels::U8),
        Pixels::U8(values) if c == 3 => bytes::<U8x3>(&values, from, to, c, &options).map(Pixels::U8),
        Pixels::U8(values) => by_plane(&values, c, |plane| bytes::<U8>(plane, from, to, 1, &options)).map(Pixels::U8),
        Pixels::F32(values) => by_plane(&values, c, |plane| floats(plane, from, to, &options)).map(Pixels::F32),
    };
    let failed = |why: String| Error::Resize { from: [h, w], to: [height, width], why };
    Ok(Image { height, width, channels: c, pixels: made.map_err(failed)? })
}

/// Bytes of one kind of pixel, which has so many channels. The kinds are few and named: one brings 600 KB of the library's code into every
/// program, and a call that finds the kind at run time brings all of them, 3.5 MB.
fn bytes<P: PixelTrait>(
    values: &[u8],
    from: (usize, usize),
    to: (usize, usize),
    channels: usize,
    options: &ResizeOptions,
) -> Result<Vec<u8>, String> {
    let mut made = vec![0; to.0 * to.1 * channels];
    let source = TypedImageRef::<P>::from_buffer(side(from.1)?, side(from.0)?, values).map_err(|e| e.to_string())?;
    let mut out = TypedImage::<P>::from_buffer(side(to.1)?, side(to.0)?, &mut made).map_err(|e| e.to_string())?;
    Resizer::new().resize_typed(&source, &mut out, options).map_err(|e| e.to_string())?;
    Ok(made)
}

/// Floats of one channel.
fn floats(values: &[f32], from: (usize, usize), to: (usize, usize), options: &ResizeOptions) -> Result<Vec<f32>, String> {
    let values: Vec<F32> = values.iter().map(|&v| F32::new(v)).collect();
    let source = TypedImageRef::new(side(from.1)?, side(from.0)?, &values).map_err(|e| e.to_string())?;
    let mut out = TypedImage::<F32>::new(side(to.1)?, side(to.0)?);
    Resizer::new().resize_typed(&source, &mut out, options).map_err(|e| e.to_string())?;
    Ok(out.pixels().iter().map(|p| p.0).collect())
}

/// One side of an image, as the library counts it.
fn side(n: usize) -> Result<u32, String> {
    u32::try_from(n).map_err(|_| format!("a side of {n} pixels is too long"))
}

/// What `change` makes of each channel by itself.
fn by_plane<T: Copy>(values: &[T], channels: usize, change: impl Fn(&[T]) -> Result<Vec<T>, String>) -> Result<Vec<T>, String> {
    let plane = |c: usize| change(&values.iter().skip(c).step_by(channels).copied().collect::<Vec<_>>());
    let planes = (0..channels).map(plane).collect::<Result<Vec<_>, _>>()?;
    let n = planes.first().map_or(0, Vec::len);
    Ok((0..n).flat_map(|i| planes.iter().map(move |plane| plane[i])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(resize: &Resize, h: usize, w: usize) -> (usize, usize) {
        let image = resize.apply(Image::from_bytes(h, w, 1, vec![7; h * w]).unwrap(), &mut Rng::seed(0)).unwrap();
        (image.height(), image.width())
    }

    /// `torchvision.transforms.functional.resize(torch.zeros(1, h, w), 10).shape`
    #[test]
    fn the_shorter_side_gets_the_size_and_the_longer_is_rounded_down() {
        let shorter = Resize::shorter(10);
        assert_eq!(
            [(20, 30), (30, 20), (7, 33), (10, 10), (3, 4)].map(|(h, w)| sizes(&shorter, h, w)),
            [(10, 15), (15, 10), (10, 47), (10, 10), (10, 13)]
        );
    }

    #[test]
    fn a_letterbox_is_filled_as_far_as_it_goes() {
        let resize = Resize::letterbox(4, 4).border(9.0);
        let image = resize.apply(Image::from_bytes(2, 4, 1, vec![100; 8]).unwrap(), &mut Rng::seed(0)).unwrap();
        assert_eq!(image.bytes().unwrap(), [[9; 4], [100; 4], [100; 4], [9; 4]].concat());
        assert_eq!((sizes(&resize, 1, 1000), sizes(&resize, 1000, 1)), ((4, 4), (4, 4)));
    }

    #[test]
    fn bytes_floats_and_any_number_of_channels_agree() {
        let values: Vec<u8> = (0..7 * 9 * 5).map(|i| (i * 41 % 256) as u8).collect();
        for interpolation in [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic, Interpolation::Lanczos] {
            let five = resized(Image::from_bytes(7, 9, 5, values.clone()).unwrap(), 4, 12, interpolation, "Resize").unwrap();
            let floats = values.iter().map(|&v| f32::from(v)).collect();
            let floats = resized(Image::from_floats(7, 9, 5, floats).unwrap(), 4, 12, interpolation, "Resize").unwrap();
            let Pixels::F32(floats) = floats.pixels() else { panic!("floats stay floats") };
            assert_eq!(floats.len(), 4 * 12 * 5);
            for (byte, float) in five.bytes().unwrap().iter().zip(floats) {
                assert!((f32::from(*byte) - float.clamp(0.0, 255.0)).abs() <= 1.0, "{interpolation:?}: {byte} {float}"); // two roundings of bytes
            }
            for channels in 2..=5 {
                let some = &values[..7 * 9 * channels];
                let together = resized(Image::from_bytes(7, 9, channels, some.to_vec()).unwrap(), 4, 12, interpolation, "Resize").unwrap();
                let first: Vec<u8> = some.iter().copied().step_by(channels).collect();
                let one = resized(Image::from_bytes(7, 9, 1, first).unwrap(), 4, 12, interpolation, "Resize").unwrap();
                assert!(
                    together.bytes().unwrap().iter().step_by(channels).eq(one.bytes().unwrap()),
                    "{interpolation:?}, {channels} channels"
                );
            }
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_errors() {
        let huge = 1 << 20;
        for resize in
            [Resize::exact(0, 3), Resize::shorter(0), Resize::letterbox(3, 0), Resize::exact(huge, huge), Resize::shorter(usize::MAX)]
        {
            let image = Image::from_bytes(2, 3, 1, vec![0; 6]).unwrap();
            assert!(matches!(resize.apply(image, &mut Rng::seed(0)), Err(Error::Argument { op: "Resize", .. })), "{resize:?}");
        }
        assert!(Resize::letterbox(3, 3).border(f32::NAN).check().is_err());
    }
}
