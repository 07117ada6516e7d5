//! Access and connections: who can log in during and after a join, and what becomes of a join whose controller or
//! process dies.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};

use super::scene::{Scene, same};
use crate::command::Cmd;
use crate::lab::{LINKS, Node};

const UNIT: &str = "sddc-pve-operation.service";

/// Keys that only the joiner authorises let in before, during and after a join that succeeds and one that fails,
/// and let in nowhere else.
pub fn keys_survive(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let (member, joiner) = (nodes[0], nodes[1]);
    let key = scene.dir().join("joiner-only");
    Cmd::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "joiner-only", "-f"])
        .arg(&key)
        .read()?;
    let public = fs::read_to_string(key.with_extension("pub"))?;
    let authorise = format!("echo '{}' >>/root/.ssh/authorized_keys", public.trim());
    scene.sh(joiner, &authorise)?;
    ensure!(lets_in(scene, &key, joiner), "the key does not work before the join");

    let (run, denied) = watched(scene, &key, joiner, || scene.site("join", &["--limit", "pve1,pve2,pve3"]))?;
    run?;
    scene.healthy(&nodes)?;
    same("refused logins while pve2 joined", &Vec::<String>::new(), &denied)?;
    ensure!(lets_in(scene, &key, joiner), "the key does not work after the join");
    foreign_nowhere(scene, &key, &public, &nodes, joiner)?;

    // A join that fails on the joiner: corosync can't be started there.
    let nodes = scene.fresh(3)?;
    scene.sh(joiner, &authorise)?;
    let before = scene.untouched(&[joiner])?;
    scene.sh(joiner, "chmod 0644 /usr/sbin/corosync")?;
    let (run, denied) = watched(scene, &key, joiner, || scene.play("site.yml", "join-fails").run())?;
    let run = run?;
    ensure!(!run.is_success, "the join succeeded without corosync");
    ensure!(run.messages().contains("corosync"), "the failure does not name corosync: {}", run.messages());
    same("refused logins while the join failed", &Vec::<String>::new(), &denied)?;
    scene.sh(joiner, "chmod 0755 /usr/sbin/corosync")?;
    ensure!(lets_in(scene, &key, joiner), "the key does not work after the failed join");
    let seen = scene.sh(member, "corosync-quorumtool -s | grep Quorate:")?;
    ensure!(seen.contains("Yes"), "the cluster lost quorum over a failed join: {seen}");
    // What node_prepare did to the joiner is no part of the join.
    let prepared = [
        "/etc/hosts",
        "/etc/ssh/ssh_known_hosts",
        "/etc/systemd",
        "/etc/sddc-pve",
        "/root/.ssh/authorized_keys2",
    ];
    scene.still_but(&before, &prepared)?;

    let again = scene.site("join-after-failure", &[])?;
    ensure!(again.is_success, "the join does not succeed once the cause is gone");
    scene.healthy(&nodes)
}

/// The controller dies in the middle of a join: the join goes on, and the next run attaches to it.
pub fn controller_dies(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let joiner = nodes[1];
    scene.lab.slow(joiner, Some("3"))?;
    let outcome = thread::scope(|threads| {
        let play = threads.spawn(|| scene.play("site.yml", "dies").run());
        let begun = await_operation(scene, joiner, "join");
        // All of it: the controller's processes and the connections they hold.
        Cmd::new("pkill").args(["-KILL", "-f", "ansible-playbook -i .*/lab/inventory.ini"]).succeeds();
        Cmd::new("pkill").args(["-KILL", "-f", "ssh.*10\\.88\\.0\\.1[0-9]"]).succeeds();
        let run = play.join().map_err(|_| anyhow!("the play's thread panicked"))??;
        begun.map(|()| run)
    })?;
    ensure!(!outcome.is_success, "the killed play succeeded");
    let state = scene.sh(joiner, &format!("systemctl is-active {UNIT} || true"))?;
    ensure!(
        state.trim() == "active" || state.trim() == "activating",
        "the join ended with its controller: {state}"
    );
    let again = scene.site("attaches", &[])?;
    scene.healthy(&nodes)?;
    // Created, pve2 admitted once, pve3 admitted once.
    same("config_version", &3, &scene.config_version(nodes[0])?)?;
    ensure!(again.output.contains("pve2"), "the second run says nothing of pve2");
    scene.lab.slow(joiner, None)
}

/// The join's own process is killed: the next run finishes or undoes, and ends with a healthy cluster.
pub fn join_is_killed(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let joiner = nodes[1];
    scene.lab.slow(joiner, Some("3"))?;
    thread::scope(|threads| {
        let play = threads.spawn(|| scene.play("site.yml", "killed").run());
        let begun = await_operation(scene, joiner, "join");
        let killed = scene.sh(joiner, &format!("systemctl kill --signal=KILL {UNIT}"));
        let run = play.join().map_err(|_| anyhow!("the play's thread panicked"))??;
        begun.and(killed)?;
        ensure!(!run.is_success, "the play succeeded though its join was killed");
        Ok(())
    })?;
    scene.lab.slow(joiner, None)?;
    scene.site("after-kill", &[])?;
    scene.healthy(&nodes)
}

/// Waits until the node is inside an operation of this kind.
fn await_operation(scene: &Scene<'_>, node: Node, kind: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    let look = format!("systemctl is-active {UNIT}; grep -ls '{kind}' /var/lib/sddc-pve/operations/*.json");
    loop {
        let said = scene.lab.exec(node, &["sh", "-c", &look])?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        if text.starts_with("active") && text.contains("/operations/") {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("{node} began no {kind} within two minutes: {text}");
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Does something while a key is tried on a node all the time; returns the refused tries too.
fn watched<T>(
    scene: &Scene<'_>,
    key: &Path,
    node: Node,
    act: impl FnOnce() -> T,
) -> Result<(T, Vec<String>)> {
    let is_over = Arc::new(AtomicBool::new(false));
    thread::scope(|threads| {
        let stop = Arc::clone(&is_over);
        let watch = threads.spawn(move || {
            let start = Instant::now();
            let (mut denied, mut tries) = (Vec::new(), 0);
            while !stop.load(Ordering::Relaxed) {
                tries += 1;
                if !lets_in(scene, key, node) {
                    denied.push(format!("{:.1} s", start.elapsed().as_secs_f64()));
                }
                thread::sleep(Duration::from_millis(500));
            }
            (denied, tries)
        });
        let done = act();
        is_over.store(true, Ordering::Relaxed);
        let (denied, tries) = watch.join().map_err(|_| anyhow!("the watcher panicked"))?;
        ensure!(tries > 5, "the key was tried only {tries} times");
        Ok((done, denied))
    })
}

/// Whether a key logs root in.
fn lets_in(scene: &Scene<'_>, key: &Path, node: Node) -> bool {
    Cmd::new("ssh")
        .arg(format!("-oIdentityFile={}", key.display()))
        .args([
            "-oIdentitiesOnly=yes",
            "-oBatchMode=yes",
            "-oStrictHostKeyChecking=yes",
            "-oConnectTimeout=5",
        ])
        .arg(format!("-oUserKnownHostsFile={}", scene.project.lab().join("known_hosts").display()))
        .args([format!("root@{}", node.address(LINKS[0])), "true".to_owned()])
        .succeeds()
}

/// The key lets in on no other node, and the cluster's authorized_keys does not hold it.
fn foreign_nowhere(scene: &Scene<'_>, key: &Path, public: &str, nodes: &[Node], own: Node) -> Result<()> {
    let body = public.split_whitespace().nth(1).unwrap_or(public);
    for node in nodes {
        let found = scene.sh(*node, &format!("grep -c '{body}' /etc/pve/priv/authorized_keys || true"))?;
        same("the joiner's key in the cluster's authorized_keys", &"0", &found.trim())?;
        ensure!(*node == own || !lets_in(scene, key, *node), "the joiner's key is root on {node}");
    }
    Ok(())
}
