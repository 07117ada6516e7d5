//! What resetting means for a node with these facts. Pure.

use pve::facts::{ClusterNode, ClusterState, NodeFacts};
use pve::network::is_same;
use pve::reset::{Other, Request};

use super::spec::{Args, Scope};

/// What is to be done.
pub(super) enum Plan {
    /// It is in no cluster, and nothing is left of one.
    Keep,
    /// It is to be separated.
    Reset(Request),
}

/// Decides; the error is every reason against it.
pub(super) fn plan(facts: &NodeFacts, args: &Args) -> Result<Plan, Vec<String>> {
    match facts.state {
        ClusterState::NotInstalled => {
            return Err(vec!["Proxmox VE is not installed on this node".to_owned()]);
        }
        ClusterState::Standalone => return Ok(Plan::Keep),
        ClusterState::Remnants if is_only_unfinished(facts) => return Ok(Plan::Keep),
        ClusterState::Remnants | ClusterState::Member | ClusterState::NoQuorum => {}
    }
    let faults: Vec<String> =
        [other_cluster(facts, args), armed(facts), guests(facts, args), still_member(facts, args)]
            .into_iter()
            .flatten()
            .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Plan::Reset(Request {
        cluster_name: args.confirm.clone(),
        node: facts.node.clone(),
        others: others(facts),
    }))
}

/// The operation that is reported is settled before the facts are gathered, so this is another one's record.
fn is_only_unfinished(facts: &NodeFacts) -> bool {
    facts.remnants.iter().all(|trace| trace.id == "unfinished-operation")
}

fn other_cluster(facts: &NodeFacts, args: &Args) -> Option<String> {
    let cluster = facts.cluster.as_ref().filter(|cluster| cluster.name != args.confirm)?;
    Some(format!(
        "it is in cluster {:?}, and confirm says {:?}: name the cluster that it is to leave",
        cluster.name, args.confirm
    ))
}

fn armed(facts: &NodeFacts) -> Option<String> {
    facts.ha.active.then(|| {
        "high availability is active on it, so losing quorum would fence it after 60 seconds: remove its resources \
         (ha-manager remove) and wait until the LRM is idle"
            .to_owned()
    })
}

fn guests(facts: &NodeFacts, args: &Args) -> Option<String> {
    let unnamed = facts.guests.iter().map(|guest| guest.vmid).filter(|vmid| !args.guests.contains(vmid));
    let unnamed: Vec<String> = unnamed.map(|vmid| vmid.to_string()).collect();
    (!unnamed.is_empty()).then(|| {
        format!(
            "it has guests ({}): they stay on it and no other node knows them any more; migrate them, or name them in \
             guests",
            unnamed.join(", ")
        )
    })
}

fn still_member(facts: &NodeFacts, args: &Args) -> Option<String> {
    let cluster = facts.cluster.as_ref()?;
    let online: Vec<&ClusterNode> =
        cluster.nodes.iter().filter(|node| node.name != facts.node && node.online == Some(true)).collect();
    let names: Vec<&str> = online.iter().map(|node| node.name.as_str()).collect();
    let (votes, expected) = (sum(online.iter().copied()), sum(&cluster.nodes));
    match args.scope {
        Scope::Cluster => None,
        _ if online.is_empty() => None,
        Scope::Node => Some(format!(
            "{} would go on counting its vote: have one of them take {} off the list right after (playbooks/remove.yml, \
             scope=leaving), or take the whole cluster apart with scope=cluster on every node",
            names.join(", "),
            facts.node
        )),
        // Without quorum nobody could take it off the list.
        Scope::Leaving => (votes * 2 <= expected).then(|| {
            format!(
                "{} would be left with {votes} of {expected} votes, no quorum, and could not take it off the list: bring \
                 the other members up first; of a cluster of two, take the whole apart",
                names.join(", ")
            )
        }),
    }
}

fn sum<'a>(nodes: impl IntoIterator<Item = &'a ClusterNode>) -> u32 {
    nodes.into_iter().map(|node| node.votes).sum()
}

/// Every other node that the configuration lists, or of which files are left.
fn others(facts: &NodeFacts) -> Vec<Other> {
    let listed = facts.cluster.iter().flat_map(|cluster| &cluster.nodes);
    let is_own = |address: &String| facts.addresses.iter().any(|own| is_same(&own.address, address));
    listed
        .filter(|node| node.name != facts.node)
        .map(|node| Other {
            name: node.name.clone(),
            addresses: node.links.values().filter(|address| !is_own(address)).cloned().collect(),
        })
        .collect()
}
