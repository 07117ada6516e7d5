//! Checks of the interfaces and networks that corosync's links use.

use super::{Context, Purpose};
use crate::facts::Address;
use crate::inventory::WantedLink;
pub(super) use crate::link_probe::FIRST_PORT;
use crate::network::{InterfaceState, Network, interface, is_same};
use crate::order::sort_short_by;
use crate::verdict::Finding;

/// Modes in which packets of one connection overtake each other or move between ports (pvecm(1), "Corosync over
/// bonds").
const DISLIKED: [&str; 4] = ["balance-rr", "balance-xor", "balance-tlb", "balance-alb"];
/// A bridge over a VLAN over a bond: as deep as networks get.
const DEPTH: usize = 4;

/// This node's links that are on addresses of its own.
fn local<'a>(context: &'a Context<'_>) -> Vec<(WantedLink, &'a Address)> {
    let links = context.own().map(crate::inventory::WantedNode::links).unwrap_or_default();
    let own =
        |link: &WantedLink| context.facts.addresses.iter().find(|own| is_same(&own.address, &link.address));
    links.into_iter().filter_map(|link| Some((own(&link)?, link))).map(|(own, link)| (link, own)).collect()
}

pub(super) fn link_interfaces(context: &Context<'_>) -> anyhow::Result<Finding> {
    let links = local(context);
    if links.is_empty() {
        return Finding::skipped("no link is on an address of this node");
    }
    let mut wrong = Vec::new();
    for (link, own) in &links {
        let word = match interface(context.node, &own.interface)? {
            InterfaceState::Up => continue,
            InterfaceState::Absent => "is not there",
            InterfaceState::Down => "is down",
            InterfaceState::NoCarrier => "has no carrier",
        };
        wrong.push(format!("{} of link {} {word}", own.interface, link.number));
    }
    let hint =
        "bring the interface up (\"ifup\", or plug its cable in), or correct the links in the inventory";
    if !wrong.is_empty() {
        return Finding::failed(wrong.join(", "), hint);
    }
    for (index, (link, own)) in links.iter().enumerate() {
        if let Some((other, _)) = links[..index].iter().find(|(_, other)| other.interface == own.interface) {
            let finding =
                format!("links {} and {} share interface {}", other.number, link.number, own.interface);
            return Finding::warned(
                finding,
                "put one of them on an interface and a network of its own, or leave the second link out: it falls with the first",
            );
        }
    }
    let names: Vec<String> =
        links.iter().map(|(link, own)| format!("link {} on {}", link.number, own.interface)).collect();
    Finding::passed(names.join(", "))
}

pub(super) fn link_addresses(context: &Context<'_>) -> anyhow::Result<Finding> {
    let links = local(context);
    if links.is_empty() {
        return Finding::skipped("no link is on an address of this node");
    }
    let mut wrong = Vec::new();
    for (link, own) in &links {
        let Some(network) = Network::of(&own.address, own.prefix) else { continue };
        for other in &context.facts.addresses {
            let is_same_address = is_same(&other.address, &own.address);
            if is_same_address && other.interface != own.interface {
                wrong.push(format!("{} of link {} is on {} too", own.address, link.number, other.interface));
            // Of IPv6 an interface has several by itself. Another link there is told by link-networks.
            } else if !is_same_address
                && network.contains(&other.address)
                && !other.address.contains(':')
                && !links.iter().any(|(_, of_link)| is_same(&of_link.address, &other.address))
            {
                wrong.push(format!(
                    "{} on {} is in {network} of link {} too",
                    other.address, other.interface, link.number
                ));
            }
        }
    }
    if wrong.is_empty() {
        return Finding::passed(format!("each of {} links has one address here", links.len()));
    }
    // PVE/QemuServer/StateFile.pm, `get_migration_ip`
    Finding::warned(
        wrong.join("; "),
        "leave one address of each link's network on the node: PVE migrates over no network in which a node has two",
    )
}

pub(super) fn link_networks(context: &Context<'_>) -> anyhow::Result<Finding> {
    let links = local(context);
    if links.is_empty() {
        return Finding::skipped("no link is on an address of this node");
    }
    let mut wrong = Vec::new();
    for (link, own) in &links {
        let Some(network) = Network::of(&own.address, own.prefix) else { continue };
        for peer in context.peers() {
            if let Some(theirs) =
                peer.addresses().get(&link.number).filter(|theirs| !network.contains(theirs))
            {
                wrong.push(format!("link {} of {} is {theirs}, not in {network}", link.number, peer.name));
            }
        }
        let twin = links
            .iter()
            .find(|(other, address)| other.number < link.number && network.contains(&address.address));
        if let Some((other, _)) = twin {
            wrong
                .push(format!("links {} and {} are in the one network {network}", other.number, link.number));
        }
    }
    if wrong.is_empty() {
        return Finding::passed("each link has one network of its own for all nodes");
    }
    Finding::warned(wrong.join("; "), "give each link one network of its own, without routers")
}

pub(super) fn link_mtu(context: &Context<'_>) -> anyhow::Result<Finding> {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (link, own) in local(context) {
        let Some(mtu) = own.mtu else { continue };
        for peer in context.peers() {
            let (Some(facts), Some(address)) = (peer.facts(), peer.addresses().remove(&link.number)) else {
                continue;
            };
            let theirs = facts.addresses.iter().find(|theirs| is_same(&theirs.address, &address));
            let Some(theirs) = theirs.and_then(|theirs| theirs.mtu) else { continue };
            count += 1;
            if theirs != mtu {
                wrong.push(format!("link {}: {mtu} here, {theirs} on {}", link.number, peer.name));
            }
        }
    }
    if count == 0 {
        return Finding::skipped("the other nodes' MTUs are not known");
    }
    if wrong.is_empty() {
        return Finding::passed("all nodes have the same MTU on each link");
    }
    Finding::failed(wrong.join("; "), "give the interfaces of one network the same MTU")
}

pub(super) fn bonds_suit(context: &Context<'_>) -> anyhow::Result<Finding> {
    let (mut wrong, mut bonds) = (Vec::new(), Vec::new());
    for (link, own) in local(context) {
        for bond in bonds_below(context, &own.interface, DEPTH)? {
            let file = |leaf: &str| -> anyhow::Result<String> {
                let text = context.node.read(&format!("/sys/class/net/{bond}/bonding/{leaf}"))?;
                Ok(text.unwrap_or_default().split_whitespace().next().unwrap_or_default().to_owned())
            };
            let mode = file("mode")?;
            if DISLIKED.contains(&mode.as_str()) {
                wrong.push(format!("link {} is on {bond} with mode {mode}", link.number));
            } else if mode == "802.3ad" && file("lacp_rate")? == "slow" {
                wrong.push(format!("link {} is on {bond} with the slow LACP rate", link.number));
            }
            bonds.push(bond);
        }
    }
    if bonds.is_empty() {
        return Finding::skipped("no link is on a bond");
    }
    if wrong.is_empty() {
        return Finding::passed(format!("{} suit corosync", bonds.join(", ")));
    }
    Finding::failed(
        wrong.join("; "),
        "use active-backup, or LACP with bond-lacp-rate fast on both ends, and a second link beside the bond",
    )
}

/// Bonds that an interface is, or is built upon: ports of a bridge, the device below a VLAN.
fn bonds_below(context: &Context<'_>, name: &str, depth: usize) -> anyhow::Result<Vec<String>> {
    let dir = format!("/sys/class/net/{name}");
    if context.node.exists(&format!("{dir}/bonding/mode")) {
        return Ok(vec![name.to_owned()]);
    }
    let mut below = context.node.list(&format!("{dir}/brif"))?;
    let lower = context.node.list(&dir)?;
    below.extend(lower.iter().filter_map(|entry| entry.strip_prefix("lower_").map(str::to_owned)));
    sort_short_by(&mut below, Ord::cmp);
    below.dedup();
    let mut found = Vec::new();
    for port in below.iter().filter(|_| depth > 0) {
        found.extend(bonds_below(context, port, depth - 1)?);
    }
    found.dedup();
    Ok(found)
}

pub(super) fn corosync_ports_free(context: &Context<'_>) -> anyhow::Result<Finding> {
    if context.purpose == Purpose::Member
        || context.facts.quorum.is_some()
        || context.facts.is_in_transition()
    {
        return Finding::skipped("corosync has them itself");
    }
    if crate::link_probe::unit::is_running(context.node) {
        return Finding::skipped("the responder of a link probe has them, and makes way for corosync");
    }
    let links = context.own().map(crate::inventory::WantedNode::links).unwrap_or_default();
    let wanted: Vec<u16> = links.iter().map(|link| FIRST_PORT + u16::from(link.number)).collect();
    let mut taken = Vec::new();
    for file in ["/proc/net/udp", "/proc/net/udp6"] {
        let text = context.node.read(file)?.unwrap_or_default();
        // `sl local_address …`, the address and port in hexadecimal (proc_net(5)).
        let local = text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
        let ports = local.filter_map(|address| u16::from_str_radix(address.rsplit(':').next()?, 16).ok());
        taken.extend(ports.filter(|port| wanted.contains(port)));
    }
    sort_short_by(&mut taken, Ord::cmp);
    taken.dedup();
    if taken.is_empty() {
        return Finding::passed(format!("{} free", numbers(&wanted)));
    }
    Finding::failed(
        format!("UDP {} taken on this node", numbers(&taken)),
        "see \"ss -ulpn\": stop what has them, corosync needs 5405 plus the link's number",
    )
}

pub(super) fn numbers(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}
