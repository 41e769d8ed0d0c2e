//! What is measured on our side: from the words of a case to a function that is called again and again.

use nyang_nn::{
    BatchNorm2d, Conv2d, CrossEntropy, Ctx, Flow, GlobalAvgPool2d, Init, Linear, Loss, MaxPool2d, Module, Registry, Relu, Residual, Rng,
    Shape, Targets, Tensor, optimize,
};
use nyang_optim::Optimizer;
use nyang_tensor::kernels::conv2d::{conv2d, conv2d_grad_input, conv2d_grad_weight};
use nyang_tensor::kernels::{Kernels, Window, conv2d::Conv2dGeometry, peak};
use nyang_tensor::parallel::{for_each, threads};

use super::models::{CLASSES, Entry, flops};

type Anything = Box<dyn std::error::Error>;
type Call = Box<dyn FnMut() -> Result<(), Anything>>;

/// A function to be measured, and how many operations a call has.
pub struct Work {
    /// What is called.
    pub call: Call,
    /// Its multiplications and additions, where they are counted.
    pub flops: Option<u64>,
}

/// The work that a case's words ask for: those of `case.rs`, which `bench/worker.py` understands too.
pub fn prepare(words: &[String]) -> Result<Work, Anything> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |i: usize| words.get(i).ok_or("a word is missing")?.parse::<usize>().map_err(Anything::from);
    let last = words.last().copied().unwrap_or_default();
    let entry = || Entry::named(words.get(1).copied().unwrap_or_default()).ok_or("no such model");
    match words.first().copied() {
        Some("train") => train(entry()?, number(2)?),
        Some("infer") => infer(entry()?, number(2)?),
        Some("epoch") => super::data::epoch(entry()?, number(2)?),
        Some("conv") => {
            let numbers: Vec<usize> = (1..9).map(number).collect::<Result<_, _>>()?;
            convolution(<[usize; 8]>::try_from(numbers).map_err(|_| "a convolution is eight numbers")?, last)
        }
        Some("layer") => {
            let (c, shape) = (number(3)?, Shape::from([number(2)?, number(3)?, number(4)?, number(4)?]));
            let module = layer(words.get(1).copied().unwrap_or_default(), c)?;
            module_work(module, random(shape)?.channels_last()?, last, None)
        }
        Some("linear") => {
            let [n, inputs, outputs] = [number(1)?, number(2)?, number(3)?];
            let module = Flow::new().then(Linear::config(inputs, outputs).build(&mut Init::seed(1))?);
            module_work(module, random(Shape::from([n, inputs]))?, last, Some(2 * (n * inputs * outputs) as u64))
        }
        Some("cross_entropy") => {
            let [n, classes] = [number(1)?, number(2)?];
            let (logits, targets) = (random(Shape::from([n, classes]))?, targets(n, classes));
            let call = move || CrossEntropy::new().value_grad(&logits, &targets).map(drop).map_err(Anything::from);
            Ok(Work { call: Box::new(call), flops: None })
        }
        Some("gemm") => {
            let n = number(1)?;
            let (a, b) = (random(Shape::from([n, n]))?, random(Shape::from([n, n]))?);
            Ok(Work { call: Box::new(move || a.matmul(&b).map(drop).map_err(Anything::from)), flops: Some(2 * (n as u64).pow(3)) })
        }
        Some("data") => super::data::prepare(words.get(1).copied().unwrap_or_default()),
        Some("optimizer") => optimizer(words.get(1) == Some(&"adam")),
        Some("peak") => {
            const ROUNDS: u64 = 1 << 20;
            let threads = threads();
            let call = move || {
                for_each(threads, |_| {
                    std::hint::black_box(peak::multiply_adds(ROUNDS));
                });
                Ok(())
            };
            Ok(Work { call: Box::new(call), flops: Some(threads as u64 * ROUNDS * peak::FLOPS_A_ROUND) })
        }
        other => Err(format!("no such work: {other:?}").into()),
    }
}

fn random(shape: Shape) -> Result<Tensor, Anything> {
    Ok(Tensor::normal(shape, 0.0, 1.0, &mut Rng::seed(1))?)
}

fn targets(n: usize, classes: usize) -> Targets<f32> {
    Targets::Classes((0..n).map(|i| i * 7 % classes).collect())
}

/// A whole training step: forward, loss, backward, optimizer.
fn train(entry: &'static Entry, n: usize) -> Result<Work, Anything> {
    let (mut model, mut optimizer) = (entry.build()?, entry.optimizer());
    let (images, targets) = (random(entry.batch(n))?, targets(n, CLASSES));
    let layers = flops(&model, entry.batch(n))?;
    // each layer thrice, forward and its two gradients; but nobody needs the gradient of the images
    let flops = 3 * layers.iter().sum::<u64>() - layers.first().copied().unwrap_or(0);
    let step = move || train_step(&mut model, optimizer.as_mut(), images.clone(), &targets);
    Ok(Work { call: Box::new(step), flops: Some(flops) })
}

/// Forward, loss, backward, optimizer.
pub fn train_step(model: &mut Flow, optimizer: &mut dyn Optimizer, images: Tensor, targets: &Targets) -> Result<(), Anything> {
    let mut cx = Ctx::train(1);
    let logits = model.forward(images, &mut cx)?;
    let loss = CrossEntropy::new().value_grad(&logits, targets)?.mean()?;
    model.backward_params(loss.gradient, &mut cx)?;
    Ok(optimizer.step(model)?)
}

/// Evaluation by the optimized model, as `Classifier::optimize` makes it; PyTorch freezes its.
fn infer(entry: &'static Entry, n: usize) -> Result<Work, Anything> {
    let (model, images) = (entry.build()?, random(entry.batch(n))?);
    let flops = flops(&model, entry.batch(n))?.iter().sum();
    let model = optimize(&model, &Registry::standard())?;
    let call = move || model.infer(images.clone(), &mut Ctx::eval()).map(drop).map_err(Anything::from);
    Ok(Work { call: Box::new(call), flops: Some(flops) })
}

fn convolution([n, c, o, size, kernel, stride, padding, groups]: [usize; 8], pass: &str) -> Result<Work, Anything> {
    let window = Window { stride: [stride; 2], padding: [[padding; 2]; 2], ..Window::new([kernel; 2]) };
    let geometry = Conv2dGeometry { window, groups };
    let x = random(Shape::from([n, c, size, size]))?.channels_last()?;
    let weight = random(Shape::from([o, c / groups.max(1), kernel, kernel]))?;
    let kernels = Kernels::default();
    let y = conv2d(&x, &weight, None, &geometry, kernels)?;
    let flops = Some(2 * (y.len() / o.max(1) * weight.len()) as u64);
    let input = *x.shape();
    let mut grad = Tensor::zeros(weight.shape())?;
    let call: Call = match pass {
        "fwd" => Box::new(move || Ok(conv2d(&x, &weight, None, &geometry, kernels).map(drop)?)),
        "input" => Box::new(move || Ok(conv2d_grad_input(&y, &weight, &input, &geometry, kernels).map(drop)?)),
        "weight" => Box::new(move || Ok(conv2d_grad_weight(&y, &x, &geometry, kernels, &mut grad)?)),
        other => return Err(format!("a convolution has no pass `{other}`").into()),
    };
    Ok(Work { call, flops })
}

fn layer(kind: &str, channels: usize) -> Result<Flow, Anything> {
    let flow = Flow::new();
    let norm = || BatchNorm2d::config(channels).build(&mut Init::seed(1));
    Ok(match kind {
        "batch_norm" => flow.then(norm()?),
        "batch_norm_relu" => flow.then(norm()?).then(Relu::new()),
        "relu" => flow.then(Relu::new()),
        "max_pool" => flow.then(MaxPool2d::config(2).build()?),
        "global_avg_pool" => flow.then(GlobalAvgPool2d::new()),
        "add" => flow.then(Residual::new(Flow::new())),
        "conv_relu" => flow.then(Conv2d::config(channels, channels, 3).padding(1).build(&mut Init::seed(1))?).then(Relu::new()),
        other => return Err(format!("no such layer: {other}").into()),
    })
}

/// A module's forward pass, or forward and backward.
fn module_work(mut module: Flow, x: Tensor, pass: &str, forward: Option<u64>) -> Result<Work, Anything> {
    let dy = random(module.out_shape(x.shape())?)?;
    let dy = if x.is_channels_last() { dy.channels_last()? } else { dy };
    let both = pass != "fwd";
    let call = move || {
        let mut cx = Ctx::train(1);
        module.forward(x.clone(), &mut cx)?;
        if both {
            module.backward(dy.clone(), &mut cx)?;
        }
        Ok(())
    };
    Ok(Work { call: Box::new(call), flops: forward.map(|f| if both { 3 * f } else { f }) })
}

/// A step of an optimizer over the eleven million parameters of a ResNet-18, whose gradients are zero.
fn optimizer(adam: bool) -> Result<Work, Anything> {
    let entry = |name| Entry::named(name).ok_or("no such model");
    let mut model = entry("resnet18")?.build()?;
    let mut optimizer = entry(if adam { "mlp" } else { "resnet18" })?.optimizer();
    Ok(Work { call: Box::new(move || Ok(optimizer.step(&mut model)?)), flops: None })
}
