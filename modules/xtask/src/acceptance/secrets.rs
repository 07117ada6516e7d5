//! No secret where it could be read: output at -vvvv, journals, processes, files. The same search must find a word
//! that was put into each of these places on purpose, so that it can't be blind.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow, ensure};

use super::scene::{PASSWORD, Scene, same};
use crate::lab::Node;

/// Watches every process's command line and environment until its flag file is gone, then says that it is over.
const WATCH: &str = "\
while [ -e /run/ps-watch ]; do
  for f in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do tr '\\0' ' ' <$f; echo; done
done >/root/ps-watch.log 2>/dev/null
touch /run/ps-watch.over
";
const START: &str =
    "touch /run/begun /run/ps-watch; setsid sh /root/ps-watch.sh </dev/null >/dev/null 2>&1 &";
const STOP: &str = "rm /run/ps-watch; timeout 30 sh -c 'until [ -e /run/ps-watch.over ]; do sleep 0.1; done'";
/// A word that is no secret, and where it is put.
const CANARY: &str = "canary-7f3a9c";
const PLANT: &str = "\
echo canary-7f3a9c >/tmp/canary; echo canary-7f3a9c >/run/canary; echo canary-7f3a9c >/var/tmp/canary
logger canary-7f3a9c; CANARY=canary-7f3a9c setsid sleep 3 </dev/null >/dev/null 2>&1 &";
/// Regular files newer than the play, on disk, in memory and in pmxcfs.
const FILES: &str = "find / /run /tmp /dev/shm /etc/pve -xdev \\( -path /proc -o -path /sys -o -name ps-watch.log \
                     \\) -prune -o -type f -newer /run/begun -print0 2>/dev/null";

/// Joins over the API with root's password at -vvvv and looks for the password everywhere, then for the cluster's key.
pub fn nowhere(scene: &Scene<'_>) -> Result<()> {
    let nodes = scene.fresh(3)?;
    let secrets = scene.dir().join("secrets.yml");
    std::fs::write(&secrets, format!("pve_join_password: \"{PASSWORD}\"\n"))?;
    for node in &nodes {
        scene.lab.write(*node, "/root/ps-watch.sh", WATCH)?;
        scene.sh(*node, START)?;
    }
    for node in &nodes {
        scene.sh(*node, PLANT)?;
    }
    let run = scene
        .play("site.yml", "vvvv")
        .args(["-vvvv", "--diff", "-e", "pve_join_method=api", "-e"])
        .args([format!("@{}", secrets.display())])
        .run()?;
    for node in &nodes {
        scene.sh(*node, STOP)?;
    }
    ensure!(run.is_success, "the join over the API failed: {}", run.messages());
    scene.healthy(&nodes)?;
    ensure!(!run.output.contains(PASSWORD), "the output at -vvvv has the password");

    let key = scene.sh(nodes[0], "base64 -w0 /etc/corosync/authkey")?;
    let key = key.get(..60).ok_or_else(|| anyhow!("no authkey"))?;
    ensure!(!run.output.contains(key), "the output at -vvvv has the authkey");
    for node in &nodes {
        let planted = ["/run/canary", "/tmp/canary", "/var/tmp/canary", "a process", "the journal"];
        let planted: BTreeSet<String> = planted.map(str::to_owned).into();
        same("places of the planted word", &planted, &places(scene, *node, CANARY)?)?;
        for secret in [PASSWORD, key] {
            let places = places(scene, *node, secret)?;
            ensure!(places.is_empty(), "a secret is to be read on {node}: {places:?}");
        }
        let open = scene.sh(
            *node,
            "find /var/lib/sddc-pve /run/sddc-pve /var/log/pve-cluster-audit.jsonl -perm /077 -type f; true",
        )?;
        ensure!(open.is_empty(), "others can read {open} on {node}");
        let audit = scene.sh(*node, "cat /var/log/pve-cluster-audit.jsonl")?;
        ensure!(!audit.is_empty(), "{node} has no audit line");
    }
    Ok(())
}

/// Where a word stands on a node.
fn places(scene: &Scene<'_>, node: Node, word: &str) -> Result<BTreeSet<String>> {
    let hits = scene.sh(node, &format!("{FILES} | xargs -0 -r grep -lF -- '{word}' || true"))?;
    // The journal is a file too; what it says of itself counts.
    let files = hits.lines().filter(|path| !path.contains("/log/journal/"));
    let mut places: BTreeSet<String> = files.map(str::to_owned).collect();
    let hits = scene.sh(node, &format!("grep -cF -- '{word}' /root/ps-watch.log || true"))?;
    if hits.trim() != "0" {
        places.insert("a process".to_owned());
    }
    if !scene.sh(node, &format!("journalctl --no-pager | grep -F -- '{word}' | head -3"))?.is_empty() {
        places.insert("the journal".to_owned());
    }
    Ok(places)
}
