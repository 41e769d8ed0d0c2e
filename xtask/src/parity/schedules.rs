//! Schedules in random settings, a hundred steps each, and learning rates that wait for a metric.

use nyang_nn::Rng;
use nyang_optim::{
    Constant, Cosine, CosineWarmRestarts, ExponentialDecay, LinearRamp, MultiStep, OneCycle, PolynomialDecay, ReduceOnPlateau, Schedule,
    Sequence, StepDecay, WarmUp,
};

use super::draw::Draw;
use super::question::{Anything, Question};
use super::store::{Array, Arrays};

/// How long.
const STEPS: u64 = 100;

/// The learning rate that all begin with.
const BASE: f64 = 0.1;

/// How many settings of each.
const EACH: usize = 2;

/// A schedule, and the same in Python of an optimizer `o`.
fn drawn(kind: usize, draw: &mut Draw) -> Option<(&'static str, Box<dyn Schedule>, String)> {
    let (gamma, part, low) = (draw.real(0.5, 0.99), draw.real(0.05, 1.0), draw.real(0.0, 0.02));
    let (a, b) = (draw.whole(1, 30) as u64, draw.whole(31, 99) as u64);
    Some(match kind {
        0 => ("StepDecay", Box::new(StepDecay::new(a, gamma)), format!("S.StepLR(o, {a}, {gamma:?})")),
        1 => ("MultiStep", Box::new(MultiStep::new([a, b], gamma)), format!("S.MultiStepLR(o, [{a}, {b}], {gamma:?})")),
        2 => ("ExponentialDecay", Box::new(ExponentialDecay::new(gamma)), format!("S.ExponentialLR(o, {gamma:?})")),
        3 => ("Constant", Box::new(Constant::new(part).until(a)), format!("S.ConstantLR(o, {part:?}, {a})")),
        4 => ("LinearRamp", Box::new(LinearRamp::new(part, gamma).total(b)), format!("S.LinearLR(o, {part:?}, {gamma:?}, {b})")),
        5 => ("PolynomialDecay", Box::new(PolynomialDecay::new(3.0 * part).total(b)), format!("S.PolynomialLR(o, {b}, 3.0 * {part:?})")),
        6 => ("Cosine", Box::new(Cosine::new().total(b).min_lr(low)), format!("S.CosineAnnealingLR(o, {b}, {low:?})")),
        7 => {
            let t_mult = draw.whole(1, 3) as u64;
            let torch = format!("S.CosineAnnealingWarmRestarts(o, {a}, {t_mult}, {low:?})");
            ("CosineWarmRestarts", Box::new(CosineWarmRestarts::new(a).t_mult(t_mult).min_lr(low)), torch)
        }
        8 => {
            let (first, last) = (draw.real(1.0, 50.0), draw.real(10.0, 1000.0));
            let [least, most] = [draw.real(0.5, 0.8), draw.real(0.8, 0.99)];
            let ours = OneCycle::new().pct_start(part).div_factor(first).final_div_factor(last).momentum_range(least, most);
            let momenta = format!("base_momentum={least:?}, max_momentum={most:?}");
            let torch = format!(
                "S.OneCycleLR(o, {BASE:?}, {STEPS}, pct_start={part:?}, div_factor={first:?}, final_div_factor={last:?}, {momenta})"
            );
            ("OneCycle", Box::new(ours), torch)
        }
        9 => {
            let torch =
                format!("S.SequentialLR(o, [S.LinearLR(o, {part:?}, 1.0, {a}), S.CosineAnnealingLR(o, {STEPS} - {a}, {low:?})], [{a}])");
            ("WarmUp", Box::new(WarmUp::new(a, Cosine::new().min_lr(low)).start_factor(part)), torch)
        }
        10 => {
            let ours = Sequence::new(Constant::new(part)).then(a, ExponentialDecay::new(gamma)).then(b, StepDecay::new(3, gamma));
            let parts = format!("[S.ConstantLR(o, {part:?}, 1000), S.ExponentialLR(o, {gamma:?}), S.StepLR(o, 3, {gamma:?})]");
            ("Sequence", Box::new(ours), format!("S.SequentialLR(o, {parts}, [{a}, {b}])"))
        }
        _ => return None,
    })
}

/// The rate at each time, and the momentum of one that cycles it.
fn rates(schedule: &dyn Schedule) -> Arrays {
    let rates = (0..STEPS).map(|t| schedule.lr(BASE, t)).collect();
    let momenta: Vec<f64> = (0..STEPS).filter_map(|t| schedule.momentum(t)).collect();
    let mut answer = Arrays::from([("lr".to_owned(), Array::real(&[STEPS as usize], rates))]);
    if !momenta.is_empty() {
        answer.insert("momentum".to_owned(), Array::real(&[momenta.len()], momenta));
    }
    answer
}

/// Questions about all of them.
pub fn questions(seed: u64) -> Result<Vec<Question>, Anything> {
    let mut questions = Vec::new();
    for kind in 0.. {
        for i in 0..EACH {
            let key = [seed, 12, kind as u64, i as u64];
            let Some((name, mut schedule, torch)) = drawn(kind, &mut Draw(Rng::keyed(key))) else {
                return Ok(with_plateaus(questions, seed));
            };
            schedule.bind(STEPS);
            schedule.check()?;
            let answer = rates(schedule.as_ref());
            let about = (format!("{name}/{i}"), "schedule", torch);
            questions.push(Question::of_numbers(about, Arrays::new(), move |_| Ok(answer.clone())));
        }
    }
    Ok(questions)
}

fn with_plateaus(mut questions: Vec<Question>, seed: u64) -> Vec<Question> {
    for i in 0..2 * EACH {
        let draw = &mut Draw(Rng::keyed([seed, 13, 0, i as u64]));
        let (factor, patience, threshold, cooldown) =
            (draw.real(0.1, 0.9), draw.whole(0, 4) as u64, draw.real(0.0, 0.1), draw.whole(0, 3) as u64);
        let (low, upwards, relative) = (draw.real(0.0, 0.01), i.is_multiple_of(2), draw.coin());
        let metrics: Vec<f64> = (0..STEPS).map(|_| if draw.0.below(20) == 0 { f64::NAN } else { draw.real(0.5, 2.0) }).collect();
        let [mode, by] = [if upwards { "max" } else { "min" }, if relative { "rel" } else { "abs" }];
        let torch =
            format!("S.ReduceLROnPlateau(o, '{mode}', {factor:?}, {patience}, {threshold:?}, '{by}', cooldown={cooldown}, min_lr={low:?})");
        let plateau = ReduceOnPlateau::new(factor).patience(patience).cooldown(cooldown).min_lr(low);
        let plateau = if relative { plateau.threshold(threshold) } else { plateau.absolute_threshold(threshold) };
        let plateau = if upwards { plateau.higher_is_better() } else { plateau };
        let given = Arrays::from([("metric".to_owned(), Array::real(&[metrics.len()], metrics))]);
        let answer = move |given: &Arrays| {
            let (mut plateau, mut lr) = (plateau.clone(), BASE);
            let metrics = given.get("metric").map(Array::reals).unwrap_or_default();
            let mut next = |metric: f64| {
                lr = plateau.next(metric, lr);
                lr
            };
            let rates: Vec<f64> = metrics.into_iter().map(&mut next).collect();
            Ok(Arrays::from([("lr".to_owned(), Array::real(&[rates.len()], rates))]))
        };
        questions.push(Question::of_numbers((format!("ReduceOnPlateau/{i}"), "plateau", torch), given, answer));
    }
    questions
}
