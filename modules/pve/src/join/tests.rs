//! What speaks against a node or its material, on plain facts; whole joins are tested where the module is.

use super::*;
use crate::facts::{Address, ClusterState, NodeFacts, PveVersion};
use crate::fake::{Fake, golden};
use crate::seal::{AuthKey, Material};

fn facts() -> NodeFacts {
    NodeFacts {
        node: "pve2".into(),
        version: Some(PveVersion { manager: "9.1.10".into(), major: 9, ..PveVersion::default() }),
        state: ClusterState::Standalone,
        addresses: vec![Address {
            interface: "vmbr0".into(),
            address: "10.88.0.12".into(),
            prefix: 24,
            mtu: None,
        }],
        name_addresses: vec!["10.88.0.12".into()],
        pmxcfs: crate::facts::Pmxcfs { mounted: true, ..Default::default() },
        ..NodeFacts::default()
    }
}

fn link(number: u8, address: &str) -> LinkAddress {
    LinkAddress { number, address: address.into(), priority: None }
}

#[test]
fn a_healthy_node_may_join_and_each_fault_is_told() {
    let links = [link(0, "10.88.0.12")];
    assert_eq!(check::node_faults(&facts(), &links, false), Vec::<String>::new());
    let mut broken = facts();
    broken.version = None;
    broken.name_addresses = vec!["127.0.1.1".into(), "10.88.0.12".into()];
    broken.guests = vec![crate::facts::Guest { vmid: 100, kind: "qemu".into() }];
    let faults = check::node_faults(&broken, &[link(0, "10.88.0.12"), link(0, "10.88.0.13")], false);
    let text = faults.join("\n");
    for reason in ["not installed", "guests (100)", "127.0.1.1", "on no interface", "link 0 is given twice"] {
        assert!(text.contains(reason), "{reason} in {text}");
    }
    assert!(!check::node_faults(&broken, &links, true).join("\n").contains("guests"));
}

#[test]
fn material_must_be_of_the_cluster_and_list_the_node_with_its_links() {
    let fake = Fake::standalone("pve2", "10.88.0.12");
    let conf = golden::file_in("12-three-nodes/pve1-files/corosync-conf-pve");
    let material = |name: &str| {
        let key = AuthKey::new(vec![7; 256]).unwrap();
        Material::new(&fake.node(), "oracle", name, &conf, 3, key)
    };
    let links = [link(0, "10.88.0.12")];
    assert!(check::material_faults(&material("pve2"), "oracle", &links).is_ok());
    let wrong = |material: &Material, cluster: &str, links: &[LinkAddress]| {
        check::material_faults(material, cluster, links).unwrap_err().to_string()
    };
    assert!(wrong(&material("pve2"), "prod", &links).contains("is of cluster \"oracle\", not \"prod\""));
    assert!(wrong(&material("pve9"), "oracle", &links).contains("does not list node \"pve9\""));
    let other = [link(0, "10.88.0.12"), link(1, "10.89.0.12")];
    assert!(wrong(&material("pve2"), "oracle", &other).contains("lists this node with links"));
}

#[test]
fn a_password_is_in_the_orders_of_the_unit_and_in_no_debug_output() {
    let how = How::Api {
        credential: None,
        secret: ApiSecret::Password,
        peer: "10.88.0.11".parse().unwrap(),
        fingerprint: Fingerprint([7; 32]),
        password: "Very-Secret-9!".into(),
        nodeid: None,
        votes: None,
    };
    assert!(!format!("{how:?}").contains("Very-Secret"));
    let told = serde_json::to_string(&how).unwrap();
    assert!(told.contains("Very-Secret-9!"));
    let How::Api { password, .. } = serde_json::from_str(&told).unwrap() else { panic!() };
    assert_eq!(secrecy::ExposeSecret::expose_secret(&password), "Very-Secret-9!");
}
