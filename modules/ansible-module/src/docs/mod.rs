//! The documentation file of a module, out of its table: what `ansible-doc`, `ansible-test` and `antsibull-docs`
//! read beside the binary.
//!
//! Only built for the build tool (feature `docs`).

mod yaml;

use serde_json::{Map, Value, json};

use crate::argspec::argument_spec;
use crate::manual::{Ret, SeeAlso, Spec, Support};
use crate::spec::{Kind, Opt};
use crate::validate::{in_type, preset};

const HEADER: &str = "\
#!/usr/bin/python
# -*- coding: utf-8 -*-

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only, generated from the table of the module: change it there. The module is the binary beside it.

from __future__ import annotations
";

/// The text of `plugins/modules/NAME.py`: `DOCUMENTATION`, `EXAMPLES` and `RETURN`, nothing else.
#[must_use]
pub fn module_py(spec: &Spec) -> String {
    let sections = [
        ("DOCUMENTATION", yaml::document(&documentation(spec))),
        ("EXAMPLES", spec.examples.trim_matches('\n').to_owned() + "\n"),
        ("RETURN", yaml::document(&returns(spec.returns))),
    ];
    let mut text = HEADER.to_owned();
    for (name, body) in sections {
        let quote = if body.contains("\"\"\"") { "'''" } else { "\"\"\"" };
        text.push_str(&format!("\n{name} = r{quote}\n---\n{}{quote}\n", body.trim_start_matches("---\n")));
    }
    text
}

/// The table as `AnsibleModule` would be given it, as JSON text.
#[must_use]
pub fn argspec_json(spec: &Spec) -> String {
    format!("{:#}\n", argument_spec(spec))
}

/// The fields of `DOCUMENTATION`.
#[must_use]
pub fn documentation(spec: &Spec) -> Value {
    let mut map = Map::new();
    let mut set = |key: &str, value: Value| map.insert(key.to_owned(), value);
    set("module", spec.name.into());
    set("short_description", spec.short_description.into());
    set("version_added", spec.version_added.into());
    set("description", spec.description.into());
    set("author", spec.author.into());
    if !spec.requirements.is_empty() {
        set("requirements", spec.requirements.into());
    }
    set("attributes", attributes(spec));
    set("options", options(spec.options));
    if !spec.notes.is_empty() {
        set("notes", spec.notes.into());
    }
    if !spec.seealso.is_empty() {
        set("seealso", spec.seealso.iter().map(see_also).collect());
    }
    Value::Object(map)
}

fn see_also(entry: &SeeAlso) -> Value {
    match *entry {
        SeeAlso::Module(name, "") => json!({"module": name}),
        SeeAlso::Module(name, description) => json!({"module": name, "description": description}),
        SeeAlso::Link(name, link, description) => {
            json!({"name": name, "link": link, "description": description})
        }
    }
}

fn attributes(spec: &Spec) -> Value {
    let support = |is_supported| if is_supported { Support::Full } else { Support::None };
    let mut map = Map::new();
    let mut set = |name: &str, description: &str, support: Support, details: &[&str]| {
        let mut entry = Map::new();
        entry.insert("description".to_owned(), description.into());
        entry.insert("support".to_owned(), support.word().into());
        if !details.is_empty() {
            entry.insert("details".to_owned(), details.into());
        }
        map.insert(name.to_owned(), Value::Object(entry));
    };
    set(
        "check_mode",
        "Can run in check mode and tell what it would change, without changing anything.",
        support(spec.supports_check_mode),
        spec.check_mode_details,
    );
    set(
        "diff_mode",
        "Returns what changed, or would change in check mode, when run in diff mode.",
        support(spec.supports_diff),
        &[],
    );
    set("platform", "The systems the module runs on.", Support::Full, &[]);
    for attribute in spec.attributes {
        set(attribute.name, attribute.description, attribute.support, attribute.details);
    }
    map["platform"]["platforms"] = spec.platforms.into();
    Value::Object(map)
}

fn options(options: &[Opt]) -> Value {
    Value::Object(options.iter().map(|opt| (opt.name.to_owned(), option(opt))).collect())
}

fn option(opt: &Opt) -> Value {
    let mut map = Map::new();
    let mut set = |key: &str, value: Value| map.insert(key.to_owned(), value);
    set("description", opt.description.into());
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
    if let Some(version) = opt.version_added {
        set("version_added", version.into());
    }
    if !opt.options.is_empty() {
        set("suboptions", options(opt.options));
    }
    Value::Object(map)
}

/// The fields of `RETURN`.
#[must_use]
pub fn returns(returns: &[Ret]) -> Value {
    Value::Object(returns.iter().map(|ret| (ret.name.to_owned(), returned(ret))).collect())
}

fn returned(ret: &Ret) -> Value {
    let mut map = Map::new();
    let mut set = |key: &str, value: Value| map.insert(key.to_owned(), value);
    set("description", ret.description.into());
    set("returned", ret.returned.into());
    // A path comes back as the text it is.
    let word = |kind: Kind| if kind == Kind::Path { "str" } else { kind.word() };
    set("type", word(ret.kind).into());
    if let Some(kind) = ret.elements {
        set("elements", word(kind).into());
    }
    if let Some(version) = ret.version_added {
        set("version_added", version.into());
    }
    if let Some(sample) = ret.sample {
        set("sample", serde_json::from_str(sample).unwrap_or_else(|_| sample.into()));
    }
    if !ret.contains.is_empty() {
        set("contains", returns(ret.contains));
    }
    Value::Object(map)
}
