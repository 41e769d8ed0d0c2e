//! A run of Weights & Biases: its folder, and what is put into its file.

use std::fs;
use std::path::{Path, PathBuf};

use nyang_nn::{Rng, Value};

use super::records::{self, Item, field, number};
use super::run_file::RunFile;
use super::system::System;
use super::{Resume, Settings, json};
use crate::insight::Picture;
use crate::logs::clock::{calendar, now};
use crate::logs::histogram::Histogram;
use crate::{Error, Result};

/// A run that is being written, for a training loop of one's own; a [`Trainer`](crate::Trainer)'s is written by
/// [`Wandb`](super::Wandb).
///
/// ```text
/// RUNS/offline-run-20261126_003456-k3x9q2ab/run-k3x9q2ab.wandb      the records
///                                           files/media/images/     pictures
///                                           logs/                   empty; the client expects it
/// ```
///
/// ```
/// # use nyang_train::logs::WandbRun;
/// # let folder = tempfile::tempdir()?;
/// let mut run = WandbRun::start(folder.path(), "my project", Some("first try"), &[("lr".to_owned(), 0.1.into())])?;
/// for step in 0..100 {
///     run.log(&[("loss", 1.0 / (step + 1) as f64)])?;
/// }
/// run.finish(0)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct WandbRun {
    file: RunFile,
    folder: PathBuf,
    id: String,
    row: i64,
    started: f64,
    system: System,
}

impl WandbRun {
    /// A new run in the folder that runs are in, with its configuration.
    ///
    /// # Errors
    /// [`Error::File`], here and for whatever is logged.
    pub fn start(runs: impl AsRef<Path>, project: &str, name: Option<&str>, config: &[(String, Value)]) -> Result<Self> {
        let settings = Settings { project: project.to_owned(), name: name.map(str::to_owned), ..Settings::default() };
        Self::start_with(runs.as_ref(), &settings, config)
    }

    pub(super) fn start_with(runs: &Path, settings: &Settings, config: &[(String, Value)]) -> Result<Self> {
        let started = now();
        let (folder, id) = free_folder(runs, started)?;
        for part in ["files/media/images", "logs"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).map_err(|e| Error::file("write", &part, e))?;
        }
        let file = RunFile::create(folder.join(format!("run-{id}.wandb")))?;
        let mut run = WandbRun { file, folder, id, row: 0, started, system: System::start() };
        let config: Vec<Item> = config.iter().map(|(key, value)| (key.clone(), json(value))).collect();
        run.file.append(field::HEADER, records::header())?;
        run.file.append(field::RUN, records::run(&run.id, settings, &config, started))?;
        Ok(run)
    }

    /// The run as it was when it was saved; `None` if its file is gone or shorter.
    pub(super) fn cut_back(runs: &Path, resume: Resume) -> Result<Option<Self>> {
        let Resume { folder, id, length, record, row, started } = resume;
        let folder = runs.join(folder);
        let file = RunFile::cut_back(folder.join(format!("run-{id}.wandb")), length, record)?;
        Ok(file.map(|file| WandbRun { file, folder, id, row, started, system: System::start() }))
    }

    /// What is needed to go on here.
    pub(super) fn resume(&self) -> Resume {
        Resume {
            folder: self.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            id: self.id.clone(),
            length: self.file.length(),
            record: self.file.records(),
            row: self.row,
            started: self.started,
        }
    }

    /// The run's folder, which `wandb sync` and `wandb leet` are given.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many records the run has.
    pub fn records(&self) -> i64 {
        self.file.records()
    }

    /// Says how a metric is shown: over which other one, and whether its `"min"` or `"max"` stands for it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn define(&mut self, name: &str, over: Option<&str>, best: Option<&str>) -> Result<()> {
        self.file.append(field::METRIC, records::metric(name, over, best))
    }

    /// Logs a row: these values, at the next step.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn log(&mut self, values: &[(&str, f64)]) -> Result<()> {
        self.log_with_histograms(values, &[])
    }

    /// Logs a row that has histograms too.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn log_with_histograms(&mut self, values: &[(&str, f64)], histograms: &[(String, Histogram)]) -> Result<()> {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), number(*value)));
        self.append_row(values.chain(histograms.iter().map(|(name, h)| (name.clone(), records::histogram(h)))).collect())
    }

    /// Logs a picture as a row.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Data`] for a picture too large for a PNG.
    pub fn image(&mut self, name: &str, picture: &Picture, caption: &str) -> Result<()> {
        let png = picture.png()?;
        let path = format!("media/images/{}_{}_{:08x}.png", name.replace('/', "_"), self.row, crc32fast::hash(&png));
        let file = self.folder.join("files").join(&path);
        fs::write(&file, &png).map_err(|e| Error::file("write", &file, e))?;
        self.file.append(field::FILES, records::media(&path))?;
        let value = serde_json::json!({
            "_type": "image-file", "path": path, "format": "png", "width": picture.width(), "height": picture.height(),
            "size": png.len(), "caption": caption,
        });
        self.append_row(vec![(name.to_owned(), value.to_string())])
    }

    /// Sets values that stand for the whole run, such as the best accuracy.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn summarize(&mut self, values: &[(&str, f64)]) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let items: Vec<Item> = values.iter().map(|(name, value)| ((*name).to_owned(), number(*value))).collect();
        self.file.append(field::SUMMARY, records::summary(&items))
    }

    /// Logs this process's use of processor and memory, where the system says what it is.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn system(&mut self) -> Result<()> {
        let items = self.system.items();
        if items.is_empty() {
            return Ok(());
        }
        self.file.append(field::STATS, records::stats(now(), &items))
    }

    /// Ends the run with an exit code: 0 if it went well.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn finish(&mut self, code: i32) -> Result<()> {
        self.file.append(field::EXIT, records::exit(code, now() - self.started))
    }

    /// The summary first, then the row, as the Python client does.
    fn append_row(&mut self, mut items: Vec<Item>) -> Result<()> {
        let now = now();
        let own = [("_step", self.row as f64), ("_timestamp", now), ("_runtime", now - self.started)];
        items.extend(own.map(|(name, value)| (name.to_owned(), number(value))));
        self.file.append(field::SUMMARY, records::summary(&items))?;
        self.file.append(field::HISTORY, records::history(self.row, &items))?;
        self.row += 1;
        Ok(())
    }
}

/// A folder that nobody has yet, and the run's id in its name.
fn free_folder(runs: &Path, started: f64) -> Result<(PathBuf, String)> {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let [year, month, day, hour, minute, second] = calendar(started);
    for attempt in 0..100 {
        let mut rng = Rng::keyed([started.to_bits(), u64::from(std::process::id()), attempt, 0]);
        let id: String = (0..8).filter_map(|_| LETTERS.get(rng.below(LETTERS.len())).map(|&letter| char::from(letter))).collect();
        let folder = runs.join(format!("offline-run-{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}-{id}"));
        if !folder.exists() {
            return Ok((folder, id));
        }
    }
    Err(Error::file("write", runs, std::io::ErrorKind::AlreadyExists.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_goes_on_where_it_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = WandbRun::start(folder.path(), "p", None, &[]).unwrap();
        run.log(&[("a", 1.0)]).unwrap();
        let saved = run.resume();
        run.log(&[("a", 2.0)]).unwrap();
        run.finish(0).unwrap();
        let path = run.folder().join(format!("run-{}.wandb", saved.id));
        let whole = fs::read(&path).unwrap();

        let mut again = WandbRun::cut_back(folder.path(), saved.clone()).unwrap().unwrap();
        assert_eq!((again.resume(), again.records()), (saved.clone(), 4)); // header, run, summary, history
        assert_eq!(fs::read(&path).unwrap(), whole[..saved.length as usize]);
        again.log(&[("a", 2.0)]).unwrap();
        assert_eq!((again.records(), again.resume().row), (6, 2));
        fs::remove_file(&path).unwrap();
        assert!(WandbRun::cut_back(folder.path(), saved).unwrap().is_none());
    }

    #[test]
    fn runs_of_the_same_moment_have_folders_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let runs = [(); 3].map(|()| WandbRun::start(folder.path(), "p", None, &[]).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        assert!(runs.iter().all(|run| run.folder().join("files/media/images").is_dir() && run.id.len() == 8));
    }

    #[test]
    fn a_picture_is_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = WandbRun::start(folder.path(), "p", None, &[]).unwrap();
        run.image("train/batch", &Picture::new(2, 3, vec![7; 18]).unwrap(), "six pixels").unwrap();
        let images: Vec<_> = fs::read_dir(run.folder().join("files/media/images")).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(images.len(), 1);
        assert!(images[0].to_string_lossy().contains("train_batch_0_") && fs::read(&images[0]).unwrap().starts_with(b"\x89PNG"));
        assert_eq!(run.records(), 5); // header, run, files, summary, history
    }
}
