//! A loss as a module of one output, so that the check of modules serves losses too.

use nyang_nn::check::{GradCheck, GradReport, check_gradients};
use nyang_nn::{CrossEntropy, Ctx, Loss, Module, Result, Rng, Saved, Shape};
use nyang_tensor::{Element, Targets, Tensor};

/// f(z) = the sum of the losses of the logits z, for fixed targets; its only gradient is ∂f/∂z.
struct LossModule<T: Element> {
    loss: Box<dyn Loss<T>>,
    targets: Targets<T>,
    saved: Saved<Tensor<T>>, // ∂f/∂z
}

impl<T: Element> Module<T> for LossModule<T> {
    fn kind(&self) -> &'static str {
        "Loss"
    }

    fn out_shape(&self, _: &Shape) -> Result<Shape> {
        Ok(Shape::from([1]))
    }

    fn infer(&self, z: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        Ok(Tensor::full([1], T::of(self.loss.value_grad(&z, &self.targets)?.sum))?)
    }

    fn forward(&mut self, z: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let loss = self.loss.value_grad(&z, &self.targets)?;
        self.saved.put(loss.gradient);
        Ok(Tensor::full([1], T::of(loss.sum))?)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let gradient = self.saved.take("Loss")?;
        Ok(gradient.scale(dy.item().unwrap_or(T::ZERO))?) // f is one number, so the chain rule is a product
    }
}

/// What a loss is compared with.
#[derive(Clone, Copy)]
enum Aim {
    /// Class indices.
    Classes,
    /// Rows of probabilities.
    Rows,
    /// Rows that do not sum to 1, which a formula that takes Σ t = 1 for granted gets wrong.
    Weights,
}

/// A loss with one kind of target.
pub struct LossCase {
    /// Its name, `loss/targets`.
    pub name: &'static str,
    loss_f32: fn() -> Box<dyn Loss<f32>>,
    loss_f64: fn() -> Box<dyn Loss<f64>>,
    aim: Aim,
}

fn cross_entropy<T: Element>() -> Box<dyn Loss<T>> {
    Box::new(CrossEntropy::new())
}

/// Every loss with every kind of target it takes.
pub const LOSSES: &[LossCase] = &[
    LossCase { name: "CrossEntropy/classes", loss_f32: cross_entropy, loss_f64: cross_entropy, aim: Aim::Classes },
    LossCase { name: "CrossEntropy/soft", loss_f32: cross_entropy, loss_f64: cross_entropy, aim: Aim::Rows },
    LossCase { name: "CrossEntropy/soft_weights", loss_f32: cross_entropy, loss_f64: cross_entropy, aim: Aim::Weights },
];

const SEED: u64 = 7;
const SIZE: [usize; 2] = [6, 5];

/// Random logits, wide enough that the softmax is far from uniform.
fn logits<T: Element>() -> Result<Tensor<T>> {
    Ok(Tensor::normal(SIZE, 0.0, 2.0, &mut Rng::seed(SEED))?)
}

fn targets<T: Element>(aim: Aim) -> Result<Targets<T>> {
    let [n, c] = SIZE;
    let mut rng = Rng::keyed([SEED, 1, 0, 0]);
    let rows = Tensor::<T>::uniform(SIZE, 0.0, 1.0, &mut rng)?;
    Ok(match aim {
        Aim::Classes => Targets::Classes((0..n).map(|i| (i * 3 + 1) % c).collect()),
        Aim::Weights => Targets::Soft(rows),
        Aim::Rows => {
            let (values, sums) = (rows.to_vec(), rows.sum_dim(1)?.to_vec());
            Targets::Soft(Tensor::from_fn(SIZE, |i| values[i] / sums[i / c])?)
        }
    })
}

/// The gradient check of a loss, in f64.
///
/// # Errors
/// Any that the loss gives.
pub fn check(case: &LossCase) -> Result<GradReport> {
    let mut module = LossModule { loss: (case.loss_f64)(), targets: targets(case.aim)?, saved: Saved::default() };
    check_gradients(&mut module, &logits()?, &GradCheck { seed: SEED, ..GradCheck::default() })
}

/// A loss in f32 against the same in f64 from the same numbers: the largest |a − b| / max(1, |b|), and where.
///
/// # Errors
/// Any that the loss gives.
pub fn compare_precisions(case: &LossCase) -> Result<(f64, String)> {
    let (z, t) = (logits::<f32>()?, targets::<f32>(case.aim)?);
    let t64 = match &t {
        Targets::Soft(rows) => Targets::Soft(rows.cast()?),
        _ => targets(case.aim)?,
    };
    let (low, high) = ((case.loss_f32)().value_grad(&z, &t)?, (case.loss_f64)().value_grad(&z.cast()?, &t64)?);
    let gradients = low.gradient.to_vec().into_iter().map(f64::from).zip(high.gradient.to_vec());
    let places = ["sum".to_owned()].into_iter().chain((0..z.len()).map(|i| format!("dz[{i}]")));
    let errors = [(low.sum, high.sum)].into_iter().chain(gradients).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
    let finite = errors.map(|e| if e.is_nan() { f64::INFINITY } else { e }); // a NaN must not look like a pass
    Ok(finite.zip(places).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nyang_nn::LossSum;

    /// Cross-entropy with a mistake in it.
    struct Wrong(f64);
    impl<T: Element> Loss<T> for Wrong {
        fn name(&self) -> &'static str {
            "Wrong"
        }
        fn value_grad(&self, logits: &Tensor<T>, targets: &Targets<T>) -> Result<LossSum<T>> {
            let loss = CrossEntropy::new().value_grad(logits, targets)?;
            Ok(LossSum { gradient: loss.gradient.scale(T::of(self.0))?, ..loss })
        }
    }

    #[test]
    fn a_wrong_gradient_of_a_loss_is_found() {
        for (factor, right) in [(1.0, true), (1.000_01, false), (0.0, false), (f64::NAN, false)] {
            let mut module = LossModule { loss: Box::new(Wrong(factor)), targets: targets(Aim::Rows).unwrap(), saved: Saved::default() };
            let report = check_gradients(&mut module, &logits().unwrap(), &GradCheck::default()).unwrap();
            assert_eq!(report.passes(1e-7), right, "factor {factor}: {report:?}");
        }
    }

    #[test]
    fn every_loss_passes_in_both_precisions() {
        for case in LOSSES {
            assert!(check(case).unwrap().passes(1e-7), "{}", case.name);
            let (error, place) = compare_precisions(case).unwrap();
            assert!(error > 0.0 && error <= 1e-5, "{}: {error:e} at {place}", case.name); // 0 would mean that f64 was compared with itself
        }
    }
}
