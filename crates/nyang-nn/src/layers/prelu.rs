//! The parametric rectified linear unit: how much of the negative passes is learnt.

use nyang_tensor::kernels::channels::channel_sums;
use nyang_tensor::{Element, Shape, Tensor};

use super::linear::add_sums;
use crate::case::{Case, boxed};
use crate::channel_rows::{channels, for_each_row, for_each_row_with, from_rows, to_rows};
use crate::module::check_dy;
use crate::{Build, Ctx, Error, Init, Module, Param, Result, Saved, Spec, state};

pub(crate) const KIND: &str = "PRelu";

/// How a [`PRelu`] layer is to be built. Made by [`PRelu::config`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PReluConfig {
    weights: usize,
    first: f64,
}

impl PReluConfig {
    /// The first value of every weight; 0.25 unless asked otherwise.
    pub fn first(mut self, first: f64) -> Self {
        self.first = first;
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// [`Error::Config`] if there are no weights, or their first value is not a finite number.
    pub fn build<T: Element>(self, init: &mut Init) -> Result<PRelu<T>> {
        if self.weights == 0 {
            return Err(Error::config(KIND, "weights", self.weights, "must be 1, or the number of channels"));
        }
        super::leaky_relu::finite::<T>(KIND, "first", self.first)?;
        Ok(PRelu { weight: Param::new(init.constant([self.weights], self.first)?)?, config: self, saved: Saved::default() })
    }
}

/// The parametric rectified linear unit: a leaky ReLU whose slope on the negative side is learnt, one for all channels or one for each.
///
/// ```text
/// y = x        where x > 0        dx = dy        where x > 0        dw[c] = Σ_{x ≤ 0} dy · x    over channel c, or over everything
///     w[c] x   else                    w[c] dy   else
/// ```
///
/// The slope at 0 is w, and NaN stays NaN, as in PyTorch. Training and evaluation are the same.
///
/// Weight decay pulls w towards 0 and so towards ReLU; the paper leaves it out for w.
///
/// # Shapes
/// With one weight any; with C weights `[N, C, …]`. The output has the input's.
///
/// # Parameters
/// `weight` w `[1]` or `[C]` = 0.25.
///
/// # Errors
/// [`Error::Shape`] with C weights, unless the input is `[N, C, …]` with this C.
///
/// # Reference
/// He et al. 2015, *Delving deep into rectifiers*, arXiv:1502.01852.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Init, Module, PRelu, Tensor};
/// let layer = PRelu::config(1).build::<f32>(&mut Init::seed(1))?;
/// let x = Tensor::from_vec([3], vec![-4.0, 0.0, 4.0])?;
/// assert_eq!(layer.infer(x, &mut Ctx::eval())?.to_vec(), [-1.0, 0.0, 4.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PRelu<T: Element = f32> {
    /// w `[1]` or `[C]`.
    pub weight: Param<T>,
    config: PReluConfig,
    saved: Saved<Tensor<T>>, // x
}

impl PRelu {
    /// A layer with one weight for everything, or with one for each of so many channels, still to be built.
    pub fn config(weights: usize) -> PReluConfig {
        PReluConfig { weights, first: 0.25 }
    }
}

impl<T: Element> PRelu<T> {
    /// The single weight, where there is one.
    fn shared(&self) -> Option<T> {
        self.weight.value.item()
    }
}

fn leak<T: Element>(x: T, w: T) -> T {
    if x > T::ZERO { x } else { w * x }
}

/// dx of one value; x comes in its place.
fn leak_back<T: Element>(x: T, w: T, dy: T) -> T {
    if x > T::ZERO { dy } else { w * dy }
}

impl<T: Element> Module<T> for PRelu<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        match *input.dims() {
            [_, c, ..] if c == self.config.weights => Ok(*input),
            _ if self.config.weights == 1 => Ok(*input),
            _ => Err(Error::shape(KIND, format!("[N, {}, …]", self.config.weights), input)),
        }
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Module::<T>::out_shape(self, x.shape())?;
        if let Some(w) = self.shared() {
            return Ok(x.map(|x| leak(x, w))?);
        }
        let w = self.weight.value.to_vec();
        let mut y = to_rows(x)?;
        for_each_row(&mut y, w.len(), |row| row.iter_mut().zip(&w).for_each(|(x, &w)| *x = leak(*x, w)))?;
        from_rows(y)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let y = self.infer(x.clone(), cx)?;
        self.saved.put(x);
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let x = self.saved.take(KIND)?;
        check_dy(KIND, x.shape(), &dy)?;
        let dw = dy.clone().zip(&x, |dy, x| if x > T::ZERO { T::ZERO } else { dy * x })?;
        if let Some(w) = self.shared() {
            add_sums(&mut self.weight, &[dw.sum()])?; // dw += Σ dy·x where x ≤ 0
            return Ok(dy.zip(&x, |dy, x| leak_back(x, w, dy))?);
        }
        let w = self.weight.value.to_vec();
        let c = channels(KIND, x.shape())?;
        let dw = to_rows(dw)?;
        add_sums(&mut self.weight, &channel_sums(&dw.reshape([dw.len() / c, c])?)?)?;
        let (mut dx, x) = (to_rows(dy)?, to_rows(x)?);
        for_each_row_with(&mut dx, c, &x, c, |dx, x| {
            dx.iter_mut().zip(x).zip(&w).for_each(|((dx, &x), &w)| *dx = leak_back(x, w, *dx));
        })?;
        from_rows(dx)
    }

    state!(T: param weight);

    fn spec(&self) -> Spec {
        Spec::new(KIND).with("weights", self.config.weights).with("first", self.config.first)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(PReluConfig { weights: spec.usize("weights")?, first: spec.f64("first")? }.build::<T>(b.init)?)
}

fn shared<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(PRelu::config(1).build::<T>(init)?)
}
fn each<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(PRelu::config(3).first(-0.5).build::<T>(init)?)
}
fn wide<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(PRelu::config(37).build::<T>(init)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("PRelu/shared", &[2, 3, 4, 5], Some("nn.PReLU()"), shared, shared),
    Case::new("PRelu/channels", &[2, 3, 4, 5], Some("nn.PReLU(3, init=-0.5)"), each, each),
    Case::new("PRelu/rows", &[5, 3], Some("nn.PReLU(3)"), each, each),
    Case::new("PRelu/sequences", &[2, 3, 4], Some("nn.PReLU(3)"), each, each),
    Case::new("PRelu/vector", &[7], Some("nn.PReLU()"), shared, shared),
    Case::new("PRelu/wide", &[2, 37, 3, 3], Some("nn.PReLU(37)"), wide, wide),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// w = (¼, ½): y and dx of each channel, and dw = Σ dy·x over what is not positive: −4·1 − 8·3, −2·2.
    #[test]
    fn two_channels_by_hand() {
        let mut layer = PRelu::config(2).build::<f64>(&mut Init::seed(1)).unwrap();
        layer.weight.value = Tensor::from_vec([2], vec![0.25, 0.5]).unwrap();
        let x = Tensor::from_vec([2, 2], vec![-4.0, -2.0, -8.0, 6.0]).unwrap();
        assert_eq!(layer.forward(x, &mut Ctx::train(1)).unwrap().to_vec(), [-1.0, -1.0, -2.0, 6.0]);
        let dx = layer.backward(Tensor::from_vec([2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap(), &mut Ctx::train(1)).unwrap();
        assert_eq!(dx.to_vec(), [0.25, 1.0, 0.75, 4.0]);
        assert_eq!(layer.weight.grad.to_vec(), [-28.0, -4.0]);
    }

    #[test]
    fn the_slope_at_zero_is_the_weight_and_infinity_and_nan_are_pytorchs() {
        for weights in [1, 5] {
            let mut layer = PRelu::config(weights).build::<f64>(&mut Init::seed(1)).unwrap();
            let x = Tensor::from_vec([1, 5], vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN]).unwrap();
            let y = layer.forward(x, &mut Ctx::train(1)).unwrap().to_vec();
            assert!(y[..4] == [0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY] && y[4].is_nan(), "{y:?}");
            let dx = layer.backward(Tensor::ones([1, 5]).unwrap(), &mut Ctx::train(1)).unwrap();
            assert_eq!(dx.to_vec(), [0.25, 0.25, 1.0, 0.25, 0.25]);
        }
    }

    #[test]
    fn bad_settings_and_other_channels_are_errors() {
        let bad = [
            (PRelu::config(0), "weights = 0"),
            (PRelu::config(1).first(f64::NAN), "first = NaN"),
            (PRelu::config(1).first(f64::INFINITY), "first = inf"),
            (PRelu::config(1).first(1e300), "first = 1"),
        ];
        for (config, field) in bad {
            let error = config.build::<f32>(&mut Init::seed(1)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("PRelu: {field}")), "{error}");
        }
        let layer = PRelu::config(3).build::<f32>(&mut Init::seed(1)).unwrap();
        for dims in [&[] as &[usize], &[3], &[3, 2], &[0, 4, 3], &[2, 0]] {
            let error = layer.out_shape(&Shape::new(dims).unwrap()).unwrap_err().to_string();
            assert!(error.starts_with("PRelu expects [N, 3, …], got "), "{error}");
        }
    }
}
