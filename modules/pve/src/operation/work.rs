//! The kinds of operation: what each does, how it is undone, what the audit log says of it. The one place
//! that knows them all.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Kind, Run};
use crate::audit::Entry;
use crate::{admission, create, join, withdrawal};

/// What an operation is to do, with everything it needs; may hold secrets.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Make a cluster of this node.
    Create(create::Request),
    /// List new nodes.
    Admit(admission::Request),
    /// Take a node that never came up off the list.
    Withdraw(withdrawal::Request),
    /// Make this node a member.
    Join(join::Request),
}

impl Work {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Create(_) => Kind::Create,
            Self::Admit(_) => Kind::Admit,
            Self::Withdraw(_) => Kind::Withdraw,
            Self::Join(_) => Kind::Join,
        }
    }

    /// What it is about: the same words whenever the same is asked for.
    pub fn target(&self) -> String {
        match self {
            Self::Create(request) => request.target(),
            Self::Admit(request) => request.target(),
            Self::Withdraw(request) => request.target(),
            Self::Join(request) => request.target(),
        }
    }

    pub(super) fn run(self, run: &mut Run<'_>) -> anyhow::Result<Value> {
        match self {
            Self::Create(request) => create::run(run, &request),
            Self::Admit(request) => admission::run(run, &request),
            Self::Withdraw(request) => withdrawal::run(run, &request),
            Self::Join(request) => join::run(run, request),
        }
    }

    pub(super) fn audit_entry(&self) -> Entry {
        let (cluster, method, subjects) = match self {
            Self::Create(request) => (&request.cluster_name, None, vec![request.node.clone()]),
            Self::Admit(request) => (&request.cluster_name, None, request.names()),
            Self::Withdraw(request) => (&request.cluster_name, None, vec![request.name.clone()]),
            Self::Join(request) => {
                (&request.cluster_name, Some(request.method().to_owned()), vec![request.node.clone()])
            }
        };
        Entry { cluster: cluster.clone(), method, subjects, ..Entry::default() }
    }
}

/// Undoes what an operation of a kind has done, from its journal alone. Tells whether the node is now as it
/// was; `false` when there is nothing that can be undone on this node.
pub(super) fn undo(kind: Kind, run: &mut Run<'_>) -> anyhow::Result<bool> {
    match kind {
        Kind::Create => create::undo(run),
        Kind::Join => join::undo(run),
        Kind::Admit | Kind::Withdraw | Kind::Unknown => Ok(false),
    }
}

/// Finishes what an operation of a kind has all but done when its process was killed; `None` when it is not that
/// far, and has to be undone.
pub(super) fn finish(kind: Kind, run: &mut Run<'_>) -> anyhow::Result<Option<Value>> {
    match kind {
        Kind::Create => create::finish(run),
        Kind::Join => join::finish_after_crash(run),
        Kind::Admit | Kind::Withdraw | Kind::Unknown => Ok(None),
    }
}
