//! Ready models, one file each: built for any image size, number of channels and number of classes, with PyTorch's parameter names.
//!
//! ```
//! # use nyang_nn::{Init, Module, Shape, zoo::{self, Task}};
//! let model = zoo::resnet20::<f32>(Task::new([3, 32, 32], 10), &mut Init::seed(42))?;
//! assert_eq!(model.out_shape(&Shape::from([8, 3, 32, 32]))?.dims(), [8, 10]);
//! # Ok::<(), nyang_nn::Error>(())
//! ```
//!
//! | model | made for | parameters there |
//! |---|---|---|
//! | [`mlp`] | any small image; the simplest that learns | 535,818 |
//! | [`lenet`] | 28×28 | 61,706 |
//! | [`simpleconvnet`], [`deepconvnet`] | 28×28; one convolution, and six | 433,890; 119,236 |
//! | [`vgg11_bn`] | 32×32, or 224×224 | 9,231,114; 132,868,840 |
//! | [`resnet20`], [`resnet32`], [`resnet44`], [`resnet56`] | 32×32 | 269,722 to 853,018 |
//! | [`resnet18`], [`resnet34`] | 32×32, or 224×224 | 11,173,962; 11,689,512 |
//! | [`mobilenet_v2`] | 32×32, or 224×224; small and quick | 2,236,682; 3,504,872 |
//!
//! Where there are two forms, [`Task::imagenet`] asks for the second, torchvision's to the last parameter name.

mod deepconvnet;
mod lenet;
mod mlp;
mod mobilenet_v2;
mod resnet_cifar;
mod resnet_imagenet;
mod simpleconvnet;
mod vgg;

pub use deepconvnet::deepconvnet;
pub use lenet::lenet;
pub use mlp::mlp;
pub use mobilenet_v2::mobilenet_v2;
pub use resnet_cifar::{resnet20, resnet32, resnet44, resnet56};
pub use resnet_imagenet::{resnet18, resnet34};
pub use simpleconvnet::simpleconvnet;
pub use vgg::vgg11_bn;

use nyang_tensor::{Element, Shape};

use crate::scheme::{Draw, Fan, Gain};
use crate::{BatchNorm2d, Conv2d, Error, Flow, Init, Module, Result, Scheme};

/// What a model is for: images of one size, and how many classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    image: [usize; 3],
    classes: usize,
    imagenet: bool,
}

impl Task {
    /// Images of these channels, height and width, to be told apart into so many classes, by a model in its form for small images.
    pub fn new(image: [usize; 3], classes: usize) -> Self {
        Task { image, classes, imagenet: false }
    }

    /// Asks for the form for large images, torchvision's: the first layers and poolings make a 224×224 image small before the long part.
    pub fn imagenet(mut self) -> Self {
        self.imagenet = true;
        self
    }

    fn channels(self) -> usize {
        self.image[0]
    }

    /// How many numbers a flow makes of an image, for the linear layer behind it.
    fn features_after<T: Element>(self, flow: &Flow<T>) -> Result<usize> {
        let [c, h, w] = self.image;
        Ok(flow.out_shape(&Shape::from([1, c, h, w]))?.len())
    }

    /// For models of one form.
    fn small_only(self, model: &'static str) -> Result<()> {
        if self.imagenet {
            return Err(Error::config(model, "form", "imagenet", "there is none: leave `.imagenet()` away, any image size will do"));
        }
        Ok(())
    }
}

/// How a model of the zoo is built.
pub type BuildModel<T> = fn(Task, &mut Init) -> Result<Flow<T>>;

/// Every model by its name, for programs that let their user choose.
pub fn models<T: Element>() -> [(&'static str, BuildModel<T>); 12] {
    [
        ("mlp", mlp),
        ("lenet", lenet),
        ("simpleconvnet", simpleconvnet),
        ("deepconvnet", deepconvnet),
        ("vgg11_bn", vgg11_bn),
        ("resnet20", resnet20),
        ("resnet32", resnet32),
        ("resnet44", resnet44),
        ("resnet56", resnet56),
        ("resnet18", resnet18),
        ("resnet34", resnet34),
        ("mobilenet_v2", mobilenet_v2),
    ]
}

/// He's first weights by fan-out, so that gradients keep their size on the way back through many convolutions: torchvision's choice.
const HE_FAN_OUT: Scheme = Scheme::Scaled { draw: Draw::Normal, fan: Fan::Out, gain: Gain::Relu };

/// N(0, 0.01²) whatever the fans are: torchvision's for the last layers of some models.
fn hundredth(fan_in: usize) -> Scheme {
    Scheme::Scaled { draw: Draw::Normal, fan: Fan::In, gain: Gain::Of(0.01 * (fan_in as f64).sqrt()) }
}

/// The body of He's basic block: conv – norm – ReLU – conv – norm, the first convolution with the stride.
fn basic_block<T: Element>(channels: usize, out: usize, stride: usize, scheme: Scheme, init: &mut Init) -> Result<Flow<T>> {
    Ok(Flow::new()
        .named("conv1", Conv2d::config(channels, out, 3).stride(stride).padding(1).bias(false).init(scheme).build(init)?)
        .named("bn1", BatchNorm2d::config(out).build(init)?)
        .named("relu1", crate::Relu::new())
        .named("conv2", Conv2d::config(out, out, 3).padding(1).bias(false).init(scheme).build(init)?)
        .named("bn2", BatchNorm2d::config(out).build(init)?))
}
