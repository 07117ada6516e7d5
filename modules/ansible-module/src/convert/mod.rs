//! One value to one type, with ansible-core's results and its words when that fails.
//!
//! Follows the `check_type_*` functions of ansible-core's `module_utils/common/validation.py`. Knows types, not
//! options. Where it differs on purpose, `tests/differential/differences.md` says so and why.

mod expand;
mod literal;
mod number;
mod pairs;
mod size;

use serde_json::Value;
use serde_json::ser::Formatter;

use crate::python::{class_name, repr, strip, text};
use crate::spec::Kind;

pub use expand::expand;
pub use literal::parse_literal;

/// Converts, or says why not in the words that ansible-core puts after `unable to convert to …:`.
///
/// # Errors
/// The value does not fit the type.
pub fn convert(kind: Kind, value: &Value) -> Result<Value, String> {
    match kind {
        Kind::Str => Ok(Value::String(string(value))),
        Kind::Int => {
            number::int(value).ok_or_else(|| format!("\"{}\" cannot be converted to an int", repr(value)))
        }
        Kind::Float => number::float(value)
            .ok_or_else(|| format!("{} cannot be converted to a float", class_name(value))),
        Kind::Bool => match value {
            Value::Bool(_) | Value::String(_) | Value::Number(_) => boolean(value).map(Value::Bool),
            _ => Err(format!("{} cannot be converted to a bool", class_name(value))),
        },
        Kind::List => list(value),
        Kind::Dict => dict(value),
        Kind::Path => Ok(Value::String(expand(&string(value)))),
        Kind::Raw => Ok(value.clone()),
        Kind::Json => json(value),
        Kind::Bytes => size::bytes(value)
            .ok_or_else(|| format!("{} cannot be converted to a Byte value", class_name(value))),
        Kind::Bits => size::bits(value)
            .ok_or_else(|| format!("{} cannot be converted to a Bit value", class_name(value))),
    }
}

/// Null counts as empty, as ansible-core keeps it for templates that gave nothing.
fn string(value: &Value) -> String {
    if value.is_null() { String::new() } else { text(value) }
}

/// A boolean or one of the boolean words.
///
/// # Errors
/// Neither.
pub fn boolean(value: &Value) -> Result<bool, String> {
    let word = match value {
        Value::Bool(flag) => return Ok(*flag),
        Value::String(word) => strip(&word.to_lowercase()).to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(1.0) => "1".to_owned(),
            Some(0.0) => "0".to_owned(),
            _ => String::new(),
        },
        _ => String::new(),
    };
    match word.as_str() {
        "y" | "yes" | "on" | "1" | "true" | "t" => Ok(true),
        "n" | "no" | "off" | "0" | "false" | "f" => Ok(false),
        // ansible-core prints a set here, in an order that changes from run to run.
        _ => Err(format!(
            "The value '{}' is not a valid boolean. Valid booleans include: \
             0, 1, 'y', 'yes', 'on', '1', 'true', 't', 'n', 'no', 'off', '0', 'false', 'f'",
            text(value)
        )),
    }
}

fn list(value: &Value) -> Result<Value, String> {
    match value {
        Value::Array(_) => Ok(value.clone()),
        Value::String(words) => {
            Ok(Value::Array(words.split(',').map(|word| Value::String(word.to_owned())).collect()))
        }
        Value::Number(_) | Value::Bool(_) => Ok(Value::Array(vec![Value::String(text(value))])),
        _ => Err(format!("{} cannot be converted to a list", class_name(value))),
    }
}

/// A mapping, or text that stands for one.
///
/// # Errors
/// Neither.
pub fn dict(value: &Value) -> Result<Value, String> {
    match value {
        Value::Object(_) => Ok(value.clone()),
        Value::String(text) if text.starts_with('{') => serde_json::from_str(text)
            .ok()
            .or_else(|| parse_literal(text).filter(Value::is_object))
            .ok_or_else(|| "unable to evaluate string as dictionary".to_owned()),
        Value::String(text) if text.contains('=') => pairs::parse(text)
            .ok_or_else(|| "unable to evaluate string in the \"key=value\" format as dictionary".to_owned()),
        Value::String(_) => Err("dictionary requested, could not parse JSON or key=value".to_owned()),
        _ => Err(format!("{} cannot be converted to a dict", class_name(value))),
    }
}

fn json(value: &Value) -> Result<Value, String> {
    match value {
        Value::String(text) => Ok(Value::String(strip(text).to_owned())),
        Value::Array(_) | Value::Object(_) => {
            let mut out = Vec::new();
            let mut serializer = serde_json::Serializer::with_formatter(&mut out, PythonJson);
            serde::Serialize::serialize(value, &mut serializer).map_err(|error| error.to_string())?;
            String::from_utf8(out).map(Value::String).map_err(|error| error.to_string())
        }
        _ => Err(format!("{} cannot be converted to a json string", class_name(value))),
    }
}

/// `json.dumps` with its default separators and ASCII only.
struct PythonJson;

impl Formatter for PythonJson {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }

    fn write_f64<W: ?Sized + std::io::Write>(&mut self, out: &mut W, float: f64) -> std::io::Result<()> {
        out.write_all(repr(&Value::from(float)).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> std::io::Result<()> {
        for c in fragment.chars() {
            if (' '..='~').contains(&c) {
                out.write_all(&[c as u8])?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}
