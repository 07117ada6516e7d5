//! Whether this node may join, on plain facts and on the material: everything that PVE would notice too late or
//! not at all. Nothing here changes anything.

use std::net::IpAddr;

use anyhow::{Context, bail, ensure};

use crate::admission::{self, Newcomer, Standing};
use crate::corosync_conf::CorosyncConf;
use crate::facts::NodeFacts;
use crate::https::api::PeerCluster;
use crate::network;
use crate::observe::{self, LinkAddress};
use crate::seal::Material;

/// Every reason why this node can't join a cluster or be made into one; empty when it may.
/// `ignores_guests`: the first node of a cluster keeps its guests.
pub fn node_faults(facts: &NodeFacts, links: &[LinkAddress], ignores_guests: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let name = &facts.node;
    if facts.version.is_none() {
        faults.push("Proxmox VE is not installed on this node".to_owned());
    }
    if !facts.pmxcfs.mounted {
        faults.push("/etc/pve is not mounted: see \"systemctl status pve-cluster\"".to_owned());
    }
    if !facts.guests.is_empty() && !ignores_guests {
        let ids: Vec<String> = facts.guests.iter().map(|guest| guest.vmid.to_string()).collect();
        faults.push(format!(
            "this node has guests ({}), whose configuration a join would replace by the cluster's: move them away or \
             back them up and remove them",
            ids.join(", ")
        ));
    }
    for remnant in facts.remnants.iter().filter(|remnant| remnant.id != "unfinished-operation") {
        faults.push(format!(
            "{} is left of an earlier cluster: {}; separate the node as pvecm's manual says",
            remnant.path, remnant.detail
        ));
    }
    if facts.quorum.is_some() && facts.cluster.is_none() {
        faults.push("corosync is running on this node though it is in no cluster: stop it".to_owned());
    }
    faults.extend(link_faults(facts, links));
    let is_own =
        |address: &&String| facts.addresses.iter().any(|own| network::is_same(&own.address, address));
    let usable = facts.name_addresses.iter().find(is_own);
    if usable.is_none() || facts.name_addresses.iter().any(|address| is_loopback(address)) {
        faults.push(format!(
            "the node's own name {name:?} resolves to [{}], not to an address of this node only: correct /etc/hosts \
             (no 127.0.1.1)",
            facts.name_addresses.join(", ")
        ));
    }
    faults
}

/// What is wrong with the links themselves: each address is on an interface of this node, each used once.
pub fn link_faults(facts: &NodeFacts, links: &[LinkAddress]) -> Vec<String> {
    let mut faults = Vec::new();
    if links.is_empty() {
        faults.push("no link is given: name at least link 0 with an address of this node".to_owned());
    }
    for (index, link) in links.iter().enumerate() {
        let number = link.number;
        if number > crate::corosync_conf::MAX_LINK {
            faults.push(format!(
                "link {number} does not exist: links are 0 to {}",
                crate::corosync_conf::MAX_LINK
            ));
        }
        if !facts.addresses.iter().any(|own| network::is_same(&own.address, &link.address)) {
            faults.push(format!(
                "address {} of link {number} is on no interface of this node: its addresses are {}",
                link.address,
                facts.addresses.iter().map(|own| own.address.as_str()).collect::<Vec<_>>().join(", ")
            ));
        }
        let is_used = |other: &LinkAddress| network::is_same(&other.address, &link.address);
        if links[..index].iter().any(|other| other.number == number) {
            faults.push(format!("link {number} is given twice"));
        } else if links[..index].iter().any(is_used) {
            faults.push(format!("address {} is given to two links", link.address));
        }
    }
    faults
}

/// What speaks against the material for this node.
pub fn material_faults(material: &Material, cluster_name: &str, links: &[LinkAddress]) -> anyhow::Result<()> {
    let conf = CorosyncConf::parse(&material.corosync_conf).context("corosync.conf in the join material")?;
    ensure!(
        material.cluster_name == cluster_name && conf.cluster_name() == Some(cluster_name),
        "the join material is of cluster {:?}, not {cluster_name:?}: ask a member of the right cluster",
        material.cluster_name
    );
    let findings = conf.findings();
    ensure!(
        findings.is_empty(),
        "corosync would refuse the cluster's configuration: {}",
        findings.join("; ")
    );
    let listed = conf.node(&material.node).with_context(|| {
        format!("the join material does not list node {:?}: ask pve_cluster_member again", material.node)
    })?;
    let wanted = observe::by_number(links);
    ensure!(
        listed.links == wanted,
        "the cluster lists this node with links {:?}, and {wanted:?} are given: take it off the list with \
         pve_cluster_member state=absent, or correct the links",
        listed.links
    );
    Ok(())
}

/// What speaks against joining the cluster that a peer's API shows.
pub fn peer_faults(
    peer: IpAddr,
    cluster: Option<&PeerCluster>,
    cluster_name: &str,
    newcomer: &Newcomer,
) -> anyhow::Result<()> {
    let Some(cluster) = cluster else {
        bail!("peer {peer} is in no cluster: create {cluster_name:?} there first, or name a member of it");
    };
    ensure!(
        cluster.name == cluster_name,
        "peer {peer} is in cluster {:?}, not {cluster_name:?}: name a member of the right one",
        cluster.name
    );
    ensure!(
        !cluster.is_ha_active,
        "high availability is active on peer {peer}, and admitting its second node takes quorum away until that node \
         is up: the peer could fence itself; stop the HA resources first"
    );
    let standing = Standing {
        nodes: cluster.nodes.clone(),
        online: cluster.online.iter().cloned().collect(),
        is_quorate: cluster.is_quorate,
        has_qdevice: false,
    };
    let decision = admission::decide(&standing, std::slice::from_ref(newcomer))
        .map_err(|faults| anyhow::anyhow!(faults.join("; ")))?;
    ensure!(
        decision.admit.len() == 1,
        "node {:?} is listed in {cluster_name:?} already, and this node knows nothing of it: if it is a half member, \
         take it off the list with pve_cluster_member state=absent",
        newcomer.name
    );
    Ok(())
}

fn is_loopback(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
