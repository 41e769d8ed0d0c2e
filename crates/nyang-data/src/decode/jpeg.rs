//! JPEG files: decoded by zune-jpeg, which is handed the bytes without a detour, and looked through for their end.
//!
//! Decoders fill what is missing with grey and say nothing; half a photograph is no training image.

use ::image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::{ZByteIoError, ZByteReaderTrait, ZSeekFrom};
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{ImageFault, Pixels, damaged};

/// The picture in a file as it lies there, and how EXIF says it is to be turned. Colours come as RGB, also from CMYK.
pub(super) fn decode(file: &[u8], max_pixels: u64) -> Result<(Pixels, Orientation), ImageFault> {
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(Bytes { all: file, at: 0 }, options);
    decoder.decode_headers().map_err(fault)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    super::check_size([width as u64, height as u64], max_pixels)?;
    if !is_whole(file) {
        return Err(ImageFault::Truncated);
    }
    let (space, channels) = if decoder.input_colorspace() == Some(ColorSpace::Luma) { (ColorSpace::Luma, 1) } else { (ColorSpace::RGB, 3) };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif)).unwrap_or(Orientation::NoTransforms);
    let mut values = vec![0; width * height * channels];
    decoder.decode_into(&mut values).map_err(fault)?;
    Ok((Pixels { height, width, channels, values }, orientation))
}

/// What the decoder's error says.
fn fault(error: DecodeErrors) -> ImageFault {
    match error {
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(ZByteIoError::NotEnoughBytes(..)) => ImageFault::Truncated,
        DecodeErrors::Unsupported(what) => ImageFault::Unsupported(format!("{what:?}")),
        other => damaged(&other),
    }
}

/// A file's bytes for the decoder, which takes four at a time: of a known number, they are a number and no copy by a call, as they are with
/// its own reader. 0.9 of the time of a photograph.
struct Bytes<'a> {
    all: &'a [u8],
    /// The next one; may lie behind the end.
    at: usize,
}

impl Bytes<'_> {
    fn left(&self) -> &[u8] {
        self.all.get(self.at..).unwrap_or_default()
    }
}

impl ZByteReaderTrait for Bytes<'_> {
    #[inline(always)]
    fn read_byte_no_error(&mut self) -> u8 {
        let byte = self.all.get(self.at).copied().unwrap_or_default();
        self.at = self.at.saturating_add(1);
        byte
    }

    #[inline(always)]
    fn read_exact_bytes(&mut self, to: &mut [u8]) -> Result<(), ZByteIoError> {
        self.peek_exact_bytes(to)?;
        self.at += to.len();
        Ok(())
    }

    fn read_bytes(&mut self, to: &mut [u8]) -> Result<usize, ZByteIoError> {
        let count = self.peek_bytes(to)?;
        self.at += count;
        Ok(count)
    }

    fn peek_bytes(&mut self, to: &mut [u8]) -> Result<usize, ZByteIoError> {
        let count = to.len().min(self.left().len());
        to[..count].copy_from_slice(&self.left()[..count]);
        Ok(count)
    }

    #[inline(always)]
    fn peek_exact_bytes(&mut self, to: &mut [u8]) -> Result<(), ZByteIoError> {
        let left = self.left();
        let from = left.get(..to.len()).ok_or(ZByteIoError::NotEnoughBytes(left.len(), to.len()))?;
        to.copy_from_slice(from);
        Ok(())
    }

    #[inline(always)]
    fn z_seek(&mut self, to: ZSeekFrom) -> Result<u64, ZByteIoError> {
        let (from, by) = match to {
            ZSeekFrom::Start(at) => (at as usize, 0),
            ZSeekFrom::End(by) => (self.all.len(), by),
            ZSeekFrom::Current(by) => (self.at, by),
        };
        self.at = from.checked_add_signed(by as isize).ok_or(ZByteIoError::SeekError("before the start"))?;
        Ok(self.at as u64)
    }

    #[inline(always)]
    fn is_eof(&mut self) -> Result<bool, ZByteIoError> {
        Ok(self.at >= self.all.len())
    }

    fn z_position(&mut self) -> Result<u64, ZByteIoError> {
        Ok(self.at as u64)
    }

    fn read_remaining(&mut self, to: &mut Vec<u8>) -> Result<usize, ZByteIoError> {
        let count = self.left().len();
        to.extend_from_slice(self.left());
        self.at += count;
        Ok(count)
    }
}

/// Whether the end-of-image marker is where it belongs: after the last scan, not only in a thumbnail.
pub(crate) fn is_whole(file: &[u8]) -> bool {
    file.ends_with(&[0xFF, 0xD9]) || ends_after_its_scans(file)
}

/// The same for files that have something after their end: cameras' further pictures, zeros, garbage.
fn ends_after_its_scans(file: &[u8]) -> bool {
    let mut at = 2; // after the start marker
    while let Some((marker, after)) = next_marker(file, at) {
        match marker {
            0xD9 => return true,
            // tables, scans, comments, applications' own: a length of two bytes, which counts itself, and content
            0xC0..=0xC7 | 0xC9..=0xCF | 0xDA..=0xDF | 0xE0..=0xEF | 0xFE => {
                let Some(&[high, low]) = file.get(after..after + 2) else { return false };
                at = after + usize::from(u16::from_be_bytes([high, low])).max(2);
            }
            _ => at = after, // 00 is a stuffed FF of the scan, D0 to D7 restart it, the rest is damage within it
        }
    }
    false
}

/// The first FF that something else than FF follows: that byte, and the place after it.
fn next_marker(file: &[u8], from: usize) -> Option<(u8, usize)> {
    let start = from + file.get(from..)?.iter().position(|&b| b == 0xFF)?;
    let marker = start + file.get(start..)?.iter().position(|&b| b != 0xFF)?;
    Some((*file.get(marker)?, marker + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Read, Seek, SeekFrom};

    /// All of a reader's answers beside those of the standard library's cursor, where there are such.
    #[test]
    fn bytes_are_read_as_a_cursor_reads_them() {
        let all: Vec<u8> = (0..11).collect();
        for at in 0..14 {
            for size in 0..6 {
                let mut cursor = Cursor::new(&all);
                cursor.set_position(at as u64);
                let mut expected = vec![99; size];
                let whole = cursor.read_exact(&mut expected).is_ok();
                let (mut bytes, mut to) = (Bytes { all: &all, at }, vec![99; size]);
                assert_eq!(bytes.peek_exact_bytes(&mut to).is_ok(), whole, "{size} from {at}");
                assert_eq!((bytes.read_exact_bytes(&mut to).is_ok(), bytes.at), (whole, if whole { at + size } else { at }));
                assert!(!whole || to == expected);

                cursor.set_position(at as u64);
                let (mut bytes, mut to, mut expected) = (Bytes { all: &all, at }, vec![99; size], vec![99; size]);
                let count = cursor.read(&mut expected).unwrap();
                assert_eq!((bytes.peek_bytes(&mut to).unwrap(), bytes.at), (count, at));
                assert_eq!((bytes.read_bytes(&mut to).unwrap(), &to, bytes.at), (count, &expected, at + count));

                for seek in [SeekFrom::Start(size as u64), SeekFrom::End(-(size as i64)), SeekFrom::Current(2 - size as i64)] {
                    cursor.set_position(at as u64);
                    let (place, mut bytes) = (cursor.seek(seek).ok(), Bytes { all: &all, at });
                    let seek = match seek {
                        SeekFrom::Start(at) => ZSeekFrom::Start(at),
                        SeekFrom::End(by) => ZSeekFrom::End(by),
                        SeekFrom::Current(by) => ZSeekFrom::Current(by),
                    };
                    assert_eq!((bytes.z_seek(seek).ok(), bytes.at as u64), (place, place.unwrap_or(at as u64)));
                }
            }
            let mut bytes = Bytes { all: &all, at };
            let (mut rest, left) = (vec![], all.get(at..).unwrap_or_default());
            assert_eq!((bytes.is_eof().unwrap(), bytes.read_byte_no_error()), (left.is_empty(), left.first().copied().unwrap_or(0)));
            assert_eq!(
                (bytes.z_position().unwrap(), bytes.read_remaining(&mut rest).unwrap()),
                (at as u64 + 1, left.len().saturating_sub(1))
            );
            assert_eq!(rest, left.get(1..).unwrap_or_default());
        }
    }

    #[test]
    fn exif_says_how_the_picture_is_turned() {
        let mut file = Cursor::new(Vec::new());
        let wide = image::GrayImage::from_fn(16, 8, |x, _| image::Luma([if x < 8 { 0 } else { 255 }]));
        wide.write_to(&mut file, image::ImageFormat::Jpeg).unwrap();
        let mut file = file.into_inner();
        // TIFF of big ends with one entry: the orientation (0x112), one number of 16 bits (type 3), 6: to be turned to the right
        let tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let segment = [&[0xFF, 0xE1, 0, 2 + 6 + tiff.len() as u8], b"Exif\0\0".as_slice(), tiff].concat();
        file.splice(2..2, segment);
        let (pixels, orientation) = decode(&file, 128).unwrap();
        assert_eq!((pixels.height, pixels.width, pixels.channels, orientation), (8, 16, 1, Orientation::Rotate90));
        let upright = crate::Decode::new().channels(crate::Channels::Gray).bytes(&file).unwrap();
        assert_eq!((upright.height(), upright.width()), (16, 8));
        assert!(upright.bytes().unwrap()[..64].iter().all(|&v| v < 9) && upright.bytes().unwrap()[64..].iter().all(|&v| v > 246));
        let lying = crate::Decode::new().exif(false).bytes(&file).unwrap();
        assert_eq!((lying.height(), lying.width()), (8, 16));
        assert!(matches!(decode(&file, 127), Err(ImageFault::LargeImage { width: 16, height: 8, most: 127 })));
    }

    #[test]
    fn the_end_counts_only_after_the_scan() {
        let thumbnail = [0xFF, 0xE1, 0, 6, 0xFF, 0xD9, 1, 2]; // an application's segment with an end marker inside
        let scan = [0xFF, 0xDA, 0, 3, 9, 0x12, 0xFF, 0x00, 0xFF, 0xD0, 0x34, 0xFF, 0x3C];
        let file = |parts: &[&[u8]]| [&[0xFF, 0xD8], parts.concat().as_slice()].concat();
        assert!(is_whole(&file(&[&thumbnail, &scan, &[0xFF, 0xD9]])));
        assert!(is_whole(&file(&[&thumbnail, &scan, &[0xFF, 0xFF, 0xD9, 0, 0, 7]])));
        assert!(!is_whole(&file(&[&thumbnail, &scan])));
        assert!(!is_whole(&file(&[&scan, &[0xFF]])));
        assert!(!is_whole(&file(&[&thumbnail[..6], &[0, 0]])));
        assert!(!is_whole(&[0xFF, 0xD8, 0xFF, 0xDA, 0]) && !is_whole(&[0xFF]) && !is_whole(&[]));
    }
}
