//! Makes the networks between nodes bad: loses and drops with a packet filter on the lab's bridges, carries shorter
//! packets, answers late by a relay. All of it is good again when the value is dropped. Inside of the nodes only the
//! relay shows.

use anyhow::Result;

use super::layout::{Link, Node, prefix};
use super::{Lab, cable};
use crate::command::Cmd;
use crate::tool;

/// Where the relay of a node listens.
const RELAY: &str = "127.0.0.1:7405";
/// The emulator, which has the relay in it.
const EMULATOR: &str = "/usr/lib/pve-lab/pve-lab";
/// The networks' own.
const USUAL_MTU: u32 = 1500;

/// Networks that are bad in some ways.
pub struct Spoilt<'a> {
    lab: &'a Lab<'a>,
    cables: Vec<(Node, Link)>,
    relays: Vec<Node>,
}

impl<'a> Spoilt<'a> {
    /// Networks that are good so far.
    pub fn new(lab: &'a Lab<'a>) -> Result<Spoilt<'a>> {
        tool::need("nft", "nftables")?;
        let spoilt = Spoilt { lab, cables: Vec::new(), relays: Vec::new() };
        spoilt
            .nft(&format!("add table bridge {0}; delete table bridge {0}; add table bridge {0}", table()))?;
        spoilt.nft(&format!(
            "add chain bridge {} forward {{ type filter hook forward priority 0; }}",
            table()
        ))?;
        Ok(spoilt)
    }

    /// Drops packets that match an expression of nft(8).
    pub fn drop_matching(&self, expression: &str) -> Result<()> {
        self.nft(&format!("add rule bridge {} forward {expression} counter drop", table()))
    }

    /// Carries packets of so many bytes only on a node's link.
    pub fn narrow(&mut self, node: Node, link: Link, mtu: u32) -> Result<()> {
        self.cables.push((node, link));
        cable::narrow(node, link, mtu)
    }

    /// Makes answers late that a node gets from another one on link 0, by milliseconds and up to so many more. The relay is
    /// not root's, so that its own traffic is not turned to it.
    pub fn delay(&mut self, node: Node, from: Node, delay: u32, jitter: u32) -> Result<()> {
        self.relays.push(node);
        let (to, port) = (from.address(Link(0)), 5405);
        let rule = format!(
            "nft add table ip relay && nft add chain ip relay out '{{ type nat hook output priority -100; }}' && nft add \
             rule ip relay out meta skuid 0 ip daddr {to} udp dport {port} dnat to {RELAY}"
        );
        let start = format!(
            "setsid setpriv --reuid 65534 --clear-groups {EMULATOR} udp-relay {RELAY} {to}:{port} {delay} {jitter} \
             </dev/null >/dev/null 2>&1 & echo $! >/run/relay.pid"
        );
        self.lab.succeed(node, &["sh", "-c", &format!("{rule} && {{ {start}; }}")]).map(drop)
    }

    fn nft(&self, line: &str) -> Result<()> {
        Cmd::new("nft").arg(line).read().map(drop)
    }
}

impl Drop for Spoilt<'_> {
    fn drop(&mut self) {
        let _ = self.nft(&format!("delete table bridge {}", table()));
        for (node, link) in &self.cables {
            let _ = cable::narrow(*node, *link, USUAL_MTU);
        }
        for node in &self.relays {
            let end = "nft delete table ip relay; kill $(cat /run/relay.pid); rm /run/relay.pid";
            let _ = self.lab.exec(*node, &["sh", "-c", end]);
        }
    }
}

/// Each lab has its own.
fn table() -> String {
    format!("{}spoilt", prefix()).replace('-', "_")
}
