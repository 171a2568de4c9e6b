//! The entries of a file by key, and getters that say what was wanted where something else is found.

use super::cursor::Cursor;
use super::value::{Array, Value, ValueType};
use super::{MAX_KEY_BYTES, shown};
use anyhow::{Context, Result, bail, ensure};
use std::collections::HashMap;

/// Fewest bytes of an entry: a key of one byte with its length, a value type, a value of one byte.
pub(super) const LEAST_BYTES: usize = 8 + 1 + 4 + 1;

/// The metadata of a file.
#[derive(Debug, Default)]
pub struct Metadata<'a> {
    /// In the file's order.
    entries: Vec<(&'a str, Value<'a>)>,
    /// Key to index in `entries`.
    keys: HashMap<&'a str, usize>,
}

impl<'a> Metadata<'a> {
    /// Reads `n` entries.
    pub(super) fn read(cursor: &mut Cursor<'a>, n: usize) -> Result<Metadata<'a>> {
        let mut metadata = Metadata::default();
        for idx in 0..n {
            let at = cursor.at();
            let key = cursor.string("a metadata key", MAX_KEY_BYTES).with_context(|| entry(idx, n))?;
            ensure!(!key.is_empty(), "byte {at}: the key of {} is empty", entry(idx, n));
            let value = ValueType::read(cursor).and_then(|kind| Value::read(cursor, kind, 0));
            let value = value.with_context(|| format!("metadata key {}", shown(key)))?;
            ensure!(
                metadata.keys.insert(key, idx).is_none(),
                "byte {at}: metadata key {} occurs a second time",
                shown(key)
            );
            metadata.entries.push((key, value));
        }
        Ok(metadata)
    }

    /// The value under `key`, if there is one.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.keys.get(key).map(|&idx| self.entries[idx].1)
    }

    /// The value under `key` as a `T`. Fails where there is none, or one of another type.
    pub fn want<T: FromValue<'a>>(&self, key: &str) -> Result<T> {
        self.optional(key)?
            .with_context(|| format!("the file has no metadata key {}, which should be {}", shown(key), T::wanted()))
    }

    /// The value under `key` as a `T`, if there is one. Fails where it has another type.
    pub fn optional<T: FromValue<'a>>(&self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match T::from_value(&value) {
            Some(value) => Ok(Some(value)),
            None => bail!("metadata key {}: wanted {}, found {}", shown(key), T::wanted(), value.described()),
        }
    }

    /// The entries in the file's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, Value<'a>)> {
        self.entries.iter().copied()
    }
}

fn entry(idx: usize, n: usize) -> String {
    format!("metadata entry {} of {n}", idx + 1)
}

/// What a typed getter of [`Metadata`] returns. Integers are taken from a value of any integer type into which they fit,
/// as writers differ in the widths they choose; everything else is taken only for what it is.
pub trait FromValue<'a>: Sized {
    /// What a value should have been, for an error.
    fn wanted() -> String;

    /// The value, if it is one of these.
    fn from_value(value: &Value<'a>) -> Option<Self>;
}

macro_rules! integers {
    ($($integer:ident),*) => {$(
        impl FromValue<'_> for $integer {
            fn wanted() -> String {
                format!("an integer from {} to {}", $integer::MIN, $integer::MAX)
            }

            fn from_value(value: &Value) -> Option<$integer> {
                value.integer()?.try_into().ok()
            }
        }
    )*};
}

integers!(u8, u32, i32, u64, i64, usize);

impl FromValue<'_> for f32 {
    fn wanted() -> String {
        "a floating-point number".to_owned()
    }

    fn from_value(value: &Value) -> Option<f32> {
        match value {
            Value::F32(value) => Some(*value),
            Value::F64(value) => Some(*value as f32),
            _ => None,
        }
    }
}

impl FromValue<'_> for bool {
    fn wanted() -> String {
        "true or false".to_owned()
    }

    fn from_value(value: &Value) -> Option<bool> {
        if let Value::Bool(value) = value { Some(*value) } else { None }
    }
}

impl<'a> FromValue<'a> for &'a str {
    fn wanted() -> String {
        "a string".to_owned()
    }

    fn from_value(value: &Value<'a>) -> Option<&'a str> {
        if let Value::String(text) = value { Some(text) } else { None }
    }
}

impl<'a> FromValue<'a> for Array<'a> {
    fn wanted() -> String {
        "an array".to_owned()
    }

    fn from_value(value: &Value<'a>) -> Option<Array<'a>> {
        if let Value::Array(array) = value { Some(*array) } else { None }
    }
}

/// An array whose every element is a `T`.
impl<'a, T: FromValue<'a>> FromValue<'a> for Vec<T> {
    fn wanted() -> String {
        format!("an array of which each element is {}", T::wanted())
    }

    fn from_value(value: &Value<'a>) -> Option<Vec<T>> {
        Array::from_value(value)?.iter().map(|element| T::from_value(&element)).collect()
    }
}
