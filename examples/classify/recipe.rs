//! How a classifier is trained unless its user says otherwise: sizes, model, augmentation, schedule.

use std::error::Error;
use std::path::{Path, PathBuf};

use nyang_train::prelude::*;
use serde::{Deserialize, Serialize};

use crate::WrongUse;
use crate::data::{Images, colour, look};

/// The name of the model that is built unless another is named.
pub const SMALL: &str = "small";

/// Images are brought to this size, unless theirs is smaller.
const SIDE: usize = 64;

/// How many samples are shown in all, unless the epochs are given: small sets more often.
const SHOWN: usize = 60_000;

/// What can be said about how to train.
#[derive(clap::Args, Clone, Debug)]
pub struct Choices {
    /// The model: small, or one of the zoo: mlp, lenet, deepconvnet, resnet20, resnet18, mobilenet_v2, …
    #[arg(long, default_value = SMALL)]
    model: String,
    /// How often every training image is shown [default: more often the fewer there are]
    #[arg(long)]
    epochs: Option<usize>,
    /// The seed of everything random: split, first weights, order, augmentation, dropout
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The side in pixels that images are brought to [default: theirs, at most 64]
    #[arg(long)]
    image_size: Option<usize>,
    /// Images in a batch
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// The highest learning rate
    #[arg(long, default_value_t = 3e-3)]
    lr: f64,
    /// How training images are varied
    #[arg(long, value_enum, default_value_t = Augment::Some)]
    augment: Augment,
    /// Further logs beside history.csv and report.html, each in the run's folder
    #[arg(long, value_enum, value_name = "LOG")]
    log: Vec<Log>,
    /// Whether a mirror image shows the same: not so for letters and digits [default: yes for colour, no for grey images and with --augment none]
    #[arg(long)]
    flip: Option<bool>,
}

/// How training images are varied.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Augment {
    /// Not at all, or only mirrored with --flip true
    None,
    /// Moved by up to an eighth, and mirrored with --flip: enough for small images of things that fill them
    Light,
    /// A little turned, moved, sized and lit differently
    Some,
    /// The same, and one of fourteen stronger changes, and holes
    Strong,
}

/// Logs for other programs to read.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Log {
    /// history.jsonl, a JSON object an epoch
    Jsonl,
    /// TensorBoard's event files
    Tensorboard,
    /// An offline run of Weights & Biases
    Wandb,
}

/// Everything that makes a run what it is: written to RUN/config.json before the first step, and read by `resume`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The folder or manifest, as it can be found from anywhere.
    pub data: PathBuf,
    pub model: String,
    pub epochs: usize,
    pub seed: u64,
    pub image_size: usize,
    pub batch: usize,
    pub lr: f64,
    pub augment: Augment,
    pub flip: bool,
    pub logs: Vec<Log>,
}

/// What a recipe makes of the data.
pub struct Prepared {
    pub train: Loader,
    pub valid: Loader,
    pub test: Loader,
    pub table: String,
    pub has_test: bool,
}

impl Recipe {
    /// The choices, and defaults that suit the data where nothing was chosen.
    pub fn new(data: &Path, choices: &Choices) -> Result<Self, Box<dyn Error>> {
        let images = Images::open(data, &colour())?;
        let (side, coloured) = look(&images)?;
        Ok(Recipe::chosen(data.canonicalize()?, choices, images.len(), side, coloured))
    }

    /// The same for so many images of this side, coloured or grey.
    fn chosen(data: PathBuf, choices: &Choices, images: usize, side: usize, coloured: bool) -> Self {
        let shown = images * 4 / 5;
        Recipe {
            data,
            model: choices.model.clone(),
            epochs: choices.epochs.unwrap_or((SHOWN / shown.max(1)).clamp(10, 40)),
            seed: choices.seed,
            image_size: choices.image_size.unwrap_or(side.min(SIDE)),
            batch: choices.batch,
            lr: choices.lr,
            augment: choices.augment,
            flip: choices.flip.unwrap_or(coloured && choices.augment != Augment::None),
            logs: choices.log.clone(),
        }
    }

    /// What stands above the run's report.
    pub fn title(&self) -> String {
        format!("{}: {}", self.data_name(), self.model)
    }

    /// The data's own name: a model file says nothing of the machine that it was made on.
    fn data_name(&self) -> String {
        self.data.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
    }

    /// Loaders of the three parts.
    pub fn prepare(&self) -> Result<Prepared, Box<dyn Error>> {
        let parts = Images::open(&self.data, &colour())?.divide(self.seed)?;
        let has_test = !parts.test.is_empty();
        let data = parts.resize(self.image_size).augment_train(self.augmentation()).seed(self.seed).loaders(self.batch)?;
        Ok(Prepared { table: data.report.to_string(), has_test, train: data.train, valid: data.valid, test: data.test })
    }

    fn augmentation(&self) -> Transforms {
        let side = self.image_size;
        let mut steps: Vec<Step> = match self.augment {
            Augment::None => vec![],
            Augment::Light => vec![RandomCrop::new(side, side).padding(side / 8).into()],
            Augment::Some | Augment::Strong => {
                let turned = Affine::new().degrees(15.0).translate(0.08, 0.08).scale(0.85..=1.15);
                vec![turned.border(Border::Reflect).into()]
            }
        };
        if self.flip {
            steps.push(HorizontalFlip::new(0.5).into());
        }
        match self.augment {
            Augment::None | Augment::Light => {}
            Augment::Some => steps.push(BrightnessContrast::new(0.2, 0.2).into()),
            Augment::Strong => {
                steps.push(TrivialAugmentWide::new().into());
                steps.push(BrightnessContrast::new(0.2, 0.2).into());
                steps.push(RandomErasing::new(0.25).into());
            }
        }
        Transforms { steps }
    }

    /// The model for images of this shape.
    pub fn build(&self, image: &Shape, classes: usize) -> Result<Box<dyn Module<f32>>, Box<dyn Error>> {
        let &[c, h, w] = image.dims() else { return Err(WrongUse(format!("images of shape {image} are no images")).into()) };
        let init = &mut Init::seed(self.seed);
        if self.model == SMALL {
            return Ok(Box::new(small([c, h, w], classes, init)?));
        }
        let zoo = zoo::models::<f32>();
        let Some((_, build)) = zoo.iter().find(|(name, _)| *name == self.model) else {
            let names: Vec<&str> = [SMALL].into_iter().chain(zoo.iter().map(|(name, _)| *name)).collect();
            return Err(WrongUse(format!("there is no model {:?}; there are {}", self.model, names.join(", "))).into());
        };
        Ok(Box::new(build(zoo::Task::new([c, h, w], classes), init)?))
    }

    /// A trainer of a model on the data.
    pub fn trainer(&self, train: &Loader, valid: &Loader) -> Result<Trainer, Box<dyn Error>> {
        let model = self.build(&valid.image_shape()?, train.classes().len())?;
        let optimizer = AdamW::new(self.lr).weight_decay(0.05).group(Group::bias_and_norm().weight_decay(0.0));
        Ok(Trainer::new(model, CrossEntropy::new().label_smoothing(0.1))
            .optimizer(optimizer)
            .schedule(OneCycle::new())
            .epochs(self.epochs)
            .clip_norm(5.0)
            .keep_best(Metric::Accuracy)
            .seed(self.seed)
            .note("model", self.model.as_str())
            .note("data", self.data_name().as_str())
            .note("split_seed", self.seed.to_string().as_str())
            .note("image_size", self.image_size))
    }
}

/// A small convolutional network that is quick on a CPU: four stages, each half as wide and twice as deep in channels as the one before.
fn small(image: [usize; 3], classes: usize, init: &mut Init) -> ModelResult<Flow<f32>> {
    let mut flow = Flow::input(image).conv(24, 3).batch_norm().relu();
    let mut side = image[1].min(image[2]);
    for channels in [32, 64, 96, 128] {
        if side >= 4 {
            flow = flow.max_pool(2);
            side /= 2;
        }
        flow = flow.conv(channels, 3).batch_norm().relu();
    }
    flow.conv(128, 3).batch_norm().relu().global_avg_pool().dropout(0.2).linear(classes).build(init)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        choices: Choices,
    }

    /// What is done to a training image when these words stand on the command line and images are 32 x 32, coloured or not.
    fn steps(words: &str, coloured: bool) -> Vec<String> {
        let line: Line = clap::Parser::parse_from(["classify"].into_iter().chain(words.split_whitespace()));
        let recipe = Recipe::chosen(PathBuf::new(), &line.choices, 1000, 32, coloured);
        let described = recipe.augmentation().to_string();
        described.lines().map(|line| line.split([' ', '(']).next().unwrap_or(line).to_owned()).collect()
    }

    #[test]
    fn images_are_varied_as_was_chosen() {
        assert_eq!(steps("--augment none", true), Vec::<String>::new());
        assert_eq!(steps("--augment none --flip true", false), ["HorizontalFlip"]);
        assert_eq!(steps("--augment light", false), ["RandomCrop"]);
        assert_eq!(steps("--augment light", true), ["RandomCrop", "HorizontalFlip"]);
        assert_eq!(steps("", true), ["Affine", "HorizontalFlip", "BrightnessContrast"]);
        assert_eq!(steps("--flip false", true), ["Affine", "BrightnessContrast"]);
        let strong = ["Affine", "HorizontalFlip", "TrivialAugmentWide", "BrightnessContrast", "RandomErasing"];
        assert_eq!(steps("--augment strong", true), strong);
    }
}
