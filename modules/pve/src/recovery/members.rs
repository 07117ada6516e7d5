//! What is wrong with nodes that the cluster lists, as the facts of all that could be asked show it. Pure.

use super::{Action, Picture, names, online};
use crate::facts::{ClusterConfig, ClusterNode, ClusterState, NodeFacts};
use crate::sentence::fill;
use crate::services::OF_A_MEMBER;

/// What stands in the way of services that are down, so that starting them is no remedy.
const BEFORE_SERVICES: [&str; 2] = ["address-not-local", "duplicate-nodeid"];

/// Nodes whose id another one had before them.
pub(super) fn duplicates(seen: &mut Picture, conf: &ClusterConfig, known: &[&NodeFacts], truth: &NodeFacts) {
    // Its corosync runs; or its join has ended, as a certificate shows.
    let rank = |listed: &&ClusterNode| {
        let facts = known.iter().find(|facts| facts.node == listed.name);
        facts.map_or(0, |facts| 2 * u8::from(facts.quorum.is_some()) + u8::from(facts.fingerprint.is_some()))
    };
    let had_it = |id: u32| conf.nodes.iter().rev().filter(|listed| listed.nodeid == id).max_by_key(rank);
    let is_quorate = truth.state == ClusterState::Member;
    for listed in &conf.nodes {
        let Some(first) = had_it(listed.nodeid).filter(|first| first.name != listed.name) else { continue };
        let remedy = match is_quorate {
            // Their corosyncs have kept the list before it.
            true => "playbooks/rejoin.yml -e pve_rejoin=$0 (pvecm delnode would stop $1)",
            false => {
                "on every node but $0: perl -0pi -e 's/node *[{][^{}]* name: $0[^-a-zA-Z0-9][^{}]*[}]//; s/(?<=config_version: \
                 )[0-9]+/$&+1/e' /etc/corosync/corosync.conf && systemctl reset-failed corosync; systemctl restart corosync; when they are \
                 quorate, on one of them: cp /etc/corosync/corosync.conf /etc/pve/corosync.conf.new && mv \
                 /etc/pve/corosync.conf.new /etc/pve/corosync.conf; then playbooks/rejoin.yml -e pve_rejoin=$0"
            }
        };
        seen.add(
            Action::Person,
            "duplicate-nodeid",
            ["its node id is that of $1 too: corosync starts on neither of them", remedy],
            &[&listed.name, &first.name],
        );
    }
}

/// Who sees whom, where nobody is quorate.
pub(super) fn no_quorum(
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
    if sees.is_empty() {
        let sentences = [
            "corosync runs on no member that could be asked",
            "quorum comes with what is told of them below",
        ];
        seen.add(Action::Person, "no-quorum", sentences, &[""]);
        return;
    }
    let expected = sees.len().to_string();
    // Each change of the list has corosync count anew, and the next one needs quorum again.
    let and_then = fill("; pvecm expected $0 && pvecm delnode ", &[&expected]);
    seen.add(
        Action::Person,
        "no-quorum",
        [
            "no member is quorate; those that see each other: $1",
            "bring up $2, or mend the network between the parts. Only if these are off for good, which nobody can tell from a \
             partition: on $3 pvecm expected $4 && pvecm delnode $5",
        ],
        &[
            "",
            &parts.join(" | "),
            &names(conf, sees, false, ", "),
            &truth.node,
            &expected,
            &names(conf, sees, false, &and_then),
        ],
    );
}

/// A node that the cluster lists and that could be asked.
pub(super) fn listed_node(
    seen: &mut Picture,
    facts: &NodeFacts,
    conf: &ClusterConfig,
    is_online: bool,
    is_certain: bool,
) {
    let name = facts.node.as_str();
    let is_active = |unit: &str| facts.services.get(unit).is_some_and(|service| service.active == "active");
    let Some(own) = &facts.cluster else {
        if facts.operation.is_some() {
            // Whether it will have been a member is told by how that ends.
            return;
        }
        let is_configured =
            facts.remnants.iter().any(|trace| ["corosync-conf", "authkey"].contains(&&*trace.id));
        let (action, remedy) = match is_active("corosync") {
            false if is_configured => (
                Action::Person,
                "it has corosync's configuration, and a join may be under way: look again, and then playbooks/rejoin.yml -e pve_rejoin=$0",
            ),
            true => (Action::Person, "its corosync runs all the same: stop it, and look again"),
            false => (
                Action::Withdraw,
                "take it off the list, if it never came up; if it was a member: playbooks/rejoin.yml -e pve_rejoin=$0",
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
    // corosync would not start, or not where anybody finds it, before that is mended.
    if seen.diagnoses.iter().any(|found| found.node == name && BEFORE_SERVICES.contains(&found.id)) {
        return;
    }
    // With two of one id it starts nowhere.
    let can_start = |unit: &&str| {
        *unit != "corosync" || !seen.diagnoses.iter().any(|found| found.id == "duplicate-nodeid")
    };
    let stopped: Vec<&str> =
        OF_A_MEMBER.into_iter().filter(|unit| !is_active(unit)).filter(can_start).collect();
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
