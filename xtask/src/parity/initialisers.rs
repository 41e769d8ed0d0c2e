//! First values: both sides make weights of the same random numbers, so that distributions agree number by number.
//!
//! PyTorch's `uniform_` and `normal_` are given the numbers of our generator, mapped to the bounds or the deviation that PyTorch asks for.

use nyang_nn::scheme::{Draw as Distribution, Fan, Gain};
use nyang_nn::{BatchNorm2d, Conv2d, Element, GroupNorm, Init, LayerNorm, Linear, Module, PRelu, Rng, Scheme};

use super::layers::state_of;
use super::question::{Answer, Anything, Question, array};
use super::store::{Array, Arrays};

/// Weights of this shape, their fans, and how many numbers they take.
const SHAPE: [usize; 4] = [6, 5, 3, 2];
const FAN_IN: usize = 30;
const FAN_OUT: usize = 36;
const COUNT: usize = 180;

/// Numbers for layers that draw more than once.
const PLENTY: usize = 600;

/// Each scheme, and the same of a tensor `w` in Python.
fn schemes() -> Vec<(Scheme, &'static str)> {
    let scaled = |draw, fan, gain| Scheme::Scaled { draw, fan, gain };
    let (normal, uniform) = (Distribution::Normal, Distribution::Uniform);
    vec![
        (Scheme::Torch, "I.kaiming_uniform_(w, a=5**.5)"),
        (Scheme::HeNormal, "I.kaiming_normal_(w, nonlinearity='relu')"),
        (Scheme::HeUniform, "I.kaiming_uniform_(w, nonlinearity='relu')"),
        (Scheme::XavierNormal, "I.xavier_normal_(w)"),
        (Scheme::XavierUniform, "I.xavier_uniform_(w)"),
        (Scheme::XavierFanIn, "w.normal_(0, 30**-.5)"),
        (scaled(normal, Fan::Out, Gain::Relu), "I.kaiming_normal_(w, mode='fan_out', nonlinearity='relu')"),
        (scaled(uniform, Fan::Out, Gain::Tanh), "I.kaiming_uniform_(w, mode='fan_out', nonlinearity='tanh')"),
        (scaled(normal, Fan::In, Gain::LeakyRelu(0.2)), "I.kaiming_normal_(w, a=.2)"),
        (scaled(normal, Fan::In, Gain::Selu), "I.kaiming_normal_(w, nonlinearity='selu')"),
        (scaled(uniform, Fan::In, Gain::Sigmoid), "I.kaiming_uniform_(w, nonlinearity='sigmoid')"),
        (scaled(uniform, Fan::Mean, Gain::Tanh), "I.xavier_uniform_(w, I.calculate_gain('tanh'))"),
        (scaled(normal, Fan::Mean, Gain::Of(1.7)), "I.xavier_normal_(w, 1.7)"),
        (scaled(Distribution::Truncated, Fan::In, Gain::Relu), "w.copy_(truncated * (2 / 30)**.5 / truncnorm.std(-2, 2))"),
        (Scheme::Orthogonal { gain: Gain::Linear }, "I.orthogonal_(w)"),
        (Scheme::Orthogonal { gain: Gain::Relu }, "I.orthogonal_(w, I.calculate_gain('relu'))"),
    ]
}

fn weights<T: Element>(scheme: Scheme, seed: u64) -> Answer {
    let weight = Init::seed(seed).weight::<T>(SHAPE, scheme, FAN_IN, FAN_OUT)?;
    Ok([("w".to_owned(), array(&weight.value))].into())
}

/// The generator's numbers, in the three forms that schemes draw.
fn numbers(seed: u64, n: usize) -> Arrays {
    let [mut uniform, mut normal, mut truncated] = [(); 3].map(|()| Rng::seed(seed));
    let kept = |rng: &mut Rng| {
        loop {
            let v = rng.normal();
            if v.abs() <= 2.0 {
                return v;
            }
        }
    };
    let arrays = [
        ("uniform", (0..n).map(|_| uniform.uniform()).collect::<Vec<f64>>()),
        ("normal", (0..n).map(|_| normal.normal()).collect()),
        ("truncated", (0..n).map(|_| kept(&mut truncated)).collect()),
    ];
    arrays.into_iter().map(|(name, values)| (name.to_owned(), Array::real(&[values.len()], values))).collect()
}

/// A layer in Python, and ours.
type Layer<T> = (&'static str, Box<dyn Module<T>>);

/// Layers as they are built.
fn layers<T: Element>(init: &mut Init) -> nyang_nn::Result<Vec<Layer<T>>> {
    Ok(vec![
        ("nn.Linear(7, 5)", Box::new(Linear::config(7, 5).build(init)?)),
        ("nn.Conv2d(4, 6, (3, 2), groups=2)", Box::new(Conv2d::config(4, 6, [3, 2]).groups(2).build(init)?)),
        ("nn.Conv2d(3, 5, 5, bias=False)", Box::new(Conv2d::config(3, 5, 5).bias(false).build(init)?)),
        ("nn.BatchNorm2d(3)", Box::new(BatchNorm2d::config(3).build(init)?)),
        ("nn.GroupNorm(2, 4)", Box::new(GroupNorm::config(2, 4).build(init)?)),
        ("nn.LayerNorm([2, 3])", Box::new(LayerNorm::config([2, 3]).build(init)?)),
        ("nn.PReLU(3)", Box::new(PRelu::config(3).build(init)?)),
    ])
}

/// The state of the layer at this place in the list, the only one that is built with these random numbers.
fn state<T: Element>(i: usize, seed: u64) -> Answer {
    let all = layers::<T>(&mut Init::seed(seed))?;
    let spec = all.get(i).map(|(_, layer)| layer.spec()).ok_or("no such layer")?;
    state_of(nyang_nn::Registry::<T>::standard().build(&spec, &mut Init::seed(seed))?.as_ref())
}

/// Questions about all of them.
pub fn questions(seed: u64) -> Result<Vec<Question>, Anything> {
    let scheme = |(scheme, torch): (Scheme, &str)| {
        let about = (format!("Scheme/{scheme}"), "weights", torch.to_owned());
        Question::new(about, numbers(seed, COUNT), move |_| weights::<f64>(scheme, seed), move |_| weights::<f32>(scheme, seed))
    };
    let layer = |(i, torch): (usize, &str)| {
        let about = (format!("first values/{torch}"), "first_values", torch.to_owned());
        Question::new(about, numbers(seed, PLENTY), move |_| state::<f64>(i, seed), move |_| state::<f32>(i, seed))
    };
    let built = layers::<f64>(&mut Init::seed(seed))?;
    Ok(schemes().into_iter().map(scheme).chain(built.iter().map(|(torch, _)| *torch).enumerate().map(layer)).collect())
}
