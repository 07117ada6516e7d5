//! Votes before, while and after nodes join. corosync counts a node's vote as expected from the moment it is
//! listed, and as present only when it is up.

use serde::Serialize;

use crate::admission::Standing;
use crate::corosync_conf::ConfNode;
use crate::order::sort_short_by;

/// Votes of a cluster at one moment.
#[derive(Clone, Copy, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Votes {
    /// Those of the nodes that are up.
    pub online_votes: u32,
    /// Those of all listed nodes.
    pub expected_votes: u32,
    /// Needed for quorum.
    pub quorum: u32,
    /// How many nodes may fail, whichever they are, before quorum is lost.
    pub tolerated_failures: usize,
}

impl Votes {
    /// As nodes and their state have it.
    pub fn of(standing: &Standing) -> Self {
        if standing.nodes.is_empty() {
            return Self::default();
        }
        let (expected, online) = standing.votes();
        let quorum = expected / 2 + 1;
        let up = standing.nodes.iter().filter(|node| standing.online.contains(&node.name));
        let mut each: Vec<u32> = up.map(|node| node.votes).collect();
        // The heaviest first: the number must hold whichever nodes fail.
        sort_short_by(&mut each, |one, other| other.cmp(one));
        let mut left = online;
        let survived = each.iter().take_while(|votes| {
            left -= **votes;
            left >= quorum
        });
        Self { tolerated_failures: survived.count(), online_votes: online, expected_votes: expected, quorum }
    }
}

/// One step of the plan: the creation, or a wave of joins.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Forecast {
    /// Who does it.
    pub nodes: Vec<String>,
    /// `create` or `join`.
    pub action: &'static str,
    /// Before it.
    pub before: Votes,
    /// After it.
    pub after: Votes,
    /// Whether the cluster stays quorate from the admission until the nodes are up.
    pub quorate_meanwhile: bool,
}

impl Forecast {
    pub(super) fn creation(node: &str, created: &Standing) -> Self {
        Self {
            nodes: vec![node.to_owned()],
            action: "create",
            before: Votes::default(),
            after: Votes::of(created),
            quorate_meanwhile: true,
        }
    }

    /// `after`: the same cluster with the nodes of the wave listed and up.
    pub(super) fn joins(nodes: Vec<String>, before: &Standing, after: &Standing) -> Self {
        let (before, after) = (Votes::of(before), Votes::of(after));
        let quorate_meanwhile = before.online_votes >= after.quorum;
        Self { nodes, action: "join", before, after, quorate_meanwhile }
    }
}

/// What is worth knowing about a cluster of these nodes though it works.
pub(super) fn advice(nodes: &[ConfNode], has_qdevice: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let links = nodes.iter().map(|node| node.links.len()).max().unwrap_or(0);
    let votes: u32 = nodes.iter().map(|node| node.votes).sum();
    match nodes.len() {
        0 | 1 => return notes,
        2 if !has_qdevice => notes.push(
            "two nodes: when either fails the other loses quorum and stops: add a third node or a quorum device \
             (playbooks/qdevice.yml)"
                .to_owned(),
        ),
        count if votes % 2 == 0 && !has_qdevice => notes.push(format!(
            "{count} nodes with {votes} votes: an even number survives no more failures than one less: add a node or \
             a quorum device (playbooks/qdevice.yml)"
        )),
        count if votes % 2 == 1 && has_qdevice => notes.push(format!(
            "{count} nodes with {votes} votes and a quorum device: with an odd number of nodes the device makes the \
             cluster depend on it: remove it"
        )),
        _ => {}
    }
    if links == 1 {
        notes.push(
            "one link: when its network fails every node loses quorum: give the nodes a second one on another network"
                .to_owned(),
        );
    }
    notes
}
