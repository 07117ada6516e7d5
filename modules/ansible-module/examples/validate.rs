//! The argument check as a filter, for comparison with ansible-core: one case a line in, one result a line out.
//!
//! In: `{"argument_spec": {…}, "mutually_exclusive": …, …, "params": {…}}` in Ansible's own notation.
//! Out: `{"ok", "params", "errors": [[class, text]], "warnings", "deprecations", "secrets", "masked"}`.

use std::io::{BufRead, Write};

use ansible_module::validate::validate;
use ansible_module::{
    DeprecatedAlias, Deprecation, Kind, Opt, Preset, Relations, Removal, RequiredIf, redact,
};
use serde_json::{Map, Value, json};

fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let case: Map<String, Value> = serde_json::from_str(&line?)?;
        let options = options(&case["argument_spec"]);
        let relations = relations(&case);
        let params = case["params"].as_object().cloned().unwrap_or_default();
        let checked = validate(options, &relations, params);
        let mut secrets = checked.secrets.clone();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let mut masked = Value::Object(checked.params.clone());
        redact::remove_values(&mut masked, &secrets);
        let errors: Vec<Value> =
            checked.problems.iter().map(|p| json!([format!("{:?}", p.class), p.msg])).collect();
        let deprecations: Vec<Value> = checked
            .deprecations
            .iter()
            .map(|d| json!([d.msg, d.version, d.date, d.collection_name]))
            .collect();
        let result = json!({
            "ok": errors.is_empty(),
            "params": checked.params,
            "errors": errors,
            "warnings": checked.warnings,
            "deprecations": deprecations,
            "secrets": secrets,
            "masked": masked,
        });
        writeln!(out, "{result}")?;
    }
    Ok(())
}

fn options(spec: &Value) -> &'static [Opt] {
    let options = spec.as_object().into_iter().flatten();
    Vec::leak(options.map(|(name, spec)| option(name, spec)).collect())
}

fn option(name: &str, spec: &Value) -> Opt {
    let text = |key: &str| spec.get(key).map(leak_text);
    let removal = |version: &str, date: &str| {
        text(version).map(Removal::Version).or_else(|| text(date).map(Removal::Date))
    };
    let aliases: &[DeprecatedAlias] =
        Vec::leak(list(spec.get("deprecated_aliases")).map(deprecated_alias).collect());
    Opt {
        elements: text("elements").map(kind),
        required: spec.get("required") == Some(&Value::Bool(true)),
        default: spec.get("default").map(|value| Preset::Json(leak(value.to_string()))),
        choices: words(spec.get("choices")),
        aliases: words(spec.get("aliases")),
        deprecated_aliases: aliases,
        no_log: spec.get("no_log").and_then(Value::as_bool),
        options: spec.get("options").map_or(&[], options),
        relations: spec.as_object().map_or(Relations::NONE, relations),
        apply_defaults: spec.get("apply_defaults") == Some(&Value::Bool(true)),
        deprecation: removal("removed_in_version", "removed_at_date").map(|removal| Deprecation {
            removal,
            collection: text("removed_from_collection").unwrap_or_default(),
        }),
        ..Opt::new(leak(name.to_owned()), text("type").map_or(Kind::Str, kind), &[])
    }
}

fn deprecated_alias(alias: &Value) -> DeprecatedAlias {
    let removal = match alias.get("version") {
        Some(version) => Removal::Version(leak_text(version)),
        None => Removal::Date(leak_text(&alias["date"])),
    };
    DeprecatedAlias {
        name: leak_text(&alias["name"]),
        removal,
        collection: leak_text(&alias["collection_name"]),
    }
}

fn relations(spec: &Map<String, Value>) -> Relations {
    let groups = |key: &str| -> &'static [_] {
        Vec::leak(list(spec.get(key)).map(|group| words(Some(group))).collect())
    };
    let rules = list(spec.get("required_if")).map(|rule| RequiredIf {
        option: leak_text(&rule[0]),
        value: leak_text(&rule[1]),
        requires: words(rule.get(2)),
        any: rule.get(3) == Some(&Value::Bool(true)),
    });
    let by = spec.get("required_by").and_then(Value::as_object).into_iter().flatten();
    Relations {
        mutually_exclusive: groups("mutually_exclusive"),
        required_together: groups("required_together"),
        required_one_of: groups("required_one_of"),
        required_if: Vec::leak(rules.collect()),
        required_by: Vec::leak(by.map(|(name, list)| (leak(name.clone()), words(Some(list)))).collect()),
    }
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn words(value: Option<&Value>) -> &'static [&'static str] {
    Vec::leak(list(value).map(leak_text).collect())
}

/// Text as it is, anything else as JSON writes it: the table's way to write numbers and booleans.
fn leak_text(value: &Value) -> &'static str {
    leak(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn leak(text: String) -> &'static str {
    String::leak(text)
}

fn kind(word: &str) -> Kind {
    const KINDS: [Kind; 11] = [
        Kind::Str,
        Kind::Int,
        Kind::Float,
        Kind::Bool,
        Kind::List,
        Kind::Dict,
        Kind::Path,
        Kind::Raw,
        Kind::Json,
        Kind::Bytes,
        Kind::Bits,
    ];
    KINDS.into_iter().find(|kind| kind.word() == word).expect("the case names a known type")
}
