//! Arrays by name, in memory and as a safetensors file, which is what Python is asked with and answers with.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::question::Anything;

/// Numbers, and how they are arranged.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub values: Values,
}

/// Real numbers, or whole ones: class indices and counters.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    Real(Vec<f64>),
    Whole(Vec<i64>),
}

impl Array {
    /// Real numbers of this shape.
    pub fn real(shape: &[usize], values: Vec<f64>) -> Self {
        Array { shape: shape.to_vec(), values: Values::Real(values) }
    }

    /// Whole numbers of this shape.
    pub fn whole(shape: &[usize], values: Vec<i64>) -> Self {
        Array { shape: shape.to_vec(), values: Values::Whole(values) }
    }

    /// All values as real numbers.
    pub fn reals(&self) -> Vec<f64> {
        match &self.values {
            Values::Real(values) => values.clone(),
            Values::Whole(values) => values.iter().map(|v| *v as f64).collect(),
        }
    }
}

/// Arrays by name, in order.
pub type Arrays = BTreeMap<String, Array>;

/// Writes a file.
pub fn write(path: &Path, arrays: &Arrays, notes: HashMap<String, String>) -> Result<(), Anything> {
    let encoded = |array: &Array| match &array.values {
        Values::Real(values) => (Dtype::F64, values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()),
        Values::Whole(values) => (Dtype::I64, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
    };
    let encoded: Vec<(Dtype, Vec<u8>)> = arrays.values().map(encoded).collect();
    let views = arrays.iter().zip(&encoded).map(|((name, array), (dtype, bytes))| {
        Ok((name, TensorView::new(*dtype, array.shape.clone(), bytes)?)) // a view only, so the bytes have to live till the end
    });
    let views = views.collect::<Result<Vec<_>, Anything>>()?;
    Ok(std::fs::write(path, safetensors::serialize(views, Some(notes))?)?)
}

/// Reads a file that [`write()`] or Python wrote, and its notes.
pub fn read(path: &Path) -> Result<(Arrays, HashMap<String, String>), Anything> {
    let bytes = std::fs::read(path)?;
    let notes = SafeTensors::read_metadata(&bytes)?.1.metadata().clone().unwrap_or_default();
    let mut arrays = Arrays::new();
    for (name, view) in SafeTensors::deserialize(&bytes)?.iter() {
        let words = view.data().chunks_exact(8).map(|w| <[u8; 8]>::try_from(w).unwrap_or_default());
        let values = match view.dtype() {
            Dtype::F64 => Values::Real(words.map(f64::from_le_bytes).collect()),
            Dtype::I64 => Values::Whole(words.map(i64::from_le_bytes).collect()),
            other => return Err(format!("{name} is of type {other:?}; only f64 and i64 are expected here").into()),
        };
        arrays.insert(name.to_owned(), Array { shape: view.shape().to_vec(), values });
    }
    Ok((arrays, notes))
}
