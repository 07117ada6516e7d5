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
    // PVE's own keys end with root@NODE (PVE/Cluster/Setup.pm, ssh_merge_keys); others are the administrator's.
    let keys = subject.node.read("/etc/pve/priv/authorized_keys")?.unwrap_or_default();
    for line in keys.lines().filter(|line| !line.starts_with('#')) {
        let comment = line.split_whitespace().last().unwrap_or_default();
        if let Some(name) = comment.strip_prefix("root@")
            && !listed.contains(name)
        {
            found.push(format!("a key of {comment} in /etc/pve/priv/authorized_keys"));
        }
    }
    found.dedup();
    if found.is_empty() {
        return Finding::passed("nothing is left of nodes that the cluster does not list");
    }
    Finding::failed(
        format!("left of nodes that the cluster does not list: {}", found.join(", ")),
        "remove them: with such a key that machine is root on every member",
    )
}
