//! Standardisation: each channel with mean 0 and standard deviation 1 over the training images.

use std::ops::Range;

use nyang_tensor::Tensor;
use nyang_tensor::parallel::map_ranges;

use crate::fetch::read;
use crate::{Dataset, Error, Result};

/// Standardises each channel of an image.
///
/// ```text
/// y[c,h,w] = (x[c,h,w] − mean[c]) / std[c]
/// fitted:  mean[c], std[c] over (n,h,w) of all images, std² biased (÷ N·H·W); std = 1 for a channel that is constant
/// ```
///
/// A constant channel carries nothing to learn from: with std = 1 it becomes 0 instead of NaN.
///
/// # Shapes
/// `[C, H, W] → [C, H, W]`, `[N, C, H, W] → [N, C, H, W]`
///
/// ```
/// use nyang_data::{Dataset, Digits, Normalize, Split};
///
/// let parts = Digits::load()?.split(Split::stratified(0.6, 0.2, 0.2))?;
/// let normalize = Normalize::fit(&parts.train)?;           // on train only: the others must stay unseen
/// let image = normalize.apply(parts.test.get(0)?.image.to_tensor()?)?;
/// # Ok::<(), nyang_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Normalize {
    /// With this mean and standard deviation of each channel.
    ///
    /// # Errors
    /// [`Error::Argument`] unless there are as many of both, at least one, the means finite, and the deviations finite and above 0.
    pub fn new(mean: impl Into<Vec<f32>>, std: impl Into<Vec<f32>>) -> Result<Self> {
        let (mean, std) = (mean.into(), std.into());
        let bad = |name, values: &[f32], why| Err(Error::argument("Normalize", name, format!("{values:?}"), why));
        if mean.is_empty() || mean.iter().any(|m| !m.is_finite()) {
            return bad("mean", &mean, "one finite number a channel");
        }
        if std.len() != mean.len() || std.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return bad("std", &std, "one finite number above 0 a channel (1 for a channel that is constant)");
        }
        Ok(Normalize { mean, std })
    }

    /// The statistics of ImageNet, which weights that were pretrained on it expect: three channels with values in `[0, 1]`.
    pub fn imagenet() -> Self {
        Normalize { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] }
    }

    /// The statistics of a dataset: give it the training part. Reads every image once, in parallel; their sizes may differ.
    ///
    /// # Errors
    /// [`Error::Empty`] for no samples, [`Error::Sample`] for an image with another number of channels than the first,
    /// [`Error::NonFinite`], and whatever reading a sample gives.
    pub fn fit(dataset: &(impl Dataset + ?Sized)) -> Result<Self> {
        Normalize::fit_readable(dataset, false)
    }

    /// As [`Normalize::fit`], without the samples that cannot be read if they are to be skipped.
    pub(crate) fn fit_readable(dataset: &(impl Dataset + ?Sized), skip: bool) -> Result<Self> {
        const IMAGES: usize = 64; // a piece: the pieces, and so the bits, do not depend on the threads
        let skipped = |error: &Error| skip && error.is_unreadable();
        let mut first = (0..dataset.len()).map(|index| read(dataset, index)).filter(|first| !first.as_ref().is_err_and(skipped));
        let channels = first.next().ok_or(Error::Empty { op: "Normalize::fit" })??.image.channels();
        let one = |index| match Moments::of_sample(dataset, index, channels) {
            Err(error) if skipped(&error) => Ok(vec![Moments::NONE; channels]),
            other => other,
        };
        let piece = |range: Range<usize>| range.map(one).try_fold(vec![Moments::NONE; channels], merged);
        let moments = map_ranges(dataset.len(), IMAGES, piece).into_iter().try_fold(vec![Moments::NONE; channels], merged)?;
        let std = |m: &Moments| if m.squares > 0.0 { (m.squares / m.n).sqrt() as f32 } else { 1.0 };
        // a deviation too small for f32 is rounding, not signal
        let std = moments.iter().map(std).map(|s| if s > 0.0 { s } else { 1.0 });
        Ok(Normalize { mean: moments.iter().map(|m| m.mean as f32).collect(), std: std.collect() })
    }

    /// The mean of each channel.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The standard deviation of each channel.
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// Standardises an image or a batch of them, in place if nobody else holds the memory. How they lie in memory stays.
    ///
    /// # Errors
    /// [`Error::Tensor`] unless it is `[C, H, W]` or `[N, C, H, W]` with this C.
    pub fn apply(&self, mut images: Tensor<f32>) -> Result<Tensor<f32>> {
        let channels = self.mean.len();
        let (c, plane) = match *images.dims() {
            [c, h, w] | [_, c, h, w] => (c, h.saturating_mul(w)),
            _ => (0, 0),
        };
        if c != channels {
            let expected = format!("[{channels}, H, W] or [N, {channels}, H, W]");
            return Err(nyang_tensor::Error::shape("Normalize", expected, *images.shape()).into());
        }
        let statistics = self.mean.iter().zip(&self.std);
        if images.dims().len() == 4 && images.is_channels_last() {
            let row: Vec<(f32, f32)> = statistics.map(|(&mean, &std)| (mean, std)).cycle().take(64 * channels).collect(); // long enough for vectors
            for pixels in images.memory_mut()?.chunks_mut(row.len()) {
                pixels.iter_mut().zip(&row).for_each(|(x, (mean, std))| *x = (*x - mean) / std);
            }
            return Ok(images);
        }
        for (values, (mean, std)) in images.as_mut_slice()?.chunks_exact_mut(plane.max(1)).zip(statistics.cycle()) {
            values.iter_mut().for_each(|x| *x = (*x - mean) / std);
        }
        Ok(images)
    }
}

/// Number, mean and Σ (x − mean)² of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moments {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    const NONE: Moments = Moments { n: 0.0, mean: 0.0, squares: 0.0 };

    /// In two passes, because Σx² − n·mean² cancels where the mean is large. A constant is exact: f64 sums equal f32 values without loss.
    fn of(values: &[f32]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        Moments { n, mean, squares: values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum() }
    }

    /// Of both together (Chan, Golub & LeVeque 1983).
    fn and(self, other: Self) -> Self {
        if other.n == 0.0 {
            return self;
        }
        let (n, d) = (self.n + other.n, other.mean - self.mean);
        let mean = self.mean + d * (other.n / n);
        Moments { n, mean, squares: self.squares + other.squares + d * d * (self.n * (other.n / n)) }
    }

    /// Of each channel of a sample's image, which must have that many.
    fn of_sample(dataset: &(impl Dataset + ?Sized), index: usize, channels: usize) -> Result<Vec<Moments>> {
        let sample = read(dataset, index)?;
        let image = sample.image.to_tensor()?;
        if image.dims().first() != Some(&channels) {
            let expected = format!("an image of {channels} channels like the first one's");
            return Err(Error::sample(sample.source, nyang_tensor::Error::shape("Normalize::fit", expected, *image.shape())));
        }
        if image.has_non_finite() {
            return Err(Error::NonFinite { sample: sample.source });
        }
        let image = image.to_vec();
        Ok(image.chunks_exact((image.len() / channels.max(1)).max(1)).map(Moments::of).collect())
    }
}

/// The moments of both, channel by channel.
fn merged(a: Vec<Moments>, b: Result<Vec<Moments>>) -> Result<Vec<Moments>> {
    Ok(a.into_iter().zip(b?).map(|(a, b)| a.and(b)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digits, InMemory, Sample, Subset};

    fn set(images: Tensor<f32>) -> InMemory {
        let n = images.dims()[0];
        InMemory::new(images, vec![0; n], ["a"]).unwrap()
    }

    /// NumPy: `d = load_digits().data / 16; d.mean(), d.std()`.
    #[test]
    fn the_statistics_of_the_digits_are_numpys() {
        let fitted = Normalize::fit(&Digits::load().unwrap()).unwrap();
        assert!((f64::from(fitted.mean()[0]) - 0.30526028624095713).abs() < 2e-8); // half a unit in the last place of f32
        assert!((f64::from(fitted.std()[0]) - 0.3760492217920148).abs() < 2e-8);
    }

    #[test]
    fn each_channel_comes_out_with_mean_0_and_deviation_1() {
        let images = Tensor::from_fn([5, 3, 4, 7], |i| ((i * i) % 97) as f32 + 1000.0 * (i / 28 % 3) as f32).unwrap();
        let fitted = Normalize::fit(&set(images.clone())).unwrap();
        let y = fitted.apply(images).unwrap();
        for c in 0..3 {
            let channel = y.slice(1, c..c + 1, 1).unwrap();
            let (mean, n) = (channel.mean(), channel.len() as f64);
            let var = channel.to_vec().iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
            assert!(mean.abs() < 1e-5 && (var - 1.0).abs() < 1e-5, "channel {c}: {mean}, {var}");
        }
    }

    #[test]
    fn a_constant_channel_becomes_zero() {
        let images = Tensor::from_fn([70, 2, 3, 3], |i| if i / 9 % 2 == 0 { 0.1 } else { i as f32 }).unwrap(); // 0.1 is not exact
        let fitted = Normalize::fit(&set(images.clone())).unwrap();
        assert_eq!((fitted.mean()[0], fitted.std()[0]), (0.1, 1.0));
        assert!(fitted.apply(images.select(0, 3).unwrap()).unwrap().to_vec()[..9].iter().all(|&v| v == 0.0));
    }

    #[test]
    fn an_image_and_a_batch_are_standardised_alike_and_by_hand() {
        let normalize = Normalize::new([1.0, 10.0], [2.0, 0.5]).unwrap();
        let batch = Tensor::from_vec([2, 2, 1, 1], vec![3.0, 9.0, 1.0, 10.5]).unwrap();
        assert_eq!(normalize.apply(batch.clone()).unwrap().to_vec(), [1.0, -2.0, 0.0, 1.0]);
        assert_eq!(normalize.apply(batch.select(0, 1).unwrap()).unwrap().to_vec(), [0.0, 1.0]);
        assert_eq!(batch.to_vec(), [3.0, 9.0, 1.0, 10.5]);
        let rows = Tensor::from_fn([2, 2, 5, 17], |i| i as f32).unwrap();
        let pixels = normalize.apply(rows.channels_last().unwrap()).unwrap();
        assert!(pixels.is_channels_last());
        assert_eq!(pixels.to_vec(), normalize.apply(rows).unwrap().to_vec());
    }

    /// The images of three sets one after the other, so that they may differ in shape.
    struct Chain(Vec<InMemory>);
    impl Dataset for Chain {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn get(&self, index: usize) -> Result<Sample> {
            Ok(Sample { source: self.source(index), ..self.0[index].get(0)? })
        }
        fn classes(&self) -> &[String] {
            self.0[0].classes()
        }
    }

    #[test]
    fn images_of_different_sizes_count_by_their_pixels() {
        let chain = Chain(vec![set(Tensor::zeros([1, 1, 1, 3]).unwrap()), set(Tensor::full([1, 1, 1, 1], 4.0).unwrap())]);
        let fitted = Normalize::fit(&chain).unwrap(); // 0 0 0 4: mean 1, variance (3 · 1 + 9) / 4 = 3
        assert_eq!((fitted.mean(), fitted.std()), ([1.0].as_slice(), [3f32.sqrt()].as_slice()));
    }

    #[test]
    fn bad_statistics_and_images_are_errors() {
        let inf = f32::INFINITY;
        let bad: [(Vec<f32>, Vec<f32>); 7] = [
            (vec![], vec![]),
            (vec![0.0], vec![]),
            (vec![0.0], vec![1.0, 1.0]),
            (vec![f32::NAN], vec![1.0]),
            (vec![0.0], vec![0.0]),
            (vec![0.0], vec![-1.0]),
            (vec![0.0], vec![inf]),
        ];
        for (mean, std) in bad {
            assert!(Normalize::new(mean.clone(), std.clone()).is_err(), "{mean:?} {std:?}");
        }
        for dims in [&[3, 2][..], &[1, 8, 8], &[2, 1, 8, 8], &[3], &[1, 1, 3, 2, 2]] {
            let x = Tensor::zeros(nyang_tensor::Shape::new(dims).unwrap()).unwrap();
            assert!(Normalize::imagenet().apply(x).is_err(), "{dims:?}");
        }
        assert_eq!(Normalize::imagenet().apply(Tensor::zeros([3, 0, 5]).unwrap()).unwrap().len(), 0);

        let nothing = Subset::new(set(Tensor::zeros([1, 1, 1, 1]).unwrap()), vec![]).unwrap();
        assert!(matches!(Normalize::fit(&nothing), Err(Error::Empty { .. })));
        let mixed = Chain(vec![set(Tensor::zeros([1, 1, 2, 2]).unwrap()), set(Tensor::zeros([1, 3, 2, 2]).unwrap())]);
        let error = Normalize::fit(&mixed).unwrap_err().to_string();
        assert_eq!(error, "sample #1: Normalize::fit expects an image of 1 channels like the first one's, got [3, 2, 2]");
    }
}
