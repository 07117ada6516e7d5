//! Plans over the facts that gathering gives for genuine states.

use std::time::Duration;

use super::*;
use crate::facts::{Guest, UnendedOperation};
use crate::fake::{Fake, golden};
use crate::gather::gather;

mod waves;

const THREE: &str = "12-three-nodes/pve1-files/corosync-conf-pve";

fn gathered(fake: &Fake) -> Option<Box<NodeFacts>> {
    Some(Box::new(gather(&fake.node(), Duration::from_secs(1))))
}

fn address(name: &str) -> String {
    format!("10.88.0.1{}", name.trim_start_matches("pve"))
}

fn node(name: &str, info: Option<Box<NodeFacts>>) -> WantedNode {
    WantedNode { name: name.to_owned(), address: address(name), info, ..WantedNode::default() }
}

fn fresh(name: &str) -> WantedNode {
    node(name, gathered(&Fake::standalone(name, &address(name))))
}

fn member(name: &str, conf: &str, online: Option<&[&str]>) -> WantedNode {
    let fake = Fake::member(name, &address(name), conf);
    fake.machine().online = online.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    // One cluster, one certificate authority.
    fake.write("/etc/pve/pve-root-ca.pem", include_str!("../../tests/certificates/chain.pem"));
    // Any program makes pmxcfs show the new state.
    gathered(&fake);
    node(name, gathered(&fake))
}

fn unreached(name: &str) -> WantedNode {
    node(name, None)
}

fn without(names: &[&str]) -> String {
    let mut conf = CorosyncConf::parse(&golden::file_in(THREE)).unwrap();
    for name in names {
        assert!(conf.remove_node(name));
    }
    conf.render()
}

fn request(nodes: Vec<WantedNode>) -> Request {
    Request { cluster_name: "oracle".to_owned(), nodes, ..Request::default() }
}

fn actions(plan: &Plan) -> Vec<Action> {
    plan.decisions.iter().map(|(_, decision)| decision.action).collect()
}

fn reason<'a>(plan: &'a Plan, name: &str) -> &'a str {
    &plan.decisions.iter().find(|(known, _)| known == name).unwrap().1.reason
}

use Action::{Create, Join, None as Nothing, Refuse};

#[test]
fn three_fresh_nodes_one_creates_two_join() {
    let plan = plan(&request(vec![fresh("pve1"), fresh("pve2"), fresh("pve3")]));
    assert_eq!(actions(&plan), [Create, Join, Join]);
    assert_eq!((plan.primary.as_deref(), plan.members.len()), (Some("pve1"), 0));
    assert_eq!(plan.joins, ["pve2", "pve3"]);
    assert_eq!((plan.conf_before.as_str(), plan.config_version), ("", 0));
    // What the genuine cluster had after one creation and two joins.
    assert_eq!(plan.conf_after, golden::file_in(THREE));
    let quorate: Vec<bool> = plan.forecast.iter().map(|step| step.quorate_meanwhile).collect();
    assert_eq!(quorate, [true, false, true]);
    assert_eq!(
        lines(&plan),
        [
            "pve1  create  no node is in a cluster: it creates it",
            "pve2  join    it is in no cluster: it joins",
            "pve3  join    it is in no cluster: it joins",
            "pve1 creates: 0 of 0 votes, quorum 0, survives 0 failures -> 1 of 1 votes, quorum 1, survives 0 failures",
            "wave 1: pve2 joins: 1 of 1 votes, quorum 1, survives 0 failures -> 2 of 2 votes, quorum 2, survives 0 \
             failures, without quorum until pve2 is up",
            "wave 2: pve3 joins: 2 of 2 votes, quorum 2, survives 0 failures -> 3 of 3 votes, quorum 2, survives 1 \
             failure, quorate all the while",
            "note: one link: when its network fails every node loses quorum: give the nodes a second one on another \
             network",
        ]
    );
}

#[test]
fn a_formed_cluster_needs_nothing() {
    let conf = golden::file_in(THREE);
    let plan = plan(&request(["pve1", "pve2", "pve3"].map(|name| member(name, &conf, None)).into()));
    assert_eq!(actions(&plan), [Nothing, Nothing, Nothing]);
    assert!(!plan.has_work() && plan.forecast.is_empty() && plan.waves.is_empty());
    assert_eq!((plan.members.len(), plan.config_version), (3, 3));
    assert_eq!(plan.conf_after, plan.conf_before);
}

#[test]
fn a_fourth_node_joins_alone_through_a_quorate_member() {
    let conf = golden::file_in(THREE);
    let mut nodes: Vec<WantedNode> = ["pve1", "pve2", "pve3"].map(|name| member(name, &conf, None)).into();
    nodes.insert(0, fresh("pve4"));
    let plan = plan(&request(nodes));
    assert_eq!(actions(&plan), [Join, Nothing, Nothing, Nothing]);
    assert_eq!((plan.primary.as_deref(), plan.joins.len()), (Some("pve1"), 1));
    assert!(plan.conf_after.contains("nodeid: 4\n") && plan.conf_after.contains("config_version: 4\n"));
    assert!(plan.forecast[0].quorate_meanwhile);
}

#[test]
fn no_second_cluster_while_a_host_is_unknown() {
    let plan = plan(&request(vec![fresh("pve1"), unreached("pve2"), fresh("pve3")]));
    assert_eq!(actions(&plan), [Refuse, Refuse, Refuse]);
    assert_eq!(
        reason(&plan, "pve1"),
        "no cluster is known, but pve2 could not be looked at and may have one: make them reachable, look at the whole \
         group at once, or take them out of it"
    );
    assert_eq!((plan.joins, plan.conf_after), (vec![], String::new()));
}

#[test]
fn an_unreached_host_beside_a_member_waits_and_the_others_go_on() {
    let plan = plan(&request(vec![
        member("pve1", &without(&["pve2", "pve3"]), None),
        unreached("pve2"),
        fresh("pve3"),
    ]));
    assert_eq!(actions(&plan), [Nothing, Nothing, Join]);
    assert!(reason(&plan, "pve2").starts_with("could not be looked at"));
    assert_eq!(plan.notes[0], "pve2 could not be looked at: run again when it is reachable");
}

#[test]
fn a_node_of_another_cluster_is_refused_and_nothing_is_created_beside_it() {
    let mut wanted = request(vec![member("pve1", &without(&["pve2", "pve3"]), None), fresh("pve2")]);
    wanted.cluster_name = "prod".to_owned();
    let plan = plan(&wanted);
    assert_eq!(actions(&plan), [Refuse, Refuse]);
    assert!(reason(&plan, "pve1").starts_with("it is in cluster \"oracle\": correct cluster_name"));
    assert_eq!(reason(&plan, "pve2"), "no cluster is created while pve1 cannot take part: see there");
}

#[test]
fn two_clusters_of_one_name_are_told_apart() {
    let other = Fake::member("pve2", "10.88.0.12", &without(&["pve1", "pve3"]));
    let nodes = vec![member("pve1", &without(&["pve2", "pve3"]), None), node("pve2", gathered(&other))];
    let plan = plan(&request(nodes));
    assert_eq!(actions(&plan), [Refuse, Refuse]);
    assert!(reason(&plan, "pve1").contains("different clusters of the same name"));
}

#[test]
fn clashes_are_refused_with_their_remedy() {
    let conf = golden::file_in(THREE);
    let one = member("pve1", &conf, None);
    let refused = |joiner: WantedNode| {
        let plan = plan(&request(vec![one.clone(), joiner]));
        assert_eq!(actions(&plan), [Nothing, Refuse], "{:?}", plan.decisions);
        plan.decisions[1].1.reason.clone()
    };
    // the name of an online member
    let text = refused(fresh("pve3"));
    assert!(text.contains("the cluster has an online node \"pve3\", and it is not this machine"), "{text}");
    // the address of a member
    let mut joiner = fresh("pve4");
    joiner.address = "10.88.0.12".to_owned();
    let text = refused(joiner);
    assert!(
        text.contains("address 10.88.0.12 of link 0 of \"pve4\" is that of link 0 of \"pve2\""),
        "{text}"
    );
    // a taken node id
    let text = refused(WantedNode { nodeid: Some(2), ..fresh("pve4") });
    assert!(text.contains("node id 2 of \"pve4\" is taken by \"pve2\""), "{text}");
}

#[test]
fn links_that_are_not_the_clusters_are_refused() {
    let link = |number: u8, address: &str| inventory::WantedLink {
        number,
        address: address.to_owned(),
        priority: None,
    };
    let with_links = |mut node: WantedNode, octet: u8| {
        node.links = Some(vec![link(0, &node.address.clone()), link(1, &format!("10.89.0.{octet}"))]);
        node
    };
    let one = with_links(member("pve1", &without(&["pve2", "pve3"]), None), 11);
    let plan = plan(&request(vec![one, with_links(fresh("pve2"), 12)]));
    assert_eq!(actions(&plan), [Nothing, Refuse]);
    assert!(reason(&plan, "pve2").contains("node \"pve2\" has links [0, 1] and the cluster has [0]"));
    assert!(plan.notes[0].starts_with("pve1: the cluster has it with links"), "{:?}", plan.notes);
}

#[test]
fn a_listed_node_that_is_down_stops_joins_but_not_a_rerun() {
    let one = || member("pve1", &golden::file_in(THREE), Some(&["pve2"]));
    let rerun = plan(&request(vec![one(), unreached("pve3")]));
    assert_eq!(actions(&rerun), [Nothing, Nothing]);
    let joining = plan(&request(vec![one(), fresh("pve4")]));
    assert_eq!(actions(&joining), [Nothing, Refuse]);
    assert!(reason(&joining, "pve4").contains("pve3 listed and not online: bring them up, or remove them"));
}

#[test]
fn an_admission_that_never_came_up_is_completed_first() {
    let nodes = vec![member("pve1", &golden::file_in(THREE), Some(&["pve2"])), fresh("pve4"), fresh("pve3")];
    let plan = plan(&request(nodes));
    assert_eq!(actions(&plan), [Nothing, Join, Join]);
    assert_eq!(plan.joins, ["pve3", "pve4"]);
    assert_eq!(reason(&plan, "pve3"), "it was admitted and never came up: joining completes that");
    assert_eq!(plan.waves, [["pve3"], ["pve4"]]);
    let (before, after) = (plan.forecast[0].before, plan.forecast[0].after);
    assert_eq!((before.expected_votes, before.online_votes), (3, 2));
    assert_eq!((after.expected_votes, after.online_votes), (3, 3));
    assert!(plan.conf_after.contains("config_version: 4\n"));
}

#[test]
fn a_join_that_goes_on_is_attached_to() {
    let mut joiner = fresh("pve2");
    begin(&mut joiner, "join");
    joiner.info.as_mut().unwrap().state = ClusterState::Remnants;
    let plan = plan(&request(vec![member("pve1", &without(&["pve3"]), Some(&[])), joiner]));
    assert_eq!(plan.decisions[1].1.action, Join);
    assert!(reason(&plan, "pve2").starts_with("an operation of an earlier run has not ended"));
}

#[test]
fn a_join_that_a_member_saw_end_while_the_joiner_was_looked_at_is_no_name_clash() {
    let mut joiner = fresh("pve3");
    begin(&mut joiner, "join");
    let plan = plan(&request(vec![member("pve1", &golden::file_in(THREE), None), joiner]));
    assert_eq!(actions(&plan), [Nothing, Join], "{:?}", plan.decisions);
}

#[test]
fn a_crash_between_first_and_second_node_is_completed_though_it_took_the_quorum() {
    let one = member("pve1", &without(&["pve3"]), Some(&[]));
    let completed = plan(&request(vec![one.clone(), fresh("pve2")]));
    assert_eq!((actions(&completed), completed.primary.as_deref()), (vec![Nothing, Join], Some("pve1")));
    assert_eq!(reason(&completed, "pve1"), "a member, without quorum until pve2 is up");
    let (before, after) = (completed.forecast[0].before, completed.forecast[0].after);
    assert_eq!((before.online_votes, before.quorum, after.online_votes), (1, 2, 2));
    let with_third = plan(&request(vec![one, fresh("pve2"), fresh("pve3")]));
    assert_eq!((actions(&with_third), with_third.joins.len()), (vec![Nothing, Join, Join], 2));
}

#[test]
fn a_member_without_a_certificate_finishes_its_join() {
    let conf = without(&["pve3"]);
    let mut late = member("pve1", &conf, None);
    late.info.as_mut().unwrap().fingerprint = None;
    let plan = plan(&request(vec![late, member("pve2", &conf, None)]));
    assert_eq!((actions(&plan), plan.primary.as_deref()), (vec![Join, Nothing], Some("pve2")));
    assert_eq!((plan.joins.as_slice(), plan.config_version), (&["pve1".to_owned()][..], 3));
}

fn begin(node: &mut WantedNode, kind: &str) {
    let operation = UnendedOperation { kind: kind.to_owned(), ..UnendedOperation::default() };
    node.info.as_mut().unwrap().operation = Some(operation);
}

#[test]
fn a_creation_that_goes_on_is_attached_to_and_is_no_cluster_yet() {
    let mut creator = member("pve2", &without(&["pve1", "pve3"]), None);
    creator.info.as_mut().unwrap().state = ClusterState::NoQuorum;
    begin(&mut creator, "create");
    let plan = plan(&request(vec![fresh("pve1"), creator]));
    assert_eq!((actions(&plan), plan.primary.as_deref()), (vec![Join, Create], Some("pve2")));
    assert!(reason(&plan, "pve2").starts_with("creating it has not ended"));
}

#[test]
fn remnants_and_guests_refuse_a_joiner_and_name_the_remedy() {
    let one = || member("pve1", &without(&["pve2", "pve3"]), None);
    let mut joiner = fresh("pve2");
    joiner.info.as_mut().unwrap().guests = vec![Guest { vmid: 100, kind: "qemu".into() }];
    let guests = plan(&request(vec![one(), joiner]));
    assert_eq!(actions(&guests), [Nothing, Refuse]);
    assert!(reason(&guests, "pve2").starts_with("it has guests (100), and joining would replace"));
    let fake = Fake::standalone("pve2", "10.88.0.12");
    fake.write("/etc/corosync/authkey", "key");
    let remnants = plan(&request(vec![one(), node("pve2", gathered(&fake))]));
    assert_eq!(actions(&remnants), [Nothing, Refuse]);
    assert!(reason(&remnants, "pve2").ends_with(crate::facts::SEPARATE));
}

#[test]
fn the_only_node_with_guests_creates_the_cluster() {
    let mut with_guests = fresh("pve2");
    with_guests.info.as_mut().unwrap().guests = vec![Guest { vmid: 100, kind: "lxc".into() }];
    let plan = plan(&request(vec![fresh("pve1"), with_guests]));
    assert_eq!((actions(&plan), plan.primary.as_deref()), (vec![Join, Create], Some("pve2")));
}

#[test]
fn a_preferred_primary_creates_or_admits() {
    let mut wanted = request(vec![fresh("pve1"), fresh("pve2")]);
    wanted.primary = Some("pve2".to_owned());
    assert_eq!(actions(&plan(&wanted)), [Join, Create]);
    let conf = without(&["pve3"]);
    let mut wanted = request(vec![member("pve1", &conf, None), member("pve2", &conf, None)]);
    wanted.primary = Some("pve2".to_owned());
    assert_eq!(plan(&wanted).primary.as_deref(), Some("pve2"));
}

#[test]
fn without_quorum_nobody_joins_and_the_missing_are_named() {
    let plan = plan(&request(vec![member("pve1", &golden::file_in(THREE), Some(&[])), fresh("pve4")]));
    assert_eq!(actions(&plan), [Refuse, Refuse]);
    assert_eq!(
        reason(&plan, "pve1"),
        "it has no quorum, 1 of 3 votes: bring pve2, pve3 up, or look at its links with corosync-cfgtool -s"
    );
    assert!(reason(&plan, "pve4").contains("the cluster has no quorum"));
}

#[test]
fn losing_quorum_for_a_moment_is_refused_while_ha_could_fence() {
    let mut one = member("pve1", &without(&["pve2", "pve3"]), None);
    one.info.as_mut().unwrap().ha.active = true;
    let plan = plan(&request(vec![one, fresh("pve2")]));
    assert_eq!(actions(&plan), [Nothing, Refuse]);
    assert!(reason(&plan, "pve2").starts_with("high availability is active"));
}

#[test]
fn a_wanted_node_id_is_kept_free_for_who_wants_it() {
    let wanted = WantedNode { nodeid: Some(2), ..fresh("pve3") };
    let plan = plan(&request(vec![fresh("pve1"), fresh("pve2"), wanted]));
    assert_eq!(
        (actions(&plan), plan.joins.clone()),
        (vec![Create, Join, Join], vec!["pve3".into(), "pve2".into()])
    );
    let conf = CorosyncConf::parse(&plan.conf_after).unwrap();
    assert_eq!(conf.nodes().iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["pve1", "pve3", "pve2"]);
}

#[test]
fn an_inventory_that_contradicts_itself_is_refused_as_a_whole() {
    let mut twin = fresh("pve2");
    twin.address = "10.88.0.11".to_owned();
    let plan = plan(&request(vec![fresh("pve1"), twin]));
    assert_eq!(actions(&plan), [Refuse, Refuse]);
    assert!(reason(&plan, "pve1").starts_with("the inventory contradicts itself: address 10.88.0.11"));
}

#[test]
fn a_host_that_is_another_machine_than_the_inventory_thinks_is_refused() {
    let mut other = fresh("pve1");
    other.name = "pve2".to_owned();
    let plan = plan(&request(vec![other]));
    assert_eq!(
        reason(&plan, "pve2"),
        "the host calls itself \"pve1\", the inventory calls it \"pve2\": correct either"
    );
}
