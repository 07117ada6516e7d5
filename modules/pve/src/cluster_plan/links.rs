//! Links by network: which address of each node a link takes, where the inventory says the network and not the
//! addresses.

use std::collections::BTreeMap;

use super::{Request, refusal};
use crate::inventory::{WantedLink, WantedNode};
use crate::network::Network;
use crate::order::sort_short_by_key;

/// Gives each node its links; returns who has no address, or more than one, in a network.
pub(super) fn choose(request: &mut Request, decided: &mut super::Decided) {
    let networks = request.link_networks.clone();
    if networks.is_empty() {
        return;
    }
    for node in &mut request.nodes {
        match links_of(node, &networks) {
            Ok(links) => node.links = Some(links),
            Err(reason) => {
                decided.insert(node.name.clone(), refusal(reason));
            }
        }
    }
    // Nobody knows the addresses of a node that could not be looked at, but a member's configuration may.
    let listed: Vec<(String, BTreeMap<u8, String>)> = request
        .nodes
        .iter()
        .filter_map(|node| node.facts()?.cluster.as_ref())
        .filter(|cluster| cluster.name == request.cluster_name)
        .flat_map(|cluster| cluster.nodes.iter().map(|node| (node.name.clone(), node.links.clone())))
        .collect();
    for node in request.nodes.iter_mut().filter(|node| node.facts().is_none()) {
        if let Some((_, known)) = listed.iter().find(|(name, _)| *name == node.name) {
            let links = known.iter().map(|(number, address)| WantedLink {
                number: *number,
                address: address.clone(),
                priority: None,
            });
            node.links = Some(links.collect());
        }
    }
}

/// The nodes whose links are known: all, where the inventory gives the addresses.
pub(super) fn known(request: &Request) -> Vec<WantedNode> {
    let is_known = |node: &&WantedNode| {
        let links = node.addresses();
        request.link_networks.iter().all(|(number, _)| links.contains_key(number))
    };
    request.nodes.iter().filter(is_known).cloned().collect()
}

/// A link that the inventory gives an address stays as it is.
fn links_of(node: &WantedNode, networks: &[(u8, Network)]) -> Result<Vec<WantedLink>, String> {
    let mut links: Vec<WantedLink> = node.links.clone().unwrap_or_default();
    // Link 0 on the node's address is what is taken where nothing is said.
    links.retain(|link| {
        link.address != node.address || !networks.iter().any(|(number, _)| *number == link.number)
    });
    let Some(facts) = node.facts() else { return Ok(links) };
    for (number, network) in networks {
        if links.iter().any(|link| link.number == *number) {
            continue;
        }
        let own: Vec<&str> = facts
            .addresses
            .iter()
            .map(|own| own.address.as_str())
            .filter(|address| network.contains(address))
            .collect();
        match own.as_slice() {
            [address] => {
                links.push(WantedLink { number: *number, address: (*address).to_owned(), priority: None });
            }
            [] => {
                let all: Vec<&str> = facts.addresses.iter().map(|own| own.address.as_str()).collect();
                return Err(format!(
                    "it has no address in {network}, the network of link {number} (it has {}): configure one, or \
                     correct the network",
                    all.join(", ")
                ));
            }
            several => {
                return Err(format!(
                    "it has several addresses in {network}, the network of link {number}: {}: say which one",
                    several.join(", ")
                ));
            }
        }
    }
    sort_short_by_key(&mut links, |link| link.number);
    Ok(links)
}
