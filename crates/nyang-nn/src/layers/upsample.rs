//! Upsampling: larger images by rule, without weights.

use nyang_tensor::kernels::upsample2d::{upsample2d, upsample2d_grad_input};
use nyang_tensor::{Element, Shape, Tensor};

use crate::case::{Case, boxed};
use crate::module::check_dy;
use crate::window::{binned_shape, check_bins};
use crate::{Build, Ctx, Error, Init, Module, Pair, Result, Saved, Spec};

pub use nyang_tensor::kernels::upsample2d::UpsampleMode;

pub(crate) const KIND: &str = "Upsample";

/// How large the output is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    By([usize; 2]),
    To([usize; 2]),
}

/// Upsampling: each pixel of a larger image is the nearest pixel of the small one, or lies between the four around it.
///
/// ```text
/// y[n,c,i,j] = Σ_{p,q} a(i,p) · b(j,q) · x[n,c,p,q]        dx[n,c,p,q] = Σ_{i,j} a(i,p) · b(j,q) · dy[n,c,i,j]
///
/// nearest:            a(i,p) = 1 for p = ⌊i·H/H'⌋, else 0
/// bilinear:           a(i,p) = max(0, 1 − |p − u|),   u = max(0, (i + ½)·H/H' − ½)
/// bilinear, aligned:  the same with                   u = i·(H − 1)/(H' − 1)
/// ```
///
/// b is to columns what a is to rows. [`UpsampleMode`] chooses; PyTorch's `align_corners` tells the last two apart.
///
/// # Shapes
/// `[N, C, H, W] → [N, C, H', W']`: by a whole factor, [`Upsample::by`], or to a size, [`Upsample::to`], which may be smaller too
///
/// # Errors
/// [`Error::Shape`] unless the input is `[N, C, H, W]` with H·W > 0.
///
/// # Reference
/// PyTorch's `Upsample`, modes `nearest` and `bilinear`.
///
/// # Example
/// ```
/// # use nyang_nn::{Ctx, Module, Tensor, Upsample, UpsampleMode};
/// let x = Tensor::from_vec([1, 1, 1, 2], vec![0.0f32, 1.0])?;
/// let nearest = Upsample::by([1, 2])?;
/// let bilinear = Upsample::to([1, 4])?.mode(UpsampleMode::Bilinear);
/// assert_eq!(nearest.infer(x.clone(), &mut Ctx::eval())?.to_vec(), [0.0, 0.0, 1.0, 1.0]);
/// assert_eq!(bilinear.infer(x, &mut Ctx::eval())?.to_vec(), [0.0, 0.25, 0.75, 1.0]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Upsample {
    target: Target,
    mode: UpsampleMode,
    saved: Saved<Shape>, // of the input
}

impl Upsample {
    /// So many times as large: a factor for both axes, or `[height, width]`. The nearest pixel, unless another mode is asked for.
    ///
    /// # Errors
    /// [`Error::Config`] if a factor is 0.
    pub fn by(factor: impl Into<Pair>) -> Result<Self> {
        let Pair(factor) = factor.into();
        if factor.contains(&0) {
            return Err(Error::config(KIND, "factor", format!("{factor:?}"), "must be positive along each axis"));
        }
        Ok(Upsample { target: Target::By(factor), mode: UpsampleMode::Nearest, saved: Saved::default() })
    }

    /// To this size, whatever the input's is. The nearest pixel, unless another mode is asked for.
    ///
    /// # Errors
    /// [`Error::Config`] if a size is 0.
    pub fn to(size: impl Into<Pair>) -> Result<Self> {
        Ok(Upsample { target: Target::To(check_bins(KIND, size)?), mode: UpsampleMode::Nearest, saved: Saved::default() })
    }

    /// How the new pixels follow from the old ones.
    pub fn mode(mut self, mode: UpsampleMode) -> Self {
        self.mode = mode;
        self
    }

    /// The output's height and width.
    fn size(&self, input: &Shape) -> Result<[usize; 2]> {
        binned_shape(KIND, [1, 1], input)?;
        match (self.target, input.dims()) {
            (Target::By([fh, fw]), &[_, _, h, w]) => Ok([h.saturating_mul(fh), w.saturating_mul(fw)]), // the kernel refuses the absurd
            (Target::To(size), _) | (Target::By(size), _) => Ok(size),
        }
    }
}

impl<T: Element> Module<T> for Upsample {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn out_shape(&self, input: &Shape) -> Result<Shape> {
        binned_shape(KIND, self.size(input)?, input)
    }

    fn infer(&self, x: Tensor<T>, _: &mut Ctx<'_, T>) -> Result<Tensor<T>> {
        let size = self.size(x.shape())?;
        Ok(upsample2d(&x, size, self.mode)?)
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
        Ok(upsample2d_grad_input(&dy, &input, self.size(&input)?, self.mode)?)
    }

    fn spec(&self) -> Spec {
        let mode = MODES.iter().find(|m| m.1 == self.mode).map_or("nearest", |m| m.0);
        match self.target {
            Target::By(factor) => Spec::new(KIND).with("factor", factor).with("mode", mode),
            Target::To(size) => Spec::new(KIND).with("size", size).with("mode", mode),
        }
    }
}

/// The modes' names in a description.
const MODES: [(&str, UpsampleMode); 3] =
    [("nearest", UpsampleMode::Nearest), ("bilinear", UpsampleMode::Bilinear), ("bilinear_aligned", UpsampleMode::BilinearAligned)];

pub(crate) fn build<T: Element>(spec: &Spec, _: &mut Build<'_, T>) -> Result<Box<dyn Module<T>>> {
    let name = spec.text("mode")?;
    let Some((_, mode)) = MODES.iter().find(|m| m.0 == name) else {
        let known = MODES.map(|m| m.0).join(", ");
        return Err(Error::Spec { kind: KIND.to_owned(), what: format!("`mode` must be one of {known}, got `{name}`") });
    };
    let layer =
        if spec.config.contains_key("factor") { Upsample::by(spec.sizes::<2>("factor")?) } else { Upsample::to(spec.sizes::<2>("size")?) };
    boxed(layer?.mode(*mode))
}

fn doubled<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Upsample::by(2)?)
}
fn resized<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Upsample::to([7, 4])?)
}
fn bilinear<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Upsample::by([2, 3])?.mode(UpsampleMode::Bilinear))
}
fn smaller<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Upsample::to([3, 5])?.mode(UpsampleMode::Bilinear))
}
fn aligned<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Upsample::by(3)?.mode(UpsampleMode::BilinearAligned))
}
fn one_row<T: Element>(_: &mut Init) -> Result<Box<dyn Module<T>>> {
    boxed(Upsample::to([1, 6])?.mode(UpsampleMode::BilinearAligned))
}

const DOUBLED: &str = "nn.Upsample(scale_factor=2)";
const BILINEAR: &str = "nn.Upsample(scale_factor=(2, 3), mode='bilinear')";
const SMALLER: &str = "nn.Upsample(size=(3, 5), mode='bilinear')";
const ALIGNED: &str = "nn.Upsample(scale_factor=3, mode='bilinear', align_corners=True)";
const ONE_ROW: &str = "nn.Upsample(size=(1, 6), mode='bilinear', align_corners=True)";

pub(crate) const CASES: &[Case] = &[
    Case::new("Upsample/doubled", &[2, 3, 3, 4], Some(DOUBLED), doubled, doubled),
    Case::new("Upsample/resized", &[1, 17, 3, 5], Some("nn.Upsample(size=(7, 4))"), resized, resized),
    Case::new("Upsample/bilinear", &[2, 3, 3, 4], Some(BILINEAR), bilinear, bilinear),
    Case::new("Upsample/bilinear_smaller", &[1, 2, 7, 6], Some(SMALLER), smaller, smaller),
    Case::new("Upsample/aligned", &[2, 3, 3, 2], Some(ALIGNED), aligned, aligned),
    Case::new("Upsample/aligned_one_row", &[1, 2, 4, 1], Some(ONE_ROW), one_row, one_row),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_sizes_are_errors_before_any_memory_is_asked_for() {
        let say = |layer: Result<Upsample>| layer.unwrap_err().to_string();
        assert_eq!(say(Upsample::by([2, 0])), "Upsample: factor = [2, 0] is not valid: must be positive along each axis");
        assert_eq!(say(Upsample::to(0)), "Upsample: size = [0, 0] is not valid: must be positive along each axis");
        let layer = Upsample::by(usize::MAX).unwrap();
        let error = layer.infer(Tensor::<f32>::ones([1, 1, 2, 2]).unwrap(), &mut Ctx::eval()).unwrap_err().to_string();
        assert!(error.contains("makes an image that no machine can hold"), "{error}");
    }

    #[test]
    fn an_unknown_mode_in_a_description_is_an_error() {
        let spec = Spec::new(KIND).with("factor", [2, 2]).with("mode", "bicubic");
        let error = crate::Registry::<f32>::standard().build(&spec, &mut Init::seed(1)).unwrap_err().to_string();
        assert!(error.ends_with("`mode` must be one of nearest, bilinear, bilinear_aligned, got `bicubic`"), "{error}");
    }
}
