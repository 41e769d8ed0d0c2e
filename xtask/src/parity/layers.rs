//! Layers and losses: outputs, gradients and states, forward and backward, for the cases of the one list and for any module or loss.

use nyang_nn::case::{CASES, Case};
use nyang_nn::check::spread_state;
use nyang_nn::loss::{self, Loss, LossCase};
use nyang_nn::{Ctx, Element, Init, Kernels, Mode, Module, Param, Path, Rng, StateDict, StateValue, Targets, Tensor, Visit};

use super::question::{Answer, Anything, Question, array, given, tensor};
use super::store::{Array, Arrays, Values};

/// Both modes, as PyTorch's side calls them.
const MODES: [(Mode, &str, &str); 2] = [(Mode::Train, "train", "layer_train"), (Mode::Eval, "eval", "layer_eval")];

/// Every case that PyTorch has too, with random numbers of `seed`; and the names of those it has not.
pub fn questions(seed: u64) -> Result<(Vec<Question>, Vec<&'static str>), Anything> {
    let (mut questions, mut ours_alone) = (Vec::new(), Vec::new());
    for case in CASES.iter().copied().flatten() {
        match case.torch {
            Some(torch) => questions.extend(of_case(case, torch, seed)?),
            None => ours_alone.push(case.name),
        }
    }
    for case in loss::CASES.iter().copied().flatten() {
        match case.torch {
            Some(torch) => questions.push(of_loss_case(case, torch, seed)?),
            None => ours_alone.push(case.name),
        }
    }
    Ok((questions, ours_alone))
}

fn of_case(case: &'static Case, torch: &str, seed: u64) -> Result<Vec<Question>, Anything> {
    let x = case.random_input::<f64>(seed)?;
    of_module(case.name, torch, (case.build_f64)(&mut Init::seed(seed))?, x, seed, case.build_f64, case.build_f32)
}

/// The two questions about a module, which both sides are given the state of.
pub fn of_module(
    name: &str,
    torch: &str,
    mut module: Box<dyn Module<f64>>,
    x: Tensor<f64>,
    seed: u64,
    build_f64: impl Fn(&mut Init) -> nyang_nn::Result<Box<dyn Module<f64>>> + Clone + 'static,
    build_f32: impl Fn(&mut Init) -> nyang_nn::Result<Box<dyn Module<f32>>> + Clone + 'static,
) -> Result<Vec<Question>, Anything> {
    spread_state(module.as_mut());
    let ones = Tensor::ones(*x.shape())?;
    let dy = Tensor::<f64>::normal(module.out_shape(x.shape())?, 0.0, 1.0, &mut Rng::keyed([seed, 3, 0, 0]))?;
    let mut given = state_of(module.as_ref())?;
    given.insert("x".into(), array(&x));
    given.insert("dy".into(), array(&dy));
    if module.kind().starts_with("Drop") {
        // random numbers differ, so PyTorch's side is given the mask: what becomes of ones
        given.insert("mask".into(), array(&module.forward(ones, &mut context(Mode::Train))?));
    }
    let question = |(mode, word, how): (Mode, &str, &'static str)| {
        let build_f64 = build_f64.clone();
        let f64 = move |given: &Arrays| answer(build_f64(&mut Init::seed(0))?, mode, given, Kernels::default());
        let by = |kernels: Kernels| {
            let build = build_f32.clone();
            move |given: &Arrays| answer(build(&mut Init::seed(0))?, mode, given, kernels)
        };
        let question = Question::new((format!("{name} {word}"), how, torch.to_owned()), given.clone(), f64, by(Kernels::default()));
        let others = Kernels::available().into_iter().filter(|kernels| *kernels != Kernels::default());
        others.fold(question, |question, kernels| question.and(by(kernels)))
    };
    Ok(MODES.map(question).into())
}

/// A layer's `y`, `dx`, `grad.…`, and `state.…` afterwards.
fn answer<T: Element>(mut module: Box<dyn Module<T>>, mode: Mode, arrays: &Arrays, kernels: Kernels) -> Answer {
    let mut state = StateDict::default();
    for (name, array) in arrays.iter().filter_map(|(name, array)| Some((name.strip_prefix("state.")?, array))) {
        let value = match &array.values {
            Values::Whole(n) => StateValue::Count(n.first().copied().unwrap_or(0) as u64),
            Values::Real(_) => StateValue::Tensor(tensor(array)?),
        };
        state.insert(name, value);
    }
    state.load_into(module.as_mut())?;
    let mut cx = context(mode);
    cx.kernels = kernels;
    let y = module.forward(tensor(given(arrays, "x")?)?, &mut cx)?;
    let dx = module.backward(tensor(given(arrays, "dy")?)?, &mut cx)?;

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

/// A module's parameters and buffers, as `state.…`.
pub fn state_of<T: Element>(module: &dyn Module<T>) -> Answer {
    let array = |value: &StateValue<T>| match value {
        StateValue::Tensor(t) => array(t),
        StateValue::Count(n) => Array::whole(&[], vec![*n as i64]),
        _ => Array::whole(&[0], vec![]),
    };
    Ok(StateDict::of(module)?.iter().map(|(name, value)| (format!("state.{name}"), array(value))).collect())
}

fn of_loss_case(case: &'static LossCase, torch: &str, seed: u64) -> Result<Question, Anything> {
    let about = (case.name.to_owned(), torch.to_owned());
    let losses = ((case.build_f64)()?, (case.build_f32)()?);
    of_loss(about, case.random_logits(seed)?, &case.random_targets(seed)?, losses)
}

/// The question about a loss of these logits and targets.
pub fn of_loss(
    (name, torch): (String, String),
    logits: Tensor<f64>,
    targets: &Targets<f64>,
    (loss_f64, loss_f32): (Box<dyn Loss<f64>>, Box<dyn Loss<f32>>),
) -> Result<Question, Anything> {
    let targets = match targets {
        Targets::Classes(classes) => Array::whole(&[classes.len()], classes.iter().map(|c| *c as i64).collect()),
        Targets::Soft(rows) => array(rows),
        _ => Array::whole(&[0], vec![]),
    };
    let given = [("z".to_owned(), array(&logits)), ("t".to_owned(), targets)].into();
    let f64 = move |given: &Arrays| answer_loss(loss_f64.as_ref(), given);
    let f32 = move |given: &Arrays| answer_loss(loss_f32.as_ref(), given);
    Ok(Question::new((name, "loss", torch), given, f64, f32))
}

/// A loss's `value` and `dz`.
fn answer_loss<T: Element>(loss: &dyn Loss<T>, arrays: &Arrays) -> Answer {
    let t = given(arrays, "t")?;
    let targets = match &t.values {
        Values::Whole(classes) => Targets::Classes(classes.iter().map(|c| *c as usize).collect()),
        Values::Real(_) => Targets::Soft(tensor(t)?),
    };
    let mean = loss.value_grad(&tensor::<T>(given(arrays, "z")?)?, &targets)?.mean()?;
    Ok([("value".to_owned(), Array::real(&[], vec![mean.value])), ("dz".to_owned(), array(&mean.gradient))].into())
}
