//! The kinds of operation: what each does, how it is undone, what the audit log says of it. The one place
//! that knows them all.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Journal, Kind, Run};
use crate::audit::Entry;
use crate::node::Node;
use crate::{admission, create, join, observe, removal, reset, withdrawal};

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
    /// Take a node that was a member off the list, and remove what it leaves.
    Remove(removal::Request),
    /// Make this node a member.
    Join(join::Request),
    /// Separate this node from its cluster.
    Reset(reset::Request),
}

impl Work {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Create(_) => Kind::Create,
            Self::Admit(_) => Kind::Admit,
            Self::Withdraw(_) => Kind::Withdraw,
            Self::Remove(_) => Kind::Remove,
            Self::Join(_) => Kind::Join,
            Self::Reset(_) => Kind::Reset,
        }
    }

    /// What it is about: the same words whenever the same is asked for.
    pub fn target(&self) -> String {
        match self {
            Self::Create(request) => request.target(),
            Self::Admit(request) => request.target(),
            Self::Withdraw(request) => request.target(),
            Self::Remove(request) => request.target(),
            Self::Join(request) => request.target(),
            Self::Reset(request) => request.target(),
        }
    }

    pub(super) fn run(self, run: &mut Run<'_>) -> anyhow::Result<Value> {
        match self {
            Self::Create(request) => create::run(run, &request),
            Self::Admit(request) => admission::run(run, &request),
            Self::Withdraw(request) => withdrawal::run(run, &request),
            Self::Remove(request) => removal::run(run, &request),
            Self::Join(request) => join::run(run, request),
            Self::Reset(request) => reset::run(run, &request),
        }
    }

    /// What is to be had undone elsewhere when the work was undone here.
    pub(super) fn take_back(&self) -> Option<TakeBack> {
        match self {
            Self::Join(request) => request.take_back(),
            _ => None,
        }
    }

    pub(super) fn audit_entry(&self) -> Entry {
        let credential = match self {
            Self::Join(request) => request.credential(),
            _ => None,
        };
        let (cluster, method, subjects) = match self {
            Self::Create(request) => (&request.cluster_name, None, vec![request.node.clone()]),
            Self::Admit(request) => (&request.cluster_name, None, request.names()),
            Self::Withdraw(request) => (&request.cluster_name, None, vec![request.name.clone()]),
            Self::Remove(request) => (&request.cluster_name, None, vec![request.name.clone()]),
            Self::Join(request) => {
                (&request.cluster_name, Some(request.method().to_owned()), vec![request.node.clone()])
            }
            Self::Reset(request) => (&request.cluster_name, None, vec![request.node.clone()]),
        };
        Entry { cluster: cluster.clone(), method, credential, subjects, ..Entry::default() }
    }
}

/// What is to be had undone elsewhere when an operation was undone on this node.
pub(super) type TakeBack = join::token::TakeBack;

/// Has it undone; tells what came of it.
pub(super) fn take_back(run: &mut Run<'_>, what: &TakeBack) -> Option<String> {
    join::token::take_back(run, what)
}

/// Undoes what an operation of a kind has done, from its journal alone. Tells whether the node is now as it
/// was; `false` when there is nothing that can be undone on this node.
pub(super) fn undo(kind: Kind, run: &mut Run<'_>) -> anyhow::Result<bool> {
    match kind {
        Kind::Create => create::undo(run),
        Kind::Join => join::undo(run),
        // What is separated or removed stays so: the next run goes on from there.
        Kind::Admit | Kind::Withdraw | Kind::Remove | Kind::Reset | Kind::Unknown => Ok(false),
    }
}

/// Whether what was cut off can be settled now, beside what is asked for, without taking from the node what cannot be had again.
pub(super) fn may_settle(node: &Node, journal: &Journal, kind: Kind, target: &str) -> anyhow::Result<()> {
    if journal.kind != Kind::Join {
        return Ok(());
    }
    let cluster = journal.marks.get("cluster_name").map(String::as_str).unwrap_or_default();
    let is_to_leave = kind == Kind::Reset && target == reset::target(&observe::own_name(node)?, cluster);
    join::may_settle(node, journal, is_to_leave)
}

/// Whether what was cut off is not taken back, but goes on.
pub(super) fn goes_on_after_a_crash(kind: Kind) -> bool {
    matches!(kind, Kind::Remove | Kind::Reset)
}

/// Finishes what an operation of a kind has all but done when its process was killed; `None` when it is not that
/// far, and has to be undone.
pub(super) fn finish(kind: Kind, run: &mut Run<'_>) -> anyhow::Result<Option<Value>> {
    match kind {
        Kind::Create => create::finish(run),
        Kind::Join => join::finish_after_crash(run),
        Kind::Remove => removal::resume(run),
        Kind::Reset => reset::resume(run),
        Kind::Admit | Kind::Withdraw | Kind::Unknown => Ok(None),
    }
}
