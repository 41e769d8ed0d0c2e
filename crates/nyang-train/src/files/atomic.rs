//! Writing a file so that there is always a whole one: the old, or the new.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes a file whole or not at all.
///
/// `write` fills a new file in the same folder; that file is flushed to the disk, takes the permissions of the old one if there is
/// one, and then its name in a single step. On any error the old file is as it was and the new one is gone. A reader at any
/// moment, and the next start after a crash or a power cut, sees all of the old file or all of the new one. A symbolic link is followed.
///
/// # Errors
/// [`Error::File`] with the path and the system's reason: no such folder, no permission, a folder in the way, no space, or whatever
/// `write` returned.
///
/// ```
/// # use std::io::Write;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("classes.txt");
/// nyang_train::files::write_atomically(&path, |file| file.write_all(b"cat\ndog\n"))?;
/// assert_eq!(std::fs::read(&path)?, b"cat\ndog\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_atomically(path: impl AsRef<Path>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let path = path.as_ref();
    replace(path, write).map_err(|reason| Error::file("write", path, reason))
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let target = match fs::symlink_metadata(path) {
        Ok(old) if old.is_symlink() => fs::canonicalize(path)?,
        _ => path.to_path_buf(),
    };
    let old = fs::metadata(&target).ok();
    match &old {
        Some(old) if old.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        // a rename would put a plain file where a device or a pipe was
        Some(old) if !old.is_file() => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it exists and is no regular file")),
        None if target.file_name().is_none() => return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file")),
        _ => {}
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));

    let (file, temporary) = Temporary::create(folder)?;
    let mut writer = BufWriter::new(file);
    write(&mut writer)?;
    let file = writer.into_inner().map_err(IntoInnerError::into_error)?;
    if let Some(old) = old
        && old.permissions() != file.metadata()?.permissions()
    {
        file.set_permissions(old.permissions())?;
    }
    file.sync_all()?; // before the rename: else a power cut could leave the new name with no content
    drop(file); // some systems rename no open file
    temporary.rename_to(&target)?;
    sync_folder(folder);
    Ok(())
}

/// Flushes a folder's list of names, so that the rename itself outlives a power cut.
///
/// Not every file system can; where it cannot, the old name may come back, with the old and whole content. So no failure here is an error.
fn sync_folder(folder: &Path) {
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).ok();
    }
}

/// A file that removes itself unless it is renamed.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    /// Creates a file in `folder` under a name that nobody has. It does not contain the target's, which may be as long as a name can be.
    fn create(folder: &Path) -> io::Result<(File, Temporary)> {
        const LEFTOVERS: u32 = 10_000; // of crashed processes with this very number
        let mut nth = 0;
        loop {
            let path = folder.join(format!(".nyang-{}-{nth}.tmp", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((file, Temporary { path, renamed: false })),
                Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists && nth < LEFTOVERS => nth += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn rename_to(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            fs::remove_file(&self.path).ok(); // what made us drop it is the error to report
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_created_and_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.nyang");
        for content in ["first, and longer", "second"] {
            write_atomically(&path, |w| w.write_all(content.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(names(folder.path()), ["model.nyang"]);
        }
    }

    #[test]
    fn an_error_halfway_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.nyang");
        fs::write(&path, "old").unwrap();
        let error = write_atomically(&path, |w| {
            w.write_all(&[7; 100_000])?; // more than any buffer: part of it is in the file
            Err(io::ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert_eq!(error.to_string(), format!("{}: cannot write: no storage space; free some space", path.display()));
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names(folder.path())), ("old", vec!["model.nyang".to_string()]));
    }

    #[test]
    fn a_panic_halfway_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.nyang");
        fs::write(&path, "old").unwrap();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let outcome = catch_unwind(AssertUnwindSafe(|| write_atomically(&path, |_| panic!("on purpose"))));
        std::panic::set_hook(hook);
        assert!(outcome.is_err());
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names(folder.path())), ("old", vec!["model.nyang".to_string()]));
    }

    #[test]
    fn a_path_that_cannot_be_written_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("a folder")).unwrap();
        fs::write(at("a file"), "old").unwrap();
        let before = names(folder.path());
        for (path, says) in [
            (at("no/such/folder/model.nyang"), "create the folder first"),
            (at("a folder"), "is a directory; name a file, not a folder"),
            (at("a file/model.nyang"), ""),
            (at("new.nyang/"), ""),
            (at(&"n".repeat(400)), ""),
            (at("nul\0byte"), ""),
            (PathBuf::from(""), "names no file"),
            (PathBuf::from(".."), "is a directory"),
        ] {
            let error = write_atomically(&path, |w| w.write_all(b"new")).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, Error::File { action: "write", .. }), "{text}");
            assert!(text.starts_with(&format!("{}: cannot write: ", path.display())) && text.contains(says), "{text}");
            assert_eq!(names(folder.path()), before, "{text}");
        }
        assert_eq!(fs::read_to_string(at("a file")).unwrap(), "old");
    }

    #[test]
    fn the_longest_name_and_a_leftover_temporary_file_are_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let leftover = format!(".nyang-{}-0.tmp", std::process::id());
        fs::write(folder.path().join(&leftover), "of a crash").unwrap();
        let longest = "n".repeat(255);
        write_atomically(folder.path().join(&longest), |w| w.write_all(b"new")).unwrap();
        assert_eq!(names(folder.path()), [leftover.clone(), longest]);
        assert_eq!(fs::read_to_string(folder.path().join(leftover)).unwrap(), "of a crash");
    }

    #[test]
    fn writers_at_the_same_moment_leave_one_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.nyang");
        std::thread::scope(|scope| {
            for i in 0..8u8 {
                let path = &path;
                scope.spawn(move || write_atomically(path, |w| w.write_all(&[i; 50_000])).unwrap());
            }
        });
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() == 50_000 && bytes.iter().all(|b| *b == bytes[0]));
        assert_eq!(names(folder.path()), ["last.nyang"]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_stay_and_a_link_is_followed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("model.nyang"), folder.path().join("best"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("model.nyang", &link).unwrap();
        write_atomically(&link, |w| w.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_not_replaced() {
        let error = write_atomically("/dev/null", |w| w.write_all(b"new")).unwrap_err();
        assert_eq!(error.to_string(), "/dev/null: cannot write: it exists and is no regular file");
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
