//! The fully connected layer's product, with its bias and the activation behind it while the sums are in registers.

use super::gemm::{Into, Matrix, gemm_with};
use super::tile::Finish;
use super::{Activation, Kernels, blocked};
use crate::parallel::for_each_chunk;
use crate::{Element, Error, Result, Tensor};

/// y = act(x·Wᵀ + b) for x `[N, K]`, W `[O, K]` and b `[O]`: `[N, O]`, with the bits of the three steps apart.
///
/// A row of y does not depend on the other rows, bit for bit.
///
/// # Errors
/// [`Error::Shape`] unless x and W are matrices with rows of the same length and b has a number for each row of W; [`Error::Memory`].
pub fn linear<T: Element>(
    x: &Tensor<T>,
    weight: &Tensor<T>,
    bias: Option<&Tensor<T>>,
    activation: Activation,
    kernels: Kernels,
) -> Result<Tensor<T>> {
    const OP: &str = "linear";
    let (([n, k], a), ([o, depth], w)) = (x.matrix(OP)?, weight.matrix(OP)?);
    if k != depth {
        return Err(Error::shape(OP, format!("[N, {depth}] for a weight {}", weight.shape()), *x.shape()));
    }
    if let Some(odd) = bias.filter(|bias| bias.dims() != [o]) {
        return Err(Error::shape(OP, format!("a bias [{o}]"), *odd.shape()));
    }
    let bias = bias.map(Tensor::contiguous).transpose()?;
    let bias = bias.as_ref().map(super::values);
    let b = Matrix { values: w.values, row: w.column, column: w.row };
    let mut y = Tensor::stale([n, o])?;
    if y.is_empty() {
        return Ok(y);
    }
    let f32s = |v: Option<_>| v.map_or(Some(None), |v| T::f32s(v).map(Some));
    if let (Some(simd), Some(a), Some(b), Some(bias), Some(c)) =
        (kernels.simd(), a.f32s(), b.f32s(), f32s(bias), T::f32s_mut(y.memory_mut()?))
        && blocked::gemm(simd, [n, o, k], a, b, Finish { bias, activation, ..Finish::default() }, c, o, true).is_ok()
    {
        return Ok(y);
    }
    gemm_with(kernels, [n, o, k], a, b, Into::Overwrite, y.memory_mut()?, o, true);
    for_each_chunk(y.memory_mut()?, o, |_, row| {
        if let Some(bias) = bias {
            row.iter_mut().zip(bias).for_each(|(v, &b)| *v += b);
        }
        row.iter_mut().for_each(|v| *v = activation.of(*v));
    });
    Ok(y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::kernels::channels::channel_add;

    fn ends_like_its_steps<T: Element>([n, o, k]: [usize; 3]) {
        let random = |dims: [usize; 2], seed| Tensor::<T>::normal(dims, 0.3, 1.0, &mut Rng::seed(seed)).unwrap();
        let (x, w, bias) = (random([n, k], 1), random([o, k], 2), random([1, o], 3).reshape([o]).unwrap());
        let product = x.matmul(&w.transpose().unwrap()).unwrap();
        for activation in [Activation::Identity, Activation::Relu, Activation::Relu6] {
            for bias in [None, Some(&bias)] {
                let sums = bias.map_or(Ok(product.clone()), |b| channel_add(product.clone(), b.as_slice().unwrap())).unwrap();
                let apart = sums.map(|v| activation.of(v)).unwrap();
                let kernels = Kernels::default();
                assert_eq!(linear(&x, &w, bias, activation, kernels).unwrap(), apart, "{activation:?}, bias {}", bias.is_some());
                // a weight whose columns are neighbours is multiplied in panels, in another order
                let turned = w.transpose().unwrap().contiguous().unwrap().transpose().unwrap();
                let other = linear(&x, &turned, bias, activation, kernels).unwrap();
                // sums of up to 784 products stay below 200: 1e-4 is about ten of their roundings
                let near = |(a, b): (T, T)| (a - b).to_f64().abs() <= 1e-4;
                assert!(other.to_vec().into_iter().zip(apart.to_vec()).all(near));
            }
        }
    }

    #[test]
    fn bias_and_activation_at_once_have_the_bits_of_the_steps() {
        for size in [[1, 10, 84], [3, 65, 70], [64, 33, 784], [70, 130, 600], [2, 5, 0]] {
            ends_like_its_steps::<f32>(size);
            ends_like_its_steps::<f64>(size);
        }
    }

    #[test]
    fn what_does_not_fit_together_is_an_error() {
        let z = |dims: &[usize]| Tensor::<f32>::zeros(crate::Shape::new(dims).unwrap()).unwrap();
        let run = |x: &[usize], w: &[usize], b: &[usize]| linear(&z(x), &z(w), Some(&z(b)), Activation::Identity, Kernels::default());
        assert_eq!(run(&[0, 3], &[2, 3], &[2]).unwrap().dims(), [0, 2]);
        assert!(run(&[2, 3], &[2, 4], &[2]).is_err() && run(&[2, 3], &[2, 3], &[3]).is_err() && run(&[2, 3, 1], &[2, 3], &[2]).is_err());
    }
}
