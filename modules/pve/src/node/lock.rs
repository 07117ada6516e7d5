//! Locks between processes of one node: flock on a file that stays, released when it is dropped or its
//! process ends. pmxcfs has no such locks across nodes: that is another file's business.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use nix::libc;

use super::Node;
use crate::{Deadline, Progress};

/// The system's lock of passwd, shadow and group, while it is held.
pub struct PasswordLock {
    _file: std::fs::File,
}

/// A lock that is held.
pub struct Lock {
    _file: Flock<std::fs::File>,
}

impl Node {
    /// Takes the lock that passwd and its like respect: a record lock on /etc/.pwd.lock (lckpwdf(3)), which ends with the
    /// file that holds it. Waits for it until the deadline.
    pub fn lock_passwords(&self, deadline: Deadline) -> anyhow::Result<PasswordLock> {
        const PATH: &str = "/etc/.pwd.lock";
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.path(PATH));
        let file = file.with_context(|| format!("cannot open {PATH:?}"))?;
        let whole = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        deadline.wait(self, "the system's lock of passwords", Duration::from_millis(100), || match fcntl(
            &file,
            FcntlArg::F_SETLK(&whole),
        ) {
            Ok(_) => Ok(Progress::Done(())),
            Err(Errno::EACCES | Errno::EAGAIN) => {
                Ok(Progress::Pending("passwd or the like is at work".to_owned()))
            }
            Err(error) => Err(error).with_context(|| format!("cannot lock {PATH:?}")),
        })?;
        Ok(PasswordLock { _file: file })
    }

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
