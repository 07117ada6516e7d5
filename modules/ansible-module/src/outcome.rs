//! What a run ends with: an outcome or a failure, before anything is scrubbed or printed.
//!
//! Knows the shape of a result, not where it goes.

use serde::Serialize;
use serde_json::{Map, Value};

/// What a change looks like, for `--diff`.
#[derive(Clone, Debug, Default)]
pub struct Diff {
    /// The state before, text or structure.
    pub before: Option<Value>,
    /// The state after.
    pub after: Option<Value>,
    /// Heading of the state before, such as a path.
    pub before_header: Option<String>,
    /// Heading of the state after.
    pub after_header: Option<String>,
    /// A diff that is ready to show instead.
    pub prepared: Option<String>,
}

impl Diff {
    /// A change of a text, with what it is a text of (a path) as the heading.
    #[must_use]
    pub fn text(header: &str, before: impl Into<String>, after: impl Into<String>) -> Diff {
        Diff {
            before: Some(Value::String(before.into())),
            after: Some(Value::String(after.into())),
            before_header: Some(header.to_owned()),
            after_header: Some(header.to_owned()),
            prepared: None,
        }
    }

    /// A change of a structure.
    #[must_use]
    pub fn structure(before: Value, after: Value) -> Diff {
        Diff { before: Some(before), after: Some(after), ..Diff::default() }
    }

    /// A diff that is ready to show.
    #[must_use]
    pub fn prepared(text: impl Into<String>) -> Diff {
        Diff { prepared: Some(text.into()), ..Diff::default() }
    }

    fn into_value(self) -> Value {
        let mut map = Map::new();
        let texts = [
            ("before_header", self.before_header),
            ("after_header", self.after_header),
            ("prepared", self.prepared),
        ];
        for (key, value) in [("before", self.before), ("after", self.after)] {
            if let Some(value) = value {
                map.insert(key.to_owned(), value);
            }
        }
        for (key, value) in texts {
            if let Some(value) = value {
                map.insert(key.to_owned(), Value::String(value));
            }
        }
        Value::Object(map)
    }
}

/// A deprecation as the result carries it. A plain string there breaks Ansible's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeprecationNotice {
    /// What is deprecated.
    pub msg: String,
    /// The version in which it goes away.
    pub version: Option<String>,
    /// The date after which it goes away.
    pub date: Option<String>,
    /// The collection, as `namespace.name`.
    pub collection_name: Option<String>,
}

impl DeprecationNotice {
    pub(crate) fn into_value(self) -> Value {
        let mut map = Map::new();
        map.insert("msg".to_owned(), Value::String(self.msg));
        let rest =
            [("version", self.version), ("date", self.date), ("collection_name", self.collection_name)];
        for (key, value) in rest {
            if let Some(value) = value {
                map.insert(key.to_owned(), Value::String(value));
            }
        }
        Value::Object(map)
    }
}

/// A run that did what it was asked.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Something was changed, or would be in check mode.
    pub changed: bool,
    /// What happened, in a sentence.
    pub msg: String,
    /// Shown with `--diff`; left out of the result otherwise.
    pub diff: Vec<Diff>,
    /// Shown to the user.
    pub warnings: Vec<String>,
    /// Shown to the user.
    pub deprecations: Vec<DeprecationNotice>,
    /// Further fields of the result.
    pub data: Map<String, Value>,
}

impl Outcome {
    /// With the plan's word on whether anything changes.
    #[must_use]
    pub fn new(changed: bool, msg: impl Into<String>) -> Outcome {
        Outcome { changed, msg: msg.into(), ..Outcome::default() }
    }

    /// Something was changed.
    #[must_use]
    pub fn changed(msg: impl Into<String>) -> Outcome {
        Outcome::new(true, msg)
    }

    /// Nothing was changed.
    #[must_use]
    pub fn unchanged(msg: impl Into<String>) -> Outcome {
        Outcome::new(false, msg)
    }

    /// A further field. A value that cannot be JSON becomes text that says so.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Serialize) -> Outcome {
        self.data.insert(key.to_owned(), to_value(value));
        self
    }

    /// Every field of a structure as a field of the result.
    #[must_use]
    pub fn with_fields(mut self, fields: impl Serialize) -> Outcome {
        match to_value(fields) {
            Value::Object(map) => self.data.extend(map),
            other => {
                self.data.insert("data".to_owned(), other);
            }
        }
        self
    }

    /// What the change looks like. May be called more than once.
    #[must_use]
    pub fn diff(mut self, diff: Diff) -> Outcome {
        self.diff.push(diff);
        self
    }

    /// A warning to the user.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Outcome {
        self.warnings.push(warning.into());
        self
    }

    pub(crate) fn into_fields(self, diff_mode: bool) -> Fields {
        let mut map = Map::new();
        map.insert("changed".to_owned(), Value::Bool(self.changed));
        map.insert("msg".to_owned(), Value::String(self.msg));
        map.extend(self.data);
        if diff_mode && !self.diff.is_empty() {
            let mut diffs: Vec<Value> = self.diff.into_iter().map(Diff::into_value).collect();
            let diff = if diffs.len() == 1 { diffs.swap_remove(0) } else { Value::Array(diffs) };
            map.insert("diff".to_owned(), diff);
        }
        Fields { map, warnings: self.warnings, deprecations: self.deprecations }
    }
}

/// A run that did not.
#[derive(Clone, Debug, Default)]
pub struct Failure {
    /// What, where and the remedy.
    pub msg: String,
    /// Further fields of the result.
    pub data: Map<String, Value>,
    /// Shown to the user.
    pub warnings: Vec<String>,
}

impl Failure {
    /// With a message that says what, where and the remedy.
    #[must_use]
    pub fn new(msg: impl Into<String>) -> Failure {
        Failure { msg: msg.into(), ..Failure::default() }
    }

    /// A further field.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Serialize) -> Failure {
        self.data.insert(key.to_owned(), to_value(value));
        self
    }

    /// Every field of a structure as a field of the result.
    #[must_use]
    pub fn with_fields(mut self, fields: impl Serialize) -> Failure {
        match to_value(fields) {
            Value::Object(map) => self.data.extend(map),
            other => {
                self.data.insert("data".to_owned(), other);
            }
        }
        self
    }

    /// A warning to the user.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Failure {
        self.warnings.push(warning.into());
        self
    }

    pub(crate) fn into_fields(self) -> Fields {
        let mut map = Map::new();
        map.insert("changed".to_owned(), Value::Bool(false));
        map.extend(self.data);
        map.insert("failed".to_owned(), Value::Bool(true));
        map.insert("msg".to_owned(), Value::String(self.msg));
        Fields { map, warnings: self.warnings, deprecations: Vec::new() }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    /// The whole chain of causes, joined with `: `.
    fn from(error: E) -> Failure {
        Failure::new(format!("{:#}", error.into()))
    }
}

/// A result on its way out, before warnings of the entry are added.
pub(crate) struct Fields {
    pub map: Map<String, Value>,
    pub warnings: Vec<String>,
    pub deprecations: Vec<DeprecationNotice>,
}

fn to_value(value: impl Serialize) -> Value {
    serde_json::to_value(value)
        .unwrap_or_else(|error| Value::String(format!("value that cannot be shown as JSON: {error}")))
}
