//! The values of metadata entries. An array is checked whole when it is read and keeps its bytes; its elements are
//! decoded one by one as they are asked for, so that a vocabulary of any size allocates nothing here.

use super::cursor::Cursor;
use super::{MAX_NESTING, shown};
use anyhow::{Context, Result, bail, ensure};
use std::fmt;

/// The type of a value, as the format numbers it.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    const ALL: [ValueType; 13] = [
        ValueType::U8,
        ValueType::I8,
        ValueType::U16,
        ValueType::I16,
        ValueType::U32,
        ValueType::I32,
        ValueType::F32,
        ValueType::Bool,
        ValueType::String,
        ValueType::Array,
        ValueType::U64,
        ValueType::I64,
        ValueType::F64,
    ];

    /// The format's number.
    pub fn id(self) -> u32 {
        self as u32
    }

    /// The word for one such value in messages.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::U8 => "u8",
            ValueType::I8 => "i8",
            ValueType::U16 => "u16",
            ValueType::I16 => "i16",
            ValueType::U32 => "u32",
            ValueType::I32 => "i32",
            ValueType::F32 => "f32",
            ValueType::Bool => "bool",
            ValueType::String => "string",
            ValueType::Array => "array",
            ValueType::U64 => "u64",
            ValueType::I64 => "i64",
            ValueType::F64 => "f64",
        }
    }

    /// Fewest bytes that a value takes: an empty string is its length, an empty array its type and count.
    fn least_bytes(self) -> usize {
        match self {
            ValueType::U8 | ValueType::I8 | ValueType::Bool => 1,
            ValueType::U16 | ValueType::I16 => 2,
            ValueType::U32 | ValueType::I32 | ValueType::F32 => 4,
            ValueType::U64 | ValueType::I64 | ValueType::F64 | ValueType::String => 8,
            ValueType::Array => 12,
        }
    }

    pub(super) fn read(cursor: &mut Cursor) -> Result<ValueType> {
        let at = cursor.at();
        let id = cursor.u32("the value type")?;
        let kind = ValueType::ALL.into_iter().find(|kind| kind.id() == id);
        kind.with_context(|| format!("byte {at}: the value type is {id}, but types 0 to 12 exist"))
    }
}

/// A value of a metadata entry, or an element of an array.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(&'a str),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl<'a> Value<'a> {
    /// The value's type.
    pub fn kind(&self) -> ValueType {
        match self {
            Value::U8(_) => ValueType::U8,
            Value::I8(_) => ValueType::I8,
            Value::U16(_) => ValueType::U16,
            Value::I16(_) => ValueType::I16,
            Value::U32(_) => ValueType::U32,
            Value::I32(_) => ValueType::I32,
            Value::F32(_) => ValueType::F32,
            Value::Bool(_) => ValueType::Bool,
            Value::String(_) => ValueType::String,
            Value::Array(_) => ValueType::Array,
            Value::U64(_) => ValueType::U64,
            Value::I64(_) => ValueType::I64,
            Value::F64(_) => ValueType::F64,
        }
    }

    /// The value as an integer, whatever its width; none if it is no integer.
    pub fn integer(&self) -> Option<i128> {
        match *self {
            Value::U8(n) => Some(n.into()),
            Value::I8(n) => Some(n.into()),
            Value::U16(n) => Some(n.into()),
            Value::I16(n) => Some(n.into()),
            Value::U32(n) => Some(n.into()),
            Value::I32(n) => Some(n.into()),
            Value::U64(n) => Some(n.into()),
            Value::I64(n) => Some(n.into()),
            _ => None,
        }
    }

    /// The value with its type, for an error.
    pub(super) fn described(&self) -> String {
        match self {
            Value::Array(_) => format!("an {self}"),
            _ => format!("the {} {self}", self.kind().name()),
        }
    }

    /// Reads a value of type `kind` that stands within `depth` arrays.
    pub(super) fn read(cursor: &mut Cursor<'a>, kind: ValueType, depth: usize) -> Result<Value<'a>> {
        Ok(match kind {
            ValueType::U8 => Value::U8(u8::from_le_bytes(cursor.array("a u8")?)),
            ValueType::I8 => Value::I8(i8::from_le_bytes(cursor.array("an i8")?)),
            ValueType::U16 => Value::U16(u16::from_le_bytes(cursor.array("a u16")?)),
            ValueType::I16 => Value::I16(i16::from_le_bytes(cursor.array("an i16")?)),
            ValueType::U32 => Value::U32(u32::from_le_bytes(cursor.array("a u32")?)),
            ValueType::I32 => Value::I32(i32::from_le_bytes(cursor.array("an i32")?)),
            ValueType::F32 => Value::F32(f32::from_le_bytes(cursor.array("an f32")?)),
            ValueType::U64 => Value::U64(u64::from_le_bytes(cursor.array("a u64")?)),
            ValueType::I64 => Value::I64(i64::from_le_bytes(cursor.array("an i64")?)),
            ValueType::F64 => Value::F64(f64::from_le_bytes(cursor.array("an f64")?)),
            ValueType::Bool => Value::Bool(read_bool(cursor)?),
            ValueType::String => Value::String(cursor.string("a string", usize::MAX)?),
            ValueType::Array => Value::Array(Array::read(cursor, depth)?),
        })
    }
}

fn read_bool(cursor: &mut Cursor) -> Result<bool> {
    let at = cursor.at();
    match cursor.array("a bool")? {
        [0] => Ok(false),
        [1] => Ok(true),
        [other] => bail!("byte {at}: a bool is {other}, but 0 and 1 exist"),
    }
}

/// A number for people, a string in quotes (escaped, and cut where it is long), or what an array is.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Value::F32(value) => write!(f, "{value}"),
            Value::F64(value) => write!(f, "{value}"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::String(text) => f.write_str(&shown(text)),
            Value::Array(array) => write!(f, "array of {} {}", array.len(), array.element_type().name()),
            integer => write!(f, "{}", integer.integer().expect("all others are integers")),
        }
    }
}

/// Values of one type.
#[derive(Clone, Copy, PartialEq)]
pub struct Array<'a> {
    kind: ValueType,
    len: usize,
    /// The elements as they stand in the file; checked.
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// The type that all elements have.
    pub fn element_type(&self) -> ValueType {
        self.kind
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements in order.
    pub fn iter(&self) -> Elements<'a> {
        Elements { cursor: Cursor::new(self.bytes), kind: self.kind, n_left: self.len }
    }

    /// The elements as they stand in the file.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Reads an array that stands within `depth` others, and checks every element.
    fn read(cursor: &mut Cursor<'a>, depth: usize) -> Result<Array<'a>> {
        ensure!(
            depth < MAX_NESTING,
            "byte {}: arrays are nested more than {MAX_NESTING} deep, which is the limit",
            cursor.at()
        );
        let kind = ValueType::read(cursor)?;
        let len = cursor.count("the number of elements", kind.least_bytes())?;
        let start = cursor.at();
        match kind {
            ValueType::Bool | ValueType::String | ValueType::Array => {
                for _ in 0..len {
                    Value::read(cursor, kind, depth + 1)?;
                }
            }
            // Every bit pattern is a number, and `count` has seen that so many are there.
            _ => _ = cursor.take(len * kind.least_bytes(), "an array")?,
        }
        Ok(Array { kind, len, bytes: cursor.since(start) })
    }
}

/// Its type and length; a vocabulary would bury every message.
impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "[{} {}]", self.len, self.kind.name())
    }
}

/// The elements of an [`Array`].
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    cursor: Cursor<'a>,
    kind: ValueType,
    n_left: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.n_left = self.n_left.checked_sub(1)?;
        Some(Value::read(&mut self.cursor, self.kind, 0).expect("the array was checked when it was read"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.n_left, Some(self.n_left))
    }
}

impl ExactSizeIterator for Elements<'_> {}
