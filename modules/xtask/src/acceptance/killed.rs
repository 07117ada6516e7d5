//! Joins by a credential, cut off at each step of their journal: the join's own process is killed, or its controller, or
//! the member that it joins. One run more makes the node a whole member (or names what a person must do where the member
//! is alone without quorum), and nothing of the credential is left.

use std::fs;
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::Scenario;
use super::credentials::{issue, join, links, must, nothing_left};
use super::passwords::{LEFT, shadow, until};
use super::play::Run;
use super::scene::{Scene, same};
use crate::lab::{LINKS, Node};
use crate::strike::{self, UNIT};

/// A credential and who is killed.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "token-killed",
        what: "after kill -9 of a join by token, at each step, the next run ends well",
        is_long: true,
        run: token,
    },
    Scenario {
        name: "token-controller-killed",
        what: "a join by token outlives its controller at each step",
        is_long: true,
        run: token_without_controller,
    },
    Scenario {
        name: "token-member-killed",
        what: "a join by token whose member loses its power at each step ends well, or says what helps",
        is_long: true,
        run: token_without_member,
    },
    Scenario {
        name: "auto-killed",
        what: "after kill -9 of a join with a temporary password, at each step, the next run ends well",
        is_long: true,
        run: auto,
    },
    Scenario {
        name: "auto-controller-killed",
        what: "the same when its controller is killed",
        is_long: true,
        run: auto_without_controller,
    },
    Scenario {
        name: "auto-member-killed",
        what: "the same when its member loses its power",
        is_long: true,
        run: auto_without_member,
    },
];

const CLUSTER: &str = "sddc-cluster";
/// Seconds that a join may take.
const SHORT: u64 = 60;
const LONG: u64 = 240;
/// Of ssh on a busy machine: a node without power is known to be gone all the same.
const PATIENT: [&str; 2] = ["-e", "ansible_ssh_timeout=30"];
/// More steps than any join has.
const STEPS: usize = 40;
/// The joiner as it was before it ever joined, beside itself: what a join can leave is below these, and /etc/pve is
/// another file system.
const KEEP: &str = "systemctl stop pvedaemon pveproxy pve-cluster; mkdir -p /var/tmp/before/var/lib; \
    cp -ax /etc /root /var/tmp/before; cp -ax /var/lib/pve-cluster /var/lib/corosync /var/tmp/before/var/lib; \
    systemctl start pve-cluster pvedaemon pveproxy";
/// Brings it back. What is no state of the node stays: the tools that the controller left, and logs.
const BRING_BACK: &str = "set -e; systemctl stop pvedaemon pveproxy corosync pve-cluster; cd /var/tmp/before; \
    rm -rf /var/lib/sddc-pve /run/sddc-pve; rsync -ax --delete --exclude=/pve etc/ /etc; \
    rsync -ax --delete --exclude=/.ansible root/ /root; \
    for of in pve-cluster corosync; do rsync -ax --delete var/lib/$of/ /var/lib/$of; done; \
    systemctl daemon-reload; systemctl reset-failed; systemctl start pve-cluster pvedaemon pveproxy; systemctl reload ssh; \
    ls /etc/pve/local/pve-ssl.key >/dev/null; test ! -e /etc/pve/corosync.conf";
/// Who is cut off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// The process of the join.
    Operation,
    /// The play and its connections.
    Controller,
    /// The member that is joined, by its power.
    Member,
}

/// A join with more arguments for its play.
type Join<'s> = Box<dyn Fn(&str, &[&str]) -> Result<Run> + Sync + 's>;
/// Makes the credential where the join itself does not, and the join that uses it.
type Way = for<'s> fn(&'s Scene<'_>, &[Node], u64) -> Result<Join<'s>>;

/// By token, its process killed.
fn token(scene: &Scene<'_>) -> Result<()> {
    each_step(scene, with_token, Victim::Operation)
}

/// By token, its controller killed.
fn token_without_controller(scene: &Scene<'_>) -> Result<()> {
    each_step(scene, with_token, Victim::Controller)
}

/// By token, the member killed.
fn token_without_member(scene: &Scene<'_>) -> Result<()> {
    each_step(scene, with_token, Victim::Member)
}

/// With a temporary password, its process killed.
fn auto(scene: &Scene<'_>) -> Result<()> {
    each_step(scene, with_auto, Victim::Operation)
}

/// With a temporary password, its controller killed.
fn auto_without_controller(scene: &Scene<'_>) -> Result<()> {
    each_step(scene, with_auto, Victim::Controller)
}

/// With a temporary password, the member killed.
fn auto_without_member(scene: &Scene<'_>) -> Result<()> {
    each_step(scene, with_auto, Victim::Member)
}

/// One member, and a node that never was one.
fn create(scene: &Scene<'_>) -> Result<Vec<Node>> {
    let nodes = scene.fresh(2)?;
    // What is to be seen are the steps, not how long each takes.
    scene.lab.delays(false)?;
    // Once, rather than at each step.
    let prepare =
        json!([{ "hosts": "proxmox_nodes", "gather_facts": false, "roles": ["sddc.pve.node_prepare"] }]);
    let prepared = scene.tasks("prepare", prepare, &[])?;
    ensure!(prepared.is_success, "prepare failed: {}", prepared.messages());
    let create = json!({ "cluster_name": CLUSTER, "links": links(nodes[0]) });
    must(scene, "create", nodes[0], "pve_cluster_create", &create)?;
    scene.sh(nodes[1], KEEP)?;
    Ok(nodes)
}

/// The same again: the joiner is what it was, and the member forgets it.
fn renew(scene: &Scene<'_>, nodes: &[Node]) -> Result<()> {
    let (member, joiner) = (nodes[0], nodes[1]);
    scene.sh(joiner, BRING_BACK)?;
    delist(scene, member, joiner)?;
    let forget = format!(
        "rm -rf /etc/pve/nodes/{joiner}; timeout 60 sh -c 'until corosync-quorumtool -s | grep -q \"Expected votes: *1$\" \
         && corosync-quorumtool -s | grep -q \"Quorate: *Yes\"; do sleep 0.2; done'"
    );
    scene.sh(member, &forget).map(drop)
}

/// What a person does where one member is left without quorum: again until corosync has noticed that the other one is
/// gone, and pmxcfs the new votes.
fn delist(scene: &Scene<'_>, member: Node, joiner: Node) -> Result<()> {
    let lines = format!(
        "grep -q 'name: {joiner}$' /etc/pve/corosync.conf || exit 0; \
         timeout 180 sh -c 'until pvecm expected 1 && pvecm delnode {joiner}; do sleep 0.5; done'"
    );
    scene.sh(member, &lines).map(drop)
}

fn with_token<'s>(scene: &'s Scene<'_>, nodes: &[Node], timeout: u64) -> Result<Join<'s>> {
    let (member, joiner) = (nodes[0], nodes[1]);
    let text = issue(scene, member, "token", json!({ "node": joiner.name(), "ttl": 900 }))?;
    let mut args = join(&text, joiner);
    args["timeout"] = json!(timeout);
    Ok(Box::new(move |label, more| {
        scene.task(label, joiner, "pve_cluster_join", &args, &[&PATIENT[..], more].concat())
    }))
}

fn with_auto<'s>(scene: &'s Scene<'_>, _: &[Node], timeout: u64) -> Result<Join<'s>> {
    Ok(Box::new(move |label, more| {
        // Where nothing was cut off the links are as they were at the step before.
        let timeout = format!("pve_join_timeout={timeout}");
        let args = ["-e", "pve_join_method=auto", "-e", &timeout, "-e", "pve_probe=false"];
        scene.play("site.yml", label).args(args.iter().chain(&PATIENT).chain(more).copied()).run()
    }))
}

fn each_step(scene: &Scene<'_>, way: Way, victim: Victim) -> Result<()> {
    let outcome = at_each_step(scene, way, victim);
    scene.lab.delays(true)?;
    outcome
}

fn at_each_step(scene: &Scene<'_>, way: Way, victim: Victim) -> Result<()> {
    let nodes = create(scene)?;
    for step in 1..=STEPS {
        if step > 1 {
            renew(scene, &nodes)?;
        }
        let before = shadow(scene, nodes[0])?;
        // A member without power is waited for so long, and the timer of the first step's password; else a busy machine
        // has its time.
        let timeout = if victim == Victim::Member || step == 1 { SHORT } else { LONG };
        let join = way(scene, &nodes, timeout)?;
        let struck = strike(scene, step, &nodes, &*join, victim).with_context(|| format!("step {step}"))?;
        let Some(name) = struck else {
            ensure!(step > 5, "a join has more than {} steps", step - 1);
            return Ok(());
        };
        println!("  struck at step {step}, {name:?}");
        whole_again(scene, &nodes, step, &*join, victim)
            .and_then(|()| no_password(scene, step, nodes[0], &before))
            .with_context(|| format!("after it was struck at step {step}, {name:?}"))?;
    }
    bail!("no end after {STEPS} steps")
}

/// Begins the join and strikes at a step; the step's name, nothing when the join ended before.
fn strike(
    scene: &Scene<'_>,
    step: usize,
    nodes: &[Node],
    join: &(dyn Fn(&str, &[&str]) -> Result<Run> + Sync),
    victim: Victim,
) -> Result<Option<String>> {
    let joiner = nodes[1];
    let ahead = strike::ahead(joiner, "join", step, 240)?;
    // Told apart from what else plays on this machine.
    let mark = format!("controller={}", scene.dir().display());
    // A cluster that lists a node which did not join is not waited for: it does not become well by itself.
    let more = ["-e", &mark, "-e", "pve_validate_timeout=20"];
    thread::scope(|threads| {
        let first = threads.spawn(|| join(&format!("{step}-first"), &more));
        let struck = ahead.struck().map(|struck| struck.map(|struck| struck.name));
        if let Ok(Some(_)) = &struck {
            cut_off(scene, nodes, victim, &mark)?;
        }
        let run = first.join().map_err(|_| anyhow!("the join's thread panicked"))??;
        let Some(name) = struck? else {
            ensure!(run.is_success, "the join that was left alone failed: {}", run.messages());
            return Ok(None);
        };
        if victim == Victim::Operation {
            ensure!(!run.is_success, "the join succeeded though its process was killed");
        }
        strike::await_ended(&scene.lab, joiner)?;
        Ok(Some(name))
    })
}

/// The operation stands still meanwhile.
fn cut_off(scene: &Scene<'_>, nodes: &[Node], victim: Victim, mark: &str) -> Result<()> {
    let joiner = nodes[1];
    match victim {
        Victim::Operation => {
            return scene.sh(joiner, &format!("systemctl kill --signal=KILL {UNIT}")).map(drop);
        }
        Victim::Controller => {
            let addresses: Vec<String> = nodes.iter().map(|node| node.address(LINKS[0])).collect();
            kill_those(|words| {
                words.contains(&mark)
                    || (words[0].starts_with("ssh")
                        && words.iter().any(|word| addresses.iter().any(|one| one == word)))
            })?;
        }
        Victim::Member => scene.lab.kill(nodes[0])?,
    }
    scene.sh(joiner, &format!("systemctl kill --signal=CONT {UNIT}")).map(drop)
}

/// Kills every process of this machine whose command line is of those.
fn kill_those(is_one: impl Fn(&[&str]) -> bool) -> Result<()> {
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended meanwhile has no command line any more.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        if is_one(&line.split(['\0', ' ', '@']).collect::<Vec<_>>()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    Ok(())
}

/// One run more joins, and nothing of a token is left.
fn whole_again(
    scene: &Scene<'_>,
    nodes: &[Node],
    step: usize,
    join: &(dyn Fn(&str, &[&str]) -> Result<Run> + Sync),
    victim: Victim,
) -> Result<()> {
    if victim == Victim::Member {
        scene.lab.start(nodes[0])?;
        // Members find each other within seconds; one that lists a node which is none yet stays without quorum.
        scene.sh(nodes[0], "timeout 20 sh -c 'until corosync-quorumtool -s | grep -q \"Quorate: *Yes\"; do sleep 0.3; done'; true")?;
    }
    let again = join(&format!("{step}-again"), &[])?;
    if victim == Victim::Member && !again.is_success {
        remedied(scene, nodes, step, &again, join)?;
    } else {
        ensure!(again.is_success, "one run more does not join: {}", again.messages());
    }
    scene.healthy(nodes)?;
    nothing_left(scene, nodes)?;
    let running = "cat /var/lib/sddc-pve/operations/*.json | grep -c '\"state\":\"running\"' || true";
    let said = scene.sh(nodes[1], running)?;
    ensure!(said.trim() == "0", "an operation is left unended: {said}");
    Ok(())
}

/// A member that lost its power after it had listed the joiner is alone without quorum: what is said then is what helps.
fn remedied(
    scene: &Scene<'_>,
    nodes: &[Node],
    step: usize,
    refused: &Run,
    join: &(dyn Fn(&str, &[&str]) -> Result<Run> + Sync),
) -> Result<()> {
    let said = refused.messages();
    let expected = "pvecm expected 1";
    let delnode = format!("pvecm delnode {}", nodes[1]);
    ensure!(said.contains(expected) && said.contains(&delnode), "the remedy is not named: {said}");
    delist(scene, nodes[0], nodes[1])?;
    println!("    a person had to say {expected:?} and {delnode:?}");
    let again = join(&format!("{step}-remedied"), &[])?;
    ensure!(again.is_success, "the remedy does not help: {}", again.messages());
    Ok(())
}

/// Root's password on the member is the one of before, at once or when its time is up. That is waited for once; later
/// its timer must be set, and what it starts is started.
fn no_password(scene: &Scene<'_>, step: usize, member: Node, before: &str) -> Result<()> {
    let restore = "sddc-pve-restore-password";
    let timer = scene.sh(member, &format!("systemctl is-active {restore}.timer || true"))?;
    if step > 1 && timer.trim() == "active" {
        let left = scene.sh(
            member,
            &format!("date +%s; date +%s -d \"$(systemctl show -P NextElapseUSecRealtime {restore}.timer)\""),
        )?;
        let times: Vec<i64> = left.lines().map(str::parse).collect::<Result<_, _>>()?;
        ensure!(times[1] - times[0] <= LONG as i64 + 60, "the timer comes too late: {left}");
        scene.sh(member, &format!("systemctl start {restore}.service"))?;
    }
    until("the end of the join or its timer", || {
        same("root's entry in /etc/shadow", &before.to_owned(), &shadow(scene, member)?)?;
        same("what is left of a temporary password", &String::new(), &scene.sh(member, LEFT)?)
    })
}
