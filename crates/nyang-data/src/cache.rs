//! Decoded images that are kept, so that the next epoch need not decode them again: in memory or in a file, up to a number of bytes.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, remove_file};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use crate::{Error, Image, Pixels, Result, Transforms};

/// Room for decoded images of one loader: see [`Loader::cache`](crate::Loader::cache).
///
/// The first images that come are kept until the room is full; the others are decoded each time. (An epoch takes every image once, so
/// that throwing out the least recently used would throw out each just before it is wanted again.) Images of bytes are kept, as the
/// transforms that are always the same leave them ([`Resize`](crate::Resize), [`CenterCrop`](crate::CenterCrop), [`Pad`](crate::Pad) at the
/// beginning); images of floats are not.
#[derive(Debug)]
pub struct Cache {
    limit: u64,
    file: Option<CacheFile>,
    prepared: OnceLock<Transforms>,
    kept: RwLock<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    images: HashMap<usize, Entry>,
    bytes: u64,
}

/// An image and its label.
#[derive(Clone, Debug)]
struct Entry {
    size: [usize; 3],
    label: usize,
    values: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<[u8]>),
    File { at: u64 },
}

impl Cache {
    /// Room for so many bytes in memory: an image takes height × width × channels.
    pub fn memory(bytes: u64) -> Self {
        Cache { limit: bytes, file: None, prepared: OnceLock::new(), kept: RwLock::default() }
    }

    /// Room for so many bytes in a file in this folder. It is gone when the loader is.
    ///
    /// # Errors
    /// [`Error::Write`] if no file can be made there.
    pub fn disk(folder: impl AsRef<Path>, bytes: u64) -> Result<Self> {
        Ok(Cache { file: Some(CacheFile::create(folder.as_ref())?), ..Cache::memory(bytes) })
    }

    /// How many bytes of images are kept.
    pub fn bytes(&self) -> u64 {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// Whether images that these transforms were applied to are kept here: those of the first who asked.
    pub(crate) fn holds(&self, prepared: &Transforms) -> bool {
        self.prepared.get_or_init(|| prepared.clone()) == prepared
    }

    /// The image of this number and its label, if it is kept.
    pub(crate) fn get(&self, index: usize) -> Result<Option<(Image, usize)>> {
        let entry = self.kept.read().unwrap_or_else(PoisonError::into_inner).images.get(&index).cloned();
        let Some(Entry { size: [height, width, channels], label, values }) = entry else { return Ok(None) };
        let values = match (values, &self.file) {
            (Place::Memory(values), _) => values.to_vec(),
            (Place::File { at }, Some(file)) => file.read(at, height * width * channels)?,
            (Place::File { .. }, None) => return Ok(None),
        };
        Ok(Some((Image { height, width, channels, pixels: Pixels::U8(values) }, label)))
    }

    /// Keeps an image if it is of bytes and there is room.
    pub(crate) fn keep(&self, index: usize, image: &Image, label: usize) -> Result<()> {
        let Pixels::U8(values) = &image.pixels else { return Ok(()) };
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = kept.bytes.saturating_add(values.len() as u64);
        if bytes > self.limit || kept.images.contains_key(&index) {
            return Ok(());
        }
        let place = match &self.file {
            None => Place::Memory(values.as_slice().into()),
            Some(file) => Place::File { at: file.write(kept.bytes, values)? },
        };
        kept.bytes = bytes;
        kept.images.insert(index, Entry { size: [image.height, image.width, image.channels], label, values: place });
        Ok(())
    }
}

/// A file of images one after the other. Dropping it removes it.
#[derive(Debug)]
struct CacheFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl CacheFile {
    fn create(folder: &Path) -> Result<Self> {
        const NAMES: u32 = 10_000;
        let failed = |path: &Path, cause| Error::Write { path: path.to_path_buf(), cause };
        for number in 0..NAMES {
            let path = folder.join(format!("nyang-cache-{number}.images"));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(CacheFile { path, file: Mutex::new(file) }),
                Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => {} // another loader's
                Err(cause) => return Err(failed(&path, cause)),
            }
        }
        Err(failed(folder, std::io::Error::other("there are 10,000 nyang-cache files already; remove those of programs that have ended")))
    }

    fn write(&self, at: u64, values: &[u8]) -> Result<u64> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(values));
        written.map(|()| at).map_err(|cause| Error::Write { path: self.path.clone(), cause })
    }

    fn read(&self, at: u64, bytes: usize) -> Result<Vec<u8>> {
        let mut values = vec![0; bytes];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut values));
        read.map(|()| values).map_err(|cause| Error::File { path: self.path.clone(), cause })
    }
}

impl Drop for CacheFile {
    fn drop(&mut self) {
        let _ = remove_file(&self.path); // if it is gone, so much the better
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Dataset, HorizontalFlip, Loader, Resize, Sample, Source, transforms};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Twenty images of 4 × 4 bytes, and how often one was read.
    struct Counting(Vec<String>, Arc<AtomicUsize>);

    impl Dataset for Counting {
        fn len(&self) -> usize {
            20
        }
        fn classes(&self) -> &[String] {
            &self.0
        }
        fn source(&self, index: usize) -> Source {
            Source::item("counted", index)
        }
        fn get(&self, index: usize) -> Result<Sample> {
            self.1.fetch_add(1, Ordering::SeqCst);
            let image = Image::from_bytes(4, 4, 1, (0..16).map(|i| (index * 12 + i) as u8).collect())?;
            Ok(Sample { image, label: index % 2, source: self.source(index) })
        }
    }

    fn batches(loader: &Loader, epoch: u64) -> Vec<Batch> {
        loader.epoch(epoch).map(Result::unwrap).collect()
    }

    #[test]
    fn batches_are_the_same_with_a_cache_and_each_image_is_read_once_as_far_as_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let pipeline = || transforms![Resize::exact(2, 2), HorizontalFlip::new(0.5)];
        let plain = Loader::new(Counting(vec!["a".into(), "b".into()], Arc::default())).shuffle(5).transform(pipeline()).batch_size(3);
        let caches = [
            (Cache::memory(1 << 20), 20),
            (Cache::memory(10 * 4), 40), // room for ten of the resized images
            (Cache::memory(0), 60),
            (Cache::disk(folder.path(), 1 << 20).unwrap(), 20),
        ];
        for (cache, reads) in caches {
            for workers in [0, 2] {
                let read = Arc::new(AtomicUsize::new(0));
                let set = Counting(vec!["a".into(), "b".into()], read.clone());
                let cache = match (&cache.file, workers) {
                    (Some(_), _) => Cache::disk(folder.path(), cache.limit).unwrap(),
                    (None, _) => Cache::memory(cache.limit),
                };
                let kept = Loader::new(set).shuffle(5).transform(pipeline()).batch_size(3).workers(workers).cache(cache);
                for epoch in 0..3 {
                    assert_eq!(batches(&kept, epoch), batches(&plain, epoch));
                }
                assert_eq!(read.load(Ordering::SeqCst), reads);
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0); // they went with their loaders
    }

    #[test]
    fn other_transforms_do_not_get_the_images_of_these() {
        let set = || Counting(vec!["a".into(), "b".into()], Arc::default());
        let cached = Loader::new(set()).transform(transforms![Resize::exact(2, 2)]).cache(Cache::memory(1 << 20));
        let _ = batches(&cached, 0);
        let other = cached.transform(transforms![Resize::exact(3, 3)]);
        assert_eq!(batches(&other, 0), batches(&Loader::new(set()).transform(transforms![Resize::exact(3, 3)]), 0));
    }

    #[test]
    fn a_file_that_cannot_be_made_is_an_error_at_once() {
        let error = Cache::disk("no/such/folder", 1).unwrap_err().to_string();
        assert!(error.contains("nyang-cache-0.images: cannot be written"), "{error}");
    }
}
