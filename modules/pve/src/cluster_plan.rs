//! Who creates the cluster and who joins it. Pure: takes what was gathered from the nodes and what is wanted,
//! and never makes a second cluster where there may be one already.
//!
//! What speaks against a single join is decided where the admission decides it, so that the plan promises
//! nothing that the member then refuses.

mod forecast;
mod joins;
mod links;
mod members;
mod report;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::corosync_conf::{CorosyncConf, NewCluster};
use crate::facts::{ClusterState, NodeFacts, SEPARATE};
use crate::inventory::{self, WantedNode};
use crate::network::Network;
pub use forecast::{Forecast, Votes};
pub use report::lines;

/// What one node does.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It creates the cluster.
    Create,
    /// It joins.
    Join,
    /// Nothing.
    None,
    /// It cannot take part as it is.
    Refuse,
}

/// What one node does, and why.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Decision {
    /// What it does.
    pub action: Action,
    /// Why; for a refusal with the remedy.
    pub reason: String,
}

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Cluster name.
    pub cluster_name: String,
    /// All nodes of the group, in the inventory's order.
    pub nodes: Vec<WantedNode>,
    /// The node that is to create the cluster, or a member that is to admit the others.
    pub primary: Option<String>,
    /// `token_coefficient` of a new cluster, in milliseconds.
    pub token_coefficient: Option<u32>,
    /// Network of each link whose addresses the inventory leaves to the nodes.
    pub link_networks: Vec<(u8, Network)>,
    /// The most nodes that may join together; as many as quorum allows when absent.
    pub wave_limit: Option<usize>,
}

/// The plan.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What each node of the request does, in the inventory's order.
    pub decisions: Vec<(String, Decision)>,
    /// Who creates the cluster or admits the others.
    pub primary: Option<String>,
    /// Who joins, in this order.
    pub joins: Vec<String>,
    /// The same in waves: the nodes of one are admitted together and then started together.
    pub waves: Vec<Vec<String>>,
    /// The nodes as they were asked for, with the links that were chosen.
    pub nodes: Vec<WantedNode>,
    /// Members already, those that the inventory does not know among them.
    pub members: Vec<String>,
    /// Votes and quorum before and after the creation and each wave.
    pub forecast: Vec<Forecast>,
    /// Config version of the cluster as it is; 0 without one.
    pub config_version: u64,
    /// corosync.conf as it is; empty without a cluster.
    pub conf_before: String,
    /// corosync.conf as it will be.
    pub conf_after: String,
    /// What a person should know though it stops nothing.
    pub notes: Vec<String>,
}

impl Plan {
    /// Nodes that are refused, each with its reason.
    pub fn refusals(&self) -> Vec<(&str, &str)> {
        let refused = self.decisions.iter().filter(|(_, decision)| decision.action == Action::Refuse);
        refused.map(|(name, decision)| (name.as_str(), decision.reason.as_str())).collect()
    }

    /// Whether anything is to be done.
    pub fn has_work(&self) -> bool {
        self.decisions.iter().any(|(_, decision)| matches!(decision.action, Action::Create | Action::Join))
    }
}

/// Decisions under way: what is not decided yet is absent.
type Decided = BTreeMap<String, Decision>;

/// Makes the plan.
pub fn plan(request: &Request) -> Plan {
    let mut plan = Plan::default();
    let mut decided = Decided::new();
    let mut request = request.clone();
    links::choose(&mut request, &mut decided);
    let request = &request;
    let faults: Vec<String> = inventory::cluster_name_fault(&request.cluster_name)
        .into_iter()
        .chain(inventory::findings(&links::known(request)))
        .collect();
    if !faults.is_empty() {
        let reason = format!("the inventory contradicts itself: {}: correct it first", faults.join("; "));
        refuse_all(request, &mut decided, &reason);
    }
    for node in &request.nodes {
        if let Some(reason) = node.facts().and_then(|facts| unfit(request, node, facts)) {
            decided.entry(node.name.clone()).or_insert(refusal(reason));
        }
    }
    match members::find(request, &mut decided) {
        members::Found::Cluster(cluster) => {
            for node in &request.nodes {
                members::decide(node, &cluster, &mut decided, &mut plan.notes);
            }
            // Members whose join died late: nothing of the cluster changes when they finish it.
            let unfinished = decided.iter().filter(|(_, decision)| decision.action == Action::Join);
            for (name, _) in unfinished {
                plan.joins.push(name.clone());
                plan.waves.push(vec![name.clone()]);
            }
            plan.members = cluster.members();
            plan.primary = Some(cluster.primary.name.clone());
            plan.conf_before = cluster.view.text.clone();
            plan.config_version = cluster.view.config_version;
            joins::plan_joins(request, &cluster, &mut decided, &mut plan);
        }
        members::Found::Nothing => plan_creation(request, &mut decided, &mut plan),
        members::Found::Conflict(reason) => refuse_all(request, &mut decided, &reason),
    }
    settle(request, decided, &mut plan);
    let without_info = |node: &WantedNode| WantedNode {
        version: node.version().map(str::to_owned),
        info: None,
        ..node.clone()
    };
    plan.nodes = request.nodes.iter().map(without_info).collect();
    plan
}

/// A node that cannot take part whatever the others are.
fn unfit(request: &Request, node: &WantedNode, facts: &NodeFacts) -> Option<String> {
    if facts.node != node.name {
        return Some(format!(
            "the host calls itself {:?}, the inventory calls it {:?}: correct either",
            facts.node, node.name
        ));
    }
    if facts.state == ClusterState::NotInstalled {
        return Some(
            "Proxmox VE is not installed on it: install it, or take the host out of the group".to_owned(),
        );
    }
    if let Some(cluster) = facts.cluster.as_ref().filter(|cluster| cluster.name != request.cluster_name) {
        return Some(format!(
            "it is in cluster {:?}: correct cluster_name or the inventory, or take it out of that cluster first",
            cluster.name
        ));
    }
    if facts.state == ClusterState::Remnants && !facts.is_in_transition() {
        let traces: Vec<String> =
            facts.remnants.iter().map(|trace| format!("{} ({})", trace.path, trace.detail)).collect();
        return Some(format!("it has traces of an earlier cluster: {}: {SEPARATE}", traces.join(", ")));
    }
    None
}

/// No member anywhere among those that were looked at.
fn plan_creation(request: &Request, decided: &mut Decided, plan: &mut Plan) {
    let unknown: Vec<&str> =
        request.nodes.iter().filter(|node| node.facts().is_none()).map(|node| node.name.as_str()).collect();
    if !unknown.is_empty() {
        let reason = format!(
            "no cluster is known, but {} could not be looked at and may have one: make them reachable, look at the whole \
             group at once, or take them out of it",
            unknown.join(", ")
        );
        refuse_all(request, decided, &reason);
        return;
    }
    if !decided.is_empty() {
        let refused: Vec<&str> = decided.keys().map(String::as_str).collect();
        let reason =
            format!("no cluster is created while {} cannot take part: see there", refused.join(", "));
        refuse_all(request, decided, &reason);
        return;
    }
    let Some(primary) = creator(request) else { return };
    if let Some(wanted) = request.primary.as_ref().filter(|wanted| **wanted != primary.name) {
        plan.notes.push(format!(
            "{wanted:?}, which was preferred, is not among the nodes: {:?} creates it",
            primary.name
        ));
    }
    let conf = CorosyncConf::create(&NewCluster {
        cluster_name: request.cluster_name.clone(),
        node: primary.name.clone(),
        nodeid: primary.nodeid.unwrap_or(1),
        votes: primary.votes.unwrap_or(1),
        links: primary.new_links(),
        token_coefficient: request.token_coefficient,
    });
    let reason = match is_creating(primary) {
        true => "creating it has not ended: that is attached to, or undone first",
        false => "no node is in a cluster: it creates it",
    };
    decided.insert(primary.name.clone(), Decision { action: Action::Create, reason: reason.to_owned() });
    plan.primary = Some(primary.name.clone());
    joins::plan_joins_into(request, primary, conf, decided, plan);
}

/// Whether a creation of an earlier run goes on there.
fn is_creating(node: &WantedNode) -> bool {
    node.facts().is_some_and(|facts| {
        facts.is_in_transition()
            && facts.operation.as_ref().is_some_and(|operation| operation.kind == "create")
    })
}

/// Who creates it already, the preferred node, else the only one that has guests (a joiner may have none), else the first.
fn creator(request: &Request) -> Option<&WantedNode> {
    let creating = request.nodes.iter().find(|node| is_creating(node));
    let preferred =
        request.primary.as_ref().and_then(|wanted| request.nodes.iter().find(|node| node.name == *wanted));
    let has_guests = |node: &&WantedNode| node.facts().is_some_and(|facts| !facts.guests.is_empty());
    let with_guests = || {
        let mut found = request.nodes.iter().filter(has_guests);
        found.next().filter(|_| found.next().is_none())
    };
    creating.or(preferred).or_else(with_guests).or_else(|| request.nodes.first())
}

fn refusal(reason: String) -> Decision {
    Decision { action: Action::Refuse, reason }
}

/// Refuses every node that is not refused for a reason of its own.
fn refuse_all(request: &Request, decided: &mut Decided, reason: &str) {
    for node in &request.nodes {
        decided.entry(node.name.clone()).or_insert_with(|| refusal(reason.to_owned()));
    }
}

fn settle(request: &Request, mut decided: Decided, plan: &mut Plan) {
    for node in &request.nodes {
        let undecided = || refusal("nothing was decided for it: please report it".to_owned());
        // A name that is listed twice is decided once.
        if let Some(decision) = decided.remove(&node.name).or_else(|| {
            let is_new = !plan.decisions.iter().any(|(name, _)| *name == node.name);
            is_new.then(undecided)
        }) {
            plan.decisions.push((node.name.clone(), decision));
        }
    }
}

#[cfg(test)]
mod tests;
