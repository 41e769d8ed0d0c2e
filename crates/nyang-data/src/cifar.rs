//! CIFAR-10 and CIFAR-100 in their binary form.

use std::path::{Path, PathBuf};

use crate::{Error, InMemory, Result, binary_file};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const PIXELS: usize = 3 * PLANE;

/// The most bytes that are read of one file: CIFAR-100's training file has 154 million.
const MOST: u64 = 1 << 30;

/// CIFAR-10: 50,000 + 10,000 photographs of 32 × 32 pixels in ten classes, from its binary files, plain or gzipped.
///
/// ```no_run
/// use nyang_data::Cifar10;
///
/// let (train, test) = (Cifar10::train("data/cifar-10-batches-bin")?, Cifar10::test("data/cifar-10-batches-bin")?);
/// # Ok::<(), nyang_data::Error>(())
/// ```
///
/// # Reference
/// Krizhevsky 2009, *Learning Multiple Layers of Features from Tiny Images*.
#[derive(Clone, Copy, Debug)]
pub struct Cifar10;

impl Cifar10 {
    /// The names of the classes.
    pub const CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

    /// The training images in a folder: `data_batch_1.bin` to `data_batch_5.bin`, each with or without `.gz`.
    ///
    /// # Errors
    /// As [`Cifar10::open`].
    pub fn train(folder: impl AsRef<Path>) -> Result<InMemory> {
        let file = |i| binary_file::find(folder.as_ref(), &[&format!("data_batch_{i}.bin")]);
        Cifar10::open(&(1..=5).map(file).collect::<Result<Vec<_>>>()?)
    }

    /// The test images in a folder: `test_batch.bin`, with or without `.gz`.
    ///
    /// # Errors
    /// As [`Cifar10::open`].
    pub fn test(folder: impl AsRef<Path>) -> Result<InMemory> {
        Cifar10::open(&[binary_file::find(folder.as_ref(), &["test_batch.bin"])?])
    }

    /// The images of these files, one after the other. A file is rows of a label byte and 3,072 bytes: red, green, blue.
    ///
    /// # Errors
    /// [`Error::File`] if one cannot be read, [`Error::Content`] for a length that is no multiple of a row, or a label above 9.
    pub fn open(files: &[impl AsRef<Path>]) -> Result<InMemory> {
        open(files, "CIFAR-10", 1, Cifar10::CLASSES.map(str::to_owned).into())
    }
}

/// CIFAR-100: as [`Cifar10`], with a hundred classes (the fine labels). Files: `train.bin`, `test.bin`.
///
/// The classes' names are read from `fine_label_names.txt` beside the files where it is, else they are `0` to `99`.
#[derive(Clone, Copy, Debug)]
pub struct Cifar100;

impl Cifar100 {
    /// The training images in a folder: `train.bin`, with or without `.gz`.
    ///
    /// # Errors
    /// As [`Cifar10::open`], for a label above 99; [`Error::Content`] unless the file of names has a hundred lines.
    pub fn train(folder: impl AsRef<Path>) -> Result<InMemory> {
        Cifar100::part(folder.as_ref(), "train.bin")
    }

    /// The test images in a folder: `test.bin`, with or without `.gz`.
    ///
    /// # Errors
    /// As [`Cifar100::train`].
    pub fn test(folder: impl AsRef<Path>) -> Result<InMemory> {
        Cifar100::part(folder.as_ref(), "test.bin")
    }

    fn part(folder: &Path, file: &str) -> Result<InMemory> {
        let path = folder.join("fine_label_names.txt");
        let classes: Vec<String> = match std::fs::read_to_string(&path) {
            Ok(text) => text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect(),
            Err(_) => (0..100).map(|class| class.to_string()).collect(),
        };
        if classes.len() != 100 {
            return Err(Error::Content { path, format: "CIFAR-100", why: format!("it has {} names instead of 100", classes.len()) });
        }
        open(&[binary_file::find(folder, &[file])?], "CIFAR-100", 2, classes)
    }
}

/// The images of files whose rows begin with `labels` label bytes, of which the last counts.
fn open(files: &[impl AsRef<Path>], format: &'static str, labels: usize, classes: Vec<String>) -> Result<InMemory> {
    let (mut values, mut targets) = (Vec::new(), Vec::new());
    for path in files {
        let path = path.as_ref();
        let wrong = |why: String| Error::Content { path: PathBuf::from(path), format, why };
        let bytes = binary_file::read(&mut *binary_file::open(path)?, MOST, path)?;
        let row = labels + PIXELS;
        if bytes.is_empty() || !bytes.len().is_multiple_of(row) {
            return Err(wrong(format!("its {} bytes are not rows of {row}", bytes.len())));
        }
        for (i, row) in bytes.chunks_exact(row).enumerate() {
            let (label, planes) = row.split_at(labels);
            let label = label.last().copied().map_or(0, usize::from);
            if label >= classes.len() {
                return Err(wrong(format!("row {i} has label {label}; there are {} classes", classes.len())));
            }
            targets.push(label);
            values.extend((0..PLANE).flat_map(|at| [planes[at], planes[PLANE + at], planes[2 * PLANE + at]]));
        }
    }
    Ok(InMemory::from_bytes([targets.len(), SIDE, SIDE, 3], values, targets, classes)?.named("cifar"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    /// A row whose red, green and blue are these, but for the first pixel's blue.
    fn row(labels: &[u8], [r, g, b]: [u8; 3]) -> Vec<u8> {
        let mut row = labels.to_vec();
        row.extend([r; PLANE].iter().chain(&[g; PLANE]).chain(&[b; PLANE]));
        row[labels.len() + 2 * PLANE] = 77;
        row
    }

    #[test]
    fn planes_become_pixels_and_files_follow_one_another() {
        let folder = tempfile::tempdir().unwrap();
        for i in 1..=5u8 {
            std::fs::write(folder.path().join(format!("data_batch_{i}.bin")), row(&[i], [i, 20, 30])).unwrap();
        }
        let set = Cifar10::train(folder.path()).unwrap();
        let sample = set.get(3).unwrap();
        assert_eq!((set.len(), sample.label, &sample.image.bytes().unwrap()[..6]), (5, 4, &[4, 20, 77, 4, 20, 30][..]));
        assert_eq!((sample.image.height(), sample.image.width(), set.classes()[9].as_str()), (32, 32, "truck"));

        std::fs::write(folder.path().join("train.bin"), [row(&[3, 99], [1, 2, 3]), row(&[19, 0], [4, 5, 6])].concat()).unwrap();
        let set = Cifar100::train(folder.path()).unwrap();
        assert_eq!((set.labels(), set.classes()[99].as_str()), (&[99, 0][..], "99"));
        std::fs::write(folder.path().join("fine_label_names.txt"), (0..100).map(|i| format!("name{i}\n")).collect::<String>()).unwrap();
        assert_eq!(Cifar100::train(folder.path()).unwrap().classes()[1], "name1");
    }

    #[test]
    fn bad_files_are_errors_with_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test_batch.bin");
        assert!(Cifar10::test(folder.path()).unwrap_err().to_string().contains("test_batch.bin: cannot be read"));
        for (bytes, said) in [
            (vec![], "test_batch.bin: this is no CIFAR-10 file that can be read: its 0 bytes are not rows of 3073"),
            (row(&[1], [0; 3])[1..].to_vec(), "its 3072 bytes are not rows"),
            ([row(&[9], [0; 3]), row(&[10], [0; 3])].concat(), "row 1 has label 10; there are 10 classes"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = Cifar10::test(folder.path()).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        std::fs::write(folder.path().join("fine_label_names.txt"), "apple\n").unwrap();
        assert!(Cifar100::test(folder.path()).unwrap_err().to_string().contains("1 names instead of 100"));
    }
}
