//! The brokered way in: a member has listed this node and sealed corosync.conf and authkey to it; nothing but
//! corosync speaks between the nodes. What PVE does at the same point: `PVE::Cluster::Setup::finish_join`.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::finish::{self, Api};
use super::{DATABASE, Request, backup, check};
use crate::gather::{AUTHKEY, LOCAL_CONF};
use crate::operation::Run;
use crate::seal::Material;
use crate::snapshot::Snapshot;
use crate::{FileMode, observe};

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
        let backup = backup::of_database(run.node)?;
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
