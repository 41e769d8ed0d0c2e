//! Progress bars in a terminal, plain lines elsewhere.

use std::fmt;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::{BatchReport, Callback, Control, EpochEnd, Outcome, Phase, Plan, Result, RunEnd};

/// Where there is no terminal: how long an epoch may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Shows a run on standard error: in a terminal a bar for each phase, as tqdm does; and one line an epoch everywhere.
///
/// ```text
/// epoch  3/20 train:  40%|█████████▋              | 20/50 [00:01<00:02, 19.6 it/s, loss=0.051, acc=0.984]
/// epoch  3/20  lr 1.00e-3  train loss 0.0512 acc 0.9840  valid loss 0.0633 acc 0.9801 F1 0.9799  *
/// ```
///
/// The star marks the best epoch so far. Where standard error is no terminal there are no bars; an epoch that takes long gets a line every
/// half minute.
///
/// The library prints nothing by itself: give this to [`Trainer::callback`](crate::Trainer::callback), or to
/// [`Classifier::evaluate_watched`](crate::Classifier::evaluate_watched), to see something.
#[derive(Default)]
pub struct Progress {
    bar: Option<ProgressBar>,
    lines: u32,
    epochs: usize,
}

impl Progress {
    /// A display that has shown nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the bar of a phase is called: `epoch  3/20 train`.
    fn title(&self, report: &BatchReport) -> String {
        let phase = match report.phase {
            Phase::Train => "train",
            Phase::Valid => "valid",
        };
        match self.epochs {
            0 => "evaluation".to_owned(), // of no run
            epochs => format!("epoch {:>width$}/{epochs} {phase}", report.epoch, width = epochs.to_string().len()),
        }
    }
}

fn style() -> ProgressStyle {
    const TEMPLATE: &str = "{prefix}: {percent:>3}%|{bar:24}| {pos}/{len} [{past}<{left}, {rate}, {msg}]";
    // a display that cannot be written shows nothing
    let rate = |state: &ProgressState, to: &mut dyn fmt::Write| {
        let _ = write!(to, "{:.1} it/s", state.per_sec());
    };
    let past = |state: &ProgressState, to: &mut dyn fmt::Write| {
        let _ = write!(to, "{}", Clock(state.elapsed()));
    };
    let left = |state: &ProgressState, to: &mut dyn fmt::Write| {
        let _ = write!(to, "{}", Clock(state.eta()));
    };
    let plain = ProgressStyle::default_bar();
    let own = |style: ProgressStyle| style.with_key("rate", rate).with_key("past", past).with_key("left", left).progress_chars("█▉▊▋▌▍▎▏ ");
    plain.clone().template(TEMPLATE).map_or(plain, own)
}

/// A time as tqdm writes it: `02:05`, `1:02:05`.
struct Clock(Duration);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        if hours > 0 { write!(f, "{hours}:{minutes:02}:{seconds:02}") } else { write!(f, "{minutes:02}:{seconds:02}") }
    }
}

/// A line on standard error. That it is closed is no reason to stop training.
fn line(text: fmt::Arguments<'_>) {
    let _ = writeln!(stderr(), "{text}");
}

impl Callback for Progress {
    fn run_started(&mut self, plan: &Plan<'_>, _: &mut Control) -> Result<()> {
        self.epochs = plan.epochs;
        if let Some(at) = plan.resumed {
            line(format_args!("resumed in epoch {}, after {} of {} batches", at.epoch, at.batch, plan.train_batches));
        }
        for finding in plan.findings {
            line(format_args!("note: {finding}"));
        }
        Ok(())
    }

    fn batch_ended(&mut self, report: &BatchReport, _: &mut Control) -> Result<()> {
        let terminal = stderr().is_terminal();
        let title = self.title(report);
        let bar = self.bar.get_or_insert_with(|| {
            let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
            ProgressBar::with_draw_target(Some(report.of as u64), target).with_style(style()).with_prefix(title.clone())
        });
        bar.set_message(format!("loss={:.3}, acc={:.3}", report.loss, report.accuracy));
        bar.set_position(report.done as u64);
        if !terminal && bar.elapsed() > SILENCE * (self.lines + 1) {
            self.lines += 1;
            let BatchReport { done, of, loss, accuracy, .. } = report;
            line(format_args!("{title}: {done}/{of} [{}<{}]  loss {loss:.4} acc {accuracy:.4}", Clock(bar.elapsed()), Clock(bar.eta())));
        }
        if report.done == report.of {
            bar.finish_and_clear();
            (self.bar, self.lines) = (None, 0);
        }
        Ok(())
    }

    fn epoch_ended(&mut self, end: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
        let r = end.report;
        line(format_args!(
            "epoch {:>width$}/{}  lr {:.2e}  train loss {:.4} acc {:.4}  valid loss {:.4} acc {:.4} F1 {:.4}{}",
            r.epoch,
            self.epochs,
            r.lr,
            r.train_loss,
            r.train_accuracy,
            r.valid_loss,
            r.valid_accuracy,
            r.valid_macro_f1,
            if r.improved { "  *" } else { "" },
            width = self.epochs.to_string().len(),
        ));
        Ok(())
    }

    fn run_ended(&mut self, end: &RunEnd<'_>) -> Result<()> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if matches!(end.outcome, Outcome::EarlyStopped) {
            line(format_args!("stopped early: it did not get better any more"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_tqdm_does() {
        let shown = |seconds| Clock(Duration::from_secs(seconds)).to_string();
        assert_eq!([0, 59, 125, 3600, 3725].map(shown), ["00:00", "00:59", "02:05", "1:00:00", "1:02:05"]);
    }
}
