//! Whether a table makes sense, for the tests of whoever writes one.
//!
//! The entry trusts the table: a default that does not fit its type would show only when a user leaves the option
//! out. Every module's tests should assert that `defects` finds nothing.

use crate::convert::convert;
use crate::journal::looks_secret;
use crate::manual::{Ret, Spec};
use crate::python::equal;
use crate::spec::{Kind, Opt, Preset, Relations};
use crate::validate::{in_type, preset};

/// What is wrong with the table, each with its place. Empty for a sound one.
#[must_use]
pub fn defects(spec: &Spec) -> Vec<String> {
    let mut defects = Vec::new();
    if spec.description.is_empty() || spec.short_description.ends_with('.') {
        defects.push("the module needs a description, and a short one without a full stop".to_owned());
    }
    if spec.author.is_empty() || spec.examples.trim().is_empty() {
        defects.push("the module needs an author and examples".to_owned());
    }
    options(spec.options, "", &mut defects);
    relations(&spec.relations, spec.options, "", &mut defects);
    returns(spec.returns, "", &mut defects);
    defects
}

fn options(all: &[Opt], prefix: &str, defects: &mut Vec<String>) {
    let mut names: Vec<&str> = Vec::new();
    for opt in all {
        let place = format!("option {prefix}{}", opt.name);
        for name in std::iter::once(&opt.name).chain(opt.aliases) {
            if names.contains(name) {
                defects.push(format!("{place}: the name {name:?} is taken"));
            }
            names.push(name);
        }
        defects.extend(option(opt).into_iter().map(|defect| format!("{place}: {defect}")));
        options(opt.options, &format!("{prefix}{}.", opt.name), defects);
        relations(&opt.relations, opt.options, &format!("{prefix}{}.", opt.name), defects);
    }
}

fn option(opt: &Opt) -> Vec<String> {
    let mut defects = Vec::new();
    let inner = opt.elements.unwrap_or(opt.kind);
    if opt.description.is_empty() {
        defects.push("no description".to_owned());
    }
    if opt.no_log.is_none() && (looks_secret(opt.name) || opt.name.contains("secret")) {
        defects.push("looks like a secret: say no_log or not_secret".to_owned());
    }
    if (opt.kind == Kind::List) != opt.elements.is_some() {
        defects.push("a list needs elements, and only a list has them".to_owned());
    }
    if !opt.options.is_empty() && inner != Kind::Dict {
        defects.push("only a dict, or a list of dicts, has suboptions".to_owned());
    }
    if let Some(alias) = opt.deprecated_aliases.iter().find(|alias| !opt.aliases.contains(&alias.name)) {
        defects.push(format!("the deprecated alias {:?} is no alias", alias.name));
    }
    for choice in opt.choices {
        let value = serde_json::Value::from(*choice);
        if !convert(inner, &value).is_ok_and(|converted| equal(&converted, &in_type(inner, choice))) {
            defects.push(format!("the choice {choice:?} is no {}", inner.word()));
        }
    }
    if let Some(default) = opt.default {
        if opt.required {
            defects.push("required and default exclude each other".to_owned());
        }
        if let Preset::Json(json) = default {
            if serde_json::from_str::<serde_json::Value>(json).is_err() {
                defects.push(format!("the default {json} is not JSON: use default_text for text"));
            }
        }
        let value = preset(default);
        match convert(opt.kind, &value) {
            Err(why) => defects.push(format!("the default is no {}: {why}", opt.kind.word())),
            Ok(value) => {
                let items = value.as_array().cloned().unwrap_or_else(|| vec![value]);
                let is_choice = |item| opt.choices.iter().any(|choice| equal(item, &in_type(inner, choice)));
                if !opt.choices.is_empty() && !items.iter().all(is_choice) {
                    defects.push("the default is not among the choices".to_owned());
                }
            }
        }
    }
    defects
}

fn relations(relations: &Relations, all: &[Opt], prefix: &str, defects: &mut Vec<String>) {
    let groups = [relations.mutually_exclusive, relations.required_together, relations.required_one_of];
    let mut names: Vec<&str> = groups.into_iter().flatten().copied().flatten().copied().collect();
    for rule in relations.required_if {
        names.push(rule.option);
        names.extend(rule.requires);
        let choices = all.iter().find(|opt| opt.name == rule.option).map_or(&[][..], |opt| opt.choices);
        if !choices.is_empty() && !choices.contains(&rule.value) {
            defects.push(format!("relations of {prefix}{}: {:?} is no choice", rule.option, rule.value));
        }
    }
    for (option, requires) in relations.required_by {
        names.push(option);
        names.extend(*requires);
    }
    for name in names {
        if !all.iter().any(|opt| opt.name == name) {
            defects.push(format!("relations: there is no option {prefix}{name}"));
        }
    }
}

fn returns(all: &[Ret], prefix: &str, defects: &mut Vec<String>) {
    for ret in all {
        let place = format!("result {prefix}{}", ret.name);
        if ret.description.is_empty() {
            defects.push(format!("{place}: no description"));
        }
        if (ret.kind == Kind::List) != ret.elements.is_some() {
            defects.push(format!("{place}: a list needs elements, and only a list has them"));
        }
        if let Some(sample) = ret.sample {
            let value = serde_json::from_str::<serde_json::Value>(sample);
            let fits =
                value.is_ok_and(|value| convert(ret.kind, &value).is_ok_and(|same| equal(&same, &value)));
            if !fits {
                defects.push(format!("{place}: the sample {sample} is not JSON of type {}", ret.kind.word()));
            }
        }
        returns(ret.contains, &format!("{prefix}{}.", ret.name), defects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::RequiredIf;

    #[test]
    fn every_kind_of_defect_is_found() {
        static OPTIONS: &[Opt] = &[
            Opt::new("name", Kind::Str, &["x"]).required().default_text("a"),
            Opt::new("count", Kind::Int, &["x"]).default("\"many\""),
            Opt::new("text", Kind::Str, &["x"]).default("bare").aliases(&["name"]),
            Opt::new("mode", Kind::Str, &["x"]).choices(&["a", "b"]).default_text("c"),
            Opt::new("level", Kind::Int, &[]).choices(&["one"]),
            Opt::new("password", Kind::Str, &["x"]),
            Opt::new("items", Kind::List, &["x"]),
            Opt::new("map", Kind::Str, &["x"]).options(&[Opt::new("inner", Kind::Str, &["x"])]),
        ];
        static SPEC: Spec = Spec {
            options: OPTIONS,
            relations: Relations {
                required_if: &[RequiredIf { option: "mode", value: "z", requires: &["gone"], any: false }],
                ..Relations::NONE
            },
            returns: &[Ret::new("n", Kind::Int, &["x"]).sample("\"a\"")],
            examples: "- name: x",
            author: &["Example (@example)"],
            ..Spec::new("m", "Short", &["Long."])
        };
        assert_eq!(
            defects(&SPEC),
            [
                "option name: required and default exclude each other",
                "option count: the default is no int: \"'many'\" cannot be converted to an int",
                "option text: the name \"name\" is taken",
                "option text: the default bare is not JSON: use default_text for text",
                "option mode: the default is not among the choices",
                "option level: no description",
                "option level: the choice \"one\" is no int",
                "option password: looks like a secret: say no_log or not_secret",
                "option items: a list needs elements, and only a list has them",
                "option map: only a dict, or a list of dicts, has suboptions",
                "relations of mode: \"z\" is no choice",
                "relations: there is no option gone",
                "result n: the sample \"a\" is not JSON of type int",
            ]
        );
    }
}
