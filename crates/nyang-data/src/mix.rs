//! Batches whose images are mixed with one another, and their targets too.

use nyang_tensor::{Rng, Targets, Tensor};

use crate::gamma::dirichlet;
use crate::{Batch, Error, Result};

/// Blends each image with another one of its batch: torchvision's `MixUp`.
///
/// ```text
/// x ← λ x + (1 − λ) x′      target ← λ one-hot(y) + (1 − λ) one-hot(y′)      λ ~ Beta(α, α), one a batch
/// ```
///
/// The other image is the one before it in the batch, the last one for the first.
///
/// # Reference
/// Zhang et al. 2017, *mixup: Beyond Empirical Risk Minimization*, arXiv:1710.09412.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixUp {
    alpha: f64,
}

impl MixUp {
    /// With this α above 0: 1 makes all λ equally likely, 0.2 mostly keeps one of the two.
    pub fn new(alpha: f64) -> Self {
        MixUp { alpha }
    }
}

/// Replaces a rectangle of each image by another one's of its batch: torchvision's `CutMix`.
///
/// ```text
/// λ ~ Beta(α, α); a rectangle of ⌊√(1 − λ) W / 2⌋ and ⌊√(1 − λ) H / 2⌋ pixels each way about a uniform pixel, cut off at the edges
/// target ← λ′ one-hot(y) + (1 − λ′) one-hot(y′)      λ′ = 1 − the rectangle's part of the area
/// ```
///
/// # Reference
/// Yun et al. 2019, *CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features*, arXiv:1905.04899.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CutMix {
    alpha: f64,
}

impl CutMix {
    /// With this α above 0; 1 is usual.
    pub fn new(alpha: f64) -> Self {
        CutMix { alpha }
    }
}

/// How the images of a batch are mixed: [`MixUp`], [`CutMix`], or one of the two for each batch.
///
/// ```
/// use nyang_data::{CutMix, Digits, Loader, Mix, MixUp};
/// use nyang_tensor::Targets;
///
/// let loader = Loader::new(Digits::load()?).shuffle(1).mix(Mix::either(MixUp::new(0.2), CutMix::new(1.0)));
/// let batch = loader.epoch(0).next().unwrap()?;
/// assert!(matches!(batch.targets, Targets::Soft(rows) if rows.dims() == [32, 10]));
/// # Ok::<(), nyang_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    mix_up: Option<MixUp>,
    cut_mix: Option<CutMix>,
}

impl From<MixUp> for Mix {
    fn from(mix_up: MixUp) -> Self {
        Mix { mix_up: Some(mix_up), cut_mix: None }
    }
}

impl From<CutMix> for Mix {
    fn from(cut_mix: CutMix) -> Self {
        Mix { mix_up: None, cut_mix: Some(cut_mix) }
    }
}

impl Mix {
    /// One of the two for each batch, both equally likely.
    pub fn either(mix_up: MixUp, cut_mix: CutMix) -> Self {
        Mix { mix_up: Some(mix_up), cut_mix: Some(cut_mix) }
    }

    /// Whether the settings make sense.
    ///
    /// # Errors
    /// [`Error::Argument`] for an α that is not above 0 and finite.
    pub fn check(&self) -> Result<()> {
        let alphas = [("MixUp", self.mix_up.map(|m| m.alpha)), ("CutMix", self.cut_mix.map(|m| m.alpha))];
        for (op, alpha) in alphas.into_iter().filter_map(|(op, alpha)| Some((op, alpha?))) {
            if !(alpha > 0.0 && alpha.is_finite()) {
                return Err(Error::argument(op, "alpha", alpha, "a finite number above 0"));
            }
        }
        Ok(())
    }

    /// The batch mixed, with soft targets of so many classes.
    ///
    /// # Errors
    /// Those of [`Mix::check`]; [`Error::Tensor`] for targets that are no classes or soft already.
    pub fn apply(&self, mut batch: Batch, classes: usize, rng: &mut Rng) -> Result<Batch> {
        self.check()?;
        let mix_up = self.mix_up.filter(|_| self.cut_mix.is_none() || rng.below(2) == 0);
        let lambda = match (mix_up, self.cut_mix) {
            (Some(MixUp { alpha }), _) => blend(&mut batch.images, beta(alpha, rng))?,
            (None, Some(CutMix { alpha })) => {
                let &[_, _, h, w] = batch.images.dims() else { return Ok(batch) };
                paste(&mut batch.images, rectangle(h, w, beta(alpha, rng), rng))?
            }
            (None, None) => 1.0,
        };
        let labels = batch.targets.classes()?;
        let mut targets = Targets::<f32>::one_hot(&labels, classes)?;
        blend(&mut targets, lambda)?;
        batch.targets = Targets::Soft(targets);
        Ok(batch)
    }
}

fn beta(alpha: f64, rng: &mut Rng) -> f64 {
    dirichlet(alpha, 2, rng).first().copied().unwrap_or(1.0)
}

/// Each row λ itself and 1 − λ the one before it; gives λ back.
fn blend(rows: &mut Tensor<f32>, lambda: f64) -> Result<f64> {
    let n = rows.dims().first().copied().unwrap_or(0);
    let values = rows.memory_mut()?;
    let size = values.len() / n.max(1);
    let old = values.to_vec();
    let (own, other) = (lambda as f32, (1.0 - lambda) as f32);
    for (i, row) in values.chunks_exact_mut(size.max(1)).enumerate() {
        let before = &old[(i + n - 1) % n * size..][..size];
        row.iter_mut().zip(before).for_each(|(x, x0)| *x = own * *x + other * x0);
    }
    Ok(lambda)
}

/// Rows and columns of a rectangle of about 1 − λ of the area, whose middle lies anywhere.
fn rectangle(h: usize, w: usize, lambda: f64, rng: &mut Rng) -> [std::ops::Range<usize>; 2] {
    let half = |side: usize| (0.5 * (1.0 - lambda).sqrt() * side as f64) as usize;
    let (x, y) = (rng.below(w), rng.below(h));
    let about = |at: usize, half: usize, side: usize| at.saturating_sub(half)..(at + half).min(side);
    [about(y, half(h), h), about(x, half(w), w)]
}

/// Puts this rectangle of each image's predecessor into it; gives the part that is still its own.
fn paste(images: &mut Tensor<f32>, [rows, columns]: [std::ops::Range<usize>; 2]) -> Result<f64> {
    *images = images.channels_last()?;
    let &[n, c, h, w] = images.dims() else { return Ok(1.0) };
    let values = images.memory_mut()?;
    let old = values.to_vec();
    for i in 0..n {
        let before = (i + n - 1) % n;
        for y in rows.clone() {
            let at = |image: usize| (((image * h + y) * w + columns.start) * c)..(((image * h + y) * w + columns.end) * c);
            values[at(i)].copy_from_slice(&old[at(before)]);
        }
    }
    Ok(1.0 - (rows.len() * columns.len()) as f64 / (h * w) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Image, InMemory, Loader, Sample, Source};

    /// Images of one value each: 0, 10, 20, …, and the classes 0, 1, 2, 0, ….
    fn batch(n: usize) -> Batch {
        let sample = |i: usize| Sample {
            image: Image::from_floats(8, 6, 2, vec![10.0 * i as f32; 96]).unwrap(),
            label: i % 3,
            source: Source::item("set", i),
        };
        Batch::new((0..n).map(|i| (i, sample(i))).collect()).unwrap()
    }

    fn soft(batch: &Batch) -> Vec<f32> {
        match &batch.targets {
            Targets::Soft(rows) => rows.to_vec(),
            _ => panic!("targets are soft"),
        }
    }

    #[test]
    fn images_and_targets_are_blended_alike() {
        for seed in 0..20 {
            let mixed = Mix::from(MixUp::new(0.4)).apply(batch(3), 3, &mut Rng::seed(seed)).unwrap();
            let rows = soft(&mixed);
            let lambda = rows[0]; // class 0 of sample 0
            assert!((rows[2] - (1.0 - lambda)).abs() < 1e-6 && rows[1] == 0.0, "{rows:?}"); // its predecessor is sample 2, of class 2
            let value = |i| mixed.images.get(&[i, 1, 7, 5]).unwrap();
            assert!((value(0) - 20.0 * (1.0 - lambda)).abs() < 1e-4 && (value(2) - (20.0 * lambda + 10.0 * (1.0 - lambda))).abs() < 1e-4);
            assert!(rows.chunks(3).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
        }
    }

    #[test]
    fn targets_say_how_much_of_each_image_is_seen() {
        let mut parts = Vec::new();
        for seed in 0..300 {
            let mixed = Mix::from(CutMix::new(1.0)).apply(batch(2), 3, &mut Rng::seed(seed)).unwrap();
            let other = (0..48).filter(|&i| mixed.images.get(&[0, 0, i / 6, i % 6]) == Some(10.0)).count();
            let rows = soft(&mixed);
            assert!((rows[1] - other as f32 / 48.0).abs() < 1e-6 && (rows[0] + rows[1] - 1.0).abs() < 1e-6, "{rows:?} {other}");
            parts.push(other);
        }
        assert!(parts.contains(&0) && parts.iter().max() == Some(&24)); // ⌊4 √(1 − λ)⌋ and ⌊3 √(1 − λ)⌋ each way: 6 × 4
    }

    /// λ = 1/4 leaves √(3/4)/2 = 0.433 of each side: ⌊4.33⌋ and ⌊8.66⌋ pixels each way.
    #[test]
    fn rectangles_by_hand() {
        let mut rng = Rng::seed(1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..4000 {
            let [rows, columns] = rectangle(10, 20, 0.25, &mut rng);
            assert!(rows.end <= 10 && columns.end <= 20 && rows.len() <= 8 && columns.len() <= 16);
            seen.insert((rows.start, rows.end, columns.start, columns.end));
        }
        assert_eq!(seen.len(), 200); // every middle once
        assert!(seen.contains(&(0, 4, 0, 8)) && seen.contains(&(5, 10, 11, 20)) && seen.contains(&(1, 9, 2, 18)));
    }

    #[test]
    fn a_loader_mixes_the_same_for_any_number_of_workers_and_anew_each_epoch() {
        let set = InMemory::from_bytes([9, 2, 2, 1], (0..36).collect(), (0..9).map(|i| i % 3).collect(), ["a", "b", "c"]).unwrap();
        let loader = Loader::new(set).batch_size(4).mix(Mix::either(MixUp::new(1.0), CutMix::new(1.0)));
        let batches = |workers, epoch| loader.clone().workers(workers).epoch(epoch).map(Result::unwrap).collect::<Vec<Batch>>();
        assert_eq!(batches(0, 0), batches(2, 0));
        assert_ne!(batches(0, 0), batches(0, 1));
        assert_eq!(loader.epoch_from(1, 2).next().unwrap().unwrap(), batches(0, 1)[2]); // a batch of one is mixed with itself
        assert_eq!(batches(0, 1)[2].targets.classes().unwrap(), [2]);
        for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(loader.clone().mix(MixUp::new(alpha)).check().is_err() && loader.clone().mix(CutMix::new(alpha)).check().is_err());
        }
    }
}
