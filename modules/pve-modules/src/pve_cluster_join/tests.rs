//! Joining over a fake node: the four promises of a changing module for both methods, refusals, the way back, and
//! that no secret is written down.

mod credentials;
mod handover;
mod issuing;
mod ssh;
mod undone;

use pve::admission::sealed_material;
use pve::fake::{Fake, golden};
use pve::https::{Ask, Reply};
use pve::operation::Journal;
use pve::{ExposeSecret, seal};
use serde_json::{Map, Value, json};

use super::*;
use crate::calling::{fields, invocation, tree};
use crate::forming::{
    CONTROLLER_KEY, assert_unchanged, checked, conf_with_second, joiner, killed_at, records, state,
};

const FINGERPRINT: &str =
    "84:C2:AB:39:47:61:53:89:3F:8F:45:34:1D:12:AA:5C:0A:D6:59:AE:FC:F8:AE:20:3D:B7:98:77:BE:FD:D3:3A";
const PASSWORD: &str = "Very-Secret-9!";

fn call(fake: &Fake, args: Value) -> Map<String, Value> {
    fields(run(&fake.node(), &invocation(&MODULE, args)))
}

/// Asks the joiner for a key and a member for material, as a play does.
fn brokered(fake: &Fake) -> Value {
    let asked = call(fake, json!({"cluster_name": "oracle", "state": "requested"}));
    assert_eq!(asked["changed"], false);
    let member = Fake::member("pve1", "10.88.0.11", &conf_with_second());
    let key = asked["join_request"]["public_key"].as_str().unwrap();
    let material = sealed_material(&member.node(), "pve2", key).unwrap();
    json!({"cluster_name": "oracle", "links": [{"number": 0, "address": "10.88.0.12"}], "material": material})
}

fn api() -> Value {
    json!({"cluster_name": "oracle", "method": "api", "peer": "10.88.0.11", "fingerprint": FINGERPRINT,
           "password": PASSWORD, "links": [{"number": 0, "address": "10.88.0.12"}]})
}

/// pve1's API, as the transcripts have it.
fn with_peer(fake: &Fake, nodes: Value, status: Value) {
    with_peer_and_ha(fake, nodes, status, "idle");
}

fn with_peer_and_ha(fake: &Fake, nodes: Value, status: Value, lrm: &str) {
    let ha = json!([{"id": "quorum", "type": "quorum", "node": "pve1", "status": "OK", "quorate": 1},
                    {"id": "lrm:pve1", "type": "lrm", "node": "pve1",
                     "status": format!("pve1 ({lrm}, Sun Nov 22 15:15:58 2026)")}]);
    fake.on_https(move |_, exchange| {
        let Ask::Request { request, .. } = &exchange.ask else { return None };
        if exchange.address.to_string() != "10.88.0.11:8006" {
            return None;
        }
        let answer = |code: u16, body: Value| {
            let certificate = FINGERPRINT.parse().unwrap();
            Some(Ok(Reply { certificate, status: Some((code, "x".into())), body: body.to_string() }))
        };
        match request.path.as_str() {
            "/api2/json/access/ticket" => {
                let form = request.form.as_ref().unwrap().expose_secret();
                let is_right = [
                    "username=root%40pam&password=Very-Secret-9%21",
                    "username=root%40pam&password=PVE%3Aroot%40pam%3A6A61F1E0%3A%3ATICKET-SECRET%3D%3D",
                ]
                .contains(&form);
                let code = if is_right { 200 } else { 401 };
                answer(
                    code,
                    json!({"data": {"ticket": "PVE:root@pam:TICKET-SECRET", "CSRFPreventionToken": "x"}}),
                )
            }
            "/api2/json/cluster/status" => answer(200, json!({"data": status})),
            "/api2/json/cluster/config/nodes" => answer(200, json!({"data": nodes})),
            "/api2/json/cluster/ha/status/current" => answer(200, json!({"data": ha})),
            _ => answer(501, json!({"data": null})),
        }
    });
}

fn one_node() -> (Value, Value) {
    (
        json!([{"name": "pve1", "node": "pve1", "nodeid": "1", "quorum_votes": "1", "ring0_addr": "10.88.0.11"}]),
        json!([{"type": "cluster", "name": "oracle", "quorate": 1, "nodes": 1, "version": 1, "id": "cluster"},
               {"type": "node", "name": "pve1", "online": 1, "nodeid": 1, "ip": "10.88.0.11"}]),
    )
}

fn api_joiner() -> Fake {
    let fake = joiner();
    let (nodes, status) = one_node();
    with_peer(&fake, nodes, status);
    fake
}

#[test]
fn brokered_joins_once_and_then_finds_the_member() {
    let fake = joiner();
    let args = brokered(&fake);
    let first = call(&fake, args.clone());
    assert_eq!((&first["changed"], &first["members"]), (&json!(true), &json!(["pve1", "pve2"])), "{first:?}");
    assert_eq!(fake.machine().read("/etc/corosync/corosync.conf"), conf_with_second());
    assert!(fake.path("/var/lib/pve-cluster/backup").read_dir().unwrap().count() == 1);
    // The key was good for one join.
    assert!(!fake.node().exists("/run/sddc-pve/join-key.json"));
    let after = state(&fake);
    let second = call(&fake, args);
    assert_eq!((&second["changed"], &second["cluster"]), (&json!(false), &json!("oracle")));
    assert_unchanged(&fake, &after);
}

#[test]
fn without_waiting_for_the_api_its_restart_is_begun() {
    let fake = joiner();
    let mut args = brokered(&fake);
    args["wait_for_api"] = json!(false);
    let result = call(&fake, args);
    assert_eq!(result["changed"], true, "{result:?}");
    let steps: Vec<&str> =
        result["steps"].as_array().unwrap().iter().filter_map(|step| step["name"].as_str()).collect();
    assert!(steps.contains(&"begin to restart the API") && !steps.contains(&"wait for the API"), "{steps:?}");
    assert!(fake.calls().contains(&"systemctl reload-or-restart --no-block pveproxy".to_owned()));
}

#[test]
fn api_joins_with_the_password_on_standard_input_only() {
    let fake = api_joiner();
    let first = call(&fake, api());
    assert_eq!((&first["changed"], &first["members"]), (&json!(true), &json!(["pve1", "pve2"])), "{first:?}");
    assert_eq!(fake.machine().passwords, [format!("{PASSWORD}\n")]);
    let line = format!("pvecm add 10.88.0.11 --fingerprint {FINGERPRINT} --link0 10.88.0.12");
    assert!(fake.calls().contains(&line), "{:?}", fake.calls());
    assert_eq!(call(&fake, api())["changed"], false);
}

#[test]
fn check_mode_touches_nothing_and_takes_absent_material() {
    let fake = api_joiner();
    let before = tree(&fake.path("/"));
    let node = fake.node();
    let asked = run(
        &node,
        &checked(invocation(&MODULE, json!({"cluster_name": "oracle", "state": "requested"})), true),
    );
    let asked = fields(asked);
    assert!(seal::parse_public_key(asked["join_request"]["public_key"].as_str().unwrap()).is_ok());
    for args in [json!({"cluster_name": "oracle"}), api()] {
        let result = fields(run(&node, &checked(invocation(&MODULE, args), true)));
        assert_eq!(result["changed"], true, "{result:?}");
    }
    assert_eq!(tree(&fake.path("/")), before);
}

#[test]
fn killed_at_any_program_a_rerun_converges_and_the_controller_is_never_locked_out() {
    for is_api in [false, true] {
        for number in 1.. {
            let fake = api_joiner();
            let args = if is_api { api() } else { brokered(&fake) };
            let ended = killed_at(&fake, number, |node| run(node, &invocation(&MODULE, args.clone())));
            let may_log_in = |fake: &Fake| {
                let own = fake.machine().read("/root/.ssh/authorized_keys2");
                own.contains(CONTROLLER_KEY)
                    || fake.machine().read("/etc/pve/priv/authorized_keys").contains(CONTROLLER_KEY)
            };
            assert!(may_log_in(&fake), "killed at program {number}");
            // A play that is run again asks for a key and for material anew.
            let args = if is_api { api() } else { brokered(&fake) };
            let rerun = call(&fake, args.clone());
            assert_eq!(rerun["cluster"], "oracle", "api {is_api}, killed at program {number}: {rerun:?}");
            assert_eq!(call(&fake, args)["changed"], false);
            assert!(may_log_in(&fake), "after the rerun of one killed at program {number}");
            if ended.is_some() {
                assert!(number > 3, "only {number} programs were killed");
                break;
            }
        }
    }
}

#[test]
fn a_join_without_quorum_leaves_the_node_as_it_was() {
    for is_api in [false, true] {
        let fake = api_joiner();
        let args = if is_api { api() } else { brokered(&fake) };
        let before = state(&fake);
        fake.machine().online = Some(std::collections::BTreeSet::new());
        let result = call(&fake, args);
        assert_eq!((&result["failed"], &result["rolled_back"]), (&json!(true), &json!(true)), "{result:?}");
        let msg = result["msg"].as_str().unwrap();
        assert!(msg.contains("1 of 2 votes, no quorum") && msg.contains("corosync said last"), "{msg}");
        assert_eq!((&result["stopped"], &result["nodes_before"]), (&json!(true), &json!(1)), "{result:?}");
        assert_unchanged(&fake, &before);
        assert!(!fake.machine().is_active("corosync.service"));
        assert!(
            !fake.path("/var/lib/sddc-pve/snapshots").exists()
                || tree(&fake.path("/var/lib/sddc-pve/snapshots")).is_empty()
        );
    }
}

#[test]
fn corosync_that_refuses_to_start_is_undone_too() {
    let fake = joiner();
    let args = brokered(&fake);
    let before = state(&fake);
    fake.answer("systemctl start corosync", 1, "Job for corosync.service failed.");
    let result = call(&fake, args);
    assert_eq!(result["rolled_back"], true, "{result:?}");
    assert!(result["msg"].as_str().unwrap().contains("Job for corosync.service failed"), "{result:?}");
    assert_unchanged(&fake, &before);
}

#[test]
fn no_secret_is_written_down_shown_or_put_on_a_command_line() {
    let fake = api_joiner();
    let shown = format!("{:?}", call(&fake, api()));
    let written = records(&fake) + &fake.calls().join("\n") + &shown;
    for secret in [PASSWORD, "TICKET-SECRET", "Very-Secret-9%21"] {
        assert!(!written.contains(secret), "{secret} in {written}");
    }
    let fake = joiner();
    let args = brokered(&fake);
    let shown = format!("{:?}", call(&fake, args));
    let written = records(&fake) + &fake.calls().join("\n") + &shown;
    // The authkey is 256 bytes of 7.
    for secret in ["\u{7}\u{7}\u{7}\u{7}", "BwcHBwcH"] {
        assert!(!written.contains(secret), "the authkey is in {written}");
    }
}

#[test]
fn a_node_that_may_not_join_is_left_alone() {
    let refuse = |change: &dyn Fn(&Fake), args: Value, reason: &str| {
        let fake = api_joiner();
        change(&fake);
        let before = state(&fake);
        let result = call(&fake, args);
        assert!(result.contains_key("failed"), "{reason}: {result:?}");
        assert!(result["msg"].as_str().unwrap().contains(reason), "{reason}: {result:?}");
        assert_unchanged(&fake, &before);
        assert!(Journal::all(&fake.node()).unwrap().is_empty());
    };
    let nothing = |_: &Fake| {};
    let guests = |fake: &Fake| {
        fake.write(
            "/etc/pve/.vmlist",
            r#"{"version": 1, "ids": {"100": {"node": "pve2", "type": "qemu", "version": 1}}}"#,
        );
    };
    refuse(&guests, api(), "this node has guests (100)");
    refuse(
        &|fake| fake.write("/etc/corosync/authkey", "x"),
        api(),
        "/etc/corosync/authkey is left of an earlier cluster",
    );
    refuse(
        &|fake| {
            fake.machine().names.insert("pve2".into(), vec!["127.0.1.1".into()]);
        },
        api(),
        "resolves to [127.0.1.1]",
    );
    let with = |key: &str, value: Value| {
        let mut args = api();
        args[key] = value;
        args
    };
    refuse(
        &nothing,
        with("links", json!([{"number": 0, "address": "10.88.0.99"}])),
        "on no interface of this node",
    );
    refuse(&nothing, with("password", json!("wrong")), "refuses root@pam's password");
    refuse(&nothing, with("fingerprint", json!("AA:BB")), "is not SHA-256");
    refuse(&nothing, with("cluster_name", json!("prod")), "is in cluster \"oracle\", not \"prod\"");
    refuse(&nothing, with("nodeid", json!(1)), "node id 1 of \"pve2\" is taken by \"pve1\"");
    refuse(&nothing, with("peer", json!("10.88.0.77")), "cannot connect");
    refuse(
        &|fake| with_peer_and_ha(fake, one_node().0, one_node().1, "active"),
        api(),
        "high availability is active on peer 10.88.0.11",
    );
    refuse(&nothing, json!({"cluster_name": "oracle"}), "needs material");
    let standalone = json!([{"type": "node", "name": "pve1", "online": 1, "nodeid": 0}]);
    refuse(&|fake| with_peer(fake, json!([]), standalone.clone()), api(), "is in no cluster");
    let clash = json!([{"name": "pve2", "nodeid": "1", "quorum_votes": "1", "ring0_addr": "10.88.0.55"}]);
    let status = json!([{"type": "cluster", "name": "oracle", "quorate": 1, "version": 1},
                        {"type": "node", "name": "pve2", "online": 1}]);
    refuse(&|fake| with_peer(fake, clash.clone(), status.clone()), api(), "is a member already");
    let address = json!([{"name": "pve1", "nodeid": "1", "quorum_votes": "1", "ring0_addr": "10.88.0.12"}]);
    refuse(&|fake| with_peer(fake, address.clone(), one_node().1), api(), "is that of link 0 of \"pve1\"");
    let two_links = json!([{"name": "pve1", "nodeid": "1", "quorum_votes": "1", "ring0_addr": "10.88.0.11", "ring1_addr": "10.89.0.11"}]);
    refuse(&|fake| with_peer(fake, two_links.clone(), one_node().1), api(), "all nodes need the same links");
}

#[test]
fn a_member_of_another_cluster_stays_there() {
    let conf = golden::file_in("05-single-node/files/corosync-conf-pve");
    let fake = Fake::member("pve1", "10.88.0.11", &conf);
    let result = call(&fake, json!({"cluster_name": "prod", "material": "x"}));
    assert!(result["msg"].as_str().unwrap().contains("member of another cluster, \"oracle\""), "{result:?}");
}

#[test]
fn a_member_without_certificate_is_completed() {
    let fake = joiner();
    let args = brokered(&fake);
    call(&fake, args.clone());
    std::fs::remove_file(fake.path("/etc/pve/nodes/pve2/pve-ssl.pem")).unwrap();
    let result = call(&fake, args.clone());
    assert_eq!(result["msg"], "node \"pve2\", a member of \"oracle\" already, was completed", "{result:?}");
    assert!(fake.path("/etc/pve/nodes/pve2/pve-ssl.pem").exists());
    assert_eq!(call(&fake, args)["changed"], false);
}

#[test]
fn a_refused_join_is_in_the_audit_log_and_one_that_is_only_tried_is_not() {
    let fake = api_joiner();
    let mut args = api();
    args["password"] = json!("wrong");
    let checked = checked(invocation(&MODULE, args.clone()), true);
    assert!(run(&fake.node(), &checked).is_err());
    assert_eq!(fake.machine().read(pve::audit::LOG), "");
    call(&fake, args);
    let log = fake.machine().read(pve::audit::LOG);
    let line: Value = serde_json::from_str(&log).unwrap();
    let told = ["operation", "cluster", "method", "result", "node"].map(|key| line[key].as_str().unwrap());
    assert_eq!(told, ["join", "oracle", "api", "refused", "pve2"]);
    assert_eq!((&line["subjects"], &line["id"]), (&json!(["pve2"]), &json!(null)));
    assert!(!log.contains("wrong"), "{log}");
}
