//! Training for NyangTorch: what surrounds a network while it learns, and the files that it leaves.
//!
//! - [`metrics`] counts over the whole epoch: confusion matrix, accuracy, precision, recall, F1, scikit-learn's report.
//! - [`files`] writes each file whole or not at all, and reads none that is damaged, foreign or too new without saying so.

mod error;
pub mod files;
pub mod metrics;

pub use error::{Error, Result};
