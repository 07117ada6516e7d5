//! What a member is trusted by at present. Reads only.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::{Api, KnownHosts, Request, Sight};
use crate::corosync_conf::ConfNode;
use crate::credential::authorized_keys;
use crate::facts::NodeFacts;
use crate::https::api;
use crate::inventory::WantedNode;
use crate::known_hosts::{self, Identity};
use crate::node_certificate::FaultKind;
use crate::sshd::AUTHORIZED_KEYS;
use crate::validate::keys_of_former_nodes;
use crate::{Deadline, Node, names, node_certificate, observe, packages, quorumtool, ssh_keys};

const TOOL_TIMEOUT: Duration = Duration::from_secs(10);
/// For some seconds after a reload, workers from before it go on with the old certificate.
const API_PATIENCE: Duration = Duration::from_secs(15);
const ROOT_KEY: &str = "/root/.ssh/id_rsa.pub";

/// Looks at this node. An error where it is no quorate member of that cluster: nothing in /etc/pve could be mended.
pub fn look(node: &Node, request: &Request, deadline: Deadline) -> anyhow::Result<Sight> {
    let mut sight = look_at_files(node, request)?;
    match &sight.certificate.fault {
        Some(fault) => {
            let days = if fault.kind == FaultKind::EndsSoon { request.renew_days } else { 0 };
            sight.authority_fault = node_certificate::authority_fault(node, days, TOOL_TIMEOUT)?;
        }
        None => sight.api = served(node, deadline),
    }
    Ok(sight)
}

/// The same without the authority and the API.
pub(super) fn look_at_files(node: &Node, request: &Request) -> anyhow::Result<Sight> {
    let own = observe::own_name(node)?;
    let members = members(node, &own, &request.cluster_name)?;
    let (identities, unverified) = identities(node, request, &own, &members)?;
    let (key_faults, key_notes) = root_keys(node, &own, &members, &identities)?;
    let certificate = node_certificate::look(node, &own, request.renew_days, TOOL_TIMEOUT)?;
    let files = known_hosts_files(node, &members)?;
    Ok(Sight {
        own,
        identities,
        unverified,
        files,
        key_faults,
        key_notes,
        certificate,
        authority_fault: None,
        api: Api::Right,
    })
}

fn members(node: &Node, own: &str, cluster: &str) -> anyhow::Result<Vec<ConfNode>> {
    let conf = observe::shared_conf(node)?
        .with_context(|| format!("node {own:?} is in no cluster: run this on the members of {cluster:?}"))?;
    let name = conf.cluster_name().unwrap_or_default();
    ensure!(
        name == cluster,
        "node {own:?} is in cluster {name:?}, not {cluster:?}: run this on members of that one"
    );
    let votes = quorumtool::query(node, TOOL_TIMEOUT)?.unwrap_or_default().quorum;
    ensure!(
        votes.quorate && observe::is_pmxcfs_quorate(node)?,
        "cluster {cluster:?} has no quorum on {own:?} ({} of {} votes), so nothing in /etc/pve can be mended: bring its \
         nodes up first",
        votes.total_votes,
        votes.expected_votes
    );
    Ok(conf.nodes())
}

/// The members by name, address and host keys: this one as it is, others as the caller knows them.
fn identities(
    node: &Node,
    request: &Request,
    own: &str,
    members: &[ConfNode],
) -> anyhow::Result<(Vec<Identity>, Vec<String>)> {
    let (mut known, mut unverified) = (Vec::new(), Vec::new());
    let own_facts = own_facts(node)?;
    for member in members {
        let told = request.nodes.iter().find(|wanted| wanted.name == member.name);
        let facts = if member.name == own { Some(&own_facts) } else { told.and_then(WantedNode::facts) };
        let Some(facts) = facts.filter(|facts| !facts.host_keys.is_empty()) else {
            unverified.push(member.name.clone());
            continue;
        };
        ensure!(
            member.name == own || facts.node == member.name,
            "the facts given for node {:?} are those of {:?}: pass each node its own",
            member.name,
            facts.node
        );
        let mut identity = match told {
            Some(told) => Identity::of(told, facts),
            None => Identity::of(&WantedNode { name: member.name.clone(), ..WantedNode::default() }, facts),
        };
        member.links.values().for_each(|address| identity.add_name(address));
        known.push(identity);
    }
    Ok((known, unverified))
}

fn own_facts(node: &Node) -> anyhow::Result<NodeFacts> {
    let hostname = node.read("/proc/sys/kernel/hostname")?.unwrap_or_default().trim().to_owned();
    let own = names::node_name(&hostname).to_owned();
    let name_addresses = names::resolve(node, &own, TOOL_TIMEOUT)?;
    Ok(NodeFacts {
        node: own,
        hostname,
        name_addresses,
        host_keys: ssh_keys::host_keys(node)?,
        ..NodeFacts::default()
    })
}

fn known_hosts_files(node: &Node, members: &[ConfNode]) -> anyhow::Result<Vec<KnownHosts>> {
    let published = members.iter().map(|member| published(&member.name));
    let mut files = Vec::new();
    for path in known_hosts::FILES.map(str::to_owned).into_iter().chain(published) {
        let link = link_target(node, &path);
        if link.as_deref() == Some(known_hosts::CLUSTER) {
            continue;
        }
        if let Some(content) = node.read_bytes(&path)? {
            files.push(KnownHosts { path, content, link });
        }
    }
    Ok(files)
}

/// Where PVE keeps a node's host key for the other nodes.
fn published(name: &str) -> String {
    format!("/etc/pve/nodes/{name}/ssh_known_hosts")
}

fn link_target(node: &Node, path: &str) -> Option<String> {
    std::fs::read_link(node.path(path)).ok().map(|target| target.to_string_lossy().into_owned())
}

/// What PVE's own set-up (PVE/Cluster/Setup.pm, `updatecerts_and_ssh`) would mend, and what nobody should mend unasked.
fn root_keys(
    node: &Node,
    own: &str,
    members: &[ConfNode],
    identities: &[Identity],
) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let (mut faults, mut notes) = (Vec::new(), Vec::new());
    let shared = authorized_keys::PATH;
    match link_target(node, AUTHORIZED_KEYS) {
        Some(target) if target == shared => {}
        Some(target) => notes.push(format!(
            "{AUTHORIZED_KEYS} is a link to {target}, not to {shared}: other nodes' keys don't let in here; remove it and \
             run this again"
        )),
        None if node.exists(AUTHORIZED_KEYS) => {
            faults.push(format!("{AUTHORIZED_KEYS} is a file of its own, not a link to {shared}"));
        }
        None => faults.push(format!("{AUTHORIZED_KEYS} is missing, a link to {shared}")),
    }
    let authorized = node.read(shared)?.unwrap_or_default();
    let key_of =
        |line: &str| line.split_whitespace().find(|word| word.starts_with("AAAA")).map(str::to_owned);
    match node.read(ROOT_KEY)?.as_deref().and_then(key_of) {
        None => faults.push(format!("root has no key {ROOT_KEY} for the other nodes")),
        Some(key) => {
            let mut lines = authorized.lines().filter(|line| !line.starts_with('#'));
            if !lines.clone().any(|line| key_of(line).as_ref() == Some(&key)) {
                faults.push(format!("root's key of {own} is not in {shared}"));
            }
            let comment = format!("root@{own}");
            let is_own = |line: &str| line.split_whitespace().last() == Some(&comment);
            if lines.any(|line| is_own(line) && key_of(line).as_ref() != Some(&key)) {
                notes.push(format!(
                    "{shared} has another key of {comment}, as of an earlier installation: whoever has it is root on \
                     every member; remove it"
                ));
            }
        }
    }
    let names = members.iter().map(|member| member.name.as_str()).collect();
    notes.extend(keys_of_former_nodes(&authorized, &names).into_iter().map(|comment| {
        format!("{shared} has a key of {comment}, a node that the cluster does not list: remove it")
    }));
    faults.extend(unpublished(node, own, identities)?);
    Ok((faults, notes))
}

/// The own host key is not where the other nodes look for it. Before PVE 9 the file may be unknown to the node.
fn unpublished(node: &Node, own: &str, identities: &[Identity]) -> anyhow::Result<Option<String>> {
    let path = published(own);
    let Some(identity) = identities.iter().find(|identity| identity.node == own) else { return Ok(None) };
    let Some(content) = node.read(&path)? else {
        let version =
            packages::pve_version(node)?.and_then(|version| version.pve_cluster).unwrap_or_default();
        let major = version.split('.').next().and_then(|number| number.parse::<u32>().ok());
        return Ok((major >= Some(9)).then(|| format!("{path} is missing")));
    };
    // A wrong key is replaced where it stands.
    let is_there = content.split_whitespace().next() == Some(own)
        && identity.keys.iter().any(|key| content.split_whitespace().nth(1) == Some(&key.algorithm));
    Ok((!is_there).then(|| format!("{path} has no host key of this node")))
}

/// What the API shows, once a reload shortly before is over.
fn served(node: &Node, deadline: Deadline) -> Api {
    let shown = || -> anyhow::Result<Api> {
        let address = observe::own_address(node)?;
        if observe::wait_for_api(node, address, deadline.within(node, API_PATIENCE)).is_ok() {
            return Ok(Api::Right);
        }
        let expected = observe::own_certificate(node)?.context("this node has no certificate in /etc/pve")?;
        let shown = api::served_certificate(node, address, TOOL_TIMEOUT)?;
        Ok(if shown == expected { Api::Right } else { Api::Other(shown.to_string()) })
    };
    shown()
        .unwrap_or_else(|error| Api::Silent(format!("the API's certificate can't be looked at: {error:#}")))
}
