//! Votes before, while and after a node joins. corosync counts a node's vote as expected from the moment it is
//! listed, and as present only when it is up.

use serde::Serialize;

use crate::admission::{Newcomer, Standing};
use crate::corosync_conf::CorosyncConf;

/// One step of the plan.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Forecast {
    /// Who does it.
    pub node: String,
    /// `create` or `join`.
    pub action: &'static str,
    /// Votes of all listed nodes before and after.
    pub expected_votes: (u32, u32),
    /// Votes needed before and after.
    pub quorum: (u32, u32),
    /// Votes present before and after.
    pub online_votes: (u32, u32),
    /// Whether the cluster stays quorate from the admission until the node is up.
    pub is_quorate_meanwhile: bool,
}

impl Forecast {
    pub(super) fn creation(node: &str, conf: &CorosyncConf) -> Self {
        let votes = conf.expected_votes();
        Self {
            node: node.to_owned(),
            action: "create",
            expected_votes: (0, votes),
            quorum: (0, votes / 2 + 1),
            online_votes: (0, votes),
            is_quorate_meanwhile: true,
        }
    }

    pub(super) fn join(
        node: &str,
        conf: &CorosyncConf,
        standing: &Standing,
        is_pending: bool,
        newcomer: &Newcomer,
    ) -> Self {
        let votes = newcomer.votes.unwrap_or(1);
        let before = conf.expected_votes();
        let after = if is_pending { before } else { before + votes };
        let online: u32 = standing
            .nodes
            .iter()
            .filter(|listed| standing.online.contains(&listed.name))
            .map(|listed| listed.votes)
            .sum();
        Self {
            node: node.to_owned(),
            action: "join",
            expected_votes: (before, after),
            quorum: (before / 2 + 1, after / 2 + 1),
            online_votes: (online, online + votes),
            is_quorate_meanwhile: online > after / 2,
        }
    }
}
