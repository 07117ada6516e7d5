//! `pve_cluster_validate`: whether the cluster is as it should be, as this member sees it, and whether all
//! members see the same. Changes nothing but a lock that it takes and gives back, and a file for the others to read.

mod spec;

use std::time::Duration;

use ansible_module::{Failure, Invocation, Module, Outcome};
use pve::validate::{self, Expected, Look, Waited};
use pve::verdict::{Status, fatal_lines, warning_lines};
use pve::{Deadline, Node};

use crate::ranges;
use crate::steps::Steps;

/// The module.
pub static MODULE: Module = Module { spec: &spec::SPEC, run: |call| run(&Node::real(), call) };

fn run(node: &Node, call: &Invocation) -> Result<Outcome, Failure> {
    ranges::check(&call.params)?;
    let args: spec::Args = call.args()?;
    if args.stable_for >= args.timeout {
        return Err(Failure::new(format!(
            "option \"stable_for\" is {}: it must be less than \"timeout\", which is {}",
            args.stable_for, args.timeout
        )));
    }
    let mut steps = Steps::start(node);
    let deadline = Deadline::after(node, Duration::from_secs(args.timeout));
    let stable_for = Duration::from_secs(args.stable_for);
    let timeout = args.timeout;
    let expected = Expected { is_read_only: call.check_mode, ..args.into() };
    let Waited { look, looks, is_unproven } = steps.attempt(node, "look until all is good", || {
        validate::wait_until_good(node, &expected, stable_for, deadline)
    })?;

    let fatal = fatal_lines(&look.checks);
    let warnings = warning_lines(&look.checks);
    if fatal.is_empty() && !is_unproven {
        let outcome = Outcome::unchanged(sentence(&look))
            .with("view", &look.view)
            .with("checks", &look.checks)
            .with("looks", looks)
            .with("ok", true)
            .with("elapsed", steps.elapsed(node))
            .with("steps", steps.done());
        return Ok(warnings.into_iter().fold(outcome, Outcome::warn));
    }
    let (cluster, own, elapsed) = (&expected.cluster_name, &look.facts.node, steps.elapsed(node));
    let unproven = format!(
        "cluster {cluster:?} was not as it should be for {} s on end within {timeout} s, seen from {own:?}: it is now, after \
         {looks} looks; see what comes and goes (journalctl -u corosync), or wait for longer",
        stable_for.as_secs()
    );
    let failed = format!(
        "cluster {cluster:?} is not as it should be, seen from {own:?} after {looks} looks in {elapsed:.0} of {timeout} s: {} of {} \
         checks failed\n{}",
        fatal.len(),
        look.checks.len(),
        fatal.join("\n")
    );
    let failure = Failure::new(if is_unproven { unproven } else { failed })
        .with("view", &look.view)
        .with("checks", &look.checks)
        .with("looks", looks)
        .with("ok", false)
        .with("elapsed", steps.elapsed(node))
        .with("steps", steps.done());
    Err(warnings.into_iter().fold(failure, Failure::warn))
}

fn sentence(look: &Look) -> String {
    let passed = look.checks.iter().filter(|check| check.status == Status::Passed).count();
    let (cluster, members) =
        look.view.as_ref().map(|view| (view.cluster.as_str(), view.members.len())).unwrap_or_default();
    format!(
        "cluster {cluster:?} has {members} members, all online: {passed} checks passed on {:?}",
        look.facts.node
    )
}

#[cfg(test)]
mod tests {
    use pve::fake::{Fake, golden};
    use serde_json::json;

    use super::*;
    use crate::calling::{fields, invocation, tree};

    fn member() -> Fake {
        let fake =
            Fake::member("pve1", "10.88.0.11", &golden::file_in("05-single-node/files/corosync-conf-pve"));
        // The first program lets pmxcfs show what follows from the files.
        let _ = pve::gather::gather(&fake.node(), Duration::from_secs(1));
        fake
    }

    #[test]
    fn a_good_cluster_gives_a_view_for_the_others_to_compare() {
        let fake = member();
        let before = tree(&fake.path("/"));
        let call = invocation(&MODULE, json!({"cluster_name": "oracle", "nodes": ["pve1"]}));
        let result = fields(run(&fake.node(), &call));
        assert_eq!(
            result["msg"],
            "cluster \"oracle\" has 1 members, all online: 12 checks passed on \"pve1\""
        );
        assert_eq!(
            (&result["ok"], &result["looks"], &result["changed"]),
            (&json!(true), &json!(1), &json!(false))
        );
        let mut after = tree(&fake.path("/"));
        assert!(after.remove(&fake.path("/etc/pve/priv/sddc-pve-seen/pve1")).is_some());
        assert_eq!(after, before);
        let args = json!({"cluster_name": "oracle", "count": 1, "views": [result["view"]]});
        assert_eq!(fields(run(&fake.node(), &invocation(&MODULE, args)))["ok"], true);
    }

    #[test]
    fn a_failure_says_what_was_seen_last_and_how_long_was_waited() {
        let fake = member();
        let args = json!({"cluster_name": "oracle", "nodes": ["pve1", "pve2"], "timeout": 3});
        let result = fields(run(&fake.node(), &invocation(&MODULE, args)));
        assert_eq!(result["failed"], true);
        let lines: Vec<&str> = result["msg"].as_str().unwrap().lines().collect();
        assert!(
            lines[0].starts_with("cluster \"oracle\" is not as it should be, seen from \"pve1\" after "),
            "{lines:?}"
        );
        assert!(lines[0].ends_with(" in 3 of 3 s: 1 of 16 checks failed"), "{lines:?}");
        assert_eq!(
            lines[1],
            "[ERROR members-complete] not listed: pve2 (bring the nodes up, let them join, or take \
                              them out of the cluster)"
        );
        assert!(result["looks"].as_u64().unwrap() > 3);
    }

    #[test]
    fn a_time_to_stay_good_that_cannot_pass_is_refused() {
        let args = json!({"cluster_name": "oracle", "stable_for": 5, "timeout": 5});
        let result = fields(run(&member().node(), &invocation(&MODULE, args)));
        assert_eq!(result["msg"], "option \"stable_for\" is 5: it must be less than \"timeout\", which is 5");
    }

    #[test]
    fn a_node_without_a_view_is_a_missing_view_and_no_defect() {
        let fake = member();
        let args =
            json!({"cluster_name": "oracle", "nodes": ["pve1", "pve2"], "views": [null], "timeout": 1});
        let result = fields(run(&fake.node(), &invocation(&MODULE, args)));
        assert!(
            result["msg"].as_str().unwrap().contains("[ERROR views-complete] no view of pve2"),
            "{result:?}"
        );
    }
}
