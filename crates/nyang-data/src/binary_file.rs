//! Files of a set's bytes, plain or gzipped, read whole but never beyond what they may hold.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::{Error, Result};

/// The first of these names that is a file in `folder`, plain or with `.gz`.
pub(crate) fn find(folder: &Path, names: &[&str]) -> Result<PathBuf> {
    let mut candidates = names.iter().flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))]);
    let none = || Error::File { path: folder.join(names.first().unwrap_or(&"")), cause: ErrorKind::NotFound.into() };
    candidates.find(|path| path.is_file()).ok_or_else(none)
}

/// A file to be read, unpacked if it begins as gzip does.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>> {
    let io = |cause| Error::File { path: path.to_path_buf(), cause };
    let mut file = File::open(path).map_err(io)?;
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic).map_err(io)?;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let file = BufReader::new(file);
    Ok(if magic == [0x1F, 0x8B] { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// Up to `most` bytes: memory grows with what is really there, whatever a header claims.
pub(crate) fn read(from: &mut dyn Read, most: u64, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most).read_to_end(&mut bytes).map_err(|cause| Error::File { path: path.to_path_buf(), cause })?;
    Ok(bytes)
}
