//! What all optimizers have in common: name, learning rate, groups, numbers kept for each parameter, and the walk over them.

use std::collections::BTreeMap;

use nyang_nn::{Element, Module, Param, Path, Tensor, VisitMut};
use nyang_tensor::parallel::for_each_chunk;

use crate::error::check_not_negative;
use crate::group::{Group, Tuning, tunings};
use crate::optimizer::CHUNK;
use crate::{Error, Result};

/// What all optimizers have: a name, the learning rate, groups, and for each parameter the numbers that one step leaves for the next.
///
/// Only who writes an optimizer needs it: [`Optimizer`](crate::Optimizer) shows how.
#[derive(Clone, Debug)]
pub struct Core<T: Element = f32> {
    kind: &'static str,
    lr: f64,
    groups: Vec<Group>,
    tunings: BTreeMap<String, Tuning>,
    moments: Vec<String>,
    params: BTreeMap<String, ParamState<T>>,
}

/// Everything of an optimizer that changes from step to step.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OptimizerState<T: Element> {
    /// The optimizer's name.
    pub kind: String,
    /// The learning rate.
    pub lr: f64,
    /// What the moments are, by PyTorch's names: `exp_avg`, `exp_avg_sq`.
    pub moments: Vec<String>,
    /// The numbers kept for each parameter, by path.
    pub params: BTreeMap<String, ParamState<T>>,
}

/// What an optimizer keeps for one parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamState<T: Element> {
    /// How many steps this parameter has made.
    pub step: u64,
    /// Running averages of the parameter's shape: SGD's velocity; Adam's m and v.
    pub moments: Vec<Tensor<T>>,
}

/// One parameter's turn in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Turn {
    /// The number of this parameter's step, from 1.
    pub t: u64,
    /// The learning rate, with the factors of the parameter's groups.
    pub lr: f64,
    /// The weight decay, the optimizer's or a group's.
    pub weight_decay: f64,
    /// Whether the last of the moments was made just now, all zeros.
    pub fresh: bool,
}

impl<T: Element> Core<T> {
    /// The core of an optimizer called `kind`.
    pub fn new(kind: &'static str, lr: f64) -> Self {
        Core { kind, lr, groups: vec![], tunings: BTreeMap::new(), moments: vec![], params: BTreeMap::new() }
    }

    /// Names what the optimizer will keep for each parameter, so that a state can be compared before the first step.
    pub fn keeping(mut self, moments: &[&str]) -> Self {
        self.moments = moments.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// The optimizer's name.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether the learning rate and the groups' settings can work.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        check_not_negative(self.kind, "lr", self.lr)?;
        self.groups.iter().try_for_each(|group| group.check(self.kind))
    }

    pub(crate) fn lr(&self) -> f64 {
        self.lr
    }

    pub(crate) fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }

    pub(crate) fn add_group(&mut self, group: Group) {
        self.groups.push(group);
        self.tunings.clear();
    }

    pub(crate) fn state(&self) -> OptimizerState<T> {
        OptimizerState { kind: self.kind.to_owned(), lr: self.lr, moments: self.moments.clone(), params: self.params.clone() }
    }

    pub(crate) fn load_state(&mut self, state: OptimizerState<T>) -> Result<()> {
        let kept = |kind: &str, moments: &[String]| format!("{kind} [{}]", moments.join(", "));
        // the longer list may hold a momentum that a schedule has switched on
        let common = self.moments.iter().zip(&state.moments).all(|(a, b)| a == b);
        let expected = self.moments.len().min(state.moments.len())..=state.moments.len();
        let whole = state.params.values().all(|p| expected.contains(&p.moments.len()));
        if state.kind != self.kind || !common || !whole {
            return Err(Error::State { expected: kept(self.kind, &self.moments), got: kept(&state.kind, &state.moments) });
        }
        check_not_negative(self.kind, "lr", state.lr)?;
        self.lr = state.lr;
        self.params = state.params;
        if state.moments.len() > self.moments.len() {
            self.moments = state.moments;
        }
        Ok(())
    }

    /// Calls `update` for each trainable parameter with its values, its gradient, and the moments named here, which are zeros before its first
    /// step; then sets the gradient to zero. All slices are row-major and of the same length.
    ///
    /// # Errors
    /// As [`Optimizer::step`](crate::Optimizer::step).
    pub fn each_param<const N: usize>(
        &mut self,
        model: &mut dyn Module<T>,
        moments: [&'static str; N],
        weight_decay: f64,
        update: impl FnMut(Turn, &mut [T], &mut [T], [&mut [T]; N]),
    ) -> Result<()> {
        if moments.len() > self.moments.len() {
            self.moments = moments.map(str::to_owned).to_vec();
        }
        if !self.groups.is_empty() {
            tunings(self.kind, &self.groups, model, &mut self.tunings)?;
        }
        let mut walk = Walk::<T, _, N> { core: self, weight_decay, update, failed: None };
        model.visit_mut(Path::ROOT, &mut walk);
        walk.failed.map_or(Ok(()), Err)
    }
}

struct Walk<'a, T: Element, U, const N: usize> {
    core: &'a mut Core<T>,
    weight_decay: f64,
    update: U,
    failed: Option<Error>,
}

impl<T: Element, U: FnMut(Turn, &mut [T], &mut [T], [&mut [T]; N]), const N: usize> Walk<'_, T, U, N> {
    fn one(&mut self, at: Path<'_>, param: &mut Param<T>) -> Result<()> {
        let (core, path, shape) = (&mut *self.core, at.to_string(), *param.value.shape());
        if param.grad.len() != param.value.len() {
            return Err(Error::Gradient { path, expected: param.value.len(), got: param.grad.len() });
        }
        let tuning = core.tunings.get(&path).copied().unwrap_or_default();
        let own = core.params.entry(path).or_insert_with(|| ParamState { step: 0, moments: vec![] });
        if let Some(other) = own.moments.iter().find(|m| *m.shape() != shape) {
            return Err(Error::Model { kind: core.kind, path: at.to_string(), expected: *other.shape(), got: shape });
        }
        let fresh = own.moments.len() < N;
        while own.moments.len() < N {
            own.moments.push(Tensor::zeros(shape)?);
        }
        own.step += 1;
        let weight_decay = tuning.weight_decay.unwrap_or(self.weight_decay);
        let turn = Turn { t: own.step, lr: core.lr * tuning.lr_factor, weight_decay, fresh };
        let moments = own.moments.iter_mut().take(N).map(Tensor::as_mut_slice).collect::<Result<Vec<_>, _>>()?;
        if let Ok(moments) = <[&mut [T]; N]>::try_from(moments) {
            (self.update)(turn, param.value.as_mut_slice()?, param.grad.as_mut_slice()?, moments); // there are N by now
        }
        Ok(())
    }
}

impl<T: Element, U: FnMut(Turn, &mut [T], &mut [T], [&mut [T]; N]), const N: usize> VisitMut<T> for Walk<'_, T, U, N> {
    fn param(&mut self, at: Path<'_>, param: &mut Param<T>) {
        if self.failed.is_some() {
            return;
        }
        let done = if param.trainable { self.one(at, param) } else { Ok(()) };
        let cleared = done.and_then(|()| Ok(param.grad.memory_mut().map(|g| for_each_chunk(g, CHUNK, |_, g| g.fill(T::ZERO)))?));
        self.failed = cleared.err();
    }
}
