//! What must be refused is refused by the module itself, in time, with what, where and remedy; and nothing has
//! changed on either side.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::form::await_members;
use super::scene::{PASSWORD, Scene, refused};
use crate::lab::{LINKS, Node};

const CLUSTER: &str = "sddc-cluster";
/// A refusal needs no waiting; PVE's own three seconds over a wrong password are in it.
const LIMIT: Duration = Duration::from_secs(30);

fn links(node: Node) -> Value {
    json!([{ "number": 0, "address": node.address(LINKS[0]) }, { "number": 1, "address": node.address(LINKS[1]) }])
}

/// Members pve1 and pve2, joiner pve3.
struct Cast {
    member: Node,
    other: Node,
    joiner: Node,
}

impl Cast {
    fn gather(scene: &Scene<'_>) -> Result<Cast> {
        let nodes = scene.fresh(3)?;
        let cast = Cast { member: nodes[0], other: nodes[1], joiner: nodes[2] };
        let create = json!({ "cluster_name": CLUSTER, "links": links(cast.member) });
        must(scene, "create", cast.member, "pve_cluster_create", &create)?;
        join_brokered(scene, "join-other", cast.member, cast.other, &links(cast.other))?;
        scene.healthy(&nodes[..2])?;
        Ok(cast)
    }

    fn all(&self) -> [Node; 3] {
        [self.member, self.other, self.joiner]
    }
}

fn must(scene: &Scene<'_>, label: &str, node: Node, module: &str, args: &Value) -> Result<()> {
    let run = scene.task(label, node, module, args, &[])?;
    anyhow::ensure!(run.is_success, "{label} failed: {}", run.messages());
    Ok(())
}

fn join_brokered(scene: &Scene<'_>, label: &str, member: Node, joiner: Node, links: &Value) -> Result<()> {
    let run = scene.tasks(label, brokered(member, joiner, &json!({ "links": links })), &[])?;
    anyhow::ensure!(run.is_success, "{label} failed: {}", run.messages());
    Ok(())
}

/// The three tasks of a brokered join, with more or other options for the admitted node.
fn brokered(member: Node, joiner: Node, admitted: &Value) -> Value {
    let mut node = json!({ "name": joiner.name(), "links": links(joiner),
        "public_key": "{{ request.join_request.public_key }}" });
    for (key, value) in admitted.as_object().into_iter().flatten() {
        node[key] = value.clone();
    }
    let join = json!({ "cluster_name": CLUSTER, "method": "brokered", "links": node["links"],
        "material": "{{ admission.join_material.values() | first }}" });
    json!([{ "hosts": joiner.name(), "gather_facts": false, "tasks": [
        { "name": "request", "sddc.pve.pve_cluster_join":
            { "cluster_name": CLUSTER, "method": "brokered", "state": "requested" }, "register": "request" },
        { "name": "admit", "sddc.pve.pve_cluster_member": { "cluster_name": CLUSTER, "state": "present",
            "nodes": [node] }, "delegate_to": member.name(), "register": "admission" },
        { "name": "join", "sddc.pve.pve_cluster_join": join },
    ]}])
}

fn api(scene: &Scene<'_>, peer: Node) -> Result<Value> {
    let certificate = "openssl x509 -in /etc/pve/local/pve-ssl.pem -noout -fingerprint -sha256 | cut -d= -f2";
    Ok(
        json!({ "cluster_name": CLUSTER, "method": "api", "peer": peer.address(LINKS[0]), "password": PASSWORD,
        "fingerprint": scene.sh(peer, certificate)?.trim(), "timeout": 60 }),
    )
}

/// The same arguments, some of them other.
fn with(args: &Value, other: Value) -> Value {
    let mut args = args.clone();
    if let (Some(args), Value::Object(other)) = (args.as_object_mut(), other) {
        args.extend(other);
    }
    args
}

/// Joins that must be refused over the API of a member.
pub fn api_joins(scene: &Scene<'_>) -> Result<()> {
    let cast = Cast::gather(scene)?;
    let Cast { member, other, joiner } = cast;
    let good = with(&api(scene, member)?, json!({ "links": links(joiner) }));
    let wrong_pin = [["AB"; 32].join(":")].concat();
    let absent = LINKS[0].address(99);
    let (first, second, third) =
        (member.address(LINKS[0]), other.address(LINKS[0]), joiner.address(LINKS[0]));
    let far =
        json!([{ "number": 0, "address": absent }, { "number": 1, "address": joiner.address(LINKS[1]) }]);
    let taken = json!([{ "number": 0, "address": other.address(LINKS[0]) }, { "number": 1, "address": joiner.address(LINKS[1]) }]);
    let single = json!([{ "number": 0, "address": joiner.address(LINKS[0]) }]);
    let cases = [
        ("wrong-password", json!({ "password": "Wrong-Pass-77" }), vec!["password", &first]),
        ("wrong-fingerprint", json!({ "fingerprint": wrong_pin }), vec!["certificate", &first]),
        ("taken-nodeid", json!({ "nodeid": 2 }), vec!["node id 2", "pve2"]),
        ("link-not-local", json!({ "links": far }), vec![&absent, "pve3"]),
        ("address-clash", json!({ "links": taken }), vec![&second]),
        ("links-differ", json!({ "links": single }), vec!["pve3", "links [0]", "[0, 1]"]),
        ("other-cluster-name", json!({ "cluster_name": "elsewhere" }), vec!["elsewhere", CLUSTER]),
    ];
    for (name, other_args, words) in cases {
        let args = with(&good, other_args);
        refuse(scene, name, &cast, joiner, "pve_cluster_join", &args, &words)?;
    }
    guests(scene, &cast, "guests-api", &good)?;

    // A peer in no cluster, then a peer without power.
    let lonely = with(&api(scene, joiner)?, json!({ "links": links(other) }));
    let before = scene.untouched(&cast.all())?;
    let run = scene.task(
        "peer-not-in-cluster",
        joiner,
        "pve_cluster_join",
        &with(&lonely, json!({ "links": links(joiner) })),
        &[],
    )?;
    refused(&run, &[&third, "no cluster"], LIMIT)?;
    scene.still(&before)?;

    scene.lab.kill(other)?;
    await_members(scene, member, 1)?;
    let dead = with(&good, json!({ "peer": other.address(LINKS[0]) }));
    refuse_on(scene, "dead-peer", &[member, joiner], joiner, "pve_cluster_join", &dead, &[&second])?;
    refuse_on(scene, "no-quorum", &[member, joiner], joiner, "pve_cluster_join", &good, &["quor"])?;
    scene.lab.start(other)?;
    await_members(scene, member, 2)?;

    // What was refused all the time is taken with the right password, whatever that is made of.
    let odd = "p\u{e4} s\"s'w\\o&r%+=#d{1}$";
    scene.sh(member, &format!("chpasswd <<'END'\nroot:{odd}\nEND"))?;
    scene.healthy(&[member, other])?;
    // The API of the member goes by pmxcfs, which may see the node a moment after corosync does.
    let seen = "grep -Eq '\"pve2\".*\"online\": 1' /etc/pve/.members";
    scene.sh(
        member,
        &format!("timeout 30 sh -c 'until {}; do sleep 0.1; done'", seen.replace('\'', "'\\''")),
    )?;
    must(scene, "odd-password", joiner, "pve_cluster_join", &with(&good, json!({ "password": odd })))?;
    scene.healthy(&cast.all())
}

/// Admissions that must be refused by a member, and joins that the joiner itself must refuse.
pub fn brokered_joins(scene: &Scene<'_>) -> Result<()> {
    let cast = Cast::gather(scene)?;
    let Cast { member, other, joiner } = cast;
    let (absent, second) = (LINKS[0].address(99), other.address(LINKS[0]));
    let far = json!([{ "number": 0, "address": absent }, { "number": 1, "address": LINKS[1].address(99) }]);
    let taken = json!([{ "number": 0, "address": other.address(LINKS[0]) }, { "number": 1, "address": joiner.address(LINKS[1]) }]);
    let single = json!([{ "number": 0, "address": joiner.address(LINKS[0]) }]);
    let cases = [
        ("name-clash", json!({ "name": "pve2" }), vec!["pve2"]),
        ("address-clash", json!({ "links": taken }), vec![&second, "pve2"]),
        ("taken-nodeid", json!({ "nodeid": 1 }), vec!["node id 1", "pve1"]),
        ("links-differ", json!({ "links": single }), vec!["pve3", "links [0]", "[0, 1]"]),
    ];
    for (name, admitted, words) in cases {
        let before = scene.untouched(&cast.all())?;
        let run = scene.tasks(name, brokered(member, joiner, &admitted), &[])?;
        refused(&run, &words, LIMIT).with_context(|| name.to_owned())?;
        scene.still(&before).with_context(|| name.to_owned())?;
    }
    let join = json!({ "cluster_name": CLUSTER, "method": "brokered", "material": "bm8gbWF0ZXJpYWw=" });
    let local = with(&join, json!({ "links": far }));
    refuse(scene, "link-not-local", &cast, joiner, "pve_cluster_join", &local, &[&absent])?;
    let garbled = with(&join, json!({ "links": links(joiner) }));
    refuse(scene, "garbled-material", &cast, joiner, "pve_cluster_join", &garbled, &["material"])?;
    guests(scene, &cast, "guests-brokered", &garbled)?;

    let create = json!({ "cluster_name": "elsewhere", "links": links(member) });
    refuse(scene, "create-on-member", &cast, member, "pve_cluster_create", &create, &["elsewhere", CLUSTER])?;
    let create = json!({ "cluster_name": "much-too-long-a-name", "links": links(joiner) });
    refuse(scene, "create-long-name", &cast, joiner, "pve_cluster_create", &create, &["15"])?;
    let create = json!({ "cluster_name": "second", "links": far });
    refuse(scene, "create-not-local", &cast, joiner, "pve_cluster_create", &create, &[&absent])
}

/// A guest's configuration on the joiner, then none again.
fn guests(scene: &Scene<'_>, cast: &Cast, name: &'static str, args: &Value) -> Result<()> {
    scene.sh(cast.joiner, "echo 'memory: 512' >/etc/pve/nodes/pve3/qemu-server/107.conf")?;
    refuse(scene, name, cast, cast.joiner, "pve_cluster_join", args, &["107", "guest"])?;
    scene.sh(cast.joiner, "rm /etc/pve/nodes/pve3/qemu-server/107.conf").map(drop)
}

fn refuse(
    scene: &Scene<'_>,
    name: &str,
    cast: &Cast,
    on: Node,
    module: &str,
    args: &Value,
    words: &[&str],
) -> Result<()> {
    refuse_on(scene, name, &cast.all(), on, module, args, words)
}

fn refuse_on(
    scene: &Scene<'_>,
    name: &str,
    watched: &[Node],
    on: Node,
    module: &str,
    args: &Value,
    words: &[&str],
) -> Result<()> {
    let before = scene.untouched(watched)?;
    let run = scene.task(name, on, module, args, &[])?;
    refused(&run, words, LIMIT).with_context(|| name.to_owned())?;
    scene.still(&before).with_context(|| name.to_owned())
}
