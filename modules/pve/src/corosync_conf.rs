//! corosync.conf: a document that keeps what it does not know, typed views of nodes and links, and exactly
//! the text that PVE writes (`PVE/Corosync.pm`: keys sorted, nodes by name, an empty line after each top
//! section). Pure text; where the file lies and who may replace it is not known here.

mod check;
mod edit;
mod parse;
mod render;

use crate::order::sort_short_by_key;
use std::collections::BTreeMap;

pub use edit::{NewCluster, NewLink};
pub use parse::ConfError;

/// Highest link number: corosync knows links 0 to 7.
pub const MAX_LINK: u8 = 7;

/// A parsed corosync.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorosyncConf {
    root: Section,
}

/// A section: keys in the order PVE writes them, each a value or the sections of that name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    entries: BTreeMap<String, Entry>,
}

/// What stands at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Value(String),
    Sections(Vec<Section>),
}

/// A node as the nodelist has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfNode {
    /// Its name; the address of link 0 where an old file gives none, as PVE reads it.
    pub name: String,
    /// corosync's node id.
    pub nodeid: u32,
    /// Votes; 1 where the file says nothing (votequorum(5)).
    pub votes: u32,
    /// Address of each link.
    pub links: BTreeMap<u8, String>,
}

/// A link as the totem section has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfLink {
    /// Its number.
    pub number: u8,
    /// `knet_link_priority`: with `link_mode: passive` the highest one that is up carries the traffic.
    pub priority: Option<u32>,
}

impl CorosyncConf {
    /// Parses the text of a corosync.conf.
    pub fn parse(text: &str) -> Result<Self, ConfError> {
        parse::document(text).map(|root| Self { root })
    }

    /// The text as PVE writes it.
    pub fn render(&self) -> String {
        render::document(&self.root)
    }

    /// `totem.cluster_name`.
    pub fn cluster_name(&self) -> Option<&str> {
        self.totem()?.value("cluster_name")
    }

    /// `totem.config_version`.
    pub fn config_version(&self) -> Option<u64> {
        self.totem()?.value("config_version")?.parse().ok()
    }

    /// `totem.token_coefficient`, in milliseconds.
    pub fn token_coefficient(&self) -> Option<u32> {
        self.totem()?.value("token_coefficient")?.parse().ok()
    }

    /// The totem section.
    pub fn totem(&self) -> Option<&Section> {
        self.root.section("totem")
    }

    /// Whether a quorum device is configured (`quorum.device`).
    pub fn has_qdevice(&self) -> bool {
        self.root.section("quorum").is_some_and(|quorum| quorum.section("device").is_some())
    }

    /// The quorum device's votes, 0 where none is configured (1 where it does not say, votequorum(5)).
    pub fn qdevice_votes(&self) -> u32 {
        let device = self.root.section("quorum").and_then(|quorum| quorum.section("device"));
        device.map_or(0, |device| device.value("votes").and_then(|votes| votes.parse().ok()).unwrap_or(1))
    }

    /// The host that a quorum device of the model `net` asks.
    pub fn qdevice_host(&self) -> Option<&str> {
        self.root.section("quorum")?.section("device")?.section("net")?.value("host")
    }

    /// The nodes, by node id.
    pub fn nodes(&self) -> Vec<ConfNode> {
        let mut nodes: Vec<ConfNode> = self.node_sections().map(ConfNode::of).collect();
        sort_short_by_key(&mut nodes, |node| node.nodeid);
        nodes
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<ConfNode> {
        self.node_sections().map(ConfNode::of).find(|node| node.name == name)
    }

    /// The links: those of the totem section, else those the nodes have addresses for.
    pub fn links(&self) -> Vec<ConfLink> {
        let interfaces = self.totem().map(|totem| totem.sections("interface")).unwrap_or_default();
        let mut links: Vec<ConfLink> = interfaces.iter().filter_map(ConfLink::of).collect();
        if links.is_empty() {
            let numbers: std::collections::BTreeSet<u8> =
                self.nodes().iter().flat_map(|node| node.links.keys().copied().collect::<Vec<_>>()).collect();
            links = numbers.into_iter().map(|number| ConfLink { number, priority: None }).collect();
        }
        sort_short_by_key(&mut links, |link| link.number);
        links
    }

    fn node_sections(&self) -> impl Iterator<Item = &Section> {
        self.root.section("nodelist").map(|list| list.sections("node")).unwrap_or_default().iter()
    }
}

impl Section {
    /// The value at a key.
    pub fn value(&self, key: &str) -> Option<&str> {
        match self.entries.get(key) {
            Some(Entry::Value(value)) => Some(value),
            _ => None,
        }
    }

    /// The only section of a name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections(name).first()
    }

    /// All sections of a name.
    pub fn sections(&self, name: &str) -> &[Section] {
        match self.entries.get(name) {
            Some(Entry::Sections(sections)) => sections,
            _ => &[],
        }
    }

    /// Sets the value at a key.
    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.entries.insert(key.to_owned(), Entry::Value(value.to_string()));
    }

    fn section_mut(&mut self, name: &str) -> &mut Section {
        let sections = self.sections_mut(name);
        if sections.is_empty() {
            sections.push(Section::default());
        }
        &mut sections[0]
    }

    fn sections_mut(&mut self, name: &str) -> &mut Vec<Section> {
        let entry = self.entries.entry(name.to_owned()).or_insert_with(|| Entry::Sections(Vec::new()));
        if matches!(entry, Entry::Value(_)) {
            *entry = Entry::Sections(Vec::new());
        }
        match entry {
            Entry::Sections(sections) => sections,
            Entry::Value(_) => unreachable!("a value was replaced by sections above"),
        }
    }

    /// What PVE sorts sections of one name by: a node's name, an interface's number.
    fn order(&self) -> &str {
        ["name", "ring0_addr", "linknumber", "ringnumber"]
            .iter()
            .find_map(|key| self.value(key))
            .unwrap_or_default()
    }
}

impl ConfNode {
    fn of(section: &Section) -> Self {
        let number = |key: &str| section.value(key).and_then(|value| value.parse().ok());
        let links = section.entries.iter().filter_map(|(key, entry)| match entry {
            Entry::Value(address) => Some((link_number(key)?, address.clone())),
            Entry::Sections(_) => None,
        });
        Self {
            name: section.order().to_owned(),
            nodeid: number("nodeid").unwrap_or(0),
            votes: number("quorum_votes").unwrap_or(1),
            links: links.collect(),
        }
    }
}

impl ConfLink {
    fn of(section: &Section) -> Option<Self> {
        let number = section.value("linknumber").or_else(|| section.value("ringnumber"))?.parse().ok()?;
        let priority = section.value("knet_link_priority").and_then(|value| value.parse().ok());
        Some(Self { number, priority })
    }
}

/// The link of `ringN_addr`; `linkN_addr` means the same to PVE.
fn link_number(key: &str) -> Option<u8> {
    let rest = key.strip_prefix("ring").or_else(|| key.strip_prefix("link"))?;
    rest.strip_suffix("_addr")?.parse().ok()
}

#[cfg(test)]
mod tests;
