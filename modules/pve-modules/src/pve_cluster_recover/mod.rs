//! `pve_cluster_recover`: what is wrong with a cluster, and those remedies of it that are safe on this node.

mod spec;

use std::time::Duration;

use ansible_module::{Failure, Invocation, Module, Outcome};
use pve::audit::{self, Entry, Origin};
use pve::inventory::WantedNode;
use pve::recovery::{self, Action, Diagnosis, Picture};
use pve::{Deadline, Node, observe};

use crate::operating::Audit;
use crate::ranges;
use crate::steps::Steps;
use spec::Args;

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

/// What this node does itself.
const OWN: [Action; 4] = [Action::Settle, Action::Adopt, Action::Reload, Action::Start];

fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    ranges::check(&call.params)?;
    let args: Args = call.args()?;
    let mut steps = Steps::start(node);
    let deadline = Deadline::after(node, Duration::from_secs(args.timeout));
    let seen = recovery::diagnose(&args.cluster_name, &args.nodes);
    let (mut applied, mut failed) = (Vec::new(), Vec::new());
    if args.apply {
        let own = observe::is_root(node).and_then(|()| observe::own_name(node));
        let own = own.map_err(|error| Failure::new(format!("{error:#}")))?;
        let mine: Vec<&Diagnosis> =
            seen.diagnoses.iter().filter(|found| found.node == own && OWN.contains(&found.action)).collect();
        if !mine.is_empty() && !call.check_mode && args.audit == Audit::Required {
            audit::ensure_writable(node).map_err(|error| Failure::new(format!("{error:#}")))?;
        }
        for found in mine {
            if call.check_mode {
                applied.push(format!("{own} [{}]: {} (would be done)", found.id, found.remedy));
                continue;
            }
            let done = steps
                .attempt(node, found.id, || recovery::apply(node, found, seen.newest.as_deref(), deadline));
            record(node, &args.cluster_name, found, done.is_ok(), &steps);
            match done {
                Ok(text) => applied.push(format!("{own} [{}]: {text}", found.id)),
                Err(error) => failed.push(format!("{own} [{}]: {error:#}", found.id)),
            }
        }
    }
    let msg = match (seen.diagnoses.len(), applied.as_slice(), failed.as_slice()) {
        (_, _, [_, ..]) => failed.join("\n"),
        (_, [_, ..], _) => applied.join("; "),
        (0, ..) => format!("nothing is wrong with {:?}", args.cluster_name),
        (count, ..) => format!("{count} things are wrong with {:?}", args.cluster_name),
    };
    let fields = [
        ("diagnoses", serde_json::json!(seen.diagnoses)),
        ("report", serde_json::json!(report(&args.nodes, &seen))),
        ("withdraw", serde_json::json!(seen.nodes(Action::Withdraw))),
        ("mend", serde_json::json!(seen.nodes(Action::Mend))),
        ("member", serde_json::json!(seen.member)),
        ("applied", serde_json::json!(applied)),
        ("steps", serde_json::json!(steps.done())),
        ("elapsed", serde_json::json!(steps.elapsed(node))),
    ];
    if failed.is_empty() {
        let outcome = Outcome::new(!applied.is_empty(), msg);
        return Ok(fields.into_iter().fold(outcome, |outcome, (key, value)| outcome.with(key, value)));
    }
    Err(fields.into_iter().fold(Failure::new(msg), |failure, (key, value)| failure.with(key, value)))
}

/// Who sees whom, then what is wrong, with its remedy.
fn report(nodes: &[WantedNode], seen: &Picture) -> Vec<String> {
    let mut lines = vec![format!("{:16} {:12} {:7} {:9} {}", "NODE", "STATE", "CONFIG", "VOTES", "SEES")];
    for node in nodes {
        let Some(facts) = node.facts() else {
            lines.push(format!("{:16} unreachable", node.name));
            continue;
        };
        let conf = facts.cluster.as_ref();
        let online =
            conf.into_iter().flat_map(|conf| &conf.nodes).filter(|listed| listed.online == Some(true));
        let online: Vec<&str> = online.map(|listed| listed.name.as_str()).collect();
        let state = serde_json::json!(facts.state);
        lines.push(format!(
            "{:16} {:12} {:7} {:9} {}",
            node.name,
            state.as_str().unwrap_or_default(),
            conf.map_or_else(|| "-".to_owned(), |conf| conf.config_version.to_string()),
            facts.quorum.as_ref().map_or_else(
                || "-".to_owned(),
                |votes| format!("{}/{}", votes.total_votes, votes.expected_votes)
            ),
            if online.is_empty() { "-".to_owned() } else { online.join(" ") }
        ));
    }
    for found in &seen.diagnoses {
        let by = if found.action == Action::Person { "by hand" } else { "safe to apply" };
        let node = if found.node.is_empty() { "cluster" } else { &found.node };
        lines.push(format!("{node} [{}] {}", found.id, found.finding));
        lines.push(format!("    {by}: {}", found.remedy));
    }
    lines
}

fn record(node: &Node, cluster: &str, found: &Diagnosis, is_done: bool, steps: &Steps) {
    let entry = Entry {
        node: found.node.clone(),
        cluster: cluster.to_owned(),
        operation: "recover".to_owned(),
        method: Some(found.id.to_owned()),
        subjects: vec![found.node.clone()],
        who: Origin::of(node),
        result: if is_done { "succeeded" } else { "failed" }.to_owned(),
        duration: steps.elapsed(node),
        ..Entry::default()
    };
    // It could be written a moment ago, where it must be.
    let _ = audit::append(node, entry);
}

#[cfg(test)]
mod tests;
