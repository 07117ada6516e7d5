//! What options demand of each other. Each check gives ansible-core's message when broken.

use serde_json::{Map, Value};

use super::values::in_type_of;
use crate::python::{equal, text};
use crate::spec::{Opt, Relations};

type Params = Map<String, Value>;

fn located(msg: String, context: &[String]) -> String {
    if context.is_empty() { msg } else { format!("{msg} found in {}", context.join(" -> ")) }
}

/// At most one of each group; an explicit null counts as given.
pub fn mutually_exclusive(relations: &Relations, params: &Params, context: &[String]) -> Option<String> {
    let broken: Vec<String> = relations
        .mutually_exclusive
        .iter()
        .filter(|group| count(group, params) > 1)
        .map(|group| group.join("|"))
        .collect();
    (!broken.is_empty())
        .then(|| located(format!("parameters are mutually exclusive: {}", broken.join(", ")), context))
}

/// Every required option, before types are looked at.
pub fn required(options: &[Opt], params: &Params, context: &[String]) -> Option<String> {
    let mut missing: Vec<&str> = options
        .iter()
        .filter(|option| option.required && !params.contains_key(option.name))
        .map(|option| option.name)
        .collect();
    missing.sort_unstable();
    (!missing.is_empty())
        .then(|| located(format!("missing required arguments: {}", missing.join(", ")), context))
}

/// All of a group or none.
pub fn required_together(relations: &Relations, params: &Params, context: &[String]) -> Option<String> {
    let group =
        relations.required_together.iter().find(|group| (1..group.len()).contains(&count(group, params)))?;
    Some(located(format!("parameters are required together: {}", group.join(", ")), context))
}

/// At least one of a group.
pub fn required_one_of(relations: &Relations, params: &Params, context: &[String]) -> Option<String> {
    let group = relations.required_one_of.iter().find(|group| count(group, params) == 0)?;
    Some(located(format!("one of the following is required: {}", group.join(", ")), context))
}

/// Required by a value of another option.
pub fn required_if(
    relations: &Relations,
    options: &[Opt],
    params: &Params,
    context: &[String],
) -> Option<String> {
    relations.required_if.iter().find_map(|rule| {
        let wanted = in_type_of(options, rule.option, rule.value);
        params.get(rule.option).filter(|given| equal(given, &wanted))?;
        let missing: Vec<&str> =
            rule.requires.iter().filter(|name| !params.contains_key(**name)).copied().collect();
        let allowed = if rule.any { rule.requires.len() } else { 1 };
        (!missing.is_empty() && missing.len() >= allowed).then(|| {
            let msg = format!(
                "{} is {} but {} of the following are missing: {}",
                rule.option,
                text(&wanted),
                if rule.any { "any" } else { "all" },
                missing.join(", ")
            );
            located(msg, context)
        })
    })
}

/// Required by the presence of another option; null counts as absent here.
pub fn required_by(relations: &Relations, params: &Params, context: &[String]) -> Option<String> {
    let is_given = |name: &str| params.get(name).is_some_and(|value| !value.is_null());
    relations.required_by.iter().filter(|(option, _)| is_given(option)).find_map(|(option, requires)| {
        let missing: Vec<&str> = requires.iter().filter(|name| !is_given(name)).copied().collect();
        (!missing.is_empty()).then(|| {
            located(format!("missing parameter(s) required by '{option}': {}", missing.join(", ")), context)
        })
    })
}

fn count(group: &[&str], params: &Params) -> usize {
    group.iter().filter(|name| params.contains_key(**name)).count()
}
