//! corosync.conf as corosync reads it, as far as the fake needs it. On purpose not the emulator's own reader: the
//! two must agree by the format, not by the code.

use std::collections::BTreeMap;

/// The keys of one section.
pub type Keys = BTreeMap<String, String>;

/// What corosync takes from the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conf {
    pub totem: Keys,
    pub interfaces: Vec<Keys>,
    pub nodes: Vec<Keys>,
}

impl Conf {
    pub fn parse(text: &str) -> Option<Conf> {
        let mut conf = Conf::default();
        let mut stack: Vec<(String, Keys)> = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_suffix('{') {
                stack.push((name.trim().to_owned(), Keys::new()));
            } else if line == "}" {
                let (name, keys) = stack.pop()?;
                match name.as_str() {
                    "totem" => conf.totem = keys,
                    "interface" => conf.interfaces.push(keys),
                    "node" => conf.nodes.push(keys),
                    _ => {}
                }
            } else {
                let (key, value) = line.split_once(':')?;
                stack.last_mut()?.1.insert(key.trim().to_owned(), value.trim().to_owned());
            }
        }
        stack.is_empty().then_some(conf)
    }

    pub fn version(&self) -> u64 {
        self.totem.get("config_version").and_then(|version| version.parse().ok()).unwrap_or(0)
    }

    pub fn node(&self, name: &str) -> Option<&Keys> {
        self.nodes.iter().find(|node| node.get("name").is_some_and(|found| found == name))
    }

    /// Why corosync would refuse to start on this node.
    pub fn refusal(&self, name: &str, can_resolve: impl Fn(&str) -> bool) -> Option<String> {
        let mut ids: Vec<u32> = self.nodes.iter().map(id).collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Some(format!("Nodeid {} appears twice in corosync.conf", pair[0]));
        }
        let Some(own) = self.node(name) else {
            return Some("No nodelist entry for this node".to_owned());
        };
        let unresolvable = links(own).into_iter().find(|(_, address)| !can_resolve(address));
        unresolvable
            .map(|(_, address)| format!("parse error in config: failed to resolve node address '{address}'"))
    }
}

pub fn id(node: &Keys) -> u32 {
    node.get("nodeid").and_then(|id| id.parse().ok()).unwrap_or(0)
}

pub fn votes(node: &Keys) -> u32 {
    node.get("quorum_votes").and_then(|votes| votes.parse().ok()).unwrap_or(1)
}

/// Addresses by link number.
pub fn links(node: &Keys) -> BTreeMap<u8, String> {
    let number = |key: &str| key.strip_prefix("ring")?.strip_suffix("_addr")?.parse().ok();
    node.iter().filter_map(|(key, address)| Some((number(key)?, address.clone()))).collect()
}
