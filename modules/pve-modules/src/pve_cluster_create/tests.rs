//! Creating a cluster over a fake node: the four promises of a changing module, and its refusals.

use pve::fake::{Fake, golden};
use pve::operation::Journal;
use pve::{RunError, audit};
use serde_json::{Value, json};

use super::*;
use crate::calling::{fields, invocation};
use crate::forming::{CONTROLLER_KEY, assert_unchanged, checked, fresh, killed_at, records, state};

fn args() -> Value {
    json!({ "cluster_name": "prod", "links": [{ "number": 0, "address": "10.88.0.11", "priority": 20 }] })
}

fn call(fake: &Fake, args: Value) -> serde_json::Map<String, Value> {
    fields(run(&fake.node(), &invocation(&MODULE, args)))
}

#[test]
fn the_first_run_creates_and_the_second_finds_it() {
    let fake = fresh("pve1", "10.88.0.11");
    let first = call(&fake, args());
    assert_eq!(
        (&first["changed"], &first["msg"]),
        (&json!(true), &json!("node \"pve1\" created cluster \"prod\""))
    );
    assert_eq!((&first["members"], &first["config_version"]), (&json!(["pve1"]), &json!(1)));
    assert!(
        fake.calls()
            .contains(&"pvecm create prod --link0 10.88.0.11,priority=20 --nodeid 1 --votes 1".to_owned())
    );
    let after = state(&fake);
    let second = call(&fake, args());
    assert_eq!((&second["changed"], &second["cluster"]), (&json!(false), &json!("prod")));
    assert_unchanged(&fake, &after);
    let log = fake.machine().read(audit::LOG);
    assert_eq!((log.lines().count(), audit::trail::read(&fake.node()).unwrap().ok), (1, true));
    assert!(log.contains("\"operation\":\"create\"") && log.contains("\"result\":\"succeeded\""), "{log}");
}

#[test]
fn a_node_that_another_controller_has_claimed_creates_nothing() {
    let fake = fresh("pve1", "10.88.0.11");
    let claim = |owner: &str, state: &str| {
        call(&fake, json!({ "cluster_name": "prod", "state": state, "claim": owner }))
    };
    let before = state(&fake);
    for claimed in [claim("a", "claimed"), claim("a", "claimed")] {
        assert_eq!(claimed["changed"], false, "{claimed:?}");
    }
    assert_unchanged(&fake, &before);
    let others = claim("b", "claimed");
    assert!(others["msg"].as_str().unwrap().contains("another controller"), "{others:?}");
    for args in [args(), json!({ "cluster_name": "prod", "claim": "b" })] {
        let refused = call(&fake, args);
        assert!(refused["msg"].as_str().unwrap().contains("another controller"), "{refused:?}");
    }
    // Given free by who has it only; and a claim that is over is none.
    claim("b", "released");
    assert_eq!(call(&fake, args())["failed"], true);
    claim("a", "released");
    let over = call(&fake, json!({ "cluster_name": "prod", "claim": "a" }));
    assert!(over["msg"].as_str().unwrap().contains("run out"), "{over:?}");
    assert_unchanged(&fake, &before);
    claim("a", "claimed");
    let mut mine = args();
    mine["claim"] = json!("a");
    assert_eq!(call(&fake, mine)["changed"], true);
}

#[test]
fn check_mode_shows_corosync_conf_and_touches_nothing() {
    let fake = fresh("pve1", "10.88.0.11");
    let before = crate::calling::tree(&fake.path("/"));
    let outcome = run(&fake.node(), &checked(invocation(&MODULE, args()), true)).unwrap();
    assert!(outcome.changed);
    let after = outcome.diff[0].after.as_ref().unwrap().as_str().unwrap();
    assert!(after.contains("cluster_name: prod") && after.contains("knet_link_priority: 20"), "{after}");
    assert_eq!(crate::calling::tree(&fake.path("/")), before);
}

#[test]
fn killed_at_any_program_a_rerun_converges() {
    for number in 1.. {
        let fake = fresh("pve1", "10.88.0.11");
        let is_over = killed_at(&fake, number, |node| run(node, &invocation(&MODULE, args()))).is_some();
        let rerun = call(&fake, args());
        assert_eq!(rerun["cluster"], "prod", "killed at program {number}: {rerun:?}");
        assert_eq!(call(&fake, args())["changed"], false);
        if is_over {
            assert!(number > 3, "only {number} programs were killed");
            break;
        }
    }
}

#[test]
fn a_cluster_without_quorum_is_separated_again_and_corosync_is_quoted() {
    let fake = fresh("pve1", "10.88.0.11");
    let before = state(&fake);
    fake.on(|_, cmd| {
        (cmd.line() == "corosync-quorumtool -s").then(|| Err(RunError::NotFound { program: "x".into() }))
    });
    let result = call(&fake, args());
    assert_eq!((&result["failed"], &result["rolled_back"]), (&json!(true), &json!(true)));
    let msg = result["msg"].as_str().unwrap();
    assert!(msg.contains("wait for corosync") && msg.contains("corosync said last: [KNET  ] host"), "{msg}");
    assert_unchanged(&fake, &before);
    assert!(records(&fake).contains("rolled_back"));
}

#[test]
fn the_controllers_key_is_kept_where_pmxcfs_does_not_own_it() {
    let fake = fresh("pve1", "10.88.0.11");
    call(&fake, args());
    assert_eq!(fake.machine().read("/root/.ssh/authorized_keys2"), format!("{CONTROLLER_KEY}\n"));
}

#[test]
fn what_cannot_be_is_refused_before_anything_changes() {
    let cases = [
        (json!({"cluster_name": "a_b"}), "holds other characters"),
        (
            json!({"links": [{"number": 0, "address": "10.88.0.99"}]}),
            "10.88.0.99 of link 0 is on no interface",
        ),
        (
            json!({"links": [{"number": 0, "address": "10.88.0.11"}, {"number": 1, "address": "10.88.0.11"}]}),
            "given to two links",
        ),
        (json!({"nodeid": 0}), "ids begin with 1"),
        (json!({"votes": 0}), "at least one vote"),
    ];
    for (extra, reason) in cases {
        let fake = fresh("pve1", "10.88.0.11");
        let before = state(&fake);
        let mut args = args();
        args.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let result = call(&fake, args);
        assert!(result["msg"].as_str().unwrap().contains(reason), "{result:?}");
        assert_unchanged(&fake, &before);
        assert!(Journal::all(&fake.node()).unwrap().is_empty());
    }
}

#[test]
fn a_member_of_another_cluster_is_refused_and_differences_are_warnings() {
    let conf = golden::file_in("05-single-node/files/corosync-conf-pve");
    let fake = Fake::member("pve1", "10.88.0.11", &conf);
    let result = call(&fake, args());
    assert!(
        result["msg"].as_str().unwrap().contains("a member of another cluster, \"oracle\""),
        "{result:?}"
    );
    let wanted = json!({"cluster_name": "oracle", "nodeid": 7, "token_coefficient": 650});
    let outcome = run(&fake.node(), &invocation(&MODULE, wanted)).unwrap();
    assert!(!outcome.changed);
    assert!(outcome.warnings[0].starts_with("the node id is 1, not 7"), "{:?}", outcome.warnings);
    assert!(
        outcome.warnings[1].starts_with("the token coefficient is 125, not 650"),
        "{:?}",
        outcome.warnings
    );
}
