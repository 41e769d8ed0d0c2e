//! Splitting: which samples to learn from, which to choose by, which to judge by.

use std::sync::Arc;

use nyang_tensor::Rng;

use crate::dataset::check_classes;
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    ratios: [f64; 3],
    stratified: bool,
    seed: u64,
}

impl Split {
    /// Each class divided by these ratios, which are at least 0 and sum to 1.
    pub fn stratified(train: f64, valid: f64, test: f64) -> Self {
        Split { ratios: [train, valid, test], stratified: true, seed: 0 }
    }

    /// The whole dataset divided by these ratios, whatever the classes. For data whose classes are large anyway.
    pub fn random(train: f64, valid: f64, test: f64) -> Self {
        Split { stratified: false, ..Split::stratified(train, valid, test) }
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
    /// [`Error::EmptyPart`]; [`Error::Label`] for a label that is no class; [`Error::NoClasses`], [`Error::DuplicateClass`]; and
    /// whatever reading a label gives.
    pub fn apply<D: Dataset>(&self, dataset: D) -> Result<Parts<D>> {
        let dataset = Arc::new(dataset);
        let ratios = self.checked_ratios()?;
        check_classes(dataset.classes())?;
        if dataset.is_empty() {
            return Err(Error::Empty { op: "Split" });
        }
        let labels: Vec<usize> = (0..dataset.len()).map(|index| checked_label(&*dataset, index)).collect::<Result<_>>()?;
        let classes = dataset.classes().len();
        let groups = if self.stratified { by_label(&labels, classes) } else { vec![(0..labels.len()).collect()] };
        let members = self.divide(groups, ratios);

        for (part, (members, ratio)) in Part::ALL.into_iter().zip(members.iter().zip(ratios)) {
            if members.is_empty() && ratio > 0.0 {
                let classes = by_label(&labels, classes).iter().filter(|class| !class.is_empty()).count();
                return Err(Error::EmptyPart { part, ratio, samples: labels.len(), classes });
            }
        }
        let [train, valid, test] = members.map(|members| {
            let labels = members.iter().map(|&index| labels[index]).collect();
            Subset::trusted(dataset.clone(), members, labels)
        });
        Ok(Parts { train, valid, test })
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

    /// The members of each part, in ascending order.
    fn divide(&self, groups: Vec<Vec<usize>>, ratios: [f64; 3]) -> [Vec<usize>; 3] {
        let mut parts: [Vec<usize>; 3] = Default::default();
        let mut behind = [0.0; 3];
        for (group, mut members) in groups.into_iter().enumerate() {
            let counts = share(members.len(), ratios, &mut behind);
            Rng::keyed([self.seed, PURPOSE, group as u64, 0]).shuffle(&mut members);
            let mut members = members.into_iter();
            for (part, count) in parts.iter_mut().zip(counts) {
                part.extend(members.by_ref().take(count));
            }
        }
        parts.iter_mut().for_each(|part| part.sort_unstable());
        parts
    }
}

/// The indices of each class's samples.
fn by_label(labels: &[usize], classes: usize) -> Vec<Vec<usize>> {
    let mut groups = vec![Vec::new(); classes];
    labels.iter().enumerate().for_each(|(index, &label)| groups[label].push(index)); // the labels are checked
    groups
}

/// How many of `n` samples each part gets: ⌊q⌋ or ⌈q⌉ of its share q = ratio · n, `n` in all.
///
/// `behind` is how far each part is behind its share after the groups so far.
fn share(n: usize, ratios: [f64; 3], behind: &mut [f64; 3]) -> [usize; 3] {
    let exact = |ratio: f64| {
        let q = ratio * n as f64;
        // 0.07 · 100 is 7.000000000000001: no share of an eighth sample
        if (q - q.round()).abs() <= 8.0 * f64::EPSILON * n as f64 { q.round() } else { q }
    };
    let quotas = ratios.map(exact);
    let mut counts = quotas.map(|q| q.floor() as usize);
    (0..3).for_each(|p| behind[p] += quotas[p] - counts[p] as f64);
    for _ in counts.iter().sum()..n {
        let open = |p: &usize| (counts[*p] as f64) < quotas[*p];
        let furthest = (0..3).filter(open).reduce(|best, p| if behind[p] > behind[best] { p } else { best });
        let to = if counts[0] == 0 && open(&0) { 0 } else { furthest.unwrap_or(0) };
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
            let split = Split { ratios, stratified, seed };
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
