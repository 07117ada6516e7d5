//! The quorum device of a cluster as a member has it: `quorum.device` of corosync.conf, the certificate with which the
//! member shows itself to the QNetd host, and `corosync-qdevice`, which asks that host for a vote. The QNetd host is
//! `qnetd`'s.
//!
//! No operation with a journal: each step is whole in itself, and none raises the votes that quorum needs, so what was cut
//! off is taken up by the next run.

mod database;
pub mod qnetd;
mod refusals;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::admission::LOCK;
use crate::cluster_lock::{ClusterLock, OF_PVE};
use crate::corosync_conf::CorosyncConf;
use crate::facts::Service;
use crate::gather::{LOCAL_CONF, SHARED_CONF};
use crate::quorumtool::{self, QuorumStatus};
use crate::{Deadline, FileMode, Node, Progress, gather, observe, services};
pub use refusals::{against_removal, against_setup, offline};

/// Port of QNetd (corosync-qnetd(8)).
pub const PORT: u16 = 5403;
/// The daemon of a member.
pub const UNIT: &str = "corosync-qdevice";
/// What members have of a device, apart from corosync.conf; `pvecm qdevice remove` removes it too.
const DIR: &str = "/etc/corosync/qdevice";
const TOOL_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(300);

/// The device that is wanted.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Cluster name.
    pub cluster_name: String,
    /// Address of the QNetd host, as members reach it; empty where the device is to go.
    pub host: String,
    /// PEM certificate of the authority of the QNetd host, once it serves.
    pub authority: Option<String>,
    /// Certificate that the QNetd host gave this member, base64 of DER.
    pub certificate: Option<String>,
}

/// What a member sees.
pub struct Sight {
    /// This node.
    pub own: String,
    /// corosync.conf as pmxcfs has it.
    pub conf: CorosyncConf,
    /// What corosync says.
    pub status: QuorumStatus,
    /// Whether losing quorum would fence this node.
    pub is_ha_active: bool,
    /// The daemon.
    pub daemon: Service,
    /// Fingerprint of the authority that this member trusts as the QNetd host's.
    pub authority: Option<String>,
    /// Whether it has a certificate for this cluster, with its key.
    pub has_certificate: bool,
}

impl Sight {
    /// Whether there is nothing of a device here.
    pub fn is_clean(&self, node: &Node) -> bool {
        self.conf.qdevice_votes() == 0 && !self.is_running() && !self.daemon.is_enabled() && !node.exists(DIR)
    }

    fn is_running(&self) -> bool {
        !matches!(self.daemon.active.as_str(), "inactive" | "")
    }

    /// Whether this member could show itself to the QNetd host of that authority.
    pub fn is_certified(&self, request: &Request) -> bool {
        let wanted = request.authority.as_deref().and_then(|pem| database::fingerprint(pem).ok());
        self.has_certificate && (wanted.is_none() || wanted == self.authority)
    }

    /// Whether nothing is to be done on this member.
    pub fn is_whole(&self, request: &Request) -> bool {
        self.conf.qdevice_host() == Some(&request.host)
            && self.is_certified(request)
            && self.daemon.is_active()
            && self.daemon.is_enabled()
    }

    /// corosync.conf as it is to be.
    pub fn wanted(&self, request: &Request) -> CorosyncConf {
        let mut conf = CorosyncConf::parse(&self.conf.render()).unwrap_or_default();
        if edit(&mut conf, request) {
            conf.increase_version();
        }
        conf
    }
}

/// Looks at a member.
pub fn look(node: &Node, request: &Request) -> anyhow::Result<Sight> {
    let own = observe::own_name(node)?;
    let conf = shared_conf(node, request)?;
    Ok(Sight {
        conf,
        status: quorumtool::query(node, TOOL_TIMEOUT)?.unwrap_or_default(),
        is_ha_active: gather::is_ha_active(node, &own)?,
        daemon: services::query(node, &[UNIT], TOOL_TIMEOUT)?.get(UNIT).cloned().unwrap_or_default(),
        authority: database::authority(node)?,
        has_certificate: database::has_certificate(node, &request.cluster_name)?,
        own,
    })
}

/// Makes the database of certificates anew; what the QNetd host is to sign, base64 of DER. The key stays in the database:
/// each member has its own, where `pvecm` copies one to all.
pub fn request_certificate(
    node: &Node,
    request: &Request,
    sight: &Sight,
    deadline: Deadline,
) -> anyhow::Result<String> {
    let authority = request.authority.as_deref().context("ca is needed: what state=serving returned")?;
    // Sound, or nothing is removed.
    database::fingerprint(authority)?;
    // It would go on with the certificate that it has read.
    if sight.is_running() {
        observe::systemctl(node, &["stop", UNIT], deadline.left(node))?;
    }
    remove_dir(node)?;
    database::make(node, authority, &request.cluster_name)
}

/// Takes the certificate, adds the device, starts the daemon, and waits until this member casts the device's vote. What
/// this run has added is taken back when it does not come to that. Tells what was done.
pub fn set_up(
    node: &Node,
    request: &Request,
    sight: &Sight,
    deadline: Deadline,
) -> anyhow::Result<Vec<String>> {
    let mut done = Vec::new();
    if !sight.is_certified(request) {
        let certificate = request.certificate.as_deref();
        let certificate = certificate
            .context("this node has no certificate for the QNetd host: ask for one with state=requested")?;
        database::import(node, certificate)?;
        ensure!(
            look(node, request)?.is_certified(request),
            "the certificate is not for this node's request: begin anew with state=requested"
        );
        done.push("certificate taken".to_owned());
    }
    let is_added = change(node, request, deadline)?;
    if is_added {
        done.push(format!("device at {} in corosync.conf", request.host));
    }
    let begun = begin(node, sight, deadline).and_then(|told| {
        done.extend(told);
        wait(node, deadline, VOTING)
    });
    match begun {
        Ok(()) => Ok(done),
        Err(error) if is_added => {
            let own_time = Deadline::after(node, Duration::from_secs(60));
            let undone = match take_down(node, request, own_time) {
                Ok(told) => format!("it was taken back: {}", told.join(", ")),
                Err(undo) => format!("and it could not be taken back: {undo:#}: run with state=absent"),
            };
            bail!("{error:#}; {undone}")
        }
        Err(error) => Err(error),
    }
}

/// corosync must know of the device before its daemon asks for it.
fn begin(node: &Node, sight: &Sight, deadline: Deadline) -> anyhow::Result<Option<String>> {
    wait(node, deadline, CURRENT)?;
    if sight.daemon.is_active() && sight.daemon.is_enabled() {
        return Ok(None);
    }
    // One that failed often enough is started no more until this.
    let _ = observe::systemctl(node, &["reset-failed", UNIT], TOOL_TIMEOUT);
    observe::systemctl(node, &["enable", UNIT], deadline.left(node))?;
    // It says that it runs once it has a vote, which may be never.
    observe::systemctl(node, &["--no-block", "start", UNIT], TOOL_TIMEOUT)?;
    Ok(Some(format!("{UNIT} enabled and started")))
}

const CURRENT: &str = "corosync to take the new corosync.conf";
const VOTING: &str = "the vote of the quorum device (corosync-quorumtool -s, journalctl -u corosync-qdevice)";

/// Waits until corosync of this node counts by the cluster's corosync.conf; for the vote, until this member casts it too.
fn wait(node: &Node, deadline: Deadline, what: &str) -> anyhow::Result<()> {
    deadline.wait(node, what, LOOK, || {
        let conf = observe::shared_conf(node)?.unwrap_or_default();
        let local =
            node.read(LOCAL_CONF)?.and_then(|text| CorosyncConf::parse(&text).ok()).unwrap_or_default();
        let status = quorumtool::query(node, TOOL_TIMEOUT)?.unwrap_or_default();
        ensure!(
            what == CURRENT || conf.qdevice_votes() > 0,
            "another member has taken the device out of corosync.conf again"
        );
        let is_counting = local.config_version() == conf.config_version()
            && status.quorum.expected_votes == conf.expected_votes() + conf.qdevice_votes();
        Ok(match fault(&conf, &status) {
            None => Progress::Done(()),
            _ if is_counting && what == CURRENT => Progress::Done(()),
            Some(fault) => Progress::Pending(fault),
        })
    })
}

/// What is wrong with the device as this member's corosync shows it.
pub fn fault(conf: &CorosyncConf, status: &QuorumStatus) -> Option<String> {
    let own = status.qdevices.iter().find(|(nodeid, _)| *nodeid == status.nodeid);
    let own = own.map_or("NR", |(_, flags)| flags);
    let (votes, expected) = (conf.qdevice_votes(), conf.expected_votes() + conf.qdevice_votes());
    let cast = status.qdevice_votes.unwrap_or(0);
    // In the part without the device's vote its row says 0 and its flag NV (votequorum(5), corosync-quorumtool(8)).
    (!own.starts_with("A,V") || cast != votes || status.quorum.expected_votes != expected).then(|| {
        format!(
            "this member says {own} of the device, {cast} of its {votes} votes are cast, {} votes are expected in place of \
             {expected}",
            status.quorum.expected_votes
        )
    })
}

/// Stops the daemon and removes what this member has of the device; the last member that does takes it out of
/// corosync.conf. A daemon that still runs when the device goes would be started again and again by systemd, and corosync
/// would count it as registered from then on.
pub fn take_down(node: &Node, request: &Request, deadline: Deadline) -> anyhow::Result<Vec<String>> {
    let mut done = Vec::new();
    let sight = look(node, request)?;
    if sight.is_running() || sight.daemon.is_enabled() {
        observe::systemctl(node, &["disable", "--now", UNIT], deadline.left(node))?;
        let _ = observe::systemctl(node, &["reset-failed", UNIT], TOOL_TIMEOUT);
        done.push(format!("{UNIT} stopped and disabled"));
    }
    if node.exists(DIR) {
        remove_dir(node)?;
        done.push("certificates removed".to_owned());
    }
    let status = quorumtool::query(node, TOOL_TIMEOUT)?.unwrap_or_default();
    let is_other = |(nodeid, flags): &&(u32, String)| *nodeid != status.nodeid && flags.starts_with("A,");
    match status.qdevices.iter().find(is_other) {
        Some((nodeid, _)) => {
            let nodes = sight.conf.nodes();
            let other = nodes.iter().find(|node| node.nodeid == *nodeid).map_or("", |node| &node.name);
            done.push(format!("left in corosync.conf until {UNIT} of {other} is stopped too"));
        }
        None if change(node, &gone(request), deadline)? => {
            wait(node, deadline, CURRENT)?;
            done.push("device taken out of corosync.conf".to_owned());
        }
        None => {}
    }
    Ok(done)
}

/// The request for no device.
fn gone(request: &Request) -> Request {
    Request { cluster_name: request.cluster_name.clone(), ..Request::default() }
}

/// Changes corosync.conf under the locks of ours and of PVE; tells whether there was anything to change.
fn change(node: &Node, request: &Request, deadline: Deadline) -> anyhow::Result<bool> {
    let _locks = [ClusterLock::take(node, LOCK, deadline)?, ClusterLock::take(node, OF_PVE, deadline)?];
    let mut conf = shared_conf(node, request)?;
    if !edit(&mut conf, request) {
        return Ok(false);
    }
    conf.increase_version();
    let findings = conf.findings();
    ensure!(
        findings.is_empty(),
        "corosync.conf would be wrong, and was not changed: {}",
        findings.join("; ")
    );
    node.write(SHARED_CONF, conf.render().as_bytes(), FileMode::Public)?;
    Ok(true)
}

/// Adds the device, or removes it where no host is wanted; tells whether there was anything to change.
fn edit(conf: &mut CorosyncConf, request: &Request) -> bool {
    if request.host.is_empty() {
        return conf.remove_qdevice();
    }
    let is_missing = conf.qdevice_votes() == 0;
    if is_missing {
        conf.put_qdevice(&request.host);
    }
    is_missing
}

fn shared_conf(node: &Node, request: &Request) -> anyhow::Result<CorosyncConf> {
    let conf = observe::shared_conf(node)?.context("this node is in no cluster")?;
    let name = conf.cluster_name().unwrap_or_default();
    ensure!(name == request.cluster_name, "this node is in cluster {name:?}, not {:?}", request.cluster_name);
    Ok(conf)
}

fn remove_dir(node: &Node) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(node.path(DIR)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {DIR:?}"))
        }
        _ => Ok(()),
    }
}

/// The address of the QNetd host: corosync-qdevice resolves names, but a cluster must not hang on a name server.
fn address(request: &Request) -> anyhow::Result<IpAddr> {
    request.host.parse().with_context(|| format!("host {:?} is no IP address", request.host))
}
