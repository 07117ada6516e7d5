//! Gathers the facts of a node from what is fast and stable: files of pmxcfs and corosync, certificates, and
//! six small programs run side by side. Never `pvesh` or `pvecm`, each of which costs a second or two of Perl.
//!
//! A node that is healthy, whether in a cluster or in none, gives facts without problems; what could not be
//! read on another one is named in `problems` and the rest is told all the same.

mod ha;
mod remnants;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use crate::cfgtool::{self, LinkStatus};
use crate::corosync_conf::CorosyncConf;
use crate::facts::{
    Certificate, ClusterConfig, ClusterNode, ClusterState, Link, LinkPeer, NodeFacts, Pmxcfs, Quorum,
    Service, UnendedOperation,
};
use crate::order::sort_short_by_key;
use crate::pmxcfs::{self, Members};
use crate::{
    Node, certificate, knet, names, network, operation, packages, quorumtool, reload, services, ssh_keys,
};

/// Where pmxcfs has the cluster's configuration.
pub const SHARED_CONF: &str = "/etc/pve/corosync.conf";
/// Where corosync reads it; pmxcfs copies it there.
pub const LOCAL_CONF: &str = "/etc/corosync/corosync.conf";
/// corosync's key.
pub const AUTHKEY: &str = "/etc/corosync/authkey";

/// What the six programs said.
struct Answers {
    addresses: anyhow::Result<Vec<crate::facts::Address>>,
    name_addresses: anyhow::Result<Vec<String>>,
    services: anyhow::Result<BTreeMap<String, Service>>,
    quorum: anyhow::Result<Option<quorumtool::QuorumStatus>>,
    links: anyhow::Result<Option<LinkStatus>>,
    config_versions: anyhow::Result<BTreeMap<u32, u64>>,
}

/// All facts of a node. `timeout` is for each program; one that needs it all is a problem of its own.
pub fn gather(node: &Node, timeout: Duration) -> NodeFacts {
    let mut facts = NodeFacts::default();
    let problems = &mut Vec::new();
    facts.hostname = keep(hostname(node), problems);
    facts.node = names::node_name(&facts.hostname).to_owned();

    let answers = ask(node, &facts.node, timeout);
    facts.addresses = keep(answers.addresses, problems);
    facts.name_addresses = keep(answers.name_addresses, problems);
    facts.services = keep(answers.services, problems);
    let status = keep(answers.quorum, problems);
    let qdevice_votes = status.as_ref().and_then(|status| status.qdevice_votes);
    let quorum = status.map(|status| status.quorum);
    let links = keep(answers.links, problems);
    let versions = keep(answers.config_versions, problems);

    facts.machine_id = keep(node.read("/etc/machine-id"), problems).map(|id| id.trim().to_owned());
    facts.version = keep(packages::pve_version(node), problems);
    facts.host_keys = keep(ssh_keys::host_keys(node), problems);
    read_pmxcfs(node, &mut facts, problems);
    let conf = keep(configuration(node, facts.pmxcfs.mounted), problems);
    facts.links = links.map(|links| complete(links, &facts.node, conf.as_ref())).unwrap_or_default();
    facts.cluster =
        conf.map(|conf| ClusterConfig { qdevice_votes, ..cluster(&conf, quorum.as_ref(), &versions) });
    facts.quorum = quorum;
    facts.ha = keep(ha::read(node, &facts.node), problems);
    facts.operation = keep(operation(node), problems);
    facts.remnants = keep(remnants::find(node, &facts), problems);
    facts.state = state(&facts);
    facts.problems = std::mem::take(problems);
    facts
}

/// Whether losing quorum would fence this node.
pub fn is_ha_active(node: &Node, name: &str) -> anyhow::Result<bool> {
    ha::read(node, name).map(|ha| ha.active)
}

/// Adds to the links what knet measured of each, which costs one more program.
pub fn add_latencies(node: &Node, facts: &mut NodeFacts, timeout: Duration) {
    let measured = keep(knet::query(node, timeout), &mut facts.problems);
    for link in &mut facts.links {
        for peer in link.peers.iter_mut().filter(|peer| peer.connected) {
            let is_it = |path: &&knet::Latency| (path.nodeid, path.link) == (peer.nodeid, link.number);
            peer.latency = measured.iter().find(is_it).map(|path| path.microseconds);
        }
    }
}

/// Runs the programs side by side: together they take as long as the slowest, not as their sum.
fn ask(node: &Node, name: &str, timeout: Duration) -> Answers {
    thread::scope(|scope| {
        let addresses = scope.spawn(|| network::addresses(node, timeout));
        let name_addresses = scope.spawn(|| names::resolve(node, name, timeout));
        let quorum = scope.spawn(|| quorumtool::query(node, timeout));
        let links = scope.spawn(|| cfgtool::query(node, timeout));
        let config_versions = scope.spawn(|| reload::config_versions(node, timeout));
        let services = services::query(node, &services::UNITS, timeout);
        Answers {
            addresses: joined(addresses),
            name_addresses: joined(name_addresses),
            services,
            quorum: joined(quorum),
            links: joined(links),
            config_versions: joined(config_versions),
        }
    })
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, anyhow::Result<T>>) -> anyhow::Result<T> {
    thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a reading thread panicked: please report it")))
}

/// The value, or its default and a problem.
fn keep<T: Default>(result: anyhow::Result<T>, problems: &mut Vec<String>) -> T {
    result.unwrap_or_else(|error| {
        problems.push(format!("{error:#}"));
        T::default()
    })
}

fn hostname(node: &Node) -> anyhow::Result<String> {
    let name = node.read("/proc/sys/kernel/hostname")?.unwrap_or_default().trim().to_owned();
    anyhow::ensure!(!name.is_empty(), "the node has no host name: see /proc/sys/kernel/hostname");
    Ok(name)
}

fn read_pmxcfs(node: &Node, facts: &mut NodeFacts, problems: &mut Vec<String>) {
    let members = keep(node.read("/etc/pve/.members"), problems);
    let mounted = members.is_some();
    let members = members.map(|text| keep(Members::parse(&text), problems)).unwrap_or_default();
    facts.pmxcfs = Pmxcfs { mounted, quorate: members.is_quorate(), online: members.online() };
    let guests = keep(node.read("/etc/pve/.vmlist"), problems);
    facts.guests =
        guests.map(|text| keep(pmxcfs::parse_guests(&text, &facts.node), problems)).unwrap_or_default();

    let own = format!("/etc/pve/nodes/{}", facts.node);
    // pveproxy serves its own certificate where the administrator gave one (PVE/Service/pveproxy.pm).
    for (dir, file) in
        [(own.as_str(), "pveproxy-ssl.pem"), (&own, "pve-ssl.pem"), ("/etc/pve", "pve-root-ca.pem")]
    {
        facts.certificates.extend(keep(read_certificate(node, dir, file), problems));
    }
    let fingerprint = |file: &str| {
        let found = facts.certificates.iter().find(|certificate| certificate.file == file)?;
        Some(found.fingerprint.clone())
    };
    facts.fingerprint = fingerprint("pveproxy-ssl.pem").or_else(|| fingerprint("pve-ssl.pem"));
    facts.ca_fingerprint = fingerprint("pve-root-ca.pem");
}

fn read_certificate(node: &Node, dir: &str, file: &str) -> anyhow::Result<Option<Certificate>> {
    use anyhow::Context;
    let path = format!("{dir}/{file}");
    let Some(pem) = node.read(&path)? else { return Ok(None) };
    let der = certificate::first_of_pem(&pem).with_context(|| format!("cannot read {path:?}"))?;
    let (fingerprint, ends) = (certificate::fingerprint_of_der(&der), certificate::end_of_der(&der));
    Ok(Some(Certificate { file: file.to_owned(), fingerprint, ends }))
}

fn operation(node: &Node) -> anyhow::Result<Option<UnendedOperation>> {
    let journal = operation::unended(node)?;
    Ok(journal.map(|journal| UnendedOperation {
        kind: journal.kind.word().to_owned(),
        id: journal.id,
        target: journal.target,
    }))
}

/// The cluster's configuration: that of pmxcfs; corosync's own only where pmxcfs does not run, since beside a
/// running one it is a remnant.
fn configuration(node: &Node, is_mounted: bool) -> anyhow::Result<Option<CorosyncConf>> {
    use anyhow::Context;
    let path = if is_mounted { SHARED_CONF } else { LOCAL_CONF };
    if !is_mounted && !node.exists(AUTHKEY) {
        return Ok(None);
    }
    let text = node.read(path)?;
    text.map(|text| CorosyncConf::parse(&text).with_context(|| format!("cannot read {path:?}"))).transpose()
}

fn cluster(conf: &CorosyncConf, quorum: Option<&Quorum>, versions: &BTreeMap<u32, u64>) -> ClusterConfig {
    let text = conf.render();
    let nodes = conf.nodes().into_iter().map(|node| ClusterNode {
        online: quorum.map(|quorum| quorum.members.contains(&node.nodeid)),
        config_version: versions.get(&node.nodeid).copied(),
        name: node.name,
        nodeid: node.nodeid,
        votes: node.votes,
        links: node.links,
    });
    ClusterConfig {
        name: conf.cluster_name().unwrap_or_default().to_owned(),
        config_version: conf.config_version().unwrap_or(0),
        digest: certificate::digest(text.as_bytes()),
        nodes: nodes.collect(),
        qdevice: conf.has_qdevice(),
        qdevice_host: conf.qdevice_host().map(str::to_owned),
        qdevice_votes: None,
        text,
    }
}

/// Links as corosync tells them, completed from the configuration: on a single node it tells of link 0 only,
/// and old versions name no peers.
fn complete(status: LinkStatus, own: &str, conf: Option<&CorosyncConf>) -> Vec<Link> {
    let mut links = status.links;
    let Some(conf) = conf else { return links };
    for (number, address) in conf.node(own).map(|node| node.links).unwrap_or_default() {
        if !links.iter().any(|link| link.number == number) {
            links.push(Link { number, address, peers: Vec::new() });
        }
    }
    sort_short_by_key(&mut links, |link| link.number);
    for link in links.iter_mut().filter(|link| link.peers.is_empty()) {
        let verdict = status.verdicts.iter().find(|(number, _)| *number == link.number);
        if let Some((_, connected)) = verdict {
            let word = if *connected { "connected" } else { "disconnected" };
            let others = conf.nodes().into_iter().filter(|node| node.name != own);
            link.peers = others
                .map(|node| LinkPeer {
                    nodeid: node.nodeid,
                    connected: *connected,
                    status: word.to_owned(),
                    latency: None,
                })
                .collect();
        }
    }
    links
}

fn state(facts: &NodeFacts) -> ClusterState {
    let is_quorate = facts.quorum.as_ref().is_some_and(|quorum| quorum.quorate);
    let is_separated = facts.remnants.iter().any(|remnant| remnant.id == "pmxcfs-corosync-conf");
    match &facts.cluster {
        _ if facts.version.is_none() => ClusterState::NotInstalled,
        Some(_) if is_separated => ClusterState::Remnants,
        Some(_) if is_quorate && facts.pmxcfs.quorate == Some(true) => ClusterState::Member,
        Some(_) => ClusterState::NoQuorum,
        None if facts.remnants.is_empty() => ClusterState::Standalone,
        None => ClusterState::Remnants,
    }
}

#[cfg(test)]
mod tests;
