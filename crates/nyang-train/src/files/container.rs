//! The frame around every file that NyangTorch writes: what it is, how long, and whether it is still what was written.
//!
//! ```text
//! at      bytes
//! 0       8   magic: 89 'N' 'Y' 'A' 0D 0A 1A 0A (as PNG's, it breaks visibly when a transfer changes line ends or drops the eighth bit)
//! 8       4   format version of this kind of file, u32
//! 12      12  kind in ASCII ("model", "checkpoint"), filled up with zeros
//! 24      8   n, the length of the content, u64
//! 32      n   content: MessagePack, structs as maps of named fields
//! 32+n    4   CRC-32 (IEEE) of all bytes before it, u32
//! ```
//!
//! Numbers are little-endian. The frame is the same for ever; the version is that of the content. A field that is added with a serde
//! default needs no new version, since unknown fields are skipped and missing ones take their default.
//!
//! Nothing is allocated on the word of a file: its stated length is compared with its real one first.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rmp_serde::decode::Error as Decode;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::foreign::looks_like;
use super::write_atomically;
use crate::{Error, Result};

/// The first bytes of every NyangTorch file.
pub const MAGIC: [u8; 8] = *b"\x89NYA\r\n\x1a\n";

/// The longest name of a kind of file, in bytes.
pub const KIND_BYTES: usize = 12;

const HEADER: usize = 32;
const CHECKSUM: usize = 4;
const FRAME: u64 = (HEADER + CHECKSUM) as u64;

/// Writes `value` as a file of this kind and version, whole or not at all.
///
/// The same value, kind and version give the same bytes.
///
/// # Errors
/// [`Error::Argument`] unless `kind` is 1 to [`KIND_BYTES`] ASCII letters, digits or dashes; [`Error::Encode`]; [`Error::File`].
///
/// ```
/// # use std::collections::BTreeMap;
/// # use nyang_train::files::container;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("scores.nyang");
/// let scores = BTreeMap::from([("accuracy", 0.98)]);
/// container::write(&path, "scores", 1, &scores)?;
/// let back: BTreeMap<String, f64> = container::read(&path, "scores", 1)?;
/// assert_eq!(back["accuracy"], 0.98);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write(path: impl AsRef<Path>, kind: &str, version: u32, value: &impl Serialize) -> Result<()> {
    let path = path.as_ref();
    let kind = kind_field(kind)?;
    let content = rmp_serde::to_vec_named(value).map_err(|e| Error::Encode { path: path.to_path_buf(), reason: e.to_string() })?;

    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&version.to_le_bytes());
    header.extend_from_slice(&kind);
    header.extend_from_slice(&(content.len() as u64).to_le_bytes());
    let checksum = checksum(&header, &content);

    write_atomically(path, |file| {
        file.write_all(&header)?;
        file.write_all(&content)?;
        file.write_all(&checksum.to_le_bytes())
    })
}

/// Reads what [`write()`] wrote: a file of this kind and of a version up to `newest`.
///
/// An older file is decoded as it is. Where that is not enough, [`Container::open`] tells the version first.
///
/// # Errors
/// As [`Container::open`] and [`Container::decode`].
pub fn read<D: DeserializeOwned>(path: impl AsRef<Path>, kind: &str, newest: u32) -> Result<D> {
    Container::open(path, kind, newest)?.decode()
}

/// A file that was read and found whole, its content not yet decoded.
#[derive(Debug)]
pub struct Container {
    path: PathBuf,
    kind: String,
    version: u32,
    content: Vec<u8>,
}

impl Container {
    /// Reads a file of this kind and of a version up to `newest`, and checks that it is whole.
    ///
    /// # Errors
    /// In this order: [`Error::Argument`] for a kind that cannot be; [`Error::File`] if it cannot be read; [`Error::Foreign`] for
    /// another format; [`Error::Truncated`], [`Error::Trailing`] and [`Error::Corrupted`] if it is not what was written;
    /// [`Error::Kind`]; [`Error::Newer`]. [`Error::Tensor`] if there is no memory for it.
    pub fn open(path: impl AsRef<Path>, kind: &str, newest: u32) -> Result<Self> {
        let path = path.as_ref();
        let expected_kind = kind_field(kind)?;
        let refused = |reason| Error::file("read", path, reason);
        if !fs::metadata(path).map_err(refused)?.is_file() {
            // opening a pipe would wait for somebody to write to it
            return Err(refused(if path.is_dir() {
                io::ErrorKind::IsADirectory.into()
            } else {
                io::Error::other("it is no regular file")
            }));
        }
        let file = File::open(path).map_err(refused)?;
        let actual = file.metadata().map_err(refused)?.len();

        let mut header = Vec::with_capacity(HEADER);
        (&file).take(HEADER as u64).read_to_end(&mut header).map_err(refused)?;
        let truncated = |expected| Error::Truncated { path: path.to_path_buf(), expected, actual };
        if MAGIC.starts_with(&header) {
            return Err(truncated(FRAME)); // it ends within the magic, or is empty
        }
        if let Some(looks_like) = looks_like(&header, actual) {
            return Err(Error::Foreign { path: path.to_path_buf(), looks_like });
        }
        let Some(fields) = Header::parse(&header) else { return Err(truncated(FRAME)) };
        let expected = fields.length.saturating_add(FRAME);
        if actual < expected {
            return Err(truncated(expected));
        }
        if actual > expected {
            return Err(Error::Trailing { path: path.to_path_buf(), expected, actual });
        }

        // from here on the length is that of a file that exists
        let rest = actual - HEADER as u64;
        let bytes = usize::try_from(rest).unwrap_or(usize::MAX);
        let mut content = Vec::new();
        content.try_reserve_exact(bytes).map_err(|_| nyang_tensor::Error::Memory { bytes })?;
        (&file).take(rest).read_to_end(&mut content).map_err(refused)?;
        let Some((_, stored)) = content.split_last_chunk().filter(|_| content.len() == bytes) else {
            return Err(refused(io::Error::other("it became shorter while it was read")));
        };
        let stored = u32::from_le_bytes(*stored);
        content.truncate(bytes - CHECKSUM);
        let computed = checksum(&header, &content);
        if stored != computed {
            return Err(Error::Corrupted { path: path.to_path_buf(), stored, computed });
        }

        if fields.kind != expected_kind {
            let found = String::from_utf8_lossy(&fields.kind).trim_end_matches('\0').to_string();
            return Err(Error::Kind { path: path.to_path_buf(), expected: kind.to_string(), found });
        }
        if fields.version > newest {
            return Err(Error::Newer { path: path.to_path_buf(), found: fields.version, newest });
        }
        Ok(Container { path: path.to_path_buf(), kind: kind.to_string(), version: fields.version, content })
    }

    /// The format version of the content.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The content as a value, which may borrow from it.
    ///
    /// # Errors
    /// [`Error::Content`] if it is not MessagePack, not that of a `D`, or goes on after its end.
    pub fn decode<'a, D: Deserialize<'a>>(&'a self) -> Result<D> {
        let wrong = |reason: String| Error::Content { path: self.path.clone(), kind: self.kind.clone(), version: self.version, reason };
        let mut decoder = rmp_serde::Deserializer::from_read_ref(&self.content[..]);
        let value = D::deserialize(&mut decoder).map_err(|e| wrong(e.to_string()))?;
        match IgnoredAny::deserialize(&mut decoder) {
            Err(Decode::InvalidMarkerRead(end)) if end.kind() == io::ErrorKind::UnexpectedEof => Ok(value),
            _ => Err(wrong("there is more after its end".to_string())),
        }
    }
}

/// The fields after the magic bytes.
struct Header {
    version: u32,
    kind: [u8; KIND_BYTES],
    length: u64,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (_magic, rest) = bytes.split_first_chunk::<{ MAGIC.len() }>()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (kind, rest) = rest.split_first_chunk()?;
        let (length, _) = rest.split_first_chunk()?;
        Some(Header { version: u32::from_le_bytes(*version), kind: *kind, length: u64::from_le_bytes(*length) })
    }
}

fn kind_field(kind: &str) -> Result<[u8; KIND_BYTES]> {
    let mut field = [0; KIND_BYTES];
    let valid = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match field.get_mut(..kind.len()) {
        Some(start) if valid => start.copy_from_slice(kind.as_bytes()),
        _ => return Err(Error::argument("container", "kind", kind, "it must be 1 to 12 ASCII letters, digits or dashes")),
    }
    Ok(field)
}

fn checksum(header: &[u8], content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(content);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Sample {
        name: String,
        losses: Vec<f64>,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
        best: Option<u64>,
    }

    fn sample() -> Sample {
        Sample { name: "Katze".into(), losses: vec![0.5, -1.0], bytes: vec![0, 255, 10], best: None }
    }

    /// A file's bytes with the checksum that belongs to them.
    fn frame(version: u32, kind: &[u8; 12], content: &[u8]) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &version.to_le_bytes(), kind, &(content.len() as u64).to_le_bytes(), content].concat();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    const KIND: &[u8; 12] = b"sample\0\0\0\0\0\0";

    /// A scratch file that is read as a `Sample` of version 2.
    struct Scratch(tempfile::TempDir);

    impl Scratch {
        fn new() -> Self {
            Scratch(tempfile::tempdir().unwrap())
        }
        fn path(&self) -> PathBuf {
            self.0.path().join("sample.nyang")
        }
        fn read(&self, bytes: &[u8]) -> Result<Sample> {
            fs::write(self.path(), bytes).unwrap();
            read(self.path(), "sample", 2)
        }
    }

    #[test]
    fn a_value_comes_back_and_the_bytes_are_the_documented_ones() {
        let scratch = Scratch::new();
        write(scratch.path(), "sample", 2, &sample()).unwrap();
        assert_eq!(read::<Sample>(scratch.path(), "sample", 2).unwrap(), sample());
        // fixmap of 4, each field by its name: written by hand from the MessagePack specification
        let mut content = b"\x84\xa4name\xa5Katze\xa6losses\x92\xcb\x3f\xe0\0\0\0\0\0\0\xcb\xbf\xf0\0\0\0\0\0\0".to_vec();
        content.extend(b"\xa5bytes\xc4\x03\x00\xff\x0a\xa4best\xc0");
        assert_eq!(fs::read(scratch.path()).unwrap(), frame(2, KIND, &content));
    }

    #[test]
    fn the_checksum_is_the_usual_crc_32() {
        assert_eq!(checksum(b"1234", b"56789"), 0xcbf4_3926); // the check value of CRC-32/ISO-HDLC
    }

    #[test]
    fn the_same_value_gives_the_same_bytes_wherever_it_is_written() {
        let (here, there) = (Scratch::new(), Scratch::new());
        write(here.path(), "sample", 2, &sample()).unwrap();
        let other = there.0.path().join("another name");
        write(&other, "sample", 2, &sample()).unwrap();
        assert_eq!(fs::read(here.path()).unwrap(), fs::read(other).unwrap());
    }

    #[test]
    fn every_truncation_is_an_error_that_tells_the_lengths() {
        let scratch = Scratch::new();
        let whole = frame(2, KIND, &rmp_serde::to_vec_named(&sample()).unwrap());
        assert!(scratch.read(&whole).is_ok());
        for length in 0..whole.len() {
            let error = scratch.read(&whole[..length]).unwrap_err();
            let expected = if length < HEADER { FRAME } else { whole.len() as u64 };
            match error {
                Error::Truncated { expected: e, actual, .. } => assert_eq!((e, actual), (expected, length as u64)),
                other => panic!("{length} bytes: {other}"),
            }
        }
    }

    #[test]
    fn every_flipped_byte_and_bit_is_an_error() {
        let scratch = Scratch::new();
        let whole = frame(2, KIND, &rmp_serde::to_vec_named(&sample()).unwrap());
        for at in 0..whole.len() {
            for flip in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                let error = scratch.read(&damaged).unwrap_err();
                let fits = match at {
                    0..8 => matches!(error, Error::Foreign { .. }),
                    24..32 => matches!(error, Error::Truncated { .. } | Error::Trailing { .. }),
                    _ => matches!(error, Error::Corrupted { .. }),
                };
                assert!(fits, "byte {at} xor {flip}: {error}");
            }
        }
    }

    #[test]
    fn a_length_that_no_file_has_allocates_nothing() {
        let scratch = Scratch::new();
        for length in [u64::MAX, u64::MAX - 35, 1 << 62, 1 << 40] {
            let mut bytes = frame(2, KIND, b"\xc0");
            bytes[24..32].copy_from_slice(&length.to_le_bytes());
            let error = scratch.read(&bytes).unwrap_err();
            assert!(matches!(error, Error::Truncated { actual: 37, .. }), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_path_and_what_to_do() {
        let scratch = Scratch::new();
        let good = rmp_serde::to_vec_named(&sample()).unwrap();
        let path = scratch.path().display().to_string();
        for (bytes, says) in [
            (b"PK\x03\x04\0\0".to_vec(), "not a NyangTorch file: it looks like a zip archive, as PyTorch's .pt and .pth files are"),
            (vec![], "truncated: 36 bytes expected, 0 found; copy or download it again"),
            (frame(3, KIND, &good), "written by a newer NyangTorch: format version 3, this one reads up to 2; update NyangTorch"),
            (frame(2, b"checkpoint\0\0", &good), "expected a NyangTorch sample file, this is a checkpoint file"),
            ([frame(2, KIND, &good), vec![0]].concat(), "1 bytes too many: "),
            (frame(2, KIND, b""), "the content is not that of a sample file of version 2: "),
            (frame(2, KIND, b"\xc0"), "the content is not that of a sample file of version 2: "),
            (frame(2, KIND, &good[..good.len() - 1]), "the content is not that of a sample file of version 2: "),
            (frame(2, KIND, &[&good[..], b"\xc0"].concat()), "there is more after its end"),
            (frame(2, KIND, &[&good[..], b"\xdb"].concat()), "there is more after its end"),
            (frame(2, KIND, b"\x81\xa4name\xa1x"), "missing field `losses`"),
            (frame(2, KIND, b"\x81\xa4name\xdb\xff\xff\xff\xff"), "the content is not that"), // a string of 4 GiB
            (frame(2, KIND, b"\x81\xa6losses\xdd\xff\xff\xff\xff"), "the content is not that"), // 4 billion numbers
            (frame(2, KIND, b"\x81\xa5bytes\xc6\xff\xff\xff\xff"), "the content is not that"), // 4 GiB of bytes
            (frame(2, KIND, &[b"\x81\xa4what".to_vec(), vec![0x91; 1 << 20]].concat()), "depth limit"), // a million arrays
        ] {
            let error = scratch.read(&bytes).unwrap_err().to_string();
            assert!(error.starts_with(&path) && error.contains(says), "{error}\nexpected: {says}");
        }
    }

    #[test]
    fn older_versions_are_read_and_told() {
        let scratch = Scratch::new();
        assert_eq!(scratch.read(&frame(1, KIND, &rmp_serde::to_vec_named(&sample()).unwrap())).unwrap(), sample());
        assert_eq!(Container::open(scratch.path(), "sample", 2).unwrap().version(), 1);
    }

    #[test]
    fn fields_may_be_unknown_or_in_another_order() {
        let scratch = Scratch::new();
        let fields = b"\x85\xa4best\x07\xa5bytes\xc4\x00\xa6future\x92\x01\x81\xa1x\xc3\xa6losses\x90\xa4name\xa0";
        let read = scratch.read(&frame(2, KIND, fields)).unwrap();
        assert_eq!(read, Sample { name: String::new(), losses: vec![], bytes: vec![], best: Some(7) });
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_that_says_why() {
        let scratch = Scratch::new();
        for (path, says) in [
            (scratch.path(), "check the path"),
            (scratch.0.path().to_path_buf(), "is a directory; name a file, not a folder"),
            (PathBuf::from("nul\0byte"), ""),
            (PathBuf::from(""), ""),
            #[cfg(unix)]
            (PathBuf::from("/dev/zero"), "it is no regular file"),
        ] {
            let error = read::<Sample>(&path, "sample", 2).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{}: cannot read: ", path.display())) && error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_kind_is_a_short_plain_word() {
        let scratch = Scratch::new();
        for kind in ["", "thirteen-long", "two words", "Modèle", "a\0"] {
            assert!(matches!(write(scratch.path(), kind, 1, &1u8), Err(Error::Argument { .. })), "{kind:?}");
            assert!(matches!(read::<u8>(scratch.path(), kind, 1), Err(Error::Argument { .. })), "{kind:?}");
        }
        write(scratch.path(), "twelve-bytes", 1, &1u8).unwrap();
        assert_eq!(read::<u8>(scratch.path(), "twelve-bytes", 1).unwrap(), 1);
    }

    #[test]
    fn a_value_that_cannot_be_encoded_leaves_the_old_file() {
        struct Stubborn;
        impl Serialize for Stubborn {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("not today"))
            }
        }
        let scratch = Scratch::new();
        fs::write(scratch.path(), "old").unwrap();
        let error = write(scratch.path(), "sample", 1, &Stubborn).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: the value cannot be encoded: not today", scratch.path().display()));
        assert_eq!(fs::read_to_string(scratch.path()).unwrap(), "old");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn random_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let scratch = Scratch::new();
            prop_assert!(scratch.read(&bytes).is_err());
            prop_assert!(scratch.read(&[&MAGIC[..], &bytes].concat()).is_err());
        }

        #[test]
        fn random_content_in_a_whole_frame_never_panics(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let scratch = Scratch::new();
            fs::write(scratch.path(), frame(2, KIND, &content)).unwrap();
            let container = Container::open(scratch.path(), "sample", 2).unwrap();
            prop_assert!(container.decode::<Sample>().is_err());
            container.decode::<BTreeMap<String, Vec<f32>>>().ok();
            container.decode::<Vec<Option<(bool, char, u16)>>>().ok();
            container.decode::<IgnoredAny>().ok();
        }

        #[test]
        fn any_value_comes_back(
            name in ".*",
            losses in prop::collection::vec(-1e300f64..1e300, 0..20),
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            best: Option<u64>,
        ) {
            let scratch = Scratch::new();
            let value = Sample { name, losses, bytes, best };
            write(scratch.path(), "sample", 2, &value).unwrap();
            prop_assert_eq!(read::<Sample>(scratch.path(), "sample", 2).unwrap(), value);
        }
    }
}
