//! The modules of the collection, one folder each. Owns the list of them; what the binary does with it is `main`.

use ansible_module::Module;

#[cfg(test)]
mod calling;
pub mod pve_cluster_info;
pub mod pve_preflight;
pub mod steps;
pub mod vocabulary;

/// Every module, in the order of `--help`.
pub static MODULES: &[&Module] = &[&pve_cluster_info::MODULE, &pve_preflight::MODULE];
