//! What speaks against a quorum device, and against its removal, each by a stable id.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use super::{PORT, Request, Sight, UNIT, address};
use crate::Node;
use crate::corosync_conf::ConfNode;
use crate::network::is_same;
use crate::sentence::fill;

/// Every reason against adding the device, or against what is left to do on this member.
pub fn against_setup(node: &Node, sight: &Sight, request: &Request) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    let nodes = sight.conf.nodes();
    let host = request.host.as_str();
    let mut tell = |is_so, text, values: &[&str]| tell(&mut faults, is_so, text, values);
    tell(
        !sight.daemon.is_installed(),
        "[not-installed] $0 is not installed on this node: apt-get install $0",
        &[UNIT],
    );
    match sight.conf.qdevice_host() {
        Some(other) => tell(
            other != host,
            "[other-device] the cluster has a quorum device at $0: remove it first (qdevice.yml with \
             pve_qdevice_state=absent)",
            &[other],
        ),
        None => {
            tell(
                sight.conf.qdevice_votes() > 0,
                "[other-device] the cluster has a quorum device of another model: remove it first",
                &[],
            );
            let (count, votes) = (nodes.len(), sight.conf.expected_votes());
            tell(
                count % 2 == 1 || votes % 2 == 1,
                "[odd-votes] the cluster has $0 nodes with $1 votes: only an even number is served well; with an odd one the \
                 device would have to cast all votes but one, and the cluster would hang on it more than on any node \
                 (pvecm(1), \"QDevice\"): let a node join or leave",
                &[&count.to_string(), &votes.to_string()],
            );
        }
    }
    let offline = offline(sight);
    tell(
        !offline.is_empty(),
        "[nodes-offline] $0 not online, and would come back with an older corosync.conf: bring all nodes up first",
        &[&offline.join(", ")],
    );
    tell(
        !sight.status.quorum.quorate,
        "[no-quorum] the cluster has no quorum: bring its nodes up first",
        &[],
    );
    let address = address(request)?;
    let is_own = |node: &ConfNode| node.links.values().any(|own| is_same(own, host));
    tell(
        nodes.iter().any(is_own),
        "[host-is-member] $0 is an address of a member: what is to decide when members fail must be apart from them",
        &[host],
    );
    if let Err(error) = node.connect(SocketAddr::new(address, PORT), Duration::from_secs(5)) {
        // Before QNetd was told to serve, a host that says no is one that is there.
        let is_to_come = request.authority.is_none() && error.kind() == ErrorKind::ConnectionRefused;
        tell(
            !is_to_come,
            "[qnetd-unreachable] nothing answers at $0, port $1/tcp, from this node ($2): see that the address is right, and \
             what firewalls let through",
            &[host, &PORT.to_string(), &error.to_string()],
        );
    }
    Ok(faults)
}

#[inline(never)]
fn tell(faults: &mut Vec<String>, is_so: bool, text: &str, values: &[&str]) {
    if is_so {
        faults.push(fill(text, values));
    }
}

/// Every reason against taking the device away.
pub fn against_removal(sight: &Sight) -> Vec<String> {
    if sight.conf.qdevice_votes() == 0 {
        return Vec::new();
    }
    let mut faults = Vec::new();
    let nodes = sight.conf.nodes();
    let is_online = |node: &&ConfNode| sight.status.quorum.members.contains(&node.nodeid);
    let online: u32 = nodes.iter().filter(is_online).map(|node| node.votes).sum();
    let (expected, needed) = (sight.conf.expected_votes(), sight.conf.expected_votes() / 2 + 1);
    if online < needed {
        faults.push(fill(
            "[quorum-forecast] without the device $0 of $1 votes would be left and $2 are needed, so /etc/pve could not be \
             written any more: bring the other members up first ($3)",
            &[&online.to_string(), &expected.to_string(), &needed.to_string(), &offline(sight).join(", ")],
        ));
    }
    if sight.is_ha_active {
        faults.push(
            "[ha-active] high availability is active on this node, and without the device the next node that fails may take \
             quorum with it and have this one fenced: remove its resources (ha-manager remove) and wait until the LRM is idle"
                .to_owned(),
        );
    }
    faults
}

/// Listed nodes that are not members now.
pub fn offline(sight: &Sight) -> Vec<String> {
    let mut names = Vec::new();
    for node in sight.conf.nodes() {
        if !sight.status.quorum.members.contains(&node.nodeid) {
            names.push(node.name);
        }
    }
    names
}
