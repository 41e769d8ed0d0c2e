//! What happened in a run, in the formats of the tools that people already have.
//!
//! | callback | writes | read by |
//! |---|---|---|
//! | [`CsvLog`] | `history.csv`: a row an epoch | spreadsheets, pandas |
//! | [`JsonLines`] | `history.jsonl`: an object an epoch | scripts |
//! | [`TensorBoard`] | `tensorboard/`: curves, images, histograms | `tensorboard --logdir RUN` |
//! | [`Wandb`] | `wandb/offline-run-…`: configuration, curves, images, system | `wandb sync RUN/wandb/offline-run-…`, `wandb leet` |
//!
//! Nothing is sent anywhere: Weights & Biases' run is a folder that its own client uploads when its user says so.
//!
//! A resumed run goes on in the same files. Each callback keeps in the checkpoint where its file ended; what was written after that is cut
//! off, because it happens again. A file that is gone or shorter than that is begun anew.
//!
//! These files may look at the clock, and nothing else in the libraries does: time stamps are what they are for. `history.csv` and
//! `history.jsonl` have none, so that the same run gives the same bytes.
//!
//! ```
//! # use nyang_train::prelude::*;
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().join("run");
//! # let train = Loader::new(Digits::load()?).batch_size(256).shuffle(1);
//! # let valid = Loader::new(Digits::load()?).batch_size(256);
//! # let model = Flow::input([1, 8, 8]).linear(10).build(&mut Init::seed(1))?;
//! Trainer::new(model, CrossEntropy::new())
//!     .epochs(2)
//!     .callback(CsvLog::new())
//!     .callback(JsonLines::new())
//!     .callback(TensorBoard::new())
//!     .callback(Wandb::new("digits").name("linear"))
//!     .fit(&train, &valid, &folder)?;
//! let history = std::fs::read_to_string(folder.join("history.csv"))?;
//! assert_eq!(history.lines().count(), 3); // a heading and two epochs
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clock;
mod growing;
mod histogram;
mod history;
mod tensorboard;
mod wandb;

pub(crate) use clock::Stopwatch;
pub use histogram::Histogram;
pub use history::{CsvLog, JsonLines};
pub use tensorboard::{EventFile, TensorBoard};
pub use wandb::{Wandb, WandbRun};

use nyang_nn::{Module, Param, Path, Visit};

/// The histogram of each parameter, by its path.
fn histograms(model: &dyn Module<f32>) -> Vec<(String, Histogram)> {
    struct Each(Vec<(String, Histogram)>);
    impl Visit<f32> for Each {
        fn param(&mut self, at: Path<'_>, param: &Param<f32>) {
            self.0.push((at.to_string(), Histogram::of(&param.value.to_vec())));
        }
    }
    let mut each = Each(Vec::new());
    model.visit(Path::ROOT, &mut each);
    each.0
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::prelude::*;

    /// Stops a run after this step.
    struct Interrupt(Option<u64>);

    impl Callback for Interrupt {
        fn batch_ended(&mut self, report: &BatchReport, control: &mut Control) -> Result<()> {
            if Some(report.step) == self.0 {
                control.stop("on purpose");
            }
            Ok(())
        }
    }

    fn watched(folder: &Path, interrupt: Option<u64>) -> Run {
        let parts = Digits::load().unwrap().split(Split::stratified(0.1, 0.1, 0.8).seed(1)).unwrap();
        let renamed = |part: &dyn Dataset| {
            let samples: Vec<Sample> = (0..part.len()).map(|i| part.get(i).unwrap()).collect();
            let values = samples.iter().flat_map(|sample| sample.image.to_tensor().unwrap().to_vec());
            let bytes = values.map(|x| (x * 255.0) as u8).collect();
            let labels = samples.iter().map(|sample| sample.label).collect();
            InMemory::from_bytes([samples.len(), 8, 8, 1], bytes, labels, NAMES).unwrap()
        };
        let crop = transforms![RandomCrop::new(8, 8).padding(1)];
        let train = Loader::new(renamed(&parts.train)).batch_size(32).shuffle(1).transform(crop);
        let valid = Loader::new(renamed(&parts.valid)).batch_size(64);
        let model = Flow::input([1, 8, 8]).conv(8, 3).relu().linear(10).build(&mut Init::seed(1)).unwrap();
        Trainer::new(model, CrossEntropy::new())
            .optimizer(Adam::new(1e-2))
            .epochs(3)
            .note("architecture", "conv, linear: 냥")
            .callback(CsvLog::new())
            .callback(JsonLines::new())
            .callback(TensorBoard::new().every(1))
            .callback(Wandb::new("nyangtorch").name("every log").every(1))
            .callback(HtmlReport::new())
            .callback(Interrupt(interrupt))
            .checkpoint_every(Every::Steps(4))
            .resume(true)
            .fit(&train, &valid, folder)
            .unwrap()
    }

    const NAMES: [&str; 10] = ["고양이", "<b>bold</b>", "two & more", "three", "four", "five", "six", "seven", "eight", "a \"long\" name"];

    #[test]
    fn every_log_of_a_run_is_written_and_what_has_no_time_in_it_is_the_same_again() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let run = watched(first.path(), None);
        watched(second.path(), None);
        let read = |folder: &Path, name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        for name in ["history.csv", "history.jsonl", "report.html"] {
            assert!(read(first.path(), name) == read(second.path(), name), "{name} differs");
        }
        let csv = read(first.path(), "history.csv");
        let last = csv.lines().last().unwrap().split(',').nth(5).unwrap().to_owned();
        assert_eq!((csv.lines().count(), last.parse::<f64>().unwrap()), (4, run.history[2].valid_loss));
        assert_eq!(std::fs::read_dir(first.path().join("tensorboard")).unwrap().count(), 1);
        assert_eq!(std::fs::read_dir(first.path().join("wandb")).unwrap().count(), 1);
    }

    #[test]
    fn a_resumed_run_s_logs_are_those_of_a_run_that_was_not_interrupted() {
        let (whole, part) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        watched(whole.path(), None);
        assert!(watched(part.path(), Some(9)).stopped.is_some());
        assert!(watched(part.path(), Some(15)).stopped.is_some());
        watched(part.path(), None);
        let only = |folder: &Path, of: &str| {
            let files: Vec<_> = std::fs::read_dir(folder.join(of)).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(files.len(), 1, "{files:?}");
            files[0].clone()
        };
        for name in ["history.csv", "history.jsonl", "report.html"] {
            let [a, b] = [&whole, &part].map(|folder| std::fs::read_to_string(folder.path().join(name)).unwrap());
            assert!(a == b, "{name} differs");
        }
        let events = [&whole, &part].map(|folder| std::fs::metadata(only(folder.path(), "tensorboard")).unwrap().len());
        assert_eq!(events[0], events[1], "each point is there once, and takes the same place whenever it was written");
        let records = [&whole, &part].map(|folder| wandb::records_of(&only(folder.path(), "wandb")));
        assert_eq!(records[0], records[1]);
        assert_eq!(records[0], 2 + 3 + 3 + 2 * 18 + 3 * 3 + 2); // beginning, metrics, picture, steps, epochs, end
    }

    #[test]
    fn the_report_is_one_small_page_whose_names_are_text() {
        let folder = tempfile::tempdir().unwrap();
        watched(folder.path(), None);
        let html = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
        assert!(html.len() < 2_000_000, "{} bytes", html.len());
        assert!(html.contains("고양이") && html.contains("&lt;b&gt;bold&lt;/b&gt;") && !html.contains("<b>bold"));
        let outside = ["src=\"http", "href=", "url(", "<script", "@import"];
        assert!(outside.iter().all(|link| !html.contains(link)), "the page needs nothing but itself");
        for heading in ["Curves", "Confusion matrix", "Classes", "Worst mistakes", "Augmentation", "Configuration", "Model"] {
            assert!(html.contains(&format!("<h2>{heading}</h2>")), "{heading}");
        }
    }
}
