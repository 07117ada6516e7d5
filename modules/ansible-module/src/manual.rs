//! What a module says about itself beside its options: the whole `Spec`, its results, its attributes.
//!
//! Plain data. Knows neither how it is rendered nor how arguments are checked.

use crate::spec::{Kind, Opt, Relations};

/// A value a module returns.
#[derive(Clone, Copy, Debug)]
pub struct Ret {
    /// The key in the result.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The type of a list's elements.
    pub elements: Option<Kind>,
    /// One paragraph an entry.
    pub description: &'static [&'static str],
    /// When it is there, such as `always` or `on failure`.
    pub returned: &'static str,
    /// An example, as JSON text.
    pub sample: Option<&'static str>,
    /// What a mapping, or each mapping of a list, holds.
    pub contains: &'static [Ret],
    /// The collection version that brought it, where not the module's own.
    pub version_added: Option<&'static str>,
}

impl Ret {
    /// A value that is always returned.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind, description: &'static [&'static str]) -> Ret {
        Ret {
            name,
            kind,
            elements: None,
            description,
            returned: "always",
            sample: None,
            contains: &[],
            version_added: None,
        }
    }

    /// When it is returned.
    #[must_use]
    pub const fn returned(self, returned: &'static str) -> Ret {
        Ret { returned, ..self }
    }

    /// The type of a list's elements.
    #[must_use]
    pub const fn elements(self, kind: Kind) -> Ret {
        Ret { elements: Some(kind), ..self }
    }

    /// An example, as JSON text.
    #[must_use]
    pub const fn sample(self, json: &'static str) -> Ret {
        Ret { sample: Some(json), ..self }
    }

    /// What a mapping, or each mapping of a list, holds.
    #[must_use]
    pub const fn contains(self, contains: &'static [Ret]) -> Ret {
        Ret { contains, ..self }
    }

    /// The collection version that brought the value.
    #[must_use]
    pub const fn version_added(self, version: &'static str) -> Ret {
        Ret { version_added: Some(version), ..self }
    }
}

/// How far a module supports something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Wholly.
    Full,
    /// In part; the details say what.
    Partial,
    /// Not at all.
    None,
}

impl Support {
    /// The word Ansible's documentation uses.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Support::Full => "full",
            Support::Partial => "partial",
            Support::None => "none",
        }
    }
}

/// An attribute of the documentation beside `check_mode`, `diff_mode` and `platform`.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// Such as `async` or `action`.
    pub name: &'static str,
    /// What the attribute means.
    pub description: &'static str,
    /// How far it is supported.
    pub support: Support,
    /// What a user should know.
    pub details: &'static [&'static str],
}

/// Something to read besides.
#[derive(Clone, Copy, Debug)]
pub enum SeeAlso {
    /// Another module, by its full name.
    Module(&'static str, &'static str),
    /// A page: title, link, description.
    Link(&'static str, &'static str, &'static str),
}

/// All there is to say about one module.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The module's name without its collection.
    pub name: &'static str,
    /// One line without a full stop.
    pub short_description: &'static str,
    /// One paragraph an entry, in Ansible's markup.
    pub description: &'static [&'static str],
    /// The options.
    pub options: &'static [Opt],
    /// What options demand of each other.
    pub relations: Relations,
    /// Without it a run in check mode is skipped, as Ansible's own modules do.
    pub supports_check_mode: bool,
    /// What a user should know about check mode.
    pub check_mode_details: &'static [&'static str],
    /// It returns a diff.
    pub supports_diff: bool,
    /// What it runs on, such as `debian`.
    pub platforms: &'static str,
    /// Further attributes.
    pub attributes: &'static [Attribute],
    /// YAML tasks.
    pub examples: &'static str,
    /// What it returns.
    pub returns: &'static [Ret],
    /// Notes.
    pub notes: &'static [&'static str],
    /// What to read besides.
    pub seealso: &'static [SeeAlso],
    /// What the host needs.
    pub requirements: &'static [&'static str],
    /// Who wrote it, as `Name (@handle)`.
    pub author: &'static [&'static str],
    /// The collection version that brought it.
    pub version_added: &'static str,
}

impl Spec {
    /// A module without options. Fill the rest with the builders or with `Spec { options: &[…], ..Spec::new(…) }`.
    #[must_use]
    pub const fn new(
        name: &'static str,
        short_description: &'static str,
        description: &'static [&'static str],
    ) -> Spec {
        Spec {
            name,
            short_description,
            description,
            options: &[],
            relations: Relations::NONE,
            supports_check_mode: false,
            check_mode_details: &[],
            supports_diff: false,
            platforms: "debian",
            attributes: &[],
            examples: "",
            returns: &[],
            notes: &[],
            seealso: &[],
            requirements: &[],
            author: &[],
            version_added: "0.1.0",
        }
    }

    /// Without what only documentation files show, unless they are to be rendered (feature `docs`): examples,
    /// results and notes would travel to every host for nothing.
    #[must_use]
    pub const fn as_sent(self) -> Spec {
        if cfg!(feature = "docs") {
            return self;
        }
        Spec {
            check_mode_details: &[],
            attributes: &[],
            examples: "",
            returns: &[],
            notes: &[],
            seealso: &[],
            requirements: &[],
            author: &[],
            ..self
        }
    }
}
