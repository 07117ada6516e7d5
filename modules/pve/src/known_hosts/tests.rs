//! What is replaced, what goes, and that nothing else is touched.

use super::*;

/// OpenSSH 9.2 hashed pve2, 10.88.0.12 and pve9 in it (ssh-keygen -H); the key of the second is REAL, else OTHER.
const HASHED: &str = include_str!("../../tests/known_hosts/hashed.txt");
const REAL: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILuifwWjZ6DD9Tp0VPU59ant5B6/8093zPofdoTfb+JR";
const OTHER: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJNxVvpQaBZkViBHsX1VnKvm8NhgLOghiZiwIZI26E94";

fn identity(node: &str, address: &str, keys: &[(&str, &str)]) -> Identity {
    let key = |(algorithm, key): &(&str, &str)| HostKey {
        algorithm: (*algorithm).to_owned(),
        key: (*key).to_owned(),
        fingerprint: String::new(),
    };
    Identity {
        node: node.to_owned(),
        names: [node, address].map(str::to_owned).into(),
        keys: keys.iter().map(key).collect(),
    }
}

fn two() -> Vec<Identity> {
    vec![
        identity("pve2", "10.88.0.12", &[("ssh-rsa", "R2"), ("ssh-ed25519", REAL)]),
        identity("pve3", "10.88.0.13", &[("ssh-rsa", "R3")]),
    ]
}

fn mended(text: &str) -> String {
    String::from_utf8(mend(text.as_bytes(), &two()).expect("a conflict").content).unwrap()
}

#[test]
fn a_wrong_key_is_replaced_and_its_line_is_else_the_same() {
    assert_eq!(mended("pve2 ssh-rsa OLD"), "pve2 ssh-rsa R2");
    assert_eq!(
        mended(" pve2,10.88.0.12\tssh-rsa  OLD  root@x \r\n"),
        " pve2,10.88.0.12 ssh-rsa R2  root@x \r\n"
    );
    assert_eq!(mended("# a\nPVE2 ssh-rsa OLD\nz ssh-rsa OLD\n"), "# a\nPVE2 ssh-rsa R2\nz ssh-rsa OLD\n");
}

#[test]
fn what_is_no_contradiction_stays_byte_for_byte() {
    for text in [
        "",
        "\n\n",
        "pve2 ssh-rsa R2\n",
        // Another host, a longer name, a pattern, a port, a comment, markers.
        "pve21 ssh-rsa OLD\n10.88.0.121 ssh-rsa OLD\nxpve2 ssh-rsa OLD\npve2.example.org ssh-rsa OLD\n",
        "pve? ssh-rsa OLD\npve* ssh-rsa OLD\n!pve2 ssh-rsa OLD\n[pve2]:2222 ssh-rsa OLD\n",
        "#pve2 ssh-rsa OLD\n@revoked pve2 ssh-rsa OLD\n@cert-authority pve2 ssh-rsa OLD\n",
        // A type that the node has no key of, and lines that are none.
        "pve3 ssh-ed25519 OLD\npve2\npve2 ssh-rsa\n|1|x ssh-rsa OLD\n|1||= ssh-rsa OLD\n",
    ] {
        assert_eq!(mend(text.as_bytes(), &two()), None, "{text}");
    }
    let mut bytes = b"\xff\xfe pve2 ssh-rsa OLD\n".to_vec();
    assert_eq!(mend(&bytes, &two()), None);
    bytes.extend(b"pve2 ssh-rsa OLD\n");
    assert_eq!(mend(&bytes, &two()).unwrap().content, b"\xff\xfe pve2 ssh-rsa OLD\npve2 ssh-rsa R2\n");
}

#[test]
fn a_wrong_key_beside_the_right_one_goes() {
    assert_eq!(mended("pve2 ssh-rsa OLD\npve2 ssh-rsa R2\n"), "pve2 ssh-rsa R2\n");
    assert_eq!(mended("pve2 ssh-rsa OLD\npve2 ssh-rsa OLDER\n"), "pve2 ssh-rsa R2\n");
    assert_eq!(mended("pve2,10.88.0.12 ssh-rsa R2\n10.88.0.12 ssh-rsa OLD"), "pve2,10.88.0.12 ssh-rsa R2\n");
}

#[test]
fn hosts_that_share_a_line_keep_the_key_that_is_theirs() {
    assert_eq!(mended("pve2,backup ssh-rsa OLD x\n"), "backup ssh-rsa OLD x\npve2 ssh-rsa R2 x\n");
    assert_eq!(mended("pve3,10.88.0.12 ssh-rsa R3\n"), "pve3 ssh-rsa R3\n10.88.0.12 ssh-rsa R2\n");
    assert_eq!(mended("pve2,pve3 ssh-rsa OLD"), "pve2 ssh-rsa R2\npve3 ssh-rsa R3");
    let found = mend(b"\npve2,pve3 ssh-rsa OLD", &two()).unwrap().conflicts;
    assert_eq!(found, [Conflict { line: 2, node: "pve2, pve3".into(), algorithm: "ssh-rsa".into() }]);
}

#[test]
fn hashed_hosts_are_known_by_their_hash() {
    let lines: Vec<&str> = HASHED.lines().collect();
    let expected = format!("{}\n{}\n{}\n", lines[0].replace(OTHER, REAL), lines[1], lines[2]);
    assert_eq!(mended(HASHED), expected);
    assert_eq!(mend(expected.as_bytes(), &two()), None);
    assert_eq!(mended(&format!("{HASHED}pve2 ssh-ed25519 {REAL}\n")).lines().count(), 3);
}

#[test]
fn a_name_that_two_nodes_claim_is_nobodys() {
    let mut known = two();
    known[1].names.push("10.88.0.12".to_owned());
    assert_eq!(mend(b"10.88.0.12 ssh-rsa OLD\n", &known), None);
}

#[test]
fn names_are_those_of_the_inventory_and_what_they_resolve_to() {
    let wanted: WantedNode = serde_json::from_value(serde_json::json!({
        "name": "pve2", "address": "10.88.0.12",
        "links": [{"number": 0, "address": "10.88.0.12"}, {"number": 1, "address": "10.89.0.12"}],
    }))
    .unwrap();
    let facts = NodeFacts {
        hostname: "PVE2.example.org".into(),
        name_addresses: vec!["127.0.1.1".into(), "10.90.0.12".into()],
        ..NodeFacts::default()
    };
    let names = Identity::of(&wanted, &facts).names;
    assert_eq!(names, ["pve2", "10.88.0.12", "pve2.example.org", "10.90.0.12", "10.89.0.12"]);
}

#[test]
fn a_node_is_forgotten_by_exact_name_and_address() {
    let names = ["pve4".to_owned(), "10.88.0.14".to_owned()];
    let content = b"pve4 ssh-rsa A\npve41,10.88.0.14,pve4 ssh-rsa B c\n10.88.0.141 ssh-rsa C\n# pve4\n@revoked pve4 ssh-rsa D\npve4.example.org ssh-rsa E\npve4 ssh-ed25519 F";
    let left = forget(content, &names).unwrap();
    assert_eq!(
        String::from_utf8(left).unwrap(),
        "pve41 ssh-rsa B c\n10.88.0.141 ssh-rsa C\n# pve4\n@revoked pve4 ssh-rsa D\npve4.example.org ssh-rsa E\n"
    );
    assert_eq!(forget(b"pve41 ssh-rsa A\n\xff\n", &names), None);
}
