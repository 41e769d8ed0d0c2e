//! Transforms: what happens to an image between the dataset and the batch. The trait, the list of all, and the pipeline.

mod affine;
mod border;
mod color;
mod compose;
mod crop;
mod custom;
mod distort;
mod erasing;
mod filter;
mod flip;
mod noise;
mod pad;
mod perspective;
mod policy;
mod range;
mod resize;
mod resized_crop;
mod to_float;
mod tone;
mod turn;
mod warp;

use std::fmt;

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use crate::{Image, Result};

pub use affine::{Affine, Rotate};
pub use border::Border;
pub use color::{ColorJitter, Grayscale, HueSaturation};
pub use compose::{OneOf, RandomApply, RandomOrder, SomeOf};
pub use crop::{CenterCrop, RandomCrop};
pub use custom::Custom;
pub use distort::{ElasticTransform, GridDistortion};
pub use erasing::{CoarseDropout, RandomErasing};
pub use filter::{GaussianBlur, Sharpen};
pub use flip::{HorizontalFlip, VerticalFlip};
pub use noise::{GaussNoise, JpegCompression};
pub use pad::Pad;
pub use perspective::Perspective;
pub use policy::{AugMix, RandAugment, TrivialAugmentWide};
pub(crate) use resize::resized;
pub use resize::{Interpolation, Resize};
pub use resized_crop::RandomResizedCrop;
pub use to_float::ToFloat;
pub use tone::{AutoContrast, BrightnessContrast, Equalize, Invert, Posterize, Solarize};
pub use turn::{D4, Rotate90};
pub(crate) use turn::{Turn, turned};

/// A change of an image, fixed or random.
///
/// The random numbers come from outside, keyed by (seed, epoch, index): so a sample looks the same however many workers load it, in
/// whatever order. [`Custom`] makes one of a closure.
pub trait Transform: Send + Sync {
    /// Whether the settings make sense. [`Loader::check`](crate::Loader::check) asks it before the first image, and so does each
    /// [`apply`](Transform::apply) of this crate.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) with the setting, its value, and what would be valid.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The changed image. It may have another size, which must in the end be the same for all images of a batch.
    ///
    /// # Errors
    /// Whatever keeps this image from being changed; the loader adds the sample's name.
    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image>;
}

/// One list of all transforms: it makes the enum, what each variant does, and how each becomes one.
macro_rules! steps {
    ($($name:ident),* $(,)?) => {
        /// Any transform of this crate. A pipeline holds these, so that it can be compared, printed, saved and rebuilt.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Step {
            $(
                #[doc = concat!("[`", stringify!($name), "`]")]
                $name($name),
            )*
            /// [`Custom`], which cannot be saved.
            #[serde(skip)]
            Custom(Custom),
        }

        impl Transform for Step {
            fn check(&self) -> Result<()> {
                match self {
                    $(Step::$name(step) => step.check(),)*
                    Step::Custom(step) => step.check(),
                }
            }

            fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
                match self {
                    $(Step::$name(step) => step.apply(image, rng),)*
                    Step::Custom(step) => step.apply(image, rng),
                }
            }
        }

        $(
            impl From<$name> for Step {
                fn from(step: $name) -> Self {
                    Step::$name(step)
                }
            }
        )*

        impl From<Custom> for Step {
            fn from(step: Custom) -> Self {
                Step::Custom(step)
            }
        }
    };
}

impl Step {
    /// Whether it does the same each time and draws no random number: then its result can be kept.
    pub(crate) fn is_fixed(&self) -> bool {
        matches!(self, Step::Resize(_) | Step::CenterCrop(_) | Step::Pad(_))
    }
}

steps![
    Affine,
    AugMix,
    AutoContrast,
    BrightnessContrast,
    CenterCrop,
    CoarseDropout,
    ColorJitter,
    D4,
    ElasticTransform,
    Equalize,
    GaussNoise,
    GaussianBlur,
    Grayscale,
    GridDistortion,
    HorizontalFlip,
    HueSaturation,
    Invert,
    JpegCompression,
    OneOf,
    Pad,
    Perspective,
    Posterize,
    RandAugment,
    RandomApply,
    RandomCrop,
    RandomErasing,
    RandomOrder,
    RandomResizedCrop,
    Resize,
    Rotate,
    Rotate90,
    Sharpen,
    Solarize,
    SomeOf,
    ToFloat,
    TrivialAugmentWide,
    VerticalFlip,
];

/// Transforms one after the other: a pipeline. [`transforms!`](crate::transforms) makes it.
///
/// It is a value: two are equal if their settings are, and serde writes it down and reads it back, so that a model file can bring along
/// how its images are to be prepared. The empty one changes nothing.
///
/// ```
/// use nyang_data::{CenterCrop, Image, Pad, Transform, transforms};
/// use nyang_tensor::Rng;
///
/// let pipeline = transforms![Pad::new(1), CenterCrop::new(2, 4)];
/// let image = pipeline.apply(Image::from_bytes(2, 2, 1, vec![1, 2, 3, 4])?, &mut Rng::seed(0))?;
/// assert_eq!(image.bytes(), Some(&[0, 1, 2, 0, 0, 3, 4, 0][..]));
/// # Ok::<(), nyang_data::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Transforms {
    /// The transforms in their order.
    pub steps: Vec<Step>,
}

impl Transforms {
    /// Whether it changes nothing, because there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl FromIterator<Step> for Transforms {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        Transforms { steps: steps.into_iter().collect() }
    }
}

impl Transform for Transforms {
    fn check(&self) -> Result<()> {
        self.steps.iter().try_for_each(Step::check)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self.steps.iter().try_fold(image, |image, step| step.apply(image, rng))
    }
}

/// One step a line, with its settings.
impl fmt::Display for Transforms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps.iter().enumerate() {
            let text = format!("{step:?}"); // Name(Name { settings })
            let inner = text.split_once('(').map_or(text.as_str(), |(_, inner)| inner.strip_suffix(')').unwrap_or(inner));
            write!(f, "{}{inner}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// A pipeline: [`Transforms`] of these, from first to last.
///
/// ```
/// use nyang_data::{HorizontalFlip, RandomCrop, transforms};
///
/// let train = transforms![RandomCrop::new(32, 32).padding(4), HorizontalFlip::new(0.5)];
/// assert_eq!(train.steps.len(), 2);
/// ```
#[macro_export]
macro_rules! transforms {
    ($($step:expr),* $(,)?) => {
        <$crate::Transforms as ::std::iter::FromIterator<$crate::Step>>::from_iter([$($crate::Step::from($step)),*])
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn counted(h: usize, w: usize) -> Image {
        Image::from_bytes(h, w, 1, (0..h * w).map(|v| v as u8).collect()).unwrap()
    }

    #[test]
    fn the_steps_are_taken_in_order_with_one_stream_of_random_numbers() {
        let draw = |image: Image, rng: &mut Rng| Ok(Image { pixels: crate::Pixels::F32(vec![rng.uniform() as f32]), ..image });
        let last = transforms![Custom::new("first", draw), Custom::new("second", draw)].apply(counted(1, 1), &mut Rng::seed(3)).unwrap();
        let mut rng = Rng::seed(3);
        let second = [rng.uniform(), rng.uniform()][1] as f32;
        assert_eq!(last.pixels(), &crate::Pixels::F32(vec![second]));
        let cropped = transforms![CenterCrop::new(2, 2), Pad::new(1)].apply(counted(4, 4), &mut rng).unwrap();
        assert_eq!((cropped.height(), cropped.bytes().unwrap()[5]), (4, 5));
    }

    #[test]
    fn a_pipeline_is_written_down_and_read_back() {
        let pipeline = transforms![Pad::new(2).border(Border::Reflect), HorizontalFlip::new(0.5)];
        let text = serde_json::to_string(&pipeline).unwrap();
        assert_eq!(text, r#"[{"Pad":{"top":2,"right":2,"bottom":2,"left":2,"border":"Reflect"}},{"HorizontalFlip":{"p":0.5}}]"#);
        assert_eq!(serde_json::from_str::<Transforms>(&text).unwrap(), pipeline);
        assert_eq!(pipeline.to_string().lines().last(), Some("HorizontalFlip { p: 0.5 }"));
        assert!(serde_json::from_str::<Transforms>(r#"[{"Sparkle":{}}]"#).unwrap_err().to_string().contains("unknown variant `Sparkle`"));
        assert!(serde_json::from_str::<Transforms>(r#"[{"HorizontalFlip":{"p":0.5,"q":1}}]"#).is_err());
    }

    #[test]
    fn a_pipeline_with_code_in_it_cannot_be_saved_and_says_which() {
        let pipeline = transforms![Custom::new("mine", |image: Image, _: &mut Rng| Ok(image))];
        assert!(serde_json::to_string(&pipeline).unwrap_err().to_string().contains("Custom"));
        assert!(pipeline.to_string().contains("mine"), "{pipeline}");
    }

    #[test]
    fn settings_read_from_a_file_are_checked_too() {
        let bad: Transforms = serde_json::from_str(r#"[{"HorizontalFlip":{"p":-1.0}}]"#).unwrap();
        assert!(matches!(bad.check(), Err(Error::Argument { op: "HorizontalFlip", .. })));
        assert!(bad.apply(counted(2, 2), &mut Rng::seed(1)).is_err());
    }
}
