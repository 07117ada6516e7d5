//! Checks of the node against the wanted cluster and against what it was part of before.

use super::{Context, Purpose};
use crate::facts::{ClusterNode, NodeFacts};
use crate::inventory::{self, WantedNode};
use crate::network::is_same;
use crate::packages::major;
use crate::verdict::Finding;

pub(super) const IN_TRANSITION: &str =
    "an operation of an earlier run has not ended: what comes next attaches to it or undoes it first";

pub(super) fn cluster_name_valid(context: &Context<'_>) -> anyhow::Result<Finding> {
    let name = &context.wanted.cluster_name;
    match inventory::cluster_name_fault(name) {
        None => Finding::passed(format!("{name:?}")),
        Some(fault) => Finding::failed(fault, "change cluster_name"),
    }
}

pub(super) fn inventory_consistent(context: &Context<'_>) -> anyhow::Result<Finding> {
    let findings = inventory::findings(&context.wanted.nodes);
    if findings.is_empty() {
        return Finding::passed(format!("{} nodes", context.wanted.nodes.len()));
    }
    Finding::failed(findings.join("; "), "correct the inventory")
}

pub(super) fn versions_match(context: &Context<'_>) -> anyhow::Result<Finding> {
    let Some(own) = &context.facts.version else { return Finding::skipped("Proxmox VE is not installed") };
    let known: Vec<(&str, &str)> =
        context.peers().filter_map(|peer| Some((peer.name.as_str(), peer.version()?))).collect();
    if known.is_empty() {
        return Finding::skipped("the other nodes' versions are not known");
    }
    let others: Vec<String> = known
        .iter()
        .filter(|(_, version)| major(version) != Some(own.major))
        .map(|(name, version)| format!("{name} has {version}"))
        .collect();
    if others.is_empty() {
        return Finding::passed(format!("{} other nodes have version {} too", known.len(), own.major));
    }
    Finding::failed(
        format!("this node has {}, {}", own.manager, others.join(", ")),
        "upgrade first: a cluster of two major versions is for the time of an upgrade only",
    )
}

pub(super) fn not_in_foreign_cluster(context: &Context<'_>) -> anyhow::Result<Finding> {
    match &context.facts.cluster {
        None => Finding::passed("in no cluster"),
        Some(cluster) if cluster.name == context.wanted.cluster_name => {
            Finding::passed(format!("in {:?}", cluster.name))
        }
        Some(cluster) => Finding::failed(
            format!("the node is in cluster {:?}, wanted is {:?}", cluster.name, context.wanted.cluster_name),
            "correct cluster_name or the inventory, or take the node out of its cluster first",
        ),
    }
}

pub(super) fn no_name_clash(context: &Context<'_>) -> anyhow::Result<Finding> {
    let Some(own) = context.own() else {
        return Finding::skipped("this node is not among the wanted nodes");
    };
    let views: Vec<&NodeFacts> = context.peers().filter_map(WantedNode::facts).collect();
    let mut is_known = false;
    for cluster in views.iter().filter_map(|view| view.cluster.as_ref()) {
        if cluster.name != context.wanted.cluster_name || context.purpose == Purpose::Member {
            continue;
        }
        is_known = true;
        for listed in &cluster.nodes {
            let is_same_name = listed.name == own.name;
            if is_same_name && listed.online != Some(true) && is_same_links(own, listed) {
                // An admission that did not end, which joining completes.
                continue;
            }
            let taken =
                own.links().into_iter().find(|link| listed.links.values().any(|a| is_same(a, &link.address)));
            match taken {
                _ if is_same_name => {
                    return Finding::failed(
                        format!(
                            "cluster {:?} already lists a node {:?}, and it is not this one",
                            cluster.name, own.name
                        ),
                        "rename this node, or remove the old one from the cluster",
                    );
                }
                Some(link) => {
                    return Finding::failed(
                        format!(
                            "address {} of this node is {:?}'s in cluster {:?}",
                            link.address, listed.name, cluster.name
                        ),
                        "give this node an address of its own",
                    );
                }
                None => {}
            }
        }
    }
    match is_known {
        true => Finding::passed("name and addresses are free in the cluster"),
        false => Finding::skipped("no member's facts are known"),
    }
}

fn is_same_links(own: &WantedNode, listed: &ClusterNode) -> bool {
    let links = own.addresses();
    links.len() == listed.links.len()
        && links
            .iter()
            .all(|(number, address)| listed.links.get(number).is_some_and(|known| is_same(known, address)))
}

pub(super) fn no_guests(context: &Context<'_>) -> anyhow::Result<Finding> {
    if context.purpose != Purpose::Join {
        return Finding::skipped("the node does not join");
    }
    let guests = &context.facts.guests;
    if guests.is_empty() && context.facts.is_in_transition() {
        return Finding::skipped(IN_TRANSITION);
    }
    if guests.is_empty() {
        anyhow::ensure!(context.facts.pmxcfs.mounted, "/etc/pve is not mounted, so guests cannot be seen");
        return Finding::passed("no guests");
    }
    let list: Vec<String> = guests.iter().map(|guest| format!("{} ({})", guest.vmid, guest.kind)).collect();
    Finding::failed(
        format!("the node has guests: {}", list.join(", ")),
        "back them up and remove them, or create the cluster on this node and let the others join",
    )
}

pub(super) fn no_remnants(context: &Context<'_>) -> anyhow::Result<Finding> {
    if context.purpose == Purpose::Member {
        return Finding::skipped("the node is a member");
    }
    if context.facts.is_in_transition() {
        return Finding::skipped(IN_TRANSITION);
    }
    let remnants = &context.facts.remnants;
    if remnants.is_empty() {
        return Finding::passed("nothing left of an earlier cluster");
    }
    let list: Vec<String> =
        remnants.iter().map(|trace| format!("{}: {}", trace.path, trace.detail)).collect();
    Finding::failed(list.join("; "), crate::facts::SEPARATE)
}

pub(super) fn corosync_not_running(context: &Context<'_>) -> anyhow::Result<Finding> {
    if context.purpose == Purpose::Member {
        return Finding::skipped("the node is a member");
    }
    if context.facts.is_in_transition() {
        return Finding::skipped(IN_TRANSITION);
    }
    let is_active = context.facts.services.get("corosync").is_some_and(|unit| unit.is_active());
    match is_active || context.facts.quorum.is_some() {
        false => Finding::passed("corosync does not run"),
        true => Finding::failed(
            "corosync runs, though the node is in no cluster of that name",
            "if \"corosync-cmapctl totem.cluster_name\" names a cluster that it is to be in, correct cluster_name; else \
             playbooks/reset.yml takes it out of that one, or, where corosync alone is left, \"systemctl disable --now corosync\"",
        ),
    }
}
