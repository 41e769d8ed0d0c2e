//! The format of W&B's run files: LevelDB's log, with another checksum and a heading of its own.
//!
//! ```text
//! file   = ":W&B" bee1 00  chunk …                      blocks of 32768 bytes, counted from the file's first byte
//! chunk  = crc (u32)  length (u16)  kind (u8)  data     little-endian; never across the end of a block
//! kind   = 1 a whole record, or 2 its first part, 3 a middle one, 4 the last
//! crc    = CRC-32 (zip's, not LevelDB's masked CRC-32C) of kind and data
//! ```
//!
//! Where fewer than 7 bytes are left of a block, they are zero, and the next chunk begins the next block.

use std::path::PathBuf;

use crate::Result;
use crate::files::protobuf::Message;
use crate::logs::growing::GrowingFile;

const HEADING: [u8; 7] = [b':', b'W', b'&', b'B', 0xe1, 0xbe, 0];
const BLOCK: usize = 32_768;
const CHUNK_HEADING: usize = 7;

/// A run file, open for writing.
#[derive(Debug)]
pub(super) struct RunFile {
    file: GrowingFile,
    records: i64,
}

impl RunFile {
    /// A new file.
    pub fn create(path: PathBuf) -> Result<Self> {
        let mut file = GrowingFile::create(path)?;
        file.append(&HEADING)?;
        Ok(RunFile { file, records: 0 })
    }

    /// The file as it was when it had this length and so many records.
    pub fn cut_back(path: PathBuf, length: u64, records: i64) -> Result<Option<Self>> {
        Ok(GrowingFile::cut_back(path, length)?.map(|file| RunFile { file, records }))
    }

    /// Appends a record: its number, its content in the field of its kind, and the field `control`, which the client expects to be there.
    pub fn append(&mut self, field: u32, content: Message) -> Result<()> {
        let record = Message::new().int(1, self.records + 1).message(field, content).message(16, Message::new());
        let at = (self.file.length() % BLOCK as u64) as usize;
        self.file.append(&chunks(at, &record.into_bytes()))?; // one write: a crash leaves whole records
        self.records += 1;
        Ok(())
    }

    pub fn length(&self) -> u64 {
        self.file.length()
    }

    pub fn records(&self) -> i64 {
        self.records
    }
}

/// A record as chunks, for a file that ends `at` bytes after the beginning of a block.
fn chunks(mut at: usize, mut record: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(record.len() + 2 * CHUNK_HEADING);
    let mut first = true;
    loop {
        if BLOCK - at < CHUNK_HEADING {
            out.resize(out.len() + BLOCK - at, 0);
            at = 0;
        }
        let (data, rest) = record.split_at(record.len().min(BLOCK - at - CHUNK_HEADING));
        let kind = match (first, rest.is_empty()) {
            (true, true) => 1,   // whole
            (true, false) => 2,  // its first part
            (false, false) => 3, // a middle one
            (false, true) => 4,  // the last
        };
        let mut crc = crc32fast::Hasher::new();
        crc.update(&[kind]);
        crc.update(data);
        out.extend(crc.finalize().to_le_bytes());
        out.extend((data.len() as u16).to_le_bytes()); // below 32768
        out.push(kind);
        out.extend(data);
        at = (at + CHUNK_HEADING + data.len()) % BLOCK;
        (record, first) = (rest, false);
        if rest.is_empty() {
            return out;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Reads a file as the client does: the records' bytes.
    pub fn read(file: &[u8]) -> Vec<Vec<u8>> {
        let (mut records, mut record, mut open, mut at) = (Vec::new(), Vec::new(), false, HEADING.len());
        assert_eq!(file[..7], HEADING);
        while at < file.len() {
            let left = BLOCK - at % BLOCK;
            if left < CHUNK_HEADING {
                assert!(file[at..at + left].iter().all(|byte| *byte == 0));
                at += left;
                continue;
            }
            let length = u16::from_le_bytes([file[at + 4], file[at + 5]]) as usize;
            assert!(CHUNK_HEADING + length <= left, "a chunk across the end of a block");
            let (kind, data) = (file[at + 6], &file[at + 7..at + 7 + length]);
            assert_eq!(crc32fast::hash(&file[at + 6..at + 7 + length]).to_le_bytes(), file[at..at + 4]);
            assert_eq!(matches!(kind, 3 | 4), open, "a part without its beginning");
            open = matches!(kind, 2 | 3);
            record.extend_from_slice(data);
            if matches!(kind, 1 | 4) {
                records.push(std::mem::take(&mut record));
            }
            at += 7 + length;
        }
        assert!(!open);
        records
    }

    #[test]
    fn records_of_any_size_at_any_place_in_a_block_can_be_read_again() {
        let mut file = HEADING.to_vec();
        let sizes = [0, 1, 100, 32_000, 641, 6, 0, 32_754, 32_755, 100_000, 3, 32_761, 32_760, 65_522, 7];
        let records: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, &n)| vec![i as u8 + 1; n]).collect();
        for record in &records {
            let at = file.len() % BLOCK;
            file.extend(chunks(at, record));
        }
        assert_eq!(read(&file), records);
    }

    #[test]
    fn wherever_a_block_ends_the_chunks_fit() {
        for at in BLOCK - 20..BLOCK {
            let mut file = HEADING.to_vec();
            file.extend(chunks(7, &vec![9; at - 14]));
            assert_eq!(file.len() % BLOCK, at % BLOCK);
            file.extend(chunks(at, b"a record of some length"));
            assert_eq!(read(&file)[1], b"a record of some length", "at {at}");
        }
    }

    #[test]
    fn the_first_bytes_are_those_of_the_client() {
        // wandb 0.31: `xxd` of a run file, and zlib.crc32(b"\x01" + data)
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run-a.wandb");
        let mut file = RunFile::create(path.clone()).unwrap();
        file.append(21, Message::new()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes[..7], [0x3a, 0x57, 0x26, 0x42, 0xe1, 0xbe, 0x00]);
        assert_eq!(bytes[11..], [8, 0, 1, 8, 1, 0xaa, 1, 0, 0x82, 1, 0]);
        assert_eq!((file.length(), file.records()), (22, 1));
    }
}
