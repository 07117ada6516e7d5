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
    let kept = format!("{BACKUP_DIR}/config-{}", journal::unix_seconds(node));
    let name = format!("{kept}.sql");
    let dump = node.run(&Cmd::new("sqlite3", [DATABASE[0], ".dump"], SERVICE_TIME));
    let dump = dump.ok().filter(|output| output.is_success() && output.stdout.contains("COMMIT"));
    let Some(dump) = dump else {
        // The snapshot's time ends with the join: without a dump the files themselves stay, the log beside them too.
        for (path, ending) in DATABASE.iter().zip([".db", ".db-wal"]) {
            if let Some(bytes) = node.read_bytes(path)? {
                node.write(&format!("{kept}{ending}"), &bytes, FileMode::Private)?;
            }
        }
        return Ok(format!("{kept}.db, as it is: sqlite3 can't read it"));
    };
    node.write(&name, dump.stdout.as_bytes(), FileMode::Private)?;
    node.run_ok(&Cmd::new("gzip", ["-f", name.as_str()], SERVICE_TIME))?;
    copies::forget_old(node, BACKUP_DIR, "config-")?;
    Ok(format!("{name}.gz"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn a_database_that_sqlite3_cant_read_is_kept_as_it_is() {
        let fake = Fake::standalone("pve2", "10.88.0.12");
        let node = fake.node();
        fake.write(DATABASE[0], "everything that this node had");
        fake.write(DATABASE[1], "and its log");
        fake.answer(&format!("sqlite3 {} .dump", DATABASE[0]), 26, "");
        let told = back_up(&node).unwrap();
        let kept: Vec<String> = node.list(BACKUP_DIR).unwrap();
        assert_eq!(kept.len(), 2, "{told}: {kept:?}");
        let read = |name: &String| node.read(&format!("{BACKUP_DIR}/{name}")).unwrap().unwrap();
        assert_eq!(
            kept.iter().map(read).collect::<Vec<_>>(),
            ["everything that this node had", "and its log"]
        );
    }
}
