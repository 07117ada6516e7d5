//! `corosync-cfgtool -s` and `-n`: links as this node sees them.

use std::time::Duration;

use crate::facts::{Link, LinkPeer};
use crate::{Cmd, Node};

/// What `corosync-cfgtool -s` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStatus {
    /// The node id of the node that was asked.
    pub nodeid: u32,
    /// Its links.
    pub links: Vec<Link>,
    /// Verdicts for whole links, of tools that name no peers (corosync 2, or `status = OK` of early 3.0):
    /// number and whether it is up.
    pub verdicts: Vec<(u8, bool)>,
}

/// What `corosync-cfgtool -n` says of one path to a reachable node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkPath {
    /// The other node.
    pub nodeid: u32,
    /// Link number.
    pub number: u8,
    /// This node's address.
    pub from: String,
    /// The other node's.
    pub to: String,
    /// Whether it is connected.
    pub connected: bool,
    /// Path MTU in bytes; 0 while it is not known.
    pub mtu: u32,
}

/// Asks corosync for its links; `None` when it is not running.
pub fn query(node: &Node, timeout: Duration) -> anyhow::Result<Option<LinkStatus>> {
    match node.run(&Cmd::new("corosync-cfgtool", ["-s"], timeout)) {
        Ok(output) => Ok(parse_status(&output.stdout)),
        Err(crate::RunError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the text of `-s`; `None` without a `Local node ID` line.
pub fn parse_status(text: &str) -> Option<LinkStatus> {
    let mut status: Option<LinkStatus> = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("Local node ID") {
            let id = rest.split([',', ' ']).find(|word| !word.is_empty())?;
            status.get_or_insert_default().nodeid = id.parse().ok()?;
        } else if let Some(rest) = line.strip_prefix("LINK ID").or_else(|| line.strip_prefix("RING ID")) {
            let number = rest.split_whitespace().next()?.parse().ok()?;
            status.as_mut()?.links.push(Link { number, ..Link::default() });
        } else if let Some((key, value)) = line.split_once('=')
            && !line.starts_with("nodeid")
        {
            let status = status.as_mut()?;
            let Some(link) = status.links.last_mut() else { continue };
            match key.trim() {
                "addr" | "id" => link.address = without_zone(value).to_owned(),
                "status" => status.verdicts.push((link.number, is_up(value.trim()))),
                _ => {}
            }
        } else if let Some(rest) = line.strip_prefix("nodeid").or_else(|| line.strip_prefix("node ")) {
            let local = status.as_ref()?.nodeid;
            let link = status.as_mut()?.links.last_mut()?;
            if let Some(peer) = peer(rest).filter(|peer| peer.nodeid != local && peer.status != "localhost") {
                link.peers.push(peer);
            }
        }
    }
    status
}

/// corosync tells an IPv6 address with the number of its interface: `fd00::12%2`.
fn without_zone(address: &str) -> &str {
    address.trim().split('%').next().unwrap_or_default()
}

/// Behind `nodeid`: id and `connected`; of corosync 3.0 id, `link enabled:1` and `link connected:1`.
fn peer(rest: &str) -> Option<LinkPeer> {
    let (id, state) = rest.trim_start_matches(':').split_once(':')?;
    let state = state.trim();
    let connected = state == "connected" || state.ends_with("link connected:1");
    Some(LinkPeer {
        nodeid: id.trim().parse().ok()?,
        connected,
        status: state.replace('\t', " "),
        latency: None,
    })
}

/// `OK` (3.0), `ring 0 active with no faults` (2); anything else is a fault. `-b` prints digits: 3 is up.
fn is_up(verdict: &str) -> bool {
    verdict == "OK" || verdict.ends_with("active with no faults")
}

/// Reads the text of `-n`. It lists only nodes that are reachable; a path that is down lacks `connected`.
pub fn parse_nodes(text: &str) -> Vec<LinkPath> {
    let (mut paths, mut nodeid) = (Vec::new(), 0);
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("nodeid:") {
            nodeid = rest.split_whitespace().next().and_then(|id| id.parse().ok()).unwrap_or(0);
        } else if let Some(path) = line.strip_prefix("LINK:").and_then(path) {
            paths.push(LinkPath { nodeid, ..path });
        }
    }
    paths
}

/// ` 0 udp (10.88.0.12->10.88.0.11) enabled connected mtu: 1397`
fn path(rest: &str) -> Option<LinkPath> {
    let (head, tail) = rest.split_once('(')?;
    let (addresses, state) = tail.split_once(')')?;
    let (from, to) = addresses.split_once("->").unwrap_or((addresses, ""));
    let words: Vec<&str> = state.split_whitespace().collect();
    let mtu = words.iter().position(|word| *word == "mtu:").and_then(|at| words.get(at + 1)?.parse().ok());
    Some(LinkPath {
        nodeid: 0,
        number: head.split_whitespace().next()?.parse().ok()?,
        from: without_zone(from).to_owned(),
        to: without_zone(to).to_owned(),
        connected: words.contains(&"connected"),
        mtu: mtu.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::golden;

    fn status(case: &str) -> LinkStatus {
        parse_status(&golden::stdout(case)).unwrap()
    }

    fn peers(status: &LinkStatus, link: usize) -> Vec<(u32, bool)> {
        status.links[link].peers.iter().map(|peer| (peer.nodeid, peer.connected)).collect()
    }

    #[test]
    fn reads_each_link_and_its_peers_without_the_node_itself() {
        let one = status("05-single-node/cfgtool-s");
        assert_eq!((one.nodeid, one.links[0].address.as_str(), peers(&one, 0)), (1, "10.88.0.11", vec![]));
        let dual = status("30-dual-link/11-link1-of-pve3-down-pve3/cfgtool-s");
        assert_eq!((dual.nodeid, dual.links[1].address.as_str()), (7, "10.89.0.13"));
        assert_eq!(
            (peers(&dual, 0), peers(&dual, 1)),
            (vec![(1, true), (2, true)], vec![(1, false), (2, false)])
        );
        assert_eq!(peers(&status("14-one-down/cfgtool-s"), 0), [(2, true), (3, false)]);
        assert_eq!(peers(&status("15-no-quorum/cfgtool-s"), 0), [(2, false), (3, false)]);
    }

    #[test]
    fn reads_the_paths_to_reachable_nodes() {
        let paths = parse_nodes(&golden::stdout("30-dual-link/11-link1-of-pve3-down-pve1/cfgtool-n"));
        let seen: Vec<_> = paths.iter().map(|path| (path.nodeid, path.number, path.connected)).collect();
        assert_eq!(seen, [(2, 0, true), (2, 1, true), (7, 0, true), (7, 1, false)]);
        assert_eq!(
            (paths[3].from.as_str(), paths[3].to.as_str(), paths[3].mtu),
            ("10.89.0.11", "10.89.0.13", 1397)
        );
        assert!(parse_nodes(&golden::stdout("15-no-quorum/cfgtool-n")).is_empty());
    }

    #[test]
    fn reads_what_older_corosync_prints() {
        // corosync 2.4 (udpu), from its corosync-cfgtool.c
        let two = "Printing ring status.\nLocal node ID 1\nRING ID 0\n\tid\t= 10.88.0.11\n\tstatus\t= ring 0 active \
                   with no faults\nRING ID 1\n\tid\t= 10.89.0.11\n\tstatus\t= Marking ringid 1 interface 10.89.0.11 \
                   FAULTY\n";
        let two = parse_status(two).unwrap();
        assert_eq!((two.nodeid, two.links[0].address.as_str()), (1, "10.88.0.11"));
        assert_eq!(two.verdicts, [(0, true), (1, false)]);
        let early =
            "Printing link status.\nLocal node ID 1\nLINK ID 0\n\taddr\t= 10.88.0.11\n\tstatus\t= OK\n";
        assert_eq!(parse_status(early).unwrap().verdicts, [(0, true)]);
        let verbose = "Printing link status.\nLocal node ID 1\nLINK ID 0\n\taddr\t= 10.88.0.11\n\tstatus:\n\t\tnodeid  \
                       1:\tlink enabled:1\tlink connected:1\n\t\tnodeid  2:\tlink enabled:1\tlink connected:0\n";
        assert_eq!(peers(&parse_status(verbose).unwrap(), 0), [(2, false)]);
    }

    #[test]
    fn no_answer_is_none() {
        assert_eq!(parse_status(&golden::stdout("01-standalone/cfgtool-s")), None);
    }

    /// Captured from corosync 3.1.10 with IPv6 addresses as links.
    #[test]
    fn addresses_are_told_without_their_interface() {
        let text = "Local node ID 2, transport knet\nLINK ID 0 udp\n\taddr\t= fd00:9:1::12%2\n\tstatus:\n\t\tnodeid:          \
                    1:\tconnected\n\t\tnodeid:          2:\tlocalhost\n";
        let status = parse_status(text).unwrap();
        assert_eq!((status.links[0].address.as_str(), peers(&status, 0)), ("fd00:9:1::12", vec![(1, true)]));
        let text = "Local node ID 2, transport knet\nnodeid: 1 reachable\n   LINK: 0 udp \
                    (fd00:9:1::12%2->fd00:9:1::11%2) enabled connected mtu: 1365\n";
        let path = &parse_nodes(text)[0];
        assert_eq!(
            (path.from.as_str(), path.to.as_str(), path.connected),
            ("fd00:9:1::12", "fd00:9:1::11", true)
        );
    }
}
