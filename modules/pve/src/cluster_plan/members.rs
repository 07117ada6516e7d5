//! The cluster as its members show it, and what becomes of nodes it lists already.

use std::collections::BTreeMap;

use super::{Action, Decided, Decision, Request, refusal};
use crate::facts::{ClusterConfig, ClusterNode, ClusterState, NodeFacts, Quorum};
use crate::inventory::WantedNode;
use crate::network::is_same;

/// The cluster that is there.
pub(super) struct Cluster<'a> {
    /// The member through which others join.
    pub(super) primary: &'a WantedNode,
    /// What it was gathered from.
    pub(super) facts: &'a NodeFacts,
    /// Its configuration as the primary has it.
    pub(super) view: &'a ClusterConfig,
    /// Votes as the primary has them.
    pub(super) quorum: Quorum,
    /// Listed nodes that are not up and that this plan can bring up: with them quorum comes back.
    pub(super) awaited: Vec<&'a str>,
}

/// What there is among the nodes that were looked at.
pub(super) enum Found<'a> {
    Nothing,
    Cluster(Cluster<'a>),
    /// There is one, or there are several, and nobody can join it.
    Conflict(String),
}

impl Cluster<'_> {
    pub(super) fn listed(&self, name: &str) -> Option<&ClusterNode> {
        self.view.nodes.iter().find(|node| node.name == name)
    }

    /// Names of those that are in the membership.
    pub(super) fn members(&self) -> Vec<String> {
        let online = self.view.nodes.iter().filter(|node| node.online == Some(true));
        online.map(|node| node.name.clone()).collect()
    }
}

/// Finds the cluster; refuses members that are in no state to be members.
pub(super) fn find<'a>(request: &'a Request, decided: &mut Decided) -> Found<'a> {
    let in_it: Vec<(&WantedNode, &NodeFacts, &ClusterConfig)> = request
        .nodes
        .iter()
        .filter_map(|node| {
            let facts = node.facts()?;
            let cluster = facts.cluster.as_ref().filter(|cluster| cluster.name == request.cluster_name)?;
            let is_settled = facts.state != ClusterState::Remnants && !facts.is_in_transition();
            (facts.node == node.name && is_settled).then_some((node, facts, cluster))
        })
        .collect();
    if in_it.is_empty() {
        return Found::Nothing;
    }
    if let Some(reason) = two_clusters(&in_it) {
        return Found::Conflict(reason);
    }
    // A member without a certificate has not finished its own join.
    let is_quorate = |(_, facts, _): &&(&WantedNode, &NodeFacts, &ClusterConfig)| {
        facts.state == ClusterState::Member && facts.fingerprint.is_some()
    };
    let preferred =
        in_it.iter().filter(is_quorate).find(|(node, ..)| Some(&node.name) == request.primary.as_ref());
    // Without a quorate member one that runs at least can tell who is listed.
    let chosen = preferred
        .or_else(|| in_it.iter().find(is_quorate))
        .or_else(|| in_it.iter().find(|(_, facts, _)| facts.quorum.is_some()))
        .unwrap_or(&in_it[0]);
    let (primary, facts, view) = *chosen;
    for (node, facts, other) in &in_it {
        if facts.state == ClusterState::Member && other.digest != view.digest {
            decided.entry(node.name.clone()).or_insert_with(|| {
                refusal(format!(
                    "its corosync.conf (version {}) is not that of {:?} (version {}): let pmxcfs come to rest, or \
                     restart pve-cluster on the older one",
                    other.config_version, primary.name, view.config_version
                ))
            });
        }
    }
    let quorum = facts.quorum.clone().unwrap_or_default();
    let awaited = awaited(request, view, &quorum);
    Found::Cluster(Cluster { primary, facts, view, quorum, awaited })
}

/// Nodes whose admission did not end, if it is they alone that are not up.
fn awaited<'a>(request: &'a Request, view: &ClusterConfig, quorum: &Quorum) -> Vec<&'a str> {
    let is_waiting = |node: &&WantedNode| {
        node.facts().is_some_and(|facts| facts.cluster.is_none() || facts.is_in_transition())
    };
    let missing = view.nodes.iter().filter(|listed| !quorum.members.contains(&listed.nodeid));
    let found: Option<Vec<&str>> = missing
        .map(|listed| {
            let waiting = request.nodes.iter().filter(is_waiting).find(|node| node.name == listed.name)?;
            difference(waiting, listed).is_none().then_some(waiting.name.as_str())
        })
        .collect();
    found.unwrap_or_default()
}

/// Two clusters of one name have two certificate authorities.
fn two_clusters(in_it: &[(&WantedNode, &NodeFacts, &ClusterConfig)]) -> Option<String> {
    let mut authorities: BTreeMap<&str, &str> = BTreeMap::new();
    for (node, facts, _) in in_it.iter().filter(|(_, facts, _)| facts.pmxcfs.mounted) {
        if let Some(fingerprint) = &facts.ca_fingerprint {
            authorities.entry(fingerprint).or_insert(&node.name);
        }
    }
    let nodes: Vec<&str> = authorities.into_values().collect();
    (nodes.len() > 1).then(|| {
        format!(
            "{} are in different clusters of the same name: two certificate authorities: take all but one apart first",
            nodes.join(" and ")
        )
    })
}

/// Decides for a node that is in the cluster or is listed in it; leaves the others to the joins.
pub(super) fn decide(
    node: &WantedNode,
    cluster: &Cluster<'_>,
    decided: &mut Decided,
    notes: &mut Vec<String>,
) {
    if decided.contains_key(&node.name) {
        return;
    }
    let listed = cluster.listed(&node.name);
    let nothing = |reason: &str| Decision { action: Action::None, reason: reason.to_owned() };
    let decision = match (node.facts(), listed) {
        (None, Some(listed)) if listed.online == Some(true) => nothing("a member, which was not looked at"),
        (None, Some(_)) => nothing("listed and not online, and could not be looked at"),
        (None, None) => {
            notes.push(format!("{} could not be looked at: run again when it is reachable", node.name));
            nothing("could not be looked at: run again with it when it is reachable")
        }
        (Some(facts), _) if facts.is_in_transition() => return,
        (Some(facts), Some(listed)) if facts.cluster.is_some() => {
            if let Some(what) = difference(node, listed) {
                notes.push(format!("{}: {what}: the cluster is left as it is", node.name));
            }
            match facts.state {
                ClusterState::Member if facts.fingerprint.is_none() && node.name != cluster.primary.name => {
                    Decision {
                        action: Action::Join,
                        reason: "a member without a certificate: its join died late, and joining finishes it"
                            .to_owned(),
                    }
                }
                ClusterState::Member => nothing("a member already"),
                _ if facts.pmxcfs.mounted && facts.quorum.is_some() && !cluster.awaited.is_empty() => {
                    nothing(&format!("a member, without quorum until {} is up", cluster.awaited.join(", ")))
                }
                _ => refusal(not_quorate(facts, cluster)),
            }
        }
        (Some(facts), None) if facts.cluster.is_some() => refusal(format!(
            "it takes itself for a member, but {:?} does not list it: it was removed: separate it as pvecm(1) says, then let it join",
            cluster.primary.name
        )),
        _ => return,
    };
    decided.insert(node.name.clone(), decision);
}

fn not_quorate(facts: &NodeFacts, cluster: &Cluster<'_>) -> String {
    let state =
        |unit: &str| facts.services.get(unit).map_or("not known", |unit| unit.active.as_str()).to_owned();
    if !facts.pmxcfs.mounted {
        return format!(
            "it is a member, but /etc/pve is not mounted (pve-cluster is {}): start it",
            state("pve-cluster")
        );
    }
    match &facts.quorum {
        None => {
            format!("it is a member, but corosync does not answer (it is {}): start it", state("corosync"))
        }
        Some(votes) if !votes.quorate => {
            let missing: Vec<&str> = cluster
                .view
                .nodes
                .iter()
                .filter(|node| !votes.members.contains(&node.nodeid))
                .map(|node| node.name.as_str())
                .collect();
            format!(
                "it has no quorum, {} of {} votes: bring {} up, or look at its links with corosync-cfgtool -s",
                votes.total_votes,
                votes.expected_votes,
                missing.join(", ")
            )
        }
        Some(_) => "corosync is quorate and pmxcfs is not: see journalctl -u pve-cluster".to_owned(),
    }
}

/// What the inventory says otherwise than the cluster.
pub(super) fn difference(node: &WantedNode, listed: &ClusterNode) -> Option<String> {
    let wanted = node.addresses();
    let is_same_links = wanted.len() == listed.links.len()
        && listed
            .links
            .iter()
            .all(|(number, address)| wanted.get(number).is_some_and(|own| is_same(own, address)));
    if !is_same_links {
        return Some(format!(
            "the cluster has it with links {:?}, the inventory with {wanted:?}",
            listed.links
        ));
    }
    if let Some(nodeid) = node.nodeid.filter(|nodeid| *nodeid != listed.nodeid) {
        return Some(format!(
            "the cluster has it with node id {}, the inventory with {nodeid}",
            listed.nodeid
        ));
    }
    let votes = node.votes.filter(|votes| *votes != listed.votes)?;
    Some(format!("the cluster has it with {} votes, the inventory with {votes}", listed.votes))
}
