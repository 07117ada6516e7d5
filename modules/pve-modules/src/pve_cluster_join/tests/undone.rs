//! A join that fails leaves the joiner byte for byte as it was: content, mode, owner and target of every file, by each method
//! and at its worst moments, when the node is in the cluster's list and its own database is gone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::credentials::{connect, issue, member};
use super::*;

/// Kept on purpose: what an operation records, and PVE's own copies of the database.
const RECORDS: [&str; 6] = [
    "/var/lib/sddc-pve",
    "/run/sddc-pve",
    "/var/log",
    "/.pmxcfs",
    "/etc/pve/.members",
    "/var/lib/pve-cluster/backup",
];

fn list(fake: &Fake, dir: &Path, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, meta) = (entry.path(), entry.path().symlink_metadata().unwrap());
        if RECORDS.iter().any(|record| path.starts_with(fake.path(record))) {
            continue;
        }
        let content = match (meta.is_symlink(), meta.is_dir()) {
            (true, _) => format!("-> {}", fs::read_link(&path).unwrap().display()),
            (_, true) => String::new(),
            _ => format!("{:?}", String::from_utf8_lossy(&fs::read(&path).unwrap())),
        };
        // pmxcfs fixes the modes of what is below it, which a fake one does not.
        let is_fixed = path.starts_with(fake.path("/etc/pve")) || meta.is_symlink();
        let mode = if is_fixed { 0 } else { meta.mode() };
        into.insert(path.display().to_string(), format!("{mode:o} {}:{} {content}", meta.uid(), meta.gid()));
        if meta.is_dir() {
            list(fake, &path, into);
        }
    }
}

fn listing(fake: &Fake) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    list(fake, &fake.path("/"), &mut lines);
    lines
}

fn assert_same(fake: &Fake, before: &BTreeMap<String, String>, when: &str) {
    let after = listing(fake);
    let paths = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path));
    let differing: Vec<_> = paths.map(|path| (path, before.get(path), after.get(path))).collect();
    assert!(differing.is_empty(), "{when}: {differing:#?}");
}

/// What the design says is touched, each there before and each of its own mode.
fn with_files(fake: &Fake) {
    let files = [
        ("/etc/corosync/uidgid.d/own", "uidgid {}\n", 0o640),
        ("/etc/ssh/sshd_config", "PermitRootLogin prohibit-password\n", 0o600),
        ("/etc/ssh/ssh_known_hosts", "other ssh-ed25519 AAAA\n", 0o644),
        ("/root/.ssh/known_hosts", "10.0.0.1 ssh-ed25519 AAAA\n", 0o600),
        ("/root/.ssh/config", "Ciphers aes128-ctr\n", 0o640),
        ("/root/.ssh/id_rsa", "private\n", 0o600),
        ("/etc/pve/priv/known_hosts", "pve2 ssh-ed25519 AAAA\n", 0o600),
        ("/etc/pve/pve-root-ca.pem", "its own authority\n", 0o640),
        ("/etc/pve/nodes/pve2/pve-ssl.key", "its own key\n", 0o640),
        ("/var/lib/pve-cluster/config.db", "SQLite format 3: its own\n", 0o600),
        ("/var/lib/pve-cluster/config.db-wal", "written ahead\n", 0o600),
    ];
    for (path, text, mode) in files {
        fake.write(path, text);
        fs::set_permissions(fake.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir_all(fake.path("/run")).unwrap();
    symlink("known_hosts", fake.path("/root/.ssh/known_hosts.old")).unwrap();
}

/// Arguments of a join by each method, of a joiner that was told nothing yet.
fn prepared(method: &str) -> (Fake, Value) {
    let (member, joiner) = (member(), api_joiner());
    with_files(&joiner);
    let sealed = |kind: &str| {
        let asked = call(&joiner, json!({"cluster_name": "oracle", "state": "requested"}));
        issue(
            &member,
            json!({"type": kind, "node": "pve2", "public_key": asked["join_request"]["public_key"]}),
        )
    };
    let with = |more: Value| {
        let mut args = json!({"cluster_name": "oracle", "links": [{"number": 0, "address": "10.88.0.12"}]});
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    };
    let args = match method {
        "brokered" => brokered(&joiner),
        "api" => api(),
        "expect" => {
            joiner.machine().peer_certificate = FINGERPRINT.into();
            with(
                json!({"method": "expect", "peer": "10.88.0.11", "fingerprint": FINGERPRINT, "password": PASSWORD}),
            )
        }
        "ticket" => with(json!({"method": "ticket", "credential": sealed("ticket")["credential"],
                                "peer": "10.88.0.11", "fingerprint": FINGERPRINT})),
        "token" => {
            connect(&joiner, &member);
            with(json!({"method": "token", "token": issue(&member, json!({}))["join_string"]}))
        }
        "ssh" => {
            connect(&joiner, &member);
            with(json!({"method": "ssh", "credential": sealed("ssh_key")["credential"], "peer": "10.88.0.11",
                        "host_keys": [ssh::HOST_KEY]}))
        }
        _ => unreachable!("{method}"),
    };
    (joiner, args)
}

const METHODS: [&str; 6] = ["brokered", "api", "expect", "ticket", "token", "ssh"];

#[test]
fn without_quorum_each_method_leaves_the_node_byte_for_byte_as_it_was() {
    for method in METHODS {
        let (joiner, args) = prepared(method);
        let before = listing(&joiner);
        joiner.machine().online = Some(std::collections::BTreeSet::new());
        let result = call(&joiner, args);
        assert_eq!(result["rolled_back"], true, "{method}: {result:?}");
        assert_same(&joiner, &before, method);
        let snapshots = joiner.node().list("/var/lib/sddc-pve/snapshots").unwrap();
        assert!(snapshots.is_empty(), "{method} leaves a copy of keys: {snapshots:?}");
    }
}

#[test]
fn killed_at_any_program_and_then_refused_each_method_leaves_the_node_as_it_was() {
    for method in METHODS {
        for number in 1.. {
            let (joiner, args) = prepared(method);
            let before = listing(&joiner);
            joiner.machine().online = Some(std::collections::BTreeSet::new());
            let ended =
                killed_at(&joiner, number, |node| run(node, &invocation(&MODULE, args.clone()))).is_some();
            // The next run undoes it, and fails in its turn.
            let result = call(&joiner, args);
            assert_same(
                &joiner,
                &before,
                &format!("{method}, killed at program {number}: {:?}", result["msg"]),
            );
            if ended {
                assert!(number > 3, "{method}: only {number} programs were killed");
                break;
            }
        }
    }
}

#[test]
fn told_to_end_it_undoes_and_where_the_node_goes_down_the_next_run_does() {
    for goes_down in [false, true] {
        let fake = joiner();
        let args = brokered(&fake);
        let before = state(&fake);
        fake.on(move |machine, cmd| {
            if cmd.line() == "systemctl start corosync" {
                machine.is_told_to_end = true;
            }
            let is_asked = goes_down && cmd.line() == "systemctl is-system-running";
            let stdout = "stopping\n".to_owned();
            is_asked.then_some(Ok(pve::Output { code: Some(1), stdout, stderr: String::new() }))
        });
        let result = call(&fake, args);
        let msg = result["msg"].as_str().unwrap();
        assert!(msg.contains("it was told to end (SIGTERM)"), "{msg}");
        if goes_down {
            assert!(pve::operation::unended(&fake.node()).unwrap().is_some());
            fake.machine().online = Some(std::collections::BTreeSet::new());
            // Told once more while it is settled: that decides nothing.
            let other = json!({"cluster_name": "oracle", "material": "x"});
            assert!(call(&fake, other.clone())["msg"].to_string().contains("SIGTERM"));
            assert!(pve::operation::unended(&fake.node()).unwrap().is_some());
            fake.machine().is_told_to_end = false;
            assert!(call(&fake, other)["warnings"].to_string().contains("it was undone first"));
        } else {
            assert_eq!(result["rolled_back"], true, "{result:?}");
        }
        assert_unchanged(&fake, &before);
        assert!(!fake.machine().is_active("corosync.service"));
    }
}

#[test]
fn what_is_being_undone_is_undone_whoever_tells_it_to_end() {
    let fake = joiner();
    let args = brokered(&fake);
    let before = state(&fake);
    fake.machine().online = Some(std::collections::BTreeSet::new());
    fake.on(|machine, cmd| {
        machine.is_told_to_end |= cmd.line() == "systemctl stop corosync pve-cluster";
        None
    });
    let result = call(&fake, args);
    assert_eq!(result["rolled_back"], true, "{result:?}");
    assert_unchanged(&fake, &before);
}

/// A node whose join was cut off at a program, if it was a member then.
fn cut_off(is_api: bool, number: usize) -> (Option<Fake>, bool) {
    let fake = if is_api { api_joiner() } else { joiner() };
    let args = if is_api { api() } else { brokered(&fake) };
    let ended = killed_at(&fake, number, |node| run(node, &invocation(&MODULE, args))).is_some();
    let left = pve::operation::unended(&fake.node()).unwrap();
    let was_member = left.is_some_and(|left| left.marks.contains_key("member"));
    (was_member.then_some(fake), ended)
}

#[test]
fn a_member_whose_join_was_cut_off_is_not_undone_for_want_of_quorum() {
    for is_api in [false, true] {
        let mut refused = 0;
        for number in 1.. {
            let (left, ended) = cut_off(is_api, number);
            if let Some(fake) = left {
                refused += 1;
                fake.machine().online = Some(std::collections::BTreeSet::new());
                let before = state(&fake);
                let again = || call(&fake, json!({"cluster_name": "oracle", "material": "x"}));
                let result = again();
                let msg = result["msg"].as_str().unwrap();
                assert!(msg.contains("bring the other members up, and run again"), "program {number}: {msg}");
                assert_unchanged(&fake, &before);
                fake.machine().online = None;
                let result = again();
                assert_eq!(result["cluster"], "oracle", "killed at program {number}: {result:?}");
            }
            if ended {
                break;
            }
        }
        assert!(refused > 0, "api {is_api}");
    }
}

#[test]
fn such_a_member_may_leave_but_not_another_cluster_and_not_with_guests() {
    let fake = (1..).find_map(|number| cut_off(false, number).0).unwrap();
    fake.machine().online = Some(std::collections::BTreeSet::new());
    let settle = |cluster: &str| {
        let time = std::time::Duration::from_secs(60);
        let target = pve::reset::target("pve2", cluster);
        pve::operation::settle_earlier(&fake.node(), pve::operation::Kind::Reset, &target, time, false)
    };
    let none = r#"{"ids": {}}"#;
    fake.write("/etc/pve/.vmlist", none);
    let before = state(&fake);
    assert!(settle("another").is_err());
    fake.write("/etc/pve/.vmlist", r#"{"ids": {"107": {"node": "pve2", "type": "qemu", "version": 1}}}"#);
    assert!(settle("oracle").is_err());
    fake.write("/etc/pve/.vmlist", none);
    assert_unchanged(&fake, &before);
    settle("oracle").unwrap();
    assert!(!fake.path("/etc/pve/corosync.conf").exists());
    let kept = fake.node().list("/var/lib/pve-cluster/backup").unwrap();
    assert!(kept.iter().any(|name| name.ends_with(".db")), "the cluster's database is gone: {kept:?}");
}
