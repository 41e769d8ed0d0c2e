//! What can go wrong with a network: the place, what was expected there, what came, and what to do.

use nyang_tensor::Shape;

/// A result whose error is this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every way in which a module or a loss can fail.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on tensors failed.
    #[error(transparent)]
    Tensor(#[from] nyang_tensor::Error),
    /// A layer was given an input of a shape that it cannot take.
    #[error("{layer} expects {expected}, got {got}{}", hint.as_ref().map(|h| format!("; {h}")).unwrap_or_default())]
    Shape {
        /// The kind of layer.
        layer: &'static str,
        /// The shape it takes, with letters where any size will do.
        expected: String,
        /// The shape that came.
        got: Shape,
        /// What to do, where that is known.
        hint: Option<String>,
    },
    /// A layer was configured with a value that no input could make right.
    #[error("{layer}: {field} = {value} is not valid: {why}")]
    Config {
        /// The kind of layer.
        layer: &'static str,
        /// The configuration's field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be valid.
        why: &'static str,
    },
    /// `backward` came without the `forward` it belongs to, or twice after one.
    #[error("{layer}: backward without a forward before it; call forward once for each backward (infer keeps nothing)")]
    NoForward {
        /// The kind of layer.
        layer: &'static str,
    },
    /// A target is not one of the classes.
    #[error("sample {sample} of the batch has label {label}, but there are {classes} classes: labels run from 0 to {}", classes.saturating_sub(1))]
    Label {
        /// The sample's position in the batch.
        sample: usize,
        /// Its label.
        label: usize,
        /// How many classes the logits have.
        classes: usize,
    },
    /// A soft target is a number that the loss has no meaning for.
    #[error("{loss}: sample {sample} of the batch has the target {value}: {why}")]
    Target {
        /// The loss.
        loss: &'static str,
        /// The sample's position in the batch.
        sample: usize,
        /// The number.
        value: f64,
        /// What would be valid.
        why: &'static str,
    },
    /// Names or shapes in a state dict are not those of the model. Nothing was loaded.
    #[error("the state does not fit the model, nothing was loaded{}", list(missing, unexpected, misshapen))]
    State {
        /// Names that the model has and the state has not.
        missing: Vec<String>,
        /// Names that the state has and the model has not.
        unexpected: Vec<String>,
        /// Names on both sides whose shapes or kinds differ, with both.
        misshapen: Vec<String>,
    },
    /// Two parameters or children have the same name, and would share weights and optimizer state.
    #[error("{layer}: the name `{name}` is taken twice; give each child its own")]
    Duplicate {
        /// The kind of container.
        layer: &'static str,
        /// The name in question.
        name: String,
    },
    /// A description names a kind of module that the registry does not know.
    #[error("no module of kind `{kind}` is registered; add it to the registry before loading (known: {known})")]
    UnknownKind {
        /// The kind asked for.
        kind: String,
        /// The kinds that are registered.
        known: String,
    },
    /// A description lacks a field or has one of the wrong type, or is nested too deep.
    #[error("the description of a {kind} is not valid: {what}")]
    Spec {
        /// The kind of module described.
        kind: String,
        /// What is wrong with it.
        what: String,
    },
    /// A description asks for more parameter values than it may.
    #[error("the description asks for {asked} parameter values where only {left} are left: description and weights do not belong together")]
    Budget {
        /// How many values a parameter wants.
        asked: usize,
        /// How many there still are.
        left: usize,
    },
    /// Something failed inside a container, at this path.
    #[error("at `{path}`: {source}")]
    At {
        /// The path from the outermost container, as in the state dict.
        path: String,
        /// What failed there.
        source: Box<Error>,
    },
}

impl Error {
    /// Builds [`Error::Shape`] without a hint.
    pub fn shape(layer: &'static str, expected: impl Into<String>, got: &Shape) -> Self {
        Error::Shape { layer, expected: expected.into(), got: *got, hint: None }
    }

    /// Builds [`Error::Config`].
    pub fn config(layer: &'static str, field: &'static str, value: impl ToString, why: &'static str) -> Self {
        Error::Config { layer, field, value: value.to_string(), why }
    }

    /// Puts a container's child in front of the place where this error happened.
    pub fn within(self, name: &str) -> Self {
        match self {
            Error::At { path, source } => Error::At { path: format!("{name}.{path}"), source },
            other => Error::At { path: name.to_owned(), source: Box::new(other) },
        }
    }
}

fn list(missing: &[String], unexpected: &[String], misshapen: &[String]) -> String {
    let part = |what: &str, names: &[String]| if names.is_empty() { String::new() } else { format!("; {what}: {}", names.join(", ")) };
    part("missing", missing) + &part("unexpected", unexpected) + &part("misshapen", misshapen)
}
