//! Our side of a training run, in a process of its own: the plainest loop, in either number type.

use std::path::Path;
use std::time::Instant;

use nyang_nn::{CrossEntropy, Ctx, Element, Kernels, Loss, StateValue, Targets, Tensor};
use nyang_optim::{Adam, Optimizer, Scheduler, Sgd, StepDecay};
use nyang_tensor::parallel::with_threads;
use nyang_train::Weights;
use serde_json::{Value, json};

use super::plan::PLANS;

type Anything = Box<dyn std::error::Error>;

/// Trains as the folder says, in `f32`, `f32_direct` or `f64`, and gives what PyTorch's script gives: all epochs and the test, or only the
/// first steps.
pub fn run(folder: &Path, variant: &str, most: Option<usize>) -> Result<Value, Anything> {
    let asked: Value = serde_json::from_slice(&std::fs::read(folder.join("plan.json"))?)?;
    let threads = asked["threads"].as_u64().map_or(1, |n| n as usize);
    let best = Kernels::default();
    with_threads(threads, || match variant {
        "f64" => train::<f64>(folder, &asked, best, most),
        "f32_direct" => train::<f32>(folder, &asked, best.exact(), most),
        _ => train::<f32>(folder, &asked, best, most),
    })
}

fn train<T: Element>(folder: &Path, asked: &Value, kernels: Kernels, most: Option<usize>) -> Result<Value, Anything> {
    let plan = PLANS.iter().find(|plan| asked["model"] == plan.model).ok_or("no such model")?;
    let size = |value: &Value| value.as_u64().map_or(0, |v| v as usize);
    let image = [0, 1, 2].map(|axis| size(&asked["image"][axis]));
    let given = Weights::<T>::read(folder.join("given.safetensors"))?;
    let array = |name: &str| match given.get(name) {
        Some(StateValue::Tensor(t)) => Ok((t.dims().to_vec(), t.to_vec())),
        _ => Err(format!("given.safetensors lacks {name}")),
    };
    let whole = |values: Vec<T>| values.into_iter().map(|v| v.to_f64() as usize).collect::<Vec<_>>();
    let ((_, train_x), (_, test_x)) = (array("train_x")?, array("test_x")?);
    let (train_y, test_y, (shape, order)) = (whole(array("train_y")?.1), whole(array("test_y")?.1), array("order")?);
    let order = whole(order);
    drop(given);
    let mut model = plan.build::<T>(image, size(&asked["classes"]), 0)?;
    Weights::<T>::read(folder.join("first.safetensors"))?.load_into(model.as_mut())?;
    let mut optimizer: Box<dyn Optimizer<T>> = match plan.optimizer {
        "adam" => Box::new(Adam::new(plan.lr)),
        _ => Box::new(Sgd::new(plan.lr).momentum(plan.momentum).weight_decay(plan.weight_decay)),
    };
    let mut schedule = Scheduler::start(StepDecay::new(plan.every, plan.gamma), &mut optimizer)?;
    let loss = CrossEntropy::new();

    let pixels = image.iter().product::<usize>();
    let batch = |images: &[T], chosen: &[usize]| {
        let values = chosen.iter().flat_map(|&i| images[i * pixels..][..pixels].iter().copied()).collect();
        Tensor::from_vec([chosen.len(), image[0], image[1], image[2]], values)
    };
    let most = most.unwrap_or(usize::MAX);
    let (mut losses, mut seconds) = (Vec::new(), Vec::new());
    for order in order.chunks(shape[1]) {
        let began = Instant::now();
        for chosen in order.chunks(plan.batch).take(most - losses.len()) {
            let mut cx = Ctx::train(0);
            cx.kernels = kernels;
            let logits = model.forward(batch(&train_x, chosen)?, &mut cx)?;
            let mean = loss.value_grad(&logits, &Targets::Classes(chosen.iter().map(|&i| train_y[i]).collect()))?.mean()?;
            model.backward_params(mean.gradient, &mut cx)?;
            optimizer.step(model.as_mut())?;
            losses.push(mean.value);
        }
        seconds.push(began.elapsed().as_secs_f64());
        schedule.step(&mut optimizer)?;
    }
    if losses.len() >= most {
        return Ok(json!({ "losses": losses, "peak_mb": peak_mb() }));
    }
    let mut right = 0;
    for chosen in (0..test_y.len()).collect::<Vec<_>>().chunks(256) {
        let classes = model.infer(batch(&test_x, chosen)?, &mut Ctx::eval())?.argmax(1)?;
        right += classes.iter().zip(chosen).filter(|(class, i)| **class == test_y[**i]).count();
    }
    Ok(json!({ "losses": losses, "seconds": seconds, "right": right, "tests": test_y.len(), "peak_mb": peak_mb() }))
}

/// The most memory that this process has had, where the system says it.
fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kb| kb / 1024.0)
}
