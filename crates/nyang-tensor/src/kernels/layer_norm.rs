//! Layer normalisation: each row by its own mean and variance, with a weight and a bias for each column.
//!
//! Letters: a row has `width` values; μ and s = 1/√(σ² + ε) are a row's, γ and β a column's; x̂ = (x − μ)·s.
//!
//! A row's sums are taken in `f64`, in a fixed order: a row's result depends on that row alone.

use std::sync::Arc;

use super::columns::{column_sums, row_blocks};
use super::{require_shape, values};
use crate::parallel::{CHUNK, for_each_chunk, for_each_pair};
use crate::{Element, Error, Result, Shape, Tensor};

/// How rows are normalised.
#[derive(Clone, Copy, Debug)]
pub struct RowNorm<'a, T> {
    /// The values of a row.
    pub width: usize,
    /// ε, added to the variance under the root.
    pub eps: f64,
    /// γ, one number a column; 1 where there is none.
    pub weight: Option<&'a [T]>,
    /// β, one number a column; 0 where there is none.
    pub bias: Option<&'a [T]>,
}

impl<T: Element> RowNorm<'_, T> {
    /// How many rows a tensor of that shape has.
    fn rows(&self, op: &'static str, shape: &Shape) -> Result<usize> {
        if self.width == 0 || !shape.len().is_multiple_of(self.width) {
            return Err(Error::shape(op, format!("whole rows of {} values", self.width), *shape));
        }
        for (name, v) in [("weight", self.weight), ("bias", self.bias)] {
            if let Some(v) = v.filter(|v| v.len() != self.width) {
                return Err(Error::shape(op, format!("{name} [{}], one value a column", self.width), Shape::from([v.len()])));
            }
        }
        Ok(shape.len() / self.width)
    }
}

/// Rows of `width` values that a task works on.
fn rows_of_a_task(width: usize) -> usize {
    (CHUNK / width).max(1)
}

/// Σ f(a, b) in `f64`: eight sums side by side, which need not wait for one another.
fn sum<T: Element>(a: &[T], b: &[T], f: impl Fn(f64, f64) -> f64) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += f(a[i].to_f64(), b[i].to_f64());
        }
    }
    sums.iter_mut().zip(a_rest.iter().zip(b_rest)).for_each(|(sum, (a, b))| *sum += f(a.to_f64(), b.to_f64()));
    sums.iter().sum()
}

/// μ and s of a row.
fn moments<T: Element>(row: &[T], eps: f64) -> [T; 2] {
    let n = row.len() as f64;
    let mean = sum(row, row, |v, _| v) / n;
    let var = sum(row, row, |v, _| (v - mean) * (v - mean)) / n; // two passes: E[x²] − E[x]² cancels when |μ| ≫ σ
    [T::of(mean), T::of(1.0 / (var + eps).sqrt())]
}

/// A tensor to write to, and what has to be copied into it first: nothing where nobody else holds `x`, which is then written to itself.
///
/// `x` must be dense; the memory order stays.
pub(super) fn in_place_or_copy<T: Element>(mut x: Tensor<T>) -> Result<(Tensor<T>, Option<Tensor<T>>)> {
    if Arc::get_mut(&mut x.buffer).is_some() { Ok((x, None)) } else { Ok((x.stale_like()?, Some(x))) }
}

/// Normalises each row of `width` values; `x` may have any shape, its rows are runs of its row-major order.
///
/// ```text
/// y = (x − μ)·s·γ + β        μ = Σ x / width        s = 1/√(σ² + ε)        σ² = Σ (x − μ)² / width
/// ```
///
/// Returns y, row-major, in place if nobody else holds `x`; and (μ, s) of each row, `[rows, 2]`, for the gradients.
///
/// # Errors
/// [`Error::Shape`] unless `x` is whole rows and weight and bias have one value a column; [`Error::Memory`].
pub fn layer_norm<T: Element>(x: Tensor<T>, by: &RowNorm<'_, T>) -> Result<(Tensor<T>, Tensor<T>)> {
    let rows = by.rows("layer_norm", x.shape())?;
    let x = if x.is_contiguous() { x } else { x.contiguous()? };
    let mut stats = Tensor::stale([rows, 2])?;
    let (mut y, x) = in_place_or_copy(x)?;
    let x = x.as_ref().map(values);
    let normalise = |at: usize, part: &mut [T], stats: &mut [T]| {
        if let Some(x) = x {
            part.copy_from_slice(&x[at..at + part.len()]);
        }
        for (row, stats) in part.chunks_mut(by.width).zip(stats.chunks_mut(2)) {
            let [mean, s] = moments(row, by.eps);
            stats.copy_from_slice(&[mean, s]);
            row.iter_mut().for_each(|v| *v = (*v - mean) * s);
            if let Some(weight) = by.weight {
                row.iter_mut().zip(weight).for_each(|(v, &w)| *v *= w);
            }
            if let Some(bias) = by.bias {
                row.iter_mut().zip(bias).for_each(|(v, &b)| *v += b);
            }
        }
    };
    let task = rows_of_a_task(by.width);
    let (out, numbers) = ((y.memory_mut()?, task * by.width), (stats.memory_mut()?, task * 2));
    for_each_pair(out, numbers, |i, part, stats| normalise(i * task * by.width, part, stats));
    Ok((y, stats))
}

/// The gradient of [`layer_norm`]'s input, row-major, in place if nobody else holds `dy`; `stats` is what it returned for `x`.
///
/// ```text
/// g = γ·dy        dx = s·(g − mean(g) − x̂·mean(g·x̂))        means over the row
/// ```
///
/// # Errors
/// [`Error::Shape`], also for a dy of another shape than x, or stats that are not `[rows, 2]`; [`Error::Memory`].
pub fn layer_norm_dx<T: Element>(dy: Tensor<T>, x: &Tensor<T>, stats: &Tensor<T>, by: &RowNorm<'_, T>) -> Result<Tensor<T>> {
    const OP: &str = "layer_norm_dx";
    let (x, stats) = matching(OP, &dy, x, stats, by)?;
    let (x, stats) = (values(&x), values(&stats));
    let dy = if dy.is_contiguous() { dy } else { dy.contiguous()? };
    let (mut dx, dy) = in_place_or_copy(dy)?;
    let dy = dy.as_ref().map(values);
    let n = by.width as f64;
    for_each_chunk(dx.memory_mut()?, rows_of_a_task(by.width) * by.width, |at, part| {
        if let Some(dy) = dy {
            part.copy_from_slice(&dy[at..at + part.len()]);
        }
        let rows = x[at..].chunks(by.width).zip(stats[at / by.width * 2..].chunks(2));
        for (g, (x, stats)) in part.chunks_mut(by.width).zip(rows) {
            let (mean, s) = (stats[0], stats[1]);
            if let Some(weight) = by.weight {
                g.iter_mut().zip(weight).for_each(|(g, &w)| *g *= w);
            }
            let mu = mean.to_f64();
            let mean_g = sum(g, g, |g, _| g) / n;
            let mean_gx = sum(g, x, |g, x| g * (x - mu)) / n;
            let (mean_g, by_x) = (T::of(mean_g), T::of(mean_gx * s.to_f64() * s.to_f64())); // x̂·mean(g·x̂) = (x − μ)·by_x
            g.iter_mut().zip(x).for_each(|(g, &x)| *g = (*g - mean_g - (x - mean) * by_x) * s);
        }
    });
    Ok(dx)
}

/// The gradients of [`layer_norm`]'s weight and bias, `[width]` each; `stats` is what it returned for `x`.
///
/// ```text
/// dγ = Σ dy·x̂        dβ = Σ dy        over the rows
/// ```
///
/// # Errors
/// As [`layer_norm_dx`].
pub fn layer_norm_dw<T: Element>(dy: &Tensor<T>, x: &Tensor<T>, stats: &Tensor<T>, width: usize) -> Result<[Tensor<f64>; 2]> {
    let by = RowNorm { width, eps: 0.0, weight: None, bias: None };
    let (x, stats) = matching("layer_norm_dw", dy, x, stats, &by)?;
    let dy = dy.contiguous()?;
    let (dy, x, stats) = (values(&dy), values(&x), values(&stats));
    let rows = stats.len() / 2;
    let blocks = row_blocks(rows, width);
    let of_a_block = rows.div_ceil(blocks);
    let range = |block: usize| (block * of_a_block).min(rows)..((block + 1) * of_a_block).min(rows);
    let sums = column_sums(width, blocks, range, |[dw, db]: [&mut [T]; 2], row, columns| {
        let (mean, s) = (stats[row * 2], stats[row * 2 + 1]);
        let at = row * width + columns.start..row * width + columns.end;
        for ((dw, db), (&d, &v)) in dw.iter_mut().zip(db).zip(dy[at.clone()].iter().zip(&x[at])) {
            *dw += d * ((v - mean) * s);
            *db += d;
        }
    })?;
    let mut total = [Tensor::<f64>::zeros([width])?, Tensor::<f64>::zeros([width])?];
    for (k, total) in total.iter_mut().enumerate() {
        let total = total.memory_mut()?;
        for block in values(&sums).chunks(width * 2) {
            total.iter_mut().zip(block.iter().skip(k).step_by(2)).for_each(|(total, v)| *total += v);
        }
    }
    Ok(total)
}

/// x and its stats as they lie row by row, if all that a gradient is made from goes together.
fn matching<T: Element>(
    op: &'static str,
    dy: &Tensor<T>,
    x: &Tensor<T>,
    stats: &Tensor<T>,
    by: &RowNorm<'_, T>,
) -> Result<(Tensor<T>, Tensor<T>)> {
    let rows = by.rows(op, x.shape())?;
    require_shape(op, *x.shape(), dy)?;
    if stats.dims() != [rows, 2] {
        return Err(Error::shape(op, format!("stats [{rows}, 2], mean and 1/√(σ² + ε) of each row"), *stats.shape()));
    }
    Ok((x.contiguous()?, stats.contiguous()?))
}

/// The same in plain loops, in `f64`: the definitions.
pub mod plain {
    use super::RowNorm;

    /// x̂, and 1/√(σ² + ε), of a row.
    fn x_hat(row: &[f64], eps: f64) -> (Vec<f64>, f64) {
        let n = row.len() as f64;
        let mean = row.iter().sum::<f64>() / n;
        let s = 1.0 / (row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n + eps).sqrt();
        (row.iter().map(|v| (v - mean) * s).collect(), s)
    }

    /// x̂·γ + β.
    pub fn layer_norm(x: &[f64], by: &RowNorm<'_, f64>) -> Vec<f64> {
        let column = |v: Option<&[f64]>, i: usize, none: f64| v.map_or(none, |v| v[i]);
        let row = |row: &[f64]| {
            let y = x_hat(row, by.eps).0.into_iter().enumerate();
            y.map(|(i, v)| v * column(by.weight, i, 1.0) + column(by.bias, i, 0.0)).collect::<Vec<_>>()
        };
        x.chunks(by.width).flat_map(row).collect()
    }

    /// dx, dγ, dβ.
    pub fn layer_norm_backward(dy: &[f64], x: &[f64], by: &RowNorm<'_, f64>) -> [Vec<f64>; 3] {
        let (mut dx, mut dw, mut db) = (vec![], vec![0.0; by.width], vec![0.0; by.width]);
        for (dy, x) in dy.chunks(by.width).zip(x.chunks(by.width)) {
            let (x_hat, s) = x_hat(x, by.eps);
            let g: Vec<f64> = dy.iter().enumerate().map(|(i, d)| d * by.weight.map_or(1.0, |w| w[i])).collect();
            let mean = |terms: Vec<f64>| terms.iter().sum::<f64>() / x.len() as f64;
            let (mean_g, mean_gx) = (mean(g.clone()), mean(g.iter().zip(&x_hat).map(|(g, x)| g * x).collect()));
            for i in 0..x.len() {
                dw[i] += dy[i] * x_hat[i];
                db[i] += dy[i];
                dx.push(s * (g[i] - mean_g - x_hat[i] * mean_gx));
            }
        }
        [dx, dw, db]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use proptest::prelude::*;

    fn random<T: Element>(shape: impl Into<Shape>, seed: u64) -> Tensor<T> {
        Tensor::uniform(shape, -1.0, 1.0, &mut Rng::seed(seed)).unwrap()
    }

    /// Whether the kernels give what the plain loops give, to what rounding in `T` allows.
    fn agrees<T: Element>(rows: usize, width: usize, affine: bool, transposed: bool, eps: f64) -> bool {
        let matrix = |seed| {
            let x = random::<T>([width, rows], seed).transpose().unwrap();
            if transposed { x } else { x.contiguous().unwrap() }
        };
        let (x, dy) = (matrix(1), matrix(2));
        let [w, b] = [3, 4].map(|seed| random::<T>([width], seed).to_vec());
        let wide = |v: &[T]| v.iter().map(|v| v.to_f64()).collect::<Vec<_>>();
        let (w64, b64, x64, dy64) = (wide(&w), wide(&b), wide(&x.to_vec()), wide(&dy.to_vec()));
        let by = RowNorm { width, eps: 1e-2, weight: affine.then_some(&w), bias: affine.then_some(&b) };
        let by64 = RowNorm { width, eps: 1e-2, weight: affine.then_some(&w64), bias: affine.then_some(&b64) };

        // values of x̂ and its gradients are at most 10 = 1/√ε times x's 2; a column's sum has `rows` of them
        let close = |got: Vec<f64>, want: Vec<f64>, terms: usize| {
            got.len() == want.len() && got.iter().zip(&want).all(|(g, w)| (g - w).abs() <= 400.0 * eps * (terms as f64 + 1.0))
        };
        let (y, stats) = layer_norm(x.clone(), &by).unwrap();
        let dx = layer_norm_dx(dy.clone(), &x, &stats, &by).unwrap();
        let [dw, db] = layer_norm_dw(&dy, &x, &stats, width).unwrap();
        let [dx64, dw64, db64] = plain::layer_norm_backward(&dy64, &x64, &by64);
        close(wide(&y.to_vec()), plain::layer_norm(&x64, &by64), 1)
            && close(wide(&dx.to_vec()), dx64, 1)
            && close(dw.to_vec(), dw64, rows)
            && close(db.to_vec(), db64, rows)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]
        #[test]
        fn all_agree_with_plain_loops(rows in 0usize..200, width in prop_oneof![1usize..20, 500usize..530], affine: bool, transposed: bool) {
            prop_assert!(agrees::<f64>(rows, width, affine, transposed, f64::EPSILON));
            prop_assert!(agrees::<f32>(rows, width, affine, transposed, f64::from(f32::EPSILON)));
        }
    }

    #[test]
    fn many_rows_and_wide_rows_agree_with_plain_loops() {
        for (rows, width) in [(20_000, 7), (300, 3001), (2, 70_000)] {
            assert!(agrees::<f32>(rows, width, true, false, f64::from(f32::EPSILON)), "{rows} × {width}");
        }
    }

    #[test]
    fn a_large_mean_does_not_swallow_the_variance() {
        let x = Tensor::from_fn([1, 1000], |i| 10_000.0 + (i % 2) as f32).unwrap();
        let (y, _) = layer_norm(x, &RowNorm { width: 1000, eps: 1e-5, weight: None, bias: None }).unwrap();
        assert!((y.to_vec()[0] + 1.0).abs() < 1e-3 && (y.to_vec()[1] - 1.0).abs() < 1e-3, "{y:?}");
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let run = |threads| {
            let (x, dy, w) = (random::<f32>([999, 130], 1), random([999, 130], 2), random::<f32>([130], 3).to_vec());
            let by = RowNorm { width: 130, eps: 1e-5, weight: Some(&w), bias: Some(&w) };
            crate::parallel::with_threads(threads, || {
                let (y, stats) = layer_norm(x.clone(), &by).unwrap();
                let dw = layer_norm_dw(&dy, &x, &stats, 130).unwrap();
                (y, dw, layer_norm_dx(dy, &x, &stats, &by).unwrap())
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn it_works_in_place_where_nobody_else_looks() {
        let by = RowNorm { width: 3, eps: 1e-5, weight: None, bias: None };
        let x = random::<f32>([4, 3], 1);
        let (kept, at) = (x.contiguous().unwrap().to_vec(), x.memory().unwrap().as_ptr());
        let held = x.clone();
        let (copy, _) = layer_norm(x, &by).unwrap();
        assert_ne!(copy.memory().unwrap().as_ptr(), at);
        assert_eq!(held.to_vec(), kept);
        let (same, _) = layer_norm(held, &by).unwrap();
        assert_eq!(same.memory().unwrap().as_ptr(), at);
        assert_eq!(same, copy);
    }

    #[test]
    fn what_does_not_fit_together_is_an_error() {
        let x = Tensor::<f32>::ones([4, 3]).unwrap();
        let (two, by) = ([1.0; 2], RowNorm { width: 3, eps: 1e-5, weight: None, bias: None });
        let stats = Tensor::ones([4, 2]).unwrap();
        let bad = [
            layer_norm(x.clone(), &RowNorm { width: 0, ..by }).err(),
            layer_norm(x.clone(), &RowNorm { width: 5, ..by }).err(),
            layer_norm(x.clone(), &RowNorm { weight: Some(&two), ..by }).err(),
            layer_norm(x.clone(), &RowNorm { bias: Some(&two), ..by }).err(),
            layer_norm_dx(Tensor::ones([3, 4]).unwrap(), &x, &stats, &by).err(),
            layer_norm_dx(x.clone(), &x, &Tensor::ones([2, 4]).unwrap(), &by).err(),
            layer_norm_dw(&x, &x, &stats, 0).err(),
            layer_norm_dw(&x, &x, &stats, 4).err(),
            layer_norm_dw(&x, &x, &Tensor::ones([3, 2]).unwrap(), 3).err(),
        ];
        for (i, error) in bad.iter().enumerate() {
            assert!(matches!(error, Some(Error::Shape { .. })), "bad argument {i} was accepted");
        }
    }
}
