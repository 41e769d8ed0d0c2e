//! All the numbers of a model as a file holds them.

use std::collections::BTreeMap;

use nyang_nn::{StateDict, StateValue};
use serde::{Deserialize, Serialize};

use super::TensorBytes;
use crate::{Error, Result};

/// A state dict as a file holds it: by name, in order.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StateBytes(pub BTreeMap<String, Stored>);

/// One entry.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Stored {
    #[serde(rename = "tensor")]
    Tensor(TensorBytes),
    #[serde(rename = "count")]
    Count(u64),
}

impl From<&StateDict<f32>> for StateBytes {
    fn from(state: &StateDict<f32>) -> Self {
        StateBytes::of(state.iter())
    }
}

impl StateBytes {
    /// These entries.
    pub fn of<'a>(entries: impl Iterator<Item = (&'a str, &'a StateValue<f32>)>) -> Self {
        let stored = |value: &StateValue<f32>| match value {
            StateValue::Count(n) => Stored::Count(*n),
            StateValue::Tensor(t) => Stored::Tensor(TensorBytes::from(t)),
            _ => Stored::Count(0), // StateValue may grow; both kinds that exist are above
        };
        StateBytes(entries.map(|(name, value)| (name.to_owned(), stored(value))).collect())
    }

    /// The state, each tensor checked.
    ///
    /// # Errors
    /// [`Error::StoredTensor`] with the entry's name.
    pub fn to_state(&self) -> Result<StateDict<f32>> {
        let mut state = StateDict::default();
        for (name, value) in &self.0 {
            let value = match value {
                Stored::Tensor(bytes) => StateValue::Tensor(bytes.to_tensor().map_err(|error| named(name, error))?),
                Stored::Count(n) => StateValue::Count(*n),
            };
            state.insert(name, value);
        }
        Ok(state)
    }
}

/// The error of a stored tensor with the tensor's name.
pub(crate) fn named(name: &str, error: Error) -> Error {
    match error {
        Error::StoredTensor { expected, got } => Error::StoredTensor { expected: format!("`{name}` to be {expected}"), got },
        other => other,
    }
}
