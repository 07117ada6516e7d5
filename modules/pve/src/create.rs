//! Makes a cluster of this one node. `pvecm create` exits 0 on several failures, so what counts is what
//! corosync, pmxcfs and the API show afterwards; if they don't, the node is separated again as documented.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::gather::{AUTHKEY, LOCAL_CONF, SHARED_CONF};
use crate::observe::{self, LinkAddress, View};
use crate::operation::Run;
use crate::separation::separate;
use crate::snapshot::{self, Snapshot};
use crate::{Cmd, Node, sshd};

/// The longest cluster name PVE takes.
pub const NAME_LENGTH: usize = 15;
/// What `pvecm create` changes outside /etc/pve (`PVE/Cluster/Setup.pm`).
const TOUCHED: [&str; 8] = [
    "/etc/corosync",
    "/etc/ssh/sshd_config",
    sshd::DROP_IN,
    "/etc/ssh/ssh_known_hosts",
    "/etc/cron.d/vzdump",
    "/root/etc_cron_vzdump.org",
    "/var/lib/corosync",
    "/root/.ssh",
];
/// How long a corosync that runs may take to be quorate with itself.
const SETTLING: Duration = Duration::from_secs(10);

/// The cluster that is wanted.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Request {
    /// Cluster name.
    pub cluster_name: String,
    /// This node's name.
    pub node: String,
    /// Its links.
    pub links: Vec<LinkAddress>,
    /// Its node id.
    pub nodeid: u32,
    /// Its votes.
    pub votes: u32,
    /// Milliseconds by which each node beyond the second lengthens the token's time-out.
    pub token_coefficient: Option<u32>,
}

impl Request {
    /// What the operation is about.
    pub fn target(&self) -> String {
        format!("cluster {:?} on {}", self.cluster_name, self.node)
    }

    fn command(&self) -> Vec<String> {
        let mut args = vec!["create".to_owned(), self.cluster_name.clone()];
        for link in &self.links {
            args.push(format!("--link{}", link.number));
            args.push(link_value(link));
        }
        let mut option = |name: &str, value: u32| args.extend([name.to_owned(), value.to_string()]);
        option("--nodeid", self.nodeid);
        option("--votes", self.votes);
        if let Some(coefficient) = self.token_coefficient {
            option("--token-coefficient", coefficient);
        }
        args
    }
}

/// A link as PVE's tools take it.
pub fn link_value(link: &LinkAddress) -> String {
    match link.priority {
        Some(priority) => format!("{},priority={priority}", link.address),
        None => link.address.clone(),
    }
}

/// Why a name is none for a cluster: PVE wants 1 to 15 characters of node-name syntax.
pub fn name_fault(name: &str) -> Option<String> {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let (first, last) = (name.bytes().next(), name.bytes().next_back());
    let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let fault = match name.len() {
        0 => "it is empty".to_owned(),
        length if length > NAME_LENGTH => format!("it has {length} characters"),
        _ if !name.bytes().all(is_inner) => "it holds other characters".to_owned(),
        _ if !is_edge(first) || !is_edge(last) => "it begins or ends with a hyphen".to_owned(),
        _ => return None,
    };
    Some(format!(
        "cluster name {name:?} can't be used: {fault}; PVE takes 1 to {NAME_LENGTH} letters, digits and hyphens, \
         and never changes it later"
    ))
}

/// Makes the cluster.
pub fn run(run: &mut Run<'_>, request: &Request) -> anyhow::Result<Value> {
    run.step("take a snapshot", |run| {
        let id = run.id().to_owned();
        // Known before it is there, so that it goes whenever this is cut off.
        run.mark("snapshot", &id)?;
        Snapshot::begin(run.node, &id)?.take(&TOUCHED)?;
        run.mark("had_known_hosts", if run.node.exists(KNOWN_HOSTS) { "yes" } else { "no" })?;
        Ok(((), format!("{} paths", TOUCHED.len())))
    })?;
    run.step("keep root's keys on this node", |run| Ok(((), sshd::keep_own_keys(run.node)?)))?;
    run.step("pvecm create", |run| {
        run.mark("began", &request.cluster_name)?;
        let cmd = Cmd::new("pvecm", request.command(), run.deadline.left(run.node));
        let output = run.node.run(&cmd)?;
        // Exit 0 proves nothing; another one, or no configuration, is at least a reason.
        ensure!(
            run.node.exists(SHARED_CONF) || run.node.exists(LOCAL_CONF),
            "pvecm create made no configuration: {}",
            output.tail()
        );
        Ok(((), output.tail().replace('\n', " | ")))
    })?;
    run.step("wait for corosync", |run| {
        observe::wait_until_votes_suffice(run.node, run.deadline)?;
        // PVE starts pmxcfs before corosync (the units' order). One that found no corosync looks again only seconds
        // later (pmxcfs: loop.c); started anew it finds it at once.
        if observe::is_pmxcfs_quorate(run.node)? {
            return Ok(((), "quorate, and so is pmxcfs".to_owned()));
        }
        observe::systemctl(run.node, &["restart", "pve-cluster"], run.deadline.left(run.node))?;
        Ok(((), "quorate; pve-cluster was restarted".to_owned()))
    })?;
    let view = run.step("wait for quorum", |run| {
        let view = observe::wait_until_quorate(run.node, &request.cluster_name, &[], run.deadline)?;
        observe::wait_until_writable(run.node, run.deadline)?;
        check_configuration(run.node, request)?;
        Ok((view, "quorate, /etc/pve is writable".to_owned()))
    })?;
    conclude(run, &view, &request.node)
}

fn conclude(run: &mut Run<'_>, view: &View, name: &str) -> anyhow::Result<Value> {
    let fingerprint = run.step("wait for the API", |run| {
        let address = observe::own_address(run.node)?;
        let fingerprint = observe::wait_for_api(run.node, address, run.deadline)?;
        Ok((fingerprint, format!("serves {fingerprint}")))
    })?;
    snapshot::discard(run.node, run.id())?;
    Ok(json!({
        "cluster": view.cluster,
        "config_version": view.config_version,
        "members": view.members,
        "fingerprint": fingerprint,
        "node": name,
    }))
}

/// Finishes a creation whose process was killed, when the cluster is there and quorate.
pub fn finish(run: &mut Run<'_>) -> anyhow::Result<Option<Value>> {
    let Some(cluster_name) = run.marked("began").map(str::to_owned) else { return Ok(None) };
    let soon = run.deadline.within(run.node, SETTLING);
    if !run.node.exists(LOCAL_CONF) {
        return Ok(None);
    }
    let Ok(view) = observe::wait_until_quorate(run.node, &cluster_name, &[], soon) else { return Ok(None) };
    observe::wait_until_writable(run.node, run.deadline)?;
    let name = observe::own_name(run.node)?;
    conclude(run, &view, &name).map(Some)
}

const KNOWN_HOSTS: &str = "/etc/pve/priv/known_hosts";

fn check_configuration(node: &Node, request: &Request) -> anyhow::Result<()> {
    let conf = observe::shared_conf(node)?.context("/etc/pve/corosync.conf is gone")?;
    let own = conf
        .node(&request.node)
        .with_context(|| format!("the new corosync.conf does not list this node {:?}", request.node))?;
    let wanted = observe::by_number(&request.links);
    ensure!(
        own.links == wanted && own.nodeid == request.nodeid && own.votes == request.votes,
        "the new corosync.conf has links {:?}, node id {} and {} votes, not {wanted:?}, {} and {}",
        own.links,
        own.nodeid,
        own.votes,
        request.nodeid,
        request.votes
    );
    Ok(())
}

/// Separates the node again from the cluster that this operation made.
pub fn undo(run: &mut Run<'_>) -> anyhow::Result<bool> {
    let id = run.marked("snapshot").unwrap_or_default().to_owned();
    let Some(snapshot) = Snapshot::open(run.node, &id)? else { return Ok(true) };
    let is_begun = run.marked("began").is_some();
    let is_made = run.node.exists(SHARED_CONF) || run.node.exists(LOCAL_CONF) || run.node.exists(AUTHKEY);
    if is_begun && is_made {
        let forget_hosts = run.marked("had_known_hosts") == Some("no");
        run.step("separate this node again", |run| {
            separate(run, |node| match forget_hosts {
                true => node.remove(KNOWN_HOSTS).map(drop),
                false => Ok(()),
            })?;
            Ok(((), "as pvecm's manual says".to_owned()))
        })?;
    }
    run.step("restore files", |run| {
        let had_drop_in = run.node.exists(sshd::DROP_IN);
        let config = run.node.read("/etc/ssh/sshd_config")?;
        snapshot.restore(&TOUCHED)?;
        let is_other = run.node.read("/etc/ssh/sshd_config")? != config;
        if is_other || had_drop_in != run.node.exists(sshd::DROP_IN) {
            sshd::reload(run.node)?;
        }
        Ok(((), "content, mode and owner".to_owned()))
    })?;
    snapshot::discard(run.node, &id)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_names_are_those_pve_takes() {
        for name in ["a", "sddc-cluster", "123456789012345", "A1"] {
            assert_eq!(name_fault(name), None, "{name}");
        }
        for name in ["", "1234567890123456", "-a", "a-", "a_b", "a.b", "ä"] {
            assert!(name_fault(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_command_line_names_every_link_with_its_priority() {
        let link =
            |number, address: &str, priority| LinkAddress { number, address: address.into(), priority };
        let request = Request {
            cluster_name: "oracle".into(),
            node: "pve1".into(),
            links: vec![link(0, "10.88.0.11", Some(20)), link(1, "10.89.0.11", None)],
            nodeid: 1,
            votes: 1,
            token_coefficient: Some(125),
        };
        assert_eq!(
            request.command().join(" "),
            "create oracle --link0 10.88.0.11,priority=20 --link1 10.89.0.11 --nodeid 1 --votes 1 \
             --token-coefficient 125"
        );
    }
}
