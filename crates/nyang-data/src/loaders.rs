//! From a split to loaders that are ready to train, with the settings that are usually right.

use std::thread::available_parallelism;

use crate::{
    Cache, Dataset, Error, LastBatch, Loader, Mix, Normalize, Part, Parts, Report, Resize, Result, Sample, Source, Transforms, transforms,
};

/// The most bytes of decoded images that are kept, unless [`Parts::cache`] says otherwise.
const CACHE: u64 = 512 << 20;

/// The most workers that are started, unless [`Parts::workers`] says otherwise.
const WORKERS: usize = 4;

/// How loaders are to be made of parts. [`Parts`] has the methods that set it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    seed: u64,
    prepare: Transforms,
    augment: Transforms,
    normalize: Option<Normalize>,
    mix: Option<Mix>,
    balanced: bool,
    one_hot: bool,
    skip: bool,
    workers: Option<usize>,
    cache: Option<u64>,
}

impl Plan {
    /// The usual settings, with this seed.
    pub fn seeded(seed: u64) -> Self {
        Plan { seed, ..Plan::default() }
    }
}

/// Loaders of the three parts, ready to train with. Made by [`Parts::loaders`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaders {
    /// Shuffled, augmented batches to learn from.
    pub train: Loader,
    /// Batches to choose by.
    pub valid: Loader,
    /// Batches to judge by.
    pub test: Loader,
    /// How many samples of each class each part has.
    pub report: Report,
}

impl Loaders {
    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.report.classes
    }

    /// What each class counts in a loss so that all classes weigh the same: [`Report::class_weights`].
    pub fn class_weights(&self) -> Vec<f64> {
        self.report.class_weights()
    }

    /// What standardises the images of all three.
    pub fn normalization(&self) -> Option<&Normalize> {
        self.train.normalization()
    }

    /// The loader of that part.
    pub fn part(&self, part: Part) -> &Loader {
        match part {
            Part::Train => &self.train,
            Part::Valid => &self.valid,
            Part::Test => &self.test,
        }
    }
}

/// From parts to loaders.
///
/// ```no_run
/// use nyang_data::*;
///
/// let data = ImageFolder::open("flowers")?
///     .split(Split::stratified(0.8, 0.1, 0.1).seed(42))?
///     .resize(64)
///     .augment_train(transforms![HorizontalFlip::new(0.5), RandomCrop::new(64, 64).padding(8), TrivialAugmentWide::new()])
///     .loaders(64)?;
/// println!("{}\nclass weights {:?}", data.report, data.class_weights());
/// for batch in data.train.epoch(0) {
///     let batch = batch?;                                  // images [64, 3, 64, 64], standardised
/// }
/// # Ok::<(), Error>(())
/// ```
impl<D: Dataset> Parts<D> {
    /// Resizes every image to `side` × `side` pixels, whatever its proportions. [`Parts::prepare`] does anything else.
    pub fn resize(self, side: usize) -> Self {
        self.prepare(transforms![Resize::exact(side, side)])
    }

    /// What every image goes through before anything else, in training, validation, test and use; it travels in the model file.
    pub fn prepare(mut self, transforms: Transforms) -> Self {
        self.plan.prepare = transforms;
        self
    }

    /// How the training images are varied after that, anew each epoch.
    pub fn augment_train(mut self, transforms: Transforms) -> Self {
        self.plan.augment = transforms;
        self
    }

    /// Standardises with this instead of the statistics of the training part: [`Normalize::imagenet`] for pretrained weights.
    pub fn normalize(mut self, normalize: Normalize) -> Self {
        self.plan.normalize = Some(normalize);
        self
    }

    /// Mixes the images of each training batch: [`Loader::mix`].
    pub fn mix_train(mut self, mix: impl Into<Mix>) -> Self {
        self.plan.mix = Some(mix.into());
        self
    }

    /// As many training samples of each class in every epoch: [`Loader::balanced`].
    pub fn balance_train(mut self) -> Self {
        self.plan.balanced = true;
        self
    }

    /// Targets as rows with a one at the class, instead of class indices.
    pub fn one_hot(mut self) -> Self {
        self.plan.one_hot = true;
        self
    }

    /// Leaves out samples that cannot be read: [`Loader::skip_unreadable`].
    pub fn skip_unreadable(mut self) -> Self {
        self.plan.skip = true;
        self
    }

    /// How many threads load; by default as many as there are cores, at most 4.
    pub fn workers(mut self, threads: usize) -> Self {
        self.plan.workers = Some(threads);
        self
    }

    /// How many bytes of decoded images are kept in memory; 512 MiB by default, for samples that come from files.
    pub fn cache(mut self, bytes: u64) -> Self {
        self.plan.cache = Some(bytes);
        self
    }

    /// The seed of order and augmentation; the split's unless it is given.
    pub fn seed(mut self, seed: u64) -> Self {
        self.plan.seed = seed;
        self
    }

    /// The loaders of the parts, in batches of this size.
    ///
    /// - Training is shuffled and augmented; its last short batch joins the one before it, so that batch normalisation never sees a
    ///   batch of one. Validation and test are in order and whole.
    /// - Standardisation is fitted on the training part, as prepared and not augmented, and is the same for all three. This reads every
    ///   training image once.
    /// - A part that is empty gives a loader whose epochs are an error.
    ///
    /// # Errors
    /// [`Error::Empty`] if there are no training samples; a wrong setting of a loader or transform; whatever reading an image gives.
    pub fn loaders(self, batch_size: usize) -> Result<Loaders>
    where
        D: 'static,
    {
        let report = self.report();
        let Parts { train, valid, test, plan } = self;
        if train.is_empty() {
            return Err(Error::Empty { op: "Parts::loaders" });
        }
        let from_files = train.source(0).path().is_some();
        let kept = plan.cache.unwrap_or(if from_files { CACHE } else { 0 });
        // each part's room is its share of the samples; test is read once
        let all = (train.len() + valid.len()) as f64;
        let room = |samples: usize| (kept as f64 * (samples as f64 / all)) as u64;
        let rooms = [room(train.len()), room(valid.len()), 0];
        let workers = plan.workers.unwrap_or_else(|| available_parallelism().map_or(1, |cores| cores.get().min(WORKERS)));

        let loader = |part, room: u64| {
            let loader = Loader::new(part).batch_size(batch_size).transform(plan.prepare.clone()).seed(plan.seed).workers(workers);
            let loader = if plan.skip { loader.skip_unreadable() } else { loader };
            let loader = if plan.one_hot { loader.one_hot() } else { loader };
            if room > 0 { loader.cache(Cache::memory(room)) } else { loader }
        };
        let [train, valid, test] = [(train, rooms[0]), (valid, rooms[1]), (test, rooms[2])].map(|(part, room)| loader(part, room));
        train.check()?;
        let normalize = match plan.normalize {
            Some(given) => given,
            None => Normalize::fit_readable(&Prepared(&train), plan.skip)?,
        };
        let [train, valid, test] = [train, valid, test].map(|loader| loader.normalize(normalize.clone()));

        let train = if plan.balanced { train.balanced(plan.seed) } else { train.shuffle(plan.seed) };
        let train = train.last_batch(LastBatch::Merge).transform(Transforms { steps: [plan.prepare.steps, plan.augment.steps].concat() });
        let train = if let Some(mix) = plan.mix { train.mix(mix) } else { train };
        train.check()?;
        Ok(Loaders { train, valid, test, report })
    }
}

/// A loader's samples after its transforms, as a dataset.
struct Prepared<'a>(&'a Loader);

impl Dataset for Prepared<'_> {
    fn len(&self) -> usize {
        self.0.dataset().len()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        self.0.view(0, index)
    }

    fn classes(&self) -> &[String] {
        self.0.classes()
    }

    fn source(&self, index: usize) -> Source {
        self.0.dataset().source(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Custom, Digits, Image, InMemory, MixUp, RandomCrop, Split, Step};
    use nyang_tensor::{Rng, Targets};

    fn digits() -> Parts<InMemory> {
        Digits::load().unwrap().split(Split::stratified(0.6, 0.2, 0.2).seed(42)).unwrap()
    }

    #[test]
    fn one_call_gives_loaders_that_agree_with_those_made_by_hand() {
        let shift = || transforms![RandomCrop::new(8, 8).padding(1)];
        let data = digits().augment_train(shift()).workers(2).loaders(64).unwrap();
        let normalize = Normalize::fit(&digits().train).unwrap();
        let train = Loader::new(digits().train).batch_size(64).shuffle(42).transform(shift()).normalize(normalize.clone());
        let train = train.last_batch(LastBatch::Merge);
        let test = Loader::new(digits().test).batch_size(64).normalize(normalize);
        for (made, by_hand) in [(&data.train, train), (&data.test, test)] {
            let batches = |loader: &Loader| loader.epoch(3).map(Result::unwrap).collect::<Vec<_>>();
            assert_eq!(batches(made), batches(&by_hand));
        }
        assert_eq!((data.train.samples(), data.valid.samples(), data.test.samples(), data.classes().len()), (1078, 360, 359, 10));
        assert_eq!(data.part(Part::Valid).normalization(), data.normalization());
    }

    #[test]
    fn preparation_is_for_all_parts_and_statistics_come_after_it() {
        let data = digits().resize(4).augment_train(transforms![RandomCrop::new(4, 4).padding(1)]).loaders(32).unwrap();
        assert_eq!((data.test.transforms().steps.len(), data.train.transforms().steps.len()), (1, 2));
        let [sum, squares, n] =
            data.train.clone().transform(transforms![Resize::exact(4, 4)]).epoch(0).fold([0.0; 3], |[s, q, n], batch| {
                let values = batch.unwrap().images.to_vec();
                let add = |f: fn(f64) -> f64| values.iter().map(|v| f(f64::from(*v))).sum::<f64>();
                [s + add(|v| v), q + add(|v| v * v), n + values.len() as f64]
            });
        assert!((sum / n).abs() < 1e-5 && (squares / n - 1.0).abs() < 1e-4, "mean {}, mean square {}", sum / n, squares / n); // f32 sums
    }

    #[test]
    fn targets_are_indices_rows_or_mixed() {
        let first = |parts: Parts<InMemory>| parts.loaders(16).unwrap().train.epoch(0).next().unwrap().unwrap().targets;
        let indices = first(digits());
        let Targets::Soft(rows) = first(digits().one_hot()) else { panic!("rows were asked for") };
        assert_eq!(rows, Targets::one_hot(&indices.classes().unwrap(), 10).unwrap());
        let Targets::Soft(mixed) = first(digits().mix_train(MixUp::new(1.0))) else { panic!("mixed rows are soft") };
        assert_ne!(mixed, rows);
    }

    /// scikit-learn: `compute_class_weight("balanced", classes=[0, 1], y=[0] * 6 + [1] * 2)` is `[0.66666667, 2.]`.
    #[test]
    fn rare_classes_weigh_more_and_can_be_drawn_more() {
        let labels = [[0; 6].as_slice(), &[1; 2]].concat();
        let set = InMemory::from_bytes([8, 1, 1, 1], (0..8).collect(), labels, ["many", "few", "none"]).unwrap();
        let data = set.split(Split::stratified(1.0, 0.0, 0.0)).unwrap().balance_train().loaders(8).unwrap();
        assert_eq!(data.class_weights(), [8.0 / 12.0, 2.0, 0.0]);
        let batch = data.train.epoch(0).next().unwrap().unwrap();
        assert_eq!(batch.targets.classes().unwrap().iter().filter(|&&c| c == 1).count(), 4);
        assert!(matches!(data.valid.epoch(0).next(), Some(Err(Error::Empty { .. }))));
    }

    #[test]
    fn wrong_settings_are_errors_before_any_batch() {
        let fails = |_: Image, _: &mut Rng| Err(Error::NeedsBytes { op: "mine" });
        let error = digits().prepare(transforms![Custom::new("mine", fails)]).loaders(8).unwrap_err().to_string();
        assert!(error.starts_with("digits #") && error.contains("mine"), "{error}");
        assert!(digits().loaders(0).is_err());
        assert!(digits().workers(1000).loaders(8).is_err());
        assert!(digits().resize(0).loaders(8).is_err());
        let bad = transforms![Step::from(RandomCrop::new(0, 0))];
        assert!(digits().augment_train(bad).loaders(8).is_err());
    }
}
