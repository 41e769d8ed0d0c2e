//! A folder of images: each class a subfolder.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dataset::check_classes;
use crate::{Dataset, Decode, Error, Image, Result, Sample, Source};

/// What the names of image files end with, in small or capital letters.
const EXTENSIONS: [&str; 8] = ["bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// A folder whose subfolders are the classes and hold their images, at any depth: torchvision's `ImageFolder`.
///
/// ```text
/// flowers/rose/1.jpg, flowers/rose/old/2.png, flowers/tulip/7.jpg   →   classes rose, tulip
/// ```
///
/// Classes and files are in the order of their names, whatever the file system's order is. Opening looks at names only; an image is read
/// when it is asked for, by its content and not by its name ([`Decode`]).
///
/// Left out are hidden files and folders (names that begin with a dot: `.ipynb_checkpoints`, `._1.jpg`), files whose names do not end as
/// images' do ([`ignored`](ImageFolder::ignored) counts those), and files beside the class folders. Links are followed.
///
/// ```no_run
/// use nyang_data::{Dataset, ImageFolder, Split};
///
/// let flowers = ImageFolder::open("flowers")?;
/// println!("{} images of {:?}", flowers.len(), flowers.classes());
/// let parts = flowers.split(Split::stratified(0.8, 0.1, 0.1).seed(42))?;
/// # Ok::<(), nyang_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    root: PathBuf,
    classes: Arc<[String]>,
    files: Arc<[(Arc<Path>, usize)]>, // and its label
    ignored: usize,
    decode: Decode,
}

impl ImageFolder {
    /// The folder at `root`; its subfolders are the classes.
    ///
    /// # Errors
    /// [`Error::File`] for a folder that does not exist or may not be read, [`Error::NoClassFolders`], [`Error::OneClass`],
    /// [`Error::EmptyClass`], [`Error::FolderName`] for a class folder whose name is not Unicode, [`Error::FolderLoop`] for links that lead
    /// back to a folder above them.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let mut classes = Vec::new();
        for folder in entries(root)?.into_iter().filter(|path| path.is_dir()) {
            let name = folder.file_name().and_then(OsStr::to_str);
            classes.push(name.map(str::to_owned).ok_or_else(|| Error::FolderName { path: folder.clone() })?);
        }
        match classes.len() {
            0 => Err(Error::NoClassFolders { path: root.to_path_buf() }),
            1 => Err(Error::OneClass { path: root.to_path_buf(), class: classes.swap_remove(0) }),
            _ => ImageFolder::with_classes(root, classes),
        }
    }

    /// The folder at `root` with these subfolders as classes, in this order; others are left out. One class is enough here.
    ///
    /// # Errors
    /// As [`ImageFolder::open`]; [`Error::NoClasses`], [`Error::DuplicateClass`].
    pub fn with_classes(root: impl AsRef<Path>, classes: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        let root = root.as_ref();
        let classes: Arc<[String]> = classes.into_iter().map(Into::into).collect();
        check_classes(&classes)?;
        let mut found = Found::default();
        for (label, class) in classes.iter().enumerate() {
            let (folder, before) = (root.join(class), found.files.len());
            found.search(&folder, label, &mut vec![canonical(&folder)?])?;
            if found.files.len() == before {
                return Err(Error::EmptyClass { path: folder });
            }
        }
        let Found { files, ignored } = found;
        Ok(ImageFolder { root: root.to_path_buf(), classes, files: files.into(), ignored, decode: Decode::new() })
    }

    /// How the files are decoded: channels, EXIF, limits.
    pub fn decode(mut self, decode: Decode) -> Self {
        self.decode = decode;
        self
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How many files in the class folders were left out because their names do not end as images' do.
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    /// The file of a sample.
    pub fn path(&self, index: usize) -> Option<&Path> {
        self.files.get(index).map(|(path, _)| &**path)
    }

    fn at(&self, index: usize) -> Result<&(Arc<Path>, usize)> {
        self.files.get(index).ok_or(Error::Index { index, len: self.files.len() })
    }
}

/// What a search found.
#[derive(Default)]
struct Found {
    files: Vec<(Arc<Path>, usize)>,
    ignored: usize,
}

impl Found {
    /// Adds the images in `folder`, then those of its subfolders. `above` are the folders on the way here, without links.
    fn search(&mut self, folder: &Path, label: usize, above: &mut Vec<PathBuf>) -> Result<()> {
        let (folders, files): (Vec<_>, Vec<_>) = entries(folder)?.into_iter().partition(|path| path.is_dir());
        for path in files {
            if is_image_name(&path) { self.files.push((path.into(), label)) } else { self.ignored += 1 }
        }
        for path in folders {
            let place = canonical(&path)?;
            if above.contains(&place) {
                return Err(Error::FolderLoop { path });
            }
            above.push(place);
            self.search(&path, label, above)?;
            above.pop();
        }
        Ok(())
    }
}

/// What is in a folder and not hidden, in the order of the names.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |cause| Error::File { path: folder.to_path_buf(), cause };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

pub(crate) fn canonical(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|cause| Error::File { path: path.to_path_buf(), cause })
}

pub(crate) fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

/// A sample from a file.
pub(crate) fn file_sample(path: &Arc<Path>, label: usize, decode: &Decode) -> Result<Sample> {
    let image: Image = decode.file(path)?;
    Ok(Sample { image, label, source: Source::File(path.clone()) })
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let (path, label) = self.at(index)?;
        file_sample(path, *label, &self.decode)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Result<usize> {
        Ok(self.at(index)?.1)
    }

    fn source(&self, index: usize) -> Source {
        self.at(index).map_or(Source::item("folder", index), |(path, _)| Source::File(path.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A folder with these files, each an image of one pixel whose red value is the file's number.
    fn folder(files: &[&str]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (i, file) in files.iter().enumerate() {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut bytes = std::io::Cursor::new(Vec::new());
            let pixel = ::image::RgbImage::from_raw(1, 1, vec![i as u8, 0, 0]).unwrap();
            pixel.write_to(&mut bytes, ::image::ImageFormat::Png).unwrap();
            fs::write(path, bytes.into_inner()).unwrap();
        }
        folder
    }

    #[test]
    fn classes_and_files_are_in_the_order_of_their_names_and_the_rest_is_left_out() {
        let files = ["b/2.png", "b/10.PNG", "a/deep/er/1.jpg", "a/z.jpeg", "a/notes.txt", "a/._z.jpg", ".git/x.png", "c/1.webp", "top.png"];
        let root = folder(&files);
        let set = ImageFolder::open(root.path()).unwrap();
        assert_eq!(set.classes(), ["a", "b", "c"]);
        let found: Vec<_> = (0..set.len()).map(|i| set.path(i).unwrap().strip_prefix(root.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(found, ["a/z.jpeg", "a/deep/er/1.jpg", "b/10.PNG", "b/2.png", "c/1.webp"]);
        assert_eq!((set.class_counts().unwrap(), set.ignored()), (vec![2, 2, 1], 1));
        let sample = set.get(3).unwrap();
        assert_eq!((sample.image.bytes().unwrap(), sample.label, sample.source.path()), (&[0, 0, 0][..], 1, set.path(3)));

        let chosen = ImageFolder::with_classes(root.path(), ["c", "a"]).unwrap();
        assert_eq!((chosen.classes().join(" "), chosen.class_counts().unwrap()), ("c a".into(), vec![1, 2]));
        assert_eq!(ImageFolder::with_classes(root.path(), ["c"]).unwrap().len(), 1);
    }

    #[test]
    fn folders_that_are_no_dataset_are_errors_with_their_names() {
        let said = |root: &Path| ImageFolder::open(root).unwrap_err().to_string();
        let root = folder(&["a/1.png"]);
        assert!(said(&root.path().join("nowhere")).contains("nowhere: cannot be read: "), "{}", said(&root.path().join("nowhere")));
        assert!(said(&root.path().join("a/1.png")).contains("cannot be read"));
        assert!(said(root.path()).contains("only one class, \"a\""), "{}", said(root.path()));
        assert!(said(&root.path().join("a")).contains("has no subfolders"));
        fs::create_dir(root.path().join("b")).unwrap();
        fs::write(root.path().join("b/readme.md"), "x").unwrap();
        assert!(said(root.path()).contains("b: this class folder holds no images"), "{}", said(root.path()));
        let error = ImageFolder::with_classes(root.path(), ["a", "cat"]).unwrap_err().to_string();
        assert!(error.contains("cat: cannot be read"), "{error}");
    }

    #[test]
    fn an_unreadable_image_is_an_error_that_names_it() {
        let root = folder(&["a/1.png", "b/1.png"]);
        fs::write(root.path().join("a/2.png"), "<html>").unwrap();
        fs::write(root.path().join("a/3.png"), "").unwrap();
        let set = ImageFolder::open(root.path()).unwrap();
        let said = |i: usize| set.get(i).unwrap_err().to_string();
        assert!(said(1).contains("a/2.png: this is not an image") && said(2).contains("a/3.png: the file is empty"), "{}", said(1));
        assert!(matches!(set.get(4), Err(Error::Index { index: 4, len: 4 })));
    }

    #[cfg(unix)]
    #[test]
    fn what_may_not_be_read_is_an_error_with_its_name() {
        use std::os::unix::fs::PermissionsExt;

        let root = folder(&["a/1.png", "b/1.png", "b/inner/2.png"]);
        let forbid = |name: &str, mode: u32| fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        forbid("a/1.png", 0o000);
        if fs::read(root.path().join("a/1.png")).is_ok() {
            return println!("skipped: this user may read everything");
        }
        let error = ImageFolder::open(root.path()).unwrap().get(0).unwrap_err().to_string();
        assert!(error.contains("a/1.png: cannot be read: Permission denied"), "{error}");
        forbid("b/inner", 0o000);
        let error = ImageFolder::open(root.path()).unwrap_err().to_string();
        forbid("b/inner", 0o755); // so that the folder can be removed
        assert!(error.contains("b/inner: cannot be read: Permission denied"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn file_names_that_are_not_unicode_are_read_all_the_same() {
        use std::os::unix::ffi::OsStrExt;

        let root = folder(&["a/1.png", "b/1.png"]);
        fs::rename(root.path().join("a/1.png"), root.path().join("a").join(OsStr::from_bytes(b"caf\xe9.png"))).unwrap();
        let set = ImageFolder::open(root.path()).unwrap();
        assert!(set.len() == 2 && set.get(0).is_ok() && set.source(0).to_string().ends_with("caf\u{fffd}.png"), "{}", set.source(0));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_loops_are_errors() {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;

        let root = folder(&["a/1.png", "b/2.png", "store/3.png"]);
        let other = folder(&["x/4.png"]);
        symlink(other.path().join("x"), root.path().join("b/more")).unwrap();
        symlink(other.path().join("gone.png"), root.path().join("b/gone.png")).unwrap();
        let set = ImageFolder::open(root.path()).unwrap();
        assert_eq!(set.class_counts().unwrap(), [1, 3, 1]);
        let gone = set.get(2).unwrap_err().to_string();
        assert!(set.get(1).is_ok() && gone.contains("gone.png: cannot be read"), "{gone}");

        symlink(root.path().join("a"), root.path().join("a/again")).unwrap();
        let error = ImageFolder::open(root.path()).unwrap_err();
        assert!(matches!(&error, Error::FolderLoop { path } if path.ends_with("a/again")), "{error}");
        fs::remove_file(root.path().join("a/again")).unwrap();

        fs::create_dir(root.path().join(OsStr::from_bytes(b"caf\xe9"))).unwrap();
        assert!(matches!(ImageFolder::open(root.path()), Err(Error::FolderName { .. })));
    }
}
