//! Gathering against what genuine nodes answered in each state: the texts are theirs, the rest is the fake's.

use super::*;
use crate::facts::Guest;
use crate::fake::{Fake, golden};

const TIMEOUT: Duration = Duration::from_secs(1);

/// A fake whose tools and status files say what the genuine node of a case said.
fn golden_node(name: &str, case: &str, conf: &str, members: Option<&str>) -> Fake {
    let fake = Fake::member(name, "10.88.0.11", &golden::file_in(conf));
    for (tool, leaf) in [("corosync-quorumtool -s", "quorumtool-s"), ("corosync-cfgtool -s", "cfgtool-s")] {
        let case = format!("{case}/{leaf}");
        fake.answer(tool, golden::exit(&case), &golden::stdout(&case));
    }
    if let Some(members) = members {
        fake.machine().members = Some(golden::stdout(members));
    }
    fake
}

fn online(facts: &NodeFacts) -> Vec<(u32, Option<bool>)> {
    facts.cluster.as_ref().unwrap().nodes.iter().map(|node| (node.nodeid, node.online)).collect()
}

fn peers(facts: &NodeFacts) -> Vec<(u8, u32, bool)> {
    let links = facts.links.iter();
    links.flat_map(|link| link.peers.iter().map(|peer| (link.number, peer.nodeid, peer.connected))).collect()
}

#[test]
fn a_standalone_node_has_no_cluster_and_no_problem() {
    let fake = Fake::standalone("pve1", "10.88.0.11");
    for (tool, leaf) in [("corosync-quorumtool -s", "quorumtool-s"), ("corosync-cfgtool -s", "cfgtool-s")] {
        fake.answer(tool, 1, &golden::stdout(&format!("01-standalone/{leaf}")));
    }
    let facts = gather(&fake.node(), TIMEOUT);
    assert_eq!(facts.problems, Vec::<String>::new());
    assert_eq!(facts.state, ClusterState::Standalone);
    assert_eq!((facts.node.as_str(), facts.name_addresses), ("pve1", vec!["10.88.0.11".to_owned()]));
    assert_eq!((facts.cluster, facts.quorum, facts.links), (None, None, vec![]));
    assert!(facts.pmxcfs.mounted && facts.pmxcfs.quorate.is_none());
    assert_eq!((facts.host_keys.len(), facts.fingerprint.unwrap().len()), (1, 95));
    assert!(facts.guests.is_empty() && facts.remnants.is_empty() && !facts.ha.active);
}

#[test]
fn six_small_programs_and_no_perl() {
    let fake = Fake::standalone("pve1", "10.88.0.11");
    gather(&fake.node(), TIMEOUT);
    let mut programs: Vec<String> =
        fake.calls().iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
    programs.sort();
    assert_eq!(
        programs,
        ["corosync-cfgtool", "corosync-cmapctl", "corosync-quorumtool", "getent", "ip", "systemctl"]
    );
}

#[test]
fn a_single_node_is_a_member_of_its_own_cluster() {
    let conf = "05-single-node/files/corosync-conf-pve";
    let fake = golden_node("pve1", "05-single-node", conf, Some("05-single-node/files/members"));
    let facts = gather(&fake.node(), TIMEOUT);
    let cluster = facts.cluster.clone().unwrap();
    assert_eq!(
        (facts.state, cluster.name.as_str(), cluster.config_version),
        (ClusterState::Member, "oracle", 1)
    );
    assert_eq!(cluster.text, golden::file_in(conf));
    assert_eq!((online(&facts), peers(&facts), facts.links.len()), (vec![(1, Some(true))], vec![], 1));
}

#[test]
fn a_single_node_tells_of_its_second_link_too() {
    let fake = golden_node("pve1", "05-single-node", "30-dual-link/02-conf", None);
    let facts = gather(&fake.node(), TIMEOUT);
    let links: Vec<_> = facts.links.iter().map(|link| (link.number, link.address.as_str())).collect();
    assert_eq!(links, [(0, "10.88.0.11"), (1, "10.89.0.11")]);
}

#[test]
fn three_nodes() {
    let conf = "12-three-nodes/pve1-files/corosync-conf-pve";
    let members = "12-three-nodes/pve1-files/members";
    let facts = gather(&golden_node("pve1", "12-three-nodes/pve1", conf, Some(members)).node(), TIMEOUT);
    assert_eq!(facts.state, ClusterState::Member);
    assert_eq!(online(&facts), [(1, Some(true)), (2, Some(true)), (3, Some(true))]);
    assert_eq!(peers(&facts), [(0, 2, true), (0, 3, true)]);
    assert_eq!(facts.pmxcfs.online, ["pve1", "pve2", "pve3"]);
    assert_eq!(facts.quorum.unwrap().total_votes, 3);
}

#[test]
fn two_nodes_seen_from_the_second() {
    let fake = Fake::member("pve2", "10.88.0.12", &two_nodes());
    let text = |leaf: &str| golden::stdout(&format!("09-two-nodes/{leaf}"));
    fake.answer("corosync-quorumtool -s", 0, &text("quorumtool-s"));
    fake.answer("corosync-cfgtool -s", 0, &text("cfgtool-s"));
    let facts = gather(&fake.node(), TIMEOUT);
    assert_eq!((facts.state, online(&facts)), (ClusterState::Member, vec![(1, Some(true)), (2, Some(true))]));
    assert_eq!((peers(&facts), facts.quorum.unwrap().quorum), (vec![(0, 1, true)], 2));
}

/// 09 holds no corosync.conf: it is 12's without its third node.
fn two_nodes() -> String {
    let mut conf =
        CorosyncConf::parse(&golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve")).unwrap();
    conf.remove_node("pve3");
    conf.render()
}

#[test]
fn one_node_down_is_listed_and_not_online() {
    let conf = "12-three-nodes/pve1-files/corosync-conf-pve";
    let facts =
        gather(&golden_node("pve1", "14-one-down", conf, Some("14-one-down/members")).node(), TIMEOUT);
    assert_eq!(facts.state, ClusterState::Member);
    assert_eq!(online(&facts), [(1, Some(true)), (2, Some(true)), (3, Some(false))]);
    assert_eq!(peers(&facts), [(0, 2, true), (0, 3, false)]);
    assert_eq!(facts.pmxcfs.online, ["pve1", "pve2"]);
}

#[test]
fn without_quorum_the_rest_is_known_all_the_same() {
    let conf = "12-three-nodes/pve1-files/corosync-conf-pve";
    let facts =
        gather(&golden_node("pve1", "15-no-quorum", conf, Some("15-no-quorum/members")).node(), TIMEOUT);
    assert_eq!((facts.state, facts.pmxcfs.quorate), (ClusterState::NoQuorum, Some(false)));
    let quorum = facts.quorum.clone().unwrap();
    assert_eq!((quorum.quorate, quorum.total_votes, quorum.quorum), (false, 1, 2));
    assert_eq!(online(&facts), [(1, Some(true)), (2, Some(false)), (3, Some(false))]);
    assert_eq!(facts.problems, Vec::<String>::new());
}

#[test]
fn dual_links_gaps_in_ids_and_a_cut_link() {
    let case = "30-dual-link/11-link1-of-pve3-down-pve1";
    let facts = gather(&golden_node("pve1", case, "30-dual-link/10-conf", None).node(), TIMEOUT);
    assert_eq!(peers(&facts), [(0, 2, true), (0, 7, true), (1, 2, true), (1, 7, false)]);
    assert_eq!(online(&facts), [(1, Some(true)), (2, Some(true)), (7, Some(true))]);
    let cluster = facts.cluster.unwrap();
    assert_eq!((cluster.nodes[2].votes, cluster.nodes[2].links[&1].as_str()), (2, "10.89.0.13"));
}

#[test]
fn remnants_of_a_separated_node_are_named() {
    // 18-separate-node/6-state: own node pve3, directories of four others, no configuration any more
    let fake = Fake::standalone("pve3", "10.88.0.13");
    let listing = golden::stdout("18-separate-node/6-state");
    let listing =
        &listing[listing.find("/etc/pve/nodes:\n").unwrap()..listing.find("{\n\"nodename\"").unwrap()];
    for line in listing.lines().filter(|line| line.contains(" pve")) {
        let name = line.rsplit(' ').next().unwrap();
        std::fs::create_dir_all(fake.path(&format!("/etc/pve/nodes/{name}"))).unwrap();
    }
    let facts = gather(&fake.node(), TIMEOUT);
    assert_eq!(facts.state, ClusterState::Remnants);
    let found: Vec<_> = facts.remnants.iter().map(|r| (r.id.as_str(), r.detail.as_str())).collect();
    assert_eq!(found, [("foreign-nodes", "files of other nodes: pve1, pve2, pve8, pve9")]);
}

#[test]
fn what_a_half_join_leaves_is_named() {
    let fake = Fake::standalone("pve2", "10.88.0.12");
    fake.write("/etc/corosync/corosync.conf", two_nodes());
    fake.write("/etc/corosync/authkey", [1; 256]);
    let facts = gather(&fake.node(), TIMEOUT);
    let ids: Vec<_> = facts.remnants.iter().map(|remnant| remnant.id.as_str()).collect();
    assert_eq!((facts.state, ids), (ClusterState::Remnants, vec!["corosync-conf", "authkey"]));
}

#[test]
fn a_member_without_pmxcfs_is_a_member_without_quorum_not_a_standalone_node() {
    let fake = Fake::member("pve2", "10.88.0.12", &two_nodes());
    fake.machine().stop("pve-cluster.service");
    let facts = gather(&fake.node(), TIMEOUT);
    assert_eq!((facts.state, facts.pmxcfs.mounted), (ClusterState::NoQuorum, false));
    assert_eq!((facts.cluster.unwrap().name.as_str(), facts.remnants), ("oracle", vec![]));
    fake.machine().start("pve-cluster.service");
    fake.machine().stop("corosync.service");
    let facts = gather(&fake.node(), TIMEOUT);
    assert_eq!((facts.state, facts.quorum), (ClusterState::NoQuorum, None));
    assert_eq!(facts.cluster.unwrap().nodes[0].online, None);
}

#[test]
fn a_removed_node_that_came_back_says_so() {
    let fake = Fake::member("pve3", "10.88.0.13", &two_nodes());
    let ids: Vec<String> = gather(&fake.node(), TIMEOUT).remnants.into_iter().map(|r| r.id).collect();
    assert_eq!(ids, ["not-listed"]);
}

#[test]
fn an_operation_that_has_not_ended_is_told() {
    let fake = Fake::standalone("pve2", "10.88.0.12");
    let journal = crate::operation::Journal {
        id: "1795359600-join-7".to_owned(),
        kind: crate::operation::Kind::Join,
        target: "pve2 into \"oracle\"".to_owned(),
        state: crate::operation::State::Running,
        ..Default::default()
    };
    journal.save(&fake.node()).unwrap();
    let facts = gather(&fake.node(), TIMEOUT);
    assert!(facts.is_in_transition());
    assert_eq!(facts.operation.unwrap().kind, "join");
    let trace = &facts.remnants[0];
    assert_eq!(trace.path, "/var/lib/sddc-pve/operations/1795359600-join-7.json");
    assert_eq!(trace.detail, "join of pve2 into \"oracle\" has not ended");
    crate::operation::Journal { state: crate::operation::State::Succeeded, ..journal }
        .save(&fake.node())
        .unwrap();
    assert_eq!(gather(&fake.node(), TIMEOUT).operation, None);
}

#[test]
fn guests_and_an_own_certificate_count() {
    let fake = Fake::standalone("pve1", "10.88.0.11");
    let before = gather(&fake.node(), TIMEOUT);
    fake.write(
        "/etc/pve/.vmlist",
        r#"{"version": 2, "ids": {"100": {"node": "pve1", "type": "qemu", "version": 1}}}"#,
    );
    fake.write("/etc/pve/nodes/pve1/pveproxy-ssl.pem", include_str!("../../tests/certificates/chain.pem"));
    let facts = gather(&fake.node(), TIMEOUT);
    assert_eq!(facts.guests, [Guest { vmid: 100, kind: "qemu".into() }]);
    assert_ne!(facts.fingerprint, before.fingerprint);
    assert_eq!(facts.fingerprint.unwrap(), include_str!("../../tests/certificates/chain.sha256").trim());
}

#[test]
fn without_pve_there_is_still_an_answer() {
    let fake = Fake::standalone("pve1", "10.88.0.11");
    fake.write("/var/lib/dpkg/status", "");
    std::fs::remove_dir_all(fake.path("/etc/pve")).unwrap();
    fake.machine().units.clear();
    let facts = gather(&fake.node(), TIMEOUT);
    assert_eq!((facts.state, facts.version, facts.pmxcfs.mounted), (ClusterState::NotInstalled, None, false));
}

#[test]
fn what_cannot_be_read_is_a_problem_and_not_the_end() {
    let fake = Fake::standalone("pve1", "10.88.0.11");
    fake.on(|_, cmd| {
        let timed_out =
            || crate::RunError::TimedOut { line: cmd.line(), timeout: cmd.timeout, tail: String::new() };
        (cmd.program == "corosync-quorumtool").then(|| Err(timed_out()))
    });
    fake.write("/etc/pve/pve-root-ca.pem", "garbage");
    let facts = gather(&fake.node(), TIMEOUT);
    assert_eq!(facts.problems.len(), 2, "{:?}", facts.problems);
    assert!(facts.problems[0].contains("did not end within 1 s"));
    assert_eq!(facts.problems[1], "cannot read \"/etc/pve/pve-root-ca.pem\": no PEM certificate in it");
    assert_eq!(facts.state, ClusterState::Standalone);
}

#[test]
fn facts_survive_json() {
    let fake = Fake::member("pve2", "10.88.0.12", &two_nodes());
    let mut facts = gather(&fake.node(), TIMEOUT);
    let text = serde_json::to_string(&facts).unwrap();
    // Certificates are told to people only.
    assert!(!facts.certificates.is_empty() && text.contains("pve-root-ca.pem"));
    facts.certificates.clear();
    assert_eq!(serde_json::from_str::<NodeFacts>(&text).unwrap(), facts);
    assert_eq!(serde_json::from_str::<NodeFacts>(r#"{"node": "a"}"#).unwrap().node, "a");
}

#[test]
fn a_quorum_device_is_told_with_its_host_and_what_it_casts() {
    let mut conf =
        CorosyncConf::parse(&golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve")).unwrap();
    conf.put_qdevice("10.88.0.30");
    let fake = Fake::member("pve1", "10.88.0.11", &conf.render());
    fake.machine().install_qdevice();
    fake.write("/etc/corosync/qdevice/net/nssdb/Cluster Cert", "");
    let told = |fake: &Fake| {
        let cluster = gather(&fake.node(), Duration::from_secs(1)).cluster.unwrap();
        (cluster.qdevice, cluster.qdevice_host, cluster.qdevice_votes)
    };
    assert_eq!(told(&fake), (true, Some("10.88.0.30".to_owned()), None));
    fake.machine().start("corosync-qdevice.service");
    assert_eq!(told(&fake), (true, Some("10.88.0.30".to_owned()), Some(1)));
}
