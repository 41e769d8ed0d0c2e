//! Optimizers, which turn gradients into better parameters, and schedules, which say how large the steps are.
#![doc = include_str!("../README.md")]

mod adagrad;
pub mod adam;
mod adamw;
mod clip;
mod core;
mod decay;
mod ema;
mod error;
mod group;
mod lion;
mod nadam;
mod optimizer;
mod plateau;
mod radam;
mod rmsprop;
mod schedule;
mod sgd;

pub use adagrad::Adagrad;
pub use adam::Adam;
pub use adamw::AdamW;
pub use clip::{clip_grad_norm, clip_grad_value, grad_norm};
pub use ema::{Ema, EmaState};
pub use error::{Error, Result};
pub use group::Group;
pub use lion::Lion;
pub use nadam::NAdam;
pub use optimizer::Optimizer;
pub use plateau::{PlateauState, ReduceOnPlateau};
pub use radam::RAdam;
pub use rmsprop::RmsProp;
pub use schedule::{
    Constant, Cosine, CosineWarmRestarts, ExponentialDecay, LinearRamp, MultiStep, OneCycle, PolynomialDecay, Schedule, Scheduler,
    SchedulerState, Sequence, StepDecay, Unit, WarmUp,
};
pub use sgd::Sgd;

pub use crate::core::{Core, OptimizerState, ParamState, Turn};
