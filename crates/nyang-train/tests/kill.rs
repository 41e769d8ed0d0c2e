//! A run that is killed at any moment, again and again, and resumed each time ends with the same bytes as one that never was.
#![allow(clippy::unwrap_used)] // a test may fail loudly, its helpers too

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nyang_train::prelude::*;

/// Tells a copy of this program that it is to do the job in that folder.
const FOLDER: &str = "NYANG_TRAIN_TEST_FOLDER";

/// How often the job is killed.
const KILLS: usize = 20;

/// Writes a line for each epoch to a file. Its state is where the file ends; resumed, the file is cut there.
struct Log(PathBuf);

impl Callback for Log {
    fn name(&self) -> &'static str {
        "log"
    }
    fn epoch_ended(&mut self, end: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0).unwrap();
        writeln!(file, "{} {} {:?}", end.report.epoch, end.report.train_loss, end.report.values()).unwrap();
        Ok(())
    }
    fn state(&mut self) -> Result<Vec<u8>> {
        Ok(fs::metadata(&self.0).map_or(0, |file| file.len()).to_le_bytes().to_vec())
    }
    fn load_state(&mut self, state: &[u8]) -> Result<()> {
        let length = u64::from_le_bytes(state.try_into().unwrap());
        if let Ok(file) = File::options().write(true).open(&self.0) {
            file.set_len(length).unwrap();
        }
        Ok(())
    }
}

/// All that has a state: momentum, a schedule by step, an average of the weights, batch norm, dropout, augmentation, groups of batches.
fn job(folder: &Path) {
    let few = Subset::new(Digits::load().unwrap(), (0..420).collect()).unwrap();
    let parts = few.split(Split::stratified(0.7, 0.3, 0.0).seed(1)).unwrap();
    let shift = transforms![RandomCrop::new(8, 8).padding(1)];
    let train = Loader::new(parts.train).batch_size(16).shuffle(1).transform(shift).last_batch(LastBatch::Merge).workers(1);
    let valid = Loader::new(parts.valid).batch_size(64);
    let model = Flow::input([1, 8, 8]).conv(8, 3).batch_norm().relu().dropout(0.2).linear(10).build(&mut Init::seed(1)).unwrap();
    let run = Trainer::new(model, CrossEntropy::new())
        .optimizer(AdamW::new(0.01))
        .schedule(OneCycle::new())
        .average(Ema::new(0.9))
        .epochs(6)
        .patience(3)
        .accumulate(2)
        .clip_norm(1.0)
        .checkpoint_every(Every::Steps(2))
        .resume(true)
        .callback(Log(folder.join("log.txt")))
        .fit(&train, &valid, folder)
        .unwrap();
    assert!(run.history.len() > 1 && run.stopped.is_none());
}

#[test]
fn the_job_of_a_copy_of_this_program() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        job(Path::new(&folder));
    }
}

fn start(folder: &Path) -> Child {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command.args(["--exact", "the_job_of_a_copy_of_this_program"]).env(FOLDER, folder).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// What must be the same: the model, the checkpoint with everything in it, the callback's file.
fn result(folder: &Path) -> [Vec<u8>; 3] {
    ["best.nyang", "checkpoint.nyang", "log.txt"].map(|name| fs::read(folder.join(name)).unwrap())
}

#[test]
fn killed_at_any_moment_and_resumed_it_ends_with_the_same_bytes() {
    let folders = tempfile::tempdir().unwrap();
    let whole = folders.path().join("whole");
    let began = Instant::now();
    assert!(start(&whole).wait().unwrap().success());
    let (expected, took) = (result(&whole), began.elapsed());

    let mut rng = Rng::seed(7);
    let (mut kills, mut runs, mut half_way) = (0, 0, 0);
    while kills < KILLS {
        let folder = folders.path().join(format!("killed {runs}"));
        runs += 1;
        loop {
            let mut child = start(&folder);
            // some moments before the first checkpoint, some while one is written, some near the end
            let until =
                if kills < KILLS { Instant::now() + took.mul_f64(rng.uniform() * 0.5) } else { Instant::now() + Duration::from_secs(600) };
            let ended = loop {
                match child.try_wait().unwrap() {
                    Some(status) => break Some(status),
                    None if Instant::now() >= until => break None,
                    None => std::thread::sleep(Duration::from_millis(1)),
                }
            };
            match ended {
                Some(status) => {
                    assert!(status.success(), "a resumed run failed");
                    break;
                }
                None => {
                    child.kill().unwrap(); // SIGKILL
                    child.wait().unwrap();
                    kills += 1;
                    half_way += usize::from(folder.join("checkpoint.nyang").exists());
                }
            }
        }
        assert!(result(&folder) == expected, "run {runs} differs after {kills} kills in all");
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 3, "nothing half-written stays: {left:?}");
    }
    assert!(half_way >= KILLS / 4, "{half_way} of {kills} kills came after the first checkpoint: that shows little");
}
