//! A model in one file: structure, weights, and what is needed to use it. What pickle is elsewhere, without running anything.

use std::collections::BTreeMap;
use std::path::Path;

use nyang_data::{Normalize, Transforms};
use nyang_nn::{Init, Module, Registry, Spec, StateDict};
use serde::{Deserialize, Serialize};

use crate::files::container;
use crate::files::state::StateBytes;
use crate::{Error, Result};

const KIND: &str = "model";

/// The version of the content below. Raise it with every change that older programs could not read.
const VERSION: u32 = 1;

/// How many parameter values a description may ask for beyond twice those in the file.
const SLACK: usize = 1 << 16;

/// What a model file says beside structure and weights: how to feed the model, what its answers mean, how good it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelCard {
    /// The classes' names, in the order of the model's outputs.
    pub classes: Vec<String>,
    /// The shape of one input, `[C, H, W]`.
    pub input: Vec<usize>,
    /// What happens to an image before it is standardised: resizing and cropping, the same in validation, test and use.
    pub transforms: Transforms,
    /// How images are standardised before they reach the model.
    pub normalize: Option<Normalize>,
    /// What the logits are divided by before they become probabilities, if [`calibrate`](crate::Classifier::calibrate) has fitted it.
    pub temperature: Option<f64>,
    /// Measured values by name, such as `valid_loss`.
    pub metrics: BTreeMap<String, f64>,
    /// How the model was trained, by name, such as `optimizer` or `seed`.
    pub training: BTreeMap<String, String>,
}

/// The file's content. Maps are ordered, and nothing in it knows a clock, a path or a machine: the same model gives the same bytes.
#[derive(Serialize, Deserialize)]
struct Content {
    architecture: Spec,
    state: StateBytes,
    classes: Vec<String>,
    input: Vec<usize>,
    transforms: Transforms,
    normalize: Option<Statistics>,
    #[serde(default)]
    temperature: Option<f64>,
    metrics: BTreeMap<String, f64>,
    training: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Statistics {
    mean: Vec<f32>,
    std: Vec<f32>,
}

/// Writes a model and its card as one file, whole or not at all.
///
/// # Errors
/// [`Error::File`]; [`Error::Model`] if two parameters have the same path.
///
/// ```
/// # use nyang_train::prelude::*;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("lenet.nyang");
/// let model = zoo::lenet::<f32>(zoo::Task::new([1, 28, 28], 10), &mut Init::seed(1))?;
/// save_model(&path, &model, &ModelCard { input: vec![1, 28, 28], ..ModelCard::default() })?;
/// let (again, card) = load_model(&path)?;                     // no code of the model is needed
/// assert_eq!(StateDict::of(&again)?, StateDict::of(&model)?);
/// assert_eq!(card.input, [1, 28, 28]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save_model(path: impl AsRef<Path>, model: &dyn Module<f32>, card: &ModelCard) -> Result<()> {
    save_state(path, model.spec(), &StateDict::of(model)?, card)
}

/// As [`save_model`], for a state that was taken earlier.
pub(crate) fn save_state(path: impl AsRef<Path>, architecture: Spec, state: &StateDict<f32>, card: &ModelCard) -> Result<()> {
    let content = Content {
        architecture,
        state: StateBytes::from(state),
        classes: card.classes.clone(),
        input: card.input.clone(),
        transforms: card.transforms.clone(),
        normalize: card.normalize.as_ref().map(|n| Statistics { mean: n.mean().to_vec(), std: n.std().to_vec() }),
        temperature: card.temperature,
        metrics: card.metrics.clone(),
        training: card.training.clone(),
    };
    container::write(path, KIND, VERSION, &content)
}

/// Reads a model made of this library's modules, and its card.
///
/// # Errors
/// [`Error::File`], and for a file that is no model, damaged, or too new: [`Error::Foreign`], [`Error::Kind`], [`Error::Newer`],
/// [`Error::Truncated`], [`Error::Trailing`], [`Error::Corrupted`], [`Error::Content`], [`Error::ModelFile`]. Never more memory is asked
/// for than a few times the file's size.
pub fn load_model(path: impl AsRef<Path>) -> Result<(Box<dyn Module<f32>>, ModelCard)> {
    load_model_with(path, &Registry::standard())
}

/// As [`load_model`], with a registry that also knows modules of your own.
///
/// # Errors
/// As [`load_model`].
pub fn load_model_with(path: impl AsRef<Path>, registry: &Registry<f32>) -> Result<(Box<dyn Module<f32>>, ModelCard)> {
    let path = path.as_ref();
    let content: Content = container::read(path, KIND, VERSION)?;
    let wrong = |reason: &dyn ToString| Error::ModelFile { path: path.to_path_buf(), reason: reason.to_string() };
    let state = content.state.to_state().map_err(|e| wrong(&e))?;
    // A description may be damaged on purpose: few more parameters are made than the file has values for, just enough that a model
    // which does not quite fit its weights gets the list of what does not.
    let budget = state.values().saturating_mul(2).saturating_add(SLACK);
    let mut model = registry.build(&content.architecture, &mut Init::blank(budget)).map_err(|e| wrong(&e))?;
    state.load_into(model.as_mut()).map_err(|e| wrong(&e))?;
    let normalize = content.normalize.map(|s| Normalize::new(s.mean, s.std)).transpose().map_err(|e| wrong(&e))?;
    let Content { classes, input, transforms, temperature, metrics, training, .. } = content;
    Ok((model, ModelCard { classes, input, transforms, normalize, temperature, metrics, training }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::state::Stored;
    use nyang_nn::{Ctx, Flow, Tensor, zoo};

    fn saved() -> (tempfile::TempDir, std::path::PathBuf, Flow<f32>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.nyang");
        let model = zoo::resnet20::<f32>(zoo::Task::new([3, 32, 32], 10), &mut Init::seed(1)).unwrap();
        let card = ModelCard { classes: vec!["cat".into(); 10], input: vec![3, 32, 32], ..ModelCard::default() };
        save_model(&path, &model, &card).unwrap();
        (folder, path, model)
    }

    #[test]
    fn a_loaded_model_computes_the_same_bits() {
        let (_folder, path, model) = saved();
        let (again, card) = load_model(&path).unwrap();
        let x = Tensor::from_fn([2, 3, 8, 8], |i| (i % 7) as f32).unwrap();
        let run = |m: &dyn Module<f32>| m.infer(x.clone(), &mut Ctx::eval()).unwrap().to_vec();
        assert_eq!(run(&again), run(&model));
        assert_eq!((again.spec(), card.classes.len()), (model.spec(), 10));
    }

    #[test]
    fn the_same_model_gives_the_same_bytes() {
        let ((_a, first, _), (_b, second, _)) = (saved(), saved());
        assert_eq!(std::fs::read(first).unwrap(), std::fs::read(second).unwrap());
    }

    #[test]
    fn contents_that_contradict_themselves_are_errors() {
        type Damage = fn(&mut Content);
        let damages: [(&str, Damage); 8] = [
            ("missing: 14.bias", |c| drop(c.state.0.remove("14.bias"))),
            ("unexpected: x", |c| drop(c.state.0.insert("x".into(), Stored::Count(1)))),
            ("misshapen: 0.weight", |c| drop(c.state.0.insert("0.weight".into(), Stored::Count(1)))),
            ("no module of kind `Wizard`", |c| c.architecture.children[2].1.kind = "Wizard".into()),
            ("description asks for", |c| drop(c.architecture.children[0].1.config.insert("out_channels".into(), (1usize << 40).into()))),
            ("`in_channels` must be", |c| drop(c.architecture.children[0].1.config.remove("in_channels"))),
            ("name `0` is taken twice", |c| c.architecture.children[1].0 = "0".into()),
            ("Normalize", |c| c.normalize = Some(Statistics { mean: vec![0.0], std: vec![0.0] })),
        ];
        let (_folder, path, _) = saved();
        for (say, damage) in damages {
            let mut content: Content = container::read(&path, KIND, VERSION).unwrap();
            damage(&mut content);
            let damaged = path.with_extension("damaged");
            container::write(&damaged, KIND, VERSION, &content).unwrap();
            let error = load_model(&damaged).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(say) && error.contains("model.damaged"), "expected `{say}` in: {error}");
        }
    }

    #[test]
    fn a_newer_a_cut_and_a_foreign_file_say_so() {
        let (_folder, path, _) = saved();
        let content: Content = container::read(&path, KIND, VERSION).unwrap();
        let other = path.with_extension("other");
        let say = || load_model(&other).err().map(|e| e.to_string()).unwrap_or_default();
        container::write(&other, KIND, VERSION + 1, &content).unwrap();
        assert!(say().contains("written by a newer NyangTorch"), "{}", say());
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&other, &bytes[..bytes.len() / 2]).unwrap();
        assert!(say().contains("truncated"), "{}", say());
        std::fs::write(&other, b"PK\x03\x04 and so on, as PyTorch writes it").unwrap();
        assert!(say().contains("not a NyangTorch file"), "{}", say());
        assert!(load_model(path.with_extension("nowhere")).err().is_some_and(|e| e.to_string().contains("cannot read")));
    }
}
