//! Optimizers in random settings, fifty steps each; with schedules that move rate and momentum; groups, clipping, averages.

use nyang_nn::{Element, Init, Linear, Module, Rng, StateValue, Tensor};
use nyang_optim::{
    Adagrad, Adam, AdamW, Ema, Group, Lion, NAdam, OneCycle, Optimizer, RAdam, RmsProp, Scheduler, Sgd, StepDecay, clip_grad_norm,
    clip_grad_value,
};

use super::draw::{Draw, python};
use super::question::{Answer, Anything, Question, array, given, tensor};
use super::store::{Array, Arrays};

/// Steps, and those after which the parameters are compared.
const STEPS: usize = 50;
const SHOWN: [usize; 6] = [1, 2, 3, 10, 25, 50];

/// How many settings of each optimizer.
const EACH: usize = 4;

/// The model is one linear layer.
const SHAPE: [usize; 2] = [3, 4];

/// An optimizer's settings.
#[derive(Clone, Copy)]
struct Settings {
    kind: usize,
    lr: f64,
    decay: f64,
    betas: [f64; 2],
    eps: f64,
    other: f64, // dampening, momentum, lr_decay or momentum_decay
    yes: bool,  // nesterov, amsgrad, centered or decoupled
    cycled: bool,
    grouped: bool,
}

const KINDS: [&str; 8] = ["Sgd", "Adam", "AdamW", "RmsProp", "Adagrad", "NAdam", "RAdam", "Lion"];

impl Settings {
    fn draw(kind: usize, draw: &mut Draw) -> Self {
        let lr = if KINDS[kind] == "Sgd" { draw.real(0.01, 0.2) } else { draw.real(0.001, 0.02) };
        let (decay, betas, eps) =
            (draw.pick(&[0.0, 0.01, 0.1]), [draw.real(0.5, 0.95), draw.real(0.8, 0.999)], draw.pick(&[1e-8, 1e-6, 1e-3]));
        Settings { kind, lr, decay, betas, eps, other: draw.real(0.01, 0.8), yes: draw.coin(), cycled: false, grouped: false }
    }

    fn build<T: Element>(&self) -> Box<dyn Optimizer<T>> {
        let Settings { lr, decay, betas: [b1, b2], eps, other, yes, .. } = *self;
        // no decay and a fifth of the rate for what has one dimension
        let group = |optimizer: AdamW<T>| {
            if self.grouped { optimizer.group(Group::bias_and_norm().weight_decay(0.0).lr_factor(0.2)) } else { optimizer }
        };
        match KINDS[self.kind] {
            "Sgd" if yes => Box::new(Sgd::new(lr).momentum(b1).nesterov().weight_decay(decay)),
            "Sgd" => Box::new(Sgd::new(lr).momentum(b1).dampening(other).weight_decay(decay)),
            "Adam" if yes => Box::new(Adam::new(lr).betas(b1, b2).eps(eps).weight_decay(decay).amsgrad()),
            "Adam" => Box::new(Adam::new(lr).betas(b1, b2).eps(eps).weight_decay(decay)),
            "AdamW" if yes => Box::new(group(AdamW::new(lr).betas(b1, b2).eps(eps).weight_decay(decay).amsgrad())),
            "AdamW" => Box::new(group(AdamW::new(lr).betas(b1, b2).eps(eps).weight_decay(decay))),
            "RmsProp" if yes => Box::new(RmsProp::new(lr).alpha(b2).eps(eps).weight_decay(decay).momentum(other).centered()),
            "RmsProp" => Box::new(RmsProp::new(lr).alpha(b2).eps(eps).weight_decay(decay).momentum(other)),
            "Adagrad" => Box::new(Adagrad::new(lr).lr_decay(other).eps(eps).weight_decay(decay).initial_sum(if yes { b1 } else { 0.0 })),
            "NAdam" if yes => Box::new(NAdam::new(lr).betas(b1, b2).momentum_decay(other).eps(eps).weight_decay(decay).decoupled()),
            "NAdam" => Box::new(NAdam::new(lr).betas(b1, b2).momentum_decay(other).eps(eps).weight_decay(decay)),
            "RAdam" if yes => Box::new(RAdam::new(lr).betas(b1, b2).eps(eps).weight_decay(decay).decoupled()),
            "RAdam" => Box::new(RAdam::new(lr).betas(b1, b2).eps(eps).weight_decay(decay)),
            _ => Box::new(Lion::new(lr).betas(b1, b2).weight_decay(decay)),
        }
    }

    /// The same of the parameters `p`, in Python; where groups are wanted, of `w` and `b`.
    fn torch(&self) -> String {
        let Settings { lr, decay, betas: [b1, b2], eps, other, yes, .. } = *self;
        let (flag, adam) = (python(yes), format!("lr={lr:?}, betas=({b1:?}, {b2:?}), eps={eps:?}, weight_decay={decay:?}"));
        match KINDS[self.kind] {
            "Sgd" if yes => format!("O.SGD(p, lr={lr:?}, momentum={b1:?}, nesterov=True, weight_decay={decay:?})"),
            "Sgd" => format!("O.SGD(p, lr={lr:?}, momentum={b1:?}, dampening={other:?}, weight_decay={decay:?})"),
            "Adam" => format!("O.Adam(p, {adam}, amsgrad={flag})"),
            "AdamW" if self.grouped => {
                let groups = format!("[{{'params': [w]}}, {{'params': [b], 'lr': {lr:?} * 0.2, 'weight_decay': 0.0}}]");
                format!("O.AdamW({groups}, {adam}, amsgrad={flag})")
            }
            "AdamW" => format!("O.AdamW(p, {adam}, amsgrad={flag})"),
            "RmsProp" => {
                format!("O.RMSprop(p, lr={lr:?}, alpha={b2:?}, eps={eps:?}, weight_decay={decay:?}, momentum={other:?}, centered={flag})")
            }
            "Adagrad" => {
                let initial = if yes { b1 } else { 0.0 };
                format!(
                    "O.Adagrad(p, lr={lr:?}, lr_decay={other:?}, eps={eps:?}, weight_decay={decay:?}, initial_accumulator_value={initial:?})"
                )
            }
            "NAdam" => format!("O.NAdam(p, {adam}, momentum_decay={other:?}, decoupled_weight_decay={flag})"),
            "RAdam" => format!("O.RAdam(p, {adam}, decoupled_weight_decay={flag})"),
            _ => format!("Lion(p, lr={lr:?}, betas=({b1:?}, {b2:?}), weight_decay={decay:?})"),
        }
    }

    /// The schedule that is stepped beside it, in Python.
    fn torch_schedule(&self) -> String {
        if self.cycled { format!("S.OneCycleLR(o, {:?}, {STEPS})", self.lr) } else { "S.StepLR(o, 20, 0.5)".to_owned() }
    }

    fn answer<T: Element>(&self, arrays: &Arrays) -> Answer {
        let (mut model, mut optimizer) = (model::<T>(arrays)?, self.build::<T>());
        let mut scheduler = if self.cycled {
            Scheduler::start(OneCycle::new().total(STEPS as u64), &mut optimizer)?
        } else {
            Scheduler::start(StepDecay::new(20, 0.5), &mut optimizer)?
        };
        let mut shown = Shown::default();
        for t in 1..=STEPS {
            give(&mut model, arrays, t)?;
            optimizer.step(&mut model)?;
            if t < STEPS {
                scheduler.step(&mut optimizer)?;
            }
            shown.see(t, &model);
        }
        Ok(shown.arrays())
    }
}

/// Values of the two parameters after some steps.
#[derive(Default)]
struct Shown([Vec<f64>; 2]);

impl Shown {
    fn see<T: Element>(&mut self, t: usize, model: &Linear<T>) {
        if SHOWN.contains(&t) {
            let values = |t: &Tensor<T>| t.to_vec().into_iter().map(T::to_f64).collect::<Vec<_>>();
            self.0[0].extend(values(&model.weight.value));
            self.0[1].extend(model.bias.iter().flat_map(|bias| values(&bias.value)));
        }
    }

    fn arrays(self) -> Arrays {
        let [w, b] = self.0;
        let (w, b) = (Array::real(&[SHOWN.len(), SHAPE[0], SHAPE[1]], w), Array::real(&[SHOWN.len(), SHAPE[0]], b));
        [("w".to_owned(), w), ("b".to_owned(), b)].into()
    }
}

fn model<T: Element>(arrays: &Arrays) -> Result<Linear<T>, Anything> {
    let mut model = Linear::config(SHAPE[1], SHAPE[0]).build::<T>(&mut Init::seed(0))?;
    model.weight.value = tensor(given(arrays, "w")?)?;
    if let Some(bias) = &mut model.bias {
        bias.value = tensor(given(arrays, "b")?)?;
    }
    Ok(model)
}

/// Puts the gradients of step `t` into the model.
fn give<T: Element>(model: &mut Linear<T>, arrays: &Arrays, t: usize) -> Result<(), Anything> {
    model.weight.grad = tensor::<T>(given(arrays, "dw")?)?.select(0, t - 1)?.contiguous()?;
    if let Some(bias) = &mut model.bias {
        bias.grad = tensor::<T>(given(arrays, "db")?)?.select(0, t - 1)?.contiguous()?;
    }
    Ok(())
}

/// First values and the gradients of all steps.
fn numbers(draw: &mut Draw) -> Result<Arrays, Anything> {
    let [o, n] = SHAPE;
    let mut random =
        |shape: &[usize]| Ok::<_, Anything>(array(&Tensor::<f64>::normal(nyang_nn::Shape::new(shape)?, 0.0, 1.0, &mut draw.0)?));
    Ok([
        ("w".to_owned(), random(&[o, n])?),
        ("b".to_owned(), random(&[o])?),
        ("dw".to_owned(), random(&[STEPS, o, n])?),
        ("db".to_owned(), random(&[STEPS, o])?),
    ]
    .into())
}

/// Questions about everything that changes parameters.
pub fn questions(seed: u64) -> Result<Vec<Question>, Anything> {
    let mut questions = Vec::new();
    for (kind, name) in KINDS.into_iter().enumerate() {
        for i in 0..EACH {
            let draw = &mut Draw(Rng::keyed([seed, 10, kind as u64, i as u64]));
            let mut settings = Settings::draw(kind, draw);
            settings.yes = i.is_multiple_of(2); // both, whatever the seed
            settings.cycled = i == EACH - 1 && settings.build::<f64>().current_momentum().is_some();
            settings.grouped = i == EACH - 2;
            let suffix = if settings.cycled { " cycled" } else { "" };
            let torch = format!("{} | {}", settings.torch(), settings.torch_schedule());
            let about = (format!("{name}/{i}{suffix}"), "optimizer", torch);
            questions.push(Question::new(about, numbers(draw)?, move |g| settings.answer::<f64>(g), move |g| settings.answer::<f32>(g)));
        }
    }
    for i in 0..EACH {
        let draw = &mut Draw(Rng::keyed([seed, 11, 0, i as u64]));
        let (max, by_norm) = (draw.real(0.05, 5.0), i.is_multiple_of(2));
        let torch = if by_norm { format!("clip_grad_norm_(p, {max:?})") } else { format!("clip_grad_value_(p, {max:?})") };
        let name = if by_norm { "clip_grad_norm" } else { "clip_grad_value" };
        let (f64, f32) = (move |g: &Arrays| clipped::<f64>(g, max, by_norm), move |g: &Arrays| clipped::<f32>(g, max, by_norm));
        questions.push(Question::new((format!("{name}/{i}"), "clip", torch), numbers(draw)?, f64, f32));

        let decay = draw.real(0.3, 0.99);
        let about = (format!("Ema/{i}"), "ema", format!("{decay:?}"));
        questions.push(Question::new(about, numbers(draw)?, move |g| averaged::<f64>(g, decay), move |g| averaged::<f32>(g, decay)));
    }
    Ok(questions)
}

/// The norm before, and the first gradients afterwards.
fn clipped<T: Element>(arrays: &Arrays, max: f64, by_norm: bool) -> Answer {
    let mut model = model::<T>(arrays)?;
    give(&mut model, arrays, 1)?;
    let mut answer = Arrays::new();
    if by_norm {
        answer.insert("norm".to_owned(), Array::real(&[], vec![clip_grad_norm(&mut model, max)?]));
    } else {
        clip_grad_value(&mut model, max)?;
    }
    answer.insert("dw".to_owned(), array(&model.weight.grad));
    answer.extend(model.bias.iter().map(|bias| ("db".to_owned(), array(&bias.grad))));
    Ok(answer)
}

/// The average of weights that take the gradients' values, one after another.
fn averaged<T: Element>(arrays: &Arrays, decay: f64) -> Answer {
    let (mut model, mut ema) = (model::<T>(arrays)?, Ema::new(decay));
    for t in 1..=STEPS {
        give(&mut model, arrays, t)?;
        model.weight.value = model.weight.grad.clone();
        if let Some(bias) = &mut model.bias {
            bias.value = bias.grad.clone();
        }
        ema.update(&model as &dyn Module<T>)?;
    }
    let name = |path: &str| if path == "weight" { "w".to_owned() } else { "b".to_owned() };
    let averages = ema.state()?.averages;
    Ok(averages.iter().filter_map(|(path, v)| if let StateValue::Tensor(t) = v { Some((name(path), array(t))) } else { None }).collect())
}
