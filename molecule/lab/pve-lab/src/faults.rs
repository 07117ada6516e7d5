//! Faults that a test injects through `/var/lib/pve-lab/faults.json`: read anew at each use, so that a test can
//! set and clear them while the node runs. Without the file nothing is faulty.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serde::Deserialize;

/// The faults in force. Every key is optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultSet {
    /// API calls that fail, answer late or never: the first whose path prefix matches.
    pub api: Vec<ApiFault>,
    /// Serve this PEM file (certificate and key) on 8006 instead of the node's own.
    pub wrong_certificate: Option<String>,
    /// `pvecm add` never leaves "waiting for quorum...".
    pub join_hangs: bool,
    /// Renames over these files fail. Once /etc/pve/priv/authorized_keys did so at the end of a join, and the
    /// joined node's certificate and key were gone as well: a join repeats that.
    pub rename_fails: Vec<String>,
    /// The cluster file system refuses every write: `read-only` (EACCES) or `full` (ENOSPC).
    pub pmxcfs: Option<String>,
    /// corosync does not start on this node; in force from the next start of pmxcfs, which goes before it.
    pub corosync_refuses: bool,
    /// Certificates are not made by `pvecm updatecerts`.
    pub no_certificate: bool,
}

/// One faulty API path.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiFault {
    pub path: String,
    pub method: Option<String>,
    /// Answer with this status.
    pub status: Option<u16>,
    pub message: Option<String>,
    /// Wait for so long first.
    pub delay_ms: u64,
    /// Never answer.
    pub hang: bool,
    /// Close the connection without an answer.
    pub drop: bool,
}

/// Where the faults are read from.
#[derive(Clone, Debug)]
pub struct Faults {
    file: PathBuf,
}

impl Faults {
    pub fn at(file: &Path) -> Faults {
        Faults { file: file.to_owned() }
    }

    /// The faults in force now. A file that does not parse is reported and counts as none.
    pub fn now(&self) -> FaultSet {
        let Ok(text) = std::fs::read(&self.file) else { return FaultSet::default() };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            eprintln!("pve-lab: {}: {error}: fix or remove the file", self.file.display());
            FaultSet::default()
        })
    }

    pub fn check_rename(&self, path: &str) -> io::Result<()> {
        if self.now().rename_fails.iter().any(|faulty| faulty == path) {
            return Err(Errno::ENOENT.into());
        }
        Ok(())
    }

    pub fn check_write(&self, path: &str) -> io::Result<()> {
        if !path.starts_with("/etc/pve/") {
            return Ok(());
        }
        self.pmxcfs_refusal().map_or(Ok(()), |errno| Err(errno.into()))
    }

    /// What the cluster file system answers to a write, if a fault says so.
    pub fn pmxcfs_refusal(&self) -> Option<Errno> {
        match self.now().pmxcfs.as_deref() {
            Some("read-only") => Some(Errno::EACCES),
            Some("full") => Some(Errno::ENOSPC),
            _ => None,
        }
    }

    pub fn api(&self, method: &str, path: &str) -> Option<ApiFault> {
        self.now().api.into_iter().find(|fault| {
            path.starts_with(&fault.path) && fault.method.as_deref().is_none_or(|wanted| wanted == method)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_anew_at_each_use() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("faults.json");
        let faults = Faults::at(&file);
        assert!(faults.check_rename("/etc/pve/x").is_ok());
        std::fs::write(&file, r#"{"rename_fails":["/etc/pve/x"],"pmxcfs":"full"}"#).unwrap();
        assert!(faults.check_rename("/etc/pve/x").is_err());
        assert_eq!(faults.pmxcfs_refusal(), Some(Errno::ENOSPC));
        std::fs::remove_file(&file).unwrap();
        assert!(faults.check_rename("/etc/pve/x").is_ok());
    }
}
