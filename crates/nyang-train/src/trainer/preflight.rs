//! A look at model and data before the first step: what would make a run learn little, and nobody notice for hours.

use std::fmt;

use nyang_data::{Batch, Loader};
use nyang_nn::{Ctx, Loss, Mode, Module, Observer, Pass, Rng, StateDict, Tensor};

use crate::{Error, Result};

/// From this many times the loss of guessing on, the first loss is worth a word.
const LARGE: f64 = 2.0;
/// From this ratio of the largest to the smallest class on, imbalance is worth a word.
const IMBALANCE: usize = 10;
/// From this share of channels that are zero for the whole batch on, a layer counts as dead.
const DEAD: f64 = 0.5;

/// Something that looks wrong before the first step. A run goes on all the same: it may be meant.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Finding {
    /// The model gives probabilities where the loss wants logits.
    Probabilities,
    /// The first loss is far above that of guessing.
    FirstLoss {
        /// What it is.
        loss: f64,
        /// ln C, what guessing one of C classes gives.
        guessing: f64,
    },
    /// Classes without a training sample.
    MissingClasses {
        /// Their names.
        names: Vec<String>,
    },
    /// A class has many times as many samples as another.
    Imbalance {
        /// The largest class and how many samples it has.
        largest: (String, usize),
        /// The smallest class that has any.
        smallest: (String, usize),
    },
    /// Most of a layer's channels are zero for every sample of the batch.
    Dead {
        /// The layer's path.
        path: String,
        /// Its kind.
        kind: String,
        /// How many of its channels are zero.
        channels: usize,
        /// How many it has.
        of: usize,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Probabilities => write!(
                f,
                "the model's outputs are probabilities already, and the loss makes probabilities of them once more, so it will never come \
                 near 0: leave the softmax at the model's end away"
            ),
            Finding::FirstLoss { loss, guessing } => write!(
                f,
                "the first loss is {loss:.3}, guessing would give {guessing:.3}: are the images standardised, and do the first weights fit \
                 the activations?"
            ),
            Finding::MissingClasses { names } => {
                write!(f, "no training sample for the classes {}: they cannot be learnt", names.join(", "))
            }
            Finding::Imbalance { largest: (large, n), smallest: (small, m) } => write!(
                f,
                "class {large} has {n} training samples, class {small} has {m}: weigh the loss by class, or judge by Metric::MacroF1"
            ),
            Finding::Dead { path, kind, channels, of } => {
                write!(f, "at `{path}` ({kind}) {channels} of {of} channels are zero for the whole first batch: they may never learn")
            }
        }
    }
}

/// Looks at the labels, and at one batch on its way through the model in training, which is then as it was.
///
/// [`Trainer::fit`](crate::Trainer::fit) does this by itself and gives what it finds to its callbacks.
///
/// # Errors
/// [`Error::LoneSample`] if the last batch has one sample and the model cannot take it (batch norm); whatever data, model or loss give.
pub fn preflight(model: &mut dyn Module<f32>, loss: &dyn Loss<f32>, train: &Loader) -> Result<Vec<Finding>> {
    let mut findings = labels(train)?;
    let Some(batch) = train.epoch(1).next() else { return Ok(findings) };
    let before = StateDict::of(model)?;
    let looked = look(model, loss, train, batch?);
    before.load_into(model)?; // running statistics have moved
    findings.extend(looked?);
    Ok(findings)
}

/// What the numbers of samples of the classes tell.
fn labels(train: &Loader) -> Result<Vec<Finding>> {
    let counts = train.dataset().class_counts()?;
    let named: Vec<(String, usize)> = train.classes().iter().cloned().zip(counts).collect();
    let mut findings = Vec::new();
    let names: Vec<String> = named.iter().filter(|(_, n)| *n == 0).map(|(name, _)| name.clone()).collect();
    if !names.is_empty() {
        findings.push(Finding::MissingClasses { names });
    }
    let present = || named.iter().filter(|(_, n)| *n > 0);
    if let (Some(largest), Some(smallest)) = (present().max_by_key(|(_, n)| *n), present().min_by_key(|(_, n)| *n))
        && largest.1 >= smallest.1.saturating_mul(IMBALANCE)
    {
        findings.push(Finding::Imbalance { largest: largest.clone(), smallest: smallest.clone() });
    }
    Ok(findings)
}

/// What a batch tells on its way.
fn look(model: &mut dyn Module<f32>, loss: &dyn Loss<f32>, train: &Loader, batch: Batch) -> Result<Vec<Finding>> {
    let classes = train.classes().len();
    let lone = batch.images.slice(0, 0..1, 1)?;
    let mut dead = DeadLayers::default();
    let logits = model.forward(batch.images, &mut Ctx::new(Mode::Train, Rng::seed(0)).observed(&mut dead))?;
    let mut findings = dead.0;
    if batch.indices.len() > 1 && are_probabilities(&logits) {
        findings.push(Finding::Probabilities);
    }
    let sum = loss.value_grad(&logits, &batch.targets)?;
    let (first, guessing) = (sum.sum / sum.weight, (classes as f64).ln());
    if loss.name() == "CrossEntropy" && first > LARGE * guessing {
        findings.push(Finding::FirstLoss { loss: first, guessing });
    }
    if last_is_alone(train)?
        && let Err(why) = model.forward(lone, &mut Ctx::train(0))
    {
        return Err(Error::LoneSample { batches: train.len(), samples: train.samples(), why });
    }
    Ok(findings)
}

/// Whether an epoch's last batch has one sample and others have more.
fn last_is_alone(train: &Loader) -> Result<bool> {
    let (samples, batches) = (train.samples(), train.len());
    // with n in each batch but the last, samples = (batches − 1) · n + 1: where that cannot be, nothing need be read
    if batches < 2 || samples == batches || !(samples - 1).is_multiple_of(batches - 1) {
        return Ok(false);
    }
    train.epoch_from(1, batches - 1).next().map_or(Ok(false), |last| Ok(last?.len() == 1))
}

/// Whether every row is in [0, 1] and sums to 1.
fn are_probabilities(logits: &Tensor<f32>) -> bool {
    let classes = logits.dims().last().copied().unwrap_or(1).max(1);
    let distribution = |row: &[f32]| row.iter().all(|p| (0.0..=1.0).contains(p)) && (row.iter().sum::<f32>() - 1.0).abs() < 1e-4;
    classes > 1 && logits.to_vec().chunks_exact(classes).all(distribution)
}

/// Rectifiers most of whose channels are zero everywhere.
#[derive(Default)]
struct DeadLayers(Vec<Finding>);

impl Observer<f32> for DeadLayers {
    fn after(&mut self, path: &str, kind: &'static str, pass: Pass, y: &Tensor<f32>) {
        if pass != Pass::Forward || !kind.to_lowercase().contains("relu") {
            return;
        }
        let Some(&of) = y.dims().get(1) else { return };
        let dead = |c: &usize| y.select(1, *c).is_ok_and(|channel| channel.to_vec().iter().all(|v| *v == 0.0));
        let channels = (0..of).filter(dead).count();
        if of > 0 && channels as f64 >= DEAD * of as f64 {
            self.0.push(Finding::Dead { path: path.to_owned(), kind: kind.to_owned(), channels, of });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nyang_data::{InMemory, LastBatch};
    use nyang_nn::{CrossEntropy, Flow, Init};

    /// `n` images of two numbers, of the classes that `label` gives.
    fn loader(n: usize, label: impl Fn(usize) -> usize) -> Loader {
        let images = Tensor::from_fn([n, 1, 1, 2], |i| (i % 7) as f32 / 10.0 - 0.3).unwrap();
        Loader::new(InMemory::new(images, (0..n).map(label).collect(), ["a", "b", "c"]).unwrap()).batch_size(8)
    }

    fn linear(scale: f32) -> Flow<f32> {
        let mut model = Flow::input([1, 1, 2]).flatten().linear(3).build(&mut Init::seed(1)).unwrap();
        struct Scale(f32);
        impl nyang_nn::VisitMut<f32> for Scale {
            fn param(&mut self, _: nyang_nn::Path<'_>, p: &mut nyang_nn::Param<f32>) {
                p.value.as_mut_slice().unwrap().iter_mut().for_each(|v| *v *= self.0);
            }
        }
        model.visit_mut(nyang_nn::Path::ROOT, &mut Scale(scale));
        model
    }

    fn found(model: &mut dyn Module<f32>, train: &Loader) -> Vec<String> {
        preflight(model, &CrossEntropy::new(), train).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_sound_start_gives_nothing_to_say() {
        assert_eq!(found(&mut linear(1.0), &loader(24, |i| i % 3)), [] as [String; 0]);
    }

    #[test]
    fn a_softmax_before_the_loss_is_seen() {
        let mut model = linear(1.0).then(nyang_nn::Softmax::new());
        let said = found(&mut model, &loader(24, |i| i % 3));
        assert!(said.len() == 1 && said[0].contains("leave the softmax at the model's end away"), "{said:?}");
    }

    #[test]
    fn a_first_loss_far_above_guessing_is_seen() {
        let said = found(&mut linear(1000.0), &loader(24, |i| i % 3));
        assert!(said.len() == 1 && said[0].contains("guessing would give 1.099"), "{said:?}");
    }

    #[test]
    fn classes_that_are_missing_or_rare_are_named() {
        let said = found(&mut linear(1.0), &loader(24, |i| usize::from(i == 0)));
        assert_eq!(said[0], "no training sample for the classes c: they cannot be learnt");
        assert!(said[1].starts_with("class a has 23 training samples, class b has 1:"), "{said:?}");
    }

    #[test]
    fn dead_rectifiers_are_seen_with_their_place() {
        let mut model = Flow::new().named("body", linear(0.0)).named("relu", nyang_nn::Relu::new());
        let said = found(&mut model, &loader(24, |i| i % 3));
        assert!(said[0].starts_with("at `relu` (Relu) 3 of 3 channels are zero"), "{said:?}");
    }

    #[test]
    fn a_last_batch_of_one_before_batch_norm_is_an_error_before_the_first_step() {
        let norm = nyang_nn::BatchNorm1d::config(3).build(&mut Init::seed(1)).unwrap();
        let mut model = linear(1.0).then(norm);
        let before = StateDict::of(&model).unwrap();
        let mut run = |loader: Loader| preflight(&mut model, &CrossEntropy::new(), &loader);
        let error = run(loader(17, |i| i % 3)).unwrap_err();
        assert!(matches!(error, Error::LoneSample { batches: 3, samples: 17, .. }), "{error}");
        assert!(error.to_string().contains("LastBatch::Merge"), "{error}");
        assert!(run(loader(17, |i| i % 3).last_batch(LastBatch::Merge)).is_ok());
        assert!(run(loader(16, |i| i % 3)).is_ok() && run(loader(15, |i| i % 3)).is_ok());
        assert_eq!(StateDict::of(&model).unwrap(), before, "the model is as it was");
    }
}
