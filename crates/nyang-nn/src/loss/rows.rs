//! Targets as losses want them: numbers of the logits' shape, whichever way they were given, and checked.

use std::ops::RangeInclusive;

use nyang_tensor::{Element, Shape, Targets, Tensor};

use crate::{Error, Result};

/// What target values a loss has a meaning for.
pub(super) struct Domain {
    pub range: RangeInclusive<f64>,
    pub why: &'static str,
}

/// Shares of classes, not necessarily of 1 in all.
pub(super) const SHARES: Domain = Domain { range: 0.0..=f64::MAX, why: "a share of a class must be finite and not negative" };
/// Each value a probability of its own. The margin is for mixtures whose rounded shares are a little more than 1 together.
pub(super) const PROBABILITIES: Domain = Domain { range: 0.0..=1.0 + 1e-6, why: "a probability must lie between 0 and 1" };
/// Any number.
pub(super) const NUMBERS: Domain = Domain { range: f64::MIN..=f64::MAX, why: "it must be finite" };

/// The targets of a batch, as rows of numbers.
///
/// A class index is a row of zeros with a one. Where there is only one column, and so no choice of classes, it is the number itself, 0 or 1.
pub(super) enum Rows<'a, T: Element> {
    /// Labels, and how many columns there are.
    Classes(&'a [usize], usize),
    /// The rows themselves.
    Soft(Tensor<T>, usize),
}

impl<'a, T: Element> Rows<'a, T> {
    /// Targets of a loss on softmax probabilities of logits `[N, C]`. Labels equal to `ignored` may be anything.
    pub fn of_shares(loss: &'static str, targets: &'a Targets<T>, logits: &Shape, ignored: Option<usize>) -> Result<Self> {
        let rows = Self::new(loss, targets, logits, &SHARES)?;
        rows.check_labels(|c| c, ignored)
    }

    /// Targets of a loss on each value for itself.
    pub fn of_values(loss: &'static str, targets: &'a Targets<T>, logits: &Shape, domain: &Domain) -> Result<Self> {
        let rows = Self::new(loss, targets, logits, domain)?;
        rows.check_labels(|c| if c == 1 { 2 } else { c }, None)
    }

    fn check_labels(self, classes: impl Fn(usize) -> usize, ignored: Option<usize>) -> Result<Self> {
        if let Rows::Classes(labels, c) = self {
            let classes = classes(c);
            let wrong = labels.iter().enumerate().find(|&(_, &label)| label >= classes && Some(label) != ignored);
            if let Some((sample, &label)) = wrong {
                return Err(Error::Label { sample, label, classes });
            }
        }
        Ok(self)
    }

    fn new(loss: &'static str, targets: &'a Targets<T>, logits: &Shape, domain: &Domain) -> Result<Self> {
        let dims = logits.dims();
        let Some(&n) = dims.first() else {
            return Err(Error::shape(loss, "logits with a first dimension that counts samples", logits));
        };
        if targets.len() != n {
            return Err(Error::shape(loss, format!("logits [{}, C], one row a target", targets.len()), logits));
        }
        match targets {
            Targets::Classes(labels) => Ok(Rows::Classes(labels, samples_and_classes(loss, logits)?[1])),
            Targets::Soft(soft) => {
                if soft.dims() != dims {
                    let sizes: Vec<String> = dims.iter().map(ToString::to_string).collect();
                    return Err(Error::shape(loss, format!("soft targets [{}]", sizes.join(", ")), soft.shape()));
                }
                let (soft, width) = (soft.contiguous()?, logits.len().checked_div(n).unwrap_or(0));
                let values = soft.as_slice().unwrap_or_default();
                if let Some((i, value)) = values.iter().map(|t| t.to_f64()).enumerate().find(|(_, t)| !domain.range.contains(t)) {
                    return Err(Error::Target { loss, sample: i / width.max(1), value, why: domain.why });
                }
                Ok(Rows::Soft(soft, width))
            }
            _ => Err(Error::config(loss, "targets", "this kind", "must be class indices or soft rows")),
        }
    }

    /// The i-th number in row-major order.
    pub fn at(&self, i: usize) -> f64 {
        match self {
            Rows::Classes(labels, 1) => labels.get(i).map_or(0.0, |&label| label as f64),
            Rows::Classes(labels, c) => f64::from(u8::from(labels.get(i / c) == Some(&(i % c)))),
            Rows::Soft(soft, _) => soft.as_slice().and_then(|t| t.get(i)).map_or(0.0, |t| t.to_f64()),
        }
    }

    /// The n-th row.
    pub fn write(&self, n: usize, row: &mut [f64]) {
        match self {
            Rows::Classes(labels, _) => {
                row.fill(0.0);
                if let Some(one) = labels.get(n).and_then(|&label| row.get_mut(label)) {
                    *one = 1.0;
                }
            }
            Rows::Soft(soft, width) => {
                let values = soft.as_slice().unwrap_or_default().iter().skip(n * width);
                row.iter_mut().zip(values).for_each(|(row, t)| *row = t.to_f64());
            }
        }
    }
}

/// The sizes of logits `[N, C]`, at least one class unless there are no samples either.
pub(super) fn samples_and_classes(loss: &'static str, logits: &Shape) -> Result<[usize; 2]> {
    match *logits.dims() {
        [n, 0] if n > 0 => Err(Error::shape(loss, "logits of at least one class", logits)),
        [n, c] => Ok([n, c]),
        _ => Err(Error::shape(loss, "logits [N, C]", logits)),
    }
}

/// One finite number ≥ 0 for each class, or none at all, which means 1 for each.
pub(super) fn check_per_class(loss: &'static str, field: &'static str, values: Option<&[f64]>, classes: usize) -> Result<()> {
    let Some(values) = values else { return Ok(()) };
    if let Some(wrong) = values.iter().find(|v| !(v.is_finite() && **v >= 0.0)) {
        return Err(Error::config(loss, field, wrong, "must be finite and not negative"));
    }
    if values.len() != classes {
        return Err(Error::config(loss, field, format!("{} for {classes} classes", values.len()), "must be one for each class"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows<'a>(targets: &'a Targets<f64>, dims: &[usize]) -> Rows<'a, f64> {
        Rows::of_values("Loss", targets, &Shape::new(dims).unwrap(), &NUMBERS).unwrap()
    }

    #[test]
    fn labels_are_one_hot_rows_and_the_number_itself_in_a_single_column() {
        let labels = Targets::Classes(vec![2, 0]);
        let three = rows(&labels, &[2, 3]);
        assert_eq!((0..6).map(|i| three.at(i)).collect::<Vec<_>>(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        let mut row = [9.0; 3];
        three.write(1, &mut row);
        assert_eq!(row, [1.0, 0.0, 0.0]);
        let labels = Targets::Classes(vec![1, 0]);
        let one = rows(&labels, &[2, 1]);
        assert_eq!([one.at(0), one.at(1)], [1.0, 0.0]);
    }

    #[test]
    fn soft_rows_may_lie_in_any_layout() {
        let wide = Tensor::from_fn([3, 2], |i| i as f64).unwrap().transpose().unwrap();
        let soft = Targets::Soft(wide);
        let rows = rows(&soft, &[2, 3]);
        let mut row = [9.0; 3];
        rows.write(1, &mut row);
        assert_eq!((row, rows.at(1)), ([1.0, 3.0, 5.0], 2.0));
    }

    #[test]
    fn one_number_for_each_class() {
        let check = |values: &[f64]| check_per_class("Loss", "alpha", Some(values), 3).map_err(|e| e.to_string());
        assert_eq!(check(&[0.0, 1.0, 2.0]), Ok(()));
        assert_eq!(check(&[1.0, 2.0]).unwrap_err(), "Loss: alpha = 2 for 3 classes is not valid: must be one for each class");
        for wrong in [f64::NAN, f64::INFINITY, -0.5] {
            assert_eq!(
                check(&[1.0, wrong, 1.0]).unwrap_err(),
                format!("Loss: alpha = {wrong} is not valid: must be finite and not negative")
            );
        }
    }
}
