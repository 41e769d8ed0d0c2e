//! Is a backward the gradient of its forward? And does `f32` compute what `f64` computes?
//!
//! For a random direction r, L(x, w) = Σ r · f(x; w) is a number whose gradients backward gives when it is fed r. Each entry of them is
//! compared with the central difference
//!
//! ```text
//! ∂L/∂v ≈ (L(v + h) − L(v − h)) / 2h
//! ```
//!
//! in `f64`, where that is good to about nine digits. The random direction matters: with r = 1, a batch norm's gradients are zero in
//! theory, and a backward that returned zeros would pass.

use nyang_tensor::kernels::Kernels;
use nyang_tensor::{Element, Rng, Tensor};

use crate::case::Case;
use crate::{Ctx, Init, Mode, Module, Param, Path, Result, StateDict, StateValue, Visit, VisitMut};

/// How gradients are to be checked.
#[derive(Clone, Debug)]
pub struct GradCheck {
    /// Seed of the random direction and of dropout's masks.
    pub seed: u64,
    /// Training or evaluation.
    pub mode: Mode,
    /// The step h.
    pub step: f64,
    /// How many entries of each tensor are checked; a random choice where there are more.
    pub entries: usize,
}

impl Default for GradCheck {
    fn default() -> Self {
        GradCheck { seed: 7, mode: Mode::Train, step: 1e-6, entries: 400 }
    }
}

/// What a gradient check found.
#[derive(Clone, Debug, PartialEq)]
pub struct GradReport {
    /// The largest error, |a − n| / max(1, |a|, |n|).
    pub worst: f64,
    /// Where it was: `dx[3]`, `conv1.weight[7]`.
    pub place: String,
    /// The gradient that backward gave there.
    pub analytic: f64,
    /// The central difference there.
    pub numeric: f64,
    /// How many entries were compared.
    pub entries: usize,
    /// Parameters whose gradient is zero everywhere: probably forgotten in `backward`.
    pub silent: Vec<String>,
}

impl GradReport {
    /// Whether every error is at most `tolerance` and no parameter is without a gradient.
    pub fn passes(&self, tolerance: f64) -> bool {
        self.worst <= tolerance && self.silent.is_empty()
    }

    pub(crate) fn note(&mut self, place: impl FnOnce() -> String, analytic: f64, numeric: f64) {
        self.entries += 1;
        let error = (analytic - numeric).abs() / analytic.abs().max(numeric.abs()).max(1.0);
        let error = if error.is_nan() { f64::INFINITY } else { error }; // a NaN must not look like a pass
        if error > self.worst || self.place.is_empty() {
            (self.worst, self.place, self.analytic, self.numeric) = (error, place(), analytic, numeric);
        }
    }
}

/// Checks the gradients of any module, a user's own among them, at the input `x`.
///
/// The module's parameters are nudged and put back; running statistics move as in training.
///
/// ```
/// # use nyang_nn::{check::{GradCheck, check_gradients}, Init, Linear};
/// # use nyang_tensor::{Rng, Tensor};
/// let mut layer = Linear::config(4, 3).build(&mut Init::seed(1))?;
/// let x = Tensor::normal([2, 4], 0.0, 1.0, &mut Rng::seed(2))?;
/// assert!(check_gradients(&mut layer, &x, &GradCheck::default())?.passes(1e-7));
/// # Ok::<(), nyang_nn::Error>(())
/// ```
///
/// # Errors
/// Any that the module gives.
pub fn check_gradients(module: &mut dyn Module<f64>, x: &Tensor<f64>, how: &GradCheck) -> Result<GradReport> {
    let mut rng = Rng::keyed([how.seed, 2, 0, 0]);
    module.visit_mut(Path::ROOT, &mut ZeroGrads);
    let y = module.forward(x.clone(), &mut how.context())?;
    let direction = Tensor::normal(y.shape(), 0.0, 1.0, &mut rng)?;
    let dx = module.backward(direction.clone(), &mut how.context())?;
    let mut grads = Grads(vec![]);
    module.visit(Path::ROOT, &mut grads);

    let mut report = GradReport { worst: 0.0, place: String::new(), analytic: 0.0, numeric: 0.0, entries: 0, silent: vec![] };
    let along = direction.to_vec();
    let loss = |module: &mut dyn Module<f64>, x: Tensor<f64>| -> Result<f64> {
        let y = module.forward(x, &mut how.context())?;
        Ok(y.to_vec().iter().zip(&along).map(|(y, r)| y * r).sum())
    };
    let two_h = 2.0 * how.step;

    let analytic = dx.to_vec();
    for i in how.choose(x.len(), &mut rng) {
        let mut nudged = |by: f64| {
            let mut x = x.contiguous()?;
            x.as_mut_slice()?[i] += by;
            loss(module, x)
        };
        let numeric = (nudged(how.step)? - nudged(-how.step)?) / two_h;
        report.note(|| format!("dx[{i}]"), analytic[i], numeric);
    }
    for (at, grad) in &grads.0 {
        let analytic = grad.to_vec();
        if analytic.iter().all(|g| *g == 0.0) && !analytic.is_empty() {
            report.silent.push(at.clone());
        }
        for i in how.choose(analytic.len(), &mut rng) {
            let mut nudged = |by: f64| {
                module.visit_mut(Path::ROOT, &mut Nudge { at, i, by });
                let value = loss(module, x.clone());
                module.visit_mut(Path::ROOT, &mut Nudge { at, i, by: -by });
                value
            };
            let numeric = (nudged(how.step)? - nudged(-how.step)?) / two_h;
            report.note(|| format!("{at}[{i}]"), analytic[i], numeric);
        }
    }
    Ok(report)
}

impl GradCheck {
    /// The same context for every pass, so that dropout drops the same values.
    fn context(&self) -> Ctx<'static, f64> {
        Ctx::new(self.mode, Rng::seed(self.seed))
    }

    pub(crate) fn choose(&self, n: usize, rng: &mut Rng) -> Vec<usize> {
        let mut all = if n > self.entries { rng.permutation(n) } else { (0..n).collect() };
        all.truncate(self.entries);
        all
    }
}

/// The gradient check of a case of the list.
///
/// # Errors
/// Any that the case's module gives.
pub fn check_case(case: &Case, mode: Mode) -> Result<GradReport> {
    let how = GradCheck { mode, ..GradCheck::default() };
    let mut module = (case.build_f64)(&mut Init::seed(how.seed))?;
    spread_state(module.as_mut());
    check_gradients(module.as_mut(), &case.random_input(how.seed)?, &how)
}

/// How many times more than a plain sum Winograd's convolution may round: its transforms add and subtract before and after the products. The
/// kernels' own tests bound it by this too.
const WINOGRAD: f64 = 4.0;

/// Runs a case in `f32` and in `f64` from the same numbers, forward and backward.
///
/// Returns the largest |a − b| / max(1, |b|) over outputs, input gradient and parameter gradients, and where it is. `f64` never runs
/// kernels that exist for `f32` only, and gradients are checked in `f64`: this comparison is what checks the rest. It is made with the kernels of each
/// tier that the machine has, exact and not; where those are Winograd's, which round up to four times more, their difference counts a quarter.
///
/// # Errors
/// Any that the case's module gives.
pub fn compare_precisions(case: &Case, mode: Mode) -> Result<(f64, String)> {
    let mut worst = (0.0, String::new());
    for kernels in Kernels::available() {
        let exact = compare_kernels(case, mode, kernels.exact())?;
        let fast = compare_kernels(case, mode, kernels)?;
        for (error, at) in [exact, (fast.0 / WINOGRAD, fast.1)] {
            if error >= worst.0 {
                worst = (error, at);
            }
        }
    }
    Ok(worst)
}

fn compare_kernels(case: &Case, mode: Mode, kernels: Kernels) -> Result<(f64, String)> {
    let seed = 7;
    let (mut low, mut high) = ((case.build_f32)(&mut Init::seed(seed))?, (case.build_f64)(&mut Init::seed(seed))?);
    spread_state(low.as_mut());
    let mut exact = StateDict::default();
    for (name, value) in StateDict::of(low.as_ref())?.iter() {
        let value = match value {
            StateValue::Tensor(t) => StateValue::Tensor(t.cast()?),
            StateValue::Count(n) => StateValue::Count(*n),
        };
        exact.insert(name, value);
    }
    exact.load_into(high.as_mut())?;
    let x: Tensor<f32> = case.random_input(seed)?;
    let with = |mut cx: Ctx<'static, f32>| {
        cx.kernels = kernels;
        cx
    };
    let y = low.forward(x.clone(), &mut with(Ctx::new(mode, Rng::seed(seed))))?;
    let y64 = high.forward(x.cast()?, &mut Ctx::new(mode, Rng::seed(seed)))?;
    let dy: Tensor<f32> = Tensor::normal(y.shape(), 0.0, 1.0, &mut Rng::seed(seed))?;
    let dx = low.backward(dy.clone(), &mut with(Ctx::train(seed)))?;
    let dx64 = high.backward(dy.cast()?, &mut Ctx::train(seed))?;
    let (mut grads, mut grads64) = (Grads(vec![("y".into(), y), ("dx".into(), dx)]), Grads(vec![("y".into(), y64), ("dx".into(), dx64)]));
    low.visit(Path::ROOT, &mut grads);
    high.visit(Path::ROOT, &mut grads64);

    let mut worst = (0.0, "y[0]".to_owned());
    for ((at, low), (_, high)) in grads.0.iter().zip(&grads64.0) {
        for (i, (a, b)) in low.to_vec().iter().zip(high.to_vec()).enumerate() {
            let error = (a.to_f64() - b).abs() / b.abs().max(1.0);
            if error > worst.0 || error.is_nan() {
                worst = (if error.is_nan() { f64::INFINITY } else { error }, format!("{at}[{i}]"));
            }
        }
    }
    Ok(worst)
}

/// Moves what begins as zeros and ones, norms' weights and running statistics, to where it shows that they are used at all.
pub fn spread_state<T: Element>(module: &mut dyn Module<T>) {
    struct Spread(Rng);
    impl<T: Element> VisitMut<T> for Spread {
        fn param(&mut self, _: Path<'_>, param: &mut Param<T>) {
            let constant = param.value.to_vec().windows(2).all(|w| w[0] == w[1]);
            if let (true, Ok(values)) = (constant, param.value.as_mut_slice()) {
                values.iter_mut().for_each(|v| *v += T::of(0.5 * self.0.uniform() + 0.25));
            }
        }
        fn buffer(&mut self, _: Path<'_>, buffer: &mut Tensor<T>) {
            if let Ok(values) = buffer.as_mut_slice() {
                values.iter_mut().for_each(|v| *v += T::of(0.5 * self.0.uniform() + 0.25));
            }
        }
    }
    module.visit_mut(Path::ROOT, &mut Spread(Rng::seed(11)));
}

struct ZeroGrads;
impl<T: Element> VisitMut<T> for ZeroGrads {
    fn param(&mut self, _: Path<'_>, param: &mut Param<T>) {
        if let Ok(grad) = param.grad.memory_mut() {
            grad.fill(T::ZERO);
        }
    }
}

struct Grads<T: Element>(Vec<(String, Tensor<T>)>);
impl<T: Element> Visit<T> for Grads<T> {
    fn param(&mut self, at: Path<'_>, param: &Param<T>) {
        self.0.push((at.to_string(), param.grad.clone()));
    }
}

struct Nudge<'a> {
    at: &'a str,
    i: usize,
    by: f64,
}
impl VisitMut<f64> for Nudge<'_> {
    fn param(&mut self, at: Path<'_>, param: &mut Param<f64>) {
        if at.to_string() != self.at {
            return;
        }
        if let Some(v) = param.value.as_mut_slice().ok().and_then(|v| v.get_mut(self.i)) {
            *v += self.by;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::CASES;
    use crate::{Error, Registry, Shape, state};

    fn all() -> impl Iterator<Item = (&'static Case, Mode)> {
        CASES.iter().flat_map(|c| c.iter()).flat_map(|c| [(c, Mode::Train), (c, Mode::Eval)])
    }

    #[test]
    fn every_layer_has_at_least_three_cases_of_its_name() {
        for list in CASES {
            let layer = list[0].name.split('/').next().unwrap();
            assert!(list.len() >= 3 && list.iter().all(|c| c.name.split('/').next() == Some(layer)), "{layer}: {} cases", list.len());
            let kinds: Vec<_> = list.iter().map(|c| (c.build_f64)(&mut Init::seed(1)).unwrap().kind()).collect();
            assert!(kinds.iter().all(|k| *k == layer), "{layer} builds {kinds:?}");
        }
    }

    #[test]
    fn every_gradient_is_right() {
        for (case, mode) in all() {
            let report = check_case(case, mode).unwrap();
            assert!(report.passes(1e-7), "{} {mode:?}: {report:?}", case.name);
            assert!(report.entries > 0, "{} checks nothing", case.name);
        }
    }

    #[test]
    fn f32_computes_what_f64_computes() {
        for (case, mode) in all() {
            let (error, place) = compare_precisions(case, mode).unwrap();
            // sums of up to a few hundred terms of size one: 1e-5 is about 80 roundings of 2⁻²³
            assert!(error <= 1e-5, "{} {mode:?}: {error:e} at {place}", case.name);
        }
    }

    #[test]
    fn infer_is_forward_in_evaluation_bit_for_bit() {
        for (case, _) in all() {
            let mut module = (case.build_f32)(&mut Init::seed(1)).unwrap();
            spread_state(module.as_mut());
            let x: Tensor<f32> = case.random_input(1).unwrap();
            let shape = module.out_shape(x.shape()).unwrap();
            let inferred = module.infer(x.clone(), &mut Ctx::train(1)).unwrap();
            let forward = module.forward(x, &mut Ctx::eval()).unwrap();
            assert_eq!(inferred.to_vec(), forward.to_vec(), "{}", case.name);
            assert_eq!(*inferred.shape(), shape, "{}: out_shape is not the output's shape", case.name);
        }
    }

    #[test]
    fn backward_without_dx_gives_the_same_gradients_bit_for_bit() {
        for (case, mode) in all() {
            let gradients = |whole: bool| {
                let mut module = (case.build_f32)(&mut Init::seed(1)).unwrap();
                let x: Tensor<f32> = case.random_input(1).unwrap();
                let y = module.forward(x, &mut Ctx::new(mode, Rng::seed(1))).unwrap();
                let (dy, cx) = (Tensor::normal(*y.shape(), 0.0, 1.0, &mut Rng::seed(2)).unwrap(), &mut Ctx::new(mode, Rng::seed(1)));
                match whole {
                    true => drop(module.backward(dy.clone(), cx).unwrap()),
                    false => module.backward_params(dy.clone(), cx).unwrap(),
                }
                assert!(module.backward_params(dy, cx).is_err(), "{}: a forward was used twice", case.name);
                let mut grads = Grads(Vec::new());
                module.visit(Path::ROOT, &mut grads);
                grads.0.into_iter().map(|(at, grad)| (at, grad.to_vec())).collect::<Vec<_>>()
            };
            assert_eq!(gradients(true), gradients(false), "{} {mode:?}", case.name);
        }
    }

    #[test]
    fn backward_uses_up_its_forward() {
        for (case, mode) in all() {
            let mut module = (case.build_f64)(&mut Init::seed(1)).unwrap();
            let x: Tensor<f64> = case.random_input(1).unwrap();
            let dy = Tensor::ones(module.out_shape(x.shape()).unwrap()).unwrap();
            let no_forward = |e: Error| e.to_string().contains("backward without a forward");
            assert!(no_forward(module.backward(dy.clone(), &mut Ctx::eval()).unwrap_err()), "{}", case.name);
            module.infer(x.clone(), &mut Ctx::eval()).unwrap();
            assert!(module.backward(dy.clone(), &mut Ctx::eval()).is_err(), "{}: infer kept something", case.name);
            module.forward(x, &mut Ctx::new(mode, Rng::seed(1))).unwrap();
            module.backward(dy.clone(), &mut Ctx::eval()).unwrap();
            assert!(no_forward(module.backward(dy, &mut Ctx::eval()).unwrap_err()), "{}", case.name);
        }
    }

    #[test]
    fn gradients_of_parameters_are_added_to() {
        for (case, mode) in all() {
            let mut module = (case.build_f64)(&mut Init::seed(1)).unwrap();
            let x: Tensor<f64> = case.random_input(1).unwrap();
            let dy = Tensor::normal(module.out_shape(x.shape()).unwrap(), 0.0, 1.0, &mut Rng::seed(2)).unwrap();
            let mut pass = || {
                module.forward(x.clone(), &mut Ctx::new(mode, Rng::seed(1))).unwrap();
                module.backward(dy.clone(), &mut Ctx::eval()).unwrap();
                let mut grads = Grads(vec![]);
                module.visit(Path::ROOT, &mut grads);
                grads.0
            };
            let (once, twice) = (pass(), pass());
            for ((at, a), (_, b)) in once.iter().zip(&twice) {
                let doubled = a.to_vec().iter().zip(b.to_vec()).all(|(a, b)| (2.0 * a - b).abs() <= 1e-12 * b.abs().max(1.0));
                assert!(doubled, "{} {mode:?}: {at}", case.name);
            }
        }
    }

    #[test]
    fn a_layer_is_rebuilt_from_its_description_and_state() {
        let registry = Registry::<f32>::standard();
        for (case, _) in all() {
            let mut module = (case.build_f32)(&mut Init::seed(1)).unwrap();
            spread_state(module.as_mut());
            let state = StateDict::of(module.as_ref()).unwrap();
            let mut again = registry.build(&module.spec(), &mut Init::blank(state.values())).unwrap();
            state.load_into(again.as_mut()).unwrap();
            assert_eq!((StateDict::of(again.as_ref()).unwrap(), again.spec()), (state, module.spec()), "{}", case.name);
            let x: Tensor<f32> = case.random_input(1).unwrap();
            let outputs = [&module, &again].map(|m| m.infer(x.clone(), &mut Ctx::eval()).unwrap().to_vec());
            assert_eq!(outputs[0], outputs[1], "{}", case.name);
        }
    }

    #[test]
    fn inputs_and_gradients_of_any_other_shape_are_errors_or_work_and_never_panic() {
        let shapes: [&[usize]; 12] = [
            &[],
            &[0],
            &[1],
            &[3],
            &[2, 0],
            &[2, 3],
            &[0, 3, 4, 4],
            &[2, 0, 4, 4],
            &[2, 3, 0, 4],
            &[1, 1, 1, 1],
            &[2, 3, 4],
            &[2, 3, 4, 4, 1],
        ];
        for (case, mode) in all() {
            for dims in shapes {
                let mut module = (case.build_f32)(&mut Init::seed(1)).unwrap();
                let x = Tensor::<f32>::ones(Shape::new(dims).unwrap()).unwrap();
                let fits = module.out_shape(x.shape());
                let ran = module.forward(x.clone(), &mut Ctx::new(mode, Rng::seed(1)));
                if let Err(error) = &fits {
                    assert!(ran.is_err() && module.infer(x, &mut Ctx::eval()).is_err(), "{} took {dims:?}, against {error}", case.name);
                } else if let Ok(y) = ran {
                    assert_eq!(Some(y.shape()), fits.as_ref().ok(), "{} {dims:?}", case.name);
                    assert!(module.backward(Tensor::ones([7, 7, 7]).unwrap(), &mut Ctx::eval()).is_err(), "{} {dims:?}", case.name);
                }
            }
        }
    }

    /// In evaluation every sample is on its own: what is no number in one of them shows in its output, and nowhere else, to the bit.
    #[test]
    fn nan_and_infinity_stay_in_their_sample() {
        for (case, _) in all().filter(|(case, mode)| *mode == Mode::Eval && case.input.len() > 1 && case.input[0] > 1) {
            let mut module = (case.build_f32)(&mut Init::seed(1)).unwrap();
            spread_state(module.as_mut());
            let x: Tensor<f32> = case.random_input(1).unwrap();
            let clean = module.infer(x.clone(), &mut Ctx::eval()).unwrap().to_vec();
            let sample = clean.len() / case.input[0];
            for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = x.contiguous().unwrap();
                x.as_mut_slice().unwrap()[0] = odd;
                let y = module.infer(x, &mut Ctx::eval()).unwrap().to_vec();
                assert!(!odd.is_nan() || y[..sample].iter().any(|v| v.is_nan()), "{}: NaN is lost", case.name);
                assert_eq!(y[sample..], clean[sample..], "{}: {odd} reaches another sample", case.name);
            }
        }
    }

    /// The check itself is checked: plant mistakes and see them found.
    #[test]
    fn planted_mistakes_are_found() {
        struct Wrong {
            inner: crate::Linear<f64>,
            mistake: u8,
        }
        impl Module<f64> for Wrong {
            fn kind(&self) -> &'static str {
                "Wrong"
            }
            fn out_shape(&self, input: &Shape) -> Result<Shape> {
                self.inner.out_shape(input)
            }
            fn infer(&self, x: Tensor<f64>, cx: &mut Ctx<'_, f64>) -> Result<Tensor<f64>> {
                self.inner.infer(x, cx)
            }
            fn forward(&mut self, x: Tensor<f64>, cx: &mut Ctx<'_, f64>) -> Result<Tensor<f64>> {
                self.inner.forward(x, cx)
            }
            fn backward(&mut self, dy: Tensor<f64>, cx: &mut Ctx<'_, f64>) -> Result<Tensor<f64>> {
                let dx = self.inner.backward(dy, cx)?;
                match self.mistake {
                    1 => return Ok(dx.scale(1.000001)?),
                    2 => self.inner.weight.grad.as_mut_slice()?.fill(0.0),
                    3 => self.inner.weight.grad.as_mut_slice()?[3] += 1e-6,
                    4 => return Ok(dx.scale(f64::NAN)?),
                    _ => {}
                }
                Ok(dx)
            }
            state!(f64: child inner);
        }
        let x = Tensor::normal([3, 4], 0.0, 1.0, &mut Rng::seed(2)).unwrap();
        for mistake in 0..=4 {
            let mut module = Wrong { inner: crate::Linear::config(4, 3).build(&mut Init::seed(1)).unwrap(), mistake };
            let report = check_gradients(&mut module, &x, &GradCheck::default()).unwrap();
            assert_eq!(report.passes(1e-7), mistake == 0, "mistake {mistake}: {report:?}");
        }
    }
}
