//! Dividing samples that must stay together.

use std::collections::BTreeMap;

use nyang_tensor::Rng;

use super::PURPOSE;

/// The members of each part, no group in two: from the largest group to the smallest, equals in random order, each goes where it brings
/// the counts nearest to the shares.
///
/// ```text
/// p minimises Σ_c ((n[p,c] + g[c] − t[p,c])² − (n[p,c] − t[p,c])²) / n[c] = Σ_c g[c] (2 (n[p,c] − t[p,c]) + g[c]) / n[c]
/// ```
///
/// with g the group's samples of class c, n\[p,c\] those the part has already, and t = ratio · n\[c\] its share of all. A sample without a group is
/// one of its own.
pub(crate) fn deal(labels: &[usize], classes: usize, groups: &[Option<usize>], ratios: &[f64], seed: u64) -> Vec<Vec<usize>> {
    let mut together: BTreeMap<(Option<usize>, usize), Vec<usize>> = BTreeMap::new();
    for (index, group) in groups.iter().enumerate() {
        let key = if group.is_some() { (*group, 0) } else { (None, index) };
        together.entry(key).or_default().push(index);
    }
    let mut together: Vec<Vec<usize>> = together.into_values().collect();
    Rng::keyed([seed, PURPOSE, 0, 1]).shuffle(&mut together);
    together.sort_by_key(|members| std::cmp::Reverse(members.len())); // stable: equals stay in random order

    let counted = |members: &[usize]| {
        members.iter().fold(vec![0.0f64; classes], |mut n, &i| {
            n[labels[i]] += 1.0; // the labels are checked
            n
        })
    };
    let all = counted(&(0..labels.len()).collect::<Vec<_>>());
    let mut missing: Vec<Vec<f64>> = ratios.iter().map(|ratio| all.iter().map(|n| ratio * n).collect()).collect(); // t − n
    let mut parts = vec![Vec::new(); ratios.len()];
    for members in together {
        let group = counted(&members);
        let cost =
            |p: usize| (0..classes).filter(|&c| group[c] > 0.0).map(|c| group[c] * (group[c] - 2.0 * missing[p][c]) / all[c]).sum::<f64>();
        let open = (0..ratios.len()).filter(|&p| ratios[p] > 0.0);
        let best = open.reduce(|best, p| if cost(p) < cost(best) { p } else { best }).unwrap_or(0); // ratios sum to 1
        missing[best].iter_mut().zip(&group).for_each(|(missing, n)| *missing -= n);
        parts[best].extend(members);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn groups_by_hand() {
        // sizes 3, 2, 1 of one class at 1/2 : 1/2. Missing 3, 3: the three go to the first; the two and the one to the second.
        let groups = [9, 9, 9, 4, 4, 7].map(Some);
        let parts = deal(&[0; 6], 1, &groups, &[0.5, 0.5], 1);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
        assert_eq!(parts[0], [0, 1, 2]);
    }

    #[test]
    fn classes_are_balanced_too() {
        // twenty groups of two, half of them of class 1
        let groups: Vec<_> = (0..40).map(|i| Some(i / 2)).collect();
        let labels: Vec<_> = (0..40).map(|i| i / 2 % 2).collect();
        let parts = deal(&labels, 2, &groups, &[0.6, 0.2, 0.2], 5);
        let counts = |part: &Vec<usize>| [0, 1].map(|class| part.iter().filter(|&&i| labels[i] == class).count());
        assert_eq!(parts.iter().map(counts).collect::<Vec<_>>(), [[12, 12], [4, 4], [4, 4]]);
        let order = |seed| deal(&labels, 2, &groups, &[0.5, 0.5], seed);
        assert!(order(1) == order(1) && order(1) != order(2));
    }

    proptest! {
        #[test]
        fn groups_stay_whole_and_every_sample_has_one_part(
            samples in proptest::collection::vec((0usize..4, proptest::option::of(0usize..40)), 1..300),
            cuts in (0.0f64..=1.0, 0.0f64..=1.0),
            seed: u64,
        ) {
            let (low, high) = (cuts.0.min(cuts.1), cuts.0.max(cuts.1));
            let ratios = [low, high - low, 1.0 - high];
            let (labels, groups): (Vec<_>, Vec<_>) = samples.into_iter().unzip();
            let parts = deal(&labels, 4, &groups, &ratios, seed);
            let mut all = parts.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
            let largest = (0..40).map(|g| groups.iter().filter(|group| **group == Some(g)).count()).max().unwrap_or(0).max(1);
            for (part, ratio) in parts.iter().zip(ratios) {
                prop_assert!(ratio > 0.0 || part.is_empty());
                for other in parts.iter().filter(|other| !std::ptr::eq(*other, part)) {
                    prop_assert!(part.iter().all(|&i| groups[i].is_none() || other.iter().all(|&j| groups[i] != groups[j])));
                }
                // one class: no part is further from its share than the largest group
                let alone = deal(&vec![0; labels.len()], 1, &groups, &ratios, seed);
                for (part, ratio) in alone.iter().zip(ratios) {
                    prop_assert!((part.len() as f64 - ratio * labels.len() as f64).abs() <= largest as f64 + 1e-9);
                }
            }
        }
    }
}
