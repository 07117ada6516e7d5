//! What speaks against removing a node, each by a stable id. Pure.
//!
//! What may be ignored is what costs no data and no quorum. Guests are named one by one instead: the cluster forgets their
//! configuration, of which only the copy stays.

use std::fmt;

use super::{Request, Sight};

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
        qdevice(sight),
        pending(sight),
    ];
    let is_ignored =
        |fault: &Fault| IGNORABLE.contains(&fault.id) && request.ignore.iter().any(|id| id == fault.id);
    all.into_iter().flatten().filter(|fault| !is_ignored(fault)).collect()
}

fn fault(id: &'static str, text: String) -> Option<Fault> {
    Some(Fault { id, text })
}

fn own_node(request: &Request) -> Option<Fault> {
    let name = &request.name;
    (*name == request.own_name).then_some(())?;
    fault("own-node", format!("node {name:?} can't take itself off the list: ask another member"))
}

fn guests(sight: &Sight, request: &Request) -> Option<Fault> {
    let unnamed = sight.guests.iter().filter(|vmid| !request.guests.contains(vmid));
    let unnamed: Vec<String> = unnamed.map(u32::to_string).collect();
    (!unnamed.is_empty()).then_some(())?;
    let (name, ids) = (&request.name, unnamed.join(", "));
    fault(
        "guests",
        format!(
            "node {name:?} has guests ({ids}): migrate them; where the node is lost, move their configuration to another \
             node (/etc/pve/nodes/{name}/qemu-server or lxc), or name them in guests to have it go with the node (a copy \
             is kept)"
        ),
    )
}

fn no_quorum(sight: &Sight, request: &Request) -> Option<Fault> {
    let is_needed = sight.listed.is_some() || sight.leftovers.is_in_cluster();
    (is_needed && !sight.standing.is_quorate).then_some(())?;
    let (expected, online) = sight.standing.votes();
    fault(
        "no-quorum",
        format!(
            "the cluster has {online} of {expected} votes, no quorum, and this node can't tell whether it is the last one or \
             cut off: bring the other members up, or be sure that they are off and run \"pvecm expected {online}\" and \
             \"pvecm delnode {}\" here",
            request.name
        ),
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
        format!(
            "without {:?} {rest} of {expected} votes would be left and {needed} are needed, so /etc/pve could not be written \
             any more: bring the other members up first; of a cluster of two, take the whole apart and go on with one node, \
             or switch the other off for good and, being sure of it, run \"pvecm expected {rest}\" and \"pvecm delnode {}\" \
             here",
            request.name, request.name
        ),
    )
}

fn online(sight: &Sight, request: &Request) -> Option<Fault> {
    sight.listed.as_ref()?;
    let name = &request.name;
    let what = match (sight.standing.online.contains(name), sight.connected.as_slice()) {
        (true, _) => "is online".to_owned(),
        (false, []) => return None,
        (false, links) => format!("is no member now, but its corosync answers on link {links:?}"),
    };
    fault(
        "node-online",
        format!(
            "node {name:?} {what}: taking it off the list now would stop its corosync and leave it to come back; separate it \
             with pve_cluster_reset (scope=leaving) or switch it off"
        ),
    )
}

fn answers(sight: &Sight, request: &Request) -> Option<Fault> {
    (!sight.answers.is_empty()).then_some(())?;
    fault(
        "node-answers",
        format!(
            "a machine answers at {} of {:?}, so the node is not off: switch it off, or show over its own connection that it \
             is in no cluster (proven_stopped)",
            sight.answers.join(", "),
            request.name
        ),
    )
}

fn ha_placed(sight: &Sight, request: &Request) -> Option<Fault> {
    (!sight.ha_placed.is_empty()).then_some(())?;
    fault(
        "ha-resources",
        format!(
            "high availability has {} on node {:?}: wait until they are recovered elsewhere, migrate them, or remove them \
             with ha-manager; until then they may be running there",
            sight.ha_placed.join(", "),
            request.name
        ),
    )
}

fn ha_armed(sight: &Sight, request: &Request) -> Option<Fault> {
    (sight.is_ha_armed && !request.is_proven_stopped).then_some(())?;
    fault(
        "ha-active",
        format!(
            "the local resource manager of node {:?} was active when last heard of, and the HA manager has not fenced the node \
             yet: wait until \"ha-manager status\" shows it as unknown, or separate the node over its own connection",
            request.name
        ),
    )
}

fn replication(sight: &Sight, request: &Request) -> Option<Fault> {
    (sight.listed.is_some() && !sight.replication.is_empty()).then_some(())?;
    fault(
        "replication",
        format!(
            "guests are replicated to node {:?} by {}: remove these jobs (pvesr delete), or ignore this to have them fail from \
             now on",
            request.name,
            sight.replication.join(", ")
        ),
    )
}

fn qdevice(sight: &Sight) -> Option<Fault> {
    (sight.listed.is_some() && sight.standing.has_qdevice).then_some(())?;
    fault(
        "qdevice",
        "a quorum device is configured: remove it (pvecm qdevice remove), remove the node, add it again".to_owned(),
    )
}

/// A node that starts with a corosync.conf older than the cluster's hangs: nothing is changed while one may.
fn pending(sight: &Sight) -> Option<Fault> {
    (!sight.pending.is_empty()).then_some(())?;
    fault(
        "pending-admission",
        format!(
            "{} listed, never online and not proven to be stopped: a change of the list now could leave it hanging with an \
             older one; complete its join or take it off the list first",
            sight.pending.join(", ")
        ),
    )
}

#[cfg(test)]
mod tests;
