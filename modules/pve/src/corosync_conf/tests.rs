//! Holds the reading, writing and editing of corosync.conf against recorded files and made-up ones.

use proptest::prelude::*;

use super::*;
use crate::fake::golden;

fn conf(case: &str) -> (String, CorosyncConf) {
    let text = golden::file_in(case);
    let parsed = CorosyncConf::parse(&text).unwrap();
    (text, parsed)
}

#[test]
fn renders_what_pve_wrote_byte_for_byte() {
    for case in [
        "05-single-node/files/corosync-conf-pve",
        "12-three-nodes/pve1-files/corosync-conf-pve",
        "30-dual-link/02-conf",
        "30-dual-link/10-conf",
        "03-create-errors/link1-dup-address--after-conf",
    ] {
        let (text, parsed) = conf(case);
        assert!(text.starts_with("logging {\n") && text.ends_with("}\n\n"), "{case}");
        assert_eq!(parsed.render(), text, "{case}");
    }
}

#[test]
fn reads_nodes_votes_and_link_priorities() {
    let (_, parsed) = conf("30-dual-link/10-conf");
    assert_eq!(parsed.cluster_name(), Some("oracle"));
    assert_eq!(parsed.config_version(), Some(3));
    let node = parsed.node("pve3").unwrap();
    assert_eq!((node.nodeid, node.votes), (7, 2));
    assert_eq!(node.links, BTreeMap::from([(0, "10.88.0.13".into()), (1, "10.89.0.13".into())]));
    assert_eq!(parsed.nodes().iter().map(|node| node.nodeid).collect::<Vec<_>>(), [1, 2, 7]);
    assert_eq!(
        parsed.links(),
        [ConfLink { number: 0, priority: Some(20) }, ConfLink { number: 1, priority: Some(10) }]
    );
    assert_eq!((parsed.expected_votes(), parsed.free_nodeid()), (4, 3));
    assert!(parsed.findings().is_empty(), "{:?}", parsed.findings());
}

#[test]
fn creates_what_pvecm_create_writes() {
    let (text, _) = conf("30-dual-link/02-conf");
    let link = |number: u8, address: &str, priority| NewLink {
        number,
        address: address.to_owned(),
        priority: Some(priority),
    };
    let conf = CorosyncConf::create(&NewCluster {
        cluster_name: "oracle".to_owned(),
        node: "pve1".to_owned(),
        nodeid: 1,
        votes: 1,
        links: vec![link(0, "10.88.0.11", 20), link(1, "10.89.0.11", 10)],
        token_coefficient: None,
    });
    assert_eq!(conf.render(), text);
}

#[test]
fn admits_nodes_as_pve_does_and_raises_the_version() {
    let (_, mut one) = conf("05-single-node/files/corosync-conf-pve");
    let (three, _) = conf("12-three-nodes/pve1-files/corosync-conf-pve");
    for (name, address) in [("pve2", "10.88.0.12"), ("pve3", "10.88.0.13")] {
        let nodeid = one.free_nodeid();
        one.put_node(&ConfNode {
            name: name.to_owned(),
            nodeid,
            votes: 1,
            links: BTreeMap::from([(0, address.to_owned())]),
        });
        one.increase_version();
    }
    assert_eq!(one.render(), three);
    assert!(one.remove_node("pve3") && !one.remove_node("pve3"));
    assert_eq!(one.nodes().len(), 2);
}

#[test]
fn keeps_what_it_does_not_know() {
    let text = "logging {\n  debug: off\n  logger_subsys {\n    subsys: KNET\n  }\n}\n\nnodelist {\n  node {\n    \
                name: a\n    nodeid: 1\n    ring0_addr: 10.0.0.1\n    site: east\n  }\n}\n\nquorum {\n  device {\n    \
                model: net\n    net {\n      host: 10.0.0.9\n    }\n  }\n  provider: corosync_votequorum\n}\n\n";
    let mut parsed = CorosyncConf::parse(text).unwrap();
    assert_eq!(parsed.render(), text);
    assert!(parsed.has_qdevice());
    let node = parsed.node("a").unwrap();
    parsed.put_node(&ConfNode { votes: 3, ..node });
    assert!(parsed.render().contains("    ring0_addr: 10.0.0.1\n    site: east\n"));
    assert_eq!(parsed.node("a").unwrap().votes, 3);
}

#[test]
fn a_quorum_device_is_written_as_pvecm_does_and_goes_without_a_trace() {
    let (text, mut conf) = conf("12-three-nodes/pve1-files/corosync-conf-pve");
    conf.put_qdevice("10.88.0.30");
    let device = "quorum {\n  device {\n    model: net\n    net {\n      algorithm: ffsplit\n      host: 10.88.0.30\n      \
                  tls: on\n    }\n    votes: 1\n  }\n  provider: corosync_votequorum\n}\n";
    assert!(conf.render().contains(device), "{}", conf.render());
    assert_eq!((conf.qdevice_host(), conf.qdevice_votes()), (Some("10.88.0.30"), 1));
    assert!(conf.findings().is_empty());
    assert!(conf.remove_qdevice() && !conf.remove_qdevice());
    assert_eq!((conf.render(), conf.qdevice_votes()), (text, 0));
}

#[test]
fn refuses_what_breaks_pve_and_names_the_line() {
    let error = |text: &str| CorosyncConf::parse(text).unwrap_err().to_string();
    assert_eq!(error("garbage\n"), "corosync.conf, line 1: missing ':' after key \"garbage\"");
    assert_eq!(error("totem {\n  version: 2\n"), "corosync.conf, line 2: section \"totem\" is not closed");
    assert_eq!(error("}\n"), "corosync.conf, line 1: '}' closes nothing");
    assert_eq!(error("totem {\n}\ntotem {\n}\n"), "corosync.conf, line 4: section \"totem\" is there twice");
    assert_eq!(error("totem {\nversion:\n}\n"), "corosync.conf, line 2: no value for \"version\"");
}

#[test]
fn finds_what_corosync_would_not_start_with() {
    let findings = |text: &str| CorosyncConf::parse(text).unwrap().findings();
    let (text, parsed) = conf("12-three-nodes/pve1-files/corosync-conf-pve");
    assert!(parsed.findings().is_empty());
    assert_eq!(
        findings(&text.replace("nodeid: 2", "nodeid: 1")),
        ["nodes \"pve1\" and \"pve2\" share node id 1"]
    );
    assert_eq!(
        findings(&text.replace("  config_version: 3\n", "")),
        ["totem.config_version is missing or no number"]
    );
    assert_eq!(
        findings(&text.replacen("    ring0_addr: 10.88.0.12\n", "", 1)),
        ["node \"pve2\" has no address on link 0"]
    );
    let (_, duplicate) = conf("03-create-errors/link1-dup-address--after-conf");
    assert_eq!(duplicate.findings(), ["address 10.88.0.13 of \"pve3\", link 1, is \"pve3\"'s too"]);
    assert_eq!(findings(""), ["no totem section", "no node in the nodelist", "no link"]);
}

fn section(depth: u32) -> BoxedStrategy<Section> {
    let value = "[a-zA-Z0-9._:-]{1,12}".prop_map(Entry::Value);
    let leaf = proptest::collection::btree_map("[a-z_]{1,10}", value.clone(), 0..5)
        .prop_map(|entries| Section { entries })
        .boxed();
    if depth == 0 {
        return leaf;
    }
    let children = proptest::collection::vec(section(depth - 1), 1..2).prop_map(Entry::Sections);
    proptest::collection::btree_map("[a-z_]{1,10}", prop_oneof![value, children], 0..5)
        .prop_map(|entries| Section { entries })
        .boxed()
}

proptest! {
    #[test]
    fn every_document_survives_writing_and_reading(root in section(3)) {
        let conf = CorosyncConf { root };
        prop_assert_eq!(CorosyncConf::parse(&conf.render()).unwrap(), conf);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z:{}# \n]{0,200}") {
        let _ = CorosyncConf::parse(&text);
    }
}
