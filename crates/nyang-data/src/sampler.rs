//! Which samples an epoch takes, and in which order: a function of (seed, epoch) and the labels, of nothing else.

use std::sync::Arc;

use nyang_tensor::Rng;

use crate::subset::checked_label;
use crate::{Dataset, Error, Result};

/// What random numbers are for, in their key beside seed and epoch.
const SHUFFLE: u64 = u64::from_le_bytes(*b"shuffle\0");
const WEIGHTED: u64 = u64::from_le_bytes(*b"weighted");
const BALANCED: u64 = u64::from_le_bytes(*b"balanced");

/// How an epoch draws its samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Sampler {
    /// Each once, in the dataset's order.
    #[default]
    Sequential,
    /// Each once, in random order.
    Random,
    /// With replacement, as likely as these weights say.
    Weighted(Arc<[f64]>),
    /// As many of each class, none twice before all of its class have come.
    Balanced,
}

impl Sampler {
    /// Whether the settings make sense for that many samples.
    pub fn check(&self, samples: usize) -> Result<()> {
        let Sampler::Weighted(weights) = self else { return Ok(()) };
        let bad = |value: String, why| Err(Error::argument("Loader", "weights", value, why));
        if weights.len() != samples {
            return bad(format!("{} numbers", weights.len()), "one weight a sample");
        }
        if let Some(wrong) = weights.iter().find(|w| !w.is_finite() || **w < 0.0) {
            return bad(wrong.to_string(), "each must be a finite number that is at least 0");
        }
        let sum: f64 = weights.iter().sum();
        if !(sum > 0.0 && sum.is_finite()) {
            return bad(format!("a sum of {sum}"), "at least one must be above 0, and their sum finite");
        }
        Ok(())
    }

    /// The samples of an epoch, as many as the dataset has.
    pub fn order(&self, dataset: &dyn Dataset, seed: u64, epoch: u64) -> Result<Vec<usize>> {
        let n = dataset.len();
        let mut order = reserved(n)?;
        match self {
            Sampler::Sequential => order.extend(0..n),
            Sampler::Random => {
                order.extend(0..n);
                Rng::keyed([seed, SHUFFLE, epoch, 0]).shuffle(&mut order);
            }
            Sampler::Weighted(weights) => {
                // a draw falls on the first sample whose running sum is above it
                let mut sums = Vec::with_capacity(n);
                sums.extend(weights.iter().scan(0.0, |sum, w| {
                    *sum += w;
                    Some(*sum)
                }));
                let total = sums.last().copied().unwrap_or(0.0);
                let last = weights.iter().rposition(|w| *w > 0.0).unwrap_or(0);
                let mut rng = Rng::keyed([seed, WEIGHTED, epoch, 0]);
                order.extend((0..n).map(|_| {
                    let draw = rng.uniform() * total;
                    sums.partition_point(|sum| *sum <= draw).min(last) // rounding may reach the total
                }));
            }
            Sampler::Balanced => balanced(dataset, seed, epoch, &mut order)?,
        }
        Ok(order)
    }

    /// Whether a sample can come twice in an epoch.
    pub fn repeats(&self) -> bool {
        matches!(self, Sampler::Weighted(_) | Sampler::Balanced)
    }
}

/// n draws: n / C of each of the C classes that have samples, the remainder one each to classes drawn by lot. A class is dealt out in
/// random order, and in another one again when it is used up.
fn balanced(dataset: &dyn Dataset, seed: u64, epoch: u64, order: &mut Vec<usize>) -> Result<()> {
    let n = dataset.len();
    let mut classes = vec![Vec::new(); dataset.classes().len()];
    for index in 0..n {
        classes[checked_label(dataset, index)?].push(index);
    }
    classes.retain(|members: &Vec<usize>| !members.is_empty());
    let mut rng = Rng::keyed([seed, BALANCED, epoch, 0]);
    rng.shuffle(&mut classes);
    let (share, rest) = (n / classes.len().max(1), n % classes.len().max(1));
    for (place, mut members) in classes.into_iter().enumerate() {
        let mut wanted = share + usize::from(place < rest);
        while wanted > 0 {
            rng.shuffle(&mut members);
            order.extend(members.iter().take(wanted));
            wanted -= wanted.min(members.len());
        }
    }
    rng.shuffle(order);
    Ok(())
}

/// For each place of an order how often its sample has come before; nothing where none can come twice.
pub(crate) fn repeats(order: &[usize], samples: usize) -> Result<Vec<u32>> {
    let mut seen: Vec<u32> = reserved(samples)?;
    seen.resize(samples, 0);
    let count = |&index: &usize| {
        let times = seen.get_mut(index)?;
        *times += 1;
        Some(*times - 1)
    };
    Ok(order.iter().map_while(count).collect())
}

/// An empty list with room for that many.
fn reserved<T>(n: usize) -> Result<Vec<T>> {
    let mut list = Vec::new();
    let bytes = n.saturating_mul(size_of::<T>());
    list.try_reserve_exact(n).map_err(|_| nyang_tensor::Error::Memory { bytes })?;
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Custom, Image, InMemory, Loader, Pixels, transforms};

    /// Ten samples of class a, three of b, none of c, one of d.
    fn uneven() -> InMemory {
        let labels = [[0; 10].as_slice(), &[1; 3], &[3; 1]].concat();
        InMemory::from_bytes([14, 1, 1, 1], (0..14).collect(), labels, ["a", "b", "c", "d"]).unwrap()
    }

    #[test]
    fn balanced_epochs_have_as_many_of_each_class_and_use_all_of_it_first() {
        let loader = Loader::new(uneven()).balanced(7);
        let mut seen = [0; 14];
        for epoch in 0..30 {
            let order = loader.order(epoch).unwrap();
            let class = |c: usize| order.iter().filter(|&&i| uneven().labels()[i] == c).count();
            let counts = [class(0), class(1), class(2), class(3)];
            assert!(counts[2] == 0 && counts.iter().sum::<usize>() == 14, "{counts:?}");
            assert!([0, 1, 3].iter().all(|&c| counts[c] == 4 || counts[c] == 5), "{counts:?}");
            for b in 10..13 {
                let times = order.iter().filter(|&&i| i == b).count();
                assert!((1..=2).contains(&times), "{times}"); // 4 or 5 draws of 3
            }
            order.iter().for_each(|&i| seen[i] += 1);
            assert_ne!(order, loader.order(epoch + 1).unwrap());
        }
        assert!(seen[..10].iter().all(|&n| n > 5), "{seen:?}"); // 30 · 14 / 3 / 10 = 14 each
    }

    #[test]
    fn weighted_draws_come_as_often_as_their_weights_say() {
        let weights: Vec<f64> = (0..14).map(|i| if i == 13 { 0.0 } else { f64::from(i) }).collect();
        let loader = Loader::new(uneven()).weighted(weights.clone(), 3);
        let mut seen = [0.0; 14];
        (0..2000).for_each(|epoch| loader.order(epoch).unwrap().iter().for_each(|&i| seen[i] += 1.0));
        for (seen, weight) in seen.iter().zip(weights) {
            let expected = 28000.0 * weight / 78.0;
            assert!((seen - expected).abs() <= 5.0 * expected.sqrt(), "{seen} of {expected}"); // 5 σ
        }
    }

    #[test]
    fn wrong_weights_are_errors() {
        let cases = [
            (vec![1.0; 3], "weights = 3 numbers is not valid: one weight a sample"),
            (vec![-1.0; 14], "at least 0"),
            (vec![f64::NAN; 14], "at least 0"),
            (vec![0.0; 14], "at least one must be above 0"),
            (vec![f64::MAX; 14], "their sum finite"),
        ];
        for (weights, said) in cases {
            let error = Loader::new(uneven()).weighted(weights, 1).check().unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_sample_that_comes_again_in_an_epoch_looks_different() {
        let noise = |image: Image, rng: &mut Rng| Ok(Image { pixels: Pixels::F32(vec![rng.uniform() as f32]), ..image });
        let loader = Loader::new(uneven()).balanced(7).batch_size(14).transform(transforms![Custom::new("noise", noise)]);
        for workers in [0, 2] {
            let batch = loader.clone().workers(workers).epoch(0).next().unwrap().unwrap();
            let mut seen: Vec<u32> = batch.images.to_vec().into_iter().map(f32::to_bits).collect();
            assert_eq!(batch.indices.iter().filter(|&&i| i == 13).count(), seen.len() - batch.indices.iter().filter(|&&i| i != 13).count());
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 14);
        }
        assert_eq!(repeats(&[2, 0, 2, 2, 1, 0], 3).unwrap(), [0, 0, 1, 2, 0, 1]);
    }
}
