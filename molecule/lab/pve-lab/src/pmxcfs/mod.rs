//! pmxcfs: the cluster file system on /etc/pve. `tree` is the data, `store` where it lives, `cfs` the rules of
//! who may change it when, `operations` and `filesystem` the FUSE side, `monitor` the eye on corosync, `daemon` the process.

mod cfs;
mod cluster_info;
mod daemon;
mod filesystem;
mod monitor;
mod operations;
mod store;
mod tree;
mod virtual_files;

#[cfg(test)]
mod mount_tests;

pub use cfs::{DATABASE, now};
pub use cluster_info::QuorumView;
pub use daemon::run;
pub use store::LocalDatabase;
