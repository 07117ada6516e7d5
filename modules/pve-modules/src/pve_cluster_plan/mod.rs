//! `pve_cluster_plan`: who creates the cluster and who joins it. Pure: looks at nothing but its arguments.

mod spec;

use ansible_module::{Diff, Failure, Invocation, Module, Outcome};
use pve::Node;
use pve::cluster_plan::{self, Action, Decision, Plan, Request, Votes};
use pve::inventory::WantedNode;
use serde_json::{Map, Value, json};

use crate::ranges;
use crate::steps::Steps;

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    ranges::check(&call.params)?;
    let args: spec::Args = call.args()?;
    let steps = Steps::start(node);
    let fail_on_refuse = args.fail_on_refuse;
    let request = Request::try_from(args)?;
    let plan = cluster_plan::plan(&request);
    let mut fields = fields(&request, &plan);
    fields.insert("elapsed".to_owned(), json!(steps.elapsed(node)));

    let refusals = plan.refusals();
    if fail_on_refuse && !refusals.is_empty() {
        let reasons: Vec<String> =
            refusals.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
        let msg = format!("{} cannot be formed as wanted\n{}", request.cluster_name, reasons.join("\n"));
        return Err(Failure::new(msg).with_fields(fields));
    }
    // Nothing is changed here. In check mode the play changes nothing either, and Ansible shows only diffs of what
    // changed: so there it is said whether the play would change anything.
    let changed = call.check_mode && plan.has_work();
    let outcome = Outcome::new(changed, sentence(&request, &plan)).with_fields(fields);
    Ok(diffs(&request, &plan).into_iter().fold(outcome, Outcome::diff))
}

fn fields(request: &Request, plan: &Plan) -> Map<String, Value> {
    let decisions: Map<String, Value> =
        plan.decisions.iter().map(|(name, decision)| (name.clone(), json!(decision))).collect();
    let fields = json!({
        "plan": decisions,
        "primary": plan.primary,
        "joins": plan.joins,
        "waves": plan.waves,
        "nodes": plan.nodes,
        "peers": peers(request, plan),
        "members": plan.members,
        "forecast": plan.forecast,
        "notes": plan.notes,
        "config_version": plan.config_version,
        "report": cluster_plan::lines(plan),
    });
    fields.as_object().cloned().unwrap_or_default()
}

/// The nodes with what of their facts others are compared with: all facts of all nodes for every node would be much.
fn peers(request: &Request, plan: &Plan) -> Vec<Value> {
    let peer = |node: &WantedNode| {
        let mut peer = json!(node);
        let info = request.nodes.iter().find(|asked| asked.name == node.name).and_then(WantedNode::facts);
        if let Some(facts) = info {
            peer["info"] = json!({
                "node": facts.node,
                "machine_id": facts.machine_id,
                "version": facts.version,
                "addresses": facts.addresses,
                "host_keys": facts.host_keys,
            });
        }
        peer
    };
    plan.nodes.iter().map(peer).collect()
}

fn sentence(request: &Request, plan: &Plan) -> String {
    let name = &request.cluster_name;
    let with = |action: Action| -> Vec<&str> {
        let chosen = plan.decisions.iter().filter(|(_, decision)| decision.action == action);
        chosen.map(|(name, _)| name.as_str()).collect()
    };
    let (refused, creates) = (with(Action::Refuse), with(Action::Create));
    let mut parts = Vec::new();
    parts.extend(creates.first().map(|creator| format!("{creator} creates {name:?}")));
    if !plan.joins.is_empty() {
        let verb = if plan.joins.len() == 1 { "joins" } else { "join" };
        let waves: Vec<String> = plan.waves.iter().map(|wave| wave.join(", ")).collect();
        parts.push(format!("{} {verb}", waves.join(", then ")));
    }
    if !refused.is_empty() {
        parts.push(format!("refused: {}", refused.join(", ")));
    }
    if parts.is_empty() {
        return format!("{name:?} is as it should be: {}", plan.members.join(", "));
    }
    parts.join("; ")
}

fn diffs(request: &Request, plan: &Plan) -> Vec<Diff> {
    if !plan.has_work() {
        return Vec::new();
    }
    let header = format!("plan of cluster {:?}", request.cluster_name);
    vec![
        Diff::text(&header, standing(plan), outlook(plan)),
        Diff::text("/etc/pve/corosync.conf", plan.conf_before.as_str(), plan.conf_after.as_str()),
    ]
}

/// One line for each node as it is now.
fn standing(plan: &Plan) -> String {
    let line = |name: &str, decision: &Decision| match decision.action {
        Action::Create | Action::Join => format!("{name}: in no cluster\n"),
        _ => format!("{name}: {}\n", decision.reason),
    };
    let mut text: String = plan.decisions.iter().map(|(name, decision)| line(name, decision)).collect();
    text.push_str(&votes(plan.forecast.first().map(|step| step.before)));
    text
}

/// One line for each node as it will be.
fn outlook(plan: &Plan) -> String {
    let primary = plan.primary.as_deref().unwrap_or_default();
    let line = |name: &str, decision: &Decision| match decision.action {
        Action::Create => format!("{name}: creates the cluster\n"),
        Action::Join => {
            let wave = plan.waves.iter().position(|wave| wave.iter().any(|other| other == name)).unwrap_or(0);
            format!("{name}: joins through {primary} in wave {}\n", wave + 1)
        }
        _ => format!("{name}: {}\n", decision.reason),
    };
    let mut text: String = plan.decisions.iter().map(|(name, decision)| line(name, decision)).collect();
    text.push_str(&votes(plan.forecast.last().map(|step| step.after)));
    text
}

fn votes(votes: Option<Votes>) -> String {
    let Votes { online_votes, expected_votes, quorum, tolerated_failures } = votes.unwrap_or_default();
    format!(
        "votes: {online_votes} of {expected_votes}, quorum {quorum}, failures survived: {tolerated_failures}\n"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pve::fake::{Fake, golden};
    use pve::gather::gather;

    use super::*;
    use crate::calling::{self, invocation};

    fn fresh(name: &str) -> Value {
        let address = format!("10.88.0.1{}", name.trim_start_matches("pve"));
        let info = gather(&Fake::standalone(name, &address).node(), Duration::from_secs(1));
        json!({"name": name, "address": address, "info": info})
    }

    fn call(args: Value) -> (Invocation, Node, Fake) {
        let fake = Fake::standalone("controller", "10.88.0.1");
        (invocation(&MODULE, args), fake.node(), fake)
    }

    #[test]
    fn the_plan_of_fresh_nodes_is_told_in_fields_and_words() {
        let (call, node, fake) =
            call(json!({"cluster_name": "oracle", "nodes": [fresh("pve1"), fresh("pve2")]}));
        let result = calling::fields(run(&node, &call));
        assert_eq!(result["msg"], "pve1 creates \"oracle\"; pve2 joins");
        assert_eq!(
            result["plan"]["pve2"],
            json!({"action": "join", "reason": "it is in no cluster: it joins"})
        );
        assert_eq!((&result["primary"], &result["joins"]), (&json!("pve1"), &json!(["pve2"])));
        let forecast = json!({"nodes": ["pve2"], "action": "join", "quorate_meanwhile": false,
            "before": {"online_votes": 1, "expected_votes": 1, "quorum": 1, "tolerated_failures": 0},
            "after": {"online_votes": 2, "expected_votes": 2, "quorum": 2, "tolerated_failures": 0}});
        assert_eq!(result["waves"], json!([["pve2"]]));
        let links = json!([{"number": 0, "address": "10.88.0.12"}]);
        let args = json!({"cluster_name": "oracle", "nodes": [fresh("pve2")], "link_networks": {"0": "10.88.0.0/24"}});
        let chosen = calling::fields(run(&node, &invocation(&MODULE, args)));
        assert_eq!(
            chosen["nodes"],
            json!([{"name": "pve2", "address": "10.88.0.12", "links": links,
            "version": "9.1.10"}])
        );
        assert_eq!(result["forecast"][1], forecast);
        assert_eq!(result["changed"], false);
        assert!(fake.calls().is_empty());
    }

    #[test]
    fn in_check_mode_the_diff_shows_who_joins_whom_and_corosync_conf() {
        let nodes = json!([fresh("pve1"), fresh("pve2"), fresh("pve3")]);
        let (mut call, node, _fake) = call(json!({"cluster_name": "oracle", "nodes": nodes}));
        call.check_mode = true;
        let outcome = run(&node, &call).unwrap();
        assert!(outcome.changed);
        let text = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).unwrap().to_owned();
        assert_eq!(
            text(&outcome.diff[0].before),
            "pve1: in no cluster\npve2: in no cluster\npve3: in no cluster\n\
                                                   votes: 0 of 0, quorum 0, failures survived: 0\n"
        );
        assert_eq!(
            text(&outcome.diff[0].after),
            "pve1: creates the cluster\npve2: joins through pve1 in wave 1\npve3: joins through pve1 in wave 2\n\
             votes: 3 of 3, quorum 2, failures survived: 1\n"
        );
        assert_eq!(text(&outcome.diff[1].before), "");
        let conf = golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve");
        assert_eq!(text(&outcome.diff[1].after), conf);
    }

    #[test]
    fn a_refusal_fails_with_every_reason_and_the_same_fields() {
        let nodes = json!([fresh("pve1"), {"name": "pve2", "address": "10.88.0.12", "info": null}]);
        let (call, node, _fake) = call(json!({"cluster_name": "oracle", "nodes": nodes}));
        let result = calling::fields(run(&node, &call));
        assert_eq!(result["failed"], true);
        let lines: Vec<&str> = result["msg"].as_str().unwrap().lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[1].starts_with("pve1: no cluster is known, but pve2 could not be looked at"),
            "{lines:?}"
        );
        assert_eq!(result["plan"]["pve1"]["action"], "refuse");
        assert_eq!(result["joins"], json!([]));
    }

    #[test]
    fn reporting_only_does_not_fail() {
        let nodes = json!([{"name": "pve2", "address": "10.88.0.12"}]);
        let args = json!({"cluster_name": "oracle", "nodes": nodes, "fail_on_refuse": false});
        let (call, node, _fake) = call(args);
        let outcome = run(&node, &call).unwrap();
        assert_eq!((outcome.changed, outcome.msg.as_str()), (false, "refused: pve2"));
    }

    #[test]
    fn a_formed_cluster_plans_nothing_and_shows_no_diff() {
        let conf = golden::file_in("05-single-node/files/corosync-conf-pve");
        let info = gather(&Fake::member("pve1", "10.88.0.11", &conf).node(), Duration::from_secs(1));
        let nodes = json!([{"name": "pve1", "address": "10.88.0.11", "info": info}]);
        let (mut call, node, _fake) = call(json!({"cluster_name": "oracle", "nodes": nodes}));
        call.check_mode = true;
        let outcome = run(&node, &call).unwrap();
        assert_eq!((outcome.changed, outcome.diff.len()), (false, 0));
        assert_eq!(outcome.msg, "\"oracle\" is as it should be: pve1");
        assert_eq!(
            (&outcome.data["members"], &outcome.data["config_version"]),
            (&json!(["pve1"]), &json!(1))
        );
    }
}
