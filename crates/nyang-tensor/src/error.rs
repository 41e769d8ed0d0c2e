//! What can go wrong with tensors, said as place, expectation, fact.

use crate::Shape;

/// A result whose error is this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every way in which an operation on tensors can fail.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape is not the one that the operation needs.
    #[error("{op} expects {expected}, got {got}")]
    Shape {
        /// The operation that was asked for.
        op: &'static str,
        /// What it needs, as a shape with letters where any size will do.
        expected: String,
        /// What it was given.
        got: Shape,
    },
    /// An argument that no input could make right.
    #[error("{op}: {name} = {value} is not valid: {why}")]
    Argument {
        /// The operation that was asked for.
        op: &'static str,
        /// The argument's name.
        name: &'static str,
        /// The argument's value.
        value: String,
        /// What would be valid.
        why: &'static str,
    },
    /// The number of values given is not the number that the shape holds.
    #[error("a tensor of shape {shape} holds {} values, got {got}", shape.len())]
    Length {
        /// The shape asked for.
        shape: Shape,
        /// How many values came.
        got: usize,
    },
    /// The machine will not give that much memory.
    #[error("{bytes} bytes of memory cannot be had; use smaller batches, images or layers")]
    Memory {
        /// The size of the request (saturated when it does not fit a `usize`).
        bytes: usize,
    },
}

impl Error {
    /// Builds [`Error::Shape`].
    pub fn shape(op: &'static str, expected: impl Into<String>, got: Shape) -> Self {
        Error::Shape { op, expected: expected.into(), got }
    }

    /// Builds [`Error::Argument`].
    pub fn argument(op: &'static str, name: &'static str, value: impl ToString, why: &'static str) -> Self {
        Error::Argument { op, name, value: value.to_string(), why }
    }
}
