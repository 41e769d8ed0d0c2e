//! Data for NyangTorch: from samples to batches, seeded and the same for any number of threads.
//!
//! - [`Dataset`] is the trait to implement for data of your own; [`ImageFolder`], [`CsvManifest`], [`Idx`], [`Cifar10`],
//!   [`InMemory`] and [`Digits`] are ready.
//! - [`Split`] makes [`Parts`] (train, valid, test): stratified, disjoint, and the same for the same seed.
//! - [`Transforms`] prepare and vary the images; [`Normalize`] is fitted on the training part.
//! - [`Parts::loaders`] gives [`Loaders`] that are ready to train: statistics fitted, class weights, workers, a cache.
//! - [`images_grid`] and [`augmentation_preview`] show what the model will see; [`verify`] finds bad files beforehand.
//! - [`Loader`] makes batches in an order that depends on (seed, epoch) only, with worker threads if asked.
#![doc = include_str!("../README.md")]

mod batch;
mod binary_file;
mod cache;
mod cifar;
mod csv_manifest;
mod dataset;
mod decode;
mod digits;
mod duplicates;
mod encode;
mod error;
mod fetch;
mod gamma;
mod idx;
mod image;
mod image_folder;
mod in_memory;
mod k_fold;
mod letters;
mod loader;
mod loaders;
mod mix;
mod normalize;
mod oversample;
mod parts;
mod pictures;
mod sampler;
mod source;
mod split;
mod subset;
pub mod transform;
mod verify;
mod workers;

pub use self::image::{Image, Pixels};
pub use batch::{Batch, Skipped};
pub use cache::Cache;
pub use cifar::{Cifar10, Cifar100};
pub use csv_manifest::{Columns, CsvManifest};
pub use dataset::{Dataset, Sample};
pub use decode::{Channels, Decode, ImageFault};
pub use digits::Digits;
pub use duplicates::Duplicate;
pub use error::{Error, Result};
pub use idx::Idx;
pub use image_folder::ImageFolder;
pub use in_memory::InMemory;
pub use k_fold::KFold;
pub use loader::{LastBatch, Loader};
pub use loaders::Loaders;
pub use mix::{CutMix, Mix, MixUp};
pub use normalize::Normalize;
pub use oversample::{Oversample, Written};
pub use parts::{Part, Parts, Report};
pub use pictures::{augmentation_preview, captioned_grid, images_grid};
pub use source::Source;
pub use split::Split;
pub use subset::Subset;
pub use transform::*;
pub use verify::{Fault, Verification, verify};
pub use workers::Epoch;
