//! The loops in which the time goes, one file an operation.
//!
//! A kernel is a pure function of tensors and a geometry: it checks its arguments, then computes. Beside each fast kernel stands its
//! twin in plain loops, which says in the fewest words what is computed; tests compare the two over many geometries.

pub mod gemm;
