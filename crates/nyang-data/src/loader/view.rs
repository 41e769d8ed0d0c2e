//! The way of one sample: read or found in the cache, transformed, and of one batch: mixed.

use nyang_tensor::{Rng, Targets};

use super::Loader;
use crate::fetch::{changed, read};
use crate::sampler::repeats;
use crate::{Batch, Result, Sample, Transform, Transforms};

/// What random numbers are for, in their key beside seed and epoch.
const TRANSFORM: u64 = u64::from_le_bytes(*b"augment\0");
const MIX: u64 = u64::from_le_bytes(*b"mix\0\0\0\0\0");

impl Loader {
    /// The sample at `index` as this epoch sees it, before it is standardised.
    ///
    /// # Errors
    /// [`Error::Index`](crate::Error::Index), and whatever reading and transforming it gives, with its name.
    pub fn view(&self, epoch: u64, index: usize) -> Result<Sample> {
        let (sample, done) = self.read(index)?;
        changed(sample, |sample| self.transformed(epoch, index, 0, (sample, done)))
    }

    /// The transforms at the beginning that are always the same.
    fn fixed(&self) -> Transforms {
        self.transforms.steps.iter().take_while(|step| step.is_fixed()).cloned().collect()
    }

    /// The sample at `index` as it is read, and how many transforms have been applied to it.
    pub(crate) fn read(&self, index: usize) -> Result<(Sample, usize)> {
        if let Some(cache) = &self.cache {
            let fixed = self.fixed();
            if cache.holds(&fixed)
                && let Some((image, label)) = cache.get(index)?
            {
                return Ok((Sample { image, label, source: self.dataset.source(index) }, fixed.steps.len()));
            }
        }
        Ok((read(self.dataset(), index)?, 0))
    }

    /// A sample that [`Loader::read`] gave, after the transforms that are always the same.
    fn prepared(&self, index: usize, (sample, done): (Sample, usize)) -> Result<(Sample, usize)> {
        let Some(cache) = self.cache.as_ref().filter(|_| done == 0) else { return Ok((sample, done)) };
        let fixed = self.fixed();
        let image = fixed.apply(sample.image, &mut Rng::seed(0))?; // draws nothing
        if cache.holds(&fixed) {
            cache.keep(index, &image, sample.label)?;
        }
        Ok((Sample { image, ..sample }, fixed.steps.len()))
    }

    /// A sample that [`Loader::read`] gave, as this epoch sees it; it has come `repeat` times before in this epoch.
    pub(crate) fn transformed(&self, epoch: u64, index: usize, repeat: u32, read: (Sample, usize)) -> Result<Sample> {
        let (mut sample, done) = self.prepared(index, read)?;
        let rest = self.transforms.steps.get(done..).unwrap_or_default();
        if !rest.is_empty() {
            let mut rng = Rng::keyed([self.seed, TRANSFORM.wrapping_add(u64::from(repeat)), epoch, index as u64]);
            sample.image = rest.iter().try_fold(sample.image, |image, step| step.apply(image, &mut rng))?;
        }
        Ok(sample)
    }

    /// How often each sample of an order has come before, if one can come twice.
    pub(crate) fn repeats(&self, order: &[usize]) -> Result<Vec<u32>> {
        if self.sampler.repeats() { repeats(order, self.dataset.len()) } else { Ok(Vec::new()) }
    }

    /// The batch at this position of the epoch, mixed if that was asked for.
    pub(crate) fn mixed(&self, epoch: u64, position: usize, batch: Batch) -> Result<Batch> {
        let mut rng = Rng::keyed([self.seed, MIX, epoch, position as u64]);
        match self.mix {
            Some(mix) => mix.apply(batch, self.classes().len(), &mut rng),
            None if self.one_hot => {
                let targets = Targets::Soft(Targets::one_hot(&batch.targets.classes()?, self.classes().len())?);
                Ok(Batch { targets, ..batch })
            }
            None => Ok(batch),
        }
    }
}
