//! One epoch's batches, made on the calling thread or ahead of it by worker threads.
//!
//! Worker w of n makes the batches w, w + n, w + 2n, … and puts them in a queue of its own, which holds [`AHEAD`] and then makes it wait.
//! The consumer takes from the queues in turn. So the order is the order of the batches whatever the threads do, and memory is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

use crate::fetch::changed;
use crate::{Batch, Error, Loader, Result, Skipped};

/// How many finished batches a worker may have waiting.
const AHEAD: usize = 2;

/// The batches of one epoch, in order: an iterator of `Result<Batch>`. Made by [`Loader::epoch`].
///
/// A batch that fails is an error in its place, and the next one comes as if nothing had happened. What makes every batch impossible
/// ([`Loader::check`]) is the first and only item. Dropping it half-way stops its workers and waits for the sample each is reading.
#[derive(Debug)]
pub struct Epoch {
    work: Arc<Work>,
    next: usize,
    end: usize,
    crew: Option<Crew>,
    failed: Option<Error>,
}

impl Epoch {
    pub(crate) fn start(loader: &Loader, epoch: u64, first: usize) -> Self {
        let order = loader.check().and_then(|()| loader.order(epoch));
        let ready = order.and_then(|order| Ok((loader.repeats(&order)?, order)));
        let ((repeats, order), mut failed) = ready.map_or_else(|error| (Default::default(), Some(error)), |ready| (ready, None));
        let work = Arc::new(Work { loader: loader.clone(), epoch, order, repeats, stopped: AtomicBool::new(false) });
        let end = if failed.is_some() { first } else { loader.len().max(first) };
        let workers = loader.worker_count().min(end - first);
        let mut crew = None;
        if workers > 0 {
            match Crew::start(&work, first, end, workers) {
                Ok(started) => crew = Some(started),
                Err(error) => failed = Some(error),
            }
        }
        Epoch { work, next: first, end: if failed.is_some() { first } else { end }, crew, failed }
    }

    /// The position in the epoch of the batch that comes next: what [`Loader::epoch_from`] needs to go on from here.
    pub fn position(&self) -> usize {
        self.next
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        if self.next >= self.end {
            return None;
        }
        let batch = self.next;
        self.next += 1;
        let Some(crew) = &self.crew else { return Some(self.work.batch(batch)) };
        let made = crew.receive(batch);
        if self.next == self.end {
            self.crew = None; // all is made: the threads are ending
        }
        Some(made)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = if self.failed.is_some() { 1 } else { self.end - self.next };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Epoch {}
impl std::iter::FusedIterator for Epoch {}

/// All that making a batch takes, shared by the threads.
#[derive(Debug)]
struct Work {
    loader: Loader,
    epoch: u64,
    order: Vec<usize>,
    repeats: Vec<u32>, // of each place in the order; none where no sample comes twice
    stopped: AtomicBool,
}

impl Work {
    /// The batch at this position of the epoch.
    fn batch(&self, batch: usize) -> Result<Batch> {
        let range = self.loader.range(batch);
        let (start, indices) = (range.start, self.order.get(range).unwrap_or_default());
        let mut samples = Vec::with_capacity(indices.len());
        let mut skipped = Vec::new();
        for (place, &index) in indices.iter().enumerate() {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(Error::Lost { batch }); // nobody will see it
            }
            let repeat = self.repeats.get(start + place).copied().unwrap_or(0);
            match self.loader.read(index) {
                Ok((sample, done)) => {
                    let change = |sample| self.loader.transformed(self.epoch, index, repeat, (sample, done));
                    samples.push((index, changed(sample, change)?));
                }
                Err(error) if self.loader.skips() && error.is_unreadable() => skipped.push(Skipped { index, why: error.to_string() }),
                Err(error) => return Err(error),
            }
        }
        if let (true, Some(first)) = (samples.is_empty(), skipped.first()) {
            return Err(Error::AllSkipped { batch, samples: skipped.len(), first: first.why.clone() });
        }
        let mut made = Batch { skipped, ..Batch::new(samples)? };
        if let Some(normalize) = self.loader.normalization() {
            made.images = normalize.apply(made.images)?; // as long as they are in the processor's cache
        }
        self.loader.mixed(self.epoch, batch, made)
    }
}

/// The worker threads of one epoch. Dropping it ends them.
#[derive(Debug)]
struct Crew {
    work: Arc<Work>,
    queues: Vec<Receiver<Result<Batch>>>,
    threads: Vec<JoinHandle<()>>,
    first: usize,
}

impl Crew {
    fn start(work: &Arc<Work>, first: usize, end: usize, workers: usize) -> Result<Self> {
        let mut crew = Crew { work: work.clone(), queues: Vec::new(), threads: Vec::new(), first };
        for worker in 0..workers {
            let (queue, taken) = sync_channel(AHEAD);
            let work = work.clone();
            // its loops stay on this thread: the team is for who trains meanwhile
            let batches = move || {
                for batch in (first + worker..end).step_by(workers) {
                    if queue.send(work.batch(batch)).is_err() {
                        return; // the epoch was dropped
                    }
                }
            };
            let run = move || nyang_tensor::parallel::with_threads(1, batches);
            let thread = Builder::new().name(format!("nyang-data worker {worker}")).spawn(run);
            crew.threads.push(thread.map_err(|cause| Error::Thread { worker, cause })?);
            crew.queues.push(taken);
        }
        Ok(crew)
    }

    fn receive(&self, batch: usize) -> Result<Batch> {
        let queue = self.queues.get((batch - self.first) % self.queues.len().max(1));
        queue.and_then(|queue| queue.recv().ok()).unwrap_or(Err(Error::Lost { batch }))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.work.stopped.store(true, Ordering::Relaxed);
        self.queues.clear(); // whoever waits to put a batch in wakes up with an error
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a panic has shown as a lost batch
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Custom, Dataset, Image, InMemory, Pixels, RandomCrop, Sample, Source, transforms};
    use nyang_tensor::{Rng, Tensor};
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
    use std::sync::atomic::AtomicUsize;

    fn numbered(n: usize) -> InMemory {
        InMemory::new(Tensor::from_fn([n, 1, 3, 3], |i| i as f32).unwrap(), vec![0; n], ["a"]).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn batches_are_the_same_for_any_number_of_workers(n in 1usize..60, size in 1usize..20, seed in any::<u64>(), epoch in any::<u64>()) {
            let loader = Loader::new(numbered(n)).batch_size(size).shuffle(seed).transform(transforms![RandomCrop::new(3, 3).padding(2)]);
            let alone: Vec<Batch> = loader.epoch(epoch).map(Result::unwrap).collect();
            let mut indices: Vec<usize> = alone.iter().flat_map(|b| b.indices.clone()).collect();
            indices.sort_unstable();
            prop_assert_eq!(indices, (0..n).collect::<Vec<_>>());
            for workers in [1, 4] {
                let made: Vec<Batch> = loader.clone().workers(workers).epoch(epoch).map(Result::unwrap).collect();
                prop_assert_eq!(&made, &alone);
            }
        }
    }

    #[derive(Clone, Copy)]
    enum Fault {
        Fails,
        Panics,
        Label,
        Shape,
        Index,
    }

    /// Ten samples, of which number 5 is at fault.
    struct Faulty {
        fault: Fault,
        classes: Vec<String>,
        read: Arc<AtomicUsize>,
    }

    impl Dataset for Faulty {
        fn len(&self) -> usize {
            10
        }
        fn classes(&self) -> &[String] {
            &self.classes
        }
        fn source(&self, index: usize) -> Source {
            Source::file(format!("photos/{index}.png"))
        }
        fn get(&self, index: usize) -> Result<Sample> {
            self.read.fetch_add(1, Ordering::SeqCst);
            let mut sample = Sample { image: Image::from_bytes(2, 2, 1, vec![0; 4])?, label: 0, source: self.source(index) };
            match self.fault {
                _ if index != 5 => {}
                Fault::Fails => return Err(Error::sample(self.source(index), "unexpected end of file")),
                Fault::Panics => panic!("odd number {}", index),
                Fault::Label => sample.label = 2,
                Fault::Shape => sample.image = Image::from_bytes(2, 3, 1, vec![0; 6])?,
                Fault::Index => return Err(Error::Index { index, len: 0 }),
            }
            Ok(sample)
        }
    }

    fn faulty(fault: Fault) -> Faulty {
        Faulty { fault, classes: vec!["a".into(), "b".into()], read: Arc::default() }
    }

    #[test]
    fn a_bad_sample_is_an_error_with_its_file_and_the_other_batches_come() {
        let cases = [
            (Fault::Fails, "photos/5.png: unexpected end of file"),
            (Fault::Panics, "photos/5.png: the code that reads or transforms it panicked: odd number 5"),
            (Fault::Label, "photos/5.png: label 2 is no class; there are 2, so labels run from 0 to 1"),
            (Fault::Shape, "photos/4.png is [1, 2, 2], photos/5.png is [1, 2, 3]"),
            (Fault::Index, "photos/5.png: there is no sample 5"),
        ];
        for (fault, said) in cases {
            for workers in [0, 1, 4] {
                let made: Vec<_> = Loader::new(faulty(fault)).batch_size(2).workers(workers).epoch(0).collect();
                assert_eq!(made.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true, true]);
                let error = made[2].as_ref().unwrap_err();
                assert!(error.to_string().contains(said), "{error}, {workers} workers");
                assert_eq!(error.blames().unwrap().path().unwrap().to_str(), Some("photos/5.png"));
            }
        }
    }

    #[test]
    fn an_unreadable_sample_is_left_out_and_counted_only_when_asked() {
        for (workers, size) in [(0, 4), (1, 4), (4, 4), (2, 3)] {
            let loader = Loader::new(faulty(Fault::Fails)).batch_size(size).shuffle(3).workers(workers);
            let whole: Vec<Vec<usize>> = loader.order(0).unwrap().chunks(size).map(<[usize]>::to_vec).collect();
            let made: Vec<Batch> = loader.skip_unreadable().epoch(0).map(Result::unwrap).collect();
            for (batch, whole) in made.iter().zip(&whole) {
                let rest: Vec<usize> = whole.iter().copied().filter(|&i| i != 5).collect();
                assert_eq!((&batch.indices, batch.images.dims()[0]), (&rest, rest.len()));
            }
            let skipped: Vec<Skipped> = made.iter().flat_map(|batch| batch.skipped.clone()).collect();
            assert_eq!(skipped, [Skipped { index: 5, why: "photos/5.png: unexpected end of file".into() }]);
        }
        let alone: Vec<_> = Loader::new(faulty(Fault::Fails)).batch_size(1).skip_unreadable().epoch(0).collect();
        let error = alone[5].as_ref().unwrap_err().to_string();
        assert_eq!(error, "Loader: all 1 samples of batch 5 are unreadable: photos/5.png: unexpected end of file");
        for fault in [Fault::Panics, Fault::Label, Fault::Shape] {
            assert_eq!(Loader::new(faulty(fault)).skip_unreadable().epoch(0).filter(|batch| batch.is_err()).count(), 1);
        }
    }

    #[test]
    fn a_bad_transform_is_an_error_with_the_sample() {
        let nine = |image: &Image| matches!(image.pixels(), Pixels::F32(values) if values[0] == 9.0);
        let panics = move |image: Image, _: &mut Rng| if nine(&image) { panic!("nine") } else { Ok(image) };
        let cases = [
            (transforms![Custom::new("panics", panics)], "sample #1: the code that reads or transforms it panicked: nine"),
            (transforms![RandomCrop::new(4, 4)], "sample #0: RandomCrop: size = 4 × 4 is not valid"),
        ];
        for (transforms, said) in cases {
            for workers in [0, 1] {
                let error = Loader::new(numbered(2))
                    .transform(transforms.clone())
                    .workers(workers)
                    .epoch(0)
                    .next()
                    .unwrap()
                    .unwrap_err()
                    .to_string();
                assert!(error.starts_with(said), "{error}");
            }
        }
    }

    #[test]
    fn dropping_an_epoch_ends_its_workers() {
        let set = faulty(Fault::Fails);
        let read = set.read.clone();
        let loader = Loader::new(set).batch_size(1).workers(2);
        let mut epoch = loader.epoch(0);
        epoch.next().unwrap().unwrap();
        let crew = epoch.crew.as_ref().unwrap();
        let work = Arc::downgrade(&crew.work);
        assert_eq!(crew.threads.len(), 2);
        drop(epoch);
        assert_eq!(work.strong_count(), 0); // each thread held one
        let after = read.load(Ordering::SeqCst);
        assert!(after <= 2 * 3 + 1, "{after} samples were read ahead"); // two waiting and one in hand each, and the one taken
    }

    #[test]
    fn a_worker_that_is_told_to_stop_reads_no_further_sample() {
        let set = faulty(Fault::Fails);
        let read = set.read.clone();
        let mut epoch = Loader::new(set).epoch(0);
        epoch.work.stopped.store(true, Ordering::Relaxed);
        assert!(matches!(epoch.next(), Some(Err(Error::Lost { batch: 0 }))));
        assert_eq!(read.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_worker_that_is_gone_is_an_error_and_not_a_hang() {
        struct Nameless(Vec<String>);
        impl Dataset for Nameless {
            fn len(&self) -> usize {
                3
            }
            fn classes(&self) -> &[String] {
                &self.0
            }
            fn source(&self, _: usize) -> Source {
                panic!("not even a name")
            }
            fn get(&self, index: usize) -> Result<Sample> {
                Err(Error::Index { index, len: 0 })
            }
        }
        let made: Vec<_> = Loader::new(Nameless(vec!["a".into()])).batch_size(1).workers(1).epoch(0).collect();
        assert!(matches!(made[..], [Err(Error::Lost { batch: 0 }), Err(Error::Lost { batch: 1 }), Err(Error::Lost { batch: 2 })]));
    }
}
