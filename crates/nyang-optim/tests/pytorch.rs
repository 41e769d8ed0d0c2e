//! Every optimizer over 50 steps and every schedule over 100, against PyTorch's numbers in `pytorch.txt`.
//!
//! `xtask/goldens/optim.py` in the repository made them. Gradients and metrics follow a formula that both sides compute exactly.
#![allow(clippy::unwrap_used, clippy::panic)] // a test may fail loudly, its helpers too

use std::collections::BTreeSet;

use nyang_nn::{Element, Flow, Init, Linear, Module, Param, Path, Tensor, VisitMut};
use nyang_optim::*;

const GOLDENS: &str = include_str!("pytorch.txt");

/// The steps after which PyTorch's values are known.
const SHOWN: [usize; 6] = [1, 2, 3, 10, 25, 50];

/// PyTorch's numbers of that name.
fn golden(name: &str) -> Vec<f64> {
    let line = GOLDENS.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no golden is called {name}")).split(' ').map(|v| v.parse().unwrap()).collect()
}

fn gradient(t: usize, i: usize) -> f64 {
    f64::from(((7 * t + 13 * i) % 11) as i32 - 5) / 8.0
}

/// The largest difference, as a part of the larger of PyTorch's value and 1.
fn difference(name: &str, got: &[f64]) -> f64 {
    let want = golden(name);
    assert_eq!(got.len(), want.len(), "{name}");
    got.iter().zip(want).map(|(g, w)| (g - w).abs() / w.abs().max(1.0)).fold(0.0, f64::max)
}

/// Two parameters, of one value and of two, named `first` and `rest`.
fn model<T: Element>() -> Flow<T> {
    let mut model = Flow::new();
    for (name, values) in [("first", vec![1.0]), ("rest", vec![-0.5, 0.25])] {
        let mut linear = Linear::config(1, values.len()).bias(false).build::<T>(&mut Init::seed(1)).unwrap();
        linear.weight.value = Tensor::from_vec([values.len(), 1], values.into_iter().map(T::of).collect()).unwrap();
        model = model.named(name, linear);
    }
    model
}

/// The three values, after `change` has seen all parameters.
fn each<T: Element>(model: &mut Flow<T>, change: impl FnMut(usize, &mut Param<T>)) -> Vec<f64> {
    struct Each<F>(usize, F, Vec<f64>);
    impl<T: Element, F: FnMut(usize, &mut Param<T>)> VisitMut<T> for Each<F> {
        fn param(&mut self, _: Path<'_>, param: &mut Param<T>) {
            (self.1)(self.0, param);
            self.0 += param.value.len();
            self.2.extend(param.value.to_vec().into_iter().map(T::to_f64));
        }
    }
    let mut each = Each(0, change, vec![]);
    model.visit_mut(Path::ROOT, &mut each);
    each.2
}

fn give<T: Element>(model: &mut Flow<T>, t: usize) {
    each(model, |from, p| p.grad = Tensor::from_fn(*p.value.shape(), |i| T::of(gradient(t, from + i))).unwrap());
}

/// The values after each of [`SHOWN`] steps.
fn trained<T: Element>(optimizer: &mut dyn Optimizer<T>) -> Vec<f64> {
    let (mut model, mut shown) = (model(), vec![]);
    for t in 1..=50 {
        give(&mut model, t);
        optimizer.step(&mut model).unwrap();
        if SHOWN.contains(&t) {
            shown.extend(each(&mut model, |_, _| {}));
        }
    }
    shown
}

/// Every optimizer of the goldens.
fn optimizers<T: Element>() -> Vec<(&'static str, Box<dyn Optimizer<T>>)> {
    vec![
        ("Sgd/plain", Box::new(Sgd::new(0.1))),
        ("Sgd/decay", Box::new(Sgd::new(0.1).weight_decay(0.1))),
        ("Sgd/momentum", Box::new(Sgd::new(0.1).momentum(0.9))),
        ("Sgd/dampening", Box::new(Sgd::new(0.1).momentum(0.8).dampening(0.3).weight_decay(0.01))),
        ("Sgd/nesterov", Box::new(Sgd::new(0.1).momentum(0.9).nesterov().weight_decay(0.01))),
        ("Adam/plain", Box::new(Adam::new(0.01))),
        ("Adam/settings", Box::new(Adam::new(0.02).betas(0.8, 0.95).eps(1e-3).weight_decay(0.1))),
        ("Adam/amsgrad", Box::new(Adam::new(0.01).betas(0.9, 0.9).amsgrad())),
        ("AdamW/plain", Box::new(AdamW::new(0.01))),
        ("AdamW/settings", Box::new(AdamW::new(0.02).betas(0.8, 0.95).eps(1e-3).weight_decay(0.5))),
        ("AdamW/amsgrad", Box::new(AdamW::new(0.01).betas(0.9, 0.9).weight_decay(0.1).amsgrad())),
        ("RmsProp/plain", Box::new(RmsProp::new(0.01))),
        ("RmsProp/momentum", Box::new(RmsProp::new(0.01).alpha(0.9).momentum(0.9).weight_decay(0.1))),
        ("RmsProp/centered", Box::new(RmsProp::new(0.01).alpha(0.9).eps(1e-3).centered())),
        ("RmsProp/centered_momentum", Box::new(RmsProp::new(0.01).momentum(0.5).centered())),
        ("Adagrad/plain", Box::new(Adagrad::new(0.1))),
        ("Adagrad/settings", Box::new(Adagrad::new(0.1).lr_decay(0.1).eps(1e-3).initial_sum(0.5).weight_decay(0.1))),
        ("NAdam/plain", Box::new(NAdam::new(0.01))),
        ("NAdam/settings", Box::new(NAdam::new(0.01).betas(0.8, 0.9).momentum_decay(0.1).eps(1e-3).weight_decay(0.1))),
        ("NAdam/decoupled", Box::new(NAdam::new(0.01).weight_decay(0.1).decoupled())),
        ("RAdam/plain", Box::new(RAdam::new(0.01))),
        ("RAdam/settings", Box::new(RAdam::new(0.01).betas(0.8, 0.9).eps(1e-3).weight_decay(0.1))),
        ("RAdam/decoupled", Box::new(RAdam::new(0.01).weight_decay(0.1).decoupled())),
        ("Lion/plain", Box::new(Lion::new(0.01))),
        ("Lion/settings", Box::new(Lion::new(0.01).betas(0.8, 0.9).weight_decay(0.5))),
        (
            "Group/two",
            Box::new(
                AdamW::new(0.01).weight_decay(0.0).group(Group::paths(|path| path.starts_with("first")).lr_factor(0.1).weight_decay(0.2)),
            ),
        ),
    ]
}

#[test]
fn every_optimizer_goes_pytorchs_way_for_50_steps() {
    for (name, mut optimizer) in optimizers::<f64>() {
        let error = difference(name, &trained(optimizer.as_mut()));
        assert!(error < 1e-13, "{name}: {error:e}"); // fifty roundings of 1e-16 in another order
    }
}

#[test]
fn f32_stays_beside_f64_for_50_steps() {
    for (name, mut optimizer) in optimizers::<f32>() {
        let error = difference(name, &trained(optimizer.as_mut()));
        assert!(error < 1e-5, "{name}: {error:e}");
    }
}

/// Before the steps a norm of 0.5 for all three values together, then 0.3 for each.
#[test]
fn clipping_is_pytorchs() {
    let (mut model, mut sgd, mut shown) = (model::<f64>(), Sgd::new(0.1), vec![]);
    for t in 1..=50 {
        give(&mut model, t);
        let norm = clip_grad_norm(&mut model, 0.5).unwrap();
        clip_grad_value(&mut model, 0.3).unwrap();
        sgd.step(&mut model).unwrap();
        if SHOWN.contains(&t) {
            shown.extend(each(&mut model, |_, _| {}));
            shown.push(norm);
        }
    }
    assert!(difference("clip/both", &shown) < 1e-13);
}

#[test]
fn averages_are_pytorchs() {
    let (mut model, mut ema, mut shown) = (model::<f64>(), Ema::new(0.9), vec![]);
    for t in 1..=50 {
        each(&mut model, |from, p| p.value = Tensor::from_fn(*p.value.shape(), |i| gradient(t, from + i)).unwrap());
        ema.update(&model).unwrap();
        if SHOWN.contains(&t) {
            ema.swap(&mut model).unwrap();
            shown.extend(each(&mut model, |_, _| {}));
            ema.swap(&mut model).unwrap();
        }
    }
    assert!(difference("Ema/plain", &shown) < 1e-14);
}

/// Every schedule of the goldens. Those that want to know their length are told 100, some have another one.
fn schedules() -> Vec<(&'static str, Box<dyn Schedule>)> {
    vec![
        ("StepDecay", Box::new(StepDecay::new(7, 0.7))),
        ("MultiStep", Box::new(MultiStep::new([5, 40, 41, 80], 0.3))),
        ("ExponentialDecay", Box::new(ExponentialDecay::new(0.97))),
        ("Constant", Box::new(Constant::new(1.0 / 3.0).until(5))),
        ("LinearRamp/default", Box::new(LinearRamp::new(1.0 / 3.0, 1.0).total(5))),
        ("LinearRamp/down", Box::new(LinearRamp::new(1.0, 0.1).total(60))),
        ("PolynomialDecay", Box::new(PolynomialDecay::new(1.7).total(60))),
        ("Cosine", Box::new(Cosine::new().total(40).min_lr(0.003))),
        ("CosineWarmRestarts/equal", Box::new(CosineWarmRestarts::new(9))),
        ("CosineWarmRestarts/longer", Box::new(CosineWarmRestarts::new(5).t_mult(3).min_lr(0.002))),
        ("OneCycle/default", Box::new(OneCycle::new())),
        ("OneCycle/settings", Box::new(OneCycle::new().pct_start(0.45).momentum_range(0.7, 0.9).div_factor(10.0).final_div_factor(100.0))),
        ("WarmUp", Box::new(WarmUp::new(10, Cosine::new()))),
        (
            "Sequence",
            Box::new(Sequence::new(Constant::new(0.5).until(3)).then(8, ExponentialDecay::new(0.9)).then(30, StepDecay::new(10, 0.5))),
        ),
    ]
}

#[test]
fn every_schedule_is_pytorchs_for_100_steps() {
    for (name, mut schedule) in schedules() {
        schedule.bind(100);
        let mut sgd = Sgd::<f64>::new(0.1).momentum(0.9);
        let mut scheduler = Scheduler::start(schedule, &mut sgd).unwrap();
        let (mut rates, mut momenta) = (vec![sgd.lr()], vec![sgd.current_momentum().unwrap()]);
        for _ in 1..100 {
            scheduler.step(&mut sgd).unwrap();
            rates.push(sgd.lr());
            momenta.push(sgd.current_momentum().unwrap());
        }
        let error = difference(name, &rates);
        assert!(error < 1e-14, "{name}: {error:e}"); // of rates below 0.1, so relatively 1e-13
        if name.starts_with("OneCycle") {
            assert!(difference(&format!("{name}/momentum"), &momenta) < 1e-14, "{name}");
        }
    }
}

/// Every plateau of the goldens.
fn plateaus() -> [(&'static str, ReduceOnPlateau); 3] {
    [
        ("ReduceOnPlateau/default", ReduceOnPlateau::new(0.1)),
        ("ReduceOnPlateau/settings", ReduceOnPlateau::new(0.5).patience(2).threshold(0.05).cooldown(3).min_lr(0.004)),
        ("ReduceOnPlateau/max", ReduceOnPlateau::new(0.6).patience(3).absolute_threshold(0.1).higher_is_better()),
    ]
}

#[test]
fn plateaus_are_pytorchs_with_nan_among_the_metrics() {
    for (name, mut plateau) in plateaus() {
        let mut lr = 0.1;
        let rates: Vec<f64> = (0..50)
            .map(|t| {
                let metric = if t % 17 == 5 { f64::NAN } else { 1.0 + f64::from(5 * t % 13) / 8.0 - f64::from(t) / 64.0 };
                lr = plateau.next(metric, lr);
                lr
            })
            .collect();
        assert!(difference(name, &rates) < 1e-15, "{name}: {rates:?}");
        assert!(lr < 0.1, "{name} never reduces");
    }
}

#[test]
fn every_golden_is_compared_with_something() {
    let ours = optimizers::<f64>().into_iter().map(|(name, _)| name).chain(schedules().into_iter().map(|(name, _)| name));
    let others = plateaus().into_iter().map(|(name, _)| name).chain(["clip/both", "Ema/plain"]);
    let ours: BTreeSet<&str> = ours.chain(others).chain(["OneCycle/default/momentum", "OneCycle/settings/momentum"]).collect();
    let goldens: BTreeSet<&str> = GOLDENS.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(ours, goldens);
}
