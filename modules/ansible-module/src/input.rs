//! The arguments as they come: a file or standard input, one JSON object.
//!
//! Broken, truncated, huge, deeply nested or non-UTF-8 input is refused with what is wrong. The text is never
//! quoted: it may hold secrets.

use std::fs::File;
use std::io::Read;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::outcome::Failure;

/// More than any argument that makes sense, and little enough to hold.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Reads the arguments from a file, or from standard input with `-`.
pub fn read(source: &str) -> Result<Map<String, Value>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if source == "-" {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(source).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    let place = if source == "-" { "standard input".to_owned() } else { format!("file {source:?}") };
    read.map_err(|error| Failure::new(format!("cannot read the module's arguments from {place}: {error}")))?;
    parse(&bytes, &place)
}

/// The arguments in a text.
pub fn parse(bytes: &[u8], place: &str) -> Result<Map<String, Value>, Failure> {
    let fail = |why: &str| Failure::new(format!("cannot use the module's arguments from {place}: {why}"));
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fail(&format!("more than {} MiB: hand over less", MAX_BYTES >> 20)));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| fail(&format!("not UTF-8 from byte {} on", error.valid_up_to())))?;
    if text.trim().is_empty() {
        return Err(fail("empty: a JSON object is needed"));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| {
        fail(&format!(
            "{} at line {} column {}",
            match error.classify() {
                serde_json::error::Category::Eof => "the JSON text ends early",
                // The reader's limit is 128 levels, which keeps the stack safe.
                _ if error.to_string().starts_with("recursion limit") => "JSON nested too deeply",
                _ => "invalid JSON",
            },
            error.line(),
            error.column()
        ))
    })?;
    match value {
        Value::Object(mut map) => match map.remove("ANSIBLE_MODULE_ARGS") {
            Some(Value::Object(inner)) => Ok(inner),
            Some(_) => Err(fail("ANSIBLE_MODULE_ARGS is no JSON object")),
            None => Ok(map),
        },
        other => Err(fail(&format!("a JSON object is needed, not a {}", crate::python::type_name(&other)))),
    }
}
