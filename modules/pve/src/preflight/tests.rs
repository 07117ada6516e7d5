//! Holds each check to its finding, its severity and its hint, over fake nodes.

use std::collections::BTreeMap;

use super::*;
use crate::fake::{Fake, Port, golden};
use crate::gather::gather;

mod depth;
mod each;
mod garbage;

const TIMEOUT: Duration = Duration::from_secs(1);

fn wanted(names: &[&str]) -> Wanted {
    let node = |(index, name): (usize, &&str)| WantedNode {
        name: (*name).to_owned(),
        address: format!("10.88.0.{}", 11 + index),
        ..WantedNode::default()
    };
    Wanted {
        cluster_name: "prod".to_owned(),
        nodes: names.iter().enumerate().map(node).collect(),
        own: names[0].to_owned(),
        bridges: vec!["vmbr0".to_owned()],
        ports: vec![22, 8006],
        ..Wanted::default()
    }
}

/// A fresh node with healthy peers.
fn healthy() -> (Fake, Wanted) {
    let fake = Fake::standalone("pve1", "10.88.0.11");
    for (name, address) in [("pve2", "10.88.0.12"), ("pve3", "10.88.0.13")] {
        fake.machine().names.insert(name.to_owned(), vec![address.to_owned()]);
        for port in [22, 8006] {
            fake.machine().ports.insert(SocketAddr::new(address.parse().unwrap(), port), Port::Open);
        }
    }
    (fake, wanted(&["pve1", "pve2", "pve3"]))
}

use std::net::SocketAddr;

fn check(fake: &Fake, wanted: &Wanted) -> BTreeMap<String, CheckReport> {
    check_for(fake, wanted, Purpose::Join)
}

fn check_for(fake: &Fake, wanted: &Wanted, purpose: Purpose) -> BTreeMap<String, CheckReport> {
    let node = fake.node();
    let reports = run(&node, &gather(&node, TIMEOUT), wanted, purpose, TIMEOUT).unwrap();
    reports.into_iter().map(|report| (report.id.clone(), report)).collect()
}

fn fatal(reports: &BTreeMap<String, CheckReport>) -> Vec<&str> {
    reports.values().filter(|report| report.is_fatal()).map(|report| report.id.as_str()).collect()
}

#[test]
fn a_healthy_fresh_node_passes_everything_that_applies() {
    let (fake, wanted) = healthy();
    let reports = check(&fake, &wanted);
    assert_eq!(reports.len(), CHECKS.len());
    assert_eq!(fatal(&reports), Vec::<&str>::new());
    let skipped: Vec<&str> =
        reports.values().filter(|r| r.status == Status::Skipped).map(|r| r.id.as_str()).collect();
    let not_known =
        ["files-current", "firewall-open", "no-name-clash", "packages-installed", "versions-match"];
    assert!(not_known.iter().all(|id| skipped.contains(id)), "{skipped:?}");
    let unmet: Vec<&str> = reports.values().filter(|r| r.is_unmet()).map(|r| r.id.as_str()).collect();
    assert_eq!(unmet, Vec::<&str>::new());
}

/// What is done to a healthy node, and the one check that must then fail, with its finding.
fn fails(spoil: impl FnOnce(&Fake, &mut Wanted), id: &str, finding: &str) {
    let (fake, mut wanted) = healthy();
    spoil(&fake, &mut wanted);
    let reports = check(&fake, &wanted);
    assert_eq!(fatal(&reports), [id]);
    assert_eq!(reports[id].finding, finding);
    assert!(!reports[id].hint.is_empty());
}

#[test]
fn each_fault_fails_its_own_check_and_no_other() {
    fails(
        |fake, _| fake.write("/proc/self/status", "Uid:\t1000\t1000\t1000\t1000\n"),
        "running-as-root",
        "runs as user id 1000",
    );
    fails(|fake, _| fake.write("/var/lib/dpkg/status", ""), "pve-installed", "pve-manager is not installed");
    fails(
        |fake, _| {
            let status = "Package: pve-manager\nStatus: install ok installed\nVersion: 6.4-15\n";
            fake.write("/var/lib/dpkg/status", status);
        },
        "pve-version-supported",
        "version 6.4-15 is not supported: 7 to 9",
    );
    fails(
        |_, wanted| wanted.packages = vec!["corosync".into(), "chrony".into()],
        "packages-installed",
        "not installed: chrony",
    );
    fails(
        |fake, _| fake.machine().synchronised = Some(false),
        "time-synchronised",
        "the clock is not synchronised, says chrony",
    );
    fails(
        |_, wanted| wanted.cluster_name = "a-name-that-is-too-long".into(),
        "cluster-name-valid",
        "cluster name \"a-name-that-is-too-long\" has 23 characters: 15 at most",
    );
    fails(
        |_, wanted| {
            wanted.nodes[1].nodeid = Some(4);
            wanted.nodes[2].nodeid = Some(4);
        },
        "inventory-consistent",
        "nodes \"pve2\" and \"pve3\" both have node id 4",
    );
    fails(|_, wanted| wanted.bridges.push("vmbr1".into()), "bridge-up", "there is no vmbr1");
    fails(
        |_, wanted| {
            let foreign =
                crate::inventory::WantedLink { number: 0, address: "10.88.0.99".into(), priority: None };
            wanted.nodes[0].links = Some(vec![foreign]);
        },
        "links-local",
        "link 0 is 10.88.0.99: not on this node, which has 10.88.0.11",
    );
    fails(
        |_, wanted| wanted.nodes[1].version = Some("8.4.1".into()),
        "versions-match",
        "this node has 9.1.10, pve2 has 8.4.1",
    );
    fails(
        |fake, _| {
            fake.write(
                "/etc/pve/.vmlist",
                r#"{"ids": {"100": {"node": "pve1", "type": "qemu", "version": 1}}}"#,
            );
        },
        "no-guests",
        "the node has guests: 100 (qemu)",
    );
    fails(
        |fake, _| fake.write("/etc/corosync/authkey", "key"),
        "no-remnants",
        "/etc/corosync/authkey: the key of a cluster this node is not in",
    );
}

#[test]
fn names_must_resolve_to_what_the_inventory_says() {
    fails(
        |fake, _| {
            let names = &mut fake.machine().names;
            names.insert("pve2".into(), vec!["10.88.0.99".into()]);
            names.remove("pve3");
        },
        "names-resolve",
        "\"pve2\" resolves to 10.88.0.99 instead of 10.88.0.12; \"pve3\" does not resolve",
    );
    let (fake, wanted) = healthy();
    fake.machine().names.insert("pve1".into(), vec!["127.0.1.1".into()]);
    let reports = check(&fake, &wanted);
    assert_eq!(fatal(&reports), ["names-resolve", "own-name-resolves"]);
    assert_eq!(reports["own-name-resolves"].finding, "\"pve1\" resolves to the loopback address 127.0.1.1");
    fake.machine().names.insert("pve1".into(), vec!["10.88.0.77".into()]);
    let finding = &check(&fake, &wanted)["own-name-resolves"].finding;
    assert_eq!(finding, "\"pve1\" resolves to 10.88.0.77, which is no address of this node");
}

#[test]
fn a_dead_port_is_named_with_its_reason() {
    fails(
        |fake, _| {
            let mut machine = fake.machine();
            machine.ports.remove(&"10.88.0.12:8006".parse().unwrap());
            machine.ports.insert("10.88.0.13:22".parse().unwrap(), Port::Silent);
        },
        "peer-ports-reachable",
        "pve2 10.88.0.12:8006: refused; pve3 10.88.0.13:22: no answer within 1 s",
    );
}

#[test]
fn a_node_of_another_cluster_fails_a_guard_that_cannot_be_ignored() {
    let conf = golden::file_in("05-single-node/files/corosync-conf-pve");
    let (_, mut wanted) = healthy();
    wanted.nodes.truncate(1);
    wanted.ignore = vec!["not-in-foreign-cluster".into(), "corosync-not-running".into()];
    let reports = check(&Fake::member("pve1", "10.88.0.11", &conf), &wanted);
    assert_eq!(fatal(&reports), ["not-in-foreign-cluster"]);
    let guard = &reports["not-in-foreign-cluster"];
    assert_eq!(guard.finding, "the node is in cluster \"oracle\", wanted is \"prod\"");
    assert!(guard.hint.ends_with("this check guards data and cannot be ignored"), "{}", guard.hint);
    assert_eq!(reports["corosync-not-running"].status, Status::Ignored);
}

#[test]
fn a_name_that_the_cluster_lists_for_another_machine_is_a_clash() {
    let (fake, mut wanted) = healthy();
    wanted.cluster_name = "oracle".into();
    let conf = golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve");
    let member = Fake::member("pve2", "10.88.0.12", &conf);
    member.write("/etc/machine-id", "fedcba9876543210fedcba9876543210\n");
    wanted.nodes[1].info = Some(Box::new(gather(&member.node(), TIMEOUT)));
    let reports = check(&fake, &wanted);
    assert_eq!(fatal(&reports), ["no-name-clash"]);
    assert!(reports["no-name-clash"].finding.starts_with("cluster \"oracle\" already lists a node \"pve1\""));
}

#[test]
fn a_node_that_is_being_joined_is_not_kept_from_going_on() {
    let (fake, wanted) = healthy();
    fake.write("/etc/corosync/authkey", "key");
    fake.machine().stop("pve-cluster.service");
    assert_eq!(fatal(&check(&fake, &wanted)), ["no-guests", "no-remnants", "pmxcfs-running"]);
    let journal = crate::operation::Journal {
        id: "1-join-7".to_owned(),
        kind: crate::operation::Kind::Join,
        state: crate::operation::State::Running,
        ..Default::default()
    };
    journal.save(&fake.node()).unwrap();
    assert_eq!(fatal(&check(&fake, &wanted)), Vec::<&str>::new());
}

#[test]
fn what_guards_a_joiner_does_not_apply_to_others() {
    let conf = golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve");
    let (fake, mut wanted) = healthy();
    let member = Fake::member("pve1", "10.88.0.11", &conf);
    member.machine().names.clone_from(&fake.machine().names);
    member.machine().ports.clone_from(&fake.machine().ports);
    wanted.cluster_name = "oracle".into();
    member.write("/etc/pve/.vmlist", r#"{"ids": {"100": {"node": "pve1", "type": "lxc", "version": 1}}}"#);
    assert_eq!(fatal(&check_for(&member, &wanted, Purpose::Member)), Vec::<&str>::new());
    fake.write("/etc/pve/.vmlist", r#"{"ids": {"100": {"node": "pve1", "type": "lxc", "version": 1}}}"#);
    assert_eq!(fatal(&check_for(&fake, &wanted, Purpose::Create)), Vec::<&str>::new());
}

#[test]
fn what_cannot_be_looked_at_is_told_apart_from_what_is_wrong() {
    let (fake, wanted) = healthy();
    fake.answer("getent ahosts pve2", 1, "");
    let reports = check(&fake, &wanted);
    assert_eq!(reports["names-resolve"].status, Status::CouldNotCheck);
    assert_eq!(fatal(&reports), ["names-resolve"]);
}

#[test]
fn only_and_ignore_take_known_ids() {
    let (fake, mut wanted) = healthy();
    wanted.only = Some(vec!["bridge-up".into()]);
    assert_eq!(check(&fake, &wanted).into_keys().collect::<Vec<_>>(), ["bridge-up"]);
    wanted.only = Some(Vec::new());
    assert!(check(&fake, &wanted).is_empty());
    wanted.ignore = vec!["brige-up".into()];
    let node = fake.node();
    let error = run(&node, &gather(&node, TIMEOUT), &wanted, Purpose::Join, TIMEOUT).unwrap_err();
    assert!(
        error.to_string().starts_with("there is no check \"brige-up\": the checks are running-as-root, ")
    );
}

#[test]
fn files_and_firewall_are_what_the_preparing_role_left() {
    let (fake, mut wanted) = healthy();
    let sha256 = crate::certificate::digest(b"rules\n").to_uppercase();
    wanted.files = vec![WantedFile { path: "/etc/sddc-pve/firewall.rules".into(), sha256 }];
    wanted.only = Some(vec!["files-current".into(), "firewall-open".into()]);
    assert_eq!(fatal(&check(&fake, &wanted)), ["files-current", "firewall-open"]);
    fake.write("/etc/sddc-pve/firewall.rules", "other\n");
    let unit = crate::fake::FakeUnit { active: "active".into(), enabled: "enabled".into() };
    fake.machine().units.insert("sddc-pve-firewall.service".into(), unit);
    fake.answer("iptables -w -C INPUT -j SDDC-PVE", 1, "");
    let reports = check(&fake, &wanted);
    assert_eq!(reports["files-current"].finding, "/etc/sddc-pve/firewall.rules has other content");
    assert_eq!(reports["firewall-open"].finding, "chain INPUT does not lead to SDDC-PVE");
    fake.write("/etc/sddc-pve/firewall.rules", "rules\n");
    fake.answer("iptables -w -C INPUT -j SDDC-PVE", 0, "");
    assert_eq!(fatal(&check(&fake, &wanted)), Vec::<&str>::new());
}

#[test]
fn ids_are_unique_and_kebab_case() {
    let mut ids: Vec<&str> = CHECKS.iter().map(|check| check.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), CHECKS.len());
    let is_kebab = |id: &&str| id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    assert!(ids.iter().all(is_kebab));
}
