//! The channels of each sample, or of each pixel, as one row of memory: what layers see that combine channels place by place.

use nyang_tensor::parallel::{CHUNK, for_each_chunk};
use nyang_tensor::{Element, Shape, Tensor};

use crate::{Error, Result};

/// A batch `[N, C, …]` as `[N, …, C]`, row-major: rows of C values. Nothing is copied for `[N, C]`, and for images channels-last.
pub(crate) fn to_rows<T: Element>(x: Tensor<T>) -> Result<Tensor<T>> {
    let order: Vec<usize> = (0..x.shape().rank()).filter(|&d| d != 1).chain([1]).collect();
    let rows = x.permute(&order)?;
    drop(x); // so that whoever writes to the rows finds them unshared
    Ok(rows.contiguous()?)
}

/// Rows `[N, …, C]` as the batch `[N, C, …]` that they came from. Nothing is copied.
pub(crate) fn from_rows<T: Element>(rows: Tensor<T>) -> Result<Tensor<T>> {
    let rank = rows.shape().rank();
    let order: Vec<usize> = [0, rank.saturating_sub(1)].into_iter().chain(1..rank.saturating_sub(1)).collect();
    Ok(rows.permute(&order)?)
}

/// Calls `f(row)` for each row of `width` values, in parallel.
pub(crate) fn for_each_row<T: Element>(rows: &mut Tensor<T>, width: usize, f: impl Fn(&mut [T]) + Send + Sync) -> Result<()> {
    let width = width.max(1);
    for_each_chunk(rows.as_mut_slice()?, whole_rows(width), |_, part| part.chunks_exact_mut(width).for_each(&f));
    Ok(())
}

/// Calls `f(row, other)` for each row of `width` values and the row of `others` values at the same place.
pub(crate) fn for_each_row_with<T: Element>(
    rows: &mut Tensor<T>,
    width: usize,
    other: &Tensor<T>,
    others: usize,
    f: impl Fn(&mut [T], &[T]) + Send + Sync,
) -> Result<()> {
    let (width, others) = (width.max(1), others.max(1));
    let other = other.contiguous()?;
    let other = other.as_slice().unwrap_or_default(); // contiguous by now
    for_each_chunk(rows.as_mut_slice()?, whole_rows(width), |start, part| {
        let beside = other.chunks_exact(others).skip(start / width);
        part.chunks_exact_mut(width).zip(beside).for_each(|(row, other)| f(row, other));
    });
    Ok(())
}

/// About a task's worth of values, in whole rows.
fn whole_rows(width: usize) -> usize {
    (CHUNK / width).max(1).saturating_mul(width)
}

/// C of a batch `[N, C, …]`.
pub(crate) fn channels(layer: &'static str, input: &Shape) -> Result<usize> {
    match *input.dims() {
        [_, c, ..] => Ok(c),
        _ => Err(Error::shape(layer, "a batch [N, C, …]", input)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_are_the_channels_of_each_place_and_come_back(n in 0usize..3, c in 0usize..5, h in 0usize..4, w in 1usize..4, rank in 2usize..5, last: bool) {
            let shape = Shape::new(&[n, c, h, w][..rank]).unwrap();
            let x = Tensor::from_fn(shape, |i| i as f64).unwrap();
            let x = if last { x.channels_last().unwrap() } else { x };
            let rows = to_rows(x.clone()).unwrap();
            let places: usize = shape.dims().iter().enumerate().filter(|d| d.0 != 1).map(|d| d.1).product();
            let of_place = shape.len() / (n.max(1) * c.max(1)); // places of one sample
            let expected: Vec<f64> = (0..places).flat_map(|p| (0..c).map(move |c_| (p, c_)))
                .map(|(p, c_)| ((p / of_place.max(1) * c + c_) * of_place + p % of_place.max(1)) as f64).collect();
            prop_assert_eq!(rows.to_vec(), expected);
            prop_assert_eq!(from_rows(rows).unwrap(), x);
        }
    }

    #[test]
    fn long_rows_and_many_tasks_meet_their_partners() {
        for (rows, width, others) in [(5000, 7, 7), (3, 20_000, 20_000), (5000, 6, 2), (5000, 1, 4)] {
            let mut x = Tensor::from_fn([rows, width], |i| (i / width) as f64).unwrap();
            let other = Tensor::from_fn([rows, others], |i| (i / others) as f64).unwrap();
            let same = |row: &mut [f64], other: &[f64]| {
                let right = row.len() == width && other.len() == others && row[0] == other[0] && row[width - 1] == other[others - 1];
                row.fill(if right { 1.0 } else { 0.0 });
            };
            for_each_row_with(&mut x, width, &other, others, same).unwrap();
            assert_eq!(x.sum(), (rows * width) as f64, "{rows} rows of {width} beside {others}");
        }
    }
}
