//! The format of TensorBoard's event files.
//!
//! ```text
//! file   = record …          the first says "brain.Event:2"
//! record = length (u64)  crc(length)  data  crc(data)          little-endian
//! data   = Event { wall_time = 1, step = 2, file_version = 3 | summary = 5 { value = 1 … } }          Protocol Buffers
//! crc    = CRC-32C, rotated right by 15 bits, plus a282ead8: "masked", so that checksums of checksums stay good
//! ```
//!
//! Field numbers are those of TensorFlow's `event.proto`, `summary.proto` and `tensor.proto`.

use std::fs;
use std::path::Path;

use crate::files::protobuf::Message;
use crate::insight::Picture;
use crate::logs::clock::now;
use crate::logs::growing::GrowingFile;
use crate::logs::histogram::Histogram;
use crate::{Error, Result};

/// An event file, open for writing. A point is a number, image, histogram or text with a tag at a step.
///
/// ```
/// # use nyang_train::logs::EventFile;
/// # let folder = tempfile::tempdir()?;
/// let mut events = EventFile::create(folder.path())?;
/// for step in 0..100 {
///     events.scalar(step, "train/loss", 1.0 / (step + 1) as f64)?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventFile {
    file: GrowingFile,
}

impl EventFile {
    /// A new file in this folder, which is made if there is none.
    ///
    /// # Errors
    /// [`Error::File`], here and for each point.
    pub fn create(folder: impl AsRef<Path>) -> Result<Self> {
        let now = now();
        let name = |n: u32| folder.as_ref().join(format!("events.out.tfevents.{:010}.nyangtorch.{n}", now as u64));
        let free = (0..1000).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0));
        let mut events = EventFile { file: GrowingFile::create(free)? };
        events.file.append(&record(Message::new().double(1, now).string(3, "brain.Event:2")))?;
        Ok(events)
    }

    /// The newest file in this folder, without what is behind `length`. `None` if there is none that is so long.
    pub(super) fn cut_back(folder: &Path, length: u64) -> Result<Option<Self>> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(reason) => return Err(Error::file("read", folder, reason)),
        };
        let ours = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.to_string_lossy().contains(".tfevents."));
        let Some(newest) = ours.max() else { return Ok(None) };
        Ok(GrowingFile::cut_back(newest, length)?.map(|file| EventFile { file }))
    }

    /// Where the file ends.
    pub(super) fn length(&self) -> u64 {
        self.file.length()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// A point of a curve.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn scalar(&mut self, step: u64, tag: &str, value: f64) -> Result<()> {
        self.event(step, Message::new().string(1, tag).float(2, value as f32))
    }

    /// A picture.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Data`] for a picture too large for a PNG.
    pub fn image(&mut self, step: u64, tag: &str, picture: &Picture) -> Result<()> {
        const RGB: i64 = 3;
        let image = Message::new().int(1, picture.height() as i64).int(2, picture.width() as i64).int(3, RGB).bytes(4, &picture.png()?);
        self.event(step, Message::new().string(1, tag).message(4, image))
    }

    /// A histogram.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn histogram(&mut self, step: u64, tag: &str, h: &Histogram) -> Result<()> {
        let (low, high) = (h.edges.first().copied().unwrap_or(0.0), h.edges.last().copied().unwrap_or(0.0));
        let limits = h.edges.get(1..).unwrap_or_default(); // the upper end of each range
        let counts: Vec<f64> = h.counts.iter().map(|&n| n as f64).collect();
        let histogram = Message::new().double(1, low).double(2, high).double(3, h.samples() as f64).double(4, h.sum);
        let histogram = histogram.double(5, h.sum_squares).doubles(6, limits).doubles(7, &counts);
        self.event(step, Message::new().string(1, tag).message(5, histogram))
    }

    /// A text, in Markdown.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn text(&mut self, step: u64, tag: &str, text: &str) -> Result<()> {
        const STRING: i64 = 7;
        let shape = Message::new().message(2, Message::new().int(1, 1)); // one dimension, of one
        let tensor = Message::new().int(1, STRING).message(2, shape).string(8, text);
        let plugin = Message::new().message(1, Message::new().string(1, "text"));
        self.event(step, Message::new().string(1, tag).message(8, tensor).message(9, plugin))
    }

    fn event(&mut self, step: u64, value: Message) -> Result<()> {
        let summary = Message::new().message(1, value);
        self.file.append(&record(Message::new().double(1, now()).int(2, step as i64).message(5, summary)))
    }
}

/// A message in its frame.
fn record(event: Message) -> Vec<u8> {
    let data = event.into_bytes();
    let length = (data.len() as u64).to_le_bytes();
    let [of_length, of_data] = [&length[..], &data[..]].map(|bytes| masked(crc32c(bytes)).to_le_bytes());
    [&length[..], &of_length[..], &data[..], &of_data[..]].concat()
}

fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Castagnoli's CRC, bit by bit from a table of 256 remainders. (Our own files have the other CRC-32, of zip and PNG.)
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let (mut remainder, mut bit) = (byte as u32, 0);
            while bit < 8 {
                remainder = (remainder >> 1) ^ if remainder & 1 == 1 { 0x82f6_3b78 } else { 0 };
                bit += 1;
            }
            table[byte] = remainder;
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ TABLE[(crc as u8 ^ byte) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn castagnoli_s_checksum_of_the_standard_s_examples() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283); // RFC 3720, appendix B.4, and the usual check value
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn a_record_is_what_tensorboard_itself_writes() {
        // tensorboard 2.21: RecordWriter(file).write(Event(wall_time=1.5, step=7, summary=Summary(value=[Summary.Value(tag="a", simple_value=0.5)])).SerializeToString())
        let value = Message::new().string(1, "a").float(2, 0.5);
        let bytes = record(Message::new().double(1, 1.5).int(2, 7).message(5, Message::new().message(1, value)));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "1700000000000000e7cef81e09000000000000f83f10072a0a0a080a0161150000003f6fd64f8c");
    }

    #[test]
    fn a_resumed_file_is_cut_where_the_checkpoint_was() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(folder.path()).unwrap();
        let empty = events.length();
        events.scalar(1, "a", 1.0).unwrap();
        let length = events.length();
        events.scalar(2, "a", 1.0).unwrap();
        assert_eq!(events.length() - length, length - empty, "each point takes the same place");
        let whole = fs::read(events.path()).unwrap();
        let again = EventFile::cut_back(folder.path(), length).unwrap().unwrap();
        assert_eq!(fs::read(again.path()).unwrap(), whole[..length as usize]);
        assert!(EventFile::cut_back(folder.path(), length + 1).unwrap().is_none());
        assert!(EventFile::cut_back(&folder.path().join("none"), 0).unwrap().is_none());
    }
}
