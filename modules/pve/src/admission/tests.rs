//! The decision on plain facts: the quorum gate by its numbers, and each clash by its name.

use super::*;

fn node(number: u8) -> ConfNode {
    ConfNode {
        name: format!("pve{number}"),
        nodeid: u32::from(number),
        votes: 1,
        links: BTreeMap::from([(0, format!("10.88.0.{}", 10 + number))]),
    }
}

fn newcomer(number: u8) -> Newcomer {
    let node = node(number);
    Newcomer { name: node.name, links: node.links, nodeid: None, votes: None }
}

/// A cluster of so many nodes, so many of them online.
fn standing(nodes: u8, online: u8) -> Standing {
    Standing {
        nodes: (1..=nodes).map(node).collect(),
        online: (1..=online).map(|number| node(number).name).collect(),
        is_quorate: online > nodes / 2,
        has_qdevice: false,
    }
}

#[test]
fn a_wave_is_as_large_as_quorum_allows_and_no_larger() {
    // Members, and the most that may be admitted together: 1, 1, 2, 3 … of them, so 1, 1, 2, 4, 8 in waves.
    for (members, most) in [(1, 1), (2, 1), (3, 2), (4, 3), (5, 4), (8, 7), (16, 15)] {
        for wave in 1..=most + 1 {
            let nodes: Vec<Newcomer> = (members + 1..=members + wave).map(newcomer).collect();
            let decision = decide(&standing(members, members), &nodes);
            assert_eq!(decision.is_ok(), wave <= most, "{wave} nodes beside {members}: {decision:?}");
        }
    }
}

#[test]
fn a_second_node_with_more_than_one_vote_would_never_let_the_first_be_quorate() {
    let heavy = Newcomer { votes: Some(2), ..newcomer(2) };
    assert!(decide(&standing(1, 1), &[heavy]).is_err());
    assert!(decide(&standing(1, 1), &[Newcomer { votes: Some(1), ..newcomer(2) }]).is_ok());
}

#[test]
fn nobody_is_admitted_while_a_listed_node_is_down_or_a_device_votes() {
    let down = decide(&standing(3, 2), &[newcomer(4)]).unwrap_err().join("\n");
    assert!(down.contains("pve3 listed and not online"), "{down}");
    let device = Standing { has_qdevice: true, ..standing(3, 3) };
    assert!(decide(&device, &[newcomer(4)]).unwrap_err().join("\n").contains("quorum device"));
}

#[test]
fn a_listed_node_that_is_down_is_pending_with_the_same_addresses_only() {
    let decision = decide(&standing(2, 1), &[newcomer(2)]).unwrap();
    assert_eq!((decision.pending, decision.admit), (vec!["pve2".to_owned()], vec![]));
    let moved = Newcomer { links: BTreeMap::from([(0, "10.88.0.99".to_owned())]), ..newcomer(2) };
    assert!(decide(&standing(2, 1), &[moved]).unwrap_err()[0].contains("an admission that did not end"));
    let other_id = Newcomer { nodeid: Some(7), ..newcomer(2) };
    assert!(decide(&standing(2, 1), &[other_id]).unwrap_err()[0].contains("node id 2, not 7"));
}

#[test]
fn nodes_of_one_wave_must_not_clash_with_each_other() {
    let same_address = Newcomer { name: "other".into(), ..newcomer(4) };
    let faults = decide(&standing(4, 4), &[newcomer(4).clone(), same_address]).unwrap_err().join("\n");
    assert!(faults.contains("address 10.88.0.14 of link 0 of \"other\""), "{faults}");
    let ids = [newcomer(5), newcomer(6)].map(|node| Newcomer { nodeid: Some(9), ..node });
    assert!(
        decide(&standing(4, 4), &ids)
            .unwrap_err()
            .join("\n")
            .contains("node id 9 of \"pve6\" is taken by \"pve5\"")
    );
}

#[test]
fn one_address_in_two_writings_is_one_address() {
    let mut listed = standing(1, 1);
    listed.nodes[0].links.insert(0, "fd00::11".into());
    let same = Newcomer { links: BTreeMap::from([(0, "fd00:0:0::11".to_owned())]), ..newcomer(2) };
    assert!(decide(&listed, &[same]).unwrap_err().join("\n").contains("is that of link 0 of \"pve1\""));
}

#[test]
fn a_pmxcfs_that_pvesh_could_not_write_to_is_named_with_its_remedy() {
    let said = not_admitted("pve2", "unable to open file '/etc/pve/corosync.conf.new' - Input/output error");
    assert!(said.contains("\"systemctl restart pve-cluster\""), "{said}");
    assert!(!not_admitted("pve2", "can't get lock").contains("pve-cluster"));
}

/// Somebody else changes the list while it is waited for: a joiner with an older one hangs.
#[test]
fn what_is_sealed_is_the_list_that_every_corosync_runs_with() {
    let text = crate::fake::golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve");
    let member = crate::fake::Fake::member("pve1", "10.88.0.11", &text);
    let mut looks = 0;
    member.on(move |machine, cmd| {
        looks += u32::from(cmd.program == "corosync-cmapctl");
        if cmd.program == "corosync-cmapctl" && looks == 1 {
            let newer =
                machine.read("/etc/pve/corosync.conf").replace("config_version: 3", "config_version: 4");
            machine.write("/etc/pve/corosync.conf", &newer);
            machine.write("/etc/corosync/corosync.conf", &newer);
        }
        None
    });
    let joiner = crate::fake::Fake::standalone("pve3", "10.88.0.13");
    let asked = crate::seal::request(&joiner.node(), "pve3").unwrap();
    let sealed = sealed_material(&member.node(), "pve3", &asked.public_key).unwrap();
    let opened = Material::open(&joiner.node(), "pve3", &sealed).unwrap();
    assert_eq!(opened.config_version, 4);
}
