//! Broken clusters: recover.yml names each stuck state, changes nothing by itself, and told to it brings back those that
//! can be brought back without guessing. Proven with corosync's own tools.

use anyhow::{Result, ensure};
use serde_json::json;

use super::credentials::links;
use super::form::await_members;
use super::play::Run;
use super::scene::Scene;
use crate::lab::{LINKS, Node};

const CLUSTER: &str = "sddc-cluster";
/// The same configuration with a higher config version.
const RAISE: &str = "sed 's/config_version: \\([0-9]*\\)/config_version: 9\\1/' /etc/pve/corosync.conf >/etc/pve/corosync.conf.new \
                     && mv /etc/pve/corosync.conf.new /etc/pve/corosync.conf";

/// One stuck state after the other.
pub fn all(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.formed(3)?;
    let healthy = tell(scene, "healthy", &nodes)?;
    ensure!(
        !healthy.output.contains("by hand") && !healthy.output.contains("safe to apply"),
        "a healthy cluster is ill"
    );
    behind(scene, &nodes)?;
    killed(scene, &nodes)?;
    no_quorum(scene, &nodes)?;
    partition(scene, &nodes)?;
    removed(scene, &nodes)?;
    services(scene, &nodes)?;
    older(scene, &nodes)?;
    half(scene, &nodes)
}

/// Tells, and changes nothing.
pub(super) fn tell(scene: &Scene<'_>, label: &str, nodes: &[Node]) -> Result<Run> {
    let before = scene.untouched(nodes)?;
    let run = scene.play("recover.yml", &format!("tell-{label}")).succeed()?;
    ensure!(run.changed.is_empty(), "telling changed something: {:?}", run.changed);
    scene.still(&before)?;
    Ok(run)
}

pub(super) fn named(run: &Run, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(run.output.contains(word), "{word:?} is not told: {}", run.output);
    }
    Ok(())
}

/// Applies, after which the nodes are one healthy cluster, and a second run changes nothing.
pub(super) fn apply(scene: &Scene<'_>, label: &str, nodes: &[Node]) -> Result<()> {
    let apply = |label: &str| scene.play("recover.yml", label).args(["-e", "pve_recover=apply"]).run();
    let run = apply(&format!("apply-{label}"))?;
    ensure!(run.is_success, "{label}: {}", run.messages());
    scene.healthy(nodes)?;
    let again = apply(&format!("again-{label}"))?;
    ensure!(
        again.is_success && again.changed.is_empty(),
        "{label}: the second run changed {:?}",
        again.changed
    );
    println!("  {label}: brought back");
    Ok(())
}

fn services(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    scene.sh(nodes[1], "systemctl kill --signal=KILL corosync; systemctl stop pveproxy corosync")?;
    await_members(scene, nodes[0], 2)?;
    named(&tell(scene, "services", nodes)?, &["pve2 [service-down]", "systemctl start corosync pveproxy"])?;
    apply(scene, "services", nodes)
}

/// The file came to a member after all corosyncs were told to read it: its own runs with the older one, and is joined.
fn behind(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let (first, late) = (nodes[0], nodes[1]);
    let file = "/etc/corosync/corosync.conf";
    scene.sh(late, &format!("cp {file} /root/older.conf && mount --bind /root/older.conf {file}"))?;
    scene.sh(first, RAISE)?;
    let version = scene.config_version(first)?;
    let runs = |node: &str| {
        format!(
            "corosync-cmapctl runtime.members | grep -F 'members.{node}.config_version' | grep -q ' {version}$'"
        )
    };
    scene.sh(first, &format!("timeout 30 sh -c \"until {}; do sleep 0.2; done\"", runs("1")))?;
    scene.sh(late, &format!("umount {file} && cat /etc/pve/corosync.conf >{file}"))?;
    ensure!(scene.sh(first, &runs("2")).is_err(), "corosync of {late} has the new file");
    named(&tell(scene, "behind", nodes)?, &["pve2 [not-reloaded]", "safe to apply: corosync-cfgtool -R"])?;
    apply(scene, "behind", nodes)?;
    scene.sh(first, &runs("2")).map(drop)
}

/// The state of golden 22: a node has an older corosync.conf than the quorate members, and corosync keeps it out.
fn older(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let last = nodes[2];
    scene.lab.stop(last)?;
    await_members(scene, nodes[0], 2)?;
    scene.sh(nodes[0], RAISE)?;
    scene.lab.start(last)?;
    await_members(scene, nodes[0], 2)?;
    // It ends a moment after it has seen the others' version.
    scene.sh(
        last,
        "timeout 60 sh -c 'until test $(systemctl is-active corosync) = failed; do sleep 0.3; done'",
    )?;
    named(&tell(scene, "older", nodes)?, &["pve3 [older-configuration]", "safe to apply"])?;
    apply(scene, "older", nodes)?;
    let version = |node: Node| scene.config_version(node);
    ensure!(version(last)? == version(nodes[0])?, "the versions differ still");
    Ok(())
}

/// An operation that was cut off, holding the cluster's lock.
fn killed(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let member = nodes[0];
    let strike = "timeout 400 sh -c 'until grep -l running /var/lib/sddc-pve/operations/*.json | xargs -r grep -l \"admit pve7\" | grep -q .; do sleep 0.02; done'; \
                  systemctl kill --signal=KILL sddc-pve-operation.service";
    let newcomer = json!({ "name": "pve7", "public_key": "{{ request.join_request.public_key }}",
        "links": [{ "number": 0, "address": nodes[2].address(LINKS[0]).replace(".13", ".17") },
                  { "number": 1, "address": nodes[2].address(LINKS[1]).replace(".13", ".17") }] });
    let play = json!([{ "hosts": member.name(), "gather_facts": false, "tasks": [
        { "name": "request", "sddc.pve.pve_cluster_join": { "cluster_name": CLUSTER, "state": "requested" }, "register": "request" },
        { "name": "admit", "sddc.pve.pve_cluster_member": { "cluster_name": CLUSTER, "nodes": [newcomer] } }
    ]}]);
    std::thread::scope(|threads| {
        let admission = threads.spawn(|| scene.tasks("admit", play, &[]));
        scene.sh(member, strike)?;
        admission.join().map_err(|_| anyhow::anyhow!("the admission's thread panicked"))?
    })?;
    let locks = scene.sh(member, "ls /etc/pve/priv/lock")?;
    ensure!(locks.contains("sddc-pve-nodelist"), "the killed admission holds no lock: {locks}");
    named(&tell(scene, "killed", nodes)?, &["pve1 [unfinished-operation] admit of pve7"])?;
    // pvesh goes on, or died with it: in either case nobody of that name ever comes up.
    let run = scene.play("recover.yml", "apply-killed").args(["-e", "pve_recover=apply"]).run()?;
    named(&run, &["had been cut off"])?;
    let locks = scene.sh(member, "ls /etc/pve/priv/lock")?;
    ensure!(!locks.contains("sddc-pve-nodelist"), "the lock is held still: {locks}");
    let absent = json!({ "cluster_name": CLUSTER, "state": "absent", "nodes": [{ "name": "pve7", "proven_stopped": true }] });
    let gone = scene.task("withdraw-pve7", member, "pve_cluster_member", &absent, &[])?;
    ensure!(gone.is_success, "pve7 can't be withdrawn: {}", gone.messages());
    scene.healthy(nodes)
}

/// A node of the inventory was admitted and never came up.
fn half(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    scene.lab.up(4)?;
    let joiner = Node::first(4)[3];
    let words: Vec<String> = links(joiner)
        .as_array()
        .into_iter()
        .flatten()
        .map(|link| format!("--link{} {}", link["number"], link["address"].as_str().unwrap_or_default()))
        .collect();
    scene.sh(
        nodes[0],
        &format!("pvesh create /cluster/config/nodes/{joiner} {} --apiversion 1", words.join(" ")),
    )?;
    let all = Node::first(4);
    named(&tell(scene, "half", &all)?, &["pve4 [half-member]", "safe to apply"])?;
    apply(scene, "half", nodes)?;
    let conf = scene.sh(nodes[0], "cat /etc/pve/corosync.conf; ls /etc/pve/nodes")?;
    ensure!(!conf.contains("pve4"), "the half member is listed still: {conf}");
    scene.site("fourth-joins", &[])?;
    scene.healthy(&all)
}

/// Two of three have no power: nothing is safe, and the commands are printed for a person.
fn no_quorum(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    for node in &nodes[1..] {
        scene.lab.kill(*node)?;
    }
    await_members(scene, nodes[0], 1)?;
    let told = scene.play("recover.yml", "no-quorum").run()?;
    named(&told, &["[no-quorum]", "pvecm expected 1", "pvecm delnode pve3", "pve2 [unreachable]"])?;
    let before = scene.untouched(&nodes[..1])?;
    let run = scene.play("recover.yml", "apply-no-quorum").args(["-e", "pve_recover=apply"]).run()?;
    ensure!(!run.is_success && run.changed.is_empty(), "something was changed: {:?}", run.changed);
    scene.still(&before)?;
    for node in &nodes[1..] {
        scene.lab.start(*node)?;
    }
    scene.healthy(nodes)
}

/// A node that is cut off on both links, and reached by the controller no more either.
fn partition(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let last = nodes[2];
    let drop = |verb: &str| {
        format!(
            "for port in 5405 5406; do iptables {verb} INPUT -p udp --dport $port -j DROP; iptables {verb} OUTPUT -p udp --dport $port -j DROP; done"
        )
    };
    scene.sh(last, &drop("-A"))?;
    await_members(scene, nodes[0], 2)?;
    await_members(scene, last, 1)?;
    named(&tell(scene, "partition", nodes)?, &["pve3 [cut-off]", "by hand: mend the network"])?;
    let run = scene.play("recover.yml", "apply-partition").args(["-e", "pve_recover=apply"]).run()?;
    ensure!(!run.is_success && run.changed.is_empty(), "something was changed: {:?}", run.changed);
    scene.sh(last, &drop("-D"))?;
    scene.healthy(nodes)
}

/// The state of golden 17: removed by hand while it was off, and booted again.
fn removed(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let last = nodes[2];
    scene.lab.kill(last)?;
    await_members(scene, nodes[0], 2)?;
    scene.sh(nodes[0], "pvecm delnode pve3")?;
    scene.lab.start(last)?;
    named(&tell(scene, "removed", nodes)?, &["pve3 [removed]", "rejoin.yml -e pve_rejoin=pve3"])?;
    scene.play("rejoin.yml", "rejoin").args(["-e", "pve_rejoin=pve3"]).succeed()?;
    scene.healthy(nodes)
}
