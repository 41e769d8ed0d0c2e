//! A learning rate that rises, and then falls much lower, while momentum does the opposite.

use super::cosine::half_wave;
use super::{Schedule, Total, Unit};
use crate::Result;
use crate::error::{check, check_not_negative, check_share};

/// One cycle: up from a small learning rate to the optimizer's, then down to almost nothing; the momentum goes down and up again.
///
/// ```text
/// η: η₀/d → η₀ → η₀/(d e)        μ: 0.95 → 0.85 → 0.95        each way half a wave
/// up from t = 0 to s·T − 1, down from there to T − 1
/// ```
///
/// with s (0.3), d (25), e (1e4), and T, the steps of the whole training, unless given. The optimizer's learning rate η₀ is the largest one. The momentum is SGD's and RMSprop's μ or Adam's β₁. From T − 1 on everything stays, where PyTorch's rises once more.
///
/// # Reference
/// Smith & Topin 2018, *Super-convergence*, arXiv:1708.07120; PyTorch's `OneCycleLR`, with cosine annealing and two phases.
///
/// # Example
/// ```
/// # use nyang_optim::{OneCycle, Schedule};
/// let schedule = OneCycle::new().total(10);
/// assert!((schedule.lr(0.1, 0) - 0.004).abs() < 1e-15 && schedule.lr(0.1, 2) == 0.1);
/// assert_eq!([0, 2].map(|t| schedule.momentum(t)), [Some(0.95), Some(0.85)]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneCycle {
    total: Total,
    pct_start: f64,
    div_factor: f64,
    final_div_factor: f64,
    momentum: Option<[f64; 2]>, // the least, the most
    unit: Unit,
}

impl OneCycle {
    const KIND: &'static str = "OneCycle";

    /// Over the whole training, counted in optimizer steps.
    pub fn new() -> Self {
        OneCycle {
            total: Total::default(),
            pct_start: 0.3,
            div_factor: 25.0,
            final_div_factor: 1e4,
            momentum: Some([0.85, 0.95]),
            unit: Unit::Step,
        }
    }

    /// T > 0, the time that it takes; the whole training unless given.
    pub fn total(mut self, total: u64) -> Self {
        self.total.given = Some(total);
        self
    }

    /// The share of the time in which the learning rate rises; in [0, 1].
    pub fn pct_start(mut self, share: f64) -> Self {
        self.pct_start = share;
        self
    }

    /// By what the first learning rate is smaller than the largest; ≥ 1.
    pub fn div_factor(mut self, factor: f64) -> Self {
        self.div_factor = factor;
        self
    }

    /// By what the last learning rate is smaller than the first; ≥ 1.
    pub fn final_div_factor(mut self, factor: f64) -> Self {
        self.final_div_factor = factor;
        self
    }

    /// The least momentum, at the largest learning rate, and the most; in [0, 1).
    pub fn momentum_range(mut self, least: f64, most: f64) -> Self {
        self.momentum = Some([least, most]);
        self
    }

    /// Leaves the momentum alone.
    pub fn fixed_momentum(mut self) -> Self {
        self.momentum = None;
        self
    }

    /// Counts epochs instead of optimizer steps.
    pub fn per_epoch(mut self) -> Self {
        self.unit = Unit::Epoch;
        self
    }

    /// From `start` by way of `peak` to `end`.
    fn cycle(&self, [start, peak, end]: [f64; 3], t: u64) -> f64 {
        let last = self.total.known().unwrap_or(1).saturating_sub(1) as f64;
        let (t, top) = ((t as f64).min(last), self.pct_start * (last + 1.0) - 1.0);
        if t <= top {
            half_wave(start, peak, if top > 0.0 { t / top } else { 1.0 })
        } else {
            half_wave(peak, end, (t - top) / (last - top))
        }
    }
}

impl Default for OneCycle {
    fn default() -> Self {
        OneCycle::new()
    }
}

impl Schedule for OneCycle {
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
        check(Self::KIND, "pct_start", self.pct_start, (0.0..=1.0).contains(&self.pct_start), "must lie in [0, 1]")?;
        check(Self::KIND, "div_factor", self.div_factor, self.div_factor >= 1.0, "must be a number ≥ 1")?;
        check(Self::KIND, "final_div_factor", self.final_div_factor, self.final_div_factor >= 1.0, "must be a number ≥ 1")?;
        if let Some([least, most]) = self.momentum {
            check_share(Self::KIND, "momentum_range", least)?;
            check_share(Self::KIND, "momentum_range", most)?;
            check_not_negative(Self::KIND, "momentum_range's width", most - least)?;
        }
        self.total.check(Self::KIND)
    }

    fn lr(&self, base: f64, t: u64) -> f64 {
        let first = base / self.div_factor;
        self.cycle([first, base, first / self.final_div_factor], t)
    }

    fn momentum(&self, t: u64) -> Option<f64> {
        self.momentum.map(|[least, most]| self.cycle([most, least, most], t))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, rates, refused};
    use super::*;

    /// PyTorch's numbers.
    #[test]
    fn ten_steps_are_pytorchs_and_then_it_stays() {
        let schedule = OneCycle::new().total(10);
        let want = [0.004, 0.052, 0.1, 0.095048463, 0.081174565, 0.061126202, 0.038874198, 0.018825835, 0.0049519368, 4e-7];
        assert!(close(&rates(&schedule, 0.1, 10), &want));
        let momenta: Vec<f64> = (0..10).filter_map(|t| schedule.momentum(t)).collect();
        let want = [0.95, 0.9, 0.85, 0.854952, 0.868826, 0.888874, 0.911126, 0.931174, 0.945048, 0.95];
        assert!(momenta.iter().zip(want).all(|(g, w)| (g - w).abs() < 6e-7), "{momenta:?}"); // they have six digits
        for t in [10, 11, 1000] {
            assert_eq!((schedule.lr(0.1, t), schedule.momentum(t)), (schedule.lr(0.1, 9), schedule.momentum(9)));
        }
    }

    #[test]
    fn shares_at_the_edges_rise_or_fall_only() {
        let falling = rates(&OneCycle::new().total(4).pct_start(0.0), 1.0, 4);
        assert!(falling.is_sorted_by(|a, b| a > b), "{falling:?}");
        let rising = rates(&OneCycle::new().total(4).pct_start(1.0), 1.0, 4);
        assert!(rising.is_sorted_by(|a, b| a < b) && rising[3] == 1.0, "{rising:?}");
        assert_eq!(rates(&OneCycle::new().total(4).pct_start(0.25), 1.0, 1), [1.0], "the top is at the first step");
        assert!(rates(&OneCycle::new().total(1), 1.0, 3).iter().all(|lr| lr.is_finite()));
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        let cycle = OneCycle::new;
        assert_eq!(refused(cycle().total(0)), "OneCycle: total = 0 is not valid: must be positive");
        for wrong in [-0.1, 1.1, f64::NAN] {
            assert_eq!(refused(cycle().pct_start(wrong)), format!("OneCycle: pct_start = {wrong} is not valid: must lie in [0, 1]"));
        }
        for wrong in [0.0, 0.9, -1.0, f64::NAN, f64::INFINITY] {
            assert!(refused(cycle().div_factor(wrong)).starts_with("OneCycle: div_factor = "));
            assert!(refused(cycle().final_div_factor(wrong)).starts_with("OneCycle: final_div_factor = "));
        }
        for [least, most] in [[-0.1, 0.9], [0.8, 1.0], [f64::NAN, 0.9], [0.9, 0.8]] {
            assert!(refused(cycle().momentum_range(least, most)).starts_with("OneCycle: momentum_range"), "{least} {most}");
        }
    }
}
