//! IDX files: the format of MNIST and its family.

use std::path::Path;

use crate::{Error, InMemory, Result, binary_file};

/// The most bytes that a file's header may promise: 2 GiB.
const MOST: usize = 1 << 31;

/// Reads IDX files, plain or gzipped: MNIST, Fashion-MNIST, KMNIST, QMNIST, EMNIST.
///
/// ```text
/// two zeros, 8 (bytes), the number of dimensions, each dimension as 4 bytes, highest first, then the values
/// ```
///
/// The images are grey bytes in memory; the classes are `0` to the highest label, at least `9`, until
/// [`InMemory::with_classes`] gives them names.
///
/// ```no_run
/// use nyang_data::{Idx, InMemory};
///
/// let train = Idx::train("data/fashion-mnist")?.with_classes(Idx::FASHION_MNIST)?;
/// let test = Idx::test("data/fashion-mnist")?.with_classes(Idx::FASHION_MNIST)?;
/// # Ok::<(), nyang_data::Error>(())
/// ```
///
/// # Reference
/// LeCun, Cortes & Burges 1998, *The MNIST database of handwritten digits*.
#[derive(Clone, Copy, Debug)]
pub struct Idx;

impl Idx {
    /// The names of Fashion-MNIST's classes.
    pub const FASHION_MNIST: [&str; 10] =
        ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

    /// The training images in a folder: `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, with or without `.gz`.
    ///
    /// # Errors
    /// As [`Idx::open`].
    pub fn train(folder: impl AsRef<Path>) -> Result<InMemory> {
        Idx::part(folder.as_ref(), "train")
    }

    /// The test images in a folder: `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, with or without `.gz`.
    ///
    /// # Errors
    /// As [`Idx::open`].
    pub fn test(folder: impl AsRef<Path>) -> Result<InMemory> {
        Idx::part(folder.as_ref(), "t10k")
    }

    fn part(folder: &Path, part: &str) -> Result<InMemory> {
        let file = |what: &str| {
            let names = [format!("{part}-{what}-ubyte"), format!("{part}-{}-ubyte", what.replace('-', "."))];
            binary_file::find(folder, &names.each_ref().map(String::as_str))
        };
        Idx::open(file("images-idx3")?, file("labels-idx1")?)
    }

    /// A file of images and one of labels.
    ///
    /// # Errors
    /// [`Error::File`] if one cannot be read, [`Error::Content`] for a wrong magic number, other values than bytes, another number of
    /// dimensions, or a length that is not what the header says; [`Error::Count`] unless there is one label an image; [`Error::Empty`].
    pub fn open(images: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<InMemory> {
        let ([n, h, w], pixels) = read::<3>(images.as_ref())?;
        let ([_], labels) = read::<1>(labels.as_ref())?;
        let labels: Vec<usize> = labels.into_iter().map(usize::from).collect();
        let classes = labels.iter().max().map_or(0, |&most| most.max(9) + 1);
        if labels.len() != n {
            return Err(Error::Count { images: n, labels: labels.len() });
        }
        Ok(InMemory::from_bytes([n, h, w, 1], pixels, labels, (0..classes).map(|class| class.to_string()))?.named("idx"))
    }
}

/// The dimensions and values of a file.
fn read<const N: usize>(path: &Path) -> Result<([usize; N], Vec<u8>)> {
    let wrong = |why: String| Error::Content { path: path.to_path_buf(), format: "IDX", why };
    let mut file = binary_file::open(path)?;
    let header = binary_file::read(&mut *file, 4 + 4 * N as u64, path)?;
    match header.get(..4) {
        Some(&[0, 0, 8, dims]) if usize::from(dims) == N => {}
        Some(&[0, 0, 8, dims]) => return Err(wrong(format!("it has {dims} dimensions, expected {N}; are images and labels exchanged?"))),
        Some(&[0, 0, kind, _]) => return Err(wrong(format!("its values are of kind {kind:#04x}; only bytes, 0x08, are read"))),
        Some(magic) => return Err(wrong(format!("it begins with {magic:?} instead of 0, 0, 8, {N}"))),
        None => return Err(wrong(format!("it has only {} bytes", header.len()))),
    }
    let sizes = header[4..].chunks_exact(4).map(|b| b.iter().fold(0, |size, &b| size << 8 | usize::from(b)));
    let sizes: [usize; N] =
        sizes.collect::<Vec<_>>().try_into().map_err(|_| wrong(format!("its header ends after {} bytes", header.len())))?;
    let expected = sizes.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).filter(|n| *n <= MOST);
    let expected = expected.ok_or_else(|| wrong(format!("its header promises {sizes:?} values, more than {MOST}")))?;
    let values = binary_file::read(&mut *file, expected as u64 + 1, path)?;
    if values.len() != expected {
        let more = if values.len() > expected { "at least " } else { "" };
        return Err(wrong(format!("its header promises {expected} values, {more}{} follow", values.len())));
    }
    Ok((sizes, values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;
    use std::io::Write;

    fn idx(dims: &[u32], values: &[u8]) -> Vec<u8> {
        let header = dims.iter().flat_map(|d| d.to_be_bytes());
        [0, 0, 8, dims.len() as u8].into_iter().chain(header).chain(values.iter().copied()).collect()
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn open(images: &[u8], labels: &[u8]) -> Result<InMemory> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train-images-idx3-ubyte.gz"), images).unwrap();
        std::fs::write(folder.path().join("train-labels.idx1-ubyte"), labels).unwrap();
        Idx::train(folder.path())
    }

    #[test]
    fn plain_and_gzipped_files_are_read_by_their_content() {
        let (images, labels) = (idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]), idx(&[2], &[7, 0]));
        for images in [images.clone(), gzipped(&images)] {
            let set = open(&images, &labels).unwrap();
            let sample = set.get(1).unwrap();
            assert_eq!((sample.image.bytes().unwrap(), sample.label, set.get(0).unwrap().label), (&[4, 5, 6][..], 0, 7));
            assert_eq!((sample.image.height(), sample.image.width(), set.classes().len()), (1, 3, 10));
            let named = set.with_classes(Idx::FASHION_MNIST).unwrap();
            assert_eq!(named.classes()[7], "Sneaker");
            assert!(named.with_classes(["a", "b"]).unwrap_err().to_string().contains("idx #0: label 7 is no class; there are 2"));
        }
        assert_eq!(open(&images, &idx(&[2], &[46, 0])).unwrap().classes().len(), 47);
    }

    #[test]
    fn bad_files_are_errors_with_their_names() {
        let (images, labels) = (idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]), idx(&[2], &[7, 0]));
        let mut floats = images.clone();
        floats[2] = 0x0D;
        let cases: Vec<(Vec<u8>, Vec<u8>, &str)> = vec![
            (images[..images.len() - 1].to_vec(), labels.clone(), "promises 6 values, 5 follow"),
            ([images.clone(), vec![0]].concat(), labels.clone(), "promises 6 values, at least 7 follow"),
            (images[..9].to_vec(), labels.clone(), "header ends after 9 bytes"),
            (images[..3].to_vec(), labels.clone(), "only 3 bytes"),
            (vec![], labels.clone(), "only 0 bytes"),
            (b"PK\x03\x04 and more bytes".to_vec(), labels.clone(), "begins with [80, 75, 3, 4]"),
            (floats, labels.clone(), "kind 0x0d"),
            (labels.clone(), labels.clone(), "1 dimensions, expected 3; are images and labels exchanged?"),
            (images.clone(), images.clone(), "train-labels.idx1-ubyte: this is no IDX file that can be read: it has 3 dimensions"),
            (idx(&[u32::MAX, u32::MAX, u32::MAX], &[]), labels.clone(), "more than 2147483648"),
            (idx(&[60000, 28, 28], &[0; 9]), labels.clone(), "promises 47040000 values, 9 follow"),
            (gzipped(&images)[..20].to_vec(), labels.clone(), "train-images-idx3-ubyte.gz: cannot be read"),
            (images.clone(), idx(&[3], &[0, 1, 2]), "2 images and 3 labels"),
            (idx(&[0, 1, 3], &[]), idx(&[0], &[]), "needs at least one sample"),
            (idx(&[2, 0, 3], &[]), labels.clone(), "0 × 3 pixels"),
        ];
        for (images, labels, said) in cases {
            let error = open(&images, &labels).err().unwrap_or_else(|| panic!("accepted: {said}")).to_string();
            assert!(error.contains(said), "{error:?} does not say {said:?}");
        }
        let error = Idx::test(tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
        assert!(error.contains("t10k-images-idx3-ubyte: cannot be read"), "{error}");
    }
}
