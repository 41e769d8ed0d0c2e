//! Pictures of the data: a batch as training sees it, and what augmentation makes of an image.

use nyang_data::{Loader, Resize, Transform, captioned_grid};
use nyang_tensor::Rng;

use crate::Result;
use crate::insight::Picture;

/// The most images of a batch that are shown, and their longest side: a grid of them is at most 1 MB.
const IMAGES: usize = 36;
const SIDE: usize = 96;

/// The first batch of the first epoch as a grid of pictures with the names of their classes, standardisation undone. `None` if there is no
/// batch.
pub(crate) fn batch_grid(loader: &Loader) -> Result<Option<Picture>> {
    let Some(batch) = loader.epoch(1).next() else { return Ok(None) };
    let batch = batch?;
    let classes = batch.targets.classes()?; // of mixed images, the class with the larger part
    let tile = |(i, class): (usize, &usize)| {
        let picture = Picture::of_standardised(&batch.images.select(0, i)?, loader.normalization())?;
        Ok((readable(&picture, SIDE)?.to_image()?, loader.classes().get(*class).cloned().unwrap_or_default()))
    };
    let tiles = classes.iter().enumerate().take(IMAGES).map(tile).collect::<Result<Vec<_>>>()?;
    if tiles.is_empty() { Ok(None) } else { Picture::of_image(&captioned_grid(&tiles)?).map(Some) }
}

/// Some images of the training data, a row each: the image itself, and what this many epochs see of it.
pub(super) fn augmentation_preview(loader: &Loader, images: usize, epochs: usize, side: usize) -> Result<Option<Picture>> {
    let (mut pictures, n) = (Vec::new(), loader.dataset().len());
    let images = images.min(n);
    for index in (0..images).map(|row| row * n / images) {
        // spread over the data: its first images are often all of one class
        pictures.push(readable(&Picture::of_image(&loader.dataset().get(index)?.image)?, side)?);
        for epoch in 1..=epochs {
            pictures.push(readable(&Picture::of_image(&loader.view(epoch as u64, index)?.image)?, side)?);
        }
    }
    if pictures.is_empty() { Ok(None) } else { Picture::grid(&pictures, epochs + 1).map(Some) }
}

/// Neither too large for the page nor too small to be seen.
pub(super) fn readable(picture: &Picture, side: usize) -> Result<Picture> {
    let longest = picture.height().max(picture.width());
    if longest <= side {
        return Ok(picture.enlarged((side / 2).div_ceil(longest)));
    }
    let [height, width] = [picture.height(), picture.width()].map(|n| (n * side / longest).max(1));
    Picture::of_image(&Resize::exact(height, width).apply(picture.to_image()?, &mut Rng::seed(0))?)
}
