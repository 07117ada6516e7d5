//! The Ansible module protocol: what `AnsibleModule` is to a Python module.
//!
//! A module is a `Spec` (one static table) and a function from an `Invocation` to an `Outcome` or a `Failure`.
//! `main` does the rest: finds the module, reads and checks its arguments, redacts, logs, and prints exactly one
//! JSON object whatever happens. This crate knows nothing about what any module does.

pub mod argspec;
pub mod convert;
#[cfg(feature = "docs")]
pub mod docs;
mod emit;
mod entry;
mod help;
mod input;
pub mod interrupt;
mod invocation;
mod journal;
mod manual;
mod outcome;
pub mod python;
pub mod redact;
pub mod soundness;
mod spec;
pub mod validate;

pub use entry::{main, main_with};
pub use invocation::{Invocation, Module};
pub use manual::{Attribute, Ret, SeeAlso, Spec, Support};
pub use outcome::{DeprecationNotice, Diff, Failure, Outcome};
pub use spec::{DeprecatedAlias, Deprecation, Kind, Opt, Preset, Relations, Removal, RequiredIf};
