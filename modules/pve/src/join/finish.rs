//! What makes a quorate member complete: its certificate of the cluster's CA, root's keys as PVE sets them up,
//! the API restarted with the new certificate. Also what a join leaves undone when it dies late.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::gather::SHARED_CONF;
use crate::observe;
use crate::operation::Run;
use crate::{Cmd, Node, Progress};

/// How often PVE's certificate run is repeated: it loses races on /etc/pve/priv/authorized_keys with the other
/// nodes, and then leaves a member without certificate.
const CERTIFICATE_TRIES: u32 = 3;
/// What is restarted once the node is a member: the second one shows the certificate.
pub(super) const UNITS: [&str; 2] = ["pvedaemon", "pveproxy"];
/// systemd takes a job that nobody waits for at once.
const QUEUED: Duration = Duration::from_secs(10);
const KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

/// Mark of a node that has been a quorate member in this join: its database is the cluster's, and others count on it.
pub(super) const MEMBER: &str = "member";

/// How far the API's restart belongs to the join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// To its end.
    Awaited,
    /// To its beginning: others may join meanwhile, and validation sees how it ended.
    Begun,
}

/// Whether a member has what the last step of PVE's own join leaves behind.
pub fn is_complete(node: &Node, name: &str) -> bool {
    let own = format!("/etc/pve/nodes/{name}");
    // updatecerts writes the certificate first and the known hosts last (`updatecerts_and_ssh`); PVE 7 knows no
    // ssh_known_hosts of a node, so there only the certificate counts.
    let has_others = node
        .list("/etc/pve/nodes")
        .unwrap_or_default()
        .iter()
        .any(|other| other != name && node.exists(&format!("/etc/pve/nodes/{other}/ssh_known_hosts")));
    node.exists(&format!("{own}/pve-ssl.pem"))
        && (!has_others || node.exists(&format!("{own}/ssh_known_hosts")))
}

/// Waits until this node is a quorate member and has the cluster's files.
pub(super) fn wait_for_membership(run: &mut Run<'_>, cluster_name: &str, name: &str) -> anyhow::Result<()> {
    run.step("wait for quorum", |run| {
        let view = observe::wait_until_quorate(run.node, cluster_name, &[], run.deadline)?;
        let others = wait_for_files(run, name)?;
        run.mark(MEMBER, cluster_name)?;
        Ok(((), format!("config version {}, files of {}", view.config_version, others.join(", "))))
    })
}

fn wait_for_files(run: &Run<'_>, own: &str) -> anyhow::Result<Vec<String>> {
    let node = run.node;
    run.deadline.wait(node, "/etc/pve to show the cluster's files", Duration::from_millis(100), || {
        if node.read(SHARED_CONF)?.is_none() {
            return Ok(Progress::Pending(format!("no {SHARED_CONF}")));
        }
        let mut others = node.list("/etc/pve/nodes")?;
        others.retain(|name| name != own);
        match others.is_empty() {
            true => Ok(Progress::Pending("no other node in /etc/pve/nodes".to_owned())),
            false => Ok(Progress::Done(others)),
        }
    })
}

/// Gives the member its certificate and keys, and the API the new certificate.
pub(super) fn complete(run: &mut Run<'_>, name: &str, api: Api) -> anyhow::Result<()> {
    let known_hosts = linked_known_hosts(run.node)?;
    // It shows no certificate, so it need not wait for one. Refused, it is asked again with the proxy.
    run.mark("api", "restarted")?;
    let is_begun =
        observe::systemctl(run.node, &["reload-or-restart", "--no-block", "pvedaemon"], QUEUED).is_ok();
    run.step("pvecm updatecerts --force", |run| {
        let mut last = String::new();
        for attempt in 1..=CERTIFICATE_TRIES {
            observe::wait_until_writable(run.node, run.deadline)?;
            let cmd = Cmd::new("pvecm", ["updatecerts", "--force"], run.deadline.left(run.node));
            let output = run.node.run(&cmd)?;
            last = output.tail().replace('\n', " | ");
            if is_complete(run.node, name) && output.is_success() {
                return Ok(((), format!("attempt {attempt}: {last}")));
            }
        }
        ensure!(
            is_complete(run.node, name),
            "this node has no certificate of the cluster after {CERTIFICATE_TRIES} runs of \"pvecm updatecerts \
             --force\": {last}"
        );
        Ok(((), last))
    })?;
    if let Some(text) = known_hosts {
        // PVE takes its link out of the way (`ssh_unmerge_known_hosts`): the list belongs to this node again.
        run.node.remove(KNOWN_HOSTS)?;
        run.node.write(KNOWN_HOSTS, text.as_bytes(), crate::FileMode::Public)?;
    }
    let units = if is_begun { &UNITS[1..] } else { &UNITS };
    match api {
        Api::Awaited => restart_api(run, units),
        Api::Begun => begin_restart(run, units),
    }
}

fn begin_restart(run: &mut Run<'_>, units: &[&str]) -> anyhow::Result<()> {
    run.step("begin to restart the API", |run| {
        let args: Vec<&str> =
            ["reload-or-restart", "--no-block"].into_iter().chain(units.iter().copied()).collect();
        observe::systemctl(run.node, &args, QUEUED)?;
        Ok(((), units.join(", ")))
    })
}

/// Restarts the API and waits until it serves the certificate that is in /etc/pve.
pub(super) fn restart_api(run: &mut Run<'_>, units: &[&str]) -> anyhow::Result<()> {
    let complaint = run.step("restart the API", |run| {
        run.mark("api", "restarted")?;
        let args = std::iter::once("reload-or-restart").chain(units.iter().copied());
        let output = run.node.run(&Cmd::new("systemctl", args, run.deadline.left(run.node)))?;
        // What counts is which certificate is served in the end, and a failed reload may be over by then.
        let complaint = (!output.is_success()).then(|| output.tail().replace('\n', " | "));
        Ok((complaint.clone(), complaint.unwrap_or_else(|| units.join(", "))))
    })?;
    wait_for_api(run)
        .with_context(|| complaint.unwrap_or_else(|| "pvedaemon and pveproxy were restarted".to_owned()))
}

/// Waits until the API serves the certificate that is in /etc/pve.
pub(super) fn wait_for_api(run: &mut Run<'_>) -> anyhow::Result<()> {
    run.step("wait for the API", |run| {
        let address = observe::own_address(run.node)?;
        let fingerprint = observe::wait_for_api(run.node, address, run.deadline)?;
        Ok(((), format!("serves {fingerprint}")))
    })
}

/// The known hosts where they are a link into pmxcfs, as older versions made it.
fn linked_known_hosts(node: &Node) -> anyhow::Result<Option<String>> {
    let is_link = std::fs::symlink_metadata(node.path(KNOWN_HOSTS)).is_ok_and(|meta| meta.is_symlink());
    if !is_link {
        return Ok(None);
    }
    node.read("/etc/pve/priv/known_hosts")
        .map(|text| Some(text.unwrap_or_default()))
        .context("cannot read the cluster's known hosts")
}
