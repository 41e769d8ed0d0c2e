//! The two number types: `f32` for work, `f64` so that gradient checks are sharp.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::buffer::Pod;
use crate::kernels::gemm::MicroGemm;
use crate::kernels::simd::Vectorised;

/// A floating-point number that tensors are made of: [`f32`] or [`f64`]. Sealed.
///
/// Layers are written once for both. What a layer computes in `f32` is checked against what the same code computes in `f64`.
pub trait Element:
    Pod
    + MicroGemm
    + Vectorised
    + Copy
    + Default
    + PartialEq
    + PartialOrd
    + Debug
    + Display
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
{
    /// The type's name as safetensors and error messages write it.
    const NAME: &'static str;
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Negative infinity: the neutral element of a maximum.
    const NEG_INFINITY: Self;

    /// The nearest value to `v`.
    fn of(v: f64) -> Self;
    /// This value, exactly.
    fn to_f64(self) -> f64;
    /// √self.
    fn sqrt(self) -> Self;
    /// e^self.
    fn exp(self) -> Self;
    /// ln self.
    fn ln(self) -> Self;
    /// e^self − 1, with all its digits where self is small.
    fn exp_m1(self) -> Self;
    /// ln(1 + self), with all its digits where self is small.
    fn ln_1p(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The complementary error function, 2/√π ∫ exp(−t²) dt from self to ∞.
    fn erfc(self) -> Self;
    /// |self|.
    fn abs(self) -> Self;
    /// Whether this is not a number.
    fn is_nan(self) -> bool;
    /// Whether this is neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// The larger of the two; NaN if either is NaN, as PyTorch's `maximum`.
    fn max_or_nan(self, other: Self) -> Self {
        if self.is_nan() || self > other { self } else { other }
    }
    /// Appends this value's little-endian bytes.
    fn extend_le_bytes(self, bytes: &mut Vec<u8>);
    /// Reads values from little-endian bytes; `None` unless the length is a multiple of the type's size.
    fn from_le_bytes(bytes: &[u8]) -> Option<Vec<Self>>;
}

macro_rules! element {
    ($t:ident, $erfc:path) => {
        impl Element for $t {
            const NAME: &'static str = stringify!($t);
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NEG_INFINITY: Self = $t::NEG_INFINITY;

            #[inline]
            fn of(v: f64) -> Self {
                v as $t
            }
            #[inline]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline]
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            #[inline]
            fn exp(self) -> Self {
                self.exp()
            }
            #[inline]
            fn ln(self) -> Self {
                self.ln()
            }
            #[inline]
            fn exp_m1(self) -> Self {
                self.exp_m1()
            }
            #[inline]
            fn ln_1p(self) -> Self {
                self.ln_1p()
            }
            #[inline]
            fn tanh(self) -> Self {
                self.tanh()
            }
            #[inline]
            fn erfc(self) -> Self {
                $erfc(self)
            }
            #[inline]
            fn abs(self) -> Self {
                self.abs()
            }
            #[inline]
            fn is_nan(self) -> bool {
                self.is_nan()
            }
            #[inline]
            fn is_finite(self) -> bool {
                self.is_finite()
            }
            fn extend_le_bytes(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
            fn from_le_bytes(bytes: &[u8]) -> Option<Vec<Self>> {
                let (values, rest) = bytes.as_chunks();
                rest.is_empty().then(|| values.iter().map(|&b| $t::from_le_bytes(b)).collect())
            }
        }
    };
}
element!(f32, libm::erfcf);
element!(f64, libm::erfc);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_the_same_numbers() {
        let values = [0.0f32, -1.5, f32::MIN_POSITIVE, f32::INFINITY];
        let mut bytes = Vec::new();
        values.iter().for_each(|v| v.extend_le_bytes(&mut bytes));
        assert_eq!(<f32 as Element>::from_le_bytes(&bytes).unwrap(), values);
        assert!(<f32 as Element>::from_le_bytes(&bytes[1..]).is_none());
    }

    /// Values of erfc with 20 digits, by mpmath.
    #[test]
    fn the_complementary_error_function_keeps_all_digits() {
        let table = [
            (-2.5, 1.999_593_047_982_555),
            (-0.3, 1.328_626_759_459_127_4),
            (0.0, 1.0),
            (0.5, 0.479_500_122_186_953_5),
            (2.0, 4.677_734_981_047_266e-3),
            (6.0, 2.151_973_671_249_891_3e-17),
            (26.0, 5.663_192_408_856_143e-296),
        ];
        for (x, expected) in table {
            let got = Element::erfc(x);
            assert!((got - expected).abs() <= 1e-15 * expected, "erfc({x}) = {got:e}");
            let low = Element::erfc(x as f32);
            assert!((f64::from(low) - libm::erfc(f64::from(x as f32))).abs() <= 1e-7 * expected + 1e-44, "erfc({x}f32) = {low:e}");
        }
        assert_eq!([f64::INFINITY, f64::NEG_INFINITY].map(Element::erfc), [0.0, 2.0]);
        assert!(Element::erfc(f64::NAN).is_nan() && Element::erfc(f32::NAN).is_nan());
    }

    #[test]
    fn a_maximum_with_nan_is_nan() {
        assert!(f32::NAN.max_or_nan(1.0).is_nan());
        assert!(1.0f64.max_or_nan(f64::NAN).is_nan());
        assert_eq!(1.0f64.max_or_nan(2.0), 2.0);
    }
}
