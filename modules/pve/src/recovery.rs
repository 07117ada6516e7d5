//! What is wrong with a cluster, from the facts of all nodes that answer, and what is to be done about each. Pure; carrying
//! a remedy out on a node is `apply`'s.
//!
//! The truth is what a quorate member has. Where none is quorate, a remedy is safe only if every listed node was asked:
//! else the silent ones may be the cluster, and the others cut off.

mod apply;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::facts::{ClusterConfig, ClusterState, NodeFacts};
use crate::inventory::WantedNode;
use crate::network::is_same;
use crate::services::OF_A_MEMBER;

pub use apply::apply;

/// What carries a remedy out.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing does: a person must decide.
    Person,
    /// Finish or undo the operation of the node's journal.
    Settle,
    /// Give the node the cluster's corosync.conf and restart corosync.
    Adopt,
    /// Start services of the node.
    Start,
    /// Mend the node's certificate and keys, as `pve_cluster_trust` does.
    Mend,
    /// Take the node off the list if it never came up, as `pve_cluster_member` does on a member.
    Withdraw,
}

/// Something that is wrong.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Diagnosis {
    /// Stable kebab-case id.
    pub id: &'static str,
    /// The node; empty for the cluster as a whole.
    pub node: String,
    /// What is.
    pub finding: String,
    /// What is to be done.
    pub remedy: String,
    /// What does it.
    pub action: Action,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Picture {
    /// What is wrong.
    pub diagnoses: Vec<Diagnosis>,
    /// The corosync.conf that all nodes should have, where that is certain.
    pub newest: Option<String>,
    /// A quorate member, else the only candidate for one.
    pub member: Option<String>,
}

impl Picture {
    fn add(&mut self, action: Action, id: &'static str, node: &str, finding: String, remedy: impl Into<String>) {
        self.diagnoses.push(Diagnosis { id, node: node.to_owned(), finding, remedy: remedy.into(), action });
    }

    /// Nodes whose remedy is of a kind.
    pub fn nodes(&self, action: Action) -> Vec<&str> {
        self.diagnoses.iter().filter(|found| found.action == action).map(|found| found.node.as_str()).collect()
    }
}

/// Diagnoses a cluster.
pub fn diagnose(cluster: &str, nodes: &[WantedNode]) -> Picture {
    let mut seen = Picture::default();
    let known: Vec<&NodeFacts> = nodes.iter().filter_map(WantedNode::facts).collect();
    for node in nodes.iter().filter(|node| node.facts().is_none()) {
        let name = &node.name;
        seen.add(
            Action::Person,
            "unreachable",
            name,
            "it can't be reached, so nothing is known of it".to_owned(),
            format!("bring it up; if it is gone for good: playbooks/remove.yml -e pve_remove={name}"),
        );
    }
    for facts in &known {
        alone(&mut seen, cluster, facts);
    }
    let ours = |facts: &&&NodeFacts| facts.cluster.as_ref().is_some_and(|conf| conf.name == cluster);
    let members: Vec<&NodeFacts> = known.iter().filter(ours).copied().collect();
    let newest = |of: &[&NodeFacts]| -> Option<String> {
        let newest = of.iter().max_by_key(|facts| facts.cluster.as_ref().map(|conf| conf.config_version))?;
        Some(newest.node.clone())
    };
    let quorate: Vec<&NodeFacts> =
        members.iter().filter(|facts| facts.state == ClusterState::Member).copied().collect();
    let holder = newest(&quorate).or_else(|| newest(&members));
    let Some(truth) = members.iter().find(|facts| Some(&facts.node) == holder.as_ref()) else { return seen };
    let Some(conf) = &truth.cluster else { return seen };
    let all_asked = conf.nodes.iter().all(|listed| known.iter().any(|facts| facts.node == listed.name));
    let is_certain = !quorate.is_empty() || all_asked;
    seen.member = Some(truth.node.clone());
    seen.newest = is_certain.then(|| conf.text.clone());

    partitions(&mut seen, &quorate, &members, conf, truth);
    let mut ids = BTreeSet::new();
    for listed in conf.nodes.iter().filter(|listed| !ids.insert(listed.nodeid)) {
        let name = &listed.name;
        seen.add(
            Action::Person,
            "duplicate-nodeid",
            name,
            format!("node id {} is given twice, so corosync starts on neither side", listed.nodeid),
            format!(
                "on {name}: stop corosync and pve-cluster and separate it (pve_cluster_reset); on {}: \"pvecm expected 1\", \
                 \"pvecm delnode {name}\"; then join it without a node id",
                truth.node
            ),
        );
    }
    for facts in &known {
        match conf.nodes.iter().find(|listed| listed.name == facts.node) {
            None if facts.cluster.as_ref().is_some_and(|own| own.name == cluster) => seen.add(
                Action::Person,
                "removed",
                &facts.node,
                "the cluster does not list it any more, and it still has the old configuration".to_owned(),
                format!("playbooks/remove.yml -e pve_remove={0} cleans it, or rejoin.yml -e pve_rejoin={0}", facts.node),
            ),
            None => {}
            Some(listed) => {
                let is_online = truth.quorum.as_ref().is_some_and(|votes| votes.members.contains(&listed.nodeid));
                listed_node(&mut seen, facts, conf, is_online, is_certain);
            }
        }
    }
    seen
}

/// What a node's own facts tell.
fn alone(seen: &mut Picture, cluster: &str, facts: &NodeFacts) {
    let name = &facts.node;
    if let Some(operation) = &facts.operation {
        seen.add(
            Action::Settle,
            "unfinished-operation",
            name,
            format!("{} of {} has not ended ({})", operation.kind, operation.target, operation.id),
            "finish or undo it by its journal, if its process is gone",
        );
    }
    if facts.problems.iter().any(|problem| problem.contains("corosync.conf")) {
        seen.add(
            Action::Person,
            "broken-configuration",
            name,
            format!("its corosync.conf can't be read: {}", facts.problems.join("; ")),
            "write a good one with a higher config_version to /etc/pve/corosync.conf.new and move it over corosync.conf; \
             where /etc/pve is read-only, to /etc/corosync/corosync.conf of every node, and restart corosync",
        );
    }
    match &facts.cluster {
        Some(conf) if conf.name != cluster => seen.add(
            Action::Person,
            "other-cluster",
            name,
            format!("it is in cluster {:?}, not {cluster:?}", conf.name),
            "correct cluster_name, or take it out of the inventory",
        ),
        Some(conf) => {
            let own = conf.nodes.iter().find(|listed| listed.name == *name);
            let strange = own.iter().flat_map(|listed| &listed.links).find(|(_, address)| {
                !facts.addresses.is_empty() && !facts.addresses.iter().any(|own| is_same(&own.address, address))
            });
            if let Some((link, address)) = strange {
                seen.add(
                    Action::Person,
                    "address-not-local",
                    name,
                    format!("link {link} is on {address}, which is no address of it: nobody reaches it there"),
                    "give it that address, or separate it (playbooks/reset.yml) and form the cluster anew",
                );
            }
        }
        None if facts.state == ClusterState::Remnants && facts.operation.is_none() => seen.add(
            Action::Person,
            "remnants",
            name,
            format!(
                "it is in no cluster, and something is left of one: {}",
                facts.remnants.iter().map(|trace| trace.path.as_str()).collect::<Vec<_>>().join(", ")
            ),
            format!("pve_cluster_reset on it, with confirm={cluster}, removes that"),
        ),
        None => {}
    }
}

/// Who sees whom, where not all see all.
fn partitions(
    seen: &mut Picture,
    quorate: &[&NodeFacts],
    members: &[&NodeFacts],
    conf: &ClusterConfig,
    truth: &NodeFacts,
) {
    let sees = |facts: &NodeFacts| -> Vec<u32> {
        facts.quorum.as_ref().map(|votes| votes.members.clone()).unwrap_or_default()
    };
    if let Some(other) = quorate.iter().find(|facts| sees(facts) != sees(truth)) {
        seen.add(
            Action::Person,
            "two-quorate-parts",
            "",
            format!("{} and {} are both quorate and don't see each other", truth.node, other.node),
            "decide which part is the cluster, and separate the nodes of the other (pve_cluster_reset)",
        );
    }
    if !quorate.is_empty() {
        return;
    }
    let parts: BTreeSet<String> = members
        .iter()
        .map(|facts| {
            let names = conf.nodes.iter().filter(|listed| sees(facts).contains(&listed.nodeid));
            names.map(|listed| listed.name.as_str()).collect::<Vec<_>>().join("+")
        })
        .filter(|part| !part.is_empty())
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let online = sees(truth);
    let absent: Vec<&str> = conf
        .nodes
        .iter()
        .filter(|listed| !online.contains(&listed.nodeid))
        .map(|listed| listed.name.as_str())
        .collect();
    let total: u32 = conf.nodes.iter().map(|listed| listed.votes).sum();
    let delete: Vec<String> = absent.iter().map(|name| format!("\"pvecm delnode {name}\"")).collect();
    seen.add(
        Action::Person,
        "no-quorum",
        "",
        format!("no member is quorate; {total} votes are expected; those that see each other: {}", parts.join(" | ")),
        format!(
            "bring up {}, or mend the network between the parts. Only if these are off for good, which nobody can tell from \
             a partition: on {} \"pvecm expected {}\", then {}",
            absent.join(", "),
            truth.node,
            online.len(),
            delete.join(", ")
        ),
    );
}

/// A node that the cluster lists and that could be asked.
fn listed_node(seen: &mut Picture, facts: &NodeFacts, conf: &ClusterConfig, is_online: bool, is_certain: bool) {
    let name = &facts.node;
    let is_active = |unit: &str| facts.services.get(unit).is_some_and(|service| service.active == "active");
    let Some(own) = &facts.cluster else {
        let (action, remedy) = match is_active("corosync") {
            true => (Action::Person, "its corosync runs all the same: stop it, and look again".to_owned()),
            false => (
                Action::Withdraw,
                format!("take it off the list if it never came up; else playbooks/rejoin.yml -e pve_rejoin={name}"),
            ),
        };
        let finding = "the cluster lists it, and it is in no cluster: a join that did not end, or a new installation";
        seen.add(action, "half-member", name, finding.to_owned(), remedy);
        return;
    };
    if own.name != conf.name {
        return;
    }
    let (has, newest) = (own.config_version, conf.config_version);
    if !is_online && has < newest {
        let by_hand = format!(
            "write the corosync.conf of config version {newest} to /etc/corosync/corosync.conf on it and restart corosync"
        );
        let (action, remedy) = match (facts.ha.active, is_certain) {
            (true, _) => (Action::Person, format!("high availability is active on it: by hand, {by_hand}")),
            (false, true) => (Action::Adopt, by_hand),
            (false, false) => (Action::Person, format!("once a member is quorate, or every node can be asked: {by_hand}")),
        };
        let finding = format!("it has config version {has}, the cluster {newest}: corosync lets it in no more");
        seen.add(action, "older-configuration", name, finding, remedy);
        return;
    }
    let stopped: Vec<&str> = OF_A_MEMBER.into_iter().filter(|unit| !is_active(unit)).collect();
    if !stopped.is_empty() && facts.operation.is_none() {
        let finding = format!("{} not running", stopped.join(", "));
        seen.add(Action::Start, "service-down", name, finding, format!("systemctl start {}", stopped.join(" ")));
    } else if !is_online && is_active("corosync") {
        let down = facts.links.iter().filter(|link| link.peers.iter().any(|peer| !peer.connected));
        let down: Vec<String> = down.map(|link| format!("{} ({})", link.number, link.address)).collect();
        let finding = format!("its corosync runs and sees no quorate member; links that are down: {}", down.join(", "));
        let remedy = "mend the network of these links: UDP 5405 + link number, both ways; authkeys that differ look the same";
        seen.add(Action::Person, "cut-off", name, finding, remedy);
    } else if is_online && facts.fingerprint.is_none() {
        let finding = "it is a member and has no certificate, as of a join that failed at its end".to_owned();
        seen.add(Action::Mend, "incomplete-member", name, finding, "make its certificate and share its keys (pve_cluster_trust)");
    }
}

#[cfg(test)]
mod tests;
