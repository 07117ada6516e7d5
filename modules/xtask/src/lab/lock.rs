//! One command at a time changes the lab. The lock ends with the process, however that ends.

use std::fs::{self, File};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::say;
use crate::project::Project;

/// Waits until no other command changes the lab.
pub fn take(project: &Project) -> Result<Flock<File>> {
    let path = project.lab().join("lock");
    fs::create_dir_all(project.lab())?;
    let file = File::create(&path).with_context(|| format!("can't write {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((file, Errno::EWOULDBLOCK)) => {
            say("waiting for another command that works on the lab");
            match Flock::lock(file, FlockArg::LockExclusive) {
                Ok(lock) => Ok(lock),
                Err((_, error)) => bail!("can't lock {}: {error}", path.display()),
            }
        }
        Err((_, error)) => bail!("can't lock {}: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_has_to_wait_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::create(dir.path().join("lock")).unwrap();
        let first = Flock::lock(open(), FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error).unwrap();
        let second = Flock::lock(open(), FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error);
        assert_eq!(second.err(), Some(Errno::EWOULDBLOCK));
        drop(first);
        assert!(Flock::lock(open(), FlockArg::LockExclusiveNonblock).is_ok());
    }
}
