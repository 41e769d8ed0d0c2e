//! Transforms made of transforms: sometimes, one of several, some of them, in any order.

use std::ops::RangeInclusive;

use nyang_tensor::Rng;
use serde::{Deserialize, Serialize};

use super::range::{check_probability, happens};
use crate::{Error, Image, Result, Transform, Transforms};

/// All of its transforms with probability p, else none: torchvision's `RandomApply`.
///
/// # Errors
/// [`Error::Argument`] for a p that is no probability; whatever the transforms give.
///
/// ```
/// use nyang_data::{GaussianBlur, RandomApply, transforms};
///
/// let now_and_then = transforms![RandomApply::new(0.1, transforms![GaussianBlur::new(5)])];
/// # let _ = now_and_then;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomApply {
    p: f64,
    transforms: Transforms,
}

impl RandomApply {
    /// These transforms with probability `p`.
    pub fn new(p: f64, transforms: Transforms) -> Self {
        RandomApply { p, transforms }
    }
}

impl Transform for RandomApply {
    fn check(&self) -> Result<()> {
        check_probability("RandomApply", self.p)?;
        self.transforms.check()
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        if happens(self.p, rng) { self.transforms.apply(image, rng) } else { Ok(image) }
    }
}

/// One of its transforms: albumentations' `OneOf`, torchvision's `RandomChoice`.
///
/// # Errors
/// [`Error::Argument`] for no transforms, another number of weights, weights that are negative, not finite or all 0; whatever the
/// transforms give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneOf {
    transforms: Transforms,
    weights: Option<Vec<f64>>,
}

impl OneOf {
    /// One of these, all equally likely.
    pub fn new(transforms: Transforms) -> Self {
        OneOf { transforms, weights: None }
    }

    /// How likely each is, in proportion.
    pub fn weights(mut self, weights: impl Into<Vec<f64>>) -> Self {
        self.weights = Some(weights.into());
        self
    }

    fn draw(&self, rng: &mut Rng) -> usize {
        let Some(weights) = &self.weights else { return rng.below(self.transforms.steps.len()) };
        let mut left = rng.uniform() * weights.iter().sum::<f64>();
        let reached = |weight: &f64| {
            left -= weight;
            left < 0.0
        };
        weights.iter().position(reached).or_else(|| weights.iter().rposition(|w| *w > 0.0)).unwrap_or(0)
    }
}

impl Transform for OneOf {
    fn check(&self) -> Result<()> {
        check_some("OneOf", &self.transforms)?;
        if let Some(weights) = &self.weights {
            let sum: f64 = weights.iter().sum();
            if weights.len() != self.transforms.steps.len() || weights.iter().any(|w| *w < 0.0) || !(sum > 0.0 && sum.is_finite()) {
                let why = "one number of at least 0 for each transform, and not all 0";
                return Err(Error::argument("OneOf", "weights", format!("{weights:?}"), why));
            }
        }
        Ok(())
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let which = self.draw(rng);
        self.transforms.steps.get(which).map_or(Ok(image.clone()), |step| step.apply(image, rng))
    }
}

/// Some of its transforms, each at most once, in their order: albumentations' `SomeOf`.
///
/// How many is a number of the range, and which a choice, all equally likely.
///
/// # Errors
/// [`Error::Argument`] for no transforms, or a number above how many there are; whatever the transforms give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SomeOf {
    count: [usize; 2],
    transforms: Transforms,
}

impl SomeOf {
    /// So many of these.
    pub fn new(count: RangeInclusive<usize>, transforms: Transforms) -> Self {
        let (low, high) = count.into_inner();
        SomeOf { count: [low, high], transforms }
    }
}

impl Transform for SomeOf {
    fn check(&self) -> Result<()> {
        let [low, high] = self.count;
        if low > high || high > self.transforms.steps.len() {
            let why = "at most as many as there are transforms, the smaller first";
            return Err(Error::argument("SomeOf", "count", format!("{low}..={high}"), why));
        }
        check_some("SomeOf", &self.transforms)
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let [low, high] = self.count;
        let mut chosen = rng.permutation(self.transforms.steps.len());
        chosen.truncate(low + rng.below(high - low + 1));
        let steps = self.transforms.steps.iter().enumerate().filter(|(i, _)| chosen.contains(i));
        steps.map(|(_, step)| step).try_fold(image, |image, step| step.apply(image, rng))
    }
}

/// All of its transforms in random order: torchvision's `RandomOrder`.
///
/// # Errors
/// Whatever the transforms give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomOrder {
    transforms: Transforms,
}

impl RandomOrder {
    /// These in any order, each equally likely.
    pub fn new(transforms: Transforms) -> Self {
        RandomOrder { transforms }
    }
}

impl Transform for RandomOrder {
    fn check(&self) -> Result<()> {
        self.transforms.check()
    }

    fn apply(&self, image: Image, rng: &mut Rng) -> Result<Image> {
        self.check()?;
        let order = rng.permutation(self.transforms.steps.len());
        order.into_iter().filter_map(|i| self.transforms.steps.get(i)).try_fold(image, |image, step| step.apply(image, rng))
    }
}

/// Whether there is anything to choose from, and it makes sense.
fn check_some(op: &'static str, transforms: &Transforms) -> Result<()> {
    if transforms.is_empty() {
        return Err(Error::argument(op, "transforms", "[]", "there is nothing to choose from"));
    }
    transforms.check()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Custom, HorizontalFlip, Step, transforms};
    use std::collections::BTreeMap;

    /// x → 10 x + digit, so that a value tells which were applied in which order.
    fn digit(digit: u8) -> Step {
        let append = move |image: Image, _: &mut Rng| {
            let bytes = image.bytes().unwrap().iter().map(|v| v * 10 + digit).collect();
            Image::from_bytes(image.height(), image.width(), image.channels(), bytes)
        };
        Custom::new("digit", append).into()
    }

    fn seen(transform: &dyn Transform, times: usize) -> BTreeMap<u8, usize> {
        let (mut rng, mut seen) = (Rng::seed(1), BTreeMap::new());
        for _ in 0..times {
            let image = transform.apply(Image::from_bytes(1, 1, 1, vec![0]).unwrap(), &mut rng).unwrap();
            *seen.entry(image.bytes().unwrap()[0]).or_insert(0) += 1;
        }
        seen
    }

    #[test]
    fn everything_comes_as_often_as_it_should() {
        let two = || transforms![digit(1), digit(2)];
        let about = |seen: BTreeMap<u8, usize>, expected: &[(u8, usize)]| {
            assert_eq!(seen.keys().copied().collect::<Vec<_>>(), expected.iter().map(|e| e.0).collect::<Vec<_>>());
            for ((_, n), (value, expected)) in seen.iter().zip(expected) {
                assert!(n.abs_diff(*expected) < 170, "{value}: {n}, expected {expected}"); // 4 to 5 σ of 6000
            }
        };
        about(seen(&RandomApply::new(0.25, two()), 6000), &[(0, 4500), (12, 1500)]);
        about(seen(&OneOf::new(two()), 6000), &[(1, 3000), (2, 3000)]);
        about(seen(&OneOf::new(two()).weights([1.0, 3.0]), 6000), &[(1, 1500), (2, 4500)]);
        about(seen(&OneOf::new(two()).weights([0.0, 3.0]), 6000), &[(2, 6000)]);
        about(seen(&SomeOf::new(0..=2, two()), 6000), &[(0, 2000), (1, 1000), (2, 1000), (12, 2000)]);
        about(seen(&SomeOf::new(1..=1, transforms![digit(1), digit(2), digit(3)]), 6000), &[(1, 2000), (2, 2000), (3, 2000)]);
        about(seen(&RandomOrder::new(two()), 6000), &[(12, 3000), (21, 3000)]);
    }

    #[test]
    fn they_are_saved_with_what_is_in_them_and_their_checks_reach_inside() {
        let inner = || transforms![HorizontalFlip::new(0.5)];
        let all = transforms![
            OneOf::new(inner()).weights([2.0]),
            SomeOf::new(1..=1, inner()),
            RandomOrder::new(transforms![RandomApply::new(0.3, inner())]),
        ];
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Transforms>(&text).unwrap(), all);
        assert!(all.check().is_ok());
        let wrong = serde_json::from_str::<Transforms>(&text.replace(r#""p":0.5"#, r#""p":5.0"#)).unwrap();
        assert!(wrong.steps.iter().all(|step| step.check().is_err()));
    }

    #[test]
    fn bad_settings_are_errors() {
        let one = || transforms![HorizontalFlip::new(0.5)];
        let bad: [&dyn Transform; 8] = [
            &RandomApply::new(1.1, one()),
            &OneOf::new(transforms![]),
            &OneOf::new(one()).weights([1.0, 2.0]),
            &OneOf::new(one()).weights([0.0]),
            &OneOf::new(one()).weights([f64::NAN]),
            &SomeOf::new(0..=2, one()),
            &SomeOf { count: [1, 0], transforms: one() },
            &SomeOf::new(0..=0, transforms![]),
        ];
        for transform in bad {
            let image = Image::from_bytes(1, 1, 1, vec![0]).unwrap();
            assert!(transform.check().is_err() && transform.apply(image, &mut Rng::seed(0)).is_err());
        }
    }
}
