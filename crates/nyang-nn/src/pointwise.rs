//! Layers that apply one function of one number to every value: most activations. A page of such a layer is its [`Curve`].

use nyang_tensor::{Element, Shape, Tensor};

use crate::case::boxed;
use crate::module::check_dy;
use crate::{Build, Ctx, Init, Module, Result, Saved, Spec};

/// A function f of one number and its derivative f′, side by side. [`Pointwise`] makes a layer of it.
///
/// # Example
/// An activation of one's own:
///
/// ```
/// use nyang_nn::{Ctx, Curve, Element, Module, Pointwise, Tensor};
///
/// #[derive(Clone, Debug, Default)]
/// struct Square;
///
/// impl Curve for Square {
///     const KIND: &'static str = "Square";
///     fn value<T: Element>(&self, x: T) -> T { x * x }
///     fn slope<T: Element>(&self, x: T) -> T { x + x }
/// }
///
/// let mut layer = Pointwise::<Square>::new();
/// assert_eq!(layer.forward(Tensor::full([2], 3.0)?, &mut Ctx::train(1))?.to_vec(), [9.0, 9.0]);
/// assert_eq!(layer.backward(Tensor::ones([2])?, &mut Ctx::train(1))?.to_vec(), [6.0, 6.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub trait Curve: Clone + Send + Sync + 'static {
    /// The layer's kind, as it appears in errors, summaries and files: `"Tanh"`.
    const KIND: &'static str;

    /// f(x).
    fn value<T: Element>(&self, x: T) -> T;

    /// f′(x). Where f has a kink, one of the two slopes.
    fn slope<T: Element>(&self, x: T) -> T;

    /// The kind and the settings, from which the layer can be built anew. The kind alone unless overridden.
    fn spec(&self) -> Spec {
        Spec::new(Self::KIND)
    }
}

/// A layer that applies a [`Curve`] to every value on its own.
///
/// ```text
/// y = f(x)        dx = dy · f′(x)
/// ```
///
/// Training and evaluation are the same. `forward` keeps x, which costs nothing where the layer before holds it anyway.
///
/// # Shapes
/// Any; the output has the input's.
#[derive(Clone, Debug)]
pub struct Pointwise<F: Curve, T: Element = f32> {
    curve: F,
    saved: Saved<Tensor<T>>, // x
}

impl<F: Curve, T: Element> Pointwise<F, T> {
    /// The layer of this curve.
    pub fn of(curve: F) -> Self {
        Pointwise { curve, saved: Saved::default() }
    }
}

impl<F: Curve + Default, T: Element> Pointwise<F, T> {
    /// The layer with its usual settings, or without any.
    pub fn new() -> Self {
        Self::of(F::default())
    }
}

impl<F: Curve + Default, T: Element> Default for Pointwise<F, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Curve, T: Element> Module<T> for Pointwise<F, T> {
    fn kind(&self) -> &'static str {
        F::KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        Ok(*input)
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Ok(x.map(|x| self.curve.value(x))?)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let y = self.infer(x.clone(), cx)?;
        self.saved.put(x);
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let x = self.saved.take(F::KIND)?;
        check_dy(F::KIND, x.shape(), &dy)?;
        Ok(dy.zip(&x, |dy, x| dy * self.curve.slope(x))?)
    }

    fn spec(&self) -> Spec {
        self.curve.spec()
    }
}

/// Builds, from its description, a layer that has no settings.
pub(crate) fn build_plain<F: Curve + Default, T: Element>(_: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(Pointwise::<F, T>::new())
}

/// The case of a layer with its usual settings.
pub(crate) fn plain<F: Curve + Default, T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Pointwise::<F, T>::new())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::check::{GradCheck, check_gradients};
    use crate::{Elu, Gelu, Hardsigmoid, Hardswish, LeakyRelu, Mish, Relu6, Selu, Sigmoid, Silu, Softplus, Tanh};

    /// y and dy/dx of a layer at each x.
    pub(crate) fn curve_at<T: Element>(mut layer: impl Module<T>, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let n = [x.len()];
        let x = Tensor::from_vec(n, x.iter().map(|&v| T::of(v)).collect()).unwrap();
        let y = layer.forward(x, &mut Ctx::train(1)).unwrap();
        let dx = layer.backward(Tensor::ones(n).unwrap(), &mut Ctx::train(1)).unwrap();
        (y.cast().unwrap().to_vec(), dx.cast().unwrap().to_vec())
    }

    /// Holds rows (x, y, dy/dx) against a layer; NaN equals NaN, and `tolerance` is a part of max(1, |expected|).
    pub(crate) fn holds<T: Element>(layer: impl Module<T>, tolerance: f64, table: &[(f64, f64, f64)]) {
        let x: Vec<f64> = table.iter().map(|row| row.0).collect();
        let (y, slope) = curve_at(layer, &x);
        let near = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * b.abs().max(1.0);
        for ((row, y), slope) in table.iter().zip(y).zip(slope) {
            assert!(near(y, row.1) && near(slope, row.2), "at {}: f = {y:e}, f′ = {slope:e}, not {:e}, {:e}", row.0, row.1, row.2);
        }
    }

    fn all<T: Element>() -> Vec<Box<dyn Module<T>>> {
        vec![
            Box::new(Elu::new(1.0).unwrap()),
            Box::new(Elu::new(-0.7).unwrap()),
            Box::new(Gelu::new()),
            Box::new(Gelu::tanh()),
            Box::new(Hardsigmoid::new()),
            Box::new(Hardswish::new()),
            Box::new(LeakyRelu::new(0.01).unwrap()),
            Box::new(LeakyRelu::new(-1.0).unwrap()),
            Box::new(Mish::new()),
            Box::new(Relu6::new()),
            Box::new(Selu::new()),
            Box::new(Sigmoid::new()),
            Box::new(Silu::new()),
            Box::new(Softplus::new(0.8).unwrap()),
            Box::new(Tanh::new()),
        ]
    }

    /// The cases' random inputs seldom go beyond ±3; here is the whole range where curves bend, and no kink is on the grid.
    #[test]
    fn every_slope_is_the_slope_of_its_curve_far_out_too() {
        let x = Tensor::from_fn([320], |i| -15.97 + 0.1 * i as f64).unwrap();
        for mut layer in all() {
            let report = check_gradients(layer.as_mut(), &x, &GradCheck::default()).unwrap();
            assert!(report.passes(1e-7), "{}: {report:?}", layer.kind());
        }
    }

    #[test]
    fn f32_has_all_the_digits_that_f32_can_have() {
        let x: Vec<f64> = (0..4000).map(|i| f64::from(-20.0 + 0.01 * i as f32)).collect();
        for (low, high) in all::<f32>().into_iter().zip(all::<f64>()) {
            let kind = low.kind();
            let ((y, slope), (y64, slope64)) = (curve_at(low, &x), curve_at(high, &x));
            for ((i, a), b) in y.iter().zip(&y64).enumerate().chain(slope.iter().zip(&slope64).enumerate()).map(|(i, (a, b))| ((i, a), b)) {
                // four roundings of 2⁻²⁴ and what the argument's own scale brings; values near 0 are compared with 1
                assert!((a - b).abs() <= 4e-7 * b.abs().max(1.0), "{kind} at {}: {a:e}, not {b:e}", x[i]);
            }
        }
    }

    #[test]
    fn nan_stays_nan_and_thousands_stay_finite() {
        for (low, high) in all::<f32>().into_iter().zip(all::<f64>()) {
            let kind = low.kind();
            for (y, slope) in [curve_at(low, &[f64::NAN, 1000.0, -1000.0]), curve_at(high, &[f64::NAN, 1000.0, -1000.0])] {
                assert!(y[0].is_nan(), "{kind}: {y:?}");
                assert!(y[1..].iter().chain(&slope[1..]).all(|v| v.is_finite()), "{kind}: {y:?} {slope:?}");
            }
        }
    }

    #[test]
    fn values_in_any_memory_order_and_none_at_all_work() {
        let x = Tensor::from_fn([2, 3, 2, 2], |i| i as f64 - 11.5).unwrap();
        for layer in all() {
            let infer = |x: Tensor<f64>| layer.infer(x, &mut Ctx::eval()).unwrap();
            assert_eq!(infer(x.channels_last().unwrap()).to_vec(), infer(x.clone()).to_vec(), "{}", layer.kind());
            assert_eq!(infer(Tensor::zeros([0, 3]).unwrap()).dims(), [0, 3]);
        }
    }
}
