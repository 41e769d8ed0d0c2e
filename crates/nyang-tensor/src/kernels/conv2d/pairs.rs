//! Convolutions to few channels, two pixels at a time.
//!
//! Six output channels leave ten lanes of a vector idle. In memory two neighbouring pixels are twelve numbers in a row, and what they see is
//! one window, a stride wider: so they are one pixel of twelve channels of another convolution, whose memory is the same. Its kernels are the
//! old ones, for the second pixel a stride to the right, with zeros beside them:
//!
//! ```text
//! w'[p·O + o, c, kh, kw] = w[o, c, kh, kw − p·stride]     p = 0, 1        dw[o, c, kh, kw] = Σₚ dw'[p·O + o, c, kh, kw + p·stride]
//! ```
//!
//! The zeros cost a multiplication each, far fewer than the full lanes save, and change no sum of numbers. (A NaN or an infinity that only
//! one of the two pixels sees does reach the other, as 0·∞ is no number; [`Kernels::exact`](crate::kernels::Kernels::exact) does without.)

use super::patches::Plan;
use crate::Result;
use crate::buffer::Buffer;
use crate::kernels::simd::Simd;

/// The convolution of pairs; none where vectors are full enough without, or pairs would not fit.
pub(super) fn widened(simd: Simd, plan: &Plan) -> Option<Plan> {
    let ([_, _, _, w], [n, o, oh, ow], window) = (plan.input, plan.output, &plan.g.window);
    let ([kh, kw], stride, left) = (window.kernel, window.stride[1], window.padding[1][0]);
    let fills = 2 * o <= simd.lanes() && 4 * o > simd.lanes() && simd.lanes() == 16;
    if !fills || plan.g.groups != 1 || window.dilation[1] != 1 || ow % 2 == 1 || kw < 3 * stride {
        return None;
    }
    let mut wide = *plan;
    let window = &mut wide.g.window;
    (window.kernel, window.stride[1]) = ([kh, kw + stride], 2 * stride);
    window.padding[1][1] = ((ow - 1) * stride + kw).saturating_sub(left + w); // the last pixel may not see the image's edge
    (wide.output, wide.og, wide.taps) = ([n, 2 * o, oh, ow / 2], 2 * o, kh * (kw + stride));
    Some(wide)
}

/// The widths of a row of w and of w', and the stride between them.
fn widths(plan: &Plan) -> [usize; 3] {
    let (kw, stride) = (plan.g.window.kernel[1], plan.g.window.stride[1]);
    [kw, kw + stride, stride]
}

/// w' from w.
pub(super) fn widen(plan: &Plan, weight: &[f32]) -> Result<Buffer<f32>> {
    let [kw, wide, stride] = widths(plan);
    let mut widened = Buffer::zeroed(2 * (weight.len() / kw * wide))?;
    let half = widened.len() / 2;
    for (p, half) in widened.chunks_exact_mut(half).enumerate() {
        for (to, from) in half.chunks_exact_mut(wide).zip(weight.chunks_exact(kw)) {
            to[p * stride..p * stride + kw].copy_from_slice(from);
        }
    }
    Ok(widened)
}

/// dw += what dw' gives.
pub(super) fn fold(plan: &Plan, widened: &[f32], dw: &mut [f32]) {
    let [kw, wide, stride] = widths(plan);
    for (p, half) in widened.chunks_exact(widened.len() / 2).enumerate() {
        for (to, from) in dw.chunks_exact_mut(kw).zip(half.chunks_exact(wide)) {
            to.iter_mut().zip(&from[p * stride..]).for_each(|(sum, &v)| *sum += v);
        }
    }
}
