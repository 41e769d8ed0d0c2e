//! Settings that are drawn anew for each image: a smallest and a largest value.

use std::ops::RangeInclusive;

use nyang_tensor::Rng;

use crate::{Error, Result};

/// A smallest and a largest value, as it is written down.
pub(crate) type Range = [f64; 2];

pub(crate) fn range(values: RangeInclusive<f64>) -> Range {
    let (low, high) = values.into_inner();
    [low, high]
}

/// Uniform between both.
pub(crate) fn draw([low, high]: Range, rng: &mut Rng) -> f64 {
    low + (high - low) * rng.uniform()
}

/// True with probability p.
pub(crate) fn happens(p: f64, rng: &mut Rng) -> bool {
    rng.uniform() < p
}

/// Whether a range lies within the allowed values and is not upside down.
pub(crate) fn check_range(
    op: &'static str,
    name: &'static str,
    [low, high]: Range,
    allowed: RangeInclusive<f64>,
    why: &'static str,
) -> Result<()> {
    if low <= high && allowed.contains(&low) && allowed.contains(&high) {
        return Ok(());
    }
    Err(Error::argument(op, name, format!("{low}..={high}"), why))
}

/// Whether a number is a probability.
pub(crate) fn check_probability(op: &'static str, p: f64) -> Result<()> {
    if (0.0..=1.0).contains(&p) { Ok(()) } else { Err(Error::argument(op, "p", p, "a probability, from 0 to 1")) }
}
