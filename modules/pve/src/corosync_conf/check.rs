//! What makes a corosync.conf one that corosync and PVE start with. A file with a fault is accepted by
//! pmxcfs without a word and then breaks every tool, so nothing is written that has findings here.

use std::collections::{BTreeMap, BTreeSet};

use super::{CorosyncConf, MAX_LINK};

impl CorosyncConf {
    /// What is wrong; empty when corosync would start with it.
    pub fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        match self.totem() {
            None => findings.push("no totem section".to_owned()),
            Some(totem) => {
                for key in ["cluster_name", "version"] {
                    if totem.value(key).is_none() {
                        findings.push(format!("totem.{key} is missing"));
                    }
                }
                if self.config_version().is_none() {
                    findings.push("totem.config_version is missing or no number".to_owned());
                }
            }
        }
        self.check_nodes(&mut findings);
        self.check_links(&mut findings);
        findings
    }

    fn check_nodes(&self, findings: &mut Vec<String>) {
        let nodes = self.nodes();
        if nodes.is_empty() {
            findings.push("no node in the nodelist".to_owned());
        }
        let (mut names, mut ids) = (BTreeSet::new(), BTreeMap::new());
        for node in &nodes {
            if !names.insert(&node.name) {
                findings.push(format!("node {:?} is listed twice", node.name));
            }
            if node.nodeid == 0 {
                findings.push(format!("node {:?} has no node id", node.name));
            } else if let Some(other) = ids.insert(node.nodeid, &node.name) {
                findings.push(format!("nodes {other:?} and {:?} share node id {}", node.name, node.nodeid));
            }
        }
        let mut addresses = BTreeMap::new();
        for node in &nodes {
            for (number, address) in &node.links {
                if let Some(other) = addresses.insert(address, &node.name) {
                    findings.push(format!(
                        "address {address} of {:?}, link {number}, is {other:?}'s too",
                        node.name
                    ));
                }
            }
        }
    }

    /// All nodes have the same links, and each has its interface section where there is any.
    fn check_links(&self, findings: &mut Vec<String>) {
        let links: BTreeSet<u8> = self.links().iter().map(|link| link.number).collect();
        if links.is_empty() {
            findings.push("no link".to_owned());
        }
        if let Some(number) = links.iter().find(|number| **number > MAX_LINK) {
            findings.push(format!("link {number}: corosync knows links 0 to {MAX_LINK}"));
        }
        for node in self.nodes() {
            let own: BTreeSet<u8> = node.links.keys().copied().collect();
            for number in links.difference(&own) {
                findings.push(format!("node {:?} has no address on link {number}", node.name));
            }
            for number in own.difference(&links) {
                findings.push(format!(
                    "node {:?} has an address on link {number}, which has no interface",
                    node.name
                ));
            }
        }
    }
}
