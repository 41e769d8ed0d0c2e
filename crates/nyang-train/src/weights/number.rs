//! The number types of weights in files, and how they become ours.

use nyang_nn::StateValue;
use nyang_tensor::{Element, Shape, Tensor};

/// How a file holds its numbers, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    F16,
    Bf16,
    F32,
    F64,
    I64,
    /// What no weight is: other whole numbers, 8-bit and complex ones.
    Other(&'static str),
}

impl Number {
    /// Its name in reports: `f16`.
    pub fn name(self) -> &'static str {
        match self {
            Number::F16 => "f16",
            Number::Bf16 => "bf16",
            Number::F32 => "f32",
            Number::F64 => "f64",
            Number::I64 => "i64",
            Number::Other(name) => name,
        }
    }

    /// The value of `bytes` in this type and shape: a tensor, or a counter if it is a single whole number; or why there is none.
    pub fn value<T: Element>(self, dims: &[usize], bytes: &[u8]) -> Result<StateValue<T>, String> {
        let shape = shape(dims).ok_or_else(|| format!("{}, which is more than fits", dims_text(dims)))?;
        let values = match self {
            Number::I64 if dims.is_empty() => {
                let count = i64::from_le_bytes(bytes.try_into().map_err(|_| "a counter of another length than 8 bytes".to_owned())?);
                return u64::try_from(count).map(StateValue::Count).map_err(|_| format!("a counter of {count}, which is below 0"));
            }
            Number::F16 => converted(bytes, |b| half(u16::from_le_bytes(b))),
            Number::Bf16 => converted(bytes, |b| f64::from(f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16))),
            Number::F32 if T::NAME == "f32" => T::from_le_bytes(bytes).unwrap_or_default(),
            Number::F64 if T::NAME == "f64" => T::from_le_bytes(bytes).unwrap_or_default(),
            Number::F32 => converted(bytes, |b| f64::from(f32::from_le_bytes(b))),
            Number::F64 => fitting::<T>(converted(bytes, f64::from_le_bytes))?,
            Number::I64 | Number::Other(_) => return Err(format!("{} {}, which is no type of weights", self.name(), dims_text(dims))),
        };
        Tensor::from_vec(shape, values).map(StateValue::Tensor).map_err(|e| e.to_string())
    }
}

/// The shape of these sizes, if there can be such a tensor.
fn shape(dims: &[usize]) -> Option<Shape> {
    // zeros count as ones: [2⁶⁰, 2⁶⁰, 0] is empty, but the strides of such a tensor would overflow
    let room = dims.iter().try_fold(size_of::<f64>(), |n, &d| n.checked_mul(d.max(1)))?;
    isize::try_from(room).ok()?;
    Shape::new(dims).ok()
}

/// Sizes as text, however many.
pub(super) fn dims_text(dims: &[usize]) -> String {
    if dims.len() > 8 { format!("of {} dimensions", dims.len()) } else { format!("{dims:?}") }
}

fn converted<T: Element, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|b| T::of(read(*b))).collect()
}

/// The values, unless a number became infinite on the way.
fn fitting<T: Element>(values: Vec<f64>) -> Result<Vec<T>, String> {
    match values.iter().find(|v| v.is_finite() && !T::of(**v).is_finite()) {
        Some(large) => Err(format!("f64 with the value {large:e}, too large for {}", T::NAME)),
        None => Ok(values.into_iter().map(T::of).collect()),
    }
}

/// The value of a half precision number: one bit of sign, five of exponent, ten of fraction.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        e => (1024.0 + fraction) * 2f64.powi(e - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IEEE 754: the smallest, the largest, one third rounded, and the special ones.
    #[test]
    fn half_precision_is_ieees() {
        for (bits, value) in [
            (0x0001, 5.960464477539063e-8),
            (0x03ff, 6.097555160522461e-5),
            (0x0400, 6.103515625e-5),
            (0x3555, 0.333251953125),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x7c00, f64::INFINITY),
            (0xfc00, f64::NEG_INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:04x}");
        }
        assert!(half(0x7e00).is_nan() && half(0x8000).is_sign_negative());
    }

    #[test]
    fn every_type_of_weights_becomes_ours() {
        let tensor = |number: Number, bytes: &[u8]| match number.value::<f32>(&[1], bytes) {
            Ok(StateValue::Tensor(t)) => t.to_vec(),
            other => panic!("{other:?}"),
        };
        assert_eq!(tensor(Number::F16, &0x3e00u16.to_le_bytes()), [1.5]);
        assert_eq!(tensor(Number::Bf16, &0x3fc0u16.to_le_bytes()), [1.5]);
        assert_eq!(tensor(Number::F32, &1.5f32.to_le_bytes()), [1.5]);
        assert_eq!(tensor(Number::F64, &0.1f64.to_le_bytes()), [0.1f32]);
        assert!(matches!(Number::I64.value::<f32>(&[], &7i64.to_le_bytes()), Ok(StateValue::Count(7))));
        assert!(
            matches!(Number::F32.value::<f64>(&[1], &0.1f32.to_le_bytes()), Ok(StateValue::Tensor(t)) if t.item() == Some(f64::from(0.1f32)))
        );
    }

    #[test]
    fn what_cannot_be_ours_says_why() {
        let why = |number: Number, dims: &[usize], bytes: &[u8]| number.value::<f32>(dims, bytes).unwrap_err();
        assert!(why(Number::F64, &[1], &1e300f64.to_le_bytes()).contains("1e300, too large for f32"));
        assert!(why(Number::I64, &[], &(-1i64).to_le_bytes()).contains("below 0"));
        assert!(why(Number::I64, &[1], &[0; 8]).contains("i64 [1], which is no type of weights"));
        assert!(why(Number::Other("bool"), &[1], &[0]).contains("bool"));
        assert!(why(Number::F32, &[1; 9], &[0; 4]).contains("9 dimensions"));
        assert!(why(Number::F32, &[1 << 60, 1 << 60, 0], &[]).contains("more than fits"));
        assert!(Number::F32.value::<f32>(&[2], &[0; 4]).is_err());
    }
}
