//! What joining means for a node with these facts. Pure.

use pve::facts::{ClusterState, NodeFacts};
use pve::join::check;
use pve::observe::LinkAddress;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// It is a member, and complete.
    Keep,
    /// It is a member without certificate or keys: an earlier join died late.
    Finish,
    /// It joins.
    Join,
}

/// Decides; the error is every reason against it.
pub(super) fn plan(
    facts: &NodeFacts,
    cluster_name: &str,
    links: &[LinkAddress],
    is_complete: bool,
) -> Result<Plan, Vec<String>> {
    match &facts.cluster {
        Some(cluster) if cluster.name != cluster_name => Err(vec![format!(
            "it is a member of another cluster, {:?}: remove it there and reset this node first",
            cluster.name
        )]),
        Some(_) if facts.state == ClusterState::Member && is_complete => Ok(Plan::Keep),
        Some(_) if facts.state == ClusterState::Member => Ok(Plan::Finish),
        Some(_) if facts.state == ClusterState::NoQuorum => Err(vec![
            "it is in this cluster already, but sees no quorum: bring the other members up, and see \"journalctl -u \
             corosync\" on this node"
                .to_owned(),
        ]),
        _ => {
            let faults = check::node_faults(facts, links, false);
            if faults.is_empty() { Ok(Plan::Join) } else { Err(faults) }
        }
    }
}
