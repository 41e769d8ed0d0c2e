//! Modules side by side, each given the same input: their outputs beside each other, or added.

use nyang_tensor::kernels::concat::{concat_channels, concat_shape};
use nyang_tensor::{Element, Shape, Tensor};

use super::{Conv2d, Flow, Linear, MaxPool2d, Relu};
use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::{Build, Ctx, Error, Init, Module, Path, Result, Saved, Spec, Visit, VisitMut};

pub(crate) const KIND: &str = "Branches";

/// What becomes of the branches' outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Join {
    Concat,
    Sum,
}

/// Modules that are each given the same input; their outputs lie side by side along the channels, or are added.
///
/// ```text
/// concat:  y = [f₁(x), f₂(x), …]        dy = [dy₁, dy₂, …] cut where y was joined        dx = f₁′(dy₁) + f₂′(dy₂) + …
/// sum:     y = f₁(x) + f₂(x) + …                                                         dx = f₁′(dy) + f₂′(dy) + …
/// ```
///
/// Children are named 0, 1, 2, … or as one likes. An empty [`Flow`] is the branch that lets x through as it is.
///
/// # Shapes
/// concat: `[N, C₁, …], [N, C₂, …], … → [N, C₁ + C₂ + …, …]`; sum: all alike
///
/// # Errors
/// A child's error, with its name in front. [`Error::Shape`] if the outputs do not go together. [`Error::Duplicate`] if two branches
/// have the same name, [`Error::Config`] if there is none.
///
/// # Reference
/// Szegedy et al. 2015, *Going deeper with convolutions*, arXiv:1409.4842, figure 2.
///
/// # Example
/// ```
/// # use nyang_nn::{Branches, Conv2d, Ctx, Init, Module, Tensor};
/// let init = &mut Init::seed(1);
/// let block = Branches::concat()
///     .named("narrow", Conv2d::config(8, 4, 1).build::<f32>(init)?)
///     .named("wide", Conv2d::config(8, 6, 3).padding(1).build(init)?);
/// assert_eq!(block.infer(Tensor::ones([2, 8, 5, 5])?, &mut Ctx::eval())?.dims(), [2, 10, 5, 5]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Branches<T: Element = f32> {
    join: Join,
    branches: Vec<(String, Box<dyn Module<T>>)>,
    duplicate: Option<String>,
    saved: Saved<(Shape, Vec<usize>)>, // the output's shape, and the channels of each branch
}

impl<T: Element> Branches<T> {
    /// Branches whose outputs lie side by side along the channels; none yet.
    pub fn concat() -> Self {
        Branches { join: Join::Concat, branches: Vec::new(), duplicate: None, saved: Saved::default() }
    }

    /// Branches whose outputs are added; none yet.
    pub fn sum() -> Self {
        Branches { join: Join::Sum, ..Self::concat() }
    }

    /// Adds a branch, named by its position.
    pub fn then(self, module: impl Module<T>) -> Self {
        let name = self.branches.len().to_string();
        self.named(&name, module)
    }

    /// Adds a branch under a name of its own.
    pub fn named(mut self, name: &str, module: impl Module<T>) -> Self {
        if self.branches.iter().any(|(taken, _)| taken == name) {
            self.duplicate = Some(name.to_owned()); // told by every later call: a builder's chain has no place for a Result
        }
        self.branches.push((name.to_owned(), Box::new(module)));
        self
    }

    /// The branches with their names, in order.
    pub fn children(&self) -> impl Iterator<Item = (&str, &dyn Module<T>)> {
        self.branches.iter().map(|(name, module)| (name.as_str(), module.as_ref()))
    }

    fn sound(&self) -> Result<()> {
        if let Some(name) = &self.duplicate {
            return Err(Error::Duplicate { layer: KIND, name: name.clone() });
        }
        if self.branches.is_empty() {
            return Err(Error::config(KIND, "branches", 0, "must be one at least"));
        }
        Ok(())
    }

    /// The shape of outputs of these shapes together.
    fn joined_shape(&self, shapes: &[Shape]) -> Result<Shape> {
        let (Some(first), alike) = (shapes.first(), self.join == Join::Sum) else { return self.sound().map(|()| Shape::SCALAR) };
        for ((name, _), shape) in self.branches.iter().zip(shapes) {
            let fits = if alike { shape == first } else { concat_shape(&[*first, *shape]).is_ok() };
            if !fits {
                let (name_of_first, but) = (&self.branches[0].0, if alike { "" } else { ", but for the channels" });
                let expected = format!("an output {first} as that of `{name_of_first}`{but}");
                return Err(Error::shape(KIND, expected, shape).within(name));
            }
        }
        Ok(if alike { *first } else { concat_shape(shapes)? })
    }

    fn joined(&self, outputs: Vec<Tensor<T>>) -> Result<Tensor<T>> {
        self.joined_shape(&outputs.iter().map(|y| *y.shape()).collect::<Vec<_>>())?;
        match self.join {
            Join::Concat => Ok(concat_channels(&outputs)?),
            Join::Sum => total(outputs),
        }
    }
}

/// The sum of tensors of one shape, from first to last.
fn total<T: Element>(parts: Vec<Tensor<T>>) -> Result<Tensor<T>> {
    let mut parts = parts.into_iter();
    let first = parts.next().ok_or_else(|| Error::config(KIND, "branches", 0, "must be one at least"))?;
    parts.try_fold(first, |sum, part| Ok(sum.add(&part)?))
}

impl<T: Element> Module<T> for Branches<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        self.sound()?;
        let shape = |(name, m): &(String, Box<dyn Module<T>>)| m.out_shape(input).map_err(|e| e.within(name));
        self.joined_shape(&self.branches.iter().map(shape).collect::<Result<Vec<_>>>()?)
    }

    fn infer(&self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.sound()?;
        let outputs = self.branches.iter().map(|(name, m)| cx.infer(name, m.as_ref(), x.clone()));
        self.joined(outputs.collect::<Result<Vec<_>>>()?)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.sound()?;
        let outputs = self.branches.iter_mut().map(|(name, m)| cx.forward(name, m.as_mut(), x.clone()));
        let outputs = outputs.collect::<Result<Vec<_>>>()?;
        let channels = outputs.iter().map(|y| y.dims().get(1).copied().unwrap_or(0)).collect();
        let y = self.joined(outputs)?;
        self.saved.put((*y.shape(), channels));
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let (shape, channels) = self.saved.take(KIND)?;
        check_dy(KIND, &shape, &dy)?;
        let (join, mut start, mut parts) = (self.join, 0, Vec::with_capacity(channels.len()));
        for ((name, m), c) in self.branches.iter_mut().zip(channels) {
            let part = if join == Join::Concat { dy.slice(1, start..start + c, 1)? } else { dy.clone() };
            start += c;
            parts.push(cx.backward(name, m.as_mut(), part)?);
        }
        total(parts)
    }

    fn visit(&self, at: Path<'_>, v: &mut dyn Visit<T>) {
        self.branches.iter().for_each(|(name, m)| m.visit(at.child(name), v));
    }

    fn visit_mut(&mut self, at: Path<'_>, v: &mut dyn VisitMut<T>) {
        self.branches.iter_mut().for_each(|(name, m)| m.visit_mut(at.child(name), v));
    }

    fn spec(&self) -> Spec {
        let join = if self.join == Join::Concat { "concat" } else { "sum" };
        self.branches.iter().fold(Spec::new(KIND).with("join", join), |spec, (name, m)| spec.child(name, m.spec()))
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    let branches = match spec.text("join")? {
        "concat" => Branches::concat(),
        "sum" => Branches::sum(),
        other => {
            return Err(Error::Spec { kind: KIND.into(), what: format!("`join` must be `concat` or `sum`, got `{other}`") });
        }
    };
    let branches = b.children(spec)?.into_iter().fold(branches, |all, (name, module)| all.named(&name, module));
    branches.sound()?;
    boxed(branches)
}

fn inception<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    let wide = Flow::new().then(Conv2d::config(3, 2, 1).build(init)?).then(Conv2d::config(2, 5, 3).padding(1).build(init)?);
    let branches = Branches::concat().named("narrow", Conv2d::config(3, 4, 1).build(init)?).named("wide", wide);
    boxed(branches.named("pool", MaxPool2d::config(3).stride(1).padding(1).build()?))
}
fn dense<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Branches::concat().named("x", Flow::new()).named("new", Conv2d::config(16, 19, 3).padding(1).build(init)?))
}
fn rows<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Branches::concat().then(Linear::config(4, 3).build(init)?).then(Linear::config(4, 2).build(init)?))
}
fn sum<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    let a = Flow::new().then(Linear::config(4, 3).build(init)?).then(Relu::new());
    boxed(Branches::sum().named("a", a).named("b", Linear::config(4, 3).build(init)?).named("c", Linear::config(4, 3).build(init)?))
}
fn images<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Branches::sum().then(Conv2d::config(2, 3, 3).padding(1).build(init)?).then(Conv2d::config(2, 3, 1).build(init)?))
}
fn alone<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Branches::concat().then(Linear::config(4, 3).build(init)?))
}

const INCEPTION: &str = "Branches(torch.cat, narrow=nn.Conv2d(3, 4, 1), \
    wide=nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 5, 3, padding=1)), pool=nn.MaxPool2d(3, 1, 1))";
const SUM: &str = "Branches(sum, a=nn.Sequential(nn.Linear(4, 3), nn.ReLU()), b=nn.Linear(4, 3), c=nn.Linear(4, 3))";
const ROWS: &str = "Branches(torch.cat, **{'0': nn.Linear(4, 3), '1': nn.Linear(4, 2)})";
const IMAGES: &str = "Branches(sum, **{'0': nn.Conv2d(2, 3, 3, padding=1), '1': nn.Conv2d(2, 3, 1)})";
const DENSE: &str = "Branches(torch.cat, x=nn.Identity(), new=nn.Conv2d(16, 19, 3, padding=1))";

pub(crate) const CASES: &[Case] = &[
    Case::new("Branches/inception", &[2, 3, 5, 4], Some(INCEPTION), inception, inception),
    Case::new("Branches/dense", &[1, 16, 3, 3], Some(DENSE), dense, dense),
    Case::new("Branches/rows", &[3, 4], Some(ROWS), rows, rows),
    Case::new("Branches/sum", &[3, 4], Some(SUM), sum, sum),
    Case::new("Branches/sum_of_images", &[2, 2, 3, 4], Some(IMAGES), images, images),
    Case::new("Branches/alone", &[2, 4], Some("Branches(torch.cat, **{'0': nn.Linear(4, 3)})"), alone, alone),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_that_do_not_go_together_are_errors_that_name_the_branch() {
        let init = &mut Init::seed(1);
        let conv = |out: usize, kernel: usize, init: &mut Init| Conv2d::config(2, out, kernel).build::<f32>(init).unwrap();
        let image = Shape::from([1, 2, 5, 5]);
        let concat = Branches::concat().named("a", conv(3, 1, init)).named("b", conv(4, 3, init));
        let error = concat.out_shape(&image).unwrap_err().to_string();
        assert_eq!(error, "at `b`: Branches expects an output [1, 3, 5, 5] as that of `a`, but for the channels, got [1, 4, 3, 3]");
        let mut sum = Branches::sum().named("a", conv(3, 1, init)).named("b", conv(4, 1, init));
        let error = sum.forward(Tensor::ones(image).unwrap(), &mut Ctx::train(1)).unwrap_err().to_string();
        assert_eq!(error, "at `b`: Branches expects an output [1, 3, 5, 5] as that of `a`, got [1, 4, 5, 5]");
    }

    #[test]
    fn no_branches_and_names_taken_twice_are_errors_everywhere() {
        let x = Tensor::<f32>::ones([2, 3]).unwrap();
        let mut none = Branches::sum();
        assert!(matches!(none.out_shape(x.shape()), Err(Error::Config { .. })));
        assert!(matches!(none.forward(x.clone(), &mut Ctx::eval()), Err(Error::Config { .. })));
        let twice = Branches::concat().named("1", Relu::new()).then(Relu::new());
        assert!(matches!(twice.infer(x, &mut Ctx::eval()), Err(Error::Duplicate { .. })));
    }

    #[test]
    fn damaged_descriptions_are_errors() {
        let registry = crate::Registry::<f32>::standard();
        let child = || Spec::new("Relu");
        for spec in [
            Spec::new(KIND).child("a", child()),
            Spec::new(KIND).with("join", "product").child("a", child()),
            Spec::new(KIND).with("join", "sum"),
            Spec::new(KIND).with("join", "sum").child("a", child()).child("a", child()),
        ] {
            assert!(registry.build(&spec, &mut Init::seed(1)).is_err(), "{spec:?}");
        }
    }
}
