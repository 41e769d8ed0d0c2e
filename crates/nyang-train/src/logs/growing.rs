//! A file that grows while a run goes on, and is cut back to where a checkpoint was when the run is resumed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A file that is only appended to. Each record is one write: a killed process leaves whole records, and at most one torn at the end.
#[derive(Debug)]
pub(super) struct GrowingFile {
    file: File,
    path: PathBuf,
    length: u64,
}

impl GrowingFile {
    /// An empty file, with the folders it is in; one that is there is emptied.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let create = || {
            fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            File::create(&path)
        };
        match create() {
            Ok(file) => Ok(GrowingFile { file, path, length: 0 }),
            Err(reason) => Err(Error::file("write", path, reason)),
        }
    }

    /// The file as it was when it had `length` bytes: what came after is cut off. `None` if it is gone or has become shorter.
    pub fn cut_back(path: impl Into<PathBuf>, length: u64) -> Result<Option<Self>> {
        let path = path.into();
        let cut = || -> io::Result<Option<File>> {
            let mut file = match OpenOptions::new().write(true).open(&path) {
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => opened?,
            };
            if file.metadata()?.len() < length {
                return Ok(None);
            }
            file.set_len(length)?;
            file.seek(SeekFrom::End(0))?;
            Ok(Some(file))
        };
        match cut() {
            Ok(file) => Ok(file.map(|file| GrowingFile { file, path, length })),
            Err(reason) => Err(Error::file("write", path, reason)),
        }
    }

    /// Appends a record.
    pub fn append(&mut self, record: &[u8]) -> Result<()> {
        self.file.write_all(record).map_err(|reason| Error::file("write", &self.path, reason))?;
        self.length += record.len() as u64;
        Ok(())
    }

    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_after_the_checkpoint_is_cut_off_and_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/history.csv");
        let mut file = GrowingFile::create(&path).unwrap();
        file.append(b"one\n").unwrap();
        let length = file.length();
        file.append(b"two\nthr").unwrap(); // killed here
        let mut file = GrowingFile::cut_back(&path, length).unwrap().unwrap();
        file.append(b"two\n").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), file.length()), ("one\ntwo\n", 8));
        assert!(GrowingFile::cut_back(&path, 9).unwrap().is_none(), "shorter than it was: begun anew");
        assert!(GrowingFile::cut_back(folder.path().join("gone"), 0).unwrap().is_none());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a file"), "").unwrap();
        let in_a_file = folder.path().join("a file/history.csv");
        let says = GrowingFile::create(&in_a_file).unwrap_err().to_string();
        assert!(says.starts_with(&format!("{}: cannot write: ", in_a_file.display())), "{says}");
        assert!(GrowingFile::create(folder.path()).unwrap_err().to_string().contains("name a file, not a folder"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_that_says_so() {
        let mut file = GrowingFile::create("/dev/full").unwrap();
        let says = file.append(b"x").unwrap_err().to_string();
        assert!(says.starts_with("/dev/full: cannot write: ") && says.ends_with("; free some space"), "{says}");
        assert_eq!(file.length(), 0);
    }
}
