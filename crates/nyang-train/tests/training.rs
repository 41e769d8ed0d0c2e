//! The trainer as a user meets it: accumulation, stopping, resuming, what is refused.
#![allow(clippy::unwrap_used)] // a test may fail loudly, its helpers too

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use nyang_train::prelude::*;
use nyang_train::{BatchReport, Outcome, Phase, Position};

/// 120 digits to learn from and 60 to choose by.
fn data() -> (Loader, Loader) {
    let few = Subset::new(Digits::load().unwrap(), (0..180).collect()).unwrap();
    let parts = few.split(Split::stratified(2.0 / 3.0, 1.0 / 3.0, 0.0).seed(1)).unwrap();
    (Loader::new(parts.train).batch_size(12).shuffle(1), Loader::new(parts.valid).batch_size(64))
}

fn model() -> Flow<f32> {
    Flow::input([1, 8, 8]).linear(24).relu().linear(10).build(&mut Init::seed(1)).unwrap()
}

fn trainer() -> Trainer {
    Trainer::new(model(), CrossEntropy::new()).optimizer(Sgd::new(0.1).momentum(0.9)).epochs(3)
}

fn state(model: &dyn Module<f32>) -> StateDict<f32> {
    StateDict::of(model).unwrap()
}

fn parameters(model: &dyn Module<f32>) -> Vec<f32> {
    let state = state(model);
    state.iter().flat_map(|(_, value)| if let nyang_nn::StateValue::Tensor(t) = value { t.to_vec() } else { vec![] }).collect()
}

/// What was called, in order, and what for.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Callback for Calls {
    fn run_started(&mut self, plan: &Plan<'_>, _: &mut Control) -> Result<()> {
        self.note(format!("started {} {} {:?}", plan.epochs, plan.train_batches, plan.resumed.map(|at| (at.epoch, at.batch, at.step))));
        Ok(())
    }
    fn batch_ended(&mut self, report: &BatchReport, _: &mut Control) -> Result<()> {
        if report.phase == Phase::Train {
            self.note(format!("batch {} {}", report.done, report.step));
        }
        Ok(())
    }
    fn epoch_ended(&mut self, end: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
        assert_eq!(end.valid.targets.len(), end.valid.sources.len());
        self.note(format!("epoch {}", end.report.epoch));
        Ok(())
    }
    fn run_ended(&mut self, end: &RunEnd<'_>) -> Result<()> {
        self.note(format!("ended {} {:?}", end.history.len(), end.outcome));
        Ok(())
    }
}

#[test]
fn groups_of_batches_are_the_batch_that_they_would_be_together_with_weights_and_ignored_samples() {
    // 10 batches of 12 in groups of 4, the last of 2, against batches of 48, the last of 24
    let loss = || CrossEntropy::new().class_weights((1..=10).map(f64::from).collect::<Vec<_>>()).ignore_index(3);
    let run = |size: usize, group: usize| {
        let folder = tempfile::tempdir().unwrap();
        let (train, valid) = data();
        let trainer = Trainer::new(model(), loss()).optimizer(Sgd::new(0.1)).epochs(2).accumulate(group);
        let last = Arc::new(Mutex::new(Vec::new()));
        let run = trainer.callback(Last(last.clone())).fit(&train.batch_size(size), &valid, folder.path()).unwrap();
        (run.history, last.lock().unwrap().clone())
    };
    /// Keeps the model's numbers after the last epoch: the run returns the best, which may be another.
    struct Last(Arc<Mutex<Vec<f32>>>);
    impl Callback for Last {
        fn epoch_ended(&mut self, end: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
            *self.0.lock().unwrap() = parameters(end.model);
            Ok(())
        }
    }
    let ((grouped, a), (together, b)) = (run(12, 4), run(48, 1));
    assert_eq!(grouped.iter().map(|r| r.step).collect::<Vec<_>>(), [3, 6], "a step a group, the smaller one too");
    assert_eq!(together.iter().map(|r| r.step).collect::<Vec<_>>(), [3, 6]);
    let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(a.len() > 1000 && worst <= 1e-6, "{worst:e}");
    assert!((grouped[1].train_loss - together[1].train_loss).abs() < 1e-6);
}

#[test]
fn a_schedule_is_stepped_once_a_group() {
    struct Rates(Arc<Mutex<Vec<(u64, f64)>>>);
    impl Callback for Rates {
        fn batch_ended(&mut self, report: &BatchReport, _: &mut Control) -> Result<()> {
            if report.phase == Phase::Train {
                self.0.lock().unwrap().push((report.step, report.lr));
            }
            Ok(())
        }
    }
    let (folder, (train, valid)) = (tempfile::tempdir().unwrap(), data());
    let rates = Arc::new(Mutex::new(Vec::new()));
    let halved = StepDecay::new(1, 0.5).per_step();
    let trainer = trainer().epochs(1).accumulate(4).schedule(halved).callback(Rates(rates.clone()));
    trainer.fit(&train, &valid, folder.path()).unwrap();
    let steps = [0, 0, 0, 1, 1, 1, 1, 2, 2, 3];
    let lrs = [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025];
    let expected: Vec<(u64, f64)> = steps.into_iter().zip(lrs).collect();
    assert_eq!(*rates.lock().unwrap(), expected);
}

#[test]
fn callbacks_are_told_in_order_and_of_the_end() {
    let (folder, (train, valid)) = (tempfile::tempdir().unwrap(), data());
    let calls = Calls::default();
    trainer().epochs(1).accumulate(8).callback(calls.clone()).fit(&train, &valid, folder.path()).unwrap();
    let mut expected = vec!["started 1 10 None".to_owned()];
    expected.extend((1..=10).map(|i| {
        format!(
            "batch {i} {}",
            if i < 8 {
                0
            } else if i < 10 {
                1
            } else {
                2
            }
        )
    }));
    expected.extend(["epoch 1".to_owned(), "ended 1 Finished".to_owned()]);
    assert_eq!(calls.all(), expected);
}

#[test]
fn a_run_that_is_stopped_half_way_and_resumed_is_the_run_that_was_not() {
    let fit = |folder: &Path, callback: Option<StopAt>, calls: &Calls| {
        let (train, valid) = data();
        let mut trainer = trainer().schedule(StepDecay::new(7, 0.7).per_step()).resume(true).callback(calls.clone());
        if let Some(callback) = callback {
            trainer = trainer.callback(callback);
        }
        trainer.fit(&train, &valid, folder).unwrap()
    };
    struct StopAt(u64);
    impl Callback for StopAt {
        fn batch_ended(&mut self, report: &BatchReport, control: &mut Control) -> Result<()> {
            if report.step == self.0 {
                control.stop("enough for today");
            }
            Ok(())
        }
    }
    let (whole, parts, calls) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Calls::default());
    let expected = fit(whole.path(), None, &Calls::default());
    for (stop, done) in [(4, 0), (10, 0), (23, 2)] {
        let run = fit(parts.path(), Some(StopAt(stop)), &calls);
        assert_eq!((run.stopped.as_deref(), run.history.len()), (Some("enough for today"), done), "stopped at step {stop}");
    }
    let run = fit(parts.path(), None, &calls);
    assert_eq!((&run.history, run.best_epoch, &run.stopped), (&expected.history, expected.best_epoch, &None));
    assert_eq!(state(run.model.as_ref()), state(expected.model.as_ref()));
    let read = |folder: &Path| std::fs::read(folder.join("best.nyang")).unwrap();
    assert!(read(whole.path()) == read(parts.path()));
    let started: Vec<String> = calls.all().into_iter().filter(|call| call.starts_with("started")).collect();
    assert_eq!(started[1..], ["started 3 10 Some((1, 4, 4))", "started 3 10 Some((1, 10, 10))", "started 3 10 Some((3, 3, 23))"]);

    let again = fit(parts.path(), None, &Calls::default());
    assert_eq!(again.history, expected.history, "a run that is over stays over");
}

#[test]
fn a_flag_stops_after_the_step() {
    struct Raise(Arc<AtomicBool>);
    impl Callback for Raise {
        fn batch_ended(&mut self, report: &BatchReport, _: &mut Control) -> Result<()> {
            self.0.store(report.done >= 3, Ordering::Relaxed);
            Ok(())
        }
    }
    let (folder, (train, valid), flag) = (tempfile::tempdir().unwrap(), data(), Arc::new(AtomicBool::new(false)));
    let run = trainer().accumulate(2).stop_flag(flag.clone()).callback(Raise(flag)).fit(&train, &valid, folder.path()).unwrap();
    assert_eq!(run.stopped.as_deref(), Some("asked to"));
    let calls = Calls::default();
    trainer().accumulate(2).resume(true).callback(calls.clone()).fit(&train, &valid, folder.path()).unwrap();
    assert_eq!(calls.all()[..2], ["started 3 10 Some((1, 4, 2))", "batch 5 2"], "the group was finished first");
}

#[test]
fn early_stopping_counts_from_the_best_and_the_best_is_returned() {
    // a rate of 0 after the first epoch: nothing gets better, so the run ends after one epoch and `patience` more
    let (folder, (train, valid)) = (tempfile::tempdir().unwrap(), data());
    let calls = Calls::default();
    let still = StepDecay::new(1, 0.0);
    let run = trainer().epochs(50).patience(3).min_delta(1e-9).schedule(still).callback(calls.clone());
    let run = run.fit(&train, &valid, folder.path()).unwrap();
    assert_eq!((run.history.len(), run.best_epoch, run.stopped), (4, 1, None));
    assert_eq!(calls.all().last().unwrap(), "ended 4 EarlyStopped");
    let best = Classifier::load(&run.path).unwrap();
    assert_eq!(state(best.model.as_ref()), state(run.model.as_ref()));
    assert_eq!(best.card.metrics["valid_loss"], run.history[0].valid_loss);
}

#[test]
fn the_best_model_is_the_best_by_the_metric_that_was_asked_for() {
    let (folder, (train, valid)) = (tempfile::tempdir().unwrap(), data());
    let run = trainer().epochs(12).keep_best(Metric::MacroF1).fit(&train, &valid, folder.path()).unwrap();
    let best = run.history.iter().map(|r| r.valid_macro_f1).fold(f64::NEG_INFINITY, f64::max);
    let equal = run.history.iter().filter(|r| r.valid_macro_f1 == best);
    let lowest = equal.min_by(|a, b| a.valid_loss.total_cmp(&b.valid_loss)).unwrap();
    assert_eq!(run.best_epoch, lowest.epoch);
    assert!((run.best().unwrap().evaluate(&valid).unwrap().macro_f1() - run.history[run.best_epoch - 1].valid_macro_f1).abs() < 1e-12);
}

#[test]
fn the_average_of_the_weights_is_what_is_measured_and_kept() {
    let (folder, (train, valid)) = (tempfile::tempdir().unwrap(), data());
    let run = trainer().epochs(4).average(Ema::new(0.8)).fit(&train, &valid, folder.path()).unwrap();
    let measured = evaluate(run.model.as_ref(), &CrossEntropy::new(), &valid, &mut []).unwrap();
    assert_eq!(measured.loss, run.history[run.best_epoch - 1].valid_loss);
    let plain = tempfile::tempdir().unwrap();
    let other = trainer().epochs(4).fit(&train, &valid, plain.path()).unwrap();
    assert_eq!(other.history[3].train_loss, run.history[3].train_loss, "training goes on with the weights themselves");
    assert_ne!(other.history[3].valid_loss, run.history[3].valid_loss);
}

#[test]
fn a_plateau_lowers_the_rate_and_cannot_share_it_with_a_schedule() {
    let (folder, (train, valid)) = (tempfile::tempdir().unwrap(), data());
    let rule = || Plateau::new(ReduceOnPlateau::new(0.5).patience(0).threshold(0.9), Metric::Loss); // nothing is 90 % better
    let run = trainer().epochs(4).callback(rule()).fit(&train, &valid, folder.path()).unwrap();
    assert_eq!(run.history.iter().map(|r| r.lr).collect::<Vec<_>>(), [0.1, 0.1, 0.05, 0.025]);
    let both = trainer().overwrite(true).schedule(StepDecay::new(1, 0.5)).callback(rule()).fit(&train, &valid, folder.path());
    assert!(both.err().unwrap().to_string().contains("both set the learning rate"));
}

#[test]
fn a_loss_that_is_no_number_names_the_place_and_the_samples() {
    let (folder, (train, valid)) = (tempfile::tempdir().unwrap(), data());
    let calls = Calls::default();
    let error = trainer().optimizer(Sgd::new(1e30)).callback(calls.clone()).fit(&train, &valid, folder.path()).err().unwrap();
    let text = error.to_string();
    assert!(text.contains("in epoch 1, batch ") && text.contains("lower the learning rate") && text.contains("digits #"), "{text}");
    assert!(text.contains("at `") || text.contains("parameter `"), "{text}");
    assert!(text.contains(" and 9 more"), "{text}");
    assert!(calls.all().last().unwrap().starts_with("ended 0 Failed"), "{:?}", calls.all());
}

#[test]
fn an_earlier_run_is_neither_replaced_nor_continued_unless_asked_for_and_only_with_the_same_settings() {
    let (folder, (train, valid)) = (tempfile::tempdir().unwrap(), data());
    trainer().fit(&train, &valid, folder.path()).unwrap();
    let said = |trainer: Trainer, train: &Loader| trainer.fit(train, &valid, folder.path()).err().unwrap().to_string();
    assert!(said(trainer(), &train).contains("an earlier run is here"));
    let error = said(trainer().resume(true).optimizer(Adam::new(0.1)).accumulate(2), &train);
    assert!(error.contains("optimizer was Sgd, now Adam; accumulate was 1, now 2;"), "{error}");
    assert!(said(trainer().resume(true), &train.clone().shuffle(2)).contains("order of the first epoch"));
    assert!(said(trainer().resume(true).overwrite(true), &train).contains("replaced or resumed"));
    // without a schedule a run may become longer
    let longer = trainer().resume(true).epochs(5).fit(&train, &valid, folder.path()).unwrap();
    assert_eq!(longer.history.len(), 5);
    let scheduled = || trainer().overwrite(true).schedule(StepDecay::new(1, 0.5));
    scheduled().fit(&train, &valid, folder.path()).unwrap();
    assert!(said(scheduled().overwrite(false).resume(true).epochs(5), &train).contains("epochs was 3, now 5"));
}

#[test]
fn settings_that_cannot_work_are_errors_before_anything_is_written() {
    let (folder, (train, valid)) = (tempfile::tempdir().unwrap(), data());
    let run = folder.path().join("run");
    for (say, trainer) in [
        ("epochs = 0", trainer().epochs(0)),
        ("patience = 0", trainer().patience(0)),
        ("accumulate = 0", trainer().accumulate(0)),
        ("checkpoint_every = 0", trainer().checkpoint_every(Every::Steps(0))),
        ("checkpoint_every = 0", trainer().checkpoint_every(Every::Epochs(0))),
        ("min_delta = -1", trainer().min_delta(-1.0)),
        ("min_delta = NaN", trainer().min_delta(f64::NAN)),
        ("clip_norm = 0", trainer().clip_norm(0.0)),
        ("clip_norm = NaN", trainer().clip_norm(f64::NAN)),
        ("lr = -1", trainer().optimizer(Sgd::new(-1.0))),
        ("decay = 2", trainer().average(Ema::new(2.0))),
    ] {
        let error = trainer.fit(&train, &valid, &run).err().unwrap().to_string();
        assert!(error.contains(say), "expected `{say}` in: {error}");
        assert!(!run.exists(), "{say}");
    }
    let other = Flow::input([1, 8, 8]).linear(7).build::<f32>(&mut Init::seed(1)).unwrap();
    let error = Trainer::new(other, CrossEntropy::new()).fit(&train, &valid, &run).err().unwrap().to_string();
    assert!(error.contains("one logit a class, [1, 10], got [1, 7]"), "{error}");
}

#[test]
fn folders_and_files_that_fail_are_errors_that_name_them_and_the_best_model_stays() {
    let (folder, (train, valid)) = (tempfile::tempdir().unwrap(), data());
    let at = |name: &str| folder.path().join(name);
    let fit = |trainer: Trainer, run: &Path| trainer.fit(&train, &valid, run).err().unwrap().to_string();

    std::fs::write(at("file"), "in the way").unwrap();
    let error = fit(trainer(), &at("file"));
    assert!(error.contains("file: cannot write"), "{error}");
    let error = fit(trainer(), &at("file/below"));
    assert!(error.contains("file/below: cannot write"), "{error}");

    // the folder vanishes during the run
    struct Vanish(std::path::PathBuf);
    impl Callback for Vanish {
        fn epoch_ended(&mut self, end: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
            if end.report.epoch == 1 {
                std::fs::remove_dir_all(&self.0).unwrap();
            }
            Ok(())
        }
    }
    let error = fit(trainer().callback(Vanish(at("vanishing"))), &at("vanishing"));
    assert!(error.contains("vanishing/checkpoint.nyang: cannot write") && error.contains("create the folder first"), "{error}");

    // the best model cannot be written any more: the checkpoint is whole and the run goes on from it once there is room
    struct Block(std::path::PathBuf);
    impl Callback for Block {
        fn epoch_ended(&mut self, end: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
            if end.report.epoch == 1 {
                std::fs::rename(&self.0, self.0.with_extension("kept")).unwrap();
                std::fs::create_dir(&self.0).unwrap();
            }
            Ok(())
        }
    }
    let best = at("blocked/best.nyang");
    let error = fit(trainer().callback(Block(best.clone())), &at("blocked"));
    assert!(error.contains("best.nyang: cannot write: is a directory"), "{error}");
    assert!(Classifier::load(best.with_extension("kept")).is_ok(), "the previous best is whole");
    std::fs::remove_dir(&best).unwrap();
    let resumed = trainer().resume(true).fit(&train, &valid, at("blocked")).unwrap();
    let whole = trainer().fit(&train, &valid, at("whole")).unwrap();
    assert_eq!(resumed.history, whole.history);

    // a damaged checkpoint is not resumed
    let checkpoint = at("whole/checkpoint.nyang");
    let mut bytes = std::fs::read(&checkpoint).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&checkpoint, &bytes).unwrap();
    assert!(fit(trainer().resume(true), &at("whole")).contains("checkpoint.nyang: corrupted"));
    std::fs::write(&checkpoint, &bytes[..bytes.len() / 2]).unwrap();
    assert!(fit(trainer().resume(true), &at("whole")).contains("checkpoint.nyang: truncated"));
    std::fs::copy(at("whole/best.nyang"), &checkpoint).unwrap();
    assert!(fit(trainer().resume(true), &at("whole")).contains("expected a NyangTorch checkpoint file, this is a model file"));
}

#[test]
fn an_error_of_a_callback_stops_the_run_and_all_are_told() {
    struct Fails;
    impl Callback for Fails {
        fn epoch_ended(&mut self, _: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
            Err(Error::argument("Fails", "mood", "bad", "must be good"))
        }
    }
    let (folder, (train, valid), calls) = (tempfile::tempdir().unwrap(), data(), Calls::default());
    let error = trainer().callback(Fails).callback(calls.clone()).fit(&train, &valid, folder.path()).err().unwrap().to_string();
    assert_eq!(error, "Fails: mood = bad is not valid: must be good");
    assert!(calls.all().last().unwrap().starts_with("ended 0 Failed"));
    let _ = (Outcome::Finished, Position::default());
}

#[test]
fn a_first_checkpoint_is_there_before_the_first_step() {
    struct Look(std::path::PathBuf);
    impl Callback for Look {
        fn batch_ended(&mut self, report: &BatchReport, _: &mut Control) -> Result<()> {
            assert!(report.done > 1 || report.step > 1 || self.0.join("checkpoint.nyang").exists());
            Ok(())
        }
    }
    let (folder, (train, valid)) = (tempfile::tempdir().unwrap(), data());
    trainer().epochs(1).callback(Look(folder.path().into())).fit(&train, &valid, folder.path()).unwrap();
}
