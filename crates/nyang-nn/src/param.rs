//! Parameters, the paths that name them, and the visitors that find them.

use std::fmt;

use nyang_tensor::{Element, Tensor};

use crate::Result;

/// Numbers that training changes, and the gradient of the loss with respect to them.
#[derive(Clone, Debug)]
pub struct Param<T: Element> {
    /// The values.
    pub value: Tensor<T>,
    /// ∂loss/∂value. Every `backward` *adds* to it; an optimizer's step uses it and sets it to zero.
    pub grad: Tensor<T>,
    /// Whether optimizers may change the values. A frozen layer still passes gradients on.
    pub trainable: bool,
}

impl<T: Element> Param<T> {
    /// A trainable parameter with these values and a gradient of zero.
    ///
    /// # Errors
    /// [`nyang_tensor::Error::Memory`].
    pub fn new(value: Tensor<T>) -> Result<Self> {
        Ok(Param { grad: Tensor::zeros(value.shape())?, value, trainable: true })
    }
}

/// A place in a model, such as `layer1.0.conv1.weight`: PyTorch's names.
///
/// A linked list on the stack, so that walking over a model allocates nothing.
#[derive(Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'a str,
}

impl<'a> Path<'a> {
    /// The model itself.
    pub const ROOT: Path<'static> = Path { parent: None, name: "" };

    /// The place called `name` below this one.
    pub fn child<'b>(&'b self, name: &'b str) -> Path<'b>
    where
        'a: 'b,
    {
        Path { parent: Some(self), name }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent.filter(|p| !p.name.is_empty()) {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.name)
    }
}

/// Sees every parameter and buffer of a module with its path.
pub trait Visit<T: Element> {
    /// A parameter.
    fn param(&mut self, at: Path<'_>, param: &Param<T>);
    /// Numbers that belong to the model's state but are not trained, such as running means.
    fn buffer(&mut self, _at: Path<'_>, _buffer: &Tensor<T>) {}
    /// A count that belongs to the model's state, such as the number of batches seen.
    fn counter(&mut self, _at: Path<'_>, _count: u64) {}
}

/// Sees, and may change, every parameter and buffer of a module with its path.
pub trait VisitMut<T: Element> {
    /// A parameter.
    fn param(&mut self, at: Path<'_>, param: &mut Param<T>);
    /// Numbers that belong to the model's state but are not trained.
    fn buffer(&mut self, _at: Path<'_>, _buffer: &mut Tensor<T>) {}
    /// A count that belongs to the model's state.
    fn counter(&mut self, _at: Path<'_>, _count: &mut u64) {}
}

/// Writes a module's `visit` and `visit_mut` from one list of its fields, in the order in which they are to be seen.
///
/// Kinds of field: `param` (a [`Param`]), `option` (an `Option<Param>`), `buffer` (a `Tensor`), `counter` (a `u64`) and `child` (a
/// module). The field's name is the name in the path.
/// [`Module`](crate::Module) shows a whole model that uses it.
#[macro_export]
macro_rules! state {
    ($t:ty: $($kind:ident $field:ident),* $(,)?) => {
        #[allow(unused_variables)] // a module of no fields sees nothing
        fn visit(&self, at: $crate::Path<'_>, v: &mut dyn $crate::Visit<$t>) {
            $($crate::state!(@see $kind self.$field, stringify!($field), at, v);)*
        }
        #[allow(unused_variables)] // a module of no fields sees nothing
        fn visit_mut(&mut self, at: $crate::Path<'_>, v: &mut dyn $crate::VisitMut<$t>) {
            $($crate::state!(@change $kind self.$field, stringify!($field), at, v);)*
        }
    };
    (@see param $x:expr, $name:expr, $at:ident, $v:ident) => { $v.param($at.child($name), &$x) };
    (@see option $x:expr, $name:expr, $at:ident, $v:ident) => { if let Some(p) = &$x { $v.param($at.child($name), p) } };
    (@see buffer $x:expr, $name:expr, $at:ident, $v:ident) => { $v.buffer($at.child($name), &$x) };
    (@see counter $x:expr, $name:expr, $at:ident, $v:ident) => { $v.counter($at.child($name), $x) };
    (@see child $x:expr, $name:expr, $at:ident, $v:ident) => { $crate::Module::visit(&$x, $at.child($name), $v) };
    (@change param $x:expr, $name:expr, $at:ident, $v:ident) => { $v.param($at.child($name), &mut $x) };
    (@change option $x:expr, $name:expr, $at:ident, $v:ident) => { if let Some(p) = &mut $x { $v.param($at.child($name), p) } };
    (@change buffer $x:expr, $name:expr, $at:ident, $v:ident) => { $v.buffer($at.child($name), &mut $x) };
    (@change counter $x:expr, $name:expr, $at:ident, $v:ident) => { $v.counter($at.child($name), &mut $x) };
    (@change child $x:expr, $name:expr, $at:ident, $v:ident) => { $crate::Module::visit_mut(&mut $x, $at.child($name), $v) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_in_pytorch() {
        let layer = Path::ROOT.child("layer1");
        let block = layer.child("0");
        assert_eq!(block.child("weight").to_string(), "layer1.0.weight");
        assert_eq!(Path::ROOT.child("weight").to_string(), "weight");
        assert_eq!(Path::ROOT.to_string(), "");
    }
}
