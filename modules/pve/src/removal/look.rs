//! What is known of a node that is to go, as this member sees it. Reads only.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{Leftovers, Request, TOOL_TIMEOUT, leftovers};
use crate::admission::Standing;
use crate::corosync_conf::ConfNode;
use crate::{Node, cfgtool, observe};

/// A machine that is on answers on these, or refuses; both take no time.
const PORTS: [u16; 2] = [22, 8006];
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// The node as this member sees it.
#[derive(Debug, Default)]
pub struct Sight {
    /// As the cluster lists it; `None` where it does not.
    pub listed: Option<ConfNode>,
    /// It was admitted and has never come up.
    pub is_half: bool,
    /// The cluster.
    pub standing: Standing,
    /// Addresses by which it is known.
    pub addresses: Vec<String>,
    /// Links on which its corosync answers.
    pub connected: Vec<u8>,
    /// Address and port at which a machine answers.
    pub answers: Vec<String>,
    /// Its guests.
    pub guests: Vec<u32>,
    /// HA resources that the HA manager has placed on it.
    pub ha_placed: Vec<String>,
    /// Its local resource manager was active when last heard of, and the HA manager has not fenced it since.
    pub is_ha_armed: bool,
    /// Jobs that replicate guests to it.
    pub replication: Vec<String>,
    /// Nodes that are listed and have never come up, this one apart.
    pub pending: Vec<String>,
    /// What is left of it where it is not listed, and what is to be removed with it where it is.
    pub leftovers: Leftovers,
}

/// Looks at a node of this member's cluster.
pub fn look(node: &Node, request: &Request) -> anyhow::Result<Sight> {
    let conf = observe::shared_conf(node)?.context("this node is in no cluster")?;
    let cluster = conf.cluster_name().unwrap_or_default();
    ensure!(
        cluster == request.cluster_name,
        "this node is in cluster {cluster:?}, not {:?}: nothing was removed",
        request.cluster_name
    );
    let name = &request.name;
    let standing = Standing::of(node, &conf)?;
    let listed = conf.node(name);
    let has_been_up = |name: &str| node.exists(&format!("/etc/pve/nodes/{name}/pve-ssl.pem"));
    let is_online = standing.online.contains(name);
    let mut addresses = request.addresses.clone();
    addresses.extend(listed.iter().flat_map(|listed| listed.links.values().cloned()));
    let of_others: Vec<&String> = standing
        .nodes
        .iter()
        .filter(|other| other.name != *name)
        .flat_map(|other| other.links.values())
        .collect();
    addresses.retain(|address| !of_others.contains(&address));
    addresses.sort();
    addresses.dedup();

    let mut sight = Sight {
        is_half: listed.is_some() && !is_online && !has_been_up(name),
        guests: observe::guests(node, name)?,
        replication: replication_to(&node.read("/etc/pve/replication.cfg")?.unwrap_or_default(), name),
        leftovers: leftovers::find(node, name, &addresses)?,
        addresses,
        ..Sight::default()
    };
    if let Some(listed) = &listed {
        let links = cfgtool::query(node, TOOL_TIMEOUT)?.unwrap_or_default().links;
        let is_up = |link: &&crate::facts::Link| {
            link.peers.iter().any(|peer| peer.nodeid == listed.nodeid && peer.connected)
        };
        sight.connected = links.iter().filter(is_up).map(|link| link.number).collect();
        let others = standing.nodes.iter().map(|other| &other.name).filter(|other| {
            *other != name && !standing.online.contains(*other) && !request.also_stopped.contains(other)
        });
        sight.pending = others.filter(|other| !has_been_up(other)).cloned().collect();
        let (placed, is_armed) = high_availability(node, name)?;
        (sight.ha_placed, sight.is_ha_armed) = (placed, is_armed);
        if !is_online && !request.is_proven_stopped {
            sight.answers = answers(node, &sight.addresses);
        }
    }
    sight.listed = listed;
    sight.standing = standing;
    Ok(sight)
}

/// `manager_status` says where each resource is and what became of each node (PVE/HA/Manager.pm, PVE/HA/NodeStatus.pm): one
/// that is `unknown` or `gone` has been fenced, whatever its own last word in `lrm_status` was.
fn high_availability(node: &Node, name: &str) -> anyhow::Result<(Vec<String>, bool)> {
    let read = |path: &str| -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&node.read(path)?.unwrap_or_default()).unwrap_or_default())
    };
    let manager = read("/etc/pve/ha/manager_status")?;
    let placed = manager["service_status"].as_object().into_iter().flatten();
    let placed = placed.filter(|(_, service)| service["node"] == name).map(|(id, _)| id.clone()).collect();
    let lrm = read(&format!("/etc/pve/nodes/{name}/lrm_status"))?;
    let was_armed = matches!(lrm["state"].as_str(), Some("active" | "lost_agent_lock"));
    let is_fenced = matches!(manager["node_status"][name].as_str(), Some("unknown" | "gone"));
    Ok((placed, was_armed && !is_fenced))
}

/// Ids of the jobs of replication.cfg whose target is the node.
fn replication_to(text: &str, name: &str) -> Vec<String> {
    let (mut jobs, mut job) = (Vec::new(), "");
    for line in text.lines() {
        match line.strip_prefix([' ', '\t']) {
            None => job = line.split_once(": ").map_or("", |(_, id)| id.trim()),
            Some(property) => {
                if property
                    .trim()
                    .split_once(' ')
                    .is_some_and(|(key, value)| key == "target" && value.trim() == name)
                {
                    jobs.push(job.to_owned());
                }
            }
        }
    }
    jobs
}

/// Where a machine answers that should be off. A refused connection is an answer as well.
fn answers(node: &Node, addresses: &[String]) -> Vec<String> {
    let places = addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok());
    let mut found = Vec::new();
    for address in places {
        let is_there = |port: &&u16| match node.connect(SocketAddr::new(address, **port), ANSWER_TIME) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        };
        found.extend(PORTS.iter().find(is_there).map(|port| format!("{address} port {port}")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replication_job_counts_by_its_target() {
        let text = "local: 100-0\n\ttarget pve2\n\tschedule */15\n\nlocal: 101-0\n\ttarget pve21\n\tcomment target pve2\n";
        assert_eq!(replication_to(text, "pve2"), ["100-0"]);
        assert!(replication_to(text, "pve3").is_empty());
    }
}
