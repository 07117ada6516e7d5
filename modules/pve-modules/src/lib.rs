//! The modules of the collection, one folder each. Owns the list of them; what the binary does with it is `main`.

use ansible_module::Module;

#[cfg(test)]
mod calling;
#[cfg(test)]
mod forming;
pub mod operating;
pub mod pve_audit_info;
pub mod pve_cluster_create;
pub mod pve_cluster_info;
pub mod pve_cluster_join;
pub mod pve_cluster_member;
pub mod pve_cluster_plan;
pub mod pve_cluster_recover;
pub mod pve_cluster_reset;
pub mod pve_cluster_trust;
pub mod pve_cluster_validate;
pub mod pve_join_credential;
pub mod pve_join_credential_info;
pub mod pve_link_probe;
pub mod pve_preflight;
pub mod pve_qdevice;
pub mod ranges;
pub mod steps;
pub mod vocabulary;

/// Every module, in the order of `--help`.
pub static MODULES: &[&Module] = &[
    &pve_cluster_create::MODULE,
    &pve_cluster_info::MODULE,
    &pve_cluster_plan::MODULE,
    &pve_cluster_join::MODULE,
    &pve_cluster_member::MODULE,
    &pve_cluster_trust::MODULE,
    &pve_cluster_validate::MODULE,
    &pve_join_credential::MODULE,
    &pve_join_credential_info::MODULE,
    &pve_qdevice::MODULE,
    &pve_cluster_recover::MODULE,
    &pve_cluster_reset::MODULE,
    &pve_preflight::MODULE,
    &pve_link_probe::MODULE,
    &pve_audit_info::MODULE,
];
