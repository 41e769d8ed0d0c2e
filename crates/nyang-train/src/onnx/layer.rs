//! A module as its export sees it: its description, its numbers, and the shape of what comes in.

use std::collections::BTreeMap;

use nyang_nn::{Ctx, Module, Observer, Pass, Shape, Spec, StateDict, StateValue, Value as SpecValue};
use nyang_tensor::Tensor;

use super::ExportFn;
use crate::{Error, Result};

/// A model as a whole: its numbers by path, the shapes of its modules' inputs by path, and the operators of each kind.
pub(super) struct Whole {
    state: StateDict<f32>,
    inputs: BTreeMap<String, Shape>,
    operators: BTreeMap<String, ExportFn>,
}

impl Whole {
    /// Looks at a model by running one sample of zeros through it.
    pub fn of(model: &dyn Module<f32>, sample: &Shape, operators: BTreeMap<String, ExportFn>) -> Result<(Self, Shape)> {
        let mut shapes = Shapes(BTreeMap::from([(String::new(), *sample)]));
        let output = *model.infer(Tensor::zeros(*sample)?, &mut Ctx::eval().observed(&mut shapes))?.shape();
        Ok((Whole { state: StateDict::of(model)?, inputs: shapes.0, operators }, output))
    }

    /// The outermost module.
    pub fn root<'a>(&'a self, spec: &'a Spec) -> Layer<'a> {
        Layer { path: String::new(), spec, whole: self }
    }
}

/// Notes the shape of each module's input.
struct Shapes(BTreeMap<String, Shape>);

impl Observer<f32> for Shapes {
    fn before(&mut self, path: &str, _: &'static str, _: Pass, x: &Tensor<f32>) {
        self.0.insert(path.to_owned(), *x.shape());
    }
}

/// One module of the model that is exported.
pub struct Layer<'a> {
    pub(super) path: String,
    /// Its description.
    pub spec: &'a Spec,
    whole: &'a Whole,
}

impl<'a> Layer<'a> {
    /// The error for a module that ONNX cannot say, with the reason.
    pub fn refused(&self, why: impl Into<String>) -> Error {
        Error::Onnx { path: self.path.clone(), kind: self.spec.kind.clone(), why: why.into() }
    }

    pub(super) fn operator(&self) -> Result<ExportFn> {
        let unknown =
            || self.refused(format!("no operators are known for it; give them with `Onnx::new().with(\"{}\", …)`", self.spec.kind));
        self.whole.operators.get(&self.spec.kind).copied().ok_or_else(unknown)
    }

    fn below(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The modules within it, in order, with their names.
    pub fn children(&self) -> impl Iterator<Item = (&'a str, Layer<'a>)> + use<'_, 'a> {
        let child = |(name, spec): &'a (String, Spec)| (name.as_str(), Layer { path: self.below(name), spec, whole: self.whole });
        self.spec.children.iter().map(child)
    }

    /// The module within it of this name.
    ///
    /// # Errors
    /// [`Error::Onnx`] if there is none.
    pub fn child(&self, name: &str) -> Result<Layer<'a>> {
        let found = self.children().find(|(n, _)| *n == name);
        found.map(|(_, layer)| layer).ok_or_else(|| self.refused(format!("its description has no child `{name}`")))
    }

    /// A parameter or buffer by its name in the module, if the module has it.
    pub fn find(&self, name: &str) -> Option<&'a Tensor<f32>> {
        match self.whole.state.get(&self.below(name)) {
            Some(StateValue::Tensor(tensor)) => Some(tensor),
            _ => None,
        }
    }

    /// A parameter or buffer by its name in the module.
    ///
    /// # Errors
    /// [`Error::Onnx`] if there is none.
    pub fn tensor(&self, name: &str) -> Result<&'a Tensor<f32>> {
        self.find(name).ok_or_else(|| self.refused(format!("it has no `{name}`")))
    }

    /// The shape of its input, for a batch of one.
    ///
    /// # Errors
    /// [`Error::Onnx`] if a container runs it out of sight: `Ctx::infer` shows it.
    pub fn input(&self) -> Result<&'a [usize]> {
        let unseen = || self.refused("the shape of its input is not known; its container has to run it through `Ctx::infer`");
        self.whole.inputs.get(&self.path).map(Shape::dims).ok_or_else(unseen)
    }

    /// A size in its configuration.
    ///
    /// # Errors
    /// [`Error::Model`] if it is missing or of another type, here and below.
    pub fn usize(&self, field: &str) -> Result<usize> {
        self.placed(self.spec.usize(field))
    }

    /// A number in its configuration.
    ///
    /// # Errors
    /// [`Error::Model`].
    pub fn f64(&self, field: &str) -> Result<f64> {
        self.placed(self.spec.f64(field))
    }

    /// Yes or no in its configuration.
    ///
    /// # Errors
    /// [`Error::Model`].
    pub fn bool(&self, field: &str) -> Result<bool> {
        self.placed(self.spec.bool(field))
    }

    /// A name in its configuration.
    ///
    /// # Errors
    /// [`Error::Model`].
    pub fn text(&self, field: &str) -> Result<&'a str> {
        self.placed(self.spec.text(field))
    }

    /// N sizes in its configuration.
    ///
    /// # Errors
    /// [`Error::Model`].
    pub fn sizes<const N: usize>(&self, field: &str) -> Result<[usize; N]> {
        self.placed(self.spec.sizes(field))
    }

    /// Sizes in its configuration, however many.
    ///
    /// # Errors
    /// [`Error::Onnx`].
    pub fn list(&self, field: &str) -> Result<Vec<usize>> {
        let size = |v: &SpecValue| if let SpecValue::Int(v) = v { usize::try_from(*v).ok() } else { None };
        let sizes = match self.spec.config.get(field) {
            Some(SpecValue::List(list)) => list.iter().map(size).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        sizes.ok_or_else(|| self.refused(format!("its `{field}` is no list of sizes")))
    }

    fn placed<V>(&self, value: nyang_nn::Result<V>) -> Result<V> {
        value.map_err(|e| Error::Model(if self.path.is_empty() { e } else { e.within(&self.path) }))
    }
}
