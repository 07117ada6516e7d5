//! What the lab's nodes say of their cluster, asked with corosync's own tools and by reading files, never with
//! our modules: the second opinion of the demo and the tests.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::lab::{Lab, Node};

/// Every regular file below /etc/pve but those that pmxcfs makes up for each node, as one checksum.
const DIGEST: &str =
    "cd /etc/pve && find . -type f ! -name '.*' -print0 | sort -z | xargs -0 -r sha256sum | sha256sum";

/// Shell line that prints what a node in no cluster may not have. Every lab node is a quorum device's host, too, as its
/// packages make it: that is not of a cluster.
pub const OF_A_CLUSTER: &str = "find /etc/corosync /var/lib/corosync -type f -not -path '*/qnetd/*' 2>/dev/null; \
    ls /etc/pve/corosync.conf 2>/dev/null; true";

/// How one node sees the cluster.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// corosync says quorate.
    pub is_quorate: bool,
    /// Members that corosync sees.
    pub members: usize,
    /// Link, and how many peers it connects.
    pub links: BTreeMap<u8, usize>,
    /// One checksum over /etc/pve.
    pub digest: String,
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quorate = if self.is_quorate { "quorate" } else { "not quorate" };
        write!(f, "{quorate}, {} members", self.members)?;
        for (link, peers) in &self.links {
            write!(f, ", link {link} to {peers} peers")?;
        }
        write!(f, ", /etc/pve {}", self.digest.get(..12).unwrap_or(&self.digest))
    }
}

/// What each node sees.
pub fn look(lab: &Lab<'_>, nodes: &[Node]) -> Result<Vec<(Node, Sight)>> {
    let look = |node: &Node| -> Result<(Node, Sight)> {
        // Its exit status tells the quorum once more; the text is what counts.
        let quorum = lab.exec(*node, &["corosync-quorumtool", "-s"])?;
        let mut sight = parse_quorum(&String::from_utf8_lossy(&quorum.stdout));
        let links = lab.exec(*node, &["corosync-cfgtool", "-n"])?;
        sight.links = parse_links(&String::from_utf8_lossy(&links.stdout));
        let digest = lab.succeed(*node, &["sh", "-c", DIGEST])?;
        sight.digest = digest.split_whitespace().next().context("sha256sum said nothing")?.to_owned();
        Ok((*node, sight))
    };
    nodes.iter().map(look).collect()
}

/// What is wrong with these sights, if they are to be one healthy cluster over so many links.
pub fn faults(sights: &[(Node, Sight)], links: u8) -> Vec<String> {
    let mut faults = Vec::new();
    let first = sights.first().map(|(node, sight)| (node, &sight.digest));
    for (node, sight) in sights {
        if !sight.is_quorate {
            faults.push(format!("{node} is not quorate"));
        }
        if sight.members != sights.len() {
            faults.push(format!("{node} sees {} members, not {}", sight.members, sights.len()));
        }
        for link in 0..links {
            let peers = sight.links.get(&link).copied().unwrap_or(0);
            if peers + 1 != sights.len() {
                faults
                    .push(format!("link {link} of {node} connects {peers} peers, not {}", sights.len() - 1));
            }
        }
        if let Some((other, digest)) = first
            && *digest != sight.digest
        {
            faults.push(format!("/etc/pve of {node} differs from that of {other}"));
        }
    }
    faults
}

/// Waits until the nodes are one healthy cluster; returns what they see.
pub fn await_healthy(
    lab: &Lab<'_>,
    nodes: &[Node],
    links: u8,
    limit: Duration,
) -> Result<Vec<(Node, Sight)>> {
    let deadline = Instant::now() + limit;
    loop {
        let sights = look(lab, nodes)?;
        let faults = faults(&sights, links);
        if faults.is_empty() {
            return Ok(sights);
        }
        if Instant::now() >= deadline {
            bail!("no healthy cluster after {} s: {}", limit.as_secs(), faults.join("; "));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn parse_quorum(text: &str) -> Sight {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    Sight {
        is_quorate: value("Quorate:") == Some("Yes"),
        members: value("Nodes:").and_then(|count| count.parse().ok()).unwrap_or(0),
        ..Sight::default()
    }
}

fn parse_links(text: &str) -> BTreeMap<u8, usize> {
    let mut links = BTreeMap::new();
    for line in text.lines() {
        let Some(rest) = line.trim_start().strip_prefix("LINK: ") else { continue };
        let number = rest.split(' ').next().and_then(|number| number.parse().ok());
        if let Some(number) = number {
            *links.entry(number).or_insert(0) += usize::from(rest.split(' ').any(|word| word == "connected"));
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    // Recorded from corosync 3.1.10, two links, the second of node 7 cut.
    const LINKS: &str = "\
Local node ID 1, transport knet
nodeid: 2 reachable
   LINK: 0 udp (10.88.0.11->10.88.0.12) enabled connected mtu: 1397
   LINK: 1 udp (10.89.0.11->10.89.0.12) enabled connected mtu: 1397

nodeid: 7 reachable
   LINK: 0 udp (10.88.0.11->10.88.0.13) enabled connected mtu: 1397
   LINK: 1 udp (10.89.0.11->10.89.0.13) enabled mtu: 1397
";

    fn healthy() -> Vec<(Node, Sight)> {
        let sight =
            || Sight { is_quorate: true, members: 3, links: [(0, 2), (1, 2)].into(), digest: "a".into() };
        Node::first(3).into_iter().map(|node| (node, sight())).collect()
    }

    #[test]
    fn a_cut_link_counts_one_peer_less() {
        assert_eq!(parse_links(LINKS), [(0, 2), (1, 1)].into());
    }

    #[test]
    fn quorum_is_read() {
        let sight = parse_quorum("Nodes:            3\nNode ID:          1\nQuorate:          Yes\n");
        assert_eq!((sight.is_quorate, sight.members), (true, 3));
        assert!(!parse_quorum("Nodes:            1\nQuorate:          No\n").is_quorate);
    }

    #[test]
    fn each_fault_is_seen() {
        assert!(faults(&healthy(), 2).is_empty());
        let broken = |change: fn(&mut Sight)| {
            let mut sights = healthy();
            change(&mut sights[1].1);
            faults(&sights, 2)
        };
        assert_eq!(broken(|sight| sight.is_quorate = false), ["pve2 is not quorate"]);
        assert_eq!(broken(|sight| sight.members = 2), ["pve2 sees 2 members, not 3"]);
        assert_eq!(
            broken(|sight| sight.links = [(0, 2), (1, 1)].into()),
            ["link 1 of pve2 connects 1 peers, not 2"]
        );
        assert_eq!(broken(|sight| sight.digest = "b".into()), ["/etc/pve of pve2 differs from that of pve1"]);
    }
}
