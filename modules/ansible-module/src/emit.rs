//! The one JSON object on standard output, and the end of the process.
//!
//! Whoever comes first prints: the module's result, a panic, or a signal. The others wait for the end. Knows
//! nothing of specs.

use std::io::Write;

use serde_json::{Map, Value};

use crate::redact;

/// Scrubs, prints and ends the process: 1 with `failed`, else 0.
///
/// The top level's booleans and nulls stay, as with Ansible; everything else is scrubbed of secrets.
pub fn finish(result: Map<String, Value>) -> ! {
    let code = i32::from(result.get("failed") == Some(&Value::Bool(true)));
    let mut result = Value::Object(result);
    redact::scrub(&mut result);
    let mut line = serde_json::to_vec(&result).unwrap_or_else(|_| {
        br#"{"failed":true,"msg":"internal error: the result cannot be written as JSON: please report it"}"#.to_vec()
    });
    line.push(b'\n');
    print_once(&line, code)
}

/// A failure from where nothing but a message is known.
pub fn fail(msg: String) -> ! {
    let mut result = Map::new();
    result.insert("changed".to_owned(), Value::Bool(false));
    result.insert("failed".to_owned(), Value::Bool(true));
    result.insert("msg".to_owned(), Value::String(msg));
    finish(result)
}

fn print_once(line: &[u8], code: i32) -> ! {
    // Never released: whoever comes second waits here for the end of the process.
    let mut out = std::io::stdout().lock();
    // Nobody is left to tell when standard output is gone, so errors are dropped.
    let _ = out.write_all(line).and_then(|()| out.flush());
    std::process::exit(code)
}
