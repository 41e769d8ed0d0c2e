//! Pictures for pages: an activation beside its slope, computed by the layer itself; a schedule over a hundred steps.

use nyang_nn::case::CASES;
use nyang_nn::{Ctx, Init, Tensor};
use nyang_optim::{
    Cosine, CosineWarmRestarts, ExponentialDecay, LinearRamp, MultiStep, OneCycle, PolynomialDecay, Schedule, StepDecay, WarmUp,
};

/// Functions of one number whose documentation begins no line with f(x).
const OTHERS: [&str; 3] = ["Gelu", "PRelu", "Relu"];

/// Steps that a schedule is drawn over.
const STEPS: u64 = 100;

/// A curve: its name, its colour, its points.
struct Curve {
    name: &'static str,
    colour: &'static str,
    points: Vec<(f64, f64)>,
}

/// The picture of a part with this documentation, if it has one: a schedule, or what the documentation writes as a function of one number.
pub fn of(name: &str, docs: &[String]) -> Option<String> {
    if OTHERS.contains(&name) || docs.iter().any(|line| line.starts_with("f(x) ")) {
        return activation(name).map(|curves| svg(&curves, "x"));
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
    let points = (0..STEPS).map(|t| (t as f64, schedule.lr(0.1, t))).collect();
    Some(svg(&[Curve { name: "learning rate", colour: "#2a6fbb", points }], "t"))
}

/// f and f′, by the layer's own forward and backward.
fn activation(name: &str) -> Option<[Curve; 2]> {
    let case = CASES.iter().copied().flatten().find(|case| case.name.split('/').next() == Some(name))?;
    let xs: Vec<f64> = (-160..=160).map(|i| f64::from(i) / 40.0).collect();
    let mut layer = (case.build_f64)(&mut Init::seed(1)).ok()?;
    let mut cx = Ctx::train(1);
    let x = Tensor::from_vec([xs.len(), 1], xs.clone()).ok()?;
    let y = layer.forward(x, &mut cx).ok()?.to_vec();
    let dx = layer.backward(Tensor::ones([xs.len(), 1]).ok()?, &mut cx).ok()?.to_vec();
    let curve = |name, colour, ys: Vec<f64>| Curve { name, colour, points: xs.iter().copied().zip(ys).collect() };
    Some([curve("f(x)", "#2a6fbb", y), curve("f′(x)", "#d1495b", dx)])
}

/// A drawing of 480 × 260 with both axes, their least and most, and the curves' names.
fn svg(curves: &[Curve], axis: &str) -> String {
    let (left, top, width, height) = (56.0, 24.0, 400.0, 196.0);
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let least = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(f64::NEG_INFINITY, f64::max);
    let (x0, x1) = (least(|p| p.0), most(|p| p.0));
    let (y0, y1) = (least(|p| p.1).min(0.0), most(|p| p.1));
    let at = |&(x, y): &(f64, f64)| (left + (x - x0) / (x1 - x0) * width, top + (y1 - y) / (y1 - y0) * height);

    let mut out =
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 480 260\" width=\"480\" font-family=\"sans-serif\" font-size=\"13\">\n\
                   <rect width=\"480\" height=\"260\" fill=\"#fff\"/>\n"
            .to_owned();
    let mut line = |(ax, ay): (f64, f64), (bx, by): (f64, f64)| {
        out.push_str(&format!("<path d=\"M{ax:.1} {ay:.1} L{bx:.1} {by:.1}\" stroke=\"#999\"/>\n"));
    };
    line(at(&(x0, 0.0)), at(&(x1, 0.0)));
    let zero = x0.max(0.0);
    line(at(&(zero, y0)), at(&(zero, y1)));
    let mut label = |x: f64, y: f64, anchor: &str, colour: &str, text: &str| {
        out.push_str(&format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>\n"));
    };
    for y in [y0, y1] {
        label(
            left - 8.0,
            at(&(x0, y)).1 + 4.0,
            "end",
            "#555",
            &format!("{:.3}", y).trim_end_matches('0').trim_end_matches('.').replace('-', "−"),
        );
    }
    for x in [x0, x1] {
        label(at(&(x, y0)).0, top + height + 18.0, "middle", "#555", &format!("{x}").replace('-', "−"));
    }
    label(left + width / 2.0, top + height + 32.0, "middle", "#555", axis);
    for (i, curve) in curves.iter().enumerate() {
        label(left + 14.0 + 60.0 * i as f64, top - 8.0, "start", curve.colour, curve.name);
    }
    for curve in curves {
        let points: Vec<String> = curve.points.iter().map(&at).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        out.push_str(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n",
            points.join(" "),
            curve.colour
        ));
    }
    out + "</svg>\n"
}
