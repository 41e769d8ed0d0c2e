//! A module described: its kind, configuration and children. Files hold it, and a registry builds the module anew from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The description of a module: a tree.
///
/// Saving, rebuilding and printing a model all read this one tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The kind of module: `"Conv2d"`.
    pub kind: String,
    /// Its configuration, by field name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Value>,
    /// Its children by name, in their order. Their names are those in paths: of parameters, of errors, of what an observer sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<(String, Spec)>,
}

/// A value in a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A name.
    Text(String),
    /// Several values.
    List(Vec<Value>),
}

impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Value::Bool(v)
    }
}
impl From<usize> for Value {
    fn from(v: usize) -> Self {
        Value::Int(i64::try_from(v).unwrap_or(i64::MAX))
    }
}
impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Value::Float(v)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Value::Text(v.to_owned())
    }
}
impl From<&[usize]> for Value {
    fn from(v: &[usize]) -> Self {
        Value::List(v.iter().map(|&v| v.into()).collect())
    }
}
impl<V: Into<Value> + Copy, const N: usize> From<[V; N]> for Value {
    fn from(v: [V; N]) -> Self {
        Value::List(v.into_iter().map(Into::into).collect())
    }
}

impl Spec {
    /// A description with neither configuration nor children.
    pub fn new(kind: impl Into<String>) -> Self {
        Spec { kind: kind.into(), config: BTreeMap::new(), children: Vec::new() }
    }

    /// Adds a field of the configuration.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.config.insert(field.to_owned(), value.into());
        self
    }

    /// Adds a child.
    pub fn child(mut self, name: &str, spec: Spec) -> Self {
        self.children.push((name.to_owned(), spec));
        self
    }

    fn wrong(&self, field: &str, expected: &str) -> Error {
        let got = self.config.get(field).map_or("nothing".to_owned(), |v| format!("{v:?}"));
        Error::Spec { kind: self.kind.clone(), what: format!("`{field}` must be {expected}, got {got}") }
    }

    /// A field that is a count or a size.
    ///
    /// # Errors
    /// [`Error::Spec`] if it is missing or something else, here and below.
    pub fn usize(&self, field: &str) -> Result<usize> {
        match self.config.get(field) {
            Some(Value::Int(v)) => usize::try_from(*v).map_err(|_| self.wrong(field, "a whole number ≥ 0")),
            _ => Err(self.wrong(field, "a whole number ≥ 0")),
        }
    }

    /// A field that is a number.
    ///
    /// # Errors
    /// [`Error::Spec`].
    pub fn f64(&self, field: &str) -> Result<f64> {
        match self.config.get(field) {
            Some(Value::Float(v)) => Ok(*v),
            Some(Value::Int(v)) => Ok(*v as f64),
            _ => Err(self.wrong(field, "a number")),
        }
    }

    /// A field that is yes or no.
    ///
    /// # Errors
    /// [`Error::Spec`].
    pub fn bool(&self, field: &str) -> Result<bool> {
        match self.config.get(field) {
            Some(Value::Bool(v)) => Ok(*v),
            _ => Err(self.wrong(field, "true or false")),
        }
    }

    /// A field that is a name.
    ///
    /// # Errors
    /// [`Error::Spec`].
    pub fn text(&self, field: &str) -> Result<&str> {
        match self.config.get(field) {
            Some(Value::Text(v)) => Ok(v),
            _ => Err(self.wrong(field, "a name")),
        }
    }

    /// A field that is N sizes.
    ///
    /// # Errors
    /// [`Error::Spec`].
    pub fn sizes<const N: usize>(&self, field: &str) -> Result<[usize; N]> {
        let list = self.whole_numbers(field).and_then(|l| l.try_into().ok());
        list.ok_or_else(|| self.wrong(field, &format!("a list of {N} whole numbers ≥ 0")))
    }

    /// A field that is sizes, however many.
    ///
    /// # Errors
    /// [`Error::Spec`].
    pub fn list(&self, field: &str) -> Result<Vec<usize>> {
        self.whole_numbers(field).ok_or_else(|| self.wrong(field, "a list of whole numbers ≥ 0"))
    }

    fn whole_numbers(&self, field: &str) -> Option<Vec<usize>> {
        let size = |v: &Value| if let Value::Int(v) = v { usize::try_from(*v).ok() } else { None };
        let Some(Value::List(list)) = self.config.get(field) else { return None };
        list.iter().map(size).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_were_put() {
        let spec = Spec::new("Conv2d").with("groups", 2).with("eps", 0.5).with("bias", true).with("kernel", [3, 5]).with("init", "he");
        assert_eq!(spec.usize("groups").unwrap(), 2);
        assert_eq!(spec.f64("eps").unwrap(), 0.5);
        assert_eq!((spec.sizes::<2>("kernel").unwrap(), spec.list("kernel").unwrap()), ([3, 5], vec![3, 5]));
        assert_eq!((spec.bool("bias").unwrap(), spec.text("init").unwrap()), (true, "he"));
    }

    #[test]
    fn wrong_fields_are_errors_that_name_them() {
        let spec = Spec::new("Conv2d").with("groups", "two").with("kernel", [3, 5]);
        let error = spec.usize("groups").unwrap_err().to_string();
        assert_eq!(error, "the description of a Conv2d is not valid: `groups` must be a whole number ≥ 0, got Text(\"two\")");
        assert!(spec.usize("stride").is_err() && spec.sizes::<3>("kernel").is_err() && spec.sizes::<2>("groups").is_err());
        assert!(spec.list("groups").is_err() && spec.list("stride").is_err());
        assert!(spec.f64("groups").is_err() && spec.bool("groups").is_err() && spec.text("kernel").is_err());
    }
}
