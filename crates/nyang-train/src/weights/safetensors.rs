//! Weights as a safetensors file, both ways.
//!
//! ```text
//! at    bytes
//! 0     8   n, the length of the header, u64, little-endian
//! 8     n   header: JSON, for each name its type, shape and place; and `__metadata__`
//! 8+n   …   the numbers, one tensor after another without gaps
//! ```

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use nyang_nn::StateValue;
use nyang_tensor::Element;
use safetensors::tensor::{Dtype, Metadata, View, serialize};

use super::number::Number;
use super::{Entries, Entry, WeightsProblem};
use crate::files::write_atomically;
use crate::{Error, Result};

/// The longest header. That of a thousand layers takes a hundredth of it.
const HEADER: u64 = 100_000_000;

/// Whether a file that begins so is one of these.
pub(super) fn recognises(first: &[u8]) -> bool {
    first.get(8) == Some(&b'{')
}

/// Reads the file from its beginning. One tensor after another is read, and none is believed to be longer than the file.
pub(super) fn read<T: Element>(path: &Path, file: &mut File, length: u64) -> Result<Entries<T>> {
    let failed = |reason| Error::file("read", path, reason);
    let wrong = |reason: String| Error::weights(path, WeightsProblem::Header { reason });
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(failed)?;
    let header = u64::from_le_bytes(size);
    if header > HEADER {
        return Err(wrong(format!("it says that it is {header} bytes long, and more than {HEADER} are not read")));
    }
    if header + 8 > length {
        return Err(Error::Truncated { path: path.to_path_buf(), expected: header + 8, actual: length });
    }
    let mut json = Vec::new();
    file.by_ref().take(header).read_to_end(&mut json).map_err(failed)?;
    let metadata: Metadata = serde_json::from_slice(&json).map_err(|e| wrong(e.to_string()))?;
    let expected = (metadata.data_len() as u64).checked_add(header + 8).ok_or_else(|| wrong("its tensors end beyond any file".into()))?;
    let path_buf = || path.to_path_buf();
    match expected.cmp(&length) {
        std::cmp::Ordering::Greater => return Err(Error::Truncated { path: path_buf(), expected, actual: length }),
        std::cmp::Ordering::Less => return Err(Error::Trailing { path: path_buf(), expected, actual: length }),
        std::cmp::Ordering::Equal => {}
    }
    let mut entries = Entries::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let mut bytes = vec![0; info.data_offsets.1 - info.data_offsets.0]; // within the file, as was just seen
        file.read_exact(&mut bytes).map_err(failed)?;
        let number = number(info.dtype);
        let value = number.value(&info.shape, &bytes);
        entries.insert(name, Entry { number, value });
    }
    Ok(entries)
}

fn number(dtype: Dtype) -> Number {
    match dtype {
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::Bf16,
        Dtype::F32 => Number::F32,
        Dtype::F64 => Number::F64,
        Dtype::I64 => Number::I64,
        Dtype::BOOL => Number::Other("bool"),
        Dtype::U8 => Number::Other("u8"),
        Dtype::I8 => Number::Other("i8"),
        Dtype::I16 => Number::Other("i16"),
        Dtype::U16 => Number::Other("u16"),
        Dtype::I32 => Number::Other("i32"),
        Dtype::U32 => Number::Other("u32"),
        Dtype::U64 => Number::Other("u64"),
        Dtype::C64 => Number::Other("complex"),
        _ => Number::Other("a type of at most 8 bits"),
    }
}

/// Writes the entries that have values, whole or not at all, with the note that Hugging Face's readers ask for.
pub(super) fn write<T: Element>(path: &Path, entries: &Entries<T>) -> Result<()> {
    let views = entries.iter().filter_map(|(name, entry)| Some((name, Bytes::of(entry.value.as_ref().ok()?))));
    let notes = HashMap::from([("format".to_owned(), "pt".to_owned())]); // one note: more would come out in a random order
    let bytes = serialize(views, Some(notes)).map_err(|e| Error::Encode { path: path.to_path_buf(), reason: e.to_string() })?;
    write_atomically(path, |file| file.write_all(&bytes))
}

/// A value as the file will hold it.
struct Bytes {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Bytes {
    fn of<T: Element>(value: &StateValue<T>) -> Self {
        match value {
            StateValue::Tensor(t) => {
                let mut data = Vec::with_capacity(t.len() * size_of::<T>());
                t.to_vec().iter().for_each(|v| v.extend_le_bytes(&mut data));
                Bytes { dtype: if T::NAME == "f64" { Dtype::F64 } else { Dtype::F32 }, shape: t.dims().to_vec(), data }
            }
            StateValue::Count(n) => Self::count(*n),
            _ => Self::count(0), // StateValue may grow; both kinds that exist are above
        }
    }

    fn count(n: u64) -> Self {
        Bytes { dtype: Dtype::I64, shape: vec![], data: i64::try_from(n).unwrap_or(i64::MAX).to_le_bytes().to_vec() }
    }
}

impl View for Bytes {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }
    fn data_len(&self) -> usize {
        self.data.len()
    }
}
