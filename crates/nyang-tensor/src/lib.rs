//! Tensors for NyangTorch: strided, pooled buffers of `f32` or `f64`, and the kernels that neural networks are made of.
//!
//! - [`Tensor`] is a value: shape, strides and a shared 64-byte-aligned buffer that is copied only when two holders write.
//! - [`kernels`] holds matrix products, convolution, pooling and per-channel statistics, each beside its twin in plain loops.
//! - [`Rng`] gives the same numbers for the same seed, on any machine, next year.
//!
//! Whatever the number of threads, the same inputs give the same bits: see [`parallel`].
#![doc = include_str!("../README.md")]

pub mod buffer;
mod element;
mod elementwise;
mod error;
pub mod kernels;
mod layout;
mod ndarray;
pub mod parallel;
pub mod reduce;
mod rng;
mod shape;
mod targets;
mod team;
mod tensor;

pub use element::Element;
pub use error::{Error, Result};
pub use rng::Rng;
pub use shape::{MAX_RANK, Shape};
pub use targets::Targets;
pub use tensor::Tensor;
