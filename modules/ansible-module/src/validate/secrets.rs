//! Values of `no_log` options, wherever they stand.

use serde_json::{Map, Value};

use crate::convert::dict;
use crate::python::{class_name, number_text, text};
use crate::spec::{Kind, Opt};

/// Adds every secret to `secrets`. The first thing that cannot be looked into goes to `error`; the search goes on,
/// where ansible-core gives up and leaves the other secrets unmasked.
pub fn collect(
    options: &[Opt],
    params: &Map<String, Value>,
    secrets: &mut Vec<String>,
    error: &mut Option<String>,
) {
    for option in options {
        let Some(value) = params.get(option.name) else {
            continue;
        };
        if option.no_log == Some(true) && is_truthy(value) {
            collect_texts(value, secrets);
        }
        if option.options.is_empty() || value.is_null() || !has_suboptions(option) {
            continue;
        }
        let elements = match value {
            Value::Array(items) => items.as_slice(),
            other => std::slice::from_ref(other),
        };
        for element in elements {
            let parsed = match element {
                Value::String(_) => match dict(element) {
                    Ok(parsed) => parsed,
                    Err(why) => {
                        error.get_or_insert(why);
                        continue;
                    }
                },
                other => other.clone(),
            };
            match parsed.as_object() {
                Some(map) => collect(option.options, map, secrets, error),
                None => {
                    error.get_or_insert_with(|| {
                        format!(
                            "Value '{}' in the sub parameter field '{}' must be a {}, not '{}'",
                            text(&parsed),
                            option.name,
                            option.kind.word(),
                            class_name(&parsed).trim_start_matches("<class '").trim_end_matches("'>")
                        )
                    });
                }
            }
        }
    }
}

/// A mapping or a list of mappings.
pub fn has_suboptions(option: &Opt) -> bool {
    option.kind == Kind::Dict || option.kind == Kind::List && option.elements == Some(Kind::Dict)
}

/// What Python counts as true.
pub fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Every text and number in a structure, keys apart.
pub fn collect_texts(value: &Value, texts: &mut Vec<String>) {
    let mut add = |text: String| {
        if !text.is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
    };
    match value {
        Value::String(text) => add(text.clone()),
        Value::Number(number) => add(number_text(number)),
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, texts)),
        Value::Object(map) => map.values().for_each(|item| collect_texts(item, texts)),
        Value::Bool(_) | Value::Null => {}
    }
}
