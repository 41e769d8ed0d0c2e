//! A flow built from what each step should do; sizes and first weights follow from the steps before and after.

use nyang_tensor::{Element, Shape};

use super::{
    AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, BatchNorm2d, Conv2d, Dropout, Dropout2d, Elu, Flatten, Flow, Gelu, GlobalAvgPool2d,
    Hardswish, LeakyRelu, Linear, MaxPool2d, Mish, PRelu, Relu, Relu6, Reshape, Selu, Sigmoid, Silu, SqueezeExcite, Tanh, Upsample,
    UpsampleMode,
};
use crate::{Error, Init, Module, Padding, Pair, Result, Scheme};

/// Builds a [`Flow`] for inputs of a known shape. Started by [`Flow::input`].
///
/// Sizes are inferred: a convolution takes the channels it is given and keeps height and width, a linear layer takes what there is,
/// flattened if need be. First weights follow the activation behind the layer, as the theory wants, so that signals neither die out nor
/// blow up over many layers:
///
/// | the next activation | first weights | because |
/// |---|---|---|
/// | ReLU and what resembles it: leaky, PReLU, ReLU6, ELU, SiLU, GELU, hard swish | [`Scheme::HeNormal`], N(0, 2/n) | half of the signal is cut off |
/// | SELU | [`Scheme::XavierFanIn`], N(0, 1/n), LeCun's | its mean and variance are at rest under exactly these |
/// | tanh, sigmoid, or none before the next weights | [`Scheme::XavierUniform`], variance 2/(n + m) | nearly linear around 0, forward and backward |
///
/// Nothing is built, and no error is told, before [`FlowBuilder::build`].
///
/// # Example
/// ```
/// # use nyang_nn::{Flow, Init, Module, Shape};
/// let model = Flow::input([1, 8, 8])
///     .conv(16, 3).batch_norm().relu().max_pool(2)
///     .conv(32, 3).batch_norm().relu().global_avg_pool()
///     .dropout(0.2).linear(10)
///     .build::<f32>(&mut Init::seed(42))?;
/// assert_eq!(model.out_shape(&Shape::from([5, 1, 8, 8]))?.dims(), [5, 10]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FlowBuilder {
    input: Shape,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Conv { channels: usize, kernel: usize, stride: usize },
    BatchNorm,
    Activation(Activation),
    MaxPool { kernel: usize },
    AvgPool { kernel: usize },
    AdaptiveMaxPool { size: Pair },
    AdaptiveAvgPool { size: Pair },
    GlobalAvgPool,
    SqueezeExcite { squeezed: usize },
    Upsample { factor: usize, mode: UpsampleMode },
    Dropout { p: f64 },
    Dropout2d { p: f64 },
    Flatten,
    Reshape { shape: Shape },
    Linear { features: usize },
}

#[derive(Clone, Copy, Debug)]
enum Activation {
    Relu,
    LeakyRelu { alpha: f64 },
    PRelu,
    Relu6,
    Elu { alpha: f64 },
    Selu,
    Silu,
    Mish,
    Gelu,
    Hardswish,
    Tanh,
    Sigmoid,
}

impl FlowBuilder {
    pub(crate) fn new(input: Shape) -> Self {
        FlowBuilder { input, steps: Vec::new() }
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// A convolution to so many channels that keeps height and width: its padding is [`Padding::Same`].
    ///
    /// Directly before a batch norm it has no bias, which the norm would take away again.
    pub fn conv(self, channels: usize, kernel: usize) -> Self {
        self.step(Step::Conv { channels, kernel, stride: 1 })
    }

    /// As [`FlowBuilder::conv`], but keeps every `stride`-th row and column only. The kernel must be odd.
    pub fn conv_strided(self, channels: usize, kernel: usize, stride: usize) -> Self {
        self.step(Step::Conv { channels, kernel, stride })
    }

    /// Batch norm over the channels there are.
    pub fn batch_norm(self) -> Self {
        self.step(Step::BatchNorm)
    }

    /// ReLU: [`Relu`].
    pub fn relu(self) -> Self {
        self.step(Step::Activation(Activation::Relu))
    }

    /// ReLU that lets `alpha` of what is negative pass; 0.01 is usual: [`LeakyRelu`].
    pub fn leaky_relu(self, alpha: f64) -> Self {
        self.step(Step::Activation(Activation::LeakyRelu { alpha }))
    }

    /// ReLU that lets a learnt part of what is negative pass, one for all channels: [`PRelu`].
    pub fn prelu(self) -> Self {
        self.step(Step::Activation(Activation::PRelu))
    }

    /// ReLU with a ceiling at 6: [`Relu6`].
    pub fn relu6(self) -> Self {
        self.step(Step::Activation(Activation::Relu6))
    }

    /// The exponential linear unit, whose negative side ends at −`alpha`; 1 is usual: [`Elu`].
    pub fn elu(self, alpha: f64) -> Self {
        self.step(Step::Activation(Activation::Elu { alpha }))
    }

    /// The self-normalising linear unit: [`Selu`].
    pub fn selu(self) -> Self {
        self.step(Step::Activation(Activation::Selu))
    }

    /// x σ(x), also called Swish: [`Silu`].
    pub fn silu(self) -> Self {
        self.step(Step::Activation(Activation::Silu))
    }

    /// x tanh(ln(1 + eˣ)): [`Mish`].
    pub fn mish(self) -> Self {
        self.step(Step::Activation(Activation::Mish))
    }

    /// x Φ(x), the exact form: [`Gelu`].
    pub fn gelu(self) -> Self {
        self.step(Step::Activation(Activation::Gelu))
    }

    /// SiLU without the exponential: [`Hardswish`].
    pub fn hardswish(self) -> Self {
        self.step(Step::Activation(Activation::Hardswish))
    }

    /// The hyperbolic tangent: [`Tanh`].
    pub fn tanh(self) -> Self {
        self.step(Step::Activation(Activation::Tanh))
    }

    /// The logistic function: [`Sigmoid`].
    pub fn sigmoid(self) -> Self {
        self.step(Step::Activation(Activation::Sigmoid))
    }

    /// Max pooling over windows side by side.
    pub fn max_pool(self, kernel: usize) -> Self {
        self.step(Step::MaxPool { kernel })
    }

    /// Average pooling over windows side by side.
    pub fn avg_pool(self, kernel: usize) -> Self {
        self.step(Step::AvgPool { kernel })
    }

    /// Max pooling to images of this size, whatever the input's is: [`AdaptiveMaxPool2d`].
    pub fn adaptive_max_pool(self, size: impl Into<Pair>) -> Self {
        self.step(Step::AdaptiveMaxPool { size: size.into() })
    }

    /// Average pooling to images of this size, whatever the input's is: [`AdaptiveAvgPool2d`].
    pub fn adaptive_avg_pool(self, size: impl Into<Pair>) -> Self {
        self.step(Step::AdaptiveAvgPool { size: size.into() })
    }

    /// One mean a channel.
    pub fn global_avg_pool(self) -> Self {
        self.step(Step::GlobalAvgPool)
    }

    /// Turns channels up and down by what the whole image shows, through so many numbers in the middle: [`SqueezeExcite`].
    pub fn squeeze_excite(self, squeezed: usize) -> Self {
        self.step(Step::SqueezeExcite { squeezed })
    }

    /// Images `factor` times as high and as wide: [`Upsample`].
    pub fn upsample(self, factor: usize, mode: UpsampleMode) -> Self {
        self.step(Step::Upsample { factor, mode })
    }

    /// Dropout with probability `p`.
    pub fn dropout(self, p: f64) -> Self {
        self.step(Step::Dropout { p })
    }

    /// Dropout of whole channels with probability `p`: [`Dropout2d`].
    pub fn dropout2d(self, p: f64) -> Self {
        self.step(Step::Dropout2d { p })
    }

    /// Each sample under another shape: [`Reshape`].
    pub fn reshape(self, shape: impl Into<Shape>) -> Self {
        self.step(Step::Reshape { shape: shape.into() })
    }

    /// Images to rows. A linear layer does this by itself.
    pub fn flatten(self) -> Self {
        self.step(Step::Flatten)
    }

    /// A fully connected layer to so many outputs, after a flatten where there are still images.
    pub fn linear(self, features: usize) -> Self {
        self.step(Step::Linear { features })
    }

    /// Makes the modules, with first values from `init`.
    ///
    /// # Errors
    /// Whatever is wrong with a step, with its place: [`Error::Config`], [`Error::Shape`].
    pub fn build<T: Element>(self, init: &mut Init) -> Result<Flow<T>> {
        let mut shape = self.input.batch_of(1)?;
        let mut flow = Flow::new();
        for (i, step) in self.steps.iter().enumerate() {
            let rest = self.steps.get(i + 1..).unwrap_or_default();
            if matches!(step, Step::Linear { .. }) && shape.rank() > 2 {
                flow = flow.then(Flatten::new());
                shape = flow.out_shape(&self.input.batch_of(1)?)?;
            }
            let name = flow.len().to_string();
            flow = step.add(flow, rest, &shape, init).map_err(|e| e.within(&name))?;
            shape = flow.out_shape(&self.input.batch_of(1)?)?;
        }
        Ok(flow)
    }
}

impl Step {
    fn add<T: Element>(self, flow: Flow<T>, rest: &[Step], shape: &Shape, init: &mut Init) -> Result<Flow<T>> {
        Ok(match self {
            Step::Conv { channels, kernel, stride } => {
                let padding = if stride == 1 { Padding::Same } else { (kernel / 2).into() };
                if stride != 1 && kernel % 2 == 0 {
                    return Err(Error::config("Conv2d", "kernel", kernel, "must be odd with a stride, so that windows have a middle"));
                }
                let bias = !matches!(rest.first(), Some(Step::BatchNorm));
                let config = Conv2d::config(image_channels("Conv2d", shape)?, channels, kernel);
                flow.then(config.stride(stride).padding(padding).bias(bias).init(scheme(rest)).build(init)?)
            }
            Step::BatchNorm => flow.then(BatchNorm2d::config(image_channels("BatchNorm2d", shape)?).build(init)?),
            Step::Activation(activation) => activation.add(flow, init)?,
            Step::MaxPool { kernel } => flow.then(MaxPool2d::config(kernel).build()?),
            Step::AvgPool { kernel } => flow.then(AvgPool2d::config(kernel).build()?),
            Step::AdaptiveMaxPool { size } => flow.then(AdaptiveMaxPool2d::new(size)?),
            Step::AdaptiveAvgPool { size } => flow.then(AdaptiveAvgPool2d::new(size)?),
            Step::GlobalAvgPool => flow.then(GlobalAvgPool2d::new()),
            Step::SqueezeExcite { squeezed } => {
                flow.then(SqueezeExcite::config(image_channels("SqueezeExcite", shape)?, squeezed).build(init)?)
            }
            Step::Upsample { factor, mode } => flow.then(Upsample::by(factor)?.mode(mode)),
            Step::Dropout { p } => flow.then(Dropout::new(p)?),
            Step::Dropout2d { p } => flow.then(Dropout2d::new(p)?),
            Step::Flatten => flow.then(Flatten::new()),
            Step::Reshape { shape } => flow.then(Reshape::new(shape)?),
            Step::Linear { features } => {
                let [_, inputs] = *shape.dims() else { return Err(Error::shape("Linear", "[N, …]", shape)) };
                flow.then(Linear::config(inputs, features).init(scheme(rest)).build(init)?)
            }
        })
    }
}

impl Activation {
    fn add<T: Element>(self, flow: Flow<T>, init: &mut Init) -> Result<Flow<T>> {
        Ok(match self {
            Activation::Relu => flow.then(Relu::new()),
            Activation::LeakyRelu { alpha } => flow.then(LeakyRelu::new(alpha)?),
            Activation::PRelu => flow.then(PRelu::config(1).build(init)?),
            Activation::Relu6 => flow.then(Relu6::new()),
            Activation::Elu { alpha } => flow.then(Elu::new(alpha)?),
            Activation::Selu => flow.then(Selu::new()),
            Activation::Silu => flow.then(Silu::new()),
            Activation::Mish => flow.then(Mish::new()),
            Activation::Gelu => flow.then(Gelu::new()),
            Activation::Hardswish => flow.then(Hardswish::new()),
            Activation::Tanh => flow.then(Tanh::new()),
            Activation::Sigmoid => flow.then(Sigmoid::new()),
        })
    }

    /// How weights before this activation are to begin.
    fn scheme(self) -> Scheme {
        match self {
            Activation::Relu | Activation::LeakyRelu { .. } | Activation::PRelu | Activation::Relu6 => Scheme::HeNormal,
            Activation::Elu { .. } | Activation::Silu | Activation::Mish | Activation::Gelu | Activation::Hardswish => Scheme::HeNormal,
            Activation::Selu => Scheme::XavierFanIn,
            Activation::Tanh | Activation::Sigmoid => Scheme::XavierUniform,
        }
    }
}

/// The scheme of the next activation, Xavier's if there is none before the next weights.
fn scheme(rest: &[Step]) -> Scheme {
    for step in rest {
        match step {
            Step::Activation(activation) => return activation.scheme(),
            Step::Conv { .. } | Step::Linear { .. } => break,
            _ => {}
        }
    }
    Scheme::XavierUniform
}

fn image_channels(layer: &'static str, shape: &Shape) -> Result<usize> {
    match *shape.dims() {
        [_, c, _, _] => Ok(c),
        _ => Err(Error::Shape {
            layer,
            expected: "images [N, C, H, W]".into(),
            got: *shape,
            hint: Some("put it before flatten and linear, and start from Flow::input([channels, height, width])".into()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ctx, Rng, Tensor};

    fn kinds(builder: FlowBuilder) -> Vec<&'static str> {
        let flow = builder.build::<f32>(&mut Init::seed(1)).unwrap();
        flow.children().map(|c| c.1.kind()).collect()
    }

    #[test]
    fn a_linear_layer_flattens_images_by_itself() {
        let head = Flow::input([2, 4, 4]).conv(3, 3).relu().linear(5);
        assert_eq!(kinds(head), ["Conv2d", "Relu", "Flatten", "Linear"]);
        assert_eq!(kinds(Flow::input([7]).linear(5).relu().linear(2)), ["Linear", "Relu", "Linear"]);
    }

    #[test]
    fn convolutions_keep_height_and_width_for_any_kernel() {
        for kernel in 1..6 {
            let flow = Flow::input([1, 7, 4]).conv(2, kernel).build::<f32>(&mut Init::seed(1)).unwrap();
            assert_eq!(flow.out_shape(&Shape::from([1, 1, 7, 4])).unwrap().dims(), [1, 2, 7, 4]);
        }
    }

    #[test]
    fn first_weights_follow_the_activation_behind() {
        let flow = Flow::input([1, 8, 8]).conv(4, 3).batch_norm().relu().linear(3).build::<f32>(&mut Init::seed(1)).unwrap();
        let spec = flow.spec();
        let config = |i: usize| spec.children[i].1.text("init").unwrap().to_owned();
        assert_eq!((config(0), config(4)), ("he_normal".into(), "xavier_uniform".into()));
        assert!(!spec.children[0].1.bool("bias").unwrap());
    }

    #[test]
    fn each_activation_is_built_and_has_its_scheme() {
        type Step = fn(FlowBuilder) -> FlowBuilder;
        let table: [(Step, &str, &str); 13] = [
            (|b| b.relu(), "Relu", "he_normal"),
            (|b| b.leaky_relu(0.01), "LeakyRelu", "he_normal"),
            (|b| b.prelu(), "PRelu", "he_normal"),
            (|b| b.relu6(), "Relu6", "he_normal"),
            (|b| b.elu(1.0), "Elu", "he_normal"),
            (|b| b.silu(), "Silu", "he_normal"),
            (|b| b.mish(), "Mish", "he_normal"),
            (|b| b.gelu(), "Gelu", "he_normal"),
            (|b| b.hardswish(), "Hardswish", "he_normal"),
            (|b| b.selu(), "Selu", "xavier_fan_in"),
            (|b| b.tanh(), "Tanh", "xavier_uniform"),
            (|b| b.sigmoid(), "Sigmoid", "xavier_uniform"),
            (|b| b.flatten(), "Flatten", "xavier_uniform"), // none before the next weights
        ];
        for (step, kind, scheme) in table {
            let flow = step(Flow::input([4]).linear(3)).linear(2).relu().build::<f32>(&mut Init::seed(1)).unwrap();
            let spec = flow.spec();
            assert_eq!((spec.children[1].1.kind.as_str(), spec.children[0].1.text("init").unwrap()), (kind, scheme));
        }
    }

    #[test]
    fn each_other_step_is_built_and_its_size_inferred() {
        let flow = Flow::input([48])
            .reshape([3, 4, 4])
            .upsample(2, UpsampleMode::Bilinear)
            .squeeze_excite(2)
            .dropout2d(0.1)
            .avg_pool(2)
            .adaptive_max_pool([3, 4])
            .adaptive_avg_pool(2)
            .linear(5)
            .build::<f32>(&mut Init::seed(1))
            .unwrap();
        let kinds: Vec<_> = flow.children().map(|c| c.1.kind()).collect();
        let want = ["Reshape", "Upsample", "SqueezeExcite", "Dropout2d", "AvgPool2d", "AdaptiveMaxPool2d", "AdaptiveAvgPool2d"];
        assert_eq!(kinds, [&want[..], &["Flatten", "Linear"]].concat());
        assert_eq!(flow.out_shape(&Shape::from([7, 48])).unwrap().dims(), [7, 5]);
    }

    /// What the table in the docs promises: after 20 layers the signal is neither dead nor blown up.
    #[test]
    fn a_signal_survives_twenty_layers() {
        type Step = fn(FlowBuilder) -> FlowBuilder;
        let steps: [Step; 4] = [|b| b.relu(), |b| b.leaky_relu(0.01), |b| b.selu(), |b| b.elu(1.0)];
        for (i, step) in steps.into_iter().enumerate() {
            let builder = (0..20).fold(Flow::input([256]), |b, _| step(b.linear(256)));
            let flow = builder.build::<f64>(&mut Init::seed(1)).unwrap();
            let x = Tensor::normal([32, 256], 0.0, 1.0, &mut Rng::seed(2)).unwrap();
            let y = flow.infer(x, &mut Ctx::eval()).unwrap();
            let square = y.to_vec().iter().map(|v| v * v).sum::<f64>() / y.len() as f64;
            assert!((0.1..10.0).contains(&square), "activation {i}: E y² = {square}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_step_is_told_with_its_place() {
        let say = |b: FlowBuilder| b.build::<f32>(&mut Init::seed(1)).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(say(Flow::input([1, 8, 8]).relu().conv_strided(4, 2, 2)).starts_with("at `1`: Conv2d: kernel = 2 is not valid"));
        assert!(say(Flow::input([10]).conv(4, 3)).starts_with("at `0`: Conv2d expects images [N, C, H, W], got [1, 10]"));
        assert!(say(Flow::input([1, 4, 4]).max_pool(2).max_pool(2).max_pool(2)).starts_with("at `2`: MaxPool2d"));
        assert!(say(Flow::input([1, 4, 4]).dropout(1.5)).starts_with("at `0`: Dropout: p = 1.5"));
        assert!(say(Flow::input([4]).linear(2).leaky_relu(f64::NAN)).starts_with("at `1`: LeakyRelu: alpha = NaN"));
        assert!(say(Flow::input([4]).elu(f64::INFINITY)).starts_with("at `0`: Elu: alpha = inf"));
        assert!(say(Flow::input([1, 4, 4]).linear(0)).starts_with("at `1`: Linear: out_features = 0"));
    }
}
