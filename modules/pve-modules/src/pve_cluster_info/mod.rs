//! `pve_cluster_info`: the facts of a node, and nothing else. Reads; never changes.

mod spec;

use std::time::Duration;

use ansible_module::{Failure, Invocation, Module, Outcome};
use pve::Node;
use pve::facts::{ClusterState, NodeFacts};
use pve::gather::{add_latencies, gather};

use crate::ranges;
use crate::steps::Steps;

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    ranges::check(&call.params)?;
    let args: spec::Args = call.args()?;
    let mut steps = Steps::start(node);
    let limit = Duration::from_secs(args.timeout);
    let mut info = steps.run(node, "gather facts", || gather(node, limit));
    if args.link_latency {
        steps.run(node, "ask for round trips", || add_latencies(node, &mut info, limit));
    }
    let outcome = Outcome::unchanged(sentence(&info))
        .with("info", &info)
        .with("elapsed", steps.elapsed(node))
        .with("steps", steps.done());
    Ok(info.problems.iter().fold(outcome, |outcome, problem| outcome.warn(problem)))
}

fn sentence(info: &NodeFacts) -> String {
    let node = &info.node;
    let cluster = info.cluster.as_ref().map(|cluster| cluster.name.as_str()).unwrap_or_default();
    match info.state {
        ClusterState::NotInstalled => format!("node {node:?}: Proxmox VE is not installed"),
        ClusterState::Standalone => format!("node {node:?} is in no cluster"),
        ClusterState::Remnants => {
            let traces: Vec<&str> = info.remnants.iter().map(|remnant| remnant.id.as_str()).collect();
            format!("node {node:?} is in no cluster, but has traces of one: {}", traces.join(", "))
        }
        ClusterState::Member => format!("node {node:?} is a member of {cluster:?}, which is quorate"),
        ClusterState::NoQuorum => format!("node {node:?} is a member of {cluster:?}, without quorum"),
    }
}

#[cfg(test)]
mod tests {
    use pve::fake::{Fake, golden};
    use serde_json::json;

    use super::*;
    use crate::calling::{fields, invocation};

    #[test]
    fn tells_of_a_standalone_node_and_of_a_member() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let result = fields(run(&fake.node(), &invocation(&MODULE, json!({}))));
        assert_eq!(result["msg"], "node \"pve1\" is in no cluster");
        assert_eq!(result["info"]["state"], "standalone");
        assert_eq!((&result["changed"], &result["steps"][0]["status"]), (&json!(false), &json!("ok")));

        let conf = golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve");
        let fake = Fake::member("pve1", "10.88.0.11", &conf);
        let result = fields(run(&fake.node(), &invocation(&MODULE, json!({}))));
        assert_eq!(result["msg"], "node \"pve1\" is a member of \"oracle\", which is quorate");
        assert_eq!(result["info"]["cluster"]["nodes"][2]["links"]["0"], "10.88.0.13");
    }

    #[test]
    fn every_fact_is_documented_and_nothing_else() {
        let conf = golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve");
        let fake = Fake::member("pve1", "10.88.0.11", &conf);
        let result = fields(run(&fake.node(), &invocation(&MODULE, json!({}))));
        let info = MODULE.spec.returns.iter().find(|ret| ret.name == "info").unwrap();
        assert_documented("info", &result["info"], info);
    }

    fn assert_documented(path: &str, value: &serde_json::Value, ret: &ansible_module::Ret) {
        if ret.contains.is_empty() {
            return;
        }
        let value = value.get(0).unwrap_or(value);
        let mut told: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut documented: Vec<&str> = ret.contains.iter().map(|ret| ret.name).collect();
        told.sort_unstable();
        documented.sort_unstable();
        assert_eq!(told, documented, "{path}");
        for ret in ret.contains {
            assert_documented(&format!("{path}.{}", ret.name), &value[ret.name], ret);
        }
    }

    #[test]
    fn round_trips_are_told_of_links_that_are_up() {
        let dual = "30-dual-link/11-link1-of-pve3-down-pve1";
        let fake = Fake::member("pve1", "10.88.0.11", &golden::file_in("30-dual-link/10-conf"));
        for (tool, leaf) in [
            ("corosync-cfgtool -s", "cfgtool-s"),
            ("corosync-cmapctl -m stats stats.knet.", "cmapctl-stats-knet"),
        ] {
            fake.answer(tool, 0, &golden::stdout(&format!("{dual}/{leaf}")));
        }
        let told = |args: serde_json::Value| {
            let result = fields(run(&fake.node(), &invocation(&MODULE, args)));
            let of =
                |link: usize, peer: usize| result["info"]["links"][link]["peers"][peer]["latency"].clone();
            [of(0, 0), of(1, 0), of(0, 1), of(1, 1)]
        };
        // The last path is down; knet goes on telling what it measured while it was up.
        assert_eq!(told(json!({"link_latency": true})), [json!(389), json!(257), json!(343), json!(null)]);
        assert_eq!(told(json!({})), [json!(null), json!(null), json!(null), json!(null)]);
    }

    #[test]
    fn what_could_not_be_read_is_a_warning() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        fake.answer("ip -json address", 1, "");
        let outcome = run(&fake.node(), &invocation(&MODULE, json!({"timeout": 2}))).unwrap();
        assert_eq!(outcome.warnings.len(), 1);
    }

    #[test]
    fn nothing_on_the_node_changes() {
        let fake = Fake::standalone("pve1", "10.88.0.11");
        let before = crate::calling::tree(&fake.path("/"));
        run(&fake.node(), &invocation(&MODULE, json!({}))).unwrap();
        assert_eq!(crate::calling::tree(&fake.path("/")), before);
    }
}
