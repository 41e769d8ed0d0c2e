//! Each sample's numbers under another shape.

use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::{Build, Ctx, Error, Init, Module, Result, Saved, Spec};

pub(crate) const KIND: &str = "Reshape";

/// Each sample becomes one of another shape, its numbers in the same row-major order; the batch stays.
///
/// ```text
/// y[n, …] = x[n, …], both counted 0, 1, 2, … from the last dimension forward        dx: the same, backwards
/// ```
///
/// [`Flatten`](crate::Flatten) is the reshape to a row of whatever length.
///
/// # Shapes
/// `[N, …] → [N, *shape]`
///
/// # Errors
/// [`Error::Shape`] unless a sample has as many numbers as the shape.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Module, Reshape, Tensor};
/// let layer = Reshape::new([3, 4, 5])?;
/// assert_eq!(layer.infer(Tensor::<f32>::ones([2, 60])?, &mut Ctx::eval())?.dims(), [2, 3, 4, 5]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reshape {
    shape: Shape, // of a sample
    saved: Saved<Shape>,
}

impl Reshape {
    /// Reshapes each sample to this shape, which does not name the batch.
    ///
    /// # Errors
    /// [`Error::Config`] for a size of 0, and for more than seven dimensions: the batch is the eighth.
    pub fn new(shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if shape.dims().contains(&0) || shape.batch_of(1).is_err() {
            return Err(Error::config(KIND, "shape", shape, "must have positive sizes, seven at most"));
        }
        Ok(Reshape { shape, saved: Saved::default() })
    }
}

impl<T: Element> Module<T> for Reshape {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        match input.dims() {
            [n, rest @ ..] if Shape::new(rest)?.len() == self.shape.len() => Ok(self.shape.batch_of(*n)?),
            _ => Err(Error::shape(KIND, format!("[N, …] with {} values a sample", self.shape.len()), input)),
        }
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Ok(x.reshape(Module::<T>::out_shape(self, x.shape())?)?)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let input = *x.shape();
        let y = self.infer(x, cx)?;
        self.saved.put(input);
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let input = self.saved.take(KIND)?;
        check_dy(KIND, &Module::<T>::out_shape(self, &input)?, &dy)?;
        Ok(dy.reshape(input)?)
    }

    fn spec(&self) -> Spec {
        Spec::new(KIND).with("shape", self.shape.dims())
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(Reshape::new(Shape::new(&spec.list("shape")?)?)?)
}

fn images<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Reshape::new([3, 2, 4])?)
}
fn rows<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Reshape::new([4, 6])?)
}
fn scalars<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Reshape::new(Shape::SCALAR)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Reshape/images", &[2, 24], Some("nn.Unflatten(1, (3, 2, 4))"), images, images),
    Case::new("Reshape/rows", &[2, 2, 3, 4], Some("Lambda(lambda x: x.reshape(-1, 4, 6))"), rows, rows),
    Case::new("Reshape/scalars", &[5, 1, 1], Some("Lambda(lambda x: x.reshape(-1))"), scalars, scalars),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_row_major_whatever_the_memory_order() {
        let x = Tensor::from_fn([2, 3, 2, 2], |i| i as f32).unwrap();
        let y = Reshape::new([12]).unwrap().infer(x.channels_last().unwrap(), &mut Ctx::eval()).unwrap();
        assert_eq!(y.to_vec(), x.to_vec());
    }

    #[test]
    fn shapes_that_do_not_go_together_are_errors() {
        let layer = Reshape::new([3, 4]).unwrap();
        let error = Module::<f32>::out_shape(&layer, &Shape::from([2, 13])).unwrap_err().to_string();
        assert_eq!(error, "Reshape expects [N, …] with 12 values a sample, got [2, 13]");
        for shape in [Shape::from([3, 0]), Shape::from([1; 8])] {
            assert!(Reshape::new(shape).unwrap_err().to_string().contains("must have positive sizes, seven at most"));
        }
        assert!(Module::<f32>::out_shape(&Reshape::new([usize::MAX, 2]).unwrap(), &Shape::from([1, usize::MAX])).is_ok()); // no such tensor
    }
}
