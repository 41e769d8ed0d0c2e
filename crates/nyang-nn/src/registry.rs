//! From a description back to a module. The registry is a value, so that users' own modules join it.

use std::collections::BTreeMap;

use nyang_tensor::Element;

use crate::{Error, Init, Module, Result, Spec, layers};

/// How a module of one kind is built from its description.
pub type BuildFn<T> = fn(&Spec, &mut Build<'_, T>) -> Result<Box<dyn Module<T>>>;

/// Modules by name, in order.
pub type Children<T> = Vec<(String, Box<dyn Module<T>>)>;

/// How deep modules may be nested in one another. No real network comes near; a damaged file may.
const MAX_DEPTH: usize = 64;

/// The kinds of module that can be built from a [`Spec`].
///
/// ```
/// # use nyang_nn::{Flow, Init, Module, Registry, Relu};
/// let flow = Flow::<f32>::new().then(Relu::new());
/// let again = Registry::<f32>::standard().build(&flow.spec(), &mut Init::seed(1))?;
/// assert_eq!(again.spec(), flow.spec());
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone)]
pub struct Registry<T: Element = f32> {
    builders: BTreeMap<String, BuildFn<T>>,
}

impl<T: Element> Registry<T> {
    /// Every layer and container of this crate.
    pub fn standard() -> Self {
        let mut registry = Registry { builders: BTreeMap::new() };
        for (kind, build) in layers::builders() {
            registry.builders.insert(kind.to_owned(), build);
        }
        registry
    }

    /// Adds a kind of module, or replaces one.
    pub fn with(mut self, kind: &str, build: BuildFn<T>) -> Self {
        self.builders.insert(kind.to_owned(), build);
        self
    }

    /// Builds a module, its initial values taken from `init`.
    ///
    /// # Errors
    /// [`Error::UnknownKind`], [`Error::Spec`], [`Error::Config`], [`Error::Budget`], each with the path inside the description.
    pub fn build(&self, spec: &Spec, init: &mut Init) -> Result<Box<dyn Module<T>>> {
        Build { registry: self, init, depth: 0 }.module(spec)
    }
}

/// A build under way: what a [`BuildFn`] gets its initial values and its children from.
pub struct Build<'a, T: Element> {
    registry: &'a Registry<T>,
    /// Where initial values come from.
    pub init: &'a mut Init,
    depth: usize,
}

impl<T: Element> Build<'_, T> {
    fn module(&mut self, spec: &Spec) -> Result<Box<dyn Module<T>>> {
        let Some(build) = self.registry.builders.get(&spec.kind) else {
            let known = self.registry.builders.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownKind { kind: spec.kind.clone(), known });
        };
        if self.depth >= MAX_DEPTH {
            return Err(Error::Spec { kind: spec.kind.clone(), what: format!("modules are nested more than {MAX_DEPTH} deep") });
        }
        self.depth += 1;
        let module = build(spec, self);
        self.depth -= 1;
        module
    }

    /// Builds each child of `spec` in order.
    ///
    /// # Errors
    /// The child's, with its name in front of the path.
    pub fn children(&mut self, spec: &Spec) -> Result<Children<T>> {
        let child = |(name, spec): &(String, Spec)| Ok((name.clone(), self.module(spec).map_err(|e| e.within(name))?));
        spec.children.iter().map(child).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_is_an_error_with_its_place() {
        let spec = Spec::new("Flow").child("0", Spec::new("Relu")).child("head", Spec::new("Wizard"));
        let error = Registry::<f32>::standard().build(&spec, &mut Init::seed(0)).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.starts_with("at `head`: no module of kind `Wizard` is registered"), "{error}");
    }

    #[test]
    fn endless_nesting_is_an_error() {
        let deep = (0..1000).fold(Spec::new("Relu"), |inner, _| Spec::new("Flow").child("0", inner));
        assert!(Registry::<f32>::standard().build(&deep, &mut Init::seed(0)).is_err());
    }
}
