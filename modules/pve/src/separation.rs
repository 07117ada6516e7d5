//! "Separate a node without reinstalling" of pvecm's manual, the one way in which a node leaves a cluster behind:
//! pmxcfs in local mode lets the shared configuration be removed without quorum. What else is removed is the
//! caller's.

use std::time::Duration;

use anyhow::ensure;

use crate::gather::{AUTHKEY, LOCAL_CONF, SHARED_CONF};
use crate::operation::Run;
use crate::{Cmd, Node, Progress, observe};

const SERVICE_TIME: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);
const MEMBERS: &str = "/etc/pve/.members";

/// Stops corosync and pmxcfs, removes the cluster's configuration, and what `also` removes while /etc/pve is this
/// node's alone, and starts pmxcfs again. May be repeated after it was cut off anywhere.
pub fn separate(run: &mut Run<'_>, also: impl FnOnce(&Node) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let node = run.node;
    observe::systemctl(node, &["stop", "pve-cluster", "corosync"], SERVICE_TIME)?;
    if node.exists(MEMBERS) {
        // An earlier attempt was cut off: this pmxcfs is no unit's.
        end_local(run)?;
    }
    // It goes on in the background and may keep the streams: its mount tells when it is ready.
    node.run_ok(&Cmd::new("pmxcfs", ["-l"], Duration::from_secs(3)))?;
    run.deadline.wait(node, "pmxcfs in local mode", LOOK, || {
        Ok(match node.exists(MEMBERS) {
            true => Progress::Done(()),
            false => Progress::Pending("/etc/pve is empty".to_owned()),
        })
    })?;
    // First what makes a member of it: a pmxcfs that finds the configuration goes back to the cluster, and what was removed
    // here could be removed there, too, since the newer database wins (pmxcfs: dcdb.c).
    let removed = [AUTHKEY, LOCAL_CONF, SHARED_CONF]
        .into_iter()
        .try_for_each(|path| node.remove(path).map(drop))
        .and_then(|()| also(node));
    // Whatever came of it: this pmxcfs ends with the operation, and would take /etc/pve with it.
    let is_back = end_local(run).and_then(|()| {
        // It has been started and stopped more often in the last seconds than systemd lets a unit (systemd.unit(5),
        // StartLimitBurst).
        let _ = observe::systemctl(node, &["reset-failed", "pve-cluster"], SERVICE_TIME);
        observe::systemctl(node, &["start", "pve-cluster"], SERVICE_TIME)
    });
    removed?;
    is_back?;
    // Only tidies the state "failed"; a corosync that never failed has nothing to reset.
    let _ = observe::systemctl(node, &["reset-failed", "corosync"], SERVICE_TIME);
    run.deadline.wait(node, "pmxcfs to be mounted again", LOOK, || {
        Ok(match node.read(MEMBERS)? {
            Some(_) => Progress::Done(()),
            None => Progress::Pending("/etc/pve is empty".to_owned()),
        })
    })?;
    let back: Vec<&str> = [SHARED_CONF, LOCAL_CONF].into_iter().filter(|path| node.exists(path)).collect();
    ensure!(
        back.is_empty(),
        "{} came back from pmxcfs's database, which could not be written: see that /var/lib/pve-cluster has room, and run again",
        back.join(", ")
    );
    Ok(())
}

fn end_local(run: &Run<'_>) -> anyhow::Result<()> {
    run.node.run_ok(&Cmd::new("killall", ["pmxcfs"], SERVICE_TIME))?;
    run.deadline.wait(run.node, "pmxcfs in local mode to end", LOOK, || {
        Ok(match run.node.exists(MEMBERS) {
            true => Progress::Pending("/etc/pve is still mounted".to_owned()),
            false => Progress::Done(()),
        })
    })
}
