//! What nodes leave that left the cluster: directories, and keys by which they are still root on every member.

use std::collections::BTreeSet;

use super::checks::Subject;
use crate::verdict::Finding;

pub(super) fn no_former_members(subject: &Subject<'_>) -> anyhow::Result<Finding> {
    let listed: BTreeSet<&str> = subject.cluster.nodes.iter().map(|node| node.name.as_str()).collect();
    let mut found = Vec::new();
    for name in subject.node.list("/etc/pve/nodes")?.iter().filter(|name| !listed.contains(name.as_str())) {
        found.push(format!("/etc/pve/nodes/{name}"));
    }
    let keys = subject.node.read("/etc/pve/priv/authorized_keys")?.unwrap_or_default();
    let keys = keys_of_former_nodes(&keys, &listed);
    found.extend(keys.iter().map(|comment| format!("a key of {comment} in /etc/pve/priv/authorized_keys")));
    found.dedup();
    if found.is_empty() {
        return Finding::passed("nothing is left of nodes that the cluster does not list");
    }
    Finding::failed(
        format!("left of nodes that the cluster does not list: {}", found.join(", ")),
        "remove them: with such a key that machine is root on every member",
    )
}

/// Comments of the keys among these authorised ones that are of nodes which the cluster does not list. PVE's own keys end
/// with root@NODE (PVE/Cluster/Setup.pm, `ssh_merge_keys`); others are the administrator's.
pub(crate) fn keys_of_former_nodes(keys: &str, listed: &BTreeSet<&str>) -> Vec<String> {
    let comments =
        keys.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_whitespace().last());
    let of_former =
        comments.filter(|comment| comment.strip_prefix("root@").is_some_and(|name| !listed.contains(name)));
    let mut found: Vec<String> = of_former.map(str::to_owned).collect();
    found.dedup();
    found
}
