//! What lies outside an image: for padding, and for whatever looks beyond the edge.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a pixel outside the image is taken to be.
///
/// ```text
///            outside | image   | outside
/// Constant   0 0 0 0 | 1 2 3 4 | 0 0 0 0
/// Edge       1 1 1 1 | 1 2 3 4 | 4 4 4 4      cv2's BORDER_REPLICATE
/// Reflect    3 4 3 2 | 1 2 3 4 | 3 2 1 2      without the edge itself; cv2's BORDER_REFLECT_101
/// Symmetric  4 3 2 1 | 1 2 3 4 | 4 3 2 1      with it; cv2's BORDER_REFLECT
/// ```
///
/// # Example
/// ```
/// # use nyang_data::{Border, Image, Pad, Transform};
/// # use nyang_tensor::Rng;
/// let image = Image::from_bytes(1, 4, 1, vec![1, 2, 3, 4])?;
/// let padded = Pad::sides(0, 2, 0, 2).border(Border::Symmetric).apply(image, &mut Rng::seed(0))?;
/// assert_eq!(padded.bytes(), Some(&[2, 1, 1, 2, 3, 4, 4, 3][..]));
/// # Ok::<(), nyang_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Border {
    /// Always the same: one value for all channels, or one for each; of 0 to 255 where the image is bytes.
    Constant(Vec<f32>),
    /// The nearest pixel of the edge.
    Edge,
    /// The image mirrored at the edge pixels.
    Reflect,
    /// The image mirrored between edge and outside.
    Symmetric,
}

/// Zeros.
impl Default for Border {
    fn default() -> Self {
        Border::Constant(vec![0.0])
    }
}

impl From<f32> for Border {
    fn from(value: f32) -> Self {
        Border::Constant(vec![value])
    }
}

impl<const N: usize> From<[f32; N]> for Border {
    fn from(values: [f32; N]) -> Self {
        Border::Constant(values.to_vec())
    }
}

impl Border {
    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        match self {
            Border::Constant(values) if values.is_empty() || values.iter().any(|v| !v.is_finite()) => {
                Err(Error::argument(op, "border", format!("{values:?}"), "one finite number, or one a channel"))
            }
            _ => Ok(()),
        }
    }

    /// The constant value of each channel; zeros if it is not constant.
    pub(crate) fn fill(&self, op: &'static str, channels: usize) -> Result<Vec<f32>> {
        match self {
            Border::Constant(values) if values.len() == channels => Ok(values.clone()),
            Border::Constant(values) if values.len() == 1 => Ok(vec![values[0]; channels]),
            Border::Constant(values) => {
                let given = format!("{values:?}");
                Err(Error::argument(op, "border", given, "as many values as the image has channels, or one for all"))
            }
            _ => Ok(vec![0.0; channels]),
        }
    }

    /// Which of the `n` ≥ 1 places in a row is meant by `i`; `None` for the constant.
    pub(crate) fn place(&self, i: isize, n: usize) -> Option<usize> {
        if let Ok(inside) = usize::try_from(i)
            && inside < n
        {
            return Some(inside);
        }
        let size = isize::try_from(n).unwrap_or(isize::MAX);
        let place = match self {
            Border::Constant(_) => return None,
            Border::Edge => i.clamp(0, size - 1),
            Border::Reflect if n == 1 => 0,
            Border::Reflect => {
                let i = i.rem_euclid(2 * (size - 1));
                i.min(2 * (size - 1) - i)
            }
            Border::Symmetric => {
                let i = i.rem_euclid(2 * size);
                i.min(2 * size - 1 - i)
            }
        };
        usize::try_from(place).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_of_the_docs_is_true() {
        let seen = |border: Border| (-4..8).map(|i| border.place(i, 4).map_or(0, |p| p + 1)).collect::<Vec<_>>();
        assert_eq!(seen(Border::default()), [0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0]);
        assert_eq!(seen(Border::Edge), [1, 1, 1, 1, 1, 2, 3, 4, 4, 4, 4, 4]);
        assert_eq!(seen(Border::Reflect), [3, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1, 2]);
        assert_eq!(seen(Border::Symmetric), [4, 3, 2, 1, 1, 2, 3, 4, 4, 3, 2, 1]);
    }

    #[test]
    fn a_single_pixel_mirrors_itself() {
        for border in [Border::Edge, Border::Reflect, Border::Symmetric] {
            assert!((-5..5).all(|i| border.place(i, 1) == Some(0)), "{border:?}");
        }
    }

    #[test]
    fn fills_have_one_value_or_one_a_channel() {
        assert_eq!(Border::from(7.0).fill("Pad", 3).unwrap(), [7.0; 3]);
        assert_eq!(Border::from([1.0, 2.0]).fill("Pad", 2).unwrap(), [1.0, 2.0]);
        assert!(Border::from([1.0, 2.0]).fill("Pad", 3).is_err());
        assert!(Border::from(f32::NAN).check("Pad").is_err() && Border::Constant(vec![]).check("Pad").is_err());
    }
}
