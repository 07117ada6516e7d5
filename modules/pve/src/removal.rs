//! Takes a node that has been a member off the cluster's list, and removes what it leaves on this member and in
//! /etc/pve. What speaks against it is `refusals`; what is left of it is `leftovers`. A node that was admitted and never
//! came up is `withdrawal`'s.
//!
//! Every phase may be repeated, so a removal that was cut off is taken up where it stood; nothing of it is undone.

mod leftovers;
mod look;
mod refusals;

use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::admission::LOCK;
use crate::cluster_lock::ClusterLock;
use crate::corosync_conf::CorosyncConf;
use crate::gather::LOCAL_CONF;
use crate::operation::Run;
use crate::{Progress, copies, delist, observe, quorumtool, reload};
pub use leftovers::{Edit, Leftovers};
pub use look::{Sight, look};
pub use refusals::{Fault, IGNORABLE, refusals};

/// Where copies of a removed node's directory are kept.
const COPIES: &str = "/var/lib/sddc-pve/removed";
/// The mark that holds the request.
const MARK: &str = "remove";
const LOCK_TIME: Duration = Duration::from_secs(30);
const TOOL_TIMEOUT: Duration = Duration::from_secs(10);

/// The node to remove.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Request {
    /// Cluster name.
    pub cluster_name: String,
    /// This node's name.
    pub own_name: String,
    /// The other node's name.
    pub name: String,
    /// Its addresses, as far as the caller knows them; those that the cluster lists are added.
    pub addresses: Vec<String>,
    /// The other node's own connection has shown that its corosync is stopped and its configuration gone.
    pub is_proven_stopped: bool,
    /// Other nodes of which the same has been shown.
    pub also_stopped: Vec<String>,
    /// Guests that may be on it.
    pub guests: Vec<u32>,
    /// Refusals that are to be none.
    pub ignore: Vec<String>,
}

impl Request {
    /// What the operation is about.
    pub fn target(&self) -> String {
        format!("{} from {:?}", self.name, self.cluster_name)
    }

    fn directory(&self) -> String {
        format!("/etc/pve/nodes/{}", self.name)
    }
}

/// Removes the node.
pub fn run(run: &mut Run<'_>, request: &Request) -> anyhow::Result<Value> {
    let mut request = request.clone();
    let sight = look(run.node, &request)?;
    // Once it is not listed any more, nothing tells its addresses.
    request.addresses.clone_from(&sight.addresses);
    run.mark(MARK, &serde_json::to_string(&request)?)?;
    phases(run, &request)
}

/// Goes on with a removal whose process was killed.
pub fn resume(run: &mut Run<'_>) -> anyhow::Result<Option<Value>> {
    let Some(text) = run.marked(MARK) else { return Ok(None) };
    let request: Request = serde_json::from_str(text).context("the journal's mark \"remove\"")?;
    phases(run, &request).map(Some)
}

fn phases(run: &mut Run<'_>, request: &Request) -> anyhow::Result<Value> {
    let deadline = run.deadline.within(run.node, LOCK_TIME);
    let lock = ClusterLock::take_for(run, LOCK, deadline)?;
    // What was seen before the lock was held may be over.
    let sight = look(run.node, request)?;
    let faults: Vec<String> = refusals(&sight, request).into_iter().map(|fault| fault.to_string()).collect();
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    let copy = run.step("keep a copy of its files", |run| {
        let dir = request.directory();
        // After a crash the first copy is there, whatever is left of the directory.
        let kept = match run.node.exists(&dir) || run.node.exists(&copies::path(run, COPIES)) {
            true => Some(copies::keep(run, COPIES, &dir)?),
            false => None,
        };
        Ok((kept.clone(), kept.unwrap_or_else(|| "there are none".to_owned())))
    })?;
    if sight.listed.is_some() {
        run.step(&format!("take {} off the list", request.name), |run| take_off(run, request))?;
    }
    lock.renew_for(run)?;
    run.step("remove what it leaves", |run| {
        let cleaned = leftovers::clean(run.node, request, run.deadline)?;
        Ok(((), cleaned.join(", ")))
    })?;
    drop(lock);
    let seen = look(run.node, request)?;
    ensure!(
        seen.listed.is_none() && seen.leftovers.is_clean(),
        "something of {:?} has come back meanwhile: {}: run again",
        request.name,
        seen.leftovers.paths().join(", ")
    );
    let version = observe::shared_conf(run.node)?.and_then(|conf| conf.config_version());
    Ok(json!({ "removed": request.name, "copy": copy, "config_version": version }))
}

/// `pvecm delnode`, believed when corosync of this node counts the node's vote no more. Where another pvecm was killed, PVE's
/// own lock lets nobody in for 120 s: it is tried again until the deadline.
fn take_off(run: &Run<'_>, request: &Request) -> anyhow::Result<((), String)> {
    let (node, name) = (run.node, &request.name);
    loop {
        let said = delist::ask(run, name)?;
        match wait_until_off(run, name) {
            Ok(()) => {
                reload::wait_until_loaded(node, run.deadline.within(node, LOCK_TIME))?;
                return Ok(((), said));
            }
            Err(_) if said.contains("lock") && !run.deadline.is_over(node) => {}
            Err(error) => return Err(error.context(format!("pvecm delnode did not remove it: {said}"))),
        }
    }
}

fn wait_until_off(run: &Run<'_>, name: &str) -> anyhow::Result<()> {
    let node = run.node;
    let what = format!("the cluster to list {name:?} no more");
    let deadline = run.deadline.within(node, Duration::from_secs(10));
    deadline.wait(node, &what, Duration::from_millis(150), || {
        let conf = observe::shared_conf(node)?.unwrap_or_default();
        if conf.node(name).is_some() {
            return Ok(Progress::Pending("it is listed".to_owned()));
        }
        let local = node.read(LOCAL_CONF)?.and_then(|text| CorosyncConf::parse(&text).ok());
        if local.and_then(|local| local.config_version()) != conf.config_version() {
            return Ok(Progress::Pending("corosync has not got the new file yet".to_owned()));
        }
        let quorum = quorumtool::query(node, TOOL_TIMEOUT)?.unwrap_or_default().quorum;
        Ok(match quorum.quorate && quorum.expected_votes == conf.expected_votes() {
            true => Progress::Done(()),
            false => Progress::Pending(format!(
                "corosync has {} of {} expected votes, quorate: {}",
                quorum.total_votes, quorum.expected_votes, quorum.quorate
            )),
        })
    })
}
