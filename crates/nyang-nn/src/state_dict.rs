//! All the numbers of a model by name, and back into a model: PyTorch's names and layouts.

use std::collections::BTreeMap;

use nyang_tensor::{Element, Tensor};

use crate::{Error, Module, Param, Path, Result, Visit, VisitMut};

/// One entry of a [`StateDict`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StateValue<T: Element> {
    /// A parameter or buffer.
    Tensor(Tensor<T>),
    /// A counter, such as `num_batches_tracked`.
    Count(u64),
}

/// A model's parameters and buffers by path, ordered by name.
///
/// Taking one copies handles, not numbers: a training step afterwards writes to a copy, and this state stays as it was.
///
/// ```
/// # use nyang_nn::{Init, Linear, StateDict};
/// let init = &mut Init::seed(1);
/// let (a, mut b) = (Linear::config(3, 2).build::<f32>(init)?, Linear::config(3, 2).build::<f32>(init)?);
/// StateDict::of(&a)?.load_into(&mut b)?;
/// assert_eq!(a.weight.value, b.weight.value);
/// assert_eq!(StateDict::of(&a)?.names().collect::<Vec<_>>(), ["bias", "weight"]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Default)]
pub struct StateDict<T: Element = f32> {
    entries: BTreeMap<String, StateValue<T>>,
}

impl<T: Element> StateDict<T> {
    /// The state of `model`.
    ///
    /// # Errors
    /// [`Error::Duplicate`] if two parameters or buffers have the same path.
    pub fn of(model: &dyn Module<T>) -> Result<Self> {
        let mut reader = Reader { state: StateDict { entries: BTreeMap::new() }, twice: None };
        model.visit(Path::ROOT, &mut reader);
        match reader.twice {
            Some(name) => Err(Error::Duplicate { layer: model.kind(), name }),
            None => Ok(reader.state),
        }
    }

    /// Adds or replaces an entry.
    pub fn insert(&mut self, name: impl Into<String>, value: StateValue<T>) {
        self.entries.insert(name.into(), value);
    }

    /// Removes an entry.
    pub fn remove(&mut self, name: &str) -> Option<StateValue<T>> {
        self.entries.remove(name)
    }

    /// The entry of that name.
    pub fn get(&self, name: &str) -> Option<&StateValue<T>> {
        self.entries.get(name)
    }

    /// The entries, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &StateValue<T>)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many numbers the entries hold.
    pub fn values(&self) -> usize {
        let size = |v: &StateValue<T>| if let StateValue::Tensor(t) = v { t.len() } else { 1 };
        self.entries.values().map(size).fold(0, usize::saturating_add)
    }

    /// Puts every entry into `model`; gradients become zero.
    ///
    /// # Errors
    /// [`Error::State`] with *all* the names that are missing, unexpected or of another shape; the model is then unchanged.
    pub fn load_into(&self, model: &mut dyn Module<T>) -> Result<()> {
        let mut fit = Fit { state: self, seen: BTreeMap::new(), missing: vec![], misshapen: vec![] };
        model.visit(Path::ROOT, &mut fit);
        let unexpected: Vec<String> = self.names().filter(|n| !fit.seen.contains_key(*n)).map(str::to_owned).collect();
        if !(fit.missing.is_empty() && fit.misshapen.is_empty() && unexpected.is_empty()) {
            return Err(Error::State { missing: fit.missing, unexpected, misshapen: fit.misshapen });
        }
        let mut writer = Writer { state: self, failed: None };
        model.visit_mut(Path::ROOT, &mut writer);
        writer.failed.map_or(Ok(()), Err)
    }
}

struct Reader<T: Element> {
    state: StateDict<T>,
    twice: Option<String>,
}

impl<T: Element> Reader<T> {
    fn put(&mut self, at: Path<'_>, value: StateValue<T>) {
        if self.state.entries.insert(at.to_string(), value).is_some() {
            self.twice.get_or_insert(at.to_string());
        }
    }
}

impl<T: Element> Visit<T> for Reader<T> {
    fn param(&mut self, at: Path<'_>, param: &Param<T>) {
        self.put(at, StateValue::Tensor(param.value.clone()));
    }
    fn buffer(&mut self, at: Path<'_>, buffer: &Tensor<T>) {
        self.put(at, StateValue::Tensor(buffer.clone()));
    }
    fn counter(&mut self, at: Path<'_>, count: u64) {
        self.put(at, StateValue::Count(count));
    }
}

/// Compares names and shapes before anything is written.
struct Fit<'a, T: Element> {
    state: &'a StateDict<T>,
    seen: BTreeMap<String, ()>,
    missing: Vec<String>,
    misshapen: Vec<String>,
}

impl<T: Element> Fit<'_, T> {
    fn tensor(&mut self, at: Path<'_>, own: &Tensor<T>) {
        let name = at.to_string();
        match self.state.get(&name) {
            None => self.missing.push(name.clone()),
            Some(StateValue::Tensor(t)) if t.shape() == own.shape() => {}
            Some(StateValue::Tensor(t)) => self.misshapen.push(format!("{name} (model {}, state {})", own.shape(), t.shape())),
            Some(StateValue::Count(_)) => self.misshapen.push(format!("{name} (model {}, state a counter)", own.shape())),
        }
        self.seen.insert(name, ());
    }
}

impl<T: Element> Visit<T> for Fit<'_, T> {
    fn param(&mut self, at: Path<'_>, param: &Param<T>) {
        self.tensor(at, &param.value);
    }
    fn buffer(&mut self, at: Path<'_>, buffer: &Tensor<T>) {
        self.tensor(at, buffer);
    }
    fn counter(&mut self, at: Path<'_>, _: u64) {
        let name = at.to_string();
        match self.state.get(&name) {
            None => self.missing.push(name.clone()),
            Some(StateValue::Count(_)) => {}
            Some(StateValue::Tensor(t)) => self.misshapen.push(format!("{name} (model a counter, state {})", t.shape())),
        }
        self.seen.insert(name, ());
    }
}

struct Writer<'a, T: Element> {
    state: &'a StateDict<T>,
    failed: Option<Error>,
}

impl<T: Element> VisitMut<T> for Writer<'_, T> {
    fn param(&mut self, at: Path<'_>, param: &mut Param<T>) {
        if let Some(StateValue::Tensor(t)) = self.state.get(&at.to_string()) {
            match Tensor::zeros(t.shape()) {
                Ok(zero) => (param.value, param.grad) = (t.clone(), zero),
                Err(error) => self.failed = Some(error.into()),
            }
        }
    }
    fn buffer(&mut self, at: Path<'_>, buffer: &mut Tensor<T>) {
        if let Some(StateValue::Tensor(t)) = self.state.get(&at.to_string()) {
            *buffer = t.clone();
        }
    }
    fn counter(&mut self, at: Path<'_>, count: &mut u64) {
        if let Some(StateValue::Count(n)) = self.state.get(&at.to_string()) {
            *count = *n;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchNorm2d, Flow, Init, Linear};

    fn model(out: usize) -> Flow<f32> {
        let init = &mut Init::seed(1);
        Flow::new().named("bn", BatchNorm2d::config(2).build(init).unwrap()).named("fc", Linear::config(2, out).build(init).unwrap())
    }

    #[test]
    fn every_misfit_is_listed_and_nothing_is_loaded() {
        let mut state = StateDict::of(&model(3)).unwrap();
        state.remove("bn.weight");
        state.insert("bn.extra", StateValue::Count(1));
        state.insert("bn.num_batches_tracked", StateValue::Tensor(Tensor::zeros([1]).unwrap()));
        let mut other = model(4);
        let before = StateDict::of(&other).unwrap();
        let error = state.load_into(&mut other).unwrap_err();
        let Error::State { missing, unexpected, misshapen } = &error else { panic!("{error}") };
        assert_eq!((missing.as_slice(), unexpected.as_slice()), (["bn.weight".to_owned()].as_slice(), ["bn.extra".to_owned()].as_slice()));
        assert_eq!(misshapen.len(), 3, "{misshapen:?}");
        assert!(error.to_string().contains("fc.weight (model [4, 2], state [3, 2])"), "{error}");
        assert_eq!(StateDict::of(&other).unwrap(), before);
    }

    #[test]
    fn a_state_stays_as_it_was_while_the_model_changes() {
        let mut model = model(3);
        let state = StateDict::of(&model).unwrap();
        struct Zero;
        impl VisitMut<f32> for Zero {
            fn param(&mut self, _: Path<'_>, p: &mut Param<f32>) {
                p.value.as_mut_slice().unwrap().fill(0.0);
            }
        }
        model.visit_mut(Path::ROOT, &mut Zero);
        assert_ne!(StateDict::of(&model).unwrap(), state);
        state.load_into(&mut model).unwrap();
        assert_eq!(StateDict::of(&model).unwrap(), state);
    }
}
