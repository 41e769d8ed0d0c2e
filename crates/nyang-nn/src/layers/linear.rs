//! The fully connected layer.

use nyang_tensor::kernels::Activation;
use nyang_tensor::kernels::channels::channel_sums;
use nyang_tensor::kernels::linear::linear;
use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::{Build, Ctx, Error, Init, Module, Param, Result, Saved, Scheme, Spec, state};

pub(crate) const KIND: &str = "Linear";

/// How a [`Linear`] layer is to be built. Made by [`Linear::config`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearConfig {
    in_features: usize,
    out_features: usize,
    bias: bool,
    init: Scheme,
}

impl LinearConfig {
    /// Whether b is added; it is unless asked otherwise.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// The distribution of the first weights; PyTorch's unless asked otherwise.
    pub fn init(mut self, scheme: Scheme) -> Self {
        self.init = scheme;
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// [`Error::Config`] if a size is 0.
    pub fn build<T: Element>(self, init: &mut Init) -> Result<Linear<T>> {
        for (field, size) in [("in_features", self.in_features), ("out_features", self.out_features)] {
            if size == 0 {
                return Err(Error::config(KIND, field, size, "must be positive"));
            }
        }
        let (n, m) = (self.in_features, self.out_features);
        let weight = init.weight([m, n], self.init, n, m)?;
        let bias = if self.bias { Some(init.bias(m, self.init, n)?) } else { None };
        Ok(Linear { weight, bias, config: self, saved: Saved::default() })
    }
}

/// A fully connected layer: every output is a weighted sum of every input.
///
/// ```text
/// y = x Wᵀ + b
///
/// dx = dy W      dW = dyᵀ x      db = Σₙ dy[n]
/// ```
///
/// # Shapes
/// `[N, in] → [N, out]`
///
/// # Parameters
/// `weight` W `[out, in]` and `bias` b `[out]`, both U(±1/√in) unless another [`Scheme`] is asked for.
///
/// # Errors
/// [`Error::Shape`] unless the input is `[N, in]`.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Init, Linear, Module, Tensor};
/// let layer = Linear::config(4, 2).bias(false).build::<f32>(&mut Init::seed(1))?;
/// assert_eq!(layer.infer(Tensor::ones([3, 4])?, &mut Ctx::eval())?.dims(), [3, 2]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Linear<T: Element = f32> {
    /// W `[out, in]`.
    pub weight: Param<T>,
    /// b `[out]`.
    pub bias: Option<Param<T>>,
    config: LinearConfig,
    saved: Saved<Tensor<T>>,
}

impl Linear {
    /// A layer from `in_features` to `out_features`, still to be built.
    pub fn config(in_features: usize, out_features: usize) -> LinearConfig {
        LinearConfig { in_features, out_features, bias: true, init: Scheme::Torch }
    }
}

impl<T: Element> Linear<T> {
    /// `infer`, then the activation.
    pub(crate) fn infer_then(&self, x: &Tensor<T>, activation: Activation, cx: &Ctx<'_, T>) -> Result<Tensor<T>> {
        Module::<T>::out_shape(self, x.shape())?;
        Ok(linear(x, &self.weight.value, self.bias.as_ref().map(|b| &b.value), activation, cx.kernels)?)
    }

    /// `forward`, then the activation, whose backward is left to its own layer.
    pub(crate) fn forward_then(&mut self, x: Tensor<T>, activation: Activation, cx: &Ctx<'_, T>) -> Result<Tensor<T>> {
        let y = self.infer_then(&x, activation, cx)?;
        self.saved.put(x);
        Ok(y)
    }

    /// dW += dyᵀ x, db += Σₙ dy.
    fn add_gradients(&mut self, dy: &Tensor<T>) -> Result<()> {
        let x = self.saved.take(KIND)?;
        check_dy(KIND, &Module::<T>::out_shape(self, x.shape())?, dy)?;
        self.weight.grad.add_matmul(&dy.transpose()?, &x)?;
        match &mut self.bias {
            Some(b) => add_sums(b, &channel_sums(dy)?),
            None => Ok(()),
        }
    }
}

impl<T: Element> Module<T> for Linear<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        let (expected, out) = (self.config.in_features, self.config.out_features);
        match *input.dims() {
            [n, d] if d == expected => Ok(Shape::from([n, out])),
            [n, ..] if input.rank() > 2 && input.len() == n.saturating_mul(expected) => Err(Error::Shape {
                layer: KIND,
                expected: format!("[N, {expected}]"),
                got: *input,
                hint: Some(format!("a Flatten before it gives [{n}, {expected}]")),
            }),
            _ => Err(Error::shape(KIND, format!("[N, {expected}]"), input)),
        }
    }

    fn infer(&self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.infer_then(&x, Activation::Identity, cx)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.forward_then(x, Activation::Identity, cx)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.add_gradients(&dy)?;
        Ok(dy.matmul(&self.weight.value)?) // dx = dy W
    }

    fn backward_params(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<()> {
        self.add_gradients(&dy)
    }

    state!(T: param weight, option bias);

    fn spec(&self) -> Spec {
        Spec::new(KIND)
            .with("in_features", self.config.in_features)
            .with("out_features", self.config.out_features)
            .with("bias", self.config.bias)
            .with("init", self.config.init.to_string().as_str())
    }
}

/// Adds per-channel sums to a parameter's gradient.
pub(crate) fn add_sums<T: Element>(param: &mut Param<T>, sums: &[f64]) -> Result<()> {
    param.grad.as_mut_slice()?.iter_mut().zip(sums).for_each(|(g, &s)| *g += T::of(s));
    Ok(())
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    let config = LinearConfig {
        in_features: spec.usize("in_features")?,
        out_features: spec.usize("out_features")?,
        bias: spec.bool("bias")?,
        init: spec.text("init")?.parse()?,
    };
    boxed(config.build::<T>(b.init)?)
}

fn plain<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Linear::config(5, 3).build::<T>(init)?)
}
fn no_bias<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Linear::config(5, 3).bias(false).build::<T>(init)?)
}
fn wide<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Linear::config(70, 65).init(Scheme::HeNormal).build::<T>(init)?)
}
fn odd<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Linear::config(33, 19).build::<T>(init)?)
}
fn one_number<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Linear::config(1, 1).build::<T>(init)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("Linear/plain", &[4, 5], Some("nn.Linear(5, 3)"), plain, plain),
    Case::new("Linear/no_bias", &[4, 5], Some("nn.Linear(5, 3, bias=False)"), no_bias, no_bias),
    Case::new("Linear/one_sample", &[1, 5], Some("nn.Linear(5, 3)"), plain, plain),
    Case::new("Linear/wide", &[3, 70], Some("nn.Linear(70, 65)"), wide, wide),
    Case::new("Linear/odd", &[17, 33], Some("nn.Linear(33, 19)"), odd, odd),
    Case::new("Linear/one_number", &[3, 1], Some("nn.Linear(1, 1)"), one_number, one_number),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// U(±1/√in), PyTorch's: another framework's default was √6 times as wide.
    #[test]
    fn first_values_fill_pytorchs_bounds_and_no_more() {
        let layer = Linear::config(27, 1000).build::<f64>(&mut Init::seed(1)).unwrap();
        let largest = |t: &Tensor<f64>| t.to_vec().iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for (values, least) in [(&layer.weight.value, 0.1924), (&layer.bias.as_ref().unwrap().value, 0.191)] {
            assert!((least..=0.192_450_09).contains(&largest(values)), "{}", largest(values));
        }
    }

    #[test]
    fn a_product_that_can_be_checked_by_hand() {
        let mut layer = Linear::config(2, 1).build::<f64>(&mut Init::seed(1)).unwrap();
        layer.weight.value = Tensor::from_vec([1, 2], vec![2.0, -1.0]).unwrap();
        layer.bias.as_mut().unwrap().value = Tensor::from_vec([1], vec![0.5]).unwrap();
        let x = Tensor::from_vec([2, 2], vec![1.0, 3.0, 4.0, 0.0]).unwrap();
        assert_eq!(layer.forward(x, &mut Ctx::train(1)).unwrap().to_vec(), [-0.5, 8.5]);
        let dx = layer.backward(Tensor::from_vec([2, 1], vec![1.0, 10.0]).unwrap(), &mut Ctx::train(1)).unwrap();
        assert_eq!(dx.to_vec(), [2.0, -1.0, 20.0, -10.0]);
        assert_eq!(layer.weight.grad.to_vec(), [41.0, 3.0]);
        assert_eq!(layer.bias.unwrap().grad.to_vec(), [11.0]);
    }

    #[test]
    fn errors_say_what_to_do() {
        let layer = Linear::config(400, 10).build::<f32>(&mut Init::seed(1)).unwrap();
        let say = |dims: &[usize]| Module::<f32>::out_shape(&layer, &Shape::new(dims).unwrap()).unwrap_err().to_string();
        assert_eq!(say(&[8, 16, 5, 5]), "Linear expects [N, 400], got [8, 16, 5, 5]; a Flatten before it gives [8, 400]");
        assert_eq!(say(&[8, 399]), "Linear expects [N, 400], got [8, 399]");
    }

    #[test]
    fn sizes_of_zero_are_errors() {
        for (n, m, field) in [(0, 3, "in_features"), (3, 0, "out_features")] {
            let error = Linear::config(n, m).build::<f32>(&mut Init::seed(1)).unwrap_err();
            assert_eq!(error.to_string(), format!("Linear: {field} = 0 is not valid: must be positive"));
        }
    }
}
