//! Progress bars in a terminal, plain lines elsewhere.

use std::fmt;
use std::io::{IsTerminal, Write, stderr};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::{BatchReport, Callback, Control, EpochEnd, Phase, Plan, Result};

/// Shows a run on standard error: in a terminal a bar for each phase, as tqdm does; and one line an epoch everywhere.
///
/// The library prints nothing by itself; give this to [`Trainer::callback`](crate::Trainer::callback) to see something.
#[derive(Default)]
pub struct Progress {
    bar: Option<ProgressBar>,
    epochs: usize,
}

impl Progress {
    /// A display that has shown nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// `epoch 3 train:  40%|████▎     | 20/50 [1s<2s, 19.6 it/s, loss 0.051, acc 0.984]`
fn style() -> ProgressStyle {
    const TEMPLATE: &str = "{prefix}: {percent:>3}%|{bar:24}| {pos}/{len} [{elapsed}<{eta}, {rate}, {msg}]";
    let rate = |state: &ProgressState, to: &mut dyn fmt::Write| {
        let _ = write!(to, "{:.1} it/s", state.per_sec()); // a display that cannot be written shows nothing
    };
    let plain = ProgressStyle::default_bar();
    plain.clone().template(TEMPLATE).map_or(plain, |style| style.with_key("rate", rate).progress_chars("█▉▊▋▌▍▎▏ "))
}

impl Callback for Progress {
    fn run_started(&mut self, plan: &Plan<'_>, _: &mut Control) -> Result<()> {
        self.epochs = plan.epochs;
        Ok(())
    }

    fn batch_ended(&mut self, report: &BatchReport, _: &mut Control) -> Result<()> {
        if !stderr().is_terminal() {
            return Ok(());
        }
        let phase = match report.phase {
            Phase::Train => "train",
            Phase::Valid => "valid",
        };
        let bar = self.bar.get_or_insert_with(|| {
            ProgressBar::new(report.of as u64).with_style(style()).with_prefix(format!("epoch {} {phase}", report.epoch))
        });
        bar.set_message(format!("loss {:.3}, acc {:.3}", report.loss, report.accuracy));
        bar.set_position(report.done as u64);
        if report.done == report.of {
            bar.finish_and_clear();
            self.bar = None;
        }
        Ok(())
    }

    fn epoch_ended(&mut self, end: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
        let r = end.report;
        let mark = if r.improved { "  *" } else { "" };
        let width = self.epochs.to_string().len();
        // a closed standard error is no reason to stop training
        let _ = writeln!(
            stderr(),
            "epoch {:>width$}/{}  lr {:.2e}  train loss {:.4} acc {:.4}  valid loss {:.4} acc {:.4} F1 {:.4}{mark}",
            r.epoch,
            self.epochs,
            r.lr,
            r.train_loss,
            r.train_accuracy,
            r.valid_loss,
            r.valid_accuracy,
            r.valid_macro_f1,
        );
        Ok(())
    }
}
