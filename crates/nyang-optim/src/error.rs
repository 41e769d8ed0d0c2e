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
    /// The gradients' norm is NaN or infinite. Nothing was changed.
    #[error(
        "at `{path}`: the gradient has values that are NaN or too large (its norm is {norm}), so no factor can bring it into bounds; \
         look at the loss before it, or lower the learning rate"
    )]
    NonFinite {
        /// The first such parameter's path.
        path: String,
        /// The norm of its gradient.
        norm: f64,
    },
    /// A saved state does not belong to this optimizer. Nothing was loaded.
    #[error("the state of {got} cannot go into {expected}; nothing was loaded")]
    State {
        /// The optimizer and what it keeps.
        expected: String,
        /// The state's optimizer and what it kept.
        got: String,
    },
    /// The model's parameters are not those that the state was made for.
    #[error("at `{path}`: the {kind}'s state is for {expected}, the parameter is {got}; start a new {kind} for another model")]
    Model {
        /// The optimizer, or the average.
        kind: &'static str,
        /// The parameter's path.
        path: String,
        /// The shape in the state.
        expected: nyang_tensor::Shape,
        /// The parameter's shape.
        got: nyang_tensor::Shape,
    },
    /// A group whose rule picks no parameter: most likely a path is mistyped.
    #[error("{kind}: the rule of group {number} picks none of the model's {parameters} parameters, whose paths are like `{example}`")]
    EmptyGroup {
        /// The optimizer.
        kind: &'static str,
        /// Which group, from 1.
        number: usize,
        /// How many parameters there are.
        parameters: usize,
        /// The first one's path.
        example: String,
    },
    /// A schedule cycles the momentum of an optimizer that has none to set.
    #[error("{kind} has no momentum that a schedule could set; use the schedule with `.fixed_momentum()`, or another optimizer")]
    NoMomentum {
        /// The optimizer.
        kind: &'static str,
    },
    /// A schedule does not know how long training takes.
    #[error("{kind}: its length is not known; give it with `.total(n)`, or let a trainer tell it with `bind`")]
    Unbound {
        /// The schedule.
        kind: &'static str,
    },
    /// Schedules in a row that count different things.
    #[error("{kind}: its first schedule counts {first}s and another one {other}s; let all count the same")]
    Units {
        /// The schedule that holds them.
        kind: &'static str,
        /// What the first counts.
        first: crate::Unit,
        /// What another counts.
        other: crate::Unit,
    },
    /// An average was to be used in a way that its place does not allow.
    #[error("the averages are in the model now; `swap` again before the next `{operation}`")]
    Swapped {
        /// What was asked for.
        operation: &'static str,
    },
}

/// Checks that a setting is a number in a range; the range is said in `why`.
pub(crate) fn check(kind: &'static str, field: &'static str, value: f64, valid: bool, why: &'static str) -> Result<()> {
    if valid && value.is_finite() { Ok(()) } else { Err(Error::Setting { kind, field, value, why }) }
}

/// Whether a setting is a number ≥ 0.
pub(crate) fn check_not_negative(kind: &'static str, field: &'static str, value: f64) -> Result<()> {
    check(kind, field, value, value >= 0.0, "must be a number ≥ 0")
}

/// Whether a setting is the share of something old that stays: in [0, 1).
pub(crate) fn check_share(kind: &'static str, field: &'static str, value: f64) -> Result<()> {
    check(kind, field, value, (0.0..1.0).contains(&value), "must lie in [0, 1)")
}

/// Whether a setting that counts something is at least 1.
pub(crate) fn check_positive(kind: &'static str, field: &'static str, value: u64) -> Result<()> {
    check(kind, field, value as f64, value > 0, "must be positive")
}
