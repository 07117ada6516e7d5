//! Names and addresses of the lab: the one place that knows them. Knows nothing of Docker.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use anyhow::{Error, Result, bail};

/// The variable that numbers labs beside each other on one machine.
pub const NUMBER: &str = "SDDC_PVE_LAB";
/// Nodes of a lab that is not told how many.
pub const DEFAULT_NODES: u8 = 3;
/// Where the store that pmxcfs of all nodes works on is mounted.
pub const SHARED_MOUNT: &str = "/var/lib/pve-lab/shared";
/// Where the emulator looks for the factor over PVE's measured delays.
pub const DELAYS_FILE: &str = "/var/lib/pve-lab/delays";
/// Where the emulator looks for faults to show.
pub const FAULTS_FILE: &str = "/var/lib/pve-lab/faults.json";
/// The cluster that the lab's inventory asks for.
pub const CLUSTER: &str = "sddc-cluster";

/// Which of this machine's labs this is: 0 unless told. Each has networks, nodes and images of its own.
fn number() -> u8 {
    static LAB: OnceLock<u8> = OnceLock::new();
    *LAB.get_or_init(|| match std::env::var(NUMBER) {
        Ok(word) if word.is_empty() => 0,
        Ok(word) => match word.parse() {
            Ok(number @ 0..=9) => number,
            _ => panic!("{NUMBER}={word:?}: labs are numbered 0 to 9"),
        },
        Err(_) => 0,
    })
}

/// The number as part of a name: empty for 0.
pub fn number_word() -> String {
    match number() {
        0 => String::new(),
        other => other.to_string(),
    }
}

/// The number of a lab beside this one.
pub fn number_beside() -> String {
    ((number() + 9) % 10).to_string()
}

/// What every object that the lab makes in Docker is named with.
pub fn prefix() -> String {
    match number() {
        0 => "sddc-pve-".to_owned(),
        other => format!("sddc-pve{other}-"),
    }
}

/// What the nodes are told of their networks, as a shell reads it.
pub fn environment() -> String {
    let of = |link: Link| format!("LINK{}={}\n", link.0, link.range());
    format!("{}DOMAIN=sddc.test\n", LINKS.map(of).concat())
}

/// One network; its number is the number of the corosync link that it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link(pub u8);

/// The lab's networks. Link 0 carries ssh and the API as well.
pub const LINKS: [Link; 2] = [Link(0), Link(1)];

impl Link {
    /// The first three numbers of its addresses.
    fn range(self) -> String {
        format!("10.{}.0", 88 + 2 * number() + self.0)
    }

    /// Its Docker network.
    pub fn network(self) -> String {
        format!("{}net{}", prefix(), self.0)
    }

    /// Its bridge on this machine.
    pub fn bridge(self) -> String {
        format!("{}br{}", prefix(), self.0)
    }

    /// Its addresses.
    pub fn subnet(self) -> String {
        format!("{}.0/24", self.range())
    }

    /// This machine's address in it.
    pub fn gateway(self) -> String {
        format!("{}.1", self.range())
    }

    /// An address in it.
    pub fn address(self, host: u8) -> String {
        format!("{}.{host}", self.range())
    }

    /// The network card of a node that is plugged into it.
    pub fn card(self) -> String {
        format!("nic{}", self.0)
    }
}

impl FromStr for Link {
    type Err = Error;

    fn from_str(word: &str) -> Result<Link> {
        match LINKS.into_iter().find(|link| link.0.to_string() == word) {
            Some(link) => Ok(link),
            None => bail!("no link {word:?}: the lab has links 0 and 1"),
        }
    }
}

/// A node of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node(u8);

impl Node {
    /// The nodes of a lab with so many.
    pub fn first(count: u8) -> Vec<Node> {
        (1..=count).map(Node).collect()
    }

    /// Its host name.
    pub fn name(self) -> String {
        format!("pve{}", self.0)
    }

    /// Its container.
    pub fn container(self) -> String {
        format!("{}{}", prefix(), self.name())
    }

    /// Its address on a link.
    pub fn address(self, link: Link) -> String {
        link.address(10 + self.0)
    }

    /// Its IPv6 address on a link, where it is given one.
    pub fn address_v6(self, link: Link) -> String {
        format!("fd00:{}:{}::{}", number(), link.0 + 1, 10 + self.0)
    }

    /// The node that a container is.
    pub fn of_container(name: &str) -> Option<Node> {
        name.strip_prefix(&prefix())?.parse().ok()
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

impl FromStr for Node {
    type Err = Error;

    fn from_str(word: &str) -> Result<Node> {
        match word.strip_prefix("pve").map(str::parse) {
            Some(Ok(number @ 1..=99)) => Ok(Node(number)),
            _ => bail!("no node {word:?}: nodes are named pve1 to pve99"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_those_of_the_recorded_nodes() {
        let node: Node = "pve4".parse().unwrap();
        assert_eq!(node.container(), "sddc-pve-pve4");
        assert_eq!(node.address(LINKS[0]), "10.88.0.14");
        assert_eq!(node.address(LINKS[1]), "10.89.0.14");
        assert_eq!(Node::of_container("sddc-pve-pve4"), Some(node));
    }

    #[test]
    fn what_is_no_node_is_refused() {
        for word in ["pve0", "pve100", "node1", "pve", "4"] {
            assert!(word.parse::<Node>().is_err(), "{word}");
        }
        assert!("2".parse::<Link>().is_err());
        assert_eq!(Node::of_container("sddc-pve-net0"), None);
    }
}
