//! Checks of this node's own packet filters: do they let in what members send each other?

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::Context;
use super::links::{FIRST_PORT, numbers};
use crate::network::is_same;
use crate::packet_filter::{Fate, Filter, Packet};
use crate::verdict::Finding;

/// What members must reach of each other over TCP: ssh and the API.
const NEEDED: [u16; 2] = [22, 8006];
/// What some of them want: SPICE, rpcbind, consoles, migration (pve-docs, "Ports used by Proxmox VE").
const WANTED: [RangeInclusive<u16>; 4] = [3128..=3128, 111..=111, 5900..=5999, 60000..=60050];

pub(super) fn packet_filter_open(context: &Context<'_>) -> anyhow::Result<Finding> {
    let Some(filter) = Filter::read(context.node, context.timeout)? else {
        return Finding::skipped("neither nft nor iptables is installed");
    };
    let (mut closed, mut missed, mut unsure) = (Vec::new(), Vec::new(), Vec::new());
    let mut look = |packet: Packet, name: &str| {
        let told = format!("{} {} from {name}", packet.protocol, packet.port);
        match filter.fate(&packet) {
            Fate::Accepted => {}
            Fate::Dropped => closed.push(told),
            Fate::Unknown => unsure.push(told),
        }
    };
    for peer in context.peers() {
        if let Ok(source) = peer.address.parse::<IpAddr>() {
            let interface = context.own().and_then(|own| interface_of(context, &own.address));
            let packet = |port| Packet { protocol: "tcp", port, source, interface: interface.clone() };
            NEEDED.into_iter().for_each(|port| look(packet(port), &peer.name));
            for ports in WANTED {
                let dropped = ports.filter(|port| filter.fate(&packet(*port)) == Fate::Dropped);
                missed.extend(runs(dropped).into_iter().map(|run| format!("tcp {run} from {}", peer.name)));
            }
        }
        for (number, address) in peer.addresses() {
            let Ok(source) = address.parse() else { continue };
            let own = context.own().and_then(|own| own.addresses().remove(&number));
            let interface = own.and_then(|own| interface_of(context, &own));
            let port = FIRST_PORT + u16::from(number);
            look(Packet { protocol: "udp", port, source, interface }, &peer.name);
        }
    }
    let hint = "let these ports in from the other nodes, as sddc.pve.node_prepare does, or remove the rules \
                that drop them: \"nft -a list ruleset\" and \"iptables -S\" show them";
    if !closed.is_empty() {
        closed.extend(missed);
        return Finding::failed(format!("the packet filter drops {}", some_of(&closed)), hint);
    }
    if !missed.is_empty() {
        return Finding::warned(format!("the packet filter drops {}", some_of(&missed)), hint);
    }
    match unsure.is_empty() {
        true => Finding::passed("the rules let the cluster's packets in"),
        false => Finding::passed(format!(
            "no rule is seen to drop the cluster's packets; some rules can't be followed ({})",
            some_of(&unsure)
        )),
    }
}

/// Numbers in ascending order as `5900` or `5900-5999`.
fn runs(numbers: impl Iterator<Item = u16>) -> Vec<String> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let word = |(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
    runs.into_iter().map(word).collect()
}

fn interface_of(context: &Context<'_>, address: &str) -> Option<String> {
    let own = context.facts.addresses.iter().find(|own| is_same(&own.address, address));
    own.map(|own| own.interface.clone())
}

fn some_of(all: &[String]) -> String {
    let shown = all[..all.len().min(6)].join(", ");
    if all.len() > 6 { format!("{shown} and {} more", all.len() - 6) } else { shown }
}

pub(super) fn pve_firewall_open(context: &Context<'_>) -> anyhow::Result<Finding> {
    let read = |path: &str| context.node.read(path).map(Option::unwrap_or_default);
    let (cluster, host) = (read("/etc/pve/firewall/cluster.fw")?, read("/etc/pve/local/host.fw")?);
    let is_on = option(&cluster, "enable").is_some_and(|value| value != "0");
    let is_off_here = option(&host, "enable") == Some("0");
    if !is_on || is_off_here {
        return Finding::passed("pve-firewall is off");
    }
    if option(&cluster, "policy_in") == Some("ACCEPT") {
        return Finding::passed("pve-firewall is on and accepts by default");
    }
    // Its own rule for the cluster names UDP 5404 and 5405 only; link N uses 5405 + N.
    let beyond: Vec<u16> = context
        .own()
        .map(|own| own.addresses().into_keys().map(|link| FIRST_PORT + u16::from(link)).collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        .filter(|port| *port > FIRST_PORT && !is_opened(&cluster, *port) && !is_opened(&host, *port))
        .collect();
    if beyond.is_empty() {
        return Finding::passed("pve-firewall is on and opens what corosync needs");
    }
    Finding::failed(
        format!(
            "pve-firewall is on, and its own rule for corosync opens 5404 and 5405 only, not UDP {}",
            numbers(&beyond)
        ),
        "add \"IN ACCEPT -p udp -dport 5405:5412\" to [RULES] of /etc/pve/firewall/cluster.fw",
    )
}

/// An option of a firewall file, outside of its rules.
fn option<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| !line.eq_ignore_ascii_case("[options]"));
    lines.next();
    lines.take_while(|line| !line.starts_with('[')).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// Whether a rule of the file opens a UDP port.
fn is_opened(text: &str, port: u16) -> bool {
    let rules = text.lines().map(str::trim).filter(|line| line.starts_with("IN ACCEPT"));
    rules.into_iter().any(|rule| {
        let words: Vec<&str> = rule.split_whitespace().collect();
        let value = |flag: &str| words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1));
        let value = |name: &str| value(&format!("-{name}")).or_else(|| value(&format!("--{name}")));
        let is_udp = value("p").or_else(|| value("proto")).is_none_or(|protocol| *protocol == "udp");
        let ports = value("dport").map(|ports| {
            ports.split(',').any(|part| {
                let (first, last) = part.split_once(':').unwrap_or((part, part));
                let is_from = first.parse::<u16>().is_ok_and(|first| first <= port);
                is_from && last.parse::<u16>().is_ok_and(|last| port <= last)
            })
        });
        is_udp && ports.unwrap_or(true)
    })
}
