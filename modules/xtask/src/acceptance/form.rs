//! Forming and growing a cluster with site.yml: fresh, again, in check mode, by one node more, by part of the
//! inventory.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::scene::{Scene, same};
use crate::lab::{LINKS, Node};
use crate::{oracle, quorum_watch};

/// Fresh nodes become one cluster; the second run changes nothing.
pub fn fresh(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let first = scene.site("first", &[])?;
    scene.healthy(&nodes)?;
    let versions: Vec<u64> = nodes.iter().map(|node| scene.config_version(*node)).collect::<Result<_>>()?;
    same("config_version on each node", &vec![3; 3], &versions)?;
    let formed = |task: &str| first.changed.iter().filter(|line| line.ends_with(task)).count();
    same("creations", &1, &formed("Create the cluster"))?;
    same("admissions", &2, &formed("Admit the nodes to the cluster"))?;
    same("joins", &2, &formed("Join the cluster"))?;

    let again = scene.site("again", &[])?;
    same("changes of the second run", &Vec::<String>::new(), &again.changed)?;
    println!("  fresh {:.1} s, again {:.1} s", first.elapsed.as_secs_f64(), again.elapsed.as_secs_f64());
    Ok(())
}

/// Check mode on fresh nodes shows what would be and touches nothing; on a formed cluster it finds nothing to do.
pub fn check_mode(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let before = scene.untouched(&nodes)?;
    let traces = |node: &Node| {
        scene.sh(
            *node,
            "find /var/lib/sddc-pve /run/sddc-pve /usr/local/lib/sddc-pve -type f 2>/dev/null; true",
        )
    };
    let left_before: Vec<String> = nodes.iter().map(traces).collect::<Result<_>>()?;
    let run = scene.site("check", &["--check", "--diff"])?;
    scene.still(&before)?;
    let left_after: Vec<String> = nodes.iter().map(traces).collect::<Result<_>>()?;
    same("files of ours", &left_before, &left_after)?;
    let ring0 = format!("ring0_addr: {}", nodes[1].address(LINKS[0]));
    let ring1 = format!("ring1_addr: {}", nodes[2].address(LINKS[1]));
    let waves = ["wave 1: ", "wave 2: ", "of 3 votes, quorum 2, survives 1 failure"];
    for word in [["create", "join", "config_version", &ring0, &ring1].as_slice(), &waves].concat() {
        ensure!(run.output.contains(word), "the check run does not show {word:?}");
    }
    let would = |task: &str| run.changed.iter().filter(|line| line.ends_with(task)).count();
    same("creations foretold", &1, &would("Create the cluster"))?;
    same("joins foretold", &2, &would("Join the cluster"))?;

    scene.site("form", &[])?;
    scene.healthy(&nodes)?;
    let formed = scene.untouched(&nodes)?;
    let run = scene.site("check-formed", &["--check", "--diff"])?;
    same("changes foretold on a formed cluster", &Vec::<String>::new(), &run.changed)?;
    scene.still(&formed)
}

/// A node that is added to the inventory joins; nobody else changes, and quorum is never lost.
pub fn fourth(scene: &Scene<'_>) -> Result<()> {
    let members = scene.formed(3)?;
    let version = scene.config_version(members[0])?;
    scene.lab.up(4)?;
    let all = Node::first(4);
    let before = scene.untouched(&all)?;
    let foretold = scene.site("fourth-check", &["--check", "--diff"])?;
    scene.still(&before)?;
    let joins = foretold.changed.iter().filter(|line| line.ends_with("Join the cluster")).count();
    same("joins foretold", &1, &joins)?;
    quorum_watch::start(&scene.lab, &members, quorum_watch::OFTEN)?;
    let run = scene.site("fourth", &[])?;
    scene.healthy(&all)?;
    same("config_version", &(version + 1), &scene.config_version(members[0])?)?;
    quorum_watch::proven(&scene.lab, &members).context("while pve4 joined")?;
    // Every node learns the new one's name and host keys, and lets its corosync in: node_prepare, not the cluster.
    let joining = |line: &&String| !line.starts_with("pve4:") && !line.contains("node_prepare");
    let strangers: Vec<&String> = run.changed.iter().filter(joining).collect();
    same("changes of nodes that were members", &Vec::new(), &strangers)?;
    let again = scene.site("fourth-again", &[])?;
    same("changes of the second run", &Vec::<String>::new(), &again.changed)
}

/// A cluster is taken apart whole or not at all, and its nodes form one again at once.
pub fn reset(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.formed(3)?;
    let before = scene.untouched(&nodes)?;
    let play = |label: &str, args: &[&str]| scene.play("reset.yml", label).args(args.iter().copied()).run();
    let confirm = ["-e", "pve_reset_confirm=sddc-cluster"];
    let guest = "/etc/pve/nodes/pve2/qemu-server/107.conf";
    let refusals: [(&str, &[&str], &str); 3] = [
        ("no-confirm", &[], "pve_reset_confirm"),
        ("other-name", &["-e", "pve_reset_confirm=prod"], "confirm says"),
        ("limit-other-name", &["-e", "pve_reset_confirm=prod", "--limit", "pve3"], "confirm says prod"),
    ];
    for (label, args, word) in refusals {
        let run = play(label, args)?;
        ensure!(!run.is_success && run.output.contains(word), "{label}: not refused with {word:?}");
        scene.still(&before)?;
    }
    let limited = [confirm[0], confirm[1], "--limit", "pve3"];
    play("limit-check", &[&limited[..], &["--check", "--diff"]].concat())?;
    scene.still(&before)?;
    let run = play("limit", &limited)?;
    ensure!(run.is_success, "the reset of pve3 failed: {}", run.messages());
    scene.healthy(&nodes[..2])?;
    for node in &nodes[..2] {
        let left = scene.sh(
            *node,
            "grep -lw pve3 /etc/pve/corosync.conf /etc/pve/priv/authorized_keys; ls /etc/pve/nodes",
        )?;
        ensure!(!left.contains("pve3") && !left.contains('/'), "{node} knows pve3 still: {left}");
    }
    ensure!(scene.sh(nodes[2], oracle::OF_A_CLUSTER)?.is_empty(), "pve3 has something of a cluster");
    let again = play("limit-again", &limited)?;
    same("changes of the second limited reset", &Vec::<String>::new(), &again.changed)?;
    scene.site("joins-again", &[])?;
    scene.healthy(&nodes)?;
    let before = scene.untouched(&nodes)?;

    scene.sh(nodes[1], &format!("echo 'memory: 512' >{guest}"))?;
    let run = play("guest", &confirm)?;
    ensure!(!run.is_success && run.output.contains("107"), "a node with a guest was not refused");
    scene.sh(nodes[1], &format!("rm {guest}"))?;
    play("check", &[confirm[0], confirm[1], "--check", "--diff"])?;
    scene.still(&before)?;

    let run = play("reset", &confirm)?;
    ensure!(run.is_success, "the reset failed: {}", run.messages());
    for node in &nodes {
        let left = scene.sh(
            *node,
            &format!(
                "{}; ls /etc/pve/nodes; systemctl is-active corosync; \
                 grep -o 'root@pve.*' /etc/pve/priv/authorized_keys",
                oracle::OF_A_CLUSTER
            ),
        );
        let left: Vec<String> = left?
            .lines()
            .map(str::to_owned)
            .filter(|line| line.starts_with('/') || line.contains("pve"))
            .collect();
        same("what is left", &vec![node.name(), format!("root@{node}")], &left)?;
        let said = scene.lab.exec(*node, &["pvecm", "status"])?;
        same("exit status of pvecm status", &Some(2), &said.status.code())?;
    }
    let again = play("reset-again", &confirm)?;
    same("changes of the second reset", &Vec::<String>::new(), &again.changed)?;
    scene.site("form-again", &[])?;
    scene.healthy(&nodes)
}

/// Part of the inventory, or a host that is down, never leads to a cluster of its own.
pub fn never_two(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let none = |when: &str| -> Result<()> {
        for node in Lab(&nodes).running(scene)? {
            let found =
                scene.sh(node, "ls /etc/pve/corosync.conf /etc/corosync/corosync.conf 2>/dev/null; true")?;
            ensure!(found.is_empty(), "{node} has {found} after {when}");
        }
        Ok(())
    };
    for limit in ["pve1", "pve2", "pve1,pve2"] {
        let run = scene.play("site.yml", &format!("limit-{limit}")).args(["--limit", limit]).run()?;
        ensure!(!run.is_success, "--limit {limit} on fresh nodes succeeded");
        ensure!(run.output.contains("pve3"), "--limit {limit} does not name the host that was left out");
        none(&format!("--limit {limit}"))?;
    }
    scene.lab.kill(nodes[2])?;
    let run = scene.play("site.yml", "unreachable").run()?;
    ensure!(!run.is_success, "the run without pve3 succeeded");
    none("a run without pve3")?;
    scene.lab.start(nodes[2])?;

    // The cluster is there, one member is down, a fourth wants in: no second cluster, no admission.
    scene.site("form", &[])?;
    scene.healthy(&nodes)?;
    scene.lab.up(4)?;
    scene.lab.kill(nodes[2])?;
    await_members(scene, nodes[0], 2)?;
    let version = scene.config_version(nodes[0])?;
    let run = scene.play("site.yml", "member-down").run()?;
    ensure!(!run.is_success, "pve4 joined while pve3 was down");
    same("config_version", &version, &scene.config_version(nodes[0])?)?;
    let found = scene.sh(Node::first(4)[3], "ls /etc/corosync/corosync.conf 2>/dev/null; true")?;
    ensure!(found.is_empty(), "pve4 has {found}");
    scene.lab.start(nodes[2])?;
    scene.healthy(&nodes)
}

struct Lab<'n>(&'n [Node]);

impl Lab<'_> {
    fn running(&self, scene: &Scene<'_>) -> Result<Vec<Node>> {
        let runs = |node: &&Node| scene.lab.exec(**node, &["true"]).is_ok_and(|said| said.status.success());
        Ok(self.0.iter().filter(runs).copied().collect())
    }
}

/// Waits until corosync of a node sees so many members.
pub fn await_members(scene: &Scene<'_>, node: Node, count: usize) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let said = scene.lab.exec(node, &["corosync-quorumtool", "-s"])?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let nodes = text.lines().find_map(|line| line.strip_prefix("Nodes:")).map(str::trim);
        if nodes == Some(count.to_string().as_str()) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("{node} does not see {count} members: {text}");
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}
