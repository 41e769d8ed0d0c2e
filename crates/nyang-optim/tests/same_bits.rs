//! The same inputs give the same bits, whatever the number of threads and whatever else is in the batch.
#![allow(clippy::unwrap_used)] // a test may fail loudly, its helpers too

use nyang_nn::{CrossEntropy, Ctx, Init, Linear, Loss, Module, Rng, StateDict, Targets, Tensor, zoo};
use nyang_optim::{Adagrad, Adam, AdamW, Ema, Lion, NAdam, Optimizer, RAdam, RmsProp, Sgd, clip_grad_norm};

/// The state after three steps of a small ResNet's training, and its answers, on so many threads.
fn trained(threads: usize) -> (StateDict<f32>, Vec<f32>) {
    nyang_tensor::parallel::with_threads(threads, || {
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

#[test]
fn every_optimizer_clipping_and_averages_give_the_same_bits_on_one_two_and_five_threads() {
    let optimizers = || -> Vec<Box<dyn Optimizer<f32>>> {
        vec![
            Box::new(Sgd::new(0.1).momentum(0.9).nesterov()),
            Box::new(Adam::new(0.1).amsgrad()),
            Box::new(AdamW::new(0.1)),
            Box::new(RmsProp::new(0.1).momentum(0.9).centered()),
            Box::new(Adagrad::new(0.1)),
            Box::new(NAdam::new(0.1)),
            Box::new(RAdam::new(0.1)),
            Box::new(Lion::new(0.1)),
        ]
    };
    let run = |threads: usize, mut optimizer: Box<dyn Optimizer<f32>>| {
        nyang_tensor::parallel::with_threads(threads, || {
            let mut model = Linear::config(257, 259).build::<f32>(&mut Init::seed(1)).unwrap(); // four chunks and a rest
            let (mut ema, mut rng, mut norm) = (Ema::new(0.9), Rng::seed(2), 0.0);
            for _ in 0..3 {
                model.weight.grad = Tensor::normal([259, 257], 0.0, 1.0, &mut rng).unwrap();
                norm += clip_grad_norm(&mut model, 10.0).unwrap();
                optimizer.step(&mut model).unwrap();
                ema.update(&model).unwrap();
            }
            (model.weight.value.to_vec(), ema.state().unwrap(), norm)
        })
    };
    for ((one, two), five) in optimizers().into_iter().zip(optimizers()).zip(optimizers()) {
        let kind = one.kind();
        let expected = run(1, one);
        assert!(run(2, two) == expected && run(5, five) == expected, "{kind}");
    }
}
