//! Nodes that leave: every refusal, a node without power, a removal that is killed, a removed node that comes back, and one
//! that leaves and joins again. What is left is looked for with grep and ls.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use super::form::await_members;
use super::scene::{Scene, refused, same};
use crate::lab::{LINKS, Node};
use crate::quorum_watch;

const CLUSTER: &str = "sddc-cluster";
const LIMIT: Duration = Duration::from_secs(60);
const RULES: &str = "node-affinity: near\n\tresources vm:100\n\tnodes pve1:2,pve4\n";
/// Kills the operation at a step of its journal.
const STRIKE: &str = "timeout 400 sh -c 'until grep -l running /var/lib/sddc-pve/operations/*.json | xargs -r grep -l \"STEP\" | grep -q .; do sleep 0.02; done'; \
                      systemctl kill --signal=KILL sddc-pve-operation.service";

/// Four become three.
pub fn remove(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.formed(4)?;
    let (first, gone, staying) = (nodes[0], nodes[3], &nodes[..3]);
    scene.sh(first, &format!("mkdir -p /etc/pve/ha; printf '{RULES}' >/etc/pve/ha/rules.cfg"))?;
    online(scene, &nodes)?;
    scene.lab.kill(gone)?;
    await_members(scene, first, 3)?;
    offline(scene, &nodes)?;

    ensure!(!traces(scene, first, gone)?.is_empty(), "there is nothing that could be left");
    quorum_watch::start(&scene.lab, staying, quorum_watch::OFTEN)?;
    struck(scene, first)?;
    let version = scene.config_version(first)?;
    let run = scene.play("remove.yml", "remove").args(["-e", "pve_remove=pve4"]).run()?;
    ensure!(run.is_success, "the removal failed: {}", run.messages());
    // The lock of the killed one was given back, not waited for.
    ensure!(run.elapsed < Duration::from_secs(110), "it took {:?}", run.elapsed);
    println!("  removed after kill -9 in {:.1} s, config version was {version}", run.elapsed.as_secs_f64());
    removed(scene, staying, gone)?;
    quorum_watch::proven(&scene.lab, staying)?;
    kept(scene, first)?;
    let again = scene.play("remove.yml", "again").args(["-e", "pve_remove=pve4"]).succeed()?;
    same("changes of the second run", &Vec::<String>::new(), &again.changed)?;

    // With its old configuration it finds nobody; over its own connection it is made fit to join.
    scene.lab.start(gone)?;
    await_members(scene, first, 3)?;
    let run = scene.play("remove.yml", "came-back").args(["-e", "pve_remove=pve4"]).succeed()?;
    same(
        "what changed",
        &vec!["pve4: sddc.pve.leave : Separate the node over its own connection".to_owned()],
        &run.changed,
    )?;
    scene.site("join-again", &[])?;
    scene.healthy(&nodes)
}

/// A node leaves and joins again, same name and addresses, while the others stay quorate.
pub fn rejoin(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.formed(3)?;
    let (first, leaver) = (nodes[0], nodes[2]);
    let before = scene.untouched(&nodes)?;
    let play = |label: &str, args: &[&str]| {
        scene.play("rejoin.yml", label).args(["-e", "pve_rejoin=pve3"]).args(args.iter().copied()).run()
    };
    let foretold = play("check", &["--check", "--diff"])?;
    ensure!(foretold.is_success, "the check run failed: {}", foretold.messages());
    ensure!(
        foretold.changed.iter().any(|line| line.starts_with("pve3") && line.ends_with("its own connection")),
        "the check run foretells nothing: {:?}",
        foretold.changed
    );
    scene.still(&before)?;
    let guest = "/etc/pve/nodes/pve3/qemu-server/103.conf";
    scene.sh(leaver, &format!("echo 'memory: 512' >{guest}"))?;
    refused(&play("guest", &[])?, &["[guests]", "103"], LIMIT)?;
    scene.sh(leaver, &format!("rm {guest}"))?;

    let authority = |node: Node| scene.sh(node, "sha256sum </etc/pve/pve-root-ca.pem");
    let (identity, version) = (authority(first)?, scene.config_version(first)?);
    quorum_watch::start(&scene.lab, &nodes[..2], quorum_watch::OFTEN)?;
    let run = play("rejoin", &[])?;
    ensure!(run.is_success, "it did not join again: {}", run.messages());
    println!("  left and joined again in {:.1} s", run.elapsed.as_secs_f64());
    scene.healthy(&nodes)?;
    quorum_watch::proven(&scene.lab, &nodes[..2])?;
    same("the authority that the node has", &identity, &authority(leaver)?)?;
    same("config_version", &(version + 2), &scene.config_version(leaver)?)?;
    let again = scene.site("again", &[])?;
    same("changes of site.yml", &Vec::<String>::new(), &again.changed)
}

fn absent(scene: &Scene<'_>, label: &str, on: Node, more: Value) -> Result<super::play::Run> {
    let mut args = json!({ "cluster_name": CLUSTER, "state": "absent", "nodes": [{ "name": "pve4" }] });
    if let (Some(args), Value::Object(more)) = (args.as_object_mut(), more) {
        args.extend(more);
    }
    scene.task(label, on, "pve_cluster_member", &args, &[])
}

/// What is refused while the node is up.
fn online(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let first = nodes[0];
    let before = scene.untouched(nodes)?;
    refused(&absent(scene, "online", first, json!({}))?, &["[node-online]"], LIMIT)?;
    refused(&absent(scene, "own-node", nodes[3], json!({}))?, &["[own-node]"], LIMIT)?;
    scene.still(&before)?;
    // With one member less, quorum hangs on the one that is to go; with two less there is none.
    scene.lab.kill(nodes[2])?;
    await_members(scene, first, 3)?;
    let run = scene.play("remove.yml", "forecast").args(["-e", "pve_remove=pve4"]).run()?;
    refused(&run, &["[quorum-forecast]"], LIMIT)?;
    scene.lab.kill(nodes[3])?;
    await_members(scene, first, 2)?;
    refused(&absent(scene, "no-quorum", first, json!({}))?, &["[no-quorum]", "pvecm expected 2"], LIMIT)?;
    for node in &nodes[2..] {
        scene.lab.start(*node)?;
    }
    scene.healthy(nodes)?;
    scene.sh(nodes[3], "systemctl stop corosync pve-cluster")?;
    await_members(scene, first, 3)?;
    refused(&absent(scene, "answers", first, json!({}))?, &["[node-answers]", "port 22"], LIMIT)?;
    scene.sh(nodes[3], "systemctl start corosync pve-cluster")?;
    scene.healthy(nodes)
}

/// What is refused though it is off.
fn offline(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let first = nodes[0];
    let manager =
        r#"{"node_status":{"pve4":"unknown"},"service_status":{"vm:100":{"node":"pve4","state":"fence"}}}"#;
    let address = nodes[3].address(LINKS[0]).replace(".14", ".15");
    let second = nodes[3].address(LINKS[1]).replace(".14", ".15");
    let pending =
        format!("pvesh create /cluster/config/nodes/pve5 --link0 {address} --link1 {second} --apiversion 1");
    let cases: [(&str, &str, &str, String, String); 5] = [
        (
            "guests",
            "104",
            "{}",
            "echo memory: 512 >/etc/pve/nodes/pve4/qemu-server/104.conf".into(),
            "rm /etc/pve/nodes/pve4/qemu-server/104.conf".into(),
        ),
        (
            "ha-active",
            "active",
            "{}",
            "cd /etc/pve/nodes/pve4; cp lrm_status /root/lrm; echo '{\"state\":\"active\"}' >lrm_status"
                .into(),
            "cp /root/lrm /etc/pve/nodes/pve4/lrm_status".into(),
        ),
        (
            "ha-resources",
            "vm:100",
            "{}",
            format!("echo '{manager}' >/etc/pve/ha/manager_status"),
            "rm /etc/pve/ha/manager_status".into(),
        ),
        (
            "replication",
            "100-0",
            "{}",
            "printf 'local: 100-0\\n\\ttarget pve4\\n' >/etc/pve/replication.cfg".into(),
            "rm /etc/pve/replication.cfg".into(),
        ),
        ("pending-admission", "pve5", "{}", pending, "pvecm delnode pve5; rm -r /etc/pve/nodes/pve5".into()),
    ];
    for (id, word, args, make, take_back) in cases {
        scene.sh(first, &make).context(id)?;
        let run = absent(scene, id, first, serde_json::from_str(args)?)?;
        refused(&run, &[&format!("[{id}]"), word], LIMIT)?;
        if id == "replication" {
            let run = scene.task(
                "replication-ignored",
                first,
                "pve_cluster_member",
                &json!({ "cluster_name": CLUSTER, "state": "absent", "nodes": [{ "name": "pve4" }], "ignore": [id] }),
                &["--check", "--diff"],
            )?;
            ensure!(run.is_success, "replication can't be ignored: {}", run.messages());
        }
        scene.sh(first, &take_back).context(id)?;
    }
    Ok(())
}

/// The removal's process is killed while pvecm is at work.
fn struck(scene: &Scene<'_>, member: Node) -> Result<()> {
    thread::scope(|threads| {
        let play = threads.spawn(|| scene.play("remove.yml", "struck").args(["-e", "pve_remove=pve4"]).run());
        scene.sh(member, &STRIKE.replace("STEP", "take pve4 off the list"))?;
        let run = play.join().map_err(|_| anyhow!("the play's thread panicked"))??;
        ensure!(!run.is_success, "the removal succeeded though its process was killed");
        let held = scene.sh(member, "ls /etc/pve/priv/lock")?;
        ensure!(held.contains("sddc-pve-nodelist"), "the killed operation holds no lock: {held}");
        Ok(())
    })
}

/// Files that name a node or an address of it, but pmxcfs's own, the names that node_prepare keeps, and logs.
fn traces(scene: &Scene<'_>, on: Node, of: Node) -> Result<String> {
    let words: String = [LINKS[0], LINKS[1]]
        .iter()
        .map(|link| format!(" -e {}", of.address(*link).replace('.', "\\.")))
        .collect();
    scene.sh(
        on,
        &format!(
            "ls -d /etc/pve/nodes/{of} 2>/dev/null; grep -rlsw -e {of}{words} /etc/pve /etc/corosync /root/.ssh /etc/ssh \
             | grep -v '/etc/pve/\\.' || true"
        ),
    )
}

/// Nothing is left of it on any member, and they are one cluster.
fn removed(scene: &Scene<'_>, staying: &[Node], gone: Node) -> Result<()> {
    scene.healthy(staying)?;
    let versions: Vec<u64> = staying.iter().map(|node| scene.config_version(*node)).collect::<Result<_>>()?;
    ensure!(versions.iter().all(|version| *version == versions[0]), "config versions differ: {versions:?}");
    for node in staying {
        let left = traces(scene, *node, gone)?;
        ensure!(left.is_empty(), "{node} still has\n{left}");
        let keys = scene.sh(*node, "cat /root/.ssh/authorized_keys")?;
        for other in staying {
            ensure!(keys.contains(&format!("root@{other}")), "the key of {other} is gone on {node}");
        }
        let unended = scene
            .sh(*node, "cat /var/lib/sddc-pve/operations/*.json | grep -c '\"state\":\"running\"' || true")?;
        ensure!(unended.trim() == "0", "an operation is left unended on {node}");
        let votes = scene.sh(*node, "corosync-quorumtool -s | grep 'Expected votes'")?;
        ensure!(votes.trim().ends_with('3'), "{node}: {votes}");
    }
    let rules = scene.sh(staying[0], "cat /etc/pve/ha/rules.cfg")?;
    same("HA rules", &RULES.replace("pve1:2,pve4", "pve1:2"), &rules)
}

/// The copy has all that went, for root only; the trail has both attempts.
fn kept(scene: &Scene<'_>, member: Node) -> Result<()> {
    let copies = scene
        .sh(member, "cd /var/lib/sddc-pve/removed && stat -c '%a %U %n' *.tar.gz && tar tzf *.tar.gz")?;
    ensure!(copies.starts_with("600 root "), "the copy is open: {copies}");
    for file in ["etc/pve/nodes/pve4/pve-ssl.key", "etc/pve/nodes/pve4/pve-ssl.pem"] {
        ensure!(copies.contains(file), "{file} is not in the copy: {copies}");
    }
    let audit = scene.sh(member, "grep '\"operation\":\"remove\"' /var/log/pve-cluster-audit.jsonl")?;
    ensure!(
        audit.contains("\"refused\"") && audit.contains("\"succeeded\""),
        "the trail does not tell: {audit}"
    );
    Ok(())
}
