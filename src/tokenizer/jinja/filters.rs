//! What `transformers` gives a template beyond Jinja: `raise_exception`, a `tojson` that writes as Python does, and Python's
//! methods of strings and dictionaries. Filters that make much out of little are bounded or left out.

use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use std::io;

/// Longest text that a replacement or an indentation may make.
const MAX_BYTES: usize = 8 << 20;

/// Widest indentation.
const MAX_INDENT: usize = 64;

/// Adds them to `environment`.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.set_unknown_method_callback(method);
    environment.add_function("raise_exception", |words: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, words))
    });
    environment.add_filter("tojson", tojson);
    environment.add_filter("replace", |text: &str, from: &str, to: &str| replaced(text, from, to));
    environment.add_filter("indent", indent);
    // Each takes a width or count from the template and fills up to it.
    ["format", "batch", "slice", "pprint"].iter().for_each(|name| environment.remove_filter(name));
}

/// Python's methods, but for those that take a width.
fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match (name, args) {
        ("replace", [from, to, ..]) => {
            if let (Some(text), Some(from), Some(to)) = (value.as_str(), from.as_str(), to.as_str()) {
                check_replaced(text, from, to)?;
            }
        }
        ("format", _) => return Err(Error::new(ErrorKind::UnknownMethod, "format is not done here")),
        _ => {}
    }
    unknown_method_callback(state, value, name, args)
}

fn replaced(text: &str, from: &str, to: &str) -> Result<String, Error> {
    check_replaced(text, from, to)?;
    Ok(text.replace(from, to))
}

fn check_replaced(text: &str, from: &str, to: &str) -> Result<(), Error> {
    let n = text.matches(from).count();
    check_len(text.len().saturating_add(n.saturating_mul(to.len())))
}

fn check_len(n: usize) -> Result<(), Error> {
    match n <= MAX_BYTES {
        true => Ok(()),
        false => {
            Err(Error::new(ErrorKind::InvalidOperation, format!("a text of {n} bytes, above the limit of {MAX_BYTES}")))
        }
    }
}

/// All lines but the first, and with `first` that too, moved in by `width` spaces; empty ones only with `blank`.
fn indent(text: &str, width: Option<usize>, first: Option<bool>, blank: Option<bool>) -> Result<String, Error> {
    let width = width.unwrap_or(4);
    if width > MAX_INDENT {
        let words = format!("an indentation of {width} spaces, above the limit of {MAX_INDENT}");
        return Err(Error::new(ErrorKind::InvalidOperation, words));
    }
    check_len(text.len().saturating_add(text.matches('\n').count().saturating_mul(width)))?;
    let (space, first, blank) = (" ".repeat(width), first.unwrap_or(false), blank.unwrap_or(false));
    let line = |(i, line): (usize, &str)| match (i > 0 || first) && (blank || !line.is_empty()) {
        true => format!("{space}{line}"),
        false => line.to_owned(),
    };
    Ok(text.split('\n').enumerate().map(line).collect::<Vec<_>>().join("\n"))
}

/// JSON as Python's `json.dumps` writes it: a space behind each comma and colon, and no character escaped that need not be.
fn tojson(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get::<Option<usize>>("indent")?,
    };
    let mut out = Vec::new();
    let done = match indent {
        Some(n) => {
            let space = " ".repeat(n.min(MAX_INDENT));
            let formatter = PrettyFormatter::with_indent(space.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut out, formatter))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut out, Spaced)),
    };
    done.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from(String::from_utf8_lossy(&out).into_owned()))
}

/// A space behind each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}
