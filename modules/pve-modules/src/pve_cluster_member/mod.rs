//! `pve_cluster_member`: admits nodes on a member, and takes nodes off the list.

mod absent;
mod plan;
mod spec;

use ansible_module::{Diff, Failure, Invocation, Module, Outcome};
use pve::admission::{self, Request};
use pve::operation::{Kind, Work};
use pve::{Node, observe, seal};
use serde_json::{Map, Value};

use crate::operating::Session;
use spec::{Args, State};

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    let args: Args = call.args()?;
    for key in args.nodes.iter().filter_map(|asked| asked.public_key.as_ref()) {
        seal::parse_public_key(key)?;
    }
    match args.state {
        State::Present => admit(node, call, &args),
        State::Absent => absent::remove(node, call, &args),
    }
}

fn admit(node: &Node, call: &Invocation, args: &Args) -> Result<Outcome, Failure> {
    let nodes = args.nodes.iter().map(spec::Asked::newcomer).collect();
    let request = Request { cluster_name: args.cluster_name.clone(), nodes, asked_by: None };
    let target = request.target();
    let mut session = Session::begin(node, args.timeout, call.check_mode, Kind::Admit, |_| target)?;
    session.audit = args.audit;
    if let Some(text) = session.unsettled.take() {
        return Ok(session.outcome(true, text));
    }
    let cluster = &args.cluster_name;
    session.about(cluster, None, request.names());
    let what =
        format!("member {:?} can't admit {} to {cluster:?}", session.facts.node, request.names().join(", "));
    let plan = plan::plan(&session.facts, args).map_err(|faults| session.refusal(&what, &faults))?;
    let decision = plan.decision;
    let names: Vec<&String> = decision.admit.iter().map(|newcomer| &newcomer.name).collect();
    let is_needed = !names.is_empty();
    if call.check_mode {
        let msg = sentence(&decision, cluster, "would be admitted");
        let outcome = session.outcome(is_needed, msg);
        let outcome = if is_needed { outcome.diff(conf_diff(plan.before, plan.after)) } else { outcome };
        return Ok(told(outcome, &decision, Map::new()));
    }
    if is_needed {
        session.perform(Work::Admit(request))?;
    }
    let mut material = Map::new();
    // A node that is online may have been cut off in its join, and must then begin it anew: who has a key gets material.
    for (asked, key) in args.nodes.iter().filter_map(|asked| Some((asked, asked.public_key.as_deref()?))) {
        let sealed =
            session.look("seal join material", |node| admission::sealed_material(node, &asked.name, key))?;
        material.insert(asked.name.clone(), Value::String(sealed));
    }
    let after = observe::shared_conf(node)?;
    let version = after.as_ref().and_then(pve::corosync_conf::CorosyncConf::config_version);
    let changed = is_needed || session.attached.is_some();
    let mut outcome = session.outcome(changed, sentence(&decision, cluster, "admitted"));
    if is_needed {
        let after = after.map(|conf| conf.render()).unwrap_or_default();
        outcome = outcome.diff(conf_diff(plan.before, after));
    }
    Ok(told(outcome, &decision, material).with("config_version", version))
}

fn conf_diff(before: String, after: String) -> Diff {
    Diff::text("/etc/pve/corosync.conf", before, after)
}

fn told(outcome: Outcome, decision: &admission::Decision, material: Map<String, Value>) -> Outcome {
    let admitted: Vec<&String> = decision.admit.iter().map(|newcomer| &newcomer.name).collect();
    outcome
        .with("admitted", admitted)
        .with("pending", &decision.pending)
        .with("online", &decision.online)
        .with("join_material", material)
}

fn sentence(decision: &admission::Decision, cluster: &str, verb: &str) -> String {
    let admitted: Vec<&str> = decision.admit.iter().map(|newcomer| newcomer.name.as_str()).collect();
    let mut parts = Vec::new();
    if !admitted.is_empty() {
        parts.push(format!("{} {verb}", admitted.join(", ")));
    }
    if !decision.pending.is_empty() {
        parts.push(format!("{} listed already, not online yet", decision.pending.join(", ")));
    }
    if !decision.online.is_empty() {
        parts.push(format!("{} online already", decision.online.join(", ")));
    }
    format!("cluster {cluster:?}: {}", parts.join("; "))
}

#[cfg(test)]
mod tests;
