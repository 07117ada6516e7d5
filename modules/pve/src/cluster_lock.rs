//! A lock that all nodes of a cluster respect: a directory below /etc/pve/priv/lock, of which pmxcfs lets
//! exactly one node be the maker, and which it takes for abandoned after 120 s (pve-cluster, `cfs-plug`).

use std::fs;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::node::unwritten;
use crate::operation::{Journal, Run, State};
use crate::{Deadline, Node, Progress};

const DIR: &str = "/etc/pve/priv/lock";
/// The mark of an operation's journal that tells which lock it holds, and the times it gave it.
pub const MARK: &str = "cluster_lock";

/// PVE's own, under which its tools change corosync.conf (PVE/API2/ClusterConfig.pm, `config_change_lock`).
pub const OF_PVE: &str = "file-corosync_conf";

/// What is waited for.
const HELD: &str =
    "another operation on this cluster holds it; one that was cut off does so for 120 s, then run again";

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
                    there_already(ask_for_abandoned(node, &path), &path)
                }
                Err(error) if is_broken(&error) => refused(error, &path),
                Err(error) => Err(error).with_context(|| {
                    format!("cannot take {what}: /etc/pve is not writable here, as without quorum")
                }),
            }
        })?;
        Ok(Self { node, path })
    }

    /// The same for an operation, whose journal notes it: should its process be killed, recovery gives it back.
    pub fn take_for(run: &mut Run<'a>, name: &str, deadline: Deadline) -> anyhow::Result<Self> {
        release_ended(run.node)?;
        // A journal that can't be written is found out before: nobody would know whose the lock is, nor give it back. What a
        // broken pmxcfs kept of this operation's own is given back once it is mended, so that note stays until then.
        let noted = run.marked(MARK).unwrap_or(name).to_owned();
        run.mark(MARK, &noted)?;
        let lock = Self::take(run.node, name, deadline)?;
        if let Some(taken) = seconds(run.node, &lock.path) {
            run.mark(MARK, &format!("{name} {taken}"))?;
        }
        Ok(lock)
    }

    /// Says that it is still in use; to be called more often than every 120 s.
    pub fn renew(&self) {
        let now = self.node.now();
        let _ = set_times(self.node, &self.path, now);
    }

    /// The same for an operation. The journal knows the new time before the lock has it.
    pub fn renew_for(&self, run: &mut Run<'_>) -> anyhow::Result<()> {
        let now = crate::operation::journal::unix_seconds(run.node);
        let mark = format!("{} {now}", run.marked(MARK).unwrap_or_default());
        run.mark(MARK, &mark)?;
        let _ = set_times(run.node, &self.path, UNIX_EPOCH + Duration::from_secs(now));
        Ok(())
    }
}

/// Gives back the lock that a killed operation held, as its mark says, if it is still that one: who takes it for abandoned
/// does so 120 s later at the earliest, and then it has another time. Tells whether it did.
pub fn release(node: &Node, mark: &str) -> bool {
    held(node, mark).is_some_and(|path| fs::remove_dir(node.path(&path)).is_ok())
}

/// Gives back what operations of this node still hold that have ended, as where pmxcfs wrote nothing any more by then.
pub fn release_ended(node: &Node) -> anyhow::Result<()> {
    let journals = Journal::all(node)?;
    let has_ended = |journal: &&Journal| !matches!(journal.state, State::Running | State::Unknown);
    for mark in journals.iter().filter(has_ended).filter_map(|ended| ended.marks.get(MARK)) {
        release(node, mark);
    }
    Ok(())
}

/// Whether the lock of a mark is held still, as the mark says, or can't be looked at.
pub fn is_held(node: &Node, mark: &str) -> bool {
    !node.exists(DIR) || held(node, mark).is_some()
}

fn held(node: &Node, mark: &str) -> Option<String> {
    let mut words = mark.split(' ');
    let path = format!("{DIR}/{}", words.next().unwrap_or_default());
    let taken = seconds(node, &path)?;
    words.any(|word| word.parse() == Ok(taken)).then_some(path)
}

fn seconds(node: &Node, path: &str) -> Option<u64> {
    let changed = fs::metadata(node.path(path)).ok()?.modified().ok()?;
    Some(changed.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

impl Drop for ClusterLock<'_> {
    fn drop(&mut self) {
        // A lock that can't be given back is taken for abandoned later.
        let _ = fs::remove_dir(self.node.path(&self.path));
    }
}

/// pmxcfs removes the directory of a lock that was not renewed when someone sets its time to zero.
fn ask_for_abandoned(node: &Node, path: &str) -> io::Result<()> {
    set_times(node, path, UNIX_EPOCH)
}

/// There may be nobody who holds it: a pmxcfs that writes nothing gives nothing back.
fn there_already(asked: io::Result<()>, path: &str) -> anyhow::Result<Progress<()>> {
    match asked {
        Err(error) if is_broken(&error) => refused(error, path),
        _ => Ok(Progress::Pending(HELD.to_owned())),
    }
}

fn is_broken(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::EIO)
}

fn refused<T>(error: io::Error, path: &str) -> anyhow::Result<T> {
    Err(unwritten(error, path)).with_context(|| format!("cannot take the cluster's lock {path:?}"))
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

    #[test]
    fn a_lock_that_a_broken_pmxcfs_kept_is_not_waited_for() {
        let asked = |code| there_already(Err(io::Error::from_raw_os_error(code)), "/etc/pve/priv/lock/a");
        let error = format!("{:#}", asked(nix::libc::EIO).err().unwrap());
        assert!(error.contains("\"systemctl restart pve-cluster\""), "{error}");
        for code in [nix::libc::ENOENT, nix::libc::EACCES] {
            assert!(matches!(asked(code), Ok(Progress::Pending(_))));
        }
    }

    #[test]
    fn only_the_very_lock_of_the_mark_is_given_back() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let node = fake.node();
        let soon = Deadline::after(&node, Duration::from_secs(2));
        std::mem::forget(ClusterLock::take(&node, "sddc-pve", soon).unwrap());
        let path = format!("{DIR}/sddc-pve");
        let taken = seconds(&node, &path).unwrap();
        // Somebody else's, taken after this one was abandoned; or none at all.
        assert!(!release(&node, &format!("sddc-pve {}", taken - 121)));
        assert!(!release(&node, &format!("other {taken}")));
        assert!(fake.path(&path).exists());
        assert!(release(&node, &format!("sddc-pve {} {taken}", taken - 7)));
        assert!(!fake.path(&path).exists());
    }

    #[test]
    fn what_an_operation_could_not_give_back_at_its_end_the_next_one_does() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let node = fake.node();
        let soon = Deadline::after(&node, Duration::from_secs(2));
        std::mem::forget(ClusterLock::take(&node, "sddc-pve", soon).unwrap());
        let mark = format!("sddc-pve {}", seconds(&node, &format!("{DIR}/sddc-pve")).unwrap());
        assert!(is_held(&node, &mark));
        let mut journal = Journal { id: "1-remove".into(), state: State::Running, ..Journal::default() };
        journal.marks.insert(MARK.to_owned(), mark.clone());
        journal.save(&node).unwrap();
        release_ended(&node).unwrap();
        assert!(is_held(&node, &mark), "the lock of one that runs was taken from it");
        journal.state = State::Failed;
        journal.save(&node).unwrap();
        release_ended(&node).unwrap();
        assert!(!is_held(&node, &mark));
    }
}
