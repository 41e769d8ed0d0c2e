//! The trait that layers, containers and users' own models implement: forward and backward, both written out.

use std::any::Any;

use nyang_tensor::kernels::Kernels;
use nyang_tensor::{Element, Rng, Shape, Tensor};

use crate::{Error, Path, Result, Spec, Visit, VisitMut};

/// Something that turns a tensor into another, and gradients of the one into gradients of the other.
///
/// There is no tape: `forward` keeps what `backward` needs, and `backward` is the chain rule, written by hand beside it. For
/// y = f(x; w) and a loss L,
///
/// ```text
/// forward   x  ↦ y
/// backward  ∂L/∂y ↦ ∂L/∂x = (∂y/∂x)ᵀ ∂L/∂y,   and adds  ∂L/∂w = (∂y/∂w)ᵀ ∂L/∂y  to each parameter's gradient
/// ```
///
/// Tensors are passed by value: a layer that holds the only handle may work in place.
///
/// # Example
/// A model of one's own is a struct whose fields are modules; [`state!`](crate::state) lists them once.
///
/// ```
/// use nyang_nn::{Ctx, Element, Init, Linear, Module, Relu, Result, Shape, Tensor, state};
///
/// struct Perceptron<T: Element> { hidden: Linear<T>, relu: Relu<T>, out: Linear<T> }
///
/// impl<T: Element> Module<T> for Perceptron<T> {
///     fn kind(&self) -> &'static str { "Perceptron" }
///     fn out_shape(&self, input: &Shape) -> Result<Shape> { self.out.out_shape(&self.hidden.out_shape(input)?) }
///     fn infer(&self, x: Tensor<T>, cx: &mut Ctx<T>) -> Result<Tensor<T>> {
///         let h = cx.infer("hidden", &self.hidden, x)?;
///         let h = cx.infer("relu", &self.relu, h)?;
///         cx.infer("out", &self.out, h)
///     }
///     fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<T>) -> Result<Tensor<T>> {
///         let h = cx.forward("hidden", &mut self.hidden, x)?;
///         let h = cx.forward("relu", &mut self.relu, h)?;
///         cx.forward("out", &mut self.out, h)
///     }
///     fn backward(&mut self, dy: Tensor<T>, cx: &mut Ctx<T>) -> Result<Tensor<T>> {
///         let dh = cx.backward("out", &mut self.out, dy)?;
///         let dh = cx.backward("relu", &mut self.relu, dh)?;
///         cx.backward("hidden", &mut self.hidden, dh)
///     }
///     state!(T: child hidden, child out);
/// }
///
/// let init = &mut Init::seed(1);
/// let mut model = Perceptron::<f32> {
///     hidden: Linear::config(4, 8).build(init)?,
///     relu: Relu::new(),
///     out: Linear::config(8, 3).build(init)?,
/// };
/// let y = model.forward(Tensor::ones([2, 4])?, &mut Ctx::train(1))?;
/// assert_eq!(y.dims(), [2, 3]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub trait Module<T: Element = f32>: Any + Send + Sync {
    /// The kind of module, as it appears in errors, summaries and files: `"Conv2d"`.
    fn kind(&self) -> &'static str;

    /// The shape of the output for an input of this shape, without any arithmetic: this validates a whole network.
    ///
    /// # Errors
    /// [`Error::Shape`] for an input that the module cannot take, with the path inside a container.
    fn out_shape(&self, input: &Shape) -> Result<Shape>;

    /// Evaluation: keeps nothing, so that any number of threads may share the module. Equals `forward` in [`Mode::Eval`] bit for bit.
    ///
    /// Each sample is on its own: its bits do not depend on the others, and a NaN or an infinity stays in the sample that has it. No number
    /// is an error; [`Observer`]s can look for what is not finite.
    ///
    /// # Errors
    /// As [`Module::out_shape`].
    fn infer(&self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>>;

    /// The output, in the context's mode. Keeps what the next `backward` needs.
    ///
    /// # Errors
    /// As [`Module::out_shape`].
    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>>;

    /// From ∂L/∂y to ∂L/∂x; adds ∂L/∂w to the gradient of every parameter w. Uses up what `forward` kept.
    ///
    /// # Errors
    /// [`Error::NoForward`] without a `forward` before it; [`Error::Shape`] if `dy` has not the output's shape.
    fn backward(&mut self, dy: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>>;

    /// [`Module::backward`] where nobody needs ∂L/∂x, because x is data: a network's first layer. The parameters' gradients are the same.
    ///
    /// Computes ∂L/∂x all the same and drops it unless overridden, as convolutions, linear layers and [`Flow`](crate::Flow) do.
    ///
    /// # Errors
    /// As [`Module::backward`].
    fn backward_params(&mut self, dy: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<()> {
        self.backward(dy, cx).map(drop)
    }

    /// Shows every parameter and buffer with its path. Written by [`state!`](crate::state).
    fn visit(&self, _at: Path<'_>, _v: &mut dyn Visit<T>) {}

    /// Shows every parameter and buffer with its path, to change. Written by [`state!`](crate::state).
    fn visit_mut(&mut self, _at: Path<'_>, _v: &mut dyn VisitMut<T>) {}

    /// What is needed to build the module anew: its kind, configuration and children. The kind alone unless overridden.
    fn spec(&self) -> Spec {
        Spec::new(self.kind())
    }
}

/// A module of any kind shows its description.
impl<T: Element> std::fmt::Debug for dyn Module<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.spec().fmt(f)
    }
}

/// A boxed module is a module.
impl<T: Element> Module<T> for Box<dyn Module<T>> {
    fn kind(&self) -> &'static str {
        (**self).kind()
    }
    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        (**self).out_shape(input)
    }
    fn infer(&self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        (**self).infer(x, cx)
    }
    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        (**self).forward(x, cx)
    }
    fn backward(&mut self, dy: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        (**self).backward(dy, cx)
    }
    fn backward_params(&mut self, dy: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<()> {
        (**self).backward_params(dy, cx)
    }
    fn visit(&self, at: Path<'_>, v: &mut dyn Visit<T>) {
        (**self).visit(at, v);
    }
    fn visit_mut(&mut self, at: Path<'_>, v: &mut dyn VisitMut<T>) {
        (**self).visit_mut(at, v);
    }
    fn spec(&self) -> Spec {
        (**self).spec()
    }
}

/// Whether a forward pass trains or evaluates: batch norm and dropout differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics; dropout drops.
    Train,
    /// Running statistics; dropout is the identity.
    Eval,
}

/// Which way a module was run, as an [`Observer`] sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// `forward` or `infer`.
    Forward,
    /// `backward`.
    Backward,
}

/// Watches a network while it runs: containers tell it of each child, before and after.
///
/// Timing per layer, gradient statistics, feature maps and the summary are observers, not features of layers.
pub trait Observer<T: Element> {
    /// A module is about to be given `x` (or, backward, ∂L/∂y).
    fn before(&mut self, _path: &str, _kind: &'static str, _pass: Pass, _x: &Tensor<T>) {}
    /// A module has given `y` (or, backward, ∂L/∂x).
    fn after(&mut self, _path: &str, _kind: &'static str, _pass: Pass, _y: &Tensor<T>) {}
}

/// What one pass over a network needs and no layer should own: the mode, random numbers, the place, and who is watching.
pub struct Ctx<'o, T: Element = f32> {
    /// Whether `forward` trains or evaluates.
    pub mode: Mode,
    /// Where dropout's random numbers come from.
    pub rng: Rng,
    /// Which kernels compute: the machine's best unless asked otherwise. `Kernels::default().exact()` keeps convolutions to plain sums.
    pub kernels: Kernels,
    observer: Option<&'o mut dyn Observer<T>>,
    path: String,
}

impl<'o, T: Element> Ctx<'o, T> {
    /// A context of this mode with these random numbers.
    pub fn new(mode: Mode, rng: Rng) -> Self {
        Ctx { mode, rng, kernels: Kernels::default(), observer: None, path: String::new() }
    }

    /// A context for training, with random numbers of this seed.
    pub fn train(seed: u64) -> Self {
        Ctx::new(Mode::Train, Rng::seed(seed))
    }

    /// A context for evaluation.
    pub fn eval() -> Self {
        Ctx::new(Mode::Eval, Rng::seed(0))
    }

    /// The context with an observer, which containers then tell of each of their children.
    pub fn observed(mut self, observer: &'o mut dyn Observer<T>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Whether somebody watches, who wants to see every layer by itself.
    pub(crate) fn is_watched(&self) -> bool {
        self.observer.is_some()
    }

    /// Runs a container's child in evaluation, under its name: in errors, and for the observer.
    ///
    /// # Errors
    /// The child's, with its name in front of the path.
    pub fn infer<M: Module<T> + ?Sized>(&mut self, name: &str, child: &M, x: Tensor<T>) -> Result<Tensor<T>> {
        self.step(name, child.kind(), Pass::Forward, x, |x, cx| child.infer(x, cx))
    }

    /// Runs a container's child forward, under its name.
    ///
    /// # Errors
    /// The child's, with its name in front of the path.
    pub fn forward<M: Module<T> + ?Sized>(&mut self, name: &str, child: &mut M, x: Tensor<T>) -> Result<Tensor<T>> {
        self.step(name, child.kind(), Pass::Forward, x, |x, cx| child.forward(x, cx))
    }

    /// Runs a container's child backward, under its name.
    ///
    /// # Errors
    /// The child's, with its name in front of the path.
    pub fn backward<M: Module<T> + ?Sized>(&mut self, name: &str, child: &mut M, dy: Tensor<T>) -> Result<Tensor<T>> {
        self.step(name, child.kind(), Pass::Backward, dy, |dy, cx| child.backward(dy, cx))
    }

    /// Runs a container's first child backward, under its name, where nobody needs ∂L/∂x; an observer is shown it nevertheless.
    ///
    /// # Errors
    /// The child's, with its name in front of the path.
    pub fn backward_params<M: Module<T> + ?Sized>(&mut self, name: &str, child: &mut M, dy: Tensor<T>) -> Result<()> {
        if self.is_watched() {
            return self.backward(name, child, dy).map(drop);
        }
        child.backward_params(dy, self).map_err(|e| e.within(name))
    }

    fn step(
        &mut self,
        name: &str,
        kind: &'static str,
        pass: Pass,
        x: Tensor<T>,
        run: impl FnOnce(Tensor<T>, &mut Self) -> Result<Tensor<T>>,
    ) -> Result<Tensor<T>> {
        if self.observer.is_none() {
            return run(x, self).map_err(|e| e.within(name));
        }
        let parent = self.path.len();
        if parent > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        if let Some(observer) = &mut self.observer {
            observer.before(&self.path, kind, pass, &x);
        }
        let y = run(x, self).map_err(|e| e.within(name));
        if let (Some(observer), Ok(y)) = (&mut self.observer, &y) {
            observer.after(&self.path, kind, pass, y);
        }
        self.path.truncate(parent);
        y
    }
}

/// What one `forward` leaves for one `backward`. A clone of the layer starts without it, and files never hold it.
#[derive(Debug)]
pub struct Saved<S>(Option<S>);

impl<S> Saved<S> {
    /// Keeps `value` for the next `backward`, instead of anything kept before.
    pub fn put(&mut self, value: S) {
        self.0 = Some(value);
    }

    /// Hands out what was kept; the next call has nothing.
    ///
    /// # Errors
    /// [`Error::NoForward`] if nothing is kept.
    pub fn take(&mut self, layer: &'static str) -> Result<S> {
        self.0.take().ok_or(Error::NoForward { layer })
    }
}

impl<S> Default for Saved<S> {
    fn default() -> Self {
        Saved(None)
    }
}

impl<S> Clone for Saved<S> {
    fn clone(&self) -> Self {
        Saved(None)
    }
}

/// The error for a ∂L/∂y that has not the output's shape.
pub(crate) fn check_dy<T: Element>(layer: &'static str, output: &Shape, dy: &Tensor<T>) -> Result<()> {
    if dy.shape() == output {
        return Ok(());
    }
    Err(Error::shape(layer, format!("a gradient of its output's shape {output}"), dy.shape()))
}
