//! Separates this node from its cluster and leaves it as one that can join again at once: no configuration, no key
//! and no certificate of the cluster, no files and no access of its other nodes. Every phase may be repeated, so a
//! reset that was cut off is taken up where it stood; nothing of it is undone.
//!
//! Whether the node may be reset is the caller's to decide.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::credential::{authorized_keys, registry};
use crate::facts::ClusterState;
use crate::gather::gather;
use crate::node::FileMode;
use crate::operation::{Journal, Kind, Run, State};
use crate::separation::separate;
use crate::validate::NONCES;
use crate::{Cmd, Node, copies, observe, qdevice, services, sshd};

/// Where copies of /etc/pve are kept, each of the time before its reset.
const COPIES: &str = "/var/lib/sddc-pve/resets";
/// The mark that holds the request.
const MARK: &str = "reset";
/// The mark of the point of no return.
const SEPARATING: &str = "separating";
const KEYS: &str = "/etc/pve/priv/authorized_keys";
const KNOWN_HOSTS: &str = "/etc/pve/priv/known_hosts";
/// What belongs to the cluster as a whole. `pvecm updatecerts` makes each anew (`PVE/Cluster/Setup.pm`); the next
/// join would take them for this node's own, and two clusters of one certificate authority can't be told apart.
const IDENTITY: [&str; 8] = [
    "/etc/pve/pve-root-ca.pem",
    "/etc/pve/priv/pve-root-ca.key",
    "/etc/pve/priv/pve-root-ca.srl",
    "/etc/pve/authkey.pub",
    "/etc/pve/authkey.pub.old",
    "/etc/pve/priv/authkey.key",
    "/etc/pve/priv/authkey.key.old",
    "/etc/pve/pve-www.key",
];
/// How long each small program may take while the end is looked at.
const TOOL_LIMIT: Duration = Duration::from_secs(10);

/// The separation that is wanted.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Request {
    /// Cluster name.
    pub cluster_name: String,
    /// This node's name.
    pub node: String,
    /// The other nodes, with the addresses they are known by.
    pub others: Vec<Other>,
}

/// Another node of the cluster.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Other {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<String>,
}

impl Request {
    /// What the operation is about.
    pub fn target(&self) -> String {
        target(&self.node, &self.cluster_name)
    }
}

/// What the reset of a node is called.
pub fn target(node: &str, cluster_name: &str) -> String {
    format!("{node} out of {cluster_name:?}")
}

/// Separates the node.
pub fn run(run: &mut Run<'_>, request: &Request) -> anyhow::Result<Value> {
    // After a crash the configuration that says all this may be gone.
    run.mark(MARK, &serde_json::to_string(request)?)?;
    phases(run, request)
}

/// Goes on with a reset whose process was killed, once it has begun to separate the node. Before that nothing is lost, and
/// whether the node may go must be decided anew.
pub fn resume(run: &mut Run<'_>) -> anyhow::Result<Option<Value>> {
    if run.marked(SEPARATING).is_none() {
        return Ok(None);
    }
    let Some(text) = run.marked(MARK) else { return Ok(None) };
    let request: Request = serde_json::from_str(text).context("the journal's mark \"reset\"")?;
    phases(run, &request).map(Some)
}

/// The last operation of this node, if it was a reset that failed: no facts may show any more what is still to be done.
pub fn failed(node: &Node, target: &str) -> anyhow::Result<Option<Request>> {
    let last = Journal::all(node)?.pop();
    let is_it =
        |last: &Journal| last.kind == Kind::Reset && last.state == State::Failed && last.target == target;
    let Some(last) = last.filter(is_it) else { return Ok(None) };
    Ok(last.marks.get(MARK).and_then(|text| serde_json::from_str(text).ok()))
}

fn phases(run: &mut Run<'_>, request: &Request) -> anyhow::Result<Value> {
    run.step("keep root's keys on this node", |run| {
        let told = sshd::keep_own_keys(run.node)?;
        // What let other nodes in for the cluster's sake is no key of this node's.
        let is_own = |line: &str| !is_key_of(line, &request.others) && !authorized_keys::is_token(line);
        let removed = filter(run.node, sshd::OWN_KEYS, is_own)?;
        let is_key = |line: &str| !line.trim().is_empty() && !line.starts_with('#');
        if removed > 0 && !run.node.read(sshd::OWN_KEYS)?.unwrap_or_default().lines().any(is_key) {
            let text = "only keys of the other nodes let root in here, and they do no more: from now on it takes root's password";
            run.warn(text.to_owned());
        }
        Ok(((), format!("{told}; {removed} of other nodes left out")))
    })?;
    let copy = run.step("keep a copy of /etc/pve", |run| {
        // Nothing is mounted after a crash in the middle: what there is to copy was copied then.
        let path = match run.node.exists("/etc/pve/.members") {
            true => copies::keep(run, COPIES, "/etc/pve")?,
            false => copies::path(run, COPIES),
        };
        Ok((path.clone(), path))
    })?;
    run.step("separate this node", |run| {
        run.mark(SEPARATING, "begun")?;
        let own = request.node.clone();
        stop_qdevice(run)?;
        separate(run, |node| forget_cluster(node, &own, &request.others))?;
        // A QNetd host has its authority there, and may serve other clusters.
        empty(run.node, "/etc/corosync", "qnetd")?;
        empty(run.node, "/var/lib/corosync", "")?;
        Ok(((), "as pvecm's manual says".to_owned()))
    })?;
    let fingerprint = run.step("make certificates of its own", |run| {
        observe::wait_until_writable(run.node, run.deadline)?;
        let cmd = Cmd::new("pvecm", ["updatecerts", "--force"], run.deadline.left(run.node));
        let output = run.node.run(&cmd)?;
        let made = observe::own_certificate(run.node)?;
        let made =
            made.with_context(|| format!("pvecm updatecerts made no certificate: {}", output.tail()))?;
        Ok((made, made.to_string()))
    })?;
    run.step("restart the API", |run| {
        let units = ["reload-or-restart", "pvedaemon", "pveproxy"];
        observe::systemctl(run.node, &units, run.deadline.left(run.node))?;
        let address = observe::own_address(run.node)?;
        observe::wait_for_api(run.node, address, run.deadline)?;
        Ok(((), format!("serves {fingerprint}")))
    })?;
    run.step("look at what is left", |run| {
        let facts = gather(run.node, TOOL_LIMIT);
        let left: Vec<String> = facts
            .remnants
            .iter()
            .filter(|trace| trace.id != "unfinished-operation")
            .map(|trace| format!("{} ({})", trace.path, trace.detail))
            .collect();
        ensure!(left.is_empty(), "traces are left: {}: run again", left.join(", "));
        ensure!(
            facts.cluster.is_none() && facts.quorum.is_none() && facts.state != ClusterState::NotInstalled,
            "this node still takes itself for a member: run again"
        );
        Ok(((), "in no cluster, nothing left of one".to_owned()))
    })?;
    Ok(
        json!({ "node": request.node, "cluster": request.cluster_name, "copy": copy, "fingerprint": fingerprint }),
    )
}

/// While /etc/pve is this node's alone: removes what it holds of the cluster and of its other nodes.
fn forget_cluster(node: &Node, own: &str, others: &[Other]) -> anyhow::Result<()> {
    let listed: BTreeSet<String> =
        node.list("/etc/pve/nodes")?.into_iter().filter(|name| name != own).collect();
    for name in &listed {
        remove_tree(node, &format!("/etc/pve/nodes/{name}"))?;
    }
    let certificate = ["pve-ssl.pem", "pve-ssl.key"].map(|file| format!("/etc/pve/nodes/{own}/{file}"));
    for path in IDENTITY.into_iter().chain(certificate.iter().map(String::as_str)) {
        node.remove(path)?;
    }
    // A token of the old cluster would let its holder into a new one of the same name.
    for path in [registry::DIR, NONCES] {
        remove_tree(node, path)?;
    }
    filter(node, KEYS, |line| !is_key_of(line, others) && !authorized_keys::is_token(line))?;
    filter(node, KNOWN_HOSTS, |line| !is_host_line_of(line, others))?;
    Ok(())
}

fn is_key_of(line: &str, others: &[Other]) -> bool {
    others.iter().any(|other| authorized_keys::is_of_node(line, &other.name))
}

/// A line of known_hosts names hosts in its first word, separated by commas.
fn is_host_line_of(line: &str, others: &[Other]) -> bool {
    let hosts = line.split_whitespace().next().unwrap_or_default();
    hosts.split(',').any(|host| {
        others.iter().any(|other| other.name == host || other.addresses.iter().any(|address| address == host))
    })
}

/// Keeps the lines of a file that are wanted; tells how many went.
fn filter(node: &Node, path: &str, is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<usize> {
    let Some(text) = node.read(path)? else { return Ok(0) };
    let kept: Vec<&str> = text.lines().filter(|line| is_wanted(line)).collect();
    let removed = text.lines().count() - kept.len();
    if removed > 0 {
        let text: String = kept.iter().map(|line| format!("{line}\n")).collect();
        node.write(path, text.as_bytes(), FileMode::Private)?;
    }
    Ok(removed)
}

/// Without a device in corosync.conf it would fail at every start. What else there is of it goes with /etc/corosync.
fn stop_qdevice(run: &Run<'_>) -> anyhow::Result<()> {
    let units = services::query(run.node, &[qdevice::UNIT], TOOL_LIMIT)?;
    if units.values().any(|unit| unit.is_enabled() || unit.is_active()) {
        observe::systemctl(run.node, &["disable", "--now", qdevice::UNIT], run.deadline.left(run.node))?;
    }
    Ok(())
}

/// Removes what is in a directory, which itself belongs to a package.
fn empty(node: &Node, dir: &str, but: &str) -> anyhow::Result<()> {
    for name in node.list(dir)?.iter().filter(|name| *name != but) {
        remove_tree(node, &format!("{dir}/{name}"))?;
    }
    Ok(())
}

fn remove_tree(node: &Node, path: &str) -> anyhow::Result<()> {
    let place = node.path(path);
    let outcome = match std::fs::symlink_metadata(&place) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(&place),
        Ok(_) => std::fs::remove_file(&place),
        Err(error) => Err(error),
    };
    match outcome {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {path:?}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others() -> Vec<Other> {
        vec![Other { name: "pve2".into(), addresses: vec!["10.88.0.12".into()] }]
    }

    #[test]
    fn another_nodes_key_is_known_by_its_whole_name() {
        assert!(is_key_of("ssh-rsa AAAA root@pve2", &others()));
        for line in [
            "ssh-rsa AAAA root@pve21",
            "ssh-rsa AAAA admin@pve2",
            "ssh-ed25519 AAAA",
            "# root@pve2",
            "",
            "from=\"10.88.0.1\" ssh-rsa AAAA root@pve2",
            "ssh-ed25519 AAAA laptop of root@pve2",
        ] {
            assert!(!is_key_of(line, &others()), "{line}");
        }
    }

    #[test]
    fn another_nodes_host_key_is_known_by_name_or_address() {
        for line in ["pve2 ssh-rsa A", "10.88.0.12 ssh-rsa A", "x,pve2 ssh-rsa A"] {
            assert!(is_host_line_of(line, &others()), "{line}");
        }
        for line in ["pve21 ssh-rsa A", "10.88.0.121 ssh-rsa A", "|1|hash= ssh-rsa A"] {
            assert!(!is_host_line_of(line, &others()), "{line}");
        }
    }
}
