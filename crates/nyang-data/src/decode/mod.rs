//! From a file's bytes to an image: whatever it is, as the number of channels asked for, upright, or an error that says what is wrong.

mod convert;
mod jpeg;

pub(crate) use convert::luma;

use std::fs;
use std::io::{Cursor, ErrorKind};
use std::path::Path;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use crate::{Error, Image, Result, Source};

/// Bytes that a pixel may take in a file and while it is decoded: four channels of 16 bits.
const BYTES_A_PIXEL: u64 = 8;

/// How many channels a decoded image has, whatever the file has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    /// One: luma, `(19595 R + 38470 G + 7471 B + 2¹⁵) / 2¹⁶`, which is ITU-R 601 in Pillow's integers.
    Gray,
    /// Red, green, blue. An alpha channel is dropped, as Pillow does.
    #[default]
    Rgb,
    /// Red, green, blue and alpha; alpha is 255 where the file has none.
    RgbAlpha,
}

/// How files become images: JPEG, PNG, BMP, WebP, TIFF, and the first picture of a GIF or of whatever else is animated.
///
/// ```no_run
/// use nyang_data::{Channels, Decode};
///
/// let image = Decode::new().channels(Channels::Gray).file("rose.jpg")?;
/// # Ok::<(), nyang_data::Error>(())
/// ```
///
/// - The content says what a file is, not its name.
/// - Values of 16 bits are scaled to 8: round(v · 255 / 65535). (Pillow cuts them off at 255.)
/// - CMYK becomes RGB.
/// - An orientation in EXIF is applied, so that photographs stand upright. **torchvision and Keras do not**: for the same pixels as there
///   say `.exif(false)`.
/// - A file that ends early is an error, also where a decoder would fill the rest with grey.
///
/// JPEG's arithmetic leaves decoders some freedom: Pillow's values differ by 0.4 on average, by 4 at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decode {
    channels: Channels,
    exif: bool,
    max_pixels: u64,
}

impl Default for Decode {
    fn default() -> Self {
        Decode::new()
    }
}

impl Decode {
    /// RGB, upright, at most 50 million pixels.
    pub fn new() -> Self {
        Decode { channels: Channels::Rgb, exif: true, max_pixels: 50_000_000 }
    }

    /// How many channels the images have.
    pub fn channels(mut self, channels: Channels) -> Self {
        self.channels = channels;
        self
    }

    /// Whether the orientation in EXIF is applied.
    pub fn exif(mut self, apply: bool) -> Self {
        self.exif = apply;
        self
    }

    /// The most pixels an image may have. It is looked at before memory is asked for, so small files that claim to be huge do no harm.
    pub fn max_pixels(mut self, pixels: u64) -> Self {
        self.max_pixels = pixels;
        self
    }

    /// The image in a file.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Unreadable`] with what is wrong with its content.
    pub fn file(&self, path: impl AsRef<Path>) -> Result<Image> {
        let path = path.as_ref();
        self.bytes(&self.read(path)?).map_err(|fault| Error::Unreadable { sample: Source::file(path), fault })
    }

    /// The bytes of a file that may be an image by its size.
    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let unreadable = |fault| Error::Unreadable { sample: Source::file(path), fault };
        let io = |cause| Error::File { path: path.to_path_buf(), cause };
        let about = fs::metadata(path).map_err(io)?;
        if !about.is_file() {
            return Err(unreadable(ImageFault::NotAFile)); // reading a pipe could take forever
        }
        if about.len() > self.max_bytes() {
            return Err(unreadable(ImageFault::LargeFile { bytes: about.len(), most: self.max_bytes() }));
        }
        fs::read(path).map_err(io)
    }

    /// The image in these bytes of a file.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn bytes(&self, bytes: &[u8]) -> Result<Image, ImageFault> {
        if bytes.is_empty() {
            return Err(ImageFault::Empty);
        }
        let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| damaged(&e))?;
        let (pixels, orientation) = match reader.format().ok_or(ImageFault::NotAnImage)? {
            ImageFormat::Jpeg => jpeg::decode(bytes, self.max_pixels)?,
            _ => {
                let mut limits = Limits::no_limits();
                limits.max_alloc = Some(self.max_bytes());
                reader.limits(limits);
                let mut decoder = reader.into_decoder().map_err(fault)?;
                let (width, height) = decoder.dimensions();
                check_size([width, height].map(u64::from), self.max_pixels)?;
                let orientation = orientation(&mut decoder);
                (convert::pixels(DynamicImage::from_decoder(decoder).map_err(fault)?)?, orientation)
            }
        };
        let orientation = if self.exif { orientation } else { Orientation::NoTransforms };
        Ok(convert::upright(convert::to_channels(pixels, self.channels)?, orientation))
    }

    fn max_bytes(&self) -> u64 {
        self.max_pixels.saturating_mul(BYTES_A_PIXEL).saturating_add(1 << 20)
    }
}

/// A picture as a decoder gives it.
struct Pixels {
    height: usize,
    width: usize,
    channels: usize,
    values: Vec<u8>,
}

fn check_size([width, height]: [u64; 2], max_pixels: u64) -> Result<(), ImageFault> {
    if width * height > max_pixels {
        return Err(ImageFault::LargeImage { width: width as u32, height: height as u32, most: max_pixels });
    }
    Ok(())
}

/// How the picture lies; what EXIF says wrongly counts as nothing.
fn orientation(decoder: &mut impl ImageDecoder) -> Orientation {
    match decoder.orientation() {
        Ok(Orientation::NoTransforms) | Err(_) => {
            let exif = decoder.exif_metadata().ok().flatten();
            let chunk = exif.as_deref().and_then(|exif| exif.strip_prefix(b"Exif\0\0")); // some WebP files have JPEG's prefix
            chunk.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
        }
        Ok(orientation) => orientation,
    }
}

/// What can be wrong with an image file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageFault {
    /// No bytes.
    #[error("the file is empty")]
    Empty,
    /// A folder, a pipe, a device.
    #[error("this is not a regular file")]
    NotAFile,
    /// None of the formats that are read.
    #[error("this is not an image, or of no format that is read (JPEG, PNG, BMP, GIF, WebP, TIFF)")]
    NotAnImage,
    /// The file ends before the image does.
    #[error("the image is truncated: the file ends before it does")]
    Truncated,
    /// More pixels than the limit.
    #[error("an image of {width} × {height} pixels is above the limit of {most} pixels; `max_pixels` raises it")]
    LargeImage {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The most pixels.
        most: u64,
    },
    /// More bytes than an image within the limit needs.
    #[error("a file of {bytes} bytes is above the limit of {most} bytes; `max_pixels` raises it")]
    LargeFile {
        /// Its length.
        bytes: u64,
        /// The most bytes.
        most: u64,
    },
    /// Part of the format that is not supported.
    #[error("the image cannot be read: {0}")]
    Unsupported(String),
    /// Anything that contradicts the format.
    #[error("the image is damaged: {0}")]
    Damaged(String),
}

fn damaged(cause: &dyn ToString) -> ImageFault {
    ImageFault::Damaged(cause.to_string())
}

/// What a decoder's error says.
fn fault(error: ImageError) -> ImageFault {
    match error {
        ImageError::IoError(cause) if cause.kind() == ErrorKind::UnexpectedEof => ImageFault::Truncated,
        ImageError::Unsupported(cause) => ImageFault::Unsupported(cause.to_string()),
        other => damaged(&other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::{ImageBuffer, Luma, Rgb};

    fn encoded(image: DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn colours() -> DynamicImage {
        ImageBuffer::from_fn(5, 3, |x, y| Rgb([(50 * x) as u8, (80 * y) as u8, 7])).into()
    }

    #[test]
    fn formats_without_loss_give_the_very_pixels() {
        let expected = colours().to_rgb8().into_raw();
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP, ImageFormat::Gif] {
            let image = Decode::new().bytes(&encoded(colours(), format)).unwrap_or_else(|e| panic!("{format:?}: {e}"));
            assert_eq!((image.height(), image.width(), image.channels()), (3, 5, 3));
            assert_eq!(image.bytes().unwrap(), expected, "{format:?}");
        }
        let jpeg = Decode::new().bytes(&encoded(colours(), ImageFormat::Jpeg)).unwrap();
        assert!(jpeg.bytes().unwrap().iter().zip(&expected).all(|(a, b)| a.abs_diff(*b) < 60));
    }

    #[test]
    fn files_cut_off_anywhere_are_errors_and_never_panic() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Gif, ImageFormat::WebP] {
            let whole = encoded(colours(), format);
            for length in 0..whole.len() {
                let result = Decode::new().bytes(&whole[..length]);
                // a GIF's or PNG's last bytes are a trailer: what is before them may be the whole image
                assert!(result.is_err() || length + 16 > whole.len(), "{format:?} cut at {length} of {}", whole.len());
            }
        }
        let jpeg = encoded(colours(), ImageFormat::Jpeg);
        assert_eq!(Decode::new().bytes(&jpeg[..jpeg.len() - 2]), Err(ImageFault::Truncated));
        assert_eq!(Decode::new().bytes(&[]), Err(ImageFault::Empty));
        assert_eq!(Decode::new().bytes(b"<html>"), Err(ImageFault::NotAnImage));
    }

    #[test]
    fn what_is_above_the_limit_is_not_decoded() {
        let wide: DynamicImage = ImageBuffer::<Luma<u8>, _>::new(1000, 11).into();
        let error = Decode::new().max_pixels(10_000).bytes(&encoded(wide, ImageFormat::Png)).unwrap_err();
        assert_eq!(error, ImageFault::LargeImage { width: 1000, height: 11, most: 10_000 });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.jpg");
        fs::File::create(&path).unwrap().set_len(1 << 30).unwrap(); // a hole, no gigabyte
        let error = Decode::new().file(&path).unwrap_err().to_string();
        assert!(error.contains("large.jpg: a file of 1073741824 bytes is above the limit"), "{error}");
    }

    #[test]
    fn files_that_cannot_be_are_errors_with_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let error = Decode::new().file(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("this is not a regular file"), "{error}");
        let error = Decode::new().file(folder.path().join("none.png")).unwrap_err().to_string();
        assert!(error.contains("none.png: cannot be read: "), "{error}");
    }
}
