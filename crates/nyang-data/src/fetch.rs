//! Reading one sample with every check, so that whatever is wrong arrives as an error that names the sample.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::dataset::no_class;
use crate::{Dataset, Error, Result, Sample, Source};

/// The sample at `index`, its label checked. Errors and panics name the sample.
pub(crate) fn read<D: Dataset + ?Sized>(dataset: &D, index: usize) -> Result<Sample> {
    let sample = guarded(|| dataset.source(index), || dataset.get(index))?;
    let classes = dataset.classes().len();
    if sample.label >= classes {
        return Err(no_class(sample.source, sample.label, classes));
    }
    Ok(sample)
}

/// The sample after `change`, whose errors and panics name it too.
pub(crate) fn changed(sample: Sample, change: impl FnOnce(Sample) -> Result<Sample>) -> Result<Sample> {
    let source = sample.source.clone();
    guarded(|| source, || change(sample))
}

/// What `work` gives; its error or panic gets the sample's name.
pub(crate) fn guarded<R>(source: impl FnOnce() -> Source, work: impl FnOnce() -> Result<R>) -> Result<R> {
    // Unwind safe: after a panic nothing that `work` was changing is used again but the dataset, which is shared and whose
    // own locks say so if they are poisoned.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.of(source())),
        Err(payload) => Err(Error::Panic { sample: source(), message: message(&*payload) }),
    }
}

/// The text of a panic.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
