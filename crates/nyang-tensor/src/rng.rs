//! Random numbers whose values never change: the same seed means the same numbers next year.
//!
//! The bits come from ChaCha8, whose output is specified; uniform, normal and shuffle are written here, because a library of distributions
//! may improve its algorithms, and then every recorded experiment would change.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// A seeded generator.
///
/// ```
/// # use nyang_tensor::Rng;
/// let (mut a, mut b) = (Rng::seed(42), Rng::seed(42));
/// assert_eq!(a.uniform(), b.uniform());
/// ```
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The generator of this seed.
    pub fn seed(seed: u64) -> Self {
        Self::keyed([seed, 0, 0, 0])
    }

    /// The generator of four numbers, such as seed, purpose, epoch and index: different keys give independent streams.
    ///
    /// This is how a sample's augmentation can depend on (seed, epoch, index) and on nothing else.
    pub fn keyed(key: [u64; 4]) -> Self {
        let mut bytes = [0; 32];
        for (slot, k) in bytes.chunks_exact_mut(8).zip(key) {
            slot.copy_from_slice(&k.to_le_bytes());
        }
        Rng(ChaCha8Rng::from_seed(bytes))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform on `[0, 1)`: a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Standard normal, by Box and Muller's transform of two uniform numbers.
    ///
    /// ```text
    /// √(−2 ln(1 − u)) · cos(2π v)
    /// ```
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos() // 1 − u > 0, so the logarithm is finite
    }

    /// Uniform on `0..n` without bias (Lemire 2019, arXiv:1805.10941); 0 for `n` = 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        loop {
            let product = u128::from(self.bits()) * u128::from(n);
            // the low half is below 2⁶⁴ mod n for the few values that would be drawn once too often
            if n == 0 || product as u64 >= n.wrapping_neg() % n {
                return (product >> 64) as usize;
            }
        }
    }

    /// Puts `items` in random order, each order equally likely (Fisher and Yates).
    pub fn shuffle<I>(&mut self, items: &mut [I]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// `0..n` in random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ChaCha8 of an all-zero key, first block: the published test vector (draft-strombergson-chacha-test-vectors-01, TC1, 8 rounds).
    #[test]
    fn the_bits_are_chacha8() {
        let mut rng = Rng::seed(0);
        assert_eq!(rng.bits().to_le_bytes(), [0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6]);
        assert_eq!(rng.bits().to_le_bytes(), [0x7f, 0x5b, 0xb8, 0xe8, 0x1f, 0x09, 0xa5, 0xa1]);
    }

    /// The first 16 bytes of that vector again, by the formula of [`Rng::uniform`].
    #[test]
    fn the_first_uniform_number_follows_from_the_vector() {
        let bits = u64::from_le_bytes([0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6]);
        assert_eq!(Rng::seed(0).uniform(), (bits / 2048) as f64 / 9_007_199_254_740_992.0);
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let (mut rng, n) = (Rng::seed(1), 200_000);
        let draw = |f: &mut dyn FnMut() -> f64| {
            let v: Vec<f64> = (0..n).map(|_| f()).collect();
            let mean = v.iter().sum::<f64>() / n as f64;
            (mean, v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64)
        };
        let (mean, var) = draw(&mut || rng.uniform());
        assert!((mean - 0.5).abs() < 0.004 && (var - 1.0 / 12.0).abs() < 0.002, "{mean} {var}"); // about 6 σ each
        let (mean, var) = draw(&mut || rng.normal());
        assert!(mean.abs() < 0.014 && (var - 1.0).abs() < 0.02, "{mean} {var}");
    }

    #[test]
    fn a_shuffle_keeps_all_and_reaches_every_order() {
        let mut rng = Rng::seed(3);
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            *seen.entry(rng.permutation(3)).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 6);
        assert!(seen.values().all(|&n| (800..1200).contains(&n)), "{seen:?}"); // 1000 ± 7 σ
    }

    #[test]
    fn below_reaches_the_last_value_and_never_the_limit() {
        let mut rng = Rng::seed(4);
        let drawn: Vec<usize> = (0..1000).map(|_| rng.below(7)).collect();
        assert!(drawn.iter().all(|&v| v < 7) && drawn.contains(&0) && drawn.contains(&6));
        assert_eq!((rng.below(0), rng.below(1)), (0, 0));
    }

    #[test]
    fn other_keys_give_other_streams() {
        let first = |key| Rng::keyed(key).bits();
        let keys = [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]];
        let bits: std::collections::BTreeSet<u64> = keys.map(first).into();
        assert_eq!(bits.len(), keys.len());
    }
}
