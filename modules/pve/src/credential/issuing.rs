//! A token from before it is registered until whoever asked for it gets its text. Only the process that issues it ever has
//! that text: should it be killed meanwhile, the next run on this member takes away what nobody can use. Whether it still
//! runs, a lock tells that ends with it.

use std::time::Duration;

use anyhow::{Context, Result};

use super::token;
use crate::deadline::Expired;
use crate::node::{FileMode, Lock};
use crate::{Deadline, Node};

const DIR: &str = "/var/lib/sddc-pve/issuing";
/// Held while files are made, looked for and removed, so that nobody takes one for left over that was just made or ended.
const GATE: &str = "/run/sddc-pve/issuing.lock";

/// A token that is being issued.
pub struct Issuing<'a> {
    node: &'a Node,
    path: String,
    _lock: Lock,
}

impl<'a> Issuing<'a> {
    /// Notes that a token is about to be registered.
    pub fn begin(node: &'a Node, id: &str) -> Result<Self> {
        let path = format!("{DIR}/{id}");
        node.create_private_dir(DIR)?;
        let _gate = gate(node)?;
        node.write(&path, b"", FileMode::Private)?;
        let lock = node.lock(&path, Deadline::after(node, Duration::ZERO))?;
        Ok(Self { node, path, _lock: lock })
    }

    /// Its text goes to whoever asked, or it was taken away again.
    pub fn end(self) -> Result<()> {
        let _gate = gate(self.node)?;
        self.node.remove(&self.path).map(drop)
    }
}

/// The tokens that processes were issuing which are gone.
pub fn left_over(node: &Node) -> Result<Vec<Issuing<'_>>> {
    if node.list(DIR)?.is_empty() {
        return Ok(Vec::new());
    }
    let _gate = gate(node)?;
    let mut left = Vec::new();
    for id in node.list(DIR)?.into_iter().filter(|id| token::is_id(id)) {
        let path = format!("{DIR}/{id}");
        match node.lock(&path, Deadline::after(node, Duration::ZERO)) {
            Ok(lock) => left.push(Issuing { node, path, _lock: lock }),
            Err(error) if error.is::<Expired>() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(left)
}

impl Issuing<'_> {
    /// Id of the token.
    pub fn id(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

fn gate(node: &Node) -> Result<Lock> {
    node.create_private_dir(crate::seal::RUNTIME_DIR)?;
    node.lock(GATE, Deadline::after(node, Duration::from_secs(10)))
        .context("tokens are issued without end here")
}
