//! As many multiply-adds as the processor can do: the ceiling that other kernels are measured against.

#![allow(unsafe_code)] // functions for instruction sets that are asked for at run time

/// Independent chains: more than the 8 to 10 that two units with a latency of 4 or 5 cycles need.
const CHAINS: usize = 12;

/// Numbers of a chain.
const LANES: usize = 16;

/// Multiplications and additions of one round of [`multiply_adds`].
pub const FLOPS_A_ROUND: u64 = 2 * (CHAINS * LANES) as u64;

/// So many rounds of x ← x·a + b in registers, on this thread. The value means nothing; it keeps the work from being left out.
pub fn multiply_adds(rounds: u64) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor was just asked whether it has AVX-512F; the function has no other condition.
            return unsafe { x86::with_avx512(rounds) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above, for AVX2 and FMA.
            return unsafe { x86::with_avx2(rounds) + x86::with_avx2(rounds) }; // half the lanes at a time
        }
    }
    let (a, b) = std::hint::black_box((0.999, 1e-3));
    let mut x = [[1.0f32; LANES]; CHAINS];
    for _ in 0..rounds {
        x.iter_mut().flatten().for_each(|x| *x = *x * a + b);
    }
    x.iter().flatten().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::CHAINS;

    #[target_feature(enable = "avx512f")]
    pub fn with_avx512(rounds: u64) -> f32 {
        let (a, b) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(1e-3)));
        let mut x = [_mm512_set1_ps(1.0); CHAINS];
        for _ in 0..rounds {
            x = x.map(|x| _mm512_fmadd_ps(x, a, b));
        }
        x.into_iter().fold(0.0, |sum, x| sum + _mm512_reduce_add_ps(x))
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn with_avx2(rounds: u64) -> f32 {
        let (a, b) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(1e-3)));
        let mut x = [_mm256_set1_ps(1.0); CHAINS];
        for _ in 0..rounds {
            x = x.map(|x| _mm256_fmadd_ps(x, a, b));
        }
        let sum = x.into_iter().fold(_mm256_setzero_ps(), |sum, x| _mm256_add_ps(sum, x));
        let half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
        let pair = _mm_hadd_ps(half, half);
        _mm_cvtss_f32(_mm_hadd_ps(pair, pair))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x ← 0.999 x + 0.001 keeps 1.
    #[test]
    fn every_chain_does_its_rounds() {
        let all = (CHAINS * LANES) as f32;
        assert!((multiply_adds(100) - all).abs() < 1e-2);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor was just asked.
            assert!((unsafe { x86::with_avx2(100) } - all / 2.0).abs() < 1e-2);
        }
    }
}
