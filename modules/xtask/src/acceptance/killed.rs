//! Joins with credentials, struck at each step of their journal: the process, the node's power, the member's power, the
//! controller. After one run more the node is a whole member, no credential is left, and root's entry on each node is
//! the one of before, byte for byte.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use super::credentials::{issue, join, links, must, nothing_left};
use super::passwords::{LEFT, shadow, until};
use super::scene::{Scene, same};
use crate::command::Cmd;
use crate::lab::Node;

const CLUSTER: &str = "sddc-cluster";
/// More steps than any join has.
const STEPS: usize = 40;
/// Stops the operation's own process the moment that its journal shows so many steps, or tells that it ended before.
const WATCH: &str = r#"
import glob, json, os, signal, sys
wanted, seen = int(sys.argv[1]), set(glob.glob("/var/lib/sddc-pve/operations/*.json"))
while True:
    for path in set(glob.glob("/var/lib/sddc-pve/operations/*.json")) - seen:
        try:
            with open(path) as file:
                journal = json.load(file)
        except (OSError, ValueError):
            continue
        if journal["kind"] != "join":
            continue
        if journal["state"] != "running":
            print("ended", flush=True)
            sys.exit()
        if len(journal["steps"]) >= wanted:
            for process in glob.glob("/proc/[0-9]*/cmdline"):
                try:
                    with open(process) as file:
                        words = file.read().split("\0")
                except OSError:
                    continue
                if "__operation" in words and words[0].startswith("/usr/local/lib/sddc-pve/"):
                    os.kill(int(process.split("/")[2]), signal.SIGSTOP)
            print("struck", journal["steps"][wanted - 1]["name"], flush=True)
            sys.exit()
"#;
const AHEAD: &str = "rm -f /root/struck; systemd-run --quiet --collect --unit=watch \
    --property=StandardOutput=file:/root/struck python3 /root/watch.py STEP; \
    timeout 20 sh -c 'until systemctl is-active --quiet watch; do sleep 0.1; done'";

/// What is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The operation's process and all it started, by kill -9.
    Process,
    /// The power of the joiner.
    Power,
    /// The power of the member.
    Member,
    /// The controller, while the operation stands still.
    Controller,
}

/// One node joins another with a token.
pub fn token(scene: &Scene<'_>, blow: Blow) -> Result<()> {
    each_step(scene, blow, |member, joiner| {
        let create = json!({ "cluster_name": CLUSTER, "links": links(member) });
        must(scene, "create", member, "pve_cluster_create", &create)?;
        // So that the joiner's program is there before the token is.
        scene.task("keep-the-binary", joiner, "pve_cluster_info", &json!({}), &[])?;
        let text = issue(scene, member, "token", json!({ "node": joiner.name(), "ttl": 900 }))?;
        let args = join(&text, joiner);
        Ok(Box::new(move |label: &str, mark: &str| {
            let run = scene.task(label, joiner, "pve_cluster_join", &args, &["-e", mark])?;
            ensure!(run.is_success, "{}", run.messages());
            Ok(())
        }))
    })
}

/// site.yml joins one node to another with a temporary password.
pub fn auto(scene: &Scene<'_>, blow: Blow) -> Result<()> {
    each_step(scene, blow, |_, _| {
        Ok(Box::new(move |label: &str, mark: &str| {
            // The password's time is the join's and a minute more.
            let args = ["-e", "pve_join_method=auto", "-e", "pve_join_timeout=60", "-e", mark];
            let run = scene.play("site.yml", label).args(args).run()?;
            ensure!(run.is_success, "{}", run.messages());
            Ok(())
        }))
    })
}

type Join<'s> = Box<dyn Fn(&str, &str) -> Result<()> + Sync + 's>;

fn each_step<'s>(
    scene: &'s Scene<'_>,
    blow: Blow,
    ready: impl Fn(Node, Node) -> Result<Join<'s>>,
) -> Result<()> {
    for step in 1..=STEPS {
        let nodes = scene.fresh(2)?;
        let entries = nodes.iter().map(|node| shadow(scene, *node)).collect::<Result<Vec<_>>>()?;
        let join = ready(nodes[0], nodes[1])?;
        let struck = strike(scene, blow, step, &nodes, &*join).with_context(|| format!("step {step}"))?;
        let Some(name) = struck else {
            ensure!(step > 5, "a join has more than {} steps", step - 1);
            return Ok(());
        };
        println!("  {blow:?} struck at step {step}, {name:?}");
        whole_again(scene, &nodes, &entries, step, &*join)
            .with_context(|| format!("after {blow:?} was struck at step {step}, {name:?}"))?;
    }
    bail!("no end after {STEPS} steps")
}

/// Begins the join and strikes at a step; its name, nothing when the join ended before.
fn strike(
    scene: &Scene<'_>,
    blow: Blow,
    step: usize,
    nodes: &[Node],
    join: &(dyn Fn(&str, &str) -> Result<()> + Sync),
) -> Result<Option<String>> {
    let (member, joiner) = (nodes[0], nodes[1]);
    scene.lab.write(joiner, "/root/watch.py", WATCH)?;
    scene.sh(joiner, &AHEAD.replace("STEP", &step.to_string()))?;
    // Told apart from what else plays on this machine.
    let mark = format!("controller={}", scene.dir().display());
    thread::scope(|threads| {
        let first = threads.spawn(|| join(&format!("{step}-first"), &mark));
        let struck = await_struck(scene, joiner);
        if let Ok(Some(_)) = &struck {
            let unit = "sddc-pve-operation.service";
            match blow {
                Blow::Process => {
                    scene.sh(joiner, &format!("systemctl kill --signal=KILL {unit}"))?;
                }
                Blow::Power => scene.lab.kill(joiner)?,
                Blow::Member => scene.lab.kill(member)?,
                Blow::Controller => {
                    Cmd::new("pkill").args(["-KILL", "-f", &mark]).succeeds();
                }
            }
            if matches!(blow, Blow::Member | Blow::Controller) {
                scene.sh(joiner, &format!("systemctl kill --signal=CONT {unit}"))?;
            }
        }
        let ended = first.join().map_err(|_| anyhow!("the join's thread panicked"))?;
        let Some(name) = struck? else {
            ended?;
            return Ok(None);
        };
        match blow {
            Blow::Power => scene.lab.start(joiner)?,
            Blow::Member => scene.lab.start(member)?,
            Blow::Process => ensure!(ended.is_err(), "the join succeeded though its process was killed"),
            Blow::Controller => {}
        }
        Ok(Some(name))
    })
}

fn await_struck(scene: &Scene<'_>, node: Node) -> Result<Option<String>> {
    let deadline = Instant::now() + Duration::from_secs(240);
    while Instant::now() < deadline {
        let said = scene.sh(node, "cat /root/struck 2>/dev/null || true")?;
        if let Some(name) = said.trim().strip_prefix("struck ") {
            return Ok(Some(name.to_owned()));
        }
        if said.trim() == "ended" {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(100));
    }
    bail!("{node} came to no such step, and to no end")
}

/// One run more joins, and nothing of a credential is left: at once, or when its time is up.
fn whole_again(
    scene: &Scene<'_>,
    nodes: &[Node],
    entries: &[String],
    step: usize,
    join: &(dyn Fn(&str, &str) -> Result<()> + Sync),
) -> Result<()> {
    let as_before = || -> Result<()> {
        for (node, entry) in nodes.iter().zip(entries) {
            same("root's entry in /etc/shadow", entry, &shadow(scene, *node)?)?;
            same("what is left of a temporary password", &String::new(), &scene.sh(*node, LEFT)?)?;
        }
        Ok(())
    };
    // At once where the controller lives, else by the boot or when its time is up: until then no other is issued.
    until("its time", as_before)?;
    join(&format!("{step}-again"), "again=true").context("one run more does not join")?;
    scene.healthy(nodes)?;
    as_before()?;
    nothing_left(scene, nodes)?;
    let said: Value =
        json!(scene.sh(
            nodes[1],
            "cat /var/lib/sddc-pve/operations/*.json | grep -c '\"state\":\"running\"' || true"
        )?);
    ensure!(said.as_str().map(str::trim) == Some("0"), "an operation is left unended: {said}");
    Ok(())
}
