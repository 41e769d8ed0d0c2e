//! How losses go over a batch: in parts cut by its size, each computed in `f64` and added up in a fixed order.

use std::sync::{Mutex, PoisonError};

use nyang_tensor::parallel::{CHUNK, for_each_chunk};
use nyang_tensor::{Element, Tensor};

use crate::Result;

/// For a loss that is a sum over values: `term(i, x)` gives the loss of the i-th value and its derivative by x.
///
/// Returns the sum and its gradient.
pub(super) fn each_value<T: Element>(x: &Tensor<T>, term: impl Fn(usize, f64) -> [f64; 2] + Sync) -> Result<(f64, Tensor<T>)> {
    each_part(x, CHUNK, |start, part| {
        let losses = part.iter_mut().enumerate().map(|(i, x)| {
            let [loss, slope] = term(start + i, x.to_f64());
            *x = T::of(slope);
            loss
        });
        losses.fold(0.0, |sum, loss| sum + loss)
    })
}

/// For a loss on softmax probabilities of logits `[N, classes]`: `row(n, ln_p, t)` is given ln softmax(z) of the n-th row and room
/// for its targets, and leaves the derivative by z where ln_p was.
///
/// Returns the sum of the losses and its gradient.
pub(super) fn each_row<T: Element>(
    logits: &Tensor<T>,
    classes: usize,
    row: impl Fn(usize, &mut [f64], &mut [f64]) -> f64 + Sync,
) -> Result<(f64, Tensor<T>)> {
    let width = classes.max(1);
    each_part(logits, (CHUNK / width).max(1) * width, |start, part| {
        let (mut scratch, mut targets) = (vec![0.0; width], vec![0.0; width]);
        let mut sum = 0.0;
        for (n, values) in part.chunks_exact_mut(width).enumerate() {
            scratch.iter_mut().zip(&*values).for_each(|(s, z)| *s = z.to_f64());
            log_softmax(&mut scratch);
            sum += row(start / width + n, &mut scratch, &mut targets);
            values.iter_mut().zip(&scratch).for_each(|(z, &s)| *z = T::of(s));
        }
        sum
    })
}

/// Turns a row of logits into the logarithms of its softmax; NaN everywhere if there is a NaN or +∞, or nothing but −∞, as in PyTorch.
///
/// ```text
/// ln pⱼ = (zⱼ − m) − ln Σₖ exp(zₖ − m),   m = max z
/// ```
pub(super) fn log_softmax(z: &mut [f64]) {
    let m = z.iter().copied().fold(f64::NEG_INFINITY, Element::max_or_nan);
    z.iter_mut().for_each(|z| *z -= m); // first of all: lse(z) as one number would lose the digits behind a large m
    let log_norm = z.iter().map(|z| z.exp()).sum::<f64>().ln();
    z.iter_mut().for_each(|z| *z -= log_norm);
}

/// `f(start, part)` turns values into derivatives and returns the part's loss.
fn each_part<T: Element>(x: &Tensor<T>, size: usize, f: impl Fn(usize, &mut [T]) -> f64 + Sync) -> Result<(f64, Tensor<T>)> {
    let mut gradient = x.clone();
    let sums = Mutex::new(Vec::new());
    let note = |start, sum| sums.lock().unwrap_or_else(PoisonError::into_inner).push((start, sum));
    for_each_chunk(gradient.as_mut_slice()?, size, |start, part| note(start, f(start, part)));
    let mut sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    sums.sort_unstable_by_key(|&(start, _)| start); // threads come in any order, the sum must not
    Ok((sums.iter().fold(0.0, |total, (_, sum)| total + sum), gradient))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_visited_once_and_the_parts_are_added_in_order() {
        let n = 3 * CHUNK + 5;
        let x = Tensor::<f64>::from_fn([n], |i| 1.0 / (i + 1) as f64).unwrap();
        let (sum, gradient) = each_value(&x, |i, x| [x, i as f64 * x]).unwrap();
        let parts: Vec<f64> = x.to_vec().chunks(CHUNK).map(|part| part.iter().sum()).collect();
        assert_eq!(sum, parts.iter().sum::<f64>());
        assert!(gradient.to_vec().iter().enumerate().all(|(i, g)| *g == i as f64 * (1.0 / (i + 1) as f64)));
    }

    #[test]
    fn rows_stay_whole_however_wide_they_are() {
        for (n, c) in [(0, 3), (5, 1), (7, 5000), (3, 2 * CHUNK)] {
            let z = Tensor::<f32>::from_fn([n, c], |i| (i / c) as f32).unwrap();
            let (sum, gradient) = each_row(&z, c, |n, ln_p, t| {
                assert!(ln_p.len() == c && t.len() == c && ln_p.iter().all(|l| (l + (c as f64).ln()).abs() < 1e-12));
                ln_p.fill(n as f64);
                n as f64
            })
            .unwrap();
            assert_eq!(sum, (0..n).sum::<usize>() as f64);
            assert_eq!(gradient.to_vec(), z.to_vec());
        }
    }

    #[test]
    fn a_softmax_of_large_logits_keeps_its_digits() {
        let mut z = [1e9, 1e9 - 1.0];
        log_softmax(&mut z);
        let first = -(1.0 + (-1.0f64).exp()).ln();
        assert!((z[0] - first).abs() < 1e-15 && (z[1] - (first - 1.0)).abs() < 1e-15, "{z:?}");
        for broken in [[f64::INFINITY, 0.0], [f64::NAN, 0.0], [f64::NEG_INFINITY; 2]] {
            let mut z = broken;
            log_softmax(&mut z);
            assert!(z.iter().all(|z| z.is_nan()), "{broken:?} gives {z:?}");
        }
    }
}
