//! Proxmox VE and corosync on one node: reading state, changing it, and observing what came of it.
//!
//! Everything that touches the machine goes through [`Node`], the host seam. This crate must not know who
//! calls it: no module protocol, no playbook words.

pub mod admission;
pub mod audit;
pub mod base64;
pub mod certificate;
pub mod cfgtool;
pub mod claim;
pub mod clocks;
pub mod cluster_lock;
pub mod cluster_plan;
pub mod copies;
pub mod corosync_conf;
pub mod create;
pub mod credential;
pub mod deadline;
mod delist;
pub mod facts;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod gather;
pub mod https;
pub mod inventory;
pub mod join;
pub mod knet;
pub mod known_hosts;
pub mod link_probe;
pub mod names;
pub mod network;
pub mod node;
pub mod node_certificate;
pub mod observe;
pub mod operation;
pub mod order;
pub mod packages;
pub mod packet_filter;
pub mod pmxcfs;
pub mod preflight;
pub mod qdevice;
pub mod quorumtool;
pub mod recovery;
pub mod reload;
pub mod removal;
pub mod reset;
pub mod seal;
pub mod sentence;
pub mod separation;
pub mod services;
pub mod snapshot;
pub mod ssh_keys;
pub mod sshd;
pub mod time_sync;
pub mod trust;
pub mod validate;
pub mod verdict;
pub mod withdrawal;

pub use deadline::{Deadline, Progress};
pub use node::{Cmd, FileMode, Host, Node, Output, Partner, RealHost, Replaced, RunError, Socket, Turn};
pub use secrecy::{ExposeSecret, SecretString};
