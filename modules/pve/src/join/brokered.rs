//! The brokered way in: a member has listed this node and sealed corosync.conf and authkey to it; nothing but
//! corosync speaks between the nodes. What PVE does at the same point: `PVE::Cluster::Setup::finish_join`.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::finish::{self, Api};
use super::{DATABASE, Request, check};
use crate::gather::{AUTHKEY, LOCAL_CONF};
use crate::operation::{Run, journal};
use crate::seal::Material;
use crate::snapshot::Snapshot;
use crate::{Cmd, FileMode, Node, copies, observe};

const BACKUP_DIR: &str = "/var/lib/pve-cluster/backup";
const SERVICE_TIME: Duration = Duration::from_secs(60);

pub(super) fn run(run: &mut Run<'_>, request: &Request, sealed: &str, api: Api) -> anyhow::Result<()> {
    let material = Material::open(run.node, &request.node, sealed)?;
    check::material_faults(&material, &request.cluster_name, &request.links)?;
    run.step("stop pve-cluster", |run| {
        run.mark("pmxcfs", "stopped")?;
        observe::systemctl(run.node, &["stop", "pve-cluster"], SERVICE_TIME)?;
        Ok(((), String::new()))
    })?;
    run.step("back up and remove the database", |run| {
        let id = run.id().to_owned();
        let mut snapshot = Snapshot::open(run.node, &id)?.context("the snapshot is gone")?;
        snapshot.take(&DATABASE)?;
        ensure!(run.node.exists(DATABASE[0]), "{:?} is missing, so this is no PVE node", DATABASE[0]);
        let backup = back_up(run.node)?;
        for path in DATABASE {
            run.node.remove(path)?;
        }
        Ok(((), backup))
    })?;
    run.step("place corosync's configuration", |run| {
        run.node.create_public_dir("/etc/corosync")?;
        run.node.write(AUTHKEY, material.authkey.expose(), FileMode::PrivateReadOnly)?;
        run.node.write(LOCAL_CONF, material.corosync_conf.as_bytes(), FileMode::Public)?;
        Ok(((), format!("config version {}", material.config_version)))
    })?;
    drop(material);
    // corosync first, where the units' order is the other way round: a pmxcfs that finds none tries again only
    // seconds later (pmxcfs: loop.c).
    run.step("start corosync", |run| {
        observe::systemctl(run.node, &["start", "corosync"], run.deadline.left(run.node))?;
        let votes = observe::wait_until_votes_suffice(run.node, run.deadline)?;
        Ok(((), format!("{} of {} votes", votes.total_votes, votes.expected_votes)))
    })?;
    run.step("start pve-cluster", |run| {
        observe::systemctl(run.node, &["start", "pve-cluster"], run.deadline.left(run.node))?;
        Ok(((), String::new()))
    })?;
    finish::wait_for_membership(run, &request.cluster_name, &request.node)?;
    finish::complete(run, &request.node, api)
}

/// A dump beside PVE's own ones, under a name of the same kind.
fn back_up(node: &Node) -> anyhow::Result<String> {
    node.create_private_dir(BACKUP_DIR)?;
    let name = format!("{BACKUP_DIR}/config-{}.sql", journal::unix_seconds(node));
    let dump = node.run(&Cmd::new("sqlite3", [DATABASE[0], ".dump"], SERVICE_TIME));
    let dump = dump.ok().filter(|output| output.is_success() && output.stdout.contains("COMMIT"));
    let Some(dump) = dump else {
        // The snapshot holds the files themselves; PVE without sqlite3 only renames them.
        return Ok("no dump: sqlite3 can't read it".to_owned());
    };
    node.write(&name, dump.stdout.as_bytes(), FileMode::Private)?;
    node.run_ok(&Cmd::new("gzip", ["-f", name.as_str()], SERVICE_TIME))?;
    copies::forget_old(node, BACKUP_DIR, "config-")?;
    Ok(format!("{name}.gz"))
}
