//! Locks between processes of one node: flock on a file that stays, released when it is dropped or its
//! process ends. pmxcfs has no such locks across nodes: that is another file's business.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::Node;
use crate::{Deadline, Progress};

/// A lock that is held.
pub struct Lock {
    _file: Flock<std::fs::File>,
}

impl Node {
    /// Takes the exclusive lock on a file, which it creates root only; waits for it until the deadline.
    pub fn lock(&self, path: &str, deadline: Deadline) -> anyhow::Result<Lock> {
        let open = || OpenOptions::new().create(true).append(true).mode(0o600).open(self.path(path));
        let mut file = open().with_context(|| format!("cannot open lock {path:?}"))?;
        deadline.wait(self, &format!("the lock {path:?}"), Duration::from_millis(20), || {
            match Flock::lock(file.try_clone()?, FlockArg::LockExclusiveNonblock) {
                Ok(held) => Ok(Progress::Done(Lock { _file: held })),
                Err((unlocked, Errno::EWOULDBLOCK)) => {
                    file = unlocked;
                    Ok(Progress::Pending("another process holds it".to_owned()))
                }
                Err((_, error)) => Err(error).with_context(|| format!("cannot lock {path:?}")),
            }
        })
    }
}
