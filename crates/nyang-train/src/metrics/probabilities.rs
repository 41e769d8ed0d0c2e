//! The scores that need more than the predicted class: top-k, ROC-AUC, log-loss, calibration.

use crate::{Error, Result};

/// Every sample's probabilities and its true class, collected over the epoch.
///
/// Four bytes a probability are kept: 40 MB for 10,000 samples of 1000 classes.
///
/// ```
/// # use nyang_train::metrics::Probabilities;
/// let mut epoch = Probabilities::new(3)?;
/// epoch.add(&[0.7, 0.2, 0.1, 0.1, 0.5, 0.4], &[0, 2])?; // a batch of two
/// epoch.add(&[0.1, 0.6, 0.3], &[1])?;
/// assert_eq!(epoch.top_k(1)?, 2.0 / 3.0);
/// assert_eq!(epoch.top_k(2)?, 1.0);
/// assert_eq!(epoch.roc_auc()?, Some(1.0));
/// # Ok::<(), nyang_train::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Probabilities {
    classes: usize,
    rows: Vec<f32>, // N × C, row-major
    targets: Vec<usize>,
}

/// The samples of one range of confidence: how sure the model was, and how often right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reliability {
    /// The number of samples.
    pub samples: u64,
    /// The mean of the highest probabilities; 0 without samples.
    pub confidence: f64,
    /// The share that is right; 0 without samples.
    pub accuracy: f64,
}

impl Probabilities {
    /// No samples yet, of this many classes.
    ///
    /// # Errors
    /// [`Error::Argument`] for no classes.
    pub fn new(classes: usize) -> Result<Self> {
        if classes == 0 {
            return Err(Error::argument("Probabilities", "classes", 0, "there must be at least 1 class"));
        }
        Ok(Probabilities { classes, rows: Vec::new(), targets: Vec::new() })
    }

    /// Adds a batch: one row of probabilities, as softmax gives it, and one true class a sample.
    ///
    /// # Errors
    /// [`Error::Lengths`] unless there are classes × samples probabilities; [`Error::Class`] for a target that is no class;
    /// [`Error::Argument`] for a probability outside 0 ..= 1, which logits would be. Then nothing of the batch is added.
    pub fn add(&mut self, probabilities: &[f32], targets: &[usize]) -> Result<()> {
        const OP: &str = "Probabilities::add";
        if Some(probabilities.len()) != targets.len().checked_mul(self.classes) {
            return Err(Error::Lengths { op: OP, predictions: probabilities.len() / self.classes, targets: targets.len() });
        }
        if let Some((sample, &class)) = targets.iter().enumerate().find(|(_, class)| **class >= self.classes) {
            return Err(Error::Class { sample, what: "target", class, classes: self.classes });
        }
        if let Some(p) = probabilities.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Err(Error::argument(OP, "probability", p, "must be from 0 to 1: give softmax's output, not logits"));
        }
        self.rows.extend_from_slice(probabilities);
        self.targets.extend_from_slice(targets);
        Ok(())
    }

    /// Forgets all samples: the next epoch begins.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.targets.clear();
    }

    /// The number of samples.
    pub fn samples(&self) -> usize {
        self.targets.len()
    }

    /// Each sample's probabilities beside its true class.
    fn each(&self) -> impl Iterator<Item = (&[f32], usize)> {
        self.rows.chunks_exact(self.classes).zip(self.targets.iter().copied())
    }

    /// The mean of a value of each sample.
    fn mean(&self, op: &'static str, value: impl Fn(&[f32], usize) -> f64) -> Result<f64> {
        if self.targets.is_empty() {
            return Err(Error::NoSamples { op });
        }
        Ok(self.each().map(|(row, target)| value(row, target)).sum::<f64>() / self.targets.len() as f64)
    }

    /// The share of samples whose true class is among the `k` most probable.
    ///
    /// Of equally probable classes the ones with the higher numbers come first, as in scikit-learn; so `top_k(1)` may differ from the
    /// accuracy, whose prediction is the first of them, where a row's maximum occurs twice.
    ///
    /// # Errors
    /// [`Error::Argument`] for k = 0; [`Error::NoSamples`].
    pub fn top_k(&self, k: usize) -> Result<f64> {
        if k == 0 {
            return Err(Error::argument("top_k", "k", 0, "must be at least 1"));
        }
        self.mean("top_k", |row, target| {
            let of_target = row.get(target).copied().unwrap_or(0.0);
            let before = |(class, &p): (usize, &f32)| p > of_target || (p == of_target && class > target);
            f64::from(u8::from(row.iter().enumerate().filter(|entry| before(*entry)).count() < k))
        })
    }

    /// The mean of −ln p of the true class. A probability of 0 counts as 2.2e-16, so that one sure mistake costs 36 and not infinity.
    ///
    /// # Errors
    /// [`Error::NoSamples`].
    pub fn log_loss(&self) -> Result<f64> {
        self.mean("log_loss", |row, target| {
            let p = f64::from(row.get(target).copied().unwrap_or(0.0));
            -p.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
        })
    }

    /// Each class against the rest: how likely a random sample of the class has a higher probability of it than a random other sample;
    /// ties count half. `None` for a class that has no samples, or all of them.
    ///
    /// Found by sorting, in O(N log N) for each class:
    ///
    /// ```text
    /// AUC = (Σ ranks of the class's samples − n(n+1)/2) / (n·m)      n samples of the class, m others; equal ones share their mean rank
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSamples`].
    ///
    /// # Reference
    /// Hanley & McNeil 1982, *The meaning and use of the area under a receiver operating characteristic curve*.
    pub fn roc_auc_per_class(&self) -> Result<Vec<Option<f64>>> {
        if self.targets.is_empty() {
            return Err(Error::NoSamples { op: "roc_auc" });
        }
        Ok((0..self.classes).map(|class| self.roc_auc_of(class)).collect())
    }

    /// The plain mean over the classes of [`Probabilities::roc_auc_per_class`], without those that have no value; `None` if none has.
    ///
    /// # Errors
    /// [`Error::NoSamples`].
    pub fn roc_auc(&self) -> Result<Option<f64>> {
        let defined: Vec<f64> = self.roc_auc_per_class()?.into_iter().flatten().collect();
        Ok((!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64))
    }

    fn roc_auc_of(&self, class: usize) -> Option<f64> {
        let mut scores: Vec<(f32, bool)> =
            self.each().map(|(row, target)| (row.get(class).copied().unwrap_or(0.0), target == class)).collect();
        scores.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let n = scores.iter().filter(|(_, positive)| *positive).count() as u128;
        let m = scores.len() as u128 - n;
        let (mut below, mut doubled) = (0, 0); // ranks twice, so that the mean of two neighbours is whole
        for equal in scores.chunk_by(|a, b| a.0 == b.0) {
            let (size, positives) = (equal.len() as u128, equal.iter().filter(|(_, positive)| *positive).count() as u128);
            doubled += positives * (2 * below + size + 1); // first rank below + 1, last below + size
            below += size;
        }
        (n > 0 && m > 0).then(|| (doubled - n * (n + 1)) as f64 / (2 * n * m) as f64)
    }

    /// The samples by the probability of their most probable class, in `bins` ranges of equal width, each without its lower end: the
    /// points of a reliability diagram.
    ///
    /// # Errors
    /// [`Error::Argument`] for no bins; [`Error::NoSamples`].
    pub fn reliability(&self, bins: usize) -> Result<Vec<Reliability>> {
        if bins == 0 {
            return Err(Error::argument("reliability", "bins", 0, "must be at least 1"));
        }
        if self.targets.is_empty() {
            return Err(Error::NoSamples { op: "reliability" });
        }
        let mut found = vec![Reliability::default(); bins];
        for (row, target) in self.each() {
            // the first of equal ones, as everywhere
            let (class, p) = row.iter().enumerate().fold((0, 0.0f32), |best, (class, &p)| if p > best.1 { (class, p) } else { best });
            let bin = (f64::from(p) * bins as f64).ceil() as usize;
            if let Some(bin) = found.get_mut(bin.saturating_sub(1)) {
                bin.samples += 1;
                bin.confidence += f64::from(p);
                bin.accuracy += f64::from(u8::from(class == target));
            }
        }
        for bin in found.iter_mut().filter(|bin| bin.samples > 0) {
            bin.confidence /= bin.samples as f64;
            bin.accuracy /= bin.samples as f64;
        }
        Ok(found)
    }

    /// The expected calibration error: how far the model's confidence is from its accuracy, in the mean over samples. 0 is honest.
    ///
    /// ```text
    /// ECE = Σ_b |B_b|/N · |accuracy(B_b) − confidence(B_b)|       B_b: the samples whose highest probability is in range b
    /// ```
    ///
    /// # Errors
    /// As [`Probabilities::reliability`].
    ///
    /// # Reference
    /// Guo et al. 2017, *On Calibration of Modern Neural Networks*, arXiv:1706.04599, equation 3; they take 15 bins.
    pub fn calibration_error(&self, bins: usize) -> Result<f64> {
        let gaps = self.reliability(bins)?.into_iter().map(|bin| bin.samples as f64 * (bin.accuracy - bin.confidence).abs());
        Ok(gaps.sum::<f64>() / self.targets.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(classes: usize, rows: &[f32], targets: &[usize]) -> Probabilities {
        let mut p = Probabilities::new(classes).unwrap();
        p.add(rows, targets).unwrap();
        p
    }

    #[test]
    fn area_under_the_curve_by_counting_pairs() {
        // class 1: positives .9 .5 .3, others .5 .1; pairs won 1 1 ½ 1 0 1 of 6
        let p = of(2, &[0.1, 0.9, 0.5, 0.5, 0.7, 0.3, 0.5, 0.5, 0.9, 0.1], &[1, 1, 1, 0, 0]);
        assert_eq!(p.roc_auc_per_class().unwrap()[1], Some(4.5 / 6.0));
        assert_eq!(of(3, &[0.2, 0.3, 0.5], &[0]).roc_auc().unwrap(), None); // class 0 has all samples, the others none
    }

    #[test]
    fn a_sure_mistake_costs_36_and_a_sure_hit_nothing() {
        assert!((of(2, &[1.0, 0.0], &[1]).log_loss().unwrap() - 36.04365338911715).abs() < 1e-12); // −ln 2⁻⁵²
        assert!(of(2, &[1.0, 0.0], &[0]).log_loss().unwrap() < 1e-15);
    }

    #[test]
    fn calibration_by_hand() {
        // bin (.5, .75]: confidences .75 and .75, one right → |.5 − .75|; bin (.75, 1]: confidence 1, right → 0
        let p = of(2, &[0.75, 0.25, 0.75, 0.25, 0.0, 1.0], &[0, 1, 1]);
        assert!((p.calibration_error(4).unwrap() - 2.0 / 3.0 * 0.25).abs() < 1e-15);
        assert_eq!(p.reliability(4).unwrap()[2], Reliability { samples: 2, confidence: 0.75, accuracy: 0.5 });
    }

    #[test]
    fn of_equal_probabilities_the_higher_class_is_first_in_top_k() {
        let p = of(3, &[0.25, 0.25, 0.5], &[1]);
        assert_eq!((p.top_k(1).unwrap(), p.top_k(2).unwrap()), (0.0, 1.0));
        assert_eq!(of(3, &[0.25, 0.25, 0.5], &[0]).top_k(2).unwrap(), 0.0);
    }

    #[test]
    fn bad_input_is_an_error_that_says_so_and_adds_nothing() {
        let mut p = Probabilities::new(2).unwrap();
        for (rows, targets, says) in [
            (&[0.5, 0.5][..], &[0, 1][..], "each target needs one prediction, got 1 predictions for 2 targets"),
            (&[0.5, 0.5, 0.1], &[0], "each target needs one prediction"),
            (&[0.5, 0.5], &[2], "sample 0: target 2 is no class: there are 2"),
            (&[1.5, -0.5], &[0], "probability = 1.5 is not valid: must be from 0 to 1: give softmax's output, not logits"),
            (&[f32::NAN, 0.5], &[0], "probability = NaN"),
        ] {
            let error = p.add(rows, targets).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert_eq!(p.samples(), 0);
        }
        assert!(Probabilities::new(0).is_err());
        let empty = [p.top_k(1).err(), p.log_loss().err(), p.roc_auc().err(), p.calibration_error(10).err()];
        assert!(empty.iter().all(|e| matches!(e, Some(Error::NoSamples { .. }))), "{empty:?}");
        p.add(&[0.5, 0.5], &[0]).unwrap();
        assert!(p.top_k(0).is_err() && p.reliability(0).is_err());
        p.clear();
        assert_eq!(p, Probabilities::new(2).unwrap());
    }
}
