//! Looking into a network: what it sees, where it looks, what flows through it, and what takes the time.
//!
//! - [`grad_cam`]: which parts of an image speak for a class
//! - [`feature_maps`], [`first_filters`]: what a layer gives, and what the first one looks for, as pictures
//! - [`LayerStatistics`]: means, spreads, zeros and NaN of every activation and its gradient
//! - [`ParameterStatistics`]: the same of every parameter and its gradient
//! - [`LayerTimes`]: how long each layer takes, forward and backward
//!
//! All of them are [`Observer`](nyang_nn::Observer)s or made of one: [`Ctx::observed`](nyang_nn::Ctx::observed) is how a network is
//! watched, and none of them is known to any layer. Layers are named by their paths, as in errors and state dicts.
//!
//! ```
//! # use nyang_train::prelude::*;
//! # use nyang_train::insight::LayerStatistics;
//! let model = Flow::input([1, 8, 8]).conv(4, 3).relu().global_avg_pool().linear(10).build::<f32>(&mut Init::seed(1))?;
//! let mut seen = LayerStatistics::new();
//! model.infer(Tensor::ones([2, 1, 8, 8])?, &mut Ctx::eval().observed(&mut seen))?;
//! assert_eq!(seen.rows().len(), 5); // the builder put a Flatten before the linear layer
//! println!("{seen}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod feature_maps;
mod grad_cam;
mod layer_times;
mod picture;
mod statistics;

pub use feature_maps::{feature_maps, first_filters, tiles};
pub use grad_cam::{Heatmap, grad_cam};
pub use layer_times::{LayerTime, LayerTimes};
pub use picture::Picture;
pub use statistics::{LayerRow, LayerStatistics, ParameterRow, ParameterStatistics, Spread};
