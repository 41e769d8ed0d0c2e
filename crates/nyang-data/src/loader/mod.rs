//! The loader: from a dataset to batches, in an order that depends on (seed, epoch) only.

mod view;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use nyang_tensor::Shape;

use crate::dataset::check_classes;
use crate::sampler::Sampler;
use crate::{Cache, Dataset, Epoch, Error, Mix, Normalize, Result, Transform, Transforms};

/// The most worker threads a loader takes.
const MOST_WORKERS: usize = 256;

/// What happens to the samples left over when the batch size does not divide their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastBatch {
    /// They are a short batch of their own.
    #[default]
    Keep,
    /// They are left out of this epoch. Shuffled, it is others in the next.
    Drop,
    /// They join the batch before them, which is then longer, so that batch normalisation never sees a batch of one. If there is none
    /// before them they are a batch of their own.
    Merge,
}

/// Makes batches of a dataset's samples, epoch by epoch.
///
/// ```
/// use nyang_data::{Dataset, Digits, Loader, Normalize, RandomCrop, Split, transforms};
///
/// let parts = Digits::load()?.split(Split::stratified(0.6, 0.2, 0.2).seed(42))?;
/// let normalize = Normalize::fit(&parts.train)?;
/// let shift = transforms![RandomCrop::new(8, 8).padding(1)];
/// let train = Loader::new(parts.train).batch_size(64).shuffle(42).transform(shift).normalize(normalize);
/// for batch in train.epoch(0) {
///     let batch = batch?;
///     assert_eq!(batch.images.dims()[1..], [1, 8, 8]);
///     assert_eq!(batch.targets.len(), batch.indices.len());
/// }
/// assert_eq!((train.samples(), train.len()), (1078, 17));
/// # Ok::<(), nyang_data::Error>(())
/// ```
///
/// Each sample is read, transformed, stacked with the others and then normalised. The order of the samples depends on (seed, epoch), what
/// a random transform does to one on (seed, epoch, index), and neither on the workers or on what was loaded before: any epoch can be
/// begun at any batch, and its bits are the same.
///
/// Cloning copies handles. Nothing is read and nothing can fail before [`Loader::epoch`].
#[derive(Clone)]
pub struct Loader {
    dataset: Arc<dyn Dataset>,
    batch_size: usize,
    last: LastBatch,
    sampler: Sampler,
    seed: u64,
    transforms: Arc<Transforms>,
    normalize: Option<Normalize>,
    workers: usize,
    skip: bool,
    mix: Option<Mix>,
    one_hot: bool,
    cache: Option<Arc<Cache>>,
}

/// Setting it up.
impl Loader {
    /// Batches of 32 in the dataset's order, made on the calling thread.
    pub fn new(dataset: impl Dataset + 'static) -> Self {
        Loader {
            dataset: Arc::new(dataset),
            batch_size: 32,
            last: LastBatch::Keep,
            sampler: Sampler::Sequential,
            seed: 0,
            transforms: Arc::default(),
            normalize: None,
            workers: 0,
            skip: false,
            mix: None,
            one_hot: false,
            cache: None,
        }
    }

    /// How many samples a batch has; at least 1.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.batch_size = samples;
        self
    }

    /// A new order each epoch, drawn from (seed, epoch). The seed is the transforms' too.
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.sampler = Sampler::Random;
        self.seed(seed)
    }

    /// As many samples of each class in every epoch, for data in which some classes are rare; an epoch is as long as before.
    ///
    /// A large class is seen in part, another part each epoch; a small one several times, each time with other random transforms. No
    /// sample comes twice before all of its class have come.
    pub fn balanced(mut self, seed: u64) -> Self {
        self.sampler = Sampler::Balanced;
        self.seed(seed)
    }

    /// Draws with replacement, each sample as likely as its weight says, as many draws as there are samples: PyTorch's
    /// `WeightedRandomSampler`.
    pub fn weighted(mut self, weights: impl Into<Vec<f64>>, seed: u64) -> Self {
        self.sampler = Sampler::Weighted(weights.into().into());
        self.seed(seed)
    }

    /// Keeps decoded images for the next epochs. Clones of this loader share it; the batches are the same as without.
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(Arc::new(cache));
        self
    }

    /// Targets as rows with a one at the class, instead of class indices.
    pub fn one_hot(mut self) -> Self {
        self.one_hot = true;
        self
    }

    /// The seed of the shuffle and of the transforms, 0 unless it is given.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What happens to the samples left over when the batch size does not divide their number.
    pub fn last_batch(mut self, last: LastBatch) -> Self {
        self.last = last;
        self
    }

    /// Changes each image, at random where the transforms are, anew each epoch. Training has its own; validation, test and use share
    /// one, which travels in the model file.
    pub fn transform(mut self, transforms: Transforms) -> Self {
        self.transforms = Arc::new(transforms);
        self
    }

    /// Standardises the images, after the transforms. Fit it on the training part and give it to every loader.
    pub fn normalize(mut self, normalize: Normalize) -> Self {
        self.normalize = Some(normalize);
        self
    }

    /// Mixes the images of each training batch with one another: [`MixUp`](crate::MixUp), [`CutMix`](crate::CutMix), or either. Targets become soft.
    pub fn mix(mut self, mix: impl Into<Mix>) -> Self {
        self.mix = Some(mix.into());
        self
    }

    /// How many threads make batches ahead of time; 0, the default, makes each on the calling thread when it is asked for.
    ///
    /// The batches are the same for any number. A worker holds at most three batches at a time.
    pub fn workers(mut self, threads: usize) -> Self {
        self.workers = threads;
        self
    }

    /// Leaves out samples that cannot be read, instead of giving an error for their batch.
    ///
    /// Nothing else moves: the batch is shorter, the others are as they were, and [`Batch::skipped`](crate::Batch::skipped) says what was left
    /// out and why. A batch of which nothing is left is an error all the same, and so is a wrong label, a failing transform or a panic.
    pub fn skip_unreadable(mut self) -> Self {
        self.skip = true;
        self
    }
}

/// Using it.
impl Loader {
    /// Whether batches can be made at all. [`Loader::epoch`] asks this first; a program may want to know earlier.
    ///
    /// # Errors
    /// [`Error::Argument`] for a batch size of 0, more than 256 workers, or a batch size that with [`LastBatch::Drop`] drops everything;
    /// [`Error::Empty`] for no samples; [`Error::NoClasses`], [`Error::DuplicateClass`]; a transform's wrong setting.
    pub fn check(&self) -> Result<()> {
        let bad = |name, value, why| Err(Error::argument("Loader", name, value, why));
        if self.batch_size == 0 {
            return bad("batch_size", 0, "a batch has at least one sample");
        }
        if self.workers > MOST_WORKERS {
            return bad("workers", self.workers, "at most 256 threads; as many as the machine has cores is plenty");
        }
        if self.dataset.is_empty() {
            return Err(Error::Empty { op: "Loader" });
        }
        if self.is_empty() {
            return bad("batch_size", self.batch_size, "LastBatch::Drop would drop every sample; take a smaller batch or LastBatch::Keep");
        }
        self.sampler.check(self.dataset.len())?;
        self.transforms.check()?;
        self.mix.map_or(Ok(()), |mix| mix.check())?;
        check_classes(self.dataset.classes())
    }

    /// The batches of this epoch.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// The batches of this epoch from position `batch` on: the very batches that [`Loader::epoch`] gives after so many others. The ones
    /// before are not read.
    pub fn epoch_from(&self, epoch: u64, batch: usize) -> Epoch {
        Epoch::start(self, epoch, batch)
    }

    /// The dataset's samples in the order of this epoch.
    ///
    /// # Errors
    /// [`Error::Tensor`] if there is no memory for that many indices; [`Error::Argument`] for wrong weights; whatever reading a label
    /// gives, if the classes are to be balanced.
    pub fn order(&self, epoch: u64) -> Result<Vec<usize>> {
        self.sampler.check(self.dataset.len())?;
        self.sampler.order(&*self.dataset, self.seed, epoch)
    }

    /// The number of batches in an epoch.
    pub fn len(&self) -> usize {
        let n = self.dataset.len();
        match self.last {
            _ if n == 0 || self.batch_size == 0 => 0,
            LastBatch::Keep => n.div_ceil(self.batch_size),
            LastBatch::Drop => n / self.batch_size,
            LastBatch::Merge => (n / self.batch_size).max(1),
        }
    }

    /// Whether an epoch has no batches, which [`Loader::check`] calls an error.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of samples in an epoch: all of them, but for those that [`LastBatch::Drop`] leaves out.
    pub fn samples(&self) -> usize {
        (0..self.len()).next_back().map_or(0, |last| self.range(last).end)
    }

    /// The shape of a transformed image, `[C, H, W]`: that of the first sample in epoch 0, which is read for it.
    ///
    /// # Errors
    /// [`Error::Empty`] for no samples, and whatever reading and transforming it gives, with its name.
    pub fn image_shape(&self) -> Result<Shape> {
        if self.dataset.is_empty() {
            return Err(Error::Empty { op: "Loader" });
        }
        self.view(0, 0)?.image.shape()
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        self.dataset.classes()
    }

    /// The dataset that the samples come from.
    pub fn dataset(&self) -> &dyn Dataset {
        &*self.dataset
    }

    /// What standardises the images, if anything does.
    pub fn normalization(&self) -> Option<&Normalize> {
        self.normalize.as_ref()
    }

    /// What happens to each image before it is standardised.
    pub fn transforms(&self) -> &Transforms {
        &self.transforms
    }

    pub(crate) fn skips(&self) -> bool {
        self.skip
    }

    pub(crate) fn worker_count(&self) -> usize {
        self.workers
    }

    /// Which positions of the order make up the batch at position `batch`, which is below [`Loader::len`].
    pub(crate) fn range(&self, batch: usize) -> Range<usize> {
        let (n, start) = (self.dataset.len(), batch.saturating_mul(self.batch_size));
        let rest = batch.saturating_add(1) == self.len() && self.last != LastBatch::Drop;
        start..if rest { n } else { start.saturating_add(self.batch_size).min(n) }
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("samples", &self.dataset.len())
            .field("batch_size", &self.batch_size)
            .field("last", &self.last)
            .field("sampler", &self.sampler)
            .field("seed", &self.seed)
            .field("transforms", &self.transforms)
            .field("normalize", &self.normalize)
            .field("mix", &self.mix)
            .field("one_hot", &self.one_hot)
            .field("workers", &self.workers)
            .field("skip_unreadable", &self.skip)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Custom, Image, InMemory, RandomCrop, Sample, transforms};
    use nyang_tensor::{Rng, Tensor};

    fn numbered(n: usize) -> InMemory {
        let images = Tensor::from_fn([n, 1, 3, 3], |i| i as f32).unwrap();
        InMemory::new(images, (0..n).map(|i| i % 3).collect(), ["a", "b", "c"]).unwrap()
    }

    fn shift() -> Transforms {
        transforms![RandomCrop::new(3, 3).padding(1)]
    }

    fn sizes(loader: &Loader) -> Vec<usize> {
        loader.epoch(0).map(|batch| batch.unwrap().len()).collect()
    }

    #[test]
    fn the_last_batch_is_kept_dropped_or_merged() {
        let cases: [(usize, usize, LastBatch, &[usize]); 9] = [
            (10, 4, LastBatch::Keep, &[4, 4, 2]),
            (10, 4, LastBatch::Drop, &[4, 4]),
            (10, 4, LastBatch::Merge, &[4, 6]),
            (8, 4, LastBatch::Merge, &[4, 4]),
            (9, 4, LastBatch::Merge, &[4, 5]),
            (3, 4, LastBatch::Merge, &[3]),
            (3, usize::MAX, LastBatch::Keep, &[3]),
            (2, 1, LastBatch::Drop, &[1, 1]),
            (4, 4, LastBatch::Drop, &[4]),
        ];
        for (n, size, last, expected) in cases {
            let loader = Loader::new(numbered(n)).batch_size(size).last_batch(last);
            assert_eq!(sizes(&loader), expected, "{n} in batches of {size}, {last:?}");
            assert_eq!((loader.len(), loader.samples()), (expected.len(), expected.iter().sum()));
        }
    }

    /// The numbers are ChaCha8's, the shuffle Fisher and Yates's with Lemire's bounded numbers, redone in Python.
    #[test]
    fn the_order_of_an_epoch_means_the_same_next_year() {
        let loader = Loader::new(numbered(12)).shuffle(42);
        assert_eq!(loader.order(0).unwrap(), [10, 8, 9, 11, 1, 5, 3, 2, 7, 0, 6, 4]);
        assert_eq!(loader.order(1).unwrap(), [11, 3, 7, 0, 6, 10, 5, 1, 9, 4, 2, 8]);
        assert_eq!(loader.order(7).unwrap(), [3, 10, 5, 4, 0, 9, 11, 8, 7, 1, 6, 2]);
        assert_eq!(Loader::new(numbered(4)).order(7).unwrap(), [0, 1, 2, 3]);
    }

    /// As above: −1 and 1 are the first two numbers below 3, less 1, of the key (42, "augment", 3, 5).
    #[test]
    fn a_random_transform_is_keyed_by_seed_epoch_and_index() {
        let image_5 = |loader: Loader| {
            let batches = loader.transform(shift()).epoch(3).map(Result::unwrap).collect::<Vec<_>>();
            let (batch, at) = batches.iter().find_map(|b| Some((b, b.indices.iter().position(|&i| i == 5)?))).unwrap();
            batch.images.select(0, at).unwrap().to_vec()
        };
        // 45 46 47       0  0  0      a window that starts one above and one to the right
        // 48 49 50  →   46 47  0
        // 51 52 53      49 50  0
        let expected = [0.0, 0.0, 0.0, 46.0, 47.0, 0.0, 49.0, 50.0, 0.0];
        assert_eq!(image_5(Loader::new(numbered(9)).seed(42)), expected);
        assert_eq!(image_5(Loader::new(numbered(20)).shuffle(42).batch_size(3).workers(2)), expected);
    }

    #[test]
    fn the_shape_of_an_image_is_that_after_the_transforms() {
        let loader = Loader::new(numbered(4)).transform(transforms![RandomCrop::new(2, 3)]);
        assert_eq!(loader.image_shape().unwrap().dims(), [1, 2, 3]);
        let large = loader.transform(transforms![RandomCrop::new(9, 9)]);
        assert!(large.image_shape().unwrap_err().to_string().starts_with("sample #0: RandomCrop"));
    }

    #[test]
    fn normalisation_comes_after_the_transforms() {
        let normalize = Normalize::new([1.0], [2.0]).unwrap();
        let tens = |_: Image, _: &mut Rng| Image::from_floats(1, 1, 1, vec![10.0]);
        let batch = Loader::new(numbered(2))
            .transform(transforms![Custom::new("tens", tens)])
            .normalize(normalize)
            .epoch(0)
            .next()
            .unwrap()
            .unwrap();
        assert_eq!(batch.images.get(&[1, 0, 0, 0]), Some((10.0 - 1.0) / 2.0));
    }

    #[test]
    fn an_epoch_goes_on_where_it_stopped() {
        let loader = Loader::new(numbered(20)).batch_size(3).shuffle(1).transform(shift());
        let whole: Vec<Batch> = loader.epoch(2).map(Result::unwrap).collect();
        for workers in [0, 2] {
            let mut begun = loader.epoch(2);
            begun.by_ref().take(3).for_each(drop);
            let rest: Vec<Batch> = loader.clone().workers(workers).epoch_from(2, begun.position()).map(Result::unwrap).collect();
            assert_eq!(rest, whole[3..]);
            assert_eq!(loader.epoch_from(2, 7).len() + loader.epoch_from(2, usize::MAX).len(), 0);
        }
    }

    struct Sized(usize, Vec<String>);
    impl Dataset for Sized {
        fn len(&self) -> usize {
            self.0
        }
        fn classes(&self) -> &[String] {
            &self.1
        }
        fn get(&self, index: usize) -> Result<Sample> {
            Ok(Sample { image: Image::from_bytes(1, 1, 1, vec![0])?, label: 0, source: self.source(index) })
        }
    }

    #[test]
    fn loaders_that_can_make_no_batch_say_why_once() {
        let sized = |n, classes: &[&str]| Loader::new(Sized(n, classes.iter().map(|c| c.to_string()).collect()));
        let cases = [
            (sized(3, &["a"]).batch_size(0), "batch_size = 0 is not valid"),
            (sized(3, &["a"]).workers(257), "workers = 257 is not valid: at most 256"),
            (sized(3, &["a"]).workers(usize::MAX), "at most 256"),
            (sized(0, &["a"]), "Loader needs at least one sample"),
            (sized(3, &["a"]).batch_size(4).last_batch(LastBatch::Drop), "would drop every sample"),
            (sized(3, &[]), "list of classes is empty"),
            (sized(3, &["a", "a"]), "both named \"a\""),
            (sized(usize::MAX, &["a"]).shuffle(1), "bytes of memory cannot be had"),
            (sized(3, &["a"]).transform(transforms![RandomCrop::new(0, 4)]), "RandomCrop: size = 0 × 4 is not valid"),
        ];
        for (loader, said) in cases {
            let mut epoch = loader.epoch(0);
            assert_eq!(epoch.len(), 1);
            let error = epoch.next().unwrap().unwrap_err().to_string();
            assert!(error.contains(said), "{error:?} does not say {said:?}");
            assert!(epoch.next().is_none());
        }
    }
}
