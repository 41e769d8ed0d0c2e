//! A checkpoint: all that a run needs to go on as if it had never been interrupted, in one file.

use std::collections::BTreeMap;
use std::path::Path;

use nyang_nn::Value;
use nyang_optim::{OptimizerState, ParamState};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::files::state::{StateBytes, named};
use crate::files::{TensorBytes, container};
use crate::metric::Record;
use crate::tally::TallyState;
use crate::{EpochReport, Error, Position, Result};

/// The checkpoint's file, in the run's folder.
pub(crate) const CHECKPOINT: &str = "checkpoint.nyang";

const KIND: &str = "checkpoint";

/// The version of the content below. Raise it with every change that older programs could not read.
const VERSION: u32 = 1;

/// How often a run is saved for a resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// After so many epochs.
    Epochs(usize),
    /// After so many steps of the optimizer, and after each epoch.
    Steps(usize),
}

impl Every {
    /// How many.
    pub(crate) fn count(self) -> usize {
        match self {
            Every::Epochs(n) | Every::Steps(n) => n,
        }
    }
}

/// The file's content. Random numbers are keyed by (seed, purpose, epoch, index), so the position is all of their state; a schedule is a
/// function of the time, so its position is how often it was stepped.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// What run this is.
    pub configuration: Vec<(String, Value)>,
    pub position: Position,
    pub model: StateBytes,
    pub optimizer: OptimizerBytes,
    /// The schedule's first learning rate, and how often it was stepped.
    pub schedule: Option<(f64, u64)>,
    /// What was counted of the present epoch's batches.
    pub tally: Option<TallyState>,
    pub history: Vec<EpochReport>,
    pub best: Record,
    pub best_state: StateBytes,
    pub stopping: Record,
    /// Each callback's name and state, in their order.
    pub callbacks: Vec<(String, ByteBuf)>,
    pub average: Option<AverageBytes>,
}

/// An optimizer's state as a file holds it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OptimizerBytes {
    kind: String,
    lr: f64,
    moments: Vec<String>,
    params: BTreeMap<String, ParamBytes>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ParamBytes {
    step: u64,
    moments: Vec<TensorBytes>,
}

impl From<OptimizerState<f32>> for OptimizerBytes {
    fn from(state: OptimizerState<f32>) -> Self {
        let bytes = |own: &ParamState<f32>| ParamBytes { step: own.step, moments: own.moments.iter().map(TensorBytes::from).collect() };
        let params = state.params.iter().map(|(path, own)| (path.clone(), bytes(own))).collect();
        OptimizerBytes { kind: state.kind, lr: state.lr, moments: state.moments, params }
    }
}

impl OptimizerBytes {
    /// The state, each tensor checked.
    pub fn to_state(&self) -> Result<OptimizerState<f32>> {
        let mut params = BTreeMap::new();
        for (path, own) in &self.params {
            let moments = own.moments.iter().map(TensorBytes::to_tensor).collect::<Result<_>>().map_err(|error| named(path, error))?;
            params.insert(path.clone(), ParamState { step: own.step, moments });
        }
        Ok(OptimizerState { kind: self.kind.clone(), lr: self.lr, moments: self.moments.clone(), params })
    }
}

/// Averaged weights as a file holds them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AverageBytes {
    pub updates: u64,
    pub averages: StateBytes,
}

impl Checkpoint {
    /// Writes it into the folder, whole or not at all.
    pub fn write(&self, folder: &Path) -> Result<()> {
        container::write(folder.join(CHECKPOINT), KIND, VERSION, self)
    }

    /// Reads the folder's.
    pub fn read(folder: &Path) -> Result<Self> {
        container::read(folder.join(CHECKPOINT), KIND, VERSION)
    }

    /// Whether this is a checkpoint of a run with these settings.
    pub fn check(&self, folder: &Path, now: &[(String, Value)]) -> Result<()> {
        let setting = |settings: &[(String, Value)], name: &str| settings.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        let names = self.configuration.iter().chain(now).map(|(name, _)| name);
        let mut differences: Vec<String> = Vec::new();
        for name in names {
            let (then, now) = (setting(&self.configuration, name), setting(now, name));
            let line = format!("{name} was {}, now {}", shown(then.as_ref()), shown(now.as_ref()));
            if then != now && !differences.contains(&line) {
                differences.push(line);
            }
        }
        match differences.is_empty() {
            true => Ok(()),
            false => Err(Error::OtherRun { path: folder.join(CHECKPOINT), differences }),
        }
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("not there".to_owned(), setting_text)
}

/// A setting as text.
pub(crate) fn setting_text(value: &Value) -> String {
    match value {
        Value::Bool(v) => v.to_string(),
        Value::Int(v) => v.to_string(),
        Value::Float(v) => v.to_string(),
        Value::Text(v) => v.clone(),
        Value::List(values) => values.iter().map(setting_text).collect::<Vec<_>>().join(", "),
    }
}
