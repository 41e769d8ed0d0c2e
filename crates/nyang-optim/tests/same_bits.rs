//! The same inputs give the same bits, whatever the number of threads and whatever else is in the batch.
#![allow(clippy::unwrap_used)] // a test may fail loudly, its helpers too

use nyang_nn::{CrossEntropy, Ctx, Init, Loss, Module, Rng, StateDict, Targets, Tensor, zoo};
use nyang_optim::{Adam, Optimizer};

/// The state after three steps of a small ResNet's training, and its answers, on so many threads.
fn trained(threads: usize) -> (StateDict<f32>, Vec<f32>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut model = zoo::resnet20::<f32>(zoo::Task::new([3, 32, 32], 10), &mut Init::seed(1)).unwrap();
        let mut adam = Adam::new(0.01);
        let images = Tensor::normal([9, 3, 32, 32], 0.0, 1.0, &mut Rng::seed(2)).unwrap();
        let targets = Targets::Classes(vec![0, 1, 2, 3, 4, 5, 6, 7, 8]);
        for step in 0..3 {
            let mut cx = Ctx::train(step);
            let logits = model.forward(images.clone(), &mut cx).unwrap();
            let loss = CrossEntropy::new().value_grad(&logits, &targets).unwrap().mean().unwrap();
            model.backward(loss.gradient, &mut cx).unwrap();
            adam.step(&mut model).unwrap();
        }
        let answers = model.infer(images, &mut Ctx::eval()).unwrap().to_vec();
        (StateDict::of(&model).unwrap(), answers)
    })
}

#[test]
fn training_gives_the_same_bits_on_one_two_and_five_threads() {
    let one = trained(1);
    assert!(one.1.iter().all(|v| v.is_finite()));
    for threads in [2, 5] {
        let more = trained(threads);
        assert_eq!(more.1, one.1, "answers differ on {threads} threads");
        assert!(more.0 == one.0, "states differ on {threads} threads");
    }
}

#[test]
fn a_samples_answer_does_not_depend_on_its_batch() {
    let model = zoo::resnet20::<f32>(zoo::Task::new([3, 32, 32], 10), &mut Init::seed(1)).unwrap();
    let lenet = zoo::lenet::<f32>(zoo::Task::new([1, 28, 28], 10), &mut Init::seed(1)).unwrap();
    for (model, shape) in [(&model as &dyn Module<f32>, [7, 3, 32, 32]), (&lenet, [7, 1, 28, 28])] {
        let images = Tensor::normal(shape, 0.0, 1.0, &mut Rng::seed(2)).unwrap();
        let together = model.infer(images.clone(), &mut Ctx::eval()).unwrap();
        for i in [0, 3, 6] {
            let alone = model.infer(images.slice(0, i..i + 1, 1).unwrap(), &mut Ctx::eval()).unwrap();
            assert_eq!(alone.to_vec(), together.select(0, i).unwrap().to_vec(), "sample {i}");
        }
    }
}
