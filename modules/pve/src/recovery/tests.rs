//! Each stuck state as its facts show it, after the golden files where there are some.

use super::*;
use crate::corosync_conf::{ConfNode, CorosyncConf};
use crate::facts::{Quorum, UnendedOperation};
use crate::fake::{Fake, golden};
use crate::gather::gather;

const THREE: &str = "12-three-nodes/pve1-files/corosync-conf-pve";

fn conf(version: u64, names: &[&str]) -> String {
    let mut conf = CorosyncConf::parse(&golden::file_in(THREE)).unwrap();
    for listed in conf.nodes() {
        conf.remove_node(&listed.name);
    }
    for (index, name) in names.iter().enumerate() {
        let links = [(0, format!("10.88.0.1{}", &name[3..]))].into();
        conf.put_node(&ConfNode { name: (*name).to_owned(), nodeid: index as u32 + 1, votes: 1, links });
    }
    while conf.config_version() < Some(version) {
        conf.increase_version();
    }
    conf.render()
}

/// A member that sees these others.
fn member(name: &str, text: &str, online: &[&str]) -> NodeFacts {
    let fake = Fake::member(name, &format!("10.88.0.1{}", &name[3..]), text);
    fake.machine().online = Some(online.iter().map(|name| (*name).to_owned()).collect());
    gather(&fake.node(), std::time::Duration::from_secs(1))
}

fn fresh(name: &str) -> NodeFacts {
    let fake = Fake::standalone(name, &format!("10.88.0.1{}", &name[3..]));
    gather(&fake.node(), std::time::Duration::from_secs(1))
}

fn found(facts: Vec<NodeFacts>, silent: &[&str]) -> Vec<(&'static str, String, Action)> {
    let picture = picture(facts, silent);
    picture.diagnoses.into_iter().map(|found| (found.id, found.node, found.action)).collect()
}

fn picture(facts: Vec<NodeFacts>, silent: &[&str]) -> Picture {
    let known = facts.into_iter().map(|facts| WantedNode {
        name: facts.node.clone(),
        info: Some(Box::new(facts)),
        ..WantedNode::default()
    });
    let silent = silent.iter().map(|name| WantedNode { name: (*name).to_owned(), ..WantedNode::default() });
    diagnose("oracle", &known.chain(silent).collect::<Vec<_>>())
}

fn is(id: &'static str, node: &str, action: Action) -> (&'static str, String, Action) {
    (id, node.to_owned(), action)
}

#[test]
fn a_healthy_cluster_and_fresh_nodes_have_nothing() {
    let text = golden::file_in(THREE);
    let all = ["pve1", "pve2", "pve3"];
    assert!(found(all.iter().map(|name| member(name, &text, &all)).collect(), &[]).is_empty());
    assert!(found(vec![fresh("pve1"), fresh("pve2")], &[]).is_empty());
}

/// 14-one-down, 17-delnode, 19-rejoin-same-name.
#[test]
fn one_down_one_removed_one_installed_anew() {
    let text = golden::file_in(THREE);
    let two = ["pve1", "pve2"];
    let here = || two.iter().map(|name| member(name, &text, &two)).collect::<Vec<_>>();
    assert_eq!(found(here(), &["pve3"]), [is("unreachable", "pve3", Action::Person)]);
    assert_eq!(found(here(), &[]), [is("unknown-node", "pve3", Action::Person)]);
    let mut anew = here();
    anew.push(fresh("pve3"));
    assert_eq!(found(anew, &[]), [is("half-member", "pve3", Action::Withdraw)]);
    // Whose join may be under way is nobody's to take off the list.
    let mut joining = here();
    joining.push(NodeFacts { operation: Some(UnendedOperation::default()), ..fresh("pve3") });
    assert_eq!(found(joining, &[]), [is("unfinished-operation", "pve3", Action::Settle)]);
    let mut placed = here();
    let starting = Fake::standalone("pve3", "10.88.0.13");
    starting.write("/etc/corosync/authkey", "key");
    placed.push(gather(&starting.node(), std::time::Duration::from_secs(1)));
    let of_placed = found(placed, &[]);
    assert!(of_placed.contains(&is("half-member", "pve3", Action::Person)), "{of_placed:?}");
    let newer = conf(11, &two);
    let mut removed: Vec<NodeFacts> = two.iter().map(|name| member(name, &newer, &two)).collect();
    removed.push(member("pve3", &text, &[]));
    assert_eq!(found(removed, &[]), [is("removed", "pve3", Action::Person)]);
}

/// 22-concurrent-join: pve4 was given config version 3, the cluster has 4.
#[test]
fn a_join_that_hangs_with_an_older_configuration_gets_the_clusters() {
    let (newest, older) = (conf(4, &["pve1", "pve2", "pve3", "pve4"]), conf(3, &["pve1", "pve2", "pve4"]));
    let three = ["pve1", "pve2", "pve3"];
    let mut facts: Vec<NodeFacts> = three.iter().map(|name| member(name, &newest, &three)).collect();
    let mut stuck = member("pve4", &older, &[]);
    facts.push(stuck.clone());
    let picture = picture(facts.clone(), &[]);
    assert_eq!(picture.nodes(Action::Adopt), ["pve4"]);
    assert_eq!((picture.diagnoses.len(), picture.newest.as_deref()), (1, Some(newest.as_str())));
    stuck.ha.active = true;
    facts[3] = stuck;
    assert_eq!(found(facts, &[]), [is("older-configuration", "pve4", Action::Person)]);
}

/// A member that was told to read the file while the ring changed.
#[test]
fn a_corosync_that_did_not_read_the_file_is_to_read_it_again() {
    let text = golden::file_in(THREE);
    let all = ["pve1", "pve2", "pve3"];
    let mut facts: Vec<NodeFacts> = all.iter().map(|name| member(name, &text, &all)).collect();
    for of in &mut facts {
        of.cluster.as_mut().unwrap().nodes[1].config_version = Some(2);
    }
    assert_eq!(found(facts, &[]), [is("not-reloaded", "pve2", Action::Reload)]);
}

/// 15-no-quorum: what is newest is certain only when all were asked.
#[test]
fn without_quorum_the_newest_configuration_counts_only_when_no_node_is_silent() {
    let (newest, older) = (conf(12, &["pve1", "pve2", "pve3"]), conf(11, &["pve1", "pve2", "pve3"]));
    let facts = || vec![member("pve1", &newest, &[]), member("pve2", &older, &[])];
    let partly = picture(facts(), &["pve3"]);
    assert_eq!((partly.newest, partly.diagnoses.len()), (None, 3));
    let text = &partly.diagnoses[1];
    assert_eq!((text.id, text.action), ("no-quorum", Action::Person));
    let commands = "on pve1 pvecm expected 1 && pvecm delnode pve2; pvecm expected 1 && pvecm delnode pve3";
    assert!(text.remedy.ends_with(commands), "{text:?}");
    assert_eq!(partly.diagnoses[2].action, Action::Person);
    let mut all = facts();
    all.push(member("pve3", &older, &[]));
    let all = picture(all, &[]);
    assert_eq!(all.nodes(Action::Adopt), ["pve2", "pve3"]);
}

/// A network that is cut: nobody may be given anything.
#[test]
fn a_partition_is_told_and_left_to_a_person() {
    let text = golden::file_in(THREE);
    let facts =
        [member("pve1", &text, &["pve2"]), member("pve2", &text, &["pve1"]), member("pve3", &text, &[])];
    let mut cut = facts[2].clone();
    cut.links[0].peers.iter_mut().for_each(|peer| peer.connected = false);
    assert_eq!(
        found(vec![facts[0].clone(), facts[1].clone(), cut], &[]),
        [is("cut-off", "pve3", Action::Person)]
    );
    let mut other = facts[2].clone();
    other.state = ClusterState::Member;
    let two = picture(vec![facts[0].clone(), facts[1].clone(), other], &[]);
    assert_eq!(two.diagnoses[0].id, "two-quorate-parts");
}

/// 03-create-errors/link0-not-local, 07-add-errors/nodeid-taken, 30-dual-link/07, 40-pmxcfs.
#[test]
fn what_pve_accepts_and_then_breaks_is_named() {
    let text = golden::file_in(THREE);
    let all = ["pve1", "pve2", "pve3"];
    let one = |change: &dyn Fn(&mut NodeFacts)| {
        let mut facts: Vec<NodeFacts> = all.iter().map(|name| member(name, &text, &all)).collect();
        change(&mut facts[0]);
        found(facts, &[])
    };
    let strange = one(&|facts| facts.addresses[0].address = "10.88.0.77".into());
    assert_eq!(strange, [is("address-not-local", "pve1", Action::Person)]);
    let incomplete = one(&|facts| facts.fingerprint = None);
    assert_eq!(incomplete, [is("incomplete-member", "pve1", Action::Mend)]);
    let garbage =
        one(&|facts| facts.problems = vec!["cannot read \"/etc/pve/corosync.conf\": line 1".into()]);
    assert_eq!(garbage, [is("broken-configuration", "pve1", Action::Person)]);
    let down = one(&|facts| facts.services.get_mut("pveproxy").unwrap().active = "failed".into());
    assert_eq!(down, [is("service-down", "pve1", Action::Start)]);
    let unended =
        one(&|facts| facts.operation = Some(UnendedOperation { kind: "admit".into(), ..Default::default() }));
    assert_eq!(unended, [is("unfinished-operation", "pve1", Action::Settle)]);
    let foreign = one(&|facts| facts.cluster.as_mut().unwrap().name = "prod".into());
    assert!(foreign.contains(&is("other-cluster", "pve1", Action::Person)), "{foreign:?}");
    let twice = one(&|facts| {
        let conf = facts.cluster.as_mut().unwrap();
        (conf.nodes[2].nodeid, conf.config_version) = (1, 99);
    });
    assert!(twice.contains(&is("duplicate-nodeid", "pve3", Action::Person)), "{twice:?}");
}

/// The second node was admitted and never came up.
#[test]
fn a_half_member_of_a_cluster_of_one_is_to_be_withdrawn_there() {
    let text = conf(2, &["pve1", "pve2"]);
    let picture = picture(vec![member("pve1", &text, &[]), fresh("pve2")], &[]);
    let ids: Vec<&str> = picture.diagnoses.iter().map(|found| found.id).collect();
    assert_eq!((ids, picture.member.as_deref()), (vec!["no-quorum", "half-member"], Some("pve1")));
    assert_eq!(picture.nodes(Action::Withdraw), ["pve2"]);
}

/// 07-add-errors/nodeid-taken: the second node took the id of the first, and has no certificate.
#[test]
fn who_took_a_node_id_is_told_from_who_had_it() {
    let text = conf(2, &["pve1", "pve2"]).replace("nodeid: 2", "nodeid: 1");
    for (joiner, holder) in [("pve2", "pve1"), ("pve1", "pve2")] {
        let (mut holding, mut joining) = (member(holder, &text, &[]), member(joiner, &text, &[]));
        holding.quorum = Some(Quorum { quorate: true, members: vec![1], ..Quorum::default() });
        (joining.quorum, joining.fingerprint, joining.state) = (None, None, ClusterState::NoQuorum);
        joining.services.get_mut("corosync").unwrap().active = "failed".into();
        let mut quorate = holding.clone();
        quorate.state = ClusterState::Member;
        let told = picture(vec![joining.clone(), quorate], &[]);
        let ids: Vec<(&str, &str)> =
            told.diagnoses.iter().map(|found| (found.id, found.node.as_str())).collect();
        assert_eq!(ids, [("duplicate-nodeid", joiner)]);
        assert!(
            told.diagnoses[0].remedy.starts_with(&format!("playbooks/rejoin.yml -e pve_rejoin={joiner}"))
        );
        // Its corosync was started anew, and failed too.
        let mut down = holding;
        (down.quorum, down.state) = (None, ClusterState::NoQuorum);
        down.services.get_mut("corosync").unwrap().active = "failed".into();
        let told = picture(vec![joining, down], &[]);
        assert_eq!(told.nodes(Action::Person), ["", joiner], "{told:?}");
        assert!(told.nodes(Action::Start).is_empty(), "{told:?}");
        assert!(!told.diagnoses[0].remedy.contains("pvecm expected"), "{told:?}");
        assert!(told.diagnoses[1].remedy.contains(&format!(" name: {joiner}[^-a-zA-Z0-9]")), "{told:?}");
    }
}
