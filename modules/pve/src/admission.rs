//! Lists new nodes in the cluster's configuration. What a new node may be, and how many may be admitted without
//! losing quorum, is decided here on plain facts, before `pvesh` is asked, since corosync and PVE accept
//! what then breaks both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cluster_lock::ClusterLock;
use crate::corosync_conf::{ConfNode, CorosyncConf};
use crate::credential::is_same_secret;
use crate::gather::{AUTHKEY, LOCAL_CONF};
use crate::node::BROKEN_PMXCFS;
use crate::observe;
use crate::operation::{Journal, Run};
use crate::seal::{AuthKey, Material};
use crate::{Cmd, Deadline, Node, Progress, network, quorumtool, reload};

/// Lock of whoever changes the list of nodes.
pub const LOCK: &str = "sddc-pve-nodelist";
const TOOL_TIMEOUT: Duration = Duration::from_secs(10);
/// The ring may have to form anew meanwhile.
const RELOAD_TIME: Duration = Duration::from_secs(30);
/// Note of the key of a node that asked for its own admission.
const ASKED_BY: &str = "asked_by";

/// Nodes to admit.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Request {
    /// Cluster name.
    pub cluster_name: String,
    /// The nodes.
    pub nodes: Vec<Newcomer>,
    /// Public key of the node that asks for itself, which it may have this taken back with.
    #[serde(default)]
    pub asked_by: Option<String>,
}

/// A node that is to be listed.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Newcomer {
    /// Node name.
    pub name: String,
    /// Address of each link.
    pub links: BTreeMap<u8, String>,
    /// Node id; the lowest free one when none is given.
    pub nodeid: Option<u32>,
    /// Votes; 1 when none are given.
    pub votes: Option<u32>,
}

/// What is to be done for the nodes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// To be listed.
    pub admit: Vec<Newcomer>,
    /// Listed already with the same addresses, not online yet.
    pub pending: Vec<String>,
    /// Members already.
    pub online: Vec<String>,
}

/// The cluster as a decision needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Listed nodes.
    pub nodes: Vec<ConfNode>,
    /// Names of those that are online.
    pub online: BTreeSet<String>,
    /// Whether there is quorum.
    pub is_quorate: bool,
    /// Whether a quorum device is configured.
    pub has_qdevice: bool,
}

impl Request {
    /// What the operation is about.
    pub fn target(&self) -> String {
        format!("{} into {:?}", self.names().join(", "), self.cluster_name)
    }

    /// Names of the nodes.
    pub fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }
}

impl Standing {
    /// As corosync and pmxcfs of this node show it.
    pub fn of(node: &Node, conf: &CorosyncConf) -> anyhow::Result<Self> {
        let status = quorumtool::query(node, TOOL_TIMEOUT)?.unwrap_or_default();
        let nodes = conf.nodes();
        // Of two with one id, only this node can tell that it is the one.
        let own = observe::own_name(node)?;
        let online = nodes.iter().filter(|listed| {
            status.quorum.members.contains(&listed.nodeid)
                && (listed.name == own || !conf.shares_id(&listed.name))
        });
        Ok(Self {
            online: online.map(|listed| listed.name.clone()).collect(),
            nodes,
            is_quorate: status.quorum.quorate,
            has_qdevice: conf.has_qdevice(),
        })
    }

    /// Votes that are expected, and those that are online.
    pub fn votes(&self) -> (u32, u32) {
        let online = self.nodes.iter().filter(|node| self.online.contains(&node.name));
        (self.nodes.iter().map(|node| node.votes).sum(), online.map(|node| node.votes).sum())
    }

    /// Whether this is a cluster of one: its second node, with one vote, cannot be admitted without losing quorum
    /// until it is up, and is admitted all the same.
    pub fn is_alone(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Votes that may be admitted together and come up later, while those that are online stay quorate.
    pub fn room(&self) -> i64 {
        let (expected, online) = self.votes();
        2 * i64::from(online) - i64::from(expected) - 1
    }
}

/// Decides for each node; the error names every reason against the request.
pub fn decide(standing: &Standing, newcomers: &[Newcomer]) -> Result<Decision, Vec<String>> {
    let mut decision = Decision::default();
    let mut faults = Vec::new();
    for newcomer in newcomers {
        match standing.nodes.iter().find(|listed| listed.name == newcomer.name) {
            Some(listed) if standing.online.contains(&newcomer.name) => {
                faults.extend(difference(listed, newcomer).map(|what| {
                    format!("node {:?} is a member already, with {what}: remove it first or correct the inventory", newcomer.name)
                }));
                decision.online.push(newcomer.name.clone());
            }
            Some(listed) => match difference(listed, newcomer) {
                None => decision.pending.push(newcomer.name.clone()),
                Some(what) => faults.push(format!(
                    "node {:?} is listed and not online, with {what}: it is another node of that name or an \
                     admission that did not end; take it off the list with pve_cluster_member state=absent, if it \
                     never came up",
                    newcomer.name
                )),
            },
            None => decision.admit.push(newcomer.clone()),
        }
    }
    for (index, newcomer) in decision.admit.iter().enumerate() {
        let earlier = decision.admit[..index].iter().map(|other| ConfNode {
            name: other.name.clone(),
            nodeid: other.nodeid.unwrap_or(0),
            votes: other.votes.unwrap_or(1),
            links: other.links.clone(),
        });
        let listed: Vec<ConfNode> = standing.nodes.iter().cloned().chain(earlier).collect();
        faults.extend(newcomer_faults(&listed, &standing.nodes, newcomer));
    }
    if !decision.admit.is_empty() {
        faults.extend(gate_faults(standing, &decision));
    }
    if faults.is_empty() { Ok(decision) } else { Err(faults) }
}

/// What speaks against a node that is not listed yet.
pub fn newcomer_faults(taken: &[ConfNode], cluster: &[ConfNode], newcomer: &Newcomer) -> Vec<String> {
    let mut faults = Vec::new();
    let name = &newcomer.name;
    if let Some(other) = taken.iter().find(|other| other.name.eq_ignore_ascii_case(name)) {
        faults.push(format!("node name {name:?} is taken by {:?}: node names must differ", other.name));
    }
    if let Some(nodeid) = newcomer.nodeid
        && let Some(other) = taken.iter().find(|other| other.nodeid == nodeid)
    {
        faults.push(format!(
            "node id {nodeid} of {name:?} is taken by {:?} (corosync would start on neither): choose a free one or \
             none",
            other.name
        ));
    }
    for (link, address) in &newcomer.links {
        let user = taken.iter().find_map(|other| {
            let number = other.links.iter().find(|(_, used)| network::is_same(used, address))?.0;
            Some((&other.name, number))
        });
        if let Some((other, number)) = user {
            faults.push(format!(
                "address {address} of link {link} of {name:?} is that of link {number} of {other:?}"
            ));
        }
    }
    let distinct: BTreeSet<&String> = newcomer.links.values().collect();
    if distinct.len() < newcomer.links.len() {
        faults.push(format!("two links of {name:?} have the same address: give each its own"));
    }
    let wanted: Vec<u8> = newcomer.links.keys().copied().collect();
    let cluster_links: Vec<u8> =
        cluster.first().map(|node| node.links.keys().copied().collect()).unwrap_or_default();
    if wanted != cluster_links {
        faults.push(format!(
            "node {name:?} has links {wanted:?} and the cluster has {cluster_links:?}: all nodes need the same links"
        ));
    }
    faults
}

/// Whether the cluster keeps quorum while the new nodes are listed and not up yet.
fn gate_faults(standing: &Standing, decision: &Decision) -> Vec<String> {
    let mut faults = Vec::new();
    if !standing.is_quorate {
        faults.push("the cluster has no quorum: bring its nodes up first".to_owned());
    }
    if standing.has_qdevice {
        faults.push("a quorum device is configured: remove it (playbooks/qdevice.yml -e pve_qdevice_state=absent), admit the nodes, set \
             it up again"
                .to_owned());
    }
    let down: Vec<&str> = standing
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .filter(|name| !standing.online.contains(*name))
        .collect();
    if !down.is_empty() {
        faults.push(format!(
            "{} listed and not online: bring them up, or remove them, before a node is admitted",
            down.join(", ")
        ));
    }
    let (expected, online) = standing.votes();
    let admitted: u32 = decision.admit.iter().map(|node| node.votes.unwrap_or(1)).sum();
    let is_second = standing.is_alone() && decision.admit.len() == 1 && admitted == 1;
    if i64::from(admitted) > standing.room() && !is_second {
        faults.push(format!(
            "admitting {admitted} votes beside {online} online of {expected} expected would cost quorum until the \
             new nodes are up: admit fewer at a time"
        ));
    }
    faults
}

/// Why the first admission beside this node must not be while high availability is active here.
pub fn ha_fault(is_ha_active: bool, standing: &Standing) -> Option<String> {
    (is_ha_active && standing.nodes.len() == 1).then(|| {
        "high availability is active on this node, and admitting its second node takes quorum away until that node is \
         up: this node could fence itself; stop the HA resources first"
            .to_owned()
    })
}

fn difference(listed: &ConfNode, wanted: &Newcomer) -> Option<String> {
    let is_same = listed.links.len() == wanted.links.len()
        && listed.links.iter().all(|(link, address)| {
            wanted.links.get(link).is_some_and(|wanted| network::is_same(wanted, address))
        });
    if !is_same {
        return Some(format!("links {:?}, not {:?}", listed.links, wanted.links));
    }
    if let Some(nodeid) = wanted.nodeid.filter(|nodeid| *nodeid != listed.nodeid) {
        return Some(format!("node id {}, not {nodeid}", listed.nodeid));
    }
    let votes = wanted.votes.filter(|votes| *votes != listed.votes)?;
    Some(format!("{} votes, not {votes}", listed.votes))
}

/// Admits the nodes of a request that are not listed yet.
pub fn run(run: &mut Run<'_>, request: &Request) -> anyhow::Result<Value> {
    // A cluster of one is without quorum from its first admission on: the lock could not be given back, and would
    // stop the next admission. Nobody else can write there, and this node does one operation at a time.
    let is_alone = observe::shared_conf(run.node)?.is_some_and(|conf| conf.nodes().len() == 1);
    let lock = run.step("take the cluster's lock", |run| {
        if is_alone {
            return Ok((None, "not needed in a cluster of one".to_owned()));
        }
        let deadline = run.deadline.within(run.node, Duration::from_secs(30));
        Ok((Some(ClusterLock::take_for(run, LOCK, deadline)?), LOCK.to_owned()))
    })?;
    let conf = observe::shared_conf(run.node)?.context("this node is in no cluster")?;
    ensure!(
        conf.cluster_name() == Some(&request.cluster_name),
        "this node is in cluster {:?}, not {:?}",
        conf.cluster_name().unwrap_or_default(),
        request.cluster_name
    );
    let standing = Standing::of(run.node, &conf)?;
    let decision = decide(&standing, &request.nodes).map_err(|faults| anyhow::anyhow!(faults.join("; ")))?;
    let before = standing.nodes.len();
    run.mark("nodes_before", &before.to_string())?;
    if let Some(key) = &request.asked_by {
        run.mark(ASKED_BY, key)?;
    }
    for newcomer in &decision.admit {
        run.step(&format!("admit {}", newcomer.name), |run| {
            run.mark(&format!("admitted_{}", newcomer.name), "begun")?;
            admit(run, newcomer)?;
            // corosync of a member that keeps the list before it would never let the new node in.
            let deadline = run.deadline.within(run.node, RELOAD_TIME);
            let version = reload::wait_until_loaded(run.node, deadline)?;
            run.mark(&format!("admitted_{}", newcomer.name), &version.to_string())?;
            Ok(((), format!("listed in config version {version}")))
        })?;
        if let Some(lock) = &lock {
            lock.renew_for(run)?;
        }
    }
    let names: Vec<&String> = decision.admit.iter().map(|newcomer| &newcomer.name).collect();
    Ok(json!({ "admitted": names, "nodes_before": before }))
}

/// Whether this member admitted a node, the last time it did, for the owner of a key.
pub fn was_asked_by(node: &Node, name: &str, public_key: &str) -> anyhow::Result<bool> {
    let mark = format!("admitted_{name}");
    let last = Journal::all(node)?.into_iter().rev().find(|journal| journal.marks.contains_key(&mark));
    let asked_by = last.and_then(|journal| journal.marks.get(ASKED_BY).cloned());
    Ok(asked_by.is_some_and(|key| is_same_secret(key.as_bytes(), public_key.as_bytes())))
}

fn admit(run: &Run<'_>, newcomer: &Newcomer) -> anyhow::Result<u64> {
    let node = run.node;
    let mut args = vec!["create".to_owned(), format!("/cluster/config/nodes/{}", newcomer.name)];
    for (link, address) in &newcomer.links {
        args.extend([format!("--link{link}"), address.clone()]);
    }
    let mut option = |name: &str, value: Option<u32>| {
        args.extend(value.into_iter().flat_map(|value| [name.to_owned(), value.to_string()]));
    };
    option("--nodeid", newcomer.nodeid);
    option("--votes", newcomer.votes);
    args.extend(["--apiversion", "1", "--output-format", "json"].map(str::to_owned));
    loop {
        let output = node.run(&Cmd::new("pvesh", args.clone(), run.deadline.left(node)))?;
        // Its standard output holds the authkey: it is neither kept nor shown.
        let stderr = output.stderr.trim().replace('\n', " | ");
        drop(zeroize::Zeroizing::new(output.stdout));
        match wait_until_listed(run, newcomer) {
            // Where another pvesh was killed, PVE's own lock lets nobody in for 120 s.
            Err(_) if stderr.contains("lock") && !run.deadline.is_over(node) => {
                // It keeps everybody out for ever where pmxcfs writes nothing any more.
                observe::wait_until_writable(node, run.deadline)?;
            }
            listed => return listed.with_context(|| not_admitted(&newcomer.name, &stderr)),
        }
    }
}

fn not_admitted(name: &str, stderr: &str) -> String {
    let is_broken = stderr.contains("Input/output error");
    let meaning = if is_broken { format!(": {BROKEN_PMXCFS}") } else { String::new() };
    format!("pvesh did not admit {name:?}: {stderr}{meaning}")
}

fn wait_until_listed(run: &Run<'_>, newcomer: &Newcomer) -> anyhow::Result<u64> {
    let node = run.node;
    let deadline = run.deadline.within(node, Duration::from_secs(10));
    let what = format!("corosync.conf to list {:?}", newcomer.name);
    deadline.wait(node, &what, Duration::from_millis(100), || {
        let listed = observe::shared_conf(node)?.and_then(|conf| Some((conf.node(&newcomer.name)?, conf)));
        match listed {
            Some((listed, conf)) if difference(&listed, newcomer).is_none() => {
                // pmxcfs copies the file to corosync, which reloads it: a later change must find it done.
                let local = node.read(LOCAL_CONF)?.and_then(|text| CorosyncConf::parse(&text).ok());
                match local.and_then(|local| local.config_version()) == conf.config_version() {
                    true => Ok(Progress::Done(conf.config_version().unwrap_or(0))),
                    false => Ok(Progress::Pending("corosync has not got the new file yet".to_owned())),
                }
            }
            Some((listed, _)) => Ok(Progress::Pending(format!("it is listed as {listed:?}"))),
            None => Ok(Progress::Pending("it is not listed".to_owned())),
        }
    })
}

/// The join material of a listed node, sealed to its key.
pub fn sealed_material(node: &Node, name: &str, public_key: &str) -> anyhow::Result<String> {
    // Its admission may have been cut off before every corosync had it. What is sealed is read afterwards: a joiner with an
    // older list than the cluster's hangs.
    reload::wait_until_loaded(node, Deadline::after(node, RELOAD_TIME))?;
    let text = node.read(crate::gather::SHARED_CONF)?.context("this node is in no cluster")?;
    let conf = CorosyncConf::parse(&text).context("cannot read \"/etc/pve/corosync.conf\"")?;
    ensure!(conf.node(name).is_some(), "node {name:?} is not listed in corosync.conf: admit it first");
    let key = node.read_bytes(AUTHKEY)?.with_context(|| format!("{AUTHKEY:?} is missing on this member"))?;
    let version = conf.config_version().context("corosync.conf has no config_version")?;
    let cluster = conf.cluster_name().unwrap_or_default();
    Material::new(node, cluster, name, &text, version, AuthKey::new(key)?).seal(public_key)
}

#[cfg(test)]
mod tests;
