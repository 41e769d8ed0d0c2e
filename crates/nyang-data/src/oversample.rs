//! Offline augmentation: a new folder in which every class has as many images, made of the old ones by random transforms.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use nyang_tensor::Rng;
use nyang_tensor::parallel::map_ranges;

use crate::fetch::{changed, read};
use crate::subset::checked_label;
use crate::{Dataset, Error, Result, Transform, Transforms};

/// What random numbers are for, in their key beside the seed.
const OVERSAMPLE: u64 = u64::from_le_bytes(*b"oversamp");

/// Writes a folder with the images of a dataset and, for the rare classes, changed copies of them: an [`ImageFolder`](crate::ImageFolder)
/// with balanced classes.
///
/// Give it the training part. Copies of what is tested later would be learned by heart.
///
/// ```no_run
/// use nyang_data::*;
///
/// let parts = ImageFolder::open("flowers")?.split(Split::stratified(0.8, 0.1, 0.1).seed(42))?;
/// let vary = transforms![HorizontalFlip::new(0.5), Rotate::new(15.0), ColorJitter::new(0.2, 0.2, 0.0, 0.0)];
/// for (class, written) in Oversample::new(vary).seed(42).write(&parts.train, "flowers-balanced")? {
///     println!("{class}: {} images, {} of them made", written.images, written.made);
/// }
/// # Ok::<(), Error>(())
/// ```
///
/// - A class gets as many images as the largest one has, or [`per_class`](Oversample::per_class); no image is left out. Its images are
///   taken in turn, each time with other random numbers, keyed by (seed, index, copy).
/// - Files of the dataset are copied as they are; samples without a file, and made images, are written as PNG.
/// - The folder is new: one that exists is an error, and so is a place among the dataset's own files. It appears at the end, whole; if
///   anything goes wrong nothing is left.
#[derive(Clone, Debug)]
pub struct Oversample {
    transforms: Transforms,
    seed: u64,
    per_class: Option<usize>,
}

/// How many images of a class were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// All of them.
    pub images: usize,
    /// Those that were made by transforms.
    pub made: usize,
}

/// One file to write: a sample, and which copy of it; 0 is the sample itself.
struct Job {
    index: usize,
    copy: usize,
    class: usize,
}

impl Oversample {
    /// Made images are changed by these transforms.
    pub fn new(transforms: Transforms) -> Self {
        Oversample { transforms, seed: 0, per_class: None }
    }

    /// The seed of the random numbers, 0 unless it is given.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many images a class has at least, instead of as many as the largest.
    pub fn per_class(mut self, images: usize) -> Self {
        self.per_class = Some(images);
        self
    }

    /// Writes the folder; gives for each class its name and how many images it has now. A class without samples has none.
    ///
    /// # Errors
    /// [`Error::Output`] for a folder that exists or lies among the dataset's files, and for a class whose name no folder can have;
    /// [`Error::Write`]; [`Error::Empty`]; a transform's wrong setting; whatever reading and transforming a sample gives.
    pub fn write(&self, dataset: &impl Dataset, folder: impl AsRef<Path>) -> Result<Vec<(String, Written)>> {
        let folder = folder.as_ref();
        self.transforms.check()?;
        if dataset.is_empty() {
            return Err(Error::Empty { op: "Oversample" });
        }
        check_names(dataset.classes(), folder)?;
        check_place(dataset, folder)?;
        let (jobs, written) = self.plan(dataset)?;
        let staging = staging(folder)?;
        let done = self.fill(dataset, &jobs, &staging);
        let done = done.and_then(|()| fs::rename(&staging, folder).map_err(|cause| Error::Write { path: folder.to_path_buf(), cause }));
        if let Err(error) = done {
            let _ = fs::remove_dir_all(&staging); // the first error counts
            return Err(error);
        }
        Ok(dataset.classes().iter().cloned().zip(written).collect())
    }

    fn plan(&self, dataset: &impl Dataset) -> Result<(Vec<Job>, Vec<Written>)> {
        let mut members = vec![Vec::new(); dataset.classes().len()];
        for index in 0..dataset.len() {
            members[checked_label(dataset, index)?].push(index);
        }
        let wanted = self.per_class.unwrap_or_else(|| members.iter().map(Vec::len).max().unwrap_or(0));
        let (mut jobs, mut written) = (Vec::new(), Vec::new());
        for (class, members) in members.iter().enumerate() {
            let images = if members.is_empty() { 0 } else { wanted.max(members.len()) };
            let job = |n: usize| Job { index: members[n % members.len()], copy: n / members.len(), class };
            jobs.extend((0..images).map(job));
            written.push(Written { images, made: images - members.len() });
        }
        Ok((jobs, written))
    }

    fn fill(&self, dataset: &impl Dataset, jobs: &[Job], staging: &Path) -> Result<()> {
        const JOBS: usize = 8; // a piece of work
        let classes: HashSet<usize> = jobs.iter().map(|job| job.class).collect();
        for (_, name) in dataset.classes().iter().enumerate().filter(|(class, _)| classes.contains(class)) {
            let path = staging.join(name);
            fs::create_dir(&path).map_err(|cause| Error::Write { path, cause })?;
        }
        let piece = |range: Range<usize>| jobs[range].iter().try_for_each(|job| self.one(dataset, job, staging));
        map_ranges(jobs.len(), JOBS, piece).into_iter().collect()
    }

    fn one(&self, dataset: &impl Dataset, &Job { index, copy, class }: &Job, staging: &Path) -> Result<()> {
        let source = dataset.source(index);
        let class = dataset.classes().get(class).map_or("", String::as_str);
        let place = |ending: &str| staging.join(class).join(format!("{index:06}-{copy}.{ending}"));
        let write = |path: PathBuf, written: io::Result<()>| written.map_err(|cause| Error::Write { path, cause });
        if let (0, Some(file)) = (copy, source.path()) {
            let ending = file.extension().and_then(|e| e.to_str()).unwrap_or("png");
            let path = place(ending);
            return write(path.clone(), fs::copy(file, &path).map(|_| ()));
        }
        let sample = read(dataset, index)?;
        let png = if copy == 0 {
            sample.image.to_png()?
        } else {
            let mut rng = Rng::keyed([self.seed, OVERSAMPLE, index as u64, copy as u64]);
            let change = |sample: crate::Sample| Ok(crate::Sample { image: self.transforms.apply(sample.image, &mut rng)?, ..sample });
            changed(sample, change)?.image.to_png()?
        };
        let path = place("png");
        write(path.clone(), fs::write(&path, png))
    }
}

/// Whether each class can be a folder that a dataset would find again.
fn check_names(classes: &[String], folder: &Path) -> Result<()> {
    match classes.iter().find(|name| name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0'])) {
        Some(name) => {
            let why = format!("no class folder can be named {name:?}; give the dataset other class names");
            Err(Error::Output { path: folder.to_path_buf(), why })
        }
        None => Ok(()),
    }
}

/// Whether the folder is new and lies apart from the dataset's files.
fn check_place(dataset: &impl Dataset, folder: &Path) -> Result<()> {
    let refuse = |why: &str| Err(Error::Output { path: folder.to_path_buf(), why: why.to_owned() });
    if fs::symlink_metadata(folder).is_ok() {
        return refuse("exists already; name a new folder");
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = parent.canonicalize().map_err(|cause| Error::Write { path: parent.to_path_buf(), cause })?;
    let holds_files: HashSet<PathBuf> =
        (0..dataset.len()).filter_map(|i| dataset.source(i).path()?.parent().map(Path::to_path_buf)).collect();
    let mut root: Option<PathBuf> = None; // what all files have in common
    for place in holds_files.iter().filter_map(|path| path.canonicalize().ok()) {
        root = Some(match root {
            None => place,
            Some(root) => root.ancestors().find(|above| place.starts_with(above)).unwrap_or(Path::new("/")).to_path_buf(),
        });
    }
    if root.is_some_and(|root| parent.starts_with(root)) {
        return refuse("lies among the dataset's own files; name a folder outside of them");
    }
    Ok(())
}

/// A new hidden folder beside the one that is to appear.
fn staging(folder: &Path) -> Result<PathBuf> {
    const NAMES: u32 = 1000;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let failed = |path: &Path, cause| Error::Write { path: path.to_path_buf(), cause };
    for number in 0..NAMES {
        let path = folder.with_file_name(format!(".{name}.{number}.part"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {} // someone else's
            Err(cause) => return Err(failed(&path, cause)),
        }
    }
    Err(failed(folder, io::Error::other("1,000 unfinished folders of this name lie beside it; remove them")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Custom, HorizontalFlip, Image, ImageFolder, InMemory, transforms};

    fn uneven() -> InMemory {
        let labels = vec![0, 0, 0, 0, 0, 1, 1];
        InMemory::from_bytes([7, 1, 2, 3], (0..42).collect(), labels, ["many", "few"]).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_class_gets_as_many_images_and_the_originals_stay_as_they_are() {
        let place = tempfile::tempdir().unwrap();
        let (first, second) = (place.path().join("first"), place.path().join("second"));
        let flip = Oversample::new(transforms![HorizontalFlip::new(1.0)]).seed(1);
        let written = flip.write(&uneven(), &first).unwrap();
        assert_eq!(written, [("many".into(), Written { images: 5, made: 0 }), ("few".into(), Written { images: 5, made: 3 })]);
        let set = ImageFolder::open(&first).unwrap();
        assert_eq!((set.class_counts().unwrap(), set.classes().to_vec()), (vec![5, 5], vec!["few".to_owned(), "many".to_owned()]));
        assert_eq!(names(&first.join("few")), ["000005-0.png", "000005-1.png", "000005-2.png", "000006-0.png", "000006-1.png"]);
        assert_eq!(set.get(0).unwrap().image, uneven().get(5).unwrap().image);
        assert_eq!(set.get(1).unwrap().image.bytes(), Some(&[33, 34, 35, 30, 31, 32][..]));

        let before: Vec<u8> = fs::read(first.join("few/000005-0.png")).unwrap();
        flip.per_class(7).write(&set, &second).unwrap();
        assert_eq!(ImageFolder::open(&second).unwrap().class_counts().unwrap(), [7, 7]);
        assert_eq!(fs::read(second.join("few/000000-0.png")).unwrap(), before); // copied byte for byte
        assert_eq!(names(place.path()), ["first", "second"]);
    }

    #[test]
    fn nothing_is_written_among_the_users_files_or_over_anything() {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("source");
        let plain = Oversample::new(transforms![]);
        plain.write(&uneven(), &source).unwrap();
        let set = ImageFolder::open(&source).unwrap();
        for (folder, said) in
            [("source", "exists already"), ("source/new", "own files"), ("source/few/new", "own files"), ("no/new", "cannot be written")]
        {
            let error = plain.write(&set, place.path().join(folder)).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!((names(place.path()), names(&source)), (vec!["source".to_owned()], vec!["few".to_owned(), "many".to_owned()]));
        for name in ["", "..", ".hidden", "a/b", "c\\d"] {
            let set = uneven().with_classes(["x", name]).unwrap();
            assert!(matches!(plain.write(&set, place.path().join("new")), Err(Error::Output { .. })), "{name:?}");
        }
    }

    #[test]
    fn if_it_fails_half_way_nothing_is_left() {
        let place = tempfile::tempdir().unwrap();
        let fails = |image: Image, _: &mut Rng| {
            if image.bytes() == uneven().get(6)?.image.bytes() { Err(Error::NeedsBytes { op: "mine" }) } else { Ok(image) }
        };
        let error = Oversample::new(transforms![Custom::new("mine", fails)]).write(&uneven(), place.path().join("new")).unwrap_err();
        assert!(error.to_string().starts_with("sample #6: mine works on"), "{error}");
        assert_eq!(names(place.path()), [] as [&str; 0]);
    }
}
