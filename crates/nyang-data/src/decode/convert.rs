//! From what a decoder gives to bytes of the asked channels, upright.

use ::image::DynamicImage;
use ::image::metadata::Orientation;

use super::{Channels, ImageFault, Pixels};
use crate::Image;
use crate::transform::{Turn, turned};

/// An image of this many channels.
pub(super) fn to_channels(decoded: Pixels, channels: Channels) -> Result<Image, ImageFault> {
    let Pixels { height, width, channels: given, values } = decoded;
    let (count, values) = match (given, channels) {
        (1, Channels::Gray) | (3, Channels::Rgb) | (4, Channels::RgbAlpha) => (given, values),
        (2, Channels::Gray) => (1, mapped(&values, given, |p| [p[0]])),
        (_, Channels::Gray) => (1, mapped(&values, given, |p| [luma(p[0], p[1], p[2])])),
        (1 | 2, Channels::Rgb) => (3, mapped(&values, given, |p| [p[0]; 3])),
        (_, Channels::Rgb) => (3, mapped(&values, given, |p| [p[0], p[1], p[2]])),
        (1, Channels::RgbAlpha) => (4, mapped(&values, given, |p| [p[0], p[0], p[0], 255])),
        (2, Channels::RgbAlpha) => (4, mapped(&values, given, |p| [p[0], p[0], p[0], p[1]])),
        (_, Channels::RgbAlpha) => (4, mapped(&values, given, |p| [p[0], p[1], p[2], 255])),
    };
    Image::from_bytes(height, width, count, values).map_err(|e| ImageFault::Damaged(e.to_string()))
}

/// The grey value of a colour: Pillow's ITU-R 601 in integers.
pub(crate) fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + (1 << 15)) >> 16) as u8 // the weights sum to 2¹⁶
}

/// `new` of each pixel of `channels` values.
fn mapped<const N: usize>(values: &[u8], channels: usize, new: impl Fn(&[u8]) -> [u8; N]) -> Vec<u8> {
    values.chunks_exact(channels).flat_map(new).collect()
}

/// What `image` decoded, as bytes.
pub(super) fn pixels(decoded: DynamicImage) -> Result<Pixels, ImageFault> {
    let (height, width) = (decoded.height() as usize, decoded.width() as usize);
    let narrowed = |values: Vec<u16>| values.into_iter().map(|v| ((u32::from(v) * 255 + 32767) / 65535) as u8).collect();
    let scaled = |values: Vec<f32>| values.into_iter().map(|v| (v * 255.0).round() as u8).collect(); // `as` saturates
    let (channels, values) = match decoded {
        DynamicImage::ImageLuma8(image) => (1, image.into_raw()),
        DynamicImage::ImageLumaA8(image) => (2, image.into_raw()),
        DynamicImage::ImageRgb8(image) => (3, image.into_raw()),
        DynamicImage::ImageRgba8(image) => (4, image.into_raw()),
        DynamicImage::ImageLuma16(image) => (1, narrowed(image.into_raw())),
        DynamicImage::ImageLumaA16(image) => (2, narrowed(image.into_raw())),
        DynamicImage::ImageRgb16(image) => (3, narrowed(image.into_raw())),
        DynamicImage::ImageRgba16(image) => (4, narrowed(image.into_raw())),
        DynamicImage::ImageRgb32F(image) => (3, scaled(image.into_raw())),
        DynamicImage::ImageRgba32F(image) => (4, scaled(image.into_raw())),
        other => return Err(ImageFault::Unsupported(format!("pixels of kind {:?}", other.color()))),
    };
    Ok(Pixels { height, width, channels, values })
}

/// The image turned as its orientation says.
pub(crate) fn upright(image: Image, orientation: Orientation) -> Image {
    let turn = |transpose, horizontal, vertical| Turn { transpose, horizontal, vertical };
    turned(
        image,
        match orientation {
            Orientation::NoTransforms => turn(false, false, false),
            Orientation::FlipHorizontal => turn(false, true, false),
            Orientation::Rotate180 => turn(false, true, true),
            Orientation::FlipVertical => turn(false, false, true),
            Orientation::Rotate90FlipH => turn(true, false, false),
            Orientation::Rotate90 => turn(true, true, false),
            Orientation::Rotate270FlipH => turn(true, true, true),
            Orientation::Rotate270 => turn(true, false, true),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::{ImageBuffer, LumaA, Rgb, Rgba};

    fn converted(image: impl Into<DynamicImage>, channels: Channels) -> Vec<u8> {
        to_channels(pixels(image.into()).unwrap(), channels).unwrap().bytes().unwrap().to_vec()
    }

    /// `PIL.Image.new("RGB", (1, 1), (200, 100, 50)).convert("L")` is 124, and (0, 0, 255) is 29.
    #[test]
    fn grey_is_pillows() {
        let image = || ImageBuffer::from_raw(2, 1, vec![200, 100, 50, 0, 0, 255]).map(|i: ImageBuffer<Rgb<u8>, _>| i).unwrap();
        assert_eq!(converted(image(), Channels::Gray), [124, 29]);
        assert_eq!(converted(image(), Channels::RgbAlpha), [200, 100, 50, 255, 0, 0, 255, 255]);
        assert_eq!((luma(255, 255, 255), luma(0, 0, 0)), (255, 0));
    }

    #[test]
    fn sixteen_bits_are_scaled_and_alpha_is_dropped_or_kept() {
        let grey: ImageBuffer<LumaA<u16>, _> = ImageBuffer::from_raw(2, 1, vec![65535u16, 0, 32768, 65535]).unwrap();
        assert_eq!(converted(grey.clone(), Channels::Gray), [255, 128]);
        assert_eq!(converted(grey.clone(), Channels::Rgb), [255, 255, 255, 128, 128, 128]);
        assert_eq!(converted(grey, Channels::RgbAlpha), [255, 255, 255, 0, 128, 128, 128, 255]);
        let colour: ImageBuffer<Rgba<f32>, _> = ImageBuffer::from_raw(1, 1, vec![-1.0f32, 0.5, 2.0, 1.0]).unwrap();
        assert_eq!(converted(colour, Channels::Rgb), [0, 128, 255]);
    }

    /// The table of EXIF: what the values 1 to 8 do to the picture 1 2 3 / 4 5 6, as `PIL.ImageOps.exif_transpose` does it.
    #[test]
    fn the_eight_orientations() {
        let expected: [(usize, [u8; 6]); 8] = [
            (3, [1, 2, 3, 4, 5, 6]),
            (3, [3, 2, 1, 6, 5, 4]),
            (3, [6, 5, 4, 3, 2, 1]),
            (3, [4, 5, 6, 1, 2, 3]),
            (2, [1, 4, 2, 5, 3, 6]),
            (2, [4, 1, 5, 2, 6, 3]),
            (2, [6, 3, 5, 2, 4, 1]),
            (2, [3, 6, 2, 5, 1, 4]),
        ];
        for (exif, (width, values)) in (1..).zip(expected) {
            let image = Image::from_bytes(2, 3, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
            let image = upright(image, Orientation::from_exif(exif).unwrap());
            assert_eq!((image.width(), image.bytes().unwrap()), (width, &values[..]), "{exif}");
        }
    }
}
