//! Gradients brought into bounds before a step: all together by their norm, or each value by itself.

use nyang_nn::{Element, Module, Param, Path, Tensor, Visit, VisitMut};
use nyang_tensor::parallel::{CHUNK, for_each_chunk, map_ranges};

use crate::error::check;
use crate::{Error, Result};

/// The norm of all gradients together, frozen parameters' left out.
///
/// ```text
/// ‖g‖ = √ Σ g²          over every value of every trainable parameter
/// ```
///
/// Sums are in f64 and in a fixed order.
///
/// # Errors
/// [`Error::Tensor`] with no memory for a copy of a gradient that does not lie in one piece.
///
/// # Example
/// ```
/// # use nyang_nn::{Init, Linear, Tensor};
/// # use nyang_optim::grad_norm;
/// let mut model = Linear::config(1, 2).build::<f64>(&mut Init::seed(1))?;
/// model.weight.grad = Tensor::from_vec([2, 1], vec![3.0, 4.0])?;
/// assert_eq!(grad_norm(&model)?, 5.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn grad_norm<T: Element>(model: &dyn Module<T>) -> Result<f64> {
    Ok(norms(model)?.iter().map(|(_, square)| square).sum::<f64>().sqrt())
}

/// Makes all gradients smaller by one factor where their norm together is larger than `max_norm`. Returns the norm as it was before.
///
/// ```text
/// g ← g · min(1, max / (‖g‖ + 1e-6))          ‖g‖ over all parameters together: the direction stays
/// ```
///
/// To be called between `backward` and `step`. Frozen parameters are left out.
///
/// # Errors
/// [`Error::Setting`] unless `max_norm` is a number > 0; [`Error::NonFinite`] if the norm is not finite. Nothing is changed then.
///
/// # Reference
/// Pascanu et al. 2013, *On the difficulty of training recurrent neural networks*, arXiv:1211.5063; PyTorch's `clip_grad_norm_`.
///
/// # Example
/// ```
/// # use nyang_nn::{Init, Linear, Tensor};
/// # use nyang_optim::clip_grad_norm;
/// let mut model = Linear::config(1, 2).build::<f64>(&mut Init::seed(1))?;
/// model.weight.grad = Tensor::from_vec([2, 1], vec![3.0, 4.0])?;
/// assert_eq!(clip_grad_norm(&mut model, 1.0)?, 5.0);
/// assert!((model.weight.grad.to_vec()[0] - 0.6).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn clip_grad_norm<T: Element>(model: &mut dyn Module<T>, max_norm: f64) -> Result<f64> {
    const EPS: f64 = 1e-6;
    check("clip_grad_norm", "max_norm", max_norm, max_norm > 0.0, "must be a number > 0")?;
    let norms = norms(model)?;
    let norm = norms.iter().map(|(_, square)| square).sum::<f64>().sqrt();
    if !norm.is_finite() {
        let (path, square) = norms.into_iter().find(|(_, square)| !square.is_finite()).unwrap_or_default();
        return Err(Error::NonFinite { path, norm: square.sqrt() });
    }
    let factor = max_norm / (norm + EPS);
    if factor < 1.0 {
        let factor = T::of(factor);
        each_grad(model, |g| *g *= factor)?;
    }
    Ok(norm)
}

/// Brings every single value of the gradients into [−max, max].
///
/// ```text
/// g ← min(max(g, −max), max)
/// ```
///
/// To be called between `backward` and `step`. The direction changes; [`clip_grad_norm`] keeps it. Frozen parameters are left out; NaN stays NaN.
///
/// # Errors
/// [`Error::Setting`] unless `max` is a number > 0.
///
/// # Reference
/// PyTorch's `clip_grad_value_`.
///
/// # Example
/// ```
/// # use nyang_nn::{Init, Linear, Tensor};
/// # use nyang_optim::clip_grad_value;
/// let mut model = Linear::config(1, 2).build::<f64>(&mut Init::seed(1))?;
/// model.weight.grad = Tensor::from_vec([2, 1], vec![0.5, -4.0])?;
/// clip_grad_value(&mut model, 1.0)?;
/// assert_eq!(model.weight.grad.to_vec(), [0.5, -1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn clip_grad_value<T: Element>(model: &mut dyn Module<T>, max: f64) -> Result<()> {
    check("clip_grad_value", "max", max, max > 0.0, "must be a number > 0")?;
    let max = T::of(max);
    each_grad(model, |g| {
        if *g > max {
            *g = max;
        } else if *g < -max {
            *g = -max;
        }
    })
}

/// Each trainable parameter's path and the sum of its gradient's squares.
fn norms<T: Element>(model: &dyn Module<T>) -> Result<Vec<(String, f64)>> {
    struct Squares(Vec<(String, f64)>, Result<()>);
    impl<T: Element> Visit<T> for Squares {
        fn param(&mut self, at: Path<'_>, param: &Param<T>) {
            if param.trainable {
                match squares(&param.grad) {
                    Ok(square) => self.0.push((at.to_string(), square)),
                    Err(error) => self.1 = Err(error),
                }
            }
        }
    }
    let mut found = Squares(vec![], Ok(()));
    model.visit(Path::ROOT, &mut found);
    found.1.map(|()| found.0)
}

/// Σ g², in f64: eight running sums for each piece, so that the processor need not wait for one addition to end before the next.
fn squares<T: Element>(grad: &Tensor<T>) -> Result<f64> {
    const LANES: usize = 8;
    let copy;
    let values = match grad.memory() {
        Some(values) => values,
        None => {
            copy = grad.contiguous()?;
            copy.memory().unwrap_or_default()
        }
    };
    let pieces = map_ranges(values.len(), CHUNK, |range| {
        let mut sums = [0.0f64; LANES];
        for lane in values.get(range).unwrap_or_default().chunks(LANES) {
            sums.iter_mut().zip(lane).for_each(|(sum, g)| *sum += g.to_f64() * g.to_f64());
        }
        sums.iter().sum::<f64>()
    });
    Ok(pieces.iter().sum())
}

/// Changes every value of every trainable parameter's gradient.
fn each_grad<T: Element>(model: &mut dyn Module<T>, change: impl Fn(&mut T) + Send + Sync) -> Result<()> {
    struct Each<F>(F, Result<()>);
    impl<T: Element, F: Fn(&mut T) + Send + Sync> VisitMut<T> for Each<F> {
        fn param(&mut self, _: Path<'_>, param: &mut Param<T>) {
            if param.trainable {
                match param.grad.memory_mut() {
                    Ok(values) => for_each_chunk(values, CHUNK, |_, part| part.iter_mut().for_each(&self.0)),
                    Err(error) => self.1 = Err(error.into()),
                }
            }
        }
    }
    let mut each = Each(change, Ok(()));
    model.visit_mut(Path::ROOT, &mut each);
    each.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use nyang_nn::{Init, Linear};

    /// Gradients [3, 4] and [12].
    fn model() -> Linear<f64> {
        let mut model = Linear::config(2, 1).build(&mut Init::seed(1)).unwrap();
        model.weight.grad = Tensor::from_vec([1, 2], vec![3.0, 4.0]).unwrap();
        model.bias.as_mut().unwrap().grad = Tensor::from_vec([1], vec![12.0]).unwrap();
        model
    }

    fn grads(model: &Linear<f64>) -> Vec<f64> {
        [model.weight.grad.to_vec(), model.bias.as_ref().unwrap().grad.to_vec()].concat()
    }

    /// PyTorch's numbers. Clipping tensor by tensor, as another framework does, would give 3, 4, 5.
    #[test]
    fn the_norm_is_of_all_parameters_together() {
        let mut model = model();
        assert_eq!(clip_grad_norm(&mut model, 5.0).unwrap(), 13.0, "the norm before clipping comes back");
        for (got, want) in grads(&model).iter().zip([1.15384607, 1.53846142, 4.61538426]) {
            assert!((got - want).abs() < 6e-9, "{got} {want}"); // the numbers have nine digits
        }
        assert!((grad_norm(&model).unwrap() - 5.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_small_enough_stays_as_it_is() {
        let mut small = model();
        assert_eq!(clip_grad_norm(&mut small, 13.1).unwrap(), 13.0);
        clip_grad_value(&mut small, 12.0).unwrap();
        assert_eq!(grads(&small), [3.0, 4.0, 12.0]);
    }

    #[test]
    fn frozen_parameters_are_left_out() {
        let mut model = model();
        model.bias.as_mut().unwrap().trainable = false;
        assert_eq!(grad_norm(&model).unwrap(), 5.0);
        assert_eq!(clip_grad_norm(&mut model, 0.5).unwrap(), 5.0);
        clip_grad_value(&mut model, 0.35).unwrap();
        let got = grads(&model);
        assert!((got[0] - 0.3).abs() < 1e-6 && got[1] == 0.35 && got[2] == 12.0, "{got:?}");
    }

    #[test]
    fn values_are_brought_into_bounds_on_both_sides() {
        let mut model = model();
        model.weight.grad = Tensor::from_vec([1, 2], vec![-7.0, f64::NAN]).unwrap();
        clip_grad_value(&mut model, 3.5).unwrap();
        let got = grads(&model);
        assert!(got[0] == -3.5 && got[1].is_nan() && got[2] == 3.5, "{got:?}");
    }

    #[test]
    fn gradients_without_a_norm_are_an_error_that_names_the_first() {
        for (wrong, norm) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (1e200, "inf")] {
            let mut model = model();
            model.bias.as_mut().unwrap().grad = Tensor::from_vec([1], vec![wrong]).unwrap();
            let error = clip_grad_norm(&mut model, 1.0).unwrap_err().to_string();
            assert!(error.starts_with("at `bias`: the gradient has values that are NaN or too large") && error.contains(norm), "{error}");
            assert_eq!(grads(&model)[..2], [3.0, 4.0]);
        }
    }

    #[test]
    fn bounds_that_could_not_work_are_errors() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = clip_grad_norm(&mut model(), wrong).unwrap_err().to_string();
            assert_eq!(error, format!("clip_grad_norm: max_norm = {wrong} is not valid: must be a number > 0"));
            assert!(clip_grad_value(&mut model(), wrong).unwrap_err().to_string().starts_with("clip_grad_value: max = "));
        }
    }

    #[test]
    fn long_gradients_in_any_memory_order_have_the_norm_of_the_formula() {
        let mut model = Linear::config(300, 201).build::<f64>(&mut Init::seed(1)).unwrap();
        let values = Tensor::from_fn([300, 201], |i| (i % 7) as f64 - 2.0).unwrap();
        let want = values.to_vec().iter().map(|v| v * v).sum::<f64>().sqrt();
        model.weight.grad = values.permute(&[1, 0]).unwrap();
        assert!((grad_norm(&model).unwrap() - want).abs() < 1e-12 * want);
        clip_grad_norm(&mut model, 1.0).unwrap();
        assert!((grad_norm(&model).unwrap() - 1.0).abs() < 1e-6);
    }
}
