//! Where images come from: a folder, a folder of parts, a manifest, or MNIST's files; and which of them are to learn from.

use std::collections::BTreeMap;
use std::path::Path;

use nyang_data::{
    Channels, Cifar10, CsvManifest, Dataset, Decode, Error, Idx, ImageFolder, Loader, Part, Parts, Result, Sample, Source, Split, Subset,
};
use nyang_train::Classifier;

/// The shares of training, validation and test where the data do not say.
const SHARES: [f64; 3] = [0.8, 0.1, 0.1];

/// Some datasets one after the other, each with the part that its samples are for.
pub struct Images {
    sets: Vec<(Box<dyn Dataset>, Option<Part>)>,
    parts: BTreeMap<usize, Part>,
}

impl Images {
    /// Opens what is at `path`, decoding files into so many channels.
    pub fn open(path: &Path, decode: &Decode) -> Result<Self> {
        let file = |name: &str| path.join(name).exists();
        if path.is_file() {
            return Ok(Images::of(CsvManifest::open(path)?.decode(decode.clone())));
        }
        if file("train-images-idx3-ubyte") || file("train-images-idx3-ubyte.gz") {
            return Ok(Images::in_parts(vec![(Box::new(Idx::train(path)?), Part::Train), (Box::new(Idx::test(path)?), Part::Test)]));
        }
        if file("data_batch_1.bin") {
            return Ok(Images::in_parts(vec![
                (Box::new(Cifar10::train(path)?), Part::Train),
                (Box::new(Cifar10::test(path)?), Part::Test),
            ]));
        }
        if !file("train") && !file("training") {
            return Ok(Images::of(ImageFolder::open(path)?.decode(decode.clone())));
        }
        let mut sets: Vec<(Box<dyn Dataset>, Part)> = Vec::new();
        for (name, part) in Part::NAMES.into_iter().filter(|(name, _)| file(name)) {
            let set = match sets.first() {
                None => ImageFolder::open(path.join(name))?,
                Some((first, _)) => ImageFolder::with_classes(path.join(name), first.classes())?,
            };
            sets.push((Box::new(set.decode(decode.clone())), part));
        }
        Ok(Images::in_parts(sets))
    }

    fn of(set: impl Dataset + 'static) -> Self {
        Images { sets: vec![(Box::new(set), None)], parts: BTreeMap::new() }
    }

    fn in_parts(sets: Vec<(Box<dyn Dataset>, Part)>) -> Self {
        Images { sets: sets.into_iter().map(|(set, part)| (set, Some(part))).collect(), parts: BTreeMap::new() }
    }

    /// The three parts. What the data say holds; what they do not say is drawn by this seed, class by class, groups kept together.
    pub fn divide(mut self, seed: u64) -> Result<Parts<Self>> {
        let given: Vec<Option<Part>> = (0..self.len()).map(|i| self.part(i)).collect();
        let has = |part: Part| given.contains(&Some(part));
        // what is to be divided: the samples for training where parts are given, else all
        let pool: Vec<usize> = match given.iter().any(Option::is_some) {
            true => (0..given.len()).filter(|&i| given[i] == Some(Part::Train) || given[i].is_none()).collect(),
            false => (0..given.len()).collect(),
        };
        let share = |part: Part, share: f64| if has(part) { 0.0 } else { share };
        let [_, valid, test] = SHARES;
        let (valid, test) = (share(Part::Valid, valid), share(Part::Test, test));
        let split = Split::stratified(1.0 - valid - test, valid, test).seed(seed);
        let pooled = Subset::new(Unassigned(&self), pool.clone())?;
        let drawn = pooled.split(split)?;
        let mut parts: BTreeMap<usize, Part> = given.iter().enumerate().filter_map(|(i, part)| Some((i, (*part)?))).collect();
        for part in Part::ALL {
            parts.extend(drawn.part(part).indices().iter().map(|&i| (pool[i], part)));
        }
        drop(drawn);
        self.parts = parts;
        self.split(Split::given().seed(seed))
    }

    /// The set that holds a sample, and its index there.
    fn at(&self, index: usize) -> Result<(&dyn Dataset, usize, Option<Part>)> {
        let mut rest = index;
        for (set, part) in &self.sets {
            if rest < set.len() {
                return Ok((set.as_ref(), rest, *part));
            }
            rest -= set.len();
        }
        Err(Error::Index { index, len: self.len() })
    }
}

impl Dataset for Images {
    fn len(&self) -> usize {
        self.sets.iter().map(|(set, _)| set.len()).sum()
    }
    fn get(&self, index: usize) -> Result<Sample> {
        let (set, index, _) = self.at(index)?;
        set.get(index)
    }
    fn classes(&self) -> &[String] {
        self.sets.first().map_or(&[], |(set, _)| set.classes())
    }
    fn label(&self, index: usize) -> Result<usize> {
        let (set, index, _) = self.at(index)?;
        set.label(index)
    }
    fn source(&self, index: usize) -> Source {
        self.at(index).map_or(Source::item("image", index), |(set, index, _)| set.source(index))
    }
    fn part(&self, index: usize) -> Option<Part> {
        let drawn = self.parts.get(&index).copied();
        drawn.or_else(|| self.at(index).ok().and_then(|(set, index, part)| part.or_else(|| set.part(index))))
    }
    fn group(&self, index: usize) -> Option<usize> {
        self.at(index).ok().and_then(|(set, index, _)| set.group(index))
    }
}

/// Images whose parts are yet to be drawn.
struct Unassigned<'a>(&'a Images);

impl Dataset for Unassigned<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn get(&self, index: usize) -> Result<Sample> {
        self.0.get(index)
    }
    fn classes(&self) -> &[String] {
        self.0.classes()
    }
    fn label(&self, index: usize) -> Result<usize> {
        self.0.label(index)
    }
    fn source(&self, index: usize) -> Source {
        self.0.source(index)
    }
    fn group(&self, index: usize) -> Option<usize> {
        self.0.group(index)
    }
}

/// A loader of some samples, prepared as a model's file says.
pub fn loader_for(classifier: &Classifier, set: impl Dataset + 'static) -> Loader {
    let loader = Loader::new(set).batch_size(64).transform(classifier.card.transforms.clone()).workers(2);
    match &classifier.card.normalize {
        Some(normalize) => loader.normalize(normalize.clone()),
        None => loader,
    }
}

/// What a few images spread over the data tell: the median of their shorter sides, and whether any of them has colours.
pub fn look(images: &Images) -> Result<(usize, bool)> {
    const FEW: usize = 32;
    let n = images.len();
    let (mut sides, mut coloured) = (Vec::new(), false);
    for i in 0..n.min(FEW) {
        let image = images.get(i * n / n.min(FEW))?.image;
        sides.push(image.height().min(image.width()));
        let pixels = image.bytes().unwrap_or_default().chunks_exact(image.channels());
        coloured |= pixels.into_iter().any(|pixel| pixel.iter().any(|value| Some(value) != pixel.first()));
    }
    sides.sort_unstable();
    Ok((sides.get(sides.len() / 2).copied().unwrap_or(64), coloured))
}

/// Decoding into three channels.
pub fn colour() -> Decode {
    Decode::new().channels(Channels::Rgb)
}
