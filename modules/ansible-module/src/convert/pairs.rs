//! Mappings written as `key=value` pairs, separated by commas or spaces, with quotes and backslashes.

use serde_json::{Map, Value};

/// None where a field has no `=`.
pub fn parse(text: &str) -> Option<Value> {
    let mut map = Map::new();
    for field in fields(crate::python::strip(text)) {
        let (key, value) = field.split_once('=')?;
        map.insert(key.to_owned(), Value::String(value.to_owned()));
    }
    Some(Value::Object(map))
}

fn fields(text: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut quote = None;
    let mut is_escaped = false;
    for c in text.chars() {
        match c {
            c if is_escaped => {
                field.push(c);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '\'' | '"' if quote.is_none() => quote = Some(c),
            c if quote == Some(c) => quote = None,
            ',' | ' ' if quote.is_none() => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields.retain(|field| !field.is_empty());
    fields
}
