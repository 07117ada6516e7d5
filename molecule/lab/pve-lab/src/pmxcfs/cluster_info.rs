//! What pmxcfs knows of the cluster: the node list from corosync's configuration map, and quorum with the
//! members from corosync-quorumtool. Parsers only; format captured from corosync 3.1.10.

use std::collections::{BTreeMap, BTreeSet};

/// The cluster as corosync's configuration has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterInfo {
    pub name: String,
    pub version: u64,
    /// Node ids by name.
    pub nodes: BTreeMap<String, u32>,
}

impl ClusterInfo {
    /// From the output of `corosync-cmapctl`. None while the map says too little.
    pub fn from_cmap(text: &str) -> Option<ClusterInfo> {
        let values: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| {
                let (key, value) = line.split_once(") = ")?;
                Some((key.split(' ').next()?, value.trim()))
            })
            .collect();
        let mut info = ClusterInfo {
            name: (*values.get("totem.cluster_name")?).to_owned(),
            version: values.get("totem.config_version")?.parse().ok()?,
            nodes: BTreeMap::new(),
        };
        for (key, value) in &values {
            let Some(position) =
                key.strip_prefix("nodelist.node.").and_then(|rest| rest.strip_suffix(".name"))
            else {
                continue;
            };
            let id = values.get(format!("nodelist.node.{position}.nodeid").as_str())?;
            info.nodes.insert((*value).to_owned(), id.parse().ok()?);
        }
        Some(info)
    }
}

/// Quorum and membership at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuorumView {
    pub is_quorate: bool,
    pub members: BTreeSet<u32>,
}

impl QuorumView {
    /// From the output of `corosync-quorumtool -s`. None when corosync did not answer.
    pub fn from_quorumtool(text: &str) -> Option<QuorumView> {
        let word = text.lines().find_map(|line| line.strip_prefix("Quorate:"))?;
        let list = text.lines().skip_while(|line| !line.trim_start().starts_with("Nodeid")).skip(1);
        let members = list.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
        Some(QuorumView { is_quorate: word.trim() == "Yes", members })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_list_comes_from_the_configuration_map() {
        let text = "nodelist.local_node_pos (u32) = 0\nnodelist.node.0.name (str) = pve1\nnodelist.node.0.nodeid (u32) = 1\nnodelist.node.0.quorum_votes (u32) = 1\nnodelist.node.1.name (str) = pve2\nnodelist.node.1.nodeid (u32) = 7\ntotem.cluster_name (str) = oracle\ntotem.config_version (u64) = 4\n";
        let info = ClusterInfo::from_cmap(text).unwrap();
        assert_eq!((info.name.as_str(), info.version), ("oracle", 4));
        assert_eq!(info.nodes, BTreeMap::from([("pve1".to_owned(), 1), ("pve2".to_owned(), 7)]));
        assert_eq!(ClusterInfo::from_cmap("totem.version (u32) = 2\n"), None);
    }

    #[test]
    fn quorum_and_members_come_from_quorumtool() {
        let text = "Quorum information\nQuorate:          No\nVotequorum information\nMembership information\n    Nodeid      Votes Name\n         1          1 pve1 (local)\n         3          1 pve3\n";
        let view = QuorumView::from_quorumtool(text);
        assert_eq!(view, Some(QuorumView { is_quorate: false, members: BTreeSet::from([1, 3]) }));
        assert_eq!(QuorumView::from_quorumtool("Cannot initialize CMAP service\n"), None);
    }
}
