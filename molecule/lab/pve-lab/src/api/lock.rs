//! PVE's two locks: the node's own over all changes of membership, and directories under /etc/pve/priv/lock, which
//! only one node of the cluster can make.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::{Flock, FlockArg};

use super::ApiError;
use crate::delays::Step;
use crate::host::Host;

const ATTEMPTS: u32 = 10;
const STALE_SECONDS: u64 = 120;

/// Runs `work` under the lock `name`; without quorum nobody gets it, after ten tries.
pub fn with_cluster_lock<T>(
    host: &Host,
    name: &str,
    work: impl FnOnce() -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let path = host.path(&format!("/etc/pve/priv/lock/{name}"));
    for attempt in 1..=ATTEMPTS {
        let Err(error) = fs::create_dir(&path) else {
            let result = work();
            let _ = fs::remove_dir(&path);
            return result;
        };
        let age = fs::metadata(&path).and_then(|meta| meta.modified()).ok();
        let age = age.and_then(|time| SystemTime::now().duration_since(time).ok());
        if age.is_some_and(|age| age.as_secs() > STALE_SECONDS) {
            let _ = fs::remove_dir(&path);
            continue;
        }
        if attempt == ATTEMPTS {
            let reason = match error.kind() {
                std::io::ErrorKind::PermissionDenied => "no quorum!",
                _ => "got lock request timeout",
            };
            return Err(ApiError::errno(format!("cfs-lock '{name}' error: {reason}\n"), 13));
        }
        eprintln!("trying to acquire cfs lock '{name}' ...");
        host.delays.take(Step::LockAttempt);
    }
    Err(ApiError::errno(format!("cfs-lock '{name}' error: got lock request timeout\n"), 13))
}

const LOCAL_LOCK: &str = "/var/lock/pvecm.lock";
const LOCAL_PATIENCE: Duration = Duration::from_secs(10);

/// Runs `work` while no other change of membership runs on this node.
pub fn with_local_lock<T>(host: &Host, work: impl FnOnce() -> Result<T, ApiError>) -> Result<T, ApiError> {
    let path = host.path(LOCAL_LOCK);
    let deadline = Instant::now() + LOCAL_PATIENCE;
    loop {
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(_held) => return work(),
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            Err(_) => {
                return Err(ApiError::die(format!("can't lock file '{LOCAL_LOCK}' - got timeout\n")));
            }
        }
    }
}
