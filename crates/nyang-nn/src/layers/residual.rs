//! A body with a shortcut around it.

use nyang_tensor::kernels::Activation;
use nyang_tensor::{Element, Shape, Tensor};

use super::{BatchNorm2d, Conv2d, DropPath, Flow, PadShortcut, Relu};
use crate::case::{Case, boxed};
use crate::fusion::{cast, cast_mut};
use crate::{Build, Ctx, Error, Init, Module, Path, Result, Saved, Spec, Visit, VisitMut};

pub(crate) const KIND: &str = "Residual";

type Named<T> = Option<(String, Box<dyn Module<T>>)>;

/// A residual block: the body learns what to add to its input.
///
/// ```text
/// y = g(f(x) + s(x))        f the body, s the shortcut (the identity unless given), g what comes after (the identity unless given)
///
/// dz = g′(dy)               dx = f′(dz) + s′(dz)
/// ```
///
/// The body's children stand directly below the block in paths, beside the shortcut, as in torchvision: `layer1.0.conv1.weight`,
/// `layer1.0.downsample.0.weight`.
///
/// # Errors
/// A child's error, with its name in front. [`Error::Shape`] if body and shortcut give different shapes.
/// [`Error::Duplicate`] if the shortcut has the name of one of the body's children.
///
/// # Reference
/// He et al. 2016, *Deep residual learning for image recognition*, arXiv:1512.03385.
///
/// # Example
/// ```
/// # use nyang_nn::{Conv2d, Ctx, Flow, Init, Module, Relu, Residual, Tensor};
/// let init = &mut Init::seed(1);
/// let body = Flow::<f32>::new().named("conv1", Conv2d::config(8, 8, 3).padding(1).build(init)?);
/// let block = Residual::new(body).after("relu", Relu::new());
/// assert_eq!(block.infer(Tensor::ones([1, 8, 4, 4])?, &mut Ctx::eval())?.dims(), [1, 8, 4, 4]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Residual<T: Element = f32> {
    body: Flow<T>,
    shortcut: Named<T>,
    after: Named<T>,
    ran: Saved<()>,
}

impl<T: Element> Residual<T> {
    /// A block with this body, the identity as shortcut, and nothing after the sum.
    pub fn new(body: Flow<T>) -> Self {
        Residual { body, shortcut: None, after: None, ran: Saved::default() }
    }

    /// Replaces the identity: a 1×1 convolution, say, where the body changes the shape.
    pub fn shortcut(mut self, name: &str, module: impl Module<T>) -> Self {
        self.shortcut = Some((name.to_owned(), Box::new(module)));
        self
    }

    /// What the sum goes through, usually a ReLU.
    pub fn after(mut self, name: &str, module: impl Module<T>) -> Self {
        self.after = Some((name.to_owned(), Box::new(module)));
        self
    }

    /// What the shortcut goes around.
    pub(crate) fn body(&self) -> &Flow<T> {
        &self.body
    }

    fn sound(&self) -> Result<()> {
        let mut names: Vec<&str> = self.body.children().map(|c| c.0).collect();
        for (name, _) in self.shortcut.iter().chain(&self.after) {
            if names.contains(&name.as_str()) {
                return Err(Error::Duplicate { layer: KIND, name: name.clone() });
            }
            names.push(name);
        }
        Ok(())
    }

    fn sum(body: Tensor<T>, shortcut: &Tensor<T>) -> Result<Tensor<T>> {
        same_shape(body.shape(), shortcut.shape())?;
        Ok(body.add(shortcut)?)
    }

    /// max(body + shortcut, 0) in one walk through the memory (see `fusion.rs`).
    fn rectified_sum(body: Tensor<T>, shortcut: &Tensor<T>) -> Result<Tensor<T>> {
        same_shape(body.shape(), shortcut.shape())?;
        Ok(body.zip(shortcut, |b, s| Relu::of(b + s))?)
    }

    /// What comes after, if a sum can do it on the way.
    fn ending(&self) -> Option<Activation> {
        if self.after.is_none() { Some(Activation::Identity) } else { self.after_relu().map(|_| Activation::Relu) }
    }

    /// What comes after, if it is a ReLU.
    fn after_relu(&self) -> Option<&Relu<T>> {
        self.after.as_ref().and_then(|(_, g)| cast(g.as_ref()))
    }
}

/// That the two can be added.
pub(super) fn same_shape(body: &Shape, shortcut: &Shape) -> Result<()> {
    if body == shortcut {
        return Ok(());
    }
    Err(Error::Shape {
        layer: KIND,
        expected: format!("a shortcut of its body's shape {body}"),
        got: *shortcut,
        hint: Some("give it a shortcut, such as a 1×1 convolution of the body's stride and channels".into()),
    })
}

impl<T: Element> Module<T> for Residual<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        self.sound()?;
        let out = self.body.out_shape(input)?;
        let beside = match &self.shortcut {
            Some((name, s)) => s.out_shape(input).map_err(|e| e.within(name))?,
            None => *input,
        };
        same_shape(&out, &beside)?;
        match &self.after {
            Some((name, g)) => g.out_shape(&out).map_err(|e| e.within(name)),
            None => Ok(out),
        }
    }

    fn infer(&self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.sound()?;
        let beside = match &self.shortcut {
            Some((name, s)) => cx.infer(name, s.as_ref(), x.clone())?,
            None => x.clone(),
        };
        let alone = !cx.is_watched();
        if let (Some((name, conv)), Some(ending), true) = (self.body.last_conv(), self.ending(), alone) {
            let x = self.body.infer_some(0..self.body.len() - 1, x, cx)?;
            same_shape(&conv.out_shape(x.shape()).map_err(|e| e.within(name))?, beside.shape())?;
            return conv.infer_then(&x, Some(&beside), ending, cx).map_err(|e| e.within(name));
        }
        let z = self.body.infer(x, cx)?;
        if let (Some(_), true) = (self.after_relu(), alone) {
            return Self::rectified_sum(z, &beside);
        }
        let z = Self::sum(z, &beside)?;
        drop(beside); // so that what comes after may work in place
        match &self.after {
            Some((name, g)) => cx.infer(name, g.as_ref(), z),
            None => Ok(z),
        }
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.sound()?;
        let beside = match &mut self.shortcut {
            Some((name, s)) => cx.forward(name, s.as_mut(), x.clone())?,
            None => x.clone(),
        };
        let ending = self.ending().filter(|_| !cx.is_watched());
        let relu = self.after.as_mut().and_then(|(_, g)| cast_mut::<Relu<T>, T>(g.as_mut()));
        let y = ending.map_or(Ok(None), |ending| self.body.forward_beside(&x, &beside, ending, cx))?;
        if let Some(y) = y {
            if let Some(relu) = relu {
                relu.keep(&y);
            }
            self.ran.put(());
            return Ok(y);
        }
        let z = self.body.forward(x, cx)?;
        if let (Some(relu), false) = (relu, cx.is_watched()) {
            let y = Self::rectified_sum(z, &beside)?;
            relu.keep(&y);
            self.ran.put(());
            return Ok(y);
        }
        let z = Self::sum(z, &beside)?;
        drop(beside);
        let y = match &mut self.after {
            Some((name, g)) => cx.forward(name, g.as_mut(), z)?,
            None => z,
        };
        self.ran.put(());
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.ran.take(KIND)?;
        let dz = match &mut self.after {
            Some((name, g)) => cx.backward(name, g.as_mut(), dy)?,
            None => dy,
        };
        let beside = match &mut self.shortcut {
            Some((name, s)) => cx.backward(name, s.as_mut(), dz.clone())?,
            None => dz.clone(),
        };
        self.body.backward_beside(dz, &beside, cx)
    }

    fn visit(&self, at: Path<'_>, v: &mut dyn Visit<T>) {
        self.body.visit(at, v);
        self.shortcut.iter().chain(&self.after).for_each(|(name, m)| m.visit(at.child(name), v));
    }

    fn visit_mut(&mut self, at: Path<'_>, v: &mut dyn VisitMut<T>) {
        self.body.visit_mut(at, v);
        self.shortcut.iter_mut().chain(&mut self.after).for_each(|(name, m)| m.visit_mut(at.child(name), v));
    }

    /// Children as in paths: the body's, the shortcut, what comes after. The configuration's `shortcut` and `after` say which are those two.
    fn spec(&self) -> Spec {
        let mut spec = self.body.children().fold(Spec::new(KIND), |spec, (name, m)| spec.child(name, m.spec()));
        for (role, named) in [("shortcut", &self.shortcut), ("after", &self.after)] {
            if let Some((name, m)) = named {
                spec = spec.with(role, name.as_str()).child(name, m.spec());
            }
        }
        spec
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    let mut children = b.children(spec)?;
    let mut take = |role: &str| -> Result<Named<T>> {
        if !spec.config.contains_key(role) {
            return Ok(None);
        }
        let name = spec.text(role)?;
        let Some(i) = children.iter().position(|child| child.0 == name) else {
            return Err(Error::Spec { kind: KIND.into(), what: format!("its {role} `{name}` is not among its children") });
        };
        Ok(Some(children.remove(i)))
    };
    let (shortcut, after) = (take("shortcut")?, take("after")?);
    let body = children.into_iter().fold(Flow::new(), |flow, (name, module)| flow.named(&name, module));
    let block = Residual { body, shortcut, after, ran: Saved::default() };
    block.sound()?;
    boxed(block)
}

fn body<T: Element>(init: &mut Init, c: usize, o: usize, stride: usize) -> Result<Flow<T>> {
    Ok(Flow::new()
        .named("conv1", Conv2d::config(c, o, 3).stride(stride).padding(1).bias(false).build(init)?)
        .named("bn1", BatchNorm2d::config(o).build(init)?)
        .named("relu1", Relu::new())
        .named("conv2", Conv2d::config(o, o, 3).padding(1).bias(false).build(init)?)
        .named("bn2", BatchNorm2d::config(o).build(init)?))
}
fn identity<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Residual::new(body(init, 3, 3, 1)?).after("relu2", Relu::new()))
}
fn projected<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    let downsample = Flow::new().then(Conv2d::config(3, 4, 1).stride(2).bias(false).build(init)?).then(BatchNorm2d::config(4).build(init)?);
    boxed(Residual::new(body(init, 3, 4, 2)?).shortcut("downsample", downsample).after("relu2", Relu::new()))
}
fn padded<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Residual::new(body(init, 2, 4, 2)?).shortcut("pad", PadShortcut::new(2, 4, 2)?).after("relu2", Relu::new()))
}
fn linear<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Residual::new(Flow::new().named("conv", Conv2d::config(2, 2, 3).padding(1).build(init)?)))
}
fn wide<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Residual::new(Flow::new().named("conv", Conv2d::config(19, 19, 3).padding(1).build(init)?)))
}
fn drop_path<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Residual::new(Flow::new().then(Conv2d::config(2, 2, 3).padding(1).build(init)?).named("drop_path", DropPath::new(0.5)?)))
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Residual/identity", &[3, 3, 4, 4], Some("BasicBlock(3, 3)"), identity, identity),
    Case::new("Residual/projected", &[3, 3, 4, 4], Some("BasicBlock(3, 4, stride=2, shortcut='conv')"), projected, projected),
    Case::new("Residual/padded", &[3, 2, 4, 4], Some("BasicBlock(2, 4, stride=2, shortcut='pad')"), padded, padded),
    Case::new("Residual/linear", &[2, 2, 3, 3], Some("Residual(conv=nn.Conv2d(2, 2, 3, padding=1))"), linear, linear),
    Case::new("Residual/wide", &[2, 19, 4, 5], Some("Residual(conv=nn.Conv2d(19, 19, 3, padding=1))"), wide, wide),
    // None: PyTorch would have to be given the mask of a module inside
    Case::new("Residual/drop_path", &[4, 2, 3, 3], None, drop_path, drop_path),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateDict;

    #[test]
    fn parameters_have_torchvisions_names() {
        let block = projected::<f32>(&mut Init::seed(1)).unwrap();
        let state = StateDict::of(block.as_ref()).unwrap();
        let weights: Vec<&str> = state.names().filter(|n| n.ends_with("weight")).collect();
        assert_eq!(weights, ["bn1.weight", "bn2.weight", "conv1.weight", "conv2.weight", "downsample.0.weight", "downsample.1.weight"]);
    }

    #[test]
    fn a_body_that_changes_the_shape_needs_a_shortcut() {
        let block = Residual::new(body::<f32>(&mut Init::seed(1), 3, 4, 2).unwrap());
        let error = block.out_shape(&Shape::from([1, 3, 8, 8])).unwrap_err().to_string();
        assert!(error.starts_with("Residual expects a shortcut of its body's shape [1, 4, 4, 4], got [1, 3, 8, 8]; give it"), "{error}");
    }

    #[test]
    fn the_shortcut_may_not_take_a_name_of_the_body() {
        let block = Residual::new(body::<f32>(&mut Init::seed(1), 3, 3, 1).unwrap()).shortcut("conv1", Relu::new());
        assert!(matches!(block.out_shape(&Shape::from([1, 3, 8, 8])), Err(Error::Duplicate { .. })));
    }

    #[test]
    fn damaged_descriptions_are_errors() {
        let registry = crate::Registry::<f32>::standard();
        let sound = projected::<f32>(&mut Init::seed(1)).unwrap().spec();
        let mut twice = sound.clone();
        twice.children.push(("downsample".into(), Spec::new("Relu")));
        for spec in [sound.clone().with("shortcut", "upsample"), sound.with("after", 3), twice] {
            assert!(registry.build(&spec, &mut Init::seed(1)).is_err());
        }
    }
}
