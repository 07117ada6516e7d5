//! Options of options, at any depth.

use serde_json::{Map, Value};

use super::secrets::has_suboptions;
use super::{Check, Class, names, relations};
use crate::spec::{Kind, Opt};

impl Check {
    /// Checks the suboptions of every mapping and list of mappings.
    pub(super) fn suboptions(&mut self, options: &[Opt], params: &mut Map<String, Value>, prefix: &str) {
        for option in options.iter().filter(|option| !option.options.is_empty() && has_suboptions(option)) {
            let Some(value) = params.get_mut(option.name) else {
                continue;
            };
            if value.is_null() {
                if !option.apply_defaults {
                    continue;
                }
                *value = Value::Object(Map::new());
            }
            self.context.push(option.name.to_owned());
            let elements = match value {
                Value::Array(items) => items.as_mut_slice(),
                other => std::slice::from_mut(other),
            };
            for (index, element) in elements.iter_mut().enumerate() {
                let Value::Object(map) = element else {
                    let msg = format!("value of '{}' must be of type dict or list of dicts", option.name);
                    self.problem(Class::SubParameterType, msg);
                    continue;
                };
                let place = if option.kind == Kind::List { format!("[{index}]") } else { String::new() };
                self.level(option, map, &format!("{prefix}{}{place}.", option.name));
            }
            self.context.pop();
        }
    }

    fn level(&mut self, option: &Opt, params: &mut Map<String, Value>, prefix: &str) {
        let aliases = names::apply_aliases(option.options, params);
        self.checked.warnings.extend(names::double_use(&aliases.double, prefix));
        let notices = names::deprecated_aliases(option.options, &aliases.given_deprecated, prefix);
        self.checked.deprecations.extend(notices);
        self.note_secrets(option.options, params);
        self.note_unsupported(option.options, params);
        let exclusive = relations::mutually_exclusive(&option.relations, params, &self.context);
        self.relation(exclusive, Class::MutuallyExclusive);
        self.fill_and_convert(option.options, &option.relations, params);
        self.suboptions(option.options, params, prefix);
    }
}
