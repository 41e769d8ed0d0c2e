//! A trained model made ready for inference: what evaluation does not need is computed away.

use nyang_tensor::{Element, Tensor};

use crate::layers::{batch_norm1d, batch_norm2d};
use crate::layers::{branches, conv2d, drop_path, dropout, dropout2d, flow, linear, residual, squeeze_excite};
use crate::{Init, Module, Registry, Result, Spec, StateDict, StateValue};

/// A new model for inference that computes what `model` computes in evaluation, with less work; `model` stays as it is.
///
/// A batch norm directly behind a convolution or linear layer goes into its weights, for in evaluation both are affine:
///
/// ```text
/// γ · (W x + b − μ) / √(σ² + ε) + β = W' x + b'        W' = s · W,   b' = s · (b − μ) + β,   s = γ / √(σ² + ε)
/// ```
///
/// Dropout of every kind, the identity in evaluation, is left away; only a [`Dropout`](crate::Dropout) that scales in evaluation stays.
/// This is done inside of [`Flow`](crate::Flow), [`Residual`](crate::Residual), [`Branches`](crate::Branches) and
/// [`SqueezeExcite`](crate::SqueezeExcite), at any depth. Modules of your own are left as they are, all that is inside of them too; the
/// registry must know them, as for loading a file. What is left keeps its name.
///
/// Outputs differ by rounding: at most 4e-5 of the largest output in `f32`, 1e-12 in `f64`, for every model of the [`zoo`](crate::zoo).
///
/// The new model has no batch norm left to train with. Keep the old one for that, and optimize again.
///
/// ```
/// # use nyang_nn::{Ctx, Flow, Init, Module, Registry, Tensor, optimize};
/// let model = Flow::input([3, 8, 8]).conv(4, 3).batch_norm().relu().dropout(0.5).linear(10).build::<f32>(&mut Init::seed(1))?;
/// let quick = optimize(&model, &Registry::standard())?;
/// let kinds: Vec<_> = quick.spec().children.into_iter().map(|(name, child)| format!("{name}: {}", child.kind)).collect();
/// assert_eq!(kinds, ["0: Conv2d", "2: Relu", "4: Flatten", "5: Linear"]);
/// assert_eq!(quick.infer(Tensor::ones([1, 3, 8, 8])?, &mut Ctx::eval())?.dims(), [1, 10]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
///
/// # Errors
/// As [`Registry::build`], [`Error::UnknownKind`](crate::Error::UnknownKind) above all.
pub fn optimize<T: Element>(model: &dyn Module<T>, registry: &Registry<T>) -> Result<Box<dyn Module<T>>> {
    let (mut spec, mut state) = (model.spec(), StateDict::of(model)?);
    simplify(&mut spec, "", &mut state)?;
    let mut optimized = registry.build(&spec, &mut Init::blank(state.values()))?;
    state.load_into(optimized.as_mut())?;
    Ok(optimized)
}

/// Simplifies the description of the module at `path`, and its state with it.
fn simplify<T: Element>(spec: &mut Spec, path: &str, state: &mut StateDict<T>) -> Result<()> {
    if ![flow::KIND, residual::KIND, branches::KIND, squeeze_excite::KIND].contains(&spec.kind.as_str()) {
        return Ok(()); // a layer, or a module of somebody's own, of whose inside nothing is known
    }
    for (name, child) in &mut spec.children {
        simplify(child, &below(path, name), state)?;
    }
    if spec.kind == branches::KIND {
        return Ok(()); // its children are not behind one another
    }
    // A residual block's children are a sequence but for the shortcut, and for what comes after the sum.
    let apart: Vec<String> = ["shortcut", "after"].iter().filter_map(|role| spec.text(role).ok().map(str::to_owned)).collect();
    let mut kept: Vec<(String, Spec)> = Vec::with_capacity(spec.children.len());
    for (name, child) in std::mem::take(&mut spec.children) {
        if !apart.contains(&name) {
            if is_identity(&child) {
                continue;
            }
            let before = kept.last_mut().filter(|(before, layer)| !apart.contains(before) && goes_into(&child, layer));
            if let Some((before, layer)) = before
                && fold(state, &below(path, before), &below(path, &name), child.f64("eps")?)?
            {
                layer.config.insert("bias".to_owned(), true.into());
                continue;
            }
        }
        kept.push((name, child));
    }
    spec.children = kept;
    Ok(())
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Whether a layer does nothing in evaluation.
fn is_identity(layer: &Spec) -> bool {
    match layer.kind.as_str() {
        dropout::KIND => !layer.bool(dropout::SCALED).unwrap_or(false),
        kind => [dropout2d::KIND, drop_path::KIND].contains(&kind),
    }
}

/// Whether `norm` is a batch norm that can go into `layer` before it.
fn goes_into(norm: &Spec, layer: &Spec) -> bool {
    [(conv2d::KIND, batch_norm2d::KIND), (linear::KIND, batch_norm1d::KIND)].contains(&(layer.kind.as_str(), norm.kind.as_str()))
}

/// Puts the numbers of the batch norm at `norm` into those of the layer at `layer`, in f64. Leaves both alone, and says so, where their sizes
/// do not go together.
fn fold<T: Element>(state: &mut StateDict<T>, layer: &str, norm: &str, eps: f64) -> Result<bool> {
    let tensor = |path: &str, name: &str| match state.get(&below(path, name)) {
        Some(StateValue::Tensor(t)) => Some(t.clone()),
        _ => None,
    };
    let Some(weight) = tensor(layer, "weight") else { return Ok(false) };
    let Some(&out) = weight.dims().first().filter(|_| !weight.is_empty()) else { return Ok(false) };
    let numbers = |path: &str, name: &str, otherwise: f64| match tensor(path, name) {
        Some(t) => t.to_vec().into_iter().map(T::to_f64).collect(),
        None => vec![otherwise; out],
    };
    let (mean, var) = (numbers(norm, "running_mean", 0.0), numbers(norm, "running_var", 1.0));
    let (gamma, beta) = (numbers(norm, "weight", 1.0), numbers(norm, "bias", 0.0)); // not there unless the norm is affine
    let bias = numbers(layer, "bias", 0.0);
    if [&mean, &var, &gamma, &beta, &bias].iter().any(|v| v.len() != out) {
        return Ok(false);
    }
    let scale: Vec<f64> = gamma.iter().zip(&var).map(|(g, v)| g / (v + eps).sqrt()).collect();
    let rows = weight.to_vec();
    let scaled = rows.chunks(weight.len() / out).zip(&scale).flat_map(|(row, s)| row.iter().map(move |w| T::of(w.to_f64() * s)));
    let weight = Tensor::from_vec(*weight.shape(), scaled.collect())?; // W' = s · W
    let shifted = bias.iter().zip(&mean).zip(&scale).zip(&beta).map(|(((b, m), s), beta)| T::of((b - m) * s + beta)); // b' = s · (b − μ) + β
    let bias = Tensor::from_vec([out], shifted.collect())?;
    state.insert(below(layer, "weight"), StateValue::Tensor(weight));
    state.insert(below(layer, "bias"), StateValue::Tensor(bias));
    for name in ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"] {
        state.remove(&below(norm, name));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::spread_state;
    use crate::{
        BatchNorm1d, BatchNorm2d, Branches, Build, Conv2d, Ctx, DropPath, Dropout, Dropout2d, Flow, Linear, Path, Relu, Residual, Rng,
        Shape, SqueezeExcite, Visit, VisitMut,
    };

    fn conv(c: usize, out: usize, bias: bool) -> Conv2d<f64> {
        Conv2d::config(c, out, 3).padding(1).bias(bias).build(&mut Init::seed(1)).unwrap()
    }
    fn norm(c: usize) -> BatchNorm2d<f64> {
        BatchNorm2d::config(c).build(&mut Init::seed(1)).unwrap()
    }

    /// The kinds that are left of a model, and its outputs are checked.
    fn optimized(mut model: impl Module<f64>, input: &[usize]) -> Spec {
        spread_state(&mut model);
        let x = Tensor::normal(Shape::new(input).unwrap(), 0.0, 1.0, &mut Rng::seed(2)).unwrap();
        let quick = optimize(&model, &Registry::standard()).unwrap();
        let (want, got) = (model.infer(x.clone(), &mut Ctx::eval()).unwrap(), quick.infer(x, &mut Ctx::eval()).unwrap());
        let largest = want.to_vec().iter().fold(0.0f64, |a, v| a.max(v.abs()));
        for (a, b) in want.to_vec().iter().zip(got.to_vec()) {
            assert!((a - b).abs() <= 1e-12 * largest, "{a} {b}");
        }
        quick.spec()
    }

    fn names(spec: &Spec) -> Vec<&str> {
        spec.children.iter().map(|child| child.0.as_str()).collect()
    }

    /// s = 3/√(3 + 1) = 1.5, so W' = 1.5 · 2 and b' = 1.5 · (7 − 4) + 5.
    #[test]
    fn one_weight_by_hand() {
        let init = &mut Init::seed(1);
        let (mut linear, mut norm) =
            (Linear::config(1, 1).build::<f64>(init).unwrap(), BatchNorm1d::config(1).eps(1.0).build(init).unwrap());
        let one = |v: f64| Tensor::from_vec([1], vec![v]).unwrap();
        (linear.weight.value, linear.bias.as_mut().unwrap().value) = (Tensor::full([1, 1], 2.0).unwrap(), one(7.0));
        (norm.weight.value, norm.bias.value, norm.running_mean, norm.running_var) = (one(3.0), one(5.0), one(4.0), one(3.0));
        let quick = optimize(&Flow::new().named("fc", linear).then(norm), &Registry::standard()).unwrap();
        let state = StateDict::of(quick.as_ref()).unwrap();
        assert_eq!(state.names().collect::<Vec<_>>(), ["fc.bias", "fc.weight"]);
        assert_eq!(state.get("fc.weight"), Some(&StateValue::Tensor(Tensor::full([1, 1], 3.0).unwrap())));
        assert_eq!(state.get("fc.bias"), Some(&StateValue::Tensor(one(9.5))));
    }

    #[test]
    fn norms_go_into_the_layers_before_them_with_and_without_bias_affine_and_groups() {
        let plain = BatchNorm2d::config(6).affine(false).build::<f64>(&mut Init::seed(1)).unwrap();
        let depthwise = Conv2d::config(6, 6, 3).groups(6).build::<f64>(&mut Init::seed(1)).unwrap();
        let fc = Linear::config(6 * 4, 5).build::<f64>(&mut Init::seed(1)).unwrap();
        let rows = BatchNorm1d::config(5).frozen(true).build::<f64>(&mut Init::seed(1)).unwrap();
        let features = Flow::new().then(conv(2, 6, true)).then(norm(6)).then(Relu::new()).then(depthwise).then(plain);
        let spec = optimized(Flow::new().then(features).then(crate::Flatten::new()).then(fc).then(rows), &[2, 2, 4, 4]);
        assert_eq!((names(&spec), names(&spec.children[0].1)), (vec!["0", "1", "2"], vec!["0", "2", "3"]));
    }

    #[test]
    fn dropout_goes_and_what_it_stood_between_comes_together() {
        let model = Flow::new()
            .then(DropPath::new(0.5).unwrap())
            .then(conv(2, 3, false))
            .then(Dropout2d::new(0.5).unwrap())
            .then(norm(3))
            .then(Dropout::new(0.3).unwrap().scaled_in_evaluation())
            .then(Dropout::new(0.3).unwrap());
        assert_eq!(names(&optimized(model, &[2, 2, 4, 4])), ["1", "4"]);
    }

    #[test]
    fn norms_behind_nothing_or_behind_something_else_stay() {
        let model = Flow::new().then(norm(2)).then(conv(2, 3, true)).then(Relu::new()).then(norm(3));
        assert_eq!(names(&optimized(model, &[2, 2, 4, 4])), ["0", "1", "2", "3"]);
    }

    #[test]
    fn branches_are_not_behind_one_another_but_what_is_in_them_is() {
        let first = Flow::new().then(conv(3, 3, false)).then(norm(3));
        let model = Branches::sum().named("first", first).named("conv", conv(3, 3, true)).named("norm", norm(3));
        let spec = optimized(model, &[2, 3, 4, 4]);
        assert_eq!((names(&spec), names(&spec.children[0].1)), (vec!["first", "conv", "norm"], vec!["0"]));
    }

    #[test]
    fn a_residual_blocks_shortcut_and_end_are_no_part_of_its_sequence() {
        let body = Flow::new().named("conv1", conv(3, 3, false)).named("bn1", norm(3)).named("conv2", conv(3, 3, false));
        let model = Residual::new(body).shortcut("short", norm(3)).after("end", norm(3));
        assert_eq!(names(&optimized(model, &[2, 3, 4, 4])), ["conv1", "conv2", "short", "end"]);
        let body =
            Flow::new().then(SqueezeExcite::config(3, 2).build(&mut Init::seed(1)).unwrap()).named("drop", DropPath::new(0.1).unwrap());
        assert_eq!(names(&optimized(Residual::new(body), &[2, 3, 4, 4])), ["0"]);
    }

    /// A module of one's own whose description has children: it may do anything with them.
    struct Own(Flow<f64>);
    impl Module<f64> for Own {
        fn kind(&self) -> &'static str {
            "Own"
        }
        fn out_shape(&self, input: &Shape) -> Result<Shape> {
            self.0.out_shape(input)
        }
        fn infer(&self, x: Tensor<f64>, cx: &mut Ctx<'_, f64>) -> Result<Tensor<f64>> {
            self.0.infer(x, cx)
        }
        fn forward(&mut self, x: Tensor<f64>, cx: &mut Ctx<'_, f64>) -> Result<Tensor<f64>> {
            self.0.forward(x, cx)
        }
        fn backward(&mut self, dy: Tensor<f64>, cx: &mut Ctx<'_, f64>) -> Result<Tensor<f64>> {
            self.0.backward(dy, cx)
        }
        fn visit(&self, at: Path<'_>, v: &mut dyn Visit<f64>) {
            self.0.visit(at, v);
        }
        fn visit_mut(&mut self, at: Path<'_>, v: &mut dyn VisitMut<f64>) {
            self.0.visit_mut(at, v);
        }
        fn spec(&self) -> Spec {
            Spec { kind: "Own".to_owned(), ..self.0.spec() }
        }
    }

    #[test]
    fn modules_of_ones_own_are_left_alone_and_must_be_known() {
        let model = Flow::new().named("own", Own(Flow::new().then(conv(2, 3, false)).then(norm(3)))).then(conv(3, 3, true)).then(norm(3));
        let error = optimize(&model, &Registry::standard()).unwrap_err().to_string();
        assert!(error.starts_with("at `own`: no module of kind `Own` is registered"), "{error}");
        fn build(spec: &Spec, b: &mut Build<'_, f64>) -> Result<Box<dyn Module<f64>>> {
            Ok(Box::new(Own(b.children(spec)?.into_iter().fold(Flow::new(), |flow, (name, module)| flow.named(&name, module)))))
        }
        let quick = optimize(&model, &Registry::standard().with("Own", build)).unwrap();
        let spec = quick.spec();
        assert_eq!((names(&spec), names(&spec.children[0].1)), (vec!["own", "1"], vec!["0", "1"]));
    }
}
