//! Is a loss's gradient the gradient of its sum? And does `f32` compute what `f64` computes?
//!
//! A loss is one number, so no random direction is needed as it is for layers: each entry of the gradient is compared with
//! (L(z + h) − L(z − h)) / 2h.

use nyang_tensor::{Rng, Targets, Tensor};

use super::{Loss, LossCase};
use crate::Result;
use crate::check::{GradCheck, GradReport};

/// Checks the gradient of any loss, a user's own among them, at these logits.
///
/// ```
/// # use nyang_nn::{check::GradCheck, loss::check::check_loss, CrossEntropy, Targets, Tensor};
/// # use nyang_tensor::Rng;
/// let logits = Tensor::normal([2, 3], 0.0, 1.0, &mut Rng::seed(1))?;
/// let report = check_loss(&CrossEntropy::new(), &logits, &Targets::Classes(vec![2, 0]), &GradCheck::default())?;
/// assert!(report.passes(1e-7) && report.entries == 6);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
///
/// # Errors
/// Any that the loss gives.
pub fn check_loss(loss: &dyn Loss<f64>, logits: &Tensor<f64>, targets: &Targets<f64>, how: &GradCheck) -> Result<GradReport> {
    let analytic = loss.value_grad(logits, targets)?.gradient.to_vec();
    let mut report = GradReport { worst: 0.0, place: String::new(), analytic: 0.0, numeric: 0.0, entries: 0, silent: vec![] };
    for i in how.choose(analytic.len(), &mut Rng::keyed([how.seed, 2, 0, 0])) {
        let nudged = |by: f64| -> Result<f64> {
            let mut z = logits.contiguous()?;
            z.as_mut_slice()?[i] += by;
            Ok(loss.value_grad(&z, targets)?.sum)
        };
        let numeric = (nudged(how.step)? - nudged(-how.step)?) / (2.0 * how.step);
        report.note(|| format!("dz[{i}]"), analytic[i], numeric);
    }
    Ok(report)
}

const SEED: u64 = 7;

/// The gradient check of a case of the list.
///
/// # Errors
/// Any that the case's loss gives.
pub fn check_case(case: &LossCase) -> Result<GradReport> {
    let loss = (case.build_f64)()?;
    check_loss(loss.as_ref(), &case.random_logits(SEED)?, &case.random_targets(SEED)?, &GradCheck::default())
}

/// Runs a case in `f32` and in `f64` from the same numbers.
///
/// Returns the largest |a − b| / max(1, |b|) over the sum and its gradient, and where it is.
///
/// # Errors
/// Any that the case's loss gives.
pub fn compare_precisions(case: &LossCase) -> Result<(f64, String)> {
    let (z, t) = (case.random_logits::<f32>(SEED)?, case.random_targets::<f32>(SEED)?);
    let exact = match &t {
        Targets::Soft(rows) => Targets::Soft(rows.cast()?),
        _ => case.random_targets(SEED)?, // labels have no digits to lose
    };
    let (low, high) = ((case.build_f32)()?.value_grad(&z, &t)?, (case.build_f64)()?.value_grad(&z.cast()?, &exact)?);
    let gradients = low.gradient.to_vec().into_iter().map(f64::from).zip(high.gradient.to_vec());
    let errors = [(low.sum, high.sum)].into_iter().chain(gradients).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
    let finite = errors.map(|e| if e.is_nan() { f64::INFINITY } else { e }); // a NaN must not look like a pass
    let places = ["sum".to_owned()].into_iter().chain((0..z.len()).map(|i| format!("dz[{i}]")));
    Ok(finite.zip(places).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::CASES;
    use crate::{CrossEntropy, Error, LossSum};

    fn all() -> impl Iterator<Item = &'static LossCase> {
        CASES.iter().flat_map(|list| list.iter())
    }

    #[test]
    fn every_loss_has_at_least_two_cases_of_its_name() {
        for list in CASES {
            let loss = list[0].name.split('/').next().unwrap();
            assert!(list.len() >= 2 && list.iter().all(|case| case.name.split('/').next() == Some(loss)), "{loss}");
            assert!(list.iter().all(|case| (case.build_f64)().unwrap().name() == loss), "{loss}");
        }
    }

    #[test]
    fn every_gradient_is_right_and_f32_computes_what_f64_computes() {
        for case in all() {
            let report = check_case(case).unwrap();
            assert!(report.passes(1e-7) && report.entries > 0, "{}: {report:?}", case.name);
            let (error, place) = compare_precisions(case).unwrap();
            // all is computed in f64 and rounded once: 2⁻²³; exactly 0 would mean that f64 was compared with itself
            assert!(error > 0.0 && error <= 2e-7, "{}: {error:e} at {place}", case.name);
        }
    }

    /// A loss with a mistake in it.
    struct Wrong(f64);
    impl Loss<f64> for Wrong {
        fn name(&self) -> &'static str {
            "Wrong"
        }
        fn value_grad(&self, logits: &Tensor<f64>, targets: &Targets<f64>) -> Result<LossSum<f64>> {
            let loss = CrossEntropy::new().value_grad(logits, targets)?;
            Ok(LossSum { gradient: loss.gradient.scale(self.0)?, ..loss })
        }
    }

    #[test]
    fn a_wrong_gradient_is_found() {
        let z = Tensor::normal([3, 4], 0.0, 2.0, &mut Rng::seed(1)).unwrap();
        for (factor, right) in [(1.0, true), (1.000_01, false), (0.0, false), (f64::NAN, false)] {
            let report = check_loss(&Wrong(factor), &z, &Targets::Classes(vec![0, 3, 1]), &GradCheck::default()).unwrap();
            assert_eq!(report.passes(1e-7), right, "factor {factor}: {report:?}");
        }
    }

    /// Rows `from..to` of targets.
    fn some(targets: &Targets<f64>, from: usize, to: usize) -> Targets<f64> {
        match targets {
            Targets::Soft(rows) => Targets::Soft(rows.slice(0, from..to, 1).unwrap()),
            _ => Targets::Classes(targets.classes().unwrap()[from..to].to_vec()),
        }
    }

    /// A mean of means would weigh classes and ignored samples wrongly.
    #[test]
    fn micro_batches_added_up_are_the_batch() {
        for case in all().filter(|case| !case.name.starts_with("Distillation")) {
            let (loss, z, t) = ((case.build_f64)().unwrap(), case.random_logits(3).unwrap(), case.random_targets(3).unwrap());
            let whole = loss.value_grad(&z, &t).unwrap();
            let n = case.logits[0];
            for size in [1, 2, n - 1] {
                let (mut sum, mut weight, mut gradient) = (0.0, 0.0, Vec::new());
                for from in (0..n).step_by(size) {
                    let to = (from + size).min(n);
                    let part = loss.value_grad(&z.slice(0, from..to, 1).unwrap(), &some(&t, from, to)).unwrap();
                    sum += part.sum;
                    weight += part.weight;
                    gradient.extend(part.gradient.to_vec());
                }
                assert!((sum - whole.sum).abs() <= 1e-13 * whole.sum.abs().max(1.0), "{}: {sum} {}", case.name, whole.sum);
                assert!((weight - whole.weight).abs() <= 1e-13 * weight, "{}: {weight} {}", case.name, whole.weight);
                assert_eq!(gradient, whole.gradient.to_vec(), "{}", case.name);
            }
        }
    }

    #[test]
    fn logits_and_targets_that_do_not_go_together_are_errors_and_never_panic() {
        let shapes: [&[usize]; 10] = [&[], &[0], &[1], &[7], &[6, 0], &[0, 5], &[6, 5], &[6, 1], &[6, 5, 1, 1], &[5, 6]];
        for case in all() {
            let loss = (case.build_f64)().unwrap();
            for dims in shapes {
                let z = Tensor::<f64>::ones(nyang_tensor::Shape::new(dims).unwrap()).unwrap();
                for n in [0, 1, 6] {
                    let soft = Targets::Soft(Tensor::ones([n, 5]).unwrap());
                    for targets in [Targets::Classes(vec![0; n]), soft] {
                        match loss.value_grad(&z, &targets) {
                            Ok(sum) => assert!(sum.gradient.dims() == dims && dims[0] == n, "{} took {dims:?}", case.name),
                            Err(error) => assert!(matches!(error, Error::Shape { .. } | Error::Config { .. }), "{}: {error}", case.name),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_nan_among_the_logits_is_a_nan_of_the_loss_and_of_its_own_row_only() {
        for case in all() {
            let (mut z, t) = (case.random_logits::<f64>(3).unwrap(), case.random_targets(3).unwrap());
            let width = z.len() / case.logits[0];
            // an ignored sample is ignored whatever it holds
            let row = (0..case.logits[0]).find(|&n| !case.name.ends_with("ignoring") || t.classes().unwrap()[n] != 2).unwrap();
            z.as_mut_slice().unwrap()[row * width] = f64::NAN;
            let loss = (case.build_f64)().unwrap().value_grad(&z, &t).unwrap();
            assert!(loss.sum.is_nan(), "{}: {}", case.name, loss.sum);
            let wrong: Vec<usize> = loss.gradient.to_vec().iter().enumerate().filter(|(_, g)| g.is_nan()).map(|(i, _)| i / width).collect();
            assert!(wrong.contains(&row) && wrong.iter().all(|r| *r == row), "{}: NaN in rows {wrong:?}", case.name);
        }
    }

    #[test]
    fn no_samples_have_a_sum_of_zero_and_no_mean() {
        for case in all().filter(|case| !case.name.starts_with("Distillation")) {
            let z = Tensor::<f64>::zeros([0, case.logits[1]]).unwrap();
            let loss = (case.build_f64)().unwrap().value_grad(&z, &Targets::Classes(vec![])).unwrap();
            assert!(loss.sum == 0.0 && loss.weight == 0.0 && loss.mean().unwrap().value.is_nan(), "{}", case.name);
        }
    }
}
