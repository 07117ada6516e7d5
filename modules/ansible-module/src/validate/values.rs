//! Values of one level: defaults, types, choices.

use serde_json::{Map, Value};

use super::secrets::{collect_texts, is_truthy};
use super::{Check, Class};
use crate::convert::{boolean, convert};
use crate::python::{equal, text, type_name};
use crate::spec::{Kind, Opt, Preset};

/// The default as a value, before conversion.
pub fn preset(preset: Preset) -> Value {
    match preset {
        Preset::Text(text) => Value::String(text.to_owned()),
        Preset::Json(json) => serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.to_owned())),
    }
}

/// A word of the table (a choice, a condition) in the type of the option it is about.
pub fn in_type(kind: Kind, word: &str) -> Value {
    match kind {
        Kind::Int | Kind::Float | Kind::Bool | Kind::Bytes | Kind::Bits => {
            convert(kind, &Value::String(word.to_owned())).unwrap_or_else(|_| Value::String(word.to_owned()))
        }
        _ => Value::String(word.to_owned()),
    }
}

/// The same for an option found by name.
pub fn in_type_of(options: &[Opt], name: &str, word: &str) -> Value {
    let kind = options.iter().find(|option| option.name == name).map_or(Kind::Str, |option| option.kind);
    in_type(kind, word)
}

/// Sets defaults where nothing was given; a secret default is masked too.
pub fn set_defaults(options: &[Opt], params: &mut Map<String, Value>, secrets: &mut Vec<String>) {
    for option in options {
        let Some(default) = option.default else {
            continue;
        };
        if params.contains_key(option.name) {
            continue;
        }
        let value = preset(default);
        if option.no_log == Some(true) && is_truthy(&value) {
            collect_texts(&value, secrets);
        }
        params.insert(option.name.to_owned(), value);
    }
}

impl Check {
    /// Converts every value that is there. What does not fit stays as it was and is an error.
    pub(super) fn convert(&mut self, options: &[Opt], params: &mut Map<String, Value>) {
        for option in options {
            let Some(value) = params.get(option.name) else {
                continue;
            };
            if value.is_null() && !option.required && option.default.is_none() {
                continue;
            }
            let converted = convert(option.kind, value);
            match converted {
                Ok(mut converted) => {
                    if let (Some(kind), Value::Array(items)) = (option.elements, &mut converted) {
                        *items = self.elements(option.name, kind, std::mem::take(items));
                    }
                    params.insert(option.name.to_owned(), converted);
                }
                Err(why) => {
                    let found = self.found_in(".");
                    let msg = format!(
                        "argument '{}' is of type {}{found} and we were unable to convert to {}: {why}",
                        option.name,
                        type_name(value),
                        option.kind.word()
                    );
                    self.problem(Class::ArgumentType, msg);
                }
            }
        }
    }

    fn elements(&mut self, option: &str, kind: Kind, items: Vec<Value>) -> Vec<Value> {
        let mut converted = Vec::with_capacity(items.len());
        for item in items {
            match convert(kind, &item) {
                Ok(value) => converted.push(value),
                Err(why) => {
                    let found = self.found_in("");
                    let msg = format!(
                        "Elements value for option '{option}'{found} is of type {} and we were unable to convert to {}: {why}",
                        type_name(&item),
                        kind.word()
                    );
                    self.problem(Class::Element, msg);
                }
            }
        }
        converted
    }

    /// ansible-core ends this with a full stop for an option and without for an element.
    fn found_in(&self, end: &str) -> String {
        if self.context.is_empty() {
            String::new()
        } else {
            format!(" found in '{}'{end}", self.context.join(" -> "))
        }
    }

    /// Checks choices: every element of a list, else the value.
    pub(super) fn choices(&mut self, options: &[Opt], params: &mut Map<String, Value>) {
        for option in options.iter().filter(|option| !option.choices.is_empty()) {
            let Some(value) = params.get(option.name) else {
                continue;
            };
            let kind = option.elements.unwrap_or(option.kind);
            let choices: Vec<Value> = option.choices.iter().map(|choice| in_type(kind, choice)).collect();
            let is_choice = |value: &Value| choices.iter().any(|choice| equal(choice, value));
            let listed = || choices.iter().map(text).collect::<Vec<_>>().join(", ");
            let msg = if let Value::Array(items) = value {
                let others: Vec<String> = items.iter().filter(|item| !is_choice(item)).map(text).collect();
                if others.is_empty() {
                    continue;
                }
                format!(
                    "value of {} must be one or more of: {}. Got no match for: {}",
                    option.name,
                    listed(),
                    others.join(", ")
                )
            } else if is_choice(value) {
                continue;
            } else if let Some(meant) = meant_choice(value, &choices) {
                params.insert(option.name.to_owned(), meant);
                continue;
            } else {
                format!("value of {} must be one of: {}, got: {}", option.name, listed(), text(value))
            };
            let msg = if self.context.is_empty() {
                msg
            } else {
                format!("{msg} found in {}", self.context.join(" -> "))
            };
            self.problem(Class::ArgumentValue, msg);
        }
    }
}

/// YAML made a boolean of a word such as `on`, and `str` made text of that: undone where only one choice fits.
fn meant_choice(value: &Value, choices: &[Value]) -> Option<Value> {
    let is_true = match value.as_str()? {
        "True" => true,
        "False" => false,
        _ => return None,
    };
    // Only words as they stand count here, not with blanks or capitals.
    let is_plain = |choice: &Value| {
        choice.as_str().is_none_or(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
    };
    let mut fitting: Vec<&Value> =
        choices.iter().filter(|choice| is_plain(choice) && boolean(choice) == Ok(is_true)).collect();
    fitting.dedup();
    if fitting.len() == 1 { fitting.pop().cloned() } else { None }
}
