//! Arguments against a table: what `ArgumentSpecValidator` of ansible-core does, in its order and its words.
//!
//! Only the first error reaches a user (as with `AnsibleModule`), so the order matters. Knows no internals of the
//! task, no output.

mod names;
mod relations;
mod secrets;
mod suboptions;
mod values;

use serde_json::{Map, Value};

use crate::outcome::DeprecationNotice;
use crate::spec::{Opt, Relations};

pub(crate) use values::{in_type, in_type_of, preset};

pub use crate::convert::boolean;

/// What kind of error, by the name of ansible-core's exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `AliasError`
    Alias,
    /// `NoLogError`
    NoLog,
    /// `UnsupportedError`
    Unsupported,
    /// `MutuallyExclusiveError`
    MutuallyExclusive,
    /// `RequiredError`
    Required,
    /// `ArgumentTypeError`
    ArgumentType,
    /// `ElementError`
    Element,
    /// `ArgumentValueError`
    ArgumentValue,
    /// `RequiredTogetherError`
    RequiredTogether,
    /// `RequiredOneOfError`
    RequiredOneOf,
    /// `RequiredIfError`
    RequiredIf,
    /// `RequiredByError`
    RequiredBy,
    /// `SubParameterTypeError`
    SubParameterType,
}

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub class: Class,
    /// Its text. May hold secrets until it is scrubbed.
    pub msg: String,
}

/// The arguments after the check.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Converted, with defaults; `null` where not given. Aliases that were used stay beside their option.
    pub params: Map<String, Value>,
    /// Every error, in ansible-core's order.
    pub problems: Vec<Problem>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// Deprecations for the user.
    pub deprecations: Vec<DeprecationNotice>,
    /// Values of `no_log` options.
    pub secrets: Vec<String>,
    /// Options that the table does not know, with the names of the options they stand in.
    pub unsupported: Vec<Vec<String>>,
}

/// Checks and converts the arguments of a module.
#[must_use]
pub fn validate(options: &[Opt], relations: &Relations, params: Map<String, Value>) -> Checked {
    let mut check = Check { checked: Checked::default(), context: Vec::new(), supported: Vec::new() };
    let mut params = params;

    let aliases = names::apply_aliases(options, &mut params);
    for notice in names::deprecated_aliases(options, &aliases.given_deprecated, "") {
        check.checked.deprecations.push(notice);
    }
    let alias_warnings = names::double_use(&aliases.double, "");
    check.note_secrets(options, &params);
    names::deprecated_options(options, &params, "", &mut check.checked.deprecations);
    check.note_unsupported(options, &params);
    check.relation(relations::mutually_exclusive(relations, &params, &[]), Class::MutuallyExclusive);
    check.fill_and_convert(options, relations, &mut params);
    check.suboptions(options, &mut params, "");
    check.unsupported_error();
    check.checked.warnings.extend(alias_warnings);
    // ansible-core knows the secret only as it was given; here also as it was converted.
    secrets::collect(options, &params, &mut check.checked.secrets, &mut None);
    check.checked.params = params;
    check.checked
}

/// A check under way.
struct Check {
    checked: Checked,
    /// The options that the suboptions under check belong to.
    context: Vec<String>,
    /// For each unsupported option, what its place does support.
    supported: Vec<(Vec<String>, String)>,
}

impl Check {
    fn problem(&mut self, class: Class, msg: String) {
        self.checked.problems.push(Problem { class, msg });
    }

    fn relation(&mut self, broken: Option<String>, class: Class) {
        if let Some(msg) = broken {
            self.problem(class, msg);
        }
    }

    fn note_secrets(&mut self, options: &[Opt], params: &Map<String, Value>) {
        let mut error = None;
        secrets::collect(options, params, &mut self.checked.secrets, &mut error);
        if let Some(msg) = error {
            self.problem(Class::NoLog, msg);
        }
    }

    fn note_unsupported(&mut self, options: &[Opt], params: &Map<String, Value>) {
        for key in params.keys().filter(|key| !names::is_known(options, key)) {
            let mut path = self.context.clone();
            path.push(key.clone());
            self.supported.push((path.clone(), names::supported(options)));
            self.checked.unsupported.push(path);
        }
    }

    /// Defaults, required options, types, choices and relations of one level.
    fn fill_and_convert(&mut self, options: &[Opt], relations: &Relations, params: &mut Map<String, Value>) {
        values::set_defaults(options, params, &mut self.checked.secrets);
        let missing = relations::required(options, params, &self.context);
        self.relation(missing, Class::Required);
        self.convert(options, params);
        self.choices(options, params);
        let context = std::mem::take(&mut self.context);
        self.relation(relations::required_together(relations, params, &context), Class::RequiredTogether);
        self.relation(relations::required_one_of(relations, params, &context), Class::RequiredOneOf);
        self.relation(relations::required_if(relations, options, params, &context), Class::RequiredIf);
        self.relation(relations::required_by(relations, params, &context), Class::RequiredBy);
        self.context = context;
        for option in options {
            if !params.contains_key(option.name) {
                params.insert(option.name.to_owned(), Value::Null);
            }
        }
    }

    /// One error for all unsupported options. ansible-core names the supported ones of whichever its set gives
    /// last; here it is the first by name.
    fn unsupported_error(&mut self) {
        let mut places: Vec<(String, &String)> =
            self.supported.iter().map(|(path, supported)| (path.join("."), supported)).collect();
        places.sort();
        places.dedup_by(|a, b| a.0 == b.0);
        let Some((_, supported)) = places.first() else {
            return;
        };
        let unsupported: Vec<&str> = places.iter().map(|(path, _)| path.as_str()).collect();
        let msg = format!("{}. Supported parameters include: {supported}.", unsupported.join(", "));
        self.problem(Class::Unsupported, msg);
    }
}
