//! Proxmox VE and corosync on one node: reading state, changing it, and observing what came of it.
//!
//! Everything that touches the machine goes through [`Node`], the host seam. This crate must not know who
//! calls it: no module protocol, no playbook words.

pub mod deadline;
pub mod facts;
pub mod node;

pub use deadline::{Deadline, Progress};
pub use node::{Cmd, FileMode, Host, Node, Output, RealHost, Replaced, RunError};
pub use secrecy::{ExposeSecret, SecretString};
