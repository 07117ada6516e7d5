//! Whether the node's packet filter lets a packet in, as far as its rules can be read: `iptables-save` and
//! `nft --json list ruleset`. What a rule asks beyond protocol, port, source, interface and connection state is
//! not modelled: such a rule may or may not match, and what depends on it is told as not known.

mod iptables;
mod nft;

use std::net::IpAddr;
use std::time::Duration;

use crate::network::Network;
use crate::{Cmd, Node, RunError};

/// What may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// Where to.
    pub port: u16,
    /// Where from.
    pub source: IpAddr,
    /// The interface it arrives at.
    pub interface: Option<String>,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It comes in.
    Accepted,
    /// It does not.
    Dropped,
    /// That depends on what is not modelled.
    Unknown,
}

/// A condition of a rule.
#[derive(Clone, Debug, PartialEq)]
enum Condition {
    Protocol(String),
    Ports(Vec<(u16, u16)>),
    Sources(Vec<Network>),
    Interface(String),
    /// Of packets that begin a connection, or of others only.
    New(bool),
    /// Not any of these.
    Not(Box<Condition>),
    Unknown,
}

/// What a rule does with a packet that it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Accept,
    Drop,
    Jump(String),
    Goto(String),
    Return,
    Nothing,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    conditions: Vec<Condition>,
    verdict: Verdict,
}

/// One table: chains by name, and those that packets for this node enter, with their policy.
#[derive(Clone, Debug, Default, PartialEq)]
struct Table {
    is_ipv4: bool,
    is_ipv6: bool,
    chains: Vec<(String, Vec<Rule>)>,
    entries: Vec<(String, Fate)>,
}

/// All rules that packets for this node pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    tables: Vec<Table>,
}

impl Filter {
    /// Reads the rules of this node; `None` where it has no tool for them.
    pub fn read(node: &Node, timeout: Duration) -> anyhow::Result<Option<Self>> {
        let ask = |program: &str, args: &[&str]| -> anyhow::Result<Option<String>> {
            match node.run(&Cmd::new(program, args.iter().copied(), timeout)) {
                Ok(output) if output.is_success() => Ok(Some(output.stdout)),
                Ok(output) => anyhow::bail!("{program:?} fails: {}", output.tail()),
                Err(RunError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        let mut filter = Self::default();
        let mut is_known = false;
        for (program, is_ipv4) in [("iptables-save", true), ("ip6tables-save", false)] {
            if let Some(text) = ask(program, &["-t", "filter"])? {
                filter.tables.push(iptables::parse(&text, is_ipv4));
                is_known = true;
            }
        }
        if let Some(text) = ask("nft", &["--json", "list", "ruleset"])? {
            filter.tables.extend(nft::parse(&text)?);
            is_known = true;
        }
        Ok(is_known.then_some(filter))
    }

    /// What becomes of a packet: every table must let it in.
    pub fn fate(&self, packet: &Packet) -> Fate {
        let mut fate = Fate::Accepted;
        let concerned = |table: &&Table| match packet.source {
            IpAddr::V4(_) => table.is_ipv4,
            IpAddr::V6(_) => table.is_ipv6,
        };
        for table in self.tables.iter().filter(concerned) {
            for (chain, policy) in &table.entries {
                match table.walk(chain, packet, 0).unwrap_or(*policy) {
                    Fate::Dropped => return Fate::Dropped,
                    Fate::Unknown => fate = Fate::Unknown,
                    Fate::Accepted => {}
                }
            }
        }
        fate
    }
}

impl Table {
    /// The rules of a chain, which is made where there is none of that name.
    fn chain(&mut self, name: &str) -> &mut Vec<Rule> {
        let at = self.chains.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.chains.push((name.to_owned(), Vec::new()));
            self.chains.len() - 1
        });
        &mut self.chains[at].1
    }

    /// `None`: the chain's end was reached, or a return.
    fn walk(&self, chain: &str, packet: &Packet, depth: usize) -> Option<Fate> {
        let (mut may_accept, mut may_drop) = (false, false);
        let unsure = |end: Option<Fate>, may_accept: bool, may_drop: bool| match end {
            Some(Fate::Dropped) if may_accept => Some(Fate::Unknown),
            Some(Fate::Accepted) if may_drop => Some(Fate::Unknown),
            None if may_accept || may_drop => Some(Fate::Unknown),
            other => other,
        };
        // Chains can't form loops; what can't be is not followed for ever all the same.
        if depth > 16 {
            return Some(Fate::Unknown);
        }
        let rules = self.chains.iter().find(|(name, _)| name == chain).map(|(_, rules)| rules);
        for rule in rules.into_iter().flatten() {
            let does_match = rule.matches(packet);
            if does_match == Some(false) {
                continue;
            }
            let end = match &rule.verdict {
                Verdict::Nothing => continue,
                Verdict::Accept => Some(Fate::Accepted),
                Verdict::Drop => Some(Fate::Dropped),
                Verdict::Jump(target) => match self.walk(target, packet, depth + 1) {
                    None => continue,
                    end => end,
                },
                Verdict::Goto(target) => self.walk(target, packet, depth + 1),
                Verdict::Return => None,
            };
            match (does_match, end) {
                (Some(_), end) => return unsure(end, may_accept, may_drop),
                (None, Some(Fate::Accepted)) => may_accept = true,
                (None, Some(Fate::Dropped)) => may_drop = true,
                (None, _) => (may_accept, may_drop) = (true, true),
            }
        }
        // A policy that drops, after a rule that may have accepted: the caller's policy can't decide it.
        unsure(None, may_accept, may_drop)
    }
}

impl Rule {
    /// Whether it matches; `None` where that is not known.
    fn matches(&self, packet: &Packet) -> Option<bool> {
        let each: Vec<Option<bool>> =
            self.conditions.iter().map(|condition| condition.holds(packet)).collect();
        if each.contains(&Some(false)) {
            return Some(false);
        }
        if each.contains(&None) { None } else { Some(true) }
    }
}

impl Condition {
    fn holds(&self, packet: &Packet) -> Option<bool> {
        match self {
            Condition::Protocol(protocol) => {
                Some(protocol == packet.protocol || (protocol == "all" || protocol == "0"))
            }
            Condition::Ports(ranges) => {
                Some(ranges.iter().any(|(first, last)| (*first..=*last).contains(&packet.port)))
            }
            Condition::Sources(networks) => {
                let source = packet.source.to_string();
                Some(networks.iter().any(|network| network.contains(&source)))
            }
            Condition::Interface(pattern) => {
                let name = packet.interface.as_deref()?;
                Some(match pattern.strip_suffix(['+', '*']) {
                    Some(start) => name.starts_with(start),
                    None => name == pattern,
                })
            }
            Condition::New(is_new) => Some(*is_new),
            Condition::Not(inner) => inner.holds(packet).map(|holds| !holds),
            Condition::Unknown => None,
        }
    }
}

/// A network, or a single address as one.
fn network(text: &str) -> Option<Network> {
    if text.contains('/') {
        return text.parse().ok();
    }
    let length = if text.contains(':') { 128 } else { 32 };
    Network::of(text, length)
}

#[cfg(test)]
mod tests;
