//! `pve_cluster_join`: makes this node a member of a cluster, or leaves it as it was.

mod entry;
mod plan;
mod spec;
pub mod token_file;

use ansible_module::{Diff, Failure, Invocation, Module, Outcome};
use pve::join::{self, How, Request, is_complete, stopped_proof};
use pve::operation::{Kind, Work};
use pve::{Node, observe, seal};
use serde_json::{Value, json};

use crate::operating::{Audit, Session, links_or_own};
use plan::Plan;
use spec::{Args, State};

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    let args: Args = call.args()?;
    match args.state {
        State::Requested => request(node, call, args.audit),
        State::Present => join(node, call, args),
    }
}

/// Makes a key for this join. The key lies below /run and is of use for one hour: no change of the node.
fn request(node: &Node, call: &Invocation, audit: Audit) -> Result<Outcome, Failure> {
    observe::is_root(node)?;
    let name = observe::own_name(node)?;
    if !call.check_mode && audit == Audit::Required {
        // Here, since a member admits the node before its join is begun.
        pve::audit::ensure_writable(node)?;
    }
    let request = if call.check_mode { seal::sample_request(&name) } else { seal::request(node, &name)? };
    let msg = format!("node {name:?} has a key for join material");
    Ok(Outcome::unchanged(msg).with("join_request", request).with("steps", [0; 0]).with("elapsed", 0))
}

fn join(node: &Node, call: &Invocation, args: Args) -> Result<Outcome, Failure> {
    let cluster = args.cluster_name.clone();
    let target = |own: &str| join::target(own, &cluster);
    let mut session = Session::begin(node, args.timeout, call.check_mode, Kind::Join, target)?;
    session.audit = args.audit;
    if let Some(text) = session.unsettled.take() {
        return Ok(session.outcome(true, text));
    }
    let name = session.facts.node.clone();
    session.about(&cluster, call.params.get("method").and_then(Value::as_str), vec![name.clone()]);
    let links = links_or_own(args.links.clone(), &session.facts);
    let wait_for_api = args.wait_for_api;
    let what = format!("node {name:?} can't join cluster {cluster:?}");
    let plan = plan::plan(&session.facts, &cluster, &links, is_complete(node, &name))
        .map_err(|faults| session.refusal(&what, &faults))?;
    if plan == Plan::Keep {
        let msg = format!("node {name:?} is a member of cluster {cluster:?}");
        let seen = seen(&session);
        return Ok(with_proof(session.outcome(session.attached.is_some(), msg), &seen));
    }
    let (how, forecast) = match plan {
        Plan::Finish => (Some(How::Finish), entry::Forecast::default()),
        _ => entry::check(&mut session, call.check_mode, args, &links, &what)
            .map_err(|failure| with_stopped(node, &name, failure))?,
    };
    let Some(how) = how.filter(|_| !call.check_mode) else {
        let msg = match plan {
            Plan::Finish => format!("node {name:?} is a member of {cluster:?} and would be completed"),
            _ => format!("node {name:?} would join cluster {cluster:?}"),
        };
        return Ok(session.outcome(true, msg).diff(forecast.diff(&name, &cluster)).with("cluster", cluster));
    };
    let request = Request {
        cluster_name: cluster.clone(),
        node: name.clone(),
        links,
        nodes_before: forecast.nodes_before,
        wait_for_api,
        how,
    };
    let result =
        session.perform(Work::Join(request)).map_err(|failure| with_stopped(node, &name, failure))?;
    let msg = match plan {
        Plan::Finish => format!("node {name:?}, a member of {cluster:?} already, was completed"),
        _ => format!("node {name:?} joined cluster {cluster:?}"),
    };
    Ok(with_proof(session.outcome(true, msg).diff(forecast.diff(&name, &cluster)), &result))
}

/// What a failed join leaves of corosync here, for who has to take the node off the cluster's list.
fn with_stopped(node: &Node, name: &str, failure: Failure) -> Failure {
    let failure = match join::nodes_before(node, name) {
        Some(count) => failure.with("nodes_before", count),
        None => failure,
    };
    match stopped_proof(node, name) {
        Ok(proof) => failure
            .with("stopped", proof.is_corosync_stopped && proof.is_configuration_gone)
            .with("stopped_proof", proof),
        Err(_) => failure.with("stopped", false),
    }
}

fn seen(session: &Session<'_>) -> Value {
    let cluster = session.facts.cluster.as_ref();
    json!({
        "node": session.facts.node,
        "cluster": cluster.map(|cluster| &cluster.name),
        "config_version": cluster.map(|cluster| cluster.config_version),
        "members": session.facts.pmxcfs.online,
        "fingerprint": session.facts.fingerprint,
    })
}

fn with_proof(outcome: Outcome, result: &Value) -> Outcome {
    let keys = ["node", "cluster", "config_version", "members", "fingerprint"];
    keys.into_iter().fold(outcome, |outcome, key| outcome.with(key, &result[key]))
}

impl entry::Forecast {
    fn diff(&self, name: &str, cluster: &str) -> Diff {
        match &self.corosync_conf {
            Some(text) => Diff::text("/etc/pve/corosync.conf", "", text.clone()),
            None => Diff::structure(
                json!({ "node": name, "cluster": null }),
                json!({ "node": name, "cluster": cluster }),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
