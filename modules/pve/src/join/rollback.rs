//! The way back from a join that failed or was cut off, at whatever point: from the journal's marks and the
//! snapshot alone. Root's way in comes back when pmxcfs is as it was, since until then this node's own keys are what
//! lets root in; the API, which nothing of this depends on, comes last.

use std::time::Duration;

use anyhow::Context;

use super::{ACCESS_FILES, DATABASE, PVE_KEYS, SYSTEM_FILES, api, backup, finish, ssh};
use crate::gather::{AUTHKEY, LOCAL_CONF};
use crate::operation::Run;
use crate::snapshot::{self, Snapshot};
use crate::{Progress, observe, sshd};

const SERVICE_TIME: Duration = Duration::from_secs(60);

/// Undoes the join of this operation; `true`: the node is as it was.
pub fn undo(run: &mut Run<'_>) -> anyhow::Result<bool> {
    let id = run.marked("snapshot").unwrap_or_default().to_owned();
    if id.is_empty() {
        // A node that was to be finished is a member still.
        return Ok(run.marked("api").is_none());
    }
    let Some(snapshot) = Snapshot::open(run.node, &id)? else { return Ok(true) };
    if run.marked("pvecm").is_some() {
        api::stop_what_runs(run.node);
    }
    // A killed process has left its key below /run, and its section, which goes with root's files.
    ssh::forget_files(run.node)?;
    let has_left_traces = [AUTHKEY, LOCAL_CONF].iter().any(|path| run.node.exists(path));
    let is_pmxcfs_touched =
        run.marked("pmxcfs").is_some() || (run.marked("pvecm").is_some() && has_left_traces);
    if is_pmxcfs_touched {
        // Cut off in its turn, this leaves pve-cluster stopped and none of those traces.
        run.mark("pmxcfs", "restored")?;
        restore_pmxcfs(run, &snapshot)?;
    } else {
        snapshot.restore(&[PVE_KEYS])?;
        snapshot.restore(&SYSTEM_FILES)?;
    }
    run.step("restore root's way in", |run| {
        let sshd_files = ["/etc/ssh/sshd_config", sshd::DROP_IN];
        let before = sshd_files.map(|path| run.node.read(path).ok().flatten());
        snapshot.restore(&ACCESS_FILES)?;
        if sshd_files.map(|path| run.node.read(path).ok().flatten()) != before {
            sshd::reload(run.node)?;
        }
        Ok(((), ACCESS_FILES.join(", ")))
    })?;
    // It holds keys, and has served: what is left can be had without it.
    snapshot::discard(run.node, &id)?;
    if is_pmxcfs_touched && run.marked("api").is_some() {
        finish::restart_api(run, &finish::UNITS)
            .context("everything is restored, but the API does not come back: restart pveproxy")?;
    }
    Ok(true)
}

fn restore_pmxcfs(run: &mut Run<'_>, snapshot: &Snapshot<'_>) -> anyhow::Result<()> {
    run.step("stop corosync and pve-cluster", |run| {
        observe::systemctl(run.node, &["stop", "corosync", "pve-cluster"], SERVICE_TIME)?;
        Ok(((), String::new()))
    })?;
    run.step("restore the database and corosync's files", |run| {
        if snapshot.holds(DATABASE[0]) {
            // It was the cluster's, and may be the last copy of what has changed there since.
            if run.marked(finish::MEMBER).is_some() {
                backup::move_database(run.node)?;
            }
            // Whatever lies beside the restored database belongs to another one.
            for path in DATABASE {
                run.node.remove(path)?;
            }
            snapshot.restore(&DATABASE)?;
        }
        snapshot.restore(&SYSTEM_FILES)?;
        Ok(((), "as before".to_owned()))
    })?;
    run.step("start pve-cluster", |run| {
        observe::systemctl(run.node, &["start", "pve-cluster"], SERVICE_TIME)?;
        // Only tidies the state "failed"; a corosync that never failed has nothing to reset.
        let _ = observe::systemctl(run.node, &["reset-failed", "corosync"], SERVICE_TIME);
        run.deadline.wait(run.node, "pmxcfs to be mounted again", Duration::from_millis(100), || {
            Ok(match run.node.read("/etc/pve/.members")? {
                Some(_) => Progress::Done(()),
                None => Progress::Pending("/etc/pve is empty".to_owned()),
            })
        })?;
        Ok(((), String::new()))
    })?;
    Ok(())
}
