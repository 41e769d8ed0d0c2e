//! The one list of cases: every layer in several settings. Tests, `cargo xtask gradcheck`, parity and the docs all read it.

use nyang_tensor::{Element, Rng, Shape, Tensor};

use crate::{Init, Module, Result};

/// The cases of every layer and container, each one's together.
pub const CASES: &[&[Case]] = crate::layers::CASES;

/// How a case's module is built.
pub type BuildCase<T> = fn(&mut Init) -> Result<Box<dyn Module<T>>>;

/// One layer in one setting.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name, `layer/setting`: `"Conv2d/strided"`.
    pub name: &'static str,
    /// The input's shape.
    pub input: &'static [usize],
    /// The same module as a PyTorch expression; `None` where PyTorch has none.
    pub torch: Option<&'static str>,
    /// Builds it in `f32`.
    pub build_f32: BuildCase<f32>,
    /// Builds it in `f64`.
    pub build_f64: BuildCase<f64>,
}

impl Case {
    /// A case; `build` is given once for each number type: `Case::new("Relu", &[2, 3], Some("nn.ReLU()"), plain, plain)`.
    pub const fn new(
        name: &'static str,
        input: &'static [usize],
        torch: Option<&'static str>,
        build_f32: BuildCase<f32>,
        build_f64: BuildCase<f64>,
    ) -> Self {
        Case { name, input, torch, build_f32, build_f64 }
    }

    /// The shape of the input.
    ///
    /// # Errors
    /// [`nyang_tensor::Error::Argument`] for more than eight dimensions.
    pub fn shape(&self) -> Result<Shape> {
        Ok(Shape::new(self.input)?)
    }

    /// A random input, the same for both number types up to rounding.
    ///
    /// # Errors
    /// [`nyang_tensor::Error::Memory`].
    pub fn random_input<T: Element>(&self, seed: u64) -> Result<Tensor<T>> {
        Ok(Tensor::normal(self.shape()?, 0.0, 1.0, &mut Rng::keyed([seed, 1, 0, 0]))?)
    }
}

/// Boxes a layer, for the functions that build cases.
pub(crate) fn boxed<T: Element>(module: impl Module<T>) -> Result<Box<dyn Module<T>>> {
    Ok(Box::new(module))
}
