//! Neural-network layers, losses, containers and a model zoo, each with its own forward **and** backward.
//!
//! - [`Module`] is the trait; a layer is one file: mathematics, configuration, forward, backward, cases.
//! - [`Flow`] runs modules one after another, [`Residual`] adds a shortcut, [`Branches`] run side by side; all name their children as PyTorch does.
//! - [`loss`] measures how wrong the logits are, [`Init`] gives first values, [`StateDict`] takes all numbers out and puts them back.
//! - [`optimize()`] makes a model for inference: batch norms go into the weights before them, dropout goes away.
//! - [`check`] compares any module's backward with central differences: for this crate's layers and for yours.
#![doc = include_str!("../README.md")]

pub mod case;
mod channel_rows;
pub mod check;
mod dropping;
mod error;
mod freeze;
mod fusion;
mod init;
pub mod layers;
pub mod loss;
mod module;
mod optimize;
mod param;
mod parts;
mod pointwise;
mod registry;
pub mod scheme;
mod spec;
mod state_dict;
mod summary;
mod window;
pub mod zoo;

pub use error::{Error, Result};
pub use freeze::{freeze, freeze_statistics, parameters_of, set_trainable, unfreeze};
pub use init::Init;
pub use layers::*;
pub use loss::{Bce, CrossEntropy, Distillation, Loss, LossMean, LossSum, Mse, SigmoidFocal, SoftmaxFocal};
pub use module::{Ctx, Mode, Module, Observer, Pass, Saved};
pub use nyang_tensor::kernels::Kernels;
pub use nyang_tensor::{Element, Rng, Shape, Targets, Tensor};
pub use optimize::optimize;
pub use param::{Param, Path, Visit, VisitMut};
pub use pointwise::{Curve, Pointwise};
pub use registry::{Build, BuildFn, Children, Registry};
pub use scheme::Scheme;
pub use spec::{Spec, Value};
pub use state_dict::{StateDict, StateValue};
pub use summary::{Row, Summary, summary};
pub use window::{Padding, Pair};
