//! Checks of names, interfaces and reachability.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use super::{Context, Purpose};
use crate::network::{InterfaceState, interface, is_same};
use crate::verdict::Finding;
use crate::{Cmd, names};

/// More than a healthy network ever takes, and short enough for a whole cluster of dead peers.
const CONNECT: Duration = Duration::from_secs(3);
/// What sddc.pve.node_prepare installs.
const FIREWALL_UNIT: &str = "sddc-pve-firewall";

pub(super) fn node_name_matches(context: &Context<'_>) -> anyhow::Result<Finding> {
    let (node, wanted) = (&context.facts.node, &context.wanted.own);
    if context.wanted.nodes.is_empty() {
        return Finding::skipped("no nodes are named");
    }
    if node != wanted {
        return Finding::failed(
            format!("the host name is {node:?}, the inventory calls the node {wanted:?}"),
            "change either: a node's name cannot be changed once it is in a cluster",
        );
    }
    match context.own() {
        Some(_) => Finding::passed(format!("{node:?}")),
        None => Finding::failed(format!("node {node:?} is not among the wanted nodes"), "add it to them"),
    }
}

pub(super) fn own_name_resolves(context: &Context<'_>) -> anyhow::Result<Finding> {
    let (name, found) = (&context.facts.node, &context.facts.name_addresses);
    let address = context.own().map_or("ADDRESS", |own| own.address.as_str());
    let hint = format!("put \"{address} {name}\" into /etc/hosts and take the name out of 127.0.1.1's line");
    if found.is_empty() {
        return Finding::failed(format!("{name:?} does not resolve"), hint);
    }
    if let Some(loopback) = found.iter().find(|address| is_loopback(address)) {
        return Finding::failed(format!("{name:?} resolves to the loopback address {loopback}"), hint);
    }
    let is_own = |address: &&String| {
        let bare = address.split('%').next().unwrap_or_default();
        context.facts.addresses.iter().any(|own| is_same(&own.address, bare))
    };
    match found.iter().find(is_own) {
        Some(own) => Finding::passed(format!("{name:?} resolves to {own}")),
        None => Finding::failed(
            format!("{name:?} resolves to {}, which is no address of this node", found.join(", ")),
            hint,
        ),
    }
}

pub(super) fn names_resolve(context: &Context<'_>) -> anyhow::Result<Finding> {
    let nodes = &context.wanted.nodes;
    if nodes.is_empty() {
        return Finding::skipped("no nodes are named");
    }
    let answers: Vec<anyhow::Result<Option<String>>> = thread::scope(|scope| {
        let threads: Vec<_> = nodes
            .iter()
            .map(|node| scope.spawn(|| misresolution(context, &node.name, &node.address)))
            .collect();
        let defect = || anyhow::anyhow!("resolving panicked: please report it");
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(defect()))).collect()
    });
    let mut wrong = Vec::new();
    for answer in answers {
        wrong.extend(answer?);
    }
    if wrong.is_empty() {
        return Finding::passed(format!("{} names resolve", nodes.len()));
    }
    Finding::failed(wrong.join("; "), "put all nodes into /etc/hosts, as sddc.pve.node_prepare does")
}

fn misresolution(context: &Context<'_>, name: &str, address: &str) -> anyhow::Result<Option<String>> {
    let found = names::resolve(context.node, name, context.timeout)?;
    let wanted = match address.parse::<IpAddr>() {
        Ok(_) => vec![address.to_owned()],
        Err(_) => names::resolve(context.node, address, context.timeout)?,
    };
    Ok(if wanted.is_empty() {
        Some(format!("the address {address:?} of {name:?} does not resolve"))
    } else if found.is_empty() {
        Some(format!("{name:?} does not resolve"))
    } else if found.iter().any(|found| wanted.iter().any(|wanted| is_same(found, wanted))) {
        None
    } else {
        Some(format!("{name:?} resolves to {} instead of {}", found.join(", "), wanted.join(", ")))
    })
}

pub(super) fn bridge_up(context: &Context<'_>) -> anyhow::Result<Finding> {
    let bridges = &context.wanted.bridges;
    if bridges.is_empty() {
        return Finding::skipped("no bridges are asked for");
    }
    let mut wrong = Vec::new();
    for bridge in bridges {
        match interface(context.node, bridge)? {
            InterfaceState::Up => {}
            InterfaceState::Absent => wrong.push(format!("there is no {bridge}")),
            InterfaceState::Down => wrong.push(format!("{bridge} is down")),
            InterfaceState::NoCarrier => wrong.push(format!("{bridge} has no carrier on any port")),
        }
    }
    if wrong.is_empty() {
        return Finding::passed(format!("{} up", bridges.join(", ")));
    }
    Finding::failed(wrong.join(", "), "see /etc/network/interfaces, then ifreload -a")
}

pub(super) fn links_local(context: &Context<'_>) -> anyhow::Result<Finding> {
    let Some(own) = context.own() else {
        return Finding::skipped("this node is not among the wanted nodes");
    };
    let links = own.links();
    let is_foreign =
        |address: &str| !context.facts.addresses.iter().any(|own| is_same(&own.address, address));
    let foreign: Vec<String> = links
        .iter()
        .filter(|link| is_foreign(&link.address))
        .map(|link| format!("link {} is {}", link.number, link.address))
        .collect();
    if foreign.is_empty() {
        return Finding::passed(format!("{} links are on addresses of this node", links.len()));
    }
    let local: Vec<&str> = context.facts.addresses.iter().map(|own| own.address.as_str()).collect();
    Finding::failed(
        format!("{}: not on this node, which has {}", foreign.join(", "), local.join(", ")),
        "correct the links in the inventory, or configure the address: corosync would form a cluster that nobody \
         can reach",
    )
}

pub(super) fn firewall_open(context: &Context<'_>) -> anyhow::Result<Finding> {
    let unit = format!("{FIREWALL_UNIT}.service");
    let units = crate::services::query(context.node, &[FIREWALL_UNIT], context.timeout)?;
    let state = units.get(FIREWALL_UNIT).cloned().unwrap_or_default();
    let hint = "sddc.pve.node_prepare supplies it";
    if !state.is_installed() {
        return match context.is_asked_for("firewall-open") {
            true => Finding::failed(format!("{unit} is not installed"), hint),
            false => Finding::skipped(format!("{unit} is not installed: the firewall is somebody else's")),
        };
    }
    if !state.is_active() || !state.is_enabled() {
        return Finding::failed(format!("{unit} is {} and {}", state.active, state.enabled), hint);
    }
    let look = Cmd::new("iptables", ["-w", "-C", "INPUT", "-j", "SDDC-PVE"], context.timeout);
    match context.node.run(&look)?.is_success() {
        true => Finding::passed("the rules are in force"),
        false => {
            Finding::failed("chain INPUT does not lead to SDDC-PVE", format!("systemctl restart {unit}"))
        }
    }
}

pub(super) fn peer_ports_reachable(context: &Context<'_>) -> anyhow::Result<Finding> {
    let mut targets = Vec::new();
    for peer in context.peers() {
        let address = match peer.address.parse::<IpAddr>() {
            Ok(ip) => Some(ip),
            Err(_) => {
                let found = names::resolve(context.node, &peer.address, context.timeout)?;
                found.first().and_then(|address| address.parse().ok())
            }
        };
        let Some(ip) = address else {
            anyhow::bail!("the address {:?} of {:?} does not resolve", peer.address, peer.name)
        };
        targets
            .extend(context.wanted.ports.iter().map(|port| (peer.name.as_str(), SocketAddr::new(ip, *port))));
    }
    if targets.is_empty() {
        return Finding::skipped("no other node or no port to reach");
    }
    let limit = CONNECT.min(context.timeout);
    let failures: Vec<Option<String>> = thread::scope(|scope| {
        let threads: Vec<_> = targets
            .iter()
            .map(|(name, address)| {
                scope.spawn(move || {
                    let error = context.node.connect(*address, limit).err()?;
                    Some(format!("{name} {address}: {}", reason(&error, limit)))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Some("connecting panicked".into())))
            .collect()
    });
    let failures: Vec<String> = failures.into_iter().flatten().collect();
    if failures.is_empty() {
        return Finding::passed(format!("{} connections made", targets.len()));
    }
    let hint = match context.purpose {
        Purpose::Member => "is the node up, its service running, and the port open in firewalls between?",
        _ => "start the service there (ssh, pveproxy) or open the port in the firewalls between",
    };
    Finding::failed(failures.join("; "), hint)
}

fn reason(error: &std::io::Error, limit: Duration) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => {
            format!("no answer within {} s", limit.as_secs_f32())
        }
        _ => error.to_string().to_lowercase(),
    }
}

fn is_loopback(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
