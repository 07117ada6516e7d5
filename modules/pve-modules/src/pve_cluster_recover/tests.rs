//! Diagnosing and applying over a fake node that was given an older corosync.conf than its cluster has.

use pve::corosync_conf::CorosyncConf;
use pve::fake::{Fake, golden};
use pve::gather::gather;
use serde_json::{Map, Value, json};

use super::*;
use crate::calling::{fields, invocation};
use crate::forming::{assert_unchanged, checked, killed_at, state};

const THREE: &str = "12-three-nodes/pve1-files/corosync-conf-pve";
const LOCAL: &str = "/etc/corosync/corosync.conf";

/// pve3 sees nobody; pve1 and pve2 have the next config version.
fn stuck() -> (Fake, String) {
    let mut conf = CorosyncConf::parse(&golden::file_in(THREE)).unwrap();
    let fake = Fake::member("pve3", "10.88.0.13", &conf.render());
    fake.machine().online = Some([].into());
    conf.increase_version();
    (fake, conf.render())
}

fn args(fake: &Fake, newest: &str, apply: bool) -> Value {
    let member = |name: &str, address: &str| {
        let other = Fake::member(name, address, newest);
        other.machine().online = Some(["pve1".to_owned(), "pve2".to_owned()].into());
        json!({"name": name, "address": address, "info": gather(&other.node(), Duration::from_secs(1))})
    };
    let own = json!({"name": "pve3", "address": "10.88.0.13", "info": gather(&fake.node(), Duration::from_secs(1))});
    let nodes = [member("pve1", "10.88.0.11"), member("pve2", "10.88.0.12"), own];
    json!({"cluster_name": "oracle", "nodes": nodes, "apply": apply})
}

fn call(fake: &Fake, newest: &str, apply: bool) -> Map<String, Value> {
    fields(run(&fake.node(), &invocation(&MODULE, args(fake, newest, apply))))
}

/// Once it starts with the cluster's configuration, corosync finds the others.
fn finds_the_others(fake: &Fake) {
    fake.on(|machine, cmd| {
        let conf = machine.read(LOCAL);
        if cmd.line().starts_with("systemctl start corosync") && conf.contains("config_version: 4") {
            machine.write("/etc/pve/corosync.conf", &conf);
            machine.online = None;
        }
        None
    });
}

#[test]
fn without_apply_it_only_tells_and_check_mode_foretells() {
    let (fake, newest) = stuck();
    let asked = args(&fake, &newest, true);
    let before = state(&fake);
    let told = call(&fake, &newest, false);
    assert_eq!((&told["changed"], &told["applied"]), (&json!(false), &json!([])), "{told:?}");
    assert_eq!(told["diagnoses"][0]["id"], "older-configuration");
    let report: Vec<&str> = told["report"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(report[1], "pve1             member       4       2/3       pve1 pve2");
    assert!(
        report[4].starts_with("pve3 [older-configuration] it has config version 3, the cluster 4"),
        "{report:?}"
    );
    let outcome = run(&fake.node(), &checked(invocation(&MODULE, asked), true)).unwrap();
    assert!(outcome.changed);
    assert_unchanged(&fake, &before);
}

#[test]
fn the_clusters_configuration_is_taken_and_a_second_run_finds_nothing() {
    let (fake, newest) = stuck();
    finds_the_others(&fake);
    let first = call(&fake, &newest, true);
    assert_eq!(first["changed"], true, "{first:?}");
    assert_eq!(
        first["applied"][0],
        "pve3 [older-configuration]: corosync runs with config version 4, quorate"
    );
    assert_eq!(fake.machine().read(LOCAL), newest);
    let second = call(&fake, &newest, true);
    assert_eq!((&second["changed"], &second["diagnoses"]), (&json!(false), &json!([])), "{second:?}");
}

#[test]
fn killed_at_any_program_the_next_run_mends_it() {
    for number in 1.. {
        let (fake, newest) = stuck();
        finds_the_others(&fake);
        let module = |node: &Node| run(node, &invocation(&MODULE, args(&fake, &newest, true)));
        let is_over = killed_at(&fake, number, module).is_some();
        call(&fake, &newest, true);
        assert!(fake.machine().is_active("corosync.service"), "killed at program {number}");
        assert_eq!(fake.machine().read(LOCAL), newest, "killed at program {number}");
        if is_over {
            assert!(number > 2, "only {number} programs were killed");
            break;
        }
    }
}

#[test]
fn a_newer_or_foreign_configuration_is_never_overwritten() {
    let (fake, newest) = stuck();
    let asked = args(&fake, &newest, true);
    let newer = newest.replace("config_version: 4", "config_version: 9");
    fake.write(LOCAL, &newer);
    fake.write("/etc/pve/corosync.conf", &newer);
    let result = fields(run(&fake.node(), &invocation(&MODULE, asked)));
    assert!(result["msg"].as_str().unwrap().contains("of another cluster or newer"), "{result:?}");
    assert_eq!(fake.machine().read(LOCAL), newer);
}

#[test]
fn a_corosync_that_did_not_read_the_file_reads_it_again() {
    let text = golden::file_in(THREE);
    let fake = Fake::member("pve2", "10.88.0.12", &text);
    fake.machine().behind.insert(2, 2);
    let own = json!({"name": "pve2", "address": "10.88.0.12", "info": gather(&fake.node(), Duration::from_secs(1))});
    let asked = json!({"cluster_name": "oracle", "nodes": [own], "apply": true});
    let result = fields(run(&fake.node(), &invocation(&MODULE, asked)));
    let told = "pve2 [not-reloaded]: corosync of every member runs with config version 3";
    assert_eq!((&result["changed"], &result["applied"]), (&json!(true), &json!([told])), "{result:?}");
    assert!(fake.machine().behind.is_empty());
}

/// pveproxy runs `pvecm updatecerts` before it starts, which waits for quorum.
#[test]
fn services_that_start_with_the_node_are_waited_for() {
    let (fake, newest) = stuck();
    finds_the_others(&fake);
    let mut looks = 0;
    fake.on(move |machine, cmd| {
        if cmd.line().starts_with("systemctl start corosync") {
            machine.units.get_mut("pveproxy.service").unwrap().active = "activating".to_owned();
        } else if cmd.line().starts_with("systemctl show") && !machine.is_active("pveproxy.service") {
            looks += 1;
            if looks == 4 {
                machine.start("pveproxy.service");
            }
        }
        None
    });
    let first = call(&fake, &newest, true);
    assert_eq!(
        first["applied"][0],
        "pve3 [older-configuration]: corosync runs with config version 4, quorate"
    );
    assert!(fake.machine().is_active("pveproxy.service"), "it was not waited for");
}
