//! Optimizers, which turn gradients into better parameters, and schedules, which say how large the steps are.
#![doc = include_str!("../README.md")]

mod adam;
mod error;
mod optimizer;
mod schedule;
mod sgd;

pub use adam::Adam;
pub use error::{Error, Result};
pub use optimizer::{Optimizer, OptimizerState, ParamState};
pub use schedule::{Schedule, Scheduler, StepDecay, Unit};
pub use sgd::Sgd;
