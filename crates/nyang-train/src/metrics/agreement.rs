//! How far predictions agree with targets beyond what chance would give: Matthews' correlation and Cohen's kappa.

use crate::Result;
use crate::metrics::ConfusionMatrix;

/// The sums that both coefficients are made of; exact, whatever the number of samples.
struct Agreement {
    /// Samples, squared.
    square: i128,
    /// Hits times samples.
    hits: i128,
    /// Σ_c targets of class c · predictions of class c.
    chance: i128,
    /// Σ_c (targets of class c)².
    targets: i128,
    /// Σ_c (predictions of class c)².
    predictions: i128,
}

impl Agreement {
    fn of(matrix: &ConfusionMatrix, op: &'static str) -> Result<Self> {
        let tallies = matrix.tallies(op)?;
        let sum = |of: &dyn Fn(i128, i128, i128) -> i128| -> i128 {
            tallies.iter().map(|t| of(i128::from(t.hits), i128::from(t.support), i128::from(t.predicted))).sum()
        };
        let samples = sum(&|_, targets, _| targets);
        Ok(Agreement {
            square: samples * samples,
            hits: samples * sum(&|hits, _, _| hits),
            chance: sum(&|_, targets, predictions| targets * predictions),
            targets: sum(&|_, targets, _| targets * targets),
            predictions: sum(&|_, _, predictions| predictions * predictions),
        })
    }
}

impl ConfusionMatrix {
    /// Matthews' correlation coefficient, of any number of classes: 1 is perfect, 0 is chance, negative is worse than chance.
    ///
    /// ```text
    /// t_c, p_c = samples of class c, predictions of class c      s = samples      h = hits
    /// MCC = (h·s − Σ t_c p_c) / √((s² − Σ t_c²)(s² − Σ p_c²))    and 0 where targets or predictions are all of one class
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSamples`](crate::Error::NoSamples).
    ///
    /// # Reference
    /// Gorodkin 2004, *Comparing two K-category assignments by a K-category correlation coefficient*.
    pub fn matthews(&self) -> Result<f64> {
        let a = Agreement::of(self, "Matthews' correlation")?;
        let (targets, predictions) = (a.square - a.targets, a.square - a.predictions);
        if targets == 0 || predictions == 0 {
            return Ok(0.0);
        }
        Ok((a.hits - a.chance) as f64 / (targets as f64 * predictions as f64).sqrt())
    }

    /// Cohen's kappa: the accuracy above that of chance, as a share of what chance leaves to be had. 1 is perfect, 0 is chance.
    ///
    /// ```text
    /// κ = (accuracy − e) / (1 − e)      e = Σ_c t_c p_c / s², the accuracy of guesses as frequent as the predictions
    /// ```
    ///
    /// Without a value where e = 1: all targets and all predictions are of one class.
    ///
    /// # Errors
    /// [`Error::NoSamples`](crate::Error::NoSamples).
    ///
    /// # Reference
    /// Cohen 1960, *A coefficient of agreement for nominal scales*.
    pub fn cohen_kappa(&self) -> Result<Option<f64>> {
        let a = Agreement::of(self, "Cohen's kappa")?;
        let left = a.square - a.chance;
        Ok((left != 0).then(|| (a.hits - a.chance) as f64 / left as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(predictions: &[usize], targets: &[usize]) -> ConfusionMatrix {
        let mut matrix = ConfusionMatrix::new(3).unwrap();
        matrix.add(predictions, targets).unwrap();
        matrix
    }

    #[test]
    fn two_classes_give_the_textbook_s_formulas() {
        // TP 2, TN 1, FP 1, FN 1
        let m = matrix(&[1, 1, 1, 0, 0], &[1, 1, 0, 1, 0]);
        let mcc = (2.0 * 1.0 - 1.0 * 1.0) / (3.0f64 * 3.0 * 2.0 * 2.0).sqrt(); // (TP·TN − FP·FN) / √(…)
        assert!((m.matthews().unwrap() - mcc).abs() < 1e-15);
        let chance = (3.0 * 3.0 + 2.0 * 2.0) / 25.0;
        assert!((m.cohen_kappa().unwrap().unwrap() - (0.6 - chance) / (1.0 - chance)).abs() < 1e-15);
    }

    #[test]
    fn perfect_is_one_and_a_single_class_is_no_agreement_beyond_chance() {
        let perfect = matrix(&[0, 1, 2], &[0, 1, 2]);
        assert_eq!((perfect.matthews().unwrap(), perfect.cohen_kappa().unwrap()), (1.0, Some(1.0)));
        let single = matrix(&[2, 2], &[2, 2]);
        assert_eq!((single.matthews().unwrap(), single.cohen_kappa().unwrap()), (0.0, None));
        let constant = matrix(&[2, 2], &[2, 1]);
        assert_eq!((constant.matthews().unwrap(), constant.cohen_kappa().unwrap()), (0.0, Some(0.0)));
        assert!(ConfusionMatrix::new(3).unwrap().matthews().is_err() && ConfusionMatrix::new(3).unwrap().cohen_kappa().is_err());
    }

    #[test]
    fn millions_of_samples_do_not_overflow() {
        let mut m = ConfusionMatrix::new(2).unwrap();
        for _ in 0..5 {
            m.add(&[1; 1 << 20], &[1; 1 << 20]).unwrap();
            m.add(&[0; 1 << 20], &[0; 1 << 20]).unwrap();
        }
        assert_eq!((m.matthews().unwrap(), m.cohen_kappa().unwrap()), (1.0, Some(1.0)));
    }
}
