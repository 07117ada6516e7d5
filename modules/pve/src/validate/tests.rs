//! Holds the validation to what it must find, over fake members.

use std::collections::BTreeMap;

use super::*;
use crate::fake::{Fake, golden};
use crate::operation::{Journal, State};

mod depth;
mod each;
mod states;

const THREE: &str = "12-three-nodes/pve1-files/corosync-conf-pve";

fn healthy(name: &str, address: &str) -> Fake {
    member(name, address, &golden::file_in(THREE))
}

/// A member with all that a finished join leaves.
fn member(name: &str, address: &str, conf: &str) -> Fake {
    let fake = Fake::member(name, address, conf);
    let pem = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    for (index, node) in ["pve1", "pve2", "pve3"].iter().enumerate() {
        fake.write(&format!("/etc/pve/nodes/{node}/pve-ssl.pem"), pem(&"AAAA".repeat(index + 1)));
        fake.write(&format!("/etc/pve/nodes/{node}/pve-ssl.key"), "key");
    }
    fake.write("/etc/pve/pve-root-ca.pem", pem("BBBB"));
    fake
}

fn expected(names: &[&str]) -> Expected {
    Expected {
        cluster_name: "oracle".to_owned(),
        nodes: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        ..Expected::default()
    }
}

const ALL: [&str; 3] = ["pve1", "pve2", "pve3"];

fn fatal(fake: &Fake, expected: &Expected) -> BTreeMap<String, String> {
    unmet(fake, expected, CheckReport::is_fatal)
}

fn unmet(fake: &Fake, expected: &Expected, is_told: fn(&CheckReport) -> bool) -> BTreeMap<String, String> {
    let look = look(&fake.node(), expected, Duration::from_secs(1));
    look.checks.into_iter().filter(is_told).map(|check| (check.id, check.finding)).collect()
}

fn fails(spoil: impl FnOnce(&Fake, &mut Expected), id: &str, finding: &str) {
    let fake = healthy("pve1", "10.88.0.11");
    let mut expected = expected(&ALL);
    spoil(&fake, &mut expected);
    assert_eq!(fatal(&fake, &expected), BTreeMap::from([(id.to_owned(), finding.to_owned())]));
}

#[test]
fn a_healthy_cluster_passes_and_gives_a_view() {
    let fake = healthy("pve1", "10.88.0.11");
    let look = look(&fake.node(), &expected(&ALL), Duration::from_secs(1));
    assert!(look.is_good(), "{:?}", look.checks);
    let view = look.view.unwrap();
    assert_eq!((view.members, view.config_version), (ALL.map(str::to_owned).to_vec(), 3));
    assert_eq!(view.rings["pve2"][&0], "10.88.0.12");
    assert_eq!(look.checks.len(), CHECKS.len());
    assert!(
        look.checks
            .iter()
            .zip(CHECKS)
            .all(|(check, (id, severity, _))| { check.id == *id && check.severity == *severity })
    );
}

#[test]
fn each_fault_fails_its_own_check() {
    fails(
        |_, expected| expected.nodes.as_mut().unwrap().push("pve4".to_owned()),
        "members-complete",
        "not listed: pve4",
    );
    fails(
        |_, expected| expected.nodes = Some(vec!["pve1".to_owned(), "pve2".to_owned()]),
        "members-complete",
        "listed and not expected: pve3",
    );
    fails(
        |_, expected| (expected.nodes, expected.count) = (None, Some(4)),
        "members-complete",
        "3 nodes are listed, expected are 4",
    );
    fails(
        |fake, _| _ = fake.machine().cut.insert((0, 3)),
        "links-connected",
        "link 0 to pve3 is disconnected",
    );
    fails(|_, expected| expected.links = Some(vec![0, 1]), "links-connected", "link 1 is not configured");
    fails(
        |fake, _| std::fs::remove_file(fake.path("/etc/pve/nodes/pve3/pve-ssl.pem")).unwrap(),
        "certificates",
        "no certificate of pve3",
    );
    fails(
        |fake, _| fake.machine().units.get_mut("corosync.service").unwrap().enabled = "disabled".to_owned(),
        "services-enabled",
        "corosync is disabled",
    );
    fails(
        |fake, _| fake.machine().synchronised = Some(false),
        "time-synchronised",
        "the clock is not synchronised, says chrony",
    );
}

#[test]
fn an_api_that_still_shows_its_old_certificate_is_seen() {
    let old = "00:".repeat(31) + "00";
    fails(
        |fake, _| fake.machine().served = Some("00:".repeat(31) + "00"),
        "certificates",
        &format!("the API on 10.88.0.11 shows {old}, which is not the node's certificate"),
    );
}

#[test]
fn without_quorum_it_says_so_and_what_is_missing() {
    let fake = healthy("pve1", "10.88.0.11");
    fake.machine().online = Some(Default::default());
    let found = fatal(&fake, &expected(&ALL));
    assert_eq!(found["quorate"], "no quorum: 1 of 3 votes, quorum 2");
    assert_eq!(found["members-complete"], "offline: pve2, pve3");
    assert_eq!(found["links-connected"], "link 0 to pve2 is disconnected; link 0 to pve3 is disconnected");
}

#[test]
fn a_corosync_that_kept_an_old_configuration_is_seen() {
    let fake = healthy("pve1", "10.88.0.11");
    // Without quorum pmxcfs copies nothing, and corosync is left with what it had.
    fake.machine().online = Some(Default::default());
    let old = golden::file_in(THREE).replace("config_version: 3", "config_version: 2");
    fake.write("/etc/corosync/corosync.conf", old);
    let found = fatal(&fake, &expected(&ALL));
    assert_eq!(found["config-current"], "corosync.conf of corosync has version 2, that of pmxcfs has 3");
}

#[test]
fn a_corosync_that_did_not_read_the_file_is_seen_on_every_member() {
    fails(
        |fake, _| _ = fake.machine().behind.insert(2, 2),
        "config-current",
        "the file has config version 3, corosync of pve2 has 2",
    );
}

/// What an operation could not give back while nothing could be written.
#[test]
fn once_locks_can_be_made_those_of_ended_operations_are_given_back() {
    const LOCK: &str = "/etc/pve/priv/lock/sddc-pve-nodelist";
    let fake = healthy("pve1", "10.88.0.11");
    std::fs::create_dir_all(fake.path(LOCK)).unwrap();
    let taken = std::fs::metadata(fake.path(LOCK)).unwrap().modified().unwrap();
    let taken = taken.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut journal = Journal { id: "1-admit".into(), state: State::Running, ..Journal::default() };
    journal.marks.insert(crate::cluster_lock::MARK.into(), format!("sddc-pve-nodelist {taken}"));
    for (state, is_kept) in [(State::Running, true), (State::Failed, false)] {
        journal.state = state;
        journal.save(&fake.node()).unwrap();
        look(&fake.node(), &Expected { is_read_only: true, ..expected(&ALL) }, Duration::from_secs(1));
        assert!(fake.path(LOCK).exists(), "check mode gave it back");
        look(&fake.node(), &expected(&ALL), Duration::from_secs(1));
        assert_eq!(fake.path(LOCK).exists(), is_kept, "{state:?}");
    }
}

#[test]
fn a_node_of_another_cluster_or_of_none_is_told_at_once() {
    let fake = healthy("pve1", "10.88.0.11");
    let mut other = expected(&ALL);
    other.cluster_name = "prod".to_owned();
    assert_eq!(fatal(&fake, &other)["in-cluster"], "the node is in cluster \"oracle\", not in \"prod\"");
    let alone = Fake::standalone("pve9", "10.88.0.19");
    let deadline = Deadline::after(&alone.node(), Duration::from_secs(60));
    let Waited { look, looks, .. } =
        wait_until_good(&alone.node(), &expected(&ALL), Duration::ZERO, deadline).unwrap();
    assert_eq!((look.is_good(), looks, look.checks.len()), (false, 1, 1));
}

#[test]
fn views_of_all_members_must_agree() {
    let view = |fake: &Fake| look(&fake.node(), &expected(&ALL), Duration::from_secs(1)).view.unwrap();
    let (one, two) = (healthy("pve1", "10.88.0.11"), healthy("pve2", "10.88.0.12"));
    let third = healthy("pve3", "10.88.0.13");
    // The same /etc/pve on all: what differs is each node's own and moves.
    for fake in [&one, &two, &third] {
        for name in ALL {
            fake.write(
                &format!("/etc/pve/nodes/{name}/lrm_status"),
                format!("{:?}", fake.machine().hostname),
            );
        }
    }
    let mut comparing = expected(&ALL);
    let views = vec![view(&one), view(&two), view(&third)];
    for seen in &views {
        one.write(&format!("/etc/pve/priv/sddc-pve-seen/{}", seen.node), seen.nonce.clone().unwrap());
    }
    comparing.views = Some(views);
    assert_eq!(fatal(&one, &comparing), BTreeMap::new());
    third.write("/etc/pve/storage.cfg", "dir: local\n");
    comparing.views = Some(vec![view(&two), view(&third)]);
    assert_eq!(fatal(&one, &comparing)["views-agree"], "pve1 and pve3 differ in content of /etc/pve");
    comparing.views = Some(vec![view(&two)]);
    assert_eq!(fatal(&one, &comparing)["views-complete"], "no view of pve3");
}

#[test]
fn nothing_is_left_behind_and_check_mode_writes_nothing() {
    let fake = healthy("pve1", "10.88.0.11");
    assert!(fatal(&fake, &expected(&ALL)).is_empty());
    assert_eq!(fake.node().list("/etc/pve/priv/lock").unwrap(), Vec::<String>::new());
    std::fs::remove_dir(fake.path("/etc/pve/priv/lock")).unwrap();
    let read_only = Expected { is_read_only: true, ..expected(&ALL) };
    assert!(fatal(&fake, &read_only).is_empty());
    assert!(!fake.path("/etc/pve/priv/lock").exists());
}

#[test]
fn waiting_ends_when_it_is_good_and_stays_so() {
    let fake = healthy("pve1", "10.88.0.11");
    fake.machine().settles = Duration::from_secs(4);
    fake.machine().start("corosync.service");
    let node = fake.node();
    let wait = |stable: u64| {
        let deadline = Deadline::after(&node, Duration::from_secs(30));
        wait_until_good(&node, &expected(&ALL), Duration::from_secs(stable), deadline).unwrap()
    };
    let Waited { look, looks, .. } = wait(0);
    assert!(look.is_good() && looks > 5, "{looks} looks");
    let before = node.monotonic();
    let stable = wait(3);
    assert!(stable.look.is_good() && !stable.is_unproven);
    assert!(node.monotonic() - before >= Duration::from_secs(3));
    let lines = || {
        let text = std::fs::read_to_string(fake.path("/etc/pve/priv/sddc-pve-seen/pve1")).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let before = lines();
    let unproven = wait(31);
    assert!(unproven.look.is_good() && unproven.is_unproven);
    // One for all looks: others who validate at the same moment still find theirs.
    assert!(unproven.looks > 20, "{} looks", unproven.looks);
    assert_eq!(lines()[1..], before[..before.len().min(7)]);
    assert_eq!(lines()[0], unproven.look.view.unwrap().nonce.unwrap());
}

#[test]
fn what_was_good_and_then_was_not_must_be_good_for_as_long_again() {
    let fake = healthy("pve1", "10.88.0.11");
    let node = fake.node();
    let mut links = 0;
    fake.on(move |machine, cmd| {
        if cmd.line() == "corosync-cfgtool -s" {
            links += 1;
            // Once, after it was good for two looks.
            match links {
                3 => _ = machine.cut.insert((0, 2)),
                _ => machine.cut.clear(),
            }
        }
        None
    });
    let deadline = Deadline::after(&node, Duration::from_secs(60));
    let waited = wait_until_good(&node, &expected(&ALL), Duration::from_secs(5), deadline).unwrap();
    assert!(waited.look.is_good() && !waited.is_unproven);
    // Two that were good, one that was not, and eleven within the five seconds.
    assert!(waited.looks >= 13, "{} looks", waited.looks);
}

#[test]
fn whatever_two_views_differ_in_is_named() {
    let one = look(&healthy("pve1", "10.88.0.11").node(), &expected(&ALL), Duration::from_secs(1));
    let one = one.view.unwrap();
    let named = |change: fn(&mut View)| {
        let mut other = one.clone();
        change(&mut other);
        one.differences(&other)
    };
    assert_eq!(named(|view| "pve2".clone_into(&mut view.node)), Vec::<&str>::new());
    assert_eq!(named(|view| view.cluster.push('x')), ["cluster name"]);
    assert_eq!(named(|view| view.config_version += 1), ["config version"]);
    assert_eq!(named(|view| view.digest.push('0')), ["corosync.conf"]);
    assert_eq!(named(|view| _ = view.members.pop()), ["members"]);
    assert_eq!(named(|view| _ = view.rings.pop_last()), ["addresses"]);
    assert_eq!(named(|view| view.ca_fingerprint = None), ["certificate authority"]);
    assert_eq!(named(|view| _ = view.fingerprints.pop_last()), ["certificates"]);
    assert_eq!(named(|view| view.pve_digest.push('0')), ["content of /etc/pve"]);
}

#[test]
fn a_deadline_ends_with_what_was_seen_last() {
    let fake = healthy("pve1", "10.88.0.11");
    fake.machine().cut.insert((0, 2));
    let node = fake.node();
    let deadline = Deadline::after(&node, Duration::from_secs(5));
    let Waited { look, .. } = wait_until_good(&node, &expected(&ALL), Duration::ZERO, deadline).unwrap();
    assert!(!look.is_good());
    assert!(node.monotonic() < Duration::from_secs(9));
}
