//! Training image classifiers: the trainer, what it measures and shows, the files that it leaves, and inference from them.
//!
//! - [`Trainer::fit`] is one page: epochs, early stopping, the best model saved and returned. [`Callback`]s watch it.
//! - [`metrics`] counts over the whole epoch: confusion matrix, accuracy, precision, recall, F1, scikit-learn's report.
//! - [`logs`] writes CSV, JSON lines, TensorBoard's and Weights & Biases' files; [`report`] a page to show; [`insight`] looks into a network.
//! - [`save_model`] and [`load_model`] keep structure and weights in one file; [`Classifier`] predicts and evaluates with it.
//! - [`Weights`] go to PyTorch and come from it, by name.
//! - [`onnx`] writes a model for other runtimes.
//! - [`files`] writes each file whole or not at all, and reads none that is damaged, foreign or too new without saying so.
#![doc = include_str!("../README.md")]

mod best;
mod callback;
mod checkpoint;
mod classifier;
mod error;
mod evaluate;
pub mod files;
pub mod insight;
pub mod logs;
mod metric;
pub mod metrics;
mod model_file;
pub mod onnx;
pub mod prelude;
mod progress;
pub mod report;
mod tally;
mod trainer;
mod weights;

pub use callback::{BatchReport, Callback, Control, EpochEnd, EpochReport, Outcome, Phase, Plan, Plateau, Position, RunEnd};
pub use checkpoint::Every;
pub use classifier::{Classifier, Prediction};
pub use error::{Error, Result};
pub use evaluate::{Evaluation, evaluate};
pub use metric::{Goal, Metric};
pub use model_file::{ModelCard, load_model, load_model_with, save_model};
pub use progress::Progress;
pub use trainer::{Blame, Finding, LrSearch, Run, Trainer, preflight};
pub use weights::{LoadReport, Weights, WeightsProblem};
