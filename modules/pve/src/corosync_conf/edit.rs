//! Changing a corosync.conf: a new cluster, a node more or less, the next config version.

use std::collections::BTreeMap;

use super::{ConfNode, CorosyncConf, Section, link_number};

/// What `pvecm create` is told; its defaults are those of `PVE::API2::ClusterConfig`.
#[derive(Clone, Debug)]
pub struct NewCluster {
    /// Cluster name.
    pub cluster_name: String,
    /// The first node.
    pub node: String,
    /// Its node id.
    pub nodeid: u32,
    /// Its votes.
    pub votes: u32,
    /// Its links.
    pub links: Vec<NewLink>,
    /// Milliseconds added to the token time-out for each node above two.
    pub token_coefficient: Option<u32>,
}

/// A link of a new cluster or node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLink {
    /// Its number.
    pub number: u8,
    /// The node's address on it.
    pub address: String,
    /// `knet_link_priority`; the highest wins. 0 is written as nothing, as PVE does.
    pub priority: Option<u32>,
}

impl CorosyncConf {
    /// The configuration that `pvecm create` writes, config version 1.
    pub fn create(new: &NewCluster) -> Self {
        let mut conf = Self::default();
        let logging = conf.root.section_mut("logging");
        logging.set("debug", "off");
        logging.set("to_syslog", "yes");
        conf.root.section_mut("quorum").set("provider", "corosync_votequorum");
        let totem = conf.root.section_mut("totem");
        let fixed = [("ip_version", "ipv4-6"), ("link_mode", "passive"), ("secauth", "on"), ("version", "2")];
        for (key, value) in fixed {
            totem.set(key, value);
        }
        totem.set("cluster_name", &new.cluster_name);
        totem.set("config_version", 1);
        totem.set("token_coefficient", new.token_coefficient.unwrap_or(125));
        for link in &new.links {
            let mut interface = Section::default();
            interface.set("linknumber", link.number);
            if let Some(priority @ 1..) = link.priority {
                interface.set("knet_link_priority", priority);
            }
            totem.sections_mut("interface").push(interface);
        }
        conf.put_node(&ConfNode {
            name: new.node.clone(),
            nodeid: new.nodeid,
            votes: new.votes,
            links: new.links.iter().map(|link| (link.number, link.address.clone())).collect(),
        });
        conf
    }

    /// Adds a node or changes the one of that name; keys it does not know of are kept.
    pub fn put_node(&mut self, node: &ConfNode) {
        let nodes = self.root.section_mut("nodelist").sections_mut("node");
        let index = match nodes.iter().position(|section| section.order() == node.name) {
            Some(index) => index,
            None => {
                nodes.push(Section::default());
                nodes.len() - 1
            }
        };
        let section = &mut nodes[index];
        section.entries.retain(|key, _| link_number(key).is_none());
        section.set("name", &node.name);
        section.set("nodeid", node.nodeid);
        section.set("quorum_votes", node.votes);
        for (number, address) in &node.links {
            section.set(&format!("ring{number}_addr"), address);
        }
    }

    /// Removes a node; tells whether it was listed.
    pub fn remove_node(&mut self, name: &str) -> bool {
        let nodes = self.root.section_mut("nodelist").sections_mut("node");
        let before = nodes.len();
        nodes.retain(|section| section.order() != name);
        nodes.len() < before
    }

    /// Adds the quorum device that `pvecm qdevice setup` writes for an even number of nodes.
    pub fn put_qdevice(&mut self, host: &str) {
        let device = self.root.section_mut("quorum").section_mut("device");
        device.set("model", "net");
        device.set("votes", 1);
        let net = device.section_mut("net");
        for (key, value) in [("algorithm", "ffsplit"), ("host", host), ("tls", "on")] {
            net.set(key, value);
        }
    }

    /// Removes the quorum device; tells whether there was one.
    pub fn remove_qdevice(&mut self) -> bool {
        // An empty list is written as nothing. Taking a key out of the map would be the only place that does so, and costs
        // kilobytes of the binary.
        let devices = self.root.section_mut("quorum").sections_mut("device");
        let is_there = !devices.is_empty();
        devices.clear();
        is_there
    }

    /// Whether another node has the node id of this one: corosync starts with such a file on no node.
    pub fn shares_id(&self, name: &str) -> bool {
        let nodes = self.nodes();
        let own = nodes.iter().find(|node| node.name == name).map(|node| node.nodeid);
        own.is_some_and(|own| nodes.iter().any(|node| node.name != name && node.nodeid == own))
    }

    /// The next config version: corosync and pmxcfs take no change without a higher one.
    pub fn increase_version(&mut self) -> u64 {
        let next = self.config_version().unwrap_or(0) + 1;
        self.root.section_mut("totem").set("config_version", next);
        next
    }

    /// The lowest node id above 0 that nobody has, as PVE picks it.
    pub fn free_nodeid(&self) -> u32 {
        let taken: Vec<u32> = self.nodes().iter().map(|node| node.nodeid).collect();
        (1..).find(|id| !taken.contains(id)).unwrap_or(u32::MAX)
    }

    /// Votes of all nodes.
    pub fn expected_votes(&self) -> u32 {
        self.nodes().iter().map(|node| node.votes).sum()
    }

    /// Who has an address: address to node name and link.
    pub fn addresses(&self) -> BTreeMap<String, (String, u8)> {
        let mut addresses = BTreeMap::new();
        for node in self.nodes() {
            for (number, address) in node.links {
                addresses.insert(address, (node.name.clone(), number));
            }
        }
        addresses
    }
}
