//! Policies: which of fourteen operations an image goes through, and how strongly.

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use super::affine::Map;
use super::color::{brightness, contrast, saturation};
use super::filter::sharpness;
use super::warp::check_lookup;
use crate::gamma::dirichlet;
use crate::image::Channel;
use crate::{AutoContrast, Border, Equalize, Error, Image, Interpolation, Pixels, Posterize, Result, Solarize, Transform};

/// What a policy can do to an image, in torchvision's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
}

impl Op {
    const ALL: [Op; 14] = [
        Op::Identity,
        Op::ShearX,
        Op::ShearY,
        Op::TranslateX,
        Op::TranslateY,
        Op::Rotate,
        Op::Brightness,
        Op::Color,
        Op::Contrast,
        Op::Sharpness,
        Op::Posterize,
        Op::Solarize,
        Op::AutoContrast,
        Op::Equalize,
    ];

    /// Whether the magnitude may as well be negative.
    fn signed(self) -> bool {
        !matches!(self, Op::Identity | Op::Posterize | Op::Solarize | Op::AutoContrast | Op::Equalize)
    }

    /// The image after this operation, as torchvision's `_apply_op`.
    fn apply(self, mut image: Image, magnitude: f64, interpolation: Interpolation, border: &Border, policy: &'static str) -> Result<Image> {
        let mut rng = Rng::seed(0); // none of what follows draws
        let middle = Map::middle(&image);
        let corner = Map { center: [0.0; 2], ..middle };
        let sheared = magnitude.atan().to_degrees();
        let map = match self {
            Op::ShearX => Map { shear: [sheared, 0.0], ..corner },
            Op::ShearY => Map { shear: [0.0, sheared], ..corner },
            Op::TranslateX => Map { translate: [magnitude.trunc(), 0.0], ..middle },
            Op::TranslateY => Map { translate: [0.0, magnitude.trunc()], ..middle },
            Op::Rotate => Map { degrees: -magnitude, ..middle },
            Op::Identity => return Ok(image),
            Op::Posterize => return Posterize::new(magnitude.clamp(0.0, 8.0) as u32).apply(image, &mut rng),
            Op::Solarize => return Solarize::new(magnitude).apply(image, &mut rng),
            Op::AutoContrast => return AutoContrast::new().apply(image, &mut rng),
            Op::Equalize => return Equalize::new().apply(image, &mut rng),
            Op::Brightness => return brightness(&mut image, 1.0 + magnitude, policy).map(|()| image),
            Op::Color => return saturation(&mut image, 1.0 + magnitude, policy).map(|()| image),
            Op::Contrast => return contrast(&mut image, 1.0 + magnitude, policy).map(|()| image),
            Op::Sharpness => return sharpness(&mut image, 1.0 + magnitude, policy).map(|()| image),
        };
        map.apply(&image, interpolation, border, policy)
    }
}

/// How strong each operation is at its strongest.
struct Strengths {
    shear: f64,
    translate_x: f64,
    translate_y: f64,
    degrees: f64,
    color: f64,
    bits: [f64; 2], // kept at the weakest, and how many fewer at the strongest
}

impl Strengths {
    /// The magnitude in this bin of so many, which are even from nothing to the strongest.
    fn magnitude(&self, op: Op, bin: usize, bins: usize) -> f64 {
        let part = bin as f64 / (bins - 1).max(1) as f64;
        match op {
            Op::ShearX | Op::ShearY => self.shear * part,
            Op::TranslateX => self.translate_x * part,
            Op::TranslateY => self.translate_y * part,
            Op::Rotate => self.degrees * part,
            Op::Brightness | Op::Color | Op::Contrast | Op::Sharpness => self.color * part,
            Op::Posterize => self.bits[0] - (self.bits[1] * part).round_ties_even(),
            Op::Solarize => 255.0 * (1.0 - part),
            Op::Identity | Op::AutoContrast | Op::Equalize => 0.0,
        }
    }
}

/// How pixels are looked up by the operations that move them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lookup {
    interpolation: Interpolation,
    border: Border,
}

impl Lookup {
    /// One operation with a magnitude whose sign is drawn where it has one.
    fn apply(&self, image: Image, op: Op, magnitude: f64, rng: &mut Rng, policy: &'static str) -> Result<Image> {
        let sign = if op.signed() && rng.below(2) == 1 { -1.0 } else { 1.0 };
        op.apply(image, sign * magnitude, self.interpolation, &self.border, policy)
    }
}

/// The settings that all policies share.
macro_rules! lookup_settings {
    () => {
        /// How operations that move pixels find values between them: nearest or bilinear.
        pub fn interpolation(mut self, interpolation: Interpolation) -> Self {
            self.lookup.interpolation = interpolation;
            self
        }

        /// What comes in from outside; zeros by default.
        pub fn border(mut self, border: impl Into<Border>) -> Self {
            self.lookup.border = border.into();
            self
        }
    };
}

/// Several random operations of one strength: torchvision's `RandAugment`.
///
/// Each is one of fourteen (nothing, shears, shifts, rotation, brightness, saturation, contrast, sharpness, posterize, solarize, autocontrast,
/// equalize), all equally likely, its sign too. Pixels that move are the nearest ones, as in torchvision.
///
/// # Errors
/// [`Error::Argument`] for a magnitude that is not below 31, no or more than 100 operations, an interpolation that is neither nearest nor
/// bilinear; [`Error::NeedsBytes`], [`Error::NeedsColours`].
///
/// # Reference
/// Cubuk et al. 2019, *RandAugment: Practical automated data augmentation with a reduced search space*, arXiv:1909.13719.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandAugment {
    ops: usize,
    magnitude: usize,
    lookup: Lookup,
}

/// How many magnitudes there are, from nothing to the strongest.
const BINS: usize = 31;

impl RandAugment {
    /// So many operations of this magnitude, 0 to 30; torchvision's defaults are 2 and 9.
    pub fn new(ops: usize, magnitude: usize) -> Self {
        RandAugment { ops, magnitude, lookup: Lookup { interpolation: Interpolation::Nearest, border: Border::default() } }
    }

    lookup_settings!();

    fn strengths(height: usize, width: usize) -> Strengths {
        let translate = |side: usize| 150.0 / 331.0 * side as f64;
        let (translate_x, translate_y) = (translate(width), translate(height));
        Strengths { shear: 0.3, translate_x, translate_y, degrees: 30.0, color: 0.9, bits: [8.0, 4.0] }
    }
}

impl Transform for RandAugment {
    fn check(&self) -> Result<()> {
        if self.ops == 0 || self.ops > 100 {
            return Err(Error::argument("RandAugment", "ops", self.ops, "from 1 to 100"));
        }
        if self.magnitude >= BINS {
            return Err(Error::argument("RandAugment", "magnitude", self.magnitude, "from 0 to 30"));
        }
        check_lookup("RandAugment", self.lookup.interpolation, &self.lookup.border)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        const NAME: &str = "RandAugment";
        self.check()?;
        check_kind(&image, NAME)?;
        let strengths = RandAugment::strengths(image.height, image.width);
        (0..self.ops).try_fold(image, |image, _| {
            let op = Op::ALL[rng.below(Op::ALL.len())];
            self.lookup.apply(image, op, strengths.magnitude(op, self.magnitude, BINS), rng, NAME)
        })
    }
}

/// One random operation of random strength: torchvision's `TrivialAugmentWide`.
///
/// The operations are those of [`RandAugment`], stronger; each of 31 magnitudes is equally likely. There is nothing to tune.
///
/// # Errors
/// [`Error::Argument`] for an interpolation that is neither nearest nor bilinear; [`Error::NeedsBytes`], [`Error::NeedsColours`].
///
/// # Reference
/// Müller & Hutter 2021, *TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation*, arXiv:2103.10158.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrivialAugmentWide {
    lookup: Lookup,
}

impl Default for TrivialAugmentWide {
    fn default() -> Self {
        TrivialAugmentWide::new()
    }
}

impl TrivialAugmentWide {
    /// The one there is.
    pub fn new() -> Self {
        TrivialAugmentWide { lookup: Lookup { interpolation: Interpolation::Nearest, border: Border::default() } }
    }

    lookup_settings!();

    const STRENGTHS: Strengths =
        Strengths { shear: 0.99, translate_x: 32.0, translate_y: 32.0, degrees: 135.0, color: 0.99, bits: [8.0, 6.0] };
}

impl Transform for TrivialAugmentWide {
    fn check(&self) -> Result<()> {
        check_lookup("TrivialAugmentWide", self.lookup.interpolation, &self.lookup.border)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        const NAME: &str = "TrivialAugmentWide";
        self.check()?;
        check_kind(&image, NAME)?;
        let op = Op::ALL[rng.below(Op::ALL.len())];
        let magnitude = Self::STRENGTHS.magnitude(op, rng.below(BINS), BINS);
        self.lookup.apply(image, op, magnitude, rng, NAME)
    }
}

/// A mixture of the image with several chains of operations of it: torchvision's `AugMix`.
///
/// ```text
/// y = m₀ x + m₁ Σᵢ wᵢ chainᵢ(x)      (m₀, m₁) and w Dirichlet distributed with α
/// ```
///
/// A chain is one to three operations of [`RandAugment`]'s (but not "nothing"), each with one of the `severity` weakest of ten magnitudes.
///
/// # Errors
/// [`Error::Argument`] for a severity beyond 1 to 10, no or more than 100 chains, an α that is not above 0 and finite, an interpolation that is
/// neither nearest nor bilinear; [`Error::NeedsBytes`], [`Error::NeedsColours`].
///
/// # Reference
/// Hendrycks et al. 2019, *AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty*, arXiv:1912.02781.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugMix {
    severity: usize,
    chains: usize,
    alpha: f64,
    lookup: Lookup,
}

impl Default for AugMix {
    fn default() -> Self {
        AugMix::new()
    }
}

impl AugMix {
    /// Severity 3, three chains, α = 1.
    pub fn new() -> Self {
        AugMix { severity: 3, chains: 3, alpha: 1.0, lookup: Lookup { interpolation: Interpolation::Bilinear, border: Border::default() } }
    }

    /// How strong operations may be, 1 to 10.
    pub fn severity(mut self, severity: usize) -> Self {
        self.severity = severity;
        self
    }

    /// How many chains are mixed.
    pub fn chains(mut self, chains: usize) -> Self {
        self.chains = chains;
        self
    }

    /// How even the weights are: 1 is uniform, more is more even.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    lookup_settings!();

    const BINS: usize = 10;

    fn strengths(height: usize, width: usize) -> Strengths {
        let (translate_x, translate_y) = (width as f64 / 3.0, height as f64 / 3.0);
        Strengths { shear: 0.3, translate_x, translate_y, degrees: 30.0, color: 0.9, bits: [4.0, 4.0] }
    }

    fn chain(&self, mut image: Image, strengths: &Strengths, rng: &mut Rng) -> Result<Image> {
        for _ in 0..1 + rng.below(3) {
            let op = Op::ALL[1 + rng.below(Op::ALL.len() - 1)];
            let magnitude = strengths.magnitude(op, rng.below(self.severity), Self::BINS);
            image = self.lookup.apply(image, op, magnitude, rng, "AugMix")?;
        }
        Ok(image)
    }
}

impl Transform for AugMix {
    fn check(&self) -> Result<()> {
        if self.severity == 0 || self.severity > Self::BINS {
            return Err(Error::argument("AugMix", "severity", self.severity, "from 1 to 10"));
        }
        if self.chains == 0 || self.chains > 100 {
            return Err(Error::argument("AugMix", "chains", self.chains, "from 1 to 100"));
        }
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            return Err(Error::argument("AugMix", "alpha", self.alpha, "a finite number above 0"));
        }
        check_lookup("AugMix", self.lookup.interpolation, &self.lookup.border)
    }

    fn apply(&self, mut image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        check_kind(&image, "AugMix")?;
        let strengths = AugMix::strengths(image.height, image.width);
        let own = dirichlet(self.alpha, 2, rng);
        let weights = dirichlet(self.alpha, self.chains, rng);
        let mut mixed: Vec<f32> = image.bytes().unwrap_or_default().iter().map(|&v| f32::from(v) * own[0] as f32).collect();
        for weight in weights {
            let chain = self.chain(image.clone(), &strengths, rng)?;
            let weight = (own[1] * weight) as f32;
            mixed.iter_mut().zip(chain.bytes().unwrap_or_default()).for_each(|(y, &v)| *y += weight * f32::from(v));
        }
        image.pixels = Pixels::U8(mixed.into_iter().map(u8::nearest).collect());
        Ok(image)
    }
}

/// Whether a policy can work on this image, whatever it draws.
fn check_kind(image: &Image, policy: &'static str) -> Result<()> {
    image.check_colours(policy)?;
    image.bytes().map(drop).ok_or(Error::NeedsBytes { op: policy })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn goldens() -> Value {
        serde_json::from_str(include_str!("../../tests/goldens/transforms.json")).unwrap()
    }

    fn image(entry: &Value) -> Image {
        let size: Vec<usize> = entry["size"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let hex = entry["values"].as_str().unwrap();
        let values = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        Image::from_bytes(size[0], size[1], size[2], values).unwrap()
    }

    fn op(name: &str) -> Op {
        Op::ALL.into_iter().find(|op| format!("{op:?}") == name).unwrap()
    }

    #[test]
    fn each_operation_is_torchvisions() {
        let goldens = goldens();
        let picture = image(&goldens["picture"]);
        for case in goldens["operations"].as_array().unwrap() {
            let (op, magnitude) = (op(case["op"].as_str().unwrap()), case["magnitude"].as_f64().unwrap());
            let ours = op.apply(picture.clone(), magnitude, Interpolation::Nearest, &Border::default(), "test").unwrap();
            let theirs = image(case);
            let far = ours.bytes().unwrap().iter().zip(theirs.bytes().unwrap()).filter(|(a, b)| a.abs_diff(**b) > 1).count();
            assert!(far * 200 <= ours.bytes().unwrap().len(), "{op:?} {magnitude}: {far} values differ"); // where a place decides between two pixels
        }
    }

    #[test]
    fn magnitudes_and_signs_are_torchvisions() {
        let goldens = goldens();
        let (height, width) = (18, 24);
        let policies = [
            ("RandAugment", RandAugment::strengths(height, width), 31),
            ("TrivialAugmentWide", TrivialAugmentWide::STRENGTHS, 31),
            ("AugMix", AugMix::strengths(height, width), 10),
        ];
        for (name, strengths, bins) in policies {
            let spaces = goldens["magnitudes"][name].as_object().unwrap();
            assert_eq!(spaces.len(), if name == "AugMix" { 13 } else { 14 });
            for (op_name, space) in spaces {
                let op = op(op_name);
                assert_eq!(space["signed"].as_bool().unwrap(), op.signed(), "{name} {op:?}");
                for (bin, theirs) in space["values"].as_array().unwrap().iter().enumerate() {
                    let (ours, theirs) = (strengths.magnitude(op, bin, bins), theirs.as_f64().unwrap());
                    assert!((ours - theirs).abs() < 1e-4, "{name} {op:?} {bin}: {ours} {theirs}"); // theirs are f32, up to 255
                }
            }
        }
    }

    fn picture() -> Image {
        image(&goldens()["picture"])
    }

    #[test]
    fn every_operation_is_drawn() {
        // the strongest magnitude tells the operations and their signs apart: nine with two signs and five with one
        let (mut rng, picture, augment) = (Rng::seed(1), picture(), RandAugment::new(1, 30));
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..3000 {
            *seen.entry(augment.apply(picture.clone(), &mut rng).unwrap().bytes().unwrap().to_vec()).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 23);
        assert!(seen.values().all(|n| (60..300).contains(n)), "{:?}", seen.values()); // 3000 / 28 = 107, or 3000 / 14 = 214
        let trivial: std::collections::BTreeSet<Vec<u8>> =
            (0..3000).map(|_| TrivialAugmentWide::new().apply(picture.clone(), &mut rng).unwrap().bytes().unwrap().to_vec()).collect();
        assert!(trivial.len() > 200, "{}", trivial.len());
    }

    #[test]
    fn a_mixture_stays_near_the_image_and_differs_each_time() {
        let (mut rng, picture) = (Rng::seed(1), picture());
        let mixed: Vec<Image> = (0..50).map(|_| AugMix::new().apply(picture.clone(), &mut rng).unwrap()).collect();
        assert!(mixed.windows(2).all(|pair| pair[0] != pair[1]));
        let grey = Image::from_bytes(4, 4, 1, vec![100; 16]).unwrap();
        let same = AugMix::new().severity(1).border(Border::Edge).apply(grey, &mut rng).unwrap();
        assert!(same.bytes().unwrap().iter().all(|v| (40..=160).contains(v)), "{:?}", same.bytes()); // posterize keeps 4 bits: 96
    }

    #[test]
    fn bad_settings_and_images_are_errors() {
        let bad: [&dyn Transform; 8] = [
            &RandAugment::new(0, 9),
            &RandAugment::new(2, 31),
            &RandAugment::new(2, 9).interpolation(Interpolation::Bicubic),
            &TrivialAugmentWide::new().border(f32::NAN),
            &AugMix::new().severity(0),
            &AugMix::new().severity(11),
            &AugMix::new().chains(0),
            &AugMix::new().alpha(f64::NAN),
        ];
        assert!(bad.iter().all(|t| t.check().is_err() && t.apply(picture(), &mut Rng::seed(0)).is_err()));
        for good in [&RandAugment::new(2, 9) as &dyn Transform, &TrivialAugmentWide::new(), &AugMix::new()] {
            let floats = Image::from_floats(1, 1, 1, vec![0.5]).unwrap();
            assert!(matches!(good.apply(floats, &mut Rng::seed(0)), Err(Error::NeedsBytes { .. })));
            assert!(matches!(
                good.apply(Image::from_bytes(1, 1, 2, vec![0; 2]).unwrap(), &mut Rng::seed(0)),
                Err(Error::NeedsColours { .. })
            ));
            assert!(good.apply(Image::from_bytes(1, 1, 1, vec![7]).unwrap(), &mut Rng::seed(0)).is_ok());
        }
    }
}
