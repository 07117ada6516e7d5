//! What admitting nodes means for a member with these facts. Pure.

use pve::admission::{Decision, Standing, decide, ha_fault};
use pve::corosync_conf::{ConfNode, CorosyncConf};
use pve::facts::{ClusterState, NodeFacts};

use super::spec::Args;

/// What is to be done.
pub(super) struct Plan {
    /// For each node.
    pub(super) decision: Decision,
    /// corosync.conf now.
    pub(super) before: String,
    /// corosync.conf as it will be.
    pub(super) after: String,
}

/// Decides; the error is every reason against it.
pub(super) fn plan(facts: &NodeFacts, args: &Args) -> Result<Plan, Vec<String>> {
    let conf = configuration(facts, &args.cluster_name).map_err(|fault| vec![fault])?;
    let nodes: Vec<_> = args.nodes.iter().map(super::spec::Asked::newcomer).collect();
    let members = facts.quorum.as_ref().map(|quorum| quorum.members.clone()).unwrap_or_default();
    let standing = Standing {
        nodes: conf.nodes(),
        online: conf
            .nodes()
            .into_iter()
            .filter(|node| members.contains(&node.nodeid))
            .map(|node| node.name)
            .collect(),
        // A pending node may have taken the quorum of a cluster of one; its own completion goes on all the same.
        is_quorate: facts.state == ClusterState::Member,
        has_qdevice: conf.has_qdevice(),
    };
    let decision = decide(&standing, &nodes)?;
    let mut faults = Vec::new();
    let needs_key = |name: &String| !decision.online.contains(name);
    for asked in args.nodes.iter().filter(|asked| needs_key(&asked.name) && asked.public_key.is_none()) {
        faults.push(format!(
            "node {:?} has no public_key: run pve_cluster_join state=requested on it and pass \
             join_request.public_key",
            asked.name
        ));
    }
    if !decision.admit.is_empty() {
        faults.extend(ha_fault(facts.ha.active, &standing));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut wanted = conf.clone();
    for newcomer in &decision.admit {
        wanted.put_node(&ConfNode {
            name: newcomer.name.clone(),
            nodeid: newcomer.nodeid.unwrap_or_else(|| wanted.free_nodeid()),
            votes: newcomer.votes.unwrap_or(1),
            links: newcomer.links.clone(),
        });
        wanted.increase_version();
    }
    Ok(Plan { decision, before: conf.render(), after: wanted.render() })
}

fn configuration(facts: &NodeFacts, cluster_name: &str) -> Result<CorosyncConf, String> {
    let Some(cluster) = &facts.cluster else {
        return Err(format!("it is in no cluster: run this on a member of {cluster_name:?}"));
    };
    if cluster.name != cluster_name {
        return Err(format!(
            "it is in cluster {:?}, not {cluster_name:?}: ask a member of that one",
            cluster.name
        ));
    }
    CorosyncConf::parse(&cluster.text).map_err(|error| format!("its corosync.conf can't be read: {error}"))
}
