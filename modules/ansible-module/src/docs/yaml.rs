//! A structure as block YAML, written as a person would and read back the same by YAML 1.1 and 1.2.

use serde_json::{Map, Value};

/// Columns of a line, where its words allow it.
const WIDTH: usize = 120;

/// A whole document. An empty mapping is one, too: `{}`.
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(&mut out, map, 0),
        other => {
            out.push_str(&flow(other));
            out.push('\n');
        }
    }
    out
}

fn mapping(out: &mut String, map: &Map<String, Value>, indent: usize) {
    for (index, (key, value)) in map.iter().enumerate() {
        // The caller has already indented the first line of a mapping in a list.
        if index > 0 || !out.ends_with("- ") {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(&scalar(key));
        out.push(':');
        nested(out, value, indent + 2);
    }
}

fn nested(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            mapping(out, map, indent);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            sequence(out, items, indent);
        }
        other => {
            out.push(' ');
            leaf(out, other, indent);
        }
    }
}

fn sequence(out: &mut String, items: &[Value], indent: usize) {
    for item in items {
        out.push_str(&" ".repeat(indent));
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => mapping(out, map, indent + 2),
            Value::Array(inner) if !inner.is_empty() => {
                out.truncate(out.len() - 1);
                out.push('\n');
                sequence(out, inner, indent + 2);
            }
            other => leaf(out, other, indent + 2),
        }
    }
}

/// What fits on no line goes on further ones, indented so far: folded, each end of a line reads as a blank.
fn leaf(out: &mut String, value: &Value, indent: usize) {
    let written = flow(value);
    match value.as_str().filter(|text| indent + written.chars().count() > WIDTH && can_fold(text)) {
        Some(text) => {
            out.push_str(">-");
            let mut at = usize::MAX;
            for word in text.split(' ') {
                let width = word.chars().count();
                if at.saturating_add(1 + width) > WIDTH {
                    out.push('\n');
                    out.push_str(&" ".repeat(indent));
                    at = indent + width;
                } else {
                    out.push(' ');
                    at += 1 + width;
                }
                out.push_str(word);
            }
        }
        None => out.push_str(&written),
    }
    out.push('\n');
}

/// Blanks beside each other, at an end, or at the beginning of a line would not be read back as they were.
fn can_fold(text: &str) -> bool {
    text.split(' ').all(|word| !word.is_empty())
        && text.chars().all(|c| !c.is_control() && !c.is_whitespace() || c == ' ')
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Plain where nothing can be misread, else in double quotes, whose escapes YAML shares with JSON.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 14] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf", "t", "f"];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| !c.is_control() && c != '\\' && (c.is_ascii() || c.is_alphanumeric()))
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn structures_are_blocks() {
        let value = json!({"a": {"b": ["x", {"c": 1, "d": [[]]}, [true, [2]]], "e": {}}, "z": null});
        let expected = "\
a:
  b:
    - x
    - c: 1
      d:
        - []
    -
      - true
      -
        - 2
  e: {}
z: null
";
        assert_eq!(document(&value), expected);
    }

    #[test]
    fn long_text_is_folded_and_no_line_is_too_wide() {
        let text = "word: ".repeat(30);
        let document = document(&json!({"a": [text.trim_end()]}));
        let expected = format!(
            "a:\n  - >-\n    {}\n    {}\n",
            "word: ".repeat(19).trim_end(),
            "word: ".repeat(11).trim_end()
        );
        assert_eq!(document, expected);
    }

    #[test]
    fn text_that_folding_would_change_is_left_on_its_line() {
        for text in ["two  blanks ", " a blank first ", "a\nline ", "a\u{a0}hard blank "] {
            let text = text.repeat(20);
            let written = Value::from(text.as_str()).to_string();
            assert_eq!(document(&json!({ "a": text })), format!("a: {written}\n"));
        }
    }

    #[test]
    fn text_that_could_be_misread_is_quoted() {
        for (text, written) in [
            ("plain text, as O(name) is", "plain text, as O(name) is"),
            ("yes", "\"yes\""),
            ("1.0", "\"1.0\""),
            ("a: b", "\"a: b\""),
            ("see #3", "\"see #3\""),
            ("a#b", "a#b"),
            ("", "\"\""),
            ("two\nlines", "\"two\\nlines\""),
            ("{x}", "\"{x}\""),
            ("ends:", "\"ends:\""),
            ("it's", "it's"),
        ] {
            assert_eq!(scalar(text), written, "{text:?}");
        }
    }
}
