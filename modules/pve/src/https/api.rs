//! What a joining node asks of a member's API before it changes anything: is the password right, what is the
//! cluster, who is in it. Knows the paths and the shape of the answers, not how they are transported.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::{Ask, Exchange, Fingerprint, HttpsError, Reply, Request, percent_encode};
use crate::Node;
use crate::corosync_conf::ConfNode;

/// Port of pveproxy.
pub const PORT: u16 = 8006;
/// A refused login answers after 3 s, a busy pveproxy later still.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A member's API under its pinned certificate.
pub struct Peer<'a> {
    node: &'a Node,
    address: SocketAddr,
    pin: Fingerprint,
    ticket: SecretString,
}

/// The cluster as the API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerCluster {
    /// Cluster name.
    pub name: String,
    /// Whether the member has quorum.
    pub is_quorate: bool,
    /// Config version.
    pub config_version: u64,
    /// Its nodes.
    pub nodes: Vec<ConfNode>,
    /// Names of those that are online.
    pub online: Vec<String>,
    /// Whether losing quorum for a minute would fence one of them.
    pub is_ha_active: bool,
}

impl<'a> Peer<'a> {
    /// Proves root's password, or a ticket in its place (`what`), to the member and keeps the ticket it gives.
    pub fn login(
        node: &'a Node,
        address: IpAddr,
        pin: Fingerprint,
        password: &SecretString,
        what: &str,
    ) -> anyhow::Result<Self> {
        let address = SocketAddr::new(address, PORT);
        let encoded = zeroize::Zeroizing::new(percent_encode(password.expose_secret()));
        let form = SecretString::from(format!("username=root%40pam&password={}", encoded.as_str()));
        let request = Request {
            method: "POST",
            path: "/api2/json/access/ticket".to_owned(),
            form: Some(form),
            ..Request::default()
        };
        let reply = node.https(&Exchange { address, ask: Ask::Request { pin, request }, timeout: TIMEOUT });
        let reply = reply.map_err(|error| explain(error, address))?;
        let (code, reason) = reply.status.clone().unwrap_or_default();
        if code == 401 {
            bail!(
                "{address} refuses root@pam's {what} ({reason}): nothing was changed; correct the {what}, or use method \
                 brokered, which needs none"
            );
        }
        let data = data_of(&reply, "/access/ticket", address)?;
        if data.get("NeedTFA").is_some_and(|need| need != 0 && need != false) {
            bail!(
                "root@pam at {address} has a second factor, so a {what} alone can't join: use method ticket or \
                 brokered, which need no password"
            );
        }
        let ticket = data.get("ticket").and_then(Value::as_str).unwrap_or_default();
        if ticket.is_empty() || ticket.contains("!tfa!") {
            bail!(
                "root@pam at {address} got no full ticket (a second factor is asked for): use method ticket or brokered"
            );
        }
        Ok(Self { node, address, pin, ticket: percent_encode(ticket).into() })
    }

    /// The cluster the member is in; `None` when it is in none.
    pub fn cluster(&self) -> anyhow::Result<Option<PeerCluster>> {
        let status = self.get("/cluster/status")?;
        let entries = status.as_array().cloned().unwrap_or_default();
        let is_kind = |entry: &&Value, kind: &str| entry.get("type").and_then(Value::as_str) == Some(kind);
        let Some(cluster) = entries.iter().find(|entry| is_kind(entry, "cluster")) else { return Ok(None) };
        let online = entries
            .iter()
            .filter(|entry| is_kind(entry, "node") && number(entry, "online") == Some(1))
            .filter_map(|entry| text(entry, "name"))
            .collect();
        let nodes: Vec<Value> = serde_json::from_str(&self.get("/cluster/config/nodes")?.to_string())
            .context("the node list is no list")?;
        // Only a cluster of one loses quorum by an admission.
        let is_ha_active = nodes.len() == 1 && self.is_ha_active()?;
        Ok(Some(PeerCluster {
            name: text(cluster, "name").unwrap_or_default(),
            is_quorate: number(cluster, "quorate") == Some(1),
            config_version: number(cluster, "version").unwrap_or(0),
            nodes: nodes.iter().map(conf_node).collect(),
            online,
            is_ha_active,
        }))
    }

    /// Whether a local resource manager holds its watchdog: `NODE (STATE, TIME)` in the API (PVE/API2/HA/Status.pm).
    fn is_ha_active(&self) -> anyhow::Result<bool> {
        let status = self.get("/cluster/ha/status/current")?;
        let managers = status.as_array().into_iter().flatten();
        let mut states = managers.filter(|entry| text(entry, "type").as_deref() == Some("lrm"));
        Ok(states.any(|entry| {
            let told = text(entry, "status").unwrap_or_default();
            ["(active,", "(lost_agent_lock,"].iter().any(|state| told.contains(state))
        }))
    }

    fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = Request {
            method: "GET",
            path: format!("/api2/json{path}"),
            ticket: Some(self.ticket.clone()),
            form: None,
        };
        let ask = Ask::Request { pin: self.pin, request };
        let reply = self.node.https(&Exchange { address: self.address, ask, timeout: TIMEOUT });
        data_of(&reply.map_err(|error| explain(error, self.address))?, path, self.address)
    }
}

/// The certificate that an API serves at this moment.
pub fn served_certificate(
    node: &Node,
    address: IpAddr,
    timeout: Duration,
) -> Result<Fingerprint, HttpsError> {
    let address = SocketAddr::new(address, PORT);
    node.https(&Exchange { address, ask: Ask::Certificate, timeout }).map(|reply| reply.certificate)
}

fn data_of(reply: &Reply, path: &str, address: SocketAddr) -> anyhow::Result<Value> {
    #[derive(Deserialize)]
    struct Envelope {
        #[serde(default)]
        data: Value,
    }
    let (code, reason) = reply.status.clone().unwrap_or_default();
    if code != 200 {
        bail!("{address} answers {code} {reason:?} to {path}: see its pveproxy and pvedaemon journals");
    }
    let envelope: Envelope = serde_json::from_str(&reply.body)
        .map_err(|_| anyhow::anyhow!("{address} answers {path} with something that is not JSON"))?;
    Ok(envelope.data)
}

fn explain(error: HttpsError, address: SocketAddr) -> anyhow::Error {
    let remedy = match &error {
        HttpsError::OtherCertificate { .. } => {
            "compare with \"pvenode cert info\" on the peer and correct the fingerprint, or find out who \
             answers in its place"
        }
        HttpsError::Unreachable { .. } => {
            "see that the peer is up and that no firewall keeps TCP 8006 closed"
        }
        _ => "see that pveproxy runs on the peer and speaks TLS 1.3 with an RSA key",
    };
    anyhow::anyhow!("the API of peer {address} can't be used: {error}; {remedy}")
}

/// The API gives numbers as text in some places and as numbers in others.
fn number(entry: &Value, key: &str) -> Option<u64> {
    match entry.get(key)? {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64(),
    }
}

fn text(entry: &Value, key: &str) -> Option<String> {
    entry.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn conf_node(entry: &Value) -> ConfNode {
    let links = (0..=crate::corosync_conf::MAX_LINK)
        .filter_map(|link| Some((link, text(entry, &format!("ring{link}_addr"))?)))
        .collect();
    let small = |key: &str| number(entry, key).and_then(|value| u32::try_from(value).ok());
    ConfNode {
        name: text(entry, "name").or_else(|| text(entry, "node")).unwrap_or_default(),
        nodeid: small("nodeid").unwrap_or(0),
        votes: small("quorum_votes").unwrap_or(1),
        links,
    }
}
