//! Residual networks for small images.

use nyang_tensor::Element;

use crate::{BatchNorm2d, Conv2d, Flatten, Flow, GlobalAvgPool2d, Init, Linear, Module, PadShortcut, Relu, Residual, Result};

/// ResNet-20 for `[N, 3, H, W]` of about 32×32: three stages of three blocks of 16, 32 and 64 channels.
///
/// Where a stage changes the shape, the shortcut is [`PadShortcut`], He et al.'s option A.
///
/// # Errors
/// If `classes` is 0.
///
/// # Reference
/// He et al. 2016, *Deep residual learning for image recognition*, arXiv:1512.03385, section 4.2.
pub fn resnet20<T: Element>(classes: usize, init: &mut Init) -> Result<Flow<T>> {
    let mut flow = Flow::new()
        .then(Conv2d::config(3, 16, 3).padding(1).bias(false).build(init)?)
        .then(BatchNorm2d::config(16).build(init)?)
        .then(Relu::new());
    let mut channels = 16;
    for (out, first_stride) in [(16, 1), (32, 2), (64, 2)] {
        for block in 0..3 {
            flow = flow.then(basic_block(channels, out, if block == 0 { first_stride } else { 1 }, init)?);
            channels = out;
        }
    }
    Ok(flow.then(GlobalAvgPool2d::new()).then(Flatten::new()).then(Linear::config(64, classes).build(init)?))
}

/// conv – norm – ReLU – conv – norm, plus the shortcut, then ReLU.
fn basic_block<T: Element>(channels: usize, out: usize, stride: usize, init: &mut Init) -> Result<impl Module<T> + use<T>> {
    let body = Flow::new()
        .named("conv1", Conv2d::config(channels, out, 3).stride(stride).padding(1).bias(false).build(init)?)
        .named("bn1", BatchNorm2d::config(out).build(init)?)
        .named("relu1", Relu::new())
        .named("conv2", Conv2d::config(out, out, 3).padding(1).bias(false).build(init)?)
        .named("bn2", BatchNorm2d::config(out).build(init)?);
    let block = Residual::new(body).after("relu2", Relu::new());
    Ok(if stride == 1 { block } else { block.shortcut("shortcut", PadShortcut::new(channels, out, stride)?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StateDict, summary};

    #[test]
    fn resnet20_has_its_269_722_parameters_and_pytorchs_names() {
        let model = resnet20::<f32>(10, &mut Init::seed(1)).unwrap();
        let table = summary(&model, [3, 32, 32]).unwrap();
        assert_eq!((table.parameters, table.output.dims()), (269_722, [1, 10].as_slice()));
        let state = StateDict::of(&model).unwrap();
        for name in ["0.weight", "1.running_var", "3.conv1.weight", "6.bn2.num_batches_tracked", "14.bias"] {
            assert!(state.get(name).is_some(), "{name}");
        }
    }
}
