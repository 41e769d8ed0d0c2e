//! What one can hang on a training run: something that watches it, may stop it, and may set its learning rate.

mod plateau;
mod report;

pub use plateau::Plateau;
pub use report::{BatchReport, EpochEnd, EpochReport, Outcome, Phase, Plan, Position, RunEnd};

use crate::Result;

/// Something that watches a run. Every method does nothing unless it is overridden; an error stops the run.
///
/// ```
/// # use nyang_train::{Callback, Control, EpochEnd, Result};
/// #[derive(Default)]
/// struct Losses(Vec<f64>);
///
/// impl Callback for Losses {
///     fn epoch_ended(&mut self, end: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
///         self.0.push(end.report.valid_loss);
///         Ok(())
///     }
/// }
/// ```
///
/// # The order of calls
/// ```text
/// load_state (if a run is resumed and had one) → run_started →
///     (batch_ended (train) … → batch_ended (valid) … → epoch_ended) … →
/// run_ended
/// ```
/// [`state`](Callback::state) is asked for each checkpoint: after `run_started`, after an `epoch_ended`, or between two training batches.
///
/// # Resuming
/// A run that was killed goes on from its last checkpoint, so what happened after that happens again. A callback that writes a file puts
/// into its state where the file ends; when it gets that state back it cuts the file there. [`Plan::resumed`] says where the run goes on.
/// A killed run may have written more than its last checkpoint knows, and a file may be younger than the checkpoint or gone.
pub trait Callback: Send {
    /// The name under which a checkpoint keeps this callback's state. The type's, unless overridden.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }

    /// The run begins, anew or again.
    ///
    /// # Errors
    /// Any: it stops the run, here and below.
    fn run_started(&mut self, _plan: &Plan<'_>, _control: &mut Control) -> Result<()> {
        Ok(())
    }

    /// A batch is done, of training or of validation.
    ///
    /// # Errors
    /// Any.
    fn batch_ended(&mut self, _report: &BatchReport, _control: &mut Control) -> Result<()> {
        Ok(())
    }

    /// An epoch is done, its validation too.
    ///
    /// # Errors
    /// Any.
    fn epoch_ended(&mut self, _end: &EpochEnd<'_>, _control: &mut Control) -> Result<()> {
        Ok(())
    }

    /// The run is over, also if it failed: then this is called for every callback, and what it returns is dropped.
    ///
    /// # Errors
    /// Any.
    fn run_ended(&mut self, _end: &RunEnd<'_>) -> Result<()> {
        Ok(())
    }

    /// What this callback must know again if the run is resumed here; nothing by default. The same run must give the same bytes.
    ///
    /// # Errors
    /// Any: the checkpoint is then not written, and the run stops.
    fn state(&mut self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    /// Takes back what [`Callback::state`] gave. Not called where that was nothing.
    ///
    /// # Errors
    /// Any: the run is then not resumed.
    fn load_state(&mut self, _state: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// What a callback may ask of the run.
#[derive(Debug, Default)]
pub struct Control {
    pub(crate) stop: Option<String>,
    pub(crate) lr: Option<f64>,
}

impl Control {
    /// Asks the run to end after this batch or epoch, and says why. The run is then saved as it is, and can be resumed.
    pub fn stop(&mut self, why: impl Into<String>) {
        self.stop.get_or_insert(why.into());
    }

    /// Asks for this learning rate from the next step on. A schedule, where there is one, sets its own at its next step.
    pub fn set_lr(&mut self, lr: f64) {
        self.lr = Some(lr);
    }
}
