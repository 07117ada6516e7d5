//! Names of options: aliases, what is supported, what is deprecated.

use serde_json::{Map, Value};

use crate::outcome::DeprecationNotice;
use crate::spec::{DeprecatedAlias, Opt, Removal};

/// Which aliases were used.
pub struct Aliases {
    /// Option and alias, where both were given.
    pub double: Vec<(&'static str, &'static str)>,
    /// Deprecated aliases that were given.
    pub given_deprecated: Vec<&'static str>,
}

/// Copies the value of an alias to its option. The alias wins over the option, and the last alias over the others.
pub fn apply_aliases(options: &[Opt], params: &mut Map<String, Value>) -> Aliases {
    let mut aliases = Aliases { double: Vec::new(), given_deprecated: Vec::new() };
    for option in options {
        for alias in option.deprecated_aliases {
            if params.contains_key(alias.name) {
                aliases.given_deprecated.push(alias.name);
            }
        }
        for alias in option.aliases {
            if let Some(value) = params.get(*alias).cloned() {
                if params.insert(option.name.to_owned(), value).is_some() {
                    aliases.double.push((option.name, alias));
                }
            }
        }
    }
    aliases
}

/// The warnings for an option and its alias both given.
pub fn double_use(double: &[(&str, &str)], prefix: &str) -> Vec<String> {
    double
        .iter()
        .map(|(option, alias)| format!("Both option {prefix}{option} and its alias {prefix}{alias} are set."))
        .collect()
}

/// The notices for deprecated aliases that were given.
pub fn deprecated_aliases(options: &[Opt], given: &[&str], prefix: &str) -> Vec<DeprecationNotice> {
    let known = |name: &str| -> Option<&DeprecatedAlias> {
        options.iter().flat_map(|option| option.deprecated_aliases).find(|alias| alias.name == name)
    };
    given
        .iter()
        .filter_map(|name| known(name))
        .map(|alias| {
            let msg = format!(
                "Alias '{prefix}{}' is deprecated. See the module docs for more information",
                alias.name
            );
            notice(msg, alias.removal, alias.collection)
        })
        .collect()
}

/// Notices for deprecated options that were given, suboptions too.
pub fn deprecated_options(
    options: &[Opt],
    params: &Map<String, Value>,
    prefix: &str,
    notices: &mut Vec<DeprecationNotice>,
) {
    for option in options {
        let Some(value) = params.get(option.name) else {
            continue;
        };
        let name =
            if prefix.is_empty() { option.name.to_owned() } else { format!("{prefix}[\"{}\"]", option.name) };
        if let Some(deprecation) = option.deprecation {
            let msg = format!("Param '{name}' is deprecated. See the module docs for more information");
            notices.push(notice(msg, deprecation.removal, deprecation.collection));
        }
        let elements = match value {
            Value::Array(items) => items.as_slice(),
            other => std::slice::from_ref(other),
        };
        for map in elements.iter().filter_map(Value::as_object) {
            deprecated_options(option.options, map, &name, notices);
        }
    }
}

fn notice(msg: String, removal: Removal, collection: &str) -> DeprecationNotice {
    let (version, date) = match removal {
        Removal::Version(version) => (Some(version.to_owned()), None),
        Removal::Date(date) => (None, Some(date.to_owned())),
    };
    DeprecationNotice { msg, version, date, collection_name: Some(collection.to_owned()) }
}

/// An option or an alias of one.
pub fn is_known(options: &[Opt], name: &str) -> bool {
    options.iter().any(|option| option.name == name || option.aliases.contains(&name))
}

/// The supported options, and their aliases in parentheses.
pub fn supported(options: &[Opt]) -> String {
    let mut aliases: Vec<&str> = options.iter().flat_map(|option| option.aliases).copied().collect();
    let mut names: Vec<&str> =
        options.iter().map(|option| option.name).filter(|name| !aliases.contains(name)).collect();
    names.sort_unstable();
    aliases.sort_unstable();
    aliases.dedup();
    let mut text = names.join(", ");
    if !aliases.is_empty() {
        text.push_str(&format!(" ({})", aliases.join(", ")));
    }
    text
}
