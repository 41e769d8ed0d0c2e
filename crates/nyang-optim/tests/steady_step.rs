//! A steady training step makes no large allocation: after the first steps every large block comes from the pool.
//!
//! One test in a file of its own, because the counting allocator sees every thread of the process.
#![allow(clippy::unwrap_used)] // a test may fail loudly, its helpers too
#![allow(unsafe_code)] // an allocator that counts

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use nyang_nn::{CrossEntropy, Ctx, Init, Loss, Module, Result, Rng, Shape, Targets, Tensor, zoo};
use nyang_optim::{Adam, Optimizer, Sgd};

/// The system's allocator, which notes the largest request while it is watched.
struct Watched;

static WATCHING: AtomicBool = AtomicBool::new(false);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

impl Watched {
    fn note(&self, bytes: usize) {
        if WATCHING.load(Relaxed) {
            LARGEST.fetch_max(bytes, Relaxed);
        }
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.note(size);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// The largest allocation of five steps after five others.
fn largest(mut model: impl Module<f32>, image: [usize; 3], mut optimizer: impl Optimizer<f32>) -> Result<usize> {
    let [c, h, w] = image;
    let images = Tensor::normal(Shape::from([64, c, h, w]), 0.0, 1.0, &mut Rng::seed(1))?;
    let targets = Targets::Classes((0..64).map(|i| i % 10).collect());
    let mut step = || -> Result<()> {
        let mut cx = Ctx::train(1);
        let logits = model.forward(images.clone(), &mut cx)?;
        let loss = CrossEntropy::new().value_grad(&logits, &targets)?.mean()?;
        model.backward(loss.gradient, &mut cx)?;
        optimizer.step(&mut model).unwrap();
        Ok(())
    };
    for _ in 0..5 {
        step()?;
    }
    LARGEST.store(0, Relaxed);
    WATCHING.store(true, Relaxed);
    for _ in 0..5 {
        step()?;
    }
    WATCHING.store(false, Relaxed);
    Ok(LARGEST.load(Relaxed))
}

#[test]
fn a_steady_step_allocates_no_more_than_64_kib_at_once() {
    let init = &mut Init::seed(1);
    let lenet = largest(zoo::lenet(zoo::Task::new([1, 28, 28], 10), init).unwrap(), [1, 28, 28], Sgd::new(0.01).momentum(0.9)).unwrap();
    let resnet20 =
        largest(zoo::resnet20(zoo::Task::new([3, 32, 32], 10), init).unwrap(), [3, 32, 32], Sgd::new(0.01).momentum(0.9)).unwrap();
    let mlp = largest(zoo::mlp(zoo::Task::new([1, 28, 28], 10), init).unwrap(), [1, 28, 28], Adam::new(0.001)).unwrap();
    println!("largest allocation: lenet {lenet}, resnet20 {resnet20}, mlp {mlp} bytes");
    assert!(lenet > 0, "the allocator was not watched");
    for (name, bytes) in [("lenet", lenet), ("resnet20", resnet20), ("mlp", mlp)] {
        assert!(bytes <= 64 * 1024, "{name} allocates {bytes} bytes at once");
    }
}
