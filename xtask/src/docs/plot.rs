//! Pictures for pages: an activation beside its slope, computed by the layer itself; a schedule over a hundred steps.

use nyang_nn::case::CASES;
use nyang_nn::{Ctx, Init, Tensor};
use nyang_optim::{
    Cosine, CosineWarmRestarts, ExponentialDecay, LinearRamp, MultiStep, OneCycle, PolynomialDecay, Schedule, StepDecay, WarmUp,
};
use nyang_train::report::LinePlot;

/// Functions of one number whose documentation begins no line with f(x).
const OTHERS: [&str; 3] = ["Gelu", "PRelu", "Relu"];

/// Steps that a schedule is drawn over.
const STEPS: u64 = 100;

/// The picture of a part with this documentation, if it has one: a schedule, or what the documentation writes as a function of one number.
pub fn of(name: &str, docs: &[String]) -> Option<String> {
    if OTHERS.contains(&name) || docs.iter().any(|line| line.starts_with("f(x) ")) {
        return activation(name);
    }
    let schedule: Box<dyn Schedule> = match name {
        "Cosine" => Box::new(Cosine::new().total(STEPS)),
        "CosineWarmRestarts" => Box::new(CosineWarmRestarts::new(14).t_mult(2)),
        "ExponentialDecay" => Box::new(ExponentialDecay::new(0.96)),
        "LinearRamp" => Box::new(LinearRamp::new(1.0, 0.0).total(STEPS)),
        "MultiStep" => Box::new(MultiStep::new([40, 75], 0.2)),
        "OneCycle" => Box::new(OneCycle::new().total(STEPS)),
        "PolynomialDecay" => Box::new(PolynomialDecay::new(2.0).total(STEPS)),
        "StepDecay" => Box::new(StepDecay::new(25, 0.4)),
        "WarmUp" => Box::new(WarmUp::new(15, Cosine::new().total(STEPS - 15))),
        _ => return None,
    };
    let points = (0..STEPS).map(|t| (t as f64, schedule.lr(0.1, t)));
    Some(LinePlot::new(name).x_label("t").line("learning rate", points).to_svg())
}

/// f and f′, by the layer's own forward and backward.
fn activation(name: &str) -> Option<String> {
    let case = CASES.iter().copied().flatten().find(|case| case.name.split('/').next() == Some(name))?;
    let xs: Vec<f64> = (-160..=160).map(|i| f64::from(i) / 40.0).collect();
    let mut layer = (case.build_f64)(&mut Init::seed(1)).ok()?;
    let mut cx = Ctx::train(1);
    let x = Tensor::from_vec([xs.len(), 1], xs.clone()).ok()?;
    let y = layer.forward(x, &mut cx).ok()?.to_vec();
    let dx = layer.backward(Tensor::ones([xs.len(), 1]).ok()?, &mut cx).ok()?.to_vec();
    let curve = |ys: Vec<f64>| xs.iter().copied().zip(ys);
    Some(LinePlot::new(name).x_label("x").line("f(x)", curve(y)).line("f′(x)", curve(dx)).to_svg())
}
