//! The vector instructions of x86-64: AVX2 with FMA, and AVX-512.

#![allow(unsafe_code)] // instructions that not every machine has
#![allow(clippy::needless_range_loop)] // loops of fixed length over vectors, which the compiler unrolls

use std::arch::x86_64::*;

use super::{Isa, Job, MAX_LANES};

/// Proof that this machine has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
    }

    #[inline]
    pub fn run<J: Job>(self, job: J) -> J::Output {
        #[target_feature(enable = "avx2,fma")]
        fn compiled_for<J: Job>(isa: Avx2, job: J) -> J::Output {
            job.run(isa)
        }
        // SAFETY: `self` exists, so the machine was found to have both.
        unsafe { compiled_for(self, job) }
    }
}

// SAFETY of all blocks below: `self` exists, so the machine was found to have AVX2 and FMA; what is read or written the caller answers for.
impl Isa for Avx2 {
    const LANES: usize = 8;
    const ROWS: [usize; 4] = [8, 6, 0, 0];
    const FREE_MASKS: bool = false;
    type V = __m256;
    type Mask = __m256i;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    fn beats(self, a: __m256, b: __m256) -> __m256i {
        // SAFETY: as above.
        unsafe {
            let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a);
            _mm256_castps_si256(_mm256_or_ps(nan, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)))
        }
    }
    #[inline(always)]
    fn same(self, a: __m256, b: __m256) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_cmpeq_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)) }
    }
    #[inline(always)]
    fn select(self, mask: __m256i, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_blendv_ps(b, a, _mm256_castsi256_ps(mask)) }
    }
    #[inline(always)]
    fn sums(self, v: [__m256; MAX_LANES]) -> __m256 {
        // SAFETY: as above.
        unsafe {
            let mut fours = [_mm256_setzero_ps(); 4]; // half h of fours[e] is of vector 4h + e
            for e in 0..4 {
                let (a, b) = (v[e], v[4 + e]);
                fours[e] = _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
            }
            let mut twos = [_mm256_setzero_ps(); 2]; // of vectors 4h + 2i and, behind it, 4h + 2i + 1
            for i in 0..2 {
                let (a, b) = (_mm256_castps_pd(fours[2 * i]), _mm256_castps_pd(fours[2 * i + 1]));
                twos[i] = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
            }
            _mm256_add_ps(_mm256_shuffle_ps::<0x88>(twos[0], twos[1]), _mm256_shuffle_ps::<0xdd>(twos[0], twos[1]))
        }
    }
    #[inline(always)]
    fn transpose(self, v: [__m256; MAX_LANES]) -> [__m256; MAX_LANES] {
        let (mut pairs, mut fours, mut to) = (v, v, v);
        // SAFETY: as above.
        unsafe {
            for i in 0..4 {
                pairs[2 * i] = _mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]);
                pairs[2 * i + 1] = _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]);
            }
            // quarter q of fours[4i + c] is column 4q + c of rows 4i … 4i + 3
            for i in [0, 4] {
                for c in 0..2 {
                    let (low, high) = (_mm256_castps_pd(pairs[i + c]), _mm256_castps_pd(pairs[i + 2 + c]));
                    fours[i + 2 * c] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
                    fours[i + 2 * c + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
                }
            }
            for c in 0..4 {
                to[c] = _mm256_permute2f128_ps::<0x20>(fours[c], fours[4 + c]);
                to[4 + c] = _mm256_permute2f128_ps::<0x31>(fours[c], fours[4 + c]);
            }
        }
        to
    }
    #[inline(always)]
    fn first(self, n: usize) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n.min(8) as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
    }
    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a hint, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_masked(self, from: *const f32, mask: __m256i) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_maskload_ps(from, mask) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m256) {
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn store_masked(self, to: *mut f32, v: __m256, mask: __m256i) {
        // SAFETY: as above. The instruction for it takes some processors twenty times as long as these few.
        unsafe {
            let lanes = _mm256_movemask_ps(_mm256_castsi256_ps(mask)).trailing_ones();
            if lanes == 8 {
                return _mm256_storeu_ps(to, v);
            }
            let (mut to, mut rest) = (to, _mm256_castps256_ps128(v));
            if lanes & 4 != 0 {
                _mm_storeu_ps(to, rest);
                (to, rest) = (to.add(4), _mm256_extractf128_ps::<1>(v));
            }
            if lanes & 2 != 0 {
                _mm_storel_pd(to.cast(), _mm_castps_pd(rest));
                (to, rest) = (to.add(2), _mm_movehl_ps(rest, rest));
            }
            if lanes & 1 != 0 {
                _mm_store_ss(to, rest);
            }
        }
    }
}

/// Proof that this machine has AVX-512 in the form of all processors since 2017, and what [`Avx2`] has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(Avx2);

impl Avx512 {
    pub fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq");
        Avx2::detect().filter(|_| all).map(Avx512)
    }

    #[inline]
    pub fn run<J: Job>(self, job: J) -> J::Output {
        #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
        fn compiled_for<J: Job>(isa: Avx512, job: J) -> J::Output {
            job.run(isa)
        }
        // SAFETY: `self` exists, so the machine was found to have them all.
        unsafe { compiled_for(self, job) }
    }
}

// SAFETY of all blocks below: `self` exists, so the machine was found to have AVX-512; what is read or written the caller answers for.
impl Isa for Avx512 {
    const LANES: usize = 16;
    const ROWS: [usize; 4] = [24, 12, 8, 6];
    const FREE_MASKS: bool = true;
    type V = __m512;
    type Mask = __mmask16;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn beats(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: as above.
        unsafe { _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a) | _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
    }
    #[inline(always)]
    fn same(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: as above.
        unsafe { _mm512_cmpeq_epi32_mask(_mm512_castps_si512(a), _mm512_castps_si512(b)) }
    }
    #[inline(always)]
    fn select(self, mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_mask_blend_ps(mask, b, a) }
    }
    #[inline(always)]
    fn sums(self, v: [__m512; MAX_LANES]) -> __m512 {
        // SAFETY: as above.
        unsafe {
            let mut eights = [_mm512_setzero_ps(); 8]; // its halves are of vectors e and 4 + e, or 8 + e and 12 + e
            for i in 0..8 {
                let (a, b) = (v[i / 4 * 8 + i % 4], v[i / 4 * 8 + 4 + i % 4]);
                eights[i] = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b));
            }
            let mut fours = [_mm512_setzero_ps(); 4]; // quarter q of fours[e] is of vector 4q + e
            for e in 0..4 {
                let (a, b) = (eights[e], eights[4 + e]);
                fours[e] = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
            }
            let mut twos = [_mm512_setzero_ps(); 2]; // of vectors 4q + 2i and, behind it, 4q + 2i + 1
            for i in 0..2 {
                let (a, b) = (_mm512_castps_pd(fours[2 * i]), _mm512_castps_pd(fours[2 * i + 1]));
                twos[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
            }
            _mm512_add_ps(_mm512_shuffle_ps::<0x88>(twos[0], twos[1]), _mm512_shuffle_ps::<0xdd>(twos[0], twos[1]))
        }
    }
    #[inline(always)]
    fn transpose(self, v: [__m512; MAX_LANES]) -> [__m512; MAX_LANES] {
        let (mut pairs, mut fours, mut to) = (v, v, v);
        // SAFETY: as above.
        unsafe {
            for i in 0..8 {
                pairs[2 * i] = _mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]);
                pairs[2 * i + 1] = _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]);
            }
            // quarter q of fours[4i + c] is column 4q + c of rows 4i … 4i + 3
            for i in [0, 4, 8, 12] {
                for c in 0..2 {
                    let (low, high) = (_mm512_castps_pd(pairs[i + c]), _mm512_castps_pd(pairs[i + 2 + c]));
                    fours[i + 2 * c] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
                    fours[i + 2 * c + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
                }
            }
            for c in 0..4 {
                let (upper, lower) = ([fours[c], fours[4 + c]], [fours[8 + c], fours[12 + c]]);
                let even = (_mm512_shuffle_f32x4::<0x88>(upper[0], upper[1]), _mm512_shuffle_f32x4::<0x88>(lower[0], lower[1]));
                let odd = (_mm512_shuffle_f32x4::<0xdd>(upper[0], upper[1]), _mm512_shuffle_f32x4::<0xdd>(lower[0], lower[1]));
                to[c] = _mm512_shuffle_f32x4::<0x88>(even.0, even.1);
                to[4 + c] = _mm512_shuffle_f32x4::<0x88>(odd.0, odd.1);
                to[8 + c] = _mm512_shuffle_f32x4::<0xdd>(even.0, even.1);
                to[12 + c] = _mm512_shuffle_f32x4::<0xdd>(odd.0, odd.1);
            }
        }
        to
    }
    #[inline(always)]
    fn first(self, n: usize) -> __mmask16 {
        if n >= 16 { 0xffff } else { (1 << n) - 1 }
    }
    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a hint, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_masked(self, from: *const f32, mask: __mmask16) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_maskz_loadu_ps(mask, from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m512) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn store_masked(self, to: *mut f32, v: __m512, mask: __mmask16) {
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_ps(to, mask, v) }
    }
}
