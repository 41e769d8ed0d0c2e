//! What both sides are asked: a layer or a loss, its state, its input, and the gradient that comes from behind. And our answers.

use nyang_nn::case::{BuildCase, CASES, Case};
use nyang_nn::check::spread_state;
use nyang_nn::loss::{self, BuildLoss, LossCase};
use nyang_nn::{Ctx, Element, Init, Mode, Module, Param, Path, Result, Rng, Shape, StateDict, StateValue, Targets, Tensor, Visit};

use super::store::{Array, Arrays, Values};

/// One question.
pub struct Question {
    /// The case's name, with the mode where there are two: `Conv2d/strided train`.
    pub name: String,
    /// PyTorch's side, an expression.
    pub torch: &'static str,
    /// Layers: `x`, `dy`, `state.…`; losses: `z`, `t`.
    pub given: Arrays,
    asked: Asked,
}

#[derive(Clone, Copy)]
enum Asked {
    Layer(&'static Case, Mode),
    Loss(&'static LossCase),
}

/// Every case that PyTorch has too and whose name contains `name`, with random numbers of `seed`; and the names of those it has not.
pub fn questions(name: &str, seed: u64) -> Result<(Vec<Question>, Vec<&'static str>)> {
    let (mut questions, mut ours_alone) = (Vec::new(), Vec::new());
    for case in CASES.iter().copied().flatten().filter(|case| case.name.contains(name)) {
        let Some(torch) = case.torch else {
            ours_alone.push(case.name);
            continue;
        };
        for (mode, word) in [(Mode::Train, "train"), (Mode::Eval, "eval")] {
            let (name, asked) = (format!("{} {word}", case.name), Asked::Layer(case, mode));
            questions.push(Question { name, torch, given: given_layer(case, seed)?, asked });
        }
    }
    for case in loss::CASES.iter().copied().flatten().filter(|case| case.name.contains(name)) {
        match case.torch {
            Some(torch) => {
                questions.push(Question { name: case.name.to_owned(), torch, given: given_loss(case, seed)?, asked: Asked::Loss(case) })
            }
            None => ours_alone.push(case.name),
        }
    }
    Ok((questions, ours_alone))
}

fn given_layer(case: &Case, seed: u64) -> Result<Arrays> {
    let mut module = (case.build_f64)(&mut Init::seed(seed))?;
    spread_state(module.as_mut());
    let x = case.random_input::<f64>(seed)?;
    let ones = Tensor::ones(*x.shape())?;
    let dy = Tensor::<f64>::normal(module.out_shape(x.shape())?, 0.0, 1.0, &mut Rng::keyed([seed, 3, 0, 0]))?;
    let mut given = state_of(module.as_ref())?;
    given.insert("x".into(), array(&x));
    given.insert("dy".into(), array(&dy));
    if module.kind().starts_with("Drop") {
        // random numbers differ, so PyTorch's side is given the mask: what becomes of ones
        given.insert("mask".into(), array(&module.forward(ones, &mut context(Mode::Train))?));
    }
    Ok(given)
}

fn given_loss(case: &LossCase, seed: u64) -> Result<Arrays> {
    let targets = match case.random_targets::<f64>(seed)? {
        Targets::Classes(classes) => Array::whole(&[classes.len()], classes.iter().map(|c| *c as i64).collect()),
        Targets::Soft(rows) => array(&rows),
        _ => Array::whole(&[0], vec![]),
    };
    Ok([("z".to_owned(), array(&case.random_logits::<f64>(seed)?)), ("t".to_owned(), targets)].into())
}

impl Question {
    /// Our answer in f64: a layer's `y`, `dx`, `grad.…`, and `state.…` afterwards; a loss's `value` and `dz`.
    pub fn answer_f64(&self) -> Result<Arrays> {
        match self.asked {
            Asked::Layer(case, mode) => answer_layer(case.build_f64, mode, &self.given),
            Asked::Loss(case) => answer_loss(case.build_f64, &self.given),
        }
    }

    /// The same in f32, from the same numbers, rounded.
    pub fn answer_f32(&self) -> Result<Arrays> {
        match self.asked {
            Asked::Layer(case, mode) => answer_layer(case.build_f32, mode, &self.given),
            Asked::Loss(case) => answer_loss(case.build_f32, &self.given),
        }
    }
}

fn answer_layer<T: Element>(build: BuildCase<T>, mode: Mode, given: &Arrays) -> Result<Arrays> {
    let mut module = build(&mut Init::seed(0))?;
    let mut state = StateDict::default();
    for (name, array) in given.iter().filter_map(|(name, array)| Some((name.strip_prefix("state.")?, array))) {
        state.insert(
            name,
            if let Values::Whole(n) = &array.values { StateValue::Count(n[0] as u64) } else { StateValue::Tensor(tensor(array)?) },
        );
    }
    state.load_into(module.as_mut())?;
    let mut cx = context(mode);
    let y = module.forward(tensor(&given["x"])?, &mut cx)?;
    let dx = module.backward(tensor(&given["dy"])?, &mut cx)?;

    struct Grads<'a>(&'a mut Arrays);
    impl<T: Element> Visit<T> for Grads<'_> {
        fn param(&mut self, at: Path<'_>, param: &Param<T>) {
            self.0.insert(format!("grad.{at}"), array(&param.grad));
        }
    }
    let mut answer = state_of(module.as_ref())?;
    answer.insert("y".into(), array(&y));
    answer.insert("dx".into(), array(&dx));
    module.visit(Path::ROOT, &mut Grads(&mut answer));
    Ok(answer)
}

/// The same random numbers each time.
fn context<T: Element>(mode: Mode) -> Ctx<'static, T> {
    Ctx::new(mode, Rng::seed(0))
}

fn answer_loss<T: Element>(build: BuildLoss<T>, given: &Arrays) -> Result<Arrays> {
    let targets = match &given["t"].values {
        Values::Whole(classes) => Targets::Classes(classes.iter().map(|c| *c as usize).collect()),
        Values::Real(_) => Targets::Soft(tensor(&given["t"])?),
    };
    let mean = build()?.value_grad(&tensor::<T>(&given["z"])?, &targets)?.mean()?;
    Ok([("value".to_owned(), Array::real(&[], vec![mean.value])), ("dz".to_owned(), array(&mean.gradient))].into())
}

fn state_of<T: Element>(module: &dyn Module<T>) -> Result<Arrays> {
    let array = |value: &StateValue<T>| match value {
        StateValue::Tensor(t) => array(t),
        StateValue::Count(n) => Array::whole(&[], vec![*n as i64]),
        _ => Array::whole(&[0], vec![]),
    };
    Ok(StateDict::of(module)?.iter().map(|(name, value)| (format!("state.{name}"), array(value))).collect())
}

fn array<T: Element>(t: &Tensor<T>) -> Array {
    Array::real(t.dims(), t.to_vec().into_iter().map(T::to_f64).collect())
}

fn tensor<T: Element>(array: &Array) -> Result<Tensor<T>> {
    Ok(Tensor::from_vec(Shape::new(&array.shape)?, array.reals().into_iter().map(T::of).collect())?)
}
