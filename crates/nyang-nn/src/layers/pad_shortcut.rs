//! The shortcut without parameters of small residual networks: skip pixels, pad channels.

use nyang_tensor::parallel::for_each_chunk;
use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::{Build, Ctx, Error, Init, Module, Result, Saved, Spec};

pub(crate) const KIND: &str = "PadShortcut";

/// He et al.'s option A: every s-th pixel, with channels of zeros before and after, so that the shortcut has no parameters.
///
/// ```text
/// y[n, p + c, i, j] = x[n, c, s·i, s·j],   p = ⌊(O − C)/2⌋;   the other channels are 0
///
/// dx[n, c, s·i, s·j] = dy[n, p + c, i, j];   the other pixels get 0
/// ```
///
/// # Shapes
/// `[N, C, H, W] → [N, O, ⌈H/s⌉, ⌈W/s⌉]`
///
/// # Errors
/// [`Error::Shape`] unless the input is `[N, C, H, W]` with this C.
///
/// # Reference
/// He et al. 2016, *Deep residual learning for image recognition*, arXiv:1512.03385, section 4.2.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Module, PadShortcut, Tensor};
/// let shortcut = PadShortcut::new(16, 32, 2)?;
/// assert_eq!(shortcut.infer(Tensor::<f32>::ones([1, 16, 8, 8])?, &mut Ctx::eval())?.dims(), [1, 32, 4, 4]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PadShortcut {
    in_channels: usize,
    out_channels: usize,
    stride: usize,
    saved: Saved<Shape>,
}

impl PadShortcut {
    /// A shortcut from C = `in_channels` to O = `out_channels` that keeps every `stride`-th pixel.
    ///
    /// # Errors
    /// [`Error::Config`] if a number is 0 or there are fewer channels behind than before.
    pub fn new(in_channels: usize, out_channels: usize, stride: usize) -> Result<Self> {
        if in_channels == 0 {
            return Err(Error::config(KIND, "in_channels", in_channels, "must be positive"));
        }
        if out_channels < in_channels {
            return Err(Error::config(KIND, "out_channels", out_channels, "must be at least in_channels: a shortcut only pads"));
        }
        if stride == 0 {
            return Err(Error::config(KIND, "stride", stride, "must be positive"));
        }
        Ok(PadShortcut { in_channels, out_channels, stride, saved: Saved::default() })
    }

    /// p, the channels of zeros in front.
    fn before(&self) -> usize {
        (self.out_channels - self.in_channels) / 2
    }
}

impl<T: Element> Module<T> for PadShortcut {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        match *input.dims() {
            [n, c, h, w] if c == self.in_channels => {
                Ok(Shape::from([n, self.out_channels, h.div_ceil(self.stride), w.div_ceil(self.stride)]))
            }
            _ => Err(Error::shape(KIND, format!("[N, {}, H, W]", self.in_channels), input)),
        }
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let shape = Module::<T>::out_shape(self, x.shape())?;
        let (c, o, p) = (self.in_channels, self.out_channels, self.before());
        let kept = x.slice(2, 0..x.dims()[2], self.stride)?.slice(3, 0..x.dims()[3], self.stride)?.channels_last()?;
        let pixels = kept.memory().unwrap_or_default();
        let mut y = Tensor::stale_channels_last(shape)?;
        for_each_chunk(y.memory_mut()?, o * 256, |start, part| {
            for (to, from) in part.chunks_exact_mut(o).zip(pixels[start / o * c..].chunks_exact(c)) {
                to.fill(T::ZERO);
                to[p..p + c].copy_from_slice(from);
            }
        });
        Ok(y)
    }

    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let input = *x.shape();
        let y = self.infer(x, cx)?;
        self.saved.put(input);
        Ok(y)
    }

    fn backward(&mut self, dy: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let input = self.saved.take(KIND)?;
        check_dy(KIND, &Module::<T>::out_shape(self, &input)?, &dy)?;
        let [_, _, h, w] = *input.dims() else { return Err(Error::shape(KIND, "[N, C, H, W]", &input)) };
        let (c, o, p, s) = (self.in_channels, self.out_channels, self.before(), self.stride);
        let dy = dy.channels_last()?;
        let (pixels, columns, rows) = (dy.memory().unwrap_or_default(), w.div_ceil(s), h.div_ceil(s));
        let mut dx = Tensor::stale_channels_last(input)?;
        for_each_chunk(dx.memory_mut()?, w * c, |start, row| {
            row.fill(T::ZERO);
            let (n, i) = (start / (w * c) / h, start / (w * c) % h);
            if i % s == 0 {
                let from = pixels[((n * rows + i / s) * columns) * o..].chunks_exact(o);
                row.chunks_mut(c).step_by(s).zip(from).for_each(|(to, from)| to.copy_from_slice(&from[p..p + c]));
            }
        });
        Ok(dx)
    }

    fn spec(&self) -> Spec {
        Spec::new(KIND).with("in_channels", self.in_channels).with("out_channels", self.out_channels).with("stride", self.stride)
    }
}

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    boxed(PadShortcut::new(spec.usize("in_channels")?, spec.usize("out_channels")?, spec.usize("stride")?)?)
}

fn halved<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(PadShortcut::new(2, 4, 2)?)
}
fn odd<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(PadShortcut::new(2, 5, 3)?)
}
fn same<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(PadShortcut::new(3, 3, 1)?)
}

pub(crate) const CASES: &[Case] = &[
    Case::new("PadShortcut/halved", &[2, 2, 4, 4], Some("Lambda(lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1)))"), halved, halved),
    Case::new("PadShortcut/odd", &[2, 2, 7, 5], Some("Lambda(lambda x: F.pad(x[:, :, ::3, ::3], (0, 0, 0, 0, 1, 2)))"), odd, odd),
    Case::new("PadShortcut/identity", &[1, 3, 3, 2], Some("nn.Identity()"), same, same),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_pixel_with_zeros_around_the_channels() {
        let x = Tensor::from_fn([1, 1, 3, 3], |i| i as f32 + 1.0).unwrap();
        let y = PadShortcut::new(1, 3, 2).unwrap().infer(x, &mut Ctx::eval()).unwrap();
        assert_eq!(y.to_vec(), [0.0, 0.0, 0.0, 0.0, 1.0, 3.0, 7.0, 9.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn bad_configurations_are_errors() {
        for (c, o, s) in [(0, 2, 1), (3, 2, 1), (2, 3, 0)] {
            assert!(matches!(PadShortcut::new(c, o, s), Err(Error::Config { .. })));
        }
    }
}
