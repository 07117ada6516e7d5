//! The tokens that a cluster has issued, in a directory of pmxcfs that only root reads: what each may do, until
//! when, and who spent it. Never the secret: only the public half of its key.
//!
//! Spending is a `mkdir`, of which pmxcfs lets exactly one node be the maker.

use std::fs;
use std::io;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{Kind, is_same_secret, seconds, token};
use crate::Node;
use crate::node::FileMode;

/// Where tokens are registered.
pub const DIR: &str = "/etc/pve/priv/sddc-pve/tokens";

/// A token as the cluster knows it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default)]
pub struct Registered {
    /// Its name.
    pub id: String,
    /// Cluster name.
    pub cluster_name: String,
    /// Public half of its key, as authorized_keys has it.
    pub public_key: String,
    /// The only node that may use it.
    pub node: Option<String>,
    /// The only addresses that sshd takes its key from; any where none is given.
    pub from: Vec<String>,
    /// Seconds since 1970.
    pub issued: u64,
    /// Seconds since 1970.
    pub expires: u64,
    /// Member that issued it.
    pub issued_on: String,
    /// Its key serves `pvecm add --use_ssh` of its node, and no question for material.
    pub for_pvecm: bool,
    /// Who issued it goes on where the member that admits can't write its audit trail.
    pub is_audit_optional: bool,
}

impl Registered {
    /// What it is called in options and records.
    pub fn kind(&self) -> Kind {
        if self.for_pvecm { Kind::SshKey } else { Kind::Token }
    }
}

/// Who spent a token.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default)]
pub struct Spender {
    /// Node name.
    pub node: String,
    /// The key that the join material is sealed to.
    pub public_key: String,
    /// Seconds since 1970.
    pub time: u64,
}

/// How a token stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody used it.
    Unspent,
    /// Somebody did.
    Spent(Spender),
    /// Somebody is about to, or was cut off in doing so.
    HalfSpent,
}

/// Registers a token.
pub fn register(node: &Node, token: &Registered) -> anyhow::Result<()> {
    node.create_private_dir(&dir(&token.id)?)?;
    let text = serde_json::to_vec(token).context("a token can't be written down")?;
    node.write(&format!("{}/token.json", dir(&token.id)?), &text, FileMode::Private).map(|_| ())
}

/// The token of an id; `None` when it is not registered, or no more.
pub fn find(node: &Node, id: &str) -> anyhow::Result<Option<Registered>> {
    let text = node.read(&format!("{}/token.json", dir(id)?))?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Ids of all that is registered, also of what can't be read.
pub fn ids(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut ids = node.list(DIR)?;
    ids.retain(|id| token::is_id(id));
    Ok(ids)
}

/// How a token stands.
pub fn standing(node: &Node, id: &str) -> anyhow::Result<Standing> {
    let spent = format!("{}/spent", dir(id)?);
    if !node.exists(&spent) {
        return Ok(Standing::Unspent);
    }
    let text = node.read(&format!("{spent}/by.json"))?;
    Ok(match text.and_then(|text| serde_json::from_str(&text).ok()) {
        Some(spender) => Standing::Spent(spender),
        None => Standing::HalfSpent,
    })
}

/// Spends a token for a node and the key that it made; the node that did so before gets it again.
pub fn spend(node: &Node, id: &str, name: &str, public_key: &str) -> anyhow::Result<()> {
    let spent = format!("{}/spent", dir(id)?);
    match fs::create_dir(node.path(&spent)) {
        Ok(()) => {
            let spender =
                Spender { node: name.to_owned(), public_key: public_key.to_owned(), time: seconds(node) };
            let text = serde_json::to_vec(&spender).context("a spender can't be written down")?;
            node.write(&format!("{spent}/by.json"), &text, FileMode::Private).map(|_| ())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            ensure_spent_by(node, id, name, public_key)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!("token {id} was revoked"),
        Err(error) => Err(error).with_context(|| {
            format!("token {id} can't be spent: /etc/pve is not writable here, as without quorum")
        }),
    }
}

/// An error unless the token was spent by this very node with this very key.
pub fn ensure_spent_by(node: &Node, id: &str, name: &str, public_key: &str) -> anyhow::Result<()> {
    match standing(node, id)? {
        Standing::Unspent => bail!("token {id} has not been used"),
        Standing::HalfSpent => bail!(
            "token {id} is being used by another node at this moment, or was by one that was cut off: issue another"
        ),
        Standing::Spent(spender) => {
            ensure!(
                spender.node == name && is_same_secret(spender.public_key.as_bytes(), public_key.as_bytes()),
                "token {id} was used already, by node {:?}: a token is good for one node; issue another",
                spender.node
            );
            Ok(())
        }
    }
}

/// Forgets a token; tells whether there was one.
pub fn forget(node: &Node, id: &str) -> anyhow::Result<bool> {
    let dir = dir(id)?;
    match fs::remove_dir_all(node.path(&dir)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove {dir:?}")),
    }
}

fn dir(id: &str) -> anyhow::Result<String> {
    ensure!(token::is_id(id), "{id:?} is no token's id: see pve_join_credential_info");
    Ok(format!("{DIR}/{id}"))
}
