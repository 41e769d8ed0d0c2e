//! Modules one after another: forward in order, backward in reverse.

use std::ops::Range;

use nyang_tensor::kernels::Activation;
use nyang_tensor::{Element, Shape, Tensor};

use super::residual::same_shape;
use super::{BatchNorm2d, Conv2d, Flatten, FlowBuilder, GlobalAvgPool2d, Linear, MaxPool2d, Relu};
use crate::case::{Case, boxed};
use crate::fusion::{Leader, Norm, activation, cast, cast_mut, forward_rectified};
use crate::{Build, Ctx, Error, Init, Module, Param, Path, Result, Saved, Spec, Visit, VisitMut, parts};

pub(crate) const KIND: &str = "Flow";

/// Modules that run one after another.
///
/// ```text
/// y = fₖ(… f₂(f₁(x)))        dx = f₁′(… fₖ₋₁′(fₖ′(dy)))        the chain rule, from the last to the first
/// ```
///
/// Children are named 0, 1, 2, … as in PyTorch's `Sequential`, or as one likes. [`Flow::input`] starts a builder that infers sizes.
///
/// # Errors
/// A child's error, with its name in front. [`Error::Duplicate`] if two children have the same name.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Flow, Init, Linear, Module, Relu, Tensor};
/// let init = &mut Init::seed(1);
/// let model = Flow::<f32>::new()
///     .then(Linear::config(4, 8).build(init)?)
///     .then(Relu::new())
///     .named("head", Linear::config(8, 3).build(init)?);
/// assert_eq!(model.infer(Tensor::ones([2, 4])?, &mut Ctx::eval())?.dims(), [2, 3]);
///
/// let error = model.infer(Tensor::ones([2, 5])?, &mut Ctx::eval()).unwrap_err();
/// assert_eq!(error.to_string(), "at `0`: Linear expects [N, 4], got [2, 5]");
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Flow<T: Element = f32> {
    steps: Vec<(String, Box<dyn Module<T>>)>,
    duplicate: Option<String>,
    ran: Saved<Vec<usize>>, // children that ran as one with the one before; kept, so that even an empty flow knows whether it ran
}

impl<T: Element> Flow<T> {
    /// No modules yet: the identity.
    pub fn new() -> Self {
        Flow { steps: Vec::new(), duplicate: None, ran: Saved::default() }
    }

    /// Adds a module, named by its position.
    pub fn then(self, module: impl Module<T>) -> Self {
        let name = self.steps.len().to_string();
        self.named(&name, module)
    }

    /// Adds a module under a name of its own.
    pub fn named(mut self, name: &str, module: impl Module<T>) -> Self {
        if self.steps.iter().any(|(taken, _)| taken == name) {
            self.duplicate = Some(name.to_owned()); // told by every later call: a builder's chain has no place for a Result
        }
        self.steps.push((name.to_owned(), Box::new(module)));
        self
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there are no modules.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The modules with their names, in order.
    pub fn children(&self) -> impl Iterator<Item = (&str, &dyn Module<T>)> {
        self.steps.iter().map(|(name, module)| (name.as_str(), module.as_ref()))
    }

    /// Backward from the last child to child `first`, without those that ran as one with the child before them.
    fn back_to(&mut self, first: usize, fused: &[usize], dy: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let apart = self.steps.iter_mut().enumerate().skip(first).rev().filter(|(i, _)| !fused.contains(i));
        apart.map(|(_, step)| step).try_fold(dy, |dy, (name, m)| cx.backward(name, m.as_mut(), dy))
    }

    fn sound(&self) -> Result<()> {
        self.duplicate.as_ref().map_or(Ok(()), |name| Err(Error::Duplicate { layer: KIND, name: name.clone() }))
    }
}

impl<T: Element> Flow<T> {
    /// Child `i` and what child `i + 1` is, if the one does the other on the way (see `fusion.rs`).
    fn pair(&self, i: usize, cx: &Ctx<'_, T>) -> Option<(Leader<'_, T>, Activation)> {
        match self.steps.get(i..)? {
            [(_, m), (_, next), ..] if !cx.is_watched() => Leader::of(m.as_ref()).zip(activation(next.as_ref())),
            _ => None,
        }
    }

    /// `forward`, a sum with a tensor of the same shape and what follows it, in one go; none where the last child is no batch norm.
    pub(crate) fn forward_beside(
        &mut self,
        x: &Tensor<T>,
        beside: &Tensor<T>,
        ending: Activation,
        cx: &mut Ctx<'_, T>,
    ) -> Result<Option<Tensor<T>>> {
        let norm = self.steps.last().filter(|_| !cx.is_watched()).is_some_and(|(_, m)| cast::<Norm<T>, T>(m.as_ref()).is_some());
        if !norm {
            return Ok(None);
        }
        let (fused, x) = self.forward_some(self.steps.len() - 1, x.clone(), cx)?;
        let Some((name, m)) = self.steps.last_mut() else { return Ok(None) };
        let Some(norm) = cast_mut::<Norm<T>, T>(m.as_mut()) else { return Ok(None) };
        same_shape(&norm.out_shape(x.shape()).map_err(|e| e.within(name))?, beside.shape())?;
        let y = norm.forward_beside(x, cx.mode, beside, ending).map_err(|e| e.within(name))?;
        self.ran.put(fused);
        Ok(Some(y))
    }

    /// Forward through the first `end` children, and which of them ran as one with the one before.
    fn forward_some(&mut self, end: usize, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<(Vec<usize>, Tensor<T>)> {
        self.sound()?;
        let (mut x, mut i, mut fused) = (x, 0, Vec::new());
        while i < end {
            let behind = self.pair(i, cx).filter(|_| i + 1 < end).map(|(_, activation)| activation);
            let (before, after) = self.steps.split_at_mut(i + 1);
            let (name, m) = &mut before[i];
            if let Some((activation, norm)) = behind.zip(behind.and_then(|_| cast_mut::<Norm<T>, T>(m.as_mut()))) {
                x = norm.forward_with(x, cx.mode, activation).map_err(|e| e.within(name))?;
                fused.push(i + 1);
                i += 2;
                continue;
            }
            // a ReLU behind a convolution or a linear layer learns what came out, and goes backward on its own
            let next = after.first_mut().filter(|_| behind == Some(Activation::Relu));
            if let Some(relu) = next.and_then(|(_, next)| cast_mut::<Relu<T>, T>(next.as_mut())) {
                x = forward_rectified(m.as_mut(), x, cx).map_err(|e| e.within(name))?;
                relu.keep(&x);
                i += 2;
                continue;
            }
            x = cx.forward(name, m.as_mut(), x)?;
            i += 1;
        }
        Ok((fused, x))
    }

    /// `backward`, then a sum with another gradient of x: in one go where the first child is a convolution.
    pub(crate) fn backward_beside(&mut self, dy: Tensor<T>, beside: &Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let first = self.steps.first().filter(|_| !cx.is_watched()).is_some_and(|(_, m)| cast::<Conv2d<T>, T>(m.as_ref()).is_some());
        if !first {
            return Ok(self.backward(dy, cx)?.add(beside)?);
        }
        let fused = self.ran.take(KIND)?;
        let dy = self.back_to(1, &fused, dy, cx)?;
        let (name, m) = &mut self.steps[0];
        match cast_mut::<Conv2d<T>, T>(m.as_mut()) {
            Some(conv) => conv.backward_beside(&dy, Some(beside), cx).map_err(|e| e.within(name)),
            None => Ok(cx.backward(name, m.as_mut(), dy)?.add(beside)?),
        }
    }

    /// The last child, if it is a convolution, which a residual block can then end in one go.
    pub(crate) fn last_conv(&self) -> Option<(&str, &Conv2d<T>)> {
        self.steps.last().and_then(|(name, m)| Some((name.as_str(), cast(m.as_ref())?)))
    }

    /// Evaluation of some of the children, from the first of them to the last.
    pub(crate) fn infer_some(&self, some: Range<usize>, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.sound()?;
        let (mut x, mut i, end) = (x, some.start, some.end);
        while let Some((name, m)) = self.steps[..end].get(i) {
            let pair = self.pair(i, cx).filter(|_| i + 1 < end);
            x = match pair {
                Some((leader, activation)) => leader.infer(x, activation, cx).map_err(|e| e.within(name))?,
                None => cx.infer(name, m.as_ref(), x)?,
            };
            i += 1 + usize::from(pair.is_some());
        }
        Ok(x)
    }

    /// The children from `first` on, a part of the batch at a time, where that is quicker; the child that comes next.
    fn infer_parts(&self, first: usize, x: Tensor<T>, cx: &Ctx<'_, T>) -> Result<(usize, Tensor<T>)> {
        self.sound()?;
        let plan = if cx.is_watched() { None } else { parts::plan(self.children().skip(first).map(|(_, m)| m), x.shape()) };
        let Some((count, part)) = plan else { return Ok((first, x)) };
        let (mut out, some) = (*x.shape(), first..first + count);
        for (name, m) in &self.steps[some.clone()] {
            out = m.out_shape(&out).map_err(|e| e.within(name))?;
        }
        let kernels = cx.kernels;
        let y = parts::infer(&x, part, out, |x| {
            let mut alone = Ctx::eval();
            alone.kernels = kernels;
            self.infer_some(some.clone(), x, &mut alone)
        })?;
        Ok((some.end, y))
    }
}

impl Flow {
    /// Starts a builder that infers sizes from here on, for one sample of this shape (without the batch dimension).
    pub fn input(shape: impl Into<Shape>) -> FlowBuilder {
        FlowBuilder::new(shape.into())
    }
}

impl<T: Element> Default for Flow<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Element> Module<T> for Flow<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        self.sound()?;
        self.steps.iter().try_fold(*input, |shape, (name, m)| m.out_shape(&shape).map_err(|e| e.within(name)))
    }

    fn infer(&self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let (mut x, mut done) = (x, 0);
        loop {
            let before = done;
            (done, x) = self.infer_parts(before, x, cx)?;
            if done == before || done == self.len() {
                return self.infer_some(done..self.len(), x, cx);
            }
        }
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let (fused, x) = self.forward_some(self.steps.len(), x, cx)?;
        self.ran.put(fused);
        Ok(x)
    }

    fn backward(&mut self, dy: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let fused = self.ran.take(KIND)?;
        self.back_to(0, &fused, dy, cx)
    }

    fn backward_params(&mut self, dy: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<()> {
        let fused = self.ran.take(KIND)?;
        // what comes before the first parameter, a Flatten say, needs no gradient either
        let first = self.steps.iter().position(|(_, m)| has_params(m.as_ref())).filter(|_| !cx.is_watched());
        let Some(first) = first else { return self.back_to(0, &fused, dy, cx).map(drop) };
        let dy = self.back_to(first + 1, &fused, dy, cx)?;
        let (name, m) = &mut self.steps[first];
        cx.backward_params(name, m.as_mut(), dy)
    }

    fn visit(&self, at: Path<'_>, v: &mut dyn Visit<T>) {
        self.steps.iter().for_each(|(name, m)| m.visit(at.child(name), v));
    }

    fn visit_mut(&mut self, at: Path<'_>, v: &mut dyn VisitMut<T>) {
        self.steps.iter_mut().for_each(|(name, m)| m.visit_mut(at.child(name), v));
    }

    fn spec(&self) -> Spec {
        self.steps.iter().fold(Spec::new(KIND), |spec, (name, m)| spec.child(name, m.spec()))
    }
}

/// Whether a module has anything to learn.
fn has_params<T: Element>(module: &dyn Module<T>) -> bool {
    struct Any(bool);
    impl<T: Element> Visit<T> for Any {
        fn param(&mut self, _: Path<'_>, _: &Param<T>) {
            self.0 = true;
        }
    }
    let mut any = Any(false);
    module.visit(Path::ROOT, &mut any);
    any.0
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    let flow = b.children(spec)?.into_iter().fold(Flow::new(), |flow, (name, module)| flow.named(&name, module));
    flow.sound()?;
    boxed(flow)
}

fn rows<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Flow::new().then(Linear::config(4, 6).build(init)?).then(Relu::new()).then(Linear::config(6, 3).build(init)?))
}
fn images<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Flow::new().named("conv", Conv2d::config(2, 3, 3).padding(1).build(init)?).named("pool", GlobalAvgPool2d::new()))
}
fn nested<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    let inner = Flow::new().then(Linear::config(4, 5).build(init)?).then(Relu::new());
    boxed(Flow::new().named("body", inner).named("head", Linear::config(5, 2).build(init)?))
}
fn network<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(
        Flow::new()
            .then(Conv2d::config(2, 17, 3).padding(1).bias(false).build(init)?)
            .then(BatchNorm2d::config(17).build(init)?)
            .then(Relu::new())
            .then(MaxPool2d::config(2).build()?)
            .then(Flatten::new())
            .then(Linear::config(153, 3).build(init)?),
    )
}

const NETWORK: &str = "nn.Sequential(nn.Conv2d(2, 17, 3, padding=1, bias=False), nn.BatchNorm2d(17), nn.ReLU(), nn.MaxPool2d(2), \
    nn.Flatten(), nn.Linear(153, 3))";

pub(crate) const CASES: &[Case] = &[
    Case::new("Flow/rows", &[3, 4], Some("nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))"), rows, rows),
    Case::new(
        "Flow/images",
        &[2, 2, 4, 4],
        Some("nn.Sequential(OrderedDict(conv=nn.Conv2d(2, 3, 3, padding=1), pool=nn.AdaptiveAvgPool2d(1)))"),
        images,
        images,
    ),
    Case::new(
        "Flow/nested",
        &[2, 4],
        Some("nn.Sequential(OrderedDict(body=nn.Sequential(nn.Linear(4, 5), nn.ReLU()), head=nn.Linear(5, 2)))"),
        nested,
        nested,
    ),
    Case::new("Flow/network", &[3, 2, 6, 6], Some(NETWORK), network, network),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateDict;

    #[test]
    fn errors_name_the_whole_path() {
        let init = &mut Init::seed(1);
        let inner = Flow::<f32>::new().then(Relu::new()).then(Linear::config(4, 2).build(init).unwrap());
        let mut model = Flow::new().named("features", inner);
        let wrong = Tensor::ones([2, 7]).unwrap();
        let say = "at `features.1`: Linear expects [N, 4], got [2, 7]";
        assert_eq!(model.out_shape(wrong.shape()).unwrap_err().to_string(), say);
        assert_eq!(model.forward(wrong, &mut Ctx::train(1)).unwrap_err().to_string(), say);
    }

    #[test]
    fn a_name_taken_twice_is_an_error_everywhere() {
        let mut model = Flow::<f32>::new().named("1", Relu::new()).then(Relu::new());
        let x = Tensor::ones([2]).unwrap();
        assert!(matches!(model.out_shape(x.shape()), Err(Error::Duplicate { .. })));
        assert!(matches!(model.infer(x.clone(), &mut Ctx::eval()), Err(Error::Duplicate { .. })));
        assert!(matches!(model.forward(x, &mut Ctx::eval()), Err(Error::Duplicate { .. })));
    }

    #[test]
    fn parameters_have_pytorchs_names() {
        let module = nested::<f32>(&mut Init::seed(1)).unwrap();
        let state = StateDict::of(module.as_ref()).unwrap();
        assert_eq!(state.names().collect::<Vec<_>>(), ["body.0.bias", "body.0.weight", "head.bias", "head.weight"]);
    }

    #[test]
    fn a_failed_forward_leaves_no_half_backward() {
        let mut model = rows::<f32>(&mut Init::seed(1)).unwrap();
        assert!(model.forward(Tensor::ones([1, 9]).unwrap(), &mut Ctx::train(1)).is_err());
        assert!(model.backward(Tensor::ones([1, 3]).unwrap(), &mut Ctx::train(1)).is_err());
    }
}
