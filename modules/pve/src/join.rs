//! Makes this node a member of a cluster, wholly or not at all: a snapshot first, then one of the methods, then
//! what makes a member complete, and the way back when any of it fails. Which nodes may join, and when, is
//! decided before (`join::check`).

mod api;
mod backup;
mod brokered;
pub mod check;
mod expect;
mod finish;
mod rollback;
mod ssh;
pub(crate) mod token;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::gather::LOCAL_CONF;
use crate::https::Fingerprint;
use crate::observe::{self, LinkAddress};
use crate::operation::{Journal, Kind, Run};
use crate::snapshot::{self, Snapshot};
use crate::{Deadline, Node, seal, sshd};
use finish::Api;
pub use finish::is_complete;
pub use rollback::undo;
pub use ssh::{SshJoin, user_faults};
pub use token::{TokenJoin, question};

/// pmxcfs' database, with what SQLite keeps beside it.
const DATABASE: [&str; 3] = [
    "/var/lib/pve-cluster/config.db",
    "/var/lib/pve-cluster/config.db-wal",
    "/var/lib/pve-cluster/config.db-shm",
];
/// What a join changes for corosync and PVE's services, outside /etc/pve (`PVE/Cluster/Setup.pm`).
const SYSTEM_FILES: [&str; 5] = [
    "/etc/corosync",
    "/var/lib/corosync",
    "/etc/ssh/ssh_known_hosts",
    "/etc/cron.d/vzdump",
    "/root/etc_cron_vzdump.org",
];
/// What lets root in: brought back last, when everything else is as it was.
const ACCESS_FILES: [&str; 3] = ["/etc/ssh/sshd_config", sshd::DROP_IN, "/root/.ssh"];
/// How long a corosync that runs may take to find the others.
const SETTLING: Duration = Duration::from_secs(10);
/// How long a node that has been a member may take to see quorum again, as after it booted.
const QUORUM_TIME: Duration = Duration::from_secs(30);
/// PVE moves root's keys here before it even logs in to the other side.
const PVE_KEYS: &str = "/etc/pve/priv/authorized_keys";

/// The membership that is wanted.
#[derive(Debug, Deserialize, Serialize)]
pub struct Request {
    /// Cluster name.
    pub cluster_name: String,
    /// This node's name.
    pub node: String,
    /// Its links.
    pub links: Vec<LinkAddress>,
    /// Nodes the cluster had before.
    pub nodes_before: usize,
    /// Whether the join ends only when the API serves the new certificate.
    pub wait_for_api: bool,
    /// The way in.
    pub how: How,
}

/// Ways into a cluster.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// With material that a member sealed to this node's key.
    Brokered {
        /// The sealed text.
        material: String,
    },
    /// With a token, which a member takes over ssh.
    Token(TokenJoin),
    /// Over ssh.
    Ssh(SshJoin),
    /// With root's password or a ticket, proved before, over a member's API.
    Api {
        /// Which of them.
        secret: ApiSecret,
        /// The member.
        peer: IpAddr,
        /// Its certificate.
        fingerprint: Fingerprint,
        /// Id of the credential that the password or ticket came as.
        credential: Option<String>,
        /// Root's password there, or a ticket in its place.
        #[serde(serialize_with = "expose")]
        password: SecretString,
        /// Node id; the lowest free one when none is given.
        nodeid: Option<u32>,
        /// Votes; 1 when none are given.
        votes: Option<u32>,
    },
    /// It is a member already, and what makes a member complete is missing.
    Finish,
}

/// What proves root to a member's API.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ApiSecret {
    /// Root's password.
    Password,
    /// A ticket.
    Ticket,
    /// Root's password, typed at a terminal where it is asked for.
    Dialogue,
}

impl Request {
    /// What the operation is about: the same for every method, since it is the same join.
    pub fn target(&self) -> String {
        target(&self.node, &self.cluster_name)
    }

    /// What is to be had undone elsewhere when this join was undone here.
    pub(crate) fn take_back(&self) -> Option<token::TakeBack> {
        let how = match &self.how {
            How::Token(how) => token::Asked::Token(how.clone()),
            How::Ssh(how) => token::Asked::Ssh(how.clone()),
            _ => return None,
        };
        let (cluster_name, node) = (self.cluster_name.clone(), self.node.clone());
        Some(token::TakeBack { cluster_name, node, links: self.links.clone(), how })
    }

    /// Name of the credential, for the records.
    pub fn credential(&self) -> Option<String> {
        match &self.how {
            How::Token(how) => crate::credential::token::Token::parse(&how.token).ok().map(|token| token.id),
            How::Ssh(how) => how.credential(),
            How::Api { credential, .. } => credential.clone(),
            _ => None,
        }
    }

    /// The method's word.
    pub fn method(&self) -> &'static str {
        match self.how {
            How::Brokered { .. } => "brokered",
            How::Token(_) => "token",
            How::Ssh(_) => "ssh",
            How::Api { secret: ApiSecret::Password, .. } => "api",
            How::Api { secret: ApiSecret::Ticket, .. } => "ticket",
            How::Api { secret: ApiSecret::Dialogue, .. } => "expect",
            How::Finish => "finish",
        }
    }
}

/// What a join of a node into a cluster is called.
pub fn target(node: &str, cluster_name: &str) -> String {
    format!("{node} into {cluster_name:?}")
}

/// Joins.
pub fn run(run: &mut Run<'_>, request: Request) -> anyhow::Result<Value> {
    run.mark("nodes_before", &request.nodes_before.to_string())?;
    run.mark("cluster_name", &request.cluster_name)?;
    let api = if request.wait_for_api { Api::Awaited } else { Api::Begun };
    if !matches!(request.how, How::Finish) {
        run.step("take a snapshot", |run| {
            let id = run.id().to_owned();
            // Known before it is there, so that it goes whenever this is cut off.
            run.mark("snapshot", &id)?;
            let mut snapshot = Snapshot::begin(run.node, &id)?;
            snapshot.take(&ACCESS_FILES)?;
            snapshot.take(&SYSTEM_FILES)?;
            snapshot.take(&[PVE_KEYS])?;
            Ok(((), "corosync's, sshd's and root's files".to_owned()))
        })?;
        run.step("keep root's keys on this node", |run| {
            run.mark("access", "kept")?;
            Ok(((), sshd::keep_own_keys(run.node)?))
        })?;
    }
    match &request.how {
        How::Brokered { material } => brokered::run(run, &request, material, api)?,
        How::Token(how) => token::run(run, &request, how, api)?,
        How::Ssh(how) => ssh::run(run, &request, how, api)?,
        How::Api { secret, peer, fingerprint, password, nodeid, votes, .. } => {
            let options = api::Options {
                secret: *secret,
                peer: *peer,
                fingerprint: *fingerprint,
                nodeid: *nodeid,
                votes: *votes,
            };
            api::run(run, &request, &options, password, api)?;
        }
        How::Finish => {
            finish::wait_for_membership(run, &request.cluster_name, &request.node)?;
            finish::complete(run, &request.node, api)?;
        }
    }
    conclude(run, &request.cluster_name, &request.node)
}

/// Looks once more, and clears away what only the join needed.
fn conclude(run: &mut Run<'_>, cluster_name: &str, name: &str) -> anyhow::Result<Value> {
    let result = run.step("look from this side", |run| {
        let view = observe::wait_until_quorate(run.node, cluster_name, &[], run.deadline)?;
        ensure!(
            view.members.iter().any(|member| member == name),
            "pmxcfs shows {} online and not this node",
            view.members.join(", ")
        );
        let fingerprint = observe::own_certificate(run.node)?;
        let detail = format!("{} online, config version {}", view.members.join(", "), view.config_version);
        let result = json!({
            "node": name,
            "cluster": view.cluster,
            "config_version": view.config_version,
            "members": view.members,
            "fingerprint": fingerprint,
        });
        Ok((result, detail))
    })?;
    // The key has served its one join, and the snapshot holds keys of a node that is no more.
    seal::forget_key(run.node)?;
    ssh::forget(run.node)?;
    ssh::forget_files(run.node)?;
    snapshot::discard(run.node, run.id())?;
    Ok(result)
}

/// Whether a join whose process was killed can be settled now. Without quorum it could not be finished, and undoing it would
/// take from a member what may be the last copy of the cluster's configuration. That is what leaving the cluster is about,
/// but for guests, whose configuration must be named.
pub fn may_settle(node: &Node, journal: &Journal, is_to_leave: bool) -> anyhow::Result<()> {
    let Some(cluster) = journal.marks.get(finish::MEMBER) else { return Ok(()) };
    let is_being_undone = journal.marks.get("pmxcfs").is_some_and(|mark| mark == "restored");
    if is_being_undone || !node.exists(LOCAL_CONF) {
        return Ok(());
    }
    let name = observe::own_name(node)?;
    if is_to_leave && observe::guests(node, &name)?.is_empty() {
        return Ok(());
    }
    let soon = Deadline::after(node, QUORUM_TIME);
    observe::wait_until_quorate(node, cluster, &[], soon).map(drop).with_context(|| {
        format!(
            "{} was cut off when this node was a member already, and can be finished with quorum only: see that corosync \
             and pve-cluster run here (\"systemctl start pve-cluster\"), bring the other members up, and run again. Only if \
             all others are off for good, which nobody can tell from a partition: \"pvecm expected 1\" here, and run again",
            journal.title()
        )
    })
}

/// Finishes a join whose process was killed, when corosync has made the node a quorate member meanwhile: the others
/// count on it already.
pub fn finish_after_crash(run: &mut Run<'_>) -> anyhow::Result<Option<Value>> {
    let Some(cluster_name) = run.marked("cluster_name").map(str::to_owned) else { return Ok(None) };
    if run.marked("pvecm").is_some() {
        api::stop_what_runs(run.node);
    }
    let soon = run.deadline.within(run.node, SETTLING);
    if !run.node.exists(LOCAL_CONF)
        || observe::wait_until_quorate(run.node, &cluster_name, &[], soon).is_err()
    {
        return Ok(None);
    }
    let name = observe::own_name(run.node)?;
    finish::wait_for_membership(run, &cluster_name, &name)?;
    finish::complete(run, &name, Api::Awaited)?;
    token::forget(run)?;
    conclude(run, &cluster_name, &name).map(Some)
}

/// The address of a peer that is given as an address or a name.
pub fn peer_address(node: &Node, peer: &str) -> anyhow::Result<IpAddr> {
    if let Ok(address) = peer.parse() {
        return Ok(address);
    }
    let addresses = crate::names::resolve(node, peer, Duration::from_secs(10))?;
    let address = addresses.iter().find_map(|text| text.parse().ok());
    address.with_context(|| {
        format!("peer {peer:?} does not resolve: give its address, or put it into /etc/hosts")
    })
}

/// What this node shows after a join that failed, so that a member may take it off its list.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct StoppedProof {
    /// Node name.
    pub node: String,
    /// corosync does not run.
    pub is_corosync_stopped: bool,
    /// Neither corosync.conf nor authkey are there.
    pub is_configuration_gone: bool,
}

/// Looks whether corosync of this node is stopped and has nothing to start with.
pub fn stopped_proof(node: &Node, name: &str) -> anyhow::Result<StoppedProof> {
    let status = crate::quorumtool::query(node, Duration::from_secs(10))?;
    let files = [LOCAL_CONF, crate::gather::AUTHKEY];
    Ok(StoppedProof {
        node: name.to_owned(),
        is_corosync_stopped: status.is_none(),
        is_configuration_gone: !files.iter().any(|path| node.exists(path)),
    })
}

/// Number of nodes that the cluster had before the join that has just failed here, by its journal.
pub fn nodes_before(node: &Node, name: &str) -> Option<usize> {
    let last = Journal::all(node).ok()?.pop()?;
    let is_it = last.kind == Kind::Join && last.target.starts_with(&format!("{name} into "));
    last.marks.get("nodes_before").filter(|_| is_it)?.parse().ok().filter(|count| *count > 0)
}

/// Into the file that only root reads and that the unit removes at once, and nowhere else.
fn expose<S: serde::Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    use secrecy::ExposeSecret;
    serializer.serialize_str(secret.expose_secret())
}

#[cfg(test)]
mod tests;
