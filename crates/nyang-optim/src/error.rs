//! What can go wrong with optimizers and schedules.

/// A result whose error is this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every way in which an optimizer or a schedule can fail.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on tensors failed.
    #[error(transparent)]
    Tensor(#[from] nyang_tensor::Error),
    /// A setting that could never work.
    #[error("{kind}: {field} = {value} is not valid: {why}")]
    Setting {
        /// The optimizer or schedule.
        kind: &'static str,
        /// The setting.
        field: &'static str,
        /// Its value.
        value: f64,
        /// What would be valid.
        why: &'static str,
    },
    /// A gradient has another shape than its parameter.
    #[error("at `{path}`: the gradient has {got} values, the parameter {expected}")]
    Gradient {
        /// The parameter's path.
        path: String,
        /// The number of values in the parameter.
        expected: usize,
        /// The number of values in the gradient.
        got: usize,
    },
    /// A saved state does not belong to this optimizer. Nothing was loaded.
    #[error("at `{path}`: a {kind} keeps {expected} moments for each parameter, the state has {got}; nothing was loaded")]
    State {
        /// The optimizer.
        kind: &'static str,
        /// The parameter's path.
        path: String,
        /// How many moments the optimizer keeps.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// The model's parameters are not those that the optimizer's state was made for.
    #[error("at `{path}`: the optimizer's state is for {expected}, the parameter is {got}; start a new optimizer for another model")]
    Model {
        /// The parameter's path.
        path: String,
        /// The shape in the state.
        expected: nyang_tensor::Shape,
        /// The parameter's shape.
        got: nyang_tensor::Shape,
    },
}

/// Checks that a setting is a number in a range; the range is said in `why`.
pub(crate) fn check(kind: &'static str, field: &'static str, value: f64, valid: bool, why: &'static str) -> Result<()> {
    if valid && value.is_finite() { Ok(()) } else { Err(Error::Setting { kind, field, value, why }) }
}
