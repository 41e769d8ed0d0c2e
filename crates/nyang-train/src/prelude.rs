//! What a program that trains and uses a classifier needs: `use nyang_train::prelude::*;`.

pub use nyang_data::{Batch, Dataset, Digits, InMemory, LastBatch, Loader, Normalize, Sample, Shift, Source, Split, Subset};
/// What the methods of a [`Module`] return.
pub use nyang_nn::Result as ModelResult;
pub use nyang_nn::check::{GradCheck, check_gradients};
pub use nyang_nn::{
    AvgPool2d, BatchNorm2d, Bce, Conv2d, CrossEntropy, Ctx, Distillation, Dropout, Element, Elu, Flatten, Flow, Gelu, GlobalAvgPool2d,
    Hardsigmoid, Hardswish, Init, LeakyRelu, Linear, LogSoftmax, Loss, MaxPool2d, Maxout, Mode, Module, Mse, PRelu, PadShortcut, Padding,
    Param, Registry, Relu, Relu6, Residual, Rng, Saved, Scheme, Selu, Shape, Sigmoid, SigmoidFocal, Silu, Softmax, SoftmaxFocal, Softplus,
    Spec, StateDict, Tanh, Targets, Tensor, state, summary, zoo,
};
pub use nyang_optim::{Adam, Optimizer, Schedule, Scheduler, Sgd, StepDecay};

pub use crate::metrics::{ConfusionMatrix, accuracy, f1_score, macro_f1};
pub use crate::{Callback, Classifier, Error, Evaluation, ModelCard, Progress, Result, Run, Trainer, evaluate, load_model, save_model};
