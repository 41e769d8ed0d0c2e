//! Distillation: a small model learns from what a large one thinks of every class, not from the answers alone.

use nyang_tensor::{Element, Targets, Tensor};

use super::rows::{Rows, samples_and_classes};
use super::walk::{each_row, log_softmax};
use super::{Aim, Loss, LossCase, LossSum};
use crate::{Error, Result};

const NAME: &str = "Distillation";

/// Learning from a teacher's logits v and from the answers, mixed.
///
/// ```text
/// pᵀ = softmax(z/T) of the student,   rᵀ = softmax(v/T) of the teacher,   p = softmax(z),   t the answer
///
/// loss = α T² · Σⱼ rᵀⱼ ln(rᵀⱼ / pᵀⱼ)  −  (1 − α) · Σⱼ tⱼ ln pⱼ
///
/// ∂loss/∂zⱼ = α T · (pᵀⱼ − rᵀⱼ)  +  (1 − α) · (pⱼ · Σ t − tⱼ)
/// ```
///
/// A high temperature T shows which wrong classes the teacher finds likely; T² keeps the gradient's size, which T would shrink.
///
/// A [`Loss`] knows logits and targets only. What the teacher said of this batch is given by [`Distillation::taught_by`], which returns the
/// loss of this one batch:
///
/// ```
/// # use nyang_nn::{Ctx, Distillation, Init, Linear, Loss, Module, Targets, Tensor};
/// # let teacher = Linear::config(4, 3).build::<f32>(&mut Init::seed(1))?;
/// # let mut student = Linear::config(4, 3).build::<f32>(&mut Init::seed(2))?;
/// # let (images, targets, mut cx) = (Tensor::ones([2, 4])?, Targets::Classes(vec![0, 2]), Ctx::train(1));
/// let distillation = Distillation::new(4.0).alpha(0.7);
/// // for each batch:
/// let taught = distillation.taught_by(teacher.infer(images.clone(), &mut Ctx::eval())?);
/// let loss = taught.value_grad(&student.forward(images, &mut cx)?, &targets)?.mean()?;
/// student.backward(loss.gradient, &mut cx)?;
/// # Ok::<(), nyang_nn::Error>(())
/// ```
///
/// At T = 1 a dataset can do this too: with soft rows α r + (1 − α) t as targets, [`CrossEntropy`](crate::CrossEntropy) has the same gradient.
///
/// # What the mean divides by
/// N, the number of samples: `batchmean` of PyTorch's `kl_div`, and the mean of its `cross_entropy`.
///
/// # Shapes
/// Logits of student and teacher `[N, C]`; targets N class indices, or soft rows `[N, C]`.
///
/// # Unusual numbers
/// As for [`CrossEntropy`](crate::CrossEntropy): NaN, +∞ or −∞ alone, of student or teacher, make their row NaN; a class that the
/// teacher gives the probability 0 adds 0 to the first sum.
///
/// # Errors
/// - [`Error::Shape`] unless the logits are `[N, C]`, the teacher's too, with as many rows as targets;
/// - [`Error::Label`] for a label ≥ C, [`Error::Target`] for a soft target that is negative, infinite or NaN;
/// - [`Error::Config`] for a wrong setting.
///
/// # Reference
/// Hinton, Vinyals & Dean 2015, *Distilling the Knowledge in a Neural Network*, arXiv:1503.02531.
#[derive(Clone, Debug, PartialEq)]
pub struct Distillation {
    temperature: f64,
    alpha: f64,
}

impl Distillation {
    /// Distillation at temperature T > 0, half from the teacher and half from the answers.
    pub fn new(temperature: f64) -> Self {
        Distillation { temperature, alpha: 0.5 }
    }

    /// α in [0, 1]: the share of the teacher; 1 needs no right answers, 0 is cross-entropy.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// The loss of the batch of which the teacher gave these logits `[N, C]`.
    pub fn taught_by<T: Element>(&self, teacher: Tensor<T>) -> Taught<T> {
        Taught { how: self.clone(), teacher }
    }
}

/// The loss of one batch of which a teacher gave the logits. Made by [`Distillation::taught_by`].
#[derive(Clone, Debug, PartialEq)]
pub struct Taught<T: Element = f32> {
    how: Distillation,
    teacher: Tensor<T>,
}

impl<T: Element> Loss<T> for Taught<T> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn value_grad(&self, logits: &Tensor<T>, targets: &Targets<T>) -> Result<LossSum<T>> {
        let [n, c] = samples_and_classes(NAME, logits.shape())?;
        let Distillation { temperature, alpha } = self.how;
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(Error::config(NAME, "temperature", temperature, "must be finite and positive"));
        }
        if !(0.0..=1.0).contains(&alpha) {
            return Err(Error::config(NAME, "alpha", alpha, "must lie in [0, 1]"));
        }
        if self.teacher.shape() != logits.shape() {
            return Err(Error::shape(NAME, format!("the teacher's logits [{n}, {c}], as the student's"), self.teacher.shape()));
        }
        let rows = Rows::of_shares(NAME, targets, logits.shape(), None)?;
        let teacher = self.teacher.contiguous()?;
        let teacher = teacher.as_slice().unwrap_or_default();
        let (sum, gradient) = each_row(logits, c, |n, ln_p, t| {
            // softmax(z/T) of ln p is that of z: they differ by one number in the whole row
            let mut soft: Vec<f64> = ln_p.iter().map(|l| l / temperature).collect();
            let mut taught: Vec<f64> = teacher.iter().skip(n * c).take(c).map(|v| v.to_f64() / temperature).collect();
            log_softmax(&mut soft);
            log_softmax(&mut taught);
            rows.write(n, t);
            let total: f64 = t.iter().sum();
            let (mut kl, mut ce) = (0.0, 0.0);
            for (((z, &t), &ln_s), &ln_r) in ln_p.iter_mut().zip(&*t).zip(&soft).zip(&taught) {
                let r = ln_r.exp();
                if r != 0.0 {
                    kl += r * (ln_r - ln_s);
                }
                if t != 0.0 {
                    ce -= t * *z; // 0 · ln 0 counts as 0
                }
                *z = alpha * temperature * (ln_s.exp() - r) + (1.0 - alpha) * (z.exp() * total - t);
            }
            mixed(alpha * temperature * temperature, kl) + mixed(1.0 - alpha, ce)
        })?;
        Ok(LossSum { sum, weight: n as f64, gradient })
    }
}

/// A share of 0 asks for nothing, even of an infinite loss.
fn mixed(share: f64, loss: f64) -> f64 {
    if share == 0.0 && !loss.is_nan() { 0.0 } else { share * loss }
}

/// A teacher for the cases, whose logits PyTorch can repeat.
fn teacher<T: Element>() -> Result<Tensor<T>> {
    Ok(Tensor::from_fn([6, 5], |i| T::of(2.0 * (i as f64).sin()))?)
}
fn warm<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(Distillation::new(3.0).alpha(0.7).taught_by(teacher()?)))
}
fn teacher_only<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(Distillation::new(2.0).alpha(1.0).taught_by(teacher()?)))
}

pub(crate) const CASES: &[LossCase] = &[
    LossCase::new(
        "Distillation/classes",
        &[6, 5],
        Aim::Classes,
        "(lambda v: .7 * 9 * F.kl_div((z / 3).log_softmax(1), (v / 3).softmax(1), reduction='batchmean') + .3 * F.cross_entropy(z, t))\
         (2 * torch.arange(30.).sin().reshape(6, 5))",
        (warm, warm),
    ),
    LossCase::new(
        "Distillation/soft",
        &[6, 5],
        Aim::Shares,
        "(lambda v: .7 * 9 * F.kl_div((z / 3).log_softmax(1), (v / 3).softmax(1), reduction='batchmean') + .3 * F.cross_entropy(z, t))\
         (2 * torch.arange(30.).sin().reshape(6, 5))",
        (warm, warm),
    ),
    LossCase::new(
        "Distillation/teacher_only",
        &[6, 5],
        Aim::Classes,
        "4 * F.kl_div((z / 2).log_softmax(1), torch.arange(30.).sin().reshape(6, 5).softmax(1), reduction='batchmean')",
        (teacher_only, teacher_only),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CrossEntropy;
    use nyang_tensor::Rng;

    fn pair() -> (Tensor<f64>, Tensor<f64>) {
        let mut rng = Rng::seed(1);
        let mut draw = || Tensor::normal([4, 3], 0.0, 2.0, &mut rng).unwrap();
        (draw(), draw())
    }

    fn close(a: &Tensor<f64>, b: &Tensor<f64>) -> bool {
        a.to_vec().iter().zip(b.to_vec()).all(|(a, b)| (a - b).abs() < 1e-14)
    }

    /// Student (0, 0), teacher (ln 3, 0), so (¾, ¼) against (½, ½): KL = ¾ ln 3/2 + ¼ ln ½.
    #[test]
    fn a_pair_that_can_be_checked_by_hand() {
        let (z, v) = (Tensor::zeros([1, 2]).unwrap(), Tensor::from_vec([1, 2], vec![3f64.ln(), 0.0]).unwrap());
        let loss = Distillation::new(1.0).alpha(0.5).taught_by(v).value_grad(&z, &Targets::Classes(vec![1])).unwrap();
        let kl = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
        assert!((loss.sum - (0.5 * kl + 0.5 * 2f64.ln())).abs() < 1e-15);
        let want = Tensor::from_vec([1, 2], vec![0.5 * (0.5 - 0.75) + 0.5 * 0.5, 0.5 * (0.5 - 0.25) - 0.5 * 0.5]).unwrap();
        assert!(close(&loss.gradient, &want));
    }

    #[test]
    fn without_a_share_the_teacher_says_nothing_and_a_student_who_agrees_has_nothing_to_learn() {
        let ((z, v), targets) = (pair(), Targets::Classes(vec![0, 1, 2, 0]));
        let none = Distillation::new(5.0).alpha(0.0).taught_by(v).value_grad(&z, &targets).unwrap();
        let plain = CrossEntropy::new().value_grad(&z, &targets).unwrap();
        assert!((none.sum - plain.sum).abs() < 1e-14 && close(&none.gradient, &plain.gradient));
        let same = Distillation::new(5.0).alpha(1.0).taught_by(z.clone()).value_grad(&z, &targets).unwrap();
        assert!(same.sum.abs() < 1e-14 && close(&same.gradient, &Tensor::zeros([4, 3]).unwrap()));
    }

    #[test]
    fn at_temperature_one_it_is_cross_entropy_with_mixed_rows() {
        let ((z, v), labels) = (pair(), [0, 1, 2, 0]);
        let mut r = v.to_vec();
        r.chunks_mut(3).for_each(log_softmax);
        let hot = Targets::<f64>::one_hot(&labels, 3).unwrap().to_vec();
        let mixed = r.iter().zip(hot).map(|(r, t)| 0.6 * r.exp() + 0.4 * t).collect();
        let mixed = Targets::Soft(Tensor::from_vec([4, 3], mixed).unwrap());
        let taught = Distillation::new(1.0).alpha(0.6).taught_by(v).value_grad(&z, &Targets::Classes(labels.to_vec())).unwrap();
        assert!(close(&taught.gradient, &CrossEntropy::new().value_grad(&z, &mixed).unwrap().gradient));
    }

    #[test]
    fn micro_batches_with_their_part_of_the_teacher_add_up_to_the_batch() {
        let ((z, v), labels) = (pair(), vec![0, 1, 2, 0]);
        let how = Distillation::new(2.0);
        let whole = how.taught_by(v.clone()).value_grad(&z, &Targets::Classes(labels.clone())).unwrap();
        let (mut sum, mut weight, mut gradient) = (0.0, 0.0, vec![]);
        for rows in [0..3, 3..4] {
            let part = |t: &Tensor<f64>| t.slice(0, rows.clone(), 1).unwrap();
            let loss = how.taught_by(part(&v)).value_grad(&part(&z), &Targets::Classes(labels[rows.clone()].to_vec())).unwrap();
            sum += loss.sum;
            weight += loss.weight;
            gradient.extend(loss.gradient.to_vec());
        }
        assert!((sum - whole.sum).abs() < 1e-14 && weight == whole.weight && gradient == whole.gradient.to_vec());
    }

    #[test]
    fn impossible_classes_and_broken_teachers() {
        let z = Tensor::from_vec([1, 2], vec![f64::NEG_INFINITY, 0.0]).unwrap();
        let loss = |v: f64, alpha: f64| {
            let teacher = Tensor::from_vec([1, 2], vec![v, 0.0]).unwrap();
            Distillation::new(2.0).alpha(alpha).taught_by(teacher).value_grad(&z, &Targets::Classes(vec![1])).unwrap()
        };
        assert_eq!((loss(f64::NEG_INFINITY, 0.5).sum, loss(f64::NEG_INFINITY, 0.5).gradient.to_vec()), (0.0, vec![0.0, 0.0]));
        assert_eq!((loss(0.0, 0.5).sum, loss(0.0, 0.0).sum), (f64::INFINITY, 0.0));
        assert!([f64::NAN, f64::INFINITY].iter().all(|&v| loss(v, 0.5).sum.is_nan()));
    }

    #[test]
    fn wrong_teachers_and_settings_are_errors_that_say_which() {
        let (z, v) = pair();
        let targets = Targets::Classes(vec![0, 1, 2, 0]);
        for (how, says) in [
            (Distillation::new(0.0), "Distillation: temperature = 0 is not valid: must be finite and positive"),
            (Distillation::new(f64::NAN), "Distillation: temperature = NaN"),
            (Distillation::new(f64::INFINITY), "Distillation: temperature = inf"),
            (Distillation::new(1.0).alpha(1.1), "Distillation: alpha = 1.1 is not valid: must lie in [0, 1]"),
            (Distillation::new(1.0).alpha(f64::NAN), "Distillation: alpha = NaN"),
        ] {
            let error = how.taught_by(v.clone()).value_grad(&z, &targets).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}\n  does not begin with {says}");
        }
        let short = Distillation::new(1.0).taught_by(Tensor::zeros([4, 2]).unwrap()).value_grad(&z, &targets).unwrap_err();
        assert_eq!(short.to_string(), "Distillation expects the teacher's logits [4, 3], as the student's, got [4, 2]");
    }
}
