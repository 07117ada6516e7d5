//! Which nodes join, in which waves, and what speaks against each. The order is played through: after each wave
//! the cluster is taken to be what it then is.

use std::collections::BTreeSet;

use super::forecast::advice;
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
    let is_ha_active = cluster.facts.ha.active;
    let wave = Wave { conf, before: standing.clone(), standing, is_ha_active, nodes: Vec::new() };
    play(request, cluster.primary, wave, decided, plan);
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
    plan.forecast.push(Forecast::creation(&primary.name, &standing));
    let wave = Wave { conf, before: standing.clone(), standing, is_ha_active: false, nodes: Vec::new() };
    play(request, primary, wave, decided, plan);
}

/// The cluster while a wave is put together: all nodes of a wave are admitted before the first of them is started,
/// and nothing else is changed until the last of them is up.
struct Wave {
    /// As it will be with the nodes of the wave.
    conf: CorosyncConf,
    /// As it is before the wave.
    before: Standing,
    /// As it will be when the wave is up.
    standing: Standing,
    is_ha_active: bool,
    nodes: Vec<Newcomer>,
}

impl Wave {
    /// Whether a node must wait for the next one: corosync could lose quorum over it, or was told to take fewer.
    fn is_full_for(&self, newcomer: &Newcomer, limit: Option<usize>) -> bool {
        let is_listed = |name: &str| self.before.nodes.iter().any(|listed| listed.name == name);
        if self.nodes.is_empty() {
            return false;
        }
        if limit.is_some_and(|limit| self.nodes.len() >= limit) {
            return true;
        }
        // Those that are listed already come up before anybody else is admitted.
        if is_listed(&newcomer.name) || self.nodes.iter().any(|node| is_listed(&node.name)) {
            return !(is_listed(&newcomer.name) && self.nodes.iter().all(|node| is_listed(&node.name)));
        }
        let votes: u32 = self.nodes.iter().chain([newcomer]).map(|node| node.votes.unwrap_or(1)).sum();
        i64::from(votes) > self.before.room()
    }

    /// Ends the wave: its nodes are up.
    fn end(&mut self, plan: &mut Plan) {
        if self.nodes.is_empty() {
            return;
        }
        let names: Vec<String> = self.nodes.drain(..).map(|node| node.name).collect();
        let next = Forecast::joins(names.clone(), &self.before, &self.standing);
        self.standing.is_quorate |= next.after.online_votes >= next.after.quorum;
        self.before = self.standing.clone();
        plan.forecast.push(next);
        plan.joins.extend(names.iter().cloned());
        plan.waves.push(names);
    }
}

fn play(request: &Request, primary: &WantedNode, mut wave: Wave, decided: &mut Decided, plan: &mut Plan) {
    for node in in_order(request, &wave.standing, decided) {
        let Some(facts) = node.facts() else { continue };
        let newcomer = Newcomer {
            name: node.name.clone(),
            links: node.addresses(),
            nodeid: node.nodeid,
            votes: node.votes,
        };
        if wave.is_full_for(&newcomer, request.wave_limit) {
            wave.end(plan);
        }
        let mut faults = joiner_faults(node, facts, primary);
        if facts.is_in_transition() {
            // The member, looked at a moment later, may have seen it come up: its join has yet to end.
            wave.before.online.remove(&node.name);
        }
        let together: Vec<Newcomer> = wave.nodes.iter().chain([&newcomer]).cloned().collect();
        let is_listed = match admission::decide(&wave.before, &together) {
            Ok(decision) => !decision.admit.iter().any(|admitted| admitted.name == node.name),
            Err(found) => {
                faults.extend(found);
                false
            }
        };
        if wave.before.online.contains(&node.name) {
            faults.push(format!(
                "the cluster has an online node {:?}, and it is not this machine: rename this one, or take the other \
                 out of the cluster",
                node.name
            ));
        }
        if wave.is_ha_active && wave.before.is_alone() && !is_listed {
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
        if !is_listed {
            let nodeid = node.nodeid.unwrap_or_else(|| wave.conf.free_nodeid());
            wave.conf.put_node(&node.listed(nodeid));
            wave.conf.increase_version();
        }
        wave.standing.nodes = wave.conf.nodes();
        wave.standing.online.insert(node.name.clone());
        wave.nodes.push(newcomer);
        let reason = match (facts.is_in_transition(), is_listed) {
            (true, _) => {
                "an operation of an earlier run has not ended: joining attaches to it or undoes it first"
            }
            (false, true) => "it was admitted and never came up: joining completes that",
            (false, false) => "it is in no cluster: it joins",
        };
        decided.insert(node.name.clone(), Decision { action: Action::Join, reason: reason.to_owned() });
    }
    wave.end(plan);
    plan.notes.extend(advice(&wave.standing.nodes, wave.standing.has_qdevice));
    plan.conf_after = wave.conf.render();
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
