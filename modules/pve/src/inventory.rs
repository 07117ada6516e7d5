//! The wanted cluster as an inventory describes it: nodes, addresses, links, ids, votes. What of it cannot be
//! is said here; what of it does not fit the machines is said by those who look at them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::corosync_conf::{ConfNode, NewLink};
use crate::facts::NodeFacts;
use crate::order::sort_short_by_key;

/// A node of the wanted cluster.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct WantedNode {
    /// Node name.
    pub name: String,
    /// Address at which the other nodes reach its ssh and API.
    pub address: String,
    /// Its links; link 0 on `address` where none is given.
    pub links: Option<Vec<WantedLink>>,
    /// Wanted node id; the next free one where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodeid: Option<u32>,
    /// Votes; 1 where nothing is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes: Option<u32>,
    /// Version of pve-manager, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What was gathered from it; absent when it could not be reached or was not asked.
    #[serde(skip_serializing)]
    pub info: Option<Box<NodeFacts>>,
}

/// A link of a wanted node.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default)]
pub struct WantedLink {
    /// Its number.
    pub number: u8,
    /// The node's address on it.
    pub address: String,
    /// `knet_link_priority`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
}

impl WantedNode {
    /// Its links, by number.
    pub fn links(&self) -> Vec<WantedLink> {
        let alone = || vec![WantedLink { number: 0, address: self.address.clone(), priority: None }];
        let mut links = self.links.clone().filter(|links| !links.is_empty()).unwrap_or_else(alone);
        sort_short_by_key(&mut links, |link| link.number);
        links
    }

    /// Address of each link.
    pub fn addresses(&self) -> BTreeMap<u8, String> {
        let mut addresses = BTreeMap::new();
        for link in self.links() {
            addresses.insert(link.number, link.address);
        }
        addresses
    }

    /// What was gathered from it; an empty answer counts as none.
    pub fn facts(&self) -> Option<&NodeFacts> {
        self.info.as_deref().filter(|facts| !facts.node.is_empty())
    }

    /// Version of pve-manager, told or gathered.
    pub fn version(&self) -> Option<&str> {
        let gathered = || Some(self.facts()?.version.as_ref()?.manager.as_str());
        self.version.as_deref().or_else(gathered)
    }

    /// The node as corosync.conf would list it.
    pub fn listed(&self, nodeid: u32) -> ConfNode {
        ConfNode { name: self.name.clone(), nodeid, votes: self.votes.unwrap_or(1), links: self.addresses() }
    }

    /// Its links, for a new cluster.
    pub fn new_links(&self) -> Vec<NewLink> {
        let links = self.links().into_iter();
        links
            .map(|link| NewLink { number: link.number, address: link.address, priority: link.priority })
            .collect()
    }
}

/// Why a name cannot be a cluster's; `None` when it can (pve-cluster: `pve-node`, at most 15 characters).
pub fn cluster_name_fault(name: &str) -> Option<String> {
    if name.len() > 15 {
        return Some(format!("cluster name {name:?} has {} characters: 15 at most", name.len()));
    }
    (!is_node_name(name)).then(|| {
        format!("cluster name {name:?} is none: 1 to 15 letters, digits and hyphens, no hyphen at either end")
    })
}

/// Whether a text is a node name (PVE::JSONSchema, format `pve-node`).
pub fn is_node_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let ends = [name.bytes().next(), name.bytes().last()];
    ends.iter().all(|byte| byte.is_some_and(|byte| byte.is_ascii_alphanumeric()))
        && name.bytes().all(is_inner)
}

/// What is wrong with the inventory in itself, each with what to change.
pub fn findings(nodes: &[WantedNode]) -> Vec<String> {
    let mut findings = Vec::new();
    let (mut names, mut ids) = (BTreeSet::new(), BTreeMap::new());
    for node in nodes {
        if !is_node_name(&node.name) {
            findings.push(format!("{:?} is no node name: letters, digits and hyphens only", node.name));
        }
        if !names.insert(node.name.as_str()) {
            findings.push(format!("node {:?} is listed twice", node.name));
        }
        if let Some(nodeid) = node.nodeid {
            if nodeid == 0 {
                findings.push(format!("node {:?} has node id 0: they begin at 1", node.name));
            }
            if let Some(other) = ids.insert(nodeid, &node.name) {
                findings.push(format!("nodes {other:?} and {:?} both have node id {nodeid}", node.name));
            }
        }
    }
    address_findings(nodes, &mut findings);
    let links = |node: &WantedNode| node.addresses().into_keys().collect::<Vec<_>>();
    if let Some((first, rest)) = nodes.split_first() {
        for node in rest.iter().filter(|node| links(node) != links(first)) {
            findings.push(format!(
                "node {:?} has links {:?} and {:?} has {:?}: all nodes need the same",
                first.name,
                links(first),
                node.name,
                links(node)
            ));
        }
    }
    findings
}

fn address_findings(nodes: &[WantedNode], findings: &mut Vec<String>) {
    let mut seen: BTreeMap<String, (&str, u8)> = BTreeMap::new();
    for node in nodes {
        let mut numbers = BTreeSet::new();
        for link in node.links() {
            if !numbers.insert(link.number) {
                findings.push(format!("node {:?} has link {} twice", node.name, link.number));
            }
            let Ok(ip) = link.address.parse::<IpAddr>() else {
                let text =
                    "corosync would have to resolve a name before there is a cluster: give an IP address";
                findings
                    .push(format!("link {} of {:?} is {:?}: {text}", link.number, node.name, link.address));
                continue;
            };
            if let Some((other, number)) = seen.insert(ip.to_string(), (&node.name, link.number)) {
                findings.push(format!(
                    "address {ip} is link {} of {:?} and link {number} of {other:?}",
                    link.number, node.name
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(json: serde_json::Value) -> Vec<WantedNode> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_node_without_links_has_link_0_on_its_address() {
        let nodes =
            nodes(serde_json::json!([{"name": "a", "address": "10.0.0.1", "links": null, "info": null}]));
        assert_eq!(nodes[0].addresses(), BTreeMap::from([(0, "10.0.0.1".to_owned())]));
        assert!(findings(&nodes).is_empty());
    }

    #[test]
    fn names_are_those_pve_takes() {
        for name in ["a", "sddc-cluster", "A1"] {
            assert_eq!(cluster_name_fault(name), None);
        }
        for name in ["", "-a", "a-", "a.b", "a_b", "a b", "sixteen-letters-x"] {
            assert!(cluster_name_fault(name).is_some(), "{name}");
        }
        assert_eq!(
            cluster_name_fault("sixteen-letters-").unwrap(),
            "cluster name \"sixteen-letters-\" has 16 characters: 15 at most"
        );
    }

    #[test]
    fn contradictions_are_named() {
        let link = |number: u8, address: &str| serde_json::json!({"number": number, "address": address});
        let found = findings(&nodes(serde_json::json!([
            {"name": "a", "address": "10.0.0.1", "nodeid": 3, "links": [link(0, "10.0.0.1"), link(1, "10.1.0.1")]},
            {"name": "b", "address": "10.0.0.2", "nodeid": 3, "links": [link(0, "10.0.0.1")]},
            {"name": "b_", "address": "c.example.org"},
        ])));
        let expected = [
            "nodes \"a\" and \"b\" both have node id 3",
            "\"b_\" is no node name: letters, digits and hyphens only",
            "address 10.0.0.1 is link 0 of \"b\" and link 0 of \"a\"",
            "link 0 of \"b_\" is \"c.example.org\": corosync would have to resolve a name before there is a cluster: \
             give an IP address",
            "node \"a\" has links [0, 1] and \"b\" has [0]: all nodes need the same",
            "node \"a\" has links [0, 1] and \"b_\" has [0]: all nodes need the same",
        ];
        assert_eq!(found, expected);
    }
}
