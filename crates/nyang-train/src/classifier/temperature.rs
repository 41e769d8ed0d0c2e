//! Temperature scaling: one number that makes a model's probabilities as sure as they should be.

use nyang_data::Loader;
use nyang_nn::Ctx;
use nyang_tensor::reduce::log_sum_exp;

use super::Classifier;
use crate::Result;

/// How sure or unsure probabilities may be made: a model that is always right has no best temperature, the lower the better.
const COLDEST: f64 = 0.05;
const WARMEST: f64 = 20.0;

impl Classifier {
    /// Fits the temperature that the logits are divided by, so that of the answers given with 80 % about 80 % are right. Which class is the
    /// most probable does not change. It is kept in the card, and returned.
    ///
    /// ```text
    /// p = softmax(z / T)        T = argmin Σ −ln p[y]  over the validation part, which the model has not learnt from
    /// ```
    ///
    /// # Errors
    /// As [`Classifier::evaluate`].
    ///
    /// # Reference
    /// Guo et al. 2017, *On calibration of modern neural networks*, arXiv:1706.04599.
    pub fn calibrate(&mut self, valid: &Loader) -> Result<f64> {
        self.check_loader(valid)?;
        let (mut logits, mut targets) = (Vec::new(), Vec::new());
        for batch in valid.epoch(0) {
            let batch = batch?;
            logits.extend(self.model.infer(batch.images, &mut Ctx::eval())?.to_vec().into_iter().map(f64::from));
            targets.extend(batch.targets.classes()?);
        }
        let temperature = fit(&logits, &targets, self.card.classes.len().max(1));
        self.card.temperature = Some(temperature);
        Ok(temperature)
    }
}

/// The temperature with the lowest negative log-likelihood.
///
/// In β = 1/T it is convex, with the derivative Σ (E_p[z] − z[y]), which rises with β: its zero is found by halving.
fn fit(logits: &[f64], targets: &[usize], classes: usize) -> f64 {
    let slope = |beta: f64| -> f64 {
        let row = |(z, &y): (&[f64], &usize)| {
            let scaled: Vec<f64> = z.iter().map(|z| beta * z).collect();
            let norm = log_sum_exp(&scaled);
            let expected: f64 = z.iter().zip(&scaled).map(|(z, s)| z * (s - norm).exp()).sum();
            expected - z.get(y).copied().unwrap_or(expected)
        };
        logits.chunks_exact(classes).zip(targets).map(row).sum()
    };
    let (mut low, mut high) = (1.0 / WARMEST, 1.0 / COLDEST);
    for _ in 0..60 {
        let middle = (low * high).sqrt();
        if slope(middle) <= 0.0 { low = middle } else { high = middle }
    }
    1.0 / (low * high).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits ±2 say 98.2 %, but 3 of 4 are right: the logits should be ln 3 apart and not 4, so T = 4 / ln 3.
    #[test]
    fn a_model_that_is_too_sure_is_warmed_to_what_is_true() {
        let logits = [2.0, -2.0].repeat(4);
        let t = fit(&logits, &[0, 0, 1, 0], 2);
        assert!((t - 4.0 / 3f64.ln()).abs() < 1e-9, "{t}");
    }

    #[test]
    fn a_model_that_is_always_right_gets_the_lowest_and_one_that_guesses_the_highest() {
        assert!((fit(&[1.0, -1.0, -1.0, 1.0], &[0, 1], 2) - COLDEST).abs() < 1e-9);
        assert!((fit(&[1.0, -1.0, 1.0, -1.0], &[0, 1], 2) - WARMEST).abs() < 1e-6);
        assert!(fit(&[], &[], 2).is_finite());
    }
}
