//! The QNetd host, which may serve many clusters and needs nothing of Proxmox VE: its authority, its service, and the
//! certificates that it gives to members of a cluster.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Map, Value};

use super::database::{show, tool, with_file};
use super::{LOOK, PORT, TOOL_TIMEOUT};
use crate::{Deadline, Node, Progress, base64, observe, services};

const UNIT: &str = "corosync-qnetd";
const TOOL: &str = "corosync-qnetd-certutil";
const DB: &str = "/etc/corosync/qnetd/nssdb";
/// The authority's certificate, in words and in PEM.
const AUTHORITY: &str = "/etc/corosync/qnetd/nssdb/qnetd-cacert.crt";

/// What the host has and gives.
#[derive(Debug, Default)]
pub struct Service {
    /// PEM certificate of its authority; none in check mode where it has none yet.
    pub authority: Option<String>,
    /// What it signed, base64 of DER, by the names of the requests.
    pub certificates: Map<String, Value>,
    /// What was done, or would be.
    pub done: Vec<String>,
}

/// Makes the host serve, and signs requests of a cluster's members.
pub fn serve(
    node: &Node,
    cluster: &str,
    requests: &Map<String, Value>,
    is_check: bool,
    deadline: Deadline,
) -> anyhow::Result<Service> {
    let mut service = Service::default();
    let unit = services::query(node, &[UNIT], TOOL_TIMEOUT)?.get(UNIT).cloned().unwrap_or_default();
    ensure!(
        unit.is_installed(),
        "[not-installed] {UNIT} is not installed on this host: apt-get install {UNIT}"
    );
    // The server's own certificate is made last.
    let is_new = show(node, DB, "QNetd Cert", &[])?.is_empty();
    if is_new {
        service.done.push("authority and certificate of the host".to_owned());
        if !is_check {
            make(node)?;
        }
    }
    if is_new || !unit.is_active() || !unit.is_enabled() {
        service.done.push(format!("{UNIT} enabled and started"));
        if !is_check {
            observe::systemctl(node, &["enable", UNIT], deadline.left(node))?;
            observe::systemctl(node, &[if is_new { "restart" } else { "start" }, UNIT], deadline.left(node))?;
        }
    }
    service.authority = node.read(AUTHORITY)?.and_then(|text| pem_of(&text));
    if !is_check {
        wait_until_answering(node, deadline)?;
    }
    for (name, request) in requests {
        service.done.push(format!("certificate for {name}"));
        if !is_check {
            let request = request.as_str().unwrap_or_default();
            let signed = sign(node, cluster, request).with_context(|| format!("the request of {name}"))?;
            service.certificates.insert(name.clone(), signed.into());
        }
    }
    Ok(service)
}

/// Removes what the host keeps of a cluster; tells whether there was anything.
pub fn forget(node: &Node, cluster: &str, is_check: bool) -> anyhow::Result<bool> {
    let path = certificate_path(cluster);
    if is_check { Ok(node.exists(&path)) } else { node.remove(&path) }
}

/// A database without the server's certificate has never served anybody: it was cut off in the making.
fn make(node: &Node) -> anyhow::Result<()> {
    if node.exists(DB) {
        std::fs::remove_dir_all(node.path(DB)).with_context(|| format!("can't remove {DB:?}"))?;
    }
    // Without write access of the group, as Debian's package makes it.
    tool(node, TOOL, &["-i", "-G"])
}

fn sign(node: &Node, cluster: &str, request: &str) -> anyhow::Result<String> {
    let der = base64::decode(request).context("it is no base64")?;
    let path = certificate_path(cluster);
    // What is read afterwards is what this run has signed.
    node.remove(&path)?;
    with_file(node, &der, |file| tool(node, TOOL, &["-s", "-c", file, "-n", cluster]))?;
    let signed = node.read_bytes(&path)?.with_context(|| format!("{TOOL} left no {path:?}"))?;
    Ok(base64::encode(&signed))
}

fn certificate_path(cluster: &str) -> String {
    format!("{DB}/cluster-{cluster}.crt")
}

fn pem_of(text: &str) -> Option<String> {
    Some(text[text.find("-----BEGIN CERTIFICATE-----")?..].to_owned())
}

fn wait_until_answering(node: &Node, deadline: Deadline) -> anyhow::Result<()> {
    let locals = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let what = format!("QNetd to answer on {PORT}/tcp (journalctl -u {UNIT})");
    deadline.wait(node, &what, LOOK, || {
        let ask =
            |address: IpAddr| node.connect(SocketAddr::new(address, PORT), Duration::from_secs(2)).is_ok();
        Ok(match locals.into_iter().any(ask) {
            true => Progress::Done(()),
            false => Progress::Pending("it refuses".to_owned()),
        })
    })
}
