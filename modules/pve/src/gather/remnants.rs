//! Traces of an earlier cluster or of a join that did not end. What is here makes PVE refuse a join
//! (`PVE::Cluster::Setup::assert_joinable`), or would carry an old cluster's files into a new one.

use super::{AUTHKEY, LOCAL_CONF, SHARED_CONF};
use crate::Node;
use crate::facts::{NodeFacts, Remnant};
use crate::operation::journal;

pub(super) fn find(node: &Node, facts: &NodeFacts) -> anyhow::Result<Vec<Remnant>> {
    let mut found = Vec::new();
    let (has_conf, has_key) = (node.exists(LOCAL_CONF), node.exists(AUTHKEY));
    match &facts.cluster {
        None => {
            if has_conf {
                found.push(remnant(
                    "corosync-conf",
                    LOCAL_CONF,
                    "corosync is configured, but pmxcfs knows no cluster",
                ));
            }
            if has_key {
                found.push(remnant("authkey", AUTHKEY, "the key of a cluster this node is not in"));
            }
            found.extend(foreign_nodes(node, &facts.node)?);
        }
        Some(_) if !has_conf && !has_key => {
            found.push(remnant(
                "pmxcfs-corosync-conf",
                SHARED_CONF,
                "pmxcfs knows a cluster that corosync does not",
            ));
        }
        Some(cluster) if !cluster.nodes.iter().any(|listed| listed.name == facts.node) => {
            let detail = format!(
                "node {:?} is not listed in its own cluster's configuration: it was removed",
                facts.node
            );
            found.push(remnant("not-listed", LOCAL_CONF, &detail));
        }
        Some(_) => {}
    }
    if let Some(operation) = &facts.operation {
        let detail = format!("{} of {} has not ended", operation.kind, operation.target);
        let path = format!("{}/{}.json", journal::DIR, operation.id);
        found.push(remnant("unfinished-operation", &path, &detail));
    }
    Ok(found)
}

fn foreign_nodes(node: &Node, own: &str) -> anyhow::Result<Option<Remnant>> {
    let others: Vec<String> = node.list("/etc/pve/nodes")?.into_iter().filter(|name| name != own).collect();
    let detail = || format!("files of other nodes: {}", others.join(", "));
    Ok((!others.is_empty()).then(|| remnant("foreign-nodes", "/etc/pve/nodes", &detail())))
}

fn remnant(id: &str, path: &str, detail: &str) -> Remnant {
    Remnant { id: id.to_owned(), path: path.to_owned(), detail: detail.to_owned() }
}
