//! What is wrong with a cluster, from the facts of all nodes that answer, and what is to be done about each. Pure; carrying
//! a remedy out on a node is `apply`'s.
//!
//! The truth is what a quorate member has. Where none is quorate, a remedy is safe only if every listed node was asked:
//! else the silent ones may be the cluster, and the others cut off.

mod apply;

use serde::Serialize;

use crate::facts::{ClusterConfig, ClusterNode, ClusterState, NodeFacts};
use crate::inventory::WantedNode;
use crate::network::is_same;
use crate::sentence::fill;
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
    /// `$0` of both sentences is the node.
    fn add(&mut self, action: Action, id: &'static str, sentences: [&str; 2], values: &[&str]) {
        let [finding, remedy] = sentences.map(|text| fill(text, values));
        let node = values.first().copied().unwrap_or_default().to_owned();
        self.diagnoses.push(Diagnosis { id, node, finding, remedy, action });
    }

    /// Nodes whose remedy is of a kind.
    pub fn nodes(&self, action: Action) -> Vec<&str> {
        self.diagnoses
            .iter()
            .filter(|found| found.action == action)
            .map(|found| found.node.as_str())
            .collect()
    }
}

/// Diagnoses a cluster.
pub fn diagnose(cluster: &str, nodes: &[WantedNode]) -> Picture {
    let mut seen = Picture::default();
    let known: Vec<&NodeFacts> = nodes.iter().filter_map(WantedNode::facts).collect();
    for node in nodes.iter().filter(|node| node.facts().is_none()) {
        seen.add(
            Action::Person,
            "unreachable",
            [
                "it can't be reached, so nothing is known of it",
                "bring it up; if it is gone for good: playbooks/remove.yml -e pve_remove=$0",
            ],
            &[&node.name],
        );
    }
    for facts in &known {
        alone(&mut seen, cluster, facts);
    }
    let members: Vec<(&NodeFacts, &ClusterConfig)> = known
        .iter()
        .filter_map(|facts| Some((*facts, facts.cluster.as_ref()?)))
        .filter(|of| of.1.name == cluster)
        .collect();
    let is_quorate = |facts: &NodeFacts| facts.state == ClusterState::Member;
    // A quorate member goes before one with a newer configuration.
    let truth = members.iter().max_by_key(|(facts, conf)| (is_quorate(facts), conf.config_version));
    let Some((truth, conf)) = truth.copied() else { return seen };
    let has_quorum = is_quorate(truth);
    let is_asked = |listed: &ClusterNode| known.iter().any(|facts| facts.node == listed.name);
    let is_certain = has_quorum || conf.nodes.iter().all(is_asked);
    seen.member = Some(truth.node.clone());
    seen.newest = is_certain.then(|| conf.text.clone());

    let sees = online(truth);
    if has_quorum {
        // Facts of different moments may differ in a member; two parts have none in common.
        let is_apart = |facts: &NodeFacts| !online(facts).iter().any(|id| sees.contains(id));
        let other = members.iter().find(|(facts, _)| is_quorate(facts) && is_apart(facts));
        if let Some((other, _)) = other {
            seen.add(
                Action::Person,
                "two-quorate-parts",
                [
                    "$1 and $2 are both quorate and don't see each other",
                    "decide which part is the cluster, and separate the nodes of the other (pve_cluster_reset)",
                ],
                &["", &truth.node, &other.node],
            );
        }
    } else {
        no_quorum(&mut seen, &members, conf, truth);
    }
    for (index, listed) in conf.nodes.iter().enumerate() {
        if conf.nodes[..index].iter().any(|other| other.nodeid == listed.nodeid) {
            seen.add(
                Action::Person,
                "duplicate-nodeid",
                [
                    "its node id is another node's too, so corosync starts on neither side",
                    "on $0: stop corosync and pve-cluster and separate it (pve_cluster_reset); on $1: \"pvecm expected 1\", \
                     \"pvecm delnode $0\"; then join it without a node id",
                ],
                &[&listed.name, &truth.node],
            );
        }
    }
    let is_strange = |listed: &&ClusterNode| {
        !sees.contains(&listed.nodeid) && !nodes.iter().any(|node| node.name == listed.name)
    };
    for listed in conf.nodes.iter().filter(is_strange) {
        seen.add(
            Action::Person,
            "unknown-node",
            [
                "the cluster lists it, it is not online, and it is not in the inventory",
                "bring it up and put it into the inventory, or playbooks/remove.yml -e pve_remove=$0",
            ],
            &[&listed.name],
        );
    }
    for facts in &known {
        match conf.nodes.iter().find(|listed| listed.name == facts.node) {
            Some(listed) => listed_node(&mut seen, facts, conf, sees.contains(&listed.nodeid), is_certain),
            None if members.iter().any(|(member, _)| member.node == facts.node) => seen.add(
                Action::Person,
                "removed",
                [
                    "the cluster does not list it any more, and it still has the old configuration",
                    "playbooks/remove.yml -e pve_remove=$0 cleans it, or rejoin.yml -e pve_rejoin=$0",
                ],
                &[&facts.node],
            ),
            None => {}
        }
    }
    seen
}

fn online(facts: &NodeFacts) -> &[u32] {
    facts.quorum.as_ref().map_or(&[], |votes| &votes.members)
}

/// Names of listed nodes, those that are among the ids, or those that are not.
fn names(conf: &ClusterConfig, ids: &[u32], are_among: bool, between: &str) -> String {
    let chosen = conf.nodes.iter().filter(|listed| ids.contains(&listed.nodeid) == are_among);
    chosen.map(|listed| listed.name.as_str()).collect::<Vec<_>>().join(between)
}

/// What a node's own facts tell.
fn alone(seen: &mut Picture, cluster: &str, facts: &NodeFacts) {
    let name = facts.node.as_str();
    if let Some(operation) = &facts.operation {
        seen.add(
            Action::Settle,
            "unfinished-operation",
            ["$1 of $2 has not ended ($3)", "finish or undo it by its journal, if its process is gone"],
            &[name, &operation.kind, &operation.target, &operation.id],
        );
    }
    if let Some(problem) = facts.problems.iter().find(|problem| problem.contains("corosync.conf")) {
        seen.add(
            Action::Person,
            "broken-configuration",
            [
                "its corosync.conf can't be read: $1",
                "write a good one with a higher config_version to /etc/pve/corosync.conf.new and move it over corosync.conf; \
                 where /etc/pve is read-only, to /etc/corosync/corosync.conf of every node, and restart corosync",
            ],
            &[name, problem],
        );
    }
    match &facts.cluster {
        Some(conf) if conf.name != cluster => seen.add(
            Action::Person,
            "other-cluster",
            ["it is in cluster \"$1\", not \"$2\"", "correct cluster_name, or take it out of the inventory"],
            &[name, &conf.name, cluster],
        ),
        Some(conf) => {
            let own = conf.nodes.iter().find(|listed| listed.name == name);
            let is_strange = |address: &&String| {
                !facts.addresses.is_empty()
                    && !facts.addresses.iter().any(|own| is_same(&own.address, address))
            };
            if let Some(address) = own.and_then(|listed| listed.links.values().find(is_strange)) {
                seen.add(
                    Action::Person,
                    "address-not-local",
                    [
                        "a link of it is on $1, which is no address of it: nobody reaches it there",
                        "give it that address, or separate it (playbooks/reset.yml) and form the cluster anew",
                    ],
                    &[name, address],
                );
            }
        }
        None if facts.state == ClusterState::Remnants && facts.operation.is_none() => seen.add(
            Action::Person,
            "remnants",
            [
                "it is in no cluster, and something is left of one: $1",
                "pve_cluster_reset on it, with confirm=$2, removes that",
            ],
            &[name, facts.remnants.first().map_or("", |trace| &trace.path), cluster],
        ),
        None => {}
    }
}

/// Who sees whom, where nobody is quorate.
fn no_quorum(
    seen: &mut Picture,
    members: &[(&NodeFacts, &ClusterConfig)],
    conf: &ClusterConfig,
    truth: &NodeFacts,
) {
    let mut parts: Vec<String> =
        members.iter().map(|(facts, _)| names(conf, online(facts), true, "+")).collect();
    parts.retain(|part| !part.is_empty());
    parts.dedup();
    let sees = online(truth);
    seen.add(
        Action::Person,
        "no-quorum",
        [
            "no member is quorate; those that see each other: $1",
            "bring up $2, or mend the network between the parts. Only if these are off for good, which nobody can tell from a \
             partition: on $3 \"pvecm expected $4\", then \"pvecm delnode $5\"",
        ],
        &[
            "",
            &parts.join(" | "),
            &names(conf, sees, false, ", "),
            &truth.node,
            &sees.len().to_string(),
            &names(conf, sees, false, "\", \"pvecm delnode "),
        ],
    );
}

/// A node that the cluster lists and that could be asked.
fn listed_node(
    seen: &mut Picture,
    facts: &NodeFacts,
    conf: &ClusterConfig,
    is_online: bool,
    is_certain: bool,
) {
    let name = facts.node.as_str();
    let is_active = |unit: &str| facts.services.get(unit).is_some_and(|service| service.active == "active");
    let Some(own) = &facts.cluster else {
        let (action, remedy) = match is_active("corosync") {
            true => (Action::Person, "its corosync runs all the same: stop it, and look again"),
            false => (
                Action::Withdraw,
                "take it off the list if it never came up; else playbooks/rejoin.yml -e pve_rejoin=$0",
            ),
        };
        let finding =
            "the cluster lists it, and it is in no cluster: a join that did not end, or a new installation";
        seen.add(action, "half-member", [finding, remedy], &[name]);
        return;
    };
    if own.name != conf.name {
        return;
    }
    if !is_online && own.config_version < conf.config_version {
        let (action, remedy) = match (facts.ha.active, is_certain) {
            (true, _) => (
                Action::Person,
                "high availability is active on it: by hand, write the corosync.conf of config version $2 to \
                 /etc/corosync/corosync.conf on it and restart corosync",
            ),
            (false, true) => (
                Action::Adopt,
                "write the corosync.conf of config version $2 to /etc/corosync/corosync.conf on it and restart corosync",
            ),
            (false, false) => (
                Action::Person,
                "once a member is quorate, or every node can be asked, it gets the corosync.conf of config version $2",
            ),
        };
        let finding = "it has config version $1, the cluster $2: corosync lets it in no more";
        let versions = [own.config_version, conf.config_version].map(|version| version.to_string());
        seen.add(action, "older-configuration", [finding, remedy], &[name, &versions[0], &versions[1]]);
        return;
    }
    let stopped: Vec<&str> = OF_A_MEMBER.into_iter().filter(|unit| !is_active(unit)).collect();
    if !stopped.is_empty() && facts.operation.is_none() {
        let sentences = ["$1 not running", "systemctl start $1"];
        seen.add(Action::Start, "service-down", sentences, &[name, &stopped.join(" ")]);
    } else if !is_online && is_active("corosync") {
        let down = facts.links.iter().filter(|link| link.peers.iter().any(|peer| !peer.connected));
        let down: Vec<&str> = down.map(|link| link.address.as_str()).collect();
        seen.add(
            Action::Person,
            "cut-off",
            [
                "its corosync runs and sees no quorate member; links that are down: $1",
                "mend the network of these links: UDP 5405 + link number, both ways; authkeys that differ look the same",
            ],
            &[name, &down.join(", ")],
        );
    } else if is_online && facts.fingerprint.is_none() {
        seen.add(
            Action::Mend,
            "incomplete-member",
            [
                "it is a member and has no certificate, as of a join that failed at its end",
                "make its certificate and share its keys (pve_cluster_trust)",
            ],
            &[name],
        );
    }
}

#[cfg(test)]
mod tests;
