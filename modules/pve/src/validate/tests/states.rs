//! Every state in which a genuine cluster was seen, as its own tools told of it, gives the verdict that it deserves.

use super::*;
use crate::corosync_conf::CorosyncConf;

mod seen;

use seen::{STATES, State};

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
        (None, Some(_)) => {
            let votes = votes_of(state).unwrap();
            let present = listed.iter().filter(|node| votes.members.contains(&node.nodeid));
            fake.machine().online = Some(present.map(|node| node.name.clone()).collect());
        }
        (None, None) => {}
    }
    if !votes_of(state).is_some_and(|votes| votes.quorate) {
        seen::refuse_locks(&fake);
    }
    (state.besides)(&fake);
    (fake, listed.into_iter().map(|node| node.name).collect())
}

fn votes_of(state: &State) -> Option<crate::facts::Quorum> {
    state.votes.map(|case| crate::quorumtool::parse(&golden::stdout(case)).unwrap().quorum)
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
