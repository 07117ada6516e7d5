//! The table a module is described by: options, relations, results, documentation.
//!
//! One static `Spec` is the single source of types, defaults, choices, aliases, `no_log`, relations and
//! documentation. This file owns the shape of that table and how it is written down; what the table means for
//! given arguments is `validate`, how it is rendered is `docs` and `help`.

/// The type of an option, as `type:` and `elements:` name it in an Ansible argument spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; everything else is converted as Python's `str` would.
    Str,
    /// A whole number that fits 64 bits.
    Int,
    /// A number.
    Float,
    /// A boolean or one of Ansible's boolean words.
    Bool,
    /// A list, or text with commas.
    List,
    /// A mapping, or its text as JSON, as a Python literal or as `key=value` pairs.
    Dict,
    /// Text with `~` and `$VARIABLE` expanded.
    Path,
    /// Anything, untouched.
    Raw,
    /// JSON text; lists and mappings are serialised.
    Json,
    /// A size such as `2MB`, as a number of bytes.
    Bytes,
    /// A size such as `2Mb`, as a number of bits.
    Bits,
}

impl Kind {
    /// The word Ansible uses for the type.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Str => "str",
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Bool => "bool",
            Kind::List => "list",
            Kind::Dict => "dict",
            Kind::Path => "path",
            Kind::Raw => "raw",
            Kind::Json => "json",
            Kind::Bytes => "bytes",
            Kind::Bits => "bits",
        }
    }
}

/// A default value, written in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// JSON text, for numbers, booleans, lists and mappings.
    Json(&'static str),
    /// Plain text.
    Text(&'static str),
}

/// When an option or an alias goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// In this version of the collection.
    Version(&'static str),
    /// After this date, `YYYY-MM-DD`.
    Date(&'static str),
}

/// An alias that still works and warns.
#[derive(Clone, Copy, Debug)]
pub struct DeprecatedAlias {
    /// The alias.
    pub name: &'static str,
    /// When it goes away.
    pub removal: Removal,
    /// The collection it goes away from, as `namespace.name`.
    pub collection: &'static str,
}

/// An option that goes away.
#[derive(Clone, Copy, Debug)]
pub struct Deprecation {
    /// When it goes away.
    pub removal: Removal,
    /// The collection it goes away from, as `namespace.name`.
    pub collection: &'static str,
}

/// If `option` has `value`, the `requires` must be given: all of them, or with `any` one of them.
#[derive(Clone, Copy, Debug)]
pub struct RequiredIf {
    /// The option looked at.
    pub option: &'static str,
    /// Its value, in the option's own type (`"true"` for a bool, `"3"` for an int).
    pub value: &'static str,
    /// What is then required.
    pub requires: &'static [&'static str],
    /// One of them is enough.
    pub any: bool,
}

/// What options demand of each other.
#[derive(Clone, Copy, Debug)]
pub struct Relations {
    /// At most one of each group.
    pub mutually_exclusive: &'static [&'static [&'static str]],
    /// All of each group or none.
    pub required_together: &'static [&'static [&'static str]],
    /// At least one of each group.
    pub required_one_of: &'static [&'static [&'static str]],
    /// Required by a value of another option.
    pub required_if: &'static [RequiredIf],
    /// If the first is given, the others must be.
    pub required_by: &'static [(&'static str, &'static [&'static str])],
}

impl Relations {
    /// No relation at all.
    pub const NONE: Relations = Relations {
        mutually_exclusive: &[],
        required_together: &[],
        required_one_of: &[],
        required_if: &[],
        required_by: &[],
    };
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The type of a list's elements.
    pub elements: Option<Kind>,
    /// It must be given.
    pub required: bool,
    /// What it is when not given.
    pub default: Option<Preset>,
    /// The only values allowed, in the option's own type.
    pub choices: &'static [&'static str],
    /// Other names.
    pub aliases: &'static [&'static str],
    /// Other names that go away.
    pub deprecated_aliases: &'static [DeprecatedAlias],
    /// Secret, known not to be secret, or not said.
    pub no_log: Option<bool>,
    /// Options of a mapping, or of each element of a list of mappings.
    pub options: &'static [Opt],
    /// Relations between those.
    pub relations: Relations,
    /// Defaults of the suboptions apply even where the option is not given.
    pub apply_defaults: bool,
    /// The option goes away.
    pub deprecation: Option<Deprecation>,
    /// One paragraph an entry, in Ansible's markup.
    pub description: &'static [&'static str],
    /// The collection version that brought it, where not the module's own.
    pub version_added: Option<&'static str>,
}

impl Opt {
    /// An optional option without a default.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind, description: &'static [&'static str]) -> Opt {
        Opt {
            name,
            kind,
            elements: None,
            required: false,
            default: None,
            choices: &[],
            aliases: &[],
            deprecated_aliases: &[],
            no_log: None,
            options: &[],
            relations: Relations::NONE,
            apply_defaults: false,
            deprecation: None,
            description,
            version_added: None,
        }
    }

    /// It must be given.
    #[must_use]
    pub const fn required(self) -> Opt {
        Opt { required: true, ..self }
    }

    /// The default, as JSON text: `"60"`, `"true"`, `"[]"`. For text use `default_text`.
    #[must_use]
    pub const fn default(self, json: &'static str) -> Opt {
        Opt { default: Some(Preset::Json(json)), ..self }
    }

    /// The default of a text option, as it is.
    #[must_use]
    pub const fn default_text(self, text: &'static str) -> Opt {
        Opt { default: Some(Preset::Text(text)), ..self }
    }

    /// The only values allowed.
    #[must_use]
    pub const fn choices(self, choices: &'static [&'static str]) -> Opt {
        Opt { choices, ..self }
    }

    /// Other names.
    #[must_use]
    pub const fn aliases(self, aliases: &'static [&'static str]) -> Opt {
        Opt { aliases, ..self }
    }

    /// Other names that go away; list them in `aliases` too.
    #[must_use]
    pub const fn deprecated_aliases(self, deprecated_aliases: &'static [DeprecatedAlias]) -> Opt {
        Opt { deprecated_aliases, ..self }
    }

    /// The value is a secret: never logged, never returned.
    #[must_use]
    pub const fn no_log(self) -> Opt {
        Opt { no_log: Some(true), ..self }
    }

    /// The name looks like a secret's and the value is none.
    #[must_use]
    pub const fn not_secret(self) -> Opt {
        Opt { no_log: Some(false), ..self }
    }

    /// The type of a list's elements.
    #[must_use]
    pub const fn elements(self, kind: Kind) -> Opt {
        Opt { elements: Some(kind), ..self }
    }

    /// The options of a mapping, or of each mapping of a list.
    #[must_use]
    pub const fn options(self, options: &'static [Opt]) -> Opt {
        Opt { options, ..self }
    }

    /// Relations between the suboptions.
    #[must_use]
    pub const fn relations(self, relations: Relations) -> Opt {
        Opt { relations, ..self }
    }

    /// Defaults of the suboptions apply even where the option is not given.
    #[must_use]
    pub const fn apply_defaults(self) -> Opt {
        Opt { apply_defaults: true, ..self }
    }

    /// The option goes away.
    #[must_use]
    pub const fn deprecated(self, removal: Removal, collection: &'static str) -> Opt {
        Opt { deprecation: Some(Deprecation { removal, collection }), ..self }
    }

    /// The collection version that brought the option.
    #[must_use]
    pub const fn version_added(self, version: &'static str) -> Opt {
        Opt { version_added: Some(version), ..self }
    }
}
