//! What a classifier says of one image.

use std::fmt;
use std::sync::Arc;

/// What a classifier says of one image.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// The most probable class.
    pub class: usize,
    /// Its name.
    pub name: String,
    /// The probability of each class, as the model sees it.
    pub probabilities: Vec<f32>,
    names: Arc<[String]>,
}

impl Prediction {
    pub(super) fn new(class: usize, probabilities: Vec<f32>, names: Arc<[String]>) -> Self {
        Prediction { class, name: names.get(class).cloned().unwrap_or_default(), probabilities, names }
    }

    /// How probable the most probable class is.
    pub fn probability(&self) -> f32 {
        self.probabilities.get(self.class).copied().unwrap_or(f32::NAN)
    }

    /// The names and probabilities of the `k` most probable classes, the most probable first; of equals the earlier class.
    pub fn top(&self, k: usize) -> Vec<(&str, f32)> {
        let mut ranked: Vec<(&str, f32)> = self.names.iter().map(String::as_str).zip(self.probabilities.iter().copied()).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1)); // stable
        ranked.truncate(k);
        ranked
    }
}

impl fmt::Display for Prediction {
    /// The class's name and its probability.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:.1} %)", self.name, 100.0 * self.probability())
    }
}
