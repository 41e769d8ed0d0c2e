//! Winograd's transforms of one row of a tile, as derived in [docs/winograd.md](../../../../../../../docs/winograd.md).
//!
//! With the points 0, ±p, ±q, … and ∞, a polynomial of low degree is its values there, and multiplying polynomials is multiplying values. For m
//! outputs y of a kernel w of three numbers over an input d of a = m + 2 numbers:
//!
//! ```text
//! y = Aᵀ [(G w) ⊙ (Bᵀ d)]        a multiplications in the place of 3m
//! dw = Gᵀ [(Bᵀ d) ⊙ (A dy)]      the same products, read for the gradient in w
//! ```
//!
//! In two dimensions each is applied to columns and then to rows: Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A.

use crate::kernels::simd::Isa;

/// The five transforms of F(M, 3), A = M + 2, on rows of vectors.
pub(super) trait Transforms<const M: usize, const A: usize>: Send + Sync {
    /// Bᵀ d.
    fn input<S: Isa>(isa: S, d: [S::V; A]) -> [S::V; A];
    /// Aᵀ m.
    fn output<S: Isa>(isa: S, m: [S::V; A]) -> [S::V; M];
    /// A y.
    fn spread<S: Isa>(isa: S, y: [S::V; M]) -> [S::V; A];
    /// G w.
    fn kernel<S: Isa>(isa: S, w: [S::V; 3]) -> [S::V; A];
    /// Gᵀ u.
    fn kernel_back<S: Isa>(isa: S, u: [S::V; A]) -> [S::V; 3];
}

/// F(2, 3) at the points 0, ±1, ∞: 16 multiplications in the place of 36, and hardly less accurate than the sum itself.
pub(super) struct F2;

impl Transforms<2, 4> for F2 {
    #[inline(always)]
    fn input<S: Isa>(isa: S, d: [S::V; 4]) -> [S::V; 4] {
        [isa.sub(d[0], d[2]), isa.add(d[2], d[1]), isa.sub(d[2], d[1]), isa.sub(d[3], d[1])]
    }
    #[inline(always)]
    fn output<S: Isa>(isa: S, m: [S::V; 4]) -> [S::V; 2] {
        [isa.add(m[0], isa.add(m[1], m[2])), isa.add(isa.sub(m[1], m[2]), m[3])]
    }
    #[inline(always)]
    fn spread<S: Isa>(isa: S, y: [S::V; 2]) -> [S::V; 4] {
        [y[0], isa.add(y[0], y[1]), isa.sub(y[0], y[1]), y[1]]
    }
    #[inline(always)]
    fn kernel<S: Isa>(isa: S, w: [S::V; 3]) -> [S::V; 4] {
        let half = isa.splat(0.5);
        let (even, odd) = (isa.mul(half, isa.add(w[0], w[2])), isa.mul(half, w[1]));
        [w[0], isa.add(even, odd), isa.sub(even, odd), w[2]]
    }
    #[inline(always)]
    fn kernel_back<S: Isa>(isa: S, u: [S::V; 4]) -> [S::V; 3] {
        let half = isa.splat(0.5);
        let even = isa.mul(half, isa.add(u[1], u[2]));
        [isa.add(u[0], even), isa.mul(half, isa.sub(u[1], u[2])), isa.add(even, u[3])]
    }
}

/// F(4, 3) at the points 0, ±3/4, ±3/2, ∞: 36 multiplications in the place of 144. The usual points 0, ±1, ±2 lose four times as much
/// to rounding, because their powers are further apart.
pub(super) struct F4;

const P: f32 = 0.75;
const Q: f32 = 1.5;
const P2: f32 = P * P;
const Q2: f32 = Q * Q;
/// 1 / (2p²(p² − q²)) and 1 / (2q²(q² − p²)): what the Lagrange polynomials of ±p and ±q are divided by.
const BY_P: f32 = (1.0 / (2.0 * 0.5625 * (0.5625 - 2.25))) as f32;
const BY_Q: f32 = (1.0 / (2.0 * 2.25 * (2.25 - 0.5625))) as f32;
/// 1 / p²q², that of 0.
const BY_0: f32 = (1.0 / (0.5625 * 2.25)) as f32;

impl Transforms<4, 6> for F4 {
    #[inline(always)]
    fn input<S: Isa>(isa: S, d: [S::V; 6]) -> [S::V; 6] {
        let (p2, q2, p, q) = (isa.splat(-P2), isa.splat(-Q2), isa.splat(P), isa.splat(Q));
        let (sum, product) = (isa.splat(-(P2 + Q2)), isa.splat(P2 * Q2));
        // (x² − q²)·x(x ± p) and (x² − p²)·x(x ± q), even and odd powers apart
        let (even_p, odd_p) = (isa.mul_add(q2, d[2], d[4]), isa.mul(p, isa.mul_add(q2, d[1], d[3])));
        let (even_q, odd_q) = (isa.mul_add(p2, d[2], d[4]), isa.mul(q, isa.mul_add(p2, d[1], d[3])));
        [
            isa.mul_add(product, d[0], isa.mul_add(sum, d[2], d[4])),
            isa.add(even_p, odd_p),
            isa.sub(even_p, odd_p),
            isa.add(even_q, odd_q),
            isa.sub(even_q, odd_q),
            isa.mul_add(product, d[1], isa.mul_add(sum, d[3], d[5])),
        ]
    }
    #[inline(always)]
    fn output<S: Isa>(isa: S, m: [S::V; 6]) -> [S::V; 4] {
        let (even_p, odd_p) = (isa.add(m[1], m[2]), isa.sub(m[1], m[2]));
        let (even_q, odd_q) = (isa.add(m[3], m[4]), isa.sub(m[3], m[4]));
        [
            isa.add(m[0], isa.add(even_p, even_q)),
            weigh(isa, P, odd_p, Q, odd_q),
            weigh(isa, P2, even_p, Q2, even_q),
            isa.add(weigh(isa, P * P2, odd_p, Q * Q2, odd_q), m[5]),
        ]
    }
    #[inline(always)]
    fn spread<S: Isa>(isa: S, y: [S::V; 4]) -> [S::V; 6] {
        let (even_p, even_q) = (isa.mul_add(isa.splat(P2), y[2], y[0]), isa.mul_add(isa.splat(Q2), y[2], y[0]));
        let (odd_p, odd_q) = (weigh(isa, P, y[1], P * P2, y[3]), weigh(isa, Q, y[1], Q * Q2, y[3]));
        [y[0], isa.add(even_p, odd_p), isa.sub(even_p, odd_p), isa.add(even_q, odd_q), isa.sub(even_q, odd_q), y[3]]
    }
    #[inline(always)]
    fn kernel<S: Isa>(isa: S, w: [S::V; 3]) -> [S::V; 6] {
        let (even_p, even_q) = (weigh(isa, BY_P, w[0], BY_P * P2, w[2]), weigh(isa, BY_Q, w[0], BY_Q * Q2, w[2]));
        let (odd_p, odd_q) = (isa.mul(isa.splat(BY_P * P), w[1]), isa.mul(isa.splat(BY_Q * Q), w[1]));
        let first = isa.mul(isa.splat(BY_0), w[0]);
        [first, isa.add(even_p, odd_p), isa.sub(even_p, odd_p), isa.add(even_q, odd_q), isa.sub(even_q, odd_q), w[2]]
    }
    #[inline(always)]
    fn kernel_back<S: Isa>(isa: S, u: [S::V; 6]) -> [S::V; 3] {
        let (even_p, odd_p) = (isa.add(u[1], u[2]), isa.sub(u[1], u[2]));
        let (even_q, odd_q) = (isa.add(u[3], u[4]), isa.sub(u[3], u[4]));
        [
            isa.mul_add(isa.splat(BY_0), u[0], weigh(isa, BY_P, even_p, BY_Q, even_q)),
            weigh(isa, BY_P * P, odd_p, BY_Q * Q, odd_q),
            isa.add(weigh(isa, BY_P * P2, even_p, BY_Q * Q2, even_q), u[5]),
        ]
    }
}

/// a·x + b·y.
#[inline(always)]
fn weigh<S: Isa>(isa: S, a: f32, x: S::V, b: f32, y: S::V) -> S::V {
    isa.mul_add(isa.splat(a), x, isa.mul(isa.splat(b), y))
}
