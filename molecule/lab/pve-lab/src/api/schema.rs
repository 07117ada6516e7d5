//! Parameter schemas and their verification, in the words of PVE's JSON schema check.

use std::collections::BTreeMap;

use super::{ApiError, Params};
use crate::corosync_conf::Link;

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Text,
    /// Text of at most so many characters.
    Short(usize),
    Boolean,
    /// Least value; there is no greatest.
    Integer(i64),
    NodeName,
    /// A node name of at most 15 characters.
    ClusterName,
    Fingerprint,
    /// `link0` … `link7`.
    Links,
    /// Taken from the path or the command line's first words, else as text.
    Address,
}

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    pub name: &'static str,
    pub kind: Kind,
    pub is_required: bool,
}

pub const fn required(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, is_required: true }
}

pub const fn optional(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, is_required: false }
}

const UNKNOWN: &str = "property is not defined in schema and the schema does not allow additional properties";
const MISSING: &str = "property is missing and it is not optional";

pub fn link_number(name: &str) -> Option<u8> {
    name.strip_prefix("link")?.parse().ok().filter(|number| *number < 8)
}

pub fn is_node_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn is_fingerprint(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == 32
        && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

pub fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// Checks all parameters; the error names every one that is wrong.
pub fn verify(schema: &[Param], params: &Params) -> Result<(), ApiError> {
    let mut errors = BTreeMap::new();
    for param in schema {
        if param.is_required && !params.contains_key(param.name) {
            errors.insert(param.name.to_owned(), MISSING.to_owned());
        }
    }
    for (name, value) in params {
        let known = schema.iter().find(|param| match param.kind {
            Kind::Links => link_number(name).is_some(),
            _ => param.name == name,
        });
        let wrong = match known {
            None => Some(UNKNOWN.to_owned()),
            Some(param) => wrong_value(name, param.kind, value),
        };
        if let Some(wrong) = wrong {
            errors.insert(name.clone(), wrong);
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::parameters(errors)) }
}

fn wrong_value(name: &str, kind: Kind, value: &str) -> Option<String> {
    match kind {
        Kind::Text | Kind::Address => None,
        Kind::Short(most) if value.chars().count() > most => {
            Some(format!("value may only be {most} characters long"))
        }
        Kind::Short(_) => None,
        Kind::Boolean => {
            truth(value).is_none().then(|| format!("type check ('boolean') failed - got '{value}'"))
        }
        Kind::Integer(least) => match value.parse::<i64>() {
            Err(_) => Some(format!("type check ('integer') failed - got '{value}'")),
            Ok(number) if number < least => Some(format!("value must have a minimum value of {least}")),
            Ok(_) => None,
        },
        Kind::NodeName | Kind::ClusterName if !is_node_name(value) => {
            Some("invalid format - value does not look like a valid node name\n".to_owned())
        }
        Kind::ClusterName if value.len() > 15 => Some("value may only be 15 characters long".to_owned()),
        Kind::NodeName | Kind::ClusterName => None,
        Kind::Fingerprint => {
            (!is_fingerprint(value)).then(|| "value does not match the regex pattern".to_owned())
        }
        Kind::Links => parse_link(value).err().map(|problems| {
            let list: String =
                problems.iter().map(|(key, problem)| format!("{name}.{key}: {problem}\n")).collect();
            format!("invalid format - format error\n{list}")
        }),
    }
}

/// Reads `[address=]<IP>[,priority=<0-255>]`.
pub fn parse_link(text: &str) -> Result<Link, BTreeMap<String, String>> {
    let mut link = Link { address: String::new(), priority: None };
    let mut problems = BTreeMap::new();
    for part in text.split(',') {
        match part.split_once('=') {
            None => link.address = part.to_owned(),
            Some(("address", address)) => link.address = address.to_owned(),
            Some(("priority", priority)) => match priority.parse::<i64>() {
                Err(_) => {
                    problems.insert(
                        "priority".to_owned(),
                        format!("type check ('integer') failed - got '{priority}'"),
                    );
                }
                Ok(number) if number < 0 => {
                    problems.insert("priority".to_owned(), "value must have a minimum value of 0".to_owned());
                }
                Ok(number) => match u8::try_from(number) {
                    Ok(number) => link.priority = Some(number),
                    Err(_) => {
                        problems.insert(
                            "priority".to_owned(),
                            "value must have a maximum value of 255".to_owned(),
                        );
                    }
                },
            },
            Some((key, _)) => {
                problems.insert(key.to_owned(), UNKNOWN.to_owned());
            }
        }
    }
    if link.address.is_empty() && problems.is_empty() {
        problems.insert("address".to_owned(), MISSING.to_owned());
    }
    if problems.is_empty() { Ok(link) } else { Err(problems) }
}

/// The links among verified parameters.
pub fn links(params: &Params) -> BTreeMap<u8, Link> {
    params.iter().filter_map(|(name, value)| Some((link_number(name)?, parse_link(value).ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_are_letters_digits_and_inner_dashes() {
        for good in ["a", "pve1", "a-b", "9x"] {
            assert!(is_node_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a.b", "a_b", "a b", "ä"] {
            assert!(!is_node_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_link_names_every_fault() {
        assert_eq!(
            parse_link("10.0.0.1,priority=20"),
            Ok(Link { address: "10.0.0.1".to_owned(), priority: Some(20) })
        );
        let problems = parse_link("10.0.0.1,prio=1,priority=999").unwrap_err();
        assert_eq!(problems["prio"], UNKNOWN);
        assert_eq!(problems["priority"], "value must have a maximum value of 255");
    }
}
