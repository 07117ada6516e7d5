//! Resetting over a fake node: the promises of a changing module, what is left, and its refusals.

use pve::fake::{Fake, golden};
use pve::operation::Journal;
use serde_json::{Value, json};

use super::*;
use crate::calling::{fields, invocation, tree};
use crate::forming::{CONTROLLER_KEY, assert_unchanged, checked, fresh, killed_at, state};

const THREE: &str = "12-three-nodes/pve1-files/corosync-conf-pve";

/// What lets the holder of a token of the cluster ask for a join.
const TOKEN_KEY: &str = "restrict,command=\"/usr/local/lib/sddc-pve/0.1.0/pve __token k3x9mqp2ab\" ssh-ed25519 AAAAtoken sddc-pve-token-k3x9mqp2ab";

fn args() -> Value {
    json!({ "confirm": "oracle", "scope": "cluster" })
}

fn call(fake: &Fake, args: Value) -> serde_json::Map<String, Value> {
    fields(run(&fake.node(), &invocation(&MODULE, args)))
}

/// pve1 of three, with what the others have left on it.
fn member() -> Fake {
    let fake = Fake::member("pve1", "10.88.0.11", &golden::file_in(THREE));
    fake.write("/etc/ssh/sshd_config", "PermitRootLogin yes\n");
    fake.write("/root/.ssh/id_rsa.pub", "ssh-rsa AAAApve1 root@pve1\n");
    fake.write(
        "/etc/pve/priv/authorized_keys",
        format!("ssh-rsa AAAApve1 root@pve1\nssh-rsa AAAApve2 root@pve2\n{CONTROLLER_KEY}\n{TOKEN_KEY}\n"),
    );
    fake.write("/etc/pve/priv/sddc-pve/tokens/k3x9mqp2ab/token.json", "{}");
    fake.write("/etc/pve/priv/known_hosts", "pve1 ssh-rsa A\n10.88.0.12 ssh-rsa B\npve3 ssh-rsa C\n");
    fake.write("/etc/pve/nodes/pve2/pve-ssl.pem", "of pve2");
    fake.write("/etc/pve/priv/authkey.key", "the cluster's");
    fake.write("/var/lib/corosync/ringid_1", "1");
    let (keys, link) = ("/etc/pve/priv/authorized_keys", fake.path("/root/.ssh/authorized_keys"));
    std::os::unix::fs::symlink(keys, link).unwrap();
    fake
}

#[test]
fn the_first_run_separates_and_the_second_finds_nothing_to_do() {
    let fake = member();
    let first = call(&fake, args());
    assert_eq!(first["msg"], "node \"pve1\" left cluster \"oracle\" and can join again", "{first:?}");
    for gone in [
        "/etc/pve/corosync.conf",
        "/etc/corosync/corosync.conf",
        "/etc/corosync/authkey",
        "/etc/pve/nodes/pve2",
        "/etc/pve/priv/authkey.key",
        "/etc/pve/priv/sddc-pve/tokens",
        "/var/lib/corosync/ringid_1",
    ] {
        assert!(!fake.node().exists(gone), "{gone}");
    }
    let machine = fake.machine();
    assert_eq!(machine.read("/etc/pve/priv/known_hosts"), "pve1 ssh-rsa A\n");
    let keys = format!("ssh-rsa AAAApve1 root@pve1\n{CONTROLLER_KEY}\n");
    assert_eq!(machine.read("/etc/pve/priv/authorized_keys"), keys);
    assert_eq!(machine.read("/root/.ssh/authorized_keys2"), format!("{CONTROLLER_KEY}\n"));
    assert_eq!(machine.read(first["copy"].as_str().unwrap()), "a copy");
    drop(machine);
    let after = state(&fake);
    let second = call(&fake, args());
    assert_eq!(second["changed"], false, "{second:?}");
    assert_unchanged(&fake, &after);
}

#[test]
fn copies_of_earlier_resets_are_few() {
    let fake = member();
    for second in 10..22 {
        fake.write(&format!("/var/lib/sddc-pve/resets/10000000{second}-000-reset-1.tar.gz"), "older");
    }
    let copy = call(&fake, args())["copy"].as_str().unwrap().to_owned();
    let kept = fake.node().list("/var/lib/sddc-pve/resets").unwrap();
    assert_eq!((kept.len(), kept[0].as_str()), (10, "1000000013-000-reset-1.tar.gz"), "{kept:?}");
    assert!(copy.ends_with(&kept[9]), "{kept:?}");
}

#[test]
fn check_mode_shows_what_would_go_and_touches_nothing() {
    let fake = member();
    let before = tree(&fake.path("/"));
    let outcome = run(&fake.node(), &checked(invocation(&MODULE, args()), true)).unwrap();
    assert!(outcome.changed && outcome.diff[0].before.as_ref().unwrap().as_str().unwrap().contains("pve3"));
    assert_eq!(tree(&fake.path("/")), before);
}

#[test]
fn killed_at_any_program_a_rerun_ends_it() {
    for number in 1.. {
        let fake = member();
        let is_over = killed_at(&fake, number, |node| run(node, &invocation(&MODULE, args()))).is_some();
        let rerun = call(&fake, args());
        assert!(!rerun.contains_key("failed"), "killed at program {number}: {rerun:?}");
        let facts = pve::gather::gather(&fake.node(), std::time::Duration::from_secs(1));
        assert_eq!(facts.state, pve::facts::ClusterState::Standalone, "killed at program {number}");
        assert_eq!(call(&fake, args())["changed"], false);
        if is_over {
            assert!(number > 5, "only {number} programs were killed");
            break;
        }
    }
}

#[test]
fn a_reset_that_failed_without_a_trace_of_the_cluster_is_done_again() {
    let fake = member();
    let is_broken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let broken = is_broken.clone();
    fake.on(move |_, cmd| {
        let is_it =
            cmd.line().starts_with("pvecm updatecerts") && broken.load(std::sync::atomic::Ordering::Relaxed);
        is_it.then(|| Ok(pve::Output { code: Some(0), ..pve::Output::default() }))
    });
    let first = call(&fake, args());
    assert!(first["msg"].as_str().unwrap().contains("made no certificate"), "{first:?}");
    is_broken.store(false, std::sync::atomic::Ordering::Relaxed);
    let second = call(&fake, args());
    assert_eq!(second["msg"], "node \"pve1\" left cluster \"oracle\" and can join again", "{second:?}");
    assert!(fake.node().exists("/etc/pve/nodes/pve1/pve-ssl.pem"));
    assert_eq!(call(&fake, args())["changed"], false);
}

#[test]
fn a_configuration_that_comes_back_is_no_separation() {
    let fake = member();
    let conf = fake.machine().read("/etc/pve/corosync.conf");
    fake.on(move |machine, cmd| {
        if cmd.line() == "systemctl start pve-cluster" {
            machine.write("/etc/corosync/corosync.conf", &conf);
        }
        None
    });
    let result = call(&fake, args());
    let text = result["msg"].as_str().unwrap();
    assert!(text.contains("/etc/corosync/corosync.conf came back from pmxcfs's database"), "{text}");
}

#[test]
fn etc_pve_is_there_again_though_nothing_could_be_removed_from_it() {
    let fake = member();
    // No file: what can't be removed.
    std::fs::remove_file(fake.path("/etc/pve/priv/authkey.key")).unwrap();
    fake.write("/etc/pve/priv/authkey.key/x", "");
    let result = call(&fake, args());
    assert!(result["msg"].as_str().unwrap().contains("authkey.key"), "{result:?}");
    assert!(fake.machine().is_active("pve-cluster.service"));
}

#[test]
fn what_is_the_clusters_goes_only_from_a_node_that_does_not_come_back_to_it() {
    let fake = member();
    // No file: what can't be removed.
    std::fs::remove_file(fake.path("/etc/corosync/authkey")).unwrap();
    fake.write("/etc/corosync/authkey/x", "");
    let result = call(&fake, args());
    assert!(result["msg"].as_str().unwrap().contains("/etc/corosync/authkey"), "{result:?}");
    assert!(fake.path("/etc/pve/nodes/pve2/pve-ssl.pem").exists(), "pmxcfs would carry that to the others");
}

#[test]
fn a_rerun_without_the_configuration_still_knows_who_the_others_were() {
    let fake = member();
    std::fs::create_dir_all(fake.path("/etc/pve/priv/authkey.key.old/x")).unwrap();
    assert!(call(&fake, args()).contains_key("failed"));
    assert!(!fake.path("/etc/pve/corosync.conf").exists());
    std::fs::remove_dir_all(fake.path("/etc/pve/priv/authkey.key.old")).unwrap();
    fake.write("/etc/pve/nodes/pve2/pve-ssl.pem", "of pve2, which could not be removed");
    let rerun = call(&fake, args());
    assert!(!rerun.contains_key("failed"), "{rerun:?}");
    let read = |path: &str| fake.machine().read(path);
    let keys = [read("/etc/pve/priv/authorized_keys"), read("/root/.ssh/authorized_keys2")].concat();
    assert!(!keys.contains("root@pve2") && keys.contains(CONTROLLER_KEY), "{keys}");
    assert!(!fake.path("/etc/pve/nodes/pve2").exists());
}

#[test]
fn a_reset_that_is_told_to_end_is_the_next_runs_to_go_on_with() {
    let fake = member();
    let mut is_first = true;
    fake.on(move |machine, cmd| {
        machine.is_told_to_end |= is_first && cmd.line() == "systemctl stop pve-cluster corosync";
        is_first &= !machine.is_told_to_end;
        None
    });
    let result = call(&fake, args());
    assert!(result["msg"].as_str().unwrap().contains("SIGTERM"), "{result:?}");
    assert!(pve::operation::unended(&fake.node()).unwrap().is_some());
    fake.machine().is_told_to_end = false;
    let rerun = call(&fake, args());
    assert!(!rerun.contains_key("failed"), "{rerun:?}");
    assert!(fake.machine().is_active("pve-cluster.service"));
    assert!(!fake.path("/etc/pve/corosync.conf").exists());
}

#[test]
fn a_reset_that_was_cut_off_before_it_separated_is_nobodys_to_end_unasked() {
    let mut seen = [0, 0];
    for number in 1.. {
        let fake = member();
        let is_over = killed_at(&fake, number, |node| run(node, &invocation(&MODULE, args()))).is_some();
        let unended = pve::operation::unended(&fake.node()).unwrap();
        if let Some(unended) = unended {
            let has_begun = unended.marks.contains_key("separating");
            seen[usize::from(has_begun)] += 1;
            let time = std::time::Duration::from_secs(60);
            pve::operation::settle_earlier(&fake.node(), Kind::Admit, "pve4 into \"oracle\"", time, false)
                .unwrap();
            let is_member = fake.path("/etc/pve/corosync.conf").exists();
            assert_eq!(is_member, !has_begun, "killed at program {number}");
        }
        if is_over {
            break;
        }
    }
    assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
}

#[test]
fn a_node_that_was_never_in_a_cluster_is_left_alone() {
    let fake = fresh("pve1", "10.88.0.11");
    let before = state(&fake);
    assert_eq!(call(&fake, args())["changed"], false);
    assert_unchanged(&fake, &before);
}

#[test]
fn what_would_cost_data_or_quorum_is_refused_before_anything_changes() {
    let refuse = |change: &dyn Fn(&Fake), args: Value, reason: &str| {
        let fake = member();
        change(&fake);
        let before = state(&fake);
        let result = call(&fake, args);
        assert!(result["msg"].as_str().unwrap().contains(reason), "{reason}: {result:?}");
        assert_unchanged(&fake, &before);
        assert!(Journal::all(&fake.node()).unwrap().is_empty());
    };
    let nothing = |_: &Fake| {};
    refuse(
        &nothing,
        json!({"confirm": "prod", "scope": "cluster"}),
        "it is in cluster \"oracle\", and confirm says",
    );
    refuse(&nothing, json!({"confirm": "oracle"}), "pve2, pve3 would go on counting its vote");
    let one_down = |fake: &Fake| fake.machine().online = Some(["pve2".to_owned()].into());
    refuse(
        &one_down,
        json!({"confirm": "oracle", "scope": "leaving"}),
        "pve2 would be left with 1 of 3 votes",
    );
    let armed = |fake: &Fake| fake.write("/etc/pve/nodes/pve1/lrm_status", r#"{"state":"active"}"#);
    refuse(&armed, args(), "high availability is active");
    let guest = |fake: &Fake| {
        let list = r#"{"version": 1, "ids": {"100": {"node": "pve1", "type": "qemu", "version": 1}}}"#;
        fake.write("/etc/pve/.vmlist", list);
    };
    refuse(&guest, args(), "it has guests (100)");
}

#[test]
fn a_quorum_device_goes_with_the_cluster_and_a_qnetd_host_keeps_its_authority() {
    let fake = member();
    fake.machine().install_qdevice();
    fake.machine().start("corosync-qdevice.service");
    fake.machine().units.get_mut("corosync-qdevice.service").unwrap().enabled = "enabled".to_owned();
    fake.write("/etc/corosync/qdevice/net/nssdb/cert9.db", "");
    fake.write("/etc/corosync/qnetd/nssdb/qnetd-cacert.crt", "of others");
    let result = call(&fake, args());
    assert_eq!(result["changed"], true, "{result:?}");
    assert!(!fake.node().exists("/etc/corosync/qdevice"));
    assert_eq!(fake.machine().read("/etc/corosync/qnetd/nssdb/qnetd-cacert.crt"), "of others");
    let daemon = fake.machine().units["corosync-qdevice.service"].clone();
    assert_eq!((daemon.active.as_str(), daemon.enabled.as_str()), ("inactive", "disabled"));
}

#[test]
fn named_guests_may_stay() {
    let fake = member();
    let list = r#"{"version": 1, "ids": {"100": {"node": "pve1", "type": "qemu", "version": 1}}}"#;
    fake.write("/etc/pve/.vmlist", list);
    let result = call(&fake, json!({"confirm": "oracle", "scope": "cluster", "guests": [100]}));
    assert_eq!(result["changed"], true, "{result:?}");
}

#[test]
fn a_node_may_leave_members_that_keep_quorum_and_take_it_off_the_list() {
    let result = call(&member(), json!({"confirm": "oracle", "scope": "leaving"}));
    assert_eq!(result["changed"], true, "{result:?}");
}
