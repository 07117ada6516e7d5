//! The status files of pmxcfs: `.members`, `.version`, `.vmlist` (pve-cluster `src/pmxcfs/status.c` writes
//! them). Parsing only; whether /etc/pve is mounted is seen from `.members` being there.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::facts::Guest;

/// `/etc/pve/.members`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Members {
    /// This node's name.
    pub nodename: String,
    /// The cluster; absent on a node that is in none.
    pub cluster: Option<MembersCluster>,
    /// Nodes by name; empty on a node that is in no cluster.
    #[serde(default)]
    pub nodelist: BTreeMap<String, Member>,
}

/// The cluster in `.members`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct MembersCluster {
    /// Cluster name.
    pub name: String,
    /// Config version pmxcfs works with.
    pub version: u64,
    /// Number of nodes.
    pub nodes: u32,
    /// 1 with quorum.
    pub quorate: u8,
}

/// A node in `.members`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Member {
    /// Node id.
    pub id: u32,
    /// 1 when pmxcfs on it takes part.
    pub online: u8,
    /// Its address, once it has told it.
    pub ip: Option<String>,
}

impl Members {
    /// Reads `.members`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        serde_json::from_str(text)
            .map_err(|error| anyhow::anyhow!("/etc/pve/.members is not as expected: {error}"))
    }

    /// Names of the nodes that are online, sorted.
    pub fn online(&self) -> Vec<String> {
        self.nodelist.iter().filter(|(_, node)| node.online == 1).map(|(name, _)| name.clone()).collect()
    }

    /// Whether pmxcfs has quorum; `None` on a node in no cluster.
    pub fn is_quorate(&self) -> Option<bool> {
        self.cluster.as_ref().map(|cluster| cluster.quorate == 1)
    }
}

/// Versions of the files pmxcfs watches, from `/etc/pve/.version`; `clinfo` grows with each change of members.
pub fn parse_versions(text: &str) -> anyhow::Result<BTreeMap<String, u64>> {
    let all: BTreeMap<String, serde_json::Value> = serde_json::from_str(text)
        .map_err(|error| anyhow::anyhow!("/etc/pve/.version is not as expected: {error}"))?;
    Ok(all.into_iter().filter_map(|(key, value)| Some((key, value.as_u64()?))).collect())
}

/// Guests of one node from `/etc/pve/.vmlist`, which lists those of the whole cluster.
pub fn parse_guests(text: &str, node: &str) -> anyhow::Result<Vec<Guest>> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        ids: BTreeMap<u32, Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        node: String,
        #[serde(rename = "type")]
        kind: String,
    }
    let list: List = serde_json::from_str(text)
        .map_err(|error| anyhow::anyhow!("/etc/pve/.vmlist is not as expected: {error}"))?;
    let own = list.ids.into_iter().filter(|(_, entry)| entry.node == node);
    Ok(own.map(|(vmid, entry)| Guest { vmid, kind: entry.kind }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::golden;

    #[test]
    fn members_of_every_state() {
        let standalone = Members::parse(&golden::stdout("01-standalone/files/members")).unwrap();
        assert_eq!((standalone.nodename.as_str(), standalone.is_quorate()), ("pve1", None));
        let three = Members::parse(&golden::stdout("12-three-nodes/pve1-files/members")).unwrap();
        assert_eq!(
            (three.online(), three.is_quorate()),
            (vec!["pve1".into(), "pve2".into(), "pve3".into()], Some(true))
        );
        let lost = Members::parse(&golden::stdout("15-no-quorum/members")).unwrap();
        assert_eq!((lost.online(), lost.is_quorate()), (vec!["pve1".to_owned()], Some(false)));
        assert_eq!(lost.cluster.unwrap().version, 10);
    }

    #[test]
    fn a_member_that_has_not_told_its_address_reads_too() {
        let text = r#"{"nodename": "a", "version": 4, "cluster": {"name": "c", "version": 2, "nodes": 2, "quorate": 0},
                      "nodelist": {"a": {"id": 1, "online": 1, "ip": "10.0.0.1"}, "b": {"id": 2, "online": 0}}}"#;
        assert_eq!(Members::parse(text).unwrap().nodelist["b"].ip, None);
    }

    #[test]
    fn guests_are_those_of_the_node() {
        let none = golden::stdout("01-standalone/files/vmlist");
        assert!(parse_guests(&none, "pve1").unwrap().is_empty());
        let text = r#"{"version": 3, "ids": {
            "100": { "node": "pve1", "type": "qemu", "version": 2 },
            "101": { "node": "pve2", "type": "lxc", "version": 2 }}}"#;
        assert_eq!(parse_guests(text, "pve1").unwrap(), [Guest { vmid: 100, kind: "qemu".into() }]);
    }

    #[test]
    fn versions_are_the_numbers_only() {
        let versions = parse_versions(&golden::stdout("05-single-node/files/version")).unwrap();
        assert_eq!((versions["clinfo"], versions["corosync.conf"]), (3, 1));
        assert!(!versions.contains_key("kvstore"));
    }

    #[test]
    fn garbage_is_an_error_that_names_the_file() {
        assert!(
            Members::parse("{").unwrap_err().to_string().starts_with("/etc/pve/.members is not as expected")
        );
    }
}
