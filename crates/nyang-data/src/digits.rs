//! Handwritten digits that come with the crate: a first training needs no download.

use std::io::Read;

use flate2::read::GzDecoder;
use nyang_tensor::Tensor;

use crate::{Error, InMemory, Result, Source};

const FILE: &[u8] = include_bytes!("../data/digits.csv.gz");
const SIDE: usize = 8;
const PIXELS: usize = SIDE * SIDE;
/// The value of full ink in the file.
const INK: f32 = 16.0;

/// 1,797 handwritten digits of 8 × 8 pixels, `[1, 8, 8]`, values in `[0, 1]`: scikit-learn's `load_digits`, divided by 16.
///
/// The classes are `0` to `9`, with 174 to 183 images each. The file is embedded: 57 KB.
///
/// ```
/// use nyang_data::{Dataset, Digits};
///
/// let digits = Digits::load()?;
/// assert_eq!((digits.len(), digits.classes().len()), (1797, 10));
/// # Ok::<(), nyang_data::Error>(())
/// ```
///
/// # Reference
/// Alpaydin & Kaynak 1998, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository, doi:10.24432/C50P49, CC BY 4.0.
#[derive(Clone, Copy, Debug)]
pub struct Digits;

impl Digits {
    /// Unpacks the images: a few milliseconds.
    ///
    /// # Errors
    /// [`Error::Sample`] if the embedded file is damaged.
    pub fn load() -> Result<InMemory> {
        let (pixels, labels) = decode(GzDecoder::new(FILE))?;
        let images = Tensor::from_vec([labels.len(), 1, SIDE, SIDE], pixels)?;
        Ok(InMemory::new(images, labels, (0..10).map(|digit| digit.to_string()))?.named("digits"))
    }
}

/// The pixels of all images, row by row, and the labels.
fn decode(file: impl Read) -> Result<(Vec<f32>, Vec<usize>)> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (row, record) in csv::ReaderBuilder::new().has_headers(false).from_reader(file).deserialize::<Vec<u8>>().enumerate() {
        let broken = |cause: Box<dyn std::error::Error + Send + Sync>| Error::sample(Source::item("digits", row), cause);
        match record.map_err(|e| broken(e.into()))?.split_last() {
            Some((&label, values)) if values.len() == PIXELS => {
                pixels.extend(values.iter().map(|&v| f32::from(v) / INK));
                labels.push(usize::from(label));
            }
            _ => return Err(broken("a row is 64 pixels and a label".into())),
        }
    }
    Ok((pixels, labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    /// From `sklearn.datasets.load_digits()`: shape, `bincount(target)`, `data.sum()`, `data[0]`, `target[:20]`, `data[-1]`.
    #[test]
    fn the_digits_are_those_of_scikit_learn() {
        let digits = Digits::load().unwrap();
        assert_eq!(digits.tensor().unwrap().dims(), [1797, 1, 8, 8]);
        assert_eq!(digits.class_counts().unwrap(), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert_eq!(digits.tensor().unwrap().sum() * 16.0, 561_718.0);
        assert_eq!(digits.tensor().unwrap().max(), Some(1.0));

        let first = digits.get(0).unwrap();
        assert_eq!(first.source.to_string(), "digits #0");
        let rows = [0., 0., 5., 13., 9., 1., 0., 0., 0., 0., 13., 15., 10., 15., 5., 0.];
        assert_eq!(first.image.to_tensor().unwrap().to_vec()[..16], rows.map(|v| v / 16.0));
        assert_eq!(digits.labels()[..20], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);

        let last = digits.get(1796).unwrap();
        let rows = [0., 8., 16., 10., 8., 16., 8., 0., 0., 1., 8., 12., 14., 12., 1., 0.];
        assert_eq!((last.label, &last.image.to_tensor().unwrap().to_vec()[48..]), (8, rows.map(|v| v / 16.0).as_slice()));
        assert_eq!(FILE.len(), 57_523);
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_the_row() {
        let good = "3,".repeat(PIXELS) + "7\n";
        let cases = [
            ("1,2,3\n".to_owned(), "digits #0: a row is 64 pixels"),
            (good.clone() + "1,2\n", "digits #1: "),
            (good.replace("3,7", "300,7"), "digits #0: "),
            (good.replace("3,7", "x,7"), "digits #0: "),
        ];
        for (file, said) in cases {
            let error = decode(file.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
        assert!(decode(GzDecoder::new(&FILE[..1000])).is_err());
        assert_eq!(decode(good.as_bytes()).unwrap(), (vec![3.0 / 16.0; PIXELS], vec![7]));
    }
}
