//! The exponential moving average of a model's weights, which is often better than the weights.

use std::collections::BTreeMap;
use std::mem;

use nyang_nn::{Element, Module, Param, Path, StateValue, Tensor, Visit, VisitMut};
use nyang_tensor::parallel::{CHUNK, for_each_chunk};

use crate::error::check_share;
use crate::{Error, Result};

const KIND: &str = "Ema";

/// An exponential moving average of all parameters and buffers of a model.
///
/// ```text
/// θ̄ ← d θ̄ + (1 − d) θ          (the first time θ̄ ← θ)
/// with warm-up, at the n-th update: d = min(decay, (1 + n) / (10 + n))
/// ```
///
/// [`Ema::update`] after each step; [`Ema::swap`] before the model is measured, saved or given away, and again afterwards. Running means and
/// variances are averaged too; counters are copied.
///
/// # Reference
/// Polyak & Juditsky 1992, *Acceleration of stochastic approximation by averaging*; PyTorch's `swa_utils.AveragedModel` with `get_ema_multi_avg_fn`
/// and `use_buffers=True`.
///
/// # Example
/// ```
/// # use nyang_nn::{Init, Linear, Tensor};
/// # use nyang_optim::Ema;
/// let mut model = Linear::config(1, 1).bias(false).build::<f64>(&mut Init::seed(1))?;
/// let mut ema = Ema::new(0.9);
/// for value in [1.0, 2.0] {
///     model.weight.value = Tensor::full([1, 1], value)?;
///     ema.update(&model)?;
/// }
/// ema.swap(&mut model)?;
/// assert_eq!(model.weight.value.item(), Some(0.9 * 1.0 + 0.1 * 2.0));
/// ema.swap(&mut model)?;
/// assert_eq!(model.weight.value.item(), Some(2.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ema<T: Element = f32> {
    decay: f64,
    warm_up: bool,
    state: EmaState<T>,
    swapped: bool,
}

/// Everything of an average that changes from update to update.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct EmaState<T: Element = f32> {
    /// How many updates there have been.
    pub updates: u64,
    /// The averages, by path.
    pub averages: BTreeMap<String, StateValue<T>>,
}

impl<T: Element> Ema<T> {
    /// An average in which `decay` of the old stays at each update; in [0, 1), 0.999 for some ten thousand steps.
    ///
    /// The setting is checked when it is first used, and by [`Ema::check`].
    pub fn new(decay: f64) -> Self {
        Ema { decay, warm_up: false, state: EmaState { updates: 0, averages: BTreeMap::new() }, swapped: false }
    }

    /// Lets less of the old stay in the first updates, so that the first weights are soon forgotten.
    pub fn warm_up(mut self) -> Self {
        self.warm_up = true;
        self
    }

    /// Whether the settings can work.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        check_share(KIND, "decay", self.decay)
    }

    /// Takes the model's present values into the average.
    ///
    /// # Errors
    /// [`Error::Setting`]; [`Error::Model`] if this is another model than before; [`Error::Swapped`] while the averages are in the model.
    pub fn update(&mut self, model: &dyn Module<T>) -> Result<()> {
        self.check()?;
        if self.swapped {
            return Err(Error::Swapped { operation: "update" });
        }
        self.state.updates += 1;
        let n = self.state.updates as f64;
        let decay = if self.warm_up { self.decay.min((1.0 + n) / (10.0 + n)) } else { self.decay };
        let mut average = Average { averages: &mut self.state.averages, decay: T::of(decay), new: T::of(1.0 - decay), failed: None };
        model.visit(Path::ROOT, &mut average);
        average.failed.map_or(Ok(()), Err)
    }

    /// Exchanges the model's values and the averages. Before the first update nothing happens.
    ///
    /// # Errors
    /// [`Error::Model`] if this is another model than the one that was averaged; nothing is changed then.
    pub fn swap(&mut self, model: &mut dyn Module<T>) -> Result<()> {
        let mut fit = Fit { averages: &self.state.averages, failed: None };
        model.visit(Path::ROOT, &mut fit);
        if let Some(error) = fit.failed {
            return Err(error);
        }
        model.visit_mut(Path::ROOT, &mut Swap(&mut self.state.averages));
        self.swapped = !self.swapped;
        Ok(())
    }

    /// Whether the averages are in the model now.
    pub fn swapped(&self) -> bool {
        self.swapped
    }

    /// Everything that changes from update to update, for a checkpoint. Handles are copied, not numbers.
    ///
    /// # Errors
    /// [`Error::Swapped`] while the averages are in the model.
    pub fn state(&self) -> Result<EmaState<T>> {
        if self.swapped { Err(Error::Swapped { operation: "state" }) } else { Ok(self.state.clone()) }
    }

    /// Puts back what [`Ema::state`] gave. It is compared with the model at the next update or swap.
    pub fn load_state(&mut self, state: EmaState<T>) {
        (self.state, self.swapped) = (state, false);
    }
}

/// The model's values taken into the averages.
struct Average<'a, T: Element> {
    averages: &'a mut BTreeMap<String, StateValue<T>>,
    decay: T,
    new: T,
    failed: Option<Error>,
}

impl<T: Element> Average<'_, T> {
    fn tensor(&mut self, at: Path<'_>, value: &Tensor<T>) -> Result<()> {
        let (path, value) = (at.to_string(), value.contiguous()?);
        let average = match self.averages.entry(path.clone()).or_insert_with(|| StateValue::Tensor(value.clone())) {
            StateValue::Tensor(average) if average.shape() == value.shape() => average,
            other => return Err(misfit(path, other, &value)),
        };
        if let Some(values) = value.as_slice() {
            let (decay, new) = (self.decay, self.new);
            for_each_chunk(average.as_mut_slice()?, CHUNK, |start, part| {
                let values = values.get(start..).unwrap_or_default();
                part.iter_mut().zip(values).for_each(|(average, value)| *average = decay * *average + new * *value);
            });
        }
        Ok(())
    }

    fn try_tensor(&mut self, at: Path<'_>, value: &Tensor<T>) {
        if self.failed.is_none() {
            self.failed = self.tensor(at, value).err();
        }
    }
}

impl<T: Element> Visit<T> for Average<'_, T> {
    fn param(&mut self, at: Path<'_>, param: &Param<T>) {
        self.try_tensor(at, &param.value);
    }
    fn buffer(&mut self, at: Path<'_>, buffer: &Tensor<T>) {
        self.try_tensor(at, buffer);
    }
    fn counter(&mut self, at: Path<'_>, count: u64) {
        self.averages.insert(at.to_string(), StateValue::Count(count));
    }
}

/// Whether every value of the model that has an average has its shape.
struct Fit<'a, T: Element> {
    averages: &'a BTreeMap<String, StateValue<T>>,
    failed: Option<Error>,
}

impl<T: Element> Fit<'_, T> {
    fn tensor(&mut self, at: Path<'_>, value: &Tensor<T>) {
        let path = at.to_string();
        match self.averages.get(&path) {
            Some(StateValue::Tensor(average)) if average.shape() == value.shape() => {}
            Some(other) => self.failed = Some(misfit(path, other, value)),
            None => {}
        }
    }
}

impl<T: Element> Visit<T> for Fit<'_, T> {
    fn param(&mut self, at: Path<'_>, param: &Param<T>) {
        self.tensor(at, &param.value);
    }
    fn buffer(&mut self, at: Path<'_>, buffer: &Tensor<T>) {
        self.tensor(at, buffer);
    }
}

fn misfit<T: Element>(path: String, average: &StateValue<T>, value: &Tensor<T>) -> Error {
    let expected = if let StateValue::Tensor(average) = average { *average.shape() } else { [1].into() };
    Error::Model { kind: KIND, path, expected, got: *value.shape() }
}

/// The model's values and the averages exchanged.
struct Swap<'a, T: Element>(&'a mut BTreeMap<String, StateValue<T>>);

impl<T: Element> VisitMut<T> for Swap<'_, T> {
    fn param(&mut self, at: Path<'_>, param: &mut Param<T>) {
        self.buffer(at, &mut param.value);
    }
    fn buffer(&mut self, at: Path<'_>, buffer: &mut Tensor<T>) {
        if let Some(StateValue::Tensor(average)) = self.0.get_mut(&at.to_string()) {
            mem::swap(average, buffer);
        }
    }
    fn counter(&mut self, at: Path<'_>, count: &mut u64) {
        if let Some(StateValue::Count(average)) = self.0.get_mut(&at.to_string()) {
            mem::swap(average, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nyang_nn::{BatchNorm1d, Ctx, Flow, Init, Linear, StateDict};

    fn model(out: usize) -> Flow<f64> {
        let init = &mut Init::seed(1);
        Flow::new().then(Linear::config(2, out).build(init).unwrap()).then(BatchNorm1d::config(out).build(init).unwrap())
    }

    /// Lets the running statistics move.
    fn see(model: &mut Flow<f64>, scale: f64) {
        model.forward(Tensor::from_fn([4, 2], |i| scale * (i * i) as f64).unwrap(), &mut Ctx::train(1)).unwrap();
    }

    fn values(model: &Flow<f64>, name: &str) -> Vec<f64> {
        match StateDict::of(model).unwrap().get(name).unwrap() {
            StateValue::Tensor(t) => t.to_vec(),
            StateValue::Count(n) => vec![*n as f64],
            _ => vec![],
        }
    }

    #[test]
    fn buffers_are_averaged_and_counters_copied() {
        let (mut model, mut ema) = (model(3), Ema::new(0.75));
        let mut means = vec![];
        for scale in [1.0, 2.0, -1.0] {
            see(&mut model, scale);
            ema.update(&model).unwrap();
            means.push(values(&model, "1.running_mean")[0]);
        }
        ema.swap(&mut model).unwrap();
        let want = 0.75 * (0.75 * means[0] + 0.25 * means[1]) + 0.25 * means[2];
        assert!((values(&model, "1.running_mean")[0] - want).abs() < 1e-15);
        assert_eq!(values(&model, "1.num_batches_tracked"), [3.0]);
    }

    #[test]
    fn swapping_twice_brings_everything_back_and_changes_no_gradient() {
        let (mut model, mut ema) = (model(3), Ema::new(0.5));
        ema.update(&model).unwrap();
        see(&mut model, 1.0);
        ema.update(&model).unwrap();
        let (before, state) = (StateDict::of(&model).unwrap(), ema.state().unwrap());
        ema.swap(&mut model).unwrap();
        assert_ne!(StateDict::of(&model).unwrap(), before);
        assert!(ema.swapped());
        for (error, operation) in [(ema.update(&model).unwrap_err(), "update"), (ema.state().unwrap_err(), "state")] {
            assert_eq!(error.to_string(), format!("the averages are in the model now; `swap` again before the next `{operation}`"));
        }
        ema.swap(&mut model).unwrap();
        assert_eq!((StateDict::of(&model).unwrap(), ema.state().unwrap()), (before, state));
    }

    #[test]
    fn the_warm_up_forgets_the_first_weights_sooner() {
        let mut linear = Linear::config(1, 1).bias(false).build::<f64>(&mut Init::seed(1)).unwrap();
        let mut ema = Ema::new(0.9).warm_up();
        let mut want = 1.0;
        for (n, w) in [1.0, 5.0, 3.0, 4.0].into_iter().enumerate() {
            linear.weight.value = Tensor::full([1, 1], w).unwrap();
            ema.update(&linear).unwrap();
            let decay = (2.0 + n as f64) / (11.0 + n as f64); // 2/11, 3/12, 4/13, 5/14
            want = decay * want + (1.0 - decay) * w;
        }
        ema.swap(&mut linear).unwrap();
        assert!((linear.weight.value.item().unwrap() - want).abs() < 1e-15);
        let mut late = Ema::new(0.1).warm_up();
        (0..3).for_each(|_| late.update(&linear).unwrap());
        linear.weight.value = Tensor::zeros([1, 1]).unwrap();
        late.update(&linear).unwrap();
        late.swap(&mut linear).unwrap();
        assert!((linear.weight.value.item().unwrap() - 0.1 * want).abs() < 1e-15, "the decay is the most it will be");
    }

    #[test]
    fn a_loaded_state_goes_on_as_if_nothing_had_happened() {
        let run = |resume: bool| {
            let (mut model, mut ema) = (model(3), Ema::new(0.9).warm_up());
            for scale in [1.0, 2.0, 3.0] {
                see(&mut model, scale);
                if resume {
                    let state = ema.state().unwrap();
                    ema = Ema::new(0.9).warm_up();
                    ema.load_state(state);
                }
                ema.update(&model).unwrap();
            }
            ema.state().unwrap()
        };
        assert_eq!(run(true), run(false));
    }

    #[test]
    fn another_model_is_an_error_and_stays_as_it_is() {
        let mut ema = Ema::new(0.9);
        ema.update(&model(3)).unwrap();
        let mut other = model(4);
        let before = StateDict::of(&other).unwrap();
        let error = ema.swap(&mut other).unwrap_err().to_string();
        assert!(error.ends_with("start a new Ema for another model") && error.contains("the Ema's state is for"), "{error}");
        assert_eq!(StateDict::of(&other).unwrap(), before);
        assert!(matches!(ema.update(&other), Err(Error::Model { .. })));
    }

    #[test]
    fn decays_that_could_not_work_are_errors() {
        for wrong in [-0.1, 1.0, f64::NAN] {
            let error = Ema::new(wrong).update(&model(3)).unwrap_err().to_string();
            assert_eq!(error, format!("Ema: decay = {wrong} is not valid: must lie in [0, 1)"));
        }
    }
}
