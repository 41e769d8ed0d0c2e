//! From images to rows.

use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::{Build, Ctx, Error, Init, Module, Result, Saved, Spec};

pub(crate) const KIND: &str = "Flatten";

/// Every dimension but the batch becomes one: an image becomes a row, in the order C, H, W.
///
/// ```text
/// y[n, (c·H + h)·W + w] = x[n,c,h,w]        dx: the same, backwards
/// ```
///
/// # Shapes
/// `[N, …] → [N, Π …]`
///
/// # Errors
/// [`Error::Shape`] for an input without dimensions.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Flatten, Module, Tensor};
/// assert_eq!(Flatten::new().infer(Tensor::<f32>::ones([2, 3, 4, 5])?, &mut Ctx::eval())?.dims(), [2, 60]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Flatten {
    saved: Saved<Shape>,
}

impl Flatten {
    /// The layer; it has nothing to configure.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Element> Module<T> for Flatten {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        match *input.dims() {
            [n, ref rest @ ..] if input.len() < usize::MAX => Ok(Shape::from([n, rest.iter().product()])),
            _ => Err(Error::shape(KIND, "[N, …]", input)),
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
}

pub(crate) fn build<T: Element>(_: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(Flatten::new())
}

fn plain<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Flatten::new())
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Flatten/images", &[2, 3, 4, 5], Some("nn.Flatten()"), plain, plain),
    Case::new("Flatten/rows", &[2, 3], Some("nn.Flatten()"), plain, plain),
    Case::new("Flatten/one_pixel", &[3, 4, 1, 1], Some("nn.Flatten()"), plain, plain),
    Case::new("Flatten/wide", &[2, 37, 3, 2], Some("nn.Flatten()"), plain, plain),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_c_h_w_whatever_the_memory_order() {
        let x = Tensor::from_fn([2, 3, 2, 2], |i| i as f32).unwrap();
        let rows = Flatten::new().infer(x.channels_last().unwrap(), &mut Ctx::eval()).unwrap();
        assert_eq!(rows.to_vec(), x.to_vec());
    }
}
