//! Joins by token whose process is killed at each step of their journal. After one run more the node is a whole member
//! and nothing of the token is left.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::json;

use super::credentials::{issue, join, links, must, nothing_left};
use super::scene::Scene;
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

/// One node joins another with a token.
pub fn token(scene: &Scene<'_>) -> Result<()> {
    each_step(scene, |member, joiner| {
        let create = json!({ "cluster_name": CLUSTER, "links": links(member) });
        must(scene, "create", member, "pve_cluster_create", &create)?;
        // So that the joiner's program is there before the token is.
        scene.task("keep-the-binary", joiner, "pve_cluster_info", &json!({}), &[])?;
        let text = issue(scene, member, "token", json!({ "node": joiner.name(), "ttl": 900 }))?;
        let args = join(&text, joiner);
        Ok(Box::new(move |label: &str| {
            let run = scene.task(label, joiner, "pve_cluster_join", &args, &[])?;
            ensure!(run.is_success, "{}", run.messages());
            Ok(())
        }))
    })
}

type Join<'s> = Box<dyn Fn(&str) -> Result<()> + Sync + 's>;

fn each_step<'s>(scene: &'s Scene<'_>, ready: impl Fn(Node, Node) -> Result<Join<'s>>) -> Result<()> {
    for step in 1..=STEPS {
        let nodes = scene.fresh(2)?;
        let join = ready(nodes[0], nodes[1])?;
        let struck = strike(scene, step, nodes[1], &*join).with_context(|| format!("step {step}"))?;
        let Some(name) = struck else {
            ensure!(step > 5, "a join has more than {} steps", step - 1);
            return Ok(());
        };
        println!("  struck at step {step}, {name:?}");
        whole_again(scene, &nodes, step, &*join)
            .with_context(|| format!("after it was struck at step {step}, {name:?}"))?;
    }
    bail!("no end after {STEPS} steps")
}

/// Begins the join and kills it at a step; the step's name, nothing when the join ended before.
fn strike(
    scene: &Scene<'_>,
    step: usize,
    joiner: Node,
    join: &(dyn Fn(&str) -> Result<()> + Sync),
) -> Result<Option<String>> {
    scene.lab.write(joiner, "/root/watch.py", WATCH)?;
    scene.sh(joiner, &AHEAD.replace("STEP", &step.to_string()))?;
    thread::scope(|threads| {
        let first = threads.spawn(|| join(&format!("{step}-first")));
        let struck = await_struck(scene, joiner);
        if let Ok(Some(_)) = &struck {
            scene.sh(joiner, "systemctl kill --signal=KILL sddc-pve-operation.service")?;
        }
        let ended = first.join().map_err(|_| anyhow!("the join's thread panicked"))?;
        let Some(name) = struck? else { return ended.map(|()| None) };
        ensure!(ended.is_err(), "the join succeeded though its process was killed");
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

/// One run more joins, and nothing of a credential is left.
fn whole_again(
    scene: &Scene<'_>,
    nodes: &[Node],
    step: usize,
    join: &(dyn Fn(&str) -> Result<()> + Sync),
) -> Result<()> {
    join(&format!("{step}-again")).context("one run more does not join")?;
    scene.healthy(nodes)?;
    nothing_left(scene, nodes)?;
    let running = "cat /var/lib/sddc-pve/operations/*.json | grep -c '\"state\":\"running\"' || true";
    let said = scene.sh(nodes[1], running)?;
    ensure!(said.trim() == "0", "an operation is left unended: {said}");
    Ok(())
}
