//! Checks of a node before it becomes part of a cluster, or of a member before more join it. Each is a value
//! with a stable id; all run, side by side, and one report comes of it. Reads only.

mod clock;
mod cluster;
mod filter;
mod host;
mod identity;
mod links;
mod membership;
mod network;
mod system;
mod table;

use std::thread;
use std::time::Duration;

use crate::Node;
use crate::facts::NodeFacts;
use crate::inventory::WantedNode;
use crate::verdict::{CheckReport, Finding, Severity, Status};
pub use table::CHECKS;

/// A check. Its function's error means that it could not look, not that what it saw is wrong.
pub struct Check {
    /// Stable kebab-case name.
    pub id: &'static str,
    /// What it makes sure of, in one sentence: for the documentation, so it does not travel to the nodes.
    pub doc: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// It guards data, so cannot be ignored.
    pub is_guard: bool,
    run: fn(&Context<'_>) -> anyhow::Result<Finding>,
}

/// What the node is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The first node of a new cluster.
    Create,
    /// A node that joins one.
    Join,
    /// A member already.
    Member,
}

/// A file that is to have a certain content.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct WantedFile {
    /// Its path.
    pub path: String,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

/// What is checked against.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The cluster.
    pub cluster_name: String,
    /// All its nodes.
    pub nodes: Vec<WantedNode>,
    /// This node's name in `nodes`.
    pub own: String,
    /// Bridges that are to be up.
    pub bridges: Vec<String>,
    /// TCP ports that are to be reachable on every other node.
    pub ports: Vec<u16>,
    /// Packages that are to be installed.
    pub packages: Vec<String>,
    /// Files that are to have a certain content.
    pub files: Vec<WantedFile>,
    /// The method by which nodes are to join, where that is known.
    pub method: Option<String>,
    /// Checks that are not to fail the whole.
    pub ignore: Vec<String>,
    /// Checks that are not to be made.
    pub skip: Vec<String>,
    /// The only checks to run; all when absent.
    pub only: Option<Vec<String>>,
}

/// What a check has to look at.
struct Context<'a> {
    node: &'a Node,
    facts: &'a NodeFacts,
    wanted: &'a Wanted,
    purpose: Purpose,
    /// For each program and connection.
    timeout: Duration,
}

impl Context<'_> {
    fn own(&self) -> Option<&WantedNode> {
        self.wanted.nodes.iter().find(|node| node.name == self.wanted.own)
    }

    fn peers(&self) -> impl Iterator<Item = &WantedNode> {
        self.wanted.nodes.iter().filter(|node| node.name != self.wanted.own)
    }

    /// Whether the check was asked for by its name.
    fn is_asked_for(&self, id: &str) -> bool {
        self.wanted.only.as_ref().is_some_and(|only| only.iter().any(|wanted| wanted == id))
    }
}

/// Runs the checks. Unknown ids in `ignore`, `skip` and `only` are an error: a misspelt one would hide something.
pub fn run(
    node: &Node,
    facts: &NodeFacts,
    wanted: &Wanted,
    purpose: Purpose,
    timeout: Duration,
) -> anyhow::Result<Vec<CheckReport>> {
    let named = wanted.ignore.iter().chain(&wanted.skip).chain(wanted.only.iter().flatten());
    if let Some(unknown) = named.into_iter().find(|id| !CHECKS.iter().any(|check| check.id == **id)) {
        let known: Vec<&str> = CHECKS.iter().map(|check| check.id).collect();
        anyhow::bail!("there is no check {unknown:?}: the checks are {}", known.join(", "));
    }
    let context = Context { node, facts, wanted, purpose, timeout };
    let is_wanted =
        |check: &&Check| wanted.only.as_ref().is_none_or(|only| only.iter().any(|id| id == check.id));
    let chosen: Vec<&Check> = CHECKS.iter().filter(is_wanted).collect();
    Ok(thread::scope(|scope| {
        let context = &context;
        let running: Vec<_> =
            chosen.iter().map(|check| scope.spawn(move || report(check, context))).collect();
        let panicked = |check: &Check| {
            let defect = Err(anyhow::anyhow!("the check panicked: please report it"));
            CheckReport::new(check.id, check.severity, defect)
        };
        let ended = running.into_iter().zip(&chosen);
        ended.map(|(thread, check)| thread.join().unwrap_or_else(|_| panicked(check))).collect()
    }))
}

fn report(check: &Check, context: &Context<'_>) -> CheckReport {
    let is_skipped = !check.is_guard && context.wanted.skip.iter().any(|id| id == check.id);
    let found = match is_skipped {
        true => Finding::skipped("the task said to skip it"),
        false => (check.run)(context),
    };
    let mut report = CheckReport::new(check.id, check.severity, found);
    if report.is_unmet() && context.wanted.ignore.iter().any(|id| id == check.id) {
        if check.is_guard {
            report.hint = format!("{}; this check guards data and cannot be ignored", report.hint);
        } else {
            report.status = Status::Ignored;
        }
    }
    report
}

#[cfg(test)]
mod tests;
