//! Splitting: which samples to learn from, which to choose by, which to judge by.

mod groups;

use std::sync::Arc;

use nyang_tensor::Rng;

use crate::dataset::check_classes;
use crate::loaders::Plan;
use crate::subset::checked_label;
use crate::{Dataset, Error, Part, Parts, Result, Subset};

/// How far from 1 the ratios' sum may be.
const SUM_TOLERANCE: f64 = 1e-9;

/// What the split's random numbers are for, in their key beside the seed and the class.
const PURPOSE: u64 = u64::from_le_bytes(*b"split\0\0\0");

/// How to divide a dataset into train, valid and test.
///
/// ```
/// use nyang_data::{Dataset, Digits, Split};
///
/// let parts = Digits::load()?.split(Split::stratified(0.6, 0.2, 0.2).seed(42))?;
/// assert_eq!(parts.report().totals(), [1078, 360, 359]);
/// println!("{}", parts.report());
/// # Ok::<(), nyang_data::Error>(())
/// ```
///
/// A part's share of n samples is q = ratio · n. It gets ⌊q⌋ or ⌈q⌉ of them:
///
/// - [`Split::stratified`] counts class by class, [`Split::random`] over the whole dataset.
/// - The samples left over after all ⌊q⌋ go to the parts that are furthest behind: first to those with the largest q − ⌊q⌋ (of equals
///   the earlier), and from the second class on what rounding has cost a part in the classes before counts too. So each class
///   is within one sample of its share, and each part as a whole stays near its own, even for a hundred classes of three.
/// - A class never goes without a training sample: when train's ⌊q⌋ is 0 the first sample left over is train's. A class with
///   fewer samples than there are parts is therefore missing in valid or test; [`Parts::report`] shows it.
/// - A part whose ratio is not 0 but which would have no sample at all is an error.
///
/// Which samples of a class go where is drawn from (seed, class) and depends on nothing else.
///
/// **Groups.** Where samples have a [`group`](Dataset::group) (the same patient, the same camera), a group is never torn apart, as the model
/// would be tested on what it has seen. Groups are dealt out from the largest to the smallest, equals in random order, each to the part
/// whose class counts come nearest to their shares by it, in least squares. Shares are then only as near as the groups allow.
///
/// **Given parts.** Where the data say which [`part`](Dataset::part) a sample is meant for, [`Split::given`] does that, and the others are
/// errors, so that test samples do not end up in training by oversight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    ratios: [f64; 3],
    way: Way,
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Stratified,
    Random,
    Given,
}

impl Split {
    /// Each class divided by these ratios, which are at least 0 and sum to 1.
    pub fn stratified(train: f64, valid: f64, test: f64) -> Self {
        Split { ratios: [train, valid, test], way: Way::Stratified, seed: 0 }
    }

    /// The whole dataset divided by these ratios, whatever the classes. For data whose classes are large anyway.
    pub fn random(train: f64, valid: f64, test: f64) -> Self {
        Split { way: Way::Random, ..Split::stratified(train, valid, test) }
    }

    /// The parts that the data themselves give: a manifest's `split` column. A part for which there is no sample is empty.
    pub fn given() -> Self {
        Split { way: Way::Given, ..Split::stratified(1.0, 0.0, 0.0) }
    }

    /// The seed of the drawing, 0 unless it is given.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Divides a dataset, which the parts share (an [`Arc`] of one is a dataset too). Asks it for every label once.
    ///
    /// # Errors
    /// [`Error::Argument`] for a ratio that is negative or not finite, or if they do not sum to 1; [`Error::Empty`] for no samples;
    /// [`Error::EmptyPart`]; [`Error::NoPart`] if parts are to be as given and a sample has none; [`Error::GivenParts`] if they are given
    /// and not asked for; [`Error::Label`] for a label that is no class; [`Error::NoClasses`], [`Error::DuplicateClass`]; and whatever
    /// reading a label gives.
    pub fn apply<D: Dataset>(&self, dataset: D) -> Result<Parts<D>> {
        let ratios = self.checked_ratios()?;
        let labelled = Labelled::new(dataset, "Split")?;
        let members = match self.way {
            Way::Given => labelled.given()?,
            way => {
                labelled.check_not_given()?;
                labelled.divide(&ratios, way == Way::Stratified, self.seed, Favoured::First)
            }
        };
        let mut parts = members.into_iter().map(|members| labelled.subset(members));
        let mut next = || parts.next().unwrap_or_else(|| labelled.subset(Vec::new())); // there are three
        let parts = Parts { train: next(), valid: next(), test: next(), plan: Plan::seeded(self.seed) };
        for (part, ratio) in Part::ALL.into_iter().zip(ratios) {
            if parts.part(part).is_empty() && ratio > 0.0 {
                let classes = by_label(&labelled.labels, labelled.classes).iter().filter(|class| !class.is_empty()).count();
                return Err(Error::EmptyPart { part, ratio, samples: labelled.labels.len(), classes });
            }
        }
        Ok(parts)
    }

    fn checked_ratios(&self) -> Result<[f64; 3]> {
        let bad = |why| Err(Error::argument("Split", "ratios", format!("{:?}", self.ratios), why));
        if self.ratios.iter().any(|r| !r.is_finite() || *r < 0.0) {
            return bad("each must be a number that is at least 0");
        }
        if (self.ratios.iter().sum::<f64>() - 1.0).abs() > SUM_TOLERANCE {
            return bad("train, valid and test must sum to 1");
        }
        Ok(self.ratios)
    }
}

/// A dataset whose labels have been read and checked, to be divided.
pub(crate) struct Labelled<D> {
    dataset: Arc<D>,
    labels: Vec<usize>,
    classes: usize,
}

/// Whom the first sample of a class that is left over goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Favoured {
    /// The first part, which is train, if it would have none.
    First,
    /// Nobody.
    None,
}

impl<D: Dataset> Labelled<D> {
    pub(crate) fn new(dataset: D, op: &'static str) -> Result<Self> {
        let dataset = Arc::new(dataset);
        check_classes(dataset.classes())?;
        if dataset.is_empty() {
            return Err(Error::Empty { op });
        }
        let labels = (0..dataset.len()).map(|index| checked_label(&*dataset, index)).collect::<Result<_>>()?;
        let classes = dataset.classes().len();
        Ok(Labelled { dataset, labels, classes })
    }

    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The samples at these indices.
    pub(crate) fn subset(&self, members: Vec<usize>) -> Subset<D> {
        let labels = members.iter().map(|&index| self.labels[index]).collect(); // indices of this dataset
        Subset::trusted(self.dataset.clone(), members, labels)
    }

    /// The members of train, valid and test as the data give them.
    fn given(&self) -> Result<Vec<Vec<usize>>> {
        let mut parts = vec![Vec::new(); Part::ALL.len()];
        for index in 0..self.labels.len() {
            let part = self.dataset.part(index).ok_or_else(|| Error::NoPart { sample: self.dataset.source(index) })?;
            parts[part as usize].push(index); // as many as there are parts
        }
        Ok(parts)
    }

    /// An error if the data give more than one part. Only one is fine: then this is a part that is to be divided further.
    pub(crate) fn check_not_given(&self) -> Result<()> {
        let mut given = (0..self.labels.len()).filter_map(|index| self.dataset.part(index));
        let first = given.next();
        match given.find(|part| Some(*part) != first) {
            Some(_) => Err(Error::GivenParts),
            None => Ok(()),
        }
    }

    /// The members of each part, in ascending order.
    pub(crate) fn divide(&self, ratios: &[f64], stratified: bool, seed: u64, favoured: Favoured) -> Vec<Vec<usize>> {
        let strata = if stratified { self.labels.clone() } else { vec![0; self.labels.len()] };
        let count = if stratified { self.classes } else { 1 };
        let mut parts = if (0..strata.len()).any(|index| self.dataset.group(index).is_some()) {
            let groups: Vec<Option<usize>> = (0..strata.len()).map(|index| self.dataset.group(index)).collect();
            groups::deal(&strata, count, &groups, ratios, seed)
        } else {
            by_share(by_label(&strata, count), ratios, seed, favoured)
        };
        parts.iter_mut().for_each(|part| part.sort_unstable());
        parts
    }
}

/// Each class divided by the parts' shares of it.
fn by_share(classes: Vec<Vec<usize>>, ratios: &[f64], seed: u64, favoured: Favoured) -> Vec<Vec<usize>> {
    let mut parts = vec![Vec::new(); ratios.len()];
    let mut behind = vec![0.0; ratios.len()];
    for (class, mut members) in classes.into_iter().enumerate() {
        let counts = share(members.len(), ratios, &mut behind, favoured);
        Rng::keyed([seed, PURPOSE, class as u64, 0]).shuffle(&mut members);
        let mut members = members.into_iter();
        for (part, count) in parts.iter_mut().zip(counts) {
            part.extend(members.by_ref().take(count));
        }
    }
    parts
}

/// The indices of each class's samples.
fn by_label(labels: &[usize], classes: usize) -> Vec<Vec<usize>> {
    let mut groups = vec![Vec::new(); classes];
    labels.iter().enumerate().for_each(|(index, &label)| groups[label].push(index)); // the labels are checked
    groups
}

/// How many of `n` samples each part gets: ⌊q⌋ or ⌈q⌉ of its share q = ratio · n, `n` in all.
///
/// `behind` is how far each part is behind its share after the classes so far.
fn share(n: usize, ratios: &[f64], behind: &mut [f64], favoured: Favoured) -> Vec<usize> {
    let exact = |ratio: &f64| {
        let q = ratio * n as f64;
        // 0.07 · 100 is 7.000000000000001: no share of an eighth sample
        if (q - q.round()).abs() <= 8.0 * f64::EPSILON * n as f64 { q.round() } else { q }
    };
    let quotas: Vec<f64> = ratios.iter().map(exact).collect();
    let mut counts: Vec<usize> = quotas.iter().map(|q| q.floor() as usize).collect();
    (0..quotas.len()).for_each(|p| behind[p] += quotas[p] - counts[p] as f64);
    for _ in counts.iter().sum()..n {
        let open = |p: &usize| (counts[*p] as f64) < quotas[*p];
        let furthest = (0..quotas.len()).filter(open).reduce(|best, p| if behind[p] > behind[best] { p } else { best });
        let to = if favoured == Favoured::First && counts[0] == 0 && open(&0) { 0 } else { furthest.unwrap_or(0) };
        counts[to] += 1;
        behind[to] -= 1.0;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InMemory;
    use nyang_tensor::Tensor;
    use proptest::prelude::*;

    fn labelled(labels: &[usize], classes: usize) -> InMemory {
        let images = Tensor::from_fn([labels.len(), 1, 1, 1], |i| i as f32).unwrap();
        InMemory::new(images, labels.to_vec(), (0..classes).map(|c| c.to_string())).unwrap()
    }

    /// `sizes[c]` samples of class c, one class after the other.
    fn sized(sizes: &[usize]) -> InMemory {
        let labels: Vec<usize> = sizes.iter().enumerate().flat_map(|(c, &n)| std::iter::repeat_n(c, n)).collect();
        labelled(&labels, sizes.len())
    }

    fn counts(sizes: &[usize], [a, b, c]: [f64; 3]) -> Vec<[usize; 3]> {
        Split::stratified(a, b, c).apply(sized(sizes)).unwrap().report().counts
    }

    #[test]
    fn shares_that_come_out_even_are_exact() {
        assert_eq!(counts(&[10, 20, 100], [0.6, 0.2, 0.2]), [[6, 2, 2], [12, 4, 4], [60, 20, 20]]);
        assert_eq!(counts(&[100, 200], [0.29, 0.7, 0.01]), [[29, 70, 1], [58, 140, 2]]); // 0.29 · 100 < 29 in f64
        // 0.07 · 100 > 7 in f64: still no eighth, although valid is behind after q = 2.79, 0.42, 2.79
        assert_eq!(counts(&[6, 100], [0.465, 0.07, 0.465]), [[3, 0, 3], [47, 7, 46]]);
        assert_eq!(counts(&[7, 1], [1.0, 0.0, 0.0]), [[7, 0, 0], [1, 0, 0]]);
    }

    #[test]
    fn left_over_samples_go_to_the_largest_remainder_and_then_to_who_is_behind() {
        // q = 3.5, 1.75, 1.75 → 3, 1, 1, and the two left over to valid and test
        assert_eq!(counts(&[7], [0.5, 0.25, 0.25]), [[3, 2, 2]]);
        // again the same class: train is 0.5 behind, so it comes first, valid before test
        assert_eq!(counts(&[7, 7], [0.5, 0.25, 0.25])[1], [4, 2, 1]);
        // q = 2.4, 0.3, 0.3: alone every class would go to train; together the parts are right
        let report = Split::stratified(0.8, 0.1, 0.1).apply(sized(&[3; 100])).unwrap().report();
        assert_eq!(report.totals(), [240, 30, 30]);
    }

    #[test]
    fn a_class_of_one_is_for_training() {
        let got = counts(&[1, 1, 1, 20], [0.6, 0.2, 0.2]);
        assert_eq!(got[..3], [[1, 0, 0]; 3]);
        assert_eq!(got[3].iter().sum::<usize>(), 20);
    }

    /// The numbers are ChaCha8's, the shuffle Fisher and Yates's with Lemire's bounded numbers, redone in Python.
    #[test]
    fn a_seed_means_the_same_next_year() {
        let parts =
            Split::stratified(0.5, 0.25, 0.25).seed(42).apply(labelled(&[0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1], 2)).unwrap();
        assert_eq!(parts.train.indices(), GOLDEN[0]);
        assert_eq!(parts.valid.indices(), GOLDEN[1]);
        assert_eq!(parts.test.indices(), GOLDEN[2]);
    }
    const GOLDEN: [&[usize]; 3] = [&[1, 2, 3, 4, 7, 12, 13, 14], &[0, 5, 8, 11], &[6, 9, 10, 15]];

    #[test]
    fn another_seed_gives_another_split_of_the_same_sizes() {
        let [a, b] = [1, 2].map(|seed| Split::random(0.5, 0.5, 0.0).seed(seed).apply(sized(&[40])).unwrap());
        assert_ne!(a.train.indices(), b.train.indices());
        assert_eq!((a.train.len(), b.train.len(), a.test.len()), (20, 20, 0));
    }

    #[test]
    fn a_class_is_drawn_alike_whatever_the_other_classes_are() {
        let of_class_0 = |set: InMemory| {
            let parts = Split::stratified(0.5, 0.25, 0.25).seed(7).apply(set).unwrap();
            parts.train.indices().iter().copied().filter(|&i| i < 20).collect::<Vec<_>>()
        };
        assert_eq!(of_class_0(sized(&[20])), of_class_0(sized(&[20, 9, 30])));
    }

    #[test]
    fn parts_share_one_dataset() {
        let whole = Arc::new(sized(&[10]));
        let parts = Split::random(0.8, 0.1, 0.1).apply(whole.clone()).unwrap();
        assert!(Part::ALL.iter().all(|&p| Arc::ptr_eq(&**parts.part(p).whole(), &whole)));
    }

    #[test]
    fn bad_splits_are_errors_that_say_what_to_mend() {
        let nan = f64::NAN;
        let cases = [
            (Split::stratified(nan, 0.5, 0.5), vec![9], "[NaN, 0.5, 0.5] is not valid: each must be"),
            (Split::stratified(f64::INFINITY, 0.0, 0.0), vec![9], "each must be"),
            (Split::stratified(1.5, -0.5, 0.0), vec![9], "at least 0"),
            (Split::stratified(0.8, 0.1, 0.2), vec![9], "must sum to 1"),
            (Split::random(0.0, 0.0, 0.0), vec![9], "must sum to 1"),
            (Split::random(80.0, 10.0, 10.0), vec![9], "must sum to 1"),
            (Split::stratified(0.8, 0.1, 0.1), vec![4], "the test part would be empty: 0.1 of 4 samples in 1 classes"),
            (Split::stratified(0.4, 0.3, 0.3), vec![1; 50], "the valid part would be empty"),
            (Split::random(0.999, 0.001, 0.0), vec![20], "the valid part would be empty"),
        ];
        for (split, sizes, said) in cases {
            let error = split.apply(sized(&sizes)).err().unwrap_or_else(|| panic!("accepted: {split:?}")).to_string();
            assert!(error.contains(said), "{error:?} does not say {said:?}");
        }
        let nothing = Subset::new(sized(&[3]), vec![]).unwrap();
        assert!(matches!(Split::random(1.0, 0.0, 0.0).apply(nothing), Err(Error::Empty { op: "Split" })));
    }

    /// Samples whose part the data say, the way a manifest does.
    #[derive(Debug)]
    struct Given(InMemory, Vec<Option<Part>>);
    impl Dataset for Given {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn get(&self, index: usize) -> Result<crate::Sample> {
            self.0.get(index)
        }
        fn classes(&self) -> &[String] {
            self.0.classes()
        }
        fn part(&self, index: usize) -> Option<Part> {
            self.1[index]
        }
    }

    #[test]
    fn given_parts_are_as_given_and_are_not_mixed_by_oversight() {
        let parts = [Part::Test, Part::Train, Part::Train, Part::Test, Part::Train].map(Some);
        let set = || Given(sized(&[3, 2]), parts.to_vec());
        let given = Split::given().apply(set()).unwrap();
        assert_eq!((given.train.indices(), given.valid.len(), given.test.indices()), (&[1, 2, 4][..], 0, &[0, 3][..]));
        let error = Split::random(0.5, 0.5, 0.0).apply(set()).unwrap_err();
        assert!(matches!(error, Error::GivenParts), "{error}");
        let train = Split::random(0.7, 0.3, 0.0).apply(given.train).unwrap();
        assert_eq!((train.train.len(), train.valid.len()), (2, 1));
        let error = Split::given().apply(Given(sized(&[2]), vec![Some(Part::Train), None])).unwrap_err().to_string();
        assert!(error.starts_with("sample #1: ") && error.contains("Split::given"), "{error}");
        assert!(matches!(
            Split::given().apply(Given(sized(&[1]), vec![Some(Part::Test)])),
            Err(Error::EmptyPart { part: Part::Train, .. })
        ));
    }

    proptest! {
        #[test]
        fn parts_are_disjoint_complete_and_near_their_shares(
            labels in proptest::collection::vec(0usize..7, 1..300),
            cuts in (0.0f64..=1.0, 0.0f64..=1.0),
            stratified: bool,
            seed: u64,
        ) {
            let (low, high) = (cuts.0.min(cuts.1), cuts.0.max(cuts.1));
            let ratios = [low, high - low, 1.0 - high];
            let split = Split { ratios, way: if stratified { Way::Stratified } else { Way::Random }, seed };
            let set = labelled(&labels, 7);
            let sizes = if stratified { set.class_counts().unwrap() } else { vec![set.len()] };
            match split.apply(set.clone()) {
                Ok(parts) => {
                    let mut all = [parts.train.indices(), parts.valid.indices(), parts.test.indices()].concat();
                    prop_assert!(Part::ALL.iter().all(|&p| parts.part(p).indices().is_sorted()));
                    all.sort_unstable();
                    prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
                    let counts = if stratified { parts.report().counts } else { vec![parts.report().totals()] };
                    for (count, size) in counts.iter().zip(&sizes) {
                        for p in 0..3 {
                            prop_assert!((count[p] as f64 - ratios[p] * *size as f64).abs() < 1.0);
                        }
                        prop_assert!(count[0] > 0 || *size == 0 || ratios[0] == 0.0);
                    }
                    let tiny = sizes.iter().any(|&n| n > 0 && ratios[0] * (n as f64) < 1.0); // train comes first there
                    for (total, ratio) in parts.report().totals().into_iter().zip(ratios) {
                        prop_assert!(total > 0 || ratio == 0.0);
                        prop_assert!(tiny || (total as f64 - ratio * labels.len() as f64).abs() < 2.0);
                    }
                    let again = split.apply(set).unwrap();
                    prop_assert_eq!(again.train.indices(), parts.train.indices());
                }
                Err(Error::EmptyPart { .. }) => {} // few samples or a small ratio: the table of bad splits has these
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
        }
    }
}
