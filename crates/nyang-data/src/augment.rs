//! Augmentation: the same image, a little different each epoch.

use nyang_tensor::{Rng, Tensor};

use crate::{Error, Result};

/// A random change of an image that leaves its class alone.
///
/// The random numbers come from outside, keyed by (seed, epoch, index): so a sample looks the same however many workers load it, in
/// whatever order. A closure is an `Augment` too:
///
/// ```
/// use nyang_data::{Digits, Loader};
/// use nyang_tensor::{Rng, Tensor};
///
/// let loader = Loader::new(Digits::load()?)
///     .shuffle(42)
///     .augment(|image: Tensor, rng: &mut Rng| Ok(image.scale(0.8 + 0.4 * rng.uniform() as f32)?));
/// # let _ = loader.epoch(0).next().unwrap()?;
/// # Ok::<(), nyang_data::Error>(())
/// ```
pub trait Augment: Send + Sync {
    /// The changed image. It may have another size, which must then be the same for all images of a batch.
    ///
    /// # Errors
    /// Whatever keeps this image from being changed; the loader adds the sample's name.
    fn augment(&self, image: Tensor<f32>, rng: &mut Rng) -> Result<Tensor<f32>>;
}

impl<F> Augment for F
where
    F: Fn(Tensor<f32>, &mut Rng) -> Result<Tensor<f32>> + Send + Sync,
{
    fn augment(&self, image: Tensor<f32>, rng: &mut Rng) -> Result<Tensor<f32>> {
        self(image, rng)
    }
}

/// Shifts an image by up to k pixels down, up, right and left; what comes in from outside is 0.
///
/// ```text
/// y[c,h,w] = x[c, h − dy, w − dx], 0 outside      dy, dx independent, uniform on −k, …, k
/// ```
///
/// # Errors
/// [`Error::Tensor`] unless the image is `[C, H, W]`; [`Error::Argument`] unless k < H and k < W, so that something stays in sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    pixels: usize,
}

impl Shift {
    /// By up to `pixels` pixels each way.
    pub fn new(pixels: usize) -> Self {
        Shift { pixels }
    }
}

impl Augment for Shift {
    fn augment(&self, image: Tensor<f32>, rng: &mut Rng) -> Result<Tensor<f32>> {
        let &[_, h, w] = image.dims() else {
            return Err(nyang_tensor::Error::shape("Shift", "[C, H, W]", *image.shape()).into());
        };
        let k = self.pixels;
        if k >= h || k >= w {
            return Err(Error::argument("Shift", "pixels", k, "must be below the image's height and width"));
        }
        let (down, right) = (rng.below(2 * k + 1), rng.below(2 * k + 1)); // dy + k, dx + k
        shifted(&image, (down.saturating_sub(k), k.saturating_sub(down)), (right.saturating_sub(k), k.saturating_sub(right)))
    }
}

/// `[C, H, W]` shifted (down, up) and (right, left); one of each pair is 0, and all are below the image's size.
fn shifted(image: &Tensor<f32>, (down, up): (usize, usize), (right, left): (usize, usize)) -> Result<Tensor<f32>> {
    let (x, mut y) = (image.contiguous()?, Tensor::zeros(*image.shape())?);
    let &[_, h, w] = image.dims() else { return Ok(y) };
    let plane = (h * w).max(1);
    let values = x.as_slice().unwrap_or_default(); // contiguous
    for (to, from) in y.as_mut_slice()?.chunks_exact_mut(plane).zip(values.chunks_exact(plane)) {
        for (to, from) in to.chunks_exact_mut(w).skip(down).zip(from.chunks_exact(w).skip(up)) {
            to[right..w - left].copy_from_slice(&from[left..w - right]);
        }
    }
    Ok(y)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(dims: [usize; 3]) -> Tensor<f32> {
        Tensor::from_fn(dims, |i| 1.0 + i as f32).unwrap()
    }

    #[test]
    fn a_shift_by_hand() {
        // 1 2 3      0 0 0
        // 4 5 6  →   2 3 0    down 1, left 1
        let y = shifted(&counted([1, 2, 3]), (1, 0), (0, 1)).unwrap();
        assert_eq!(y.to_vec(), [0.0, 0.0, 0.0, 2.0, 3.0, 0.0]);
        let y = shifted(&counted([2, 2, 2]), (0, 1), (1, 0)).unwrap();
        assert_eq!(y.to_vec(), [0.0, 3.0, 0.0, 0.0, 0.0, 7.0, 0.0, 0.0]);
    }

    #[test]
    fn every_shift_up_to_k_comes_and_none_beyond() {
        let (x, mut rng, mut seen) = (counted([1, 5, 6]), Rng::seed(1), std::collections::BTreeMap::new());
        for _ in 0..2500 {
            let y = Shift::new(2).augment(x.clone(), &mut rng).unwrap();
            // the middle pixel x[2,2] = 15 stays in sight: where is it?
            let at = y.to_vec().iter().position(|&v| v == 15.0).unwrap();
            *seen.entry((at / 6, at % 6)).or_insert(0) += 1;
        }
        let expected: Vec<_> = (0..5).flat_map(|h| (0..5).map(move |w| (h, w))).collect();
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), expected);
        assert!(seen.values().all(|n| (50..150).contains(n)), "{seen:?}"); // 100 ± 5 σ
    }

    #[test]
    fn no_shift_leaves_the_image_and_the_original_is_never_changed() {
        let x = counted([2, 3, 3]);
        assert_eq!(Shift::new(0).augment(x.clone(), &mut Rng::seed(1)).unwrap(), x);
        let _ = Shift::new(2).augment(x.clone(), &mut Rng::seed(1)).unwrap();
        assert_eq!(x, counted([2, 3, 3]));
    }

    #[test]
    fn shifts_that_lose_the_image_are_errors() {
        for k in [3, 4, usize::MAX] {
            assert!(matches!(Shift::new(k).augment(counted([1, 3, 5]), &mut Rng::seed(0)), Err(Error::Argument { .. })), "{k}");
        }
        assert!(Shift::new(0).augment(Tensor::zeros([1, 0, 4]).unwrap(), &mut Rng::seed(0)).is_err());
        assert!(Shift::new(1).augment(Tensor::zeros([4, 4]).unwrap(), &mut Rng::seed(0)).is_err());
    }
}
