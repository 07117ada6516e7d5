//! Access and connections: who can log in during and after a join, and what becomes of a join whose controller or
//! process dies.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use super::play::Run;
use super::scene::{Scene, same};
use crate::command::Cmd;
use crate::lab::{LINKS, Node};
use crate::oracle;

const UNIT: &str = "sddc-pve-operation.service";
const CLUSTER: &str = "sddc-cluster";

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
    // What node_prepare did to the joiner is no part of the join, and what turns over the audit trail stays with it.
    let prepared = [
        "/etc/logrotate.d/sddc-pve",
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
    // Told apart from what else plays on this machine.
    let mark = format!("controller={}", scene.dir().display());
    let outcome = thread::scope(|threads| {
        let play = threads.spawn(|| scene.play("site.yml", "dies").args(["-e", &mark]).run());
        let begun = await_operation(scene, joiner, "join", || play.is_finished());
        // All of it: the controller's processes and the connections they hold.
        Cmd::new("pkill").args(["-KILL", "-f", &mark]).succeeds();
        for node in &nodes {
            Cmd::new("pkill").args(["-KILL", "-f", &format!("ssh.*{}", node.address(LINKS[0]))]).succeeds();
        }
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

/// The join's own process is told to end, and undoes; and it is killed: the next run finishes or undoes. It ends with a
/// healthy cluster.
pub fn join_is_killed(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let joiner = nodes[1];
    let strike = |label: &str, line: &str| -> Result<Run> {
        scene.lab.slow(joiner, Some("3"))?;
        let run = thread::scope(|threads| {
            let play = threads.spawn(|| scene.play("site.yml", label).run());
            let begun = await_operation(scene, joiner, "join", || play.is_finished());
            let struck = scene.sh(joiner, line);
            let run = play.join().map_err(|_| anyhow!("the play's thread panicked"))??;
            begun.and(struck).map(|_| run)
        })?;
        ensure!(!run.is_success, "the play succeeded though its join was {label}");
        scene.lab.slow(joiner, None)?;
        Ok(run)
    };
    let run = strike("told-to-end", &format!("systemctl stop {UNIT}"))?;
    ensure!(run.output.contains("it was told to end (SIGTERM)"), "not told why: {}", run.messages());
    let left = scene.sh(joiner, oracle::OF_A_CLUSTER)?;
    ensure!(left.is_empty(), "{left} is left of the join that was told to end");
    // What came to its end by itself is no earlier operation for the next strike.
    scene.sh(joiner, "rm /var/lib/sddc-pve/operations/*.json")?;
    strike("killed", &format!("systemctl kill --signal=KILL {UNIT}"))?;
    scene.site("after-kill", &[])?;
    scene.healthy(&nodes)
}

/// The module itself is told to end while its operation runs: it says so in one JSON object, the operation goes on,
/// and the next run attaches to it.
pub fn module_is_terminated(scene: &Scene<'_>) -> Result<()> {
    let node = scene.fresh(2)?[0];
    let look = serde_json::json!({});
    scene.task("keep-the-binary", node, "pve_cluster_info", &look, &[])?;
    for (signal, name) in [("TERM", "SIGTERM"), ("HUP", "SIGHUP")] {
        scene.lab.slow(node, Some("3"))?;
        scene.sh(node, &TERMINATED.replace("SIGNAL", signal))?;
        let said = scene.sh(node, "cat /root/said; test ! -s /root/errors")?;
        let result: serde_json::Value =
            serde_json::from_str(&said).map_err(|error| anyhow!("not one JSON object: {error}: {said:?}"))?;
        ensure!(result["failed"] == true, "the interrupted module does not say that it failed: {said}");
        let msg = result["msg"].as_str().unwrap_or_default();
        ensure!(msg.contains(name), "the failure does not name {name}: {msg}");
        let state = scene.sh(node, &format!("systemctl is-active {UNIT} || true"))?;
        ensure!(state.trim().starts_with("activ"), "the operation ended with its module: {state}");
        scene.lab.slow(node, None)?;
        let create = serde_json::json!({ "cluster_name": CLUSTER });
        let again = scene.task("create-again", node, "pve_cluster_create", &create, &[])?;
        ensure!(again.is_success, "the next run fails: {}", again.messages());
        let quorum = scene.sh(node, "corosync-quorumtool -s | grep Quorate:")?;
        ensure!(quorum.contains("Yes"), "the cluster is not quorate: {quorum}");
        same("config_version", &1, &scene.config_version(node)?)?;
        scene.lab.reset(&[node])?;
        scene.task("keep-the-binary", node, "pve_cluster_info", &look, &[])?;
    }
    Ok(())
}

/// Starts the kept binary, waits until its operation runs, and signals the module alone.
const TERMINATED: &str = r#"
    program=$(echo /root/.ansible/tmp/sddc.pve-*/pve)
    echo '{"cluster_name": "sddc-cluster", "_ansible_module_name": "pve_cluster_create"}' |
        "$program" - >/root/said 2>/root/errors & module=$!
    for i in $(seq 300); do
        systemctl is-active --quiet sddc-pve-operation.service && break
        sleep 0.1
    done
    kill -SIGNAL $module
    ! wait $module"#;

/// There is no room for corosync's files on the joiner: it stays as it was, the cluster counts on it no longer, and
/// the next run joins it.
pub fn disk_is_full(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let (member, joiner) = (nodes[0], nodes[2]);
    scene.sh(joiner, "mount -t tmpfs -o size=4k,mode=755 tmpfs /etc/corosync")?;
    let run = scene.play("site.yml", "full").run()?;
    ensure!(!run.is_success, "the join succeeded without room for its files");
    ensure!(run.messages().contains("No space left"), "the failure does not say why: {}", run.messages());
    let left =
        scene.sh(joiner, "find /etc/corosync -type f; systemctl is-active corosync pve-cluster || true")?;
    same("what the failed join left", &"inactive\nactive\n".to_owned(), &left)?;
    scene.healthy(&nodes[..2])?;
    let listed = scene.sh(member, "cat /etc/pve/corosync.conf")?;
    ensure!(!listed.contains("pve3"), "the cluster still lists pve3: {listed}");
    scene.sh(joiner, "umount /etc/corosync")?;
    scene.site("room-again", &[])?;
    scene.healthy(&nodes)
}

/// Waits until the node is inside an operation of this kind, or what was to begin it has ended.
fn await_operation(scene: &Scene<'_>, node: Node, kind: &str, is_over: impl Fn() -> bool) -> Result<()> {
    let look = format!("systemctl is-active {UNIT}; grep -ls '{kind}' /var/lib/sddc-pve/operations/*.json");
    loop {
        let is_last = is_over();
        let said = scene.lab.exec(node, &["sh", "-c", &look])?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        if text.starts_with("active") && text.contains("/operations/") {
            return Ok(());
        }
        ensure!(!is_last, "the play ended and {node} was never seen inside a {kind}: {text}");
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
