//! The module over a fake node whose systemd starts a responder that a test makes up.

use pve::Output;
use pve::fake::Fake;
use serde_json::{Map, Value, json};

use super::*;
use crate::calling::{fields, invocation, tree};
use crate::forming::checked;

const KEY: &str = "0123456789abcdef0123456789abcdefXYZ";
const STATE: &str = "/run/sddc-pve/link-probe.json";
const TRANSIENT: &str = "/run/systemd/transient/sddc-pve-link-probe.service";

fn call(fake: &Fake, args: Value, is_check: bool) -> Map<String, Value> {
    fields(run(&fake.node(), &checked(invocation(&MODULE, args), is_check)))
}

/// A node on which the responder says this, and what its systemd was asked.
fn node(told: Value) -> Fake {
    let fake = Fake::standalone("pve1", "10.88.0.11");
    fake.write("/opt/pve", b"\x7fELF of this program");
    let program = fake.path("/opt/pve");
    fake.machine().own_program = Some(program);
    fake.on(move |machine, cmd| {
        let done = Some(Ok(Output { code: Some(0), stdout: String::new(), stderr: String::new() }));
        match (cmd.program.as_str(), cmd.args.first().map(String::as_str)) {
            ("systemd-run", _) => {
                let order = machine.read("/run/sddc-pve/link-probe.order");
                assert!(order.contains(KEY) && !cmd.line().contains(KEY), "{}", cmd.line());
                std::fs::remove_file(machine.path("/run/sddc-pve/link-probe.order")).unwrap();
                machine.write(TRANSIENT, "");
                machine.write(STATE, told.to_string());
                done
            }
            ("systemctl", Some("stop")) => {
                std::fs::remove_file(machine.path(TRANSIENT)).unwrap();
                done
            }
            _ => None,
        }
    });
    fake
}

fn ears() -> Value {
    json!([{"number": 0, "address": "10.88.0.11", "port": 5405, "is_beside": false},
           {"number": 1, "address": "10.89.0.11", "port": 5411, "is_beside": true}])
}

fn listening() -> Value {
    json!({"state": "listening", "key": KEY, "links": [{"number": 0, "address": "10.88.0.11"}]})
}

#[test]
fn the_responder_starts_anew_each_time_and_stopping_tells_what_it_heard() {
    let heard = json!([{"node": "pve2", "link": 0, "count": 20}]);
    let fake = node(json!({"node": "pve1", "links": ears(), "heard": heard}));
    let first = call(&fake, listening(), false);
    assert_eq!(
        first["msg"],
        "pve1 answers for 300 s at 10.88.0.11 UDP 5405, 10.89.0.11 UDP 5411; corosync's port of link 1 is taken, so it is \
         another one"
    );
    assert_eq!((&first["changed"], &first["listener"]["links"]), (&json!(true), &ears()));
    let line = fake.calls().into_iter().find(|line| line.starts_with("systemd-run")).unwrap();
    assert!(
        line.contains("--unit=sddc-pve-link-probe.service") && line.contains("RuntimeMaxSec=310"),
        "{line}"
    );
    assert!(line.ends_with("/pve __link-responder"), "{line}");
    call(&fake, listening(), false);
    assert_eq!(fake.calls().iter().filter(|line| line.starts_with("systemctl stop")).count(), 1);

    let foretold = call(&fake, json!({"state": "absent"}), true);
    assert_eq!(
        (&foretold["changed"], &foretold["msg"]),
        (&json!(true), &json!("the responder would be stopped"))
    );
    assert!(fake.path(TRANSIENT).exists() && fake.path(STATE).exists());
    let stopped = call(&fake, json!({"state": "absent"}), false);
    assert_eq!((&stopped["changed"], &stopped["listener"]["heard"]), (&json!(true), &heard));
    assert!(!fake.path(TRANSIENT).exists() && !fake.path(STATE).exists());
    let again = call(&fake, json!({"state": "absent"}), false);
    assert_eq!((&again["changed"], &again["listener"]), (&json!(false), &Value::Null));
}

#[test]
fn a_responder_that_cannot_listen_says_why_and_leaves_nothing() {
    let fake = node(json!({"error": "link 0: 10.88.0.11 is no address of this node"}));
    let before = tree(&fake.path("/run"));
    let failed = call(&fake, listening(), false);
    assert_eq!(
        (&failed["failed"], &failed["msg"]),
        (&json!(true), &json!("link 0: 10.88.0.11 is no address of this node"))
    );
    assert_eq!(tree(&fake.path("/run")), before);
}

#[test]
fn check_mode_starts_nothing() {
    let fake = node(json!({}));
    let before = tree(&fake.path("/"));
    let foretold = call(&fake, listening(), true);
    assert_eq!((&foretold["changed"], &foretold["listener"]), (&json!(true), &Value::Null));
    assert_eq!(foretold["msg"], "pve1 would answer on 1 links for 300 s");
    let measured = call(&fake, json!({"state": "probed", "key": KEY, "listeners": [null]}), true);
    assert_eq!((measured.get("failed"), &measured["row"]), (None, &Value::Null));
    let judged = call(&fake, json!({"state": "compared", "rows": [null]}), true);
    assert_eq!((&judged["ok"], &judged["report"]), (&json!(true), &json!([])));
    assert_eq!(tree(&fake.path("/")), before);
}

#[test]
fn arguments_that_would_not_do_are_refused() {
    let fake = node(json!({}));
    let said = |args: Value| call(&fake, args, false)["msg"].as_str().unwrap().to_owned();
    let links = json!([{"number": 0, "address": "10.88.0.11"}]);
    assert!(
        said(json!({"state": "listening", "key": "short", "links": links}))
            .starts_with("the key has 5 characters")
    );
    assert!(said(json!({"state": "listening", "key": KEY, "links": []})).starts_with("links is empty"));
    let life = json!({"state": "listening", "key": KEY, "links": links, "lifetime": 9});
    assert_eq!(said(life), "option \"lifetime\" is 9: it must be from 10 to 3600");
    let strange = said(json!({"state": "probed", "key": KEY, "listeners": [null]}));
    assert_eq!(strange, "there is no listener of \"pve1\": run state=listening on every node first");
    assert!(said(json!({"state": "compared", "rows": [null]})).starts_with("there is no row to compare"));
}

fn row(own: &str, other: &str, fastest: f64) -> Value {
    json!({"node": own, "paths": [{"link": 0, "to": other, "address": "10.88.0.12", "port": 5405, "sent": 20, "answered": 20,
        "loss": 0.0, "round_trip": {"fastest": fastest, "median": fastest, "p99": fastest, "jitter": 0.0},
        "path_mtu": 1500, "interface_mtu": 1500, "silence": null, "grade": "good"}], "corosync": null})
}

#[test]
fn rows_are_judged_together_by_any_node() {
    let fake = Fake::standalone("pve1", "10.88.0.11");
    let heard = |own: &str, other: &str| json!({"node": own, "links": [], "heard": [{"node": other, "link": 0, "count": 20}]});
    let judge = |fastest: f64, more: Value| {
        let mut args = json!({"state": "compared", "rows": [row("pve1", "pve2", fastest), row("pve2", "pve1", 0.2)],
            "listeners": [heard("pve1", "pve2"), heard("pve2", "pve1"), null]});
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call(&fake, args, false)
    };
    let good = judge(0.2, json!({}));
    assert_eq!((&good["ok"], &good["changed"]), (&json!(true), &json!(false)));
    assert_eq!(good["msg"], "2 paths between 2 nodes are fit for corosync");
    assert_eq!(good["report"].as_array().unwrap().len(), 3);
    let slow = judge(12.0, json!({}));
    let msg = slow["msg"].as_str().unwrap();
    assert!(
        msg.starts_with(
            "the links are not fit for corosync, and nothing was changed: 1 of 6 checks failed\n[ERROR link-latency] link 0: \
             pve1 - pve2 12.0 ms at best"
        ) && msg.contains("\nNODE "),
        "{msg}"
    );
    assert_eq!((&slow["failed"], &slow["ok"]), (&json!(true), &json!(false)));
    assert_eq!(judge(12.0, json!({"ignore": ["link-latency"]}))["ok"], true);
    assert_eq!(judge(12.0, json!({"latency_limit": 20}))["ok"], true);
}
