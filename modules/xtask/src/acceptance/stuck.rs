//! The stuck states of the golden files, made as they came about there. recover.yml names each; what it prints for a person is
//! then carried out word for word, and what it applies is proven with corosync's own tools.
//!
//! | golden files | how it is made here | what recover.yml says | what brings it back |
//! |---|---|---|---|
//! | 03 link0-not-local | `pvecm create` on an address of nobody | `address-not-local` | printed: reset.yml, then site.yml |
//! | 03 link0-unresolvable | `pvecm create` on a name that nobody knows | `address-not-local`, `no-quorum` | printed: the same |
//! | 07 nodeid-taken, the member's corosync started anew | `pvecm add --nodeid` of the only member, restart | `duplicate-nodeid`, `no-quorum` | printed: the list without it, then rejoin.yml |
//! | 07 nodeid-taken | `pvecm add --nodeid` of one of three | `duplicate-nodeid` | printed: rejoin.yml, which stops nobody |
//! | 14, 17 removed while off | `recover`: off, `delnode`, on | `removed` | printed: rejoin.yml |
//! | 15 no quorum | all others lose their power for good | `no-quorum`, `unreachable` | printed: `pvecm expected`, `pvecm delnode` |
//! | 15, a partition | `recover`: links dropped | `cut-off` | a person mends the network |
//! | 17 delnode of an online node | `pvecm delnode` | `removed` | printed: remove.yml |
//! | 18 separated without reinstall | its commands | `half-member`, `remnants` | printed: rejoin.yml |
//! | 19 the same name installed anew | the node is made anew, and listed | `half-member` | printed: rejoin.yml |
//! | 19, 21 a joiner that never came | `pvesh create …/nodes/X` on a cluster of one | `no-quorum`, `half-member` | printed: `pvecm expected`, `pvecm delnode` |
//! | the same, admitted by us | `pve_cluster_member` | the same | applied, since its journal shows it |
//! | 22 older corosync.conf | a joiner is given the list before the last | `unreachable`, then `older-configuration`, `incomplete-member` | its console as printed, then applied |
//! | 30/07 no certificate | the certificate is removed | `incomplete-member` | applied |
//! | 40 garbage as corosync.conf | written and renamed | `broken-configuration` | printed: the good one with a higher version |

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::credentials::links;
use super::form::await_members;
use super::play::Run;
use super::recover::{apply, named, tell};
use super::scene::{PASSWORD, Scene};
use crate::lab::{LINKS, Node};
use crate::oracle;

const CLUSTER: &str = "sddc-cluster";
const MEMBER: &str = "timeout 60 sh -c 'until corosync-quorumtool -s | grep -q \"Quorate:.*Yes\" && echo >/etc/pve/ready; do sleep 0.3; done'; \
     rm /etc/pve/ready";

/// Clusters of one that went wrong when they were made, or when their second node came.
pub fn creations(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    nowhere(scene, &nodes)?;
    waits(scene, &nodes)?;
    taken_by_the_second(scene, &nodes)
}

/// Clusters of several.
pub fn members(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.formed(3)?;
    scene.lab.up(4)?;
    let all = Node::first(4);
    taken(scene, &nodes, &all)?;
    certificate(scene, &all)?;
    garbage(scene, &all)?;
    deleted_online(scene, &nodes, &all)?;
    hangs(scene, &all)?;
    separated(scene, &all)?;
    anew(scene, &all)?;
    alone(scene, &all)
}

/// The words are printed, and a playbook is played as they say.
fn play_printed(scene: &Scene<'_>, told: &Run, words: &str) -> Result<()> {
    named(told, &[&format!("playbooks/{words}")])?;
    let (playbook, args) = words.split_once(' ').context("no arguments")?;
    // Logs of plays of one name are to differ.
    let label = format!("{}-{}", playbook.trim_end_matches(".yml"), told.output.len());
    scene.play(playbook, &label).args(args.split(' ')).succeed().map(drop)
}

/// A command as it is printed between two texts, which Ansible prints as JSON.
fn printed(told: &Run, from: &str, to: &str) -> Result<String> {
    let text = told.output.replace("\\\"", "\u{1}").replace("\\\\", "\\");
    let start = text.find(from).with_context(|| format!("{from:?} is not told: {text}"))? + from.len();
    let end = text[start..].find(to).with_context(|| format!("no {to:?} after {from:?}: {text}"))?;
    Ok(text[start..start + end].replace('\u{1}', "\""))
}

fn options(node: Node) -> String {
    let link = |at: usize| format!("--link{at} {}", node.address(LINKS[at]));
    format!("{} {}", link(0), link(1))
}

/// By hand, as a person would.
fn create(scene: &Scene<'_>, node: Node) -> Result<()> {
    scene.sh(node, &format!("pvecm create {CLUSTER} {} && {MEMBER}", options(node))).map(drop)
}

/// `pvecm add` with root's password, as a person would; it says 0 whatever comes of it.
fn add(scene: &Scene<'_>, joiner: Node, member: Node, more: &str) -> Result<()> {
    let certificate = format!("/etc/pve/nodes/{member}/pve-ssl.pem");
    let print = scene.sh(member, &format!("openssl x509 -noout -fingerprint -sha256 -in {certificate}"))?;
    let print = print.trim().split('=').nth(1).context("no fingerprint")?.to_owned();
    let (address, links) = (member.address(LINKS[0]), options(joiner));
    scene.sh(
        joiner,
        &format!("echo '{PASSWORD}' | timeout 100 pvecm add {address} --fingerprint {print} {links} {more}"),
    )?;
    // Who was logged in would stay.
    scene.sh(joiner, "pkill sshd-session; true").map(drop)
}

/// A join by hand took root's keys away: it is told how to get in, and that works.
fn by_console(scene: &Scene<'_>, label: &str, node: Node, nodes: &[Node]) -> Result<()> {
    let told = tell(scene, label, nodes)?;
    named(
        &told,
        &[
            &format!("{node} [unreachable]"),
            "on its console, put your public key into /root/.ssh/authorized_keys2",
        ],
    )?;
    let key = scene.lab.public_key()?;
    scene.sh(node, &format!("echo 'ssh-ed25519 {key}' >>/root/.ssh/authorized_keys2")).map(drop)
}

/// 03: nobody reaches the cluster's only address.
fn nowhere(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let first = nodes[0];
    for (label, address) in [("not-local", LINKS[0].address(99)), ("unresolvable", "nosuchhost".to_owned())] {
        scene.sh(first, &format!("pvecm create {CLUSTER} --link0 {address}"))?;
        let run = scene.play("site.yml", &format!("site-{label}")).run()?;
        ensure!(!run.is_success, "others joined a cluster that nobody reaches");
        let told = tell(scene, label, nodes)?;
        named(&told, &["pve1 [address-not-local]", &address])?;
        ensure!(
            !told.output.contains("safe to apply"),
            "{label}: something is said to be safe: {}",
            told.output
        );
        play_printed(scene, &told, &format!("reset.yml -e pve_reset_confirm={CLUSTER}"))?;
        let left = scene.sh(first, oracle::OF_A_CLUSTER)?;
        ensure!(left.is_empty(), "{label}: {left} is left");
        println!("  {label}: taken apart as printed");
    }
    Ok(())
}

/// 21: a cluster of one has admitted a node, waits for it, and has no quorum.
fn waits(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let (first, second) = (nodes[0], nodes[1]);
    create(scene, first)?;
    let admit = format!("pvesh create /cluster/config/nodes/{second} {} --apiversion 1", options(second));
    scene.sh(first, &admit)?;
    // pmxcfs shows modes without the right to write a moment after corosync has lost quorum.
    let is_waiting = "timeout 30 sh -c 'while corosync-quorumtool -s | grep -q \"Quorate:.*Yes\" || \
                      test $(stat -c %a /etc/pve/corosync.conf) != 440; do sleep 0.3; done'";
    scene.sh(first, is_waiting)?;
    named(&tell(scene, "waits", nodes)?, &["[no-quorum]", "pve2 [half-member]"])?;
    let run = scene.play("recover.yml", "apply-waits").args(["-e", "pve_recover=apply"]).run()?;
    ensure!(!run.is_success, "a node was taken off a list that somebody else had put it on");
    named(&run, &["no record of this node shows that it was alone before", "pvecm delnode pve2"])?;
    let command = printed(&run, "partition: on pve1 ", "\"")?;
    // Once more where pmxcfs has not seen yet that corosync has quorum again.
    scene
        .sh(first, &format!("timeout 30 sh -c 'until {command}; do sleep 0.5; done'"))
        .with_context(|| command.clone())?;
    scene.sh(first, MEMBER)?;
    scene.healthy(&nodes[..1])?;
    println!("  waits, admitted by hand: {command}");

    let newcomer = json!({ "name": second.name(), "links": links(second),
        "public_key": "{{ hostvars['pve2'].request.join_request.public_key }}" });
    let plays = json!([
        { "hosts": "pve2", "gather_facts": false, "tasks": [{ "name": "request", "register": "request",
            "sddc.pve.pve_cluster_join": { "cluster_name": CLUSTER, "state": "requested" } }] },
        { "hosts": "pve1", "gather_facts": false, "tasks": [{ "name": "admit",
            "sddc.pve.pve_cluster_member": { "cluster_name": CLUSTER, "nodes": [newcomer] } }] }
    ]);
    let run = scene.tasks("admit-and-forget", plays, &[])?;
    ensure!(run.is_success, "not admitted: {}", run.messages());
    scene.sh(first, is_waiting)?;
    named(&tell(scene, "waits-for-us", nodes)?, &["[no-quorum]", "pve2 [half-member]", "safe to apply"])?;
    apply(scene, "waits-for-us", &nodes[..1])
}

/// 07: the second node takes the id of the first, whose corosync is then started anew.
fn taken_by_the_second(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let (first, second) = (nodes[0], nodes[1]);
    add(scene, second, first, "--nodeid 1")?;
    scene.sh(first, "systemctl restart corosync; test $(systemctl is-active corosync) = failed")?;
    by_console(scene, "both-broken-unreachable", second, nodes)?;
    let told = tell(scene, "both-broken", nodes)?;
    named(&told, &["[no-quorum]", "pve2 [duplicate-nodeid]"])?;
    let list = printed(&told, "on every node but pve2: ", "; when they are quorate")?;
    // Whatever a user has Ansible print it in.
    let yaml =
        scene.play("recover.yml", "both-broken-yaml").env("ANSIBLE_CALLBACK_RESULT_FORMAT", "yaml").run()?;
    named(&yaml, &[&list])?;
    scene.sh(first, &list).with_context(|| list.clone())?;
    await_members(scene, first, 1)?;
    let shared = printed(&told, "quorate, on one of them: ", "; then playbooks")?;
    scene
        .sh(first, &format!("timeout 30 sh -c 'until ({shared}) 2>/dev/null; do sleep 0.5; done'"))
        .with_context(|| shared.clone())?;
    scene.sh(first, MEMBER)?;
    play_printed(scene, &told, "rejoin.yml -e pve_rejoin=pve2")?;
    scene.healthy(nodes)?;
    println!("  both sides broken: {list}");
    Ok(())
}

/// 07: a fourth node takes the id of the third.
fn taken(scene: &Scene<'_>, nodes: &[Node], all: &[Node]) -> Result<()> {
    let last = all[3];
    let id = scene.sh(nodes[2], "corosync-quorumtool -s | sed -n 's/^Node ID: *//p'")?;
    add(scene, last, nodes[0], &format!("--nodeid {}", id.trim()))?;
    by_console(scene, "taken-unreachable", last, all)?;
    let told = tell(scene, "taken", all)?;
    named(&told, &["pve4 [duplicate-nodeid]", "that of pve3"])?;
    play_printed(scene, &told, "rejoin.yml -e pve_rejoin=pve4")?;
    scene.healthy(all)?;
    println!("  a taken node id: joined anew as printed");
    Ok(())
}

/// 30/07: a member without certificate.
fn certificate(scene: &Scene<'_>, all: &[Node]) -> Result<()> {
    scene.sh(all[3], "rm /etc/pve/nodes/pve4/pve-ssl.pem /etc/pve/nodes/pve4/pve-ssl.key")?;
    named(&tell(scene, "certificate", all)?, &["pve4 [incomplete-member]", "safe to apply"])?;
    apply(scene, "certificate", all)?;
    scene
        .sh(all[0], "openssl verify -CAfile /etc/pve/pve-root-ca.pem /etc/pve/nodes/pve4/pve-ssl.pem")
        .map(drop)
}

/// 40: something that is no configuration was renamed to corosync.conf.
fn garbage(scene: &Scene<'_>, all: &[Node]) -> Result<()> {
    let version = scene.config_version(all[0])?;
    scene.sh(
        all[1],
        "echo garbage >/etc/pve/corosync.conf.new; mv /etc/pve/corosync.conf.new /etc/pve/corosync.conf",
    )?;
    let told = tell(scene, "garbage", all)?;
    named(&told, &["pve1 [broken-configuration]", "pve4 [broken-configuration]"])?;
    ensure!(!told.output.contains("[remnants]"), "members are taken for former ones: {}", told.output);
    let command = printed(&told, "is good still: ", "; where /etc/pve")?;
    scene.sh(all[0], &command).with_context(|| command.clone())?;
    scene.healthy(all)?;
    ensure!(scene.config_version(all[3])? > version, "the version is {version} still");
    println!("  garbage: {command}");
    Ok(())
}

/// 17: taken off the list while it was online, so its corosync is killed and its configuration is the old one.
fn deleted_online(scene: &Scene<'_>, nodes: &[Node], all: &[Node]) -> Result<()> {
    scene.sh(nodes[0], "pvecm delnode pve4")?;
    await_members(scene, nodes[0], 3)?;
    let told = tell(scene, "deleted-online", all)?;
    named(&told, &["pve4 [removed]"])?;
    play_printed(scene, &told, "remove.yml -e pve_remove=pve4")?;
    scene.healthy(nodes)?;
    let left = scene.sh(all[3], oracle::OF_A_CLUSTER)?;
    ensure!(left.is_empty(), "{left} is left on pve4");
    let well = scene.play("recover.yml", "deleted-online-well").succeed()?;
    ensure!(!well.output.contains("by hand"), "something is wrong still: {}", well.output);
    println!("  deleted while online: removed as printed");
    Ok(())
}

/// 22: of two that were admitted at one moment, one was given the list without the other.
fn hangs(scene: &Scene<'_>, all: &[Node]) -> Result<()> {
    let (first, last) = (all[0], all[3]);
    scene
        .sh(first, &format!("pvesh create /cluster/config/nodes/{last} {} --apiversion 1", options(last)))?;
    let older = scene.sh(first, "base64 -w0 /etc/pve/corosync.conf")?;
    let key = scene.sh(first, "base64 -w0 /etc/corosync/authkey")?;
    let raise = "perl -pe 's/(?<=config_version: )[0-9]+/$&+1/e' /etc/pve/corosync.conf >/etc/pve/corosync.conf.new \
                 && mv /etc/pve/corosync.conf.new /etc/pve/corosync.conf";
    scene.sh(first, raise)?;
    // What PVE does of it by itself: root's keys go to /etc/pve, the database goes, corosync and pmxcfs start.
    scene.sh(
        last,
        &format!(
            "systemctl stop pve-cluster; rm -f /var/lib/pve-cluster/config.db*; mkdir -p /etc/corosync; \
             ln -sf /etc/pve/priv/authorized_keys /root/.ssh/authorized_keys; rm -f /root/.ssh/authorized_keys2; \
             echo {key} | base64 -d >/etc/corosync/authkey; chmod 0400 /etc/corosync/authkey; \
             echo {older} | base64 -d >/etc/corosync/corosync.conf; systemctl start corosync pve-cluster; \
             pkill sshd-session; true"
        ),
    )?;
    // It ends a moment after it has seen the others' version.
    scene.sh(
        last,
        "timeout 60 sh -c 'until test $(systemctl is-active corosync) = failed; do sleep 0.3; done'",
    )?;
    by_console(scene, "hangs-unreachable", last, all)?;
    named(&tell(scene, "hangs", all)?, &["pve4 [older-configuration]", "safe to apply"])?;
    apply(scene, "hangs", all)?;
    scene
        .sh(first, "openssl verify -CAfile /etc/pve/pve-root-ca.pem /etc/pve/nodes/pve4/pve-ssl.pem")
        .map(drop)
}

/// 18: separated by hand as the manual says, and listed still.
fn separated(scene: &Scene<'_>, all: &[Node]) -> Result<()> {
    scene.sh(
        all[3],
        "systemctl stop pve-cluster corosync; pmxcfs -l; rm /etc/pve/corosync.conf; rm -r /etc/corosync/*; \
         killall pmxcfs; timeout 20 sh -c 'while pgrep -x pmxcfs >/dev/null; do sleep 0.2; done'; \
         systemctl start pve-cluster; rm -f /var/lib/corosync/*",
    )?;
    await_members(scene, all[0], 3)?;
    let told = tell(scene, "separated", all)?;
    named(&told, &["pve4 [half-member]", "pve4 [remnants]"])?;
    let run = scene.play("recover.yml", "apply-separated").args(["-e", "pve_recover=apply"]).run()?;
    ensure!(!run.is_success, "a former member was taken for one that never came up");
    play_printed(scene, &run, "rejoin.yml -e pve_rejoin=pve4")?;
    scene.healthy(all)?;
    println!("  separated by hand: joined anew as printed");
    Ok(())
}

/// 19: installed anew under its name.
fn anew(scene: &Scene<'_>, all: &[Node]) -> Result<()> {
    scene.lab.reset(&all[3..])?;
    await_members(scene, all[0], 3)?;
    let told = tell(scene, "anew", all)?;
    named(&told, &["pve4 [half-member]"])?;
    let run = scene.play("recover.yml", "apply-anew").args(["-e", "pve_recover=apply"]).run()?;
    ensure!(!run.is_success, "a former member was taken for one that never came up");
    named(&run, &["has been a member"])?;
    play_printed(scene, &run, "rejoin.yml -e pve_rejoin=pve4")?;
    scene.healthy(all)?;
    println!("  installed anew: joined as printed");
    Ok(())
}

/// 15: the others are gone for good, which only a person knows.
fn alone(scene: &Scene<'_>, all: &[Node]) -> Result<()> {
    let first = all[0];
    for node in &all[1..] {
        scene.lab.kill(*node)?;
    }
    await_members(scene, first, 1)?;
    let told = scene.play("recover.yml", "alone").run()?;
    named(&told, &["[no-quorum]", "pve4 [unreachable]"])?;
    let command = printed(&told, "partition: on pve1 ", "\"")?;
    scene.sh(first, &command).with_context(|| command.clone())?;
    scene.sh(first, MEMBER)?;
    scene.healthy(&all[..1])?;
    println!("  alone: {command}");
    // For good: with their old configurations they would be a cluster of their own.
    scene.lab.reset(&all[1..])?;
    scene.site("form-again", &[])?;
    scene.healthy(all)
}
