//! Takes a node off the cluster's list that was admitted and never came up. Any other removal is refused here:
//! a node that has been a member may hold guests, and may come back and break the cluster.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::admission::{LOCK, Standing};
use crate::cluster_lock::ClusterLock;
use crate::corosync_conf::ConfNode;
use crate::operation::{Journal, Kind, Run, State};
use crate::{Cmd, Node, Progress, delist, observe, reload};

/// The node to take off the list.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Request {
    /// Cluster name.
    pub cluster_name: String,
    /// This node's name.
    pub own_name: String,
    /// The other node's name.
    pub name: String,
    /// The other node's own connection has shown that its corosync is stopped and its configuration gone.
    pub is_proven_stopped: bool,
    /// How many nodes the cluster had before the admission, as the journal of the other node's join says.
    pub nodes_before: Option<usize>,
    /// Other nodes of which the same has been shown: they are to go too.
    #[serde(default)]
    pub also_stopped: Vec<String>,
}

impl Request {
    /// What the operation is about.
    pub fn target(&self) -> String {
        format!("{} from {:?}", self.name, self.cluster_name)
    }
}

/// What taking a node off the list means at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not listed.
    NotListed,
    /// It can be removed with quorum.
    Quorate,
    /// This node is alone in the second node's admission: quorum must first be set to what is there.
    Alone,
}

/// Decides whether a node is a half member that may go; the error says what a person can do.
pub fn decide(node: &Node, request: &Request) -> anyhow::Result<Verdict> {
    let conf = observe::shared_conf(node)?.context("this node is in no cluster")?;
    ensure!(
        conf.cluster_name() == Some(&request.cluster_name),
        "this node is in cluster {:?}, not {:?}: nothing was removed",
        conf.cluster_name().unwrap_or_default(),
        request.cluster_name
    );
    let name = &request.name;
    ensure!(*name != request.own_name, "node {name:?} can't take itself off the list: ask another member");
    if conf.node(name).is_none() {
        return Ok(Verdict::NotListed);
    }
    let standing = Standing::of(node, &conf)?;
    ensure!(
        !standing.online.contains(name),
        "node {name:?} is online: taking it off the list now would stop its corosync and leave it to come back"
    );
    let certificate = format!("/etc/pve/nodes/{name}/pve-ssl.pem");
    ensure!(
        !node.exists(&certificate),
        "node {name:?} has been a member ({certificate:?} exists), so this is no admission that did not end: \
         playbooks/rejoin.yml -e pve_rejoin={name} has it leave and join again, remove.yml -e pve_remove={name} removes it"
    );
    // A node that starts with a corosync.conf older than the cluster's hangs: nothing is changed while one may.
    let is_starting = |listed: &&ConfNode| {
        let listed = &listed.name;
        listed != name
            && !standing.online.contains(listed)
            && !request.also_stopped.contains(listed)
            && !node.exists(&format!("/etc/pve/nodes/{listed}/pve-ssl.pem"))
    };
    let starting: Vec<&str> =
        standing.nodes.iter().filter(is_starting).map(|listed| listed.name.as_str()).collect();
    ensure!(
        starting.is_empty(),
        "{} listed, never online and not proven to be stopped: a change of the list now could leave it hanging with an \
         older one; complete its join first, or name it too, with proven_stopped",
        starting.join(", ")
    );
    if standing.is_quorate {
        return Ok(Verdict::Quorate);
    }
    let is_second = standing.nodes.len() == 2 && standing.online.len() == 1;
    let commands = format!("\"pvecm expected 1\" and \"pvecm delnode {name}\"");
    ensure!(
        is_second,
        "the cluster has no quorum, and this node can't tell whether it is the last one or cut off: bring the other \
         members up, or be sure that they are off and run {commands} here"
    );
    let was_second = request.nodes_before == Some(1) || admitted_here_as_second(node, name)?;
    let doubt = match (was_second, request.is_proven_stopped) {
        (true, true) => return Ok(Verdict::Alone),
        (false, _) => "no record of this node shows that it was alone before",
        (true, false) => "it is not proven that its corosync is stopped",
    };
    bail!(
        "the cluster has no quorum since {name:?} was admitted as its second node, and {doubt}: be sure that there is no \
         other member, stop corosync there (systemctl stop corosync), then run {commands} here"
    )
}

/// Whether this node's own journal shows that it admitted that node when it was alone.
fn admitted_here_as_second(node: &Node, name: &str) -> anyhow::Result<bool> {
    let is_it = |journal: &Journal| {
        journal.kind == Kind::Admit
            && journal.marks.contains_key(&format!("admitted_{name}"))
            && journal.marks.get("nodes_before").is_some_and(|count| count == "1")
            && matches!(journal.state, State::Succeeded | State::Failed)
    };
    let latest = Journal::all(node)?.into_iter().rev().find(|journal| journal.kind == Kind::Admit);
    Ok(latest.is_some_and(|latest| is_it(&latest)))
}

/// Takes the node off the list.
pub fn run(run: &mut Run<'_>, request: &Request) -> anyhow::Result<Value> {
    let name = request.name.clone();
    let verdict = decide(run.node, request)?;
    if verdict == Verdict::NotListed {
        return Ok(json!({ "removed": [] }));
    }
    if verdict == Verdict::Alone {
        run.step("expect one vote", |run| {
            let output = run.node.run(&Cmd::new("pvecm", ["expected", "1"], Duration::from_secs(30)))?;
            let cluster = &request.cluster_name;
            observe::wait_until_quorate(run.node, cluster, &[], run.deadline)
                .with_context(|| format!("pvecm expected 1 gave no quorum: {}", output.tail()))?;
            observe::wait_until_writable(run.node, run.deadline)?;
            Ok(((), "quorate with this node alone".to_owned()))
        })?;
    }
    let deadline = run.deadline.within(run.node, Duration::from_secs(30));
    let lock = ClusterLock::take_for(run, LOCK, deadline)?;
    // It may have come up, or have gone, while the lock was waited for.
    if decide(run.node, request)? == Verdict::NotListed {
        return Ok(json!({ "removed": [] }));
    }
    run.step(&format!("take {name} off the list"), |run| {
        let said = delist::ask(run, &name)?;
        let what = format!("corosync.conf to list {name:?} no more");
        run.deadline
            .within(run.node, Duration::from_secs(15))
            .wait(run.node, &what, Duration::from_millis(100), || {
                Ok(match observe::shared_conf(run.node)?.and_then(|conf| conf.node(&name)) {
                    None => Progress::Done(()),
                    Some(_) => Progress::Pending("it is listed".to_owned()),
                })
            })
            .with_context(|| format!("pvecm delnode did not remove it: {said}"))?;
        reload::wait_until_loaded(run.node, run.deadline.within(run.node, Duration::from_secs(30)))?;
        Ok(((), said))
    })?;
    run.step("remove its files", |run| {
        let dir = format!("/etc/pve/nodes/{name}");
        match std::fs::remove_dir_all(run.node.path(&dir)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {dir:?}"))
            }
            _ => Ok(((), dir)),
        }
    })?;
    drop(lock);
    Ok(json!({ "removed": [name] }))
}
