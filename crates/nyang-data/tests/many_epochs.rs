//! Epoch after epoch, whole or broken off, takes no more memory and no more threads. Looks at Linux's own numbers of this process.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may fail loudly, and says what it skips

use nyang_data::{Cache, HorizontalFlip, ImageFolder, InMemory, Loader, Normalize, Oversample, RandomCrop, Resize, transforms};

/// A number of `/proc/self/status`: kilobytes, or threads.
fn status(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// One test, because both look at the whole process.
#[test]
fn memory_and_threads_stay_as_they_are() {
    if status("VmRSS:").is_none() {
        return println!("skipped: this system has no /proc/self/status");
    }
    // 64 images of 64 × 64 in files, so that every epoch decodes
    let place = tempfile::tempdir().unwrap();
    let values = (0..64 * 64 * 64 * 3).map(|i: usize| (i * 7919 % 251) as u8).collect();
    let set = InMemory::from_bytes([64, 64, 64, 3], values, (0..64).map(|i| i % 2).collect(), ["a", "b"]).unwrap();
    Oversample::new(transforms![]).write(&set, place.path().join("set")).unwrap();
    let set = ImageFolder::open(place.path().join("set")).unwrap();
    let vary = transforms![Resize::exact(48, 48), HorizontalFlip::new(0.5), RandomCrop::new(48, 48).padding(6)];
    let plain = Loader::new(set).batch_size(8).shuffle(1).transform(vary).normalize(Normalize::imagenet());
    let kept = plain.clone().workers(2).cache(Cache::memory(300_000)); // room for 43 of them

    let threads = status("Threads:").unwrap();
    let epochs = |range: std::ops::Range<u64>| {
        for epoch in range {
            for loader in [plain.clone().workers(2), kept.clone()] {
                assert_eq!(loader.epoch(epoch).map(|batch| batch.unwrap().len()).sum::<usize>(), 64);
                let broken_off = loader.epoch(epoch).take(3).map(|batch| batch.unwrap().len()).sum::<usize>();
                assert_eq!(broken_off, 24);
            }
        }
        status("VmRSS:").unwrap()
    };
    let warm = epochs(0..3);
    let after = epochs(3..23);
    // a batch is 221 kB: one that stays behind in an epoch would be 17 MB by now
    assert!(after < warm + 4 * 1024, "{warm} kB after 3 epochs, {after} kB after 23");
    assert_eq!(status("Threads:"), Some(threads)); // each epoch joins its workers before it is gone
}
