//! Each reason alone, and which of them may be ignored.

use super::*;
use crate::admission::Standing;
use crate::corosync_conf::ConfNode;

fn listed(number: u32) -> ConfNode {
    let links = [(0, format!("10.88.0.1{number}"))].into();
    ConfNode { name: format!("pve{number}"), nodeid: number, votes: 1, links }
}

/// pve4 of four is off, and nothing speaks against its removal.
fn sight() -> Sight {
    let online = ["pve1", "pve2", "pve3"].map(str::to_owned).into();
    let nodes = (1..=4).map(listed).collect();
    let standing = Standing { nodes, online, is_quorate: true, has_qdevice: false };
    Sight { listed: Some(listed(4)), standing, ..Sight::default() }
}

fn request() -> Request {
    Request {
        cluster_name: "oracle".into(),
        own_name: "pve1".into(),
        name: "pve4".into(),
        ..Request::default()
    }
}

fn ids(sight: &Sight, request: &Request) -> Vec<&'static str> {
    refusals(sight, request).iter().map(|fault| fault.id).collect()
}

#[test]
fn each_reason_has_its_id_and_only_two_may_be_ignored() {
    assert!(ids(&sight(), &request()).is_empty());
    type Change = fn(&mut Sight);
    let cases: [(&str, Change); 9] = [
        ("guests", |sight| sight.guests = vec![100]),
        ("no-quorum", |sight| sight.standing.is_quorate = false),
        ("node-online", |sight| sight.connected = vec![1]),
        ("node-answers", |sight| sight.answers = vec!["10.88.0.14 port 22".into()]),
        ("ha-resources", |sight| sight.ha_placed = vec!["vm:100".into()]),
        ("ha-active", |sight| sight.is_ha_armed = true),
        ("replication", |sight| sight.replication = vec!["100-0".into()]),
        ("qdevice", |sight| sight.standing.has_qdevice = true),
        ("pending-admission", |sight| sight.pending = vec!["pve5".into()]),
    ];
    for (id, change) in cases {
        let mut sight = sight();
        change(&mut sight);
        assert_eq!(ids(&sight, &request()), [id]);
        let ignoring = Request { ignore: vec![id.to_owned()], ..request() };
        assert_eq!(ids(&sight, &ignoring).is_empty(), ["node-answers", "replication"].contains(&id), "{id}");
    }
}

#[test]
fn an_online_node_is_refused_and_so_is_quorum_that_hangs_on_it() {
    let mut sight = sight();
    sight.standing.online.insert("pve4".into());
    assert_eq!(ids(&sight, &request()), ["node-online"]);
    // Of four, two are left with it.
    sight.standing.online.remove("pve2");
    assert_eq!(ids(&sight, &request()), ["quorum-forecast", "node-online"]);
}

#[test]
fn named_guests_may_go_and_proof_disarms_high_availability() {
    let mut sight = sight();
    (sight.guests, sight.is_ha_armed) = (vec![100, 101], true);
    let named = Request { guests: vec![100], is_proven_stopped: true, ..request() };
    let faults = refusals(&sight, &named);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].to_string().starts_with("[guests] node \"pve4\" has guests (101): migrate them"),
        "{}",
        faults[0]
    );
    sight.ha_placed = vec!["vm:100".into()];
    let all = Request { guests: vec![100, 101], ..named };
    assert_eq!(ids(&sight, &all), ["ha-resources"]);
}

#[test]
fn a_member_can_not_remove_itself() {
    let own = Request { name: "pve1".into(), ..request() };
    assert_eq!(ids(&sight(), &own), ["own-node", "node-online"]);
}

#[test]
fn without_quorum_nothing_is_refused_where_nothing_is_to_do() {
    let mut gone = sight();
    (gone.listed, gone.standing.is_quorate) = (None, false);
    assert!(ids(&gone, &request()).is_empty());
    gone.leftovers.nonce = Some("/etc/pve/priv/sddc-pve-seen/pve4".into());
    assert_eq!(ids(&gone, &request()), ["no-quorum"]);
}
