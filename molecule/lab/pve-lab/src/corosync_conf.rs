//! corosync.conf as PVE reads and writes it (corosync.conf(5); layout as in the golden transcripts): sections
//! and keys sorted, nodes by name, interfaces by link number. Knows nothing of a running corosync.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A key's value, or the subsections of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Text(String),
    Sections(Vec<Section>),
}

/// The inside of one pair of braces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section(BTreeMap<String, Item>);

impl Section {
    pub fn get(&self, key: &str) -> Option<&str> {
        match self.0.get(key) {
            Some(Item::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.0.insert(key.to_owned(), Item::Text(value.to_string()));
    }

    pub fn sections(&self, name: &str) -> &[Section] {
        match self.0.get(name) {
            Some(Item::Sections(sections)) => sections,
            _ => &[],
        }
    }

    fn sections_mut(&mut self, name: &str) -> &mut Vec<Section> {
        let item = self.0.entry(name.to_owned()).or_insert_with(|| Item::Sections(Vec::new()));
        if !matches!(item, Item::Sections(_)) {
            *item = Item::Sections(Vec::new());
        }
        match item {
            Item::Sections(sections) => sections,
            Item::Text(_) => unreachable!("made a section list just above"),
        }
    }

    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(key, item)| match item {
            Item::Text(text) => Some((key.as_str(), text.as_str())),
            Item::Sections(_) => None,
        })
    }

    fn write(&self, out: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        for (key, item) in &self.0 {
            match item {
                Item::Text(text) => out.push_str(&format!("{indent}{key}: {text}\n")),
                Item::Sections(sections) => {
                    for section in sections {
                        out.push_str(&format!("{indent}{key} {{\n"));
                        section.write(out, depth + 1);
                        out.push_str(&format!("{indent}}}\n"));
                    }
                }
            }
        }
    }
}

/// A whole corosync.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorosyncConf {
    root: Section,
}

impl CorosyncConf {
    /// Reads the text; the error is the sentence with which PVE's parser stops.
    pub fn parse(text: &str) -> Result<CorosyncConf, String> {
        let mut stack: Vec<(String, Section)> = vec![(String::new(), Section::default())];
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line == "}" {
                let (name, section) = stack.pop().filter(|_| !stack.is_empty()).ok_or("unexpected '}'")?;
                let parent = &mut stack.last_mut().ok_or("unexpected '}'")?.1;
                parent.sections_mut(&name).push(section);
            } else if let Some(name) = line.strip_suffix('{') {
                stack.push((name.trim().to_owned(), Section::default()));
            } else {
                let (key, value) =
                    line.split_once(':').ok_or_else(|| format!("missing ':' after key '{line}'"))?;
                stack.last_mut().ok_or("unexpected '}'")?.1.set(key.trim(), value.trim());
            }
        }
        match stack.pop() {
            Some((name, root)) if name.is_empty() && stack.is_empty() => Ok(CorosyncConf { root }),
            _ => Err("unexpected end of file, missing '}'".to_owned()),
        }
    }

    /// A one-node cluster as `pvecm create` makes it.
    pub fn create(name: &str, node: Section, links: &BTreeMap<u8, Link>, token_coefficient: u64) -> Self {
        let mut conf = CorosyncConf::default();
        let logging = conf.section_mut("logging");
        logging.set("debug", "off");
        logging.set("to_syslog", "yes");
        conf.section_mut("quorum").set("provider", "corosync_votequorum");
        let totem = conf.section_mut("totem");
        for (key, value) in [
            ("cluster_name", name),
            ("config_version", "1"),
            ("ip_version", "ipv4-6"),
            ("link_mode", "passive"),
            ("secauth", "on"),
            ("version", "2"),
        ] {
            totem.set(key, value);
        }
        totem.set("token_coefficient", token_coefficient);
        for (number, link) in links {
            let mut interface = Section::default();
            interface.set("linknumber", number);
            if let Some(priority) = link.priority {
                interface.set("knet_link_priority", priority);
            }
            totem.sections_mut("interface").push(interface);
        }
        conf.nodes_mut().push(node);
        conf
    }

    fn section_mut(&mut self, name: &str) -> &mut Section {
        let sections = self.root.sections_mut(name);
        if sections.is_empty() {
            sections.push(Section::default());
        }
        &mut sections[0]
    }

    pub fn totem(&self) -> Option<&Section> {
        self.root.sections("totem").first()
    }

    pub fn totem_mut(&mut self) -> &mut Section {
        self.section_mut("totem")
    }

    pub fn nodes(&self) -> &[Section] {
        self.root.sections("nodelist").first().map_or(&[], |list| list.sections("node"))
    }

    pub fn nodes_mut(&mut self) -> &mut Vec<Section> {
        self.section_mut("nodelist").sections_mut("node")
    }

    pub fn node(&self, name: &str) -> Option<&Section> {
        self.nodes().iter().find(|node| node.get("name") == Some(name))
    }

    pub fn version(&self) -> Option<u64> {
        self.totem()?.get("config_version")?.parse().ok()
    }

    /// Link numbers that the cluster's interfaces declare.
    pub fn links(&self) -> Vec<u8> {
        let interfaces = self.totem().map_or(&[][..], |totem| totem.sections("interface"));
        interfaces.iter().filter_map(|interface| interface.get("linknumber")?.parse().ok()).collect()
    }

    /// What every change does: version up by one, as text.
    pub fn next_version(&mut self) {
        let version = self.version().unwrap_or(0) + 1;
        self.totem_mut().set("config_version", version);
    }

    /// The totem section as the API gives it: interfaces by link number.
    pub fn totem_json(&self) -> Value {
        let Some(totem) = self.totem() else { return Value::Null };
        let mut map = text_map(totem);
        let interfaces = totem.sections("interface");
        if !interfaces.is_empty() {
            let by_link = interfaces
                .iter()
                .map(|one| (one.get("linknumber").unwrap_or("0").to_owned(), Value::Object(text_map(one))))
                .collect();
            map.insert("interface".to_owned(), Value::Object(by_link));
        }
        Value::Object(map)
    }
}

impl std::fmt::Display for CorosyncConf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut sorted = self.root.clone();
        for list in sorted.sections_mut("nodelist") {
            list.sections_mut("node").sort_by(|a, b| a.get("name").cmp(&b.get("name")));
        }
        for totem in sorted.sections_mut("totem") {
            totem.sections_mut("interface").sort_by_key(|one| one.get("linknumber").map(str::to_owned));
        }
        for (name, item) in &sorted.0 {
            let Item::Sections(sections) = item else { continue };
            for section in sections {
                let mut inside = String::new();
                section.write(&mut inside, 1);
                write!(f, "{name} {{\n{inside}}}\n\n")?;
            }
        }
        Ok(())
    }
}

/// The keys of a section as a JSON object of strings.
pub fn text_map(section: &Section) -> Map<String, Value> {
    section.texts().map(|(key, text)| (key.to_owned(), Value::from(text))).collect()
}

/// One `--linkN` option: `[address=]<IP>[,priority=<0-255>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub address: String,
    pub priority: Option<u8>,
}

/// `config_version` of a text, 0 when there is none: how pmxcfs looks at the file.
pub fn version_of(text: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(text);
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("config_version:"))
        .find_map(|version| version.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENUINE: &str = "logging {\n  debug: off\n  to_syslog: yes\n}\n\nnodelist {\n  node {\n    name: pve1\n    nodeid: 1\n    quorum_votes: 1\n    ring0_addr: 10.88.0.11\n  }\n}\n\nquorum {\n  provider: corosync_votequorum\n}\n\ntotem {\n  cluster_name: oracle\n  config_version: 1\n  interface {\n    linknumber: 0\n  }\n  ip_version: ipv4-6\n  link_mode: passive\n  secauth: on\n  token_coefficient: 125\n  version: 2\n}\n\n";

    #[test]
    fn create_writes_what_pve_writes() {
        let mut node = Section::default();
        for (key, value) in
            [("name", "pve1"), ("nodeid", "1"), ("quorum_votes", "1"), ("ring0_addr", "10.88.0.11")]
        {
            node.set(key, value);
        }
        let links = BTreeMap::from([(0, Link { address: "10.88.0.11".into(), priority: None })]);
        assert_eq!(CorosyncConf::create("oracle", node, &links, 125).to_string(), GENUINE);
    }

    #[test]
    fn what_is_read_is_written_back_unchanged() {
        assert_eq!(CorosyncConf::parse(GENUINE).unwrap().to_string(), GENUINE);
        assert_eq!(version_of(GENUINE.as_bytes()), 1);
    }

    #[test]
    fn garbage_is_refused_in_pve_words() {
        assert_eq!(CorosyncConf::parse("garbage\n"), Err("missing ':' after key 'garbage'".to_owned()));
    }
}
