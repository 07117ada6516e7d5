//! Every state in which a genuine cluster was seen, as its own tools told of it, gives the verdict that it deserves.

use super::*;
use crate::corosync_conf::CorosyncConf;

/// A state: what it was, on which node, and what its tools said (transcripts of tests/golden).
struct State {
    what: &'static str,
    node: (&'static str, &'static str),
    conf: fn() -> String,
    /// Where the text of corosync-quorumtool is, or of `pvecm status`, which prints it; corosync is down without.
    votes: Option<&'static str>,
    /// Where that of `corosync-cfgtool -s` is; follows from the votes without.
    links: Option<&'static str>,
    /// Where `.members` is; follows from the votes without.
    members: Option<&'static str>,
    /// What else is known of it.
    besides: fn(&Fake),
    /// Checks that fail, those that only warn included, and no others.
    fails: &'static [&'static str],
}

const PVE1: (&str, &str) = ("pve1", "10.88.0.11");
const PVE3: (&str, &str) = ("pve3", "10.88.0.13");

/// A state of pve1 where nothing is wrong: the others say what differs.
const GOOD: State = State {
    what: "",
    node: PVE1,
    conf: three,
    votes: None,
    links: None,
    members: None,
    besides: |_| (),
    fails: &[],
};

const STATES: &[State] = &[
    State {
        what: "one node",
        conf: || golden::file_in("05-single-node/files/corosync-conf-pve"),
        votes: Some("05-single-node/quorumtool-s"),
        links: Some("05-single-node/cfgtool-s"),
        members: Some("05-single-node/files/members"),
        ..GOOD
    },
    State {
        what: "one node on an address that it does not have, by pvecm create",
        node: ("pve4", "10.88.0.14"),
        conf: || golden::file_in("03-create-errors/link0-not-local--after-conf"),
        votes: Some("03-create-errors/link0-not-local--after-status"),
        fails: &["links-connected"],
        ..GOOD
    },
    State {
        what: "one node on a name that does not resolve, by pvecm create",
        conf: || golden::file_in("03-create-errors/link0-unresolvable--after-conf"),
        fails: &["members-complete", "quorate", "services-enabled"],
        ..GOOD
    },
    State {
        what: "two nodes with one id, by pvecm add",
        conf: || golden::file_in("07-add-errors/nodeid-taken--after-pve1-corosync-conf"),
        node: ("pve2", "10.88.0.12"),
        fails: &["config-current", "links-connected", "members-complete", "quorate", "services-enabled"],
        ..GOOD
    },
    State {
        what: "two nodes",
        node: ("pve2", "10.88.0.12"),
        conf: || golden::file_in("08-add-success/pve1-files/corosync-conf-pve"),
        votes: Some("09-two-nodes/quorumtool-s"),
        links: Some("09-two-nodes/cfgtool-s"),
        members: Some("08-add-success/pve1-files/members"),
        ..GOOD
    },
    State {
        what: "three nodes",
        votes: Some("12-three-nodes/pve1/quorumtool-s"),
        links: Some("12-three-nodes/pve1/cfgtool-s"),
        members: Some("12-three-nodes/pve1-files/members"),
        ..GOOD
    },
    State {
        what: "three nodes, from the third",
        node: PVE3,
        votes: Some("12-three-nodes/pve3/quorumtool-s"),
        links: Some("12-three-nodes/pve3/cfgtool-s"),
        ..GOOD
    },
    State {
        what: "a node was admitted that never came",
        conf: || {
            three().replace("}\n\nquorum", "  node {\n    name: pve9\n    nodeid: 4\n    quorum_votes: 1\n    ring0_addr: 10.88.0.19\n  }\n}\n\nquorum")
        },
        votes: Some("13-addnode-api/status-with-phantom-node"),
        members: Some("13-addnode-api/status-with-phantom-node"),
        fails: &["links-connected", "members-complete"],
        ..GOOD
    },
    State {
        what: "one of three is down",
        votes: Some("14-one-down/quorumtool-s"),
        links: Some("14-one-down/cfgtool-s"),
        members: Some("14-one-down/members"),
        fails: &["links-connected", "members-complete"],
        ..GOOD
    },
    State {
        what: "two of three are down",
        votes: Some("15-no-quorum/quorumtool-s"),
        links: Some("15-no-quorum/cfgtool-s"),
        members: Some("15-no-quorum/members"),
        fails: &["links-connected", "members-complete", "quorate"],
        ..GOOD
    },
    State {
        what: "a node that was removed while it was off, and is up again",
        node: PVE3,
        votes: Some("17-delnode/removed-node-booted-pve3-view"),
        links: Some("17-delnode/removed-node-booted-pve3-view"),
        members: Some("17-delnode/removed-node-booted-pve3-view"),
        fails: &["links-connected", "members-complete", "quorate"],
        ..GOOD
    },
    State {
        what: "a node that was removed while it ran: corosync was killed",
        node: ("pve2", "10.88.0.12"),
        fails: &["links-connected", "members-complete", "quorate", "services-enabled"],
        ..GOOD
    },
    State {
        what: "a node that was separated has joined again, and two former nodes' files are left",
        conf: || conf_in("18-separate-node/9-after-rejoin"),
        votes: Some("18-separate-node/9-after-rejoin"),
        besides: |fake| {
            for former in ["pve8", "pve9"] {
                fake.write(&format!("/etc/pve/nodes/{former}/pve-ssl.pem"), "left");
            }
        },
        fails: &["no-former-members"],
        ..GOOD
    },
    State {
        what: "a node that was installed anew was let in by force, without quorum: from the first member",
        conf: || conf_in("19-rejoin-same-name/pve1-after-force"),
        votes: Some("19-rejoin-same-name/pve1-after-force"),
        besides: |fake| fake.write("/etc/pve/nodes/pve2/pve-ssl.pem", "left"),
        fails: &["links-connected", "members-complete", "no-former-members", "quorate"],
        ..GOOD
    },
    State {
        what: "a node that was installed anew was let in by force, with quorum",
        node: PVE3,
        conf: || conf_in("19-rejoin-same-name/quorate-conf-after-force"),
        votes: Some("19-rejoin-same-name/quorate-pve3-after-force"),
        members: Some("19-rejoin-same-name/quorate-pve3-after-force"),
        ..GOOD
    },
    State {
        what: "the cluster that removed it",
        conf: || golden::file_in("08-add-success/pve1-files/corosync-conf-pve"),
        votes: Some("17-delnode/removed-node-booted-pve1-view"),
        ..GOOD
    },
    State {
        what: "a member whose peer was installed anew under its name",
        conf: || golden::file_in("08-add-success/pve1-files/corosync-conf-pve"),
        votes: Some("19-rejoin-same-name/pve1-status"),
        fails: &["links-connected", "members-complete", "quorate"],
        ..GOOD
    },
    State {
        what: "two joins at once, from the first member",
        conf: concurrent,
        votes: Some("22-concurrent-join/pve1-after"),
        fails: &["links-connected", "members-complete"],
        ..GOOD
    },
    State {
        what: "two joins at once, from the one that came in",
        node: PVE3,
        conf: concurrent,
        votes: Some("22-concurrent-join/state-pve3"),
        members: Some("22-concurrent-join/state-pve3"),
        fails: &["links-connected", "members-complete"],
        ..GOOD
    },
    State {
        what: "two joins at once, from the one that hangs",
        node: ("pve4", "10.88.0.14"),
        conf: || {
            let pve3 = "  node {\n    name: pve3\n    nodeid: 4\n    quorum_votes: 1\n    ring0_addr: 10.88.0.13\n  }\n";
            concurrent().replace(pve3, "").replace("config_version: 4", "config_version: 3")
        },
        votes: Some("22-concurrent-join/state-pve4"),
        members: Some("22-concurrent-join/state-pve4"),
        fails: &["links-connected", "members-complete", "quorate"],
        ..GOOD
    },
    State {
        what: "one address on both links, by pvecm add",
        conf: duplicate,
        votes: Some("30-dual-link/05d-pve1-state"),
        links: Some("30-dual-link/05d-pve1-state"),
        members: Some("08-add-success/pve1-files/members"),
        fails: &["config-current"],
        ..GOOD
    },
    State {
        what: "the same from the other node",
        node: ("pve2", "10.88.0.12"),
        conf: duplicate,
        votes: Some("30-dual-link/05c-pve2-state"),
        links: Some("30-dual-link/05c-pve2-state"),
        members: Some("08-add-success/pve1-files/members"),
        fails: &["config-current"],
        ..GOOD
    },
    State {
        what: "a join that ended before its certificate",
        node: PVE3,
        conf: dual,
        votes: Some("30-dual-link/10-healthy-pve3/quorumtool-s"),
        links: Some("30-dual-link/10-healthy-pve3/cfgtool-s"),
        members: Some("30-dual-link/07c-state-pve3-after"),
        besides: |fake| std::fs::remove_file(fake.path("/etc/pve/nodes/pve3/pve-ssl.pem")).unwrap(),
        fails: &["certificates"],
    },
    State {
        what: "two links",
        conf: dual,
        votes: Some("30-dual-link/10-healthy-pve1/quorumtool-s"),
        links: Some("30-dual-link/10-healthy-pve1/cfgtool-s"),
        ..GOOD
    },
    State {
        what: "two links, from a node with another id and two votes",
        node: PVE3,
        conf: dual,
        votes: Some("30-dual-link/10-healthy-pve3/quorumtool-s"),
        links: Some("30-dual-link/10-healthy-pve3/cfgtool-s"),
        ..GOOD
    },
    State {
        what: "link 1 of a node is down, from another",
        conf: dual,
        votes: Some("30-dual-link/11-link1-of-pve3-down-pve1/quorumtool-s"),
        links: Some("30-dual-link/11-link1-of-pve3-down-pve1/cfgtool-s"),
        fails: &["links-connected"],
        ..GOOD
    },
    State {
        what: "link 1 of a node is down, from itself",
        node: PVE3,
        conf: dual,
        votes: Some("30-dual-link/11-link1-of-pve3-down-pve3/quorumtool-s"),
        links: Some("30-dual-link/11-link1-of-pve3-down-pve3/cfgtool-s"),
        fails: &["links-connected"],
        ..GOOD
    },
];

fn three() -> String {
    golden::file_in(THREE)
}

fn dual() -> String {
    golden::file_in("30-dual-link/10-conf")
}

fn duplicate() -> String {
    golden::file_in("30-dual-link/05b-conf-after")
}

fn concurrent() -> String {
    conf_in("22-concurrent-join/pve1-after")
}

/// corosync.conf among what else the case's commands printed.
fn conf_in(case: &str) -> String {
    let text = golden::file_in(case);
    text[text.find("logging {").unwrap()..].to_owned()
}

/// The JSON of `.members` among what else the case's commands printed.
fn members_in(case: &str) -> String {
    let text = golden::stdout(case);
    let start = text.find("{\n\"nodename\"").unwrap_or_else(|| panic!("{case} has no .members"));
    let end = text[start..].find("\n}\n").unwrap_or_else(|| panic!("{case} has half of .members"));
    text[start..start + end + 3].to_owned()
}

/// The node of a state, all of whose listed nodes have certificates; and the names of those.
fn node_of(state: &State) -> (Fake, Vec<String>) {
    let (name, address) = state.node;
    let conf = (state.conf)();
    let listed = CorosyncConf::parse(&conf).unwrap().nodes();
    let fake = member(name, address, &conf);
    for other in fake.node().list("/etc/pve/nodes").unwrap() {
        if !listed.iter().any(|node| node.name == other) {
            std::fs::remove_dir_all(fake.path(&format!("/etc/pve/nodes/{other}"))).unwrap();
        }
    }
    for node in &listed {
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        fake.write(&format!("/etc/pve/nodes/{}/pve-ssl.pem", node.name), pem);
        fake.write(&format!("/etc/pve/nodes/{}/pve-ssl.key", node.name), "key");
    }
    {
        let mut machine = fake.machine();
        for (number, own) in listed.iter().find(|node| node.name == name).unwrap().links.iter().skip(1) {
            let interface = format!("eno{number}");
            machine.addresses.push(crate::facts::Address {
                interface,
                address: own.clone(),
                prefix: 24,
                mtu: None,
            });
        }
        machine.members = state.members.map(members_in);
    }
    match state.votes {
        Some(case) => fake.answer("corosync-quorumtool -s", 0, &golden::stdout(case)),
        None => fake.machine().stop("corosync.service"),
    }
    let word = if state.votes.is_some() { "active" } else { "failed" };
    fake.machine().units.get_mut("corosync.service").unwrap().active = word.to_owned();
    match (state.links, state.votes) {
        (Some(case), _) => fake.answer("corosync-cfgtool -s", 0, &golden::stdout(case)),
        (None, Some(case)) => {
            let votes = crate::quorumtool::parse(&golden::stdout(case)).unwrap().quorum;
            let present = listed.iter().filter(|node| votes.members.contains(&node.nodeid));
            fake.machine().online = Some(present.map(|node| node.name.clone()).collect());
        }
        (None, None) => {}
    }
    (state.besides)(&fake);
    (fake, listed.into_iter().map(|node| node.name).collect())
}

#[test]
fn each_state_fails_the_checks_that_it_deserves_and_no_others() {
    let mut wrong = Vec::new();
    for state in STATES {
        let (fake, names) = node_of(state);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = unmet(&fake, &expected(&names), CheckReport::is_unmet);
        let ids: Vec<&str> = found.keys().map(String::as_str).collect();
        if ids != state.fails {
            wrong.push(format!("{}: expected {:?}, found {found:#?}", state.what, state.fails));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_node_in_no_cluster_is_told_so_and_one_whose_configuration_cannot_be_read_is_not() {
    // What separation leaves of a node.
    let separated = Fake::standalone("pve3", "10.88.0.13");
    separated.machine().members = Some(members_in("18-separate-node/6-state"));
    let found = fatal(&separated, &expected(&ALL));
    assert_eq!(
        found,
        BTreeMap::from([(
            "in-cluster".to_owned(),
            "the node is in no cluster, expected is \"oracle\"".to_owned()
        )])
    );

    // pmxcfs takes anything for its corosync.conf.
    let garbage = healthy("pve1", "10.88.0.11");
    garbage.write("/etc/pve/corosync.conf", "garbage\n");
    let found = fatal(&garbage, &expected(&ALL));
    assert_eq!(found.keys().collect::<Vec<_>>(), ["in-cluster"]);
    assert!(found["in-cluster"].contains("cannot read \"/etc/pve/corosync.conf\""), "{found:?}");
}

#[test]
fn a_quorum_device_must_vote_by_this_member_and_come_back_after_a_boot() {
    let mut conf = crate::corosync_conf::CorosyncConf::parse(&golden::file_in(THREE)).unwrap();
    conf.put_qdevice("10.88.0.30");
    let fake = member("pve1", "10.88.0.11", &conf.render());
    fake.machine().install_qdevice();
    fake.write("/etc/corosync/qdevice/net/nssdb/Cluster Cert", "");
    let found = |fake: &Fake| fatal(fake, &expected(&ALL)).remove("qdevice-votes");
    let silent = found(&fake).unwrap();
    assert!(silent.starts_with("this member says NR of the device, 0 of its 1 votes are cast"), "{silent}");
    fake.machine().start("corosync-qdevice.service");
    assert_eq!(found(&fake).as_deref(), Some("corosync-qdevice does not come back after a boot"));
    fake.machine().units.get_mut("corosync-qdevice.service").unwrap().enabled = "enabled".into();
    assert_eq!(found(&fake), None);
    fake.machine().qnetd_votes = false;
    assert!(found(&fake).unwrap().contains("A,NV,NMW"));
}
