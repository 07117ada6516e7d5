//! Waves, the advice, and links by network.

use super::*;

/// The names of nodes from one number to another.
fn names(from: u8, to: u8) -> Vec<String> {
    (from..=to).map(|number| format!("pve{number}")).collect()
}

fn many(count: u8) -> Vec<WantedNode> {
    let one = |number: u8| {
        let (name, address) = (format!("pve{number}"), format!("10.88.0.{}", 10 + number));
        let info = gathered(&Fake::standalone(&name, &address));
        WantedNode { name, address, info, ..WantedNode::default() }
    };
    (1..=count).map(one).collect()
}

#[test]
fn waves_double_and_cost_quorum_once() {
    let plan = plan(&request(many(17)));
    assert_eq!(plan.waves, [names(2, 2), names(3, 3), names(4, 5), names(6, 9), names(10, 17)]);
    assert_eq!(plan.joins, names(2, 17));
    let meanwhile: Vec<bool> = plan.forecast.iter().map(|step| step.quorate_meanwhile).collect();
    assert_eq!(meanwhile, [true, false, true, true, true, true]);
    let survives: Vec<usize> = plan.forecast.iter().map(|step| step.after.tolerated_failures).collect();
    assert_eq!(survives, [0, 0, 1, 2, 4, 8]);
    assert!(plan.conf_after.contains("config_version: 17\n"));
}

#[test]
fn methods_that_cannot_do_otherwise_join_one_at_a_time() {
    let mut wanted = request(many(5));
    wanted.wave_limit = Some(1);
    assert_eq!(plan(&wanted).waves, [["pve2"], ["pve3"], ["pve4"], ["pve5"]]);
}

#[test]
fn votes_and_not_nodes_are_what_a_wave_is_measured_by() {
    let mut nodes = many(5);
    nodes[0].votes = Some(3);
    nodes[4].votes = Some(3);
    // 3 of 3 votes: 2 more are outvoted. 5 of 5: 4 more would be, and the last has 3 beside 1.
    let wide = plan(&request(nodes));
    assert_eq!(wide.waves, [names(2, 3), names(4, 5)]);
    assert!(wide.forecast.iter().all(|step| step.quorate_meanwhile));
    // Of 3, 1, 1, 1, 3 votes either heavy one may fail, and not both.
    assert_eq!(wide.forecast[2].after.tolerated_failures, 1);
}

#[test]
fn a_wave_that_died_comes_up_as_a_whole_before_anybody_else() {
    let mut conf = CorosyncConf::parse(&golden::file_in(THREE)).unwrap();
    for number in [4, 5] {
        let links = BTreeMap::from([(0, format!("10.88.0.1{number}"))]);
        let name = format!("pve{number}");
        conf.put_node(&crate::corosync_conf::ConfNode { name, nodeid: number, votes: 1, links });
    }
    let conf = conf.render();
    let online: &[&str] = &["pve1", "pve2", "pve3"];
    let nodes = vec![member("pve1", &conf, Some(online)), fresh("pve6"), fresh("pve4"), fresh("pve5")];
    let plan = plan(&request(nodes));
    assert_eq!(plan.waves, [names(4, 5), names(6, 6)], "{:?}", plan.decisions);
}

#[test]
fn a_node_that_is_refused_does_not_hold_the_others_up() {
    let mut nodes = many(5);
    nodes[3].info.as_mut().unwrap().guests = vec![Guest { vmid: 100, kind: "qemu".into() }];
    nodes[0].info.as_mut().unwrap().guests = vec![Guest { vmid: 101, kind: "qemu".into() }];
    let mut wanted = request(nodes);
    wanted.primary = Some("pve1".into());
    assert_eq!(plan(&wanted).waves, [["pve2"], ["pve3"], ["pve5"]]);
}

#[test]
fn advice_is_given_and_stops_nothing() {
    let told = |count: u8| plan(&request(many(count))).notes.join("\n");
    assert!(told(2).starts_with("two nodes: when either fails"), "{}", told(2));
    assert!(told(4).starts_with("4 nodes with 4 votes: an even number"), "{}", told(4));
    assert!(told(3).starts_with("one link: when its network fails"), "{}", told(3));
    assert_eq!(told(1), "");
}

#[test]
fn links_are_found_by_their_network() {
    let with_second = |number: u8| {
        let mut node = many(number).remove(usize::from(number) - 1);
        node.info.as_mut().unwrap().addresses.push(crate::facts::Address {
            interface: "eno2".into(),
            address: format!("10.89.0.{}", 10 + number),
            prefix: 24,
            mtu: None,
        });
        node
    };
    let networks = || Vec::from([(0, "10.88.0.0/24".parse().unwrap()), (1, "10.89.0.0/24".parse().unwrap())]);
    let mut wanted = request((1..=3).map(with_second).collect());
    wanted.link_networks = networks();
    let found = plan(&wanted);
    assert_eq!(actions(&found), [Create, Join, Join]);
    let chosen = BTreeMap::from([(0, "10.88.0.12".to_owned()), (1, "10.89.0.12".to_owned())]);
    assert_eq!(found.nodes[1].addresses(), chosen);
    assert!(found.conf_after.contains("ring1_addr: 10.89.0.13"));

    wanted.nodes[1].info.as_mut().unwrap().addresses.pop();
    let missing = plan(&wanted);
    assert!(
        reason(&missing, "pve2")
            .starts_with("it has no address in 10.89.0.0/24, the network of link 1 (it has")
    );
    let extra = wanted.nodes[2].info.as_mut().unwrap();
    extra.addresses.push(crate::facts::Address {
        interface: "eno3".into(),
        address: "10.89.0.77".into(),
        prefix: 24,
        mtu: None,
    });
    assert!(reason(&plan(&wanted), "pve3").contains("10.89.0.13, 10.89.0.77: say which one"));
    let link = inventory::WantedLink { number: 1, address: "10.89.0.77".into(), priority: None };
    wanted.nodes[2].links = Some(vec![link]);
    assert_eq!(plan(&wanted).nodes[2].addresses()[&1], "10.89.0.77");
}
