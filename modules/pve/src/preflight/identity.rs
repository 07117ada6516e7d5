//! Checks that this node is nobody else: names, machine id, addresses, host keys, and what a renaming leaves.

use super::Context;
use crate::facts::NodeFacts;
use crate::inventory::WantedNode;
use crate::known_hosts::{self, Identity};
use crate::names;
use crate::network::is_same;
use crate::order::sort_short_by;
use crate::verdict::Finding;

fn known_peers<'a>(context: &'a Context<'_>) -> Vec<(&'a WantedNode, &'a NodeFacts)> {
    context.peers().filter_map(|peer| Some((peer, peer.facts()?))).collect()
}

pub(super) fn hostname_kept(context: &Context<'_>) -> anyhow::Result<Finding> {
    let Some(text) = context.node.read("/etc/hostname")? else {
        return Finding::skipped("there is no /etc/hostname");
    };
    let (kept, now) = (names::node_name(text.trim()), context.facts.node.as_str());
    if kept == now {
        return Finding::passed(format!("{now:?} now and after a boot"));
    }
    Finding::failed(
        format!("the host name is {now:?} now and will be {kept:?} after a boot: /etc/hostname"),
        format!("hostnamectl set-hostname {now}, or reboot first if {kept:?} is right"),
    )
}

pub(super) fn local_directory_own(context: &Context<'_>) -> anyhow::Result<Finding> {
    if !context.facts.pmxcfs.mounted {
        return Finding::skipped("/etc/pve is not mounted");
    }
    let own = &context.facts.node;
    let hint = "systemctl restart pve-cluster, then pvecm updatecerts --force, and move what is left of the old name";
    let local = context.node.path("/etc/pve/local");
    let link = std::fs::read_link(local)?;
    let points_to = link.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if points_to != *own {
        return Finding::failed(
            format!("/etc/pve/local belongs to {points_to:?} and the node is {own:?}"),
            hint,
        );
    }
    match context.node.exists(&format!("/etc/pve/nodes/{own}")) {
        true => Finding::passed(format!("/etc/pve/local is that of {own:?}")),
        false => Finding::failed(format!("there is no /etc/pve/nodes/{own}"), hint),
    }
}

pub(super) fn machine_id_unique(context: &Context<'_>) -> anyhow::Result<Finding> {
    let Some(own) = context.facts.machine_id.as_deref().filter(|id| !id.is_empty()) else {
        return Finding::failed("the node has no /etc/machine-id", "systemd-machine-id-setup");
    };
    let known = known_peers(context);
    if known.is_empty() {
        return Finding::skipped("the other nodes' facts are not known");
    }
    let same: Vec<&str> = known
        .iter()
        .filter(|(_, facts)| facts.machine_id.as_deref() == Some(own))
        .map(|(peer, _)| peer.name.as_str())
        .collect();
    if same.is_empty() {
        return Finding::passed(format!("differs from those of {} other nodes", known.len()));
    }
    Finding::failed(
        format!("{} has the same /etc/machine-id: one is a copy of the other", same.join(", ")),
        "rm /etc/machine-id && systemd-machine-id-setup on the copy, and new ssh host keys, then reboot it",
    )
}

pub(super) fn addresses_unique(context: &Context<'_>) -> anyhow::Result<Finding> {
    let Some(own) = context.own() else {
        return Finding::skipped("this node is not among the wanted nodes");
    };
    let known = known_peers(context);
    if known.is_empty() {
        return Finding::skipped("the other nodes' facts are not known");
    }
    let mut mine: Vec<String> = own.addresses().into_values().chain([own.address.clone()]).collect();
    sort_short_by(&mut mine, Ord::cmp);
    mine.dedup();
    let mut taken = Vec::new();
    for (peer, facts) in &known {
        if facts.node == context.facts.node {
            taken.push(format!("{} calls itself {:?} as well", peer.name, facts.node));
        }
        for address in &mine {
            if let Some(theirs) = facts.addresses.iter().find(|theirs| is_same(&theirs.address, address)) {
                taken.push(format!("{address} is on {} of {} too", theirs.interface, peer.name));
            }
        }
    }
    if taken.is_empty() {
        return Finding::passed(format!("name and {} addresses are this node's alone", mine.len()));
    }
    Finding::failed(taken.join("; "), "give each node a name and addresses of its own")
}

pub(super) fn known_hosts_agree(context: &Context<'_>) -> anyhow::Result<Finding> {
    let known = known_peers(context);
    if known.is_empty() {
        return Finding::skipped("the other nodes' host keys are not known");
    }
    let identities: Vec<Identity> = known.iter().map(|(peer, facts)| Identity::of(peer, facts)).collect();
    let mut wrong = Vec::new();
    for path in known_hosts::FILES {
        let content = context.node.read_bytes(path)?.unwrap_or_default();
        let Some(found) = known_hosts::mend(&content, &identities) else { continue };
        for conflict in found.conflicts {
            wrong.push(format!("{path} has another {} key of {}", conflict.algorithm, conflict.node));
        }
    }
    wrong.dedup();
    if wrong.is_empty() {
        return Finding::passed(format!("no other key of {} nodes is known", known.len()));
    }
    Finding::failed(wrong.join("; "), "ssh-keygen -R NAME -f FILE, once you know why the key changed")
}
