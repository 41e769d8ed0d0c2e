//! Where a loss stopped being a number: the first thing on the way from the images to the loss that is not finite.

use std::fmt;

use nyang_data::Source;
use nyang_nn::{Ctx, Mode, Module, Observer, Param, Pass, Path, Tensor, Visit};

use super::session::Session;
use crate::Result;

/// What is the first not to be finite.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Blame {
    /// A parameter: the step before was too large.
    Parameter {
        /// Its path.
        path: String,
    },
    /// A sample's image, as the model gets it.
    Image {
        /// Which.
        sample: Source,
    },
    /// What a layer makes of finite numbers.
    Layer {
        /// Its path; empty for the model itself.
        path: String,
        /// Its kind.
        kind: String,
    },
    /// The loss of finite logits.
    Loss,
    /// A gradient, while the loss is finite.
    Gradient {
        /// The parameter's path.
        path: String,
    },
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blame::Parameter { path } => {
                write!(f, "the parameter `{path}` is not finite any more: lower the learning rate, warm it up, or clip the gradients")
            }
            Blame::Image { sample } => {
                write!(f, "the image of {sample} has values that are not finite: look at its file and its transforms")
            }
            Blame::Layer { path, kind } if path.is_empty() => {
                write!(f, "what the model ({kind}) gives is not finite: lower the learning rate")
            }
            Blame::Layer { path, kind } => {
                write!(f, "at `{path}` ({kind}) the numbers stop being finite: lower the learning rate, or normalise before it")
            }
            Blame::Gradient { path } => write!(f, "the gradient of `{path}` is not finite: lower the learning rate"),
            Blame::Loss => write!(f, "the logits are finite: look at the targets and the weights of the loss"),
        }
    }
}

impl Session<'_> {
    /// Runs the present batch again, which gives the same numbers, and looks at everything on the way.
    pub(super) fn blame(&mut self) -> Result<Blame> {
        let mut bad = BadParameter(None);
        self.trainer.model.visit(Path::ROOT, &mut bad);
        if let Some(path) = bad.0 {
            return Ok(Blame::Parameter { path });
        }
        let Some(batch) = self.train.epoch_from(self.at.epoch as u64, self.at.batch).next() else { return Ok(Blame::Loss) };
        let batch = batch?;
        for (i, sample) in batch.sources.iter().enumerate() {
            if batch.images.select(0, i)?.has_non_finite() {
                return Ok(Blame::Image { sample: sample.clone() });
            }
        }
        let (mut first, rng) = (FirstBad(None), self.batch_rng());
        let kind = self.trainer.model.kind();
        let logits = self.trainer.model.forward(batch.images, &mut Ctx::new(Mode::Train, rng).observed(&mut first))?;
        Ok(match first.0 {
            Some((path, kind)) => Blame::Layer { path, kind },
            None if logits.has_non_finite() => Blame::Layer { path: String::new(), kind: kind.to_owned() },
            None => Blame::Loss,
        })
    }
}

/// The first parameter that is not finite.
struct BadParameter(Option<String>);

impl Visit<f32> for BadParameter {
    fn param(&mut self, at: Path<'_>, param: &Param<f32>) {
        if self.0.is_none() && param.value.has_non_finite() {
            self.0 = Some(at.to_string());
        }
    }
}

/// The first module whose output is not finite: a child ends before its container, so it is the innermost.
struct FirstBad(Option<(String, String)>);

impl Observer<f32> for FirstBad {
    fn after(&mut self, path: &str, kind: &'static str, _: Pass, y: &Tensor<f32>) {
        if self.0.is_none() && y.has_non_finite() {
            self.0 = Some((path.to_owned(), kind.to_owned()));
        }
    }
}
