//! Files that are whole or absent, and that say what is wrong with them.
//!
//! - [`write_atomically`]: a crash, a full disk or an error while writing leaves the old file as it was.
//! - [`container`]: the frame around every NyangTorch file: magic bytes, version, kind, length, MessagePack, checksum.
//! - [`TensorBytes`]: a tensor in such a file.
//!
//! The same value gives the same bytes: no clock, path, host or thread count goes into a file. (Maps are written in the order that
//! they iterate in, so what is to be saved holds ordered ones.)

mod atomic;
pub mod container;
mod foreign;
pub(crate) mod protobuf;
pub(crate) mod state;
mod tensor;

pub use atomic::write_atomically;
pub use tensor::TensorBytes;

pub(crate) use foreign::looks_like;
