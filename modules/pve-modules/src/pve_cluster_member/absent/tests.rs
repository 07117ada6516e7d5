//! Removing a member over a fake one: the four promises of a changing module, what goes and what stays, and its refusals.

use pve::fake::{Fake, Port, golden};
use serde_json::{Map, Value, json};

use super::super::MODULE;
use super::*;
use crate::calling::{fields, invocation, tree};
use crate::forming::{CONTROLLER_KEY, assert_unchanged, checked, killed_at, state};

const KEYS: &str = "/etc/pve/priv/authorized_keys";
const RULES: &str = "node-affinity: near\n\tresources vm:100\n\tnodes pve1:2,pve3\n";

/// pve1 of three, pve3 is off, with what it has left.
fn member() -> Fake {
    let conf = golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve");
    let fake = Fake::member("pve1", "10.88.0.11", &conf);
    fake.machine().online = Some(["pve2".to_owned()].into());
    for port in [22, 8006] {
        fake.machine().ports.insert(std::net::SocketAddr::from(([10, 88, 0, 13], port)), Port::Silent);
    }
    for name in ["pve2", "pve3"] {
        fake.write(&format!("/etc/pve/nodes/{name}/pve-ssl.pem"), "certificate");
    }
    fake.write(
        KEYS,
        format!(
            "ssh-rsa AAAA2 root@pve2\nssh-rsa AAAA3 root@pve3\nssh-rsa AAAA root@pve31\n{CONTROLLER_KEY}\n"
        ),
    );
    fake.write("/etc/pve/priv/known_hosts", "pve2 ssh-rsa B\n10.88.0.13 ssh-rsa C\npve31,pve3 ssh-rsa C\n");
    fake.write("/root/.ssh/known_hosts", "pve3 ssh-ed25519 C\n10.88.0.131 ssh-rsa D\n");
    fake.write("/etc/pve/ha/rules.cfg", RULES);
    fake.write("/etc/pve/priv/sddc-pve-seen/pve3", "5");
    fake.write("/etc/pve/storage.cfg", "zfspool: local\n\tnodes pve1,pve3\n");
    fake
}

fn args() -> Value {
    json!({"cluster_name": "oracle", "state": "absent", "nodes": [{"name": "pve3"}]})
}

fn call(fake: &Fake, args: Value) -> Map<String, Value> {
    fields(super::super::run(&fake.node(), &invocation(&MODULE, args)))
}

fn assert_gone(fake: &Fake) {
    let machine = fake.machine();
    assert!(!machine.read("/etc/pve/corosync.conf").contains("pve3"));
    assert!(!machine.path("/etc/pve/nodes/pve3").exists());
    assert_eq!(
        machine.read(KEYS),
        format!("ssh-rsa AAAA2 root@pve2\nssh-rsa AAAA root@pve31\n{CONTROLLER_KEY}\n")
    );
    assert_eq!(machine.read("/etc/pve/priv/known_hosts"), "pve2 ssh-rsa B\npve31 ssh-rsa C\n");
    assert_eq!(machine.read("/root/.ssh/known_hosts"), "10.88.0.131 ssh-rsa D\n");
    assert_eq!(machine.read("/etc/pve/ha/rules.cfg"), RULES.replace("pve1:2,pve3", "pve1:2"));
    assert!(!machine.path("/etc/pve/priv/sddc-pve-seen/pve3").exists());
    assert!(machine.read("/etc/pve/storage.cfg").contains("pve3"), "a storage is the administrator's");
}

#[test]
fn the_first_run_removes_all_of_it_and_the_second_finds_nothing_to_do() {
    let fake = member();
    let first = call(&fake, args());
    assert_eq!((&first["changed"], &first["removed"]), (&json!(true), &json!(["pve3"])), "{first:?}");
    assert_gone(&fake);
    assert_eq!(fake.machine().read(first["copies"][0].as_str().unwrap()), "a copy");
    let after = state(&fake);
    let second = call(&fake, args());
    assert_eq!((&second["changed"], &second["removed"]), (&json!(false), &json!([])), "{second:?}");
    assert_unchanged(&fake, &after);
}

#[test]
fn copies_of_nodes_removed_earlier_are_few() {
    let fake = member();
    for second in 10..22 {
        fake.write(&format!("/var/lib/sddc-pve/removed/10000000{second}-000-remove-1.tar.gz"), "older");
    }
    let copy = call(&fake, args())["copies"][0].as_str().unwrap().to_owned();
    let kept = fake.node().list("/var/lib/sddc-pve/removed").unwrap();
    assert_eq!((kept.len(), kept[0].as_str()), (10, "1000000013-000-remove-1.tar.gz"), "{kept:?}");
    assert!(copy.ends_with(&kept[9]), "{kept:?}");
}

#[test]
fn check_mode_shows_what_would_go_and_touches_nothing() {
    let fake = member();
    // What pmxcfs shows follows the machine at the first program only.
    let _ = fake.node().run(&pve::Cmd::new("corosync-quorumtool", ["-s"], std::time::Duration::from_secs(1)));
    let before = tree(&fake.path("/"));
    let outcome = super::super::run(&fake.node(), &checked(invocation(&MODULE, args()), true)).unwrap();
    assert!(outcome.changed);
    let shown: Vec<&str> = outcome.diff.iter().map(|diff| diff.before_header.as_deref().unwrap()).collect();
    for path in [
        "/etc/pve/corosync.conf",
        "/etc/pve/nodes/pve3",
        KEYS,
        "/etc/pve/ha/rules.cfg",
        "/root/.ssh/known_hosts",
    ] {
        assert!(shown.contains(&path), "{path}: {shown:?}");
    }
    assert!(!outcome.diff[0].after.as_ref().unwrap().as_str().unwrap().contains("pve3"));
    assert!(tree(&fake.path("/")) == before, "a file has changed");
}

#[test]
fn killed_at_any_program_a_rerun_ends_it() {
    for number in 1.. {
        let fake = member();
        let module = |node: &Node| super::super::run(node, &invocation(&MODULE, args()));
        let is_over = killed_at(&fake, number, module).is_some();
        let rerun = call(&fake, args());
        assert!(!rerun.contains_key("failed"), "killed at program {number}: {rerun:?}");
        assert_gone(&fake);
        assert!(!fake.path("/etc/pve/priv/lock/sddc-pve-nodelist").exists(), "killed at program {number}");
        assert_eq!(call(&fake, args())["changed"], false);
        if is_over {
            assert!(number > 2, "only {number} programs were killed");
            break;
        }
    }
}

#[test]
fn what_a_node_left_that_is_not_listed_any_more_goes_too() {
    let fake = member();
    fake.on(|_, cmd| (cmd.program == "pvecm").then(|| panic!("{} was called", cmd.line())));
    let mut conf = CorosyncConf::parse(&fake.machine().read("/etc/pve/corosync.conf")).unwrap();
    conf.remove_node("pve3");
    fake.write("/etc/pve/corosync.conf", conf.render());
    fake.write("/etc/corosync/corosync.conf", conf.render());
    let nodes = json!([{"name": "pve3", "address": "10.88.0.13"}]);
    let result = call(&fake, json!({"cluster_name": "oracle", "state": "absent", "nodes": nodes}));
    assert_eq!((&result["changed"], &result["removed"]), (&json!(true), &json!([])), "{result:?}");
    assert_gone(&fake);
}

#[test]
fn off_the_list_and_without_quorum_nobody_is_told_to_take_it_off_again() {
    let fake = member();
    let mut conf = CorosyncConf::parse(&fake.machine().read("/etc/pve/corosync.conf")).unwrap();
    conf.remove_node("pve3");
    fake.write("/etc/pve/corosync.conf", conf.render());
    fake.write("/etc/corosync/corosync.conf", conf.render());
    fake.machine().online = Some([].into());
    let result = call(&fake, args());
    assert_eq!(result["refusals"], json!(["no-quorum"]), "{result:?}");
    let text = result["msg"].as_str().unwrap();
    assert!(text.contains("playbooks/recover.yml") && !text.contains("delnode"), "{text}");
}

#[test]
fn refusals_name_their_ids_and_change_nothing() {
    let refuse = |change: &dyn Fn(&Fake), ids: Value| {
        let fake = member();
        change(&fake);
        let before = state(&fake);
        let result = call(&fake, args());
        assert_eq!(result["refusals"], ids, "{result:?}");
        assert_unchanged(&fake, &before);
        assert!(!fake.calls().iter().any(|line| line.starts_with("pvecm")));
    };
    refuse(&|fake| fake.machine().online = None, json!(["node-online"]));
    refuse(&|fake| fake.machine().online = Some([].into()), json!(["no-quorum"]));
    refuse(&|fake| fake.machine().ports.clear(), json!(["node-answers"]));
    let guest = r#"{"version": 1, "ids": {"100": {"node": "pve3", "type": "qemu", "version": 1}}}"#;
    refuse(&|fake| fake.write("/etc/pve/.vmlist", guest), json!(["guests"]));
    let armed = |fake: &Fake| fake.write("/etc/pve/nodes/pve3/lrm_status", r#"{"state":"active"}"#);
    refuse(&armed, json!(["ha-active"]));
    let placed = |fake: &Fake| {
        armed(fake);
        let status = r#"{"node_status":{"pve3":"unknown"},"service_status":{"vm:100":{"node":"pve3","state":"fence"}}}"#;
        fake.write("/etc/pve/ha/manager_status", status);
    };
    refuse(&placed, json!(["ha-resources"]));
    let job = "local: 100-0\n\ttarget pve3\n";
    refuse(&|fake| fake.write("/etc/pve/replication.cfg", job), json!(["replication"]));
}

#[test]
fn all_nodes_are_looked_at_before_one_is_removed() {
    let fake = member();
    let before = state(&fake);
    let nodes = json!([{"name": "pve3"}, {"name": "pve2"}]);
    let result = call(&fake, json!({"cluster_name": "oracle", "state": "absent", "nodes": nodes}));
    assert_eq!(result["refusals"], json!(["quorum-forecast", "node-online"]), "{result:?}");
    assert_unchanged(&fake, &before);
}
