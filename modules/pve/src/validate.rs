//! Whether a cluster is as it should be, as one member sees it, and whether all members see the same. Each look
//! is a list of checks; waiting until all pass is the caller's.

mod checks;
mod former;
mod view;

use std::time::Duration;

use crate::facts::NodeFacts;
use crate::gather::gather;
use crate::verdict::{CheckReport, Severity};
use crate::{Deadline, Node, Progress};
pub(crate) use former::keys_of_former_nodes;
pub(crate) use view::NONCES;
pub use view::View;

/// Checks, by id, how bad it is where they fail, and what they make sure of.
pub const CHECKS: &[(&str, Severity, &str)] = &[
    ("in-cluster", Severity::Error, "The node is in the cluster of that name."),
    ("quorate", Severity::Error, "corosync and pmxcfs both have quorum."),
    (
        "qdevice-votes",
        Severity::Error,
        "A quorum device that is configured casts its vote, by this member's corosync-qdevice too, which comes back after a \
         boot.",
    ),
    (
        "members-complete",
        Severity::Error,
        "The cluster lists exactly the expected nodes, and all are online for corosync and pmxcfs.",
    ),
    (
        "config-current",
        Severity::Error,
        "corosync has the corosync.conf that pmxcfs has, that of every member runs with it, and its findings are none.",
    ),
    (
        "links-connected",
        Severity::Error,
        "Every link is on an address of this node, and connected to every other node.",
    ),
    ("pmxcfs-writable", Severity::Error, "A lock can be made and removed below C(/etc/pve/priv/lock)."),
    (
        "certificates",
        Severity::Error,
        "Every node has its certificate; this node's is of its key and of the cluster's authority, has not ended, and is \
         the one that its API shows.",
    ),
    ("services-enabled", Severity::Error, "The services of a member run and come back after a boot."),
    (
        "no-remnants",
        Severity::Error,
        "No operation is left without an end, and the node is in its own cluster's list.",
    ),
    (
        "no-former-members",
        Severity::Warning,
        "No files and no authorised keys are left of nodes that the cluster does not list.",
    ),
    ("time-synchronised", Severity::Error, "The clock follows a reference."),
    (
        "clocks-agree",
        Severity::Error,
        "The clock is less than 300 seconds from those of other members; what is certainly 1 second and more is a \
         warning (their APIs' dates have whole seconds).",
    ),
    (
        "replicated",
        Severity::Error,
        "What each member wrote below C(/etc/pve) when it was looked at is read on this one.",
    ),
    ("views-complete", Severity::Error, "There is a view of every node."),
    (
        "views-agree",
        Severity::Error,
        "All views show the same: configuration, members, addresses, certificate authority, certificates \
                     and content of C(/etc/pve).",
    ),
];

/// What is expected of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Cluster name.
    pub cluster_name: String,
    /// Names of all nodes; those listed when absent.
    pub nodes: Option<Vec<String>>,
    /// Number of nodes.
    pub count: Option<usize>,
    /// Links; those configured when absent.
    pub links: Option<Vec<u8>>,
    /// What other members saw; nothing to compare when absent.
    pub views: Option<Vec<View>>,
    /// Nothing may be written, not even a lock.
    pub is_read_only: bool,
}

/// One look at the cluster.
#[derive(Clone, Debug)]
pub struct Look {
    /// Facts of the node.
    pub facts: NodeFacts,
    /// What it sees; `None` when it is in no cluster of that name.
    pub view: Option<View>,
    /// What was found.
    pub checks: Vec<CheckReport>,
}

impl Look {
    /// Whether no check fails the whole.
    pub fn is_good(&self) -> bool {
        !self.checks.iter().any(CheckReport::is_fatal)
    }

    /// Whether looking again can help: what other nodes saw earlier stays as it is.
    fn is_final(&self) -> bool {
        let fatal = || self.checks.iter().filter(|check| check.is_fatal());
        (self.facts.cluster.is_none() && self.facts.problems.is_empty())
            || (fatal().count() > 0 && fatal().all(|check| check.id == "views-complete"))
    }
}

/// Looks once.
pub fn look(node: &Node, expected: &Expected, timeout: Duration) -> Look {
    look_again(node, expected, timeout, None)
}

/// Looks once more; what an earlier look wrote for the others is kept, since of many looks they would keep the last few
/// only, and somebody else's not at all.
fn look_again(node: &Node, expected: &Expected, timeout: Duration, written: Option<String>) -> Look {
    let facts = gather(node, timeout);
    // Not when views are compared: what was written for them is still to be read by the others.
    let nonce = match (&facts.cluster, expected.is_read_only || expected.views.is_some()) {
        (Some(cluster), false) if cluster.name == expected.cluster_name => {
            written.or_else(|| view::write_nonce(node, &facts.node))
        }
        _ => None,
    };
    let view =
        View::of(node, &facts, &expected.cluster_name).map(|view| view.map(|view| View { nonce, ..view }));
    let (view, unread) = match view {
        Ok(view) => (view, None),
        Err(error) => (None, Some(error)),
    };
    let checks = checks::run(node, &facts, view.as_ref(), unread, expected, timeout);
    Look { facts, view, checks }
}

/// What waiting for a good cluster saw.
#[derive(Debug)]
pub struct Waited {
    /// The last look.
    pub look: Look,
    /// How many there were.
    pub looks: u32,
    /// The deadline passed while all was good, and had not been for as long as it should.
    pub is_unproven: bool,
}

/// Looks until all is good, and stays so for `stable_for`, or the deadline passes; the last look in any case.
pub fn wait_until_good(
    node: &Node,
    expected: &Expected,
    stable_for: Duration,
    deadline: Deadline,
) -> anyhow::Result<Waited> {
    let program_limit = Duration::from_secs(10);
    let (mut last, mut looks, mut good_since) = (None::<Look>, 0, None);
    let waited = deadline.wait(node, "the cluster to be as it should be", Duration::from_millis(500), || {
        let limit = deadline.left(node).clamp(Duration::from_secs(1), program_limit);
        // What was written in worse times may not have come to the others.
        let earlier = last.take().filter(Look::is_good).and_then(|look| look.view?.nonce);
        let seen = look_again(node, expected, limit, earlier);
        looks += 1;
        let is_good = seen.is_good();
        let since = if is_good { *good_since.get_or_insert(node.monotonic()) } else { node.monotonic() };
        if !is_good {
            good_since = None;
        }
        let is_over = seen.is_final() || (is_good && node.monotonic().saturating_sub(since) >= stable_for);
        last = Some(seen);
        Ok(if is_over { Progress::Done(()) } else { Progress::Pending(String::new()) })
    });
    match last {
        Some(look) => {
            let is_unproven = waited.is_err() && look.is_good();
            Ok(Waited { look, looks, is_unproven })
        }
        // Only when the wait itself failed before the first look.
        None => waited.and_then(|()| anyhow::bail!("the cluster was never looked at: please report it")),
    }
}

#[cfg(test)]
mod tests;
