//! The same picture in two parts: what is tested was learned.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;

use nyang_tensor::parallel::map_ranges;

use crate::fetch::read;
use crate::{Dataset, Image, Part, Parts, Pixels, Result, Source};

/// An image that is in two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The first part, and the first sample with this image in it.
    pub first: (Part, Source),
    /// A later part, and a sample with the very same pixels.
    pub again: (Part, Source),
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) is also {} ({})", self.first.1, self.first.0, self.again.1, self.again.0)
    }
}

impl<D: Dataset> Parts<D> {
    /// The images of later parts whose very pixels are in an earlier part too, in the order of the parts. Reads every image once, in parallel.
    ///
    /// Images that are alike but not equal, such as another size or compression, are not found.
    ///
    /// # Errors
    /// Whatever reading a sample gives.
    pub fn duplicates(&self) -> Result<Vec<Duplicate>> {
        let mut seen: HashMap<[u64; 2], (Part, Source)> = HashMap::new();
        let mut found = Vec::new();
        for part in Part::ALL {
            for (print, source) in fingerprints(self.part(part))? {
                let first = seen.entry(print).or_insert_with(|| (part, source.clone()));
                if first.0 != part {
                    found.push(Duplicate { first: first.clone(), again: (part, source) });
                }
            }
        }
        Ok(found)
    }
}

/// What each image hashes to, and where it is from.
fn fingerprints(dataset: &impl Dataset) -> Result<Vec<([u64; 2], Source)>> {
    const IMAGES: usize = 16; // a piece of work
    let one = |index| read(dataset, index).map(|sample| (fingerprint(&sample.image), sample.source));
    let piece = |range: Range<usize>| range.map(one).collect::<Result<Vec<_>>>();
    Ok(map_ranges(dataset.len(), IMAGES, piece).into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// 128 bits of an image's size and values: that two different images share them does not happen by chance.
pub(crate) fn fingerprint(image: &Image) -> [u64; 2] {
    [1, 2].map(|salt: usize| {
        let mut hasher = DefaultHasher::new();
        [salt, image.height, image.width, image.channels].into_iter().for_each(|n| hasher.write_usize(n));
        match &image.pixels {
            Pixels::U8(values) => hasher.write(values),
            Pixels::F32(values) => values.iter().for_each(|v| hasher.write_u32(v.to_bits())),
        }
        hasher.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InMemory, Subset};
    use std::sync::Arc;

    #[test]
    fn images_that_are_in_two_parts_are_found() {
        let images = [[1, 2], [3, 4], [1, 2], [2, 1], [3, 4], [1, 2], [7, 7], [7, 7]].concat();
        let set = Arc::new(InMemory::from_bytes([8, 1, 2, 1], images, vec![0; 8], ["a"]).unwrap());
        let part = |indices: &[usize]| Subset::trusted(set.clone(), indices.to_vec(), vec![0; indices.len()]);
        let parts = Parts { train: part(&[0, 1, 6, 7]), valid: part(&[2, 3]), test: part(&[4, 5]), plan: Default::default() };
        let found: Vec<String> = parts.duplicates().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "sample #0 (train) is also sample #2 (valid)",
                "sample #1 (train) is also sample #4 (test)",
                "sample #0 (train) is also sample #5 (test)",
            ]
        );
    }

    #[test]
    fn the_size_counts_too() {
        let image = |h, w| fingerprint(&Image::from_bytes(h, w, 1, vec![0; 6]).unwrap());
        assert_ne!(image(2, 3), image(3, 2));
        assert_eq!(image(1, 6), image(1, 6));
    }
}
