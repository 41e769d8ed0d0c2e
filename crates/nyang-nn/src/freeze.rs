//! Freezing parts of a model, for fine-tuning: which parameters optimizers may change, and whose running statistics move.

use std::collections::{BTreeMap, BTreeSet};

use nyang_tensor::Element;

use crate::batch_norm::{Images, Inputs, Rows};
use crate::{Module, Param, Path, Spec, Visit, VisitMut};

/// Freezes every parameter whose path `rule` picks: optimizers leave it as it is. Returns how many values the picked parameters have,
/// 0 for a rule that picks none.
///
/// A frozen layer still runs and passes gradients on, so what lies before it can learn. Its own gradients are still added up.
/// Batch norms' running statistics are no parameters and go on moving: [`freeze_statistics`] stops them.
///
/// ```
/// # use nyang_nn::{Flow, Init, freeze, unfreeze, summary};
/// let mut model = Flow::input([1, 8, 8]).conv(4, 3).batch_norm().relu().linear(10).build::<f32>(&mut Init::seed(1))?;
/// let features = freeze(&mut model, |path| !path.starts_with("4."));         // all but the last layer
/// assert_eq!(features, 4 * 9 + 4 + 4);
/// assert_eq!(summary(&model, [1, 8, 8])?.trainable, 256 * 10 + 10);
///
/// unfreeze(&mut model, |_| true);
/// assert_eq!(summary(&model, [1, 8, 8])?.trainable, 256 * 10 + 10 + features);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub fn freeze<T: Element>(model: &mut dyn Module<T>, rule: impl FnMut(&str) -> bool) -> usize {
    set_trainable(model, rule, false)
}

/// Lets optimizers change every parameter whose path `rule` picks; undoes [`freeze`]. Returns how many values the picked parameters have.
pub fn unfreeze<T: Element>(model: &mut dyn Module<T>, rule: impl FnMut(&str) -> bool) -> usize {
    set_trainable(model, rule, true)
}

/// [`unfreeze`]s where `trainable` is true, and [`freeze`]s where it is false: for a program that computes which.
pub fn set_trainable<T: Element>(model: &mut dyn Module<T>, rule: impl FnMut(&str) -> bool, trainable: bool) -> usize {
    struct Set<F> {
        rule: F,
        trainable: bool,
        values: usize,
    }
    impl<T: Element, F: FnMut(&str) -> bool> VisitMut<T> for Set<F> {
        fn param(&mut self, at: Path<'_>, param: &mut Param<T>) {
            if (self.rule)(&at.to_string()) {
                param.trainable = self.trainable;
                self.values += param.value.len();
            }
        }
    }
    let mut set = Set { rule, trainable, values: 0 };
    model.visit_mut(Path::ROOT, &mut set);
    set.values
}

/// The paths of the parameters that belong to modules of the kinds that `rule` picks: the norms', say, whose paths do not tell.
///
/// Kinds are those of the model's [`Spec`], so a module of one's own without a spec of its children hides them.
///
/// ```
/// # use nyang_nn::{Init, freeze, parameters_of, zoo};
/// let mut model = zoo::resnet20::<f32>(zoo::Task::new([3, 32, 32], 10), &mut Init::seed(1))?;
/// let norms = parameters_of(&model, |kind| kind.ends_with("Norm2d"));
/// assert!(norms.contains("1.weight") && norms.contains("3.bn1.bias") && !norms.contains("0.weight"));
/// assert_eq!(freeze(&mut model, |path| norms.contains(path)), 1376);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub fn parameters_of<T: Element>(model: &dyn Module<T>, mut rule: impl FnMut(&str) -> bool) -> BTreeSet<String> {
    struct Paths(BTreeSet<String>);
    impl<T: Element> Visit<T> for Paths {
        fn param(&mut self, at: Path<'_>, _: &Param<T>) {
            self.0.insert(at.to_string());
        }
    }
    let mut kinds = BTreeMap::new();
    each_module(&mut model.spec(), "", &mut |path, spec| {
        kinds.insert(path.to_owned(), rule(&spec.kind));
    });
    let mut paths = Paths(BTreeSet::new());
    model.visit(Path::ROOT, &mut paths);
    let module = |path: &str| path.rsplit_once('.').map_or(String::new(), |(module, _)| module.to_owned());
    paths.0.into_iter().filter(|path| kinds.get(&module(path)).is_some_and(|picked| *picked)).collect()
}

/// Freezes, in a model's description, the running statistics of every batch norm whose path `rule` picks. Returns how many it picked.
///
/// A model that is built from the description uses those statistics in training as in evaluation, and does not move them
/// ([`BatchNorm::freeze_statistics`](crate::batch_norm::BatchNorm::freeze_statistics)). The model that gave the description stays as it is.
///
/// ```
/// # use nyang_nn::{Init, Module, Registry, StateDict, freeze_statistics, zoo};
/// let trained = zoo::resnet20::<f32>(zoo::Task::new([3, 32, 32], 10), &mut Init::seed(1))?;
/// let mut spec = trained.spec();
/// assert_eq!(freeze_statistics(&mut spec, |_| true), 19);
///
/// let state = StateDict::of(&trained)?;
/// let mut model = Registry::standard().build(&spec, &mut Init::blank(state.values()))?;
/// state.load_into(&mut model)?;
/// # Ok::<(), nyang_nn::Error>(())
/// ```
pub fn freeze_statistics(spec: &mut Spec, mut rule: impl FnMut(&str) -> bool) -> usize {
    let mut picked = 0;
    each_module(spec, "", &mut |path, spec| {
        let batch_norm = [Rows::KIND, Images::KIND].contains(&spec.kind.as_str());
        if batch_norm && rule(path) {
            spec.config.insert("frozen".to_owned(), true.into());
            picked += 1;
        }
    });
    picked
}

/// Calls `f` for a description and all below it, with their paths.
fn each_module(spec: &mut Spec, path: &str, f: &mut dyn FnMut(&str, &mut Spec)) {
    f(path, spec);
    for (name, child) in &mut spec.children {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        each_module(child, &below, f);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchNorm1d, Ctx, Flow, Init, LayerNorm, Linear, Registry, StateDict, Tensor};

    fn model() -> Flow<f32> {
        let init = &mut Init::seed(1);
        let body =
            Flow::new().named("fc", Linear::config(3, 4).build(init).unwrap()).named("bn", BatchNorm1d::config(4).build(init).unwrap());
        let head = Flow::new().then(LayerNorm::config([4]).build(init).unwrap()).then(Linear::config(4, 2).build(init).unwrap());
        Flow::new().named("body", body).named("head", head)
    }

    fn frozen(model: &Flow<f32>) -> Vec<String> {
        struct Frozen(Vec<String>);
        impl Visit<f32> for Frozen {
            fn param(&mut self, at: Path<'_>, param: &Param<f32>) {
                if !param.trainable {
                    self.0.push(at.to_string());
                }
            }
        }
        let mut frozen = Frozen(vec![]);
        model.visit(Path::ROOT, &mut frozen);
        frozen.0
    }

    #[test]
    fn a_rule_freezes_what_it_picks_and_counts_its_values() {
        let mut model = model();
        assert_eq!(freeze(&mut model, |path| path.starts_with("body.")), 3 * 4 + 4 + 4 + 4);
        assert_eq!(frozen(&model), ["body.fc.weight", "body.fc.bias", "body.bn.weight", "body.bn.bias"]);
        assert_eq!(unfreeze(&mut model, |path| path.ends_with(".bias")), 4 + 4 + 4 + 2);
        assert_eq!(frozen(&model), ["body.fc.weight", "body.bn.weight"]);
        assert_eq!(set_trainable(&mut model, |path| path == "head.1.weight", false), 8);
        assert_eq!(frozen(&model), ["body.fc.weight", "body.bn.weight", "head.1.weight"]);
        assert_eq!(freeze(&mut model, |path| path.starts_with("boby.")), 0, "a rule that is mistyped shows");
    }

    #[test]
    fn a_frozen_model_passes_the_same_gradients_on() {
        let (mut learning, mut still) = (model(), model());
        freeze(&mut still, |_| true);
        let x = Tensor::from_fn([5, 3], |i| (i * i % 7) as f32).unwrap();
        let dx = [&mut learning, &mut still].map(|model| {
            let y = model.forward(x.clone(), &mut Ctx::train(1)).unwrap();
            model.backward(y, &mut Ctx::train(1)).unwrap().to_vec()
        });
        assert_eq!(dx[0], dx[1]);
        assert!(dx[0].iter().any(|d| d.abs() > 1e-3), "{dx:?}");
    }

    #[test]
    fn norms_are_found_by_their_kind() {
        let norms = parameters_of(&model(), |kind| kind.contains("Norm"));
        let names: Vec<&str> = norms.iter().map(String::as_str).collect();
        assert_eq!(names, ["body.bn.bias", "body.bn.weight", "head.0.bias", "head.0.weight"]);
        let alone = LayerNorm::config([4]).build::<f32>(&mut Init::seed(1)).unwrap();
        assert_eq!(parameters_of(&alone, |kind| kind == "LayerNorm").len(), 2);
        assert!(parameters_of(&alone, |kind| kind == "Linear").is_empty());
    }

    #[test]
    fn every_parameter_of_every_case_belongs_to_a_module_of_its_description() {
        struct Paths(BTreeSet<String>);
        impl Visit<f32> for Paths {
            fn param(&mut self, at: Path<'_>, _: &Param<f32>) {
                self.0.insert(at.to_string());
            }
        }
        for case in crate::case::CASES.iter().copied().flatten() {
            let model = (case.build_f32)(&mut Init::seed(1)).unwrap();
            let mut all = Paths(BTreeSet::new());
            model.visit(Path::ROOT, &mut all);
            assert_eq!(parameters_of(model.as_ref(), |_| true), all.0, "{}", case.name);
        }
    }

    #[test]
    fn statistics_frozen_in_a_description_do_not_move_in_the_model_built_from_it() {
        let model = model();
        let mut spec = model.spec();
        assert_eq!(freeze_statistics(&mut spec, |path| path.starts_with("head")), 0);
        assert_eq!(spec, model.spec());
        assert_eq!(freeze_statistics(&mut spec, |path| path == "body.bn"), 1);
        let state = StateDict::of(&model).unwrap();
        let mut still = Registry::<f32>::standard().build(&spec, &mut Init::blank(state.values())).unwrap();
        state.load_into(&mut still).unwrap();
        still.forward(Tensor::from_fn([5, 3], |i| i as f32).unwrap(), &mut Ctx::train(1)).unwrap();
        assert_eq!(StateDict::of(&still).unwrap(), state);
    }
}
