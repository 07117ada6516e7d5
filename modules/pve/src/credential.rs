//! Credentials that let a node join and that expire by themselves: what they have in common is how they are
//! handed over, sealed to the key that the joiner made. What each is, is its own file's business.

pub mod answer;
pub mod ask;
pub(crate) mod authorized_keys;
pub mod issue;
mod issuing;
pub mod password;
pub mod pvecm;
pub mod registry;
pub mod ticket;
pub mod token;

use std::time::UNIX_EPOCH;

use anyhow::{Context, ensure};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Node, seal};

/// What a credential is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An ssh key that can do nothing but ask for one join.
    Token,
    /// An ssh key that can do what one `pvecm add --use_ssh` of one node asks for.
    SshKey,
    /// A login of root at the API that PVE itself ends after two hours.
    Ticket,
    /// A password of root that is in place for one join.
    TemporaryPassword,
}

impl Kind {
    /// Its word in options and messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::SshKey => "ssh_key",
            Self::Ticket => "ticket",
            Self::TemporaryPassword => "temporary_password",
        }
    }
}

/// A credential on its way to the node that it is for.
#[derive(Deserialize, Serialize)]
pub struct Handover {
    version: u32,
    id: String,
    kind: Kind,
    cluster_name: String,
    node: String,
    secret: Zeroizing<String>,
    created: u64,
    expires: u64,
}

/// A credential that was opened.
pub struct Opened {
    /// Its name in records.
    pub id: String,
    /// What it is.
    pub secret: SecretString,
}

impl Handover {
    /// A credential of this moment, known by an id.
    pub fn new(
        node: &Node,
        id: &str,
        kind: Kind,
        cluster_name: &str,
        name: &str,
        secret: &SecretString,
        expires: u64,
    ) -> Self {
        Self {
            version: 1,
            id: id.to_owned(),
            kind,
            cluster_name: cluster_name.to_owned(),
            node: name.to_owned(),
            secret: Zeroizing::new(secret.expose_secret().to_owned()),
            created: seconds(node),
            expires,
        }
    }

    /// Seals it to the joiner's key.
    pub fn seal(&self, public_key: &str) -> anyhow::Result<String> {
        let plain = Zeroizing::new(serde_json::to_vec(self).context("a credential can't be written")?);
        seal::seal_bytes(public_key, &plain)
    }
}

/// Opens a credential that was sealed to this node's key; checks what it is, whom it is for, that it is not stale.
pub fn open(node: &Node, kind: Kind, cluster_name: &str, name: &str, sealed: &str) -> anyhow::Result<Opened> {
    let word = kind.word();
    let remedy = format!(
        "issue another {word} with pve_join_credential for a new join request of this node (pve_cluster_join \
         state=requested)"
    );
    let plain = seal::open_bytes(node, "the credential", sealed)
        .map_err(|error| anyhow::anyhow!("{error:#}: {remedy}"))?;
    let read: Option<Handover> =
        std::str::from_utf8(&plain).ok().and_then(|text| serde_json::from_str(text).ok());
    let read = read.filter(|read| read.version == 1);
    let read =
        read.with_context(|| format!("the credential is of another form than this program knows: {remedy}"))?;
    ensure!(read.kind == kind, "the credential is a {}, not a {word}: {remedy}", read.kind.word());
    ensure!(read.node == name, "the credential is for node {:?} and this is {name:?}: {remedy}", read.node);
    ensure!(
        read.cluster_name == cluster_name,
        "the credential is of cluster {:?}, not {cluster_name:?}: {remedy}",
        read.cluster_name
    );
    ensure!(
        seal::is_fresh(node, read.created, read.expires),
        "the credential expired, or the clocks of the nodes differ: {remedy}, and see that time is synchronised"
    );
    Ok(Opened { id: read.id, secret: SecretString::from(read.secret.as_str()) })
}

/// Seconds since 1970 on the node's clock.
pub fn seconds(node: &Node) -> u64 {
    node.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Whether two texts are the same, in a time that tells nothing of where they differ.
pub(crate) fn is_same_secret(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}
