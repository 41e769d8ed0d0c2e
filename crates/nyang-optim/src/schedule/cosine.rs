//! A learning rate that falls along half a wave.

use std::f64::consts::PI;

use super::{Schedule, Total, Unit};
use crate::Result;
use crate::error::check_not_negative;

/// Half a wave from the learning rate down to a least one:
///
/// ```text
/// η(t) = η_min + (η₀ − η_min) · (1 + cos(π t / T)) / 2
/// ```
///
/// with T the whole training unless given, and η_min (0). After T it rises again, as PyTorch's does.
///
/// # Reference
/// Loshchilov & Hutter 2017, *SGDR*, arXiv:1608.03983, without the restarts; PyTorch's `CosineAnnealingLR`.
///
/// # Example
/// ```
/// # use nyang_optim::{Cosine, Schedule};
/// let schedule = Cosine::new().total(10);
/// assert!((schedule.lr(1.0, 5) - 0.5).abs() < 1e-15);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cosine {
    min_lr: f64,
    total: Total,
    unit: Unit,
}

impl Cosine {
    const KIND: &'static str = "Cosine";

    /// Over the whole training, counted in epochs, down to 0.
    pub fn new() -> Self {
        Cosine { min_lr: 0.0, total: Total::default(), unit: Unit::Epoch }
    }

    /// η_min ≥ 0, the learning rate at time T.
    pub fn min_lr(mut self, lr: f64) -> Self {
        self.min_lr = lr;
        self
    }

    /// T > 0, the time that it takes; the whole training unless given.
    pub fn total(mut self, total: u64) -> Self {
        self.total.given = Some(total);
        self
    }

    /// Counts optimizer steps instead of epochs.
    pub fn per_step(mut self) -> Self {
        self.unit = Unit::Step;
        self
    }
}

impl Default for Cosine {
    fn default() -> Self {
        Cosine::new()
    }
}

/// Half a wave from `high` at part 0 to `low` at part 1.
pub(super) fn half_wave(high: f64, low: f64, part: f64) -> f64 {
    low + (high - low) * (1.0 + (PI * part).cos()) / 2.0
}

impl Schedule for Cosine {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn unit(&self) -> Unit {
        self.unit
    }

    fn bind(&mut self, total: u64) {
        self.total.bound = Some(total);
    }

    fn check(&self) -> Result<()> {
        check_not_negative(Self::KIND, "min_lr", self.min_lr)?;
        self.total.check(Self::KIND)
    }

    fn lr(&self, base: f64, t: u64) -> f64 {
        half_wave(base, self.min_lr, self.total.part(t))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, rates, refused};
    use super::*;

    /// PyTorch's numbers.
    #[test]
    fn thirteen_epochs_are_pytorchs_and_rise_again_after_the_tenth() {
        let want = [
            0.1, 0.0975773, 0.09054634, 0.07959537, 0.06579634, 0.0505, 0.03520366, 0.02140463, 0.01045366, 0.0034227, 0.001, 0.0034227,
            0.01045366,
        ];
        let got = rates(&Cosine::new().total(10).min_lr(0.001), 0.1, 13);
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 6e-8), "{got:?}"); // seven digits are given of some
        assert!(close(&got[10..11], &[0.001]));
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        assert_eq!(refused(Cosine::new().total(0)), "Cosine: total = 0 is not valid: must be positive");
        for wrong in [-0.1, f64::NAN, f64::INFINITY] {
            assert_eq!(refused(Cosine::new().min_lr(wrong)), format!("Cosine: min_lr = {wrong} is not valid: must be a number ≥ 0"));
        }
    }
}
