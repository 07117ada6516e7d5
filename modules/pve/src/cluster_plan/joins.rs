//! Which nodes join, in what order, and what speaks against each. The order is played through: after each
//! join the cluster is taken to be what it then is.

use std::collections::BTreeSet;

use super::members::Cluster;
use super::{Action, Decided, Decision, Forecast, Plan, Request, refusal};
use crate::admission::{self, Newcomer, Standing};
use crate::corosync_conf::CorosyncConf;
use crate::facts::NodeFacts;
use crate::inventory::WantedNode;
use crate::order::sort_short_by_key;

/// Joins to a cluster that is there.
pub(super) fn plan_joins(request: &Request, cluster: &Cluster<'_>, decided: &mut Decided, plan: &mut Plan) {
    let conf = match CorosyncConf::parse(&cluster.view.text) {
        Ok(conf) => conf,
        Err(error) => {
            let reason = format!("the cluster's corosync.conf cannot be read: {error}: correct it first");
            super::refuse_all(request, decided, &reason);
            return;
        }
    };
    let online = cluster.members().into_iter().collect();
    let standing = Standing {
        nodes: conf.nodes(),
        online,
        is_quorate: cluster.quorum.quorate && cluster.facts.pmxcfs.quorate == Some(true),
        has_qdevice: conf.has_qdevice(),
    };
    play(
        request,
        cluster.primary,
        Play { conf, standing, is_ha_active: cluster.facts.ha.active },
        decided,
        plan,
    );
}

/// Joins to a cluster that is about to be created.
pub(super) fn plan_joins_into(
    request: &Request,
    primary: &WantedNode,
    conf: CorosyncConf,
    decided: &mut Decided,
    plan: &mut Plan,
) {
    let standing = Standing {
        nodes: conf.nodes(),
        online: BTreeSet::from([primary.name.clone()]),
        is_quorate: true,
        has_qdevice: false,
    };
    play(request, primary, Play { conf, standing, is_ha_active: false }, decided, plan);
}

/// The cluster between two joins.
struct Play {
    conf: CorosyncConf,
    standing: Standing,
    is_ha_active: bool,
}

fn play(request: &Request, primary: &WantedNode, mut play: Play, decided: &mut Decided, plan: &mut Plan) {
    for node in in_order(request, &play.standing, decided) {
        let Some(facts) = node.facts() else { continue };
        let newcomer = Newcomer {
            name: node.name.clone(),
            links: node.addresses(),
            nodeid: node.nodeid,
            votes: node.votes,
        };
        let mut faults = joiner_faults(node, facts, primary);
        let is_pending = match admission::decide(&play.standing, std::slice::from_ref(&newcomer)) {
            Ok(decision) => !decision.pending.is_empty(),
            Err(found) => {
                faults.extend(found);
                false
            }
        };
        if play.standing.online.contains(&node.name) {
            faults.push(format!(
                "the cluster has an online node {:?}, and it is not this machine: rename this one, or take the other \
                 out of the cluster",
                node.name
            ));
        }
        let next = Forecast::join(&node.name, &play.conf, &play.standing, is_pending, &newcomer);
        if play.is_ha_active && !next.is_quorate_meanwhile {
            faults.push(
                "high availability is active on the member, and losing quorum while this node joins would fence it \
                 after 60 seconds: stop the HA resources first"
                    .to_owned(),
            );
        }
        if !faults.is_empty() {
            decided.insert(node.name.clone(), refusal(faults.join("; ")));
            continue;
        }
        if !is_pending {
            let nodeid = node.nodeid.unwrap_or_else(|| play.conf.free_nodeid());
            play.conf.put_node(&node.listed(nodeid));
            play.conf.increase_version();
        }
        play.standing.nodes = play.conf.nodes();
        play.standing.online.insert(node.name.clone());
        play.standing.is_quorate |= next.online_votes.1 > next.expected_votes.1 / 2;
        let reason = match (facts.is_in_transition(), is_pending) {
            (true, _) => {
                "an operation of an earlier run has not ended: joining attaches to it or undoes it first"
            }
            (false, true) => "it was admitted and never came up: joining completes that",
            (false, false) => "it is in no cluster: it joins",
        };
        decided.insert(node.name.clone(), Decision { action: Action::Join, reason: reason.to_owned() });
        plan.joins.push(node.name.clone());
        plan.forecast.push(next);
    }
    plan.conf_after = play.conf.render();
}

/// Those that are admitted already first, since nobody else may be before they are up; then those that want a
/// certain node id, before it goes to somebody else.
fn in_order<'a>(request: &'a Request, standing: &Standing, decided: &Decided) -> Vec<&'a WantedNode> {
    let mut nodes: Vec<&WantedNode> = request
        .nodes
        .iter()
        .filter(|node| !decided.contains_key(&node.name) && node.facts().is_some())
        .collect();
    sort_short_by_key(&mut nodes, |node| {
        let is_listed = standing.nodes.iter().any(|listed| listed.name == node.name);
        (!is_listed, node.nodeid.is_none())
    });
    nodes
}

/// What of the node itself speaks against its joining.
fn joiner_faults(node: &WantedNode, facts: &NodeFacts, primary: &WantedNode) -> Vec<String> {
    let mut faults = Vec::new();
    if !facts.guests.is_empty() && !facts.is_in_transition() {
        let guests: Vec<String> = facts.guests.iter().map(|guest| guest.vmid.to_string()).collect();
        faults.push(format!(
            "it has guests ({}), and joining would replace their configuration: back them up and remove them, or let \
             this node create the cluster",
            guests.join(", ")
        ));
    }
    let major = |version: Option<&str>| version.and_then(crate::packages::major);
    if let (Some(own), Some(theirs)) = (major(node.version()), major(primary.version()))
        && own != theirs
    {
        faults.push(format!("it has Proxmox VE {own} and {:?} has {theirs}: upgrade first", primary.name));
    }
    faults
}
