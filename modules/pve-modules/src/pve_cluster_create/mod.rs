//! `pve_cluster_create`: makes the first node a cluster of its own.

mod plan;
mod spec;

use ansible_module::{Diff, Failure, Invocation, Module, Outcome};
use pve::create::Request;
use pve::operation::{Kind, Work};
use pve::{Node, claim, observe};
use serde_json::{Value, json};

use crate::operating::Session;
use plan::Plan;
use spec::State;

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    let args: spec::Args = call.args()?;
    if args.state != State::Present {
        return Ok(keep(node, call, &args)?);
    }
    let cluster_name = args.cluster_name.clone();
    let target = |own: &str| request_target(&cluster_name, own);
    let mut session = Session::begin(node, args.timeout, call.check_mode, Kind::Create, target)?;
    session.audit = args.audit;
    if let Some(text) = session.unsettled.take() {
        return Ok(session.outcome(true, text));
    }
    let name = session.facts.node.clone();
    session.about(&cluster_name, None, vec![name.clone()]);
    let what = format!("node {name:?} can't create cluster {cluster_name:?}");
    let plan = plan::plan(&session.facts, &args).map_err(|faults| session.refusal(&what, &faults))?;
    match plan {
        Plan::Keep { differences } => {
            let changed = session.attached.is_some();
            session.warnings.extend(differences);
            let msg = format!("node {name:?} is a quorate member of cluster {cluster_name:?}");
            Ok(with_cluster(session.outcome(changed, msg), &seen(&session)))
        }
        Plan::Create { preview, .. } if call.check_mode => {
            let msg = format!("node {name:?} would create cluster {cluster_name:?}");
            let outcome = session.outcome(true, msg).diff(Diff::text("/etc/pve/corosync.conf", "", preview));
            Ok(with_cluster(outcome, &json!({ "cluster": cluster_name, "members": [name] })))
        }
        Plan::Create { request, .. } => {
            claim::check(node, args.claim.as_deref())?;
            let result = session.perform(Work::Create(request))?;
            let conf = node.read(pve::gather::SHARED_CONF)?.unwrap_or_default();
            let msg = format!("node {name:?} created cluster {cluster_name:?}");
            let outcome = session.outcome(true, msg).diff(Diff::text("/etc/pve/corosync.conf", "", conf));
            Ok(with_cluster(outcome, &result))
        }
    }
}

/// Keeps the node for one who is about to form a cluster, or gives it free. Lies below /run: no change of the node.
fn keep(node: &Node, call: &Invocation, args: &spec::Args) -> anyhow::Result<Outcome> {
    observe::is_root(node)?;
    let owner = args.claim.as_deref().unwrap_or_default();
    match args.state {
        _ if call.check_mode => {}
        State::Claimed => claim::take(node, owner, args.lifetime)?,
        _ => claim::give_back(node, owner)?,
    }
    Ok(Outcome::unchanged("nothing on this node has changed").with("steps", [0; 0]).with("elapsed", 0))
}

fn request_target(cluster_name: &str, own: &str) -> String {
    let request = Request {
        cluster_name: cluster_name.to_owned(),
        node: own.to_owned(),
        links: Vec::new(),
        nodeid: 1,
        votes: 1,
        token_coefficient: None,
    };
    request.target()
}

fn seen(session: &Session<'_>) -> Value {
    let cluster = session.facts.cluster.as_ref();
    json!({
        "cluster": cluster.map(|cluster| &cluster.name),
        "config_version": cluster.map(|cluster| cluster.config_version),
        "members": session.facts.pmxcfs.online,
        "fingerprint": session.facts.fingerprint,
        "node": session.facts.node,
    })
}

fn with_cluster(outcome: Outcome, result: &Value) -> Outcome {
    let keys = ["node", "cluster", "config_version", "members", "fingerprint"];
    keys.into_iter().fold(outcome, |outcome, key| outcome.with(key, &result[key]))
}

#[cfg(test)]
mod tests;
