//! What a program that trains and uses a classifier needs: `use nyang_train::prelude::*;`.

pub use nyang_data::transform::*;
pub use nyang_data::{
    Batch, Cache, Channels, Cifar10, Cifar100, CsvManifest, CutMix, Dataset, Decode, Digits, Idx, Image, ImageFolder, InMemory, KFold,
    LastBatch, Loader, Loaders, Mix, MixUp, Normalize, Oversample, Part, Parts, Sample, Source, Split, Subset, augmentation_preview,
    images_grid, transforms,
};
/// What the methods of a [`Module`] return.
pub use nyang_nn::Result as ModelResult;
pub use nyang_nn::check::{GradCheck, check_gradients};
pub use nyang_nn::layers::*;
pub use nyang_nn::{
    Bce, CrossEntropy, Ctx, Distillation, Element, Init, Loss, Mode, Module, Mse, Padding, Param, Registry, Rng, Saved, Scheme, Shape,
    SigmoidFocal, SoftmaxFocal, Spec, StateDict, Targets, Tensor, optimize, state, summary, zoo,
};
pub use nyang_optim::{
    Adagrad, Adam, AdamW, Constant, Cosine, CosineWarmRestarts, Ema, ExponentialDecay, Group, LinearRamp, Lion, MultiStep, NAdam, OneCycle,
    Optimizer, PolynomialDecay, RAdam, ReduceOnPlateau, RmsProp, Schedule, Scheduler, Sequence, Sgd, StepDecay, Unit, WarmUp,
    clip_grad_norm, clip_grad_value, grad_norm,
};

pub use crate::logs::{CsvLog, JsonLines, TensorBoard, Wandb};
pub use crate::metrics::{ConfusionMatrix, Probabilities, accuracy, f1_score, macro_f1};
pub use crate::onnx::Onnx;
pub use crate::report::HtmlReport;
pub use crate::{
    BatchReport, Callback, Classifier, Control, EpochEnd, Error, Evaluation, Every, Finding, LoadReport, Metric, ModelCard, Plan, Plateau,
    Prediction, Progress, Result, Run, RunEnd, Trainer, Weights, evaluate, load_model, save_model,
};
