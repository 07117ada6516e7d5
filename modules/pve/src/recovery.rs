//! What is wrong with a cluster, from the facts of all nodes that answer, and what is to be done about each. Pure; carrying
//! a remedy out on a node is `apply`'s.
//!
//! The truth is what a quorate member has. Where none is quorate, a remedy is safe only if every listed node was asked:
//! else the silent ones may be the cluster, and the others cut off.

mod apply;
mod members;

use serde::Serialize;

use crate::facts::{ClusterConfig, ClusterNode, ClusterState, NodeFacts};
use crate::inventory::WantedNode;
use crate::network::is_same;
use crate::sentence::fill;

pub use apply::apply;
use members::{duplicates, listed_node, no_quorum};

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
    /// Have every corosync read its corosync.conf again.
    Reload,
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
                "bring it up; where it is up and only ssh is lost, as after a join that hangs: on its console, put your public \
                 key into /root/.ssh/authorized_keys2; if it is gone for good: playbooks/remove.yml -e pve_remove=$0",
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
    // A quorate member goes before one with a newer configuration, and that before one whose join did not end.
    let rank = |(facts, conf): &&(&NodeFacts, &ClusterConfig)| {
        (is_quorate(facts), conf.config_version, facts.fingerprint.is_some())
    };
    let truth = members.iter().max_by_key(rank);
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
                    "mend the network between them; where they don't become one again, decide which is the cluster, and for the \
                     nodes of the other: playbooks/rejoin.yml -e pve_rejoin=NAME,…",
                ],
                &["", &truth.node, &other.node],
            );
        }
    } else {
        no_quorum(&mut seen, &members, conf, truth);
    }
    duplicates(&mut seen, conf, &known, truth);
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
    for (listed, has) in conf.behind() {
        seen.add(
            Action::Reload,
            "not-reloaded",
            [
                "its corosync runs with config version $1, the file has $2",
                "corosync-cfgtool -R on any member",
            ],
            &[&listed.name, &has.to_string(), &conf.config_version.to_string()],
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
                "on one node whose /etc/corosync/corosync.conf is good still: perl -pe 's/(?<=config_version: )[0-9]+/$&+1/e' \
                 /etc/corosync/corosync.conf >/etc/pve/corosync.conf.new && mv /etc/pve/corosync.conf.new \
                 /etc/pve/corosync.conf; where /etc/pve is read-only, give every node a good /etc/corosync/corosync.conf \
                 first, and restart corosync",
            ],
            &[name, problem],
        );
        // It is a member as before, whatever else it looks like without its configuration.
        return;
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
            let remedy = match conf.nodes.len() {
                1 => "playbooks/reset.yml -e pve_reset_confirm=$2, then site.yml; or give it that address",
                _ => "playbooks/rejoin.yml -e pve_rejoin=$0; or give it that address",
            };
            if let Some(address) = own.and_then(|listed| listed.links.values().find(is_strange)) {
                seen.add(
                    Action::Person,
                    "address-not-local",
                    ["a link of it is on $1, which is no address of it: nobody reaches it there", remedy],
                    &[name, address, cluster],
                );
            }
        }
        None if facts.state == ClusterState::Remnants && facts.operation.is_none() => seen.add(
            Action::Person,
            "remnants",
            [
                "it is in no cluster, and something is left of one: $1",
                "playbooks/remove.yml -e pve_remove=$0 removes that, or rejoin.yml -e pve_rejoin=$0; where no member is left: \
                 playbooks/reset.yml -e pve_reset_confirm=$2",
            ],
            &[name, facts.remnants.first().map_or("", |trace| &trace.path), cluster],
        ),
        None => {}
    }
}

#[cfg(test)]
mod tests;
