//! `pve_cluster_reset`: separates this node from its cluster.

mod plan;
mod spec;

use ansible_module::{Diff, Failure, Invocation, Module, Outcome};
use pve::operation::{Kind, Work};
use pve::{Node, reset};
use serde_json::{Value, json};

use crate::operating::Session;
use plan::Plan;
use spec::Args;

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    let args: Args = call.args()?;
    let cluster = args.confirm.clone();
    let target = |own: &str| reset::target(own, &cluster);
    let mut session = Session::begin(node, args.timeout, call.check_mode, Kind::Reset, target)?;
    if let Some(text) = session.unsettled.take() {
        return Ok(session.outcome(true, text));
    }
    let name = session.facts.node.clone();
    let what = format!("node {name:?} can't be reset");
    let plan = plan::plan(&session.facts, &args).map_err(|faults| session.refusal(&what, &faults))?;
    // Without the cluster's configuration only the journal of a reset that failed tells who the others were.
    let earlier = match session.facts.cluster {
        Some(_) => None,
        None => session.look("look for a reset that failed", |node| reset::failed(node, &target(&name)))?,
    };
    let planned = match plan {
        Plan::Reset(request) => Some(request),
        Plan::Keep => None,
    };
    let Some(request) = earlier.or(planned) else {
        let seen = json!({ "node": name, "fingerprint": session.facts.fingerprint });
        let msg = format!("node {name:?} is in no cluster, and nothing is left of one");
        return Ok(with_result(session.outcome(session.attached.is_some(), msg), &seen));
    };
    let before = session.facts.cluster.as_ref().map_or(String::new(), |cluster| cluster.text.clone());
    let diff = Diff::text("/etc/pve/corosync.conf", before, "");
    if call.check_mode {
        let msg = format!("node {name:?} would leave cluster {cluster:?}");
        let seen = json!({ "node": name, "cluster": cluster });
        return Ok(with_result(session.outcome(true, msg).diff(diff), &seen));
    }
    let result = session.perform(Work::Reset(request))?;
    let msg = format!("node {name:?} left cluster {cluster:?} and can join again");
    Ok(with_result(session.outcome(true, msg).diff(diff), &result))
}

fn with_result(outcome: Outcome, result: &Value) -> Outcome {
    let keys = ["node", "cluster", "copy", "fingerprint"];
    keys.into_iter()
        .filter(|key| !result[*key].is_null())
        .fold(outcome, |outcome, key| outcome.with(key, &result[key]))
}

#[cfg(test)]
mod tests;
