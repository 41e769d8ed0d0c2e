//! Activations that kernels apply while a value is still in a register: they cost nothing there, and a walk through the memory on their own.

use super::simd::Isa;
use crate::Element;

/// What follows a map at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// y = v.
    #[default]
    Identity,
    /// y = max(v, 0).
    Relu,
    /// y = min(max(v, 0), 6).
    Relu6,
}

impl Activation {
    /// y of one number; NaN stays.
    #[inline(always)]
    pub(super) fn of<T: Element>(self, v: T) -> T {
        match self {
            Activation::Identity => v,
            Activation::Relu => relu(v),
            Activation::Relu6 => relu6(v),
        }
    }

    /// y of a vector, with the same bits.
    #[inline(always)]
    pub(super) fn of_vector<S: Isa>(self, isa: S, v: S::V) -> S::V {
        match self {
            Activation::Identity => v,
            Activation::Relu => relu_vector(isa, v),
            Activation::Relu6 => isa.min(isa.splat(6.0), relu_vector(isa, v)),
        }
    }
}

/// max(v, 0); NaN stays.
#[inline(always)]
pub(super) fn relu<T: Element>(v: T) -> T {
    if v <= T::ZERO { T::ZERO } else { v }
}

/// [`relu`] of a vector.
#[inline(always)]
pub(super) fn relu_vector<S: Isa>(isa: S, v: S::V) -> S::V {
    let zero = isa.splat(0.0);
    isa.add(zero, isa.max(zero, v)) // of equals, and of a NaN and a number, `max` takes the second; 0 + (−0) is 0
}

/// min(max(v, 0), 6); NaN stays.
#[inline(always)]
pub(super) fn relu6<T: Element>(v: T) -> T {
    let six = T::of(6.0);
    let low = relu(v);
    if low >= six { six } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernels;
    use crate::kernels::simd::Job;

    struct Apply(Activation, [f32; 16]);
    impl Job for Apply {
        type Output = Vec<f32>;
        #[inline(always)]
        fn run<S: Isa>(mut self, isa: S) -> Vec<f32> {
            for part in self.1.chunks_mut(S::LANES) {
                let v = self.0.of_vector(isa, isa.read(part));
                isa.write(part, v);
            }
            self.1.to_vec()
        }
    }

    #[test]
    fn vectors_have_the_bits_of_numbers_on_every_tier() {
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 6.0, 5.999_999_5, 6.000_000_5];
        let values: [f32; 16] = std::array::from_fn(|i| special.get(i).copied().unwrap_or(i as f32 - 11.5));
        for activation in [Activation::Identity, Activation::Relu, Activation::Relu6] {
            let want = values.map(|v| activation.of(v).to_bits());
            for simd in Kernels::available().into_iter().filter_map(Kernels::simd) {
                assert_eq!(simd.run(Apply(activation, values)).into_iter().map(f32::to_bits).collect::<Vec<_>>(), want, "{activation:?}");
            }
        }
    }
}
