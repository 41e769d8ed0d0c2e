//! Memory stays flat over epochs.
#![allow(clippy::unwrap_used)] // a test may fail loudly, its helpers too
#![cfg(target_os = "linux")] // where the system says how much a process has

use nyang_train::prelude::*;

/// Kilobytes of memory that this process has.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
}

/// The memory after each epoch.
struct Watch(std::sync::Arc<std::sync::Mutex<Vec<usize>>>);

impl Callback for Watch {
    fn epoch_ended(&mut self, _: &EpochEnd<'_>, _: &mut Control) -> Result<()> {
        self.0.lock().unwrap().push(resident());
        Ok(())
    }
}

#[test]
fn fifty_epochs_need_no_more_memory_than_ten() {
    let parts = Subset::new(Digits::load().unwrap(), (0..400).collect()).unwrap().split(Split::stratified(0.5, 0.5, 0.0)).unwrap();
    let shift = transforms![RandomCrop::new(8, 8).padding(1)];
    let train = Loader::new(parts.train).batch_size(32).shuffle(1).transform(shift).workers(2);
    let valid = Loader::new(parts.valid).batch_size(64).workers(1);
    let model = Flow::input([1, 8, 8]).conv(16, 3).batch_norm().relu().dropout(0.1).linear(10).build(&mut Init::seed(1)).unwrap();
    let (folder, seen) = (tempfile::tempdir().unwrap(), std::sync::Arc::default());
    let trainer = Trainer::new(model, CrossEntropy::new()).optimizer(AdamW::new(1e-3)).average(Ema::new(0.99)).epochs(50);
    trainer.callback(Watch(std::sync::Arc::clone(&seen))).fit(&train, &valid, folder.path()).unwrap();
    let seen = seen.lock().unwrap();
    let grown = seen[49].saturating_sub(seen[9]);
    assert!(grown < 3_000, "{grown} kB more after epoch 50 than after epoch 10: {seen:?}"); // an epoch's activations are 2 MB
}
