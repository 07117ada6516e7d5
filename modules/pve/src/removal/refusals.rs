//! What speaks against removing a node, each by a stable id. Pure.
//!
//! What may be ignored is what costs no data and no quorum. Guests are named one by one instead: the cluster forgets their
//! configuration, of which only the copy stays.

use std::fmt;

use super::{Request, Sight};
use crate::sentence::fill;

/// Ids that a caller may ignore.
pub const IGNORABLE: [&str; 2] = ["node-answers", "replication"];

/// A reason, by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Stable id.
    pub id: &'static str,
    /// What is so, and what to do.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.id, self.text)
    }
}

/// Every reason against it, none ignored that may not be.
pub fn refusals(sight: &Sight, request: &Request) -> Vec<Fault> {
    let all = [
        own_node(request),
        guests(sight, request),
        no_quorum(sight, request),
        forecast(sight, request),
        online(sight, request),
        answers(sight, request),
        ha_placed(sight, request),
        ha_armed(sight, request),
        replication(sight, request),
        qdevice(sight, request),
        pending(sight, request),
    ];
    let is_ignored =
        |fault: &Fault| IGNORABLE.contains(&fault.id) && request.ignore.iter().any(|id| id == fault.id);
    all.into_iter().flatten().filter(|fault| !is_ignored(fault)).collect()
}

/// `$0` is the node.
fn fault(id: &'static str, text: &str, request: &Request, values: &[&str]) -> Option<Fault> {
    let values = [&[request.name.as_str()], values].concat();
    Some(Fault { id, text: fill(text, &values) })
}

fn own_node(request: &Request) -> Option<Fault> {
    (request.name == request.own_name).then_some(())?;
    fault("own-node", "node \"$0\" can't take itself off the list: ask another member", request, &[])
}

fn guests(sight: &Sight, request: &Request) -> Option<Fault> {
    let unnamed = sight.guests.iter().filter(|vmid| !request.guests.contains(vmid));
    let unnamed: Vec<String> = unnamed.map(u32::to_string).collect();
    (!unnamed.is_empty()).then_some(())?;
    fault(
        "guests",
        "node \"$0\" has guests ($1): migrate them; where the node is lost, move their configuration to another node \
         (/etc/pve/nodes/$0/qemu-server or lxc), or name them in guests to have it go with the node (a copy is kept)",
        request,
        &[&unnamed.join(", ")],
    )
}

fn no_quorum(sight: &Sight, request: &Request) -> Option<Fault> {
    let is_needed = sight.listed.is_some() || sight.leftovers.is_in_cluster();
    (is_needed && !sight.standing.is_quorate).then_some(())?;
    let (expected, online) = sight.standing.votes();
    let votes = [online.to_string(), expected.to_string()];
    if sight.listed.is_none() {
        // Who was off while the list changed has the older configuration, with which corosync does not stay.
        return fault(
            "no-quorum",
            "the list has \"$0\" no more, but to remove what it leaves takes quorum, and the cluster has $1 of $2 votes: bring \
             the other members up; one whose corosync.conf is older than this node's is given it by playbooks/recover.yml",
            request,
            &[&votes[0], &votes[1]],
        );
    }
    fault(
        "no-quorum",
        "the cluster has $1 of $2 votes, no quorum, and this node can't tell whether it is the last one or cut off: bring the \
         other members up, or be sure that they are off and run \"pvecm expected $1\" and \"pvecm delnode $0\" here",
        request,
        &[&votes[0], &votes[1]],
    )
}

/// An online node is separated before it is removed: its vote must not be what quorum hangs on.
fn forecast(sight: &Sight, request: &Request) -> Option<Fault> {
    let listed = sight.listed.as_ref().filter(|listed| sight.standing.online.contains(&listed.name))?;
    let (expected, online) = sight.standing.votes();
    let (rest, needed) = (online - listed.votes.min(online), expected / 2 + 1);
    (sight.standing.is_quorate && rest < needed).then_some(())?;
    fault(
        "quorum-forecast",
        "without \"$0\" $1 of $2 votes would be left and $3 are needed, so /etc/pve could not be written any more: bring the \
         other members up first; of a cluster of two, take the whole apart and go on with one node, or switch the other off \
         for good and, being sure of it, run \"pvecm expected $1\" and \"pvecm delnode $0\" here",
        request,
        &[&rest.to_string(), &expected.to_string(), &needed.to_string()],
    )
}

fn online(sight: &Sight, request: &Request) -> Option<Fault> {
    sight.listed.as_ref()?;
    let what = match (sight.standing.online.contains(&request.name), sight.connected.is_empty()) {
        (true, _) => "is online",
        (false, true) => return None,
        (false, false) => "is no member now, but its corosync answers on a link",
    };
    fault(
        "node-online",
        "node \"$0\" $1: taking it off the list now would stop its corosync and leave it to come back; separate it with \
         pve_cluster_reset (scope=leaving) or switch it off",
        request,
        &[what],
    )
}

fn answers(sight: &Sight, request: &Request) -> Option<Fault> {
    (!sight.answers.is_empty()).then_some(())?;
    fault(
        "node-answers",
        "a machine answers at $1 of \"$0\", so the node is not off: switch it off, or show over its own connection that it is \
         in no cluster (proven_stopped)",
        request,
        &[&sight.answers.join(", ")],
    )
}

fn ha_placed(sight: &Sight, request: &Request) -> Option<Fault> {
    (!sight.ha_placed.is_empty()).then_some(())?;
    fault(
        "ha-resources",
        "high availability has $1 on node \"$0\": wait until they are recovered elsewhere, migrate them, or remove them with \
         ha-manager; until then they may be running there",
        request,
        &[&sight.ha_placed.join(", ")],
    )
}

fn ha_armed(sight: &Sight, request: &Request) -> Option<Fault> {
    (sight.is_ha_armed && !request.is_proven_stopped).then_some(())?;
    fault(
        "ha-active",
        "the local resource manager of node \"$0\" was active when last heard of, and the HA manager has not fenced the node \
         yet: wait until \"ha-manager status\" shows it as unknown, or separate the node over its own connection",
        request,
        &[],
    )
}

fn replication(sight: &Sight, request: &Request) -> Option<Fault> {
    (sight.listed.is_some() && !sight.replication.is_empty()).then_some(())?;
    fault(
        "replication",
        "guests are replicated to node \"$0\" by $1: remove these jobs (pvesr delete), or ignore this to have them fail from \
         now on",
        request,
        &[&sight.replication.join(", ")],
    )
}

fn qdevice(sight: &Sight, request: &Request) -> Option<Fault> {
    (sight.listed.is_some() && sight.standing.has_qdevice).then_some(())?;
    fault(
        "qdevice",
        "a quorum device is configured: remove it (playbooks/qdevice.yml -e pve_qdevice_state=absent), remove the node, set it up \
         again",
        request,
        &[],
    )
}

/// A node that starts with a corosync.conf older than the cluster's hangs: nothing is changed while one may.
fn pending(sight: &Sight, request: &Request) -> Option<Fault> {
    (!sight.pending.is_empty()).then_some(())?;
    fault(
        "pending-admission",
        "$1 listed, never online and not proven to be stopped: a change of the list now could leave it hanging with an older \
         one; complete its join or take it off the list first",
        request,
        &[&sight.pending.join(", ")],
    )
}

#[cfg(test)]
mod tests;
