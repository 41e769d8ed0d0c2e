//! Parameters that an optimizer treats differently: picked by a rule, with a learning rate or a weight decay of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use nyang_nn::{Element, Module, Param, Path, Visit, parameters_of};

use crate::error::check_not_negative;
use crate::{Error, Result};

/// Some of the parameters, and what is different for them.
///
/// A parameter may be in several groups: factors multiply, and of weight decays the last one holds.
///
/// ```
/// # use nyang_optim::{AdamW, Group, Optimizer};
/// let optimizer = AdamW::<f32>::new(3e-3)
///     .weight_decay(0.05)
///     .group(Group::bias_and_norm().weight_decay(0.0))                            // no decay on biases and norms
///     .group(Group::paths(|path| path.starts_with("features.")).lr_factor(0.1));  // fine-tuning: the pretrained part moves less
/// optimizer.check()?;
/// # Ok::<(), nyang_optim::Error>(())
/// ```
#[derive(Clone)]
pub struct Group {
    rule: Rule,
    lr_factor: f64,
    weight_decay: Option<f64>,
}

#[derive(Clone)]
enum Rule {
    Paths(Arc<dyn Fn(&str) -> bool + Send + Sync>),
    BiasAndNorm,
}

impl Group {
    /// The parameters whose path, such as `layer1.0.conv1.weight`, the rule picks. A rule that picks none is an error at the first step.
    pub fn paths(rule: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Group { rule: Rule::Paths(Arc::new(rule)), lr_factor: 1.0, weight_decay: None }
    }

    /// Every parameter of at most one dimension, which are biases, the norms' γ and β and activations' slopes, and every other parameter of a
    /// module whose kind has `Norm` in its name. Weight decay keeps weights small; these have no reason to be.
    pub fn bias_and_norm() -> Self {
        Group { rule: Rule::BiasAndNorm, lr_factor: 1.0, weight_decay: None }
    }

    /// A factor ≥ 0 for their learning rate; 1 unless given.
    pub fn lr_factor(mut self, factor: f64) -> Self {
        self.lr_factor = factor;
        self
    }

    /// Their weight decay ≥ 0; the optimizer's unless given.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = Some(weight_decay);
        self
    }

    pub(crate) fn check(&self, kind: &'static str) -> Result<()> {
        check_not_negative(kind, "lr_factor of a group", self.lr_factor)?;
        check_not_negative(kind, "weight_decay of a group", self.weight_decay.unwrap_or(0.0))
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = if matches!(self.rule, Rule::BiasAndNorm) { "bias and norm" } else { "by path" };
        f.debug_struct("Group").field("rule", &rule).field("lr_factor", &self.lr_factor).field("weight_decay", &self.weight_decay).finish()
    }
}

/// What a parameter's groups come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tuning {
    pub lr_factor: f64,
    pub weight_decay: Option<f64>,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning { lr_factor: 1.0, weight_decay: None }
    }
}

/// Fills in what the groups come to for each parameter of `model`, unless every path is known already.
pub(crate) fn tunings<T: Element>(
    kind: &'static str,
    groups: &[Group],
    model: &dyn Module<T>,
    known: &mut BTreeMap<String, Tuning>,
) -> Result<()> {
    /// Each parameter's path, and whether it has at most one dimension.
    struct Parameters(Vec<(String, bool)>);
    impl<T: Element> Visit<T> for Parameters {
        fn param(&mut self, at: Path<'_>, param: &Param<T>) {
            self.0.push((at.to_string(), param.value.dims().len() <= 1));
        }
    }
    let mut parameters = Parameters(vec![]);
    model.visit(Path::ROOT, &mut parameters);
    if parameters.0.iter().all(|(path, _)| known.contains_key(path)) {
        return Ok(());
    }
    let norms: BTreeSet<String> = parameters_of(model, |kind| kind.contains("Norm"));
    let mut found: BTreeMap<String, Tuning> = parameters.0.iter().map(|(path, _)| (path.clone(), Tuning::default())).collect();
    for (i, group) in groups.iter().enumerate() {
        let mut picked = 0;
        for (path, flat) in &parameters.0 {
            let inside = match &group.rule {
                Rule::Paths(rule) => rule(path),
                Rule::BiasAndNorm => *flat || norms.contains(path),
            };
            if let (true, Some(tuning)) = (inside, found.get_mut(path)) {
                picked += 1;
                tuning.lr_factor *= group.lr_factor;
                tuning.weight_decay = group.weight_decay.or(tuning.weight_decay);
            }
        }
        if let (0, Rule::Paths(_), Some((example, _))) = (picked, &group.rule, parameters.0.first()) {
            return Err(Error::EmptyGroup { kind, number: i + 1, parameters: parameters.0.len(), example: example.clone() });
        }
    }
    *known = found;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Adam, AdamW, Optimizer, Sgd};
    use nyang_nn::{BatchNorm1d, Flow, Init, LayerNorm, Linear, StateDict, StateValue, Tensor, VisitMut};

    fn model() -> Flow<f64> {
        let init = &mut Init::seed(1);
        Flow::new()
            .named("fc", Linear::config(3, 4).build(init).unwrap())
            .named("bn", BatchNorm1d::config(4).build(init).unwrap())
            .named("ln", LayerNorm::config([2, 2]).build(init).unwrap())
    }

    /// The parameters that a step with gradients of zero has changed, with p_new / p_old.
    fn shrunk(optimizer: &mut dyn Optimizer<f64>) -> Vec<(String, f64)> {
        struct Ones;
        impl VisitMut<f64> for Ones {
            fn param(&mut self, _: Path<'_>, param: &mut Param<f64>) {
                param.value = Tensor::ones(param.value.shape()).unwrap();
            }
        }
        let mut model = model();
        model.visit_mut(Path::ROOT, &mut Ones);
        optimizer.step(&mut model).unwrap();
        let state = StateDict::of(&model).unwrap();
        let first = |value: &StateValue<f64>| match value {
            StateValue::Tensor(t) => t.to_vec()[0],
            _ => 1.0,
        };
        state
            .iter()
            .map(|(name, value)| (name.to_owned(), first(value)))
            .filter(|(name, v)| *v != 1.0 && !name.contains("running"))
            .collect()
    }

    #[test]
    fn biases_and_norms_are_not_decayed_if_so_asked() {
        let mut all = AdamW::new(0.5).weight_decay(0.2);
        assert_eq!(shrunk(&mut all).len(), 6);
        let mut weights = AdamW::new(0.5).weight_decay(0.2).group(Group::bias_and_norm().weight_decay(0.0));
        assert_eq!(shrunk(&mut weights), [("fc.weight".to_owned(), 0.9)]);
        let mut weights = Sgd::new(0.5).weight_decay(0.2).group(Group::bias_and_norm().weight_decay(0.0));
        assert_eq!(shrunk(&mut weights), [("fc.weight".to_owned(), 0.9)]);
    }

    #[test]
    fn factors_multiply_and_the_last_decay_holds() {
        let mut sgd = Sgd::new(0.5)
            .weight_decay(0.2)
            .group(Group::paths(|path| path.starts_with("fc.")).lr_factor(0.1).weight_decay(0.4))
            .group(Group::bias_and_norm().weight_decay(0.0))
            .group(Group::paths(|path| path.ends_with("bias")).lr_factor(3.0).weight_decay(1.0));
        let got = shrunk(&mut sgd);
        let want = [("bn.bias", 1.0 - 1.5), ("fc.bias", 1.0 - 0.5 * 0.1 * 3.0), ("fc.weight", 1.0 - 0.5 * 0.1 * 0.4), ("ln.bias", -0.5)];
        assert_eq!(got.len(), want.len(), "{got:?}");
        for ((name, p), (wanted, q)) in got.iter().zip(want) {
            assert!(name == wanted && (p - q).abs() < 1e-15, "{got:?}");
        }
    }

    #[test]
    fn a_factor_acts_on_learning_rates_set_later() {
        let mut sgd = Sgd::new(0.0).weight_decay(1.0).group(Group::paths(|path| path == "fc.weight").lr_factor(0.5));
        sgd.set_lr(0.2).unwrap();
        let got = shrunk(&mut sgd);
        assert_eq!(got.iter().find(|(name, _)| name == "fc.weight").unwrap().1, 0.9);
        assert_eq!(got.iter().find(|(name, _)| name == "fc.bias").unwrap().1, 0.8);
    }

    #[test]
    fn a_rule_that_picks_nothing_is_an_error() {
        let mut adam = Adam::new(0.1).group(Group::bias_and_norm()).group(Group::paths(|path| path.starts_with("features")));
        let error = adam.step(&mut model()).unwrap_err().to_string();
        assert_eq!(error, "Adam: the rule of group 2 picks none of the model's 6 parameters, whose paths are like `fc.weight`");
        let mut bare = Linear::config(2, 2).bias(false).build::<f64>(&mut Init::seed(1)).unwrap();
        Adam::new(0.1).group(Group::bias_and_norm()).step(&mut bare).unwrap();
    }

    #[test]
    fn settings_that_could_not_work_are_errors() {
        let refused = |group: Group| Adam::<f32>::new(0.1).group(group).check().unwrap_err().to_string();
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            let error = refused(Group::bias_and_norm().lr_factor(wrong));
            assert_eq!(error, format!("Adam: lr_factor of a group = {wrong} is not valid: must be a number ≥ 0"));
            assert!(refused(Group::bias_and_norm().weight_decay(wrong)).starts_with("Adam: weight_decay of a group = "));
        }
    }
}
