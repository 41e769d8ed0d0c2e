//! The learning-rate finder: a short run in which the rate grows, and the loss says where learning is fastest and where it breaks.

use std::collections::BTreeMap;

use nyang_data::Loader;
use nyang_nn::{Ctx, Mode, Rng, StateDict};
use nyang_optim::OptimizerState;

use super::Trainer;
use crate::report::LinePlot;
use crate::{Error, Result};

/// How much of the smoothed loss stays at each step.
const SMOOTHING: f64 = 0.9;

/// The run ends when the smoothed loss is so many times the lowest.
const BROKEN: f64 = 4.0;

/// What a search for a learning rate found.
///
/// Smith 2017, *Cyclical learning rates for training neural networks*, arXiv:1506.01186, section 3.3: the rate grows exponentially from
/// batch to batch. At first nothing happens, then the loss falls, then it explodes. Good rates lie where it falls most steeply.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LrSearch {
    /// Each learning rate that was tried, rising.
    pub rates: Vec<f64>,
    /// The smoothed loss at each of them.
    pub losses: Vec<f64>,
    /// Where the loss falls most steeply over the logarithm of the rate.
    pub steepest: f64,
    /// A tenth of the rate with the lowest loss: as large as is safe, for schedules that come down from it.
    pub largest: f64,
}

impl Trainer {
    /// Tries `steps` learning rates from `lowest` to `highest`, each for one batch. Model and optimizer are as before afterwards.
    ///
    /// # Errors
    /// [`Error::Argument`] unless 0 < `lowest` < `highest` and there are at least 10 steps; whatever data, model and loss give.
    ///
    /// ```
    /// # use nyang_train::prelude::*;
    /// let train = Loader::new(Digits::load()?).batch_size(64).shuffle(1);
    /// let model = Flow::input([1, 8, 8]).linear(32).relu().linear(10).build(&mut Init::seed(1))?;
    /// let found = Trainer::new(model, CrossEntropy::new()).optimizer(Sgd::new(0.1)).find_lr(&train, 1e-5, 10.0, 60)?;
    /// assert!((0.001..1.0).contains(&found.steepest));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find_lr(&mut self, train: &Loader, lowest: f64, highest: f64, steps: usize) -> Result<LrSearch> {
        let bad = |name, value: f64, why| Err(Error::argument("find_lr", name, value, why));
        if !(lowest > 0.0 && lowest.is_finite()) {
            return bad("lowest", lowest, "must be a number above 0");
        }
        if !(highest > lowest && highest.is_finite()) {
            return bad("highest", highest, "must be a number above the lowest");
        }
        if steps < 10 {
            return bad("steps", steps as f64, "at least 10 rates make a curve");
        }
        self.optimizer.check()?;
        let (before, lr) = (StateDict::of(self.model.as_ref())?, self.optimizer.lr());
        let state = self.optimizer.state();
        self.optimizer.load_state(OptimizerState { params: BTreeMap::new(), ..state.clone() })?;
        let tried = self.try_rates(train, lowest, highest, steps);
        before.load_into(self.model.as_mut())?;
        self.optimizer.load_state(state)?;
        self.optimizer.set_lr(lr)?;
        let (rates, losses) = tried?;
        Ok(LrSearch::new(rates, losses))
    }

    fn try_rates(&mut self, train: &Loader, lowest: f64, highest: f64, steps: usize) -> Result<(Vec<f64>, Vec<f64>)> {
        let (mut rates, mut losses) = (Vec::new(), Vec::new());
        let (mut smooth, mut best) = (0.0, f64::INFINITY);
        let batches = (1u64..).flat_map(|epoch| train.epoch(epoch)).take(steps);
        for (i, batch) in batches.enumerate() {
            let batch = batch?;
            let rate = lowest * (highest / lowest).powf(i as f64 / (steps - 1) as f64);
            self.optimizer.set_lr(rate)?;
            let mut cx = Ctx::new(Mode::Train, Rng::keyed([self.seed, 0, 0, i as u64]));
            let logits = self.model.forward(batch.images, &mut cx)?;
            let loss = self.loss.value_grad(&logits, &batch.targets)?.mean()?;
            smooth = SMOOTHING * smooth + (1.0 - SMOOTHING) * loss.value;
            let unbiased = smooth / (1.0 - SMOOTHING.powi(i as i32 + 1)); // as Adam's averages, which begin at 0 too
            if !unbiased.is_finite() || unbiased > BROKEN * best {
                break;
            }
            best = best.min(unbiased);
            rates.push(rate);
            losses.push(unbiased);
            self.model.backward_params(loss.gradient, &mut cx)?;
            self.optimizer.step(self.model.as_mut())?;
        }
        Ok((rates, losses))
    }
}

impl LrSearch {
    fn new(rates: Vec<f64>, losses: Vec<f64>) -> Self {
        let lowest = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0);
        // the slope over a window, since neighbours are noisy; only before the lowest loss
        let width = (losses.len() / 10).max(1);
        let slope = |i: usize| losses[i + width] - losses[i];
        let steepest = (0..lowest.saturating_sub(width)).min_by(|&a, &b| slope(a).total_cmp(&slope(b))).map_or(lowest, |i| i + width / 2);
        let at = |i: usize| rates.get(i).copied().unwrap_or(f64::NAN);
        LrSearch { steepest: at(steepest), largest: at(lowest) / 10.0, rates, losses }
    }

    /// The curve as an SVG picture: the loss over the logarithm of the rate, with the steepest place marked.
    pub fn to_svg(&self) -> String {
        let first = self.losses.first().copied().unwrap_or(0.0);
        let seen = self.rates.iter().zip(&self.losses).map(|(&rate, &loss)| (rate, loss.min(1.3 * first))); // the end would hide the rest
        LinePlot::new("Learning-rate search")
            .x_label("learning rate")
            .y_label("smoothed loss")
            .log_x()
            .line("loss", seen)
            .mark(self.steepest, format!("steepest: {:.1e}", self.steepest))
            .to_svg()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nyang_data::Digits;
    use nyang_nn::{CrossEntropy, Flow, Init};

    #[test]
    fn the_steepest_place_of_a_made_up_curve_is_found() {
        // flat until 1e-3, falling to 1e-1, then rising
        let rates: Vec<f64> = (0..60).map(|i| 10f64.powf(-5.0 + i as f64 / 10.0)).collect();
        let loss = |r: &f64| match r.log10() {
            l if l < -3.0 => 2.3,
            l if l < -1.0 => 2.3 - 1.0 * (l + 3.0) / 2.0,
            l => 1.3 + 3.0 * (l + 1.0),
        };
        let found = LrSearch::new(rates.clone(), rates.iter().map(loss).collect());
        assert!((1e-3..1e-1).contains(&found.steepest), "{found:?}");
        assert!((found.largest / 1e-2 - 1.0).abs() < 0.3, "{}", found.largest);
        let svg = found.to_svg();
        assert!(svg.starts_with("<svg") && svg.contains("steepest: "), "{svg}");
    }

    #[test]
    fn model_and_optimizer_are_as_before() {
        let train = Loader::new(Digits::load().unwrap()).batch_size(64);
        let model = Flow::input([1, 8, 8]).linear(10).build(&mut Init::seed(1)).unwrap();
        let mut trainer = Trainer::new(model, CrossEntropy::new());
        let before = StateDict::of(trainer.model.as_ref()).unwrap();
        let found = trainer.find_lr(&train, 1e-6, 1e3, 40).unwrap();
        assert!(found.rates.len() >= 10 && found.rates.is_sorted() && found.losses.iter().all(|l| l.is_finite()));
        assert_eq!(StateDict::of(trainer.model.as_ref()).unwrap(), before);
        assert!(trainer.optimizer.state().params.is_empty());
        assert_eq!(trainer.optimizer.lr(), 1e-3);
        for (low, high, steps) in [(0.0, 1.0, 20), (1.0, 1.0, 20), (f64::NAN, 1.0, 20), (0.1, f64::INFINITY, 20), (0.1, 1.0, 9)] {
            assert!(matches!(trainer.find_lr(&train, low, high, steps), Err(Error::Argument { .. })), "{low} {high} {steps}");
        }
    }
}
