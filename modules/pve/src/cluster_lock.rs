//! A lock that all nodes of a cluster respect: a directory below /etc/pve/priv/lock, of which pmxcfs lets
//! exactly one node be the maker, and which it takes for abandoned after 120 s (pve-cluster, `cfs-plug`).

use std::fs;
use std::io;
use std::time::{Duration, SystemTime};

use anyhow::Context;

use crate::{Deadline, Node, Progress};

const DIR: &str = "/etc/pve/priv/lock";

/// A lock that is held; given back when dropped.
pub struct ClusterLock<'a> {
    node: &'a Node,
    path: String,
}

impl<'a> ClusterLock<'a> {
    /// Takes the lock of a name, waiting for it until the deadline.
    pub fn take(node: &'a Node, name: &str, deadline: Deadline) -> anyhow::Result<Self> {
        let path = format!("{DIR}/{name}");
        // priv/lock is made by pmxcfs on first use.
        node.create_private_dir(DIR)?;
        let what = format!("the cluster's lock {path:?}");
        deadline.wait(node, &what, Duration::from_millis(500), || {
            match fs::create_dir(node.path(&path)) {
                Ok(()) => Ok(Progress::Done(())),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    ask_for_abandoned(node, &path);
                    Ok(Progress::Pending("another operation on this cluster holds it".to_owned()))
                }
                Err(error) => Err(error).with_context(|| {
                    format!("cannot take {what}: /etc/pve is not writable here, as without quorum")
                }),
            }
        })?;
        Ok(Self { node, path })
    }

    /// Says that it is still in use; to be called more often than every 120 s.
    pub fn renew(&self) {
        let now = self.node.now();
        let _ = set_times(self.node, &self.path, now);
    }
}

impl Drop for ClusterLock<'_> {
    fn drop(&mut self) {
        // A lock that can't be given back is taken for abandoned later.
        let _ = fs::remove_dir(self.node.path(&self.path));
    }
}

/// pmxcfs removes the directory of a lock that was not renewed when someone sets its time to zero.
fn ask_for_abandoned(node: &Node, path: &str) {
    let _ = set_times(node, path, SystemTime::UNIX_EPOCH);
}

fn set_times(node: &Node, path: &str, time: SystemTime) -> io::Result<()> {
    let times = fs::FileTimes::new().set_accessed(time).set_modified(time);
    fs::File::open(node.path(path))?.set_times(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn one_at_a_time_and_given_back_at_the_end() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let node = fake.node();
        let soon = Deadline::after(&node, Duration::from_secs(2));
        let held = ClusterLock::take(&node, "sddc-pve", soon).unwrap();
        held.renew();
        let error = ClusterLock::take(&node, "sddc-pve", soon).err().unwrap().to_string();
        assert!(error.contains("another operation on this cluster holds it"), "{error}");
        drop(held);
        ClusterLock::take(&node, "sddc-pve", Deadline::after(&node, Duration::from_secs(2))).unwrap();
    }
}
