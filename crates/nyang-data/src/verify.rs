//! A folder or manifest of images looked at whole, file by file: what is wrong with each, and what is there twice.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use ::image::ImageFormat;
use nyang_tensor::parallel::map_ranges;

use crate::duplicates::fingerprint;
use crate::fetch::guarded;
use crate::image_folder::{canonical, entries, is_image_name};
use crate::{CsvManifest, Dataset, Decode, Error, ImageFault, Part, Result, Source};

/// Images with a side of fewer pixels are tiny: nothing is to be seen on them.
const TINY: usize = 8;

/// What is wrong with one file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It has no bytes.
    Empty,
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// It has a side below 8 pixels.
    Tiny {
        /// Its height.
        height: usize,
        /// Its width.
        width: usize,
    },
    /// Its name does not say what it is: a PNG named `.jpg`, or an image that [`ImageFolder`](crate::ImageFolder) would leave out.
    Misnamed {
        /// What its name should end with.
        should_be: &'static str,
    },
}

impl Fault {
    /// The fault in one word, as a report counts it.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Empty => "empty",
            Fault::Unreadable(_) => "unreadable",
            Fault::Tiny { .. } => "tiny",
            Fault::Misnamed { .. } => "misnamed",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Empty => write!(f, "the file is empty"),
            Fault::Unreadable(why) => write!(f, "{why}"),
            Fault::Tiny { height, width } => write!(f, "the image has only {width} × {height} pixels"),
            Fault::Misnamed { should_be } => write!(f, "the name does not fit the content; it should end with .{should_be}"),
        }
    }
}

/// What [`verify`] found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Verification {
    /// The name of each class and how many image files it has, the bad ones too; `train/rose` where there are folders of parts.
    pub classes: Vec<(String, usize)>,
    /// How many image files there are.
    pub files: usize,
    /// The bad ones, in the order of the classes and names, each with the first thing that is wrong with it.
    pub bad: Vec<(PathBuf, Fault)>,
    /// Files that show the very same pixels, in groups.
    pub duplicates: Vec<Vec<PathBuf>>,
    /// Files in class folders that are no images by name or content.
    pub ignored: Vec<PathBuf>,
    /// Image files beside the class folders, which belong to no class.
    pub stray: Vec<PathBuf>,
    /// What is wrong with the folders: an empty class, only one class, a link that leads back.
    pub folders: Vec<Error>,
}

impl Verification {
    /// Whether no file and no folder has a fault. Duplicates, and files that are left out, are for a person to judge.
    pub fn is_well(&self) -> bool {
        self.bad.is_empty() && self.folders.is_empty()
    }
}

/// Reads every image of a folder whose subfolders are the classes, or of a [`CsvManifest`], in parallel, and goes on whatever it meets.
///
/// [`ImageFolder`](crate::ImageFolder) stops at the first thing that is wrong; this collects all of them. A folder without subfolders is
/// read too, as images of no class; one with a folder for training ([`Part::named`]) as its parts with class folders in each, so that a
/// picture that stands in two parts is found.
///
/// ```no_run
/// use nyang_data::{Decode, verify};
///
/// let found = verify("flowers", &Decode::new())?;
/// for (path, fault) in &found.bad {
///     println!("{}: {fault}", path.display());
/// }
/// # Ok::<(), nyang_data::Error>(())
/// ```
///
/// # Errors
/// [`Error::File`] if `root` is neither a file nor a folder that can be listed; of a manifest what [`CsvManifest::open`] says.
pub fn verify(root: impl AsRef<Path>, decode: &Decode) -> Result<Verification> {
    let root = root.as_ref();
    let mut walk = Walk::default();
    if root.is_file() {
        walk.manifest(root)?
    } else {
        walk.root(root)?
    }

    const FILES: usize = 8; // a piece of work
    let pieces = map_ranges(walk.files.len(), FILES, |range| range.map(|i| look_at(&walk.files[i].0, decode)).collect::<Vec<_>>());
    let mut found = Verification {
        classes: walk.classes.into_iter().map(|name| (name, 0)).collect(),
        files: 0,
        bad: Vec::new(),
        duplicates: Vec::new(),
        ignored: Vec::new(),
        stray: walk.stray,
        folders: walk.folders,
    };
    let mut prints: HashMap<[u64; 2], usize> = HashMap::new();
    for ((path, class), look) in walk.files.into_iter().zip(pieces.into_iter().flatten()) {
        let Some(Look { fault, print }) = look else {
            found.ignored.push(path);
            continue;
        };
        found.files += 1;
        if let Some((_, count)) = class.and_then(|class| found.classes.get_mut(class)) {
            *count += 1;
        }
        if let Some(print) = print {
            let group = *prints.entry(print).or_insert_with(|| {
                found.duplicates.push(Vec::new());
                found.duplicates.len() - 1
            });
            found.duplicates[group].push(path.clone()); // a group that was just looked up
        }
        found.bad.extend(fault.map(|fault| (path, fault)));
    }
    found.duplicates.retain(|group| group.len() > 1);
    Ok(found)
}

/// The folders in a folder, and the files.
fn divided(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    Ok(entries(folder)?.into_iter().partition(|path| path.is_dir()))
}

/// What a walk through the folders came by.
#[derive(Default)]
struct Walk {
    classes: Vec<String>,
    files: Vec<(PathBuf, Option<usize>)>, // and its class
    stray: Vec<PathBuf>,
    folders: Vec<Error>,
}

impl Walk {
    /// The files that a manifest lists.
    fn manifest(&mut self, path: &Path) -> Result<()> {
        let manifest = CsvManifest::open(path)?;
        self.classes = manifest.classes().to_vec();
        self.files = manifest.files().map(|(path, label)| (path.to_path_buf(), Some(label))).collect();
        Ok(())
    }

    /// A folder of class folders, or of parts that are such.
    fn root(&mut self, root: &Path) -> Result<()> {
        let (folders, loose) = divided(root)?;
        let part = |folder: &PathBuf| Part::named(folder.file_name()?.to_str()?);
        if !folders.iter().any(|folder| part(folder) == Some(Part::Train)) {
            self.class_folders(root, "", folders, loose);
            return Ok(());
        }
        self.stray.extend(loose.into_iter().filter(|path| is_image_name(path)));
        for folder in folders.iter().filter(|folder| part(folder).is_some()) {
            let prefix = format!("{}/", folder.file_name().unwrap_or_default().display());
            match divided(folder) {
                Ok((folders, loose)) => self.class_folders(folder, &prefix, folders, loose),
                Err(error) => self.folders.push(error),
            }
        }
        Ok(())
    }

    /// The class folders in `root`, whose names get a prefix, and the files beside them.
    fn class_folders(&mut self, root: &Path, prefix: &str, folders: Vec<PathBuf>, loose: Vec<PathBuf>) {
        let before = self.classes.len();
        for folder in folders {
            match folder.file_name().and_then(OsStr::to_str) {
                Some(name) => {
                    self.class(&folder, self.classes.len());
                    self.classes.push(format!("{prefix}{name}"));
                }
                None => self.folders.push(Error::FolderName { path: folder }),
            }
        }
        match &self.classes[before..] {
            [] => self.folders.push(Error::NoClassFolders { path: root.to_path_buf() }),
            [class] => self.folders.push(Error::OneClass { path: root.to_path_buf(), class: class.clone() }),
            _ => {}
        }
        if self.classes.len() == before {
            self.files.extend(loose.into_iter().map(|path| (path, None)));
        } else {
            self.stray.extend(loose.into_iter().filter(|path| is_image_name(path)));
        }
    }

    /// All files of a class, at any depth.
    fn class(&mut self, folder: &Path, label: usize) {
        let before = self.files.len();
        match canonical(folder) {
            Ok(place) => self.search(folder, label, &mut vec![place]),
            Err(error) => self.folders.push(error),
        }
        if !self.files[before..].iter().any(|(path, _)| is_image_name(path)) {
            self.folders.push(Error::EmptyClass { path: folder.to_path_buf() });
        }
    }

    fn search(&mut self, folder: &Path, label: usize, above: &mut Vec<PathBuf>) {
        let (folders, files) = match divided(folder) {
            Ok(divided) => divided,
            Err(error) => return self.folders.push(error),
        };
        self.files.extend(files.into_iter().map(|path| (path, Some(label))));
        for path in folders {
            match canonical(&path) {
                Ok(place) if above.contains(&place) => self.folders.push(Error::FolderLoop { path }),
                Ok(place) => {
                    above.push(place);
                    self.search(&path, label, above);
                    above.pop();
                }
                Err(error) => self.folders.push(error),
            }
        }
    }
}

/// What was seen of one image file.
struct Look {
    fault: Option<Fault>,
    print: Option<[u64; 2]>,
}

/// Looks at a file; `None` if it is no image by name or content.
fn look_at(path: &Path, decode: &Decode) -> Option<Look> {
    let bad = |fault| Some(Look { fault: Some(fault), print: None });
    let bytes = match decode.read(path) {
        Ok(bytes) => bytes,
        Err(_) if !is_image_name(path) => return None,
        Err(error) => return bad(Fault::Unreadable(reason(error))),
    };
    let format = ::image::guess_format(&bytes).ok();
    let named = is_image_name(path);
    if !named && format.and_then(endings).is_none() {
        return None;
    }
    if bytes.is_empty() {
        return bad(Fault::Empty);
    }
    let image = match guarded(|| Source::file(path), || decode.bytes(&bytes).map_err(|fault| unreadable(path, fault))) {
        Ok(image) => image,
        Err(error) => return bad(Fault::Unreadable(reason(error))),
    };
    let fault = if image.height() < TINY || image.width() < TINY {
        Some(Fault::Tiny { height: image.height(), width: image.width() })
    } else {
        let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        let fits = |endings: &&[&str]| endings.iter().any(|known| known.eq_ignore_ascii_case(ending));
        let endings = format.and_then(endings).filter(|endings| !fits(endings));
        endings.and_then(|endings| endings.first().copied()).map(|should_be| Fault::Misnamed { should_be })
    };
    Some(Look { fault, print: Some(fingerprint(&image)) })
}

fn unreadable(path: &Path, fault: ImageFault) -> Error {
    Error::Unreadable { sample: Source::file(path), fault }
}

/// What went wrong, without the file's name, which stands beside it.
fn reason(error: Error) -> String {
    match error {
        Error::Unreadable { fault, .. } => fault.to_string(),
        Error::File { cause, .. } => format!("cannot be read: {cause}"),
        Error::Panic { message, .. } => format!("the decoder panicked: {message}"),
        other => other.to_string(),
    }
}

/// What names of files of this format end with, the usual ending first.
fn endings(format: ImageFormat) -> Option<&'static [&'static str]> {
    Some(match format {
        ImageFormat::Jpeg => &["jpg", "jpeg"],
        ImageFormat::Png => &["png"],
        ImageFormat::Bmp => &["bmp"],
        ImageFormat::Gif => &["gif"],
        ImageFormat::WebP => &["webp"],
        ImageFormat::Tiff => &["tif", "tiff"],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Cursor;

    fn png(side: u32, value: u8) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        ::image::GrayImage::from_pixel(side, side, ::image::Luma([value])).write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn every_kind_of_bad_file_is_found_and_the_good_ones_are_counted() {
        let root = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        put("a/good.png", &png(9, 1));
        put("a/deep/again.png", &png(9, 1));
        put("a/zero.png", b"");
        put("a/half.png", &png(64, 3)[..60]);
        put("b/really.jpg", &png(9, 4));
        put("b/no_ending", &png(9, 5));
        put("b/notes.txt", b"three roses");
        put("b/text.jpeg", b"<html>");
        put("b/dot.png", &png(1, 6));
        put("beside.png", &png(9, 7));
        fs::create_dir(root.path().join("c")).unwrap();

        let found = verify(root.path(), &Decode::new()).unwrap();
        let bad: Vec<(String, &str)> =
            found.bad.iter().map(|(path, fault)| (path.file_name().unwrap().to_str().unwrap().to_owned(), fault.kind())).collect();
        let expected = [
            ("half.png", "unreadable"),
            ("zero.png", "empty"),
            ("dot.png", "tiny"),
            ("no_ending", "misnamed"),
            ("really.jpg", "misnamed"),
            ("text.jpeg", "unreadable"),
        ];
        assert_eq!(bad, expected.map(|(name, kind)| (name.to_owned(), kind)));
        assert_eq!((found.files, found.ignored.len(), found.stray.len(), found.is_well()), (8, 1, 1, false));
        assert_eq!(found.classes, [("a".into(), 4), ("b".into(), 4), ("c".into(), 0)]);
        assert!(matches!(&found.folders[..], [Error::EmptyClass { path }] if path.ends_with("c")));
        let again: Vec<_> = found.duplicates.iter().map(|group| group.len()).collect();
        assert_eq!(again, [2]);
        assert_eq!(found.bad[4].1.to_string(), "the name does not fit the content; it should end with .png");
    }

    #[test]
    fn a_folder_that_is_in_order_is_well_and_one_that_is_missing_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        for (class, value) in [("a", 1), ("b", 2)] {
            fs::create_dir(root.path().join(class)).unwrap();
            fs::write(root.path().join(class).join("1.png"), png(8, value)).unwrap();
        }
        let found = verify(root.path(), &Decode::new()).unwrap();
        assert!(found.is_well() && found.duplicates.is_empty() && found.files == 2, "{found:?}");
        assert!(matches!(verify(root.path().join("none"), &Decode::new()), Err(Error::File { .. })));
        let flat = verify(root.path().join("a"), &Decode::new()).unwrap();
        assert!(matches!(flat.folders[..], [Error::NoClassFolders { .. }]) && flat.files == 1 && flat.bad.is_empty());
    }

    #[test]
    fn the_files_of_a_manifest_are_read_by_its_classes() {
        let root = tempfile::tempdir().unwrap();
        for (name, bytes) in [("1.png", png(9, 1)), ("2.png", png(9, 1)), ("3.png", png(64, 2)[..60].to_vec()), ("4.png", png(9, 3))] {
            fs::write(root.path().join(name), bytes).unwrap();
        }
        let manifest = root.path().join("list.csv");
        fs::write(&manifest, "path,label\n1.png,rose\n2.png,tulip\n3.png,tulip\n").unwrap();
        let found = verify(&manifest, &Decode::new()).unwrap();
        assert_eq!(found.classes, [("rose".into(), 1), ("tulip".into(), 2)]);
        assert!(found.bad.len() == 1 && found.bad[0].0.ends_with("3.png") && found.bad[0].1.kind() == "unreadable", "{found:?}");
        assert_eq!((found.files, found.duplicates[0].len(), found.stray.len()), (3, 2, 0)); // 4.png is not in the list
        fs::write(&manifest, "path,label\n5.png,rose\n").unwrap();
        assert!(matches!(verify(&manifest, &Decode::new()), Err(Error::Manifest { line: 2, .. })));
    }

    #[test]
    fn parts_are_no_classes_and_a_picture_in_two_of_them_is_found() {
        let root = tempfile::tempdir().unwrap();
        for (i, name) in ["train/a", "train/b", "val/a", "val/b", "notes/x"].into_iter().enumerate() {
            fs::create_dir_all(root.path().join(name)).unwrap();
            fs::write(root.path().join(name).join("1.png"), png(9, i as u8 % 3)).unwrap();
        }
        fs::write(root.path().join("val/lost.png"), png(9, 77)).unwrap();
        let found = verify(root.path(), &Decode::new()).unwrap();
        let classes: Vec<&str> = found.classes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(classes, ["train/a", "train/b", "val/a", "val/b"]);
        assert!(found.is_well() && found.files == 4 && found.stray.len() == 1, "{found:?}");
        assert!(found.duplicates.len() == 1 && found.duplicates[0][0].ends_with("train/a/1.png"), "{found:?}");
        fs::remove_file(root.path().join("val/b/1.png")).unwrap();
        assert!(
            matches!(&verify(root.path(), &Decode::new()).unwrap().folders[..], [Error::EmptyClass { path }] if path.ends_with("val/b"))
        );
    }

    #[cfg(unix)]
    #[test]
    fn loops_broken_links_pipes_and_odd_names_are_reported_and_nothing_hangs() {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        for class in ["a", "b"] {
            fs::create_dir(root.path().join(class)).unwrap();
        }
        fs::write(root.path().join("a").join(OsStr::from_bytes(b"caf\xe9.png")), png(8, 1)).unwrap();
        symlink(root.path(), root.path().join("a/up")).unwrap();
        symlink("nowhere.png", root.path().join("b/gone.png")).unwrap();
        fs::create_dir(root.path().join(OsStr::from_bytes(b"\xff"))).unwrap();
        let found = verify(root.path(), &Decode::new()).unwrap();
        let looped = found.folders.iter().filter(|e| matches!(e, Error::FolderLoop { .. })).count();
        assert!(looped >= 1 && found.folders.iter().any(|e| matches!(e, Error::FolderName { .. })), "{:?}", found.folders);
        assert!(found.bad.iter().any(|(path, fault)| path.ends_with("gone.png") && fault.kind() == "unreadable"));
    }
}
