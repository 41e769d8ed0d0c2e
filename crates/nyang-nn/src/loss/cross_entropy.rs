//! Cross-entropy: softmax and negative log-likelihood in one, stable.

use nyang_tensor::{Element, Targets, Tensor};

use super::rows::{Rows, check_per_class, samples_and_classes};
use super::walk::each_row;
use super::{Aim, Loss, LossCase, LossSum};
use crate::{Error, Result};

const NAME: &str = "CrossEntropy";

/// Cross-entropy of logits z with a class index y, or with a row t of class probabilities.
///
/// ```text
/// p = softmax(z)         t = the row, or a one at y       ε label smoothing, w class weights, C classes
///
/// qⱼ = wⱼ · ((1 − ε) tⱼ + ε/C)        loss = −Σⱼ qⱼ ln pⱼ           plain, at an index:  −ln p_y
///
/// ∂loss/∂zⱼ = pⱼ · Σₖ qₖ − qⱼ                                       plain, at an index:  pⱼ − [j = y]
/// ```
///
/// It takes logits, not probabilities: a softmax before it would be a second one, and the loss could not fall far.
///
/// # What the mean divides by
/// As in PyTorch: for class indices `Σ w[y]` over the samples that are not ignored, with smoothing too; for soft rows N, even with weights.
/// So rows smoothed by hand are not the same as smoothed indices where there are class weights.
///
/// # Shapes
/// Logits `[N, C]`; targets N class indices, or soft rows `[N, C]`.
///
/// # Unusual numbers
/// As in PyTorch, a row with a NaN or a +∞, or of −∞ alone, has a loss and gradient of NaN; a logit of −∞ is a class of probability 0, and
/// the loss ∞ if it is the target. Unlike there, what has the weight qⱼ = 0 adds nothing even where ln pⱼ = −∞, and an ignored sample has
/// the gradient 0 even if its logits are NaN. Soft rows need not sum to 1; with a sum s the loss is s times that of the row ÷ s.
///
/// # Errors
/// - [`Error::Shape`] unless the logits are `[N, C]` with as many rows as targets;
/// - [`Error::Label`] for a label ≥ C, [`Error::Target`] for a soft target that is negative, infinite or NaN;
/// - [`Error::Config`] for a wrong setting, and for soft rows together with an ignored index.
///
/// # Reference
/// Label smoothing: Szegedy et al. 2016, *Rethinking the Inception Architecture*, arXiv:1512.00567, section 7.
///
/// # Example
/// ```
/// # use nyang_nn::{CrossEntropy, Loss, Targets, Tensor};
/// let logits = Tensor::from_vec([1, 3], vec![2.0f64, 1.0, 0.0])?;
/// let loss = CrossEntropy::new().value_grad(&logits, &Targets::Classes(vec![0]))?.mean()?;
/// assert!((loss.value - 0.407606).abs() < 1e-6);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    class_weights: Option<Vec<f64>>,
    label_smoothing: f64,
    ignore_index: Option<usize>,
}

impl CrossEntropy {
    /// The loss; every class and sample weighs the same, nothing is smoothed.
    pub fn new() -> Self {
        Self::default()
    }

    /// w: how much each class weighs, C finite numbers ≥ 0; more for rare classes, if they are to count as much as the others.
    pub fn class_weights(mut self, weights: impl Into<Vec<f64>>) -> Self {
        self.class_weights = Some(weights.into());
        self
    }

    /// ε, in [0, 1]: this share of the target is spread evenly over all classes, the true one too. 0.1 is usual.
    pub fn label_smoothing(mut self, epsilon: f64) -> Self {
        self.label_smoothing = epsilon;
        self
    }

    /// Samples with this label count neither in the sum nor in the weight. Any number will do, also one that is no class.
    ///
    /// None is ignored unless asked; PyTorch ignores −100, which no label here can be. If all are ignored the mean is NaN, its gradient 0.
    pub fn ignore_index(mut self, label: usize) -> Self {
        self.ignore_index = Some(label);
        self
    }

    fn check(&self, classes: usize) -> Result<()> {
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return Err(Error::config(NAME, "label_smoothing", self.label_smoothing, "must lie in [0, 1]"));
        }
        check_per_class(NAME, "class_weights", self.class_weights.as_deref(), classes)
    }

    fn weight_of(&self, class: usize) -> f64 {
        self.class_weights.as_ref().and_then(|w| w.get(class)).map_or(1.0, |&w| w)
    }
}

impl<T: Element> Loss<T> for CrossEntropy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn value_grad(&self, logits: &Tensor<T>, targets: &Targets<T>) -> Result<LossSum<T>> {
        let [n, c] = samples_and_classes(NAME, logits.shape())?;
        self.check(c)?;
        let rows = Rows::of_shares(NAME, targets, logits.shape(), self.ignore_index)?;
        let labels = match (targets, self.ignore_index) {
            (Targets::Classes(labels), _) => Some(labels),
            (_, None) => None,
            (_, Some(index)) => {
                return Err(Error::config(NAME, "ignore_index", index, "is for class indices, these targets are soft rows"));
            }
        };
        let ignored = |n: usize| labels.is_some_and(|l| l.get(n).copied() == self.ignore_index && self.ignore_index.is_some());
        let spread = self.label_smoothing / c as f64;
        let (sum, gradient) = each_row(logits, c, |n, ln_p, q| {
            if ignored(n) {
                ln_p.fill(0.0);
                return 0.0;
            }
            rows.write(n, q);
            for (j, q) in q.iter_mut().enumerate() {
                *q = self.weight_of(j) * ((1.0 - self.label_smoothing) * *q + spread);
            }
            let total: f64 = q.iter().sum();
            let mut loss = 0.0;
            for (z, &q) in ln_p.iter_mut().zip(&*q) {
                if q != 0.0 {
                    loss -= q * *z; // 0 · ln 0 counts as 0
                }
                *z = z.exp() * total - q;
            }
            loss
        })?;
        let weight = match labels {
            Some(labels) => labels.iter().enumerate().filter(|(n, _)| !ignored(*n)).fold(0.0, |sum, (_, &y)| sum + self.weight_of(y)),
            None => n as f64,
        };
        Ok(LossSum { sum, weight, gradient })
    }
}

fn plain<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(CrossEntropy::new()))
}
fn weighted<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(CrossEntropy::new().class_weights([1.0, 2.0, 0.5, 0.0, 3.0])))
}
fn smoothed<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(CrossEntropy::new().label_smoothing(0.1)))
}
fn weighted_smoothed<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(CrossEntropy::new().label_smoothing(0.3).class_weights([1.0, 2.0, 0.5, 0.0, 3.0])))
}
fn ignoring<T: Element>() -> Result<Box<dyn Loss<T>>> {
    Ok(Box::new(CrossEntropy::new().label_smoothing(0.1).class_weights([1.0, 2.0, 0.5, 0.7, 3.0]).ignore_index(2)))
}

pub(crate) const CASES: &[LossCase] = &[
    LossCase::new("CrossEntropy/classes", &[6, 5], Aim::Classes, "F.cross_entropy(z, t)", (plain, plain)),
    LossCase::new("CrossEntropy/soft", &[6, 5], Aim::Rows, "F.cross_entropy(z, t)", (plain, plain)),
    LossCase::new("CrossEntropy/soft_shares", &[6, 5], Aim::Shares, "F.cross_entropy(z, t)", (plain, plain)),
    LossCase::new(
        "CrossEntropy/weighted",
        &[6, 5],
        Aim::Classes,
        "F.cross_entropy(z, t, weight=torch.tensor([1, 2, .5, 0, 3]))",
        (weighted, weighted),
    ),
    LossCase::new(
        "CrossEntropy/weighted_soft",
        &[6, 5],
        Aim::Shares,
        "F.cross_entropy(z, t, weight=torch.tensor([1, 2, .5, 0, 3]))",
        (weighted, weighted),
    ),
    LossCase::new("CrossEntropy/smoothed", &[6, 5], Aim::Classes, "F.cross_entropy(z, t, label_smoothing=.1)", (smoothed, smoothed)),
    LossCase::new("CrossEntropy/smoothed_soft", &[6, 5], Aim::Shares, "F.cross_entropy(z, t, label_smoothing=.1)", (smoothed, smoothed)),
    LossCase::new(
        "CrossEntropy/weighted_smoothed",
        &[6, 5],
        Aim::Classes,
        "F.cross_entropy(z, t, label_smoothing=.3, weight=torch.tensor([1, 2, .5, 0, 3]))",
        (weighted_smoothed, weighted_smoothed),
    ),
    LossCase::new(
        "CrossEntropy/weighted_smoothed_soft",
        &[6, 5],
        Aim::Shares,
        "F.cross_entropy(z, t, label_smoothing=.3, weight=torch.tensor([1, 2, .5, 0, 3]))",
        (weighted_smoothed, weighted_smoothed),
    ),
    LossCase::new(
        "CrossEntropy/ignoring",
        &[8, 5],
        Aim::Classes,
        "F.cross_entropy(z, t, ignore_index=2, label_smoothing=.1, weight=torch.tensor([1, 2, .5, .7, 3]))",
        (ignoring, ignoring),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::walk::log_softmax;

    fn logits() -> Tensor<f64> {
        Tensor::from_vec([3, 3], vec![2.0, 1.0, 0.0, 0.0, 1.0, 3.0, 1.0, 1.0, 1.0]).unwrap()
    }

    fn classes() -> Targets<f64> {
        Targets::Classes(vec![0, 1, 1])
    }

    fn mean(loss: &CrossEntropy, targets: &Targets<f64>) -> f64 {
        loss.value_grad(&logits(), targets).unwrap().mean().unwrap().value
    }

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() < 5e-7, "{got}, not {want}");
    }

    /// PyTorch's numbers, here and in the other golden tests.
    #[test]
    fn the_golden_batch() {
        let loss = CrossEntropy::new().value_grad(&logits(), &classes()).unwrap();
        assert_eq!(loss.weight, 3.0);
        close(loss.sum, 3.676064);
        close(loss.mean().unwrap().value, 1.225355);
        for (row, label, want) in [(0, 0, 0.407606), (1, 1, 2.169846), (2, 1, 1.098612)] {
            let row = logits().slice(0, row..row + 1, 1).unwrap();
            close(CrossEntropy::new().value_grad(&row, &Targets::Classes(vec![label])).unwrap().sum, want);
        }
    }

    #[test]
    fn a_weighted_mean_divides_by_the_weights_of_the_targets_not_by_n() {
        let loss = CrossEntropy::new().class_weights([1.0, 2.0, 0.5]).value_grad(&logits(), &classes()).unwrap();
        assert_eq!(loss.weight, 5.0);
        close(loss.sum / 3.0, 2.314841); // what ÷ N would give
        close(loss.mean().unwrap().value, 1.388905);
    }

    /// Not (1 − ε)/C off target, as has been seen elsewhere.
    #[test]
    fn label_smoothing_spreads_epsilon_over_all_classes() {
        close(mean(&CrossEntropy::new().label_smoothing(0.1), &classes()), 1.247577);
        close(mean(&CrossEntropy::new().label_smoothing(0.1).class_weights([1.0, 2.0, 0.5]), &classes()), 1.355789);
    }

    #[test]
    fn rows_smoothed_by_hand_are_not_smoothed_indices_where_classes_have_weights() {
        let soft = Targets::<f64>::one_hot(&[0, 1, 1], 3).unwrap().map(|t| 0.9 * t + 0.1 / 3.0).unwrap();
        let (by_hand, loss) = (Targets::Soft(soft), CrossEntropy::new());
        close(mean(&loss, &by_hand), 1.247577); // without weights they are
        close(mean(&loss.class_weights([1.0, 2.0, 0.5]), &by_hand), 2.259648);
    }

    #[test]
    fn ignored_samples_do_not_count_in_the_mean() {
        for label in [2, 255, usize::MAX] {
            let targets = Targets::Classes(vec![0, 1, label]);
            let loss = CrossEntropy::new().ignore_index(label).value_grad(&logits(), &targets).unwrap();
            assert_eq!(loss.weight, 2.0);
            assert_eq!(loss.gradient.to_vec()[6..], [0.0; 3]);
            assert!((loss.sum / 3.0 - loss.sum / 2.0).abs() > 0.2);
            close(loss.mean().unwrap().value, 1.288726); // (0.407606 + 2.169846) / 2
        }
        let targets = Targets::Classes(vec![0, 9, 1]);
        close(mean(&CrossEntropy::new().ignore_index(9), &targets), 0.753109);
    }

    #[test]
    fn a_batch_of_ignored_samples_has_no_mean_and_moves_nothing() {
        let targets = Targets::Classes(vec![7; 3]);
        for epsilon in [0.0, 0.1] {
            let loss = CrossEntropy::new().ignore_index(7).label_smoothing(epsilon).value_grad(&logits(), &targets).unwrap();
            assert_eq!((loss.sum, loss.weight), (0.0, 0.0));
            let mean = loss.mean().unwrap();
            assert!(mean.value.is_nan());
            assert_eq!(mean.gradient.to_vec(), [0.0; 9]);
        }
    }

    #[test]
    fn an_ignored_sample_is_ignored_whatever_its_logits() {
        let z = Tensor::from_vec([2, 2], vec![f64::NAN, 1.0, 0.0, 0.0]).unwrap();
        let loss = CrossEntropy::new().ignore_index(9).value_grad(&z, &Targets::Classes(vec![9, 1])).unwrap();
        assert!((loss.sum - 2f64.ln()).abs() < 1e-15);
        assert_eq!(loss.gradient.to_vec(), [0.0, 0.0, 0.5, -0.5]);
    }

    /// The trap that beginners fall into: probabilities in place of logits.
    #[test]
    fn softmax_twice_is_another_number() {
        let mut p = logits().to_vec();
        p.chunks_mut(3).for_each(log_softmax);
        let p = Tensor::from_vec([3, 3], p.iter().map(|l| l.exp()).collect()).unwrap();
        close(CrossEntropy::new().value_grad(&p, &classes()).unwrap().mean().unwrap().value, 1.094416);
    }

    #[test]
    fn one_hot_rows_are_class_indices() {
        let soft = Targets::Soft(Targets::one_hot(&[0, 1, 1], 3).unwrap());
        for loss in [CrossEntropy::new(), CrossEntropy::new().label_smoothing(0.2).class_weights([1.0, 2.0, 0.5])] {
            let (a, b) = (loss.value_grad(&logits(), &classes()).unwrap(), loss.value_grad(&logits(), &soft).unwrap());
            assert_eq!((a.sum, a.gradient), (b.sum, b.gradient));
        }
    }

    #[test]
    fn large_and_infinite_logits_are_as_in_pytorch() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let (p, q) = (0.2689414213699951, 0.7310585786300049); // softmax(1, 2)
        let cases: [(&[f64], usize, f64, &[f64]); 8] = [
            (&[1000.0, -1000.0], 1, 2000.0, &[1.0, -1.0]),
            (&[-inf, 0.0], 1, 0.0, &[0.0, 0.0]),
            (&[-inf, 1.0, 2.0], 0, inf, &[-1.0, p, q]),
            (&[-inf, 1.0, 2.0], 1, 1.3132616875182228, &[0.0, -q, q]),
            (&[-inf, -inf], 1, nan, &[nan, nan]),
            (&[inf, 1.0], 0, nan, &[nan, nan]),
            (&[inf, 1.0], 1, nan, &[nan, nan]),
            (&[nan, 1.0], 1, nan, &[nan, nan]),
        ];
        let same = |a: f64, b: f64| (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() < 1e-15;
        for (z, y, value, gradient) in cases {
            let logits = Tensor::from_slice([1, z.len()], z).unwrap();
            let loss = CrossEntropy::new().value_grad(&logits, &Targets::Classes(vec![y])).unwrap();
            assert!(same(loss.sum, value) && loss.gradient.to_vec().iter().zip(gradient).all(|(a, b)| same(*a, *b)), "{z:?}: {loss:?}");
        }
    }

    #[test]
    fn what_weighs_nothing_adds_nothing_even_where_its_logarithm_is_infinite() {
        let z = Tensor::from_vec([1, 3], vec![f64::NEG_INFINITY, 1.0, 2.0]).unwrap();
        let one_hot = Targets::Soft(Targets::one_hot(&[1], 3).unwrap());
        close(CrossEntropy::new().value_grad(&z, &one_hot).unwrap().sum, 1.313262);
        let smoothed = CrossEntropy::new().label_smoothing(0.1);
        assert_eq!(smoothed.value_grad(&z, &one_hot).unwrap().sum, f64::INFINITY);
        assert!(smoothed.class_weights([0.0, 1.0, 1.0]).value_grad(&z, &one_hot).unwrap().sum.is_finite());
    }

    #[test]
    fn wrong_targets_and_settings_are_errors_that_say_which() {
        let soft = |values: [f64; 9]| Targets::Soft(Tensor::from_slice([3, 3], &values).unwrap());
        let one_bad = |bad: f64| soft([0.5, 0.5, 0.0, 0.0, bad, 0.0, 0.0, 0.0, 1.0]);
        let new = CrossEntropy::new;
        let range = "labels run from 0 to 2";
        for (loss, targets, says) in [
            (new(), Targets::Classes(vec![0, 3, 1]), format!("sample 1 of the batch has label 3, but there are 3 classes: {range}")),
            (
                new().ignore_index(4),
                Targets::Classes(vec![0, 4, 5]),
                format!("sample 2 of the batch has label 5, but there are 3 classes: {range}"),
            ),
            (new(), Targets::Classes(vec![0]), "CrossEntropy expects logits [1, C], one row a target, got [3, 3]".into()),
            (new(), Targets::Soft(Tensor::zeros([3, 2]).unwrap()), "CrossEntropy expects soft targets [3, 3], got [3, 2]".into()),
            (new(), one_bad(-0.1), "CrossEntropy: sample 1 of the batch has the target -0.1: a share of a class must be".into()),
            (new(), one_bad(f64::NAN), "CrossEntropy: sample 1 of the batch has the target NaN".into()),
            (new(), one_bad(f64::INFINITY), "CrossEntropy: sample 1 of the batch has the target inf".into()),
            (new().ignore_index(1), one_bad(0.5), "CrossEntropy: ignore_index = 1 is not valid: is for class indices".into()),
            (new().label_smoothing(1.5), classes(), "CrossEntropy: label_smoothing = 1.5 is not valid: must lie in [0, 1]".into()),
            (new().label_smoothing(f64::NAN), classes(), "CrossEntropy: label_smoothing = NaN".into()),
            (new().class_weights([1.0, -1.0, 1.0]), classes(), "CrossEntropy: class_weights = -1".into()),
            (new().class_weights([1.0, 1.0]), classes(), "CrossEntropy: class_weights = 2 for 3 classes".into()),
        ] {
            let error = loss.value_grad(&logits(), &targets).unwrap_err().to_string();
            assert!(error.starts_with(&says), "{error}\n  does not begin with {says}");
        }
        let images = Tensor::<f64>::zeros([3, 3, 1, 1]).unwrap();
        assert!(CrossEntropy::new().value_grad(&images, &classes()).is_err());
        let none = Tensor::<f64>::zeros([3, 0]).unwrap();
        assert!(CrossEntropy::new().value_grad(&none, &Targets::Classes(vec![0; 3])).is_err());
        let one = Tensor::<f64>::zeros([1, 1]).unwrap();
        assert!(matches!(CrossEntropy::new().value_grad(&one, &Targets::Classes(vec![1])), Err(Error::Label { classes: 1, .. })));
    }
}
