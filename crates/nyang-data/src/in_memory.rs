//! A dataset that lies in memory: images in one block, labels beside them.

use std::fmt::Display;
use std::sync::Arc;

use ndarray::{ArrayView1, ArrayView4};
use nyang_tensor::Tensor;

use crate::dataset::{check_classes, no_class};
use crate::image::same_kind;
use crate::{Dataset, Error, Image, Pixels, Result, Sample, Source};

/// N images of one size and their N labels, checked once when it is made.
///
/// They are kept as they come, bytes or floats: a byte image takes a quarter of the memory. Cloning copies a handle to the images.
///
/// ```
/// use nyang_data::{Dataset, InMemory};
///
/// let pixels = (0..16).collect();                                                    // four images of 2 × 2 grey bytes
/// let pets = InMemory::from_bytes([4, 2, 2, 1], pixels, vec![0, 1, 1, 0], ["cat", "dog"])?.named("pets");
/// let sample = pets.get(2)?;
/// assert_eq!(sample.image.bytes(), Some(&[8, 9, 10, 11][..]));
/// assert_eq!((sample.label, sample.source.to_string()), (1, "pets #2".into()));
/// # Ok::<(), nyang_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct InMemory {
    pixels: Arc<Pixels>,
    size: [usize; 3], // H, W, C
    labels: Arc<[usize]>,
    classes: Arc<[String]>,
    name: &'static str,
}

impl InMemory {
    /// A dataset of float images `[N, C, H, W]`, one label each, and the names of the classes that labels are indices of.
    ///
    /// # Errors
    /// [`Error::Tensor`] unless the images are `[N, C, H, W]` with C, H, W ≥ 1, [`Error::Empty`] for none, [`Error::Count`] unless
    /// there is one label an image, [`Error::Label`] and [`Error::NonFinite`] with the first sample that is wrong,
    /// [`Error::NoClasses`], [`Error::DuplicateClass`].
    pub fn new(images: Tensor<f32>, labels: Vec<usize>, classes: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        let &[n, c, h, w] = images.dims() else { return Err(not_images(&images)) };
        if c == 0 || h == 0 || w == 0 {
            return Err(not_images(&images));
        }
        let pixels = images.permute(&[0, 2, 3, 1])?.to_vec();
        let set = InMemory::checked(Pixels::F32(pixels), [n, h, w, c], labels, classes)?;
        if images.has_non_finite() {
            let index = (0..n).find(|&i| images.select(0, i).is_ok_and(|image| image.has_non_finite()));
            return Err(Error::NonFinite { sample: set.source(index.unwrap_or(0)) });
        }
        Ok(set)
    }

    /// A dataset of byte images: `values` are `[N, H, W, C]`, as decoders and most files of bytes give them.
    ///
    /// # Errors
    /// [`Error::ImageSize`] unless there are N × H × W × C values and H, W, C ≥ 1; otherwise as [`InMemory::new`].
    pub fn from_bytes(
        [n, h, w, c]: [usize; 4],
        values: Vec<u8>,
        labels: Vec<usize>,
        classes: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self> {
        let size = h.checked_mul(w).and_then(|size| size.checked_mul(c)).filter(|size| *size > 0);
        if size.and_then(|size| size.checked_mul(n)) != Some(values.len()) {
            return Err(Error::ImageSize { sizes: [h, w, c], values: values.len() });
        }
        InMemory::checked(Pixels::U8(values), [n, h, w, c], labels, classes)
    }

    /// A dataset of `ndarray` arrays: images `[N, C, H, W]` in any memory order, labels of any integer type. Copies both.
    ///
    /// ```
    /// # use nyang_data::{Dataset, InMemory};
    /// let images = ndarray::Array4::<f32>::zeros((2, 3, 8, 8));
    /// let labels = ndarray::array![1i64, 0];
    /// let set = InMemory::from_arrays(&images.view(), &labels.view(), ["cat", "dog"])?;
    /// assert_eq!((set.len(), set.label(0)?), (2, 1));
    /// # Ok::<(), nyang_data::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`InMemory::new`]; a negative label is no class.
    pub fn from_arrays<L>(
        images: &ArrayView4<'_, f32>,
        labels: &ArrayView1<'_, L>,
        classes: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self>
    where
        L: Copy + Display + TryInto<usize>,
    {
        let classes: Vec<String> = classes.into_iter().map(Into::into).collect();
        let index_of = |(i, &label): (usize, &L)| label.try_into().map_err(|_| no_class(Source::item("sample", i), label, classes.len()));
        let labels = labels.iter().enumerate().map(index_of).collect::<Result<_>>()?;
        InMemory::new(Tensor::from_ndarray(images)?, labels, classes)
    }

    /// A dataset of values `[N, H, W, C]` whose number fits.
    fn checked(
        pixels: Pixels,
        [n, h, w, c]: [usize; 4],
        labels: Vec<usize>,
        classes: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self> {
        if n == 0 {
            return Err(Error::Empty { op: "InMemory" });
        }
        if labels.len() != n {
            return Err(Error::Count { images: n, labels: labels.len() });
        }
        let classes = classes.into_iter().map(Into::into).collect();
        let set = InMemory { pixels: Arc::new(pixels), size: [h, w, c], labels: labels.into(), classes, name: "sample" };
        set.check_labels()?;
        Ok(set)
    }

    /// Gives the set a name, which its samples' sources carry: `pets #2`. `sample` by default.
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Gives the classes other names.
    ///
    /// # Errors
    /// [`Error::Label`] for a label that has no name; [`Error::NoClasses`], [`Error::DuplicateClass`].
    pub fn with_classes(mut self, classes: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        self.classes = classes.into_iter().map(Into::into).collect();
        self.check_labels()?;
        Ok(self)
    }

    /// Whether every label is a class.
    fn check_labels(&self) -> Result<()> {
        check_classes(&self.classes)?;
        match self.labels.iter().enumerate().find(|l| *l.1 >= self.classes.len()) {
            Some((index, &label)) => Err(no_class(self.source(index), label, self.classes.len())),
            None => Ok(()),
        }
    }

    /// All images as a model sees them: floats as they are, bytes divided by 255.
    ///
    /// # Shapes
    /// `[N, C, H, W]`
    ///
    /// # Errors
    /// [`Error::Tensor`] if there is no memory for them.
    pub fn tensor(&self) -> Result<Tensor<f32>> {
        let [h, w, c] = self.size;
        let mut tensor = Tensor::stale_channels_last([self.len(), c, h, w])?;
        self.pixels.write_floats(tensor.memory_mut()?);
        Ok(tensor)
    }

    /// All labels.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }
}

fn not_images(images: &Tensor<f32>) -> Error {
    nyang_tensor::Error::shape("InMemory", "images [N, C, H, W] with C, H, W at least 1", *images.shape()).into()
}

impl Dataset for InMemory {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let label = self.label(index)?;
        let [height, width, channels] = self.size;
        let values = height * width * channels; // as many as an image has
        let pixels = same_kind!(&*self.pixels, |all| all[index * values..][..values].to_vec());
        Ok(Sample { image: Image { height, width, channels, pixels }, label, source: self.source(index) })
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Result<usize> {
        self.labels.get(index).copied().ok_or(Error::Index { index, len: self.labels.len() })
    }

    fn source(&self, index: usize) -> Source {
        Source::item(self.name, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array4, array};

    fn images(dims: &[usize]) -> Tensor<f32> {
        Tensor::from_fn(nyang_tensor::Shape::new(dims).unwrap(), |i| i as f32).unwrap()
    }

    #[test]
    fn bad_arrays_are_errors_that_say_what_to_mend() {
        let two = || vec!["a", "b"];
        let nan = images(&[2, 1, 2, 2]).map(|v| if v == 6.0 { f32::NAN } else { v }).unwrap();
        let cases = [
            (InMemory::new(images(&[2, 4]), vec![0, 1], two()), "expects images [N, C, H, W]"),
            (InMemory::new(images(&[2, 1, 0, 4]), vec![0, 1], two()), "got [2, 1, 0, 4]"),
            (InMemory::new(images(&[0, 1, 2, 2]), vec![], two()), "needs at least one sample"),
            (InMemory::new(images(&[2, 1, 2, 2]), vec![0], two()), "got 2 images and 1 labels"),
            (InMemory::new(images(&[2, 1, 2, 2]), vec![0, 2], two()), "sample #1: label 2 is no class; there are 2"),
            (InMemory::new(images(&[2, 1, 2, 2]), vec![0, usize::MAX], two()), "sample #1: label "),
            (InMemory::new(images(&[1, 1, 2, 2]), vec![0], Vec::<String>::new()), "list of classes is empty"),
            (InMemory::new(images(&[1, 1, 2, 2]), vec![0], vec!["a", "b", "a"]), "classes 0 and 2 are both named \"a\""),
            (InMemory::new(nan, vec![0, 1], two()), "sample #1: the image holds a value that is NaN"),
            (
                InMemory::from_arrays(&Array4::zeros((2, 1, 2, 2)).view(), &array![0, -1].view(), two()),
                "sample #1: label -1 is no class; there are 2, so labels run from 0 to 1",
            ),
        ];
        for (result, said) in cases {
            let error = result.err().unwrap_or_else(|| panic!("accepted: {said}")).to_string();
            assert!(error.contains(said), "{error:?} does not say {said:?}");
        }
    }

    #[test]
    fn samples_are_the_images_in_their_order() {
        let set = InMemory::new(images(&[3, 2, 2, 2]), vec![0, 1, 0], ["a", "b"]).unwrap();
        let image = set.get(1).unwrap().image.to_tensor().unwrap();
        assert_eq!((image.dims(), image.to_vec()), ([2, 2, 2].as_slice(), (8..16).map(|v| v as f32).collect::<Vec<_>>()));
        assert_eq!(set.tensor().unwrap(), images(&[3, 2, 2, 2]));
        assert!(matches!(set.get(3), Err(Error::Index { index: 3, len: 3 })));
    }

    #[test]
    fn bytes_stay_bytes_and_become_numbers_from_0_to_1() {
        let set = InMemory::from_bytes([2, 1, 2, 3], (0..12).map(|v| v * 20).collect(), vec![1, 0], ["a", "b"]).unwrap();
        assert_eq!(set.get(1).unwrap().image.bytes(), Some(&[120, 140, 160, 180, 200, 220][..]));
        assert_eq!(set.tensor().unwrap().get(&[1, 2, 0, 1]), Some(220.0 / 255.0));
        for size in [[2, 1, 2, 2], [0, 1, 2, 3], [2, 0, 2, 3], [usize::MAX, 2, 2, 2]] {
            assert!(matches!(InMemory::from_bytes(size, vec![0; 12], vec![1, 0], ["a", "b"]), Err(Error::ImageSize { .. })), "{size:?}");
        }
    }

    #[test]
    fn arrays_in_any_memory_order_give_the_same_samples() {
        let nhwc = Array4::from_shape_fn((2, 4, 5, 3), |(n, h, w, c)| (n * 1000 + h * 100 + w * 10 + c) as f32);
        let set = InMemory::from_arrays(&nhwc.view().permuted_axes([0, 3, 1, 2]), &array![1u8, 0].view(), ["a", "b"]).unwrap();
        let sample = set.get(1).unwrap();
        let image = sample.image.to_tensor().unwrap();
        assert_eq!((image.dims(), sample.label), ([3, 4, 5].as_slice(), 0));
        assert_eq!(image.get(&[2, 3, 4]), Some(1342.0));
    }
}
