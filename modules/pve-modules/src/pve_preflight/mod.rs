//! `pve_preflight`: all checks of a node, one verdict. Reads; never changes.

mod spec;

use std::time::Duration;

use ansible_module::{Failure, Invocation, Module, Outcome};
use pve::Node;
use pve::facts::NodeFacts;
use pve::gather::gather;
use pve::preflight::{self, Purpose, Wanted};
use pve::verdict::{CheckReport, Status, fatal_lines, warning_lines};

use crate::ranges;
use crate::steps::Steps;

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    ranges::check(&call.params)?;
    let args: spec::Args = call.args()?;
    let mut steps = Steps::start(node);
    let limit = Duration::from_secs(args.timeout);
    let facts = steps.run(node, "gather facts", || gather(node, limit));
    let purpose = purpose(args.purpose, &facts, &args.cluster_name);
    let is_report_only = args.report_only;
    let wanted = Wanted { own: args.node.clone().unwrap_or_else(|| facts.node.clone()), ..args.into() };
    let checks = steps.run(node, "check", || preflight::run(node, &facts, &wanted, purpose, limit))?;

    let fatal = fatal_lines(&checks);
    let ok = fatal.is_empty();
    let msg = sentence(&facts, &checks, &fatal);
    if !ok && !is_report_only {
        let failure = Failure::new(msg)
            .with("checks", &checks)
            .with("ok", ok)
            .with("elapsed", steps.elapsed(node))
            .with("steps", steps.done());
        return Err(warning_lines(&checks).into_iter().fold(failure, Failure::warn));
    }
    let outcome = Outcome::unchanged(msg)
        .with("checks", &checks)
        .with("ok", ok)
        .with("elapsed", steps.elapsed(node))
        .with("steps", steps.done());
    Ok(match is_report_only {
        true => outcome,
        false => warning_lines(&checks).into_iter().fold(outcome, Outcome::warn),
    })
}

/// A node that is in the wanted cluster already is a member, whatever the task takes it for.
fn purpose(told: Purpose, facts: &NodeFacts, cluster_name: &str) -> Purpose {
    let is_in_it = facts.cluster.as_ref().is_some_and(|cluster| cluster.name == cluster_name);
    if is_in_it { Purpose::Member } else { told }
}

fn sentence(facts: &NodeFacts, checks: &[CheckReport], fatal: &[String]) -> String {
    let count = |status: Status| checks.iter().filter(|check| check.status == status).count();
    if fatal.is_empty() {
        let ignored = match count(Status::Ignored) {
            0 => String::new(),
            ignored => format!(", {ignored} ignored"),
        };
        return format!("node {:?} is ready: {} checks passed{ignored}", facts.node, count(Status::Passed));
    }
    format!(
        "node {:?} is not ready: {} of {} checks failed\n{}",
        facts.node,
        fatal.len(),
        checks.len(),
        fatal.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use pve::fake::{Fake, golden};
    use serde_json::{Value, json};

    use super::*;
    use crate::calling::{fields, invocation, tree};

    fn args(extra: Value) -> Value {
        let mut args = json!({
            "cluster_name": "prod",
            "nodes": [{"name": "pve1", "address": "10.88.0.11", "links": [{"number": 0, "address": "10.88.0.11"}]}],
        });
        args.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        args
    }

    fn call(fake: &Fake, extra: Value) -> serde_json::Map<String, Value> {
        fields(run(&fake.node(), &invocation(&MODULE, args(extra))))
    }

    fn status<'a>(result: &'a serde_json::Map<String, Value>, id: &str) -> &'a str {
        let checks = result["checks"].as_array().unwrap();
        checks.iter().find(|check| check["id"] == id).unwrap()["status"].as_str().unwrap()
    }

    #[test]
    fn a_healthy_node_is_ready_and_untouched() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let before = tree(&fake.path("/"));
        let result = call(&fake, json!({}));
        assert_eq!((&result["ok"], &result["changed"]), (&json!(true), &json!(false)));
        assert!(result["msg"].as_str().unwrap().starts_with("node \"pve1\" is ready: "));
        assert_eq!(tree(&fake.path("/")), before);
    }

    #[test]
    fn every_failed_check_is_in_the_message_with_its_remedy() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        fake.write("/etc/corosync/authkey", "key");
        let result = call(&fake, json!({"bridges": ["vmbr0", "vmbr9"]}));
        assert_eq!((&result["failed"], &result["ok"]), (&json!(true), &json!(false)));
        let lines: Vec<&str> = result["msg"].as_str().unwrap().lines().collect();
        assert_eq!(
            lines,
            [
                "node \"pve1\" is not ready: 2 of 50 checks failed",
                "[ERROR bridge-up] there is no vmbr9 (see /etc/network/interfaces, then ifreload -a)",
                "[ERROR no-remnants] /etc/corosync/authkey: the key of a cluster this node is not in \
             (if the node is to be in no cluster, stop corosync and remove what is named: pvecm(1), \"separate a node \
             without reinstalling\", says how)",
            ]
        );
    }

    #[test]
    fn what_is_ignored_is_a_warning_that_stays_visible() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let call = invocation(&MODULE, args(json!({"bridges": ["vmbr9"], "ignore": ["bridge-up"]})));
        let outcome = run(&fake.node(), &call).unwrap();
        let hint = "see /etc/network/interfaces, then ifreload -a";
        assert_eq!(outcome.warnings, [format!("ignored: [ERROR bridge-up] there is no vmbr9 ({hint})")]);
        assert!(outcome.msg.ends_with(", 1 ignored"));
    }

    #[test]
    fn a_member_of_the_wanted_cluster_is_checked_as_one() {
        let conf = golden::file_in("05-single-node/files/corosync-conf-pve");
        let fake = Fake::member("pve1", "10.88.0.11", &conf);
        let result = call(&fake, json!({"cluster_name": "oracle"}));
        assert_eq!((&result["ok"], status(&result, "corosync-not-running")), (&json!(true), "skipped"));
        assert_eq!(status(&call(&fake, json!({})), "not-in-foreign-cluster"), "failed");
    }

    #[test]
    fn reporting_only_never_fails() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let only = json!({"report_only": true, "only": ["packages-installed", "firewall-open"], "packages": ["chrony"]});
        let result = call(&fake, only);
        assert_eq!((result.get("failed"), &result["ok"]), (None, &json!(false)));
        assert_eq!(status(&result, "packages-installed"), "failed");
    }

    #[test]
    fn the_node_option_overrules_the_host_name() {
        let fake = Fake::standalone("other", "10.88.0.11");
        let result = call(&fake, json!({"node": "pve1", "only": ["node-name-matches"]}));
        let text = "[ERROR node-name-matches] the host name is \"other\", the inventory calls the node \"pve1\" \
                    (change either: a node's name cannot be changed once it is in a cluster)";
        assert_eq!(result["msg"].as_str().unwrap().lines().nth(1), Some(text));
    }
}
