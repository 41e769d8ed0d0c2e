//! From the losses of both sides to figures: how far apart, beside how far PyTorch is from itself.

use serde_json::{Value, json};

use super::train::{F64, STEPS, TIMES};

/// Below this part of the loss two f32 curves are the same: a few roundings of the mean of a batch.
pub const ROUNDING: f64 = 1e-6;

/// The first losses of one side's variant.
pub fn losses(run: &Value, who: &str) -> Vec<f64> {
    let all = run[who]["losses"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().take(STEPS).map(|v| v.as_f64().unwrap_or(f64::INFINITY)).collect() // a loss that is no number is no agreement
}

/// The largest difference up to each step, as a part of the loss, at least 1.
pub fn divergence(run: &Value, a: &str, b: &str) -> Vec<f64> {
    let mut most = 0.0f64;
    let apart = |(a, b): (f64, f64)| {
        most = most.max((a - b).abs() / b.abs().max(1.0));
        most
    };
    losses(run, a).into_iter().zip(losses(run, b)).map(apart).collect()
}

/// How far PyTorch is from itself at each step: laid out channels-last, on one thread, or in f64, whichever is farthest. (Where its
/// variants happen to run the same kernel they are equal to the bit, and only the last one says how well f32 is known.)
pub fn yardstick(run: &Value) -> Vec<f64> {
    let variants = ["theirs_channels_last", "theirs_one_thread", "theirs_f64"];
    let [a, b, c] = variants.map(|variant| divergence(run, variant, "theirs_f32"));
    a.into_iter().zip(b).zip(c).map(|((a, b), c)| a.max(b).max(c)).collect()
}

/// How many times farther a variant of ours is from PyTorch than PyTorch from itself, at the worst step.
fn times(run: &Value, variant: &str) -> f64 {
    let ours = divergence(run, variant, "theirs_f32");
    if ours.is_empty() {
        return f64::INFINITY; // nothing was compared
    }
    ours.into_iter().zip(yardstick(run)).map(|(ours, theirs)| ours / theirs.max(ROUNDING)).fold(0.0, f64::max)
}

fn last(values: &[f64]) -> f64 {
    values.last().copied().unwrap_or(f64::INFINITY)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn over_runs(model: &Value, of: impl Fn(&Value) -> f64) -> Vec<f64> {
    model["runs"].as_array().map(Vec::as_slice).unwrap_or_default().iter().map(of).collect()
}

fn accuracy(run: &Value, who: &str) -> f64 {
    100.0 * run[who]["right"].as_f64().unwrap_or(0.0) / run[who]["tests"].as_f64().unwrap_or(1.0)
}

/// The fastest epoch after the first, which warms up: the one that other work on the machine disturbed least.
fn epoch(run: &Value, who: &str) -> f64 {
    let seconds = run[who]["seconds"].as_array().map(Vec::as_slice).unwrap_or_default();
    seconds.iter().skip(usize::from(seconds.len() > 1)).filter_map(Value::as_f64).fold(f64::INFINITY, f64::min)
}

/// Writes the figures of each model into it, and says whether all are within their limits.
pub fn judge(figures: &mut Value) -> bool {
    let mut well = true;
    for model in figures["models"].as_array_mut().into_iter().flatten() {
        let norm = model["norm"].as_bool().unwrap_or(false);
        let f64s = over_runs(model, |run| last(&divergence(run, "ours_f64", "theirs_f64"))).into_iter().fold(0.0, f64::max);
        let f32_times = median(over_runs(model, |run| times(run, "ours_f32")));
        well &= (norm || f64s <= F64) && f32_times <= TIMES;
        let spread = |who: &str| over_runs(model, |run| accuracy(run, who));
        let middle = |of: &dyn Fn(&Value) -> f64| median(over_runs(model, of));
        let figures = json!({
            "f64": f64s,
            "f32_times": f32_times,
            "f32_times_direct": median(over_runs(model, |run| times(run, "ours_f32_direct"))),
            "f32_ours_from_theirs": middle(&|run| last(&divergence(run, "ours_f32", "theirs_f32"))),
            "f32_theirs_from_itself": middle(&|run| last(&yardstick(run))),
            "f32_ours_from_f64": middle(&|run| last(&divergence(run, "ours_f32", "theirs_f64"))),
            "f32_theirs_from_f64": middle(&|run| last(&divergence(run, "theirs_f32", "theirs_f64"))),
            "accuracy_ours": spread("ours_f32"), "accuracy_theirs": spread("theirs_f32"),
            "epoch_ours": middle(&|run| epoch(run, "ours_f32")),
            "epoch_theirs": middle(&|run| epoch(run, "theirs_f32").min(epoch(run, "theirs_channels_last"))),
            "peak_mb_ours": middle(&|run| run["ours_f32"]["peak_mb"].as_f64().unwrap_or(f64::NAN)),
            "peak_mb_theirs": model["runs"][0]["theirs_alone"]["peak_mb"],
            "version": model["runs"][0]["theirs_f32"]["version"],
        });
        model["figures"] = figures;
    }
    well
}

/// The figures without the losses beyond those that are compared; in f32 to nine decimals, more than f32 has.
pub fn thinned(figures: &Value) -> Value {
    let mut thin = figures.clone();
    for run in thin["models"].as_array_mut().into_iter().flatten().flat_map(|model| model["runs"].as_array_mut().into_iter().flatten()) {
        for (who, side) in run.as_object_mut().into_iter().flatten() {
            if let Some(losses) = side.get_mut("losses").and_then(Value::as_array_mut) {
                losses.truncate(STEPS);
                if !who.ends_with("f64") {
                    losses.iter_mut().for_each(|loss| *loss = loss.as_f64().map(|v| (v * 1e9).round() / 1e9).into());
                }
            }
        }
    }
    thin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(losses: &[f64]) -> Value {
        json!({ "losses": losses, "seconds": [9.0, 1.0, 3.0, 2.0], "right": 9, "tests": 10, "peak_mb": 1.0 })
    }

    #[test]
    fn divergence_is_the_largest_so_far_and_a_lost_number_is_none_agreement() {
        let run = json!({ "a": side(&[1.0, 4.0, 1.0]), "b": side(&[1.0, 2.0, 1.0]), "nan": { "losses": [1.0, null, 1.0] } });
        assert_eq!(divergence(&run, "a", "b"), [0.0, 1.0, 1.0]);
        assert_eq!(last(&divergence(&run, "nan", "b")), f64::INFINITY);
        assert_eq!(times(&run, "never_run"), f64::INFINITY);
        assert_eq!((accuracy(&run, "a"), epoch(&run, "a")), (90.0, 1.0));
    }

    #[test]
    fn pytorch_is_as_far_from_itself_as_its_farthest_variant() {
        for far in ["theirs_channels_last", "theirs_one_thread", "theirs_f64"] {
            let mut run = json!({ "theirs_f32": side(&[1.0]) });
            for variant in ["theirs_channels_last", "theirs_one_thread", "theirs_f64"] {
                run[variant] = side(&[if variant == far { 1.5 } else { 1.0 }]);
            }
            assert_eq!(yardstick(&run), [0.5], "{far}");
        }
    }

    #[test]
    fn what_is_too_far_apart_fails() {
        let same = || side(&[1.0, 1.0]);
        let figures = |ours32: &[f64], ours64: &[f64], norm: bool| {
            let run = json!({
                "theirs_f32": same(), "ours_f32": side(ours32), "theirs_channels_last": side(&[1.0, 1.00001]), "theirs_one_thread": same(),
                "theirs_f64": same(), "ours_f64": side(ours64), "ours_f32_direct": same(),
            });
            json!({ "models": [{ "model": "m", "norm": norm, "runs": [run] }] })
        };
        assert!(judge(&mut figures(&[1.0, 1.00002], &[1.0, 1.0], false)));
        assert!(!judge(&mut figures(&[1.0, 1.00004], &[1.0, 1.0], false)));
        assert!(!judge(&mut figures(&[1.0, 1.0], &[1.0, 1.0 + 2e-8], false)));
        assert!(judge(&mut figures(&[1.0, 1.0], &[1.0, 1.0 + 2e-8], true)));
    }
}
