//! How the window of a convolution or a pooling is asked for, checked, and written down.

use nyang_tensor::Shape;
use nyang_tensor::kernels::Window;

use crate::{Error, Result, Spec};

/// One number for each axis of an image: made of one number for both, or of `[height, width]`.
///
/// ```
/// # use nyang_nn::{Init, Conv2d, MaxPool2d, Module, Shape};
/// let square = MaxPool2d::config(3).stride(2).build()?;
/// let oblong = MaxPool2d::config([3, 1]).stride([2, 1]).build()?;
/// let image = Shape::from([1, 8, 9, 9]);
/// assert_eq!(Module::<f32>::out_shape(&square, &image)?.dims(), [1, 8, 4, 4]);
/// assert_eq!(Module::<f32>::out_shape(&oblong, &image)?.dims(), [1, 8, 4, 9]);
/// # Ok::<(), nyang_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub [usize; 2]);

impl From<usize> for Pair {
    fn from(both: usize) -> Self {
        Pair([both; 2])
    }
}
impl From<[usize; 2]> for Pair {
    fn from(height_width: [usize; 2]) -> Self {
        Pair(height_width)
    }
}

/// What is put around an image: made of one number for all sides, of `[height, width]`, or of `[[top, bottom], [left, right]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// So many rows and columns: `[[top, bottom], [left, right]]`.
    Cells([[usize; 2]; 2]),
    /// As many as keep the image's size at stride 1, d·(kernel − 1) along each axis. If that is odd, the one more is at the bottom or at
    /// the right, as in PyTorch.
    Same,
}

impl From<usize> for Padding {
    fn from(all: usize) -> Self {
        Padding::Cells([[all; 2]; 2])
    }
}
impl From<[usize; 2]> for Padding {
    fn from(height_width: [usize; 2]) -> Self {
        Padding::Cells(height_width.map(|p| [p; 2]))
    }
}
impl From<[[usize; 2]; 2]> for Padding {
    fn from(sides: [[usize; 2]; 2]) -> Self {
        Padding::Cells(sides)
    }
}

impl Padding {
    /// `[[top, bottom], [left, right]]` for this window, whose sizes are positive.
    pub(crate) fn around(self, layer: &'static str, window: &Window) -> Result<[[usize; 2]; 2]> {
        match self {
            Padding::Cells(sides) => Ok(sides),
            Padding::Same if window.stride != [1, 1] => {
                let why = "must be 1 with the padding `Same`: a larger stride does not keep the size";
                Err(Error::config(layer, "stride", format!("{:?}", window.stride), why))
            }
            Padding::Same => Ok([0, 1].map(|axis| {
                let total = window.dilation[axis].saturating_mul(window.kernel[axis] - 1);
                [total / 2, total - total / 2]
            })),
        }
    }
}

/// The error for a window that looks at nothing or never moves.
pub(crate) fn check_positive(layer: &'static str, window: &Window) -> Result<()> {
    for (field, sizes) in [("kernel", window.kernel), ("stride", window.stride), ("dilation", window.dilation)] {
        if sizes.contains(&0) {
            return Err(Error::config(layer, field, 0, "must be positive"));
        }
    }
    Ok(())
}

/// What pooling windows must satisfy whatever the input: positive sizes, and padding of at most half the window.
pub(crate) fn check_pooling(layer: &'static str, window: &Window) -> Result<()> {
    check_positive(layer, window)?;
    for ((k, d), sides) in window.kernel.into_iter().zip(window.dilation).zip(window.padding) {
        let reach = d.saturating_mul(k - 1).saturating_add(1);
        if let Some(p) = sides.into_iter().find(|&p| p > reach / 2) {
            return Err(Error::config(layer, "padding", p, "must be at most half the window, or a window could lie outside the image"));
        }
    }
    Ok(())
}

/// The output shape of pooling.
pub(crate) fn pooled_shape(layer: &'static str, window: &Window, input: &Shape) -> Result<Shape> {
    let [n, c, h, w] = *input.dims() else { return Err(Error::shape(layer, "[N, C, H, W]", input)) };
    let [oh, ow] = window.out_size(layer, [h, w])?;
    Ok(Shape::from([n, c, oh, ow]))
}

/// The output size of adaptive pooling or upsampling, checked.
pub(crate) fn check_bins(layer: &'static str, size: impl Into<Pair>) -> Result<[usize; 2]> {
    let Pair(size) = size.into();
    if size.contains(&0) {
        return Err(Error::config(layer, "size", format!("{size:?}"), "must be positive along each axis"));
    }
    Ok(size)
}

/// The output shape of a layer whose output has this size whatever the input's is.
pub(crate) fn binned_shape(layer: &'static str, [height, width]: [usize; 2], input: &Shape) -> Result<Shape> {
    match *input.dims() {
        [n, c, h, w] if h > 0 && w > 0 => Ok(Shape::from([n, c, height, width])),
        _ => Err(Error::shape(layer, "[N, C, H, W] with at least one pixel", input)),
    }
}

/// A description with the window's numbers.
pub(crate) fn with_window(spec: Spec, window: &Window) -> Spec {
    let [[top, bottom], [left, right]] = window.padding;
    spec.with("kernel", window.kernel)
        .with("stride", window.stride)
        .with("padding", [top, bottom, left, right])
        .with("dilation", window.dilation)
}

/// The window that a description has the numbers of; its output size rounds down.
pub(crate) fn window_from(spec: &Spec) -> Result<Window> {
    let [top, bottom, left, right] = spec.sizes("padding")?;
    Ok(Window {
        kernel: spec.sizes("kernel")?,
        stride: spec.sizes("stride")?,
        padding: [[top, bottom], [left, right]],
        dilation: spec.sizes("dilation")?,
        ceil_mode: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(kernel: [usize; 2], dilation: [usize; 2]) -> [[usize; 2]; 2] {
        Padding::Same.around("test", &Window { dilation, ..Window::new(kernel) }).unwrap()
    }

    /// Of PyTorch's `Conv2d(padding="same")._reversed_padding_repeated_twice`, whose order is left, right, top, bottom.
    #[test]
    fn same_padding_is_pytorchs() {
        assert_eq!(same([3, 5], [1, 1]), [[1, 1], [2, 2]]);
        assert_eq!(same([2, 4], [1, 1]), [[0, 1], [1, 2]]);
        assert_eq!(same([2, 4], [3, 2]), [[1, 2], [3, 3]]);
        assert_eq!(same([1, 1], [9, 9]), [[0, 0], [0, 0]]);
    }

    #[test]
    fn same_padding_keeps_every_size() {
        for (k, d) in (1..6).flat_map(|k| (1..4).map(move |d| (k, d))) {
            let window = Window { padding: same([k, 1], [d, 1]), dilation: [d, 1], ..Window::new([k, 1]) };
            assert_eq!(window.out_size("test", [7, 3]).unwrap(), [7, 3], "kernel {k}, dilation {d}");
        }
    }

    #[test]
    fn absurd_windows_are_errors_and_no_overflow() {
        let far = Window { dilation: [usize::MAX, 1], ..Window::new([3, 3]) };
        let padded = Window { padding: Padding::Same.around("test", &far).unwrap(), ..far };
        assert!(padded.out_size("test", [4, 4]).is_err());
        assert!(check_pooling("test", &Window { padding: [[usize::MAX, 0], [0, 0]], ..Window::new([usize::MAX, 3]) }).is_err());
    }
}
