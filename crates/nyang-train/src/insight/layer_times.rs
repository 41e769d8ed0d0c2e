//! What takes the time: each layer's, forward and backward.

use std::fmt;
use std::time::Duration;

use nyang_nn::{Observer, Pass, Tensor};

use crate::logs::Stopwatch;

/// How long a layer took, over all passes that were watched.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerTime {
    /// The layer's path.
    pub path: String,
    /// What kind of layer it is.
    pub kind: &'static str,
    /// How often it ran forward.
    pub passes: u64,
    /// All of its forward passes, without those of the layers inside it.
    pub forward: Duration,
    /// All of its backward passes, without those of the layers inside it.
    pub backward: Duration,
}

/// An observer that measures each layer. What a container's children take is theirs, what is left is its own; so the times add up.
///
/// Displayed, it is a table: milliseconds a pass, and the share of the whole.
///
/// ```
/// # use nyang_train::prelude::*;
/// # use nyang_train::insight::LayerTimes;
/// let model = zoo::lenet::<f32>(zoo::Task::new([1, 28, 28], 10), &mut Init::seed(1))?;
/// let mut times = LayerTimes::new();
/// for _ in 0..3 {
///     model.infer(Tensor::ones([8, 1, 28, 28])?, &mut Ctx::eval().observed(&mut times))?;
/// }
/// assert!(times.layers().iter().all(|layer| layer.passes == 3));
/// println!("{times}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct LayerTimes {
    layers: Vec<LayerTime>,
    running: Vec<Running>,
}

/// A layer that is at work.
#[derive(Debug)]
struct Running {
    path: String,
    since: Stopwatch,
    inside: Duration,
}

impl LayerTimes {
    /// An observer that has measured nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Each layer, in the order in which they first finished.
    pub fn layers(&self) -> &[LayerTime] {
        &self.layers
    }

    /// The time of all layers together.
    pub fn total(&self) -> Duration {
        self.layers.iter().map(|layer| layer.forward + layer.backward).sum()
    }
}

impl Observer<f32> for LayerTimes {
    fn before(&mut self, path: &str, _: &'static str, _: Pass, _: &Tensor<f32>) {
        self.running.push(Running { path: path.to_owned(), since: Stopwatch::start(), inside: Duration::ZERO });
    }

    fn after(&mut self, path: &str, kind: &'static str, pass: Pass, _: &Tensor<f32>) {
        // a layer that failed never finished: what is still there above this one is of an earlier pass
        let Some(at) = self.running.iter().rposition(|running| running.path == path) else { return };
        self.running.truncate(at + 1);
        let Some(Running { since, inside, .. }) = self.running.pop() else { return };
        let whole = since.elapsed();
        if let Some(outer) = self.running.last_mut() {
            outer.inside += whole;
        }
        let at = self.layers.iter().position(|layer| layer.path == path).unwrap_or(self.layers.len());
        if at == self.layers.len() {
            let (forward, backward) = (Duration::ZERO, Duration::ZERO);
            self.layers.push(LayerTime { path: path.to_owned(), kind, passes: 0, forward, backward });
        }
        let Some(layer) = self.layers.get_mut(at) else { return };
        let own = whole.saturating_sub(inside);
        match pass {
            Pass::Forward => (layer.forward, layer.passes) = (layer.forward + own, layer.passes + 1),
            Pass::Backward => layer.backward += own,
        }
    }
}

impl fmt::Display for LayerTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = |of: fn(&LayerTime) -> &str, heading: &str| {
            self.layers.iter().map(|layer| of(layer).chars().count()).max().unwrap_or(0).max(heading.len())
        };
        let (paths, kinds) = (widest(|layer| &layer.path, "layer"), widest(|layer| layer.kind, "kind"));
        let total = self.total().as_secs_f64().max(f64::MIN_POSITIVE);
        writeln!(f, "{:<paths$}  {:<kinds$}  {:>10}  {:>11}  {:>6}", "layer", "kind", "forward ms", "backward ms", "share")?;
        for LayerTime { path, kind, passes, forward, backward } in &self.layers {
            let ms = |time: &Duration| 1e3 * time.as_secs_f64() / (*passes).max(1) as f64;
            let share = 100.0 * (*forward + *backward).as_secs_f64() / total;
            writeln!(f, "{path:<paths$}  {kind:<kinds$}  {:>10.3}  {:>11.3}  {share:>5.1}%", ms(forward), ms(backward))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    #[test]
    fn a_container_s_time_is_without_its_children_s() {
        let (mut times, x) = (LayerTimes::new(), Tensor::zeros([1]).unwrap());
        let pause = Duration::from_millis(5);
        times.before("block", "Flow", Pass::Forward, &x);
        for child in ["block.0", "block.1"] {
            times.before(child, "Linear", Pass::Forward, &x);
            sleep(pause);
            times.after(child, "Linear", Pass::Forward, &x);
        }
        times.after("block", "Flow", Pass::Forward, &x);
        let [a, b, block] = times.layers() else { panic!("three layers") };
        assert!(a.forward >= pause && b.forward >= pause && block.forward < a.forward.min(b.forward), "{times}");
        assert_eq!(times.total(), a.forward + b.forward + block.forward);
        assert!(times.to_string().starts_with("layer    kind    forward ms  backward ms   share\nblock.0  Linear"), "{times}");
    }

    #[test]
    fn a_pass_that_failed_does_not_disturb_the_next() {
        let (mut times, x) = (LayerTimes::new(), Tensor::zeros([1]).unwrap());
        times.before("a", "Flow", Pass::Forward, &x);
        times.before("a.0", "Linear", Pass::Forward, &x); // an error: neither ends
        times.before("a", "Flow", Pass::Backward, &x);
        times.after("a", "Flow", Pass::Backward, &x);
        times.after("never begun", "Flow", Pass::Forward, &x);
        assert_eq!((times.layers().len(), times.layers()[0].passes), (1, 0));
    }
}
