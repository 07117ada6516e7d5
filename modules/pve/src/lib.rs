//! Proxmox VE and corosync on one node: reading state, changing it, and observing what came of it.
//!
//! Everything that touches the machine goes through [`Node`], the host seam. This crate must not know who
//! calls it: no module protocol, no playbook words.

pub mod base64;
pub mod cfgtool;
pub mod corosync_conf;
pub mod deadline;
pub mod facts;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod https;
pub mod node;
pub mod pmxcfs;
pub mod quorumtool;

pub use deadline::{Deadline, Progress};
pub use node::{Cmd, FileMode, Host, Node, Output, RealHost, Replaced, RunError};
pub use secrecy::{ExposeSecret, SecretString};
