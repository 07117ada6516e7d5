//! The modules of the collection, one folder each. Owns the list of them; what the binary does with it is `main`.

use ansible_module::Module;

/// Every module, in the order of `--help`.
pub static MODULES: &[&Module] = &[];
