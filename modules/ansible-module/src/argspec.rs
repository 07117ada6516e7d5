//! The table as an Ansible `argument_spec`, for `--argspec` and for comparing with ansible-core.

use serde_json::{Map, Value, json};

use crate::manual::Spec;
use crate::spec::{Opt, Relations, Removal};
use crate::validate::{in_type, in_type_of, preset};

/// `{"argument_spec": …, "mutually_exclusive": …, …, "supports_check_mode": …}`: the arguments of `AnsibleModule`.
#[must_use]
pub fn argument_spec(spec: &Spec) -> Value {
    let mut map = Map::new();
    map.insert("argument_spec".to_owned(), options(spec.options));
    relations(&mut map, &spec.relations, spec.options);
    map.insert("supports_check_mode".to_owned(), Value::Bool(spec.supports_check_mode));
    Value::Object(map)
}

fn options(options: &[Opt]) -> Value {
    Value::Object(options.iter().map(|opt| (opt.name.to_owned(), option(opt))).collect())
}

fn option(opt: &Opt) -> Value {
    let mut map = Map::new();
    let mut set = |key: &str, value: Value| map.insert(key.to_owned(), value);
    set("type", opt.kind.word().into());
    if let Some(kind) = opt.elements {
        set("elements", kind.word().into());
    }
    if opt.required {
        set("required", true.into());
    }
    if let Some(default) = opt.default {
        set("default", preset(default));
    }
    if !opt.choices.is_empty() {
        let kind = opt.elements.unwrap_or(opt.kind);
        set("choices", opt.choices.iter().map(|choice| in_type(kind, choice)).collect());
    }
    if !opt.aliases.is_empty() {
        set("aliases", opt.aliases.into());
    }
    if !opt.deprecated_aliases.is_empty() {
        let aliases = opt.deprecated_aliases.iter().map(|alias| {
            let (key, when) = match alias.removal {
                Removal::Version(version) => ("version", version),
                Removal::Date(date) => ("date", date),
            };
            json!({"name": alias.name, key: when, "collection_name": alias.collection})
        });
        set("deprecated_aliases", aliases.collect());
    }
    if let Some(no_log) = opt.no_log {
        set("no_log", no_log.into());
    }
    if let Some(deprecation) = opt.deprecation {
        match deprecation.removal {
            Removal::Version(version) => set("removed_in_version", version.into()),
            Removal::Date(date) => set("removed_at_date", date.into()),
        };
        set("removed_from_collection", deprecation.collection.into());
    }
    if opt.apply_defaults {
        set("apply_defaults", true.into());
    }
    if !opt.options.is_empty() {
        set("options", options(opt.options));
        relations(&mut map, &opt.relations, opt.options);
    }
    Value::Object(map)
}

fn relations(map: &mut Map<String, Value>, relations: &Relations, options: &[Opt]) {
    let groups = [
        ("mutually_exclusive", relations.mutually_exclusive),
        ("required_together", relations.required_together),
        ("required_one_of", relations.required_one_of),
    ];
    for (key, group) in groups {
        if !group.is_empty() {
            map.insert(key.to_owned(), json!(group));
        }
    }
    if !relations.required_if.is_empty() {
        let rules = relations.required_if.iter().map(|rule| {
            let value = in_type_of(options, rule.option, rule.value);
            json!([rule.option, value, rule.requires, rule.any])
        });
        map.insert("required_if".to_owned(), rules.collect());
    }
    if !relations.required_by.is_empty() {
        let rules =
            relations.required_by.iter().map(|(option, requires)| ((*option).to_owned(), json!(requires)));
        map.insert("required_by".to_owned(), Value::Object(rules.collect()));
    }
}
