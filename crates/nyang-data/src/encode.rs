//! From an image to a PNG file.

use std::fs::{self, OpenOptions};
use std::io::{self, Cursor, Write};
use std::path::Path;

use ::image::codecs::png::PngEncoder;
use ::image::{ExtendedColorType, ImageEncoder};

use crate::{Error, Image, Pixels, Result};

impl Image {
    /// The image as a PNG file's bytes. Floats are taken as 0 for black to 1 for full.
    ///
    /// # Errors
    /// [`Error::NeedsColours`] unless it has 1, 2, 3 or 4 channels: grey, or red, green and blue, with or without alpha. [`Error::Encode`].
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let kind = match self.channels {
            1 => ExtendedColorType::L8,
            2 => ExtendedColorType::La8,
            3 => ExtendedColorType::Rgb8,
            4 => ExtendedColorType::Rgba8,
            got => return Err(Error::NeedsColours { op: "Image::to_png", got }),
        };
        let failed = |why: String| Error::Encode { format: "PNG", why };
        let side = |n: usize| u32::try_from(n).map_err(|_| failed(format!("a side of {n} pixels is too long")));
        let bytes = self.to_bytes();
        let mut file = Cursor::new(Vec::new());
        let written = PngEncoder::new(&mut file).write_image(&bytes, side(self.width)?, side(self.height)?, kind);
        written.map_err(|e| failed(e.to_string()))?;
        Ok(file.into_inner())
    }

    /// Writes the image as a PNG file: whole, or not at all.
    ///
    /// # Errors
    /// [`Error::Write`] if the file cannot be written; those of [`Image::to_png`].
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<()> {
        let (path, bytes) = (path.as_ref(), self.to_png()?);
        write_whole(path, &bytes).map_err(|cause| Error::Write { path: path.to_path_buf(), cause })
    }

    /// The values as bytes, floats from 0 to 1 scaled and cut off.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match &self.pixels {
            Pixels::U8(values) => values.clone(),
            Pixels::F32(values) => values.iter().map(|v| (v * 255.0).round() as u8).collect(), // `as` saturates, and NaN is 0
        }
    }
}

/// Writes a file beside its place, then moves it there.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    const NAMES: u32 = 1000;
    let name = path.file_name().ok_or_else(|| io::Error::other("this is no name of a file"))?.to_string_lossy().into_owned();
    for number in 0..NAMES {
        let beside = path.with_file_name(format!(".{name}.{number}.part"));
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&beside) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue, // someone else is writing
            Err(error) => return Err(error),
        };
        let done = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
        if done.is_err() {
            let _ = fs::remove_file(&beside); // the first error counts
        }
        return done;
    }
    Err(io::Error::other("1,000 unfinished files of this name lie beside it; remove them"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decode;

    #[test]
    fn what_is_saved_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        let image = Image::from_bytes(2, 3, 3, (0..18).map(|v| v * 14).collect()).unwrap();
        Image::from_bytes(1, 1, 1, vec![9]).unwrap().save_png(&path).unwrap();
        image.save_png(&path).unwrap(); // over the old one
        assert_eq!(Decode::new().file(&path).unwrap(), image);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let floats = Image::from_floats(1, 3, 1, vec![-1.0, 0.5, 2.0]).unwrap();
        let bytes = floats.to_png().unwrap();
        assert_eq!(Decode::new().channels(crate::Channels::Gray).bytes(&bytes).unwrap().bytes(), Some(&[0, 128, 255][..]));
    }

    #[test]
    fn what_cannot_be_saved_says_why() {
        let image = |channels| Image::from_bytes(1, 1, channels, vec![0; channels]).unwrap();
        assert!(matches!(image(5).to_png(), Err(Error::NeedsColours { got: 5, .. })));
        for path in ["no/such/folder/a.png", "/", ""] {
            assert!(matches!(image(1).save_png(path), Err(Error::Write { .. })), "{path}");
        }
    }
}
