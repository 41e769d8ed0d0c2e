//! Squeeze and excitation: each channel is turned up or down by what the whole image shows.

use nyang_tensor::kernels::avg_pool2d::global_avg_pool2d;
use nyang_tensor::{Element, Shape, Tensor};

use super::{Conv2d, Flow, GlobalAvgPool2d, Hardsigmoid, Relu, Sigmoid};
use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::{Build, Ctx, Error, Init, Module, Path, Result, Saved, Scheme, Spec, Visit, VisitMut};

pub(crate) const KIND: &str = "SqueezeExcite";

/// How a [`SqueezeExcite`] layer is to be built. Made by [`SqueezeExcite::config`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SqueezeExciteConfig {
    channels: usize,
    squeezed: usize,
    hardsigmoid: bool,
    init: Scheme,
}

impl SqueezeExciteConfig {
    /// The gate ends in [`Hardsigmoid`] instead of [`Sigmoid`], as in MobileNet V3.
    pub fn hardsigmoid(mut self) -> Self {
        self.hardsigmoid = true;
        self
    }

    /// The distribution of the first weights; PyTorch's unless asked otherwise.
    pub fn init(mut self, scheme: Scheme) -> Self {
        self.init = scheme;
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// [`Error::Config`] if a number of channels is 0.
    pub fn build<T: Element>(self, init: &mut Init) -> Result<SqueezeExcite<T>> {
        for (field, value) in [("channels", self.channels), ("squeezed", self.squeezed)] {
            if value == 0 {
                return Err(Error::config(KIND, field, value, "must be positive"));
            }
        }
        let gate = Flow::new()
            .named("avgpool", GlobalAvgPool2d::new())
            .named("fc1", Conv2d::config(self.channels, self.squeezed, 1).init(self.init).build(init)?)
            .named("activation", Relu::new())
            .named("fc2", Conv2d::config(self.squeezed, self.channels, 1).init(self.init).build(init)?);
        let gate = if self.hardsigmoid {
            gate.named("scale_activation", Hardsigmoid::new())
        } else {
            gate.named("scale_activation", Sigmoid::new())
        };
        Ok(SqueezeExcite { gate, saved: Saved::default() })
    }
}

/// Squeeze and excitation: a small network looks at the mean of every channel and says how much each is to count.
///
/// ```text
/// s[n,·] = σ(W₂ · relu(W₁ · mean_{h,w} x[n,·,h,w] + b₁) + b₂)        y[n,c,h,w] = s[n,c] · x[n,c,h,w]
///
/// ds[n,c] = Σ_{h,w} dy[n,c,h,w] · x[n,c,h,w]                         dx = s · dy + what ds gives on its way back through the gate
/// ```
///
/// # Shapes
/// `[N, C, H, W] → [N, C, H, W]`
///
/// # Parameters
/// Two 1×1 convolutions under torchvision's names: `fc1.weight` W₁ `[S, C, 1, 1]`, `fc1.bias` b₁ `[S]`, `fc2.weight` W₂ `[C, S, 1, 1]`,
/// `fc2.bias` b₂ `[C]`; all U(±1/√fan_in) unless another [`Scheme`] is asked for.
///
/// # Errors
/// [`Error::Shape`] unless the input is `[N, C, H, W]` with this C and H·W > 0.
///
/// # Reference
/// Hu et al. 2018, *Squeeze-and-Excitation networks*, arXiv:1709.01507; torchvision's `SqueezeExcitation`.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Init, Module, SqueezeExcite, Tensor};
/// let layer = SqueezeExcite::config(16, 4).build::<f32>(&mut Init::seed(1))?;
/// let y = layer.infer(Tensor::ones([2, 16, 8, 8])?, &mut Ctx::eval())?;
/// assert!(y.dims() == [2, 16, 8, 8] && y.to_vec().iter().all(|v| 0.0 < *v && *v < 1.0));
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct SqueezeExcite<T: Element = f32> {
    gate: Flow<T>,
    saved: Saved<(Tensor<T>, Tensor<T>)>, // x and s
}

impl SqueezeExcite {
    /// A layer for this many channels, whose gate has so many in the middle: a quarter or a sixteenth of them, say. Still to be built.
    pub fn config(channels: usize, squeezed: usize) -> SqueezeExciteConfig {
        SqueezeExciteConfig { channels, squeezed, hardsigmoid: false, init: Scheme::Torch }
    }
}

impl<T: Element> Module<T> for SqueezeExcite<T> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        let gate = self.gate.out_shape(input)?;
        match (input.dims(), gate.dims()) {
            (&[n, c, _, _], &[gn, gc, 1, 1]) if [n, c] == [gn, gc] => Ok(*input),
            _ => Err(Error::shape(KIND, "images [N, C, H, W] and a gate that gives [N, C, 1, 1]", &gate)),
        }
    }

    fn infer(&self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.out_shape(x.shape())?;
        let s = self.gate.infer(x.clone(), cx)?;
        Ok(x.mul(&s)?)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        self.out_shape(x.shape())?;
        let s = self.gate.forward(x.clone(), cx)?;
        let y = x.clone().mul(&s)?;
        self.saved.put((x, s));
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let (x, s) = self.saved.take(KIND)?;
        check_dy(KIND, x.shape(), &dy)?;
        let pixels: usize = x.dims().iter().skip(2).product();
        let ds = global_avg_pool2d(&dy.clone().mul(&x)?)?.scale(T::of(pixels as f64))?; // a sum as so many times the mean
        let through_gate = self.gate.backward(ds, cx)?;
        Ok(dy.mul(&s)?.add(&through_gate)?)
    }

    fn visit(&self, at: Path<'_>, v: &mut dyn Visit<T>) {
        self.gate.visit(at, v);
    }

    fn visit_mut(&mut self, at: Path<'_>, v: &mut dyn VisitMut<T>) {
        self.gate.visit_mut(at, v);
    }

    /// Children as in paths: the gate's.
    fn spec(&self) -> Spec {
        Spec { kind: KIND.to_owned(), ..self.gate.spec() }
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, b: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    let mut gate = Flow::new();
    for (name, module) in b.children(spec)? {
        if gate.children().any(|(taken, _)| taken == name) {
            return Err(Error::Duplicate { layer: KIND, name });
        }
        gate = gate.named(&name, module);
    }
    boxed(SqueezeExcite { gate, saved: Saved::default() })
}

fn plain<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(SqueezeExcite::config(6, 3).build::<T>(init)?)
}
fn wide<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(SqueezeExcite::config(19, 17).build::<T>(init)?)
}
fn hard<T: Element>(init: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(SqueezeExcite::config(5, 2).hardsigmoid().build::<T>(init)?)
}

/// `nn.Hardsigmoid` has its slope, 1/6, in f32 even where everything else is f64.
const HARD: &str = "torchvision.ops.SqueezeExcitation(5, 2, scale_activation=lambda: Lambda(lambda x: F.relu6(x + 3) / 6))";

pub(crate) const CASES: &[Case] = &[
    Case::new("SqueezeExcite/plain", &[3, 6, 4, 5], Some("torchvision.ops.SqueezeExcitation(6, 3)"), plain, plain),
    Case::new("SqueezeExcite/wide", &[2, 19, 3, 3], Some("torchvision.ops.SqueezeExcitation(19, 17)"), wide, wide),
    Case::new("SqueezeExcite/hardsigmoid", &[2, 5, 2, 3], Some(HARD), hard, hard),
    Case::new("SqueezeExcite/one_pixel", &[1, 6, 1, 1], Some("torchvision.ops.SqueezeExcitation(6, 3)"), plain, plain),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateDict;

    #[test]
    fn parameters_have_torchvisions_names() {
        let layer = SqueezeExcite::config(8, 2).build::<f32>(&mut Init::seed(1)).unwrap();
        let state = StateDict::of(&layer).unwrap();
        assert_eq!(state.names().collect::<Vec<_>>(), ["fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight"]);
    }

    /// Gates of sigmoid(0) = ½ halve everything.
    #[test]
    fn without_weights_every_channel_counts_half() {
        let layer = SqueezeExcite::config(2, 1).build::<f64>(&mut Init::blank(100)).unwrap();
        let x = Tensor::from_fn([1, 2, 1, 2], |i| i as f64).unwrap();
        assert_eq!(layer.infer(x, &mut Ctx::eval()).unwrap().to_vec(), [0.0, 0.5, 1.0, 1.5]);
    }

    #[test]
    fn bad_configurations_and_descriptions_are_errors() {
        for (config, field) in [(SqueezeExcite::config(0, 1), "channels"), (SqueezeExcite::config(4, 0), "squeezed")] {
            let error = config.build::<f32>(&mut Init::seed(1)).unwrap_err().to_string();
            assert_eq!(error, format!("SqueezeExcite: {field} = 0 is not valid: must be positive"));
        }
        let layer = SqueezeExcite::config(4, 2).build::<f32>(&mut Init::seed(1)).unwrap();
        assert!(layer.out_shape(&Shape::from([1, 3, 2, 2])).unwrap_err().to_string().starts_with("at `fc1`: Conv2d expects [N, 4, H, W]"));
        let mut twice = layer.spec();
        twice.children.push(("fc1".into(), Spec::new("Relu")));
        assert!(crate::Registry::<f32>::standard().build(&twice, &mut Init::seed(1)).is_err());
        let no_gate = crate::Registry::<f32>::standard().build(&Spec::new(KIND), &mut Init::seed(1)).unwrap();
        assert!(no_gate.out_shape(&Shape::from([1, 3, 2, 2])).is_err());
    }
}
