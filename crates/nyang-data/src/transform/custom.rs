//! A transform of one's own in a pipeline.

use std::fmt;
use std::sync::Arc;

use nyang_tensor::Rng;

use crate::{Image, Result, Transform};

/// A transform of your own, with a name for printing: a closure, or whatever implements [`Transform`].
///
/// It is code, so a pipeline that has one cannot be saved. That is fine for training; what evaluation needs should be a transform that
/// can be written down.
///
/// ```
/// use nyang_data::{Custom, Image, Pixels, transforms};
/// use nyang_tensor::Rng;
///
/// /// Brightness times 0.8 to 1.2, of floats.
/// fn flicker(image: Image, rng: &mut Rng) -> nyang_data::Result<Image> {
///     let (h, w, c, by) = (image.height(), image.width(), image.channels(), 0.8 + 0.4 * rng.uniform() as f32);
///     match image.into_pixels() {
///         Pixels::F32(values) => Image::from_floats(h, w, c, values.iter().map(|v| v * by).collect()),
///         Pixels::U8(values) => Image::from_bytes(h, w, c, values.iter().map(|&v| (f32::from(v) * by) as u8).collect()),
///     }
/// }
/// let pipeline = transforms![Custom::new("flicker", flicker)];
/// assert_eq!(pipeline.to_string(), "Custom(flicker)");
/// ```
#[derive(Clone)]
pub struct Custom {
    name: &'static str,
    code: Arc<dyn Transform>,
}

impl Custom {
    /// A transform of this name.
    pub fn new(name: &'static str, code: impl Transform + 'static) -> Self {
        Custom { name, code: Arc::new(code) }
    }
}

impl<F> Transform for F
where
    F: Fn(Image, &mut Rng) -> Result<Image> + Send + Sync,
{
    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self(image, rng)
    }
}

impl Transform for Custom {
    fn check(&self) -> Result<()> {
        self.code.check()
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self.code.apply(image, rng)
    }
}

/// Equal are clones of one; whether two pieces of code do the same cannot be known.
impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.code, &other.code)
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Custom({})", self.name)
    }
}
