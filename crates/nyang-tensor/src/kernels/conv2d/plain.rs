//! Convolution in plain loops: the definition that the fast kernels are compared with.
//!
//! A convolution is a list of products y += w · x. Read forward the list gives y; with dy in the place of y it gives
//! dx += w · dy and dw += x · dy. So the three passes below are one list, read three times.

use super::{Conv2dGeometry, conv2d_out_shape};
use crate::kernels::{Window, require_shape};
use crate::{Element, Result, Shape, Tensor};

/// Calls `f(y, w, x)` with the row-major positions of the three factors of every product of the convolution.
fn for_each_product(x: &Shape, weight: &Shape, g: &Conv2dGeometry, mut f: impl FnMut(usize, usize, usize)) -> Result<()> {
    let out = conv2d_out_shape(x, weight, g)?;
    let (&[images, channels, height, width], &[outputs, inputs, rows, columns]) = (x.dims(), weight.dims()) else { return Ok(()) };
    let [.., out_height, out_width] = *out.dims() else { return Ok(()) };
    let Window { stride, padding: [[top, _], [left, _]], dilation, .. } = g.window;
    let of_group = outputs / g.groups;
    if x.is_empty() || weight.is_empty() || out.is_empty() {
        return Ok(()); // no products
    }
    for n in 0..images {
        for o in 0..outputs {
            for (oh, ow) in cells(out_height, out_width) {
                for c in 0..inputs {
                    for (kh, kw) in cells(rows, columns) {
                        // the input cell under this tap; none where the tap lies in the padding
                        let h = (oh * stride[0] + kh * dilation[0]).checked_sub(top).filter(|&h| h < height);
                        let w = (ow * stride[1] + kw * dilation[1]).checked_sub(left).filter(|&w| w < width);
                        let (Some(h), Some(w)) = (h, w) else { continue };
                        let y = ((n * outputs + o) * out_height + oh) * out_width + ow;
                        let x = ((n * channels + o / of_group * inputs + c) * height + h) * width + w;
                        f(y, ((o * inputs + c) * rows + kh) * columns + kw, x);
                    }
                }
            }
        }
    }
    Ok(())
}

/// (0, 0), (0, 1), … in row-major order.
fn cells(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |i| (0..columns).map(move |j| (i, j)))
}

/// The twin of [`conv2d`](super::conv2d): `y[n, o, oh, ow] = b[o] + Σ w[o, c, kh, kw] · x[n, c, h, w]`.
///
/// # Errors
/// As [`conv2d`](super::conv2d).
pub fn conv2d_plain<T: Element>(x: &Tensor<T>, weight: &Tensor<T>, bias: Option<&Tensor<T>>, g: &Conv2dGeometry) -> Result<Tensor<T>> {
    let (a, w) = (x.to_vec(), weight.to_vec());
    let mut y = Tensor::zeros(conv2d_out_shape(x.shape(), weight.shape(), g)?)?;
    let sums = y.as_mut_slice()?;
    for_each_product(x.shape(), weight.shape(), g, |iy, iw, ix| sums[iy] += w[iw] * a[ix])?;
    match bias {
        Some(bias) => y.add(&bias.reshape([weight.dims()[0], 1, 1])?),
        None => Ok(y),
    }
}

/// The twin of [`conv2d_grad_input`](super::conv2d_grad_input): `dx[n, c, h, w] = Σ w[o, c, kh, kw] · dy[n, o, oh, ow]`.
///
/// # Errors
/// As [`conv2d_grad_input`](super::conv2d_grad_input).
pub fn conv2d_grad_input_plain<T: Element>(dy: &Tensor<T>, weight: &Tensor<T>, input: &Shape, g: &Conv2dGeometry) -> Result<Tensor<T>> {
    require_shape("conv2d_grad_input", conv2d_out_shape(input, weight.shape(), g)?, dy)?;
    let (d, w) = (dy.to_vec(), weight.to_vec());
    let mut dx = Tensor::zeros(input)?;
    let sums = dx.as_mut_slice()?;
    for_each_product(input, weight.shape(), g, |iy, iw, ix| sums[ix] += w[iw] * d[iy])?;
    Ok(dx)
}

/// The twin of [`conv2d_grad_weight`](super::conv2d_grad_weight): `dw[o, c, kh, kw] += Σ x[n, c, h, w] · dy[n, o, oh, ow]`.
///
/// # Errors
/// As [`conv2d_grad_weight`](super::conv2d_grad_weight).
pub fn conv2d_grad_weight_plain<T: Element>(dy: &Tensor<T>, x: &Tensor<T>, g: &Conv2dGeometry, dw: &mut Tensor<T>) -> Result<()> {
    require_shape("conv2d_grad_weight", conv2d_out_shape(x.shape(), dw.shape(), g)?, dy)?;
    let (d, a, shape) = (dy.to_vec(), x.to_vec(), *dw.shape());
    let sum = dw.as_mut_slice()?;
    for_each_product(x.shape(), &shape, g, |iy, iw, ix| sum[iw] += a[ix] * d[iy])?;
    Ok(())
}
